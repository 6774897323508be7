//! Keys of services and of owners, and what each may do.

use std::fmt;

/// What a key may do. [`Admin`](Scope::Admin) is all of it, and keys, the audit log and the server besides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Scope {
    /// Parent topics, grants and tokens, and messages on them.
    Topics,
    /// Group IDs.
    Groups,
    /// Users, their devices and login links.
    Devices,
    Meetings,
    Channels,
    /// To set the properties of a message by which its sender is known: no such message is taken as yet.
    Stamps,
    Admin,
}

impl Scope {
    pub const ALL: [Self; 7] =
        [Self::Topics, Self::Groups, Self::Devices, Self::Meetings, Self::Channels, Self::Stamps, Self::Admin];

    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Topics => "topics",
            Self::Groups => "groups",
            Self::Devices => "devices",
            Self::Meetings => "meetings",
            Self::Channels => "channels",
            Self::Stamps => "stamps",
            Self::Admin => "admin",
        }
    }

    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }

    const fn bit(self) -> u8 {
        1 << self as u8
    }
}

/// A set of [`Scope`]s.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Scopes(u8);

impl Scopes {
    /// Of a service that is not narrowed.
    #[must_use]
    pub fn of_service() -> Self {
        Scope::ALL.into_iter().filter(|scope| *scope != Scope::Admin).collect()
    }

    #[must_use]
    pub fn allow(self, scope: Scope) -> bool {
        self.0 & (scope.bit() | Scope::Admin.bit()) != 0
    }

    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    #[must_use]
    fn without(self, scopes: &[Scope]) -> Self {
        self.iter().filter(|scope| !scopes.contains(scope)).collect()
    }

    pub fn iter(self) -> impl Iterator<Item = Scope> {
        Scope::ALL.into_iter().filter(move |scope| self.0 & scope.bit() != 0)
    }

    /// Names with spaces between, as [`Display`](fmt::Display) writes them.
    ///
    /// # Errors
    /// The first word that is none of the names.
    pub fn parse(text: &str) -> Result<Self, &str> {
        text.split_ascii_whitespace().map(|word| Scope::of_name(word).ok_or(word)).collect()
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(scopes.into_iter().fold(0, |set, scope| set | scope.bit()))
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.iter().enumerate() {
            let space = if n > 0 { " " } else { "" };
            write!(f, "{space}{}", scope.name())?;
        }
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyKind {
    /// Signs: logs a service in on MQTT. Its secret is kept.
    Access,
    /// Is shown: opens the API. Only the SHA-256 of its secret is kept, in lower-case hex.
    Api,
}

impl KeyKind {
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Access => "access",
            Self::Api => "api",
        }
    }
}

/// A key of a service or of an owner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Key {
    pub key_id: String,
    pub kind: KeyKind,
    /// The instance that an access key logs in to; empty for an API key.
    pub instance: String,
    pub scopes: Scopes,
    pub note: String,
    pub created_at_ms: u64,
    /// `None`: it lasts until it is removed.
    pub expires_at_ms: Option<u64>,
    pub disabled: bool,
    /// An access key that has, or had, a grant: it may do on MQTT what its grants name, and nothing else.
    pub is_narrowed: bool,
    /// The consumer groups by which an access key receives from the queue, and no others. `None`: any.
    pub consumer_groups: Option<Vec<String>>,
    /// The newest first. At most [`SECRETS_MAX`](Self::SECRETS_MAX), so that there is an old one while a new one is handed out.
    pub secrets: Vec<KeySecret>,
}

impl Key {
    pub const SECRETS_MAX: usize = 2;
    pub const NOTE_CHARS_MAX: usize = 200;
    pub const CONSUMER_GROUPS_MAX: usize = 64;

    /// What it may administer. A narrowed key grants nothing, applies for no tokens and makes no credentials of devices: it would
    /// have by these what it was not granted.
    #[must_use]
    pub fn administers(&self) -> Scopes {
        let more = [Scope::Topics, Scope::Devices, Scope::Admin];
        if self.is_narrowed { self.scopes.without(&more) } else { self.scopes }
    }

    /// Whether it may receive from the queue by this consumer group, of the topics that it may receive from.
    #[must_use]
    pub fn may_use_group(&self, group: &str) -> bool {
        self.consumer_groups.as_ref().is_none_or(|groups| groups.iter().any(|one| one == group))
    }

    /// When this secret of the key ends, by itself or with the key; `None`: never.
    #[must_use]
    pub fn valid_until_ms(&self, secret: &KeySecret) -> Option<u64> {
        [self.expires_at_ms, secret.valid_until_ms].into_iter().flatten().min()
    }

    /// Whether the text may be a key's id: 1 to 64 characters of `[A-Za-z0-9_.-]`, which are no step in a path.
    #[must_use]
    pub fn may_be_called(key_id: &str) -> bool {
        let good = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.' | b'-');
        (1..=64).contains(&key_id.len()) && key_id.bytes().all(good) && !matches!(key_id, "." | "..")
    }
}

/// A key that is not narrowed, with its only secret.
impl From<crate::AccessKey> for Key {
    fn from(key: crate::AccessKey) -> Self {
        let secret = KeySecret { generation: 1, secret: key.secret, valid_until_ms: None };
        Self {
            key_id: key.key_id,
            kind: KeyKind::Access,
            instance: key.instance,
            scopes: Scopes::of_service(),
            note: String::new(),
            created_at_ms: key.created_at_ms,
            expires_at_ms: None,
            disabled: false,
            is_narrowed: false,
            consumer_groups: None,
            secrets: vec![secret],
        }
    }
}

/// A key that may do everything.
impl From<crate::ApiKey> for Key {
    fn from(key: crate::ApiKey) -> Self {
        let key_id = format!("api-{}", key.secret_sha256.chars().take(16).collect::<String>());
        let secrets = vec![KeySecret { generation: 1, secret: key.secret_sha256, valid_until_ms: None }];
        Self {
            key_id,
            kind: KeyKind::Api,
            instance: String::new(),
            scopes: [Scope::Admin].into_iter().collect(),
            note: key.label,
            created_at_ms: 0,
            expires_at_ms: None,
            disabled: false,
            is_narrowed: false,
            consumer_groups: None,
            secrets,
        }
    }
}

/// One of a key's secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct KeySecret {
    /// Rises with each rotation.
    pub generation: u64,
    /// As [`KeyKind`] says.
    pub secret: String,
    /// An old one is valid until then.
    pub valid_until_ms: Option<u64>,
}

impl fmt::Debug for KeySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySecret").field("generation", &self.generation).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_are_read_as_they_are_written_and_admin_is_all_of_them() {
        let some: Scopes = [Scope::Devices, Scope::Topics].into_iter().collect();
        assert_eq!(some.to_string(), "topics devices");
        assert_eq!(Scopes::parse("devices  topics devices"), Ok(some));
        assert_eq!(Scopes::parse("devices root"), Err("root"));
        assert!(some.allow(Scope::Topics) && !some.allow(Scope::Groups) && !some.allow(Scope::Admin));
        let admin: Scopes = [Scope::Admin].into_iter().collect();
        assert!(Scope::ALL.into_iter().all(|scope| admin.allow(scope)));
        assert!(!Scopes::of_service().allow(Scope::Admin) && Scopes::default().is_empty());
    }
}
