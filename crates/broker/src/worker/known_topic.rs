//! What a connection knows of the topic that it published to last.
//!
//! A client publishes to the same topic again and again. Whether it may, by which rule, and to whom does not change unless
//! the rules of access do, and those have a revision: so the next PUBLISH to the topic costs one comparison.

use std::sync::Arc;

use accounts::access::{Access, Identity, P2pTopic};
use catalog::Rule;
use mqtt::ReasonCode;

use crate::client::ClientKey;
use crate::reason;

pub(super) struct KnownTopic {
    pub(super) topic: Arc<str>,
    pub(super) rule: Rule,
    pub(super) receiver: Option<Receiver>,
    /// How long its messages wait for who is off, at most.
    pub(super) kept_s: Option<u32>,
    /// Of the rules by which the topic was permitted.
    revision: u64,
}

/// The receiver of a P2P topic, by the rule of a topic that does not go through the queue.
#[derive(Clone)]
pub(super) struct Receiver {
    pub(super) client: ClientKey,
    /// The worker that owns it.
    pub(super) owner: usize,
}

impl KnownTopic {
    /// What is known already, if it still counts; else it is found out and kept in its place.
    ///
    /// # Errors
    /// The reason to refuse a PUBLISH to this topic.
    pub(super) fn of<'a>(
        last: &'a mut Option<Box<Self>>,
        topic: &str,
        identity: &Identity,
        access: &Access,
        workers: usize,
    ) -> Result<&'a Self, ReasonCode> {
        let known = match last.take().filter(|known| known.still_counts(topic, access)) {
            Some(known) => known,
            None => Box::new(Self::find_out(topic, identity, access, workers)?),
        };
        Ok(last.insert(known))
    }

    fn still_counts(&self, topic: &str, access: &Access) -> bool {
        self.revision == access.revision() && *self.topic == *topic
    }

    fn find_out(topic: &str, identity: &Identity, access: &Access, workers: usize) -> Result<Self, ReasonCode> {
        access.may_publish(identity, topic).map_err(reason::of_publish)?;
        Self::permitted(topic, access, workers)
    }

    /// Of a topic that may be published to.
    ///
    /// # Errors
    /// Its parent does not exist.
    pub(super) fn permitted(topic: &str, access: &Access, workers: usize) -> Result<Self, ReasonCode> {
        let parent = topic.split('/').next().unwrap_or(topic);
        let rule = access.rule_of(parent).ok_or(ReasonCode::NOT_AUTHORIZED)?;
        // What goes to the queue and comes back from it reaches its receivers from there.
        let p2p = P2pTopic::parse(topic).filter(|_| rule != Rule::Both);
        let receiver = p2p.map(|p2p| {
            let client = ClientKey::new(p2p.receiver.as_str());
            Receiver { owner: ClientKey::owner(client.as_str(), workers), client }
        });
        let kept_s = access.kept_s(parent);
        Ok(Self { topic: topic.into(), rule, receiver, kept_s, revision: access.revision() })
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use accounts::access::AccessConfig;
    use catalog::{AccessKey, AccessSnapshot, Key, ParentTopic};

    fn access(revision: u64, parents: &[(&str, Rule)]) -> Access {
        let key =
            AccessKey { key_id: "key".into(), secret: "secret".into(), instance: "convoke".into(), created_at_ms: 0 };
        let keys = vec![key.into()];
        with_keys(revision, keys, parents)
    }

    fn with_keys(revision: u64, keys: Vec<Key>, parents: &[(&str, Rule)]) -> Access {
        let parents = parents.iter().map(|(parent, rule)| ParentTopic::new(*parent, *rule));
        let snapshot = AccessSnapshot { revision, parents: parents.collect(), keys, ..AccessSnapshot::default() };
        Access::new(AccessConfig::default(), snapshot)
    }

    #[test]
    fn a_topic_is_known_until_the_rules_change_or_another_one_is_published_to() {
        let service = Identity::Service { key_id: "key".into(), instance: "convoke".into() };
        let mut last = None;
        let mut find = |topic: &str, access: &Access| {
            let known = KnownTopic::of(&mut last, topic, &service, access, 1)?;
            let receiver = known.receiver.as_ref().map(|receiver| receiver.client.as_str().to_owned());
            Ok::<_, ReasonCode>((known.topic.clone(), known.rule, receiver))
        };
        let before = access(1, &[("chat", Rule::None)]);
        let (topic, rule, receiver) = find("chat/p2p/GID_dev@@@bob", &before).unwrap();
        assert_eq!((rule, receiver.as_deref()), (Rule::None, Some("GID_dev@@@bob")));
        assert!(Arc::ptr_eq(&topic, &find("chat/p2p/GID_dev@@@bob", &before).unwrap().0), "it is known");
        assert_eq!(find("chat/p2p/GID_dev@@@eve", &before).unwrap().2.as_deref(), Some("GID_dev@@@eve"));
        let through_the_queue = access(2, &[("chat", Rule::Both)]);
        assert_eq!(find("chat/p2p/GID_dev@@@eve", &through_the_queue).unwrap().2, None);
        assert!(find("chat/p2p/GID_dev@@@eve", &access(3, &[])).is_err(), "it was taken away");
        assert!(find("chat/p2p/GID_dev@@@eve", &access(4, &[("chat", Rule::Both)])).is_ok(), "it is back");
        let without_the_key = with_keys(5, Vec::new(), &[("chat", Rule::Both)]);
        assert!(find("chat/p2p/GID_dev@@@eve", &without_the_key).is_err(), "the key was taken away");
    }
}
