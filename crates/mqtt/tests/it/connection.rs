//! The server's connection half, alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use mqtt::Version::{self, V5, V311};
use mqtt::codec::{ForwardedProperties, Properties, Publish};
use mqtt::server::{Accept, Close, Connection, ConnectionConfig, Request, Sent};
use mqtt::{AckToken, Delivery, PacketId, ReasonCode};

use crate::bytes::{bytes, packet};

/// The zero of virtual time.
#[expect(clippy::disallowed_methods, reason = "an Instant can be made in no other way; tests only add to it")]
pub(crate) fn epoch() -> Instant {
    Instant::now()
}

pub(crate) const CONNECT_5: &str = "0004 'MQTT' 05 02 003c 00 0001 'a'";
pub(crate) const CONNECT_3: &str = "0004 'MQTT' 04 02 003c 0001 'a'";

/// A connection with its output and its time.
pub(crate) struct Peer {
    pub(crate) connection: Connection,
    pub(crate) now: Instant,
    pub(crate) out: Vec<u8>,
}

/// A request, without what it borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Seen {
    Connect(String),
    Publish(String, Option<AckToken>),
    Ack(u16),
    Subscribe(PacketId),
    Unsubscribe(PacketId),
    Disconnect(Option<u32>),
}

impl Seen {
    fn of(request: Request<'_>) -> Self {
        match request {
            Request::Connect(connect) => Self::Connect(connect.client_id.to_owned()),
            Request::Publish { message, token } => Self::Publish(message.topic.to_owned(), token),
            Request::Ack { packet_id, .. } => Self::Ack(packet_id.get()),
            Request::Subscribe(subscribe) => Self::Subscribe(subscribe.packet_id),
            Request::Unsubscribe(unsubscribe) => Self::Unsubscribe(unsubscribe.packet_id),
            Request::Disconnect(disconnect) => Self::Disconnect(disconnect.properties.session_expiry_interval()),
        }
    }
}

impl Peer {
    pub(crate) fn new(config: ConnectionConfig) -> Self {
        let now = epoch();
        Self { connection: Connection::new(Arc::new(config), now), now, out: Vec::new() }
    }

    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Result<Vec<Seen>, Close> {
        let input = self.connection.begin(bytes);
        let mut seen = Vec::new();
        let result = loop {
            match self.connection.next(&input, self.now, &mut self.out) {
                Ok(Some(request)) => seen.push(Seen::of(request)),
                Ok(None) => break Ok(seen),
                Err(close) => break Err(close),
            }
        };
        self.connection.end(input);
        result
    }

    pub(crate) fn accept(&mut self) {
        self.connection.accept(&Accept::default(), self.now, &mut self.out).unwrap();
        self.out.clear();
    }

    pub(crate) fn opened_with(config: ConnectionConfig, connect: &str) -> Self {
        let mut peer = Self::new(config);
        peer.feed(&packet(0x10, connect)).unwrap();
        peer.accept();
        peer
    }

    pub(crate) fn opened(version: Version) -> Self {
        let connect = if version == V5 { CONNECT_5 } else { CONNECT_3 };
        Self::opened_with(ConnectionConfig::default(), connect)
    }

    fn publish_token(&mut self, first_byte: u8, id: &str) -> AckToken {
        let length = if self.connection.version() == V5 { " 00" } else { "" };
        let seen = self.feed(&packet(first_byte, &format!("0001 't' {id}{length}"))).unwrap();
        let [Seen::Publish(_, Some(token))] = seen[..] else { unreachable!("one PUBLISH with a token: {seen:?}") };
        token
    }

    fn take_out(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.out)
    }
}

pub(crate) fn opened(version: Version) -> Connection {
    Peer::opened(version).connection
}

fn reason<T: std::fmt::Debug>(result: Result<T, Close>) -> u8 {
    result.expect_err("the connection must close").reason.get()
}

/// Feeds one CONNECT and returns what is answered.
fn connect_answer(config: ConnectionConfig, connect: &str) -> Vec<u8> {
    let mut peer = Peer::new(config);
    peer.feed(&packet(0x10, connect)).expect_err("refused");
    assert!(peer.connection.is_closed());
    peer.out
}

#[test]
fn a_5_0_client_is_told_the_limits() {
    let mut peer = Peer::new(ConnectionConfig::default());
    peer.feed(&packet(0x10, "0004 'MQTT' 05 02 0000 00 0000")).unwrap();
    let accept = Accept { session_present: true, assigned_client_id: Some("id"), session_expiry_interval: Some(9) };
    peer.connection.accept(&accept, peer.now, &mut peer.out).unwrap();
    let expected = "01 00 1e 1100000009 120002 'id' 1304b0 210080 2700020000 2401 2500 2a00";
    let len = bytes(expected).len() - 3;
    assert_eq!(peer.out, packet(0x20, &expected.replace(" 1e ", &format!(" {len:02x} "))));
}

#[test]
fn a_3_1_1_client_gets_two_bytes() {
    let mut peer = Peer::new(ConnectionConfig::default());
    peer.feed(&packet(0x10, CONNECT_3)).unwrap();
    peer.connection.accept(&Accept::default(), peer.now, &mut peer.out).unwrap();
    assert_eq!(peer.out, bytes("20 02 00 00"));
}

/// [MQTT5-3.1.0-1] [MQTT311-3.1.0-1]
#[test]
fn a_first_packet_that_is_no_connect_closes_without_an_answer() {
    for first in ["c000", "30 03 0001 't'", "e000", "20 02 0000", "00 00", "11 00"] {
        let mut peer = Peer::new(ConnectionConfig::default());
        peer.feed(&bytes(first)).expect_err(first);
        assert!(peer.out.is_empty() && peer.connection.is_closed(), "{first}");
    }
    // It shows in the first byte.
    let mut peer = Peer::new(ConnectionConfig::default());
    assert_eq!(reason(peer.feed(&[0x30])), 0x82);
}

/// [MQTT5-3.1.2-2] [MQTT311-3.1.2-2]
#[test]
fn an_unknown_protocol_level_is_answered_in_a_form_that_its_client_can_read() {
    let table = [
        ("0004 'MQTT' 03 02 003c 0001 'a'", "20 02 0001"),
        ("0006 'MQIsdp' 03 02 003c 0001 'a'", "20 02 0001"),
        ("0004 'MQTT' 00 02 003c 0001 'a'", "20 02 0001"),
        ("0004 'MQTT' 06 02 003c 00 0001 'a'", "20 03 0084 00"),
        ("0004 'MQTT' ff", "20 03 0084 00"),
        ("0004 'MQTX' 05 02 003c 00 0001 'a'", ""),
    ];
    for (connect, answer) in table {
        assert_eq!(connect_answer(ConnectionConfig::default(), connect), bytes(answer), "{connect}");
    }
}

#[test]
fn the_protocol_level_is_not_sought_behind_the_connect() {
    let mut peer = Peer::new(ConnectionConfig::default());
    peer.feed(&bytes("10 01 00 04 'MQTT' 05")).expect_err("a CONNECT of one byte");
    assert!(peer.out.is_empty(), "it named no version in whose words it could be answered");
}

#[test]
fn a_malformed_connect_is_answered_where_the_version_has_a_word_for_it() {
    let malformed_5 = "0004 'MQTT' 05 03 003c 00 0001 'a'";
    assert_eq!(connect_answer(ConnectionConfig::default(), malformed_5), bytes("20 03 0081 00"));
    let malformed_3 = "0004 'MQTT' 04 03 003c 0001 'a'";
    assert_eq!(connect_answer(ConnectionConfig::default(), malformed_3), bytes(""));
}

#[test]
fn what_is_not_supported_is_refused_with_its_code() {
    let table = [
        ("0004 'MQTT' 05 06 003c 00 0001 'a' 00 0001 'w' 0000", "20 03 0083 00", "a will"),
        ("0004 'MQTT' 05 26 003c 00 0001 'a' 00 0001 'w' 0000", "20 03 009a 00", "a retained will"),
        ("0004 'MQTT' 05 16 003c 00 0001 'a' 00 0001 'w' 0000", "20 03 009b 00", "a will of QoS 2"),
        ("0004 'MQTT' 04 06 003c 0001 'a' 0001 'w' 0000", "20 02 0003", "a will, 3.1.1"),
        ("0004 'MQTT' 05 02 003c 04 150001 'm' 0001 'a'", "20 03 008c 00", "an authentication method"),
        // [MQTT311-3.1.3-8]
        ("0004 'MQTT' 04 00 003c 0000", "20 02 0002", "no client id and no clean session, 3.1.1"),
    ];
    for (connect, answer, name) in table {
        assert_eq!(connect_answer(ConnectionConfig::default(), connect), bytes(answer), "{name}");
    }
}

/// [MQTT5-3.2.2-8]
#[test]
fn an_end_before_the_connack_is_said_with_a_code_that_a_connack_may_carry() {
    let table = [
        ("0004 'MQTT' 05 02 003c 00 0001 'a'", ReasonCode::SESSION_TAKEN_OVER, "20 03 0088 00"),
        ("0004 'MQTT' 05 02 003c 00 0001 'a'", ReasonCode::SERVER_BUSY, "20 03 0089 00"),
        ("0004 'MQTT' 04 02 003c 0001 'a'", ReasonCode::SERVER_SHUTTING_DOWN, "20 02 0003"),
    ];
    for (connect, reason, answer) in table {
        let mut peer = Peer::new(ConnectionConfig::default());
        peer.feed(&packet(0x10, connect)).unwrap();
        peer.connection.disconnect(reason, None, &mut peer.out);
        assert_eq!(peer.out, bytes(answer), "{reason}");
    }
}

#[test]
fn mqtt_3_1_is_spoken_where_it_is_accepted() {
    let config = ConnectionConfig { accept_3_1: true, ..ConnectionConfig::default() };
    let mut peer = Peer::new(config.clone());
    let seen = peer.feed(&packet(0x10, "0006 'MQIsdp' 03 02 003c 0001 'a'")).unwrap();
    assert_eq!(seen, [Seen::Connect("a".into())]);
    let long = "0006 'MQIsdp' 03 02 003c 0018 'abcdefghijklmnopqrstuvwx'";
    assert_eq!(connect_answer(config.clone(), long), bytes("20 02 0002"));
    assert_eq!(connect_answer(config, "0006 'MQIsdp' 03 02 003c 0000"), bytes("20 02 0002"));
}

#[test]
fn a_refusal_has_the_return_code_of_3_1_1_or_none() {
    for (code, answer) in [
        (ReasonCode::BAD_USER_NAME_OR_PASSWORD, "20 02 0004"),
        (ReasonCode::NOT_AUTHORIZED, "20 02 0005"),
        (ReasonCode::SERVER_BUSY, "20 02 0003"),
        (ReasonCode::UNSPECIFIED_ERROR, ""),
    ] {
        let mut peer = Peer::new(ConnectionConfig::default());
        peer.feed(&packet(0x10, CONNECT_3)).unwrap();
        peer.connection.refuse(code, Some("why"), &mut peer.out);
        assert_eq!((peer.out, peer.connection.is_closed()), (bytes(answer), true), "{code}");
    }
}

#[test]
fn packets_behind_a_connect_wait_for_the_answer_and_are_lost_with_a_refusal() {
    let mut peer = Peer::new(ConnectionConfig::default());
    let mut burst = packet(0x10, CONNECT_3);
    burst.extend(packet(0x30, "0001 't'"));
    assert_eq!(peer.feed(&burst).unwrap(), [Seen::Connect("a".into())]);
    assert!(!peer.connection.wants_input() && peer.connection.held_len() == 5);
    peer.accept();
    assert!(peer.connection.has_held_input());
    assert_eq!(peer.feed(&[]).unwrap(), [Seen::Publish("t".into(), None)]);
    assert_eq!(peer.connection.held_len(), 0);

    let mut peer = Peer::new(ConnectionConfig::default());
    peer.feed(&burst).unwrap();
    peer.connection.refuse(ReasonCode::NOT_AUTHORIZED, None, &mut peer.out);
    assert_eq!(peer.feed(&[]).unwrap(), []);
}

/// [MQTT5-3.1.0-2] [MQTT311-3.1.0-2]
#[test]
fn a_second_connect_is_a_protocol_error() {
    let mut peer = Peer::opened(V5);
    assert_eq!(reason(peer.feed(&packet(0x10, CONNECT_5))), 0x82);
    assert_eq!(peer.out, bytes("e0 01 82"));
    let mut peer = Peer::opened(V311);
    assert_eq!(reason(peer.feed(&packet(0x10, CONNECT_3))), 0x82);
    assert!(peer.out.is_empty() && peer.connection.is_closed());
}

#[test]
fn a_publish_that_is_not_supported_ends_the_connection() {
    let table = [
        (V5, 0x34, "0001 't' 0001 00", 0x9B, "QoS 2"),
        (V5, 0x31, "0001 't' 00", 0x9A, "retain"),
        (V5, 0x30, "0000 03 230001", 0x94, "a topic alias"),
        (V5, 0x30, "0001 't' 02 0b01", 0x82, "a Subscription Identifier from a client"),
        (V311, 0x34, "0001 't' 0001", 0x9B, "QoS 2, 3.1.1"),
        (V311, 0x33, "0001 't' 0001", 0x9A, "retain, 3.1.1"),
    ];
    for (version, first_byte, body, code, name) in table {
        let mut peer = Peer::opened(version);
        assert_eq!(reason(peer.feed(&packet(first_byte, body))), code, "{name}");
        let answer = if version == V5 { vec![0xE0, 1, code] } else { Vec::new() };
        assert_eq!(peer.out, answer, "{name}");
    }
}

/// [MQTT5-4.6.0-2] [MQTT311-4.6.0-2]
#[test]
fn pubacks_leave_in_the_order_of_the_publishes() {
    let mut peer = Peer::opened(V5);
    let first = peer.publish_token(0x32, "0007");
    let second = peer.publish_token(0x32, "0008");
    assert!(peer.connection.puback(second, ReasonCode::NOT_AUTHORIZED, &mut peer.out));
    assert!(peer.out.is_empty());
    assert!(peer.connection.puback(first, ReasonCode::SUCCESS, &mut peer.out));
    assert_eq!(peer.out, bytes("40 02 0007 40 03 0008 87"));
    assert!(!peer.connection.puback(first, ReasonCode::SUCCESS, &mut peer.out));
}

#[test]
fn in_3_1_1_a_refused_publish_is_acknowledged_without_a_reason() {
    let mut peer = Peer::opened(V311);
    let token = peer.publish_token(0x32, "0007");
    peer.connection.puback(token, ReasonCode::NOT_AUTHORIZED, &mut peer.out);
    assert_eq!(peer.out, bytes("40 02 0007"));
}

#[test]
fn a_withheld_puback_does_not_hold_back_the_next_one() {
    let mut peer = Peer::opened(V311);
    let first = peer.publish_token(0x32, "0007");
    let second = peer.publish_token(0x32, "0008");
    peer.connection.puback(second, ReasonCode::SUCCESS, &mut peer.out);
    assert!(peer.connection.withhold(first, &mut peer.out));
    assert_eq!(peer.out, bytes("40 02 0008"));
}

/// [MQTT5-2.2.1-3] [MQTT311-2.3.1-2]
#[test]
fn a_packet_id_again_before_its_puback_is_the_same_message_with_dup_and_an_error_without() {
    let mut peer = Peer::opened(V5);
    let token = peer.publish_token(0x32, "0007");
    assert_eq!(peer.feed(&packet(0x3A, "0001 't' 0007 00")).unwrap(), []);
    assert_eq!(peer.feed(&packet(0x32, "0001 't' 0007 00")).unwrap(), []);
    assert!(peer.out.is_empty());
    peer.connection.puback(token, ReasonCode::SUCCESS, &mut peer.out);
    assert_eq!(peer.take_out(), bytes("40 02 0007 40 03 0007 91"));
    assert_eq!(peer.connection.counters().repeated_publishes, 1);
    // After the PUBACK any use of the id is a new message, whatever DUP says.
    peer.publish_token(0x3A, "0007");

    let mut peer = Peer::opened(V311);
    peer.publish_token(0x32, "0007");
    assert_eq!(peer.feed(&packet(0x3A, "0001 't' 0007")).unwrap(), []);
    assert_eq!(reason(peer.feed(&packet(0x32, "0001 't' 0007"))), 0x91);
    assert!(peer.out.is_empty());
}

/// [MQTT5-3.3.4-7]
#[test]
fn a_5_0_client_that_exceeds_the_receive_maximum_is_disconnected() {
    let config = ConnectionConfig { receive_maximum: 2, ..ConnectionConfig::default() };
    let mut peer = Peer::opened_with(config, CONNECT_5);
    let first = peer.publish_token(0x32, "0001");
    peer.publish_token(0x32, "0002");
    peer.connection.puback(first, ReasonCode::SUCCESS, &mut peer.out);
    peer.publish_token(0x32, "0003");
    peer.feed(&packet(0x30, "0001 't' 00")).expect("QoS 0 does not count");
    peer.out.clear();
    assert_eq!(reason(peer.feed(&packet(0x32, "0001 't' 0004 00"))), 0x93);
    assert_eq!(peer.out, bytes("e0 01 93"));
}

#[test]
fn a_3_1_1_client_is_held_back_instead_and_its_silence_is_not_counted() {
    let config = ConnectionConfig { receive_maximum: 1, ..ConnectionConfig::default() };
    let mut peer = Peer::opened_with(config, CONNECT_3);
    let mut burst = packet(0x32, "0001 't' 0001");
    burst.extend(packet(0x32, "0001 't' 0002"));
    let seen = peer.feed(&burst).unwrap();
    let [Seen::Publish(_, Some(token))] = seen[..] else { unreachable!("one of two: {seen:?}") };
    assert!(!peer.connection.wants_input() && !peer.connection.has_held_input());
    assert_eq!(peer.connection.poll_timeout(), None);
    peer.now += Duration::from_secs(1000);
    peer.connection.puback(token, ReasonCode::SUCCESS, &mut peer.out);
    assert!(peer.connection.has_held_input());
    assert_eq!(peer.feed(&[]).unwrap().len(), 1);
}

#[test]
fn unanswered_subscribes_hold_the_connection_back() {
    let config = ConnectionConfig { subscribes_pending_max: 1, ..ConnectionConfig::default() };
    let mut peer = Peer::opened_with(config, CONNECT_5);
    let mut burst = packet(0x82, "0001 00 0001 'a' 00");
    burst.extend(packet(0xA2, "0002 00 0001 'a'"));
    let id = |id| PacketId::new(id).unwrap();
    assert_eq!(peer.feed(&burst).unwrap(), [Seen::Subscribe(id(1))]);
    let sent = peer.connection.suback(id(1), &[ReasonCode::SUCCESS], None, &mut peer.out);
    assert_eq!((sent, peer.take_out()), (Sent::Written, bytes("90 04 0001 00 00")));
    assert_eq!(peer.feed(&[]).unwrap(), [Seen::Unsubscribe(id(2))]);
    let code = ReasonCode::NO_SUBSCRIPTION_EXISTED;
    let sent = peer.connection.unsuback(id(2), &[code], None, &mut peer.out);
    assert_eq!((sent, peer.out), (Sent::Written, bytes("b0 04 0002 00 11")));
}

/// [MQTT5-3.1.2-29] [MQTT5-3.9.2-1]
#[test]
fn a_reason_string_is_left_out_where_it_is_not_wanted_or_does_not_fit() {
    let wanted = "0004 'MQTT' 05 02 003c 00 0001 'a'";
    let unwanted = "0004 'MQTT' 05 02 003c 02 1700 0001 'a'";
    let small = "0004 'MQTT' 05 02 003c 05 270000001c 0001 'a'";
    for (connect, answer) in [
        (wanted, "90 1e 0001 1a 1f0017 'abcdefghijklmnopqrstuvw' 87"),
        (unwanted, "90 04 0001 00 87"),
        (small, "90 04 0001 00 87"),
    ] {
        let mut peer = Peer::new(ConnectionConfig { receive_maximum: 1, ..ConnectionConfig::default() });
        peer.feed(&packet(0x10, connect)).unwrap();
        peer.connection.accept(&Accept::default(), peer.now, &mut peer.out).unwrap();
        peer.out.clear();
        let id = PacketId::MIN;
        let text = Some("abcdefghijklmnopqrstuvw");
        let sent = peer.connection.suback(id, &[ReasonCode::NOT_AUTHORIZED], text, &mut peer.out);
        assert_eq!((sent, peer.out), (Sent::Written, bytes(answer)));
    }
}

#[test]
fn in_3_1_1_every_refused_filter_gets_0x80() {
    let mut peer = Peer::opened(V311);
    let codes = [ReasonCode::GRANTED_QOS_1, ReasonCode::TOPIC_FILTER_INVALID, ReasonCode::QUOTA_EXCEEDED];
    let sent = peer.connection.suback(PacketId::MIN, &codes, Some("why"), &mut peer.out);
    assert_eq!((sent, peer.out), (Sent::Written, bytes("90 05 0001 01 80 80")));
}

/// [MQTT5-3.1.2-24] [MQTT5-3.1.2-25]
#[test]
fn a_message_that_does_not_fit_the_client_is_not_sent() {
    let small = "0004 'MQTT' 05 02 003c 05 2700000040 0001 'a'";
    let mut peer = Peer::opened_with(ConnectionConfig::default(), small);
    let payload = [0; 60];
    let delivery = Delivery::AtMostOnce;
    let message =
        |len| Publish { delivery, retain: false, topic: "t", properties: Properties::EMPTY, payload: &payload[..len] };
    let unchanged = ForwardedProperties::default();
    // Two header bytes, three of the topic, one of the property length.
    assert_eq!(peer.connection.publish(&message(58), &unchanged, &mut peer.out), Sent::Written);
    assert_eq!(peer.take_out().len(), 64);
    assert_eq!(peer.connection.publish(&message(59), &unchanged, &mut peer.out), Sent::TooLarge);
    assert!(peer.out.is_empty());
    assert_eq!(peer.connection.counters().too_large, 1);
}

/// [MQTT5-3.12.4-1] [MQTT311-3.12.4-1]
#[test]
fn a_ping_is_answered() {
    for version in [V311, V5] {
        let mut peer = Peer::opened(version);
        assert_eq!(peer.feed(&bytes("c000")).unwrap(), []);
        assert_eq!(peer.out, bytes("d000"));
    }
}

#[test]
fn steps_of_exchanges_that_do_not_exist_are_answered_or_ignored() {
    let mut peer = Peer::opened(V5);
    peer.feed(&bytes("62 02 0005 50 02 0006 50 03 0007 80 70 02 0008")).unwrap();
    assert_eq!(peer.take_out(), bytes("70 03 0005 92 62 03 0006 92"));
    assert_eq!(peer.connection.counters().unknown_acks, 4);
    let mut peer = Peer::opened(V311);
    peer.feed(&bytes("62 02 0005")).unwrap();
    assert_eq!(peer.out, bytes("70 02 0005"));
}

/// [MQTT5-3.1.2-22] [MQTT311-3.1.2-24]
#[test]
fn silence_of_one_and_a_half_keep_alives_ends_the_connection_and_a_trickle_is_silence() {
    for (version, farewell) in [(V5, "e0 01 8d"), (V311, "")] {
        let mut peer = Peer::opened(version);
        let deadline = peer.connection.poll_timeout().unwrap();
        assert_eq!(deadline - peer.now, Duration::from_secs(90));
        peer.now += Duration::from_secs(60);
        peer.feed(&bytes("c000")).unwrap();
        peer.out.clear();
        peer.now += Duration::from_secs(60);
        peer.feed(&[0x30]).unwrap();
        assert_eq!(peer.connection.handle_timeout(peer.now, &mut peer.out), Ok(()));
        peer.now += Duration::from_secs(30);
        assert_eq!(reason(peer.connection.handle_timeout(peer.now, &mut peer.out)), 0x8D);
        assert_eq!(peer.out, bytes(farewell));
    }
}

/// It waits for us, and so is not silent.
#[test]
fn a_turn_that_ends_with_the_packet_that_fills_the_window_does_not_count_as_silence() {
    let config = ConnectionConfig { receive_maximum: 2, ..ConnectionConfig::default() };
    let mut peer = Peer::opened_with(config, CONNECT_3);
    let both = [packet(0x32, "0001 't' 0001"), packet(0x32, "0001 't' 0002")].concat();
    let input = peer.connection.begin(&both).limited_to(2);
    let mut tokens = Vec::new();
    while let Some(request) = peer.connection.next(&input, peer.now, &mut peer.out).unwrap() {
        let Request::Publish { token: Some(token), .. } = request else { unreachable!("two of QoS 1") };
        tokens.push(token);
    }
    peer.connection.end(input);
    peer.now += Duration::from_secs(120);
    for token in tokens {
        peer.connection.puback(token, ReasonCode::SUCCESS, &mut peer.out);
    }
    peer.feed(&[]).unwrap();
    assert_eq!(peer.connection.handle_timeout(peer.now, &mut peer.out), Ok(()));
}

#[test]
fn the_servers_longest_keep_alive_binds_who_asks_for_none() {
    let mut peer = Peer::opened_with(ConnectionConfig::default(), "0004 'MQTT' 04 02 0000 0001 'a'");
    assert_eq!(peer.connection.poll_timeout().unwrap() - peer.now, Duration::from_secs(1800));
    let unlimited = ConnectionConfig { keep_alive_max_s: 0, ..ConnectionConfig::default() };
    peer = Peer::opened_with(unlimited, "0004 'MQTT' 04 02 0000 0001 'a'");
    assert_eq!(peer.connection.poll_timeout(), None);
}

#[test]
fn a_connect_that_is_late_or_a_login_that_hangs_ends_the_connection() {
    let mut peer = Peer::new(ConnectionConfig::default());
    peer.feed(&packet(0x10, CONNECT_5)[..5]).unwrap();
    peer.now = peer.connection.poll_timeout().unwrap();
    peer.connection.handle_timeout(peer.now, &mut peer.out).expect_err("late");
    assert!(peer.out.is_empty());

    let mut peer = Peer::new(ConnectionConfig::default());
    peer.feed(&packet(0x10, CONNECT_3)).unwrap();
    peer.now = peer.connection.poll_timeout().unwrap();
    assert_eq!(reason(peer.connection.handle_timeout(peer.now, &mut peer.out)), 0x88);
    assert_eq!(peer.out, bytes("20 02 0003"));
}

#[test]
fn a_stranger_cannot_make_us_hold_a_large_connect() {
    let mut peer = Peer::new(ConnectionConfig::default());
    assert_eq!(reason(peer.feed(&bytes("10 ffff7f 0004 'MQTT' 05"))), 0x95);
    assert_eq!(peer.out, bytes("20 03 0095 00"));
}

#[test]
fn a_disconnect_may_change_the_session_expiry_but_not_begin_one() {
    let with_expiry = "0004 'MQTT' 05 02 003c 05 110000000a 0001 'a'";
    let mut peer = Peer::opened_with(ConnectionConfig::default(), with_expiry);
    let mut burst = packet(0xE0, "00 05 1100000000");
    burst.extend(bytes("c000"));
    assert_eq!(peer.feed(&burst).unwrap(), [Seen::Disconnect(Some(0))]);
    assert!(peer.out.is_empty(), "nothing is read behind a DISCONNECT");

    let mut peer = Peer::opened(V5);
    assert_eq!(reason(peer.feed(&packet(0xE0, "00 05 110000000a"))), 0x82);
    let mut peer = Peer::opened(V5);
    assert_eq!(reason(peer.feed(&packet(0xE0, "8e"))), 0x82);
}

#[test]
fn a_take_over_is_told_in_5_0_and_just_closes_in_3_1_1() {
    for (version, farewell) in [(V5, "e0 01 8e"), (V311, "")] {
        let mut peer = Peer::opened(version);
        let token = peer.publish_token(0x32, "0001");
        peer.connection.disconnect(ReasonCode::SESSION_TAKEN_OVER, None, &mut peer.out);
        peer.connection.puback(token, ReasonCode::SUCCESS, &mut peer.out);
        assert_eq!((peer.take_out(), peer.connection.is_closed()), (bytes(farewell), true));
        assert_eq!(peer.connection.poll_timeout(), None);
        assert_eq!(peer.feed(&bytes("c000")).unwrap(), []);
        assert!(peer.out.is_empty());
    }
}

#[test]
fn an_idle_connection_is_small_and_holds_no_buffer() {
    assert!(size_of::<Connection>() <= 192, "{} bytes", size_of::<Connection>());
    let mut peer = Peer::opened(V5);
    peer.feed(&packet(0x30, "0001 't' 00")).unwrap();
    assert_eq!(peer.connection.held_len(), 0);
    peer.feed(&[0x30]).unwrap();
    assert_eq!((peer.connection.held_len(), peer.connection.has_held_input()), (1, false));
}

#[test]
fn both_halves_can_move_to_another_thread() {
    fn assert_send<T: Send>() {}
    assert_send::<Connection>();
    assert_send::<mqtt::server::Session<u64>>();
    assert_send::<mqtt::client::Client>();
    assert!(size_of::<mqtt::server::Session<u64>>() <= 256, "{} bytes", size_of::<mqtt::server::Session<u64>>());
}
