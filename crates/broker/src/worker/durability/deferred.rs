//! Records that are logged at the end of a turn, because losing them costs a repetition and never a message.

use std::collections::BTreeMap;

use commitlog::{AppendError, Need, Position};
use mqtt::PacketId;

use crate::client::ClientKey;
use crate::store::journal::{Batch, Journal};
use crate::worker::action::Deferred;

/// Acknowledgements and hand-outs of clients, ends of connections.
#[derive(Default)]
pub(super) struct DeferredRecords {
    clients: BTreeMap<ClientKey, Changes>,
    closed: Vec<(ClientKey, Box<str>, u64)>,
    events_sent: Vec<Box<str>>,
}

#[derive(Default)]
struct Changes {
    handed_out: Vec<(Position, PacketId)>,
    removed: Vec<Position>,
}

impl DeferredRecords {
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.closed.is_empty() && self.events_sent.is_empty()
    }

    pub(super) fn add(&mut self, deferred: Deferred) {
        match deferred {
            Deferred::HandedOut { client, message, packet_id } => {
                self.clients.entry(client).or_default().handed_out.push((message, packet_id));
            }
            Deferred::Removed { client, message } => self.clients.entry(client).or_default().removed.push(message),
            Deferred::Closed { client, connection_id, at_ms } => self.closed.push((client, connection_id, at_ms)),
            Deferred::EventSent { connection_id } => self.events_sent.push(connection_id),
        }
    }

    pub(super) fn flush(&mut self, journal: &Journal) {
        if self.is_empty() {
            return;
        }
        match journal.append_independent(&self.to_batch(), Need::Essential) {
            Ok(()) => *self = Self::default(),
            // The next turn tries again: what was logged already means the same twice, and what comes meanwhile is
            // bounded by what may be in flight.
            Err(AppendError::Busy | AppendError::Full) => {}
            Err(error) => {
                tracing::debug!(%error, "acknowledgements of clients were not logged; they will be repeated");
                *self = Self::default();
            }
        }
    }

    fn to_batch(&self) -> Batch {
        let mut batch = Batch::default();
        for (client, changes) in &self.clients {
            batch.handed_out(client.as_str(), &changes.handed_out);
            batch.removed(client.as_str(), &changes.removed);
        }
        for (client, connection_id, at_ms) in &self.closed {
            batch.closed(client.as_str(), connection_id, *at_ms);
        }
        self.events_sent.iter().for_each(|connection_id| batch.event_sent(connection_id));
        batch
    }
}
