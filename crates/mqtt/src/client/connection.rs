//! The client's state machine.

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::event::{AckHandle, Event, Message, PublishId};
use super::options::{Options, Publication};
use crate::acks::AckQueue;
use crate::codec::{
    self, Ack, Connack, Connect, DecodeError, Disconnect, Packet, Properties, PropertiesBuf, Property, Publish,
    Subscribe, SubscribeFiltersBuf, Unsubscribe, UnsubscribeFiltersBuf,
};
use crate::session::{HandOut, Priority, Session, SessionLimits};
use crate::topic::{TopicFilter, TopicName};
use crate::{Delivery, PacketId, QoS, ReasonCode, SubscriptionOptions, Version};

/// More SUBSCRIBEs and UNSUBSCRIBEs than this do not wait for their answers at a time.
const SUBSCRIBES_PENDING_MAX: usize = 64;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    #[error("too many messages wait")]
    Full,
    #[error("not connected, and a QoS 0 message does not wait")]
    NotConnected,
    #[error("no topic name")]
    Topic,
    #[error("larger than the server or the protocol takes")]
    TooLarge,
    #[error("QoS 2 is not supported")]
    QoS2,
}

/// Why a SUBSCRIBE or UNSUBSCRIBE was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubscribeError {
    #[error("not connected")]
    NotConnected,
    #[error("too many wait for an answer")]
    Full,
    #[error("no topic filter")]
    NoFilter,
    #[error("larger than the server or the protocol takes")]
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Disconnected,
    Connecting,
    Connected,
}

/// A message of ours that the server does not have yet.
#[derive(Debug)]
struct Outgoing {
    topic: String,
    payload: Vec<u8>,
    properties: PropertiesBuf,
}

/// What the server said in its CONNACK.
#[derive(Clone, Copy, Debug)]
struct ServerLimits {
    packet_size_max: u32,
    maximum_qos: QoS,
    keep_alive_s: u16,
}

/// A client. It outlives its connections.
#[derive(Debug)]
pub struct Client {
    options: Options,
    state: State,
    /// Counts connections; see [`AckHandle`].
    generation: u32,
    server: ServerLimits,
    held: Vec<u8>,
    out: Vec<u8>,
    events: VecDeque<Event>,
    /// What we owe.
    acks: AckQueue,
    /// What we are owed.
    sending: Session<PublishId>,
    outgoing: BTreeMap<PublishId, Outgoing>,
    next_publish: u64,
    last_sent: Instant,
    last_received: Instant,
    ping_deadline: Option<Instant>,
}

impl Client {
    pub fn new(options: Options, now: Instant) -> Self {
        let limits =
            SessionLimits { send_window: options.send_window, waiting_max: options.waiting_max, subscriptions_max: 0 };
        Self {
            server: ServerLimits {
                packet_size_max: u32::MAX,
                maximum_qos: QoS::AtLeastOnce,
                keep_alive_s: options.keep_alive_s,
            },
            options,
            state: State::Disconnected,
            generation: 0,
            held: Vec::new(),
            out: Vec::new(),
            events: VecDeque::new(),
            acks: AckQueue::default(),
            sending: Session::new(limits),
            outgoing: BTreeMap::new(),
            next_publish: 0,
            last_sent: now,
            last_received: now,
            ping_deadline: None,
        }
    }

    /// What the next `connect` will use: a renewed password, another clean start. The limits of messages that
    /// wait stay as they were.
    pub const fn options_mut(&mut self) -> &mut Options {
        &mut self.options
    }

    pub const fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected)
    }

    /// QoS 1 messages that the server has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.outgoing.len()
    }

    /// Starts on a new transport; an earlier one is given up.
    pub fn connect(&mut self, now: Instant) {
        self.connection_lost();
        self.generation = self.generation.wrapping_add(1);
        self.state = State::Connecting;
        (self.last_sent, self.last_received) = (now, now);
        let options = self.options.clone();
        let properties = options.connect_properties().unwrap_or_default();
        let connect = Connect {
            version: options.version,
            is_3_1: false,
            clean_start: options.clean_start,
            keep_alive_s: options.keep_alive_s,
            properties: properties.view(),
            client_id: &options.client_id,
            will: None,
            username: options.username.as_deref(),
            password: options.password.as_deref(),
        };
        if codec::encode(&Packet::Connect(connect), options.version, &mut self.out).is_err() {
            self.close(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "client id, user name or password is too long");
        }
    }

    /// The transport is gone. Received messages that were not acknowledged will come again, sent ones go out again.
    pub fn connection_lost(&mut self) {
        self.out.clear();
        self.end_connection();
    }

    fn end_connection(&mut self) {
        self.state = State::Disconnected;
        self.held = Vec::new();
        self.acks.clear();
        self.sending.disconnected();
        self.sending.release_all_ids();
        self.ping_deadline = None;
    }

    /// Ends the connection in order; send the output, then close the transport. `session_expiry_interval`
    /// replaces that of the CONNECT, unless that one was 0 (5.0).
    pub fn disconnect(&mut self, session_expiry_interval: Option<u32>) {
        if self.is_connected() {
            let allowed = session_expiry_interval.filter(|_| self.options.session_expiry_interval > 0);
            let mut properties = PropertiesBuf::new();
            if let Some(expiry) = allowed {
                let pushed = properties.push(Property::SessionExpiryInterval(expiry));
                debug_assert!(pushed.is_ok(), "a number always fits");
            }
            let disconnect = Disconnect { reason: ReasonCode::SUCCESS, properties: properties.view() };
            self.write(&Packet::Disconnect(disconnect), self.last_sent);
        }
        self.end_connection();
    }

    /// Takes a message. At QoS 1 it is kept until the server has acknowledged it, over all connections of this
    /// client; [`Event::Published`] says so. At QoS 0 it is sent now or never.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was taken.
    pub fn publish(&mut self, message: Publication<'_>, now: Instant) -> Result<PublishId, PublishError> {
        TopicName::parse(message.topic).map_err(|_| PublishError::Topic)?;
        let id = PublishId(self.next_publish);
        match message.qos {
            QoS::ExactlyOnce => return Err(PublishError::QoS2),
            QoS::AtMostOnce if !self.is_connected() => return Err(PublishError::NotConnected),
            QoS::AtMostOnce => {
                let publish = publish_packet(Delivery::AtMostOnce, message.topic, message.properties, message.payload);
                if !self.write(&Packet::Publish(publish), now) {
                    return Err(PublishError::TooLarge);
                }
            }
            QoS::AtLeastOnce => self.enqueue(id, message)?,
        }
        self.next_publish += 1;
        self.flush_outgoing(now);
        Ok(id)
    }

    fn enqueue(&mut self, id: PublishId, message: Publication<'_>) -> Result<(), PublishError> {
        let size = message.topic.len() + message.properties.as_bytes().len() + message.payload.len();
        if size > codec::PACKET_SIZE_MAX as usize / 2 {
            return Err(PublishError::TooLarge);
        }
        self.sending.push(id, Priority::Normal).map_err(|_| PublishError::Full)?;
        let outgoing = Outgoing {
            topic: message.topic.to_owned(),
            payload: message.payload.to_vec(),
            properties: message.properties.to_owned(),
        };
        self.outgoing.insert(id, outgoing);
        Ok(())
    }

    /// Sends what the window allows. A message that this server does not take is done, with the reason.
    fn flush_outgoing(&mut self, now: Instant) {
        while self.is_connected() {
            let Some(HandOut { entry, packet_id, dup }) = self.sending.hand_out() else { return };
            if let Err(reason) = self.send(entry, packet_id, dup, now) {
                self.sending.ack(packet_id);
                self.finish_publish(entry, reason);
            }
        }
    }

    fn send(&mut self, id: PublishId, packet_id: PacketId, dup: bool, now: Instant) -> Result<(), ReasonCode> {
        if self.server.maximum_qos < QoS::AtLeastOnce {
            // [MQTT5-3.2.2-11]
            return Err(ReasonCode::QOS_NOT_SUPPORTED);
        }
        let Some(message) = self.outgoing.remove(&id) else { return Err(ReasonCode::UNSPECIFIED_ERROR) };
        let delivery = Delivery::AtLeastOnce { packet_id, dup };
        let publish = publish_packet(delivery, &message.topic, message.properties.view(), &message.payload);
        let written = self.write(&Packet::Publish(publish), now);
        self.outgoing.insert(id, message);
        if written { Ok(()) } else { Err(ReasonCode::PACKET_TOO_LARGE) }
    }

    fn finish_publish(&mut self, id: PublishId, reason: ReasonCode) {
        self.outgoing.remove(&id);
        self.events.push_back(Event::Published { id, reason });
    }

    /// Asks for subscriptions; [`Event::Subscribed`] answers. A SUBSCRIBE whose connection is lost is forgotten.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing was sent.
    pub fn subscribe(
        &mut self,
        filters: &[(TopicFilter<'_>, SubscriptionOptions)],
        now: Instant,
    ) -> Result<PacketId, SubscribeError> {
        let mut wishes = SubscribeFiltersBuf::default();
        filters.iter().for_each(|&(filter, options)| wishes.push(filter, options));
        self.request(filters.is_empty(), now, |packet_id| {
            Packet::Subscribe(Subscribe { packet_id, properties: Properties::EMPTY, filters: wishes.view() })
        })
    }

    /// Gives subscriptions up; [`Event::Unsubscribed`] answers.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing was sent.
    pub fn unsubscribe(&mut self, filters: &[TopicFilter<'_>], now: Instant) -> Result<PacketId, SubscribeError> {
        let mut names = UnsubscribeFiltersBuf::default();
        filters.iter().for_each(|&filter| names.push(filter));
        self.request(filters.is_empty(), now, |packet_id| {
            Packet::Unsubscribe(Unsubscribe { packet_id, properties: Properties::EMPTY, filters: names.view() })
        })
    }

    fn request<'p>(
        &mut self,
        is_empty: bool,
        now: Instant,
        packet: impl FnOnce(PacketId) -> Packet<'p>,
    ) -> Result<PacketId, SubscribeError> {
        if !self.is_connected() {
            return Err(SubscribeError::NotConnected);
        }
        if is_empty {
            return Err(SubscribeError::NoFilter);
        }
        if self.sending.reserved_len() >= SUBSCRIBES_PENDING_MAX {
            return Err(SubscribeError::Full);
        }
        let packet_id = self.sending.reserve_id();
        if !self.write(&packet(packet_id), now) {
            self.sending.release_id(packet_id);
            return Err(SubscribeError::TooLarge);
        }
        Ok(packet_id)
    }

    /// Releases the PUBACK of a received message, in any order; PUBACKs leave in the order of the messages. False if
    /// the message came on an earlier connection: the PUBACK is dropped, since on this one its packet id may name
    /// another message.
    pub fn ack(&mut self, handle: AckHandle, now: Instant) -> bool {
        let is_ours = self.is_connected() && handle.generation == self.generation;
        if !is_ours || !self.acks.complete(handle.token, ReasonCode::SUCCESS) {
            return false;
        }
        while let Some((packet_id, reason)) = self.acks.pop_ready() {
            self.write(&Packet::Puback(Ack::new(packet_id, reason)), now);
        }
        true
    }

    /// The bytes to send.
    pub fn take_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.out)
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called; ask again after every call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Disconnected => None,
            State::Connecting => self.last_sent.checked_add(self.options.connect_timeout),
            State::Connected => self.ping_deadline.or_else(|| self.next_ping()),
        }
    }

    /// A ping is due when either side was silent for the keep alive: the server must hear us
    /// [MQTT5-3.1.2-20] [MQTT311-3.1.2-23], and we want to hear it.
    fn next_ping(&self) -> Option<Instant> {
        let keep_alive = Duration::from_secs(u64::from(self.server.keep_alive_s));
        let quiet_since = self.last_sent.min(self.last_received);
        quiet_since.checked_add(keep_alive).filter(|_| !keep_alive.is_zero())
    }

    /// Pings, or gives the connection up.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Connecting => self.close(ReasonCode::SERVER_UNAVAILABLE, "no CONNACK in time"),
            _ if self.ping_deadline.is_some() => {
                self.close(ReasonCode::KEEP_ALIVE_TIMEOUT, "the server does not answer");
            }
            _ => {
                self.write(&Packet::Pingreq, now);
                self.ping_deadline = now.checked_add(self.options.ping_timeout);
            }
        }
    }

    /// Takes what the transport has read.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        let mut held = mem::take(&mut self.held);
        if held.is_empty() {
            let read = self.handle_packets(bytes, now);
            held.extend_from_slice(&bytes[read..]);
        } else {
            held.extend_from_slice(bytes);
            let read = self.handle_packets(&held, now);
            held.drain(..read);
        }
        if self.state != State::Disconnected {
            self.held = held;
        }
    }

    /// Returns how many bytes were read.
    fn handle_packets(&mut self, bytes: &[u8], now: Instant) -> usize {
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
                return self.close(ReasonCode::QOS_NOT_SUPPORTED, "QoS 2 was not asked for");
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
            Delivery::AtLeastOnce { packet_id, .. } => {
                Some(AckHandle { generation: self.generation, token: self.acks.open(packet_id) })
            }
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

    /// Gives the connection up, and says why where a 5.0 client may.
    fn close(&mut self, reason: ReasonCode, detail: &'static str) {
        if self.is_connected() && self.options.version.has_properties() && reason.may_client_disconnect_with() {
            self.write(&Packet::Disconnect(Disconnect::new(reason)), self.last_sent);
        }
        self.end_connection();
        self.events.push_back(Event::Closed { reason, detail });
    }

    /// False if the packet does not fit; the output is then as it was.
    fn write(&mut self, packet: &Packet<'_>, now: Instant) -> bool {
        let start = self.out.len();
        let encoded = codec::encode(packet, self.options.version, &mut self.out);
        // [MQTT5-3.2.2-15]
        if encoded.is_err() || self.out.len() - start > self.server.packet_size_max as usize {
            self.out.truncate(start);
            return false;
        }
        self.last_sent = now;
        true
    }
}

fn publish_packet<'a>(
    delivery: Delivery,
    topic: &'a str,
    properties: Properties<'a>,
    payload: &'a [u8],
) -> Publish<'a> {
    Publish { delivery, retain: false, topic, properties, payload }
}
