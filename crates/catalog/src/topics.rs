//! Groups, parent topics, keys and grants: the rules by which the broker lets clients in.

use crate::CatalogFuture;
use crate::audit::{Page, Row, Uses};
use crate::grants::{Grant, GrantFilter, Grantee};
use crate::keys::Key;
use std::fmt;
use tokio::sync::watch;
use uuid::Uuid;

/// Rules of access, with a revision.
pub trait Topics: Send + Sync {
    /// Groups, parent topics, keys and grants at one revision.
    fn access(&self) -> CatalogFuture<'_, AccessSnapshot>;
    /// Rises with each commit that changes [`access`](Self::access).
    fn access_revision(&self) -> watch::Receiver<u64>;
    fn put_group(&self, group: Group) -> CatalogFuture<'_, ()>;
    /// One that is there gets the rule, and is kept as before.
    fn put_parent(&self, parent: ParentTopic) -> CatalogFuture<'_, ()>;
    fn put_access_key(&self, key: AccessKey) -> CatalogFuture<'_, ()>;
    /// One that is there stays as it is. It narrows no key.
    fn put_grant(&self, grant: Grant) -> CatalogFuture<'_, ()>;
    fn groups(&self, page: Page) -> CatalogFuture<'_, Vec<Row<Group>>>;
    /// With what hangs on it.
    fn group(&self, group: &str) -> CatalogFuture<'_, Option<(Row<Group>, Uses)>>;
    fn parents(&self, page: Page) -> CatalogFuture<'_, Vec<Row<ParentTopic>>>;
    /// With what hangs on it. The name is found without regard to case.
    fn parent(&self, parent: &str) -> CatalogFuture<'_, Option<(Row<ParentTopic>, Uses)>>;
    fn grant(&self, grantee: &Grantee, parent: &str) -> CatalogFuture<'_, Option<Row<Grant>>>;
    /// In the order of [`Grant::name`], which is what [`Page::after`] names.
    fn grants(&self, filter: GrantFilter, page: Page) -> CatalogFuture<'_, Vec<Row<Grant>>>;
}

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
    /// How long, in seconds, its messages wait for who is off, at most; 0: not at all; `None`: as long as any.
    pub kept_s: Option<u32>,
}

impl ParentTopic {
    /// Whose messages wait as long as any.
    pub fn new(parent: impl Into<String>, rule: Rule) -> Self {
        Self { parent: parent.into(), rule, kept_s: None }
    }
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

impl Rule {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::ToQueue => "to_queue",
            Self::FromQueue => "from_queue",
            Self::Both => "both",
        }
    }
}

/// The key of a service (Signature login) that has its whole instance, with its only secret.
#[derive(Clone, PartialEq, Eq)]
pub struct AccessKey {
    pub key_id: String,
    pub secret: String,
    pub instance: String,
    pub created_at_ms: u64,
}

impl fmt::Debug for AccessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessKey").field("key_id", &self.key_id).finish_non_exhaustive()
    }
}

/// All rules of access at one revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AccessSnapshot {
    pub revision: u64,
    pub groups: Vec<Group>,
    pub parents: Vec<ParentTopic>,
    /// Keys of both kinds that are not disabled.
    pub keys: Vec<Key>,
    /// The ids of all keys that are narrowed, also of those that are disabled.
    pub narrowed_keys: Vec<String>,
    pub grants: Vec<Grant>,
    /// By their ids, in no order.
    pub revoked_tokens: Vec<Uuid>,
}

/// A token that is void before its time. Tokens themselves are not kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevokedToken {
    pub id: Uuid,
    /// Of the key that had applied for it; `None`: the owner's.
    pub key_id: Option<String>,
    /// When it would have ended.
    pub expires_at_ms: u64,
}
