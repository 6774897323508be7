//! A PUBLISH of a client: may it, and where does it go.

use std::sync::Arc;

use catalog::Rule;
use mqtt::codec::Publish;
use mqtt::topic::TopicName;
use mqtt::{AckToken, ReasonCode};

use super::Worker;
use super::post::{Asker, LinkKey, Notice, Outcome, P2p, Post, ReplyTo};
use super::stalled::{Stalled, ToQueue};
use crate::access::{Identity, P2pTopic};
use crate::bridge::properties::{self, Sender};
use crate::client::ClientKey;
use crate::interest::Workers;
use crate::message::{Collapse, Message, SharedMessage, expiry_at, forwardable, waits};

/// A message that may be published.
struct Published<'a> {
    link: LinkKey,
    from: &'a ClientKey,
    user: Option<&'a str>,
    message: SharedMessage,
    keep: bool,
}

/// Where one message goes.
struct Ways {
    queue: bool,
    /// To one client, whoever owns it.
    p2p: Option<ClientKey>,
    subscribers: Workers,
}

impl Ways {
    fn len(&self) -> usize {
        usize::from(self.queue) + usize::from(self.p2p.is_some()) + self.subscribers.len()
    }
}

impl Worker {
    pub(super) fn publish(&mut self, key: LinkKey, publish: &Publish<'_>, token: Option<AckToken>) {
        self.shared.counts.received.one();
        let Some(live) = self.link(key).and_then(|link| link.live()) else { return };
        let (client, identity) = (live.client.clone(), live.identity.clone());
        let asker = token.map_or(Asker::Nobody, |token| Asker::Publish { link: key, token });
        match self.judge(publish, &identity) {
            Err(reason) => {
                self.shared.counts.refused_publishes.one();
                self.settle(asker, Outcome::Forbidden(reason));
            }
            Ok(rule) => {
                let message = self.message_of(publish, &identity);
                let keep = waits(publish.properties.message_expiry_interval());
                let user = match &identity {
                    Identity::Device { user, .. } => Some(user.as_str()),
                    Identity::Service { .. } => None,
                };
                self.route(Published { link: key, from: &client, user, message, keep }, rule, asker);
            }
        }
    }

    /// The rule of the parent topic, or the reason to refuse.
    fn judge(&self, publish: &Publish<'_>, identity: &Identity) -> Result<Rule, ReasonCode> {
        if publish.payload.len() > self.shared.limits.payload_bytes_max {
            return Err(ReasonCode::QUOTA_EXCEEDED);
        }
        let access = self.shared.access.load();
        access.may_publish(identity, publish.topic).map_err(|refusal| refusal.reason())?;
        let parent = publish.topic.split('/').next().unwrap_or(publish.topic);
        access.rule_of(parent).ok_or(ReasonCode::NOT_AUTHORIZED)
    }

    fn message_of(&self, publish: &Publish<'_>, identity: &Identity) -> SharedMessage {
        let collapse = match identity {
            Identity::Service { .. } => collapse_of(publish),
            Identity::Device { .. } => None,
        };
        Arc::new(Message {
            topic: publish.topic.into(),
            properties: forwardable(publish.properties),
            payload: publish.payload.into(),
            qos: publish.delivery.qos(),
            arrived_ms: self.now_ms,
            expires_at_ms: expiry_at(self.now_ms, publish.properties.message_expiry_interval()),
            collapse,
        })
    }

    fn route(&mut self, published: Published<'_>, rule: Rule, asker: Asker) {
        let Published { link, from, user, message, keep } = published;
        let ways = self.ways(&message.topic, rule);
        let asker = match ways.len() {
            0 => return self.settle(asker, Outcome::Done(ReasonCode::NO_MATCHING_SUBSCRIBERS)),
            1 => Err(asker),
            parts => Ok(self.gather(asker, parts)),
        };
        // One way: the answer goes straight to the asker; several: each has a part of it.
        let mut single = None;
        let gathered = match asker {
            Ok(number) => Some(number),
            Err(asker) => {
                single = Some(asker);
                None
            }
        };
        let mut next = || match gathered {
            Some(number) => Asker::Gather(number),
            None => single.take().unwrap_or(Asker::Nobody),
        };
        if ways.queue {
            self.send_to_queue(link, &Sender { client_id: from.as_str(), user }, &message, next());
        }
        if let Some(to) = ways.p2p {
            let reply_to = ReplyTo { worker: self.me, asker: next() };
            self.send_p2p(P2p { to, message: message.clone(), keep, reply_to });
        }
        for worker in ways.subscribers.iter() {
            let reply_to = ReplyTo { worker: self.me, asker: next() };
            self.send_fan(worker, message.clone(), Some(from.clone()), reply_to);
        }
    }

    /// What goes to the queue and comes back from it reaches its receivers from there.
    fn ways(&self, topic: &str, rule: Rule) -> Ways {
        let queue = matches!(rule, Rule::ToQueue | Rule::Both);
        let is_local = rule != Rule::Both;
        let p2p = P2pTopic::parse(topic).filter(|_| is_local).map(|p2p| ClientKey::new(p2p.receiver.as_str()));
        let subscribers = match TopicName::parse(topic) {
            Ok(name) if is_local && p2p.is_none() => self.shared.interest.workers(name),
            _ => Workers::default(),
        };
        Ways { queue, p2p, subscribers }
    }

    pub(super) fn send_p2p(&mut self, p2p: P2p) {
        let owner = ClientKey::owner(p2p.to.as_str(), self.shared.workers.len());
        if owner == self.me { self.accept_p2p(p2p) } else { self.post(owner, Post::P2p(p2p)) }
    }

    pub(super) fn send_fan(
        &mut self,
        worker: usize,
        message: SharedMessage,
        from: Option<ClientKey>,
        reply_to: ReplyTo,
    ) {
        if worker == self.me {
            self.accept_fan(&message, from.as_ref(), reply_to);
        } else {
            self.post(worker, Post::Fan { message, from, reply_to });
        }
    }

    fn send_to_queue(&mut self, from: LinkKey, sender: &Sender<'_>, message: &SharedMessage, asker: Asker) {
        let Some(address) = self.shared.workers.get(self.me).cloned() else { return };
        let Some((topic, message)) = properties::to_queue(message, sender) else {
            return self.settle(asker, Outcome::Forbidden(ReasonCode::TOPIC_NAME_INVALID));
        };
        self.shared.counts.to_queue.one();
        let done = move |result: Result<queue::MessageId, queue::SendError>| {
            if let Ok(queue_message) = &result {
                tracing::trace!(%queue_message, "a PUBLISH is durable in the queue");
            }
            address.notify(Notice::QueueSent { asker, result: result.map(drop) });
        };
        self.store(Stalled::ToQueue(ToQueue { from, topic, message, done: Box::new(done) }));
    }

    pub(super) fn finish_queue_send(&mut self, asker: Asker, result: Result<(), queue::SendError>) {
        let outcome = match result {
            Ok(()) => Outcome::Done(ReasonCode::SUCCESS),
            Err(error) => {
                tracing::warn!(%error, "a published message did not get into the queue");
                Outcome::Unavailable
            }
        };
        self.settle(asker, outcome);
    }
}

/// Services may say that newer messages take the place of older ones.
fn collapse_of(publish: &Publish<'_>) -> Option<Collapse> {
    let key = publish.properties.user_property(properties::name::COLLAPSE_KEY)?;
    let version = publish.properties.user_property(properties::name::COLLAPSE_VERSION)?.parse().ok()?;
    Some(Collapse { key: key.into(), version })
}
