//! What defines topics, groups and subscriptions, as records: a snapshot has it, and it is carried, from what the core
//! knows and not from what the disk has. Pure.

use commitlog::Position;

use super::Core;
use crate::ids::{GroupId, SubscriptionId, TopicId};
use crate::records::{encode_topic, kind};

/// A record that says what the core knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) kind: u8,
    pub(crate) owner: u64,
    pub(crate) name: Option<Position>,
    pub(crate) payload: Vec<u8>,
}

/// What a record of the log defines.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Defined {
    Topic(TopicId),
    /// It, or its options.
    Group(GroupId),
    Subscription(SubscriptionId),
}

impl Core {
    /// The records that define topics, groups and subscriptions, by name.
    #[cfg(test)]
    pub(crate) fn definitions(&self) -> Vec<(Position, Defined)> {
        [self.groups.definitions(), self.topic_definitions()].concat()
    }

    /// The records that define topics and subscriptions, by name.
    pub(crate) fn topic_definitions(&self) -> Vec<(Position, Defined)> {
        let topics = self.topic_by_id.keys().map(|id| (Position(id.0), Defined::Topic(*id)));
        let subscriptions = self.subscription_by_id.keys();
        topics.chain(subscriptions.map(|id| (Position(id.0), Defined::Subscription(*id)))).collect()
    }

    /// The record of this name, as it would be written now.
    pub(crate) fn define(&self, name: Position, defined: Defined) -> Option<Said> {
        let (kind, owner, payload) = match defined {
            Defined::Topic(id) => {
                let topic = self.topic_by_id.get(&id)?;
                let (kind, payload) = encode_topic(topic.name.as_str(), topic.topic_type);
                (kind, 0, payload)
            }
            Defined::Group(_) => return self.groups.define(name, defined),
            Defined::Subscription(id) => {
                let subscription = self.subscription_by_id.get(&id)?;
                (kind::SUBSCRIPTION, subscription.group.0, subscription.topic.0.to_le_bytes().to_vec())
            }
        };
        Some(Said { kind, owner, name: Some(name), payload })
    }
}
