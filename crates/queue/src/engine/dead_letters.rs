//! Messages that were handed out as often as their group allows, on their way to the group's dead-letter topic.
//!
//! One that the disk has damaged goes nowhere: nobody can read it. It is given up, and said to be lost.

use commitlog::{Need, NewRecord, Part, ReadError};

use super::Inner;
use super::receive::{Polled, Waiter, decode};
use super::state::{State, WhenDurable};
use crate::core::{Fate, HandOut};
use crate::error::Unavailable;
use crate::ids::TopicId;
use crate::message::TopicType;
use crate::names::TopicName;
use crate::records::{EncodedMessage, Place, encode_message, encode_topic, kind};

impl Inner {
    /// Moves each message that was handed out too often. One that cannot be moved now is tried again after a pause.
    pub(super) fn move_all_to_dead_letters(&self, waiter: &Waiter, polled: &Polled) {
        for dead in &polled.picked.dead {
            if let Err(error) = self.move_to_dead_letters(waiter, polled, dead) {
                tracing::warn!(%error, "a message could not be moved to the dead letters; it is tried again");
                let mut state = self.state();
                state.core.release(waiter.subscription, dead.position, dead.serial);
                // Of the receives one waits for the next deadline, which is another one now.
                state.wake_one(waiter.subscription);
            }
        }
    }

    fn move_to_dead_letters(&self, waiter: &Waiter, polled: &Polled, dead: &HandOut) -> Result<(), Unavailable> {
        let message = match self.read_record(dead.message)? {
            Ok(record) => decode(record)?,
            Err(error) => return self.give_up(waiter, polled, dead, &error),
        };
        let EncodedMessage { kind, head, entry } = encode_message(&message, self.wall(), Place::Own);
        let letter = [Part::Bytes(&head), Part::Bytes(&message.body)];
        let consumed = dead.position.to_bytes();
        let consumed = [Part::Bytes(&consumed)];

        let mut state = self.state();
        let topic = self.dead_letter_topic(&mut state, polled)?;
        let records =
            [NewRecord::new(kind, topic.0, &letter), NewRecord::new(kind::ACK, waiter.subscription.0, &consumed)];
        let appended = state.append(&self.log, Need::Essential, &records)?;
        let position = appended.positions[0];
        state.when_durable(
            appended.end,
            WhenDurable::AddMessage { topic, position, entry, place: Place::Own, done: None },
        );
        state.consume_when_durable(appended.end, waiter.subscription, dead.position);
        Ok(())
    }

    /// No other group can read it either.
    fn give_up(&self, waiter: &Waiter, polled: &Polled, dead: &HandOut, error: &ReadError) -> Result<(), Unavailable> {
        let message = dead.message;
        let consumed = dead.position.to_bytes();
        let consumed = [Part::Bytes(&consumed)];
        let mut state = self.state();
        let ack = NewRecord::new(kind::ACK, waiter.subscription.0, &consumed);
        let appended = state.append(&self.log, Need::Essential, &[ack])?;
        if let Some(topic) = state.core.topic_id(&polled.info.topic)
            // One that has had its time meanwhile is not lost.
            && state.core.fate(topic, message) != Fate::Gone
        {
            tracing::error!(%message, %error, "a message of the queue cannot be read any more, and is lost");
            state.core.remove_message(topic, message);
        }
        state.consume_when_durable(appended.end, waiter.subscription, dead.position);
        Ok(())
    }

    /// Returns the group's dead-letter topic; creates it for the first dead letter. It does not count towards the limit
    /// of topics: there is at most one for each group.
    fn dead_letter_topic(&self, state: &mut State, polled: &Polled) -> Result<TopicId, Unavailable> {
        let name = TopicName::dead_letters_of(&polled.info.group);
        let name = name.map_err(|error| Unavailable::Failed(error.to_string()))?;
        if let Some(topic) = state.core.topic_id(&name) {
            return Ok(topic);
        }
        let (kind, payload) = encode_topic(name.as_str(), TopicType::Normal);
        let payload = [Part::Bytes(&payload)];
        let record = NewRecord::new(kind, 0, &payload);
        let appended = state.append(&self.log, Need::Essential, &[record])?;
        let topic = TopicId::from(appended.positions[0]);
        state.core.add_topic(topic, name, TopicType::Normal);
        Ok(topic)
    }
}
