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
//! 0x29  typed topic   0                type: u8 (1 fifo, 2 delay), name
//! 0x2a  message with  topic id         version: u8 = 1, line: u8, stored_ms: u64, born_ms: u64, deliver_at, group,
//!       more                           client id, tag, keys, properties, body
//! 0x2b  entry         topic id         message position: u64, payload_bytes: u32, entered_ms: u64, tag
//! 0x2c  indexed with  topic id         line: u8, due_ms: u64, payload_bytes: u32, stored_ms: u64, group: u32, tag
//!       more
//! 0x2d  id seen       topic id         message position: u64, stored_ms: u64, client id
//! 0x2e  message of    topic id         as 0x2a, with the sender behind the client id
//!       a sender
//! 0x2f  id seen of    topic id         message position: u64, stored_ms: u64, sender, client id
//!       a sender
//! 0x30  typed group   0                type: u8 (1 fifo), attempts_max: u32, name
//! ```
//!
//! An entry is the place in the line of a message that had to wait: from there on hand-outs, acknowledgements and cursors
//! name it by the entry's position. It has all that the index needs, so that the message's record may come later.
//!
//! An id seen says again under which client id a message came, while its topic knows that: in a snapshot, and when the space
//! of what said it before is wanted back.
//!
//! An indexed message stands in a snapshot for the message of its name, which is where it was. Its `group` is a hash.
//! What a kind with a lower number can say is written as that.
//! A cursor says that every message below it is consumed or in a hand-out.
//!
//! In a message: `tag` is a count (0 or 1) as u8 and that many texts; `keys` a count as u16 and that many texts;
//! `properties` a count as u16 and twice as many texts; a text has its length as u16 before it; `body` is the rest;
//! `deliver_at` is a count (0 or 1) as u8 and that many u64, milliseconds since 1970; `group` and `client id` are as `tag`; `sender` is a text.
//! `line` is 0 for a message that stands in the line at its own position, and 1 for one that waits for its delivery time.

use std::num::NonZeroU32;

use bytes::Bytes;
use commitlog::Position;

use crate::ids::{TopicId, WallMs};
use crate::message::{GroupOptions, Message, TopicType};

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
    pub(crate) const TYPED_TOPIC: u8 = 0x29;
    pub(crate) const MESSAGE_WITH_MORE: u8 = 0x2a;
    pub(crate) const ENTRY: u8 = 0x2b;
    pub(crate) const INDEXED_WITH_MORE: u8 = 0x2c;
    pub(crate) const ID_SEEN: u8 = 0x2d;
    pub(crate) const MESSAGE_OF_SENDER: u8 = 0x2e;
    pub(crate) const ID_SEEN_OF_SENDER: u8 = 0x2f;
    pub(crate) const TYPED_GROUP: u8 = 0x30;
}

const MESSAGE_VERSION: u8 = 1;
/// Between a sender and its id for a message, in memory: no validated one has it.
const BEHIND_SENDER: char = '\n';

/// Why a payload is not what its kind says.
pub(crate) type Unreadable = &'static str;

/// Kind and payload.
pub(crate) fn encode_topic(name: &str, topic_type: TopicType) -> (u8, Vec<u8>) {
    let number = match topic_type {
        TopicType::Normal => return (kind::TOPIC, name.as_bytes().to_vec()),
        TopicType::Fifo => 1,
        TopicType::Delay => 2,
        TopicType::Transaction => 3,
    };
    (kind::TYPED_TOPIC, [&[number], name.as_bytes()].concat())
}

pub(crate) fn decode_typed_topic(payload: &[u8]) -> Result<(TopicType, &str), Unreadable> {
    let mut rest = payload;
    let topic_type = match take(&mut rest)? {
        [1] => TopicType::Fifo,
        [2] => TopicType::Delay,
        _ => return Err("a type of topic that this program does not know"),
    };
    Ok((topic_type, decode_name(rest)?))
}

/// Kind and payload.
pub(crate) fn encode_group(options: GroupOptions, name: &str) -> (u8, Vec<u8>) {
    let plain = [&options.attempts_max.to_le_bytes(), name.as_bytes()].concat();
    if options.is_fifo { (kind::TYPED_GROUP, [&[1], &plain[..]].concat()) } else { (kind::GROUP, plain) }
}

pub(crate) fn decode_typed_group(payload: &[u8]) -> Result<(GroupOptions, &str), Unreadable> {
    let mut rest = payload;
    let [1] = take(&mut rest)? else { return Err("a type of group that this program does not know") };
    let (options, name) = decode_group(rest)?;
    Ok((GroupOptions { is_fifo: true, ..options }, name))
}

pub(crate) fn decode_group(payload: &[u8]) -> Result<(GroupOptions, &str), Unreadable> {
    let mut rest = payload;
    let attempts_max = u32::from_le_bytes(take(&mut rest)?);
    Ok((GroupOptions { attempts_max, ..GroupOptions::default() }, decode_name(rest)?))
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

/// Where a message stands in the line of its topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// At its own position.
    Own,
    /// Nowhere before this time: its delivery time.
    Due(WallMs),
}

/// What the index keeps of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexEntry {
    pub(crate) tag: Option<Box<str>>,
    /// Of one that waits for its time: that time.
    pub(crate) stored: WallMs,
    /// Length of the record's payload.
    bytes: u32,
    /// Of its message group.
    pub(crate) group: Option<GroupKey>,
}

impl IndexEntry {
    pub(crate) fn new(tag: Option<Box<str>>, bytes: usize, stored: WallMs, group: Option<GroupKey>) -> Self {
        Self { tag, stored, bytes: u32::try_from(bytes).unwrap_or(u32::MAX), group }
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes as usize
    }
}

/// A hash of a message group's name, FNV-1a: two groups with one key wait for each other, which does no harm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct GroupKey(NonZeroU32);

impl GroupKey {
    pub(crate) fn of(group: &str) -> Self {
        let step = |hash: u32, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193);
        Self(NonZeroU32::new(group.bytes().fold(0x811c_9dc5, step)).unwrap_or(NonZeroU32::MIN))
    }

    pub(crate) fn to_be_bytes(self) -> [u8; 4] {
        self.0.get().to_be_bytes()
    }
}

/// A message as it is stored: its body follows the head.
#[derive(Debug)]
pub(crate) struct EncodedMessage {
    pub(crate) kind: u8,
    pub(crate) head: Vec<u8>,
    pub(crate) entry: IndexEntry,
}

/// Encodes all of a message's record but the body. The message was validated.
pub(crate) fn encode_message(message: &Message, stored: WallMs, place: Place) -> EncodedMessage {
    let Message { message_group, deliver_at_ms, client_message_id, sender, .. } = message;
    let has_more =
        message_group.is_some() || deliver_at_ms.is_some() || client_message_id.is_some() || sender.is_some();
    let mut head = vec![MESSAGE_VERSION];
    if has_more {
        head.push(u8::from(place != Place::Own));
    }
    head.extend_from_slice(&stored.0.to_le_bytes());
    head.extend_from_slice(&message.born_ms.to_le_bytes());
    if has_more {
        head.push(u8::from(deliver_at_ms.is_some()));
        head.extend(deliver_at_ms.iter().flat_map(|at_ms| at_ms.to_le_bytes()));
        put_optional(&mut head, message_group.as_deref());
        put_optional(&mut head, client_message_id.as_deref());
        sender.iter().for_each(|sender| put_text(&mut head, sender));
    }
    put_optional(&mut head, message.tag.as_deref());
    put_count(&mut head, message.keys.len());
    for key in &message.keys {
        put_text(&mut head, key);
    }
    put_count(&mut head, message.properties.len());
    for (name, value) in &message.properties {
        put_text(&mut head, name);
        put_text(&mut head, value);
    }
    let indexed = if let Place::Due(at) = place { at } else { stored };
    let (tag, group) = (message.tag.as_deref().map(Into::into), message_group.as_deref().map(GroupKey::of));
    let entry = IndexEntry::new(tag, head.len() + message.body.len(), indexed, group);
    let kind = match sender {
        Some(_) => kind::MESSAGE_OF_SENDER,
        None if has_more => kind::MESSAGE_WITH_MORE,
        None => kind::MESSAGE,
    };
    EncodedMessage { kind, head, entry }
}

/// Decodes what the index needs alone: a replay reads millions of messages, and none of their bodies.
pub(crate) fn decode_index_entry(kind: u8, payload: &[u8]) -> Result<(IndexEntry, Place), Unreadable> {
    let mut rest = payload;
    let Beginning { place, stored, message_group, tag, .. } = take_beginning(kind, &mut rest)?;
    let indexed = if let Place::Due(at) = place { at } else { stored };
    let entry = IndexEntry::new(tag.map(Into::into), payload.len(), indexed, message_group.map(GroupKey::of));
    Ok((entry, place))
}

/// `entry` is that of a message without a group, and stored when the message entered.
pub(crate) fn encode_entry(message: Position, entry: &IndexEntry) -> Vec<u8> {
    let mut out = message.to_bytes().to_vec();
    out.extend_from_slice(&entry.bytes.to_le_bytes());
    out.extend_from_slice(&entry.stored.0.to_le_bytes());
    put_optional(&mut out, entry.tag.as_deref());
    out
}

pub(crate) fn decode_entry(payload: &[u8]) -> Result<(Position, IndexEntry), Unreadable> {
    let mut rest = payload;
    let message = Position::from_bytes(take(&mut rest)?);
    let bytes = u32::from_le_bytes(take(&mut rest)?);
    let stored = WallMs(u64::from_le_bytes(take(&mut rest)?));
    let tag = take_optional(&mut rest)?.map(Into::into);
    let entry = IndexEntry { tag, stored, bytes, group: None };
    if rest.is_empty() { Ok((message, entry)) } else { Err("bytes behind its end") }
}

/// Kind and payload. `id` is what the message is known by.
pub(crate) fn encode_id_seen(message: Position, stored: WallMs, id: &str) -> (u8, Vec<u8>) {
    let mut out = message.to_bytes().to_vec();
    out.extend_from_slice(&stored.0.to_le_bytes());
    let (sender, id) = id.split_once(BEHIND_SENDER).map_or((None, id), |(sender, id)| (Some(sender), id));
    sender.iter().for_each(|sender| put_text(&mut out, sender));
    out.extend_from_slice(id.as_bytes());
    (if sender.is_some() { kind::ID_SEEN_OF_SENDER } else { kind::ID_SEEN }, out)
}

pub(crate) fn decode_id_seen(kind: u8, payload: &[u8]) -> Result<(Position, WallMs, String), Unreadable> {
    let mut rest = payload;
    let message = Position::from_bytes(take(&mut rest)?);
    let stored = WallMs(u64::from_le_bytes(take(&mut rest)?));
    let sender = if kind == kind::ID_SEEN_OF_SENDER { Some(take_text(&mut rest)?) } else { None };
    let id = std::str::from_utf8(rest).map_err(|_| "an id is not UTF-8")?;
    if sender.unwrap_or(id).contains(BEHIND_SENDER) {
        return Err("an id or a sender has a line feed");
    }
    Ok((message, stored, id_of(sender, id)))
}

/// What a message is known by for a while, if its sender has named it.
pub(crate) fn known_id(message: &Message) -> Option<String> {
    let id = message.client_message_id.as_deref()?;
    Some(id_of(message.sender.as_deref(), id))
}

fn id_of(sender: Option<&str>, id: &str) -> String {
    sender.map_or_else(|| id.to_owned(), |sender| format!("{sender}{BEHIND_SENDER}{id}"))
}

/// When a message was stored, and what it is known by, if its sender has named it.
pub(crate) fn decode_known_id(kind: u8, payload: &[u8]) -> Result<Option<(WallMs, String)>, Unreadable> {
    let mut rest = payload;
    let Beginning { stored, client_message_id, sender, .. } = take_beginning(kind, &mut rest)?;
    Ok(client_message_id.map(|id| (stored, id_of(sender, id))))
}

/// What a start needs of a message, instead of all of it: kind and payload.
pub(crate) fn encode_indexed_message(entry: &IndexEntry, place: Place) -> (u8, Vec<u8>) {
    let has_more = entry.group.is_some() || place != Place::Own;
    let mut out = Vec::new();
    if has_more {
        out.push(u8::from(place != Place::Own));
        out.extend_from_slice(&(if let Place::Due(at) = place { at.0 } else { 0 }).to_le_bytes());
    }
    out.extend_from_slice(&entry.bytes.to_le_bytes());
    out.extend_from_slice(&entry.stored.0.to_le_bytes());
    if has_more {
        out.extend_from_slice(&entry.group.map_or(0, |group| group.0.get()).to_le_bytes());
    }
    put_optional(&mut out, entry.tag.as_deref());
    (if has_more { kind::INDEXED_WITH_MORE } else { kind::INDEXED_MESSAGE }, out)
}

pub(crate) fn decode_indexed_message(kind: u8, payload: &[u8]) -> Result<(IndexEntry, Place), Unreadable> {
    let has_more = kind == kind::INDEXED_WITH_MORE;
    let mut rest = payload;
    let mut place = Place::Own;
    if has_more {
        let (line, due) = (take(&mut rest)?, WallMs(u64::from_le_bytes(take(&mut rest)?)));
        place = decode_place(line, Some(due))?;
    }
    let bytes = u32::from_le_bytes(take(&mut rest)?);
    let stored = WallMs(u64::from_le_bytes(take(&mut rest)?));
    let group = if has_more { NonZeroU32::new(u32::from_le_bytes(take(&mut rest)?)).map(GroupKey) } else { None };
    let tag = take_optional(&mut rest)?.map(Into::into);
    if rest.is_empty() { Ok((IndexEntry { tag, stored, bytes, group }, place)) } else { Err("bytes behind its end") }
}

fn decode_place(line: [u8; 1], due: Option<WallMs>) -> Result<Place, Unreadable> {
    match (line, due) {
        ([0], _) => Ok(Place::Own),
        ([1], Some(due)) => Ok(Place::Due(due)),
        _ => Err("a place in the line that this program does not know"),
    }
}

pub(crate) fn decode_message(kind: u8, payload: Vec<u8>) -> Result<Message, Unreadable> {
    let mut rest = &payload[..];
    let Beginning { born_ms, deliver_at_ms, message_group, client_message_id, sender, tag, .. } =
        take_beginning(kind, &mut rest)?;
    let [message_group, client_message_id, sender, tag] =
        [message_group, client_message_id, sender, tag].map(|text| text.map(str::to_owned));
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
    Ok(Message { keys, tag, properties, body, born_ms, message_group, deliver_at_ms, client_message_id, sender })
}

/// What a message's record begins with.
struct Beginning<'a> {
    place: Place,
    stored: WallMs,
    born_ms: u64,
    deliver_at_ms: Option<u64>,
    message_group: Option<&'a str>,
    client_message_id: Option<&'a str>,
    sender: Option<&'a str>,
    tag: Option<&'a str>,
}

fn take_beginning<'a>(kind: u8, rest: &mut &'a [u8]) -> Result<Beginning<'a>, Unreadable> {
    let [version] = take(rest)?;
    if version != MESSAGE_VERSION {
        return Err("a message version that this program does not know");
    }
    let has_sender = kind == kind::MESSAGE_OF_SENDER;
    let has_more = has_sender || kind == kind::MESSAGE_WITH_MORE;
    let line = if has_more { take(rest)? } else { [0] };
    let stored = WallMs(u64::from_le_bytes(take(rest)?));
    let born_ms = u64::from_le_bytes(take(rest)?);
    let deliver_at_ms = if has_more { take_time(rest)? } else { None };
    let message_group = if has_more { take_optional(rest)? } else { None };
    let client_message_id = if has_more { take_optional(rest)? } else { None };
    let sender = if has_sender { Some(take_text(rest)?) } else { None };
    let place = decode_place(line, deliver_at_ms.map(WallMs))?;
    let tag = take_optional(rest)?;
    Ok(Beginning { place, stored, born_ms, deliver_at_ms, message_group, client_message_id, sender, tag })
}

fn take_time(rest: &mut &[u8]) -> Result<Option<u64>, Unreadable> {
    match take(rest)? {
        [0] => Ok(None),
        [1] => Ok(Some(u64::from_le_bytes(take(rest)?))),
        _ => Err("a message with several delivery times"),
    }
}

fn put_optional(out: &mut Vec<u8>, text: Option<&str>) {
    out.push(u8::from(text.is_some()));
    if let Some(text) = text {
        put_text(out, text);
    }
}

fn put_count(out: &mut Vec<u8>, count: usize) {
    let count = u16::try_from(count).expect("the limits bound counts and lengths");
    out.extend_from_slice(&count.to_le_bytes());
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_count(out, text.len());
    out.extend_from_slice(text.as_bytes());
}

fn take_optional<'a>(rest: &mut &'a [u8]) -> Result<Option<&'a str>, Unreadable> {
    match take(rest)? {
        [0] => Ok(None),
        [1] => take_text(rest).map(Some),
        _ => Err("a message with several tags, message groups or client ids"),
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
        let name = || prop::option::of(".{1,9}");
        let body = prop::collection::vec(any::<u8>(), 0..100);
        let more = (name(), prop::option::of(any::<u64>()), name(), name());
        (texts(), name(), texts(), body, any::<u64>(), more).prop_map(
            |(keys, tag, names, body, born_ms, (message_group, deliver_at_ms, client_message_id, sender))| {
                let properties = names.into_iter().map(|name| (name.clone(), name)).collect();
                let body = body.into();
                Message {
                    keys,
                    tag,
                    properties,
                    body,
                    born_ms,
                    message_group,
                    deliver_at_ms,
                    client_message_id,
                    sender,
                }
            },
        )
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(4), ..ProptestConfig::default() })]

        #[test]
        fn a_message_comes_back_as_it_went_in(message in any_message(), stored in any::<u64>(), waits in any::<bool>()) {
            let due = message.deliver_at_ms.filter(|_| waits).map(WallMs);
            let place = due.map_or(Place::Own, Place::Due);
            let EncodedMessage { kind, mut head, entry } = encode_message(&message, WallMs(stored), place);
            prop_assert_eq!(entry.stored, due.unwrap_or(WallMs(stored)));
            head.extend_from_slice(&message.body);
            let (indexed_kind, indexed) = encode_indexed_message(&entry, place);
            prop_assert_eq!(decode_indexed_message(indexed_kind, &indexed), Ok((entry.clone(), place)));
            prop_assert_eq!(decode_index_entry(kind, &head), Ok((entry, place)));
            let id = known_id(&message).map(|id| (WallMs(stored), id));
            prop_assert_eq!(decode_known_id(kind, &head), Ok(id));
            prop_assert_eq!(decode_message(kind, head), Ok(message));
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = (decode_group(&bytes), decode_hand_outs(&bytes), decode_acks(&bytes), decode_typed_topic(&bytes));
            let _ = (decode_cursor(&bytes), decode_entry(&bytes));
            for kind in [kind::ID_SEEN, kind::ID_SEEN_OF_SENDER] {
                if let Ok((message, stored, id)) = decode_id_seen(kind, &bytes) {
                    prop_assert_eq!(encode_id_seen(message, stored, &id), (kind, bytes.clone()));
                }
            }
            let _ = (decode_cursor(&bytes), decode_entry(&bytes), decode_typed_group(&bytes));
            for kind in [kind::INDEXED_MESSAGE, kind::INDEXED_WITH_MORE] {
                let _ = decode_indexed_message(kind, &bytes);
            }
            for kind in [kind::MESSAGE, kind::MESSAGE_WITH_MORE, kind::MESSAGE_OF_SENDER] {
                let _ = (decode_index_entry(kind, &bytes), decode_message(kind, bytes.clone()));
            }
        }
    }

    #[test]
    fn a_newer_message_version_is_refused() {
        for message_group in [None, Some("group".to_owned())] {
            let message = Message { message_group, ..Message::default() };
            let EncodedMessage { kind, mut head, .. } = encode_message(&message, WallMs(0), Place::Own);
            head[0] = 2;
            assert!(decode_message(kind, head).unwrap_err().contains("version"));
        }
    }
}
