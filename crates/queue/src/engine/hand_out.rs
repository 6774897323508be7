//! Receiving: pick under the lock, log the hand-outs, read the messages without it, or wait.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use commitlog::{Need, NewRecord, Part, Position};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::Inner;
use super::state::{State, Then, message_id};
use crate::core::{HandOut, Picked, SubscriptionFacts, Want};
use crate::error::{ReceiveError, Unavailable};
use crate::ids::{Now, SubscriptionId, TopicId};
use crate::limits::{INVISIBLE_MAX, RECEIVE_BYTES_MAX, RECEIVE_MAX, WAIT_MAX, WAITERS_MAX};
use crate::message::{Delivery, Message, ReceiveRequest};
use crate::names::TopicName;
use crate::receipt::HandOutId;
use crate::records::{Entry, decode_message, encode_hand_outs, encode_message_head, kind};

/// The place of a receive among those of its group.
struct Waiter {
    subscription: SubscriptionId,
    notify: Arc<Notify>,
    _place: Arc<()>,
}

/// What a look at the topic found.
struct Look {
    facts: SubscriptionFacts,
    picked: Picked,
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

    fn read(&self, position: Position) -> Result<Message, Unavailable> {
        let failed = |error: String| Unavailable::Failed(error);
        let record = self.log.read(position).map_err(|error| failed(error.to_string()))?;
        decode_message(record.payload).map_err(|what| failed(format!("message at log position {position}: {what}")))
    }

    /// Moves what was handed out too often to the group's dead letters. What cannot be moved now is due again.
    fn bury(&self, waiter: &Waiter, look: &Look) {
        for dead in &look.picked.dead {
            if let Err(error) = self.bury_one(waiter, look, dead) {
                tracing::warn!(%error, "a message could not be moved to the dead letters; it is tried again");
                self.state().core.release(waiter.subscription, dead.position, dead.serial);
            }
        }
    }

    fn bury_one(&self, waiter: &Waiter, look: &Look, dead: &HandOut) -> Result<(), Unavailable> {
        let message = self.read(dead.position)?;
        let stored = self.wall();
        let head = encode_message_head(&message, stored);
        let entry = Entry::of(&message, &head, stored);
        let letter = [Part::Bytes(&head), Part::Bytes(&message.body)];
        let consumed = dead.position.to_bytes();
        let consumed = [Part::Bytes(&consumed)];

        let mut state = self.state();
        let topic = self.dead_letters(&mut state, look)?;
        let records = [
            NewRecord::new(kind::MESSAGE, topic.0, &letter),
            NewRecord::new(kind::ACK, waiter.subscription.0, &consumed),
        ];
        let appended = state.append(&self.log, Need::Essential, &records)?;
        let position = appended.positions[0];
        state.when_durable(appended.end, Then::Message { topic, position, entry, done: None });
        let consumed = Then::Consumed { subscription: waiter.subscription, position: dead.position };
        state.when_durable(appended.end, consumed);
        Ok(())
    }

    /// The topic of the group's dead letters, made when the first one comes. It is not counted among the topics that
    /// may be made: there is at most one for each group.
    fn dead_letters(&self, state: &mut State, look: &Look) -> Result<TopicId, Unavailable> {
        let name = TopicName::dead_letters_of(&look.facts.group);
        let name = name.map_err(|error| Unavailable::Failed(error.to_string()))?;
        if let Some(topic) = state.core.topic_id(&name) {
            return Ok(topic);
        }
        let payload = [Part::Bytes(name.as_str().as_bytes())];
        let record = NewRecord::new(kind::TOPIC, 0, &payload);
        let appended = state.append(&self.log, Need::Essential, &[record])?;
        let topic = TopicId::from(appended.positions[0]);
        state.core.add_topic(topic, name);
        Ok(topic)
    }
}
