//! Permissions: who may publish and subscribe where, decided without SQL.
//!
//! [`Access`] is what the catalog holds of groups, parent topics, keys and grants at one revision, ready to be asked.
//! [`AccessView`] publishes the newest one: a task follows the catalog's revision, workers only read. Devices are not
//! in it (there may be millions): see [`DeviceDirectory`](crate::login::DeviceDirectory).
//!
//! The rules are those of the `reference` profile. Default deny: a device may at each parent topic what its group or its user
//! was granted there; a holder of tokens has what they name; a service has its whole instance, unless its key is narrowed by
//! grants: then it has these. To publish, to subscribe and P2P are three rights. Nobody subscribes to P2P. A wildcard stays inside
//! one parent topic.

mod advice;
mod grants;
mod names;
mod p2p;
mod policy;
mod tokens;
mod view;

pub use advice::{Advice, advice};
pub use names::{
    CLIENT_ID_CHARS_MAX, ClientId, GROUP_ID_CHARS, NameError, PARENT_CHARS, check_device_id, check_group_id,
    check_parent, is_of_online_events,
};
pub use p2p::P2pTopic;
pub use policy::{PublishRefusal, SubscribeRefusal};
pub use view::AccessView;

pub(crate) use names::is_word;
pub(crate) use policy::unshared;

use crate::certificate::{CertificateError, ClientAuthority};
use crate::jwt::{Issuers, JwtError};
use crate::token::{TokenHolder, TokenKey};
use catalog::{AccessSnapshot, Key, KeyKind, Right, Rights, Rule, Scope};
use grants::Grants;
use std::collections::{HashMap, HashSet};
use uuid::Uuid;

/// The holder of a connection, decided at its login.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Identity {
    /// The holder of an access key: its whole instance, unless the key is narrowed.
    Service { key_id: String, instance: String },
    /// One device of one user.
    Device {
        client_id: String,
        user: String,
        group: String,
        /// Topics and filters: of what was granted, these only. `None`: all of it.
        publishes: Option<Box<[String]>>,
    },
    /// A client by tokens that a service has applied for: what these name.
    Tokens(Box<TokenHolder>),
}

impl Identity {
    /// The owner of the client ids that this identity uses: an account, not one password or secret.
    pub fn account(&self) -> String {
        match self {
            // That of its key: it is not to be another's when the key is narrowed.
            Self::Service { key_id, instance } => format!("{SERVICE}{instance}/{key_id}"),
            Self::Device { user, .. } => account_of_user(user),
            // Not of one token, which are renewed.
            Self::Tokens(holder) => match &holder.user {
                Some(user) => account_of_user(user),
                None if holder.is_bound() => format!("{BOUND_TOKENS}{}", holder.instance),
                None => format!("{TOKENS}{}", holder.instance),
            },
        }
    }

    /// Whom the session of this account is for while it has no connection, as far as the account says it: not by which JWT or
    /// tokens.
    #[must_use]
    pub fn of_session(account: &str, client_id: &str) -> Option<Self> {
        if let Some(user) = account.strip_prefix(USER) {
            let group = ClientId::parse(client_id).ok()?.group().to_owned();
            let (client_id, user) = (client_id.to_owned(), user.to_owned());
            return Some(Self::Device { client_id, user, group, publishes: None });
        }
        let (instance, key_id) = account.strip_prefix(SERVICE)?.rsplit_once('/')?;
        Some(Self::Service { key_id: key_id.to_owned(), instance: instance.to_owned() })
    }

    pub fn is_service(&self) -> bool {
        matches!(self, Self::Service { .. })
    }
}

/// Whether the account of an [`Identity`] is that of a service.
pub fn is_account_of_service(account: &str) -> bool {
    account.starts_with(SERVICE)
}

const SERVICE: &str = "service:";
const USER: &str = "user:";
/// Of clients whose tokens name no client id,
const TOKENS: &str = "tokens:";
/// and of those that have one which names theirs.
const BOUND_TOKENS: &str = "bound-tokens:";

/// Whether it is that of clients with tokens, under ids that no user owns.
pub fn is_account_of_tokens(account: &str) -> bool {
    account.starts_with(TOKENS) || account.starts_with(BOUND_TOKENS)
}

/// Of whatever key; before accounts named the keys, all services of an instance had one.
fn is_service_of(instance: &str, account: &str) -> bool {
    let rest = account.strip_prefix(SERVICE).and_then(|rest| rest.strip_prefix(instance));
    rest.is_some_and(|key| key.is_empty() || key.starts_with('/'))
}

/// Whether it is that of a user, whose devices they are.
pub fn is_account_of_user(account: &str) -> bool {
    account.starts_with(USER)
}

pub(crate) fn account_of_user(user: &str) -> String {
    format!("{USER}{user}")
}

/// What is the same for every revision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessConfig {
    /// The name of the instance in usernames.
    pub instance: String,
    pub topic_limit: TopicLimit,
    /// Signs tokens; without it there are none.
    pub token_key: Option<TokenKey>,
    /// Whose JWTs let devices in.
    pub issuers: Issuers,
    /// Whose certificates let devices in; without it there are none.
    pub client_authority: Option<ClientAuthority>,
    /// The name of the owner's key, which is derived from its secret: tokens that another one has applied for are void.
    pub owner_key: String,
    pub calls: Vec<TopicOfCalls>,
}

/// A parent topic of the program's own, which carries the signals of calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicOfCalls {
    pub parent: String,
    /// Without it there are no calls. `None`: this program makes none, and it may have any.
    pub rule: Option<Rule>,
    /// What no device may be granted there.
    pub closed: Rights,
}

impl Default for AccessConfig {
    fn default() -> Self {
        Self {
            instance: "convoke".to_owned(),
            topic_limit: TopicLimit::default(),
            token_key: None,
            issuers: Issuers::default(),
            client_authority: None,
            owner_key: String::new(),
            calls: Vec::new(),
        }
    }
}

/// The longest whole topic, in characters; of a P2P topic it limits what follows the client id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TopicLimit(u16);

impl TopicLimit {
    pub const MIN: u16 = 64;
    pub const MAX: u16 = 128;

    /// `None` outside 64 to 128.
    pub fn new(chars: u16) -> Option<Self> {
        (Self::MIN..=Self::MAX).contains(&chars).then_some(Self(chars))
    }

    pub fn chars(self) -> usize {
        usize::from(self.0)
    }
}

impl Default for TopicLimit {
    fn default() -> Self {
        Self(Self::MIN)
    }
}

/// All that may be asked of one revision.
#[derive(Debug, Default)]
pub struct Access {
    config: AccessConfig,
    revision: u64,
    groups: HashSet<String>,
    rule_by_parent: HashMap<String, Rule>,
    /// Where it is not as long as any.
    kept_s_by_parent: HashMap<String, u32>,
    /// Of both kinds.
    key_by_id: HashMap<String, Key>,
    narrowed_keys: HashSet<String>,
    grants: Grants,
    /// Tokens that were revoked, JWTs and certificates.
    revoked: HashSet<Uuid>,
}

impl Access {
    /// Names that break their grammar are left out: nobody could use them.
    pub fn new(config: AccessConfig, snapshot: AccessSnapshot) -> Self {
        let groups = snapshot.groups.into_iter().map(|group| group.group);
        let kept = snapshot.parents.iter().filter_map(|parent| Some((parent.parent.clone(), parent.kept_s?)));
        let kept_s_by_parent = kept.collect();
        let parents = snapshot.parents.into_iter().map(|parent| (parent.parent, parent.rule));
        let keys = snapshot.keys.into_iter().map(|key| (key.key_id.clone(), key));
        Self {
            config,
            revision: snapshot.revision,
            groups: groups.filter(|group| check_group_id(group).is_ok()).collect(),
            rule_by_parent: parents.filter(|(parent, _)| check_parent(parent).is_ok()).collect(),
            key_by_id: keys.collect(),
            narrowed_keys: snapshot.narrowed_keys.into_iter().collect(),
            kept_s_by_parent,
            grants: snapshot.grants.into_iter().collect(),
            revoked: snapshot.revoked_tokens.into_iter().collect(),
        }
    }

    pub fn revision(&self) -> u64 {
        self.revision
    }

    pub fn instance(&self) -> &str {
        &self.config.instance
    }

    pub fn topic_limit(&self) -> TopicLimit {
        self.config.topic_limit
    }

    pub fn has_group(&self, group: &str) -> bool {
        self.groups.contains(group)
    }

    /// In no order.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(String::as_str)
    }

    /// The rule of a parent topic, by its exact name; `None`: it does not exist.
    pub fn rule_of(&self, parent: &str) -> Option<Rule> {
        self.rule_by_parent.get(parent).copied()
    }

    /// How long, in seconds, messages of a parent topic wait for who is off, at most; `None`: as long as any.
    #[must_use]
    pub fn kept_s(&self, parent: &str) -> Option<u32> {
        self.kept_s_by_parent.get(parent).copied()
    }

    /// Parents with their rules, in no order.
    pub fn parents(&self) -> impl Iterator<Item = (&str, Rule)> {
        self.rule_by_parent.iter().map(|(parent, rule)| (parent.as_str(), *rule))
    }

    /// An access key that is not disabled.
    pub fn key(&self, key_id: &str) -> Option<&Key> {
        self.any_key(key_id).filter(|key| key.kind == KeyKind::Access)
    }

    /// A key of either kind that is not disabled.
    pub fn any_key(&self, key_id: &str) -> Option<&Key> {
        self.key_by_id.get(key_id)
    }

    /// Whose JWTs let devices in.
    pub fn issuers(&self) -> &Issuers {
        &self.config.issuers
    }

    /// # Errors
    /// The JWT was revoked.
    pub fn check_jwt(&self, id: Uuid) -> Result<(), JwtError> {
        if self.is_revoked(id) { Err(JwtError::Revoked) } else { Ok(()) }
    }

    /// Whose certificates let devices in.
    pub fn client_authority(&self) -> Option<&ClientAuthority> {
        self.config.client_authority.as_ref()
    }

    /// Of a certificate and of those above it.
    ///
    /// # Errors
    /// One was revoked, by its issuer or here.
    pub fn check_certificates(&self, ids: &[Uuid]) -> Result<(), CertificateError> {
        let is_listed = |id| self.client_authority().is_some_and(|authority| authority.is_revoked(id));
        let is_void = ids.iter().any(|id| self.is_revoked(*id) || is_listed(*id));
        if is_void { Err(CertificateError::Revoked) } else { Ok(()) }
    }

    /// Whether its owner has revoked what has this id.
    pub fn is_revoked(&self, id: Uuid) -> bool {
        self.revoked.contains(&id)
    }

    /// Whether the holder of the key may do that now; a key that is gone allows nothing.
    pub fn key_allows(&self, key_id: &str, scope: Scope) -> bool {
        self.key(key_id).is_some_and(|key| key.scopes.allow(scope))
    }

    /// Whether a login goes on with the session that an account has under the same client id. A service with its whole instance
    /// goes on with those of all services, a narrowed one with its own. A client id that came to tokens which name it is not for
    /// others any more.
    #[must_use]
    pub fn takes_over(&self, who: &Identity, holder: &str) -> bool {
        let account = who.account();
        let bound = account.strip_prefix(BOUND_TOKENS);
        // Of a key that is gone nobody knows what it was.
        let is_whole = |key_id| self.key(key_id).is_some() && !self.is_narrowed(key_id);
        account == holder
            || bound.is_some() && bound == holder.strip_prefix(TOKENS)
            || matches!(who, Identity::Service { key_id, instance } if is_whole(key_id) && is_service_of(instance, holder))
    }

    /// Whether a login ends what clients with tokens have under the same client id. A service has its whole instance, and with it
    /// the ids under which they have come; one that is a user's device now is the user's.
    #[must_use]
    pub fn ends_tokens(&self, who: &Identity) -> bool {
        match who {
            Identity::Service { key_id, .. } => self.key(key_id).is_some() && !self.is_narrowed(key_id),
            Identity::Device { .. } => true,
            Identity::Tokens(_) => false,
        }
    }

    #[must_use]
    pub fn topic_of_calls(&self, parent: &str) -> Option<&TopicOfCalls> {
        self.config.calls.iter().find(|topic| topic.parent == parent)
    }

    /// Rights at parent topics of the program's own, and at those of online events, that no device may be granted, and no token
    /// gives.
    #[must_use]
    pub fn never_granted_to_devices(&self, parent: &str) -> Rights {
        match self.topic_of_calls(parent) {
            Some(topic) => topic.closed,
            None if is_of_online_events(parent) => [Right::Publish, Right::P2p].into_iter().collect(),
            None => Rights::default(),
        }
    }
}

#[cfg(test)]
mod tests;
