//! Acknowledging a hand-out, in an append of its own or in one of the consumer's, and changing its invisible time.

use std::time::Duration;

use commitlog::{Need, NewRecord, Part};

use super::Inner;
use super::durable::{DurableAnswer, wait_durable};
use crate::atomic_ack::{AckRecord, AtomicAck};
use crate::core::Expired;
use crate::error::AckError;
use crate::ids::Now;
use crate::limits::INVISIBLE_MAX;
use crate::message::Receipt;
use crate::receipt::HandOutId;
use crate::records::kind;

impl Inner {
    pub(super) async fn ack(&self, receipt: &Receipt) -> Result<(), AckError> {
        let id = self.parse(receipt)?;
        let now = self.now();
        let answer = self.append_ack(&id, now)?;
        wait_durable(answer).await.map_err(AckError::from)
    }

    fn append_ack(&self, id: &HandOutId, now: Now) -> Result<DurableAnswer, AckError> {
        let topic = self.topic_of(id.subscription).ok_or(AckError::Expired)?;
        let mut locked = self.lock(&topic);
        locked.hold(id, now)?;
        let position = id.position.to_bytes();
        let payload = [Part::Bytes(&position)];
        let record = NewRecord::new(kind::ACK, id.subscription.0, &payload);
        match locked.append(Need::Essential, &[record]) {
            Ok(appended) => {
                locked.consume_when_durable(appended.end, id.subscription, id.position);
                Ok(locked.answer_when_durable(appended.end))
            }
            Err(error) => {
                locked.core.release(id.subscription, id.position, id.serial);
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
        let topic = self.topic_of(id.subscription).ok_or(AckError::Expired)?;
        let mut locked = self.lock(&topic);
        self.check_available()?;
        let changed = locked.core.change(id.subscription, id.position, id.serial, invisible, now);
        let serial = changed.map_err(|Expired| AckError::Expired)?;
        // Of the receives one waits for the next deadline, which is another one now.
        locked.wake_one(id.subscription);
        Ok(HandOutId { serial, ..id }.receipt(self.log.epoch()))
    }
}

impl AtomicAck for Inner {
    fn prepare(&self, receipt: &Receipt) -> Result<AckRecord, AckError> {
        let id = self.parse(receipt)?;
        let now = self.now();
        let topic = self.topic_of(id.subscription).ok_or(AckError::Expired)?;
        self.lock(&topic).hold(&id, now)?;
        let payload = id.position.to_bytes().to_vec();
        Ok(AckRecord { kind: kind::ACK, owner: id.subscription.0, payload })
    }

    fn commit(&self, receipt: &Receipt) {
        if let Ok(id) = self.parse(receipt)
            && let Some(topic) = self.topic_of(id.subscription)
        {
            self.lock(&topic).consume(id.subscription, id.position);
        }
    }

    fn abort(&self, receipt: &Receipt) {
        if let Ok(id) = self.parse(receipt)
            && let Some(topic) = self.topic_of(id.subscription)
        {
            let mut locked = self.lock(&topic);
            locked.core.release(id.subscription, id.position, id.serial);
            locked.wake_one(id.subscription);
        }
    }
}
