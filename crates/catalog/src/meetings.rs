//! Rows of meetings and the one transaction that changes them.

use crate::{ActorLost, AuditEntry, CatalogError, CatalogFuture, DeviceState, User};
use std::ops::Range;
use std::time::Duration;
use uuid::Uuid;

/// Meetings, what they cause, and what their users see of them.
pub trait Meetings: Send + Sync {
    fn meeting(&self, id: Uuid) -> CatalogFuture<'_, Option<MeetingRow>>;
    /// The same without the documents.
    fn meeting_revision(&self, id: Uuid) -> CatalogFuture<'_, Option<u64>>;
    /// Meetings, those that were created last first.
    fn meetings(&self, page: MeetingsPage) -> CatalogFuture<'_, Vec<MeetingHead>>;
    /// Ids of all meetings that have not ended.
    fn live_meetings(&self) -> CatalogFuture<'_, Vec<Uuid>>;
    /// The one transaction of the meeting service. Of several refusals [`CommitError::AlreadyHandled`] comes first,
    /// then [`CommitError::Conflict`]. A meeting that ends has no timers and no engagements.
    fn commit(&self, commit: MeetingCommit) -> CatalogFuture<'_, (), CommitError>;
    fn handled(&self, signal: Uuid) -> CatalogFuture<'_, bool>;
    /// The engagements of these users to live meetings, of all kinds.
    fn engagements_of(&self, users: &[String]) -> CatalogFuture<'_, Vec<Engagement>>;
    /// Claims the meetings of timers that are due and that nobody else has claimed. Returns the timers, earliest first,
    /// as long as they stand also to one who has claimed them before.
    fn claim_timers(&self, claim: Claim, due: DueTimers, limit: u32) -> CatalogFuture<'_, Vec<TimerRow>>;
    /// When the next timer is due that is not held and whose meeting nobody but `by` has claimed.
    fn next_timer(&self, by: Uuid, held_ms: Range<u64>) -> CatalogFuture<'_, Option<u64>>;
    /// Claims the lanes of unsent messages, except those that another has claimed, and renews each claim of this service
    /// on a lane. Returns up to `limit` messages in the order of their creation, each only once to the same service: it
    /// has them until they are sent, set aside or released.
    fn claim_outbox(&self, claim: Claim, limit: u32) -> CatalogFuture<'_, Vec<OutboxRow>>;
    /// How many messages are not sent yet.
    fn outbox_len(&self) -> CatalogFuture<'_, u64>;
    /// Deletes sent messages.
    fn outbox_sent(&self, ids: &[i64]) -> CatalogFuture<'_, ()>;
    /// Ends all claims of a service: what it has had is given out again.
    fn release_claims(&self, by: Uuid) -> CatalogFuture<'_, ()>;
    /// Sets a meeting aside that cannot be read: it is not found any more, has no engagements and no timers, and is
    /// kept for an operator. Its revision rises by that: returns it; `None` if there was no such meeting.
    fn set_meeting_aside(&self, id: Uuid, reason: &str) -> CatalogFuture<'_, Option<u64>>;
    /// Sets a message of the outbox aside that cannot be sent: it is not in the outbox any more, and is kept for an
    /// operator.
    fn set_message_aside(&self, id: i64, reason: &str) -> CatalogFuture<'_, ()>;
    fn set_aside(&self) -> CatalogFuture<'_, SetAside>;
    /// The state of a user at one moment, with at most `outcomes` unseen outcomes; `None`: there is no such user.
    fn user_state(&self, user: &str, outcomes: u32) -> CatalogFuture<'_, Option<UserState>>;
    /// Unseen outcomes of a user, newest first.
    fn outcomes(&self, user: &str, limit: u32) -> CatalogFuture<'_, Vec<OutcomeRow>>;
    /// Calls that are over for a user, those that started last first, from after the place `before`.
    fn past_calls(&self, user: &str, before: Option<PastCallPlace>, limit: u32) -> CatalogFuture<'_, Vec<PastCallRow>>;
    /// How many meetings a user has created from `since_ms` to `now_ms`: none is counted whose time was wrong.
    fn creates_since(&self, user: &str, since_ms: u64, now_ms: u64) -> CatalogFuture<'_, u32>;
}

/// A meeting: a document with a revision, and parts, so that a change of a large one writes only what it changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingRow {
    pub id: Uuid,
    pub revision: u64,
    /// JSON, opaque here.
    pub document: String,
    /// The parts of each kind are in the order of their places.
    pub parts: Vec<MeetingPart>,
    pub ended: bool,
    pub created_at_ms: u64,
}

/// Which meetings are listed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeetingsPage {
    pub state: Option<MeetingState>,
    /// Only those that this user is engaged to or has in its past calls.
    pub user: Option<String>,
    pub before: Option<MeetingPlace>,
    pub limit: u32,
}

/// Whether a meeting goes on, or is over for those who were in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum MeetingState {
    Live,
    Ended,
}

/// The end of a page of meetings: the one that was created then, of this id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeetingPlace {
    pub created_at_ms: u64,
    pub id: Uuid,
}

/// A meeting without its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingHead {
    pub id: Uuid,
    pub revision: u64,
    pub created_at_ms: u64,
    /// `None`: it goes on.
    pub ended_at_ms: Option<u64>,
    /// JSON, opaque here.
    pub document: String,
    /// How many users are engaged to it.
    pub inside: u32,
    pub rung: u32,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeetingPart {
    pub name: MeetingPartName,
    /// JSON, opaque here.
    pub document: String,
}

/// Unique within the meeting.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct MeetingPartName {
    pub kind: String,
    pub place: u64,
}

/// The changes of one transaction of the meeting service. An empty field changes nothing, except where said.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeetingCommit {
    /// `None`: the request changed no meeting (it is only remembered and answered).
    pub meeting: Option<MeetingChange>,
    /// The request that caused this; a second commit with the same id fails with [`CommitError::AlreadyHandled`].
    pub handled: Option<Handled>,
    /// Messages to send, in this order.
    pub outbox: Vec<NewOutboxRow>,
    pub outcomes: Vec<OutcomeRow>,
    /// A second one of the same user and meeting is merged into the first.
    pub past_calls: Vec<PastCallRow>,
    /// Invitations whose outcome this user has now seen.
    pub seen: Vec<(String, Uuid)>,
    /// Counted for [`creates_since`](Meetings::creates_since).
    pub created_by: Option<(String, u64)>,
    /// A meeting that this decision has read and does not change.
    pub read: Option<MeetingRead>,
    /// What the log tells of this.
    pub audit: Option<AuditEntry>,
}

/// The revision that a decision has read: at another one the commit fails with [`CommitError::Conflict`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeetingRead {
    pub id: Uuid,
    pub revision: u64,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MeetingChange {
    pub id: Uuid,
    /// The revision that the change was computed from; `None`: the meeting must not exist yet.
    pub expected: Option<u64>,
    /// The new revision is `expected + 1`, or 1.
    pub document: String,
    pub ended: bool,
    /// Of a meeting that is new.
    pub created_at_ms: u64,
    /// When it ended for those who were in it, which may be before `ended`.
    pub ended_at_ms: Option<u64>,
    /// Parts that are new, or replace those with their names.
    pub parts: Vec<MeetingPart>,
    pub parts_gone: Vec<MeetingPartName>,
    /// Timers that are new, or replace those with their keys.
    pub timers: Vec<TimerRow>,
    pub timers_gone: Vec<String>,
    /// Users whose engagement is new or of another kind now.
    pub engaged: Vec<Engagement>,
    /// Users who have no engagement any more.
    pub freed: Vec<String>,
}

/// A user's engagement to a live meeting; one per user and meeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Engagement {
    pub user: String,
    pub meeting: Uuid,
    pub kind: EngagementKind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum EngagementKind {
    /// In the call or calling. Exclusive: a user has at most one over all meetings.
    In,
    Rung,
    /// A former member, who may come back.
    Left,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handled {
    pub signal: Uuid,
    pub keep_until_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimerRow {
    pub meeting: Uuid,
    /// Unique within the meeting.
    pub key: String,
    pub due_ms: u64,
}

/// Which timers are due.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DueTimers {
    pub now_ms: u64,
    /// No timer is due later whose time was right: those that are, are due.
    pub latest_ms: u64,
    /// Timers of these moments are not due, whatever the time is.
    pub held_ms: Range<u64>,
}

impl DueTimers {
    /// Whether a timer of this moment is due.
    #[must_use]
    pub fn contains(&self, due_ms: u64) -> bool {
        (due_ms <= self.now_ms || due_ms > self.latest_ms) && !self.held_ms.contains(&due_ms)
    }
}

/// Who works off rows that several services share. As long as it lasts, nobody else is given them; later another may
/// take them over, and what was being done then is done twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    pub by: Uuid,
    /// From now on, by a clock of the catalog that is never set.
    pub lasts: Duration,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewOutboxRow {
    /// Messages of one lane are sent one after the other, by one service at a time.
    pub lane: String,
    pub topic: String,
    pub properties: Vec<(String, String)>,
    pub body: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutboxRow {
    /// Rises in the order of creation.
    pub id: i64,
    pub lane: String,
    /// The error: why the row cannot be read.
    pub message: Result<NewOutboxRow, String>,
}

/// What a user has missed; kept until it is seen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutcomeRow {
    pub user: String,
    pub invitation: Uuid,
    pub at_ms: u64,
    /// JSON, opaque here.
    pub document: String,
}

/// A call that is over for a user; one for each user and meeting. Where there was one before, its start stays,
/// durations add up, and its document stays if it alone has a duration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastCallRow {
    pub user: String,
    pub meeting: Uuid,
    pub started_at_ms: u64,
    /// For how long the user was in together with another; `None`: never.
    pub duration_ms: Option<u64>,
    /// JSON, opaque here.
    pub document: String,
}

/// The end of a page of past calls: the call that started then, in this meeting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastCallPlace {
    pub started_at_ms: u64,
    pub meeting: Uuid,
}

/// How much was set aside for an operator.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SetAside {
    pub meetings: u64,
    pub messages: u64,
}

/// The present state of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserState {
    pub user: User,
    pub devices: Vec<DeviceState>,
    pub engagements: Vec<Engagement>,
    /// The newest first.
    pub outcomes: Vec<OutcomeRow>,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Another commit has changed the meeting: read it again and decide anew.
    #[error("the meeting has another revision than the one this change was made from")]
    Conflict,
    #[error("this request was handled before")]
    AlreadyHandled,
    /// This user is [`EngagementKind::In`] another live meeting.
    #[error("one of its users is in another meeting ({meeting})")]
    Engaged { user: String, meeting: Uuid },
    /// Of a change that the log tells of.
    #[error(transparent)]
    Actor(#[from] ActorLost),
    #[error(transparent)]
    Catalog(CatalogError),
}

/// A row that another commit has made meanwhile: what is decided anew reads it.
impl From<CatalogError> for CommitError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Taken(_) => Self::Conflict,
            error => Self::Catalog(error),
        }
    }
}
