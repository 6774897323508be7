//! All that a replay infers of one client, said again in records: after them the log needs no older one of this client.
//!
//! Each record replaces what older ones say of the same thing; of what is in flight one record says all, so that order and
//! last packet id are never half said. Therefore any part of a state over the records that it was made from changes
//! nothing, and it may be appended in several units, in its order: nothing of this client comes between them, and the older
//! records stand until the last unit is durable. A session that is gone has no state: its end must be in the log first.

use commitlog::Position;
use mqtt::PacketId;

use super::record::{self, CollapsedRecord, Reference, SessionRecord, kind};
use super::{RecoveredClient, RecoveredEntry, RecoveredSeen};

/// Kinds and payloads, in an order in which they may be replayed without any older record.
pub(crate) fn records_of(client_id: &str, client: &RecoveredClient) -> Vec<(u8, Vec<u8>)> {
    let mut records = Vec::from_iter(session(client_id, client));
    for (filter, options) in &client.subscriptions {
        records.push((kind::SUBSCRIBED, record::encode_subscribed(client_id, filter, *options)));
    }
    for (key, RecoveredSeen { entry, version, until_ms }) in &client.seen {
        let (entry, version, until_ms) = (*entry, *version, *until_ms);
        let collapsed = CollapsedRecord { client_id, entry, version, until_ms, key };
        records.push((kind::COLLAPSED, record::encode_collapsed(collapsed)));
    }
    for (id, until_ms) in &client.queue_ids {
        records.push((kind::QUEUE_ID_SEEN, record::encode_queue_id_seen(client_id, *until_ms, id)));
    }
    records.extend(client.entries.iter().map(|(message, entry)| reference(client_id, *message, entry)));
    // What is in flight is an entry: it comes after them.
    let last = client.last_handed_out.unwrap_or(PacketId::MAX);
    records.push((kind::IN_FLIGHT, record::encode_in_flight(client_id, last, &client.handed_out)));
    records
}

fn session(client_id: &str, client: &RecoveredClient) -> Option<(u8, Vec<u8>)> {
    let session = client.session.as_ref()?;
    let record = SessionRecord { client_id, account: &session.account, expiry_s: session.expiry_s };
    Some((kind::SESSION_STATE, record::encode_session_state(record, session.disconnected_ms)))
}

fn reference(client_id: &str, message: Position, entry: &RecoveredEntry) -> (u8, Vec<u8>) {
    let reference = Reference {
        client_id,
        message,
        packet_id: None,
        urgent: entry.urgent,
        retain_as_published: false,
        size: entry.size,
        expires_at_ms: entry.expires_at_ms,
        collapse: entry.collapse.as_ref().map(|collapse| (&*collapse.key, collapse.version)),
        subscription_ids: entry.subscription_ids.clone(),
    };
    (kind::REFERENCE, reference.encode_whole())
}
