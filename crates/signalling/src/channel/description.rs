//! What the RTC server knows of a channel.

use crate::ids::{ChannelId, ParticipationId, UserName};
use crate::join::Source;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ChannelDescription {
    pub channel: ChannelId,
    /// The revision of the wish that counts.
    pub rev: u64,
    /// Those that have a connection or are making one.
    pub participants: Vec<Participant>,
}

impl ChannelDescription {
    /// Those whose connection stands.
    pub fn connected(&self) -> BTreeSet<ParticipationId> {
        let connected = self.participants.iter().filter(|participant| participant.connected);
        connected.map(|participant| participant.participation).collect()
    }
}

/// One participation with its connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Participant {
    pub participation: ParticipationId,
    /// The number of its connection, as events have it.
    pub connection: u64,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SourceTraffic {
    pub source: Source,
    /// Authenticated packets that arrived.
    pub received: u64,
    /// Copies that left to other peers.
    pub forwarded: u64,
    /// Not forwarded because the source is muted.
    pub dropped_muted: u64,
    /// Not forwarded because the right to send it is missing (a block).
    pub dropped_blocked: u64,
    /// Not forwarded because the participation still waits.
    pub dropped_waiting: u64,
}
