//! MQTT 3.1.1 and 5.0 without I/O: bytes and time go in, requests and bytes come out.
//!
//! - [`codec`] reads borrowed views over a receive buffer and appends packets to an output buffer. It checks
//!   every statement that one packet alone can break.
//! - [`topic`] holds names, filters, their matching, and the subscription tree.
//! - [`server`] is the broker's side in two halves: the *connection* (framing, keep alive, flow limits, what the
//!   two versions do differently) and the *session* (subscriptions, packet ids in flight, what waits). Between
//!   them stands one small enum, [`server::Request`].
//! - [`client`] is the terminal's side.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: time is a parameter. Version differences
//! are data: a 3.1.1 packet is a 5.0 packet without properties, and there is one code path for both.
//!
//! Errors are sorted by consequence. A [`codec::DecodeError`] and a [`server::Close`] end one connection and
//! carry the reason code for the wire; nothing that a peer sends can end more than its own connection.

mod acks;
pub mod client;
pub mod codec;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod reason;
pub mod server;
mod session;
pub mod topic;
mod types;

pub use acks::AckToken;
pub use reason::{ConnectReturnCode, ReasonCode};
pub use types::{Delivery, PacketId, QoS, RetainHandling, SubscriptionOptions, Version};
