//! A channel between its *owner* (the meeting service, or a service of somebody else) and the RTC server: what the owner
//! wishes, what it is answered, what it is told. Without the calls themselves, and without their transport.
//!
//! ```text
//!  owner ── put(channel, rev, desired) ──────────> RTC server      the whole wish; `None` ends the channel
//!  owner <── placement | Stale { present } ─────── RTC server
//!  owner ── events(after) ───────────────────────> RTC server      waits until there are any
//!  owner <── events after it, or a snapshot ────── RTC server
//! ```
//!
//! | state of a channel | put of a higher `rev` | the same `rev`, the same wish | the same `rev`, another wish | a lower `rev` |
//! |---|---|---|---|---|
//! | none | opened, or ended at once | – | – | – |
//! | open at `rev` | applied | answered as before | refused | refused |
//! | ended at `rev` | applied: open again | answered as before | refused | refused |
//!
//! What always holds:
//! - `rev` is that of the record that the wish was made from (of a meeting: its revision in the catalog), 0 before its
//!   first commit. Who is refused reads its record again, and never counts up by itself: so the late call of an owner
//!   that has lost a race changes nothing.
//! - A wish is whole: who is not in it is out, and nothing else is remembered about anybody.
//! - A token says who somebody is, the wish says what they may do: also of a new connection, from its first packet on.
//! - An end is kept for as long as any token can last, so that no late call and no token opens the channel again.
//! - Events come at least once and in order. What cannot be told event by event is told by a snapshot: whoever is not in
//!   it has left.

mod description;
mod desired;
mod event;

pub use description::{ChannelDescription, Participant, SourceTraffic};
pub use desired::{Admission, DesiredChannel, DesiredParticipation, Placement};
pub use event::{ChannelEvent, ChannelEventKind, ChannelEvents, EventCursor, LeftReason};

use std::pin::Pin;

/// The answer of a channel call.
pub type ChannelFuture<T> = Pin<Box<dyn Future<Output = Result<T, ChannelError>> + Send>>;

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// Nothing was changed.
    #[error("the channel has revision {present}: read the record of its wish again, and send what it says")]
    Stale {
        /// The revision of the wish that counts, or of the end.
        present: u64,
    },
    /// The call may have taken effect.
    #[error("the RTC server does not answer ({0}): repeat the call")]
    Unavailable(String),
    /// Nothing was changed.
    #[error("the RTC server is full ({0}): try later or add a node")]
    Limit(String),
}
