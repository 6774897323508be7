//! A message moves from one topic to another, because an owner says so: a dead letter is tried again.
//!
//! The new message and the removal of the old one are one unit of the log: after a crash there is one of them, never both and
//! never none.

use std::sync::Arc;

use commitlog::{Need, NewRecord, Part};

use super::durable::{DurableAnswer, WhenDurable, wait_durable};
use super::message_ids::{message_id, parse_message_id};
use super::topic::Topic;
use super::{Engine, Inner};
use crate::error::SendError;
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
        let has_it = |topic: &Arc<Topic>| self.inner.lock(topic).core.group_id(group).is_some();
        let topics: Vec<_> = self.inner.topics().into_iter().filter(has_it).collect();
        let mut names: Vec<_> = topics.iter().map(|topic| topic.name.clone()).collect();
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

        self.check_available()?;
        let topic = self.topic_for(to, message)?;
        let Some((position, letters)) = parse_message_id(id).zip(self.topic(from)) else { return Ok(None) };
        let (mut locked, mut other) = self.lock_both(&topic, &letters);
        if !other.as_ref().unwrap_or(&locked).core.holds(letters.id, position) {
            return Ok(None);
        }
        locked.check_room_for_message()?;
        let removed = position.to_bytes();
        let removed = [Part::Bytes(&removed)];
        let records =
            [NewRecord::new(kind, topic.id.0, &payload), NewRecord::new(kind::REMOVED, letters.id.0, &removed)];
        let appended = locked.append(Need::Normal, &records)?;
        // At once, so that no copy of it follows its removal in the log.
        other.as_mut().unwrap_or(&mut locked).core.remove_message(letters.id, position);
        let position = appended.positions[0];
        locked.when_durable(appended.end, WhenDurable::AddMessage { position, entry, place, done: None });
        Ok(Some((message_id(position), locked.answer_when_durable(appended.end))))
    }
}
