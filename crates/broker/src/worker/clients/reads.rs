//! Messages that have to be read before they can be handed out: which clients wait for that, and in which order they are
//! served.
//!
//! A client has one read at a time, of what goes out next. Until its answer comes nothing of the log is handed out to it
//! but what is in memory and next. An answer is a help and no promise: what is handed out is decided when it is there, by
//! the inbox as it is then, and what is of no use any more is dropped.

use std::collections::VecDeque;

use super::Clients;
use crate::worker::action::{Action, Actions, ClientRef};

/// Reads under way of one worker: the reader has work while the worker delivers. The other clients wait in their order.
pub(super) const READS_MAX: usize = 8;
/// Of one read, or one message; as much as is written to a connection at a time.
const READ_BYTES_MAX: u64 = 256 << 10;

#[derive(Default)]
pub(super) struct Reads {
    under_way: usize,
    waiting: VecDeque<ClientRef>,
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

    fn begin_reads(&mut self, actions: &mut Actions) {
        while self.reads.under_way < READS_MAX
            && let Some(client) = self.reads.waiting.pop_front()
        {
            self.begin_read(client, actions);
        }
    }

    fn begin_read(&mut self, client: ClientRef, actions: &mut Actions) {
        let Some(entry) = self.entry_mut(client) else { return };
        let positions = entry.inbox.next_in_log(READ_BYTES_MAX);
        if positions.is_empty() {
            // Its connection has ended while it waited. With the next one it asks again.
            entry.is_reading = false;
        } else {
            self.reads.under_way += 1;
            actions.push_back(Action::Read { client, positions });
        }
    }
}
