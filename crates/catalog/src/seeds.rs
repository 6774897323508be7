//! What the program makes by itself: what its configuration names, and what `--dev` is for.

use crate::audit::Kind;
use crate::{AccessKey, CatalogFuture, Grant, Group, LoginLink, ParentTopic, User};

/// Things that are made once: what an owner makes of one later stays, also that it was removed. What an owner creates is
/// the owner's, also under a name that was seeded.
pub trait Seeds: Send + Sync {
    /// Makes the thing, unless it was made before. Of an access key that is there the secret is put right, unless an owner
    /// has rotated it. A trial leaves what is an owner's as it is, and makes no links of an owner's user.
    fn seed(&self, seed: Seed, origin: Origin) -> CatalogFuture<'_, Seeded>;
    /// What was made for this origin and is still there, in the order of kinds and ids.
    fn seeded(&self, origin: Origin) -> CatalogFuture<'_, Vec<(Kind, String)>>;
    /// Forgets that it was made. What is there stays; what is not is made again by the next [`seed`](Self::seed).
    fn forget_seeds(&self, origin: Origin) -> CatalogFuture<'_, ()>;
}

/// For whom something is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    Configuration,
    /// A trial.
    Dev,
}

impl Origin {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::Dev => "dev",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seed {
    Group(Group),
    Parent(ParentTopic),
    /// Not made while its group, user or key, or its parent topic is gone. It narrows no key.
    Grant(Grant),
    AccessKey(AccessKey),
    User(User),
    /// Not made while its user is gone.
    Link(LoginLink),
}

impl Seed {
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Group(_) => Kind::Group,
            Self::Parent(_) => Kind::Parent,
            Self::Grant(_) => Kind::Grant,
            Self::AccessKey(_) => Kind::Key,
            Self::User(_) => Kind::User,
            Self::Link(_) => Kind::Link,
        }
    }

    /// As the log of changes names it.
    #[must_use]
    pub fn subject(&self) -> String {
        match self {
            Self::Group(group) => group.group.clone(),
            Self::Parent(parent) => parent.parent.clone(),
            Self::Grant(grant) => grant.name(),
            Self::AccessKey(key) => key.key_id.clone(),
            Self::User(user) => user.user.clone(),
            Self::Link(link) => link.link_id.clone(),
        }
    }
}

/// What became of a seed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seeded {
    Made,
    /// It was there.
    Kept,
    /// An owner has removed it, or what it belongs to.
    Removed,
    /// Of a trial: what is there under the name is an owner's, or the secret of the key is, or the user of the link. It stays as
    /// it is.
    Owners,
}
