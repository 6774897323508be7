//! The join of a terminal to a channel: parameters, token claims, the join endpoint's request and answer, slot messages.

use crate::ids::{ChannelId, ParticipationId, UserName};
use crate::sources::Sources;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What a terminal needs to join; part of every invitation and admission.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinParameters {
    /// Base addresses of join endpoints (`https://host:8443`), best first; the terminal posts to `<endpoint>/rtc/v1/join`.
    pub endpoints: Vec<String>,
    /// The instance that the channel belongs to.
    pub app: String,
    pub channel: ChannelId,
    pub user: UserName,
    pub participation: ParticipationId,
    /// Authorises the join, sent as `Authorization: Bearer`: opaque to the terminal, good for ten minutes by
    /// default. A callee's is *waiting* until its accept is decided: it connects, and nothing flows.
    pub token: String,
    /// The largest profile that the terminal needs to offer.
    pub profile: Profile,
    /// For networks from which the media port cannot be reached. No configuration names any yet: absent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub turn: Vec<TurnServer>,
}

/// A TURN server. A terminal uses those that it is told; no configuration names any yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TurnServer {
    /// `turn:` and `turns:` addresses (RFC 7065).
    pub urls: Vec<String>,
    pub username: String,
    pub credential: String,
}

/// The fixed number of receive slots of one media connection: at most so many may be offered.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Profile {
    /// 1 video + 1 audio.
    Call,
    /// 9 video + 3 audio.
    Meeting,
    /// 16 video + 4 audio.
    Large,
}

impl Profile {
    /// Video and audio receive slots.
    pub const fn slots(self) -> (usize, usize) {
        match self {
            Self::Call => (1, 1),
            Self::Meeting => (9, 3),
            Self::Large => (16, 4),
        }
    }
}

/// What a participation may do in its channel; absent fields allow nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Rights {
    /// Sources that it may send. One that is not in it is blocked.
    #[serde(default)]
    pub send: Sources,
    /// Whether it hears and sees the others.
    #[serde(default)]
    pub receive: bool,
}

impl Rights {
    pub const ALL: Self = Self { send: Sources::ALL, receive: true };
}

/// Claims of a join token (RFC 7519; signed with EdDSA, key named by `kid`): who its bearer is, in one channel. What it may do
/// there is said by the wish for the channel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JoinClaims {
    pub iss: String,
    /// Always [`JoinClaims::AUDIENCE`].
    pub aud: String,
    /// Token id.
    pub jti: String,
    /// Seconds since 1970.
    pub iat: u64,
    /// Seconds since 1970; gates the join only, not the stay.
    pub exp: u64,
    pub channel: ChannelId,
    pub participation: ParticipationId,
    pub user: UserName,
    /// A stable name of the joining client (a hash of its client id): a join replaces the same client's older participation.
    pub client: String,
    /// The revision from which on the wish for the channel has this participation: below it, the join waits for it.
    #[serde(default)]
    pub rev: u64,
}

impl JoinClaims {
    pub const AUDIENCE: &'static str = "rtc";
}

/// What an offered m-line is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Purpose {
    /// Sends the microphone.
    Microphone,
    /// Sends the camera.
    Camera,
    /// Sends the screen.
    Screen,
    /// Sends the sound of the screen.
    ScreenAudio,
    /// Receives audio of whoever is in the slot.
    AudioSlot,
    /// Receives video of whoever is in the slot.
    VideoSlot,
}

/// Body of `POST <endpoint>/rtc/v1/join`; the token goes in `Authorization: Bearer`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinRequest {
    /// The one SDP offer of this stay.
    pub sdp: String,
    pub profile: Profile,
    /// What each offered section is for, by its `a=mid`: camera against screen is not visible in SDP. A section that is
    /// not named (the data channel's) has no purpose.
    pub purposes: BTreeMap<String, Purpose>,
}

/// Answer of the join endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JoinAnswer {
    /// The SDP answer.
    pub sdp: String,
    /// The first slot map; later ones come on the data channel `slots` at the actual switch.
    pub slots: SlotMap,
}

/// Who is in which slot. A map with a lower epoch than the last one seen is ignored.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SlotMap {
    /// Rises with each map of one connection.
    pub epoch: u64,
    pub slots: Vec<Slot>,
}

/// One filled slot; a slot that is not named is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Slot {
    /// The section (`a=mid`) that carries it.
    pub mid: String,
    /// Whose it is; the roster says whose participation that is.
    pub participation: ParticipationId,
    pub source: Source,
}

/// What a participation sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    Microphone,
    Camera,
    Screen,
    /// The sound of what the screen shows.
    ScreenAudio,
}

impl Source {
    pub const ALL: [Self; 4] = [Self::Microphone, Self::Camera, Self::Screen, Self::ScreenAudio];

    pub(crate) const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// Label of the data channel that carries [`SlotMap`]s.
pub const SLOTS_CHANNEL: &str = "slots";
