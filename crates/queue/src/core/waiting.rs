//! Messages of a topic that have no place in its line yet: they wait for their delivery time. Pure.
//!
//! ```text
//! waiting ── it is due: its entry is appended ──► entering ── the entry is durable ──► in the line
//!    │                                               └── the entry was refused ──► waiting
//!    └── recalled ──► gone
//! ```

use std::collections::{BTreeSet, HashSet};
use std::ops::RangeBounds;

use commitlog::Position;

use super::messages::size;
use super::runs::Runs;
use crate::ids::WallMs;
use crate::records::IndexEntry;

#[derive(Debug, Default)]
pub(super) struct Waiting {
    by_message: Runs<IndexEntry>,
    /// Without those that are entering.
    by_time: BTreeSet<(WallMs, Position)>,
    entering: HashSet<Position>,
    bytes: u64,
}

impl Waiting {
    pub(super) fn len(&self) -> usize {
        self.by_message.len()
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn contains(&self, message: Position) -> bool {
        self.by_message.contains(message)
    }

    pub(super) fn get(&self, message: Position) -> Option<&IndexEntry> {
        self.by_message.get(message)
    }

    pub(super) fn is_entering(&self, message: Position) -> bool {
        self.entering.contains(&message)
    }

    pub(super) fn range(&self, names: impl RangeBounds<Position>) -> impl Iterator<Item = (Position, &IndexEntry)> {
        let names = (names.start_bound().cloned(), names.end_bound().cloned());
        self.by_message.range(names)
    }

    pub(super) fn insert(&mut self, message: Position, entry: IndexEntry) {
        self.remove(message);
        self.bytes += size(&entry);
        self.by_time.insert((entry.stored, message));
        self.by_message.insert(message, entry);
    }

    pub(super) fn remove(&mut self, message: Position) -> Option<IndexEntry> {
        let entry = self.by_message.remove(message)?;
        self.bytes -= size(&entry);
        self.by_time.remove(&(entry.stored, message));
        self.entering.remove(&message);
        Some(entry)
    }

    /// The first of those that are due, which is entering from now on.
    pub(super) fn take_due(&mut self, now: WallMs) -> Option<(Position, IndexEntry)> {
        let (due, message) = self.by_time.first().copied().filter(|(due, _)| *due <= now)?;
        self.by_time.remove(&(due, message));
        self.entering.insert(message);
        self.by_message.get(message).map(|entry| (message, entry.clone()))
    }

    /// Its entry was refused.
    pub(super) fn put_back(&mut self, message: Position) {
        if self.entering.remove(&message)
            && let Some(entry) = self.by_message.get(message)
        {
            self.by_time.insert((entry.stored, message));
        }
    }
}
