//! Users, devices, groups, topics, grants, credentials, online state and meetings: one contract on SQL.
//!
//! What it is: the trait [`Catalog`] with its rows, and the engine on SQLite (`SqliteCatalog`). What it is not: it
//! decides nothing; rules of access live in accounts, rules of calls in the meeting service. It knows no other part:
//! meetings are opaque documents with a revision, signals are ids.
//!
//! Contract. A method that writes returns when the write is on disk. Methods may be called from any task at any time.
//! [`Catalog::commit`] is one transaction: all of it or nothing. Times are milliseconds since 1970.

pub mod access;
#[cfg(feature = "contract")]
pub mod contract;
pub mod limits;
pub mod meetings;
mod sqlite;
pub mod text;

pub use access::{
    AccessKey, AccessSnapshot, ApiKey, ClientOnline, Device, DeviceState, Grant, Group, LoginLink, OnlineEvent,
    OnlineKind, ParentTopic, PresenceChanges, Rule, User,
};
pub use meetings::{
    CommitError, DueTimers, Engagement, EngagementKind, Handled, MeetingChange, MeetingCommit, MeetingPart,
    MeetingPartName, MeetingRead, MeetingRow, NewOutboxRow, OutboxRow, OutcomeRow, PastCallPlace, PastCallRow,
    SetAside, TimerRow, UserState,
};

pub use sqlite::{OpenError, SCHEMA_VERSION, SqliteCatalog};

use std::future::Future;
use std::ops::Range;
use std::pin::Pin;
use tokio::sync::watch;
use uuid::Uuid;

pub type CatalogFuture<'a, T, E = CatalogError> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

/// The catalog could not answer. After a write it is unknown whether it took effect, unless the error says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CatalogError {
    #[error("the catalog cannot be read or written: {0}")]
    Unavailable(String),
    #[error("the catalog holds a row that cannot be understood: {0}")]
    Damaged(String),
    /// A name or value that no row may have; nothing was written. The words name no user and no device: they may be
    /// logged.
    #[error("{0}")]
    Invalid(String),
}

pub trait Catalog: Send + Sync {
    // Access: the rules by which the broker lets clients in.

    /// Groups, parent topics, keys and grants at one revision.
    fn access(&self) -> CatalogFuture<'_, AccessSnapshot>;
    /// Rises with each commit that changes [`access`](Self::access).
    fn access_revision(&self) -> watch::Receiver<u64>;
    fn put_group(&self, group: Group) -> CatalogFuture<'_, ()>;
    fn put_parent(&self, parent: ParentTopic) -> CatalogFuture<'_, ()>;
    fn put_access_key(&self, key: AccessKey) -> CatalogFuture<'_, ()>;
    fn put_grant(&self, grant: Grant) -> CatalogFuture<'_, ()>;

    // Users and their devices.

    /// Creates the user or renames it. A name that breaks [`text::check_name`] is [`CatalogError::Invalid`].
    fn put_user(&self, user: User) -> CatalogFuture<'_, ()>;
    fn user(&self, user: &str) -> CatalogFuture<'_, Option<User>>;
    /// Users in the order of their names, at most `limit`, from the one after the user `after` (an unknown one: none).
    fn users(&self, after: Option<&str>, limit: u32) -> CatalogFuture<'_, Vec<User>>;
    /// Registers a device; the same client id of the same user again replaces the credential. A client id that
    /// belongs to another user is [`CatalogError::Invalid`].
    fn put_device(&self, device: Device) -> CatalogFuture<'_, ()>;
    fn device(&self, client_id: &str) -> CatalogFuture<'_, Option<Device>>;
    /// Extends the credential `key_id` of a device until then, and never shortens it; returns until when it is valid.
    /// `None`: the device has no such credential (any more).
    fn extend_device(&self, client_id: &str, key_id: &str, expires_at_ms: u64) -> CatalogFuture<'_, Option<u64>>;
    /// Removes the device that has the credential `key_id`, with its online state; its user's presence may have
    /// changed. `false`: there is no such device (any more).
    fn remove_device(&self, client_id: &str, key_id: &str, at_ms: u64) -> CatalogFuture<'_, bool>;
    /// Client ids of removed devices that were not registered again, as long as [`limits::REMOVED_DEVICE_KEEP_MS`]
    /// says.
    fn removed_devices(&self) -> CatalogFuture<'_, Vec<String>>;
    /// Devices of these users with their online state.
    fn devices_of(&self, users: &[String]) -> CatalogFuture<'_, Vec<DeviceState>>;
    fn put_api_key(&self, key: ApiKey) -> CatalogFuture<'_, ()>;
    fn api_key(&self, secret_sha256: &str) -> CatalogFuture<'_, Option<ApiKey>>;
    fn put_login_link(&self, link: LoginLink) -> CatalogFuture<'_, ()>;
    fn login_link(&self, secret_sha256: &str) -> CatalogFuture<'_, Option<LoginLink>>;

    // Online state, kept by the meeting service from the broker's events.

    /// Applies events together; they may be repeated and overtake others ([`limits`] says for how long). Returns each
    /// of their clients once, as it is after all of them, with the user whose device it is or was until it was removed.
    fn online_events(&self, events: &[OnlineEvent]) -> CatalogFuture<'_, Vec<ClientOnline>>;

    // Meetings.

    fn meeting(&self, id: Uuid) -> CatalogFuture<'_, Option<MeetingRow>>;
    /// The same without the documents.
    fn meeting_revision(&self, id: Uuid) -> CatalogFuture<'_, Option<u64>>;
    /// Ids of all meetings that have not ended.
    fn live_meetings(&self) -> CatalogFuture<'_, Vec<Uuid>>;
    /// The one transaction of the meeting service. Of several refusals [`CommitError::AlreadyHandled`] comes first,
    /// then [`CommitError::Conflict`]. A meeting that ends has no timers and no engagements.
    fn commit(&self, commit: MeetingCommit) -> CatalogFuture<'_, (), CommitError>;
    fn handled(&self, signal: Uuid) -> CatalogFuture<'_, bool>;
    /// The engagements of these users to live meetings, of all kinds.
    fn engagements_of(&self, users: &[String]) -> CatalogFuture<'_, Vec<Engagement>>;
    /// Timers that are due, earliest first.
    fn due_timers(&self, due: DueTimers, limit: u32) -> CatalogFuture<'_, Vec<TimerRow>>;
    /// When the next timer is due that is not held.
    fn next_timer(&self, held_ms: Range<u64>) -> CatalogFuture<'_, Option<u64>>;
    /// Unsent messages in the order of their creation.
    fn outbox(&self, after: i64, limit: u32) -> CatalogFuture<'_, Vec<OutboxRow>>;
    /// Deletes sent messages.
    fn outbox_sent(&self, ids: &[i64]) -> CatalogFuture<'_, ()>;
    /// Sets a meeting aside that cannot be read: it is not found any more, has no engagements and no timers, and is
    /// kept for an operator.
    fn set_meeting_aside(&self, id: Uuid, reason: &str) -> CatalogFuture<'_, ()>;
    /// Sets a message of the outbox aside that cannot be sent: it is not in the outbox any more, and is kept for an
    /// operator.
    fn set_message_aside(&self, id: i64, reason: &str) -> CatalogFuture<'_, ()>;
    fn set_aside(&self) -> CatalogFuture<'_, SetAside>;
    /// Users whose presence may have changed after the change of this number, the oldest change first.
    fn presence_changes(&self, after: u64, limit: u32) -> CatalogFuture<'_, PresenceChanges>;
    /// The state of a user at one moment, with at most `outcomes` unseen outcomes; `None`: there is no such user.
    fn user_state(&self, user: &str, outcomes: u32) -> CatalogFuture<'_, Option<UserState>>;
    /// Unseen outcomes of a user, newest first.
    fn outcomes(&self, user: &str, limit: u32) -> CatalogFuture<'_, Vec<OutcomeRow>>;
    /// Calls that are over for a user, those that started last first, from after the place `before`.
    fn past_calls(&self, user: &str, before: Option<PastCallPlace>, limit: u32) -> CatalogFuture<'_, Vec<PastCallRow>>;
    /// How many meetings a user has created from `since_ms` to `now_ms`: none is counted whose time was wrong.
    fn creates_since(&self, user: &str, since_ms: u64, now_ms: u64) -> CatalogFuture<'_, u32>;
    /// Deletes handled requests, ended meetings, and all else for which [`limits`] has a time, once that is over;
    /// returns how many rows.
    fn prune(&self, now_ms: u64) -> CatalogFuture<'_, u64>;
    /// Corrects rows of a time when the clock was ahead: times that lie ahead are those of now, and no credential is valid,
    /// no ended meeting kept for longer than from now. Returns how many rows.
    fn pull_in(&self, now_ms: u64) -> CatalogFuture<'_, u64>;
}
