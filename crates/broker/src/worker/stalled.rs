//! Messages that the log cannot take at the moment.
//!
//! A log that is busy (too much waits for the disk, or the next segment is being made) refuses nobody: what comes waits
//! here in its order and is tried again in each turn. A connection whose message for the queue waits is not read
//! meanwhile. When much waits, this worker reads no further from all its publishers and from its mailbox. A *full* log
//! is another matter: there the publisher is told.

use std::collections::VecDeque;

use queue::{NotTaken, SendDone, TopicName};

use super::Worker;
use super::post::{LinkKey, Outcome, P2p, ReplyTo};
use crate::client::ClientKey;
use crate::message::SharedMessage;

/// Messages that wait before publishers do.
const STALLED_MAX: usize = 1024;

pub(super) enum Stalled {
    P2p(P2p),
    Fan(LoggedFan),
    ToQueue(ToQueue),
}

/// A message of a connection of ours, at most one of each.
pub(super) struct ToQueue {
    pub(super) from: LinkKey,
    pub(super) topic: TopicName,
    pub(super) message: queue::Message,
    pub(super) done: SendDone,
}

/// The receivers of one message that need it in the log.
pub(super) struct LoggedFan {
    pub(super) message: SharedMessage,
    /// Those that it is not stored for yet, with the identifiers of their subscriptions.
    pub(super) receivers: VecDeque<(ClientKey, Box<[u32]>)>,
    pub(super) outcome: Outcome,
    pub(super) reply_to: ReplyTo,
}

impl Worker {
    pub(super) fn store(&mut self, message: Stalled) {
        // Behind those that came before.
        let message = if self.stalled.is_empty() { self.try_store(message) } else { Some(message) };
        if let Some(message) = message {
            self.shared.counts.waited_for_log.one();
            self.hold_publisher(&message);
            self.stalled.push_back(message);
        }
    }

    fn try_store(&mut self, message: Stalled) -> Option<Stalled> {
        match message {
            Stalled::P2p(p2p) => self.store_p2p(p2p).map(Stalled::P2p),
            Stalled::Fan(fan) => self.store_fan(fan).map(Stalled::Fan),
            Stalled::ToQueue(to_queue) => self.store_in_queue(to_queue).map(Stalled::ToQueue),
        }
    }

    fn store_in_queue(&mut self, to_queue: ToQueue) -> Option<ToQueue> {
        let ToQueue { from, topic, message, done } = to_queue;
        match self.shared.queue.try_send(&topic, message, done) {
            Ok(()) => {
                self.read_again(from);
                None
            }
            Err(not_taken) => {
                let NotTaken { message, done } = *not_taken;
                Some(ToQueue { from, topic, message, done })
            }
        }
    }

    fn hold_publisher(&mut self, message: &Stalled) {
        if let Stalled::ToQueue(ToQueue { from, .. }) = message
            && let Some(link) = self.link(*from)
        {
            link.waits_for_queue = true;
        }
    }

    fn read_again(&mut self, key: LinkKey) {
        if let Some(link) = self.link(key).filter(|link| link.waits_for_queue) {
            link.waits_for_queue = false;
            self.mark_ready(key);
        }
    }

    pub(super) fn retry_stalled(&mut self) {
        while let Some(message) = self.stalled.pop_front() {
            if let Some(message) = self.try_store(message) {
                self.stalled.push_front(message);
                return;
            }
        }
    }

    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.len() >= STALLED_MAX
    }
}
