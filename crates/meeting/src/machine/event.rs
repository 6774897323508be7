//! Inputs and outputs of the machine.

use crate::machine::document::Meeting;
use crate::machine::rules::Rules;
use signalling::{
    ClientId, DownBody, InvitationId, JoinParameters, Media, MeetingId, Outcome, ParticipationId, PastCall, Profile,
    RefusalCode, RejectReason, SignalId, Track, UserName,
};
use std::collections::BTreeSet;
use std::ops::Range;
use uuid::Uuid;

/// What the machine takes from outside for one event: the time, the rules, and new ids.
pub struct Context<'a> {
    pub now_ms: u64,
    /// Deadlines of these moments have not passed, whatever the time is: it is in doubt.
    pub held_ms: Range<u64>,
    /// The time is right: what lies further ahead than it can was set by a clock that was ahead.
    pub is_settled: bool,
    pub rules: &'a Rules,
    pub ids: &'a mut dyn FnMut() -> Uuid,
}

/// Who sent a request, as the broker stamped it and the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    pub user: UserName,
    pub name: String,
    pub client: ClientId,
    /// Whether its MQTT connection is there.
    pub online: bool,
    /// The id of the request.
    pub request: SignalId,
}

/// A user who is to be rung, as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Callee {
    pub user: UserName,
    pub name: String,
    pub devices: Vec<ClientId>,
    /// At least one device is online.
    pub online: bool,
    /// In another live call.
    pub busy: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Create {
    pub id: MeetingId,
    pub callees: Vec<Callee>,
    pub media: Media,
    pub title: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Request {
        actor: Actor,
        request: Request,
    },
    /// From somebody who runs the server, has the host's rights in every meeting, and is in none. Of the requests those
    /// that a host may make, and `Invite`, which rings in the name of the host.
    Operator {
        request: Request,
    },
    /// From the RTC server.
    Media {
        participation: ParticipationId,
        change: MediaChange,
    },
    /// A client came or went.
    Online {
        client: ClientId,
        online: bool,
    },
    /// A client is offline, and has ended its connection by DISCONNECT.
    CleanDisconnect {
        client: ClientId,
    },
    /// The login of this client has ended for good: nothing that is sent to it is read any more.
    Removed {
        client: ClientId,
    },
    /// No device of this user is online any more.
    Unreachable {
        user: UserName,
    },
    /// Some deadline may be over. `online`: the members' clients that are connected now.
    Due {
        online: BTreeSet<ClientId>,
    },
    /// The RTC server was asked, since reports of it may be missing: all that is connected now.
    Connected {
        connected: BTreeSet<ParticipationId>,
    },
    /// The service starts again: all that is connected now.
    Restarted {
        connected: BTreeSet<ParticipationId>,
        online: BTreeSet<ClientId>,
    },
    /// The RTC server has closed the channel of an ended meeting.
    ChannelClosed,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaChange {
    Joined,
    Lost,
    Back,
    /// The connection is over, the participation is not.
    Left,
    /// The same, and the terminal has closed it.
    Closed,
    /// The same client joined again.
    Replaced,
}

/// A request with what the catalog knows about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// A create of another id that meets an open invitation by its only callee: it is the accept of that.
    GlareCreate {
        create: MeetingId,
        invitation: InvitationId,
    },
    Invite {
        callees: Vec<Callee>,
    },
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
    Cancel {
        callee: Option<UserName>,
    },
    Join,
    Leave,
    Mute {
        user: Option<UserName>,
        track: Track,
    },
    Unmute {
        track: Track,
    },
    Block {
        user: UserName,
        track: Track,
        blocked: bool,
    },
    AskUnmute {
        user: UserName,
        track: Track,
    },
    Kick {
        user: UserName,
        ban_s: u32,
    },
    /// Of an operator: the user may be invited again.
    Unban {
        user: UserName,
    },
    Destroy,
    Roster,
    /// The sender asks for its state: a device that its ring does not know yet gets a participation. Nothing is sent.
    State,
}

/// The document after an event, and what the event caused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    pub meeting: Meeting,
    /// Whether `meeting` must be stored.
    pub changed: bool,
    /// In the order of sending.
    pub sends: Vec<OutgoingSignal>,
    pub missed: Vec<Missed>,
    /// Users for whom the call is over by this.
    pub past: Vec<HistoryEntry>,
    /// Why an operator's request was refused. A terminal gets a signal instead.
    pub refused: Option<Refusal>,
}

/// Why a request was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: RefusalCode,
    /// The thing, the cause and the remedy.
    pub words: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ParentTopic {
    /// `ring-down`
    Ring,
    /// `meeting-down`
    Meeting,
}

/// A signal to one client. Where the body holds [`JoinParameters`], they are blank but for what the ticket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutgoingSignal {
    pub to: ClientId,
    pub parent: ParentTopic,
    pub body: DownBody,
    /// The meeting's revision after the decision; absent where no decision caused the signal.
    pub rev: Option<u64>,
    pub ticket: Option<Ticket>,
    pub expires_at_ms: u64,
    pub in_reply_to: Option<SignalId>,
    /// On `ring-down`: collapse key and version.
    pub collapse: Option<(InvitationId, u64)>,
}

/// A missed call to be kept until it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    pub user: UserName,
    pub outcome: Outcome,
}

/// A call that is over for a user. Several entries of a user and a meeting (the user came back, or was rung again) are
/// made one: the first start, all durations together, and else the last that has a duration, or the last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HistoryEntry {
    pub user: UserName,
    pub call: PastCall,
}

/// The content of a join token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub meeting: MeetingId,
    pub user: UserName,
    pub client: ClientId,
    pub participation: ParticipationId,
    /// The revision of the document that has this participation.
    pub rev: u64,
    pub profile: Profile,
}

impl Ticket {
    /// Join parameters that lack end points, app, token and TURN.
    pub fn blank(&self) -> JoinParameters {
        JoinParameters {
            endpoints: Vec::new(),
            app: String::new(),
            channel: self.meeting.into(),
            user: self.user.clone(),
            participation: self.participation,
            token: String::new(),
            profile: self.profile,
            turn: Vec::new(),
        }
    }
}

impl OutgoingSignal {
    pub fn on_meeting_down(to: ClientId, body: DownBody, expires_at_ms: u64) -> Self {
        Self {
            to,
            parent: ParentTopic::Meeting,
            body,
            rev: None,
            ticket: None,
            expires_at_ms,
            in_reply_to: None,
            collapse: None,
        }
    }

    /// `collapse`: key and version.
    pub fn on_ring_down(to: ClientId, body: DownBody, expires_at_ms: u64, collapse: (InvitationId, u64)) -> Self {
        let collapse = Some(collapse);
        Self { parent: ParentTopic::Ring, collapse, ..Self::on_meeting_down(to, body, expires_at_ms) }
    }

    /// Where the join parameters go, if the body has any.
    pub fn join_mut(&mut self) -> Option<&mut JoinParameters> {
        match &mut self.body {
            DownBody::Invitation(ring) => Some(&mut ring.join),
            DownBody::Admitted { join, .. } => Some(join),
            _ => None,
        }
    }
}
