//! Answers and events about a channel between the meeting service and the RTC server: without the calls themselves, and
//! without their transport.

use crate::ids::{ChannelId, ParticipationId, UserName};
use crate::join::Source;
use std::pin::Pin;

/// The answer of a channel call.
pub type ChannelFuture<T> = Pin<Box<dyn Future<Output = Result<T, ChannelError>> + Send>>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    #[error("no such channel: open it first")]
    UnknownChannel,
    /// The call may have taken effect.
    #[error("the RTC server does not answer ({0}): repeat the call")]
    Unavailable(String),
    #[error("the RTC server is full ({0}): try later or add a node")]
    Limit(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelDescription {
    pub participants: Vec<Participant>,
}

/// One participation that has a connection or is making one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    pub participation: ParticipationId,
    pub user: UserName,
    pub waiting: bool,
    /// ICE and DTLS are done, and it is not lost.
    pub connected: bool,
    /// Sources that are being received from it.
    pub publishing: Vec<Source>,
    /// The negotiated SRTP profile, once connected.
    pub cipher: Option<String>,
    /// What came in from it and where it went, per source, since it joined.
    pub traffic: Vec<SourceTraffic>,
}

/// Packets of one source. `received` = packets that were offered to the others + all the `dropped_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceTraffic {
    pub source: Source,
    /// Authenticated packets that arrived.
    pub received: u64,
    /// Copies that left to other peers.
    pub forwarded: u64,
    /// Not forwarded because the source is muted.
    pub dropped_muted: u64,
    /// Not forwarded because the right to publish was taken away (a block).
    pub dropped_no_right: u64,
    /// Not forwarded because the participation still waits.
    pub dropped_waiting: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEvent {
    pub channel: ChannelId,
    pub participation: ParticipationId,
    pub kind: ChannelEventKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEventKind {
    /// ICE and DTLS are done; `cipher` is the negotiated SRTP profile. Comes again, without a `Left` between, when the
    /// same participation joins again on a new connection.
    Joined {
        cipher: String,
    },
    /// No authenticated packet for the time after which a connection counts as lost (4 s by default).
    Lost,
    /// Packets again after `Lost`.
    Back,
    /// Also for a participation that never reached `Joined`.
    Left(LeftReason),
    /// Every few seconds per connected participation.
    Quality {
        loss_permille: u16,
        rtt_ms: Option<u32>,
    },
    Speaker {
        speaking: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeftReason {
    /// The terminal closed the connection.
    Gone,
    /// No authenticated packet for long after `Lost` (20 s in all by default).
    TimedOut,
    /// Removed by the service.
    Removed,
    /// The channel was closed.
    Closed,
    /// The same client joined again, as another participation.
    Replaced,
    /// ICE, DTLS or SRTP did not come about, or the peer's own error ended it.
    Failed,
}
