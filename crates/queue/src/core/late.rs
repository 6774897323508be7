//! Topics whose beginning the log has given back: their definitions are copies, and come after records that name them.
//! Pure.
//!
//! A message goes once all subscriptions that its topic has *then* have consumed it; one that is made later has what is
//! left. Of a late topic that is not known before the replay is over: a subscription that was there all the time may be
//! defined by the last record. Until then it keeps all messages, and of each subscription the positions at which it
//! consumed them. With the subscriptions in the order of their ids, a message has gone exactly if for one of them:
//!
//! ```text
//! every position at which it and those before it consumed the message  <  id of the next one (the last: always)
//! ```

use std::collections::{BTreeMap, HashMap};

use commitlog::Position;

use super::progress::Progress;
use super::{Core, Subscription};
use crate::ids::{GroupId, SubscriptionId, TopicId};
use crate::message::TopicType;
use crate::names::TopicName;
use crate::records::{IndexEntry, Place};

#[derive(Debug, Default)]
pub(crate) struct LateTopics {
    topic_by_id: HashMap<TopicId, LateTopic>,
    subscription_by_id: HashMap<SubscriptionId, LateSubscription>,
}

#[derive(Debug, Default)]
struct LateTopic {
    /// `None`: it was named, and is not defined yet.
    definition: Option<(TopicName, TopicType)>,
    messages: BTreeMap<Position, IndexEntry>,
    waiting: BTreeMap<Position, IndexEntry>,
    entry_by_message: BTreeMap<Position, Position>,
}

#[derive(Debug, Default)]
struct LateSubscription {
    /// `None`: it was named, and is not defined yet.
    definition: Option<(GroupId, TopicId)>,
    history: History,
}

/// The progress of a subscription, and when it was made.
#[derive(Debug, Default)]
struct History {
    progress: Progress,
    /// The record that acknowledged the message.
    acked_at: HashMap<Position, Position>,
    /// The cursor and the record that moved it there, rising.
    steps: Vec<(Position, Position)>,
}

/// What was named and never defined.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Undefined {
    pub(crate) topics: usize,
    pub(crate) messages: usize,
    pub(crate) subscriptions: usize,
}

impl LateTopics {
    pub(crate) fn has_topic(&self, id: TopicId) -> bool {
        self.topic_by_id.contains_key(&id)
    }

    pub(crate) fn define_topic(&mut self, id: TopicId, name: TopicName, topic_type: TopicType) {
        self.topic_by_id.entry(id).or_default().definition = Some((name, topic_type));
    }

    pub(crate) fn define_subscription(&mut self, id: SubscriptionId, group: GroupId, topic: TopicId) {
        self.subscription_by_id.entry(id).or_default().definition = Some((group, topic));
    }

    pub(crate) fn add_message(&mut self, topic: TopicId, message: Position, (entry, place): (IndexEntry, Place)) {
        let topic = self.topic_by_id.entry(topic).or_default();
        match place {
            Place::Own => topic.messages.insert(message, entry),
            Place::Due(_) => topic.waiting.insert(message, entry),
        };
    }

    pub(crate) fn enter(&mut self, topic: TopicId, position: Position, message: Position, entry: IndexEntry) {
        let topic = self.topic_by_id.entry(topic).or_default();
        topic.waiting.remove(&message);
        topic.messages.insert(position, entry);
        topic.entry_by_message.insert(message, position);
    }

    pub(crate) fn remove_message(&mut self, topic: TopicId, message: Position) {
        if let Some(topic) = self.topic_by_id.get_mut(&topic) {
            topic.waiting.remove(&message);
            let position = topic.entry_by_message.remove(&message).unwrap_or(message);
            topic.messages.remove(&position);
        }
    }

    /// Applies a hand-out by the record at `at`, as do the next two.
    pub(crate) fn hand_out(&mut self, id: SubscriptionId, message: Position, attempt: u32, at: Position) {
        self.history(id).apply(at, |progress| progress.replay_hand_out(message, attempt));
    }

    pub(crate) fn consume(&mut self, id: SubscriptionId, message: Position, at: Position) {
        let history = self.history(id);
        history.apply(at, |progress| {
            progress.consume(message);
        });
        history.acked_at.insert(message, at);
    }

    pub(crate) fn set_cursor(&mut self, id: SubscriptionId, cursor: Position, at: Position) {
        self.history(id).apply(at, |progress| progress.replay_cursor(cursor));
    }

    fn history(&mut self, id: SubscriptionId) -> &mut History {
        &mut self.subscription_by_id.entry(id).or_default().history
    }

    /// Takes the subscriptions that are defined, by topic and in the order of their ids.
    fn take_subscriptions(&mut self) -> HashMap<TopicId, Vec<(SubscriptionId, GroupId, History)>> {
        let mut by_topic: HashMap<_, Vec<_>> = HashMap::new();
        for (id, LateSubscription { definition, history }) in std::mem::take(&mut self.subscription_by_id) {
            let Some((group, topic)) = definition else { continue };
            by_topic.entry(topic).or_default().push((id, group, history));
        }
        by_topic.values_mut().for_each(|subscriptions| subscriptions.sort_by_key(|(id, ..)| *id));
        by_topic
    }
}

impl Core {
    /// Adds the topics at the end of the replay. What was never defined is left out.
    pub(crate) fn add_late(&mut self, mut late: LateTopics) -> Undefined {
        let mut undefined = Undefined { subscriptions: late.subscription_by_id.len(), ..Undefined::default() };
        let mut subscriptions = late.take_subscriptions();
        for (id, mut topic) in late.topic_by_id {
            let Some(definition) = topic.definition.take() else {
                undefined.topics += 1;
                undefined.messages += topic.messages.len() + topic.waiting.len();
                continue;
            };
            let subscriptions = subscriptions.remove(&id).unwrap_or_default();
            undefined.subscriptions -= subscriptions.len();
            self.add_late_topic(id, definition, topic, subscriptions);
        }
        undefined
    }

    fn add_late_topic(
        &mut self,
        id: TopicId,
        (name, topic_type): (TopicName, TopicType),
        topic: LateTopic,
        subscriptions: Vec<(SubscriptionId, GroupId, History)>,
    ) {
        self.add_topic(id, name, topic_type);
        let LateTopic { messages, waiting, entry_by_message, .. } = topic;
        let message_by_entry: HashMap<_, _> =
            entry_by_message.into_iter().map(|(message, entry)| (entry, message)).collect();
        for (position, entry) in messages {
            if has_gone(&subscriptions, position) {
                continue;
            }
            match message_by_entry.get(&position) {
                Some(message) => drop(self.enter(id, position, *message, entry)),
                None => drop(self.add_message(id, position, (entry, Place::Own))),
            }
        }
        for (message, entry) in waiting {
            let due = entry.stored;
            self.add_message(id, message, (entry, Place::Due(due)));
        }
        for (subscription, group, history) in subscriptions {
            self.add_subscription(subscription, Subscription { topic: id, group, progress: history.progress });
        }
    }
}

impl History {
    fn apply(&mut self, at: Position, change: impl FnOnce(&mut Progress)) {
        let cursor = self.progress.cursor();
        change(&mut self.progress);
        if self.progress.cursor() > cursor {
            self.steps.push((self.progress.cursor(), at));
        }
    }

    /// The position of the record that consumed the message: its acknowledgement, else the first one that said that all
    /// up to it are. It may be later than the first that said so, but is never later than a copy of the message.
    fn consumed_at(&self, message: Position) -> Option<Position> {
        if !self.progress.is_consumed(message, None) {
            return None;
        }
        let step = self.steps.partition_point(|(cursor, _)| *cursor <= message);
        self.acked_at.get(&message).or(self.steps.get(step).map(|(_, at)| at)).copied()
    }
}

/// Whether all subscriptions of some moment had consumed the message then. They are in the order of their ids.
fn has_gone(subscriptions: &[(SubscriptionId, GroupId, History)], message: Position) -> bool {
    let mut latest = Position(0);
    let next_ids = subscriptions.iter().skip(1).map(|(id, ..)| id.0).chain([u64::MAX]);
    for ((.., history), next_id) in subscriptions.iter().zip(next_ids) {
        let Some(at) = history.consumed_at(message) else { return false };
        latest = latest.max(at);
        if latest.0 < next_id {
            return true;
        }
    }
    false
}
