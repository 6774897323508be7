//! Receiving: pick under the lock, log the hand-outs, read the messages without it, or wait.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use commitlog::{Need, NewRecord, Part, Position};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Inner;
use super::state::{State, message_id};
use crate::core::{HandOut, Picked, SubscriptionFacts, Want};
use crate::error::{ReceiveError, Unavailable};
use crate::ids::{Now, SubscriptionId};
use crate::limits::{INVISIBLE_MAX, RECEIVE_BYTES_MAX, RECEIVE_MAX, WAIT_MAX, WAITERS_MAX};
use crate::message::{Delivery, Message, ReceiveRequest};
use crate::receipt::HandOutId;
use crate::records::{decode_message, encode_hand_outs, kind};

/// The place of a receive among those of its group.
pub(super) struct Waiter {
    pub(super) subscription: SubscriptionId,
    notify: Arc<Notify>,
    _place: Arc<()>,
}

/// What a look at the topic found.
pub(super) struct Look {
    pub(super) facts: SubscriptionFacts,
    pub(super) picked: Picked,
    next_due: Option<Now>,
}

impl Inner {
    pub(super) async fn receive(&self, request: ReceiveRequest) -> Result<Vec<Delivery>, ReceiveError> {
        self.check_invisible(request.invisible)?;
        if request.max == 0 {
            return Ok(Vec::new());
        }
        let end = Instant::now() + request.wait.min(WAIT_MAX);
        let waiter = self.waiter(&request)?;
        loop {
            let mut notified = pin!(waiter.notify.notified());
            // From here on no wake-up is missed, although the look comes first.
            notified.as_mut().enable();
            let look = self.look(&waiter, &request)?;
            self.bury(&waiter, &look);
            let deliveries = self.deliver(&waiter, &look);
            let look_again = look.picked.more || !look.picked.hand_outs.is_empty();
            if !deliveries.is_empty() || (!look_again && Instant::now() >= end) {
                return Ok(deliveries);
            }
            if look_again {
                tokio::task::yield_now().await;
                continue;
            }
            let due = look.next_due.map_or(end, |due| end.min(self.started + due.0));
            tokio::select! {
                () = notified => {}
                () = sleep_until(due) => {}
            }
        }
    }

    fn check_invisible(&self, invisible: Duration) -> Result<(), ReceiveError> {
        let (min, max) = (self.options.invisible_min, INVISIBLE_MAX);
        if (min..=max).contains(&invisible) {
            return Ok(());
        }
        Err(ReceiveError::InvisibleTime { min_ms: min.as_millis(), max_ms: max.as_millis() })
    }

    /// Finds the group's subscription, or makes it.
    fn waiter(&self, request: &ReceiveRequest) -> Result<Waiter, ReceiveError> {
        let mut state = self.state();
        state.check_up()?;
        let topic = state.core.topic_id(&request.topic);
        let topic = topic.ok_or_else(|| ReceiveError::UnknownTopic(request.topic.clone()))?;
        let group = state.core.group_id(&request.group);
        let group = group.ok_or_else(|| ReceiveError::UnknownGroup(request.group.clone()))?;
        let subscription = match state.core.subscription(group, topic) {
            Some(subscription) => subscription,
            None => {
                let topic_id = topic.0.to_le_bytes();
                let payload = [Part::Bytes(&topic_id)];
                let record = NewRecord::new(kind::SUBSCRIPTION, group.0, &payload);
                let appended = state.append(&self.log, Need::Essential, &[record])?;
                let subscription = SubscriptionId::from(appended.positions[0]);
                state.core.subscribe(subscription, group, topic);
                subscription
            }
        };
        let waiting = state.waiting(subscription);
        if Arc::strong_count(&waiting.places) > WAITERS_MAX {
            let (group, topic) = (request.group.clone(), request.topic.clone());
            return Err(ReceiveError::TooManyWaiters { group, topic, max: WAITERS_MAX });
        }
        Ok(Waiter { subscription, notify: Arc::clone(&waiting.notify), _place: Arc::clone(&waiting.places) })
    }

    /// Picks messages, and appends that they were handed out before anybody sees them.
    fn look(&self, waiter: &Waiter, request: &ReceiveRequest) -> Result<Look, ReceiveError> {
        let now = self.now();
        let mut state = self.state();
        state.check_up()?;
        let unknown = || ReceiveError::UnknownTopic(request.topic.clone());
        let facts = state.core.facts(waiter.subscription).ok_or_else(unknown)?;
        let want = Want {
            filter: &request.filter,
            max: request.max.min(RECEIVE_MAX),
            bytes_max: RECEIVE_BYTES_MAX,
            invisible: request.invisible,
            attempts_max: facts.attempts_max,
            now,
        };
        let picked = state.core.pick(waiter.subscription, &want);
        if !picked.hand_outs.is_empty() {
            self.log_hand_outs(&mut state, waiter.subscription, &picked)?;
            // Those who wait do so until the next message is due.
            state.wake(waiter.subscription);
        }
        let next_due = state.core.next_deadline(waiter.subscription);
        Ok(Look { facts, picked, next_due })
    }

    fn log_hand_outs(
        &self,
        state: &mut State,
        subscription: SubscriptionId,
        picked: &Picked,
    ) -> Result<(), Unavailable> {
        let payload = encode_hand_outs(picked.hand_outs.iter().map(|out| (out.position, out.attempt)));
        let payload = [Part::Bytes(&payload)];
        let record = NewRecord::new(kind::HAND_OUT, subscription.0, &payload);
        let logged = state.append(&self.log, Need::Essential, &[record]);
        if logged.is_err() {
            state.core.take_back(subscription, picked);
        }
        logged.map(drop)
    }

    /// A message that cannot be read keeps none of the others back.
    fn deliver(&self, waiter: &Waiter, look: &Look) -> Vec<Delivery> {
        let deliver = |out: &HandOut| {
            let message = self.read(out.position);
            let message =
                message.inspect_err(|error| tracing::error!(%error, "a message cannot be handed out")).ok()?;
            let id = HandOutId { subscription: waiter.subscription, position: out.position, serial: out.serial };
            Some(Delivery {
                message_id: message_id(out.position),
                topic: look.facts.topic.clone(),
                message,
                receipt: id.receipt(self.log.epoch()),
                attempt: out.attempt,
            })
        };
        look.picked.hand_outs.iter().filter_map(deliver).collect()
    }

    pub(super) fn read(&self, position: Position) -> Result<Message, Unavailable> {
        let failed = |error: String| Unavailable::Failed(error);
        let record = self.log.read(position).map_err(|error| failed(error.to_string()))?;
        decode_message(record.payload).map_err(|what| failed(format!("message at log position {position}: {what}")))
    }
}
