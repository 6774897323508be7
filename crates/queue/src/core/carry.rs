//! What is appended again when the log wants a place back: definitions, and messages with all that is known of them.
//! Pure.
//!
//! All that was said of a message comes after its place. So what its groups have done with it is said again behind the
//! copy, in the same unit, and of messages at later places nothing is.

use std::ops::Range;

use commitlog::Position;

use super::progress::{Progress, Standing};
use super::{Core, Said};
use crate::ids::{SubscriptionId, TopicId};
use crate::records::{GroupKey, encode_entry, kind};

/// What the log takes for a definition, more or less.
pub(crate) const DEFINITION_BYTES: u64 = 128;

/// What becomes of a message whose place is wanted back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Carried,
    /// Its end is appended, and no copy follows it.
    Gone,
    /// Whether it has ended is not known yet.
    Held,
}

/// Where the messages of a topic are. Those that had to wait are apart, because they are carried with their entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TopicPart {
    Line,
    Entered,
    Waiting,
}

impl TopicPart {
    pub(crate) const ALL: [Self; 3] = [Self::Line, Self::Entered, Self::Waiting];
}

/// A message that a topic has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kept {
    /// Its name.
    pub(crate) message: Position,
    /// Where it stands, if it had to wait.
    pub(crate) entry: Option<Position>,
    /// Its payload's length.
    pub(crate) bytes: usize,
}

/// What is said again of a subscription behind copies of messages: first the hand-outs, rising, then the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Restated {
    pub(crate) subscription: SubscriptionId,
    /// Message and attempt.
    pub(crate) hand_outs: Vec<(Position, u32)>,
    /// `None`: it has consumed none of them.
    pub(crate) cursor: Option<Position>,
}

impl Core {
    pub(crate) fn topic_ids(&self) -> Vec<TopicId> {
        self.topic_by_id.keys().copied().collect()
    }

    pub(crate) fn topic_parts(&self) -> Vec<(TopicId, TopicPart)> {
        self.topic_by_id.keys().flat_map(|id| TopicPart::ALL.map(|part| (*id, part))).collect()
    }

    /// What of the topic has names in this range, rising.
    pub(crate) fn kept_in(
        &self,
        (topic, part): (TopicId, TopicPart),
        names: Range<Position>,
    ) -> Box<dyn Iterator<Item = Kept> + '_> {
        let Some(topic) = self.topic_by_id.get(&topic) else { return Box::new(std::iter::empty()) };
        let messages = &topic.messages;
        match part {
            TopicPart::Line => {
                let stand = messages.range(names).filter(|(position, _)| messages.message_at(*position) == *position);
                Box::new(stand.map(|(message, entry)| Kept { message, entry: None, bytes: entry.bytes() }))
            }
            TopicPart::Entered => Box::new(messages.entered(names).filter_map(|(message, entry)| {
                Some(Kept { message, entry: Some(entry), bytes: messages.get(entry)?.bytes() })
            })),
            TopicPart::Waiting => {
                let waiting = topic.waiting.range(names);
                Box::new(waiting.map(|(message, entry)| Kept { message, entry: None, bytes: entry.bytes() }))
            }
        }
    }

    /// The record that has let the message into the line.
    pub(crate) fn entry(&self, topic: TopicId, message: Position) -> Option<Said> {
        let messages = &self.topic_by_id.get(&topic)?.messages;
        let position = messages.entry_of(message)?;
        let payload = encode_entry(message, messages.get(position)?);
        Some(Said { kind: kind::ENTRY, owner: topic.0, name: Some(position), payload })
    }

    /// What stands in the topic's line at these positions, rising, with its payload's length.
    #[cfg(test)]
    pub(crate) fn messages_in(
        &self,
        topic: TopicId,
        names: Range<Position>,
    ) -> impl Iterator<Item = (Position, usize)> + '_ {
        let topic = self.topic_by_id.get(&topic);
        let messages = topic.into_iter().flat_map(move |topic| topic.messages.range(names.clone()));
        messages.map(|(position, entry)| (position, entry.bytes()))
    }

    /// How much would be appended if all messages were carried.
    pub(crate) fn message_bytes(&self) -> u64 {
        self.topic_by_id.values().map(|topic| topic.messages.bytes() + topic.waiting.bytes()).sum()
    }

    pub(crate) fn subscription_count(&self, topic: TopicId) -> usize {
        self.topic_by_id.get(&topic).map_or(0, |topic| topic.subscriptions.len())
    }

    pub(crate) fn fate(&self, topic: TopicId, message: Position) -> Fate {
        let Some(found) = self.topic_by_id.get(&topic) else { return Fate::Gone };
        if found.waiting.contains(message) {
            return if found.waiting.is_entering(message) { Fate::Held } else { Fate::Carried };
        }
        let Some(position) = found.messages.position_of(message) else { return Fate::Gone };
        let group = found.messages.get(position).and_then(|entry| entry.group);
        let standings = || self.progress_of(topic).map(|(_, progress)| progress.standing(position, group));
        if standings().any(|standing| standing == Standing::Held) {
            Fate::Held
        } else if !found.subscriptions.is_empty() && standings().all(|standing| standing == Standing::Consumed) {
            Fate::Gone
        } else {
            Fate::Carried
        }
    }

    /// Takes a message out, whatever its groups have done with it: nobody can read it any more, or an owner removes it.
    pub(crate) fn remove_message(&mut self, topic: TopicId, message: Position) {
        let Some(topic) = self.topic_by_id.get_mut(&topic) else { return };
        topic.waiting.remove(message);
        topic.recent_ids.forget(message);
        if let Some(position) = topic.messages.position_of(message) {
            topic.messages.remove(position);
        }
    }

    /// What is to be said behind copies of these messages of the topic.
    pub(crate) fn restate(&self, topic: TopicId, messages: &[Position]) -> Vec<Restated> {
        let Some(found) = self.topic_by_id.get(&topic) else { return Vec::new() };
        let mut positions: Vec<_> = messages
            .iter()
            .filter_map(|name| {
                let position = found.messages.position_of(*name)?;
                Some((position, found.messages.get(position)?.group))
            })
            .collect();
        positions.sort_unstable();
        let restated = self.progress_of(topic).map(|(id, progress)| restate(id, progress, &positions));
        restated.filter(|restated| !restated.hand_outs.is_empty() || restated.cursor.is_some()).collect()
    }

    /// How often a message that the group has not consumed was handed out to it.
    #[cfg(test)]
    pub(crate) fn attempts(&self, id: SubscriptionId, message: Position) -> Option<u32> {
        let subscription = self.subscription_by_id.get(&id)?;
        let group = self.topic_by_id.get(&subscription.topic)?.messages.get(message).and_then(|entry| entry.group);
        match subscription.progress.standing(message, group) {
            Standing::NotHandedOut => Some(0),
            Standing::HandedOut { attempt } => Some(attempt),
            Standing::Consumed | Standing::Held => None,
        }
    }

    fn progress_of(&self, topic: TopicId) -> impl Iterator<Item = (SubscriptionId, &Progress)> {
        let subscriptions = self.topic_by_id.get(&topic).into_iter().flat_map(|topic| &topic.subscriptions);
        subscriptions.filter_map(|(_, id)| Some((*id, &self.subscription_by_id.get(id)?.progress)))
    }
}

fn restate(subscription: SubscriptionId, progress: &Progress, positions: &[(Position, Option<GroupKey>)]) -> Restated {
    let mut restated = Restated { subscription, hand_outs: Vec::new(), cursor: None };
    for (position, group) in positions {
        match progress.standing(*position, *group) {
            Standing::HandedOut { attempt } => restated.hand_outs.push((*position, attempt)),
            Standing::Consumed => restated.cursor = Some(progress.cursor()),
            Standing::NotHandedOut | Standing::Held => {}
        }
    }
    restated
}
