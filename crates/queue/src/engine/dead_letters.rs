//! Messages that were handed out as often as their group allows, or that a consumer gives up, on their way to the group's dead-letter topic.
//!
//! One that the disk has damaged goes nowhere: nobody can read it. It is given up, and said to be lost.

use std::sync::Arc;

use commitlog::{Need, NewRecord, Part, ReadError};

use super::Inner;
use super::durable::{DurableAnswer, WhenDurable, wait_durable};
use super::receive::{Polled, Waiter, decode};
use super::topic::Topic;
use crate::core::{Fate, HandOut};
use crate::error::{AckError, Unavailable};
use crate::ids::{SubscriptionId, TopicId};
use crate::message::{Receipt, TopicType};
use crate::names::{GroupName, TopicName};
use crate::records::{EncodedMessage, Place, encode_message, encode_topic, kind};

/// The group that has been handed out a message of the topic.
#[derive(Clone, Copy)]
struct HandedOutTo<'a> {
    topic: &'a Arc<Topic>,
    subscription: SubscriptionId,
    group: &'a GroupName,
}

impl Inner {
    /// Moves each message that was handed out too often. One that cannot be moved now is tried again after a pause.
    pub(super) fn move_all_to_dead_letters(&self, waiter: &Waiter, polled: &Polled) {
        let from = HandedOutTo { topic: &waiter.topic, subscription: waiter.subscription, group: &polled.info.group };
        for dead in &polled.picked.dead {
            if let Err(error) = self.move_to_dead_letters(from, dead) {
                tracing::warn!(%error, "a message could not be moved to the dead letters; it is tried again");
                self.release(from, dead);
            }
        }
    }

    pub(super) async fn give_up(&self, receipt: &Receipt) -> Result<(), AckError> {
        let answer = self.begin_to_give_up(receipt)?;
        Ok(wait_durable(answer).await?)
    }

    fn begin_to_give_up(&self, receipt: &Receipt) -> Result<DurableAnswer, AckError> {
        let id = self.parse(receipt)?;
        let now = self.now();
        let topic = self.topic_of(id.subscription).ok_or(AckError::Expired)?;
        let (info, dead) = {
            let mut locked = self.lock(&topic);
            let out = locked.core.hand_out(id.subscription, id.position, id.serial).ok_or(AckError::Expired)?;
            locked.hold(&id, now)?;
            out
        };
        let from = HandedOutTo { topic: &topic, subscription: id.subscription, group: &info.group };
        Ok(self.move_to_dead_letters(from, &dead).inspect_err(|_| self.release(from, &dead))?)
    }

    fn release(&self, from: HandedOutTo<'_>, dead: &HandOut) {
        let mut locked = self.lock(from.topic);
        locked.core.release(from.subscription, dead.position, dead.serial);
        // Of the receives one waits for the next deadline, which is another one now.
        locked.wake_one(from.subscription);
    }

    /// Returns the answer that comes when the move is durable.
    fn move_to_dead_letters(&self, from: HandedOutTo<'_>, dead: &HandOut) -> Result<DurableAnswer, Unavailable> {
        let message = match self.read_record(dead.message)? {
            Ok(record) => decode(record)?,
            Err(error) => return self.lose(from, dead, &error),
        };
        let EncodedMessage { kind, head, entry } = encode_message(&message, self.wall(), Place::Own);
        let letter = [Part::Bytes(&head), Part::Bytes(&message.body)];
        let consumed = dead.position.to_bytes();
        let consumed = [Part::Bytes(&consumed)];

        let topic = self.dead_letter_topic(from.group)?;
        let (mut locked, mut other) = self.lock_both(from.topic, &topic);
        let records =
            [NewRecord::new(kind, topic.id.0, &letter), NewRecord::new(kind::ACK, from.subscription.0, &consumed)];
        if let Some(letters) = &mut other {
            letters.list();
        }
        let appended = locked.append(Need::Essential, &records)?;
        let (position, place) = (appended.positions[0], Place::Own);
        let letters = other.as_mut().unwrap_or(&mut locked);
        letters.when_durable(appended.end, WhenDurable::AddMessage { position, entry, place, done: None });
        locked.consume_when_durable(appended.end, from.subscription, dead.position);
        Ok(locked.answer_when_durable(appended.end))
    }

    /// No other group can read it either.
    fn lose(&self, from: HandedOutTo<'_>, dead: &HandOut, error: &ReadError) -> Result<DurableAnswer, Unavailable> {
        let (topic, message) = (from.topic.id, dead.message);
        let consumed = dead.position.to_bytes();
        let consumed = [Part::Bytes(&consumed)];
        let mut locked = self.lock(from.topic);
        let ack = NewRecord::new(kind::ACK, from.subscription.0, &consumed);
        let appended = locked.append(Need::Essential, &[ack])?;
        // One that has had its time meanwhile is not lost.
        if locked.core.fate(topic, message) != Fate::Gone {
            tracing::error!(%message, %error, "a message of the queue cannot be read any more, and is lost");
            locked.core.remove_message(topic, message);
        }
        locked.consume_when_durable(appended.end, from.subscription, dead.position);
        Ok(locked.answer_when_durable(appended.end))
    }

    /// Returns the group's dead-letter topic; creates it for the first dead letter. It does not count towards the limit
    /// of topics: there is at most one for each group.
    fn dead_letter_topic(&self, group: &GroupName) -> Result<Arc<Topic>, Unavailable> {
        let name = TopicName::dead_letters_of(group).map_err(|error| Unavailable::Failed(error.to_string()))?;
        if let Some(topic) = self.topic(&name) {
            return Ok(topic);
        }
        let mut names = self.names_mut();
        if let Some(topic) = names.topic(&name) {
            return Ok(Arc::clone(topic));
        }
        let mut definitions = self.definitions.lock();
        self.check_available()?;
        let appended = self.append_definition(Need::Essential, encode_topic(name.as_str(), TopicType::Normal))?;
        definitions.note(appended.end);
        Ok(names.add_topic(TopicId::from(appended.positions[0]), name, TopicType::Normal))
    }
}
