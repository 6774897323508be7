//! Sending, acknowledging, making topics and groups: one append each, answered when it is durable.

use std::time::Duration;

use commitlog::{AppendError, Appended, Need, NewRecord, Part};
use tokio::sync::oneshot;

use super::Inner;
use super::state::{State, Then, unavailable};
use crate::check::check;
use crate::core::Expired;
use crate::error::{AckError, AdminError, InvalidMessage, SendError, Unavailable};
use crate::ids::{GroupId, Now, TopicId};
use crate::limits::{GROUPS_MAX, INVISIBLE_MAX, TOPIC_MESSAGES_MAX, TOPICS_MAX};
use crate::message::{GroupOptions, Message, Receipt, TopicDescription};
use crate::names::{GroupName, TopicName};
use crate::queue::SendDone;
use crate::receipt::HandOutId;
use crate::records::{Entry, encode_group, encode_message_head, kind};

impl Inner {
    /// Gives `done` back with the reason why the message was not taken.
    pub(super) fn try_send(
        &self,
        topic: &TopicName,
        message: &Message,
        done: SendDone,
    ) -> Result<(), (SendError, SendDone)> {
        if let Err(error) = check(message) {
            return Err((SendError::Invalid(error), done));
        }
        let stored = self.wall();
        let head = encode_message_head(message, stored);
        let entry = Entry::of(message, &head, stored);
        let payload = [Part::Bytes(&head), Part::Bytes(&message.body)];
        let mut state = self.state();
        match self.append_message(&state, topic, &payload) {
            Err(error) => Err((error, done)),
            Ok((topic, appended)) => {
                let position = appended.positions[0];
                state.when_durable(appended.end, Then::Message { topic, position, entry, done: Some(done) });
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
        state.check_up()?;
        let id = state.core.topic_id(topic).ok_or_else(|| SendError::UnknownTopic(topic.clone()))?;
        if state.core.messages(id) >= TOPIC_MESSAGES_MAX {
            return Err(SendError::TopicFull(topic.clone()));
        }
        if !state.has_room() {
            return Err(Unavailable::Busy.into());
        }
        let record = NewRecord::new(kind::MESSAGE, id.0, payload);
        let appended = self.log.append(Need::Normal, &[record]).map_err(send_error)?;
        Ok((id, appended))
    }

    pub(super) async fn ack(&self, receipt: &Receipt) -> Result<(), AckError> {
        let id = self.parse(receipt)?;
        let now = self.now();
        let told = self.append_ack(&id, now)?;
        settled(told).await.map_err(AckError::from)
    }

    fn append_ack(&self, id: &HandOutId, now: Now) -> Result<Told, AckError> {
        let mut state = self.state();
        state.hold(id, now)?;
        let position = id.position.to_bytes();
        let payload = [Part::Bytes(&position)];
        let record = NewRecord::new(kind::ACK, id.subscription.0, &payload);
        match state.append(&self.log, Need::Essential, &[record]) {
            Ok(appended) => {
                let consumed = Then::Consumed { subscription: id.subscription, position: id.position };
                state.when_durable(appended.end, consumed);
                Ok(state.tell_when_durable(appended.end))
            }
            Err(error) => {
                state.core.release(id.subscription, id.position, id.serial);
                Err(error.into())
            }
        }
    }

    pub(super) fn change_invisible(&self, receipt: &Receipt, invisible: Duration) -> Result<Receipt, AckError> {
        if invisible > INVISIBLE_MAX {
            return Err(AckError::InvisibleTime { max_ms: INVISIBLE_MAX.as_millis() });
        }
        let id = self.parse(receipt)?;
        let now = self.now();
        let mut state = self.state();
        state.check_up()?;
        let changed = state.core.change(id.subscription, id.position, id.serial, invisible, now);
        let serial = changed.map_err(|Expired| AckError::Expired)?;
        // Those who wait do so until the next message is due.
        state.wake(id.subscription);
        Ok(HandOutId { serial, ..id }.receipt(self.log.epoch()))
    }

    pub(super) async fn create_topic(&self, name: TopicName) -> Result<(), AdminError> {
        let told = self.append_topic(&name)?;
        Ok(settled(told).await?)
    }

    fn append_topic(&self, name: &TopicName) -> Result<Told, AdminError> {
        let mut state = self.state();
        state.check_up()?;
        if state.core.topic_id(name).is_some() {
            return Ok(state.tell_when_all_is_durable());
        }
        if state.core.topics() >= TOPICS_MAX {
            return Err(AdminError::TooMany { what: "topics", max: TOPICS_MAX });
        }
        let payload = [Part::Bytes(name.as_str().as_bytes())];
        let record = NewRecord::new(kind::TOPIC, 0, &payload);
        let appended = state.append(&self.log, Need::Normal, &[record])?;
        state.core.add_topic(TopicId::from(appended.positions[0]), name.clone());
        Ok(state.tell_when_durable(appended.end))
    }

    pub(super) async fn create_group(&self, name: GroupName, options: GroupOptions) -> Result<(), AdminError> {
        TopicName::dead_letters_of(&name).map_err(|_| AdminError::GroupName(name.clone()))?;
        let told = self.append_group(&name, options)?;
        Ok(settled(told).await?)
    }

    fn append_group(&self, name: &GroupName, options: GroupOptions) -> Result<Told, AdminError> {
        let mut state = self.state();
        state.check_up()?;
        let known = state.core.group_id(name);
        if known.is_some_and(|id| state.core.group_options(id) == Some(options)) {
            return Ok(state.tell_when_all_is_durable());
        }
        if known.is_none() && state.core.groups() >= GROUPS_MAX {
            return Err(AdminError::TooMany { what: "groups", max: GROUPS_MAX });
        }
        let payload = encode_group(options, name.as_str());
        let payload = [Part::Bytes(&payload)];
        let record = NewRecord::new(kind::GROUP, 0, &payload);
        let appended = state.append(&self.log, Need::Normal, &[record])?;
        state.core.set_group(GroupId::from(appended.positions[0]), name.clone(), options);
        Ok(state.tell_when_durable(appended.end))
    }

    pub(super) fn describe(&self, topic: &TopicName) -> Result<TopicDescription, AdminError> {
        let now = self.now();
        let state = self.state();
        let unknown = || AdminError::UnknownTopic(topic.clone());
        let id = state.core.topic_id(topic).ok_or_else(unknown)?;
        state.core.describe(id, now).ok_or_else(unknown)
    }
}

type Told = oneshot::Receiver<Result<(), Unavailable>>;

async fn settled(told: Told) -> Result<(), Unavailable> {
    told.await.unwrap_or(Err(Unavailable::Closed))
}

fn send_error(error: AppendError) -> SendError {
    match error {
        AppendError::TooLarge { bytes, max } => SendError::Invalid(InvalidMessage::BodyTooLarge { bytes, max }),
        error => SendError::Unavailable(unavailable(error)),
    }
}
