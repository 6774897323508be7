//! The inbox of a client is emptied, because its owner says so.

use accounts::clients::Purged;

use super::Clients;
use super::entry::ClientEntry;
use crate::client::ClientKey;
use crate::worker::action::{Action, Actions, Deferred};

impl Clients {
    /// Drops what waits; what the connection has sent is acknowledged as ever. The log hears of each message that has gone as
    /// of one that the client has acknowledged.
    pub(in crate::worker) fn purge(&mut self, client_id: &ClientKey, actions: &mut Actions) -> Purged {
        let nothing = Purged { purged: 0, in_flight: 0 };
        let Some(client) = self.find(client_id) else { return nothing };
        let Some(entry) = self.entry_mut(client) else { return nothing };
        let gone = entry.inbox.purge();
        let purged = Purged { purged: gone.len() as u64, in_flight: entry.inbox.len() as u64 };
        for gone in gone {
            self.count_out_one(gone);
            if let Some(message) = gone.id.position() {
                actions.push_back(Action::Defer(Deferred::Removed { client: client_id.clone(), message }));
            }
        }
        self.context.counts.purged.add(purged.purged);
        if self.entry(client).is_some_and(ClientEntry::is_empty) {
            self.remove(client);
        } else {
            self.put_in_order(client.slot);
        }
        purged
    }
}
