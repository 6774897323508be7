//! Events of a terminal. The headless terminal prints them as JSON.

use crate::media::report::MediaReport;
use serde::Serialize;
use signalling::{
    ChannelId, Contact, EndReason, InvitationId, Media, MeetingId, Outcome, OutcomeKind, ParticipationId, PastCall,
    RefusalCode, RejectReason, Ring, Roster, SignalId, Source, State, Track, UserName,
};

/// Something happened, in the order in which it happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// Signalling is connected.
    Connected {
        session_present: bool,
        endpoint: String,
        /// Protocol version, where it is over TLS.
        #[serde(skip_serializing_if = "Option::is_none")]
        tls: Option<String>,
    },
    /// Signalling is lost; it is connected again after `retry_ms`.
    Disconnected {
        reason: String,
        retry_ms: u64,
    },
    /// The first state answer after a connect was handled: the calls and rings that stand are known.
    Synchronised {},
    /// The broker has the request on disk.
    PublishAcknowledged {
        signal: SignalId,
        #[serde(skip_serializing_if = "Option::is_none")]
        meeting: Option<MeetingId>,
        #[serde(rename = "type")]
        kind: &'static str,
        after_ms: u64,
    },
    /// The broker refused the request for good.
    PublishRefused {
        signal: SignalId,
        #[serde(rename = "type")]
        kind: &'static str,
        reason: String,
    },
    /// It rings: once per invitation. `resumed`: it goes on as the same ring after a restart of this process.
    Ring(RingNotification),
    /// It does not ring any more, and no call was missed.
    RingEnded {
        invitation: InvitationId,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<EndReason>,
    },
    /// A call was missed; once per invitation.
    Missed(MissedNotification),
    /// A missed call was seen, here or on another device.
    Seen {
        invitation: InvitationId,
    },
    /// The callee is offline and would ring until then.
    Waiting {
        meeting: MeetingId,
        user: UserName,
        until_ms: u64,
    },
    Ringing {
        meeting: MeetingId,
        user: UserName,
    },
    Accepted {
        meeting: MeetingId,
        user: UserName,
    },
    Rejected {
        meeting: MeetingId,
        user: UserName,
        reason: RejectReason,
    },
    Busy {
        meeting: MeetingId,
        user: UserName,
    },
    /// A request was refused.
    Refused {
        #[serde(skip_serializing_if = "Option::is_none")]
        request: Option<SignalId>,
        #[serde(skip_serializing_if = "Option::is_none")]
        meeting: Option<MeetingId>,
        code: RefusalCode,
        words: String,
    },
    /// A request was refused for the clock of this machine, and has gone out once more as `signal`.
    Repeated {
        request: SignalId,
        signal: SignalId,
    },
    /// This device is in the meeting. `rejoined`: it was before.
    Admitted {
        meeting: MeetingId,
        channel: ChannelId,
        participation: ParticipationId,
        rejoined: bool,
        roster: Roster,
    },
    /// The media path is established: ICE and DTLS are done. `waiting`: not admitted yet, nothing flows.
    MediaJoined {
        meeting: MeetingId,
        participation: ParticipationId,
        cipher: &'static str,
        waiting: bool,
        after_ms: u64,
    },
    /// The media path is lost or could not be established; it is joined again.
    MediaLost {
        meeting: MeetingId,
        reason: String,
    },
    /// First whole frame, counted from the moment when it could be expected.
    FirstFrame {
        meeting: MeetingId,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserName>,
        source: Source,
        /// It is a key frame, and nothing came before it.
        key_frame: bool,
        after_ms: u64,
    },
    /// Counters, once a second while in a call.
    Media {
        meeting: MeetingId,
        #[serde(flatten)]
        report: MediaReport,
    },
    Roster {
        meeting: MeetingId,
        roster: Roster,
    },
    /// The host muted this terminal.
    Muted {
        meeting: MeetingId,
        track: Track,
        by: UserName,
    },
    /// The host stopped (or allows again) what this terminal sends, at the RTC server.
    Blocked {
        meeting: MeetingId,
        track: Track,
        blocked: bool,
        by: UserName,
    },
    UnmuteAsked {
        meeting: MeetingId,
        track: Track,
        by: UserName,
    },
    /// The meeting is over for this terminal; with `user`, only the ring of that callee is.
    Ended {
        meeting: MeetingId,
        #[serde(skip_serializing_if = "Option::is_none")]
        user: Option<UserName>,
        reason: EndReason,
        #[serde(skip_serializing_if = "Option::is_none")]
        by: Option<UserName>,
    },
    /// The user is in a call on another device.
    InCallElsewhere {
        meeting: MeetingId,
    },
    State(Box<State>),
    Contacts {
        users: Vec<Contact>,
    },
    /// Watched contacts whose presence changed, as it is now.
    Presence {
        users: Vec<Contact>,
    },
    /// A page of this user's calls that are over, the newest first.
    History {
        calls: Vec<PastCall>,
        /// Asks for the next page; absent after the oldest.
        #[serde(skip_serializing_if = "Option::is_none")]
        next: Option<String>,
    },
    /// The terminal cannot continue; this is the last event.
    Failed {
        reason: String,
    },
}

/// A ring, as its event tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RingNotification {
    pub invitation: InvitationId,
    pub meeting: MeetingId,
    pub rev: u64,
    pub from: UserName,
    pub from_name: String,
    pub media: Media,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// How many are in, and the names of some of them.
    pub members: u32,
    pub names: Vec<String>,
    pub resumed: bool,
    /// The broker may have delivered the invitation before.
    pub dup: bool,
}

impl RingNotification {
    pub(crate) fn new(ring: &Ring, resumed: bool, dup: bool) -> Self {
        Self {
            invitation: ring.invitation,
            meeting: ring.meeting,
            rev: ring.rev,
            from: ring.from.clone(),
            from_name: ring.from_name.clone(),
            media: ring.media,
            title: ring.title.clone(),
            members: ring.members,
            names: ring.names.clone(),
            resumed,
            dup,
        }
    }
}

/// A missed call, as its event tells it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MissedNotification {
    pub invitation: InvitationId,
    pub meeting: MeetingId,
    pub from: UserName,
    pub from_name: String,
    pub media: Media,
    pub kind: OutcomeKind,
    /// By the service's clock.
    pub missed_at_ms: u64,
}

impl From<&Outcome> for MissedNotification {
    fn from(outcome: &Outcome) -> Self {
        Self {
            invitation: outcome.invitation,
            meeting: outcome.meeting,
            from: outcome.from.clone(),
            from_name: outcome.from_name.clone(),
            media: outcome.media,
            kind: outcome.kind,
            missed_at_ms: outcome.at_ms,
        }
    }
}
