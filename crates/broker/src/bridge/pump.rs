//! From the queue to the workers: one pump for each parent topic that the rules say comes from the queue.
//!
//! A pump receives in order and passes on in order, so that the messages of one client keep it; many are under way at
//! once, each holding a permit until it is acknowledged, given up, or among the dead letters.
//!
//! What the log has no room for comes back and is held, and nothing is received meanwhile. So a full disk costs a message
//! none of its hand-outs, however long it lasts, and the log no record. What is behind it keeps behind it: what a receive
//! brings that had begun waits here, and what is under way comes back from the workers too ([`QueueOrder`]). What has arrived
//! already, and lacks only its acknowledgement, is held in the same way and never passed on again.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use catalog::Rule;
use queue::limits::RECEIVE_MAX;
use queue::{AdminError, Delivery, GroupName, GroupOptions, Receipt, ReceiveRequest, TagFilter, TopicName};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::properties::{self, Times};
use crate::client::ClientKey;
use crate::message::SharedMessage;
use crate::shared::Shared;
use crate::worker::post::{FromQueue, Notice, QueueJob};
use crate::worker::queue_order::{QueueOrder, Waiting};
use crate::worker::taken::Taken;

/// The broker's consumer group.
pub const GROUP: &str = accounts::messages::BROKER_GROUP;
/// Bytes of a message's body for which one place of those that are under way is enough.
const BYTES_PER_PLACE: usize = 16 << 10;
/// How often the time for which a message is hidden begins anew before it is over.
const HIDINGS: u32 = 3;
/// How long one receive waits for a first message.
const WAIT: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_millis(500);

/// Stops when it is dropped.
struct Pump(JoinHandle<()>);

impl Drop for Pump {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Pumps by parent topic, kept in step with the rules.
pub(crate) struct Pumps {
    shared: Arc<Shared>,
    group: GroupName,
    pumps: HashMap<String, Pump>,
    revision: u64,
}

impl Pumps {
    /// Makes the group, the topics and the pumps of the rules in force.
    pub(crate) async fn start(shared: Arc<Shared>) -> Result<Self, AdminError> {
        // The name is a constant of the right spelling.
        let group = GroupName::parse(GROUP).map_err(|_| AdminError::TooMany { what: "groups", max: 0 })?;
        shared.queue.create_group(group.clone(), GroupOptions::default()).await?;
        if let Ok(dead_letters) = TopicName::dead_letters_of(&group) {
            shared.queue.create_topic(dead_letters).await?;
        }
        let mut pumps = Self { shared, group, pumps: HashMap::new(), revision: 0 };
        pumps.follow_rules().await?;
        Ok(pumps)
    }

    pub(crate) async fn run(mut self) {
        loop {
            self.shared.access.reached(self.revision + 1).await;
            while let Err(error) = self.follow_rules().await {
                tracing::warn!(%error, "the queue cannot follow the rules of the parent topics yet");
                tokio::time::sleep(RETRY).await;
            }
        }
    }

    async fn follow_rules(&mut self) -> Result<(), AdminError> {
        let (revision, rules): (u64, Vec<(String, Rule)>) = {
            let access = self.shared.access.load();
            (access.revision(), access.parents().map(|(parent, rule)| (parent.to_owned(), rule)).collect())
        };
        self.pumps.retain(|parent, _| rules.iter().any(|(known, rule)| known == parent && comes_from_queue(*rule)));
        for (parent, rule) in rules {
            if rule != Rule::None
                && let Ok(topic) = TopicName::parse(&parent)
            {
                self.shared.queue.create_topic(topic.clone()).await?;
                self.follow_rule(parent, topic, rule);
            }
        }
        self.revision = revision;
        Ok(())
    }

    fn follow_rule(&mut self, parent: String, topic: TopicName, rule: Rule) {
        if comes_from_queue(rule) && !self.pumps.contains_key(&parent) {
            let work = pump(self.shared.clone(), self.group.clone(), topic);
            let pump = self.shared.tasks.spawn_endless("a pump of the queue", work);
            self.pumps.insert(parent, Pump(pump));
        }
    }
}

fn comes_from_queue(rule: Rule) -> bool {
    matches!(rule, Rule::FromQueue | Rule::Both)
}

/// What the two halves of a pump share.
struct Flow {
    shared: Arc<Shared>,
    topic: TopicName,
    /// Places of messages that are under way.
    room: Arc<Semaphore>,
    /// Takes jobs back. Not bounded by itself: each has its places.
    back: mpsc::UnboundedSender<Box<QueueJob>>,
    /// Some came back, and wait for room in the log.
    is_holding: AtomicBool,
    /// Of the next message.
    number: AtomicU64,
    /// Those that wait, from when a worker says so.
    waiting: Arc<Waiting>,
}

async fn pump(shared: Arc<Shared>, group: GroupName, topic: TopicName) {
    let room = Arc::new(Semaphore::new(shared.limits.from_queue_max));
    let (back, returned) = mpsc::unbounded_channel();
    let (is_holding, number, waiting) = (AtomicBool::new(false), AtomicU64::new(0), Arc::default());
    let flow = Flow { shared, topic, room, back, is_holding, number, waiting };
    tokio::join!(flow.receive_all(&group), flow.hold_all(returned));
}

impl Flow {
    async fn receive_all(&self, group: &GroupName) {
        loop {
            // Room for one at least, so that nothing is taken from the queue to lie about.
            let Ok(first) = self.room.clone().acquire_owned().await else { return };
            let max = (1 + self.room.available_permits()).min(RECEIVE_MAX);
            drop(first);
            if self.must_wait() {
                tokio::time::sleep(RETRY).await;
                continue;
            }
            let request = ReceiveRequest {
                group: group.clone(),
                topic: self.topic.clone(),
                filter: TagFilter::All,
                max,
                wait: WAIT,
                invisible: self.invisible(),
            };
            match self.shared.queue.receive(request).await {
                Ok(deliveries) => self.pass_on_all(deliveries).await,
                Err(error) => {
                    tracing::warn!(%error, topic = %self.topic, "the queue gives no messages");
                    tokio::time::sleep(RETRY).await;
                }
            }
        }
    }

    /// What would be received now could not be stored.
    fn must_wait(&self) -> bool {
        self.shared.memory.is_short()
            || self.is_holding.load(Ordering::Relaxed)
            || self.shared.journal.is_full_for(QueueJob::NEED)
    }

    /// A large one may wait for places that are held, and all of them for those before them that wait for room in the log.
    async fn pass_on_all(&self, deliveries: Vec<Delivery>) {
        let mut deliveries = VecDeque::from(deliveries);
        let mut hiding = Hiding::begin(self.invisible() / HIDINGS);
        while let Some(first) = deliveries.front() {
            let places = places_of(&first.message, self.shared.limits.from_queue_max);
            match hiding.unless_due(self.place(places)).await {
                Some(Ok(permit)) => {
                    if let Some(first) = deliveries.pop_front() {
                        self.begin(first, permit);
                    }
                }
                Some(Err(_)) => return,
                None => {
                    hiding = Hiding::begin(hiding.every);
                    self.keep_hidden(&mut deliveries).await;
                }
            }
        }
    }

    /// Places for a message, when it may go on.
    async fn place(&self, places: u32) -> Result<OwnedSemaphorePermit, AcquireError> {
        let permit = self.room.clone().acquire_many_owned(places).await?;
        self.waiting.end().await;
        Ok(permit)
    }

    fn begin(&self, delivery: Delivery, permit: OwnedSemaphorePermit) {
        let Delivery { message_id, topic, message, receipt, .. } = delivery;
        let pump = self.back.clone();
        let (original, is_done, taken) = (message, false, Taken::default());
        let order = QueueOrder::new(self.number.fetch_add(1, Ordering::Relaxed), self.waiting.clone());
        let job = QueueJob { receipt, message_id, topic, original, is_done, taken, order, permit, pump };
        pass_on(&self.shared, Box::new(job));
    }

    async fn keep_hidden(&self, deliveries: &mut VecDeque<Delivery>) {
        for mut delivery in std::mem::take(deliveries) {
            if self.hide(&mut delivery.receipt).await {
                deliveries.push_back(delivery);
            }
        }
    }

    /// Hides the message for another such time. `false`: the queue has given it to others, or will.
    async fn hide(&self, receipt: &mut Receipt) -> bool {
        match self.shared.queue.change_invisible(receipt.clone(), self.invisible()).await {
            Ok(changed) => {
                *receipt = changed;
                true
            }
            Err(error) => {
                tracing::debug!(%error, "a message that waited for room comes again");
                false
            }
        }
    }

    fn invisible(&self) -> Duration {
        self.shared.limits.from_queue_invisible
    }

    /// Passes on again what came back, once the log has room; acknowledges what is done.
    async fn hold_all(&self, mut returned: mpsc::UnboundedReceiver<Box<QueueJob>>) {
        while let Some(job) = returned.recv().await {
            self.is_holding.store(true, Ordering::Relaxed);
            tracing::warn!(topic = %self.topic, "a full or busy log takes nothing of what the queue has: it waits there");
            let mut next = Some(job);
            while let Some(job) = next {
                for job in self.hold(job, &mut returned).await {
                    pass_on(&self.shared, job);
                }
                // What comes back at once was only tried: it is held all the time.
                next = tokio::time::timeout(RETRY, returned.recv()).await.ok().flatten();
            }
            self.is_holding.store(false, Ordering::Relaxed);
        }
    }

    /// Returns what is to be passed on, of this one and of what comes after it, when the log has room for all that there may
    /// be: in the order of the queue.
    async fn hold(
        &self,
        first: Box<QueueJob>,
        returned: &mut mpsc::UnboundedReceiver<Box<QueueJob>>,
    ) -> impl Iterator<Item = Box<QueueJob>> {
        let mut held = vec![Held { hidden: None, job: first }];
        loop {
            self.keep_held_hidden(&mut held).await;
            let more = tokio::time::timeout(RETRY.min(self.invisible() / HIDINGS), returned.recv()).await;
            if let Ok(Some(job)) = more {
                held.push(Held { hidden: None, job });
                continue;
            }
            self.acknowledge_done(&mut held);
            if more.is_ok() || held.is_empty() || !self.shared.journal.is_full_for_some() {
                held.sort_unstable_by_key(|held| held.job.order.number());
                return held.into_iter().map(|held| held.job);
            }
        }
    }

    /// Tries that again; a job whose acknowledgement is refused comes back. Meanwhile the queue itself holds its message.
    fn acknowledge_done(&self, held: &mut Vec<Held>) {
        for Held { job, .. } in held.extract_if(.., |held| held.job.is_done) {
            let acknowledgement = super::acknowledge(self.shared.queue.clone(), job);
            self.shared.tasks.spawn("an acknowledgement to the queue", acknowledgement);
        }
    }

    async fn keep_held_hidden(&self, all: &mut Vec<Held>) {
        for mut held in std::mem::take(all) {
            let is_due = held.hidden.is_none_or(|at| at.elapsed() >= self.invisible() / HIDINGS);
            if is_due {
                held.hidden = Some(Instant::now());
            }
            if !is_due || self.hide(&mut held.job.receipt).await {
                all.push(held);
            }
        }
    }
}

/// When what waits for places is to be hidden anew. One time for all of a receive, however many of them get places before.
struct Hiding {
    every: Duration,
    due: Instant,
}

impl Hiding {
    /// All of them are hidden now.
    fn begin(every: Duration) -> Self {
        Self { every, due: Instant::now() + every }
    }

    /// What comes of `work`, or `None` when they are to be hidden first.
    async fn unless_due<T>(&self, work: impl Future<Output = T>) -> Option<T> {
        tokio::time::timeout_at(self.due, work).await.ok()
    }
}

/// A job that came back, and when its message was hidden anew.
struct Held {
    hidden: Option<Instant>,
    job: Box<QueueJob>,
}

/// A large message takes several places of those that are under way, so that their bytes are bounded as their number is.
fn places_of(message: &queue::Message, places_max: usize) -> u32 {
    let places = message.body.len().div_ceil(BYTES_PER_PLACE).clamp(1, places_max.max(1));
    u32::try_from(places).unwrap_or(u32::MAX)
}

fn pass_on(shared: &Arc<Shared>, job: Box<QueueJob>) {
    job.order.end_waiting();
    let (topic, message) = (&job.topic, &job.original);
    let now_ms = shared.clock.now_ms();
    let kept_s = shared.access.load().kept_s(topic.as_str());
    let times = Times { now_ms, born_ms: message.born_ms.min(now_ms), kept_s };
    let mapped = properties::from_queue(topic, message, times, shared.limits.payload_bytes_max);
    let mapped = match mapped {
        Ok(mapped) => mapped,
        Err(reason) => {
            shared.counts.dead_letters.one();
            return shared.tasks.spawn("a dead letter", super::dead_letter(shared.queue.clone(), job, reason));
        }
    };
    let key = mapped.to.as_ref().map_or(job.topic.as_str(), ClientKey::as_str);
    let worker = ClientKey::owner(key, shared.workers.len());
    let (message, keep) = (SharedMessage::new(mapped.message, shared.memory.meter_of_tasks()), mapped.keep);
    let from_queue = match mapped.to {
        Some(to) => FromQueue::P2p { to, message, keep, job },
        None => FromQueue::Subscribers { message, keep, job },
    };
    if let Some(address) = shared.workers.get(worker) {
        address.notify(Notice::FromQueue(from_queue));
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    #[tokio::test]
    async fn a_message_that_gets_its_places_puts_off_the_hiding_of_no_other() {
        let hiding = Hiding { every: Duration::from_secs(3600), due: Instant::now() };
        for place in 0..3 {
            assert_eq!(hiding.unless_due(ready(place)).await, Some(place));
        }
        assert_eq!(hiding.unless_due(pending::<()>()).await, None);
    }

    #[test]
    fn a_large_message_takes_several_places_and_never_more_than_there_are() {
        for (bytes, places) in [(0, 1), (BYTES_PER_PLACE, 1), (BYTES_PER_PLACE + 1, 2), (4 << 20, 8)] {
            let message = queue::Message { body: vec![0; bytes].into(), ..queue::Message::default() };
            assert_eq!(places_of(&message, 8), places, "{bytes} bytes");
        }
    }
}
