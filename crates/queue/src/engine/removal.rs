//! A message is taken out of its topic, because an owner says so, or taken back before its delivery time.

use commitlog::{Need, NewRecord, Part, Position};

use super::durable::{DurableAnswer, wait_durable};
use super::message_ids::parse_message_id;
use super::{Engine, Inner};
use crate::core::Core;
use crate::error::AdminError;
use crate::ids::TopicId;
use crate::message::MessageId;
use crate::names::TopicName;
use crate::records::kind;

impl Engine {
    /// Takes a message out of its topic, whatever its groups have done with it; whoever has been handed it keeps what it
    /// has. `false`: the topic does not hold it. Durable when it completes.
    ///
    /// # Errors
    /// The topic does not exist, or the log takes nothing.
    pub async fn remove(&self, topic: &TopicName, message: &MessageId) -> Result<bool, AdminError> {
        match self.inner.append_removal(topic, message, Core::holds)? {
            Some(answer) => {
                wait_durable(answer).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

impl Inner {
    pub(super) async fn recall(&self, topic: &TopicName, message: &MessageId) -> Result<bool, AdminError> {
        match self.append_removal(topic, message, Core::waits)? {
            Some(answer) => {
                wait_durable(answer).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }

    /// `None`: not one that `may_be`.
    fn append_removal(
        &self,
        topic: &TopicName,
        message: &MessageId,
        may_be: fn(&Core, TopicId, Position) -> bool,
    ) -> Result<Option<DurableAnswer>, AdminError> {
        self.check_available()?;
        let topic = self.known_topic(topic)?;
        let mut locked = self.lock(&topic);
        let position = parse_message_id(message).filter(|position| may_be(&locked.core, topic.id, *position));
        let Some(position) = position else { return Ok(None) };
        let bytes = position.to_bytes();
        let payload = [Part::Bytes(&bytes)];
        let record = NewRecord::new(kind::REMOVED, topic.id.0, &payload);
        let appended = locked.append(Need::Essential, &[record])?;
        // At once, so that no copy of it follows its removal in the log.
        locked.core.remove_message(topic.id, position);
        Ok(Some(locked.answer_when_durable(appended.end)))
    }
}
