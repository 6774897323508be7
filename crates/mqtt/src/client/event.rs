//! What happened.

use crate::codec::{PropertiesBuf, Publish};
use crate::{AckToken, PacketId, QoS, ReasonCode};

/// Names a message of ours from `publish` to its acknowledgement, over all connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PublishId(pub(super) u64);

/// Releases the PUBACK of one received message. It belongs to the connection that brought the message: on a later
/// one it does nothing, and the server sends the message again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AckHandle(pub(super) AckToken);

/// A received message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub topic: String,
    pub payload: Vec<u8>,
    pub qos: QoS,
    /// It may have come before.
    pub dup: bool,
    pub retain: bool,
    pub packet_id: Option<PacketId>,
    /// For [`super::Client::ack`]; exists at QoS 1.
    pub ack: Option<AckHandle>,
    /// Empty in 3.1.1; see [`PropertiesBuf::view`] for user properties and the rest.
    pub properties: PropertiesBuf,
}

impl Message {
    pub(super) fn new(publish: &Publish<'_>, ack: Option<AckHandle>) -> Self {
        Self {
            topic: publish.topic.to_owned(),
            payload: publish.payload.to_vec(),
            qos: publish.delivery.qos(),
            dup: publish.delivery.dup(),
            retain: publish.retain,
            packet_id: publish.delivery.packet_id(),
            ack,
            properties: publish.properties.to_owned(),
        }
    }
}

/// In the order in which it happened. The queue is bounded by what one `handle_input` was given: poll it dry
/// before the next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The server accepted. Without `session_present` it knows no subscription of ours: subscribe again.
    Connected {
        session_present: bool,
        properties: PropertiesBuf,
    },
    /// The server refused; close the transport.
    Refused {
        reason: ReasonCode,
        properties: PropertiesBuf,
    },
    Message(Message),
    /// A QoS 1 message of ours is done: the server has it, or refuses it for good if the reason is an error.
    Published {
        id: PublishId,
        reason: ReasonCode,
    },
    /// One code for each filter.
    Subscribed {
        packet_id: PacketId,
        codes: Vec<ReasonCode>,
    },
    /// One code for each filter; none in 3.1.1.
    Unsubscribed {
        packet_id: PacketId,
        codes: Vec<ReasonCode>,
    },
    /// The server ended the connection and said why (5.0); close the transport.
    Disconnected {
        reason: ReasonCode,
        properties: PropertiesBuf,
    },
    /// The server broke a rule or fell silent; close the transport.
    Closed {
        reason: ReasonCode,
        detail: &'static str,
    },
}
