//! Sending: one append for each message, answered when it is durable.

use commitlog::{AppendError, Appended, Need, NewRecord, Part};

use super::Inner;
use super::state::{State, WhenDurable, message_id, unavailable};
use crate::error::{InvalidMessage, SendError, Unavailable};
use crate::ids::{TopicId, WallMs};
use crate::limits::{DELAY_MAX, TOPIC_MESSAGES_MAX};
use crate::message::Message;
use crate::names::TopicName;
use crate::queue::SendDone;
use crate::records::{EncodedMessage, Place, encode_message};
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
        let place = match self.place_of(message) {
            Ok(place) => place,
            Err(error) => return Err((SendError::Invalid(error), done)),
        };
        let now = self.wall();
        let EncodedMessage { kind, head, entry } = encode_message(message, now, place);
        let payload = [Part::Bytes(&head), Part::Bytes(&message.body)];
        let mut state = self.state();
        if let Some(first) = state.find_recent(topic, message, now) {
            if let Some(done) = state.answer_sent_when_all_is_durable(message_id(first), done) {
                drop(state);
                done(Ok(message_id(first)));
            }
            return Ok(());
        }
        match self.append_message(&state, topic, message, (kind, &payload)) {
            Err(error) => Err((error, done)),
            Ok((topic, appended)) => {
                let position = appended.positions[0];
                state.note_recent(topic, position, message, now);
                state.when_durable(
                    appended.end,
                    WhenDurable::AddMessage { topic, position, entry, place, done: Some(done) },
                );
                Ok(())
            }
        }
    }

    /// Where a new message stands: in the line at once, or nowhere before its delivery time.
    pub(super) fn place_of(&self, message: &Message) -> Result<Place, InvalidMessage> {
        let now_ms = self.wall().0;
        let Some(at_ms) = message.deliver_at_ms.filter(|at_ms| *at_ms > now_ms) else { return Ok(Place::Own) };
        let max_ms = u64::try_from(self.options.delay_max.min(DELAY_MAX).as_millis()).unwrap_or(u64::MAX);
        match at_ms - now_ms {
            ahead_ms if ahead_ms > max_ms => Err(InvalidMessage::DeliveryTime { ahead_ms, max_ms }),
            _ => Ok(Place::Due(WallMs(at_ms))),
        }
    }

    fn append_message(
        &self,
        state: &State,
        topic: &TopicName,
        message: &Message,
        (kind, payload): (u8, &[Part<'_>]),
    ) -> Result<(TopicId, Appended), SendError> {
        state.check_available()?;
        let id = state.topic_for(topic, message)?;
        if state.core.message_count(id) >= TOPIC_MESSAGES_MAX {
            return Err(SendError::TopicFull(topic.clone()));
        }
        if !state.has_room_for_send() {
            return Err(Unavailable::Busy.into());
        }
        let record = NewRecord::new(kind, id.0, payload);
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
