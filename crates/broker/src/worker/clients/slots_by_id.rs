//! Which slot the client of each id has. The ids stand in the entries alone.

use std::hash::{BuildHasher as _, RandomState};

use hashbrown::HashTable;

use super::entry::ClientEntry;
use super::slots::Slots;

#[derive(Default)]
pub(super) struct SlotsById {
    slots: HashTable<u32>,
    hasher: RandomState,
}

impl SlotsById {
    pub(super) fn find(&self, id: &str, entries: &Slots<ClientEntry>) -> Option<u32> {
        let is_its = |slot: &u32| entries.get(*slot as usize).is_some_and(|entry| entry.client_id() == id);
        self.slots.find(self.hasher.hash_one(id), is_its).copied()
    }

    /// Adds a client that is in its slot, and whose id no other one has.
    pub(super) fn insert(&mut self, id: &str, slot: u32, entries: &Slots<ClientEntry>) {
        let Self { slots, hasher } = self;
        let hash_of = |slot: &u32| entries.get(*slot as usize).map_or(0, |entry| hasher.hash_one(entry.client_id()));
        slots.insert_unique(hasher.hash_one(id), slot, hash_of);
    }

    pub(super) fn remove(&mut self, id: &str, slot: u32) {
        if let Ok(found) = self.slots.find_entry(self.hasher.hash_one(id), |known| *known == slot) {
            found.remove();
        }
    }
}
