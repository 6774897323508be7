//! What was granted, by those who have it.

use super::policy::first_level;
use super::{Access, Identity, unshared};
use catalog::{Grant, Grantee, Right, Rights};
use std::collections::HashMap;

type RightsByParent = HashMap<String, Rights>;

/// All grants of one revision.
#[derive(Debug, Default)]
pub(super) struct Grants {
    by_group: HashMap<String, RightsByParent>,
    by_user: HashMap<String, RightsByParent>,
    by_key: HashMap<String, RightsByParent>,
    /// Of groups and users together.
    of_devices: RightsByParent,
}

impl FromIterator<Grant> for Grants {
    fn from_iter<I: IntoIterator<Item = Grant>>(all: I) -> Self {
        let mut grants = Self::default();
        for Grant { grantee, parent, rights } in all {
            let is_of_devices = !matches!(grantee, Grantee::Key(_));
            let (of, name) = match grantee {
                Grantee::Group(group) => (&mut grants.by_group, group),
                Grantee::User(user) => (&mut grants.by_user, user),
                Grantee::Key(key_id) => (&mut grants.by_key, key_id),
            };
            of.entry(name).or_default().insert(parent.clone(), rights);
            if is_of_devices {
                let all = grants.of_devices.entry(parent).or_default();
                *all = all.iter().chain(rights.iter()).collect();
            }
        }
        grants
    }
}

impl Grants {
    fn allow(of: &HashMap<String, RightsByParent>, name: &str, parent: &str, right: Right) -> bool {
        of.get(name).and_then(|parents| parents.get(parent)).is_some_and(|rights| rights.allow(right))
    }

    fn give(&self, grantee: &Grantee, parent: &str, right: Right) -> bool {
        match grantee {
            Grantee::Group(group) => Self::allow(&self.by_group, group, parent, right),
            Grantee::User(user) => Self::allow(&self.by_user, user, parent, right),
            Grantee::Key(key_id) => Self::allow(&self.by_key, key_id, parent, right),
        }
    }
}

impl Access {
    /// Whether one of the grants that this identity has gives the right: a device has those of its group and of its user.
    pub(super) fn is_granted(&self, who: &Identity, parent: &str, right: Right) -> bool {
        let Grants { by_group, by_user, by_key, .. } = &self.grants;
        match who {
            Identity::Device { group, user, .. } => {
                let is_granted =
                    Grants::allow(by_group, group, parent, right) || Grants::allow(by_user, user, parent, right);
                // Also of grants that are older than the topic is closed.
                is_granted && !self.never_granted_to_devices(parent).allow(right)
            }
            Identity::Service { key_id, .. } => Grants::allow(by_key, key_id, parent, right),
            Identity::Tokens(_) => false,
        }
    }

    /// Those whose grants this identity has.
    #[must_use]
    pub fn grantees(&self, who: &Identity) -> Vec<Grantee> {
        match who {
            Identity::Device { group, user, .. } if user.is_empty() => vec![Grantee::Group(group.clone())],
            Identity::Device { group, user, .. } => vec![Grantee::Group(group.clone()), Grantee::User(user.clone())],
            Identity::Service { key_id, .. } if self.is_narrowed(key_id) => vec![Grantee::Key(key_id.clone())],
            Identity::Service { .. } | Identity::Tokens(_) => Vec::new(),
        }
    }

    /// Whether this one has a grant with the right.
    #[must_use]
    pub fn gives(&self, grantee: &Grantee, parent: &str, right: Right) -> bool {
        self.grants.give(grantee, parent, right)
    }

    /// What some device may do at the parent topic.
    #[must_use]
    pub fn granted_to_devices(&self, parent: &str) -> Rights {
        self.grants.of_devices.get(parent).copied().unwrap_or_default()
    }

    /// How many grants an access key has.
    #[must_use]
    pub fn grants_of_key(&self, key_id: &str) -> usize {
        self.grants.by_key.get(key_id).map_or(0, HashMap::len)
    }

    /// Whether grants say what this identity may do, and nothing else.
    #[must_use]
    pub fn lives_by_grants(&self, who: &Identity) -> bool {
        match who {
            Identity::Device { .. } => true,
            Identity::Service { key_id, .. } => self.is_narrowed(key_id),
            Identity::Tokens(_) => false,
        }
    }

    /// Whether the access key, which may be disabled, may do what its grants name, and nothing else.
    #[must_use]
    pub fn is_narrowed(&self, key_id: &str) -> bool {
        self.narrowed_keys.contains(key_id)
    }

    /// Whether a session that is away keeps this subscription, of those that live by grants. Whether its key is disabled is no
    /// matter: it may be enabled again.
    #[must_use]
    pub fn keeps_while_away(&self, who: &Identity, filter: &str) -> bool {
        let parent = first_level(unshared(filter));
        self.rule_of(parent).is_some() && self.is_granted(who, parent, Right::Subscribe)
    }
}
