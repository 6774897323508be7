//! What the components of a worker want of each other when it does not follow from their return values.
//!
//! Handlers append; `Worker::dispatch` takes in order, until nothing is left.

use std::collections::VecDeque;
use std::time::Instant;

use accounts::clients::{Purged, Turn};
use accounts::login;
use clock::{Clock, Times};
use commitlog::Position;
use mqtt::{AckToken, PacketId, ReasonCode};
use tokio::sync::oneshot;

use super::orders::PlacedAnswer;
use super::post::{ConnectionKey, Outcome, P2p, QueueJob, ReplyTo};
use super::reader::Loaded;
use super::writes::LoggedFanOut;
use crate::client::ClientKey;
use crate::message::SharedMessage;
use crate::over::{Held, Over};

/// The time of one turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Now {
    pub(super) instant: Instant,
    /// Of the broker's clock.
    pub(super) ms: u64,
    /// By how much that may be too much.
    pub(super) doubt_ms: u64,
    pub(super) held: Held,
}

impl Now {
    pub(super) fn of(clock: &Clock) -> Self {
        let times = clock.times();
        let Times { now_ms, over_ms, .. } = times;
        Self { instant: Instant::now(), ms: now_ms, doubt_ms: now_ms - over_ms, held: times.into() }
    }

    /// Sessions, messages and logins end by it.
    pub(super) fn over(self) -> Over {
        Over::new(self.ms, self.held)
    }

    /// The latest time that is in no doubt.
    pub(super) fn certain_ms(self) -> u64 {
        self.ms.saturating_sub(self.doubt_ms)
    }

    /// At a time that is in no doubt.
    #[cfg(test)]
    pub(super) fn certain(instant: Instant, ms: u64) -> Self {
        Self { instant, ms, doubt_ms: 0, held: Held::default() }
    }
}

/// Names one client of a worker. A name of a client that was forgotten is nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientRef {
    pub(super) slot: u32,
    pub(super) generation: u32,
}

impl ClientRef {
    /// None is before it.
    pub(super) const FIRST: Self = Self { slot: 0, generation: 0 };
}

pub(super) type Actions = VecDeque<Action>;

pub(super) enum Action {
    /// Something waits for the client.
    Deliver {
        client: ClientRef,
        /// What was stored for it now, so that a client that reads at once costs no read of the log.
        just_stored: Option<Loaded>,
    },
    /// The next messages of the client are to be read from the log.
    Read {
        client: ClientRef,
        positions: Vec<Position>,
    },
    /// QoS 0: now or never.
    SendAtMostOnce {
        to: ConnectionKey,
        message: SharedMessage,
        subscription_ids: Box<[u32]>,
    },
    /// To be done once the log is durable up to here.
    WhenDurable {
        end: Position,
        then: AfterDurable,
    },
    /// How it went with a message, to the place that waits for it.
    Reply {
        to: ReplyTo,
        outcome: Outcome,
    },
    /// To be written to the log, behind what waits for that already.
    WriteP2p(P2p),
    WriteFanOut(Box<LoggedFanOut>),
    /// To be logged at the end of the turn.
    Defer(Deferred),
    /// Whether this receiver is registered.
    LookUp {
        receiver: ClientKey,
        source: login::LookupSource,
    },
    /// The queue's message has no receiver.
    DeadLetter {
        job: Box<QueueJob>,
        reason: &'static str,
    },
}

/// What nobody waits for: losing it costs a repetition and never a message.
pub(super) enum Deferred {
    HandedOut {
        client: ClientKey,
        message: Position,
        packet_id: PacketId,
    },
    /// The entry is done.
    Removed {
        client: ClientKey,
        message: Position,
    },
    /// The connection has ended.
    Closed {
        client: ClientKey,
        connection_id: Box<str>,
        at_ms: u64,
    },
    /// The `tcpclean` of a connection is in the queue.
    EventSent {
        connection_id: Box<str>,
    },
}

/// To be done once the log is durable up to some position.
pub(super) enum AfterDurable {
    Accept(ConnectionKey),
    Suback {
        connection: ConnectionKey,
        packet_id: PacketId,
        codes: Vec<ReasonCode>,
    },
    Unsuback {
        connection: ConnectionKey,
        packet_id: PacketId,
        codes: Vec<ReasonCode>,
    },
    Puback {
        connection: ConnectionKey,
        token: AckToken,
    },
    /// Nothing is left of a user's device.
    Ended(oneshot::Sender<Option<Box<str>>>),
    /// An owner's message is in the inboxes.
    Placed(Box<PlacedAnswer>),
    /// What was dropped of an inbox stays dropped.
    Purged {
        purged: Purged,
        answer: oneshot::Sender<Purged>,
        turn: Turn,
    },
    /// The acknowledgement to the queue, in the same log, is durable now.
    Applied(Box<QueueJob>),
    /// Another queue is told now.
    Acknowledge(Box<QueueJob>),
}
