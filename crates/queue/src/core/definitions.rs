//! What defines topics, groups and subscriptions, as records: a snapshot has it, and it is carried, from what the core
//! knows and not from what the disk has. Pure.

use commitlog::Position;

use super::Core;
use crate::ids::{GroupId, SubscriptionId, TopicId};
use crate::records::{encode_group, encode_topic, kind};

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
    /// The records that define topics, groups and subscriptions, by name. A group has its id from its first record and its
    /// options from its last one.
    pub(crate) fn definitions(&self) -> impl Iterator<Item = (Position, Defined)> + '_ {
        let topics = self.topic_by_id.keys().map(|id| (id.0, Defined::Topic(*id)));
        let groups = self.group_by_id.iter().flat_map(|(id, group)| {
            let options = Some(group.options_set_by).filter(|by| by != id);
            [Some(*id), options].into_iter().flatten().map(|name| (name.0, Defined::Group(*id)))
        });
        let subscriptions = self.subscription_by_id.keys().map(|id| (id.0, Defined::Subscription(*id)));
        topics.chain(groups).chain(subscriptions).map(|(name, defined)| (Position(name), defined))
    }

    /// The record of this name, as it would be written now.
    pub(crate) fn define(&self, name: Position, defined: Defined) -> Option<Said> {
        let (kind, owner, payload) = match defined {
            Defined::Topic(id) => {
                let topic = self.topic_by_id.get(&id)?;
                let (kind, payload) = encode_topic(topic.name.as_str(), topic.topic_type);
                (kind, 0, payload)
            }
            Defined::Group(id) => {
                let group = self.group_by_id.get(&id)?;
                let (kind, payload) = encode_group(group.options, group.name.as_str());
                (kind, 0, payload)
            }
            Defined::Subscription(id) => {
                let subscription = self.subscription_by_id.get(&id)?;
                (kind::SUBSCRIPTION, subscription.group.0, subscription.topic.0.to_le_bytes().to_vec())
            }
        };
        Some(Said { kind, owner, name: Some(name), payload })
    }
}
