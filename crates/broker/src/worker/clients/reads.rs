//! Messages that have to be read before they can be handed out: which clients wait for that, and in which order they are
//! served.
//!
//! A client has one read at a time, of what goes out next. Until its answer comes nothing of the log is handed out to it
//! but what is in memory and next. An answer is a help and no promise: what is handed out is decided when it is there, by
//! the inbox as it is then, and what is of no use any more is dropped.

use std::collections::VecDeque;
use std::time::Instant;

use super::Clients;
use crate::worker::action::{Action, Actions, ClientRef};

/// Reads under way of one worker: the reader has work while the worker delivers. The other clients wait in their order.
pub(super) const READS_MAX: usize = 8;
/// Of one read, or one message; as much as is written to a connection at a time.
const READ_BYTES_MAX: u64 = 256 << 10;
/// What waits long enough to be on the disk alone can wait a little longer: no more are read for one worker, and handed out
/// by it, however many clients come back at once, so that others have most of its time.
const MESSAGES_PER_MS: usize = 64;
/// After a pause as many at once.
const MESSAGES_BURST: usize = 4 * MESSAGES_PER_MS;

pub(super) struct Reads {
    under_way: usize,
    waiting: VecDeque<ClientRef>,
    pace: Pace,
}

/// How many messages may be read now. A read may take more than is left, and the next ones wait for that.
struct Pace {
    at: Instant,
    /// In microseconds of it.
    credit: i64,
}

impl Reads {
    pub(super) fn new(now: Instant) -> Self {
        Self { under_way: 0, waiting: VecDeque::new(), pace: Pace { at: now, credit: Pace::BURST_US } }
    }
}

impl Pace {
    const BURST_US: i64 = (1_000 * MESSAGES_BURST / MESSAGES_PER_MS) as i64;

    fn pass(&mut self, now: Instant) {
        let passed = i64::try_from(now.saturating_duration_since(self.at).as_micros()).unwrap_or(i64::MAX);
        self.at = now;
        self.credit = self.credit.saturating_add(passed).min(Self::BURST_US);
    }

    fn allows(&self) -> bool {
        self.credit > 0
    }

    fn take(&mut self, messages: usize) {
        self.credit -= (1_000 * messages / MESSAGES_PER_MS) as i64;
    }
}

#[cfg(test)]
impl Reads {
    /// None waits and none is under way.
    pub(super) fn are_over(&self) -> bool {
        self.under_way == 0 && self.waiting.is_empty()
    }
}

impl Clients {
    /// The next message of this client is to be read, unless that is being done.
    pub(super) fn want_read(&mut self, client: ClientRef, actions: &mut Actions) {
        let Some(entry) = self.entry_mut(client).filter(|entry| !entry.is_reading) else { return };
        entry.is_reading = true;
        self.reads.waiting.push_back(client);
        self.begin_reads(actions);
    }

    /// The answer for a client has come, which may have gone meanwhile. What came is to be handed out next.
    pub(in crate::worker) fn read_ended(&mut self, client: ClientRef, actions: &mut Actions) {
        self.reads.under_way = self.reads.under_way.saturating_sub(1);
        if let Some(entry) = self.entry_mut(client) {
            entry.is_reading = false;
        }
        self.begin_reads(actions);
    }

    /// Some wait for their time alone.
    pub(in crate::worker) fn has_paced_reads(&self) -> bool {
        self.reads.under_way < READS_MAX && !self.reads.waiting.is_empty()
    }

    /// Begins what the pace allows by now.
    pub(in crate::worker) fn pace_reads(&mut self, now: Instant, actions: &mut Actions) {
        self.reads.pace.pass(now);
        self.begin_reads(actions);
    }

    fn begin_reads(&mut self, actions: &mut Actions) {
        while self.reads.pace.allows()
            && self.reads.under_way < READS_MAX
            && let Some(client) = self.reads.waiting.pop_front()
        {
            self.begin_read(client, actions);
        }
    }

    fn begin_read(&mut self, client: ClientRef, actions: &mut Actions) {
        let Some(entry) = self.entry_mut(client) else { return };
        let positions = entry.inbox.next_in_log(READ_BYTES_MAX);
        if positions.is_empty() {
            // Its connection has ended while it waited, or what was to be read is over: what came meanwhile is next.
            entry.is_reading = false;
            actions.push_back(Action::Deliver { client, just_stored: None });
        } else {
            self.reads.under_way += 1;
            self.reads.pace.take(positions.len());
            actions.push_back(Action::Read { client, positions });
        }
    }
}
