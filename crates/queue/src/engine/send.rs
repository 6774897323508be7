//! Sending: one append for each message, answered when it is durable.

use commitlog::{AppendError, Appended, Need, NewRecord, Part};

use super::Inner;
use super::state::{State, WhenDurable, unavailable};
use crate::error::{InvalidMessage, SendError, Unavailable};
use crate::ids::TopicId;
use crate::limits::TOPIC_MESSAGES_MAX;
use crate::message::Message;
use crate::names::TopicName;
use crate::queue::SendDone;
use crate::records::{IndexEntry, encode_message_head, kind};
use crate::validation::validate;

impl Inner {
    /// # Errors
    /// Why the message was not taken, with `done`, which was not called.
    pub(super) fn try_send(
        &self,
        topic: &TopicName,
        message: &Message,
        done: SendDone,
    ) -> Result<(), (SendError, SendDone)> {
        if let Err(error) = validate(message) {
            return Err((SendError::Invalid(error), done));
        }
        let stored = self.wall();
        let head = encode_message_head(message, stored);
        let entry = IndexEntry::of(message, &head, stored);
        let payload = [Part::Bytes(&head), Part::Bytes(&message.body)];
        let mut state = self.state();
        match self.append_message(&state, topic, &payload) {
            Err(error) => Err((error, done)),
            Ok((topic, appended)) => {
                let position = appended.positions[0];
                state.when_durable(appended.end, WhenDurable::AddMessage { topic, position, entry, done: Some(done) });
                Ok(())
            }
        }
    }

    fn append_message(
        &self,
        state: &State,
        topic: &TopicName,
        payload: &[Part<'_>],
    ) -> Result<(TopicId, Appended), SendError> {
        state.check_available()?;
        let id = state.core.topic_id(topic).ok_or_else(|| SendError::UnknownTopic(topic.clone()))?;
        if state.core.message_count(id) >= TOPIC_MESSAGES_MAX {
            return Err(SendError::TopicFull(topic.clone()));
        }
        if !state.has_room_for_send() {
            return Err(Unavailable::Busy.into());
        }
        let record = NewRecord::new(kind::MESSAGE, id.0, payload);
        let appended = self.log.append(Need::Normal, &[record]).map_err(send_error)?;
        Ok((id, appended))
    }
}

fn send_error(error: AppendError) -> SendError {
    match error {
        AppendError::TooLarge { bytes, max } => SendError::Invalid(InvalidMessage::BodyTooLarge { bytes, max }),
        error => SendError::Unavailable(unavailable(error)),
    }
}
