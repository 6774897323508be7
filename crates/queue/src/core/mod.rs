//! What the queue knows: topics, groups, and what each group has done. Pure: no log, no clock, no lock.
//!
//! The shell appends a record for each change and calls the same method when it applies the change now as when it
//! replays it later.

mod progress;

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use commitlog::Position;

pub(crate) use progress::{Expired, HandOut, Picked, Want};

use crate::ids::{GroupId, Now, SubscriptionId, TopicId, WallMs};
use crate::message::{GroupOptions, GroupProgress, TopicDescription};
use crate::names::{GroupName, TopicName};
use crate::records::Entry;
use progress::Subscription;

#[derive(Debug, Default)]
pub(crate) struct Core {
    topics: HashMap<TopicId, Topic>,
    topic_ids: HashMap<TopicName, TopicId>,
    groups: HashMap<GroupId, Group>,
    group_ids: HashMap<GroupName, GroupId>,
    subscriptions: HashMap<SubscriptionId, Subscribed>,
}

#[derive(Debug)]
struct Topic {
    name: TopicName,
    /// Durable messages that some group still needs, or that no group has seen.
    messages: BTreeMap<Position, Entry>,
    subscriptions: Vec<(GroupId, SubscriptionId)>,
}

#[derive(Debug)]
struct Group {
    name: GroupName,
    options: GroupOptions,
}

#[derive(Debug)]
struct Subscribed {
    topic: TopicId,
    group: GroupId,
    state: Subscription,
}

/// A subscription with what a receive needs to know of it.
#[derive(Clone, Debug)]
pub(crate) struct SubscriptionFacts {
    pub(crate) topic: TopicName,
    pub(crate) group: GroupName,
    pub(crate) attempts_max: u32,
}

impl Core {
    pub(crate) fn topic_id(&self, name: &TopicName) -> Option<TopicId> {
        self.topic_ids.get(name).copied()
    }

    pub(crate) fn group_id(&self, name: &GroupName) -> Option<GroupId> {
        self.group_ids.get(name).copied()
    }

    pub(crate) fn group_options(&self, id: GroupId) -> Option<GroupOptions> {
        self.groups.get(&id).map(|group| group.options)
    }

    pub(crate) fn topics(&self) -> usize {
        self.topics.len()
    }

    pub(crate) fn groups(&self) -> usize {
        self.groups.len()
    }

    pub(crate) fn add_topic(&mut self, id: TopicId, name: TopicName) {
        self.topic_ids.insert(name.clone(), id);
        self.topics.insert(id, Topic { name, messages: BTreeMap::new(), subscriptions: Vec::new() });
    }

    /// Makes the group, or changes the one of that name.
    pub(crate) fn set_group(&mut self, id: GroupId, name: GroupName, options: GroupOptions) {
        let id = *self.group_ids.entry(name.clone()).or_insert(id);
        self.groups.insert(id, Group { name, options });
    }

    pub(crate) fn subscription(&self, group: GroupId, topic: TopicId) -> Option<SubscriptionId> {
        let subscriptions = &self.topics.get(&topic)?.subscriptions;
        subscriptions.iter().find(|(of, _)| *of == group).map(|(_, id)| *id)
    }

    /// The group takes part in the topic, from its oldest message on.
    pub(crate) fn subscribe(&mut self, id: SubscriptionId, group: GroupId, topic: TopicId) {
        let Some(found) = self.topics.get_mut(&topic) else { return };
        found.subscriptions.push((group, id));
        self.subscriptions.insert(id, Subscribed { topic, group, state: Subscription::default() });
    }

    pub(crate) fn facts(&self, id: SubscriptionId) -> Option<SubscriptionFacts> {
        let subscribed = self.subscriptions.get(&id)?;
        let group = self.groups.get(&subscribed.group)?;
        let topic = self.topics.get(&subscribed.topic)?.name.clone();
        Some(SubscriptionFacts { topic, group: group.name.clone(), attempts_max: group.options.attempts_max })
    }

    pub(crate) fn messages(&self, topic: TopicId) -> usize {
        self.topics.get(&topic).map_or(0, |topic| topic.messages.len())
    }

    /// A durable message. Answers the subscriptions that may want it.
    pub(crate) fn add_message(&mut self, topic: TopicId, position: Position, entry: Entry) -> Vec<SubscriptionId> {
        let Some(topic) = self.topics.get_mut(&topic) else { return Vec::new() };
        topic.messages.insert(position, entry);
        topic.subscriptions.iter().map(|(_, id)| *id).collect()
    }

    /// Forgets what was stored before `oldest`.
    pub(crate) fn forget_before(&mut self, topic: TopicId, oldest: WallMs) {
        let Some(topic) = self.topics.get_mut(&topic) else { return };
        while let Some(first) = topic.messages.first_entry()
            && first.get().stored < oldest
        {
            first.remove();
        }
    }

    pub(crate) fn forget_all_before(&mut self, oldest: WallMs) {
        let topics: Vec<TopicId> = self.topics.keys().copied().collect();
        for topic in topics {
            self.forget_before(topic, oldest);
        }
    }

    pub(crate) fn pick(&mut self, id: SubscriptionId, want: &Want<'_>) -> Picked {
        let Some(subscribed) = self.subscriptions.get_mut(&id) else { return Picked::default() };
        let Some(topic) = self.topics.get(&subscribed.topic) else { return Picked::default() };
        let picked = subscribed.state.pick(&topic.messages, want);
        let topic = subscribed.topic;
        for position in &picked.skipped {
            self.forget_if_done(topic, *position);
        }
        picked
    }

    pub(crate) fn take_back(&mut self, id: SubscriptionId, picked: &Picked) {
        if let Some(subscribed) = self.subscriptions.get_mut(&id) {
            subscribed.state.take_back(picked);
        }
    }

    pub(crate) fn replay_hand_out(&mut self, id: SubscriptionId, position: Position, attempt: u32) {
        if let Some(subscribed) = self.subscriptions.get_mut(&id) {
            subscribed.state.replay_hand_out(position, attempt);
        }
    }

    pub(crate) fn hold(
        &mut self,
        id: SubscriptionId,
        position: Position,
        serial: u64,
        now: Now,
    ) -> Result<(), Expired> {
        self.subscriptions.get_mut(&id).ok_or(Expired)?.state.hold(position, serial, now)
    }

    pub(crate) fn release(&mut self, id: SubscriptionId, position: Position, serial: u64) {
        if let Some(subscribed) = self.subscriptions.get_mut(&id) {
            subscribed.state.release(position, serial);
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
        self.subscriptions.get_mut(&id).ok_or(Expired)?.state.change(position, serial, invisible, now)
    }

    /// The group has consumed the message. Forgets the message if it was the last one to.
    pub(crate) fn done(&mut self, id: SubscriptionId, position: Position) {
        let Some(subscribed) = self.subscriptions.get_mut(&id) else { return };
        subscribed.state.done(position);
        let topic = subscribed.topic;
        self.forget_if_done(topic, position);
    }

    fn forget_if_done(&mut self, topic: TopicId, position: Position) {
        let Some(topic) = self.topics.get_mut(&topic) else { return };
        let mut states = topic.subscriptions.iter().filter_map(|(_, id)| self.subscriptions.get(id));
        if states.all(|subscribed| subscribed.state.is_done(position)) {
            topic.messages.remove(&position);
        }
    }

    pub(crate) fn next_deadline(&self, id: SubscriptionId) -> Option<Now> {
        self.subscriptions.get(&id)?.state.next_deadline()
    }

    pub(crate) fn describe(&self, topic: TopicId, now: Now) -> Option<TopicDescription> {
        let topic = self.topics.get(&topic)?;
        let groups = topic.subscriptions.iter().filter_map(|(group, id)| {
            let name = self.groups.get(group)?.name.clone();
            let state = &self.subscriptions.get(id)?.state;
            let (in_flight, due_again) = state.counts(now);
            let waiting = topic.messages.range(state.cursor()..).count() as u64;
            Some(GroupProgress { group: name, waiting, in_flight, due_again })
        });
        let messages = topic.messages.len() as u64;
        Some(TopicDescription { topic: topic.name.clone(), messages, groups: groups.collect() })
    }
}

#[cfg(test)]
mod tests;
