//! What is appended again when the log wants a place back: definitions, and messages with all that is known of them.
//! Pure.
//!
//! All that was said of a message comes after its place. So what its groups have done with it is said again behind the
//! copy, in the same unit, and of messages at later places nothing is.

use std::ops::Range;

use commitlog::Position;

use super::Core;
use super::progress::{Progress, Standing};
use crate::ids::{SubscriptionId, TopicId};

/// What the log takes for a definition, more or less.
const DEFINITION_BYTES: u64 = 128;

/// What becomes of a message whose place is wanted back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    Carried,
    /// Its end is appended, and no copy follows it.
    Gone,
    /// Whether it has ended is not known yet.
    Held,
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

    /// Messages of the topic with names in this range, rising, with their payload's length.
    pub(crate) fn messages_in(
        &self,
        topic: TopicId,
        names: Range<Position>,
    ) -> impl Iterator<Item = (Position, usize)> + '_ {
        let topic = self.topic_by_id.get(&topic);
        let messages = topic.into_iter().flat_map(move |topic| topic.messages.range(names.clone()));
        messages.map(|(position, entry)| (position, entry.bytes()))
    }

    /// How much would be appended if everything were carried.
    pub(crate) fn live_bytes(&self) -> u64 {
        let messages: u64 = self.topic_by_id.values().map(|topic| topic.messages.bytes()).sum();
        let definitions = self.topic_by_id.len() + 2 * self.group_by_id.len() + self.subscription_by_id.len();
        messages + definitions as u64 * DEFINITION_BYTES
    }

    pub(crate) fn subscription_count(&self, topic: TopicId) -> usize {
        self.topic_by_id.get(&topic).map_or(0, |topic| topic.subscriptions.len())
    }

    pub(crate) fn fate(&self, topic: TopicId, message: Position) -> Fate {
        let Some(found) = self.topic_by_id.get(&topic) else { return Fate::Gone };
        if !found.messages.contains(message) {
            return Fate::Gone;
        }
        let standings = || self.progress_of(topic).map(|(_, progress)| progress.standing(message));
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
        if let Some(topic) = self.topic_by_id.get_mut(&topic) {
            topic.messages.remove(message);
        }
    }

    /// What is to be said behind copies of these messages of the topic, which are rising.
    pub(crate) fn restate(&self, topic: TopicId, messages: &[Position]) -> Vec<Restated> {
        let restated = self.progress_of(topic).map(|(id, progress)| restate(id, progress, messages));
        restated.filter(|restated| !restated.hand_outs.is_empty() || restated.cursor.is_some()).collect()
    }

    /// How often a message that the group has not consumed was handed out to it.
    #[cfg(test)]
    pub(crate) fn attempts(&self, id: SubscriptionId, message: Position) -> Option<u32> {
        match self.subscription_by_id.get(&id)?.progress.standing(message) {
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

fn restate(subscription: SubscriptionId, progress: &Progress, messages: &[Position]) -> Restated {
    let mut restated = Restated { subscription, hand_outs: Vec::new(), cursor: None };
    for message in messages {
        match progress.standing(*message) {
            Standing::HandedOut { attempt } => restated.hand_outs.push((*message, attempt)),
            Standing::Consumed => restated.cursor = Some(progress.cursor()),
            Standing::NotHandedOut | Standing::Held => {}
        }
    }
    restated
}
