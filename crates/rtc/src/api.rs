//! The channel calls: the interface by which an owner decides about its channels on this server.
//!
//! Contract: that of [`signalling::channel`]. Calls about one channel take effect in the order in which they were made; a
//! call is made when its function is called, not when its future is polled.

use crate::feed::Feeds;
use crate::owner::{ChannelKey, Owner};
use crate::shard::mailbox::{Command, Reply, ShardMailbox};
use crate::shards::Shards;
use signalling::{
    ChannelDescription, ChannelError, ChannelEvents, ChannelFuture, ChannelId, DesiredChannel, EventCursor, Placement,
};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use tokio::sync::oneshot;

/// How long a question for events waits where its owner says nothing else.
const EVENTS_WAIT: Duration = Duration::from_secs(20);

/// What all handles of one server share.
pub(crate) struct Node {
    pub(crate) name: String,
    /// Base addresses of join endpoints, once they are known.
    pub(crate) endpoints: OnceLock<Vec<String>>,
    pub(crate) shards: Arc<Shards>,
    pub(crate) feeds: Arc<Feeds>,
}

/// A handle on the channels of one owner; cheap to clone.
#[derive(Clone)]
pub struct ChannelApi {
    node: Arc<Node>,
    owner: Owner,
}

impl ChannelApi {
    pub(crate) fn new(node: Arc<Node>, owner: Owner) -> Self {
        Self { node, owner }
    }

    /// Makes the channel what is wished, by the rule of revisions; `None` ends it. It stays open until then, also when it is
    /// empty, as long as its owner asks for its events.
    ///
    /// # Errors
    /// [`ChannelError::Stale`] for what is older than, or different from, what was put before;
    /// [`ChannelError::Limit`] when the shard or the channel has all that it may have.
    pub fn put(&self, channel: ChannelId, rev: u64, desired: Option<DesiredChannel>) -> ChannelFuture<Placement> {
        if let Err(error) = self.node.feeds.renew(&self.owner) {
            return Box::pin(std::future::ready(Err(error)));
        }
        let (to, key) = (self.node.shards.of(&channel), self.key(channel));
        let done = ask(to, |reply| Command::Put { key, rev, desired, reply });
        let placement = Placement {
            node: self.node.name.clone(),
            endpoints: self.node.endpoints.get().cloned().unwrap_or_default(),
            epoch: self.node.feeds.epoch(),
        };
        Box::pin(async move {
            done.await?;
            Ok(placement)
        })
    }

    /// `None`: no such channel is open.
    pub fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>> {
        let (to, key) = (self.node.shards.of(&channel), self.key(channel));
        ask(to, |reply| Command::Describe(key, reply))
    }

    /// All open channels of the owner.
    pub fn list(&self) -> ChannelFuture<Vec<ChannelDescription>> {
        let of_shard = |shard| ask(shard, |reply| Command::List(self.owner.clone(), reply));
        let asked: Vec<ChannelFuture<_>> = self.node.shards.mailboxes.iter().map(of_shard).collect();
        Box::pin(async move {
            let mut all = Vec::new();
            for part in asked {
                all.extend(part.await?);
            }
            Ok(all)
        })
    }

    /// What has happened to the owner's channels after `after`, or a snapshot of them; waits until there is something, but not
    /// for ever. Each question renews the channels of the owner.
    ///
    /// # Errors
    /// [`ChannelError::Limit`]: there are too many owners.
    pub fn events(&self, after: Option<EventCursor>) -> ChannelFuture<ChannelEvents> {
        self.events_within(after, EVENTS_WAIT)
    }

    /// The same; waits for no longer than `wait`.
    pub fn events_within(&self, after: Option<EventCursor>, wait: Duration) -> ChannelFuture<ChannelEvents> {
        let channels = self.clone();
        Box::pin(async move {
            let feeds = &channels.node.feeds;
            feeds.read(&channels.owner, after, wait, || channels.list()).await
        })
    }

    fn key(&self, channel: ChannelId) -> ChannelKey {
        ChannelKey { owner: self.owner.clone(), channel }
    }
}

fn ask<T: Send + 'static>(shard: &ShardMailbox, command: impl FnOnce(Reply<T>) -> Command) -> ChannelFuture<T> {
    let (reply, answer) = oneshot::channel();
    let sent = shard.send(command(reply));
    Box::pin(async move {
        sent.map_err(|refused| ChannelError::Unavailable(refused.to_string()))?;
        answer.await.unwrap_or_else(|_| Err(ChannelError::Unavailable("it is shutting down".to_owned())))
    })
}
