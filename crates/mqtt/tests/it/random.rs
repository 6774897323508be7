//! Random input: nothing panics, encoding and decoding are inverse, and it does not matter how bytes are split.

use mqtt::Version::{self, V5, V311};
use mqtt::codec::{
    Connect, PACKET_SIZE_MAX, Packet, PropertiesBuf, Property, Publish, Subscribe, SubscribeFiltersBuf, Will, decode,
    encode, fuzz,
};
use mqtt::server::ConnectionConfig;
use mqtt::topic::TopicFilter;
use mqtt::{Delivery, PacketId, QoS, RetainHandling, SubscriptionOptions};
use proptest::prelude::*;

use crate::bytes::{frame, packet};
use crate::connection::{CONNECT_3, CONNECT_5, Peer};

fn version() -> impl Strategy<Value = Version> {
    prop_oneof![Just(V311), Just(V5)]
}

fn text() -> impl Strategy<Value = String> {
    "[a-z0-9 £日/]{0,12}"
}

fn topic() -> impl Strategy<Value = String> {
    "[a-z0-9£日/$]{1,12}"
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..200)
}

fn qos() -> impl Strategy<Value = QoS> {
    prop_oneof![Just(QoS::AtMostOnce), Just(QoS::AtLeastOnce), Just(QoS::ExactlyOnce)]
}

fn packet_id() -> impl Strategy<Value = PacketId> {
    (1u16..).prop_map(|id| PacketId::new(id).unwrap())
}

fn delivery() -> impl Strategy<Value = Delivery> {
    (qos(), packet_id(), any::<bool>()).prop_map(|(qos, packet_id, dup)| match qos {
        QoS::AtMostOnce => Delivery::AtMostOnce,
        QoS::AtLeastOnce => Delivery::AtLeastOnce { packet_id, dup },
        QoS::ExactlyOnce => Delivery::ExactlyOnce { packet_id, dup },
    })
}

fn publish_properties() -> impl Strategy<Value = PropertiesBuf> {
    let users = prop::collection::vec((text(), text()), 0..4);
    let ids = prop::collection::vec(1u32..268_435_456, 0..3);
    (prop::option::of(any::<u32>()), prop::option::of(text()), prop::option::of(payload()), ids, users).prop_map(
        |(expiry, content_type, correlation, ids, users)| {
            let mut list = PropertiesBuf::new();
            users.iter().for_each(|(name, value)| list.push(Property::UserProperty(name, value)).unwrap());
            expiry.into_iter().for_each(|s| list.push(Property::MessageExpiryInterval(s)).unwrap());
            ids.into_iter().for_each(|id| list.push(Property::SubscriptionIdentifier(id)).unwrap());
            content_type.iter().for_each(|text| list.push(Property::ContentType(text)).unwrap());
            correlation.iter().for_each(|data| list.push(Property::CorrelationData(data)).unwrap());
            list
        },
    )
}

fn options() -> impl Strategy<Value = SubscriptionOptions> {
    (qos(), any::<bool>(), any::<bool>(), 0u8..3).prop_map(|(qos, no_local, retain_as_published, handling)| {
        let retain_handling = RetainHandling::from_bits(handling).unwrap();
        SubscriptionOptions { qos, no_local, retain_as_published, retain_handling }
    })
}

fn assert_round_trip(packet: &Packet<'_>, version: Version) {
    let mut raw = Vec::new();
    encode(packet, version, &mut raw).unwrap();
    crate::oracle::assert_readable(packet, &raw, version);
    assert_eq!(decode(&raw, version, PACKET_SIZE_MAX), Ok(Some((*packet, raw.len()))));
    for cut in 0..raw.len() {
        assert_eq!(decode(&raw[..cut], version, PACKET_SIZE_MAX), Ok(None), "cut at {cut}");
    }
}

proptest! {
    #![proptest_config(crate::seeded())]

    #[test]
    fn a_publish_survives_encoding_and_every_split(
        version in version(), delivery in delivery(), retain: bool, topic in topic(),
        properties in publish_properties(), payload in payload(),
    ) {
        let properties = if version == V5 { properties } else { PropertiesBuf::new() };
        let message = Publish { delivery, retain, topic: &topic, properties: properties.view(), payload: &payload };
        assert_round_trip(&Packet::Publish(message), version);
    }

    #[test]
    fn a_connect_survives_encoding_and_every_split(
        version in version(), clean_start: bool, keep_alive_s: u16, client_id in text(),
        will in prop::option::of((topic(), payload(), qos(), any::<bool>())),
        username in prop::option::of(text()), password in prop::option::of(payload()),
        expiry in prop::option::of(any::<u32>()),
    ) {
        let mut properties = PropertiesBuf::new();
        if let (V5, Some(expiry)) = (version, expiry) {
            properties.push(Property::SessionExpiryInterval(expiry)).unwrap();
        }
        let will = will.as_ref().map(|(topic, payload, qos, retain)| Will {
            topic, payload, qos: *qos, retain: *retain, properties: mqtt::codec::Properties::EMPTY,
        });
        let password = password.as_deref().filter(|_| version == V5 || username.is_some());
        let connect = Connect {
            version, is_3_1: false, clean_start, keep_alive_s, properties: properties.view(),
            client_id: &client_id, will, username: username.as_deref(), password,
        };
        assert_round_trip(&Packet::Connect(connect), version);
    }

    #[test]
    fn a_subscribe_survives_encoding_and_every_split(
        packet_id in packet_id(), wishes in prop::collection::vec((topic(), options()), 1..6),
    ) {
        let mut filters = SubscribeFiltersBuf::default();
        for (topic, options) in &wishes {
            filters.push(TopicFilter::parse(topic).unwrap(), *options);
        }
        let properties = mqtt::codec::Properties::EMPTY;
        let subscribe = Subscribe { packet_id, properties, filters: filters.view() };
        prop_assert!(subscribe.filters.iter().map(|wish| wish.options).eq(wishes.iter().map(|wish| wish.1)));
        assert_round_trip(&Packet::Subscribe(subscribe), V5);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        fuzz(&bytes);
    }

    /// Random bodies behind a right header reach further into the parser.
    #[test]
    fn arbitrary_bodies_never_panic(
        first_byte in prop_oneof![any::<u8>(), prop::sample::select(vec![
            0x10u8, 0x20, 0x30, 0x32, 0x40, 0x62, 0x82, 0x90, 0xA2, 0xB0, 0xE0, 0xF0,
        ])],
        body in prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..60),
    ) {
        fuzz(&frame(first_byte, &body));
    }

    /// A right packet with one byte changed.
    #[test]
    fn a_damaged_packet_never_panics(
        properties in publish_properties(), topic in topic(), at in any::<prop::sample::Index>(), byte: u8,
    ) {
        let delivery = Delivery::AtLeastOnce { packet_id: PacketId::MIN, dup: false };
        let payload: &[u8] = b"payload";
        let message = Publish { delivery, retain: false, topic: &topic, properties: properties.view(), payload };
        let mut raw = Vec::new();
        encode(&Packet::Publish(message), V5, &mut raw).unwrap();
        let at = at.index(raw.len());
        raw[at] = byte;
        fuzz(&raw);
    }

    #[test]
    fn a_connection_sees_the_same_requests_however_the_bytes_are_split(
        version in version(), cuts in prop::collection::vec(1usize..40, 0..30),
    ) {
        let stream = session_stream(version);
        let mut whole = Peer::opened(version);
        let expected = whole.feed(&stream);
        let mut split = Peer::opened(version);
        let (mut seen, mut rest) = (Vec::new(), &stream[..]);
        for cut in cuts {
            let (now, later) = rest.split_at(cut.min(rest.len()));
            seen.extend(split.feed(now).unwrap());
            rest = later;
        }
        seen.extend(split.feed(rest).unwrap());
        prop_assert_eq!(Ok(seen), expected);
        prop_assert_eq!(split.out, whole.out);
        prop_assert_eq!(split.connection.held_len(), 0);
    }

    #[test]
    fn a_connection_survives_arbitrary_bytes(
        opened: bool, version in version(), chunks in prop::collection::vec(
            prop::collection::vec(prop_oneof![0u8..4, any::<u8>()], 0..40), 1..8,
        ),
    ) {
        let mut peer = if opened { Peer::opened(version) } else { Peer::new(ConnectionConfig::default()) };
        for chunk in chunks {
            if peer.feed(&chunk).is_err() {
                prop_assert!(peer.connection.is_closed());
            }
            if !peer.connection.is_open() && !peer.connection.is_closed() && !peer.connection.wants_input() {
                peer.accept();
            }
        }
    }
}

/// One of each thing that a client may send, ending with DISCONNECT.
fn session_stream(version: Version) -> Vec<u8> {
    let p = if version == V5 { " 00" } else { "" };
    [
        packet(0x30, &format!("0001 't'{p} 'payload'")),
        packet(0x32, &format!("0001 't' 0001{p}")),
        packet(0x82, &format!("0002{p} 0003 'a/+' 01 0001 'b' 00")),
        packet(0xC0, ""),
        packet(0x3A, &format!("0001 't' 0001{p}")),
        packet(0xA2, &format!("0003{p} 0003 'a/+'")),
        packet(0x40, "0009"),
        packet(0x62, "0005"),
        packet(0xE0, ""),
    ]
    .concat()
}

#[test]
fn a_connection_reads_byte_by_byte() {
    for (version, connect) in [(V311, CONNECT_3), (V5, CONNECT_5)] {
        let mut peer = Peer::new(ConnectionConfig::default());
        let mut requests = 0;
        for byte in packet(0x10, connect) {
            requests += peer.feed(&[byte]).unwrap().len();
        }
        assert_eq!(requests, 1);
        peer.accept();
        let mut whole = Peer::opened(version);
        let expected = whole.feed(&session_stream(version)).unwrap();
        let seen: Vec<_> = session_stream(version).iter().flat_map(|&byte| peer.feed(&[byte]).unwrap()).collect();
        assert_eq!((seen, peer.out), (expected, whole.out));
    }
}
