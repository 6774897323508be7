//! The terminal's side: one client over many connections.
//!
//! ```text
//!   connect(now) ─► take_output ─► transport          transport ─► handle_input(bytes, now) ─► poll_event
//!   publish, subscribe, ack … ─► take_output          poll_timeout ─► handle_timeout(now) ─► take_output
//! ```
//!
//! The caller owns the transport. After [`Event::Refused`], [`Event::Disconnected`] and [`Event::Closed`] it sends
//! what is left in the output and closes it; when the transport breaks by itself it calls
//! [`Client::connection_lost`]. Either way it may [`Client::connect`] again on a new transport: unacknowledged
//! QoS 1 messages go out again.
//!
//! Not here: QoS 2, wills, topic aliases, extended authentication, reconnecting by itself.

mod connection;
mod event;
mod options;

pub use connection::{Client, PublishError, SubscribeError};
pub use event::{AckHandle, Event, Message, PublishId};
pub use options::{Options, Publication};
