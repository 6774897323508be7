//! Online state, kept by the meeting service from the broker's events.

use crate::CatalogFuture;

/// Who is online, and whose presence has changed.
pub trait Presence: Send + Sync {
    /// Applies events together; they may be repeated and overtake others ([`limits`] says for how long). Returns each
    /// of their clients once, as it is after all of them, with the user whose device it is or was until it was removed.
    fn online_events(&self, events: &[OnlineEvent]) -> CatalogFuture<'_, Vec<ClientOnline>>;
    /// Users whose presence may have changed after the change of this number, the oldest change first.
    fn presence_changes(&self, after: u64, limit: u32) -> CatalogFuture<'_, PresenceChanges>;
}

/// A `connect` or `tcpclean` event of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OnlineEvent {
    pub client_id: String,
    /// Unique per connection: a `tcpclean` cancels only the `connect` with the same one.
    pub channel_id: String,
    pub kind: OnlineKind,
    pub at_ms: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnlineKind {
    Connect,
    TcpClean,
}

/// The online state of a client after some events.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientOnline {
    pub client_id: String,
    /// The user whose device it is, or was until it was removed; `None`: it is no registered device.
    pub user: Option<String>,
    /// The device was removed and is not registered again.
    pub removed: bool,
    pub online: bool,
    /// The events have brought it online or offline.
    pub changed: bool,
}

/// Users whose presence may have changed: a device of theirs came or went, or they entered or left a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PresenceChanges {
    pub users: Vec<String>,
    /// The number of the last of them; without any, of the last change of all.
    pub last: u64,
    /// There are more after it.
    pub more: bool,
}
