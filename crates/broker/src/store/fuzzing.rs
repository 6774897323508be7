//! The body of the fuzz target: any bytes as the broker's records.

use commitlog::{Position, ReplayedRecord};

use super::record::{self, Record, decode, decode_message};
use super::{RecoveredClient, Recovery, owns};

/// The bytes are records: kind, payload length (u16, big-endian), payload. What is read of each is what would have been
/// written, and whatever their order, a recovery takes them or refuses them, and holds what they can have said.
pub fn records(bytes: &[u8]) {
    let mut recovery = Recovery::new();
    let (mut position, mut rest) = (Position(0), bytes);
    while let [kind, high, low, after @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (payload, after) = after.split_at(len);
        check(*kind, payload);
        let applied = recovery.apply(ReplayedRecord { kind: *kind, owner: 0, position, is_carried: false, payload });
        assert!(applied.is_ok() || owns(*kind), "what belongs to others is ignored");
        (position, rest) = (Position(position.0 + 1), after);
    }
    recovery.clients.values().for_each(|client| check_client(client));
}

fn check_client(client: &RecoveredClient) {
    let mut handed_out: Vec<Position> = client.handed_out.iter().map(|(position, _)| *position).collect();
    assert!(handed_out.iter().all(|position| client.entries.contains(*position)), "only what is there is in flight");
    handed_out.sort_unstable();
    assert!(handed_out.windows(2).all(|pair| pair[0] != pair[1]), "and each of it once");
}

/// What is read says the same when it is written and read again. (A flag that means nothing is not kept.)
fn check(kind: u8, payload: &[u8]) {
    if kind == record::kind::MESSAGE {
        return check_message(payload);
    }
    let Ok(read) = decode(kind, payload) else { return };
    assert_eq!(decode(kind, &encoded(&read)), Ok(read), "{kind:#x}");
}

fn check_message(payload: &[u8]) {
    let Ok(message) = decode_message(payload) else { return };
    assert_eq!(decode(record::kind::MESSAGE, payload), Ok(Record::Message { arrived_ms: message.arrived_ms }));
    let written = [&record::encode_message_head(&message)[..], &message.payload].concat();
    assert_eq!(decode_message(&written), Ok(message));
}

fn encoded(record: &Record<'_>) -> Vec<u8> {
    match record {
        Record::Message { arrived_ms } => arrived_ms.to_le_bytes().to_vec(),
        Record::Reference(reference) => reference.encode_whole(),
        Record::Removed { client_id, messages } => record::encode_removed(client_id, messages),
        Record::HandedOut { client_id, packets } => record::encode_handed_out(client_id, packets),
        Record::Session(session) => record::encode_session(*session),
        Record::SessionGone { client_id } => record::encode_session_gone(client_id),
        Record::Subscribed { client_id, filter, options } => record::encode_subscribed(client_id, filter, *options),
        Record::Unsubscribed { client_id, filter } => record::encode_unsubscribed(client_id, filter),
        Record::Opened { client_id, connection_id, at_ms, address } => {
            record::encode_opened(client_id, connection_id, *at_ms, address)
        }
        Record::Closed { client_id, connection_id, at_ms } => record::encode_closed(client_id, connection_id, *at_ms),
        Record::EventSent { connection_id } => record::encode_event_sent(connection_id),
        Record::QueueIdSeen { client_id, until_ms, id } => record::encode_queue_id_seen(client_id, *until_ms, id),
        Record::Stopped { at_ms } => record::encode_stopped(*at_ms),
        Record::Started { at_ms } => record::encode_started(*at_ms),
        Record::Collapsed(collapsed) => record::encode_collapsed(*collapsed),
        Record::InFlight { client_id, last, packets } => record::encode_in_flight(client_id, *last, packets),
        Record::SessionState { session, disconnected_ms } => record::encode_session_state(*session, *disconnected_ms),
        Record::Connection(connection) => record::encode_connection(*connection),
        Record::LatestTime { at_ms } => record::encode_latest_time(*at_ms),
    }
}
