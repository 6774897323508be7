//! Sending: one append for each message, answered when it is durable.

use commitlog::{AppendError, Appended, Need, NewRecord, Part};

use super::Inner;
use super::durable::{WhenDurable, unavailable};
use super::message_ids::message_id;
use super::topic::Locked;
use crate::error::{InvalidMessage, SendError, Unavailable};
use crate::ids::WallMs;
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
        let topic = match self.check_available().map_err(SendError::from).and_then(|()| self.topic_for(topic, message))
        {
            Ok(topic) => topic,
            Err(error) => return Err((error, done)),
        };
        let now = self.wall();
        let EncodedMessage { kind, head, entry } = encode_message(message, now, place);
        let payload = [Part::Bytes(&head), Part::Bytes(&message.body)];
        let mut locked = self.lock(&topic);
        if let Some(first) = locked.find_recent(topic.id, message, now) {
            if let Some(done) = locked.answer_sent_when_all_is_durable(message_id(first), done) {
                drop(locked);
                done(Ok(message_id(first)));
            }
            return Ok(());
        }
        match locked.append_message(kind, &payload) {
            Err(error) => Err((error, done)),
            Ok(appended) => {
                let position = appended.positions[0];
                locked.note_recent(topic.id, position, message, now);
                let done = Some(done);
                locked.when_durable(appended.end, WhenDurable::AddMessage { position, entry, place, done });
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
}

impl Locked<'_> {
    fn append_message(&mut self, kind: u8, payload: &[Part<'_>]) -> Result<Appended, SendError> {
        self.engine.check_available()?;
        self.check_room_for_message()?;
        self.list();
        let record = NewRecord::new(kind, self.topic.id.0, payload);
        self.engine.log.append(Need::Normal, &[record]).map_err(send_error)
    }

    /// For one message more.
    pub(super) fn check_room_for_message(&self) -> Result<(), SendError> {
        if self.core.message_count(self.topic.id) >= TOPIC_MESSAGES_MAX {
            return Err(SendError::TopicFull(self.topic.name.clone()));
        }
        if !self.engine.listed.has_room_for_send() {
            return Err(Unavailable::Busy.into());
        }
        Ok(())
    }
}

fn send_error(error: AppendError) -> SendError {
    match error {
        AppendError::TooLarge { bytes, max } => SendError::Invalid(InvalidMessage::BodyTooLarge { bytes, max }),
        error => SendError::Unavailable(unavailable(error)),
    }
}
