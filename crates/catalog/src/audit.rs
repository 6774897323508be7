//! What an owner changes: one transaction for each change, with a row that says who has changed what.
//!
//! The rows are the log of the changes, for people, and the feed of them, for the parts of the program that keep copies of
//! what the catalog says. Each has a number; numbers rise in the order of the commits, and may have gaps.

use crate::{
    CatalogError, CatalogFuture, Device, Grant, Grantee, Group, Key, LoginLink, ParentTopic, RevokedToken, Rule,
    Scopes, User,
};
use serde_json::Value;
use std::fmt;
use tokio::sync::watch;
use uuid::Uuid;

/// Changes by owners, and the log of them.
pub trait Audit: Send + Sync {
    /// Makes the change, and the row that tells of it. What is there already as it is wished changes nothing, and makes no
    /// row.
    fn apply(&self, order: Order) -> CatalogFuture<'_, Applied, ApplyError>;
    /// Rises with each change, and with each that may have been made though its commit was not answered.
    fn change_number(&self) -> watch::Receiver<u64>;
    /// Looks for changes that this process was not told of: of other processes, and those whose commit was not answered.
    /// From then on [`change_number`](Self::change_number) and the revision of the rules of access tell of them.
    fn look_for_changes(&self) -> CatalogFuture<'_, ()>;
    /// The changes after a number, the oldest first.
    fn changes(&self, after: u64, limit: u32) -> CatalogFuture<'_, Vec<ChangeRow>>;
    /// What the log says, the newest first.
    fn audit(&self, page: AuditPage) -> CatalogFuture<'_, Vec<AuditRow>>;
}

/// A change, and who wishes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    pub change: Change,
    pub by: By,
    /// The number of the change that made the row what the caller believes it to be. Any other: [`ApplyError::Stale`].
    pub expected: Option<u64>,
}

/// What somebody has changed otherwise, for the log: written in the transaction that changes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    pub by: By,
    /// As in [`AuditRow`], and so the rest.
    pub action: String,
    pub kind: Kind,
    pub subject: String,
    pub before: Option<Value>,
    pub after: Option<Value>,
}

/// Who changes something, from where and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct By {
    pub actor: Actor,
    /// The address of the caller.
    pub address: Option<String>,
    pub at_ms: u64,
    /// The change that made the actor's key what its right was judged by. `None`: whatever the key is by now, if it is not
    /// disabled.
    pub right_as_of: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Actor {
    /// The program itself.
    Server,
    /// The key of the data directory.
    Owner,
    Key(String),
    /// The holder of a login link.
    Link(String),
    /// The holder of a device's credential.
    Device(String),
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Server => f.write_str("server"),
            Self::Owner => f.write_str("owner"),
            Self::Key(key_id) => write!(f, "key:{key_id}"),
            Self::Link(link_id) => write!(f, "link:{link_id}"),
            Self::Device(client_id) => write!(f, "device:{client_id}"),
        }
    }
}

/// What may be changed. To create what is there already as it is wished changes nothing; otherwise it is
/// [`ApplyError::Exists`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    CreateGroup(Group),
    /// With `force`, its grants and devices too.
    RemoveGroup {
        group: String,
        force: bool,
    },
    CreateParent(ParentTopic),
    UpdateParent {
        parent: String,
        update: ParentUpdate,
    },
    /// With `force`, its grants too.
    RemoveParent {
        parent: String,
        force: bool,
    },
    /// The first one of an access key narrows the key for good: from then on it may do what its grants name.
    CreateGrant(Grant),
    /// Gives it these rights and no others.
    UpdateGrant(Grant),
    RemoveGrant {
        grantee: Grantee,
        parent: String,
    },
    CreateKey(Key),
    UpdateKey {
        key_id: String,
        update: KeyUpdate,
    },
    /// Adds a secret. Those that it had are valid until then, and no longer than they were.
    RotateKey {
        key_id: String,
        secret: String,
        previous_until_ms: u64,
    },
    /// With its grants.
    RemoveKey {
        key_id: String,
    },
    /// Creates or renames.
    PutUser(User),
    /// With its outcomes and past calls; with `force`, its devices, links and grants too.
    RemoveUser {
        user: String,
        force: bool,
    },
    /// Registers, or replaces the credential.
    PutDevice {
        device: Device,
        /// The credential that the client id has; `None`: it is not registered. If that is not so, [`ApplyError::Stale`].
        replaces: Option<String>,
    },
    RemoveDevice {
        client_id: String,
        /// Only with this credential; any other is [`ApplyError::Unknown`].
        key_id: Option<String>,
    },
    /// Replaces the credential by one that nobody is given. The registration stays.
    RevokeDevice {
        client_id: String,
        key_id: String,
        secret: String,
    },
    /// `None`: it has no name.
    RenameDevice {
        client_id: String,
        name: Option<String>,
    },
    /// Changes no row: the log says what an owner orders of a part that keeps no rows. It is written before that is done, so
    /// that nothing is done of which the log does not know.
    Note(Note),
    CreateLink(LoginLink),
    /// Lets it last until then.
    UpdateLink {
        link_id: String,
        expires_at_ms: u64,
    },
    RemoveLink {
        link_id: String,
    },
    /// At most [`REVOKED_TOKENS_MAX`](crate::limits::REVOKED_TOKENS_MAX) at a time, and of one key half of what the others
    /// leave: [`ApplyError::TooMany`].
    RevokeToken(RevokedToken),
}

/// What an owner orders, for the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub action: &'static str,
    pub kind: Kind,
    pub subject: String,
    /// What else is ordered, without secrets.
    pub after: Option<Value>,
}

/// `None` leaves a field as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ParentUpdate {
    pub rule: Option<Rule>,
    /// `Some(None)`: as long as any.
    pub kept_s: Option<Option<u32>>,
}

/// `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KeyUpdate {
    pub scopes: Option<Scopes>,
    pub note: Option<String>,
    /// `Some(None)`: it lasts until it is removed.
    pub expires_at_ms: Option<Option<u64>>,
    pub disabled: Option<bool>,
    /// `Some(None)`: any.
    pub consumer_groups: Option<Option<Vec<String>>>,
}

/// What became of an order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// The number of the change; `None`: nothing has changed.
    pub number: Option<u64>,
    /// The revision of the rules of access from this change on, if it concerns them.
    pub access_revision: Option<u64>,
    /// What it ends.
    pub cuts: Vec<Cut>,
}

/// What a change ends: the connections of those who had logged in by it, and what they hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The key is disabled or removed, or may do less.
    Key { key_id: String },
    /// The device's credential was replaced.
    Credential { client_id: String, key_id: String },
    /// The device is removed, with this credential, its session and what waits for it.
    Device { client_id: String, key_id: String },
    /// The token is revoked.
    Token { id: Uuid },
    /// The client id is a device of this user from now on: what others have under it.
    Others { client_id: String, user: String },
    /// The group is removed: connections of whoever has logged in under it.
    Group { group: String },
    /// Somebody may not subscribe at this parent topic any more: subscriptions there that no grant allows.
    Subscriptions { parent: String },
}

/// Why the one who orders something has no right to it any more when it is carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ActorLost {
    /// Its key was disabled or removed meanwhile, or the login link.
    #[error("whoever ordered it may not any more")]
    Gone,
    /// Its key was changed meanwhile: its scopes, its secrets or its time.
    #[error("the right to order it must be judged again")]
    Changed,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApplyError {
    #[error("it exists already, and is another")]
    Exists,
    #[error("there is none")]
    Unknown,
    /// Another change came first; the number of the one that stands.
    #[error("it was changed meanwhile")]
    Stale { present: u64 },
    #[error("it is in use: {0}")]
    InUse(Uses),
    #[error(transparent)]
    Actor(#[from] ActorLost),
    #[error("there are {max} already, and no more may be")]
    TooMany { max: u32 },
    /// Of [`Answers::apply_and_keep`](crate::Answers::apply_and_keep) alone.
    #[error("the request was answered already")]
    Answered,
    #[error(transparent)]
    Catalog(CatalogError),
}

/// Two that create the same at the same moment: where one was looked for before it was there, its row is taken.
impl From<CatalogError> for ApplyError {
    fn from(error: CatalogError) -> Self {
        match error {
            CatalogError::Taken(_) => Self::Exists,
            error => Self::Catalog(error),
        }
    }
}

/// What depends on a thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    pub grants: u64,
    pub devices: u64,
    pub links: u64,
}

impl Uses {
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.grants == 0 && self.devices == 0 && self.links == 0
    }
}

impl fmt::Display for Uses {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [(self.grants, "grant"), (self.devices, "device"), (self.links, "login link")];
        let some = all.into_iter().filter(|(count, _)| *count > 0);
        let words: Vec<_> =
            some.map(|(count, of)| format!("{count} {of}{}", if count == 1 { "" } else { "s" })).collect();
        f.write_str(&words.join(", "))
    }
}

/// A thing of the catalog that an owner changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Group,
    Parent,
    Grant,
    Key,
    User,
    Device,
    Link,
    /// Of the queue, and no row of the catalog.
    DeadLetter,
    /// The same.
    QueueTopic,
    QueueGroup,
    Meeting,
    Token,
}

impl Kind {
    pub const ALL: [Self; 12] = [
        Self::Group,
        Self::Parent,
        Self::Grant,
        Self::Key,
        Self::User,
        Self::Device,
        Self::Link,
        Self::DeadLetter,
        Self::QueueTopic,
        Self::QueueGroup,
        Self::Meeting,
        Self::Token,
    ];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Group => "group",
            Self::Parent => "topic",
            Self::Grant => "grant",
            Self::Key => "key",
            Self::User => "user",
            Self::Device => "device",
            Self::Link => "link",
            Self::DeadLetter => "dead_letter",
            Self::QueueTopic => "queue_topic",
            Self::QueueGroup => "queue_group",
            Self::Meeting => "meeting",
            Self::Token => "token",
        }
    }

    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A change, for those who keep copies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChangeRow {
    pub number: u64,
    pub kind: Kind,
    /// Its id; of a grant its [name](Grant::name).
    pub subject: String,
    pub cuts: Vec<Cut>,
}

/// A row of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditRow {
    pub number: u64,
    pub at_ms: u64,
    /// As [`Actor`] is written.
    pub actor: String,
    pub address: Option<String>,
    /// Such as `create`, `update`, `rotate`, `revoke`, `remove`; of a device `kick`, `purge` too; of a meeting `mute`, `end`.
    pub action: String,
    pub kind: Kind,
    pub subject: String,
    /// Without secrets; `None`: there was none.
    pub before: Option<Value>,
    /// Without secrets; `None`: there is none any more.
    pub after: Option<Value>,
}

/// Which rows of the log are read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuditPage {
    /// Those before this number.
    pub before: Option<u64>,
    pub kind: Option<Kind>,
    pub subject: Option<String>,
    pub actor: Option<String>,
    pub limit: u32,
}

/// A row, and the number of the change that made it what it is; 0: made before changes had numbers, or by the program itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row<T> {
    pub value: T,
    pub changed: u64,
}

/// A part of a list, in the order of the ids.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// After this id, whether or not there is such a row.
    pub after: Option<String>,
    pub limit: u32,
}
