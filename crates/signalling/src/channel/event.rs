//! What the owner of channels is told of them.

use crate::channel::ChannelDescription;
use crate::ids::{ChannelId, ParticipationId};
use crate::join::Source;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where an owner has read its events to. The next question goes on behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct EventCursor {
    /// The run of the RTC server, as in [`Placement`](crate::channel::Placement).
    pub epoch: u64,
    pub sequence: u64,
}

/// The answer of `events(after)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelEvents {
    /// The `after` of the next question.
    pub cursor: EventCursor,
    /// All channels of the owner, where events may be missing: at the first question, after a gap, after a restart of
    /// the RTC server. It replaces all that was known: a participation that is not in it has left. Events that follow
    /// it may be older than it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<Vec<ChannelDescription>>,
    /// By rising `sequence`. None: nothing has happened for a while.
    pub events: Vec<ChannelEvent>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelEvent {
    /// Rises with each event of one owner and epoch.
    pub sequence: u64,
    pub channel: ChannelId,
    /// The revision of the channel's wish when it happened.
    pub rev: u64,
    pub participation: ParticipationId,
    /// Rises with each connection of a channel, within one epoch. An event of an older connection than the newest that is
    /// known of a participation changes nothing.
    pub connection: u64,
    #[serde(flatten)]
    pub kind: ChannelEventKind,
}

/// Of `Quality` and `Speaker` only the newest of a participation is kept, of the others all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
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
    Left {
        reason: LeftReason,
    },
    /// The first packet of a source on this connection, forwarded or not.
    FirstPacket {
        source: Source,
    },
    /// Every few seconds per connected participation.
    Quality {
        loss_permille: u16,
        rtt_ms: Option<u32>,
    },
    Speaker {
        speaking: bool,
    },
}

impl ChannelEventKind {
    /// Another of its kind says all that it says.
    pub fn is_minor(&self) -> bool {
        matches!(self, Self::Quality { .. } | Self::Speaker { .. })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LeftReason {
    /// The terminal closed the connection.
    Gone,
    /// No authenticated packet for long after `Lost` (20 s in all by default).
    TimedOut,
    /// It is not in the wish any more.
    Removed,
    /// The channel has ended.
    Closed,
    /// The same client joined again, as another participation.
    Replaced,
    /// ICE, DTLS or SRTP did not come about, or the peer's own error ended it.
    Failed,
}
