//! Messages that were handed out as often as their group allows, or that a consumer gives up, on their way to the group's dead-letter topic.
//!
//! One that the disk has damaged goes nowhere: nobody can read it. It is given up, and said to be lost.

use commitlog::{Need, NewRecord, Part, ReadError};

use super::Inner;
use super::receive::{Polled, Waiter, decode};
use super::state::{DurableAnswer, State, WhenDurable, wait_durable};
use crate::core::{Fate, HandOut, SubscriptionInfo};
use crate::error::{AckError, Unavailable};
use crate::ids::{SubscriptionId, TopicId};
use crate::message::{Receipt, TopicType};
use crate::names::TopicName;
use crate::receipt::HandOutId;
use crate::records::{EncodedMessage, Place, encode_message, encode_topic, kind};

impl Inner {
    /// Moves each message that was handed out too often. One that cannot be moved now is tried again after a pause.
    pub(super) fn move_all_to_dead_letters(&self, waiter: &Waiter, polled: &Polled) {
        for dead in &polled.picked.dead {
            if let Err(error) = self.move_to_dead_letters(waiter.subscription, &polled.info, dead) {
                tracing::warn!(%error, "a message could not be moved to the dead letters; it is tried again");
                let mut state = self.state();
                state.core.release(waiter.subscription, dead.position, dead.serial);
                // Of the receives one waits for the next deadline, which is another one now.
                state.wake_one(waiter.subscription);
            }
        }
    }

    pub(super) async fn give_up(&self, receipt: &Receipt) -> Result<(), AckError> {
        let id = self.parse(receipt)?;
        let (info, dead) = self.hold_to_give_up(&id)?;
        match self.move_to_dead_letters(id.subscription, &info, &dead) {
            Ok(answer) => Ok(wait_durable(answer).await?),
            Err(error) => {
                let mut state = self.state();
                state.core.release(id.subscription, id.position, id.serial);
                state.wake_one(id.subscription);
                Err(error.into())
            }
        }
    }

    fn hold_to_give_up(&self, id: &HandOutId) -> Result<(SubscriptionInfo, HandOut), AckError> {
        let now = self.now();
        let mut state = self.state();
        let (info, dead) = state.core.hand_out(id.subscription, id.position, id.serial).ok_or(AckError::Expired)?;
        state.hold(id, now)?;
        Ok((info, dead))
    }

    /// Returns the answer that comes when the move is durable.
    fn move_to_dead_letters(
        &self,
        subscription: SubscriptionId,
        info: &SubscriptionInfo,
        dead: &HandOut,
    ) -> Result<DurableAnswer, Unavailable> {
        let message = match self.read_record(dead.message)? {
            Ok(record) => decode(record)?,
            Err(error) => return self.lose(subscription, info, dead, &error),
        };
        let EncodedMessage { kind, head, entry } = encode_message(&message, self.wall(), Place::Own);
        let letter = [Part::Bytes(&head), Part::Bytes(&message.body)];
        let consumed = dead.position.to_bytes();
        let consumed = [Part::Bytes(&consumed)];

        let mut state = self.state();
        let topic = self.dead_letter_topic(&mut state, info)?;
        let records = [NewRecord::new(kind, topic.0, &letter), NewRecord::new(kind::ACK, subscription.0, &consumed)];
        let appended = state.append(&self.log, Need::Essential, &records)?;
        let position = appended.positions[0];
        state.when_durable(
            appended.end,
            WhenDurable::AddMessage { topic, position, entry, place: Place::Own, done: None },
        );
        state.consume_when_durable(appended.end, subscription, dead.position);
        Ok(state.answer_when_durable(appended.end))
    }

    /// No other group can read it either.
    fn lose(
        &self,
        subscription: SubscriptionId,
        info: &SubscriptionInfo,
        dead: &HandOut,
        error: &ReadError,
    ) -> Result<DurableAnswer, Unavailable> {
        let message = dead.message;
        let consumed = dead.position.to_bytes();
        let consumed = [Part::Bytes(&consumed)];
        let mut state = self.state();
        let ack = NewRecord::new(kind::ACK, subscription.0, &consumed);
        let appended = state.append(&self.log, Need::Essential, &[ack])?;
        if let Some(topic) = state.core.topic_id(&info.topic)
            // One that has had its time meanwhile is not lost.
            && state.core.fate(topic, message) != Fate::Gone
        {
            tracing::error!(%message, %error, "a message of the queue cannot be read any more, and is lost");
            state.core.remove_message(topic, message);
        }
        state.consume_when_durable(appended.end, subscription, dead.position);
        Ok(state.answer_when_durable(appended.end))
    }

    /// Returns the group's dead-letter topic; creates it for the first dead letter. It does not count towards the limit
    /// of topics: there is at most one for each group.
    fn dead_letter_topic(&self, state: &mut State, info: &SubscriptionInfo) -> Result<TopicId, Unavailable> {
        let name = TopicName::dead_letters_of(&info.group);
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
