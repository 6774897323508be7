//! What there was at a moment, as a start is to find it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use commitlog::Position;

use super::super::durable::Unsettled;
use super::life::{GROUPS, dead_letters_of, group_name, topics};
use crate::core::{Core, Groups, TopicPart};
use crate::ids::{SubscriptionId, TopicId};
use crate::message::GroupOptions;
use crate::names::TopicName;

const ALL: Range<Position> = Position(0)..Position(u64::MAX);

/// Messages that are held for a consumer, with the attempt; `None`: their acknowledgement is appended.
pub(super) type Held = HashMap<(SubscriptionId, Position), Option<u32>>;

/// Messages that came a short while ago, by topic and their senders' ids.
pub(super) type RecentIds = BTreeMap<(TopicName, String), Position>;

/// The newest under each id, whether its time is over or not.
pub(super) fn recent_ids(core: &Core) -> RecentIds {
    let ids = |name: TopicName| Some((core.recent_ids(core.topic_id(&name)?)?, name));
    let ids = topics().into_iter().filter_map(ids);
    ids.flat_map(|(ids, name)| {
        ids.from(0).map(move |(_, recent)| ((name.clone(), recent.id.to_string()), recent.message))
    })
    .collect()
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Told {
    options: BTreeMap<&'static str, GroupOptions>,
    topics: BTreeMap<TopicName, ToldTopic>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct ToldTopic {
    /// Where messages stand in the line.
    messages: BTreeSet<Position>,
    /// Names of those of them that had to wait.
    names: BTreeMap<Position, Position>,
    waiting: BTreeSet<Position>,
    /// By group, the hand-outs so far of each message that it has not consumed.
    attempts: BTreeMap<&'static str, BTreeMap<Position, u32>>,
}

impl Told {
    /// By the options of groups; nothing of topics yet.
    pub(super) fn of(groups: &Groups) -> Self {
        let options = |group: &&'static str| {
            let id = groups.id(&group_name(group))?;
            Some((*group, groups.options(id)?))
        };
        Self { options: GROUPS.iter().filter_map(options).collect(), topics: BTreeMap::new() }
    }

    /// What a core knows of topics, by what was appended, durable or not; it does not know the unsettled messages yet.
    pub(super) fn and_topics_of(mut self, core: &Core, unsettled: &[Unsettled], held: &Held) -> Self {
        let topic = |name: TopicName| {
            let id = core.topic_id(&name)?;
            Some((name, ToldTopic::of(core, id, unsettled, held)))
        };
        self.topics.extend(topics().into_iter().filter_map(topic));
        self
    }

    pub(super) fn messages(&self) -> impl Iterator<Item = Position> + '_ {
        self.topics.values().flat_map(ToldTopic::names)
    }

    /// Whether some of the units of one step are there.
    pub(super) fn is_between(&self, before: &Self, after: &Self) -> bool {
        let is_one = |group: &str, options: &GroupOptions| {
            [before, after].iter().any(|told| told.options.get(group) == Some(options))
        };
        let groups_are = self.options.iter().all(|(group, options)| is_one(group, options))
            && before.options.keys().all(|group| self.options.contains_key(group));
        let none = ToldTopic::default();
        let topics_are = self.topics.iter().all(|(name, topic)| {
            let was = before.topics.get(name).unwrap_or(&none);
            after.topics.get(name).is_some_and(|becomes| topic.is_between(was, becomes))
        }) && before.topics.keys().all(|name| self.topics.contains_key(name));
        groups_are && topics_are && GROUPS.iter().all(|group| self.moved(group, before))
    }

    /// What the group had in flight and has no more is among its dead letters, and nothing else is. Of an acknowledgement
    /// there is nothing between.
    fn moved(&self, group: &'static str, before: &Self) -> bool {
        let none = ToldTopic::default();
        let letters = |told: &Self| told.topics.get(&dead_letters_of(group)).unwrap_or(&none).messages.clone();
        let gone = before.topics.iter().map(|(name, was)| self.topics.get(name).unwrap_or(&none).gone(group, was));
        gone.sum::<usize>() == letters(self).difference(&letters(before)).count()
    }
}

impl ToldTopic {
    fn names(&self) -> impl Iterator<Item = Position> + '_ {
        let in_line = self.messages.iter().map(|position| self.names.get(position).unwrap_or(position));
        in_line.chain(&self.waiting).copied()
    }

    fn of(core: &Core, id: TopicId, unsettled: &[Unsettled], held: &Held) -> Self {
        let mut messages: BTreeSet<_> = core.messages_in(id, ALL).map(|(position, _)| position).collect();
        let entered = core.kept_in((id, TopicPart::Entered), ALL);
        let mut names: BTreeMap<_, _> = entered.filter_map(|kept| Some((kept.entry?, kept.message))).collect();
        let mut waiting: BTreeSet<_> = core.kept_in((id, TopicPart::Waiting), ALL).map(|kept| kept.message).collect();
        for Unsettled { message, stands_at, .. } in unsettled.iter().filter(|unsettled| unsettled.topic == id) {
            let Some(position) = *stands_at else {
                waiting.insert(*message);
                continue;
            };
            messages.insert(position);
            if position != *message {
                waiting.remove(message);
                names.insert(position, *message);
            }
        }
        let attempts_of = |subscription, message: Position| {
            held.get(&(subscription, message)).copied().unwrap_or_else(|| core.attempts(subscription, message))
        };
        let attempts = |group: &&'static str| {
            let subscription = core.subscription(core.group_id(&group_name(group))?, id)?;
            let open = messages.iter().filter_map(|message| Some((*message, attempts_of(subscription, *message)?)));
            Some((*group, open.collect()))
        };
        let attempts: BTreeMap<_, BTreeMap<_, _>> = GROUPS.iter().filter_map(attempts).collect();
        if !attempts.is_empty() {
            messages.retain(|message| attempts.values().any(|open| open.contains_key(message)));
        }
        names.retain(|position, _| messages.contains(position));
        Self { messages, names, waiting, attempts }
    }

    fn is_between(&self, before: &Self, after: &Self) -> bool {
        let keeps = before.messages.intersection(&after.messages).all(|message| self.messages.contains(message));
        let known = |message: &Position| before.messages.contains(message) || after.messages.contains(message);
        let groups_are = self.attempts.iter().all(|(group, attempts)| {
            // What is still to come is nobody's.
            before.messages.iter().chain(&self.messages).all(|message| {
                let is = |told: &Self| told.attempts_of(group, *message) == attempts.get(message).copied();
                is(after) || (before.messages.contains(message) && is(before))
            })
        });
        let has_all = before.attempts.keys().all(|group| self.attempts.contains_key(group));
        let waits = before.waiting.intersection(&after.waiting).all(|message| self.waiting.contains(message))
            && self.waiting.iter().all(|message| before.waiting.contains(message) || after.waiting.contains(message));
        // Who leaves those that wait comes into the line at the same moment.
        let enters = after.names.iter().filter(|(position, _)| !before.messages.contains(position));
        let is_one = |(position, message)| self.messages.contains(position) != self.waiting.contains(message);
        let mut entered = enters.filter(|(_, message)| before.waiting.contains(message));
        keeps && self.messages.iter().all(known) && groups_are && has_all && waits && entered.all(is_one)
    }

    /// A group that has not subscribed yet will get all that there is.
    fn attempts_of(&self, group: &str, message: Position) -> Option<u32> {
        let Some(attempts) = self.attempts.get(group) else { return Some(0) };
        attempts.get(&message).copied()
    }

    /// How many messages the group had in flight, and has not any more.
    fn gone(&self, group: &str, before: &Self) -> usize {
        let had = before.attempts.get(group).into_iter().flatten().filter(|(_, attempts)| **attempts > 0);
        had.filter(|(message, _)| !self.attempts.get(group).is_some_and(|has| has.contains_key(message))).count()
    }
}
