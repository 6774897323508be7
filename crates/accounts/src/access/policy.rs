//! The decisions, each with the words of its refusal.

use super::names::{is_of_online_events, is_word};
use super::{Access, Identity, P2pTopic};
use crate::token::resource;
use catalog::{Right, Scope};

/// Why a PUBLISH is refused. End users get the same answer for unknown and forbidden.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum PublishRefusal {
    #[error("the topic is longer than this instance allows")]
    TooLong,
    #[error("a level of the topic is empty or has other characters than letters, digits, - and _")]
    BadLevel,
    #[error("the P2P topic names no client id <GroupID>@@@<DeviceID>")]
    BadReceiver,
    #[error("the parent topic does not exist; apply for it first")]
    UnknownParent,
    #[error("the topic was not granted")]
    NotGranted,
    #[error("this access key is disabled, or lacks the scope topics")]
    Scope,
    #[error("no token of this connection lets it publish there, or the parent topic does not exist")]
    NotInToken,
    #[error("topics that begin with $ belong to the broker")]
    Reserved,
}

/// Why a subscription is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum SubscribeRefusal {
    #[error("the filter is longer than this instance allows")]
    TooLong,
    #[error("a wildcard must stay inside one parent topic")]
    WildcardParent,
    #[error("a level of the filter is empty or has other characters than letters, digits, - and _")]
    BadLevel,
    #[error("P2P messages need no subscription, and none is possible")]
    P2p,
    #[error("the parent topic does not exist; apply for it first")]
    UnknownParent,
    #[error("the filter was not granted")]
    NotGranted,
    #[error("this access key is disabled, or lacks the scope topics")]
    Scope,
    #[error("no token of this connection covers the filter, or the parent topic does not exist")]
    NotInToken,
    #[error("topics that begin with $ belong to the broker")]
    Reserved,
}

impl Access {
    /// `topic` is a valid topic name of the specification. Whether a P2P receiver is registered is another question.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn may_publish(&self, who: &Identity, topic: &str) -> Result<(), PublishRefusal> {
        if topic.starts_with('$') {
            return Err(PublishRefusal::Reserved);
        }
        self.check_topic(topic)?;
        let parent = first_level(topic);
        match who {
            Identity::Service { key_id, .. } if !self.key_allows(key_id, Scope::Topics) => Err(PublishRefusal::Scope),
            Identity::Service { key_id, .. } if !self.is_narrowed(key_id) => self.owner_may_publish(topic),
            Identity::Service { .. } => self.granted_to_publish(who, parent, topic),
            Identity::Device { publishes, .. } => {
                self.granted_to_publish(who, parent, topic)?;
                is_named(publishes.as_deref(), |one| resource::matches(one, topic))
                    .then_some(())
                    .ok_or(PublishRefusal::NotGranted)
            }
            Identity::Tokens(holder) if self.rule_of(parent).is_some() && self.holder_may_write(holder, topic) => {
                Ok(())
            }
            Identity::Tokens(_) => Err(PublishRefusal::NotInToken),
        }
    }

    /// The same for the holder of a key that is none of MQTT, and may do it by its scope.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn owner_may_publish(&self, topic: &str) -> Result<(), PublishRefusal> {
        if topic.starts_with('$') {
            return Err(PublishRefusal::Reserved);
        }
        self.check_topic(topic)?;
        if self.rule_of(first_level(topic)).is_some() { Ok(()) } else { Err(PublishRefusal::UnknownParent) }
    }

    fn granted_to_publish(&self, who: &Identity, parent: &str, topic: &str) -> Result<(), PublishRefusal> {
        let granted = self.rule_of(parent).is_some() && self.is_granted(who, parent, P2pTopic::right_at(topic));
        if granted { Ok(()) } else { Err(PublishRefusal::NotGranted) }
    }

    fn check_topic(&self, topic: &str) -> Result<(), PublishRefusal> {
        let limited = match P2pTopic::parse(topic) {
            Some(p2p) => p2p.more,
            None if P2pTopic::is_p2p(topic) => return Err(PublishRefusal::BadReceiver),
            None => Some(topic),
        };
        let Some(limited) = limited else { return Ok(()) };
        if limited.chars().count() > self.topic_limit().chars() {
            return Err(PublishRefusal::TooLong);
        }
        if limited.split('/').all(is_word) { Ok(()) } else { Err(PublishRefusal::BadLevel) }
    }

    /// `filter` is a valid topic filter of the specification; a shared one is judged by the filter that it shares.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn may_subscribe(&self, who: &Identity, filter: &str) -> Result<(), SubscribeRefusal> {
        let filter = unshared(filter);
        let granted = || self.is_granted(who, first_level(filter), Right::Subscribe);
        match who {
            Identity::Service { key_id, .. } if !self.key_allows(key_id, Scope::Topics) => {
                return Err(SubscribeRefusal::Scope);
            }
            Identity::Service { key_id, .. } if self.is_narrowed(key_id) && !granted() => {
                return Err(SubscribeRefusal::NotGranted);
            }
            Identity::Device { publishes, .. }
                if !granted() || !is_named(publishes.as_deref(), |one| resource::covers(one, filter)) =>
            {
                return Err(SubscribeRefusal::NotGranted);
            }
            Identity::Service { .. } | Identity::Device { .. } | Identity::Tokens(_) => {}
        }
        if filter.starts_with('$') {
            return Err(SubscribeRefusal::Reserved);
        }
        self.check_filter(filter)?;
        let exists = self.rule_of(first_level(filter)).is_some();
        match who {
            Identity::Tokens(holder) if exists && self.holder_may_read(holder, filter) => Ok(()),
            Identity::Tokens(_) => Err(SubscribeRefusal::NotInToken),
            _ if exists => Ok(()),
            _ => Err(SubscribeRefusal::UnknownParent),
        }
    }

    fn check_filter(&self, filter: &str) -> Result<(), SubscribeRefusal> {
        let parent = first_level(filter);
        let limit = if is_of_online_events(parent) { parent.len() + "/#".len() } else { 0 };
        if filter.chars().count() > limit.max(self.topic_limit().chars()) {
            return Err(SubscribeRefusal::TooLong);
        }
        if is_wildcard(first_level(filter)) {
            return Err(SubscribeRefusal::WildcardParent);
        }
        if P2pTopic::is_p2p(filter) {
            return Err(SubscribeRefusal::P2p);
        }
        let ends = filter.split_once('#').is_none_or(|(_, rest)| rest.is_empty());
        let good = ends && filter.split('/').all(|level| is_word(level) || is_wildcard(level));
        if good { Ok(()) } else { Err(SubscribeRefusal::BadLevel) }
    }
}

/// Whether it is inside what a login was narrowed to.
fn is_named(narrowed_to: Option<&[String]>, is_inside: impl Fn(&str) -> bool) -> bool {
    narrowed_to.is_none_or(|named| named.iter().any(|one| is_inside(one)))
}

pub(super) fn first_level(topic: &str) -> &str {
    topic.split('/').next().unwrap_or(topic)
}

fn is_wildcard(level: &str) -> bool {
    matches!(level, "+" | "#")
}

/// `$share/<name>/<filter>` (5.0 section 4.8.2).
pub(crate) fn unshared(filter: &str) -> &str {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    shared.map_or(filter, |(_, inner)| inner)
}
