//! Bytes of the queue's records that are on somebody's disk: they are written so, and read, for ever. A kind that says
//! something else is a new kind.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use commitlog::Position;

use crate::ids::WallMs;
use crate::message::{GroupOptions, Message, TopicType};
use crate::records::{
    EncodedMessage, GroupKey, IndexEntry, Place, RECORD_KINDS, decode_acks, decode_cursor, decode_entry, decode_group,
    decode_hand_outs, decode_id_seen, decode_index_entry, decode_indexed_message, decode_known_id, decode_message,
    decode_topic_id, decode_typed_group, decode_typed_topic, encode_entry, encode_group, encode_hand_outs,
    encode_id_seen, encode_indexed_message, encode_message, encode_topic, kind,
};

/// Version 1, stored at 0x0a00, made at 0x0b00, tag `t`, keys `k1` and `k2`, property `n`=`v`, and the body `body`.
const MESSAGE: &[u8] = b"\x01\x00\x0a\0\0\0\0\0\0\x00\x0b\0\0\0\0\0\0\x01\x01\0t\
    \x02\0\x02\0k1\x02\0k2\x01\0\x01\0n\x01\0vbody";
/// The same without tag, keys and properties.
const PLAIN: &[u8] = b"\x01\x00\x0a\0\0\0\0\0\0\x00\x0b\0\0\0\0\0\0\0\0\0\0\0body";

fn message() -> Message {
    let text = str::to_owned;
    Message {
        keys: vec![text("k1"), text("k2")],
        tag: Some(text("t")),
        properties: vec![(text("n"), text("v"))],
        body: b"body".as_slice().into(),
        born_ms: 0x0b00,
        ..Message::default()
    }
}

#[test]
fn kinds_keep_their_numbers() {
    assert_eq!(RECORD_KINDS, 0x20..=0x3f);
    let kinds = [kind::TOPIC, kind::GROUP, kind::SUBSCRIPTION, kind::MESSAGE, kind::HAND_OUT, kind::ACK, kind::CURSOR];
    assert_eq!(kinds, [0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x26]);
    assert_eq!((kind::INDEXED_MESSAGE, kind::REMOVED), (0x27, 0x28));
}

#[test]
fn a_message_keeps_its_bytes() {
    let plain = Message { keys: vec![], tag: None, properties: vec![], ..message() };
    for (message, bytes) in [(message(), MESSAGE), (plain, PLAIN)] {
        let EncodedMessage { kind, head, .. } = encode_message(&message, WallMs(0x0a00), Place::Own);
        assert_eq!([&head[..], b"body"].concat(), bytes);
        assert_eq!(kind, kind::MESSAGE);
        let (entry, _) = decode_index_entry(kind, bytes).unwrap();
        assert_eq!((entry.stored, entry.tag.as_deref()), (WallMs(0x0a00), message.tag.as_deref()));
        assert_eq!(decode_message(kind, bytes.to_vec()), Ok(message));
    }
}

#[test]
fn groups_subscriptions_hand_outs_and_acknowledgements_keep_their_bytes() {
    let options = GroupOptions { attempts_max: 16, ..GroupOptions::default() };
    assert_eq!(encode_group(options, "group"), (kind::GROUP, b"\x10\0\0\0group".to_vec()));
    assert_eq!(decode_group(b"\x10\0\0\0group"), Ok((options, "group")));
    let options = GroupOptions { is_fifo: true, ..options };
    assert_eq!(encode_group(options, "group"), (0x30, b"\x01\x10\0\0\0group".to_vec()));
    assert_eq!(decode_typed_group(b"\x01\x10\0\0\0group"), Ok((options, "group")));
    assert!(decode_typed_group(b"\x02\x10\0\0\0group").is_err());
    assert_eq!(decode_topic_id(b"\x40\x01\0\0\0\0\0\0").unwrap().0, 0x0140);
    let hand_outs = [(Position(0x0140), 1), (Position(0x0180), 2)];
    let bytes = b"\x40\x01\0\0\0\0\0\0\x01\0\0\0\x80\x01\0\0\0\0\0\0\x02\0\0\0";
    assert_eq!(encode_hand_outs(hand_outs.into_iter()), bytes);
    assert_eq!(decode_hand_outs(bytes).unwrap(), hand_outs);
    assert_eq!(decode_acks(b"\x40\x01\0\0\0\0\0\0").unwrap(), [Position(0x0140)]);
    assert_eq!(decode_cursor(b"\x40\x01\0\0\0\0\0\0"), Ok(Position(0x0140)));
    assert!(decode_cursor(b"\x40\x01\0\0\0\0\0\0\0").is_err());
    let entry = IndexEntry::new(Some("t".into()), 0x0102, WallMs(0x0a00), None);
    let bytes = b"\x02\x01\0\0\x00\x0a\0\0\0\0\0\0\x01\x01\0t".to_vec();
    assert_eq!(encode_indexed_message(&entry, Place::Own), (kind::INDEXED_MESSAGE, bytes.clone()));
    assert_eq!(decode_indexed_message(kind::INDEXED_MESSAGE, &bytes), Ok((entry, Place::Own)));
}

/// Version 1, in the line at its own position, stored at 0x0a00, made at 0x0b00, no delivery time, message group `g`, client id `i`; tag and
/// the rest as of [`MESSAGE`].
const GROUPED: &[u8] = b"\x01\x00\x00\x0a\0\0\0\0\0\0\x00\x0b\0\0\0\0\0\0\x00\x01\x01\0g\x01\x01\0i\x01\x01\0t\
    \x02\0\x02\0k1\x02\0k2\x01\0\x01\0n\x01\0vbody";
/// Waits until 0x0c00, and has nothing else but a body.
const DELAYED: &[u8] = b"\x01\x01\x00\x0a\0\0\0\0\0\0\x00\x0b\0\0\0\0\0\0\x01\x00\x0c\0\0\0\0\0\0\0\0\0\0\0\0\0body";

/// Client id `i` of the sender `s`, and nothing else but a body.
const SENT: &[u8] = b"\x01\x00\x00\x0a\0\0\0\0\0\0\x00\x0b\0\0\0\0\0\0\0\0\x01\x01\0i\x01\0s\0\0\0\0\0body";

#[test]
fn typed_topics_and_messages_with_more_keep_their_bytes() {
    assert_eq!((kind::TYPED_TOPIC, kind::MESSAGE_WITH_MORE, kind::INDEXED_WITH_MORE), (0x29, 0x2a, 0x2c));
    for (topic_type, bytes) in [(TopicType::Fifo, b"\x01topic"), (TopicType::Delay, b"\x02topic")] {
        assert_eq!(encode_topic("topic", topic_type), (kind::TYPED_TOPIC, bytes.to_vec()));
        assert_eq!(decode_typed_topic(bytes), Ok((topic_type, "topic")));
    }
    assert_eq!(encode_topic("topic", TopicType::Normal), (kind::TOPIC, b"topic".to_vec()));
    let name = |name: &str| Some(name.to_owned());
    let grouped = Message { message_group: name("g"), client_message_id: name("i"), ..message() };
    let plain = Message { keys: vec![], tag: None, properties: vec![], ..message() };
    let sent = Message { client_message_id: name("i"), sender: name("s"), ..plain.clone() };
    let delayed = Message { deliver_at_ms: Some(0x0c00), ..plain };
    let due = Place::Due(WallMs(0x0c00));
    let cases = [(0x2a, grouped, Place::Own, GROUPED), (0x2e, sent, Place::Own, SENT), (0x2a, delayed, due, DELAYED)];
    for (number, message, place, bytes) in cases {
        let EncodedMessage { kind, head, entry } = encode_message(&message, WallMs(0x0a00), place);
        assert_eq!((kind, [&head[..], b"body"].concat()), (number, bytes.to_vec()));
        assert_eq!(decode_index_entry(kind, bytes), Ok((entry, place)));
        assert_eq!(decode_message(kind, bytes.to_vec()), Ok(message));
    }
}

#[test]
fn indexed_messages_with_more_keep_their_bytes() {
    let grouped = IndexEntry::new(Some("t".into()), 0x0102, WallMs(0x0a00), Some(GroupKey::of("g")));
    let delayed = IndexEntry::new(None, 0x0102, WallMs(0x0c00), None);
    let cases = [
        (grouped, Place::Own, &b"\0\0\0\0\0\0\0\0\0\x02\x01\0\0\x00\x0a\0\0\0\0\0\0\x06\x26\x0c\xe2\x01\x01\0t"[..]),
        (delayed, Place::Due(WallMs(0x0c00)), b"\x01\x00\x0c\0\0\0\0\0\0\x02\x01\0\0\x00\x0c\0\0\0\0\0\0\0\0\0\0\0"),
    ];
    for (entry, place, bytes) in cases {
        assert_eq!(encode_indexed_message(&entry, place), (kind::INDEXED_WITH_MORE, bytes.to_vec()));
        assert_eq!(decode_indexed_message(kind::INDEXED_WITH_MORE, bytes), Ok((entry, place)));
    }
}

#[test]
fn an_entry_keeps_its_bytes() {
    let entry = IndexEntry::new(Some("t".into()), 0x0102, WallMs(0x0a00), None);
    let bytes = b"\x40\x01\0\0\0\0\0\0\x02\x01\0\0\x00\x0a\0\0\0\0\0\0\x01\x01\0t";
    assert_eq!((kind::ENTRY, encode_entry(Position(0x0140), &entry)), (0x2b, bytes.to_vec()));
    assert_eq!(decode_entry(bytes), Ok((Position(0x0140), entry)));
}

#[test]
fn an_id_that_was_seen_keeps_its_bytes() {
    let bytes = b"\x40\x01\0\0\0\0\0\0\x00\x0a\0\0\0\0\0\0i";
    assert_eq!(encode_id_seen(Position(0x0140), WallMs(0x0a00), "i"), (0x2d, bytes.to_vec()));
    assert_eq!(decode_id_seen(0x2d, bytes), Ok((Position(0x0140), WallMs(0x0a00), "i".to_owned())));
    let bytes = b"\x40\x01\0\0\0\0\0\0\x00\x0a\0\0\0\0\0\0\x01\0si";
    assert_eq!(encode_id_seen(Position(0x0140), WallMs(0x0a00), "s\ni"), (0x2f, bytes.to_vec()));
    assert_eq!(decode_id_seen(0x2f, bytes), Ok((Position(0x0140), WallMs(0x0a00), "s\ni".to_owned())));
    assert_eq!(decode_known_id(kind::MESSAGE_WITH_MORE, GROUPED), Ok(Some((WallMs(0x0a00), "i".to_owned()))));
    assert_eq!(decode_known_id(kind::MESSAGE, PLAIN), Ok(None));
    assert_eq!(decode_known_id(0x2e, SENT), Ok(Some((WallMs(0x0a00), "s\ni".to_owned()))));
}
