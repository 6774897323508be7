//! Writes that the log, or the queue, cannot take at the moment.
//!
//! A log that is busy (too much waits for the disk, or the next segment is being made) refuses nobody: what comes waits
//! here in its order and is tried again in each turn. A connection whose message for the queue waits is not read
//! meanwhile. When much waits, the worker reads no further from all its publishers and from its mailbox. A *full* log
//! is another matter: there the publisher is told.

use std::collections::VecDeque;

use commitlog::Need;
use mqtt::QoS;
use queue::{SendDone, TopicName};

use super::action::ClientRef;
use super::post::{ConnectionKey, Outcome, P2p, ReplyTo};
use super::queue_order::QueueOrder;
use crate::message::SharedMessage;

pub(super) enum LogWrite {
    P2p(P2p),
    FanOut(LoggedFanOut),
    ToQueue(ToQueue),
}

impl LogWrite {
    /// What it holds while it waits.
    pub(super) fn bytes(&self) -> usize {
        size_of::<Self>()
            + match self {
                Self::P2p(p2p) => p2p.message.held_bytes(),
                Self::FanOut(fan_out) => fan_out.bytes(),
                Self::ToQueue(to_queue) => to_queue.message.body.len(),
            }
    }
}

/// A message of a connection of this worker, at most one of each.
pub(super) struct ToQueue {
    pub(super) from: ConnectionKey,
    pub(super) topic: TopicName,
    pub(super) message: queue::Message,
    pub(super) done: SendDone,
}

/// The receivers of one message, some of which need it in the log.
pub(super) struct LoggedFanOut {
    pub(super) message: SharedMessage,
    /// Those that it is not stored for yet, with the identifiers of their subscriptions.
    pub(super) receivers: VecDeque<(ClientRef, Box<[u32]>)>,
    /// Those that need no log and get it behind them.
    pub(super) live: Vec<(ClientRef, QoS, Box<[u32]>)>,
    pub(super) need: Need,
    /// Of a message of the queue.
    pub(super) queue: Option<QueueOrder>,
    pub(super) outcome: Outcome,
    pub(super) reply_to: ReplyTo,
}

impl LoggedFanOut {
    /// A message that is before it in the queue waits for room.
    pub(super) fn must_wait(&self) -> bool {
        self.queue.as_ref().is_some_and(QueueOrder::must_wait)
    }

    /// What is said when the log took no more of it. Those that it is stored for already do not get it again.
    pub(super) fn refused(&self, outcome: Outcome) -> Outcome {
        if outcome == Outcome::NoRoom {
            self.queue.iter().for_each(QueueOrder::begin_waiting);
        }
        match (outcome, self.outcome, self.receivers.front()) {
            (Outcome::NoRoom, Outcome::Durable(stored), Some((next, _))) => Outcome::Partial { stored, next: *next },
            _ => outcome,
        }
    }

    fn bytes(&self) -> usize {
        let receiver = |(_, ids): &(ClientRef, Box<[u32]>)| size_of::<(ClientRef, Box<[u32]>)>() + size_of_val(&**ids);
        let live = |(_, _, ids): &(ClientRef, QoS, Box<[u32]>)| {
            size_of::<(ClientRef, QoS, Box<[u32]>)>() + size_of_val(&**ids)
        };
        let receivers = self.receivers.iter().map(receiver).chain(self.live.iter().map(live));
        self.message.held_bytes() + receivers.sum::<usize>()
    }
}
