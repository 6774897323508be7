//! The client's end of a connection, for scenarios in which a test gives the events of the sockets. The sockets are of the
//! loopback interface.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::ops::RangeInclusive;
use std::time::Duration;

use accounts::login::sign;
use accounts::token::TokenKey;
use catalog::{AccessKey, Device};
use commitlog::Options;
use mqtt::codec::Properties;
use mqtt::codec::{
    self, Ack, Connect, Disconnect, Packet, PropertiesBuf, Property, Publish, Subscribe, SubscribeFiltersBuf,
    Unsubscribe, UnsubscribeFiltersBuf,
};
use mqtt::topic::TopicFilter;
use mqtt::{Delivery, PacketId, QoS, ReasonCode, SubscriptionOptions, Version};

use super::connections::SocketEvent;
use super::post::{Arrival, ConnectionKey};
use crate::connection_limiter::ConnectionPermit;
use crate::message::{Message, NEVER_MS, SharedMessage};

pub(super) const ALICE: &str = "GID_dev@@@alice";
pub(super) const BOB: &str = "GID_dev@@@bob";
/// A service; it has no device. So is each whose client id begins like this.
pub(super) const SERVICE: &str = "GID_dev@@@service";
pub(super) const TOPIC: &str = "chat/all";
pub(super) const TO_BOB: &str = "chat/p2p/GID_dev@@@bob/note";

pub(super) struct Peer {
    /// Of the worker's end.
    pub(super) key: ConnectionKey,
    pub(super) socket: TcpStream,
    /// To see what has come there.
    worker_end: TcpStream,
    raw: Vec<u8>,
}

impl Peer {
    /// `arrive` gives the other end to a worker and returns the name that it has there.
    pub(super) fn connect(
        listener: &TcpListener,
        permit: ConnectionPermit,
        arrive: impl FnOnce(Arrival) -> ConnectionKey,
    ) -> Self {
        let socket = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        let (accepted, peer) = listener.accept().unwrap();
        let worker_end = accepted.try_clone().unwrap();
        let key = arrive(Arrival { socket: accepted, tls: None, websocket: None, peer, permit });
        Self { key, socket, worker_end, raw: Vec::new() }
    }

    /// Returns when all of it is at the worker's end.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        self.socket.write_all(bytes).unwrap();
        let mut there = vec![0; bytes.len()];
        while self.worker_end.peek(&mut there).unwrap_or(0) < bytes.len() {
            std::thread::yield_now();
        }
    }

    /// Sends until the sockets take nothing more.
    pub(super) fn fill(&mut self, bytes: &[u8]) -> usize {
        self.socket.set_nonblocking(true).unwrap();
        let mut sent = 0;
        while let Ok(more) = self.socket.write(&bytes[sent..]) {
            sent += more;
        }
        self.socket.set_nonblocking(false).unwrap();
        sent
    }

    /// Whether the broker has said something that was not looked at.
    pub(super) fn has_something(&self) -> bool {
        self.socket.set_nonblocking(true).unwrap();
        let has_something = self.socket.peek(&mut [0]).is_ok();
        self.socket.set_nonblocking(false).unwrap();
        has_something || !self.raw.is_empty()
    }

    /// The next that the broker says, in short.
    pub(super) fn next(&mut self) -> String {
        loop {
            if let Some((packet, length)) = codec::decode(&self.raw, Version::V5, codec::PACKET_SIZE_MAX).unwrap() {
                let said = in_short(&packet);
                self.raw.drain(..length);
                return said;
            }
            match self.next_bytes() {
                bytes if bytes.is_empty() => return "end".to_owned(),
                bytes => self.raw.extend(bytes),
            }
        }
    }

    /// What has come from the broker as it is; nothing: it has closed.
    pub(super) fn next_bytes(&mut self) -> Vec<u8> {
        let mut bytes = vec![0; 65_536];
        let length = self.socket.read(&mut bytes).unwrap();
        bytes.truncate(length);
        bytes
    }

    pub(super) fn has_input(&self) -> SocketEvent {
        SocketEvent { slot: self.key.slot as usize, has_input: true, has_end: false, takes_output: false }
    }

    pub(super) fn has_end(&self) -> SocketEvent {
        SocketEvent { has_end: true, ..self.has_input() }
    }

    pub(super) fn takes_output(&self) -> SocketEvent {
        SocketEvent { has_input: false, takes_output: true, ..self.has_input() }
    }
}

fn in_short(packet: &Packet<'_>) -> String {
    let code = |reason: ReasonCode| format!("{:#04x}", reason.get());
    match packet {
        Packet::Connack(connack) if connack.session_present => format!("CONNACK {}, present", code(connack.reason)),
        Packet::Connack(connack) => format!("CONNACK {}", code(connack.reason)),
        Packet::Publish(publish) => {
            let payload = String::from_utf8_lossy(publish.payload);
            let is_repeated = matches!(publish.delivery, Delivery::AtLeastOnce { dup: true, .. });
            format!("PUBLISH {payload}{}", if is_repeated { ", DUP" } else { "" })
        }
        Packet::Puback(ack) if ack.reason.is_error() => format!("PUBACK {} {}", ack.packet_id.get(), code(ack.reason)),
        Packet::Puback(ack) => format!("PUBACK {}", ack.packet_id.get()),
        Packet::Disconnect(disconnect) => format!("DISCONNECT {}", code(disconnect.reason)),
        _ => "another packet".to_owned(),
    }
}

fn encode(packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(packet, Version::V5, &mut bytes).unwrap();
    bytes
}

/// With the credential of the device or of the service. `session_expiry_s` of 0: the session ends with the connection.
pub(super) fn connect(client_id: &str, keep_alive_s: u16, session_expiry_s: u32) -> Vec<u8> {
    let (username, password) = (username_of(client_id), password_of(client_id));
    connect_by(client_id, (&username, &password), keep_alive_s, session_expiry_s)
}

/// With this username and password.
pub(super) fn connect_by(client_id: &str, login: (&str, &str), keep_alive_s: u16, session_expiry_s: u32) -> Vec<u8> {
    let mut properties = PropertiesBuf::new();
    properties.push(Property::SessionExpiryInterval(session_expiry_s)).unwrap();
    encode(&Packet::Connect(Connect {
        version: Version::V5,
        is_3_1: false,
        clean_start: false,
        keep_alive_s,
        properties: properties.view(),
        client_id,
        will: None,
        username: Some(login.0),
        password: Some(login.1.as_bytes()),
    }))
}

/// PUBLISHes of QoS 1, with their numbers as payloads and ids.
pub(super) fn publishes(numbers: RangeInclusive<u16>) -> Vec<u8> {
    publishes_to(TOPIC, numbers)
}

pub(super) fn publishes_to(topic: &str, numbers: RangeInclusive<u16>) -> Vec<u8> {
    numbers.flat_map(|number| publish_numbered(topic, number, number.to_string().as_bytes())).collect()
}

/// One of QoS 0.
pub(super) fn publish_of(payload: &[u8]) -> Vec<u8> {
    publish_to(TOPIC, payload)
}

pub(super) fn publish_to(topic: &str, payload: &[u8]) -> Vec<u8> {
    let (delivery, properties) = (Delivery::AtMostOnce, Properties::default());
    encode(&Packet::Publish(Publish { delivery, retain: false, topic, properties, payload }))
}

/// One of QoS 1 under this id.
pub(super) fn publish_numbered(topic: &str, number: u16, payload: &[u8]) -> Vec<u8> {
    let delivery = Delivery::AtLeastOnce { packet_id: PacketId::new(number).unwrap(), dup: false };
    encode(&Packet::Publish(Publish { delivery, retain: false, topic, properties: Properties::default(), payload }))
}

pub(super) fn puback(number: u16) -> Vec<u8> {
    let packet_id = PacketId::new(number).unwrap();
    encode(&Packet::Puback(Ack { packet_id, reason: ReasonCode::SUCCESS, properties: Properties::default() }))
}

pub(super) fn ping() -> Vec<u8> {
    encode(&Packet::Pingreq)
}

/// A WebSocket frame of a client, whose mask changes nothing. `first`: FIN and the opcode.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(payload.len()).unwrap().to_be_bytes();
    let header = if payload.len() < 126 { vec![first, 0x80 | low] } else { vec![first, 0x80 | 126, high, low] };
    [&header, &[0; 4][..], payload].concat()
}

/// A log of small segments, of which the worker alone needs old ones.
pub(super) fn small_log() -> Options {
    Options {
        segment_size: 32 << 10,
        append_bytes_max: 8 << 10,
        reserve_bytes: 2 << 10,
        owners: 1,
        full_retry_every: Duration::from_millis(1),
        ..Options::default()
    }
}

/// To so many topics.
pub(super) fn subscribe(topics: usize) -> Vec<u8> {
    let mut filters = SubscribeFiltersBuf::default();
    let options = SubscriptionOptions::at(QoS::AtMostOnce);
    (0..topics).for_each(|n| filters.push(TopicFilter::parse(&format!("chat/{n}")).unwrap(), options));
    let (packet_id, properties) = (PacketId::MIN, Properties::default());
    encode(&Packet::Subscribe(Subscribe { packet_id, properties, filters: filters.view() }))
}

/// With the names of so many topics.
pub(super) fn unsubscribe(topics: usize) -> Vec<u8> {
    let mut filters = UnsubscribeFiltersBuf::default();
    (0..topics).for_each(|n| filters.push(TopicFilter::parse(&format!("chat/{n}")).unwrap()));
    let (packet_id, properties) = (PacketId::MIN, Properties::default());
    encode(&Packet::Unsubscribe(Unsubscribe { packet_id, properties, filters: filters.view() }))
}

pub(super) fn disconnect() -> Vec<u8> {
    encode(&Packet::Disconnect(Disconnect { reason: ReasonCode::SUCCESS, properties: Properties::default() }))
}

/// One of QoS 1 that never expires.
pub(super) fn message_of(payload: &[u8]) -> SharedMessage {
    let properties = Properties::EMPTY.as_bytes().into();
    let (topic, payload, qos) = (TOPIC.into(), payload.into(), QoS::AtLeastOnce);
    let message = Message { topic, properties, payload, qos, arrived_ms: 0, expires_at_ms: NEVER_MS, collapse: None };
    message.into()
}

/// As the catalog has it.
pub(super) fn device(client_id: &str) -> Device {
    Device {
        client_id: client_id.into(),
        user: user_of(client_id).into(),
        group: "GID_dev".into(),
        name: None,
        key_id: format!("DC.{}", user_of(client_id)),
        secret: secret_of(client_id),
        expires_at_ms: u64::MAX >> 1,
    }
}

pub(super) fn user_of(client_id: &str) -> &str {
    client_id.rsplit('@').next().unwrap()
}

fn secret_of(client_id: &str) -> String {
    format!("DC.secret-of-{}", user_of(client_id))
}

pub(super) fn access_key() -> AccessKey {
    AccessKey { key_id: "LTAItest".into(), secret: SERVICE_SECRET.into(), instance: "convoke".into(), created_at_ms: 0 }
}

pub(super) fn token_key() -> TokenKey {
    TokenKey::new("convoke", &[5; 32])
}

const SERVICE_SECRET: &str = "SecretForTestsOnly123456789012";

pub(super) fn username_of(client_id: &str) -> String {
    if client_id.starts_with(SERVICE) {
        return "Signature|LTAItest|convoke".to_owned();
    }
    format!("DeviceCredential|DC.{}|convoke", user_of(client_id))
}

pub(super) fn password_of(client_id: &str) -> String {
    let secret = if client_id.starts_with(SERVICE) { SERVICE_SECRET.to_owned() } else { secret_of(client_id) };
    sign(&secret, client_id)
}
