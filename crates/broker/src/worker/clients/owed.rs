//! What a full or busy log did not take of ends of sessions: it is tried again with each tick, before the next record of the
//! client id, and before an old segment is given back. Else a start would find again what was ended, or, once the segment
//! of its session was given back, a part of it.
//!
//! Each was a client of which the log has something, and which took more memory: so it needs no limit of its own.

use std::collections::BTreeMap;

use crate::client::ClientKey;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Owed {
    /// That session and inbox have ended.
    End,
    /// How long the session lasts.
    Expiry,
}

#[derive(Debug, Default)]
pub(super) struct OwedRecords {
    by_client: BTreeMap<ClientKey, Owed>,
}

impl OwedRecords {
    pub(super) fn add(&mut self, client: &ClientKey, owed: Owed) {
        self.by_client.insert(client.clone(), owed);
    }

    /// The log has it, or whatever stands in its place.
    pub(super) fn settle(&mut self, client: &ClientKey) {
        if !self.by_client.is_empty() {
            self.by_client.remove(client);
        }
    }

    /// The same of an end alone.
    pub(super) fn settle_end(&mut self, client: &ClientKey) {
        if self.find(client) == Some(Owed::End) {
            self.settle(client);
        }
    }

    pub(super) fn find(&self, client: &ClientKey) -> Option<Owed> {
        self.by_client.get(client).copied()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_client.is_empty()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ClientKey, Owed)> {
        self.by_client.iter().map(|(client, owed)| (client.clone(), *owed))
    }
}
