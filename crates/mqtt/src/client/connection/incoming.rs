//! What the server sends.

use std::time::Instant;

use super::{Client, ServerLimits, State};
use crate::client::{AckHandle, Event, Message};
use crate::codec::{self, Ack, Connack, DecodeError, Disconnect, Packet, Publish};
use crate::{Delivery, PacketId, ReasonCode, Version};

impl Client {
    /// Returns how many bytes were read.
    pub(super) fn handle_packets(&mut self, bytes: &[u8], now: Instant) -> usize {
        let mut read = 0;
        while self.state != State::Disconnected {
            match codec::decode(&bytes[read..], self.options.version, self.options.packet_size_max) {
                Ok(Some((packet, len))) => {
                    read += len;
                    self.handle_packet(packet, now);
                }
                Ok(None) => break,
                Err(DecodeError { reason, detail }) => self.close(reason, detail),
            }
        }
        read
    }

    fn handle_packet(&mut self, packet: Packet<'_>, now: Instant) {
        self.last_received = now;
        self.ping_deadline = None;
        match (self.state, packet) {
            (State::Connecting, Packet::Connack(connack)) => self.handle_connack(&connack, now),
            (State::Connecting, _) => self.close(ReasonCode::PROTOCOL_ERROR, "a packet before the CONNACK"),
            (_, Packet::Publish(publish)) => self.handle_publish(&publish),
            (_, Packet::Puback(ack)) => self.handle_puback(&ack, now),
            (_, Packet::Suback(suback)) => self.handle_answer(suback.packet_id, |packet_id| Event::Subscribed {
                packet_id,
                codes: suback.codes.iter().collect(),
            }),
            (_, Packet::Unsuback(unsuback)) => self.handle_answer(unsuback.packet_id, |packet_id| {
                Event::Unsubscribed { packet_id, codes: unsuback.codes.iter().collect() }
            }),
            (_, Packet::Disconnect(disconnect)) if self.options.version.has_properties() => {
                self.handle_disconnect(&disconnect);
            }
            // Without QoS 2 exchanges these belong to none.
            (_, Packet::Pingresp | Packet::Pubrec(_) | Packet::Pubrel(_) | Packet::Pubcomp(_)) => {}
            _ => self.close(ReasonCode::PROTOCOL_ERROR, "a packet that a server must not send now"),
        }
    }

    fn handle_connack(&mut self, connack: &Connack<'_>, now: Instant) {
        if connack.reason != ReasonCode::SUCCESS {
            self.end_connection();
            let properties = connack.properties.to_owned();
            self.events.push_back(Event::Refused { reason: connack.reason, properties });
            return;
        }
        if connack.session_present && self.options.clean_start {
            // [MQTT5-3.2.2-4]
            return self.close(ReasonCode::PROTOCOL_ERROR, "a session after a clean start");
        }
        self.accept(connack);
        self.flush_outgoing(now);
    }

    fn accept(&mut self, connack: &Connack<'_>) {
        let properties = connack.properties;
        self.state = State::Connected;
        self.server = ServerLimits {
            packet_size_max: properties.maximum_packet_size().unwrap_or(u32::MAX),
            maximum_qos: connack.maximum_qos(),
            keep_alive_s: properties.server_keep_alive().unwrap_or(self.options.keep_alive_s),
        };
        if !connack.session_present {
            self.sending.forget_hand_outs();
        }
        self.sending.connected(properties.receive_maximum().unwrap_or(u16::MAX));
        let session_present = connack.session_present;
        self.events.push_back(Event::Connected { session_present, properties: properties.to_owned() });
    }

    fn handle_publish(&mut self, publish: &Publish<'_>) {
        if publish.properties.topic_alias().is_some() {
            return self.close(ReasonCode::TOPIC_ALIAS_INVALID, "a Topic Alias above the maximum");
        }
        let ack = match publish.delivery {
            Delivery::AtMostOnce => None,
            Delivery::ExactlyOnce { .. } => {
                return self.close(ReasonCode::PROTOCOL_ERROR, "QoS 2 was not asked for");
            }
            Delivery::AtLeastOnce { packet_id, dup } if self.acks.owes(packet_id) => {
                if !dup {
                    self.close(ReasonCode::PROTOCOL_ERROR, "a packet id that is in use");
                }
                return;
            }
            Delivery::AtLeastOnce { .. } if self.receives_too_many() => {
                return self.close(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED, "more than the Receive Maximum");
            }
            Delivery::AtLeastOnce { packet_id, .. } => Some(AckHandle(self.acks.open(packet_id))),
        };
        self.events.push_back(Event::Message(Message::new(publish, ack)));
    }

    /// A 3.1.1 server knows no Receive Maximum; it is bounded by the number of packet ids.
    fn receives_too_many(&self) -> bool {
        let limit = usize::from(self.options.receive_maximum.max(1));
        self.options.version == Version::V5 && self.acks.len() >= limit
    }

    fn handle_puback(&mut self, ack: &Ack<'_>, now: Instant) {
        if let Some(id) = self.sending.ack(ack.packet_id) {
            self.finish_publish(id, ack.reason);
            self.flush_outgoing(now);
        }
    }

    fn handle_answer(&mut self, packet_id: PacketId, event: impl FnOnce(PacketId) -> Event) {
        if self.sending.release_id(packet_id) {
            self.events.push_back(event(packet_id));
        }
    }

    fn handle_disconnect(&mut self, disconnect: &Disconnect<'_>) {
        self.end_connection();
        let properties = disconnect.properties.to_owned();
        self.events.push_back(Event::Disconnected { reason: disconnect.reason, properties });
    }
}
