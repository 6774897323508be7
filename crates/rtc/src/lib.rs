//! The RTC server: an SFU with ICE-lite, DTLS-SRTP and forwarding by slots.
//!
//! What it is: the join endpoint (one SDP offer in, one answer out), one thread per shard that owns a UDP socket and the
//! peers of its channels, and the calls by which the owner of a channel decides who is in it, who is heard and seen. What
//! it is not: it knows no meetings, no invitations and no users beyond the name in a join token, and it keeps nothing on
//! disk: after a restart every channel must be put again.
//!
//! ```text
//!  terminal ── POST /rtc/v1/join ──> join endpoint ─ Rtc, claims ──> shard thread
//!  terminal <═══ UDP: STUN, DTLS, SRTP, SCTP ═══════════════════════> shard: socket → routes → peer → channel
//!  owner ── put: the whole wish for a channel (mailbox) ───────────> shard
//!  owner <── joined, lost, back, left (a feed, until it is read) ─── shard
//! ```
//!
//! Contract: what a channel is, is what its owner has put last, by the rules of [`signalling::channel`]. A channel lives on one
//! shard, so that its packets, wishes and timers need no lock. All that is decided
//! about a channel is decided in the module `channel`, a pure state machine on a given clock; the shard only moves bytes.

mod api;
mod channel;
mod config;
mod crypto;
mod feed;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod join_endpoint;
mod metrics;
mod negotiation_permits;
mod negotiator;
mod offer;
mod owner;
mod server;
mod shard;
mod shards;
mod sys;
pub mod token;

pub use api::ChannelApi;
pub use config::{Config, Limits, StartError};
pub use metrics::{CipherCount, DropReason, Stats};
pub use owner::Owner;
pub use server::Rtc;
pub use signalling::{
    ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, ChannelEvents, ChannelFuture, DesiredChannel,
    EventCursor, LeftReason, Participant, Placement, SourceTraffic,
};
