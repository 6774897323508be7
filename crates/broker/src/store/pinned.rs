//! Bytes of the broker's records that are on somebody's disk: they are written so, and read, for ever. A kind that says
//! something else is a new kind.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use commitlog::Position;
use mqtt::{PacketId, QoS};

use super::record::{
    self, CollapsedRecord, ConnectionRecord, RECORD_KINDS, Record, Reference, SessionRecord, SubscribedOptions, decode,
    decode_message, kind,
};
use crate::message::{Collapse, Message};

fn packet(id: u16) -> PacketId {
    PacketId::new(id).unwrap()
}

fn message() -> Message {
    Message {
        topic: "a/b".into(),
        properties: [0x03, 0, 1, b'x'].into(),
        payload: b"hello".as_slice().into(),
        qos: QoS::AtLeastOnce,
        arrived_ms: 0x0a00,
        expires_at_ms: 0x0b00,
        collapse: Some(Collapse { key: "k".into(), version: 2 }),
    }
}

fn reference() -> Reference<'static> {
    Reference {
        client_id: "c",
        message: Position(0x0140),
        packet_id: Some(packet(9)),
        urgent: true,
        retain_as_published: true,
        size: 12,
        expires_at_ms: 0x0b00,
        collapse: Some(("k", 2)),
        subscription_ids: vec![7, 8],
    }
}

#[test]
fn kinds_keep_their_numbers() {
    assert_eq!(RECORD_KINDS, 0x40..=0x7f);
    let kinds = [
        kind::MESSAGE,
        kind::REFERENCE,
        kind::REMOVED,
        kind::HANDED_OUT,
        kind::SESSION,
        kind::SESSION_GONE,
        kind::SUBSCRIBED,
        kind::UNSUBSCRIBED,
        kind::OPENED,
        kind::CLOSED,
        kind::EVENT_SENT,
        kind::QUEUE_ID_SEEN,
        kind::STOPPED,
        kind::STARTED,
        kind::COLLAPSED,
        kind::IN_FLIGHT,
        kind::SESSION_STATE,
        kind::CONNECTION,
        kind::LATEST_TIME,
        kind::SUBSCRIBED_BY_GRANT,
    ];
    assert_eq!(kinds.to_vec(), (0x40..=0x53).collect::<Vec<u8>>());
}

#[test]
fn a_message_keeps_its_bytes() {
    const WHOLE: &[u8] = b"\x00\x0a\0\0\0\0\0\0\x00\x0b\0\0\0\0\0\0\x01\x04\x03\0a/b\x01\0k\x02\0\0\0\0\0\0\0\
        \x04\0\0\0\x03\0\x01xhello";
    const PLAIN: &[u8] = b"\x00\x0a\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\0\0\x03\0a/b\0\0\0\0hello";
    let plain = Message {
        properties: [].into(),
        qos: QoS::AtMostOnce,
        expires_at_ms: crate::message::NEVER_MS,
        collapse: None,
        ..message()
    };
    for (message, bytes) in [(message(), WHOLE), (plain, PLAIN)] {
        assert_eq!([record::encode_message_head(&message), message.payload.to_vec()].concat(), bytes);
        assert_eq!(decode_message(bytes), Ok(message));
    }
}

#[test]
fn a_reference_keeps_its_bytes() {
    const WHOLE: &[u8] = b"\x01\0c\x40\x01\0\0\0\0\0\0\x09\0\x07\x0c\0\0\0\x00\x0b\0\0\0\0\0\0\
        \x01\0k\x02\0\0\0\0\0\0\0\x07\0\0\0\x08\0\0\0";
    const PLAIN: &[u8] = b"\x01\0c\x40\x01\0\0\0\0\0\0\0\0\0\x0c\0\0\0\x00\x0b\0\0\0\0\0\0";
    let plain = Reference {
        packet_id: None,
        urgent: false,
        retain_as_published: false,
        collapse: None,
        subscription_ids: vec![],
        ..reference()
    };
    for (reference, bytes) in [(reference(), WHOLE), (plain, PLAIN)] {
        assert_eq!(reference.encode_whole(), bytes);
        assert_eq!(decode(kind::REFERENCE, bytes), Ok(Record::Reference(reference)));
    }
}

#[test]
fn the_flags_of_a_reference_and_the_options_of_a_subscription_keep_their_bits() {
    let none = Reference { urgent: false, retain_as_published: false, collapse: None, ..reference() };
    let flags = |reference: Reference<'_>| reference.encode_whole()[13];
    assert_eq!(flags(Reference { urgent: true, ..none.clone() }), 0b001);
    assert_eq!(flags(Reference { retain_as_published: true, ..none.clone() }), 0b010);
    assert_eq!(flags(Reference { collapse: Some(("k", 1)), ..none }), 0b100);
    let none = SubscribedOptions {
        qos: QoS::AtMostOnce,
        no_local: false,
        retain_as_published: false,
        by_grant: false,
        subscription_id: None,
    };
    let bits = |options| record::encode_subscribed("c", "a", options)[6];
    assert_eq!(bits(SubscribedOptions { qos: QoS::AtLeastOnce, ..none }), 0b00001);
    assert_eq!(bits(SubscribedOptions { no_local: true, ..none }), 0b00100);
    assert_eq!(bits(SubscribedOptions { retain_as_published: true, ..none }), 0b01000);
}

#[test]
fn every_other_record_keeps_its_bytes() {
    let session = SessionRecord { client_id: "c", account: "user:a", expiry_s: 60 };
    let options = SubscribedOptions {
        qos: QoS::AtLeastOnce,
        no_local: false,
        retain_as_published: true,
        by_grant: false,
        subscription_id: Some(5),
    };
    let at = [Position(0x0140), Position(0x0180)];
    let handed_out = vec![(at[0], packet(1)), (at[1], packet(0x0102))];
    let table: [(u8, Vec<u8>, &[u8], Record<'_>); 12] = [
        (
            kind::REMOVED,
            record::encode_removed("c", &at),
            b"\x01\0c\x40\x01\0\0\0\0\0\0\x80\x01\0\0\0\0\0\0",
            Record::Removed { client_id: "c", messages: at.to_vec() },
        ),
        (
            kind::HANDED_OUT,
            record::encode_handed_out("c", &handed_out),
            b"\x01\0c\x40\x01\0\0\0\0\0\0\x01\0\x80\x01\0\0\0\0\0\0\x02\x01",
            Record::HandedOut { client_id: "c", packets: handed_out },
        ),
        (kind::SESSION, record::encode_session(session), b"\x01\0c\x06\0user:a\x3c\0\0\0", Record::Session(session)),
        (kind::SESSION_GONE, record::encode_session_gone("c"), b"\x01\0c", Record::SessionGone { client_id: "c" }),
        (
            kind::SUBSCRIBED,
            record::encode_subscribed("c", "a/#", options),
            b"\x01\0c\x03\0a/#\x09\x05\0\0\0",
            Record::Subscribed { client_id: "c", filter: "a/#", options },
        ),
        (
            kind::UNSUBSCRIBED,
            record::encode_unsubscribed("c", "a/#"),
            b"\x01\0c\x03\0a/#",
            Record::Unsubscribed { client_id: "c", filter: "a/#" },
        ),
        (
            kind::OPENED,
            record::encode_opened("c", "ab12", 5, "127.0.0.1:1"),
            b"\x01\0c\x04\0ab12\x05\0\0\0\0\0\0\0\x0b\x00127.0.0.1:1",
            Record::Opened { client_id: "c", connection_id: "ab12", at_ms: 5, address: "127.0.0.1:1" },
        ),
        (
            kind::CLOSED,
            record::encode_closed("c", "ab12", 6),
            b"\x01\0c\x04\0ab12\x06\0\0\0\0\0\0\0",
            Record::Closed { client_id: "c", connection_id: "ab12", at_ms: 6 },
        ),
        (
            kind::EVENT_SENT,
            record::encode_event_sent("ab12"),
            b"\x04\0ab12",
            Record::EventSent { connection_id: "ab12" },
        ),
        (
            kind::QUEUE_ID_SEEN,
            record::encode_queue_id_seen("c", 7, "id-1"),
            b"\x01\0c\x07\0\0\0\0\0\0\0\x04\0id-1",
            Record::QueueIdSeen { client_id: "c", until_ms: 7, id: "id-1" },
        ),
        (kind::STOPPED, record::encode_stopped(8), b"\x08\0\0\0\0\0\0\0", Record::Stopped { at_ms: 8 }),
        (kind::STARTED, record::encode_started(9), b"\x09\0\0\0\0\0\0\0", Record::Started { at_ms: 9 }),
    ];
    for (kind, written, bytes, record) in table {
        assert_eq!(written, bytes, "{kind:#x}");
        assert_eq!(decode(kind, bytes), Ok(record), "{kind:#x}");
    }
}

#[test]
fn every_record_of_a_state_keeps_its_bytes() {
    let session = SessionRecord { client_id: "c", account: "user:a", expiry_s: 60 };
    let collapsed = CollapsedRecord { client_id: "c", entry: Position(0x0140), version: 2, until_ms: 7, key: "k" };
    let open = ConnectionRecord { client_id: "c", connection_id: "ab12", address: "127.0.0.1:1", closed_ms: None };
    let closed = ConnectionRecord { closed_ms: Some(6), ..open };
    let in_flight = vec![(Position(0x0180), packet(0x0102)), (Position(0x0140), packet(1))];
    let table: [(u8, Vec<u8>, &[u8], Record<'_>); 8] = [
        (
            kind::COLLAPSED,
            record::encode_collapsed(collapsed),
            b"\x01\0c\x40\x01\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x07\0\0\0\0\0\0\0\x01\0k",
            Record::Collapsed(collapsed),
        ),
        (
            kind::IN_FLIGHT,
            record::encode_in_flight("c", packet(0x0103), &in_flight),
            b"\x01\0c\x03\x01\x80\x01\0\0\0\0\0\0\x02\x01\x40\x01\0\0\0\0\0\0\x01\0",
            Record::InFlight { client_id: "c", last: packet(0x0103), packets: in_flight },
        ),
        (
            kind::IN_FLIGHT,
            record::encode_in_flight("c", PacketId::MAX, &[]),
            b"\x01\0c\xff\xff",
            Record::InFlight { client_id: "c", last: PacketId::MAX, packets: vec![] },
        ),
        (
            kind::SESSION_STATE,
            record::encode_session_state(session, Some(5)),
            b"\x01\0c\x06\0user:a\x3c\0\0\0\x05\0\0\0\0\0\0\0",
            Record::SessionState { session, disconnected_ms: Some(5) },
        ),
        (
            kind::SESSION_STATE,
            record::encode_session_state(session, None),
            b"\x01\0c\x06\0user:a\x3c\0\0\0\0\0\0\0\0\0\0\0",
            Record::SessionState { session, disconnected_ms: None },
        ),
        (
            kind::CONNECTION,
            record::encode_connection(open),
            b"\x01\0c\x04\0ab12\x0b\x00127.0.0.1:1\0\0\0\0\0\0\0\0",
            Record::Connection(open),
        ),
        (
            kind::CONNECTION,
            record::encode_connection(closed),
            b"\x01\0c\x04\0ab12\x0b\x00127.0.0.1:1\x06\0\0\0\0\0\0\0",
            Record::Connection(closed),
        ),
        (kind::LATEST_TIME, record::encode_latest_time(9), b"\x09\0\0\0\0\0\0\0", Record::LatestTime { at_ms: 9 }),
    ];
    for (kind, written, bytes, record) in table {
        assert_eq!(written, bytes, "{kind:#x}");
        assert_eq!(decode(kind, bytes), Ok(record), "{kind:#x}");
    }
}

#[test]
fn a_record_that_a_newer_program_made_longer_is_refused() {
    for (kind, bytes) in [
        (kind::SESSION, &b"\x01\0c\x06\0user:a\x3c\0\0\0\x01"[..]),
        (kind::OPENED, b"\x01\0c\x04\0ab12\x05\0\0\0\0\0\0\0\x01\x00a\x01"),
        (kind::STARTED, b"\x09\0\0\0\0\0\0\0\0"),
        // What follows a reference are subscription ids of four bytes each.
        (kind::REFERENCE, b"\x01\0c\x40\x01\0\0\0\0\0\0\0\0\0\x0c\0\0\0\x00\x0b\0\0\0\0\0\0\x01"),
    ] {
        assert!(decode(kind, bytes).is_err(), "{kind:#x}");
    }
}
