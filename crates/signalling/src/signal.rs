//! The messages. [`Up`] goes from a terminal to the service, [`Down`] from the service to a terminal.
//!
//! On the wire a signal is one flat JSON object: the fields of [`Envelope`], `type`, and the fields of that type.
//! Unknown fields are ignored, an unknown `type` is refused with `invalid`.

use crate::ids::{InvitationId, MeetingId, ParticipationId, SignalId, UserName};
use crate::join::JoinParameters;
use crate::past::PastCall;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Version of the schema.
pub const VERSION: u32 = 1;

/// What every signal carries.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Envelope {
    /// Schema version, 1.
    pub v: u32,
    /// Made anew for each signal; a request that is sent again keeps its id.
    pub id: SignalId,
    /// Absent only where a signal is about no meeting (`state`, `contacts`, `history`, `seen` and
    /// their answers).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub meeting: Option<MeetingId>,
    /// Milliseconds since 1970 by the sender's clock.
    pub sent_at_ms: u64,
    /// Milliseconds since 1970 by the service's clock; a request about a meeting that arrives later is refused. `state`,
    /// `contacts`, `history` and `seen` are handled whenever they come: a terminal learns that clock from the answer to `state`.
    pub expires_at_ms: u64,
    /// The `id` of the request that this answers; absent from requests and news.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_reply_to: Option<SignalId>,
    /// The meeting's revision by the decision that caused this signal; absent from requests, and from answers that no
    /// decision caused (in `state` each call and ring has its own).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rev: Option<u64>,
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
    /// Opens the meeting that the envelope names and rings the callees. The sender is host until it goes.
    Create {
        /// At most 50, not the sender. Empty: a meeting that rings nobody and waits for invites.
        callees: Vec<UserName>,
        /// What the callees are told that the call is.
        media: Media,
        /// Shown to the callees; at most 200 characters.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<String>,
    },
    /// Rings more users into a running meeting; any member may.
    Invite {
        /// At most 50; who is in or is being rung already is left alone.
        callees: Vec<UserName>,
    },
    /// The device rings; the first that does starts the time to answer.
    Ringing { invitation: InvitationId },
    /// The person answers on this device. Connected is shown only after `admitted`: another device, a cancel or the
    /// deadline may have come first, which `ended` says then.
    Accept { invitation: InvitationId },
    /// The person does not take the call; it stops ringing on all devices of the user.
    Reject { invitation: InvitationId, reason: RejectReason },
    /// The inviter gives up: one callee, or all that have not answered.
    Cancel {
        /// Absent: all whom the sender has invited; the host means everybody's invitations.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        callee: Option<UserName>,
    },
    /// Asks for fresh join parameters, answered by `admitted`; for members, and for those who have left and were not taken
    /// out. From another device of the member it moves the call there.
    Join {},
    /// Goes out of the meeting, answered by `ended` (`left`). Of a call of two it is the end.
    Leave {},
    /// Stops a track at the RTC server until the person unmutes it.
    Mute {
        /// Absent: oneself. Another member: only the host may.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserName>,
        track: Track,
    },
    /// Lets one's own track flow again; nobody else opens a microphone or camera.
    Unmute { track: Track },
    /// The host stops a member's speech at the RTC server until the host lifts it.
    Block { user: UserName, track: Track },
    /// The host lifts a block.
    Unblock { user: UserName, track: Track },
    /// Asks a member to unmute, which is up to that person; any member may.
    AskUnmute { user: UserName, track: Track },
    /// The host takes a member out, or calls off the ring of a callee.
    Kick {
        user: UserName,
        /// Seconds for which nobody may invite the user into this meeting again. 0: at once.
        #[serde(default)]
        ban_s: u32,
    },
    /// The host ends the meeting for all.
    Destroy {},
    /// Asks who is in the meeting and who is being rung; members only.
    Roster {},
    /// Everything about the sender: standing calls and rings with fresh join parameters, unseen outcomes.
    State {},
    /// Whom the sender may call, with presence; at most 200.
    Contacts {
        /// Seconds, at most 120, for which changes of their presence are told by `presence`; each such request begins
        /// them anew, 0 ends them. Absent: asked once, nothing else is told.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        watch_s: Option<u32>,
    },
    /// The sender's own calls that are over, the newest first; kept for 90 days.
    History {
        /// The `next` of the page before. Absent: the newest.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        before: Option<String>,
        /// How many at most, 1 to 50. Absent: 20.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        limit: Option<u32>,
    },
    /// An outcome was seen on this device; then it is seen on all.
    Seen { invitation: InvitationId },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum DownBody {
    /// On `ring-down`: rings, once per invitation and device.
    Invitation(Box<Ring>),
    /// On `ring-down` (with `invitation` and `rev`) it ends a ring; on `meeting-down` it ends the meeting for a member,
    /// or, with `user`, tells the inviter that this callee's ring is over while the meeting goes on, or, with
    /// `invitation` alone, answers what came after the end of that ring.
    Ended {
        /// The ring that is over. Absent: the meeting is over for the receiver.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        invitation: Option<InvitationId>,
        /// On `meeting-down` only: the callee whose ring is over. Absent: the meeting is over for the receiver.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user: Option<UserName>,
        /// The meeting's revision, as in `invitation`.
        rev: u64,
        reason: EndReason,
        /// Who ended it, where a person did; `:operator` is an operator of the server.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<UserName>,
        /// Present when the user has missed a call by this.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        outcome: Option<Outcome>,
    },
    /// On `ring-down`: the outcome of this invitation was seen on one of the user's devices. To the device that said so it
    /// is the answer.
    Seen {
        invitation: InvitationId,
        /// Above that of the outcome; 0 in the answer (on `meeting-down`) where there is nothing to be seen (any more).
        rev: u64,
    },
    /// The receiver is a member and may join now: answers `create`, `accept` and `join`. Its `meeting` counts: of two who
    /// call each other, the later caller is admitted to the other's meeting.
    Admitted { join: JoinParameters, roster: Roster },
    /// The request changed nothing.
    Refused {
        code: RefusalCode,
        /// The thing, the cause and the remedy in English, for logs and developers; programs go by `code`.
        words: String,
    },
    /// No device of the callee is online; it rings if one comes back before `until_ms`.
    Waiting {
        user: UserName,
        /// Milliseconds since 1970, service's clock.
        until_ms: u64,
    },
    /// To the inviter: the callee's first device rings. To each device that says `ringing` it is the answer.
    Ringing { user: UserName },
    /// To the inviter: the callee answered and is being admitted.
    Accepted { user: UserName },
    /// To the inviter: the callee will not come.
    Rejected { user: UserName, reason: RejectReason },
    /// To the inviter: the callee is in another call; no device rang, a missed call is kept.
    Busy { user: UserName },
    /// Who is in the meeting: answers `roster`, and any request that has no answer of its own where the sender may have
    /// missed a change.
    Roster(Roster),
    /// What of the roster changed; also the answer to a request that succeeded and has no other.
    RosterChanged(RosterChange),
    /// The host muted the receiver's track, or an operator of the server (`by` is `:operator` then); unmuting is up to the
    /// person.
    Muted { track: Track, by: UserName },
    /// The host blocked the receiver's track or lifted the block, or an operator (`:operator`).
    Blocked {
        track: Track,
        /// `false`: lifted.
        blocked: bool,
        by: UserName,
    },
    /// Somebody asks the receiver to unmute, a member or an operator (`:operator`).
    UnmuteAsked { track: Track, by: UserName },
    /// Answers `state`.
    State(Box<State>),
    /// Answers `contacts`.
    Contacts { users: Vec<Contact> },
    /// Those of the watched contacts whose presence changed, as it is now; at most one a second.
    Presence { users: Vec<Contact> },
    /// Answers `history`: a page, the newest first.
    History {
        calls: Vec<PastCall>,
        /// What asks for the next page, as `before`; opaque. Absent: there are no older ones.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
}

/// An invitation as a callee's device gets it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ring {
    pub invitation: InvitationId,
    /// Rises with each transaction of the meeting; a lower one than the last seen for this invitation is ignored.
    pub rev: u64,
    /// The same as in the envelope.
    pub meeting: MeetingId,
    /// The inviter.
    pub from: UserName,
    /// The inviter's name for people.
    pub from_name: String,
    pub media: Media,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Milliseconds since 1970, service's clock. Past this moment no ring may begin, it is missed. One that began before goes on until the
    /// service ends it.
    pub ring_until_ms: u64,
    /// Token waiting: the media path may be warmed while it rings.
    pub join: JoinParameters,
    /// The service has heard of a device of this user that rings.
    #[serde(default)]
    pub ringing: bool,
    /// How many are in the meeting already.
    pub members: u32,
    /// The names for people of those who are in, the longest first; at most ten.
    #[serde(default)]
    pub names: Vec<String>,
}

/// What a call is announced as. It binds nobody: each person chooses what to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Media {
    Audio,
    Video,
}

/// What is muted or blocked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Track {
    /// All that can be heard.
    Audio,
    /// All that can be seen, whatever the terminal calls it.
    Video,
}

/// Why a callee does not take a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RejectReason {
    /// The person said no.
    Declined,
    /// The person is busy elsewhere, says the device.
    Busy,
}

/// How a ring or a meeting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum EndReason {
    /// The inviter gave up before there was an answer.
    Cancelled,
    /// Nobody answered in time, or no device could be reached in time.
    NoAnswer,
    /// The callee declined: told to the device that did, and to all who are in when a call ends by it.
    Declined,
    /// The user is in the call on another device now: by its answer, or because the call moved there.
    AnsweredElsewhere,
    /// The user declined on another device.
    DeclinedElsewhere,
    /// Whoever called lost the connection for too long while it rang.
    CallerGone,
    /// A person left: the receiver, or the other one of a call that is over by it. A connection that is lost for too long
    /// counts as leaving.
    Left,
    /// The host took the receiver out, or called the ring off.
    Kicked,
    /// The host ended the meeting for all.
    Destroyed,
    /// The call came to nothing without anybody's doing.
    Failed,
}

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RefusalCode {
    /// The request cannot be read, lacks something, or asks what makes no sense. Sent again it is refused again.
    Invalid,
    /// It came after its `expires_at_ms`; a `create` also later than 30 s after the broker took it.
    Expired,
    /// Not permitted; an unknown user or meeting too.
    NotAllowed,
    /// The meeting id is in use: make a new one.
    Taken,
    /// The sender was in the meeting, or was invited, and is not in it now.
    NotMember,
    /// Only the host may do this.
    NotHost,
    /// The sender is in another call, or rings somebody: one live call a user.
    AlreadyInCall,
    /// Too many or too much; `words` name the limit.
    Limit,
}

/// Who is in the meeting and who is being rung.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Roster {
    /// The meeting's revision: a roster with a lower one than the last seen is ignored.
    pub rev: u64,
    pub host: Option<UserName>,
    pub members: Vec<Member>,
}

/// What makes a roster of `base` (or of any revision from there up to `rev`) the roster of `rev`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RosterChange {
    /// The revision of the roster before the change. Above the one that the receiver knows: something is missing, it asks
    /// for the `roster`.
    pub base: u64,
    pub rev: u64,
    pub host: UserName,
    /// Who came or changed, whole; each replaces what was known of the same user.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    /// Who is neither in nor being rung any more.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub gone: Vec<UserName>,
}

/// A user who is in the meeting or is being rung.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Member {
    pub user: UserName,
    /// The user's name for people.
    pub name: String,
    /// By which slots name this member; present for whoever has been admitted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub participation: Option<ParticipationId>,
    pub state: MemberState,
    /// By the member, or by the host until the member unmutes.
    #[serde(default, skip_serializing_if = "Muted::is_nothing")]
    pub muted: Muted,
    /// By the host, until the host lifts it.
    #[serde(default, skip_serializing_if = "Muted::is_nothing")]
    pub blocked: Muted,
}

/// How far a member is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// Invited, no device has rung yet.
    Invited,
    /// At least one device rings.
    Ringing,
    /// Admitted, the media connection is not there yet.
    Joining,
    /// The media connection stands.
    In,
    /// The media connection was lost; it may come back.
    Lost,
    /// There has been no media connection for 8 s, though the terminal can be reached: the network may not let media pass.
    /// It may still come about.
    NoMedia,
}

/// Which tracks do not leave the RTC server.
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
    /// Who the asking device's user is.
    pub user: UserName,
    /// The user's name for people.
    pub name: String,
    /// Calls that still ring for this user.
    pub rings: Vec<Ring>,
    /// More calls ring than found room: one that is not named may stand. The terminal ends none for that, and asks again.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rings_left_out: bool,
    /// The call that this user is in, on which device, with parameters to join again from here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<StandingCall>,
    /// Living meetings that the user has left, or lost, and may `join` again; the newest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub joinable: Vec<Joinable>,
    /// The newest first, as many as fit into one message.
    pub outcomes: Vec<Outcome>,
}

/// A call that goes on.
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

/// A meeting that goes on without the user, who was a member and may come back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Joinable {
    pub meeting: MeetingId,
    pub rev: u64,
    pub media: Media,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How many are in.
    pub members: u32,
    /// As in an invitation.
    #[serde(default)]
    pub names: Vec<String>,
}

/// A call that the user has missed and not seen yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Outcome {
    pub invitation: InvitationId,
    pub meeting: MeetingId,
    /// As in `invitation`.
    pub rev: u64,
    /// Who called.
    pub from: UserName,
    /// The caller's name for people.
    pub from_name: String,
    pub media: Media,
    pub kind: OutcomeKind,
    /// When it was missed: milliseconds since 1970, service's clock.
    pub at_ms: u64,
}

/// How a call was missed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum OutcomeKind {
    /// It rang, or could not, until it ended without an answer.
    Missed,
    /// Missed because the user was in another call.
    MissedBusy,
}

/// A user whom one may call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Contact {
    pub user: UserName,
    /// The user's name for people.
    pub name: String,
    pub presence: Presence,
    /// When `offline`: since when, milliseconds since 1970; absent if never seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_ms: Option<u64>,
}

/// Whether a user can be reached now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Presence {
    /// At least one device is connected.
    Online,
    /// In a call, or calling.
    InCall,
    /// No device is connected: a call waits for one.
    Offline,
}

impl Muted {
    fn is_nothing(&self) -> bool {
        *self == Self::default()
    }
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
            Self::Contacts { .. } => "contacts",
            Self::History { .. } => "history",
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
            Self::RosterChanged(_) => "roster_changed",
            Self::Muted { .. } => "muted",
            Self::Blocked { .. } => "blocked",
            Self::UnmuteAsked { .. } => "unmute_asked",
            Self::State(_) => "state",
            Self::Contacts { .. } => "contacts",
            Self::Presence { .. } => "presence",
            Self::History { .. } => "history",
        }
    }
}
