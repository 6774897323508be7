//! What happens by time alone: sessions end, messages expire.

use std::cmp::Reverse;
use std::collections::HashSet;
use std::collections::binary_heap::PeekMut;
use std::time::{Duration, Instant};

use commitlog::Need;

use super::deadlines::BUCKET_MS;
use super::entry::ClientEntry;
use super::{Clients, EndingAhead};
use crate::worker::action::{Actions, ClientRef, Now};

/// Clients that one turn visits.
pub(super) const VISITS_PER_TURN: u32 = 32;
/// So long after an inbox was swept for room it is not again, as late as one that is due is visited.
const ROOM_EVERY: Duration = Duration::from_millis(BUCKET_MS);

/// The clients whose inboxes were swept for room lately, so that a refusal does not cost a look at all that waits.
pub(super) struct SweptForRoom {
    since: Instant,
    clients: HashSet<ClientRef>,
}

impl SweptForRoom {
    pub(super) fn new(now: Instant) -> Self {
        Self { since: now, clients: HashSet::new() }
    }

    /// Whether this one may be swept now, which is noted.
    pub(super) fn may(&mut self, client: ClientRef, now: Instant) -> bool {
        if now.saturating_duration_since(self.since) >= ROOM_EVERY {
            *self = Self::new(now);
        }
        self.clients.insert(client)
    }
}

impl Clients {
    /// Ends the sessions whose time is over, and begins to visit the clients of which something has expired.
    pub(in crate::worker) fn tick(&mut self, now: Now) {
        // What does not get in is tried with the next tick.
        let _ = self.context.journal.log_start(now.certain_ms());
        let _ = self.log_some_owed(Need::Essential);
        for slot in self.endings.due(now.over().all_until_ms()) {
            if let Some(client) = self.name_of(slot) {
                self.end_session_if_over(client, now.over());
            }
        }
        while let Some(EndingAhead { client, ends_at_ms, .. }) = self.next_ending_ahead(now) {
            // Another connection may have begun since, and ended.
            if self.entry(client).is_some_and(|entry| entry.ends_at_ms == Some(ends_at_ms)) {
                self.end_session(client);
            }
        }
        self.set_back.tick(now);
        self.is_sweeping = self.deadlines.has_due(now.over().all_until_ms()) || self.set_back.has_more();
    }

    fn next_ending_ahead(&mut self, now: Now) -> Option<EndingAhead> {
        let first = self.endings_ahead.peek_mut().filter(|first| first.0.not_after <= now.instant)?;
        let Reverse(ending) = PeekMut::pop(first);
        Some(ending)
    }

    /// Visits some clients of which something has expired.
    pub(in crate::worker) fn sweep_some(&mut self, now: Now, actions: &mut Actions) {
        if !self.is_sweeping {
            return;
        }
        self.correct_some(now);
        for _ in 0..VISITS_PER_TURN {
            let Some(slot) = self.deadlines.take_due(now.over().all_until_ms()) else {
                self.is_sweeping = self.set_back.has_more();
                return;
            };
            self.sweep(slot, now, actions);
        }
    }

    /// Takes out what has expired, and a client of which nothing is left.
    fn sweep(&mut self, slot: u32, now: Now, actions: &mut Actions) {
        let Some(client) = self.name_of(slot) else { return };
        self.take_out_expired(client, now, actions);
        if self.entry(client).is_some_and(ClientEntry::is_empty) {
            self.remove(client);
        } else {
            self.put_in_order(slot);
        }
    }

    /// For a message that finds no room: a client that is due is visited late while something is held. `false`: that has
    /// been done lately, or would do nothing. The client keeps its place in the order, and is visited as ever.
    pub(super) fn make_room(&mut self, client: ClientRef, now: Now, actions: &mut Actions) -> bool {
        let is_due = self.entry(client).and_then(|entry| entry.due).is_some_and(|due| due.begins_ms() <= now.ms);
        if !is_due || !self.swept_for_room.may(client, now.instant) {
            return false;
        }
        self.take_out_expired(client, now, actions);
        true
    }

    fn take_out_expired(&mut self, client: ClientRef, now: Now, actions: &mut Actions) {
        let Some(entry) = self.entry_mut(client) else { return };
        let expired = entry.sweep(now.over());
        self.context.counts.expired.add(expired.len() as u64);
        expired.into_iter().for_each(|gone| self.forget(client, gone, actions));
    }

    pub(in crate::worker) fn is_sweeping(&self) -> bool {
        self.is_sweeping
    }

    /// Something of the client has its time until then.
    pub(super) fn expect_deadline(&mut self, client: ClientRef, deadline_ms: u64) {
        if let Some(entry) =
            self.entries.get_mut(client.slot as usize).filter(|entry| entry.generation == client.generation)
        {
            self.deadlines.add(client.slot, &mut entry.due, deadline_ms);
        }
    }

    /// Puts the client where its earliest deadline belongs.
    pub(super) fn put_in_order(&mut self, slot: u32) {
        if let Some(entry) = self.entries.get_mut(slot as usize) {
            let earliest_ms = entry.earliest_deadline_ms();
            self.deadlines.set(slot, &mut entry.due, earliest_ms);
        }
    }
}
