//! Messages that were handed out as often as their group allows, on their way to the group's dead-letter topic.

use commitlog::{Need, NewRecord, Part};

use super::Inner;
use super::receive::{Polled, Waiter};
use super::state::{State, WhenDurable};
use crate::core::HandOut;
use crate::error::Unavailable;
use crate::ids::TopicId;
use crate::names::TopicName;
use crate::records::{IndexEntry, encode_message_head, kind};

impl Inner {
    /// Moves each message that was handed out too often. One that cannot be moved now is due again.
    pub(super) fn move_all_to_dead_letters(&self, waiter: &Waiter, polled: &Polled) {
        for dead in &polled.picked.dead {
            if let Err(error) = self.move_to_dead_letters(waiter, polled, dead) {
                tracing::warn!(%error, "a message could not be moved to the dead letters; it is tried again");
                self.state().core.release(waiter.subscription, dead.position, dead.serial);
            }
        }
    }

    fn move_to_dead_letters(&self, waiter: &Waiter, polled: &Polled, dead: &HandOut) -> Result<(), Unavailable> {
        let message = self.read(dead.position)?;
        let stored = self.wall();
        let head = encode_message_head(&message, stored);
        let entry = IndexEntry::of(&message, &head, stored);
        let letter = [Part::Bytes(&head), Part::Bytes(&message.body)];
        let consumed = dead.position.to_bytes();
        let consumed = [Part::Bytes(&consumed)];

        let mut state = self.state();
        let topic = self.dead_letter_topic(&mut state, polled)?;
        let records = [
            NewRecord::new(kind::MESSAGE, topic.0, &letter),
            NewRecord::new(kind::ACK, waiter.subscription.0, &consumed),
        ];
        let appended = state.append(&self.log, Need::Essential, &records)?;
        let position = appended.positions[0];
        state.when_durable(appended.end, WhenDurable::AddMessage { topic, position, entry, done: None });
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
        let payload = [Part::Bytes(name.as_str().as_bytes())];
        let record = NewRecord::new(kind::TOPIC, 0, &payload);
        let appended = state.append(&self.log, Need::Essential, &[record])?;
        let topic = TopicId::from(appended.positions[0]);
        state.core.add_topic(topic, name);
        Ok(topic)
    }
}
