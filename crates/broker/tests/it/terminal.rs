//! A client that does what a test says and nothing by itself.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;

use mqtt::codec::{
    self, Ack, Connack, Connect, Disconnect, PACKET_SIZE_MAX, Packet, PropertiesBuf, Property, Publish, Subscribe,
    SubscribeFiltersBuf, Unsubscribe, UnsubscribeFiltersBuf,
};
use mqtt::topic::TopicFilter;
use mqtt::{Delivery, PacketId, QoS, ReasonCode, SubscriptionOptions, Version};

use crate::pipe::{Pipe, Stream, tcp};
use crate::world::credentials;

#[derive(Clone)]
pub(crate) struct Profile {
    pub(crate) version: Version,
    pub(crate) client_id: String,
    pub(crate) username: Option<String>,
    pub(crate) password: Option<String>,
    pub(crate) clean_start: bool,
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) keep_alive_s: u16,
    pub(crate) receive_maximum: Option<u16>,
}

impl Profile {
    /// 5.0, a session that is kept for an hour.
    pub(crate) fn of(client_id: &str) -> Self {
        let (username, password) = credentials(client_id);
        Self {
            version: Version::V5,
            client_id: client_id.to_owned(),
            username: Some(username),
            password: Some(password),
            clean_start: false,
            session_expiry_s: Some(3600),
            keep_alive_s: 60,
            receive_maximum: None,
        }
    }

    /// A session that ends with its connection.
    pub(crate) fn passing(client_id: &str) -> Self {
        Self { clean_start: true, session_expiry_s: None, ..Self::of(client_id) }
    }

    pub(crate) fn v311(client_id: &str) -> Self {
        Self { version: Version::V311, session_expiry_s: None, ..Self::of(client_id) }
    }

    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut properties = PropertiesBuf::new();
        if let Some(expiry) = self.session_expiry_s {
            properties.push(Property::SessionExpiryInterval(expiry)).unwrap();
        }
        if let Some(maximum) = self.receive_maximum {
            properties.push(Property::ReceiveMaximum(maximum)).unwrap();
        }
        encode(
            self.version,
            &Packet::Connect(Connect {
                version: self.version,
                is_3_1: false,
                clean_start: self.clean_start,
                keep_alive_s: self.keep_alive_s,
                properties: properties.view(),
                client_id: &self.client_id,
                will: None,
                username: self.username.as_deref(),
                password: self.password.as_deref().map(str::as_bytes),
            }),
        )
    }
}

pub(crate) fn encode(version: Version, packet: &Packet<'_>) -> Vec<u8> {
    let mut bytes = Vec::new();
    codec::encode(packet, version, &mut bytes).unwrap();
    bytes
}

pub(crate) fn publish_bytes(
    version: Version,
    id: Option<u16>,
    topic: &str,
    payload: &[u8],
    properties: &PropertiesBuf,
) -> Vec<u8> {
    let delivery = match id {
        Some(id) => Delivery::AtLeastOnce { packet_id: PacketId::new(id).unwrap(), dup: false },
        None => Delivery::AtMostOnce,
    };
    encode(
        version,
        &Packet::Publish(Publish { delivery, retain: false, topic, properties: properties.view(), payload }),
    )
}

pub(crate) fn subscribe_bytes(
    version: Version,
    id: u16,
    filters: &[&str],
    properties: &PropertiesBuf,
    qos: QoS,
) -> Vec<u8> {
    let mut buf = SubscribeFiltersBuf::default();
    for filter in filters {
        buf.push(TopicFilter::parse(filter).unwrap(), SubscriptionOptions::at(qos));
    }
    let packet_id = PacketId::new(id).unwrap();
    encode(version, &Packet::Subscribe(Subscribe { packet_id, properties: properties.view(), filters: buf.view() }))
}

/// What the broker said, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Connack { session_present: bool, reason: ReasonCode, session_expiry_s: Option<u32> },
    Publish(Received),
    Puback { id: u16, reason: ReasonCode },
    Suback { id: u16, codes: Vec<ReasonCode> },
    Unsuback { id: u16, codes: Vec<ReasonCode> },
    Pingresp,
    Disconnect(ReasonCode),
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Received {
    pub(crate) topic: String,
    pub(crate) payload: String,
    pub(crate) id: Option<u16>,
    pub(crate) dup: bool,
    pub(crate) expiry_s: Option<u32>,
    pub(crate) subscription_ids: Vec<u32>,
    pub(crate) user_properties: Vec<(String, String)>,
}

pub(crate) struct Terminal {
    pipe: Box<dyn Pipe>,
    version: Version,
    raw: Vec<u8>,
    /// Said before it was asked for.
    early: VecDeque<Received>,
    next_id: u16,
    pub(crate) session_present: bool,
    pub(crate) session_expiry_s: Option<u32>,
    /// The reason string of a CONNACK or a DISCONNECT.
    pub(crate) last_words: Option<String>,
}

impl Terminal {
    /// A connection on which nothing was said yet.
    pub(crate) fn open(pipe: impl Pipe + 'static, version: Version) -> Self {
        Self {
            pipe: Box::new(pipe),
            version,
            raw: Vec::new(),
            early: VecDeque::new(),
            next_id: 1,
            session_present: false,
            session_expiry_s: None,
            last_words: None,
        }
    }

    /// Over TCP. `Err`: what the broker said instead.
    pub(crate) fn connect(address: SocketAddr, profile: Profile) -> Result<Self, Said> {
        let mut terminal = Self::open(Stream(tcp(address)), profile.version);
        terminal.send(&profile.to_bytes());
        terminal.expect_connack().map(|()| terminal)
    }

    pub(crate) fn expect_connack(&mut self) -> Result<(), Said> {
        match self.next() {
            Said::Connack { session_present, reason: ReasonCode::SUCCESS, session_expiry_s } => {
                (self.session_present, self.session_expiry_s) = (session_present, session_expiry_s);
                Ok(())
            }
            other => Err(other),
        }
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.try_send(bytes).unwrap();
    }

    pub(crate) fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.pipe.write(bytes)
    }

    /// The next thing that the broker says.
    pub(crate) fn next(&mut self) -> Said {
        loop {
            if let Some((packet, length)) = codec::decode(&self.raw, self.version, PACKET_SIZE_MAX).unwrap() {
                let said = owned(&packet);
                if let Packet::Disconnect(Disconnect { properties, .. }) | Packet::Connack(Connack { properties, .. }) =
                    &packet
                {
                    self.last_words = properties.reason_string().map(str::to_owned);
                }
                self.raw.drain(..length);
                return said;
            }
            match self.pipe.read(&mut self.raw) {
                Ok(0) => return Said::Closed,
                Ok(_) => {}
                Err(error) if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) => {
                    panic!("the broker says nothing");
                }
                Err(_) => return Said::Closed,
            }
        }
    }

    /// The next that is not a PUBLISH; those are kept for later.
    fn next_answer(&mut self) -> Said {
        loop {
            match self.next() {
                Said::Publish(received) => self.early.push_back(received),
                other => return other,
            }
        }
    }

    fn id(&mut self) -> u16 {
        self.next_id += 1;
        self.next_id
    }

    /// QoS 1; returns what the PUBACK says.
    pub(crate) fn publish(&mut self, topic: &str, payload: &str) -> ReasonCode {
        self.publish_with(topic, payload, &PropertiesBuf::new())
    }

    pub(crate) fn publish_with(&mut self, topic: &str, payload: &str, properties: &PropertiesBuf) -> ReasonCode {
        let id = self.id();
        self.send(&publish_bytes(self.version, Some(id), topic, payload.as_bytes(), properties));
        match self.next_answer() {
            Said::Puback { id: acked, reason } if acked == id => reason,
            other => panic!("no PUBACK for {id}: {other:?}"),
        }
    }

    pub(crate) fn publish_qos0(&mut self, topic: &str, payload: &str) {
        let bytes = publish_bytes(self.version, None, topic, payload.as_bytes(), &PropertiesBuf::new());
        self.send(&bytes);
    }

    pub(crate) fn subscribe(&mut self, filters: &[&str]) -> Vec<ReasonCode> {
        self.subscribe_with(filters, &PropertiesBuf::new(), QoS::AtLeastOnce)
    }

    pub(crate) fn subscribe_with(&mut self, filters: &[&str], properties: &PropertiesBuf, qos: QoS) -> Vec<ReasonCode> {
        let id = self.id();
        self.send(&subscribe_bytes(self.version, id, filters, properties, qos));
        match self.next_answer() {
            Said::Suback { id: acked, codes } if acked == id => codes,
            other => panic!("no SUBACK: {other:?}"),
        }
    }

    pub(crate) fn unsubscribe(&mut self, filter: &str) -> Vec<ReasonCode> {
        let id = self.id();
        let mut filters = UnsubscribeFiltersBuf::default();
        filters.push(TopicFilter::parse(filter).unwrap());
        let packet_id = PacketId::new(id).unwrap();
        let properties = PropertiesBuf::new();
        let packet = Unsubscribe { packet_id, properties: properties.view(), filters: filters.view() };
        self.send(&encode(self.version, &Packet::Unsubscribe(packet)));
        match self.next_answer() {
            Said::Unsuback { id: acked, codes } if acked == id => codes,
            other => panic!("no UNSUBACK: {other:?}"),
        }
    }

    /// The next message, not acknowledged.
    pub(crate) fn take(&mut self) -> Received {
        if let Some(received) = self.early.pop_front() {
            return received;
        }
        match self.next() {
            Said::Publish(received) => received,
            other => panic!("no message: {other:?}"),
        }
    }

    pub(crate) fn ack(&mut self, received: &Received) {
        if let Some(id) = received.id {
            let ack = Ack::new(PacketId::new(id).unwrap(), ReasonCode::SUCCESS);
            self.send(&encode(self.version, &Packet::Puback(ack)));
        }
    }

    /// The next message, acknowledged.
    pub(crate) fn receive(&mut self) -> Received {
        let received = self.take();
        self.ack(&received);
        received
    }

    /// The payloads of the next messages, acknowledged.
    pub(crate) fn receive_payloads(&mut self, count: usize) -> Vec<String> {
        (0..count).map(|_| self.receive().payload).collect()
    }

    /// Everything that was said before now has come, and no message was among it.
    pub(crate) fn expect_nothing(&mut self) {
        self.ping();
        assert!(self.early.is_empty(), "unexpected: {:?}", self.early);
    }

    /// A round trip.
    pub(crate) fn ping(&mut self) {
        self.send(&encode(self.version, &Packet::Pingreq));
        match self.next_answer() {
            Said::Pingresp => {}
            other => panic!("no PINGRESP: {other:?}"),
        }
    }

    /// What the broker says last: 5.0 has a reason.
    pub(crate) fn expect_end(&mut self) -> Said {
        match self.next_answer() {
            Said::Disconnect(reason) => {
                assert_eq!(self.next(), Said::Closed);
                Said::Disconnect(reason)
            }
            other => other,
        }
    }

    /// Goes, and wants nothing kept.
    pub(crate) fn end_session(mut self) {
        let properties = PropertiesBuf::new().with(Property::SessionExpiryInterval(0)).unwrap();
        let disconnect = Disconnect { reason: ReasonCode::SUCCESS, properties: properties.view() };
        self.send(&encode(self.version, &Packet::Disconnect(disconnect)));
    }

    pub(crate) fn disconnect(mut self) {
        self.send(&encode(self.version, &Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS))));
        assert_eq!(self.next_answer(), Said::Closed);
    }
}

fn owned(packet: &Packet<'_>) -> Said {
    match packet {
        Packet::Connack(connack) => Said::Connack {
            session_present: connack.session_present,
            reason: connack.reason,
            session_expiry_s: connack.properties.session_expiry_interval(),
        },
        Packet::Publish(publish) => Said::Publish(Received {
            topic: publish.topic.to_owned(),
            payload: String::from_utf8(publish.payload.to_vec()).unwrap(),
            id: publish.delivery.packet_id().map(PacketId::get),
            dup: publish.delivery.dup(),
            expiry_s: publish.properties.message_expiry_interval(),
            subscription_ids: publish.properties.subscription_identifiers().collect(),
            user_properties: publish
                .properties
                .user_properties()
                .map(|(key, value)| (key.to_owned(), value.to_owned()))
                .collect(),
        }),
        Packet::Puback(ack) => Said::Puback { id: ack.packet_id.get(), reason: ack.reason },
        Packet::Suback(suback) => Said::Suback { id: suback.packet_id.get(), codes: suback.codes.iter().collect() },
        Packet::Unsuback(unsuback) => {
            Said::Unsuback { id: unsuback.packet_id.get(), codes: unsuback.codes.iter().collect() }
        }
        Packet::Pingresp => Said::Pingresp,
        Packet::Disconnect(disconnect) => Said::Disconnect(disconnect.reason),
        other => panic!("a server does not send {other:?}"),
    }
}
