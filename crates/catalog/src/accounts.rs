//! Users and their devices, and the ways in for them: API keys and login links.

use crate::audit::{Page, Row, Uses};
use crate::keys::Key;
use crate::{CatalogFuture, text};
use std::borrow::Cow;
use std::fmt;

/// Users, devices with their credentials, API keys and login links.
pub trait Accounts: Send + Sync {
    /// Creates the user or renames it. A name that breaks [`text::check_name`] is [`CatalogError::Invalid`].
    fn put_user(&self, user: User) -> CatalogFuture<'_, ()>;
    fn user(&self, user: &str) -> CatalogFuture<'_, Option<User>>;
    /// Users in the order of their names, at most `limit`, from the one after the user `after` (an unknown one: none).
    fn users(&self, after: Option<&str>, limit: u32) -> CatalogFuture<'_, Vec<User>>;
    /// Registers a device; the same client id of the same user again replaces the credential, and keeps its name unless it is
    /// given another. A client id that belongs to another user is [`CatalogError::Invalid`].
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
    /// Whether this client id is one of them.
    fn was_removed(&self, client_id: &str) -> CatalogFuture<'_, bool>;
    /// Devices of these users with their online state.
    fn devices_of(&self, users: &[String]) -> CatalogFuture<'_, Vec<DeviceState>>;
    fn put_api_key(&self, key: ApiKey) -> CatalogFuture<'_, ()>;
    /// The API key that has this secret, also if that is not valid any more.
    fn api_key(&self, secret_sha256: &str) -> CatalogFuture<'_, Option<Row<Key>>>;
    fn keys(&self, page: Page) -> CatalogFuture<'_, Vec<Row<Key>>>;
    fn key(&self, key_id: &str) -> CatalogFuture<'_, Option<Row<Key>>>;
    /// Users whose id or name contains the text, in the order of their ids.
    fn find_users(&self, text: Option<&str>, page: Page) -> CatalogFuture<'_, Vec<Row<User>>>;
    fn user_row(&self, user: &str) -> CatalogFuture<'_, Option<Row<User>>>;
    /// What hangs on a user; nothing on one that there is not.
    fn user_uses(&self, user: &str) -> CatalogFuture<'_, Uses>;
    /// How many of these devices are connected.
    fn connected(&self, filter: DeviceFilter) -> CatalogFuture<'_, u64>;
    fn devices(&self, filter: DeviceFilter, page: Page) -> CatalogFuture<'_, Vec<Row<DeviceInfo>>>;
    fn device_info(&self, client_id: &str) -> CatalogFuture<'_, Option<Row<DeviceInfo>>>;
    fn put_login_link(&self, link: LoginLink) -> CatalogFuture<'_, ()>;
    fn login_link(&self, secret_sha256: &str) -> CatalogFuture<'_, Option<LoginLink>>;
    fn links(&self, user: Option<&str>, page: Page) -> CatalogFuture<'_, Vec<Row<LoginLink>>>;
    fn link(&self, link_id: &str) -> CatalogFuture<'_, Option<Row<LoginLink>>>;
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
        (1..=Self::CHARS_MAX).contains(&user.len()) && user.bytes().all(good) && !matches!(user, "." | "..")
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

/// Which devices are listed; `None`: all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    pub user: Option<String>,
    pub group: Option<String>,
    /// Those whose client id, name or user contains this, without regard to case.
    pub text: Option<String>,
}

/// A device as its owner sees it: all but the secret, and its online state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeviceInfo {
    pub client_id: String,
    pub user: String,
    pub group: String,
    pub name: Option<String>,
    pub key_id: String,
    pub expires_at_ms: u64,
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
    pub link_id: String,
    /// Lower-case hex.
    pub secret_sha256: String,
    pub user: String,
    pub created_at_ms: u64,
    /// `None`: it lasts until it is removed.
    pub expires_at_ms: Option<u64>,
}

impl LoginLink {
    /// One that lasts.
    #[must_use]
    pub fn new(secret_sha256: String, user: String) -> Self {
        let link_id = secret_sha256.chars().take(Self::ID_CHARS).collect();
        Self { link_id, secret_sha256, user, created_at_ms: 0, expires_at_ms: None }
    }

    const ID_CHARS: usize = 16;
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
        for bad in ["", ".", "..", "an n", "李", "a/b", &format!("{longest}x")] {
            assert!(!User::may_be_called(bad), "{bad}");
        }
    }
}
