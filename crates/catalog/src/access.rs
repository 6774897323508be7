//! Rows of access: groups, users and devices, credentials, parent topics and grants.

use crate::text;
use std::borrow::Cow;
use std::fmt;

/// A Group ID, `GID_…` or `GID-…`, 7 to 64 characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    pub group: String,
}

/// A parent topic (level 1), unique without regard to case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ParentTopic {
    pub parent: String,
    pub rule: Rule,
}

/// What happens between MQTT and the queue, for each parent topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Rule {
    /// Stays inside the broker.
    None,
    /// Published messages go to the queue topic of the same name.
    ToQueue,
    /// Messages of the queue topic are delivered to terminals.
    FromQueue,
    Both,
}

/// The key of a service (Signature login), which gives access to its whole instance.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub key_id: String,
    pub secret: String,
    pub instance: String,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// The right of a group's end users to publish to an upstream parent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    pub group: String,
    pub parent: String,
}

/// All rules of access at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSnapshot {
    pub revision: u64,
    pub groups: Vec<Group>,
    pub parents: Vec<ParentTopic>,
    pub keys: Vec<AccessKey>,
    pub grants: Vec<Grant>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// See [`may_be_called`](Self::may_be_called).
    pub user: String,
    /// As it was given; other users see [`shown_name`](Self::shown_name).
    pub name: String,
}

impl User {
    pub const CHARS_MAX: usize = 64;

    /// Returns the name without disturbing characters, which an old row may have; the id, if nothing of it can be seen.
    pub fn shown_name(&self) -> Cow<'_, str> {
        text::shown(&self.name).unwrap_or(Cow::Borrowed(&self.user))
    }

    /// Whether the text may be a user's id: 1 to 64 characters of `[A-Za-z0-9_.@+-]`. Every
    /// id that comes from outside is checked by it.
    pub fn may_be_called(user: &str) -> bool {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'@' | b'+' | b'-');
        (1..=Self::CHARS_MAX).contains(&user.len()) && user.bytes().all(good)
    }
}

/// A registered device with its DeviceCredential.
#[derive(Clone, PartialEq, Eq)]
pub struct Device {
    pub client_id: String,
    pub user: String,
    pub group: String,
    pub name: Option<String>,
    /// `DC.…`
    pub key_id: String,
    pub secret: String,
    pub expires_at_ms: u64,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("client_id", &self.client_id).field("user", &self.user).finish_non_exhaustive()
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceState {
    pub client_id: String,
    pub user: String,
    pub online: bool,
    /// When it was last seen to come or go; `None`: never connected.
    pub since_ms: Option<u64>,
}

/// A key with which its holder administers the instance over HTTP. Only the hash of the secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ApiKey {
    /// Lower-case hex.
    pub secret_sha256: String,
    pub label: String,
}

/// A reusable link that logs a page in as one user. Only the hash of the secret is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginLink {
    /// Lower-case hex.
    pub secret_sha256: String,
    pub user: String,
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

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum OnlineKind {
    Connect,
    TcpClean,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stored_name_that_breaks_the_rule_is_shown_without_what_disturbs_or_as_the_id() {
        let shown = |name: &str| User { user: "ann".to_owned(), name: name.to_owned() }.shown_name().into_owned();
        assert_eq!(shown("Ann 李"), "Ann 李");
        assert_eq!(shown("\u{202E}nnA"), "nnA");
        assert_eq!(shown("\u{200B}\u{200B}"), "ann");
    }

    #[test]
    fn a_user_id_has_plain_characters() {
        let longest = "x".repeat(User::CHARS_MAX);
        for good in ["a", "Bob.B-9_z", "bob+work@example.org", &longest] {
            assert!(User::may_be_called(good), "{good}");
        }
        for bad in ["", "an n", "李", "a/b", &format!("{longest}x")] {
            assert!(!User::may_be_called(bad), "{bad}");
        }
    }
}
