//! Groups, parent topics, keys and grants: the rules by which the broker lets clients in.

use crate::CatalogFuture;
use std::fmt;
use tokio::sync::watch;

/// Rules of access, with a revision.
pub trait Topics: Send + Sync {
    /// Groups, parent topics, keys and grants at one revision.
    fn access(&self) -> CatalogFuture<'_, AccessSnapshot>;
    /// Rises with each commit that changes [`access`](Self::access).
    fn access_revision(&self) -> watch::Receiver<u64>;
    fn put_group(&self, group: Group) -> CatalogFuture<'_, ()>;
    fn put_parent(&self, parent: ParentTopic) -> CatalogFuture<'_, ()>;
    fn put_access_key(&self, key: AccessKey) -> CatalogFuture<'_, ()>;
    fn put_grant(&self, grant: Grant) -> CatalogFuture<'_, ()>;
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
