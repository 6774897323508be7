//! What the log must say of a client, from the client as it is now: the counterpart of [`ClientEntry::recover`].

use std::collections::BTreeMap;

use commitlog::Position;
use mqtt::PacketId;

use super::Clients;
use super::carry::OpenConnection;
use super::entry::{ClientEntry, disconnected_at};
use super::subscriptions::logged;
use crate::inbox::{Entry, Inbox};
use crate::message::Collapse;
use crate::store::journal::Batch;
use crate::store::record::{ConnectionRecord, SubscribedOptions};
use crate::store::{RecoveredClient, RecoveredEntries, RecoveredEntry, RecoveredSeen, RecoveredSession};
use crate::worker::action::ClientRef;

impl Clients {
    /// Adds all that the log needs of a client, so that older records of it may go. Nothing, if the log has nothing of it.
    ///
    /// An entry that is done is not in it, whether or not its end is in the log: the batch is to be appended before
    /// anything else happens to the client, in one unit or, in this order, in several. A part of it is harmless as long as
    /// the older records stand.
    pub(in crate::worker) fn add_state(&self, client: ClientRef, batch: &mut Batch) {
        if let Some(entry) = self.entry(client).filter(|entry| entry.is_logged) {
            batch.client_state(&entry.key(), entry.to_recovered());
        }
    }
}

/// A client's connection, which is open.
pub(super) fn add_connection(batch: &mut Batch, client_id: &str, OpenConnection { id, address }: &OpenConnection) {
    let record = ConnectionRecord { client_id, connection_id: id, address, closed_ms: None };
    batch.connection(record);
}

impl ClientEntry {
    /// What a replay is to find of it. Entries that live in memory only are left out, and their collapse keys; so is a
    /// session that the log does not know, and what was subscribed in it.
    pub(super) fn to_recovered(&self) -> RecoveredClient {
        let (mut entries, handed_out) = logged_entries(&self.inbox);
        let seen = assign_collapse_keys(&self.inbox, &mut entries);
        RecoveredClient {
            oldest: Position::default(),
            session: self.recovered_session(),
            subscriptions: self.recovered_subscriptions(),
            entries,
            handed_out,
            last_handed_out: Some(self.inbox.session.last_packet_id()),
            seen,
            queue_ids: self.queue_ids.iter().map(|(id, until_ms)| (id.into(), until_ms)).collect(),
        }
    }

    /// When a session without an end was disconnected matters to nobody, and is not known.
    fn recovered_session(&self) -> Option<RecoveredSession> {
        let session = self.session().filter(|_| self.is_session_logged)?;
        let (account, expiry_s) = (session.account.into(), session.expiry_s);
        let disconnected_ms = self.ends_at_ms.map(|ends_at_ms| disconnected_at(expiry_s, ends_at_ms));
        Some(RecoveredSession { account, expiry_s, disconnected_ms })
    }

    fn recovered_subscriptions(&self) -> BTreeMap<Box<str>, SubscribedOptions> {
        let known = self.inbox.session.subscriptions().iter().filter(|_| self.is_session_logged);
        known.map(|known| (known.filter.as_str().into(), logged(known.options, known.subscription_id))).collect()
    }
}

type LoggedEntries = (RecoveredEntries, Vec<(Position, PacketId)>);

/// The entries without their collapse keys, and which of them are in flight.
fn logged_entries(inbox: &Inbox) -> LoggedEntries {
    let mut handed_out = Vec::new();
    let logged = inbox.entries().filter_map(|(id, entry, packet_id)| {
        let message = id.position()?;
        handed_out.extend(packet_id.map(|packet_id| (message, packet_id)));
        Some((message, recovered_entry(entry)))
    });
    (logged.collect(), handed_out)
}

fn recovered_entry(entry: Entry) -> RecoveredEntry {
    let Entry { size, expires_at_ms, urgent, subscription_ids, .. } = entry;
    RecoveredEntry { size, expires_at_ms, urgent, collapse: None, subscription_ids }
}

/// Gives each key to its entry. Returns those whose entries are done.
fn assign_collapse_keys(inbox: &Inbox, entries: &mut RecoveredEntries) -> BTreeMap<Box<str>, RecoveredSeen> {
    let mut seen = BTreeMap::new();
    for (id, collapse, until_ms) in inbox.collapse_keys() {
        let Some(entry) = id.position() else { continue };
        if let Some(waiting) = entries.get_mut(entry) {
            waiting.collapse = Some(Box::new(collapse));
        } else {
            let Collapse { key, version } = collapse;
            seen.insert(key, RecoveredSeen { entry, version, until_ms });
        }
    }
    seen
}
