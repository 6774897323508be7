//! The seam to the RTC server: what the meeting service asks of it, and what it is told.
//!
//! Contract. Every call is idempotent and may be repeated after a crash of either side: opening an open channel,
//! removing an absent participation, admitting an admitted one succeed. Calls about one channel take effect in the
//! order in which they were made. A call that fails with [`ChannelError::Unavailable`] may have taken effect; the
//! service repeats it. Events are hints, delivered at most once and in order per channel: after a restart of the
//! RTC server, [`Channels::describe`] tells what is left, which may be nothing.

use signalling::{ChannelId, ParticipationId, Rights, Source, UserName};
use std::future::Future;
use std::pin::Pin;
use tokio::sync::mpsc;

pub type ChannelFuture<T> = Pin<Box<dyn Future<Output = Result<T, ChannelError>> + Send>>;

pub trait Channels: Send + Sync {
    /// Makes the channel; it stays until [`close`](Self::close), also while nobody is in it.
    fn open(&self, channel: ChannelId) -> ChannelFuture<()>;
    /// Ends every participation with [`LeftReason::Closed`] and forgets the channel; its tokens open nothing any more.
    fn close(&self, channel: ChannelId) -> ChannelFuture<()>;
    /// The participation no longer waits: media flows to and from it, now or as soon as it joins.
    fn admit(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()>;
    /// Replaces what a participation may publish and receive. A block is a right taken away.
    fn update_rights(&self, channel: ChannelId, participation: ParticipationId, rights: Rights) -> ChannelFuture<()>;
    /// Stops or starts forwarding one source of a participation, whatever its terminal sends.
    fn mute(
        &self,
        channel: ChannelId,
        participation: ParticipationId,
        source: Source,
        muted: bool,
    ) -> ChannelFuture<()>;
    /// Ends the participation with [`LeftReason::Removed`]; its token joins no more.
    fn remove(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()>;
    /// `None`: no such channel.
    fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>>;
    /// The events of all channels, to one receiver; a later call takes over from an earlier one.
    fn events(&self) -> mpsc::Receiver<ChannelEvent>;
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

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Participant {
    pub participation: ParticipationId,
    pub user: UserName,
    pub waiting: bool,
    /// ICE and DTLS are done.
    pub connected: bool,
    /// Sources that are being received from it.
    pub publishing: Vec<Source>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChannelEvent {
    pub channel: ChannelId,
    pub participation: ParticipationId,
    pub kind: ChannelEventKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChannelEventKind {
    /// ICE and DTLS are done; `cipher` is the negotiated SRTP profile.
    Joined {
        cipher: String,
    },
    /// No authenticated packet for 4 s.
    Lost,
    /// Packets again after `Lost`.
    Back,
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
    /// No media for the grace time after `Lost`.
    TimedOut,
    /// Removed by the service.
    Removed,
    /// The channel was closed.
    Closed,
    /// The same client joined again.
    Replaced,
    /// DTLS, SRTP or the peer's own error ended it.
    Failed,
}
