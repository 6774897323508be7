//! The messages. [`Up`] goes from a terminal to the service, [`Down`] from the service to a terminal.
//!
//! On the wire a signal is one flat JSON object: the fields of [`Envelope`], `type`, and the fields of that type.
//! Unknown fields are ignored, an unknown `type` is refused with `invalid`.

use crate::ids::{InvitationId, MeetingId, ParticipationId, SignalId, UserName};
use crate::join::JoinParameters;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the schema.
pub const VERSION: u32 = 1;

/// What every signal carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// Schema version, 1.
    pub v: u32,
    pub id: SignalId,
    /// Absent only where a signal is about no meeting (`state`, `contacts` and their answers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meeting: Option<MeetingId>,
    /// Milliseconds since 1970 by the sender's clock.
    pub sent_at_ms: u64,
    /// Milliseconds since 1970 by the service's clock; a request about a meeting that arrives later is refused. `state`,
    /// `contacts` and `seen` are handled whenever they come: a terminal learns that clock from the answer to `state`.
    pub expires_at_ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<SignalId>,
}

/// A request of a terminal, on `meeting-up/<type>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Up {
    #[serde(flatten)]
    pub envelope: Envelope,
    #[serde(flatten)]
    pub body: UpBody,
}

/// A signal of the service, on `ring-down/p2p/<clientId>/<type>` or `meeting-down/p2p/<clientId>/<type>`.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
pub struct Down {
    #[schemars(flatten)]
    pub envelope: Envelope,
    #[schemars(flatten)]
    pub body: DownBody,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum UpBody {
    /// Opens the meeting that the envelope names and rings the callees. The sender is host.
    Create {
        callees: Vec<UserName>,
        media: Media,
        /// Shown to the callees.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    },
    /// Rings more users into a running meeting; any member may.
    Invite {
        callees: Vec<UserName>,
    },
    /// The device rings.
    Ringing {
        invitation: InvitationId,
    },
    Accept {
        invitation: InvitationId,
    },
    Reject {
        invitation: InvitationId,
        reason: RejectReason,
    },
    /// The inviter gives up: one callee, or all that have not answered.
    Cancel {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        callee: Option<UserName>,
    },
    /// Fresh join parameters for a member.
    Join {},
    Leave {},
    /// Without `user`: oneself. With `user`: another member, by the host.
    Mute {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserName>,
        track: Track,
    },
    /// Oneself only; nobody else opens a microphone or camera.
    Unmute {
        track: Track,
    },
    /// The host stops a member's speech at the RTC server until the host lifts it.
    Block {
        user: UserName,
        track: Track,
    },
    Unblock {
        user: UserName,
        track: Track,
    },
    /// Asks a member to unmute.
    AskUnmute {
        user: UserName,
        track: Track,
    },
    Kick {
        user: UserName,
        /// 0 = may come back at once.
        #[serde(default)]
        ban_s: u32,
    },
    /// The host ends the meeting for all.
    Destroy {},
    Roster {},
    /// Everything about the sender: standing calls and rings with fresh join parameters, unseen outcomes.
    State {},
    /// Whom the sender may call, with presence.
    Contacts {},
    /// An outcome was seen on this device; then it is seen on all.
    Seen {
        invitation: InvitationId,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DownBody {
    /// `ring-down`. Rings, once per invitation and device.
    Invitation(Box<Ring>),
    /// On `ring-down` (with `invitation` and `rev`) it ends a ring; on `meeting-down` it ends the meeting for a member,
    /// or, with `user`, tells the inviter that this callee's ring is over while the meeting goes on.
    Ended {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invitation: Option<InvitationId>,
        /// On `meeting-down` only: the callee whose ring is over. Absent: the meeting is over for the receiver.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserName>,
        rev: u64,
        reason: EndReason,
        /// Who ended it, where a person did.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<UserName>,
        /// Present when the user has missed a call by this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
    },
    /// `ring-down`. The outcome of this invitation was seen on another device.
    Seen {
        invitation: InvitationId,
        rev: u64,
    },
    /// The receiver is a member and may join now.
    Admitted {
        join: JoinParameters,
        roster: Roster,
    },
    Refused {
        code: RefusalCode,
        /// The thing, the cause and the remedy in English.
        words: String,
    },
    /// No device of the callee is online; it rings if one comes back before `until_ms`.
    Waiting {
        user: UserName,
        until_ms: u64,
    },
    Ringing {
        user: UserName,
    },
    Accepted {
        user: UserName,
    },
    Rejected {
        user: UserName,
        reason: RejectReason,
    },
    Busy {
        user: UserName,
    },
    Roster(Roster),
    /// The host muted the receiver's track; unmuting is up to the person.
    Muted {
        track: Track,
        by: UserName,
    },
    Blocked {
        track: Track,
        blocked: bool,
        by: UserName,
    },
    UnmuteAsked {
        track: Track,
        by: UserName,
    },
    State(Box<State>),
    Contacts {
        users: Vec<Contact>,
    },
}

/// An invitation as a callee's device gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ring {
    pub invitation: InvitationId,
    /// Rises with each transaction of the meeting; a lower one than the last seen for this invitation is ignored.
    pub rev: u64,
    pub meeting: MeetingId,
    pub from: UserName,
    pub from_name: String,
    pub media: Media,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Past this moment (service's clock) no ring may begin, it is missed. One that began before goes on until the
    /// service ends it.
    pub ring_until_ms: u64,
    /// Token waiting: the media path may be warmed while it rings.
    pub join: JoinParameters,
    pub roster: Roster,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    Audio,
    Video,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Track {
    Audio,
    Video,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    Declined,
    Busy,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    Cancelled,
    NoAnswer,
    Declined,
    AnsweredElsewhere,
    DeclinedElsewhere,
    CallerGone,
    Left,
    Kicked,
    Destroyed,
    Failed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The request cannot be read or lacks something.
    Invalid,
    Expired,
    /// Not permitted; an unknown user or meeting too.
    NotAllowed,
    /// The meeting id is in use.
    Taken,
    NotMember,
    NotHost,
    AlreadyInCall,
    Limit,
}

/// Who is in the meeting and who is being rung.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Roster {
    pub rev: u64,
    pub host: Option<UserName>,
    pub members: Vec<Member>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    pub user: UserName,
    pub name: String,
    /// Present for whoever has been admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participation: Option<ParticipationId>,
    pub state: MemberState,
    #[serde(default)]
    pub muted: Muted,
    /// By the host.
    #[serde(default)]
    pub blocked: Muted,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Invited, no device has rung yet.
    Invited,
    Ringing,
    /// Admitted, the media connection is not there yet.
    Joining,
    In,
    /// The media connection was lost; it may come back.
    Lost,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Muted {
    #[serde(default)]
    pub audio: bool,
    #[serde(default)]
    pub video: bool,
}

/// Answer to `state`: all that stands for this user and device.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct State {
    /// The service's clock, milliseconds since 1970: terminals correct theirs by it.
    pub now_ms: u64,
    pub user: UserName,
    pub name: String,
    /// Calls that still ring for this user.
    pub rings: Vec<Ring>,
    /// The call that this user is in, on which device, with parameters to join again from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<StandingCall>,
    pub outcomes: Vec<Outcome>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StandingCall {
    pub meeting: MeetingId,
    pub media: Media,
    /// Whether the asking device is the one that is in the call.
    pub here: bool,
    /// Present when `here`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join: Option<JoinParameters>,
    pub roster: Roster,
}

/// A call that the user has missed and not seen yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    pub invitation: InvitationId,
    pub meeting: MeetingId,
    pub rev: u64,
    pub from: UserName,
    pub from_name: String,
    pub media: Media,
    pub kind: OutcomeKind,
    pub at_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    Missed,
    /// Missed because the user was in another call.
    MissedBusy,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Contact {
    pub user: UserName,
    pub name: String,
    pub presence: Presence,
    /// When `offline`: since when, milliseconds since 1970; absent if never seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    Online,
    InCall,
    Offline,
}

impl UpBody {
    /// The last level of its topic.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Create { .. } => "create",
            Self::Invite { .. } => "invite",
            Self::Ringing { .. } => "ringing",
            Self::Accept { .. } => "accept",
            Self::Reject { .. } => "reject",
            Self::Cancel { .. } => "cancel",
            Self::Join {} => "join",
            Self::Leave {} => "leave",
            Self::Mute { .. } => "mute",
            Self::Unmute { .. } => "unmute",
            Self::Block { .. } => "block",
            Self::Unblock { .. } => "unblock",
            Self::AskUnmute { .. } => "ask_unmute",
            Self::Kick { .. } => "kick",
            Self::Destroy {} => "destroy",
            Self::Roster {} => "roster",
            Self::State {} => "state",
            Self::Contacts {} => "contacts",
            Self::Seen { .. } => "seen",
        }
    }
}

impl DownBody {
    /// The last level of its topic.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Invitation(_) => "invitation",
            Self::Ended { .. } => "ended",
            Self::Seen { .. } => "seen",
            Self::Admitted { .. } => "admitted",
            Self::Refused { .. } => "refused",
            Self::Waiting { .. } => "waiting",
            Self::Ringing { .. } => "ringing",
            Self::Accepted { .. } => "accepted",
            Self::Rejected { .. } => "rejected",
            Self::Busy { .. } => "busy",
            Self::Roster(_) => "roster",
            Self::Muted { .. } => "muted",
            Self::Blocked { .. } => "blocked",
            Self::UnmuteAsked { .. } => "unmute_asked",
            Self::State(_) => "state",
            Self::Contacts { .. } => "contacts",
        }
    }
}
