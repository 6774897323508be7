//! A message moves from one topic to another, because an owner says so: a dead letter is tried again.
//!
//! The new message and the removal of the old one are one unit of the log: after a crash there is one of them, never both and
//! never none.

use commitlog::{Need, NewRecord, Part};

use super::state::{DurableAnswer, WhenDurable, message_id, parse_message_id, unavailable, wait_durable};
use super::{Engine, Inner};
use crate::error::{SendError, Unavailable};
use crate::limits::TOPIC_MESSAGES_MAX;
use crate::message::{Message, MessageId};
use crate::names::{GroupName, TopicName};
use crate::records::{EncodedMessage, encode_message, kind};
use crate::validation::validate;

impl Engine {
    /// Puts `message`, which the caller has made of the one with this id, into the topic `to`, and takes that one out of `from`. It is a
    /// new message: all groups of its topic are handed it, with attempts counted anew. `None`: `from` does not hold it. Durable
    /// when it completes.
    ///
    /// # Errors
    /// As for a send to `to`; nothing has changed then, but where the log has failed.
    pub async fn redrive(
        &self,
        from: &TopicName,
        id: &MessageId,
        to: &TopicName,
        message: &Message,
    ) -> Result<Option<MessageId>, SendError> {
        match self.inner.append_redrive(from, id, to, message)? {
            Some((new, answer)) => {
                wait_durable(answer).await?;
                Ok(Some(new))
            }
            None => Ok(None),
        }
    }

    /// The topics from which this group receives, in the order of their names.
    #[must_use]
    pub fn topics_of(&self, group: &GroupName) -> Vec<TopicName> {
        let mut names = self.inner.state().core.topics_of(group);
        names.sort_unstable();
        names
    }
}

impl Inner {
    fn append_redrive(
        &self,
        from: &TopicName,
        id: &MessageId,
        to: &TopicName,
        message: &Message,
    ) -> Result<Option<(MessageId, DurableAnswer)>, SendError> {
        validate(message).map_err(SendError::Invalid)?;
        let place = self.place_of(message).map_err(SendError::Invalid)?;
        let EncodedMessage { kind, head, entry } = encode_message(message, self.wall(), place);
        let payload = [Part::Bytes(&head), Part::Bytes(&message.body)];

        let mut state = self.state();
        state.check_available()?;
        let topic = state.topic_for(to, message)?;
        let letter = parse_message_id(id).zip(state.core.topic_id(from));
        let letter = letter.filter(|(position, letters)| state.core.holds(*letters, *position));
        let Some((position, letters)) = letter else { return Ok(None) };
        if state.core.message_count(topic) >= TOPIC_MESSAGES_MAX {
            return Err(SendError::TopicFull(to.clone()));
        }
        if !state.has_room_for_send() {
            return Err(Unavailable::Busy.into());
        }
        let removed = position.to_bytes();
        let removed = [Part::Bytes(&removed)];
        let records = [NewRecord::new(kind, topic.0, &payload), NewRecord::new(kind::REMOVED, letters.0, &removed)];
        let appended = self.log.append(Need::Normal, &records).map_err(unavailable)?;
        // At once, so that no copy of it follows its removal in the log.
        state.core.remove_message(letters, position);
        let position = appended.positions[0];
        state.when_durable(appended.end, WhenDurable::AddMessage { topic, position, entry, place, done: None });
        Ok(Some((message_id(position), state.answer_when_durable(appended.end))))
    }
}
