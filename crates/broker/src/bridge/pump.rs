//! From the queue to the workers: one pump for each parent topic that the rules say comes from the queue.
//!
//! A pump receives in order and passes on in order, so that the messages of one client keep it; many are under way at
//! once, each holding a permit until it is acknowledged, given up, or among the dead letters.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use catalog::Rule;
use queue::limits::RECEIVE_MAX;
use queue::{AdminError, Delivery, GroupName, GroupOptions, ReceiveRequest, TagFilter, TopicName};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinHandle;

use super::properties::{self, Times};
use crate::client::ClientKey;
use crate::message::SharedMessage;
use crate::shared::Shared;
use crate::worker::post::{FromQueue, Notice, QueueJob};

/// The broker's consumer group.
pub const GROUP: &str = "convoke-broker";
/// Bytes of a message's body for which one place of those that are under way is enough.
const BYTES_PER_PLACE: usize = 16 << 10;
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
        self.pumps.retain(|parent, _| rules.iter().any(|(known, _)| known == parent));
        for (parent, rule) in rules {
            if rule != Rule::None
                && let Ok(topic) = TopicName::parse(&parent)
            {
                self.shared.queue.create_topic(topic.clone()).await?;
                self.follow_rule(parent, topic, rule);
            } else {
                self.pumps.remove(&parent);
            }
        }
        self.revision = revision;
        Ok(())
    }

    fn follow_rule(&mut self, parent: String, topic: TopicName, rule: Rule) {
        if !matches!(rule, Rule::FromQueue | Rule::Both) {
            self.pumps.remove(&parent);
        } else if !self.pumps.contains_key(&parent) {
            let work = pump(self.shared.clone(), self.group.clone(), topic);
            let pump = self.shared.tasks.spawn_endless("a pump of the queue", work);
            self.pumps.insert(parent, Pump(pump));
        }
    }
}

async fn pump(shared: Arc<Shared>, group: GroupName, topic: TopicName) {
    let room = Arc::new(Semaphore::new(shared.limits.from_queue_max));
    loop {
        // Room for one at least, so that nothing is taken from the queue to lie about.
        let Ok(first) = room.clone().acquire_owned().await else { return };
        let max = (1 + room.available_permits()).min(RECEIVE_MAX);
        drop(first);
        if shared.memory.is_short() {
            tokio::time::sleep(RETRY).await;
            continue;
        }
        let request = ReceiveRequest {
            group: group.clone(),
            topic: topic.clone(),
            filter: TagFilter::All,
            max,
            wait: WAIT,
            invisible: shared.limits.from_queue_invisible,
        };
        match shared.queue.receive(request).await {
            Ok(deliveries) => pass_on_all(&shared, deliveries, &room).await,
            Err(error) => {
                tracing::warn!(%error, %topic, "the queue gives no messages");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn pass_on_all(shared: &Arc<Shared>, deliveries: Vec<Delivery>, room: &Arc<Semaphore>) {
    for delivery in deliveries {
        let places = places_of(&delivery.message, shared.limits.from_queue_max);
        let Ok(permit) = room.clone().acquire_many_owned(places).await else { return };
        pass_on(shared, delivery, permit);
    }
}

/// A large message takes several places of those that are under way, so that their bytes are bounded as their number is.
fn places_of(message: &queue::Message, places_max: usize) -> u32 {
    let places = message.body.len().div_ceil(BYTES_PER_PLACE).clamp(1, places_max.max(1));
    u32::try_from(places).unwrap_or(u32::MAX)
}

fn pass_on(shared: &Arc<Shared>, delivery: Delivery, permit: OwnedSemaphorePermit) {
    let Delivery { message_id, topic, message, receipt, .. } = delivery;
    let now_ms = shared.clock.now_ms();
    let times = Times { now_ms, born_ms: message.born_ms.min(now_ms) };
    let mapped = properties::from_queue(&topic, &message, times, shared.limits.payload_bytes_max);
    let job = Box::new(QueueJob { receipt, message_id, topic, original: message, permit });
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
        None => FromQueue::Subscribers { message, job },
    };
    if let Some(address) = shared.workers.get(worker) {
        address.notify(Notice::FromQueue(from_queue));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_large_message_takes_several_places_and_never_more_than_there_are() {
        for (bytes, places) in [(0, 1), (BYTES_PER_PLACE, 1), (BYTES_PER_PLACE + 1, 2), (4 << 20, 8)] {
            let message = queue::Message { body: vec![0; bytes].into(), ..queue::Message::default() };
            assert_eq!(places_of(&message, 8), places, "{bytes} bytes");
        }
    }
}
