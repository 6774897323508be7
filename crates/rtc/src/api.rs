//! The channel calls and events.
//!
//! Contract. Every call is idempotent. Calls about one channel take effect in the order in which they were made; a
//! call is made when its function is called, not when its future is polled. Events are hints: delivered at most once,
//! in order per channel, dropped when nobody receives them.

use crate::server::Shards;
use crate::shard::mailbox::{Call, Command, Reply};
use signalling::{ChannelId, ParticipationId, Rights, Source, UserName};
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::oneshot;

pub type ChannelFuture<T> = Pin<Box<dyn Future<Output = Result<T, ChannelError>> + Send>>;

/// A handle on all channels of one RTC server; cheap to clone.
#[derive(Clone)]
pub struct ChannelApi {
    shards: Arc<Shards>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    #[error("no such channel: open it first")]
    UnknownChannel,
    #[error("the RTC server does not answer ({0}): repeat the call")]
    Unavailable(String),
    #[error("the RTC server is full ({0}): try later or add a node")]
    Limit(String),
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelDescription {
    pub participants: Vec<Participant>,
}

/// One participation that has a connection or is making one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    pub participation: ParticipationId,
    pub user: UserName,
    pub waiting: bool,
    /// ICE and DTLS are done.
    pub connected: bool,
    /// Sources that are being received from it.
    pub publishing: Vec<Source>,
    /// The negotiated SRTP profile, once connected.
    pub cipher: Option<String>,
    /// What came in from it and where it went, per source, since it joined.
    pub traffic: Vec<SourceTraffic>,
}

/// Packets of one source. `received` = packets that were offered to the others + all the `dropped_…`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SourceTraffic {
    pub source: Source,
    /// Authenticated packets that arrived.
    pub received: u64,
    /// Copies that left to other peers.
    pub forwarded: u64,
    /// Not forwarded because the source is muted.
    pub dropped_muted: u64,
    /// Not forwarded because the right to publish was taken away (a block).
    pub dropped_no_right: u64,
    /// Not forwarded because the participation still waits.
    pub dropped_waiting: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEvent {
    pub channel: ChannelId,
    pub participation: ParticipationId,
    pub kind: ChannelEventKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEventKind {
    /// ICE and DTLS are done; `cipher` is the negotiated SRTP profile. Comes again, without a `Left` between, when the
    /// same participation joins again on a new connection.
    Joined {
        cipher: String,
    },
    /// No authenticated packet for [`Config::lost_after`](crate::Config::lost_after).
    Lost,
    /// Packets again after `Lost`.
    Back,
    /// Also for a participation that never reached `Joined`.
    Left(LeftReason),
    /// Every few seconds per connected participation.
    Quality {
        loss_permille: u16,
        rtt_ms: Option<u32>,
    },
    Speaker {
        speaking: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeftReason {
    /// The terminal closed the connection.
    Gone,
    /// No authenticated packet for [`Config::gone_after`](crate::Config::gone_after).
    TimedOut,
    /// Removed by the service.
    Removed,
    /// The channel was closed.
    Closed,
    /// The same client joined again, as another participation.
    Replaced,
    /// ICE or DTLS did not come about, or the peer's own error ended it.
    Failed,
}

impl ChannelApi {
    pub(crate) fn new(shards: Arc<Shards>) -> Self {
        Self { shards }
    }

    /// Makes the channel; it stays until [`close`](Self::close), also while nobody is in it.
    ///
    /// # Errors
    /// [`ChannelError::Limit`] when the shard has all the channels that it may have.
    pub fn open(&self, channel: ChannelId) -> ChannelFuture<()> {
        self.call(channel, Call::Open)
    }

    /// Ends every participation with [`LeftReason::Closed`] and forgets the channel; its tokens open nothing any more.
    pub fn close(&self, channel: ChannelId) -> ChannelFuture<()> {
        self.call(channel, Call::Close)
    }

    /// The participation no longer waits: media flows to and from it, now or as soon as it joins.
    pub fn admit(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()> {
        self.call(channel, |reply| Call::Admit(participation, reply))
    }

    /// Replaces what a participation may publish and receive, whatever its token says.
    pub fn update_rights(
        &self,
        channel: ChannelId,
        participation: ParticipationId,
        rights: Rights,
    ) -> ChannelFuture<()> {
        self.call(channel, |reply| Call::UpdateRights(participation, rights, reply))
    }

    /// Stops or starts forwarding one source of a participation, whatever its terminal sends.
    pub fn mute(
        &self,
        channel: ChannelId,
        participation: ParticipationId,
        source: Source,
        muted: bool,
    ) -> ChannelFuture<()> {
        self.call(channel, |reply| Call::Mute(participation, source, muted, reply))
    }

    /// Ends the participation with [`LeftReason::Removed`]; its token joins no more while the channel is open.
    pub fn remove(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()> {
        self.call(channel, |reply| Call::Remove(participation, reply))
    }

    /// `None`: no such channel.
    pub fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>> {
        self.call(channel, Call::Describe)
    }

    fn call<T: Send + 'static>(&self, channel: ChannelId, call: impl FnOnce(Reply<T>) -> Call) -> ChannelFuture<T> {
        let (reply, answer) = oneshot::channel();
        let sent = self.shards.of(&channel).send(Command::Call(channel, call(reply)));
        Box::pin(async move {
            sent.map_err(|refused| ChannelError::Unavailable(refused.to_string()))?;
            answer.await.unwrap_or_else(|_| Err(ChannelError::Unavailable("it is shutting down".to_owned())))
        })
    }
}
