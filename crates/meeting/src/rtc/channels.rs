//! The seam to the RTC server: what the meeting service wishes of it, and what it is told.
//!
//! Contract: that of [`signalling::channel`], for one owner. A call that fails with [`ChannelError::Unavailable`] may have
//! taken effect; the service repeats it.
//!
//! [`ChannelError::Unavailable`]: signalling::ChannelError::Unavailable

use signalling::{ChannelDescription, ChannelEvents, ChannelFuture, ChannelId, DesiredChannel, EventCursor, Placement};

pub trait Channels: Send + Sync {
    /// Makes the channel what is wished: the whole of it. `None` ends it, with
    /// [`LeftReason::Closed`](signalling::LeftReason) for everybody who is in. A call with a revision that is not higher
    /// than what was put before changes nothing: it is answered as before if it says the same, else refused with
    /// [`ChannelError::Stale`](signalling::ChannelError).
    fn put(&self, channel: ChannelId, rev: u64, desired: Option<DesiredChannel>) -> ChannelFuture<Placement>;
    /// `None`: no such channel is open.
    fn describe(&self, channel: ChannelId) -> ChannelFuture<Option<ChannelDescription>>;
    /// All open channels of this owner.
    fn list(&self) -> ChannelFuture<Vec<ChannelDescription>>;
    /// What has happened after `after`; a snapshot where that is not known, and at first. Waits until there is something, but
    /// not for ever. Whoever asks keeps the owner's channels open.
    fn events(&self, after: Option<EventCursor>) -> ChannelFuture<ChannelEvents>;
}
