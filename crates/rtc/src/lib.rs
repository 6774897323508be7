//! The RTC server: an SFU with ICE-lite, DTLS-SRTP and forwarding by slots.
//!
//! What it is: the join endpoint (one SDP offer in, one answer out), one thread per shard that owns a UDP socket and the
//! peers of its channels, and the channel commands by which the meeting service decides who is heard and seen. What it is
//! not: it knows no meetings, no invitations and no users beyond the name in a join token, and it keeps nothing on
//! disk: after a restart every channel must be opened again.
//!
//! ```text
//!  terminal ── POST /rtc/v1/join ──> join endpoint ─ Rtc, claims ──> shard thread
//!  terminal <═══ UDP: STUN, DTLS, SRTP, SCTP ═══════════════════════> shard: socket → routes → peer → channel
//!  meeting service ── open, admit, mute … (mailbox) ───────────────> shard
//!  meeting service <── joined, lost, back, left (mailbox) ────────── shard
//! ```
//!
//! Contract: a channel lives on one shard, so that its packets, commands and timers need no lock. All that is decided
//! about a channel is decided in the module `channel`, a pure state machine on a given clock; the shard only moves bytes.

mod api;
mod channel;
mod config;
mod crypto;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod join_endpoint;
mod metrics;
mod negotiation_permits;
mod negotiator;
mod offer;
mod server;
mod shard;
mod shards;
mod sys;
pub mod token;

pub use api::ChannelApi;
pub use config::{Config, Limits, StartError};
pub use metrics::{CipherCount, DropReason, Stats};
pub use server::Rtc;
pub use signalling::{
    ChannelDescription, ChannelError, ChannelEvent, ChannelEventKind, ChannelFuture, LeftReason, Participant,
    SourceTraffic,
};
