//! The queue as RocketMQ clients reach it: its names, its server, and what an access key may do there.

use super::storage::Storage;
use crate::config::QueueConfig;
use accounts::access::{AccessView, Identity};
use accounts::login::has_signed;
use anyhow::{Context, Result};
use catalog::Scope;
use clock::Clock;
use queue::{AdminError, GroupName, GroupOptions, Queue, TopicName, TopicType};
use queue_rocketmq::{Access, Deps, RocketMqServer};
use std::sync::Arc;
use tokio::sync::watch;

/// Topics and groups of the configuration.
pub(super) async fn make_names(config: &QueueConfig, queue: &dyn Queue) -> Result<()> {
    for (topic, topic_type) in &config.topics {
        let made = queue.create_topic_of(topic.clone(), *topic_type).await;
        made.map_err(|error| {
            let words = format!("cannot make the topic {topic} of queue.topics{}", remedy(topic, &error));
            anyhow::Error::new(error).context(words)
        })?;
    }
    for (group, is_fifo) in &config.groups {
        let made = make_group(queue, group, *is_fifo).await;
        made.with_context(|| format!("cannot make the group {group} of queue.groups"))?;
    }
    Ok(())
}

/// What the configuration does not say of a group that exists stays as it is.
async fn make_group(queue: &dyn Queue, group: &GroupName, is_fifo: bool) -> Result<(), AdminError> {
    let known = match queue.group_options(group.clone()).await {
        Err(AdminError::UnknownGroup(_)) => GroupOptions::default(),
        known => known?,
    };
    queue.create_group(group.clone(), GroupOptions { is_fifo: is_fifo || known.is_fifo, ..known }).await
}

/// A topic keeps its type, so that it is the setting that has to follow.
fn remedy(topic: &TopicName, error: &AdminError) -> String {
    match error {
        AdminError::OtherType { is: TopicType::Normal, .. } => format!(": write {topic} there, or another name"),
        AdminError::OtherType { is, .. } => format!(": write {topic}:{is} there, or another name"),
        _ => String::new(),
    }
}

pub(super) fn server(
    config: &QueueConfig,
    storage: &Storage,
    access: KeyAccess,
    tls: Arc<rustls::ServerConfig>,
    stop: watch::Receiver<bool>,
) -> RocketMqServer {
    RocketMqServer::new(Deps {
        queue: Arc::new(storage.queue.clone()),
        access: Arc::new(access),
        clock: storage.clock.clone(),
        tls,
        plaintext: config.plaintext,
        stop,
    })
}

/// What the holders of access keys may do. A topic of the queue that is no parent topic has no grants: who has the whole
/// instance may use it.
pub(super) struct KeyAccess {
    pub(super) access: AccessView,
    pub(super) clock: Clock,
}

impl KeyAccess {
    fn may_use_whole_queue(&self, key_id: &str) -> bool {
        let access = self.access.load();
        access.key_allows(key_id, Scope::Topics) && !access.is_narrowed(key_id)
    }

    fn has_secret(&self, key_id: &str) -> bool {
        let (access, times) = (self.access.load(), self.clock.times());
        access.key(key_id).is_some_and(|key| {
            let is_over = |secret| key.valid_until_ms(secret).is_some_and(|at_ms| times.is_over(at_ms));
            !key.secrets.iter().all(is_over)
        })
    }

    fn identity(&self, key_id: &str) -> Identity {
        Identity::Service { key_id: key_id.to_owned(), instance: self.access.load().instance().to_owned() }
    }
}

impl Access for KeyAccess {
    fn has_signed(&self, key_id: &str, signed: &[u8], signature: &[u8]) -> bool {
        let times = self.clock.times();
        has_signed(&self.access.load(), key_id, signed, signature, |at_ms| times.is_over(at_ms))
    }

    fn may_use_topics(&self, key_id: &str) -> bool {
        self.access.load().key_allows(key_id, Scope::Topics)
    }

    fn may_send(&self, key_id: &str, topic: &str, second: &str) -> bool {
        if !second.is_empty() && !second.starts_with('/') {
            return false;
        }
        if self.access.load().rule_of(topic).is_none() {
            return self.may_use_whole_queue(key_id);
        }
        self.access.load().may_publish(&self.identity(key_id), &format!("{topic}{second}")).is_ok()
    }

    fn may_show(&self, key_id: &str, topic: &str, second: &str) -> bool {
        self.access.load().rule_of(topic).is_some() && self.may_send(key_id, topic, second)
    }

    fn may_receive(&self, key_id: &str, topic: &str) -> bool {
        if !self.has_secret(key_id) {
            return false;
        }
        if self.access.load().rule_of(topic).is_none() {
            return self.may_use_whole_queue(key_id);
        }
        self.access.load().may_subscribe(&self.identity(key_id), topic).is_ok()
    }

    fn may_use_group(&self, key_id: &str, group: &str) -> bool {
        self.access.load().key(key_id).is_some_and(|key| key.may_use_group(group))
    }

    fn may_stamp(&self, key_id: &str) -> bool {
        self.access.load().key_allows(key_id, Scope::Stamps)
    }
}
