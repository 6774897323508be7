//! All that a replay infers of one client, said again in records: after them the log needs no older one of this client.
//!
//! Each record replaces what older ones say of the same thing; of what is in flight one record says all, so that order and
//! last packet id are never half said. Therefore any part of a state over the records that it was made from changes
//! nothing, and it may be appended in several units, in its order: nothing of this client comes between them, and the older
//! records stand until the last unit is durable. A session that is gone has no state: its end must be in the log first.

use std::collections::btree_map;

use commitlog::Position;
use mqtt::PacketId;

use super::record::{self, CollapsedRecord, Reference, SessionRecord, SubscribedOptions, kind};
use super::{RecoveredClient, RecoveredEntries, RecoveredEntry, RecoveredSeen, RecoveredSession};
use crate::client::ClientKey;

/// Kinds and payloads, in an order in which they may be replayed without any older record; each is made when it is asked
/// for.
pub(crate) struct StateRecords {
    client: ClientKey,
    session: Option<RecoveredSession>,
    subscriptions: btree_map::IntoIter<Box<str>, SubscribedOptions>,
    seen: btree_map::IntoIter<Box<str>, RecoveredSeen>,
    queue_ids: btree_map::IntoIter<Box<str>, u64>,
    entries: <RecoveredEntries as IntoIterator>::IntoIter,
    /// What is in flight is an entry: it comes after them.
    in_flight: Option<InFlight>,
}

struct InFlight {
    last: PacketId,
    packets: Vec<(Position, PacketId)>,
}

impl StateRecords {
    pub(crate) fn new(client: ClientKey, state: RecoveredClient) -> Self {
        let RecoveredClient { session, subscriptions, entries, handed_out, last_handed_out, seen, queue_ids, .. } =
            state;
        Self {
            client,
            session,
            subscriptions: subscriptions.into_iter(),
            seen: seen.into_iter(),
            queue_ids: queue_ids.into_iter(),
            entries: entries.into_iter(),
            in_flight: Some(InFlight { last: last_handed_out.unwrap_or(PacketId::MAX), packets: handed_out }),
        }
    }
}

impl Iterator for StateRecords {
    type Item = (u8, Vec<u8>);

    fn next(&mut self) -> Option<Self::Item> {
        let client_id = self.client.as_str();
        if let Some(session) = self.session.take() {
            return Some(encode_session(client_id, &session));
        }
        if let Some((filter, options)) = self.subscriptions.next() {
            return Some((kind::SUBSCRIBED, record::encode_subscribed(client_id, &filter, options)));
        }
        if let Some((key, RecoveredSeen { entry, version, until_ms })) = self.seen.next() {
            let collapsed = CollapsedRecord { client_id, entry, version, until_ms, key: &key };
            return Some((kind::COLLAPSED, record::encode_collapsed(collapsed)));
        }
        if let Some((id, until_ms)) = self.queue_ids.next() {
            return Some((kind::QUEUE_ID_SEEN, record::encode_queue_id_seen(client_id, until_ms, &id)));
        }
        if let Some((message, entry)) = self.entries.next() {
            return Some(encode_reference(client_id, message, &entry));
        }
        let InFlight { last, packets } = self.in_flight.take()?;
        Some((kind::IN_FLIGHT, record::encode_in_flight(client_id, last, &packets)))
    }
}

fn encode_session(client_id: &str, session: &RecoveredSession) -> (u8, Vec<u8>) {
    let record = SessionRecord { client_id, account: &session.account, expiry_s: session.expiry_s };
    (kind::SESSION_STATE, record::encode_session_state(record, session.disconnected_ms))
}

fn encode_reference(client_id: &str, message: Position, entry: &RecoveredEntry) -> (u8, Vec<u8>) {
    let reference = Reference {
        client_id,
        message,
        packet_id: None,
        urgent: entry.urgent,
        retain_as_published: false,
        size: entry.size,
        expires_at_ms: entry.expires_at_ms,
        collapse: entry.collapse.as_ref().map(|collapse| (&*collapse.key, collapse.version)),
        subscription_ids: entry.subscription_ids.to_vec(),
    };
    (kind::REFERENCE, reference.encode_whole())
}
