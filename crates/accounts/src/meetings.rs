//! What the API sees and does of meetings.
//!
//! What it is: the values, and the trait [`Meetings`] by which the API is given them. What it is not: the meeting service,
//! which decides; and no state of its own.

use catalog::{ActorLost, By, MeetingPlace, MeetingsPage};
use serde::{Deserialize, Serialize};
use std::future::Future;
use std::pin::Pin;
use utoipa::ToSchema;
use uuid::Uuid;

pub type MeetingFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, MeetingError>> + Send + 'a>>;

/// The meeting service, as the API asks it.
pub trait Meetings: Send + Sync {
    /// Meetings, those that were created last first, each with its place; one that cannot be read has none but that.
    fn list(&self, page: MeetingsPage) -> MeetingFuture<'_, Vec<(MeetingPlace, Option<MeetingSummary>)>>;
    /// With its revision.
    fn find(&self, id: Uuid) -> MeetingFuture<'_, (u64, MeetingDetails)>;
    /// Acts in the meeting, and says how it is now. It is finished also if the caller goes away. `expected`: the revision
    /// that the caller has seen.
    fn act(&self, id: Uuid, act: MeetingAct, by: By, expected: Option<u64>)
    -> MeetingFuture<'_, (u64, MeetingDetails)>;
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeetingAct {
    Invite { users: Vec<String> },
    Mute { user: String, track: TrackName },
    AskUnmute { user: String, track: TrackName },
    Block { user: String, track: TrackName, blocked: bool },
    Kick { user: String, ban_s: u32 },
    Unban { user: String },
    End,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MeetingError {
    /// There is no such meeting.
    Unknown,
    UnknownUser(String),
    Over,
    /// Too many, as the words say.
    Limit(String),
    /// The meeting service refuses it as it would refuse a host.
    NotAllowed(String),
    /// The meeting has this revision.
    Stale {
        present: u64,
    },
    Actor(ActorLost),
    Unavailable(String),
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum TrackName {
    #[default]
    Audio,
    Video,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeetingStateName {
    Live,
    Ended,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum MeetingKind {
    /// Of two: it ends when one is alone.
    Call,
    Meeting,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeetingSummary {
    /// UUIDv7, made by the terminal that created it.
    pub meeting: String,
    pub state: MeetingStateName,
    pub kind: MeetingKind,
    /// audio or video
    pub media: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Who may mute, kick and end.
    pub host: String,
    pub creator: String,
    /// Milliseconds since 1970.
    pub created_at_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended_at_ms: Option<u64>,
    /// Why it has ended, as terminals are told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many are in.
    pub members: u32,
    /// How many are being rung.
    pub ringing: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MeetingDetails {
    #[serde(flatten)]
    pub summary: MeetingSummary,
    /// Who is in.
    pub roster: Vec<MemberDetails>,
    /// Who was rung, the oldest first: the last 500.
    pub rings: Vec<RingDetails>,
    /// Who was in and has not come back, the longest gone first.
    pub left: Vec<LeftDetails>,
    /// Whose tracks are blocked, whether they are in or not.
    pub blocks: Vec<BlockDetails>,
    /// Who cannot be invited, and until when.
    pub bans: Vec<BanDetails>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct MemberDetails {
    pub user: String,
    pub name: String,
    pub client_id: String,
    /// Its media: absent, there, lost or closed; no_media where it gets none.
    pub media: String,
    pub media_since_ms: u64,
    /// Its connection of MQTT.
    pub online: bool,
    pub online_since_ms: u64,
    /// Since when somebody else was in, too.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
    pub muted: Tracks,
    pub blocked: Tracks,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Tracks {
    pub audio: bool,
    pub video: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct RingDetails {
    pub user: String,
    pub name: String,
    /// Who has called.
    pub by: String,
    /// invited, ringing, answered, declined, busy or ended
    pub state: String,
    /// While it is open: invited until then without a ringing device, or ringing until then.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct LeftDetails {
    pub user: String,
    pub at_ms: u64,
    /// Taken out, by the host or by an operator.
    pub kicked: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BlockDetails {
    pub user: String,
    pub blocked: Tracks,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct BanDetails {
    pub user: String,
    pub until_ms: u64,
}
