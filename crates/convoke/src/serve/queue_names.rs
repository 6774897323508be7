//! The names of the queue, as the API makes and asks them.

use super::messages::OwnersMessages;
use super::view::topic;
use accounts::clients::{Answer, Turn};
use accounts::queue_names::{
    ConsumedTopicState, ConsumerGroupState, NewConsumerGroup, NewQueueTopic, NotMade, QueueNames, QueueTopicType,
};
use accounts::server::QueueTopicState;
use queue::{
    AdminError, DEAD_LETTER_PREFIX, GroupName, GroupOptions, GroupProgress, Queue, TopicDescription, TopicName,
    TopicType,
};
use queue_rocketmq::OWN_GROUPS;
use std::collections::BTreeMap;

impl QueueNames for OwnersMessages {
    fn topics(&self) -> Vec<QueueTopicState> {
        let mut topics: Vec<_> = self.queue.describe_all().into_iter().map(topic).collect();
        topics.sort_by(|one, other| one.topic.cmp(&other.topic));
        topics
    }

    fn topic(&self, name: &str) -> Option<QueueTopicState> {
        let name = TopicName::parse(name).ok()?;
        self.queue.describe_one(&name).map(topic)
    }

    fn is_new_topic(&self, wish: &NewQueueTopic) -> Result<bool, NotMade> {
        let (name, topic_type) = (topic_name(&wish.topic)?, type_of(wish.topic_type)?);
        match self.queue.describe_one(&name) {
            None => Ok(true),
            Some(TopicDescription { topic_type: is, .. }) if is == topic_type => Ok(false),
            Some(TopicDescription { topic_type: is, .. }) => {
                Err(NotMade::OtherType { topic: name.to_string(), is: is.to_string() })
            }
        }
    }

    fn create_topic(&self, wish: NewQueueTopic, turn: Turn) -> Answer<Result<(), NotMade>> {
        let queue = self.queue.clone();
        let made = tokio::spawn(async move {
            let (name, topic_type) = (topic_name(&wish.topic)?, type_of(wish.topic_type)?);
            let made = queue.create_topic_of(name, topic_type).await;
            drop(turn);
            made.map_err(not_made)
        });
        Box::pin(async move { made.await.ok() })
    }

    fn groups(&self) -> Vec<ConsumerGroupState> {
        let groups = self.queue.groups().into_iter().filter(|(name, _)| !name.as_str().starts_with(OWN_GROUPS));
        let mut states: BTreeMap<_, _> = groups.map(|(name, options)| (name.clone(), empty(&name, options))).collect();
        for (group, consumed) in consumed(self.queue.describe_all()) {
            states.entry(group).and_modify(|state| state.topics.push(consumed));
        }
        states.into_values().map(sorted).collect()
    }

    fn group(&self, name: &str) -> Option<ConsumerGroupState> {
        let name = group_name(name).ok()?;
        let (_, options) = self.queue.groups().into_iter().find(|(group, _)| *group == name)?;
        let of_it = consumed(self.queue.describe_all()).filter(|(group, _)| *group == name);
        let topics = of_it.map(|(_, consumed)| consumed).collect();
        Some(sorted(ConsumerGroupState { topics, ..empty(&name, options) }))
    }

    fn check_group(&self, group: &str) -> Result<(), NotMade> {
        group_name(group).map(drop)
    }

    fn put_group(&self, wish: NewConsumerGroup, turn: Turn) -> Answer<Result<(), NotMade>> {
        let queue = self.queue.clone();
        let made = tokio::spawn(async move {
            let options = GroupOptions { attempts_max: wish.max_attempts, is_fifo: wish.fifo };
            let made = queue.create_group(group_name(&wish.group)?, options).await;
            drop(turn);
            made.map_err(not_made)
        });
        Box::pin(async move { made.await.ok() })
    }
}

/// What each group has to consume of each topic.
fn consumed(topics: Vec<TopicDescription>) -> impl Iterator<Item = (GroupName, ConsumedTopicState)> {
    topics.into_iter().flat_map(|TopicDescription { topic, groups, .. }| {
        groups.into_iter().map(move |GroupProgress { group, waiting, in_flight, due_again }| {
            (group, ConsumedTopicState { topic: topic.to_string(), waiting, in_flight, due_again })
        })
    })
}

fn empty(name: &GroupName, options: GroupOptions) -> ConsumerGroupState {
    let GroupOptions { attempts_max: max_attempts, is_fifo: fifo } = options;
    ConsumerGroupState { group: name.to_string(), max_attempts, fifo, topics: Vec::new() }
}

fn sorted(mut state: ConsumerGroupState) -> ConsumerGroupState {
    state.topics.sort_by(|one, other| one.topic.cmp(&other.topic));
    state
}

fn topic_name(name: &str) -> Result<TopicName, NotMade> {
    let refused = || NotMade::Name { what: "queue topic", name: name.to_owned() };
    let is_free = !name.starts_with(DEAD_LETTER_PREFIX) && !name.contains('|') && !name.contains('%');
    TopicName::parse(name).ok().filter(|_| is_free).ok_or_else(refused)
}

fn group_name(name: &str) -> Result<GroupName, NotMade> {
    let refused = || NotMade::Name { what: "consumer group", name: name.to_owned() };
    let parsed = GroupName::parse(name).ok().filter(|_| !name.starts_with(OWN_GROUPS)).ok_or_else(refused)?;
    TopicName::dead_letters_of(&parsed).map_err(|_| refused())?;
    Ok(parsed)
}

fn type_of(name: QueueTopicType) -> Result<TopicType, NotMade> {
    match name {
        QueueTopicType::Normal => Ok(TopicType::Normal),
        QueueTopicType::Fifo => Ok(TopicType::Fifo),
        QueueTopicType::Delay => Ok(TopicType::Delay),
        QueueTopicType::Transaction => Err(NotMade::NoSuchType("transaction")),
    }
}

fn not_made(error: AdminError) -> NotMade {
    match error {
        AdminError::OtherType { topic, is } => NotMade::OtherType { topic: topic.to_string(), is: is.to_string() },
        error @ AdminError::TooMany { .. } => NotMade::TooMany(error.to_string()),
        other => NotMade::Unavailable(other.to_string()),
    }
}
