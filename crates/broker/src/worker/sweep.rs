//! What happens by time alone: sessions end, messages expire.

use std::time::Duration;

use super::{TICK, Worker};

/// How often all inboxes are looked through.
const SWEEP_EVERY: Duration = Duration::from_secs(30);
/// Inboxes of one turn.
const SWEEPS_PER_TURN: usize = 32;

impl Worker {
    pub(super) fn tick(&mut self) {
        self.sweep_some();
        if self.now < self.next_tick {
            return;
        }
        self.next_tick = self.now + TICK;
        self.end_sessions();
        self.forget_removed_keys();
        if self.now >= self.next_sweep && self.to_sweep.is_empty() {
            self.next_sweep = self.now + SWEEP_EVERY;
            self.to_sweep.extend(self.seats.keys().cloned());
        }
    }

    fn end_sessions(&mut self) {
        while let Some((ends_at_ms, client)) = self.endings.first().cloned() {
            if ends_at_ms > self.now_ms {
                return;
            }
            self.endings.pop_first();
            self.end_session(&client);
        }
    }

    fn sweep_some(&mut self) {
        for _ in 0..SWEEPS_PER_TURN {
            let Some(client) = self.to_sweep.pop_front() else { return };
            let Some(seat) = self.seats.get_mut(&client) else { continue };
            let expired = seat.sweep(self.now_ms);
            let is_empty = seat.is_empty();
            self.shared.counts.expired.add(expired.len() as u64);
            expired.into_iter().for_each(|gone| self.forget(&client, gone));
            if is_empty {
                self.seats.remove(&client);
            }
        }
    }
}
