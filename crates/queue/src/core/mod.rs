//! The queue's state machine: topics, consumer groups, and what each group has consumed. Pure: no log, no clock, no
//! lock.
//!
//! The engine appends a record for each change, and applies the change by the same method now and when it replays the
//! record at the next start.

mod carry;
mod definitions;
mod dump;
mod groups;
mod late;
mod messages;
mod progress;
mod recent;
mod runs;
mod waiting;

use std::collections::HashMap;
use std::ops::Bound;
use std::time::Duration;

use commitlog::Position;

pub(crate) use carry::{DEFINITION_BYTES, Fate, Kept, Restated, TopicPart};
pub(crate) use definitions::{Defined, Said};
pub(crate) use dump::{CoreDump, CoreStep};
pub(crate) use groups::Groups;
pub(crate) use late::{LateTopics, Undefined};
pub(crate) use progress::{Expired, HandOut, LimitNews, PickRequest, Picked};
pub(crate) use recent::{Recent, RecentIds};

use crate::ids::{GroupId, Now, SubscriptionId, TopicId, WallMs};
use crate::message::{GroupOptions, GroupProgress, TopicDescription, TopicType};
use crate::names::{GroupName, TopicName};
use crate::records::{IndexEntry, Place};
use messages::Messages;
use progress::Progress;
use waiting::Waiting;

#[derive(Debug, Default)]
pub(crate) struct Core {
    topic_by_id: HashMap<TopicId, Topic>,
    groups: Groups,
    subscription_by_id: HashMap<SubscriptionId, Subscription>,
}

#[derive(Debug)]
struct Topic {
    name: TopicName,
    topic_type: TopicType,
    /// Durable messages that some group has still to consume, or that no group has received.
    messages: Messages,
    /// Durable messages that are not in the line yet.
    waiting: Waiting,
    recent_ids: RecentIds,
    subscriptions: Vec<(GroupId, SubscriptionId)>,
}

#[derive(Debug)]
struct Subscription {
    topic: TopicId,
    group: GroupId,
    progress: Progress,
}

/// Messages that were stored before `oldest` have had their time, but for those of which that is in doubt: they were stored
/// from `held_from` to `held_until`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    pub(crate) now: WallMs,
    pub(crate) oldest: WallMs,
    pub(crate) held_from: WallMs,
    pub(crate) held_until: WallMs,
    /// What was stored later than now was stored by a clock that was ahead. Else now may be wrong.
    pub(crate) is_settled: bool,
}

impl Retention {
    fn is_old(self, stored: WallMs) -> bool {
        stored < self.oldest && !(self.held_from <= stored && stored <= self.held_until)
    }
}

/// A message that is to come into the line.
#[derive(Clone, Debug)]
pub(crate) struct NewEntry {
    pub(crate) topic: TopicId,
    pub(crate) message: Position,
    pub(crate) entry: IndexEntry,
}

/// What a receive needs to know of a subscription.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionInfo {
    pub(crate) topic: TopicName,
    pub(crate) group: GroupName,
    pub(crate) attempts_max: u32,
    pub(crate) is_fifo: bool,
}

impl Core {
    #[cfg(test)]
    pub(crate) fn topic_id(&self, name: &TopicName) -> Option<TopicId> {
        self.topic_by_id.iter().find(|(_, topic)| topic.name == *name).map(|(id, _)| *id)
    }

    pub(crate) fn group_id(&self, name: &GroupName) -> Option<GroupId> {
        self.groups.id(name)
    }

    #[cfg(test)]
    pub(crate) fn groups(&self) -> &Groups {
        &self.groups
    }

    #[cfg(test)]
    pub(crate) fn group_options(&self, id: GroupId) -> Option<GroupOptions> {
        self.groups.options(id)
    }

    /// Creates the topic. One that exists keeps its messages.
    pub(crate) fn add_topic(&mut self, id: TopicId, name: TopicName, topic_type: TopicType) {
        let topic = || {
            let (messages, waiting, subscriptions) = (Messages::default(), Waiting::default(), Vec::new());
            Topic { name, topic_type, messages, waiting, recent_ids: RecentIds::default(), subscriptions }
        };
        self.topic_by_id.entry(id).or_insert_with(topic);
    }

    /// Creates the group, or changes its options, by the record of this id.
    pub(crate) fn set_group(&mut self, id: GroupId, name: GroupName, options: GroupOptions) {
        self.groups.set(id, name, options);
    }

    /// Has what the others know of this group.
    pub(crate) fn copy_group(&mut self, id: GroupId, others: &Groups) {
        self.groups.copy(id, others);
    }

    pub(crate) fn subscription_ids(&self) -> Vec<SubscriptionId> {
        self.subscription_by_id.keys().copied().collect()
    }

    /// Takes it apart: the groups, and a core of each topic alone, with the groups that have subscribed to it.
    pub(crate) fn into_parts(mut self) -> (Groups, Vec<(TopicId, TopicName, TopicType, Self)>) {
        let mut parts = Vec::with_capacity(self.topic_by_id.len());
        for (id, topic) in std::mem::take(&mut self.topic_by_id) {
            let (name, topic_type) = (topic.name.clone(), topic.topic_type);
            let mut core = Self::default();
            for (group, subscription) in &topic.subscriptions {
                core.groups.copy(*group, &self.groups);
                core.subscription_by_id.extend(self.subscription_by_id.remove_entry(subscription));
            }
            core.topic_by_id.insert(id, topic);
            parts.push((id, name, topic_type, core));
        }
        (self.groups, parts)
    }

    pub(crate) fn subscription(&self, group: GroupId, topic: TopicId) -> Option<SubscriptionId> {
        let subscriptions = &self.topic_by_id.get(&topic)?.subscriptions;
        subscriptions.iter().find(|(of, _)| *of == group).map(|(_, id)| *id)
    }

    /// Subscribes the group to the topic, from the oldest message on. A subscription that exists keeps its progress.
    pub(crate) fn subscribe(&mut self, id: SubscriptionId, group: GroupId, topic: TopicId) {
        if !self.has_subscription(id) {
            self.add_subscription(id, Subscription { topic, group, progress: Progress::default() });
        }
    }

    fn add_subscription(&mut self, id: SubscriptionId, subscription: Subscription) {
        let Some(topic) = self.topic_by_id.get_mut(&subscription.topic) else { return };
        topic.subscriptions.push((subscription.group, id));
        self.subscription_by_id.insert(id, subscription);
    }

    pub(crate) fn has_topic(&self, id: TopicId) -> bool {
        self.topic_by_id.contains_key(&id)
    }

    pub(crate) fn has_subscription(&self, id: SubscriptionId) -> bool {
        self.subscription_by_id.contains_key(&id)
    }

    pub(crate) fn subscription_info(&self, id: SubscriptionId) -> Option<SubscriptionInfo> {
        let subscription = self.subscription_by_id.get(&id)?;
        let group = self.groups.group(subscription.group)?;
        let topic = self.topic_by_id.get(&subscription.topic)?;
        let (is_fifo, topic) = (topic.topic_type == TopicType::Fifo, topic.name.clone());
        let attempts_max = group.options.attempts_max;
        Some(SubscriptionInfo { topic, group: group.name.clone(), attempts_max, is_fifo })
    }

    /// What was handed out under this serial, if it is still handed out under it.
    pub(crate) fn hand_out(
        &self,
        id: SubscriptionId,
        position: Position,
        serial: u64,
    ) -> Option<(SubscriptionInfo, HandOut)> {
        let subscription = self.subscription_by_id.get(&id)?;
        let out = subscription.progress.hand_out(position, serial)?;
        let message = self.topic_by_id.get(&subscription.topic)?.messages.message_at(position);
        Some((self.subscription_info(id)?, HandOut { message, ..out }))
    }

    pub(crate) fn message_count(&self, topic: TopicId) -> usize {
        self.topic_by_id.get(&topic).map_or(0, |topic| topic.messages.len() + topic.waiting.len())
    }

    /// Adds a durable message. Returns the subscriptions that may want it.
    pub(crate) fn add_message(
        &mut self,
        topic: TopicId,
        message: Position,
        (entry, place): (IndexEntry, Place),
    ) -> Vec<SubscriptionId> {
        let Some(topic) = self.topic_by_id.get_mut(&topic) else { return Vec::new() };
        match place {
            Place::Own => topic.messages.insert(message, entry),
            Place::Due(_) => {
                topic.waiting.insert(message, entry);
                return Vec::new();
            }
        }
        topic.subscriptions.iter().map(|(_, id)| *id).collect()
    }

    /// Messages that are due, and are entering from now on: of any topics, in no order between them.
    pub(crate) fn take_due(&mut self, now: WallMs, max: usize) -> Vec<NewEntry> {
        let mut due = Vec::new();
        for (id, topic) in &mut self.topic_by_id {
            while due.len() < max
                && let Some((message, mut entry)) = topic.waiting.take_due(now)
            {
                entry.stored = now;
                due.push(NewEntry { topic: *id, message, entry });
            }
        }
        due
    }

    pub(crate) fn put_back(&mut self, topic: TopicId, message: Position) {
        if let Some(topic) = self.topic_by_id.get_mut(&topic) {
            topic.waiting.put_back(message);
        }
    }

    /// The entry of a message is durable. Returns the subscriptions that may want it. One that was removed meanwhile stays out.
    pub(crate) fn enter_waiting(
        &mut self,
        topic: TopicId,
        position: Position,
        message: Position,
        entry: IndexEntry,
    ) -> Vec<SubscriptionId> {
        let waits = self.topic_by_id.get(&topic).is_some_and(|topic| topic.waiting.contains(message));
        if waits { self.enter(topic, position, message, entry) } else { Vec::new() }
    }

    /// The same of a replay: the message itself may come later.
    pub(crate) fn enter(
        &mut self,
        topic: TopicId,
        position: Position,
        message: Position,
        entry: IndexEntry,
    ) -> Vec<SubscriptionId> {
        let Some(topic) = self.topic_by_id.get_mut(&topic) else { return Vec::new() };
        topic.waiting.remove(message);
        topic.messages.enter(position, message, entry);
        topic.subscriptions.iter().map(|(_, id)| *id).collect()
    }

    /// Whether the message waits, and its entry is not appended.
    pub(crate) fn waits(&self, topic: TopicId, message: Position) -> bool {
        let topic = self.topic_by_id.get(&topic);
        topic.is_some_and(|topic| topic.waiting.contains(message) && !topic.waiting.is_entering(message))
    }

    /// Removes the messages that have had their time.
    pub(crate) fn remove_old(&mut self, topic: TopicId, retention: Retention) {
        let Some(topic) = self.topic_by_id.get_mut(&topic) else { return };
        topic.messages.remove_old(retention);
        topic.recent_ids.remove_old(retention.now);
    }

    pub(crate) fn recent_ids(&self, topic: TopicId) -> Option<&RecentIds> {
        self.topic_by_id.get(&topic).map(|topic| &topic.recent_ids)
    }

    pub(crate) fn recent_ids_mut(&mut self, topic: TopicId) -> Option<&mut RecentIds> {
        self.topic_by_id.get_mut(&topic).map(|topic| &mut topic.recent_ids)
    }

    pub(crate) fn remove_all_old(&mut self, retention: Retention) {
        let topics: Vec<TopicId> = self.topic_by_id.keys().copied().collect();
        for topic in topics {
            self.remove_old(topic, retention);
        }
    }

    /// Removes what all groups have consumed without a record of each message: a filter left it out.
    pub(crate) fn remove_all_consumed(&mut self) {
        let topics: Vec<TopicId> = self.topic_by_id.keys().copied().collect();
        topics.into_iter().for_each(|topic| self.remove_consumed(topic));
    }

    /// The same of one topic.
    pub(crate) fn remove_consumed(&mut self, topic: TopicId) {
        let Some(topic) = self.topic_by_id.get_mut(&topic) else { return };
        let subscriptions = topic.subscriptions.iter().filter_map(|(_, id)| self.subscription_by_id.get(id));
        let progress: Vec<&Progress> = subscriptions.map(|subscription| &subscription.progress).collect();
        let Some(oldest_cursor) = progress.iter().map(|progress| progress.cursor()).min() else { return };
        topic.messages.retain(|position, entry| {
            position >= oldest_cursor || !progress.iter().all(|progress| progress.is_consumed(position, entry.group))
        });
    }

    pub(crate) fn pick(&mut self, id: SubscriptionId, request: &PickRequest<'_>) -> Picked {
        let Some(subscription) = self.subscription_by_id.get_mut(&id) else { return Picked::default() };
        let Some(topic) = self.topic_by_id.get(&subscription.topic) else { return Picked::default() };
        let mut picked = subscription.progress.pick(&topic.messages, request);
        for out in picked.hand_outs.iter_mut().chain(&mut picked.dead) {
            out.message = topic.messages.message_at(out.position);
        }
        picked
    }

    /// Whether a pick would examine any message now.
    pub(crate) fn has_some(&self, id: SubscriptionId, now: Now) -> bool {
        let subscription = self.subscription_by_id.get(&id);
        let topic = subscription.and_then(|subscription| self.topic_by_id.get(&subscription.topic));
        subscription
            .zip(topic)
            .is_some_and(|(subscription, topic)| subscription.progress.has_some(&topic.messages, now))
    }

    /// The pick is logged: what the filter left out is consumed.
    pub(crate) fn remove_skipped(&mut self, id: SubscriptionId, picked: &Picked) {
        let Some(topic) = self.subscription_by_id.get(&id).map(|subscription| subscription.topic) else { return };
        picked.skipped.iter().for_each(|position| self.remove_if_consumed(topic, *position));
    }

    /// At the end of a replay.
    pub(crate) fn order_groups(&mut self) {
        for subscription in self.subscription_by_id.values_mut() {
            if let Some(topic) = self.topic_by_id.get(&subscription.topic)
                && topic.topic_type == TopicType::Fifo
            {
                subscription.progress.order_groups(&topic.messages);
            }
        }
    }

    pub(crate) fn undo_pick(&mut self, id: SubscriptionId, picked: &Picked) {
        if let Some(subscription) = self.subscription_by_id.get_mut(&id) {
            subscription.progress.undo_pick(picked);
        }
    }

    pub(crate) fn replay_hand_out(&mut self, id: SubscriptionId, position: Position, attempt: u32) {
        if let Some(subscription) = self.subscription_by_id.get_mut(&id) {
            subscription.progress.replay_hand_out(position, attempt);
        }
    }

    pub(crate) fn replay_cursor(&mut self, id: SubscriptionId, cursor: Position) {
        if let Some(subscription) = self.subscription_by_id.get_mut(&id) {
            subscription.progress.replay_cursor(cursor);
        }
    }

    pub(crate) fn hold(
        &mut self,
        id: SubscriptionId,
        position: Position,
        serial: u64,
        now: Now,
    ) -> Result<(), Expired> {
        self.subscription_by_id.get_mut(&id).ok_or(Expired)?.progress.hold(position, serial, now)
    }

    /// The acknowledgement of a held message is appended.
    pub(crate) fn end(&mut self, id: SubscriptionId, position: Position) {
        if let Some(subscription) = self.subscription_by_id.get_mut(&id) {
            subscription.progress.end(position);
        }
    }

    pub(crate) fn release(&mut self, id: SubscriptionId, position: Position, serial: u64) {
        if let Some(subscription) = self.subscription_by_id.get_mut(&id) {
            subscription.progress.release(position, serial);
        }
    }

    pub(crate) fn change(
        &mut self,
        id: SubscriptionId,
        position: Position,
        serial: u64,
        invisible: Duration,
        now: Now,
    ) -> Result<u64, Expired> {
        self.subscription_by_id.get_mut(&id).ok_or(Expired)?.progress.change(position, serial, invisible, now)
    }

    /// Marks the message as consumed by the group, and removes it if no other group needs it.
    /// Returns whether another one is due to the group now.
    pub(crate) fn consume(&mut self, id: SubscriptionId, position: Position) -> bool {
        let Some(subscription) = self.subscription_by_id.get_mut(&id) else { return false };
        let releases = subscription.progress.consume(position);
        let topic = subscription.topic;
        self.remove_if_consumed(topic, position);
        releases
    }

    fn remove_if_consumed(&mut self, topic: TopicId, position: Position) {
        let Some(topic) = self.topic_by_id.get_mut(&topic) else { return };
        let mut subscriptions = topic.subscriptions.iter().filter_map(|(_, id)| self.subscription_by_id.get(id));
        let group = topic.messages.get(position).and_then(|entry| entry.group);
        if subscriptions.all(|subscription| subscription.progress.is_consumed(position, group)) {
            topic.messages.remove(position);
        }
    }

    pub(crate) fn next_deadline(&self, id: SubscriptionId) -> Option<Now> {
        self.subscription_by_id.get(&id)?.progress.next_deadline()
    }

    /// Whether it is in the line or waits.
    pub(crate) fn holds(&self, topic: TopicId, message: Position) -> bool {
        let topic = self.topic_by_id.get(&topic);
        topic.is_some_and(|topic| topic.messages.position_of(message).is_some() || topic.waiting.contains(message))
    }

    /// When the message was stored that the topic has in its line; of one that had to wait, when it entered.
    pub(crate) fn stored_at(&self, topic: TopicId, message: Position) -> Option<WallMs> {
        let messages = &self.topic_by_id.get(&topic)?.messages;
        messages.get(messages.position_of(message)?).map(|entry| entry.stored)
    }

    /// What the topic has in its line behind this message, from the oldest or from the newest on, by name.
    pub(crate) fn messages_behind(
        &self,
        topic: TopicId,
        after: Option<Position>,
        newest_first: bool,
    ) -> Box<dyn Iterator<Item = (Position, &IndexEntry)> + '_> {
        let Some(topic) = self.topic_by_id.get(&topic) else { return Box::new(std::iter::empty()) };
        let messages = &topic.messages;
        let after = after.map(|message| messages.position_of(message).unwrap_or(message));
        let after = after.map_or(Bound::Unbounded, Bound::Excluded);
        let named = move |(position, entry)| (messages.message_at(position), entry);
        if newest_first {
            Box::new(messages.range((Bound::Unbounded, after)).rev().map(named))
        } else {
            Box::new(messages.range((after, Bound::Unbounded)).map(named))
        }
    }

    pub(crate) fn describe(&self, topic: TopicId, now: Now) -> Option<TopicDescription> {
        let topic = self.topic_by_id.get(&topic)?;
        let groups = topic.subscriptions.iter().filter_map(|(group, id)| {
            let name = self.groups.group(*group)?.name.clone();
            let progress = &self.subscription_by_id.get(id)?.progress;
            let (passed, in_flight, due_again) = progress.counts(now);
            let waiting = passed + topic.messages.len_from(progress.cursor()) as u64;
            Some(GroupProgress { group: name, waiting, in_flight, due_again })
        });
        let messages = topic.messages.len() as u64;
        let (name, bytes) = (topic.name.clone(), topic.messages.bytes() + topic.waiting.bytes());
        let topic_type = topic.topic_type;
        let delayed = topic.waiting.len() as u64;
        Some(TopicDescription { topic: name, topic_type, messages, delayed, bytes, groups: groups.collect() })
    }
}

#[cfg(test)]
mod fifo_tests;
#[cfg(test)]
mod memory;
#[cfg(test)]
mod tests;
