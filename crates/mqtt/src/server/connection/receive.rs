//! What a client sends: the checks of the connection half, and what it answers by itself.

use std::time::Instant;

use super::{Connection, State};
use crate::codec::{
    self, Ack, Connack, Connect, DecodeError, Disconnect, Header, Packet, PacketType, Properties, Publish, peek_level,
};
use crate::server::{Close, Request, capability};
use crate::{Delivery, PacketId, ReasonCode, Version};

impl Connection {
    pub(super) fn decode<'i>(
        &mut self,
        bytes: &'i [u8],
        out: &mut Vec<u8>,
    ) -> Result<Option<(Packet<'i>, usize)>, Close> {
        if self.state == State::AwaitConnect {
            return self.decode_first(bytes, out);
        }
        let decoded = codec::decode(bytes, self.version, self.config.packet_size_max);
        decoded.map_err(|DecodeError { reason, detail }| self.fail(reason, detail, out))
    }

    /// The first packet must be a CONNECT [MQTT5-3.1.0-1] [MQTT311-3.1.0-1]; anything else gets no answer.
    fn decode_first<'i>(&mut self, bytes: &'i [u8], out: &mut Vec<u8>) -> Result<Option<(Packet<'i>, usize)>, Close> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if !matches!(Header::first_byte(first, Version::V5), Ok((PacketType::Connect, _))) {
            self.state = State::Closed;
            return Err(Close { reason: ReasonCode::PROTOCOL_ERROR, detail: "the first packet is not a CONNECT" });
        }
        codec::decode(bytes, Version::V5, self.config.connect_packet_size_max).map_err(
            |DecodeError { reason, detail }| {
                self.state = State::Closed;
                answer_unreadable_connect(bytes, reason, out);
                Close { reason, detail }
            },
        )
    }

    pub(super) fn handle_connect<'i>(&mut self, packet: Packet<'i>, out: &mut Vec<u8>) -> Result<Request<'i>, Close> {
        let Packet::Connect(connect) = packet else {
            return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "the first packet is not a CONNECT", out));
        };
        self.state = State::Connecting;
        self.version = connect.version;
        self.asked_keep_alive_s = connect.keep_alive_s;
        self.keep_alive_s = keep_alive_in_force(connect.keep_alive_s, self.config.keep_alive_max_s);
        self.client_receive_maximum = connect.properties.receive_maximum().unwrap_or(u16::MAX);
        self.client_packet_size_max = connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
        self.wants_problem_information = connect.properties.request_problem_information().unwrap_or(true);
        self.expires_at_end = connect.properties.session_expiry_interval().unwrap_or(0) == 0;
        match self.refusal(&connect) {
            None => Ok(Request::Connect(connect)),
            Some((reason, detail)) => {
                self.refuse(reason, None, out);
                Err(Close { reason, detail })
            }
        }
    }

    fn refusal(&self, connect: &Connect<'_>) -> Option<(ReasonCode, &'static str)> {
        if connect.is_3_1 && !self.config.accept_3_1 {
            return Some((ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, "MQTT 3.1 is not accepted"));
        }
        let id_is_invalid = if connect.is_3_1 {
            !(1..=23).contains(&connect.client_id.chars().count())
        } else {
            // [MQTT311-3.1.3-8]
            connect.version == Version::V311 && connect.client_id.is_empty() && !connect.clean_start
        };
        if id_is_invalid {
            return Some((ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "a client id that this version does not allow"));
        }
        capability::refuse_connect(connect)
    }

    pub(super) fn handle_packet<'i>(
        &mut self,
        packet: Packet<'i>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Request<'i>>, Close> {
        // Only complete packets count for the keep alive: a trickle of bytes must not.
        self.since = now;
        match packet {
            Packet::Publish(message) => return self.handle_publish(message, out),
            Packet::Puback(Ack { packet_id, reason, .. }) => return Ok(Some(Request::Ack { packet_id, reason })),
            Packet::Subscribe(subscribe) => {
                self.subscribes_pending += 1;
                return Ok(Some(Request::Subscribe(subscribe)));
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.subscribes_pending += 1;
                return Ok(Some(Request::Unsubscribe(unsubscribe)));
            }
            Packet::Disconnect(disconnect) => return self.handle_disconnect(disconnect, out).map(Some),
            // [MQTT5-3.12.4-1] [MQTT311-3.12.4-1]
            Packet::Pingreq => self.write(&Packet::Pingresp, out),
            Packet::Pubrec(ack) => self.answer_unknown(&ack, Packet::Pubrel, out),
            Packet::Pubrel(ack) => self.answer_unknown(&ack, Packet::Pubcomp, out),
            Packet::Pubcomp(_) => self.counters.unknown_acks += 1,
            // [MQTT5-3.1.0-2] [MQTT311-3.1.0-2]
            Packet::Connect(_) => return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "a second CONNECT", out)),
            Packet::Auth(_) => return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "AUTH without a method", out)),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "a packet that only servers send", out));
            }
        }
        Ok(None)
    }

    /// There are no QoS 2 exchanges, so whatever step of one comes belongs to none.
    fn answer_unknown<'a>(&mut self, ack: &Ack<'_>, answer: impl FnOnce(Ack<'a>) -> Packet<'a>, out: &mut Vec<u8>) {
        self.counters.unknown_acks += 1;
        if !ack.reason.is_error() {
            self.write(&answer(Ack::new(ack.packet_id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)), out);
        }
    }

    fn handle_publish<'i>(&mut self, message: Publish<'i>, out: &mut Vec<u8>) -> Result<Option<Request<'i>>, Close> {
        if let Some((reason, detail)) = capability::refuse_publish(&message) {
            return Err(self.fail(reason, detail, out));
        }
        let Delivery::AtLeastOnce { packet_id, dup } = message.delivery else {
            return Ok(Some(Request::Publish { message, token: None }));
        };
        if self.acks.owes(packet_id) {
            return self.handle_repeated(packet_id, dup, out).map(|()| None);
        }
        self.check_receive_maximum(out)?;
        let token = Some(self.acks.open(packet_id));
        Ok(Some(Request::Publish { message, token }))
    }

    fn check_receive_maximum(&mut self, out: &mut Vec<u8>) -> Result<(), Close> {
        // [MQTT5-3.3.4-7]; a 3.1.1 client is held back before it can come here.
        if self.acks.len() >= usize::from(self.config.receive_maximum.max(1)) {
            return Err(self.fail(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED, "more than the Receive Maximum", out));
        }
        Ok(())
    }

    /// A PUBLISH whose id still waits for its answer: with DUP the same message, without it a broken rule
    /// [MQTT5-2.2.1-3] [MQTT311-2.3.1-2].
    fn handle_repeated(&mut self, packet_id: PacketId, dup: bool, out: &mut Vec<u8>) -> Result<(), Close> {
        if dup {
            self.counters.repeated_publishes += 1;
            return Ok(());
        }
        if self.version == Version::V311 {
            return Err(self.fail(ReasonCode::PACKET_IDENTIFIER_IN_USE, "a packet id that is in use", out));
        }
        self.check_receive_maximum(out)?;
        let token = self.acks.open(packet_id);
        self.puback(token, ReasonCode::PACKET_IDENTIFIER_IN_USE, out);
        Ok(())
    }

    fn handle_disconnect<'i>(&mut self, disconnect: Disconnect<'i>, out: &mut Vec<u8>) -> Result<Request<'i>, Close> {
        if !disconnect.reason.may_client_disconnect_with() {
            return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "a reason that only servers give", out));
        }
        let revives = disconnect.properties.session_expiry_interval().is_some_and(|expiry| expiry > 0);
        if self.expires_at_end && revives {
            // 5.0 section 3.14.2.2.2
            return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "a Session Expiry Interval after none", out));
        }
        self.state = State::Closed;
        Ok(Request::Disconnect(disconnect))
    }
}

/// [MQTT5-3.2.2-22]; 0 asks for none, and means "no limit" as the maximum.
const fn keep_alive_in_force(asked_s: u16, max_s: u16) -> u16 {
    if max_s > 0 && (asked_s == 0 || asked_s > max_s) { max_s } else { asked_s }
}

/// Answers a CONNECT that could not be decoded in a form that its sender can read, if there is one.
fn answer_unreadable_connect(bytes: &[u8], reason: ReasonCode, out: &mut Vec<u8>) {
    let version_is_unknown = reason == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
    let version = match peek_level(bytes) {
        Some(0..=4) => Version::V311,
        Some(5) => Version::V5,
        Some(_) if version_is_unknown => Version::V5,
        _ => return,
    };
    let connack = Connack { session_present: false, reason, properties: Properties::EMPTY };
    // 3.1.1 has no return code for most reasons: then nothing is written and the transport is closed.
    let _ = codec::encode(&Packet::Connack(connack), version, out);
}
