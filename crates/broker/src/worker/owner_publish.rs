//! A message that an owner publishes: judged, made and routed as one of a service on MQTT, with an answer from each place.
//! On a task, not on a worker.

use std::sync::Arc;

use accounts::access::{Access, Identity};
use accounts::clients::Turn;
use accounts::messages::{
    NotPublished, PlaceOutcome, Publication, Published, Publisher, QueuePlace, ReceiverPlace, SubscribersPlace,
};
use mqtt::codec::{Properties, PropertiesBuf, Property, Publish};
use mqtt::topic::TopicName;
use mqtt::{Delivery, PacketId};
use queue::SendError;
use tokio::sync::oneshot;

use super::known_topic::{KnownTopic, Receiver};
use super::orders::{Order, Placed};
use super::post::Notice;
use super::publish::{Author, Authorized, compose};
use crate::shared::Shared;

/// `None`: a place has stopped, or cannot say whether it keeps the message. What was begun is finished, also if the caller goes
/// away: what the queue has reaches the others.
pub(crate) async fn publish(
    shared: Arc<Shared>,
    publication: Publication,
    turn: Turn,
) -> Option<Result<Published, NotPublished>> {
    tokio::spawn(async move { route(&shared, &publication, &turn).await }).await.ok()?
}

async fn route(shared: &Shared, publication: &Publication, turn: &Turn) -> Option<Result<Published, NotPublished>> {
    let Authorized { message, keep, routes } = match authorized(shared, publication) {
        Ok(authorized) => authorized,
        Err(refused) => {
            shared.counts.refused_publishes.one();
            return Some(Err(refused));
        }
    };
    shared.counts.received.one();
    let is_for_subscribers = routes.queue.is_none() && routes.p2p.is_none() || routes.subscribers.len() > 0;
    let mut published = Published::default();
    // First: nobody is told of what the queue refuses.
    if let Some((topic, message)) = routes.queue {
        shared.counts.to_queue.one();
        match shared.queue.send_wait(&topic, message).await {
            Ok(id) => {
                let (topic, message_id) = (topic.to_string(), id.to_string());
                published.queue = Some(QueuePlace { topic, message_id });
            }
            Err(refused @ (SendError::Invalid(_) | SendError::WrongType { .. })) => {
                return Some(Err(NotPublished::Invalid(refused.to_string())));
            }
            Err(refused) => return Some(Err(NotPublished::Unavailable(refused.to_string()))),
        }
    }
    let order = |worker: usize, make: &dyn Fn(oneshot::Sender<Placed>) -> Order| {
        let (answer, answered) = oneshot::channel();
        if let Some(address) = shared.workers.get(worker) {
            address.notify(Notice::Ordered(make(answer)));
        }
        answered
    };
    let receiver = routes.p2p.map(|Receiver { client, owner }| {
        let deliver =
            |answer| Order::Deliver { to: client.clone(), message: message.clone(), keep, answer, turn: turn.clone() };
        (client.as_str().to_owned(), order(owner, &deliver))
    });
    let fan_out = |answer| Order::FanOut { message: message.clone(), keep, answer, turn: turn.clone() };
    let subscribers: Vec<_> = routes.subscribers.iter().map(|worker| order(worker, &fan_out)).collect();
    if let Some((client_id, answer)) = receiver {
        let Placed { online, outcome, .. } = answer.await.ok()?;
        published.receiver = Some(ReceiverPlace { client_id, online: online > 0, outcome });
    }
    if is_for_subscribers {
        published.subscribers = Some(all(subscribers).await?);
    }
    Some(Ok(published))
}

fn authorized(shared: &Shared, publication: &Publication) -> Result<Authorized, NotPublished> {
    let Publication { by, topic, payload, at_least_once, expiry_s, properties } = publication;
    let max = shared.limits.payload_bytes_max;
    if payload.len() > max {
        return Err(NotPublished::TooLarge { max });
    }
    if shared.memory.is_short() {
        shared.counts.refused_for_memory.one();
        return Err(NotPublished::Unavailable("memory is short".to_owned()));
    }
    TopicName::parse(topic).map_err(|_| NotPublished::Topic)?;
    let access = shared.access.load();
    judge(&access, by, topic)?;
    let known = KnownTopic::permitted(topic, &access, shared.workers.len()).map_err(|_| NotPublished::Topic)?;
    let properties = encoded(*expiry_s, properties)?;
    let delivery = if *at_least_once {
        Delivery::AtLeastOnce { packet_id: PacketId::MIN, dup: false }
    } else {
        Delivery::AtMostOnce
    };
    let publish = Publish { delivery, retain: false, topic, properties: properties.view(), payload };
    let name = match by {
        Publisher::Service(key_id) => format!("key:{key_id}"),
        Publisher::Owner(name) => name.clone(),
    };
    let author = Author { name: &name, client: None, user: None, may_collapse: true };
    let meter = shared.memory.meter_of_tasks();
    compose(shared, meter, &publish, &known, &author, shared.clock.now_ms()).map_err(|_| NotPublished::Topic)
}

/// By the same rules as a PUBLISH of a service.
fn judge(access: &Access, by: &Publisher, topic: &str) -> Result<(), NotPublished> {
    let judged = match by {
        Publisher::Service(key_id) => {
            let (key_id, instance) = (key_id.clone(), access.instance().to_owned());
            access.may_publish(&Identity::Service { key_id, instance }, topic)
        }
        Publisher::Owner(_) => access.owner_may_publish(topic),
    };
    judged.map_err(NotPublished::Refused)
}

fn encoded(
    expiry_s: Option<u32>,
    properties: &std::collections::BTreeMap<String, String>,
) -> Result<PropertiesBuf, NotPublished> {
    let mut encoded = PropertiesBuf::new();
    let expiry = expiry_s.map(Property::MessageExpiryInterval);
    let own = properties.iter().map(|(name, value)| Property::UserProperty(name, value));
    for property in expiry.into_iter().chain(own) {
        encoded.push(property).map_err(|_| NotPublished::Properties)?;
    }
    // As those of a PUBLISH are, which come from outside too.
    Properties::parse_publish(encoded.view().as_bytes()).map_err(|_| NotPublished::Properties)?;
    Ok(encoded)
}

/// Where nothing went wrong at any worker, the best that happened.
async fn all(answers: Vec<oneshot::Receiver<Placed>>) -> Option<SubscribersPlace> {
    let mut all = SubscribersPlace { online: 0, inboxes: 0, outcome: PlaceOutcome::Nobody };
    for answer in answers {
        let Placed { online, inboxes, outcome } = answer.await.ok()?;
        (all.online, all.inboxes) = (all.online + online, all.inboxes + inboxes);
        if weight(outcome) > weight(all.outcome) {
            all.outcome = outcome;
        }
    }
    Some(all)
}

fn weight(outcome: PlaceOutcome) -> u8 {
    match outcome {
        PlaceOutcome::Nobody => 0,
        PlaceOutcome::Sent => 1,
        PlaceOutcome::Stored => 2,
        PlaceOutcome::Full => 3,
        PlaceOutcome::Unavailable => 4,
    }
}
