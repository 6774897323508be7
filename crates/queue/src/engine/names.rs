//! What topics, groups and subscriptions there are. All topics share it; it is written when one of them is made, and read for
//! a moment by all else.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use super::Inner;
use super::topic::Topic;
use crate::core::{Core, Groups};
use crate::error::{AdminError, SendError};
use crate::ids::{SubscriptionId, TopicId};
use crate::message::{Message, TopicType};
use crate::names::TopicName;

#[derive(Default)]
pub(super) struct Names {
    pub(super) groups: Groups,
    topic_by_name: HashMap<TopicName, Arc<Topic>>,
    topic_by_subscription: HashMap<SubscriptionId, Arc<Topic>>,
}

impl Names {
    /// Of what a start has found.
    pub(super) fn of(core: Core) -> Self {
        let (groups, topics) = core.into_parts();
        let mut names = Self { groups, ..Self::default() };
        for (id, name, topic_type, core) in topics {
            let subscriptions = core.subscription_ids();
            let topic = Topic::new(id, name.clone(), topic_type, core);
            names.topic_by_subscription.extend(subscriptions.into_iter().map(|id| (id, Arc::clone(&topic))));
            names.topic_by_name.insert(name, topic);
        }
        names
    }

    pub(super) fn topic(&self, name: &TopicName) -> Option<&Arc<Topic>> {
        self.topic_by_name.get(name)
    }

    pub(super) fn topic_count(&self) -> usize {
        self.topic_by_name.len()
    }

    pub(super) fn topic_names(&self) -> Vec<TopicName> {
        self.topic_by_name.keys().cloned().collect()
    }

    pub(super) fn topics(&self) -> impl Iterator<Item = &Arc<Topic>> {
        self.topic_by_name.values()
    }

    pub(super) fn subscription_count(&self) -> usize {
        self.topic_by_subscription.len()
    }

    pub(super) fn add_topic(&mut self, id: TopicId, name: TopicName, topic_type: TopicType) -> Arc<Topic> {
        let mut core = Core::default();
        core.add_topic(id, name.clone(), topic_type);
        let topic = Topic::new(id, name.clone(), topic_type, core);
        self.topic_by_name.insert(name, Arc::clone(&topic));
        topic
    }

    pub(super) fn add_subscription(&mut self, id: SubscriptionId, topic: &Arc<Topic>) {
        self.topic_by_subscription.insert(id, Arc::clone(topic));
    }
}

impl Inner {
    /// Not while a topic or these are locked by the same thread.
    pub(super) fn names(&self) -> RwLockReadGuard<'_, Names> {
        self.names.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn names_mut(&self) -> RwLockWriteGuard<'_, Names> {
        self.names.write().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn topic(&self, name: &TopicName) -> Option<Arc<Topic>> {
        self.names().topic(name).cloned()
    }

    pub(super) fn known_topic(&self, name: &TopicName) -> Result<Arc<Topic>, AdminError> {
        self.topic(name).ok_or_else(|| AdminError::UnknownTopic(name.clone()))
    }

    /// Returns the topic of this name, which takes such messages.
    pub(super) fn topic_for(&self, name: &TopicName, message: &Message) -> Result<Arc<Topic>, SendError> {
        let topic = self.topic(name).ok_or_else(|| SendError::UnknownTopic(name.clone()))?;
        let (topic_type, message_type) = (topic.topic_type, message.topic_type());
        if topic_type == message_type {
            return Ok(topic);
        }
        Err(SendError::WrongType { topic: name.clone(), topic_type, message_type })
    }

    /// The topic to which the group of this subscription is subscribed.
    pub(super) fn topic_of(&self, subscription: SubscriptionId) -> Option<Arc<Topic>> {
        self.names().topic_by_subscription.get(&subscription).cloned()
    }

    /// All of them, in no order.
    pub(super) fn topics(&self) -> Vec<Arc<Topic>> {
        self.names().topics().cloned().collect()
    }
}
