//! The table of shards: their mailboxes, and which shard a channel lives on.

use crate::shard::mailbox::ShardMailbox;
use signalling::ChannelId;
use std::hash::{DefaultHasher, Hash, Hasher};

/// The mailboxes of all shards. A channel always hashes to the same one.
pub(crate) struct Shards {
    pub(crate) mailboxes: Vec<ShardMailbox>,
}

impl Shards {
    pub(crate) fn index_of(&self, channel: &ChannelId) -> usize {
        // The default keys are fixed: the same channel is on the same shard all the time.
        let mut hasher = DefaultHasher::new();
        channel.hash(&mut hasher);
        (hasher.finish() % self.mailboxes.len() as u64) as usize
    }

    pub(crate) fn at(&self, index: usize) -> &ShardMailbox {
        &self.mailboxes[index]
    }

    pub(crate) fn of(&self, channel: &ChannelId) -> &ShardMailbox {
        self.at(self.index_of(channel))
    }
}
