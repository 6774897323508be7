//! The durable messages of a topic, by position.

use std::collections::BTreeMap;
use std::ops::RangeBounds;

use commitlog::Position;

use super::Retention;
use crate::records::IndexEntry;

/// What a record of the log takes besides its payload, with what is said again of it when it is carried.
const OVERHEAD: u64 = 64;

#[derive(Debug, Default)]
pub(super) struct Messages {
    by_position: BTreeMap<Position, IndexEntry>,
    bytes: u64,
}

impl Messages {
    pub(super) fn len(&self) -> usize {
        self.by_position.len()
    }

    /// What the log takes for them.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    pub(super) fn by_position(&self) -> &BTreeMap<Position, IndexEntry> {
        &self.by_position
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.by_position.contains_key(&position)
    }

    /// How many stand at this position or behind it. Walks over those before it or over these, whichever are fewer.
    pub(super) fn len_from(&self, from: Position) -> usize {
        let (mut before, mut behind) = (self.by_position.range(..from), self.by_position.range(from..));
        let mut walked = 0;
        loop {
            if behind.next().is_none() {
                return walked;
            }
            if before.next().is_none() {
                return self.by_position.len() - walked;
            }
            walked += 1;
        }
    }

    pub(super) fn range(
        &self,
        range: impl RangeBounds<Position>,
    ) -> impl DoubleEndedIterator<Item = (Position, &IndexEntry)> {
        self.by_position.range(range).map(|(position, entry)| (*position, entry))
    }

    pub(super) fn insert(&mut self, position: Position, entry: IndexEntry) {
        self.bytes += size(&entry);
        if let Some(before) = self.by_position.insert(position, entry) {
            self.bytes -= size(&before);
        }
    }

    pub(super) fn remove(&mut self, position: Position) {
        if let Some(entry) = self.by_position.remove(&position) {
            self.bytes -= size(&entry);
        }
    }

    pub(super) fn retain(&mut self, mut is_kept: impl FnMut(Position) -> bool) {
        let bytes = &mut self.bytes;
        self.by_position.retain(|position, entry| {
            let is_kept = is_kept(*position);
            *bytes -= if is_kept { 0 } else { size(entry) };
            is_kept
        });
    }

    /// Removes the messages that have had their time.
    pub(super) fn remove_old(&mut self, retention: Retention) {
        while let Some(mut first) = self.by_position.first_entry() {
            let stored = &mut first.get_mut().stored;
            if retention.is_settled {
                // Nothing behind it would ever be old enough.
                *stored = (*stored).min(retention.now);
            }
            if !retention.is_old(*stored) {
                return;
            }
            self.bytes -= size(&first.remove());
        }
    }
}

fn size(entry: &IndexEntry) -> u64 {
    entry.bytes() as u64 + OVERHEAD
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::WallMs;

    #[test]
    fn those_at_a_position_and_behind_it_are_counted_from_the_nearer_end() {
        let mut messages = Messages::default();
        for at in [10, 20, 30, 40, 50] {
            messages.insert(Position(at), IndexEntry::new(None, 1, WallMs(0), None));
        }
        for from in 0..60 {
            assert_eq!(messages.len_from(Position(from)), messages.range(Position(from)..).count(), "{from}");
        }
        assert_eq!(Messages::default().len_from(Position(0)), 0);
    }
}
