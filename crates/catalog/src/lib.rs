//! Users, devices, groups, topics, grants, credentials, online state and meetings: one contract on SQL.
//!
//! What it is: the trait [`Catalog`], one trait a subject, with their rows, and the engine on SQLite (`SqliteCatalog`). What it is not: it
//! decides nothing; rules of access live in accounts, rules of calls in the meeting service. It knows no other part:
//! meetings are opaque documents with a revision, signals are ids.
//!
//! Contract. A method that writes returns when the write is on disk. Methods may be called from any task at any time.
//! [`Meetings::commit`] is one transaction: all of it or nothing. Times are milliseconds since 1970.

pub mod accounts;
pub mod answers;
pub mod audit;
#[cfg(feature = "contract")]
pub mod contract;
pub mod grants;
pub mod health;
pub mod keys;
pub mod limits;
pub mod meetings;
pub mod presence;
pub mod seeds;
mod sqlite;
pub mod text;
pub mod topics;

pub use accounts::{Accounts, ApiKey, Device, DeviceFilter, DeviceInfo, DeviceState, LoginLink, User};
pub use answers::{Answer, AnswerKey, Answers};
pub use audit::{
    Actor, ActorLost, Applied, ApplyError, Audit, AuditEntry, AuditPage, AuditRow, By, Change, ChangeRow, Cut,
    KeyUpdate, Kind, Note, Order, Page, ParentUpdate, Row, Uses,
};
pub use grants::{Grant, GrantFilter, Grantee, Right, Rights};
pub use health::Health;
pub use keys::{Key, KeyKind, KeySecret, Scope, Scopes};
pub use meetings::{
    Claim, CommitError, DueTimers, Engagement, EngagementKind, Handled, MeetingChange, MeetingCommit, MeetingHead,
    MeetingPart, MeetingPartName, MeetingPlace, MeetingRead, MeetingRow, MeetingState, Meetings, MeetingsPage,
    NewOutboxRow, OutboxRow, OutcomeRow, PastCallPlace, PastCallRow, SetAside, TimerRow, UserState,
};

pub use presence::{ClientOnline, OnlineEvent, OnlineKind, Presence, PresenceChanges};
pub use seeds::{Origin, Seed, Seeded, Seeds};
pub use topics::{AccessKey, AccessSnapshot, Group, ParentTopic, RevokedToken, Rule, Topics};

pub use sqlite::{OpenError, SCHEMA_VERSION, SqliteCatalog};

use std::future::Future;
use std::pin::Pin;
use tokio::sync::watch;

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
    /// Another row has a value of this one that must be unique, perhaps since a moment ago; nothing was written.
    #[error("{0}")]
    Taken(String),
}

/// All subjects of one store.
pub trait Catalog: Accounts + Topics + Presence + Meetings + Audit + Answers + Seeds {
    fn health(&self) -> watch::Receiver<Health>;
    /// Writes something that nobody reads, to find out whether writes are taken.
    fn try_write(&self) -> CatalogFuture<'_, ()>;
    /// Waits for calls that run; later ones fail.
    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;
    /// Deletes handled requests, ended meetings, and all else for which [`limits`] has a time, once that is over;
    /// returns how many rows.
    fn prune(&self, now_ms: u64) -> CatalogFuture<'_, u64>;
    /// Corrects rows of a time when the clock was ahead: times that lie ahead are those of now, and no credential is valid,
    /// no ended meeting kept for longer than from now. Returns how many rows.
    fn pull_in(&self, now_ms: u64) -> CatalogFuture<'_, u64>;
}
