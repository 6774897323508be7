//! The line of a topic: its durable messages, by the positions at which they stand in it.
//!
//! Most stand at their own position, which is their name. One that had to wait stands at that of the record that let it
//! enter: its *entry*.

use std::collections::{BTreeMap, HashMap};
use std::ops::RangeBounds;

use commitlog::Position;

use super::Retention;
use super::runs::Runs;
use crate::records::IndexEntry;

/// What a record of the log takes besides its payload, with what is said again of it when it is carried.
const OVERHEAD: u64 = 64;

#[derive(Debug, Default)]
pub(super) struct Messages {
    by_position: Runs<IndexEntry>,
    bytes: u64,
    /// Of those that had to wait, as is the next.
    message_by_entry: HashMap<Position, Position>,
    entry_by_message: BTreeMap<Position, Position>,
}

impl Messages {
    pub(super) fn len(&self) -> usize {
        self.by_position.len()
    }

    /// What the log takes for them.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes + self.message_by_entry.len() as u64 * OVERHEAD
    }

    pub(super) fn get(&self, position: Position) -> Option<&IndexEntry> {
        self.by_position.get(position)
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.by_position.contains(position)
    }

    /// How many stand at this position or behind it.
    pub(super) fn len_from(&self, from: Position) -> usize {
        self.by_position.len_from(from)
    }

    pub(super) fn range(
        &self,
        range: impl RangeBounds<Position>,
    ) -> impl DoubleEndedIterator<Item = (Position, &IndexEntry)> {
        let range = (range.start_bound().cloned(), range.end_bound().cloned());
        self.by_position.range(range)
    }

    /// The name of the message that stands there.
    pub(super) fn message_at(&self, position: Position) -> Position {
        self.message_by_entry.get(&position).copied().unwrap_or(position)
    }

    /// Where the message stands, if it has had to wait.
    pub(super) fn entry_of(&self, message: Position) -> Option<Position> {
        self.entry_by_message.get(&message).copied()
    }

    /// Where the message stands, if it is here.
    pub(super) fn position_of(&self, message: Position) -> Option<Position> {
        self.entry_of(message).or_else(|| Some(message).filter(|position| self.contains(*position)))
    }

    /// Messages that have had to wait, with their entries, by name.
    pub(super) fn entered(&self, names: impl RangeBounds<Position>) -> impl Iterator<Item = (Position, Position)> {
        let names = (names.start_bound().cloned(), names.end_bound().cloned());
        self.entry_by_message.range(names).map(|(message, entry)| (*message, *entry))
    }

    pub(super) fn insert(&mut self, position: Position, entry: IndexEntry) {
        self.bytes += size(&entry);
        if let Some(before) = self.by_position.insert(position, entry) {
            self.bytes -= size(&before);
        }
    }

    /// The message stands at `position` from now on.
    pub(super) fn enter(&mut self, position: Position, message: Position, entry: IndexEntry) {
        self.insert(position, entry);
        self.message_by_entry.insert(position, message);
        self.entry_by_message.insert(message, position);
    }

    pub(super) fn remove(&mut self, position: Position) {
        if let Some(entry) = self.by_position.remove(position) {
            self.bytes -= size(&entry);
            if let Some(message) = self.message_by_entry.remove(&position) {
                self.entry_by_message.remove(&message);
            }
        }
    }

    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(Position, &IndexEntry) -> bool) {
        let gone = self.range(..).filter(|(position, entry)| !is_kept(*position, entry));
        let gone: Vec<Position> = gone.map(|(position, _)| position).collect();
        gone.into_iter().for_each(|position| self.remove(position));
    }

    /// Removes the messages that have had their time.
    pub(super) fn remove_old(&mut self, retention: Retention) {
        while let Some((position, first)) = self.by_position.first_mut() {
            if retention.is_settled {
                // Nothing behind it would ever be old enough.
                first.stored = first.stored.min(retention.now);
            }
            if !retention.is_old(first.stored) {
                return;
            }
            self.remove(position);
        }
    }
}

pub(super) fn size(entry: &IndexEntry) -> u64 {
    entry.bytes() as u64 + OVERHEAD
}
