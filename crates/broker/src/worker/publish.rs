//! Authorization of a PUBLISH: may it, what is the message, where does it go. Its only state is what the connection knows of
//! its last topic.

use std::sync::Arc;

use accounts::access::Identity;
use catalog::Rule;
use mqtt::ReasonCode;
use mqtt::codec::Publish;
use mqtt::topic::TopicName;

use super::connections::Connected;
use super::known_topic::{KnownTopic, Receiver};
use crate::bridge::properties::{self, Sender};
use crate::client::ClientKey;
use crate::memory::Meter;
use crate::message::{Collapse, Message, SharedMessage, expiry_at, forwardable, kept, waits};
use crate::shared::Shared;
use crate::stamps::Stamps;
use crate::workers_by_filter::Workers;

/// A message that may be published.
pub(super) struct Authorized {
    pub(super) message: SharedMessage,
    /// It waits for a receiver that is off.
    pub(super) keep: bool,
    pub(super) routes: Routes,
}

/// Where one message goes.
pub(super) struct Routes {
    pub(super) queue: Option<(queue::TopicName, queue::Message)>,
    /// To one client, of whatever worker.
    pub(super) p2p: Option<Receiver>,
    pub(super) subscribers: Workers,
    /// The client that published it, where it goes to subscribers.
    pub(super) from: Option<ClientKey>,
}

/// Who publishes, as the message says it.
pub(super) struct Author<'a> {
    pub(super) name: &'a str,
    /// If it is a client.
    pub(super) client: Option<&'a ClientKey>,
    pub(super) user: Option<&'a str>,
    /// It may say that newer messages take the place of older ones.
    pub(super) may_collapse: bool,
}

impl Routes {
    pub(super) fn len(&self) -> usize {
        usize::from(self.queue.is_some()) + usize::from(self.p2p.is_some()) + self.subscribers.len()
    }
}

/// # Errors
/// The reason to refuse the PUBLISH.
pub(super) fn authorize(
    shared: &Shared,
    meter: &Arc<Meter>,
    publish: &Publish<'_>,
    connected: &mut Connected,
    now_ms: u64,
) -> Result<Authorized, ReasonCode> {
    // 1. Size and permission; the rule of the parent topic.
    if publish.payload.len() > shared.limits.payload_bytes_max {
        return Err(ReasonCode::QUOTA_EXCEEDED);
    }
    let Connected { client_id, identity, known_topic, .. } = connected;
    let access = shared.access.load();
    let known = KnownTopic::of(known_topic, publish.topic, identity, &access, shared.workers.len())?;
    let (user, may_collapse) = match identity {
        Identity::Service { .. } => (None, true),
        Identity::Device { user, .. } => (Some(user.as_str()), false),
        Identity::Tokens(holder) => (holder.user.as_deref(), false),
    };
    let author = Author { name: client_id.as_str(), client: Some(client_id), user, may_collapse };
    compose(shared, meter, publish, known, &author, now_ms)
}

/// Of a message that may be published.
///
/// # Errors
/// The topic is none of the queue, though it goes there.
pub(super) fn compose(
    shared: &Shared,
    meter: &Arc<Meter>,
    publish: &Publish<'_>,
    known: &KnownTopic,
    author: &Author<'_>,
    now_ms: u64,
) -> Result<Authorized, ReasonCode> {
    // 2. The message, made once.
    let collapse = if author.may_collapse { collapse_of(publish) } else { None };
    let expiry_s = kept(publish.properties.message_expiry_interval(), known.kept_s);
    let subscribers = subscribers_of(shared, publish.topic, known);
    let arrived_ms = now_ms.to_string();
    let stamps = Stamps { client_id: Some(author.name), user: author.user, arrived_ms: Some(&arrived_ms) };
    let message = Message {
        topic: known.topic.clone(),
        properties: forwardable(publish.properties, Some(&stamps).filter(|_| subscribers.len() > 0)),
        payload: publish.payload.into(),
        qos: publish.delivery.qos(),
        arrived_ms: now_ms,
        expires_at_ms: expiry_at(now_ms, expiry_s),
        collapse,
    };
    let message = SharedMessage::new(message, meter);
    // 3. Where it goes.
    let queue = if matches!(known.rule, Rule::ToQueue | Rule::Both) {
        let sender = Sender { client_id: author.name, user: author.user };
        Some(properties::to_queue(&message, &sender).ok_or(ReasonCode::TOPIC_NAME_INVALID)?)
    } else {
        None
    };
    let p2p = known.receiver.clone();
    let from = author.client.filter(|_| subscribers.len() > 0).cloned();
    let routes = Routes { queue, p2p, subscribers, from };
    Ok(Authorized { message, keep: waits(expiry_s), routes })
}

/// What goes to the queue and comes back from it reaches its receivers from there.
fn subscribers_of(shared: &Shared, topic: &str, known: &KnownTopic) -> Workers {
    match TopicName::parse(topic) {
        Ok(topic) if known.rule != Rule::Both && known.receiver.is_none() => shared.workers_by_filter.workers(topic),
        _ => Workers::default(),
    }
}

/// Services may say that newer messages take the place of older ones.
fn collapse_of(publish: &Publish<'_>) -> Option<Collapse> {
    let key = publish.properties.user_property(properties::name::COLLAPSE_KEY)?;
    let version = publish.properties.user_property(properties::name::COLLAPSE_VERSION)?.parse().ok()?;
    Some(Collapse { key: key.into(), version })
}
