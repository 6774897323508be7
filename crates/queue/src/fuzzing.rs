//! The body of the fuzz target `queue_records`: any bytes as the queue's records.
//!
//! Only with the feature `fuzzing`. `fuzz/` calls it; the test below plays its corpus.

use commitlog::{Position, ReplayedRecord};

use crate::records::{
    Place, decode_acks, decode_cursor, decode_entry, decode_group, decode_hand_outs, decode_id_seen,
    decode_index_entry, decode_message, decode_name, decode_topic_id, decode_typed_group, decode_typed_topic,
    encode_entry, encode_group, encode_hand_outs, encode_id_seen, encode_message, encode_topic, kind, owns,
};
use crate::{Engine, EngineOptions, TopicType};

/// The bytes are records: kind, owner, payload length (u16, big-endian), payload. Encoding what was decoded of one
/// gives the same bytes, and a recovery applies or refuses them, whatever their order.
pub fn records(bytes: &[u8]) {
    let mut recovery = Engine::recover(EngineOptions::default());
    let (mut position, mut rest) = (Position(64), bytes);
    while let [kind, owner, high, low, after @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (payload, after) = after.split_at(len);
        check(*kind, payload);
        let record =
            ReplayedRecord { kind: *kind, owner: u64::from(*owner) * 64, position, is_carried: false, payload };
        let applied = recovery.apply(record);
        assert!(applied.is_ok() || owns(*kind), "what belongs to others is ignored");
        // So that small numbers as owner name the first records.
        (position, rest) = (Position(position.0 + 64), after);
    }
}

/// Encoding is the inverse of decoding.
fn check(kind: u8, payload: &[u8]) {
    let written = match kind {
        kind::TOPIC => decode_name(payload).map(|name| name.as_bytes().to_vec()),
        kind::TYPED_TOPIC => decode_typed_topic(payload).map(|(topic_type, name)| encode_topic(name, topic_type).1),
        kind::ID_SEEN | kind::ID_SEEN_OF_SENDER => {
            decode_id_seen(kind, payload).map(|(message, stored, id)| encode_id_seen(message, stored, &id).1)
        }
        kind::ENTRY => decode_entry(payload).map(|(message, entry)| encode_entry(message, &entry)),
        kind::GROUP => decode_group(payload).map(|(options, name)| encode_group(options, name).1),
        kind::TYPED_GROUP => decode_typed_group(payload).map(|(options, name)| encode_group(options, name).1),
        kind::SUBSCRIPTION => decode_topic_id(payload).map(|id| id.0.to_le_bytes().to_vec()),
        kind::MESSAGE | kind::MESSAGE_WITH_MORE | kind::MESSAGE_OF_SENDER => return check_message(kind, payload),
        kind::HAND_OUT => decode_hand_outs(payload).map(|list| encode_hand_outs(list.into_iter())),
        kind::ACK => decode_acks(payload).map(|list| list.into_iter().flat_map(Position::to_bytes).collect()),
        kind::CURSOR => decode_cursor(payload).map(|cursor| cursor.to_bytes().to_vec()),
        _ => return,
    };
    // A topic id is eight bytes, whatever follows.
    assert!(written.is_err() || written.is_ok_and(|written| payload.starts_with(&written)), "{kind:#x}");
}

fn check_message(kind: u8, payload: &[u8]) {
    let entry = decode_index_entry(kind, payload);
    let Ok(message) = decode_message(kind, payload.to_vec()) else { return };
    let (entry, place) = entry.expect("the entry is the beginning of the message");
    assert_eq!((entry.tag.as_deref(), entry.bytes()), (message.tag.as_deref(), payload.len()));
    if message.topic_type() != TopicType::Normal && place == Place::Own || kind == kind::MESSAGE {
        let mut written = encode_message(&message, entry.stored, place).head;
        written.extend_from_slice(&message.body);
        assert_eq!(written, payload);
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_records_keep_their_word_on_their_corpus() {
        replay::corpus("queue_records", 500, records);
    }
}
