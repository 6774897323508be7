//! Raw bytes ⇄ packet, both ways, for all packet types and both versions.

use mqtt::Version::{V5, V311};
use mqtt::codec::{
    Ack, Auth, Connack, Connect, Disconnect, EncodeError, ForwardedProperties, PACKET_SIZE_MAX, Packet, Properties,
    PropertiesBuf, Property, Publish, Subscribe, SubscribeFiltersBuf, Unsubscribe, UnsubscribeFiltersBuf, Will, decode,
    encode,
};
use mqtt::topic::TopicFilter;
use mqtt::{Delivery, PacketId, QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version};

use crate::bytes::{bytes, packet};

fn id(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn properties(list: &[Property<'_>]) -> PropertiesBuf {
    let mut properties = PropertiesBuf::new();
    list.iter().for_each(|&property| properties.push(property).unwrap());
    properties
}

/// Decoding gives `expected`, encoding gives the bytes.
fn check(version: Version, first_byte: u8, body: &str, expected: Packet<'_>) {
    let raw = packet(first_byte, body);
    assert_eq!(decode(&raw, version, PACKET_SIZE_MAX), Ok(Some((expected, raw.len()))), "decode {body}");
    let mut encoded = Vec::new();
    encode(&expected, version, &mut encoded).unwrap();
    assert_eq!(encoded, raw, "encode {body}");
}

fn connect(version: Version) -> Connect<'static> {
    Connect {
        version,
        is_3_1: false,
        clean_start: true,
        keep_alive_s: 60,
        properties: Properties::EMPTY,
        client_id: "a",
        will: None,
        username: None,
        password: None,
    }
}

#[test]
fn connect_in_all_versions() {
    check(V311, 0x10, "0004 'MQTT' 04 02 003c 0001 'a'", Packet::Connect(connect(V311)));
    check(V5, 0x10, "0004 'MQTT' 05 02 003c 00 0001 'a'", Packet::Connect(connect(V5)));
    let old = Connect { is_3_1: true, clean_start: false, ..connect(V311) };
    check(V311, 0x10, "0006 'MQIsdp' 03 00 003c 0001 'a'", Packet::Connect(old));
    let nameless = Connect { client_id: "", password: Some(b"\0p"), ..connect(V5) };
    check(V5, 0x10, "0004 'MQTT' 05 42 003c 00 0000 0002 00 'p'", Packet::Connect(nameless));
}

#[test]
fn connect_with_everything() {
    let list = [
        Property::SessionExpiryInterval(0xFFFF_FFFF),
        Property::ReceiveMaximum(10),
        Property::MaximumPacketSize(256),
        Property::TopicAliasMaximum(0),
        Property::RequestResponseInformation(true),
        Property::RequestProblemInformation(false),
        Property::UserProperty("k", "v"),
        Property::UserProperty("k", "w"),
        Property::AuthenticationMethod("m"),
        Property::AuthenticationData(&[1, 2]),
    ];
    let will_list = [
        Property::WillDelayInterval(5),
        Property::PayloadFormatIndicator(true),
        Property::MessageExpiryInterval(9),
        Property::ContentType("t"),
        Property::ResponseTopic("r"),
        Property::CorrelationData(b"c"),
    ];
    let (own, wills) = (properties(&list), properties(&will_list));
    let will = Will { topic: "w", payload: b"x", qos: QoS::ExactlyOnce, retain: true, properties: wills.view() };
    let whole =
        Connect { will: Some(will), username: Some("u"), password: Some(b"p"), properties: own.view(), ..connect(V5) };
    let body = "0004 'MQTT' 05 f6 003c
        2b 11ffffffff 21000a 2700000100 220000 1901 1700 260001 'k' 0001 'v' 260001 'k' 0001 'w' 150001 'm' 160002 0102
        0001 'a'
        18 1800000005 0101 0200000009 030001 't' 080001 'r' 090001 'c'
        0001 'w' 0001 'x' 0001 'u' 0001 'p'";
    check(V5, 0x10, body, Packet::Connect(whole));
    assert_eq!(whole.properties.receive_maximum(), Some(10));
    assert_eq!(whole.properties.user_properties().collect::<Vec<_>>(), [("k", "v"), ("k", "w")]);
    assert!(whole.properties.iter().eq(list));
}

#[test]
fn connack_in_both_versions() {
    let accepted = Connack { session_present: true, reason: ReasonCode::SUCCESS, properties: Properties::EMPTY };
    check(V311, 0x20, "01 00", Packet::Connack(accepted));
    check(V5, 0x20, "01 00 00", Packet::Connack(accepted));
    let refused = Connack { session_present: false, reason: ReasonCode::NOT_AUTHORIZED, properties: Properties::EMPTY };
    check(V311, 0x20, "00 05", Packet::Connack(refused));
    check(V5, 0x20, "00 87 00", Packet::Connack(refused));
    let limits = properties(&[
        Property::SessionExpiryInterval(1),
        Property::AssignedClientIdentifier("i"),
        Property::ServerKeepAlive(30),
        Property::ResponseInformation("r"),
        Property::ServerReference("s"),
        Property::ReasonString("why"),
        Property::MaximumQoS(true),
        Property::RetainAvailable(false),
        Property::WildcardSubscriptionAvailable(true),
        Property::SubscriptionIdentifierAvailable(true),
        Property::SharedSubscriptionAvailable(false),
    ]);
    let body = "00 00 29 1100000001 120001 'i' 13001e 1a0001 'r' 1c0001 's' 1f0003 'why'
        2401 2500 2801 2901 2a00";
    let connack = Connack { session_present: false, reason: ReasonCode::SUCCESS, properties: limits.view() };
    let raw_len = bytes(body).len() - 3;
    let body = body.replace(" 29 11", &format!(" {raw_len:02x} 11"));
    check(V5, 0x20, &body, Packet::Connack(connack));
    assert_eq!(connack.maximum_qos(), QoS::AtLeastOnce);
}

/// [MQTT311-3.2.2-6]
#[test]
fn a_refusal_without_a_return_code_cannot_be_written_in_3_1_1() {
    let reason = ReasonCode::RETAIN_NOT_SUPPORTED;
    let connack = Connack { session_present: false, reason, properties: Properties::EMPTY };
    let mut out = b"kept".to_vec();
    assert_eq!(encode(&Packet::Connack(connack), V311, &mut out), Err(EncodeError::NotInThisVersion));
    assert_eq!(out, b"kept");
}

fn publish(delivery: Delivery) -> Publish<'static> {
    Publish { delivery, retain: false, topic: "a/b", properties: Properties::EMPTY, payload: b"hi" }
}

#[test]
fn publish_at_every_qos() {
    let (packet_id, dup) = (id(0x1234), false);
    check(V311, 0x30, "0003 'a/b' 'hi'", Packet::Publish(publish(Delivery::AtMostOnce)));
    check(V5, 0x30, "0003 'a/b' 00 'hi'", Packet::Publish(publish(Delivery::AtMostOnce)));
    let once = publish(Delivery::AtLeastOnce { packet_id, dup });
    check(V311, 0x32, "0003 'a/b' 1234 'hi'", Packet::Publish(once));
    check(V5, 0x32, "0003 'a/b' 1234 00 'hi'", Packet::Publish(once));
    let again = publish(Delivery::AtLeastOnce { packet_id, dup: true });
    check(V5, 0x3A, "0003 'a/b' 1234 00 'hi'", Packet::Publish(again));
    let exactly = Publish { retain: true, payload: b"", ..publish(Delivery::ExactlyOnce { packet_id, dup: true }) };
    check(V5, 0x3D, "0003 'a/b' 1234 00", Packet::Publish(exactly));
}

#[test]
fn publish_with_properties() {
    let list = properties(&[
        Property::PayloadFormatIndicator(false),
        Property::TopicAlias(7),
        Property::SubscriptionIdentifier(1),
        Property::SubscriptionIdentifier(268_435_455),
    ]);
    let message = Publish { topic: "", properties: list.view(), ..publish(Delivery::AtMostOnce) };
    check(V5, 0x30, "0000 0c 0100 230007 0b01 0bffffff7f 'hi'", Packet::Publish(message));
    assert_eq!(message.properties.subscription_identifiers().collect::<Vec<_>>(), [1, 268_435_455]);
}

#[test]
fn acknowledgements_in_their_three_lengths() {
    let plain = Ack::new(id(1), ReasonCode::SUCCESS);
    for version in [V311, V5] {
        check(version, 0x40, "0001", Packet::Puback(plain));
        check(version, 0x50, "0001", Packet::Pubrec(plain));
        check(version, 0x62, "0001", Packet::Pubrel(plain));
        check(version, 0x70, "0001", Packet::Pubcomp(plain));
    }
    check(V5, 0x40, "0001 87", Packet::Puback(Ack::new(id(1), ReasonCode::NOT_AUTHORIZED)));
    check(V5, 0x62, "0001 92", Packet::Pubrel(Ack::new(id(1), ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)));
    let said = properties(&[Property::ReasonString("no")]);
    let ack = Ack { packet_id: id(1), reason: ReasonCode::QUOTA_EXCEEDED, properties: said.view() };
    check(V5, 0x40, "0001 97 05 1f0002 'no'", Packet::Puback(ack));
    // Success may be spelt out, with and without an empty property length.
    for body in ["0001 00", "0001 00 00"] {
        let raw = packet(0x40, body);
        assert_eq!(decode(&raw, V5, PACKET_SIZE_MAX), Ok(Some((Packet::Puback(plain), raw.len()))));
    }
}

#[test]
fn subscribe_and_its_answer() {
    let mut filters = SubscribeFiltersBuf::default();
    let options = SubscriptionOptions {
        qos: QoS::AtLeastOnce,
        no_local: true,
        retain_as_published: true,
        retain_handling: RetainHandling::DoNotSend,
    };
    filters.push(TopicFilter::parse("a/+").unwrap(), options);
    let listed = properties(&[Property::SubscriptionIdentifier(9)]);
    let subscribe = Subscribe { packet_id: id(10), properties: listed.view(), filters: filters.view() };
    check(V5, 0x82, "000a 02 0b09 0003 'a/+' 2d", Packet::Subscribe(subscribe));

    let mut filters = SubscribeFiltersBuf::default();
    filters.push(TopicFilter::parse("a").unwrap(), SubscriptionOptions::at(QoS::AtMostOnce));
    filters.push(TopicFilter::parse("#").unwrap(), SubscriptionOptions::at(QoS::ExactlyOnce));
    let subscribe = Subscribe { packet_id: id(10), properties: Properties::EMPTY, filters: filters.view() };
    check(V311, 0x82, "000a 0001 'a' 00 0001 '#' 02", Packet::Subscribe(subscribe));

    for (version, body, codes) in
        [(V311, "000a 00 01 02 80", vec![0, 1, 2, 0x80]), (V5, "000a 00 01 8f 97", vec![1, 0x8F, 0x97])]
    {
        let raw = packet(0x90, body);
        let Ok(Some((Packet::Suback(suback), _))) = decode(&raw, version, PACKET_SIZE_MAX) else {
            unreachable!("a valid SUBACK");
        };
        assert_eq!(suback.codes.iter().map(ReasonCode::get).collect::<Vec<_>>(), codes);
        check(version, 0x90, body, Packet::Suback(suback));
    }
}

#[test]
fn unsubscribe_and_its_answer() {
    let mut filters = UnsubscribeFiltersBuf::default();
    filters.push(TopicFilter::parse("a/+").unwrap());
    filters.push(TopicFilter::parse("$share/g/x").unwrap());
    let unsubscribe = Unsubscribe { packet_id: id(10), properties: Properties::EMPTY, filters: filters.view() };
    check(V311, 0xA2, "000a 0003 'a/+' 000a '$share/g/x'", Packet::Unsubscribe(unsubscribe));
    check(V5, 0xA2, "000a 00 0003 'a/+' 000a '$share/g/x'", Packet::Unsubscribe(unsubscribe));
    for (version, body) in [(V311, "000a"), (V5, "000a 00 00 11")] {
        let raw = packet(0xB0, body);
        let Ok(Some((unsuback, _))) = decode(&raw, version, PACKET_SIZE_MAX) else {
            unreachable!("a valid UNSUBACK");
        };
        check(version, 0xB0, body, unsuback);
    }
}

#[test]
fn the_short_packets() {
    for version in [V311, V5] {
        check(version, 0xC0, "", Packet::Pingreq);
        check(version, 0xD0, "", Packet::Pingresp);
        check(version, 0xE0, "", Packet::Disconnect(Disconnect::new(ReasonCode::SUCCESS)));
    }
    check(V5, 0xE0, "04", Packet::Disconnect(Disconnect::new(ReasonCode::DISCONNECT_WITH_WILL)));
    let expiry = properties(&[Property::SessionExpiryInterval(5)]);
    let disconnect = Disconnect { reason: ReasonCode::SUCCESS, properties: expiry.view() };
    check(V5, 0xE0, "00 05 1100000005", Packet::Disconnect(disconnect));
    let method = properties(&[Property::AuthenticationMethod("m")]);
    let auth = Auth { reason: ReasonCode::RE_AUTHENTICATE, properties: method.view() };
    check(V5, 0xF0, "19 04 150001 'm'", Packet::Auth(auth));
    check(V5, 0xF0, "", Packet::Auth(Auth { reason: ReasonCode::SUCCESS, properties: Properties::EMPTY }));
    let mut out = Vec::new();
    assert_eq!(encode(&Packet::Auth(auth), V311, &mut out), Err(EncodeError::NotInThisVersion));
}

/// [MQTT5-1.5.4-3] [MQTT311-1.5.3-3]
#[test]
fn a_byte_order_mark_is_kept_and_user_properties_may_hold_control_characters() {
    let raw = packet(0x30, "0004 efbbbf 't' 09 26 0001 0a 0003 efbfbf");
    let Ok(Some((Packet::Publish(message), _))) = decode(&raw, V5, PACKET_SIZE_MAX) else {
        unreachable!("a valid PUBLISH");
    };
    assert_eq!(message.topic, "\u{feff}t");
    assert_eq!(message.properties.user_property("\n"), Some("\u{ffff}"));
}

/// [MQTT5-3.3.2-6] [MQTT5-3.3.2-17] [MQTT5-3.3.4-3]
#[test]
fn a_forwarded_message_keeps_its_properties_in_order_but_for_expiry_and_identifiers() {
    let own = properties(&[
        Property::ContentType("t"),
        Property::MessageExpiryInterval(60),
        Property::UserProperty("b", "1"),
        Property::UserProperty("a", "2"),
    ]);
    let forwarded = ForwardedProperties { base: own.view(), message_expiry_s: Some(7), subscription_ids: &[3, 200] };
    let expected = packet(
        0x32,
        "0003 'a/b' 0001 1c 030001 't' 260001 'b' 0001 '1' 260001 'a' 0001 '2' 0200000007 0b03 0bc801 'hi'",
    );
    let mut out = Vec::new();
    let mut connection = crate::connection::opened(V5);
    let delivery = Delivery::AtLeastOnce { packet_id: id(1), dup: false };
    let sent = connection.publish(&publish(delivery), &forwarded, &mut out);
    assert_eq!((sent, &out), (mqtt::server::Sent::Written, &expected));
    assert_eq!(Properties::parse_publish(own.view().as_bytes()), Ok(own.view()));
}

#[test]
fn what_does_not_fit_its_field_is_not_written() {
    let long = "x".repeat(65_536);
    let mut out = Vec::new();
    let connect = Connect { client_id: &long, ..connect(V5) };
    assert_eq!(encode(&Packet::Connect(connect), V5, &mut out), Err(EncodeError::FieldTooLong));
    let message = Publish { topic: &long, ..publish(Delivery::AtMostOnce) };
    assert_eq!(encode(&Packet::Publish(message), V5, &mut out), Err(EncodeError::FieldTooLong));
    assert!(out.is_empty());
    let mut list = PropertiesBuf::new();
    assert_eq!(list.push(Property::ReasonString(&long)), Err(EncodeError::FieldTooLong));
    assert_eq!(list.push(Property::ReceiveMaximum(0)), Err(EncodeError::InvalidValue));
    assert_eq!(list.push(Property::ReasonString("a\0b")), Err(EncodeError::InvalidValue));
    assert_eq!(list.push(Property::SubscriptionIdentifier(268_435_456)), Err(EncodeError::InvalidValue));
    assert!(list.view().is_empty());
}
