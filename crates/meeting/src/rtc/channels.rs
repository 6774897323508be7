//! The seam to the RTC server: what the meeting service asks of it, and what it is told.
//!
//! Contract. Every call is idempotent and may be repeated after a crash of either side: opening an open channel,
//! removing an absent participation, admitting an admitted one succeed. Calls about one channel take effect in the
//! order in which they were made. A call that fails with [`ChannelError::Unavailable`] may have taken effect; the
//! service repeats it. Events are hints, delivered at most once and in order per channel: after a restart of the
//! RTC server, [`Channels::describe`] tells what is left, which may be nothing.
//!
//! [`ChannelError::Unavailable`]: signalling::ChannelError::Unavailable

use signalling::{ChannelDescription, ChannelEvent, ChannelFuture, ChannelId, ParticipationId, Rights, Source};
use tokio::sync::mpsc;

pub trait Channels: Send + Sync {
    /// Creates the channel; it exists until [`close`](Self::close), also while nobody is in it.
    fn open(&self, channel: ChannelId) -> ChannelFuture<()>;
    /// Ends every participation with [`LeftReason::Closed`](signalling::LeftReason) and forgets the channel; its tokens
    /// open nothing any more.
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
    /// Ends the participation with [`LeftReason::Removed`](signalling::LeftReason); its token joins no more.
    fn remove(&self, channel: ChannelId, participation: ParticipationId) -> ChannelFuture<()>;
    /// `None`: no such channel.
    fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>>;
    /// The events of all channels, to one receiver; a later call takes over from an earlier one.
    fn events(&self) -> mpsc::Receiver<ChannelEvent>;
}
