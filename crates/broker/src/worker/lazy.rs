//! What is logged at the end of a turn because losing it costs a repetition and never a message.

use std::collections::BTreeMap;

use commitlog::{AppendError, Need, Position};
use mqtt::PacketId;

use super::Worker;
use crate::client::ClientKey;
use crate::inbox::Gone;
use crate::store::journal::Batch;

/// Acknowledgements and hand-outs of clients, ends of connections.
#[derive(Default)]
pub(super) struct Lazy {
    clients: BTreeMap<ClientKey, Changes>,
    closed: Vec<(ClientKey, Box<str>, u64)>,
    events_sent: Vec<Box<str>>,
}

#[derive(Default)]
struct Changes {
    handed_out: Vec<(Position, PacketId)>,
    removed: Vec<Position>,
}

impl Lazy {
    pub(super) fn is_empty(&self) -> bool {
        self.clients.is_empty() && self.closed.is_empty() && self.events_sent.is_empty()
    }

    pub(super) fn handed_out(&mut self, client: &ClientKey, message: Position, packet_id: PacketId) {
        self.changes(client).handed_out.push((message, packet_id));
    }

    pub(super) fn removed(&mut self, client: &ClientKey, message: Position) {
        self.changes(client).removed.push(message);
    }

    fn changes(&mut self, client: &ClientKey) -> &mut Changes {
        if !self.clients.contains_key(client) {
            self.clients.insert(client.clone(), Changes::default());
        }
        self.clients.get_mut(client).expect("it was inserted above")
    }

    pub(super) fn closed(&mut self, client: ClientKey, channel_id: Box<str>, at_ms: u64) {
        self.closed.push((client, channel_id, at_ms));
    }

    pub(super) fn event_sent(&mut self, channel_id: Box<str>) {
        self.events_sent.push(channel_id);
    }

    fn to_batch(&self) -> Batch {
        let mut batch = Batch::default();
        for (client, changes) in &self.clients {
            batch.handed_out(client.as_str(), &changes.handed_out);
            batch.removed(client.as_str(), &changes.removed);
        }
        for (client, channel_id, at_ms) in &self.closed {
            batch.closed(client.as_str(), channel_id, *at_ms);
        }
        self.events_sent.iter().for_each(|channel_id| batch.event_sent(channel_id));
        batch
    }
}

impl Worker {
    /// An entry is done: it is counted out, and the log will hear of it.
    pub(super) fn forget(&mut self, client: &ClientKey, gone: Gone) {
        self.shared.counts.inbox_messages.less(1);
        self.shared.counts.inbox_bytes.less(u64::from(gone.size));
        if let Some(position) = gone.id.position() {
            self.lazy.removed(client, position);
        }
    }

    pub(super) fn flush_lazy(&mut self) {
        if self.lazy.is_empty() {
            return;
        }
        match self.shared.journal.append_independent(&self.lazy.to_batch(), Need::Essential) {
            Ok(()) => self.lazy = Lazy::default(),
            // The next turn tries again: what was logged already means the same twice, and what comes meanwhile is
            // bounded by what may be in flight.
            Err(AppendError::Busy | AppendError::Full) => {}
            Err(error) => {
                tracing::debug!(%error, "acknowledgements of clients were not logged; they will be repeated");
                self.lazy = Lazy::default();
            }
        }
    }

    /// Logs what nobody waits for, but what must not be lost without a word.
    pub(super) fn append_essential(&self, batch: &Batch) {
        if let Err(error) = self.shared.journal.append(batch, Need::Essential) {
            self.shared.counts.refused_by_log.one();
            tracing::warn!(%error, "the end of a session was not logged; it comes back at the next start");
        }
    }
}
