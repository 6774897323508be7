//! The document: all that is known of one meeting, and what follows from it.

use crate::machine::rules::Rules;
use serde::{Deserialize, Serialize};
use signalling::{
    ClientId, EndReason, InvitationId, Media, MeetingId, Muted, OutcomeKind, ParticipationId, RejectReason, Track,
    UserName,
};
use std::collections::BTreeMap;

/// Version of the document.
pub(super) const VERSION: u32 = 2;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Meeting {
    pub v: u32,
    pub id: MeetingId,
    /// Rises with each change.
    pub rev: u64,
    /// The creator, until it goes; then the member that has been in longest.
    pub host: UserName,
    /// Absent in documents of older programs: then the host counts as the creator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub creator: Option<UserName>,
    pub media: Media,
    #[serde(default)]
    pub title: Option<String>,
    /// It ends when fewer than this many are in, ringing or within reach: 2 for a call, which began by calling somebody
    /// and has had no third in it; else 1.
    pub ends_below: usize,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub invitations: Vec<Invitation>,
    /// What the host took from a user; it is kept when the user leaves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub blocked: BTreeMap<UserName, Muted>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bans: Vec<Ban>,
    /// Participations whose tokens must open nothing any more, until the tokens expire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub removed: Vec<Removed>,
    /// Meeting ids of creates that became accepts of this meeting.
    #[serde(default, rename = "spent", skip_serializing_if = "Vec::is_empty")]
    pub glare_creates: Vec<GlareCreate>,
    /// Users that were in, were not taken out, and may come back; the longest gone first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former: Vec<Former>,
    /// Users that were in, were taken out, and have not come in again; the longest gone first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub kicked: Vec<Former>,
    #[serde(default)]
    pub end: Option<End>,
    /// The RTC server has closed the channel; nothing is left to do.
    #[serde(default)]
    pub closed: bool,
}

/// A user that is in the meeting, on one device at a time: it may move to another, with another participation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    pub user: UserName,
    pub name: String,
    pub client: ClientId,
    pub participation: ParticipationId,
    pub media: MediaState,
    /// Since when `media` is what it is.
    pub media_since_ms: u64,
    /// Media has been absent so long that this is shown: the network may block it. Only while the client is online.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_media: bool,
    /// Signalling: the client's MQTT connection.
    pub online: bool,
    pub online_since_ms: u64,
    /// The client has ended its connection by DISCONNECT; false as soon as it is online again.
    #[serde(default)]
    pub said_goodbye: bool,
    pub muted: Muted,
    /// Since when another member has been in, too; `None`: it has been alone so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answered_at_ms: Option<u64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MediaState {
    /// Not there yet.
    Absent,
    There,
    /// It was there.
    Lost,
    /// The terminal has closed it. For a short time it is shown as if it were still there: a page may be reloading, or
    /// a `leave` may follow.
    Closed,
}

/// One ring of one callee.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invitation {
    pub id: InvitationId,
    pub user: UserName,
    pub name: String,
    /// The inviter, and the name as it was shown.
    pub by: UserName,
    pub by_name: String,
    /// No ring may begin later.
    pub reach_until_ms: u64,
    /// Set by the first ringing.
    #[serde(default)]
    pub ring_until_ms: Option<u64>,
    pub state: InvitationState,
    /// The inviter was told that no device of the callee is online.
    #[serde(default)]
    pub waited_for: bool,
    /// The callee's devices, each with a participation of its own.
    pub devices: Vec<Device>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    pub client: ClientId,
    pub participation: ParticipationId,
    /// Its media path is connected already, waiting.
    #[serde(default)]
    pub warm: bool,
}

/// All but the first two are final.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "snake_case")]
pub enum InvitationState {
    /// No device has rung yet.
    Invited,
    Ringing,
    Answered {
        on: ClientId,
    },
    Declined {
        on: ClientId,
        reason: RejectReason,
    },
    /// The callee was in another call.
    Busy,
    /// Ended by somebody else or by time.
    Ended {
        reason: EndReason,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ban {
    pub user: UserName,
    pub until_ms: u64,
    /// Absent in documents of older programs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lasts_s: Option<u32>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Removed {
    pub participation: ParticipationId,
    pub until_ms: u64,
}

/// A create that met the ring of its only callee (two users called each other at once) and became the accept of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct GlareCreate {
    pub meeting: MeetingId,
    pub user: UserName,
    /// The user has answered the ring as well: a cancel of the create does not mean this call.
    #[serde(default)]
    pub answered: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Former {
    pub user: UserName,
    pub left_at_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub reason: EndReason,
    pub at_ms: u64,
    /// Ended by a cancel that has overtaken its create: the create is answered with it.
    #[serde(default)]
    pub early: bool,
}

/// The engagement of a user in the meeting; one per user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engagement {
    pub user: UserName,
    pub kind: EngagementKind,
}

/// The kinds of engagement; where a user has several, the greatest counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngagementKind {
    /// A former member, who may come back.
    Left,
    Rung,
    /// In the call or calling: in one meeting at a time.
    In,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timer {
    pub kind: TimerKind,
    pub due_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TimerKind {
    Reach(InvitationId),
    Ring(InvitationId),
    Gone(ParticipationId),
    /// Media that the terminal has closed is shown as absent.
    Closed(ParticipationId),
    /// A member is shown as unable to get media.
    NoMedia(ParticipationId),
}

impl TimerKind {
    /// Unique within the meeting.
    pub fn key(&self) -> String {
        match self {
            Self::Reach(invitation) => format!("reach:{invitation}"),
            Self::Ring(invitation) => format!("ring:{invitation}"),
            Self::Gone(participation) => format!("gone:{participation}"),
            Self::Closed(participation) => format!("closed:{participation}"),
            Self::NoMedia(participation) => format!("no_media:{participation}"),
        }
    }
}

impl Meeting {
    /// A head, or a whole document of version 1.
    pub(super) fn parse(text: &str) -> Result<Self, DocumentError> {
        let meeting: Self = serde_json::from_str(text)?;
        if meeting.v > VERSION { Err(DocumentError::Version(meeting.v)) } else { Ok(Self { v: VERSION, ..meeting }) }
    }

    pub fn is_over(&self) -> bool {
        self.end.is_some()
    }

    pub fn member(&self, user: &UserName) -> Option<&Member> {
        self.members.iter().find(|member| member.user == *user)
    }

    pub fn invitation(&self, id: InvitationId) -> Option<&Invitation> {
        self.invitations.iter().find(|invitation| invitation.id == id)
    }

    /// Invitations that are still open.
    pub fn pending(&self) -> impl Iterator<Item = &Invitation> {
        self.invitations.iter().filter(|invitation| invitation.state.is_open())
    }

    pub fn pending_for(&self, user: &UserName) -> Option<&Invitation> {
        self.pending().find(|invitation| invitation.user == *user)
    }

    pub(super) fn is_banned(&self, user: &UserName, is_over: impl Fn(u64) -> bool) -> bool {
        self.bans.iter().any(|ban| ban.user == *user && !is_over(ban.until_ms))
    }

    /// A ban that was set by a clock that was ahead lasts from now on.
    pub(super) fn pull_in_bans(&mut self, now_ms: u64) {
        for ban in &mut self.bans {
            let lasts_ms = ban.lasts_s.map_or(u64::MAX, |lasts_s| u64::from(lasts_s) * 1_000);
            ban.until_ms = ban.until_ms.min(now_ms.saturating_add(lasts_ms));
        }
    }

    pub(super) fn forget_bans(&mut self, is_over: impl Fn(u64) -> bool) {
        self.bans.retain(|ban| !is_over(ban.until_ms));
    }

    pub fn blocked(&self, user: &UserName) -> Muted {
        self.blocked.get(user).copied().unwrap_or_default()
    }

    /// The create of this user under the id `create`, if it became an accept of this meeting.
    pub fn took_over(&self, create: MeetingId, user: &UserName) -> Option<&GlareCreate> {
        self.glare_creates.iter().find(|entry| entry.meeting == create && entry.user == *user)
    }

    pub fn former(&self, user: &UserName) -> Option<&Former> {
        self.former.iter().find(|former| former.user == *user)
    }

    /// All deadlines from now on.
    pub fn timers(&self, rules: &Rules) -> Vec<Timer> {
        if self.is_over() {
            return Vec::new();
        }
        let rings = self.pending().map(Invitation::timer);
        let members = self.members.iter().flat_map(|member| member.timers(rules));
        rings.chain(members).collect()
    }

    /// Brings times of a clock that was ahead back to what they can be at most.
    pub(super) fn pull_in(&mut self, now_ms: u64, rules: &Rules) {
        for ring in &mut self.invitations {
            ring.reach_until_ms = ring.reach_until_ms.min(now_ms.saturating_add(rules.reach_ms));
            ring.ring_until_ms = ring.ring_until_ms.map(|until_ms| until_ms.min(now_ms.saturating_add(rules.ring_ms)));
        }
        for member in &mut self.members {
            member.media_since_ms = member.media_since_ms.min(now_ms);
            member.online_since_ms = member.online_since_ms.min(now_ms);
        }
        for removed in &mut self.removed {
            removed.until_ms = removed.until_ms.min(now_ms.saturating_add(rules.token_ms));
        }
    }

    /// All engagements from now on.
    pub fn engagements(&self) -> Vec<Engagement> {
        if self.is_over() {
            return Vec::new();
        }
        let inside = self.members.iter().map(|member| (&member.user, EngagementKind::In));
        let rung = self.pending().map(|rung| (&rung.user, EngagementKind::Rung));
        let left = self.former.iter().map(|former| (&former.user, EngagementKind::Left));
        let mut engagements: BTreeMap<&UserName, EngagementKind> = BTreeMap::new();
        for (user, kind) in inside.chain(rung).chain(left) {
            engagements.entry(user).and_modify(|known| *known = kind.max(*known)).or_insert(kind);
        }
        engagements.into_iter().map(|(user, kind)| Engagement { user: user.clone(), kind }).collect()
    }
}

#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    #[error("the meeting's document cannot be read: {0}")]
    Json(#[from] serde_json::Error),
    #[error("the meeting's document has version {0}, this program knows up to {VERSION}: run the newer program")]
    Version(u32),
    #[error("the meeting has a row of the kind {0:?}, which this program does not know: run the newer program")]
    Row(String),
}

impl Member {
    /// When the member counts as gone: some time with neither media nor signalling, a short one after a DISCONNECT.
    pub fn gone_at_ms(&self, rules: &Rules) -> Option<u64> {
        let down = self.media != MediaState::There && !self.online;
        let grace_ms = if self.said_goodbye { rules.clean_gone_ms.min(rules.gone_ms) } else { rules.gone_ms };
        down.then(|| self.media_since_ms.max(self.online_since_ms).saturating_add(grace_ms))
    }

    /// When closed media is shown as absent.
    pub fn shown_closed_at_ms(&self, rules: &Rules) -> Option<u64> {
        (self.media == MediaState::Closed).then(|| self.media_since_ms.saturating_add(rules.clean_gone_ms))
    }

    /// When it is shown that the member gets no media; `None` where it has media, and where it is shown already. A
    /// member that is not online is away altogether, and closed media may belong to a page that is reloading.
    pub fn no_media_at_ms(&self, rules: &Rules) -> Option<u64> {
        let waits = self.online && !self.no_media && matches!(self.media, MediaState::Absent | MediaState::Lost);
        waits.then(|| self.media_since_ms.max(self.online_since_ms).saturating_add(rules.no_media_ms))
    }

    fn timers(&self, rules: &Rules) -> impl Iterator<Item = Timer> + use<> {
        let due = [
            (TimerKind::Gone(self.participation), self.gone_at_ms(rules)),
            (TimerKind::Closed(self.participation), self.shown_closed_at_ms(rules)),
            (TimerKind::NoMedia(self.participation), self.no_media_at_ms(rules)),
        ];
        due.into_iter().filter_map(|(kind, due_ms)| Some(Timer { kind, due_ms: due_ms? }))
    }

    pub(super) fn set_media(&mut self, media: MediaState, now_ms: u64) {
        if self.media != media {
            self.media = media;
            self.media_since_ms = now_ms;
        }
        self.no_media &= media != MediaState::There;
    }

    pub(super) fn set_online(&mut self, online: bool, now_ms: u64) {
        if self.online != online {
            self.online = online;
            self.online_since_ms = now_ms;
        }
        self.said_goodbye &= !online;
        self.no_media &= online;
    }
}

impl Invitation {
    pub fn device(&self, client: &ClientId) -> Option<&Device> {
        self.devices.iter().find(|device| device.client == *client)
    }

    /// When it ends by itself, if it is open.
    pub fn deadline_ms(&self) -> u64 {
        self.ring_until_ms.unwrap_or(self.reach_until_ms)
    }

    fn timer(&self) -> Timer {
        let kind = if self.ring_until_ms.is_some() { TimerKind::Ring(self.id) } else { TimerKind::Reach(self.id) };
        Timer { kind, due_ms: self.deadline_ms() }
    }
}

impl InvitationState {
    pub fn is_open(&self) -> bool {
        matches!(self, Self::Invited | Self::Ringing)
    }

    /// How the callee has missed a call by its end, if it has.
    pub fn missed(&self) -> Option<OutcomeKind> {
        match self {
            Self::Ended { .. } => Some(OutcomeKind::Missed),
            Self::Busy => Some(OutcomeKind::MissedBusy),
            Self::Invited | Self::Ringing | Self::Answered { .. } | Self::Declined { .. } => None,
        }
    }

    /// How the ring ended for this device of the callee; `None` while open, and for the device that answered.
    pub fn end_for(&self, client: &ClientId) -> Option<EndReason> {
        match self {
            Self::Invited | Self::Ringing => None,
            Self::Answered { on } => (on != client).then_some(EndReason::AnsweredElsewhere),
            Self::Declined { on, .. } if on == client => Some(EndReason::Declined),
            Self::Declined { .. } => Some(EndReason::DeclinedElsewhere),
            Self::Busy => Some(EndReason::NoAnswer),
            Self::Ended { reason } => Some(*reason),
        }
    }
}

pub(super) fn track_of(muted: Muted, track: Track) -> bool {
    match track {
        Track::Audio => muted.audio,
        Track::Video => muted.video,
    }
}

pub(super) fn set_track(muted: &mut Muted, track: Track, value: bool) {
    match track {
        Track::Audio => muted.audio = value,
        Track::Video => muted.video = value,
    }
}
