//! Receiving: picking messages and logging their hand-outs under the lock, reading them without it, or waiting.
//!
//! ```text
//! a place is free ──► pick ── some ──► read them, keep as much of the place as they need ──► returned
//!       │               └── none ──► the place is free again ──► wait for a message, a deadline, the end
//!       └─ none ──► is there anything for the group? ── no ──► wait, the same
//!                        └── yes ──► let another member look ──► wait for a place, or the end
//! ```

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use commitlog::{Need, NewRecord, Part, Position, Record};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Inner;
use super::message_ids::message_id;
use super::topic::{Locked, Topic, Waiters};
use crate::core::{HandOut, LimitNews, PickRequest, Picked, SubscriptionInfo};
use crate::error::{ReceiveError, Unavailable};
use crate::ids::{GroupId, SubscriptionId};
use crate::limits::{IN_FLIGHT_MAX, INVISIBLE_MAX, RECEIVE_BYTES_MAX, RECEIVE_MAX, WAIT_MAX, WAITERS_MAX};
use crate::message::{Delivery, Message, ReceiveRequest};
use crate::receipt::HandOutId;
use crate::records::{decode_message, encode_hand_outs, kind};
use crate::room::{Place, Room};

/// The registration of a receive among those of its group on the topic.
pub(super) struct Waiter {
    pub(super) topic: Arc<Topic>,
    pub(super) subscription: SubscriptionId,
    notify: Arc<Notify>,
    _place: Arc<()>,
}

impl Drop for Waiter {
    fn drop(&mut self) {
        // It may have been the one that waited for the next deadline.
        self.notify.notify_one();
    }
}

/// What a receive found.
enum Look {
    /// What it returns.
    Found(Vec<Delivery>, Place),
    Again,
    /// There is something, and no place to put it.
    NoRoom,
}

/// What one poll of the subscription found.
pub(super) struct Polled {
    pub(super) info: SubscriptionInfo,
    pub(super) picked: Picked,
}

impl Inner {
    pub(super) async fn receive(
        &self,
        request: ReceiveRequest,
        room: &Room,
    ) -> Result<(Vec<Delivery>, Place), ReceiveError> {
        self.check_invisible(request.invisible)?;
        if request.max == 0 {
            return Ok(Default::default());
        }
        let end = Instant::now() + request.wait.min(WAIT_MAX);
        let waiter = self.register(&request)?;
        let mut place = room.try_reserve();
        loop {
            match self.look(&waiter, &request, place, end).await? {
                Look::Found(deliveries, place) => return Ok((deliveries, place)),
                Look::Again => place = room.try_reserve(),
                Look::NoRoom => {
                    // Other members of the group may have room.
                    waiter.notify.notify_one();
                    let Ok(reserved @ Some(_)) = timeout_at(end, room.reserve()).await else {
                        return Ok(Default::default());
                    };
                    place = reserved;
                }
            }
        }
    }

    /// Looks for messages if there is a place for them, and whether there are any if not. Where there are none, waits until it
    /// is worth while to look again.
    async fn look(
        &self,
        waiter: &Waiter,
        request: &ReceiveRequest,
        place: Option<Place>,
        end: Instant,
    ) -> Result<Look, ReceiveError> {
        let mut notified = pin!(waiter.notify.notified());
        // From here on no wake-up is missed, although the look comes first.
        notified.as_mut().enable();
        if let Some(mut place) = place {
            let polled = self.poll_once(waiter, request)?;
            place.keep(polled.picked.bytes);
            self.move_all_to_dead_letters(waiter, &polled);
            let deliveries = self.read_deliveries(waiter, &polled);
            if !deliveries.is_empty() {
                return Ok(Look::Found(deliveries, place));
            }
            if polled.picked.more || !polled.picked.hand_outs.is_empty() {
                tokio::task::yield_now().await;
                return Ok(Look::Again);
            }
        } else if self.has_some(waiter)? {
            return Ok(Look::NoRoom);
        }
        if Instant::now() >= end {
            return Ok(Look::Found(Vec::new(), Place::default()));
        }
        let next_due = self.lock(&waiter.topic).core.next_deadline(waiter.subscription);
        let due = next_due.map_or(end, |due| end.min(self.started + due.0));
        tokio::select! {
            () = notified => {}
            () = sleep_until(due) => {}
        }
        Ok(Look::Again)
    }

    fn has_some(&self, waiter: &Waiter) -> Result<bool, Unavailable> {
        let now = self.now();
        let locked = self.lock(&waiter.topic);
        self.check_available()?;
        Ok(locked.core.has_some(waiter.subscription, now))
    }

    fn check_invisible(&self, invisible: Duration) -> Result<(), ReceiveError> {
        let (min, max) = (self.options.invisible_min, INVISIBLE_MAX);
        if (min..=max).contains(&invisible) {
            return Ok(());
        }
        Err(ReceiveError::InvisibleTime { min_ms: min.as_millis(), max_ms: max.as_millis() })
    }

    /// Registers the receive; creates the group's subscription if there is none.
    fn register(&self, request: &ReceiveRequest) -> Result<Waiter, ReceiveError> {
        self.check_available()?;
        let (topic, group) = {
            let names = self.names();
            let topic = names.topic(&request.topic).cloned();
            let topic = topic.ok_or_else(|| ReceiveError::UnknownTopic(request.topic.clone()))?;
            let group = names.groups.id(&request.group);
            (topic, group.ok_or_else(|| ReceiveError::UnknownGroup(request.group.clone()))?)
        };
        let subscribed = self.lock(&topic).core.subscription(group, topic.id);
        let subscription = subscribed.map_or_else(|| self.subscribe(group, &topic), Ok)?;
        let Waiters { notify, places } = self.lock(&topic).waiters(subscription).clone();
        if Arc::strong_count(&places) > WAITERS_MAX + 1 {
            let (group, topic) = (request.group.clone(), request.topic.clone());
            return Err(ReceiveError::TooManyWaiters { group, topic, max: WAITERS_MAX });
        }
        Ok(Waiter { topic, subscription, notify, _place: places })
    }

    /// Subscribes the group from the oldest message on, if it is not subscribed.
    fn subscribe(&self, group: GroupId, topic: &Arc<Topic>) -> Result<SubscriptionId, Unavailable> {
        let mut names = self.names_mut();
        let mut locked = self.lock(topic);
        if let Some(subscription) = locked.core.subscription(group, topic.id) {
            return Ok(subscription);
        }
        let topic_id = topic.id.0.to_le_bytes();
        let payload = [Part::Bytes(&topic_id)];
        let record = NewRecord::new(kind::SUBSCRIPTION, group.0, &payload);
        let appended = locked.append(Need::Essential, &[record])?;
        let subscription = SubscriptionId::from(appended.positions[0]);
        locked.core.copy_group(group, &names.groups);
        locked.core.subscribe(subscription, group, topic.id);
        names.add_subscription(subscription, topic);
        Ok(subscription)
    }

    /// Picks messages, and appends their hand-outs before any of them leaves the engine.
    fn poll_once(&self, waiter: &Waiter, request: &ReceiveRequest) -> Result<Polled, ReceiveError> {
        let now = self.now();
        #[cfg(test)]
        self.polls.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let mut locked = self.lock(&waiter.topic);
        self.check_available()?;
        let unknown = || ReceiveError::UnknownTopic(request.topic.clone());
        let info = locked.core.subscription_info(waiter.subscription).ok_or_else(unknown)?;
        let request = PickRequest {
            filter: &request.filter,
            max: request.max.min(RECEIVE_MAX),
            bytes_max: RECEIVE_BYTES_MAX,
            invisible: request.invisible,
            attempts_max: info.attempts_max,
            is_fifo: info.is_fifo,
            now,
        };
        let picked = locked.core.pick(waiter.subscription, &request);
        if let Some(news) = picked.limit {
            tell_of_limit(&info, news);
        }
        if picked.open().next().is_some() {
            log_hand_outs(&mut locked, waiter.subscription, &picked)?;
            // Another receive waits for the next deadline, which is another one now.
            locked.wake_one(waiter.subscription);
        }
        locked.core.remove_skipped(waiter.subscription, &picked);
        if let Some(last) = picked.last_skipped() {
            log_skipped(&mut locked, waiter.subscription, last);
        }
        Ok(Polled { info, picked })
    }

    /// Reads the picked messages. One that cannot be read keeps none of the others back.
    fn read_deliveries(&self, waiter: &Waiter, polled: &Polled) -> Vec<Delivery> {
        let deliver = |out: &HandOut| {
            let message = self.read(out.message);
            let message =
                message.inspect_err(|error| tracing::error!(%error, "a message cannot be handed out")).ok()?;
            let id = HandOutId { subscription: waiter.subscription, position: out.position, serial: out.serial };
            Some(Delivery {
                message_id: message_id(out.message),
                topic: polled.info.topic.clone(),
                message,
                receipt: id.receipt(self.log.epoch()),
                attempt: out.attempt,
            })
        };
        polled.picked.hand_outs.iter().filter_map(deliver).collect()
    }

    fn read(&self, position: Position) -> Result<Message, Unavailable> {
        decode(self.log.read(position).map_err(|error| Unavailable::Failed(error.to_string()))?)
    }
}

fn log_hand_outs(locked: &mut Locked<'_>, subscription: SubscriptionId, picked: &Picked) -> Result<(), Unavailable> {
    let payload = encode_hand_outs(picked.open());
    let payload = [Part::Bytes(&payload)];
    let record = NewRecord::new(kind::HAND_OUT, subscription.0, &payload);
    let logged = locked.append(Need::Essential, &[record]);
    if logged.is_err() {
        locked.core.undo_pick(subscription, picked);
    }
    logged.map(drop)
}

/// All before the last message that a filter left out is handed out or consumed, so that its acknowledgement says it
/// of them all. Nobody waits for it: if it is not logged, they are examined again after a restart.
fn log_skipped(locked: &mut Locked<'_>, subscription: SubscriptionId, last: Position) {
    let position = last.to_bytes();
    let payload = [Part::Bytes(&position)];
    let record = NewRecord::new(kind::ACK, subscription.0, &payload);
    if let Err(error) = locked.append(Need::Essential, &[record]) {
        tracing::debug!(%error, "messages that a filter left out are not logged as consumed");
    }
}

pub(super) fn decode(record: Record) -> Result<Message, Unavailable> {
    let position = record.position;
    let failed = |what| Unavailable::Failed(format!("message at log position {position}: {what}"));
    decode_message(record.kind, record.payload).map_err(failed)
}

/// Else nobody learns why a group gets nothing new.
fn tell_of_limit(info: &SubscriptionInfo, news: LimitNews) {
    let (topic, group) = (&info.topic, &info.group);
    match news {
        LimitNews::Reached => tracing::warn!(
            %topic, %group, max = IN_FLIGHT_MAX,
            "a group has as many messages in hand-outs as it may: it gets no new ones until it acknowledges some"
        ),
        LimitNews::Left { picks } => {
            tracing::info!(%topic, %group, receives = picks, "a group gets new messages again")
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use std::time::Duration;

    use commitlog::testing::ForgettingStorage;
    use commitlog::{Log, Options};
    use tokio::task::JoinSet;

    use crate::engine::{Engine, EngineOptions};
    use crate::message::{Delivery, GroupOptions, Message, ReceiveRequest, TagFilter};
    use crate::names::{GroupName, TopicName};
    use crate::queue::Queue as _;

    const RECEIVES: usize = 100;

    struct Waiting {
        engine: Engine,
        receives: JoinSet<Vec<Delivery>>,
    }

    fn topic(name: &str) -> TopicName {
        TopicName::parse(name).unwrap()
    }

    impl Waiting {
        async fn new(topics: &[&str]) -> Self {
            let (log, _) = Log::open(ForgettingStorage::new().handle(), Options::default()).unwrap();
            let options = EngineOptions { invisible_min: Duration::from_millis(1), ..EngineOptions::default() };
            let engine = Engine::recover(options).start(log);
            engine.create_group(GroupName::parse("group").unwrap(), GroupOptions::default()).await.unwrap();
            for name in topics {
                engine.create_topic(topic(name)).await.unwrap();
            }
            Self { engine, receives: JoinSet::new() }
        }

        async fn receive(&mut self, name: &str, invisible: Duration) {
            let request = ReceiveRequest {
                group: GroupName::parse("group").unwrap(),
                topic: topic(name),
                filter: TagFilter::All,
                max: 1,
                wait: Duration::from_secs(60),
                invisible,
            };
            let engine = self.engine.clone();
            self.receives.spawn(async move { engine.receive(request).await.unwrap() });
            self.come_to_rest().await;
        }

        async fn come_to_rest(&self) {
            for _ in 0..2 * RECEIVES {
                tokio::task::yield_now().await;
            }
        }

        fn polls(&self) -> u64 {
            self.engine.inner.polls.load(std::sync::atomic::Ordering::Relaxed)
        }

        async fn send(&self, name: &str) {
            self.engine.send_wait(&topic(name), Message::default()).await.unwrap();
        }

        async fn next(&mut self) -> Delivery {
            self.receives.join_next().await.unwrap().unwrap().remove(0)
        }
    }

    #[tokio::test]
    async fn a_message_wakes_a_few_receives_of_its_topic_and_none_of_another() {
        let mut waiting = Waiting::new(&["one", "two"]).await;
        let long = Duration::from_secs(3600);
        for _ in 0..RECEIVES {
            waiting.receive("one", long).await;
            waiting.receive("two", long).await;
        }
        waiting.come_to_rest().await;
        let before = waiting.polls();
        waiting.send("one").await;
        assert_eq!(waiting.next().await.topic, topic("one"));
        waiting.come_to_rest().await;
        let polls = waiting.polls() - before;
        // It is handed out; then one more learns of the deadline, and one of the end of the receive.
        assert!(polls <= 3, "{polls} polls for one message");
    }

    #[tokio::test]
    async fn each_of_many_messages_reaches_a_receive_that_waits() {
        let mut waiting = Waiting::new(&["one"]).await;
        for _ in 0..RECEIVES {
            waiting.receive("one", Duration::from_secs(3600)).await;
        }
        let sends = (0..RECEIVES).map(|_| waiting.engine.send_wait(&topic("one"), Message::default()));
        for send in sends.collect::<Vec<_>>() {
            send.await.unwrap();
        }
        for _ in 0..RECEIVES {
            assert_eq!(waiting.next().await.attempt, 1);
        }
    }

    #[tokio::test]
    async fn what_is_due_again_reaches_each_receive_that_waits_in_turn() {
        let mut waiting = Waiting::new(&["one"]).await;
        for _ in 0..10 {
            waiting.receive("one", Duration::from_millis(5)).await;
        }
        waiting.send("one").await;
        for attempt in 1..=10 {
            assert_eq!(waiting.next().await.attempt, attempt);
        }
    }
}
