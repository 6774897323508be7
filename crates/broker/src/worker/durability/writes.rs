//! Writes that the log, or the queue, cannot take at the moment.
//!
//! A log that is busy (too much waits for the disk, or the next segment is being made) refuses nobody: what comes waits
//! here in its order and is tried again in each turn. A connection whose message for the queue waits is not read
//! meanwhile. When much waits, the worker reads no further from all its publishers and from its mailbox. A *full* log
//! is another matter: there the publisher is told.

use std::collections::VecDeque;

use queue::{SendDone, TopicName};

use crate::message::SharedMessage;
use crate::worker::action::ClientRef;
use crate::worker::post::{ConnectionKey, Outcome, P2p, ReplyTo};

pub(in crate::worker) enum LogWrite {
    P2p(P2p),
    FanOut(LoggedFanOut),
    ToQueue(ToQueue),
}

/// A message of a connection of this worker, at most one of each.
pub(in crate::worker) struct ToQueue {
    pub(in crate::worker) from: ConnectionKey,
    pub(in crate::worker) topic: TopicName,
    pub(in crate::worker) message: queue::Message,
    pub(in crate::worker) done: SendDone,
}

/// The receivers of one message that need it in the log.
pub(in crate::worker) struct LoggedFanOut {
    pub(in crate::worker) message: SharedMessage,
    /// Those that it is not stored for yet, with the identifiers of their subscriptions.
    pub(in crate::worker) receivers: VecDeque<(ClientRef, Box<[u32]>)>,
    pub(in crate::worker) outcome: Outcome,
    pub(in crate::worker) reply_to: ReplyTo,
}
