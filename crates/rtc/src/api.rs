//! The channel commands: the interface by which a service decides about the channels of this server.
//!
//! Contract. Every command is idempotent. Commands to one channel take effect in the order in which they were given; a
//! command is given when its function is called, not when its future is polled. Events are hints: delivered at most once,
//! in order per channel, dropped without a receiver.

use crate::shard::mailbox::{ChannelCommand, Command, Reply};
use crate::shards::Shards;
use signalling::{ChannelDescription, ChannelError, ChannelFuture, ChannelId, ParticipationId, Rights, Source};
use std::sync::Arc;
use tokio::sync::oneshot;

/// A handle on all channels of one RTC server; cheap to clone.
#[derive(Clone)]
pub struct ChannelApi {
    shards: Arc<Shards>,
}

impl ChannelApi {
    pub(crate) fn new(shards: Arc<Shards>) -> Self {
        Self { shards }
    }

    /// Creates the channel; it stays open until [`close`](Self::close), also when it is empty.
    ///
    /// # Errors
    /// [`ChannelError::Limit`] when the shard has all the channels that it may have.
    pub fn open(&self, channel: ChannelId) -> ChannelFuture<()> {
        self.send(channel, ChannelCommand::Open)
    }

    /// Ends every participation with [`LeftReason::Closed`](signalling::LeftReason) and removes the channel; its tokens
    /// are refused from then on.
    pub fn close(&self, channel: ChannelId) -> ChannelFuture<()> {
        self.send(channel, ChannelCommand::Close)
    }

    /// The participation no longer waits: media flows to and from it, now or as soon as it joins.
    pub fn admit(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()> {
        self.send(channel, |reply| ChannelCommand::Admit(participation, reply))
    }

    /// Replaces what a participation may publish and receive, whatever its token says.
    pub fn update_rights(
        &self,
        channel: ChannelId,
        participation: ParticipationId,
        rights: Rights,
    ) -> ChannelFuture<()> {
        self.send(channel, |reply| ChannelCommand::UpdateRights(participation, rights, reply))
    }

    /// Stops or starts forwarding one source of a participation, whatever its terminal sends.
    pub fn mute(
        &self,
        channel: ChannelId,
        participation: ParticipationId,
        source: Source,
        muted: bool,
    ) -> ChannelFuture<()> {
        self.send(channel, |reply| ChannelCommand::Mute(participation, source, muted, reply))
    }

    /// Ends the participation with [`LeftReason::Removed`](signalling::LeftReason); its token joins no more while the
    /// channel is open.
    pub fn remove(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()> {
        self.send(channel, |reply| ChannelCommand::Remove(participation, reply))
    }

    /// `None`: no such channel.
    pub fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>> {
        self.send(channel, ChannelCommand::Describe)
    }

    fn send<T: Send + 'static>(
        &self,
        channel: ChannelId,
        command: impl FnOnce(Reply<T>) -> ChannelCommand,
    ) -> ChannelFuture<T> {
        let (reply, answer) = oneshot::channel();
        let sent = self.shards.of(&channel).send(Command::Channel(channel, command(reply)));
        Box::pin(async move {
            sent.map_err(|refused| ChannelError::Unavailable(refused.to_string()))?;
            answer.await.unwrap_or_else(|_| Err(ChannelError::Unavailable("it is shutting down".to_owned())))
        })
    }
}
