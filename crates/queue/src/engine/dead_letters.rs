//! Messages that were handed out as often as their group allows, on their way to the group's dead-letter topic.

use commitlog::{Need, NewRecord, Part};

use super::Inner;
use super::receive::{Look, Waiter};
use super::state::{State, Then};
use crate::core::HandOut;
use crate::error::Unavailable;
use crate::ids::TopicId;
use crate::names::TopicName;
use crate::records::{Entry, encode_message_head, kind};

impl Inner {
    /// Moves what was handed out too often to the group's dead letters. What cannot be moved now is due again.
    pub(super) fn bury(&self, waiter: &Waiter, look: &Look) {
        for dead in &look.picked.dead {
            if let Err(error) = self.bury_one(waiter, look, dead) {
                tracing::warn!(%error, "a message could not be moved to the dead letters; it is tried again");
                self.state().core.release(waiter.subscription, dead.position, dead.serial);
            }
        }
    }

    fn bury_one(&self, waiter: &Waiter, look: &Look, dead: &HandOut) -> Result<(), Unavailable> {
        let message = self.read(dead.position)?;
        let stored = self.wall();
        let head = encode_message_head(&message, stored);
        let entry = Entry::of(&message, &head, stored);
        let letter = [Part::Bytes(&head), Part::Bytes(&message.body)];
        let consumed = dead.position.to_bytes();
        let consumed = [Part::Bytes(&consumed)];

        let mut state = self.state();
        let topic = self.dead_letters(&mut state, look)?;
        let records = [
            NewRecord::new(kind::MESSAGE, topic.0, &letter),
            NewRecord::new(kind::ACK, waiter.subscription.0, &consumed),
        ];
        let appended = state.append(&self.log, Need::Essential, &records)?;
        let position = appended.positions[0];
        state.when_durable(appended.end, Then::Message { topic, position, entry, done: None });
        let consumed = Then::Consumed { subscription: waiter.subscription, position: dead.position };
        state.when_durable(appended.end, consumed);
        Ok(())
    }

    /// The topic of the group's dead letters, made when the first one comes. It is not counted among the topics that
    /// may be made: there is at most one for each group.
    fn dead_letters(&self, state: &mut State, look: &Look) -> Result<TopicId, Unavailable> {
        let name = TopicName::dead_letters_of(&look.facts.group);
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
