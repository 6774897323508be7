//! The queue's records in the log. Pure.
//!
//! All numbers are little-endian. The id of a topic, group or subscription is the position of the record that created
//! it.
//!
//! ```text
//! kind  what          owner            payload
//! 0x20  topic         0                name
//! 0x21  group         0                attempts_max: u32, name
//! 0x22  subscription  group id         topic id: u64
//! 0x23  message       topic id         version: u8 = 1, stored_ms: u64, born_ms: u64, tag, keys, properties, body
//! 0x24  hand-out      subscription id  (message position: u64, attempt: u32) …
//! 0x25  ack           subscription id  message position: u64 …
//! 0x26  cursor        subscription id  position: u64
//! 0x27  indexed       topic id         payload_bytes: u32, stored_ms: u64, tag
//! 0x28  removed       topic id         message position: u64 …
//! ```
//!
//! An indexed message stands in a snapshot for the message of its name, which is where it was.
//! A cursor says that every message below it is consumed or in a hand-out.
//!
//! In a message: `tag` is a count (0 or 1) as u8 and that many texts; `keys` a count as u16 and that many texts;
//! `properties` a count as u16 and twice as many texts; a text has its length as u16 before it; `body` is the rest.

use bytes::Bytes;
use commitlog::Position;

use crate::ids::{TopicId, WallMs};
use crate::message::{GroupOptions, Message};

/// Record kinds of the queue in the log.
pub const RECORD_KINDS: std::ops::RangeInclusive<u8> = 0x20..=0x3f;

/// Whether the log records of this kind belong to the queue.
#[must_use]
pub fn owns(kind: u8) -> bool {
    RECORD_KINDS.contains(&kind)
}

pub(crate) mod kind {
    pub(crate) const TOPIC: u8 = 0x20;
    pub(crate) const GROUP: u8 = 0x21;
    pub(crate) const SUBSCRIPTION: u8 = 0x22;
    pub(crate) const MESSAGE: u8 = 0x23;
    pub(crate) const HAND_OUT: u8 = 0x24;
    pub(crate) const ACK: u8 = 0x25;
    pub(crate) const CURSOR: u8 = 0x26;
    pub(crate) const INDEXED_MESSAGE: u8 = 0x27;
    pub(crate) const REMOVED: u8 = 0x28;
}

const MESSAGE_VERSION: u8 = 1;

/// Why a payload is not what its kind says.
pub(crate) type Unreadable = &'static str;

pub(crate) fn encode_group(options: GroupOptions, name: &str) -> Vec<u8> {
    let mut out = options.attempts_max.to_le_bytes().to_vec();
    out.extend_from_slice(name.as_bytes());
    out
}

pub(crate) fn decode_group(payload: &[u8]) -> Result<(GroupOptions, &str), Unreadable> {
    let mut rest = payload;
    let attempts_max = u32::from_le_bytes(take(&mut rest)?);
    Ok((GroupOptions { attempts_max }, decode_name(rest)?))
}

pub(crate) fn decode_name(payload: &[u8]) -> Result<&str, Unreadable> {
    std::str::from_utf8(payload).map_err(|_| "a name is not UTF-8")
}

pub(crate) fn decode_topic_id(payload: &[u8]) -> Result<TopicId, Unreadable> {
    let mut rest = payload;
    Ok(TopicId(u64::from_le_bytes(take(&mut rest)?)))
}

pub(crate) fn encode_hand_outs(hand_outs: impl Iterator<Item = (Position, u32)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (position, attempt) in hand_outs {
        out.extend_from_slice(&position.to_bytes());
        out.extend_from_slice(&attempt.to_le_bytes());
    }
    out
}

pub(crate) fn decode_hand_outs(payload: &[u8]) -> Result<Vec<(Position, u32)>, Unreadable> {
    let mut rest = payload;
    let mut hand_outs = Vec::new();
    while !rest.is_empty() {
        hand_outs.push((Position::from_bytes(take(&mut rest)?), u32::from_le_bytes(take(&mut rest)?)));
    }
    Ok(hand_outs)
}

/// Of acknowledgements and of removals.
pub(crate) fn decode_acks(payload: &[u8]) -> Result<Vec<Position>, Unreadable> {
    let mut rest = payload;
    let mut positions = Vec::new();
    while !rest.is_empty() {
        positions.push(Position::from_bytes(take(&mut rest)?));
    }
    Ok(positions)
}

pub(crate) fn decode_cursor(payload: &[u8]) -> Result<Position, Unreadable> {
    let mut rest = payload;
    let cursor = Position::from_bytes(take(&mut rest)?);
    if rest.is_empty() { Ok(cursor) } else { Err("bytes behind its end") }
}

/// Encodes all of a message's record but the body, which follows. The message was validated.
pub(crate) fn encode_message_head(message: &Message, stored: WallMs) -> Vec<u8> {
    let mut out = vec![MESSAGE_VERSION];
    out.extend_from_slice(&stored.0.to_le_bytes());
    out.extend_from_slice(&message.born_ms.to_le_bytes());
    out.push(u8::from(message.tag.is_some()));
    if let Some(tag) = &message.tag {
        put_text(&mut out, tag);
    }
    put_count(&mut out, message.keys.len());
    for key in &message.keys {
        put_text(&mut out, key);
    }
    put_count(&mut out, message.properties.len());
    for (name, value) in &message.properties {
        put_text(&mut out, name);
        put_text(&mut out, value);
    }
    out
}

/// What the index keeps of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) tag: Option<Box<str>>,
    /// Length of the record's payload.
    pub(crate) bytes: usize,
    pub(crate) stored: WallMs,
}

impl IndexEntry {
    pub(crate) fn of(message: &Message, head: &[u8], stored: WallMs) -> Self {
        Self { tag: message.tag.as_deref().map(Into::into), bytes: head.len() + message.body.len(), stored }
    }
}

/// Decodes what the index needs alone: a replay reads millions of messages, and none of their bodies.
pub(crate) fn decode_index_entry(payload: &[u8]) -> Result<IndexEntry, Unreadable> {
    let mut rest = payload;
    let (stored, _) = take_times(&mut rest)?;
    let tag = take_tag(&mut rest)?.map(Into::into);
    Ok(IndexEntry { tag, bytes: payload.len(), stored })
}

/// What a start needs of a message, instead of all of it.
pub(crate) fn encode_indexed_message(entry: &IndexEntry) -> Vec<u8> {
    let mut out = u32::try_from(entry.bytes).unwrap_or(u32::MAX).to_le_bytes().to_vec();
    out.extend_from_slice(&entry.stored.0.to_le_bytes());
    out.push(u8::from(entry.tag.is_some()));
    if let Some(tag) = &entry.tag {
        put_text(&mut out, tag);
    }
    out
}

pub(crate) fn decode_indexed_message(payload: &[u8]) -> Result<IndexEntry, Unreadable> {
    let mut rest = payload;
    let bytes = u32::from_le_bytes(take(&mut rest)?) as usize;
    let stored = WallMs(u64::from_le_bytes(take(&mut rest)?));
    let tag = take_tag(&mut rest)?.map(Into::into);
    if rest.is_empty() { Ok(IndexEntry { tag, bytes, stored }) } else { Err("bytes behind its end") }
}

pub(crate) fn decode_message(payload: Vec<u8>) -> Result<Message, Unreadable> {
    let mut rest = &payload[..];
    let (_, born_ms) = take_times(&mut rest)?;
    let tag = take_tag(&mut rest)?.map(str::to_owned);
    let mut keys = Vec::new();
    for _ in 0..u16::from_le_bytes(take(&mut rest)?) {
        keys.push(take_text(&mut rest)?.to_owned());
    }
    let mut properties = Vec::new();
    for _ in 0..u16::from_le_bytes(take(&mut rest)?) {
        properties.push((take_text(&mut rest)?.to_owned(), take_text(&mut rest)?.to_owned()));
    }
    let head = payload.len() - rest.len();
    let body = Bytes::from(payload).slice(head..);
    Ok(Message { keys, tag, properties, body, born_ms })
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("the limits bound counts and lengths");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn take_times(rest: &mut &[u8]) -> Result<(WallMs, u64), Unreadable> {
    let [version] = take(rest)?;
    if version != MESSAGE_VERSION {
        return Err("a message version that this program does not know");
    }
    Ok((WallMs(u64::from_le_bytes(take(rest)?)), u64::from_le_bytes(take(rest)?)))
}

fn take_tag<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a str>, Unreadable> {
    match take(rest)? {
        [0] => Ok(None),
        [1] => take_text(rest).map(Some),
        _ => Err("a message with several tags"),
    }
}

fn take_text<'a>(rest: &mut &'a [u8]) -> Result<&'a str, Unreadable> {
    let len = usize::from(u16::from_le_bytes(take(rest)?));
    let (text, after) = rest.split_at_checked(len).ok_or(SHORT)?;
    *rest = after;
    std::str::from_utf8(text).map_err(|_| "a text is not UTF-8")
}

fn take<const N: usize>(rest: &mut &[u8]) -> Result<[u8; N], Unreadable> {
    let (bytes, after) = rest.split_first_chunk().ok_or(SHORT)?;
    *rest = after;
    Ok(*bytes)
}

const SHORT: Unreadable = "it ends too early";

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    fn any_message() -> impl Strategy<Value = Message> {
        let texts = || prop::collection::vec(".{0,20}", 0..4);
        let body = prop::collection::vec(any::<u8>(), 0..100);
        (texts(), prop::option::of(".{1,9}"), texts(), body, any::<u64>()).prop_map(
            |(keys, tag, names, body, born_ms)| {
                let properties = names.into_iter().map(|name| (name.clone(), name)).collect();
                Message { keys, tag, properties, body: body.into(), born_ms }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(4), ..ProptestConfig::default() })]

        #[test]
        fn a_message_comes_back_as_it_went_in(message in any_message(), stored in any::<u64>()) {
            let mut payload = encode_message_head(&message, WallMs(stored));
            let entry = IndexEntry::of(&message, &payload, WallMs(stored));
            payload.extend_from_slice(&message.body);
            prop_assert_eq!(decode_indexed_message(&encode_indexed_message(&entry)), Ok(entry.clone()));
            prop_assert_eq!(decode_index_entry(&payload), Ok(entry));
            prop_assert_eq!(decode_message(payload), Ok(message));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (decode_index_entry(&bytes), decode_group(&bytes), decode_hand_outs(&bytes), decode_acks(&bytes));
            let _ = (decode_cursor(&bytes), decode_indexed_message(&bytes), decode_message(bytes));
        }
    }

    #[test]
    fn a_newer_message_version_is_refused() {
        let mut payload = encode_message_head(&Message::default(), WallMs(0));
        payload[0] = 2;
        assert!(decode_message(payload).unwrap_err().contains("version"));
    }
}
