//! What happens by time alone: sessions end, messages expire.

use std::time::Duration;

use super::{Clients, EndingAhead};
use crate::worker::action::{Actions, Now};

/// How often all inboxes are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Inboxes of one turn.
const SWEEPS_PER_TURN: usize = 32;

impl Clients {
    /// Ends the sessions whose time is over, and begins to look through all inboxes when that is due.
    pub(in crate::worker) fn tick(&mut self, now: Now) {
        while let Some(&(ends_at_ms, client)) = self.endings.first() {
            if ends_at_ms > now.ms {
                break;
            }
            self.endings.pop_first();
            self.end_session(client);
        }
        let due: Vec<_> = self.endings_ahead.extract_if(.., |ending| ending.not_after <= now.instant).collect();
        for EndingAhead { client, ends_at_ms, .. } in due {
            // Another connection may have begun since, and ended.
            if self.entry(client).is_some_and(|entry| entry.ends_at_ms == Some(ends_at_ms)) {
                self.end_session(client);
            }
        }
        if now.instant >= self.next_sweep && self.to_sweep.is_empty() {
            self.next_sweep = now.instant + SWEEP_EVERY;
            self.to_sweep.extend(self.by_id.values());
        }
    }

    /// Looks through some inboxes for what has expired.
    pub(in crate::worker) fn sweep_some(&mut self, now: Now, actions: &mut Actions) {
        for _ in 0..SWEEPS_PER_TURN {
            let Some(client) = self.to_sweep.pop_front() else { return };
            let Some(entry) = self.entry_mut(client) else { continue };
            let expired = entry.sweep(now.ms);
            let is_empty = entry.is_empty();
            self.context.counts.expired.add(expired.len() as u64);
            expired.into_iter().for_each(|gone| self.forget(client, gone, actions));
            if is_empty {
                self.remove(client);
            }
        }
    }

    pub(in crate::worker) fn is_sweeping(&self) -> bool {
        !self.to_sweep.is_empty()
    }
}
