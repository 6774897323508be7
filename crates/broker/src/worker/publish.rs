//! Admission of a PUBLISH: may it, what is the message, where does it go. Without state.

use std::sync::Arc;

use accounts::access::{Identity, P2pTopic};
use catalog::Rule;
use mqtt::ReasonCode;
use mqtt::codec::Publish;
use mqtt::topic::TopicName;

use super::connections::Connected;
use crate::bridge::properties::{self, Sender};
use crate::client::ClientKey;
use crate::interest::Workers;
use crate::message::{Collapse, Message, SharedMessage, expiry_at, forwardable, waits};
use crate::reason;
use crate::shared::Shared;

/// A message that may be published.
pub(super) struct Admitted {
    pub(super) message: SharedMessage,
    /// It waits for a receiver that is off.
    pub(super) keep: bool,
    pub(super) from: ClientKey,
    pub(super) routes: Routes,
}

/// Where one message goes.
pub(super) struct Routes {
    pub(super) queue: Option<(queue::TopicName, queue::Message)>,
    /// To one client, of whatever worker.
    pub(super) p2p: Option<ClientKey>,
    pub(super) subscribers: Workers,
}

impl Routes {
    pub(super) fn len(&self) -> usize {
        usize::from(self.queue.is_some()) + usize::from(self.p2p.is_some()) + self.subscribers.len()
    }
}

/// # Errors
/// The reason to refuse the PUBLISH.
pub(super) fn admit(
    shared: &Shared,
    publish: &Publish<'_>,
    connected: &Connected,
    now_ms: u64,
) -> Result<Admitted, ReasonCode> {
    // 1. Size and permission; the rule of the parent topic.
    if publish.payload.len() > shared.limits.payload_bytes_max {
        return Err(ReasonCode::QUOTA_EXCEEDED);
    }
    let access = shared.access.load();
    access.may_publish(&connected.identity, publish.topic).map_err(reason::of_publish)?;
    let parent = publish.topic.split('/').next().unwrap_or(publish.topic);
    let rule = access.rule_of(parent).ok_or(ReasonCode::NOT_AUTHORIZED)?;
    // 2. The message, made once.
    let (user, collapse) = match &connected.identity {
        Identity::Service { .. } => (None, collapse_of(publish)),
        Identity::Device { user, .. } => (Some(user.as_str()), None),
    };
    let expiry_s = publish.properties.message_expiry_interval();
    let message = Arc::new(Message {
        topic: publish.topic.into(),
        properties: forwardable(publish.properties),
        payload: publish.payload.into(),
        qos: publish.delivery.qos(),
        arrived_ms: now_ms,
        expires_at_ms: expiry_at(now_ms, expiry_s),
        collapse,
    });
    // 3. Where it goes. What goes to the queue and comes back from it reaches its receivers from there.
    let is_local = rule != Rule::Both;
    let queue = if matches!(rule, Rule::ToQueue | Rule::Both) {
        let sender = Sender { client_id: connected.client_id.as_str(), user };
        Some(properties::to_queue(&message, &sender).ok_or(ReasonCode::TOPIC_NAME_INVALID)?)
    } else {
        None
    };
    let p2p = P2pTopic::parse(publish.topic).filter(|_| is_local);
    let p2p = p2p.map(|p2p| ClientKey::new(p2p.receiver.as_str()));
    let subscribers = match TopicName::parse(publish.topic) {
        Ok(name) if is_local && p2p.is_none() => shared.interest.workers(name),
        _ => Workers::default(),
    };
    let routes = Routes { queue, p2p, subscribers };
    Ok(Admitted { message, keep: waits(expiry_s), from: connected.client_id.clone(), routes })
}

/// Services may say that newer messages take the place of older ones.
fn collapse_of(publish: &Publish<'_>) -> Option<Collapse> {
    let key = publish.properties.user_property(properties::name::COLLAPSE_KEY)?;
    let version = publish.properties.user_property(properties::name::COLLAPSE_VERSION)?.parse().ok()?;
    Some(Collapse { key: key.into(), version })
}
