//! What a connection asks of the rest of the broker.

use thiserror::Error;

use crate::codec::{Connect, Disconnect, Publish, Subscribe, Unsubscribe};
use crate::{AckToken, PacketId, ReasonCode};

/// One thing that a client wants. It has passed every check that needs no session, permission or disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Request<'a> {
    /// Always the first, once. Answer with `accept` or `refuse`; nothing more is read until then.
    Connect(Connect<'a>),
    /// `token` exists at QoS 1: answer with `puback`, in any order.
    Publish { message: Publish<'a>, token: Option<AckToken> },
    /// The client has what was sent under this id; give it to [`super::Session::ack`].
    Ack { packet_id: PacketId, reason: ReasonCode },
    /// Answer with `suback`, one code per filter; see [`super::check_subscribe`].
    Subscribe(Subscribe<'a>),
    /// Answer with `unsuback`, one code per filter.
    Unsubscribe(Unsubscribe<'a>),
    /// The last: the client has ended the connection. A Session Expiry Interval in it takes effect.
    Disconnect(Disconnect<'a>),
}

/// The connection is over: send what is in the output buffer, then close the transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{detail} ({reason})")]
pub struct Close {
    pub reason: ReasonCode,
    pub detail: &'static str,
}
