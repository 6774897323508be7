//! The entries of one inbox while the log is replayed.
//!
//! Messages nearly always come and go in the order of the log: so it is a queue, sorted, whose ends are looked at before
//! it is searched. A start holds all inboxes of the broker like this, so an entry is small.

use std::collections::VecDeque;

use commitlog::Position;

use crate::message::Collapse;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RecoveredEntry {
    pub(crate) size: u32,
    pub(crate) expires_at_ms: u64,
    pub(crate) urgent: bool,
    pub(crate) collapse: Option<Box<Collapse>>,
    pub(crate) subscription_ids: Box<[u32]>,
}

const _: () = assert!(size_of::<(Position, RecoveredEntry)>() <= 48, "every message that waits costs this at a start");

/// Entries by the positions of their messages, which rise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct RecoveredEntries(VecDeque<(Position, RecoveredEntry)>);

impl RecoveredEntries {
    /// Where the entry is, or where it belongs.
    fn place(&self, message: Position) -> Result<usize, usize> {
        match (self.0.front(), self.0.back()) {
            (Some((first, _)), _) if *first == message => Ok(0),
            (_, Some((last, _))) if *last < message => Err(self.0.len()),
            _ => self.0.binary_search_by_key(&message, |(known, _)| *known),
        }
    }

    /// In place of the one that is there.
    pub(crate) fn insert(&mut self, message: Position, entry: RecoveredEntry) {
        match self.place(message) {
            Ok(at) => {
                if let Some(known) = self.0.get_mut(at) {
                    known.1 = entry;
                }
            }
            Err(at) => self.0.insert(at, (message, entry)),
        }
    }

    pub(crate) fn remove(&mut self, message: Position) -> Option<RecoveredEntry> {
        let at = self.place(message).ok()?;
        self.0.remove(at).map(|(_, entry)| entry)
    }

    pub(crate) fn get_mut(&mut self, message: Position) -> Option<&mut RecoveredEntry> {
        let at = self.place(message).ok()?;
        self.0.get_mut(at).map(|(_, entry)| entry)
    }

    pub(crate) fn contains(&self, message: Position) -> bool {
        self.place(message).is_ok()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (Position, &RecoveredEntry)> {
        self.0.iter().map(|(message, entry)| (*message, entry))
    }

    #[cfg(test)]
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (Position, &mut RecoveredEntry)> {
        self.0.iter_mut().map(|(message, entry)| (*message, entry))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// In whatever order, each position once.
impl FromIterator<(Position, RecoveredEntry)> for RecoveredEntries {
    fn from_iter<I: IntoIterator<Item = (Position, RecoveredEntry)>>(entries: I) -> Self {
        let mut entries = Vec::from_iter(entries);
        entries.sort_by_key(|(message, _)| *message);
        Self(entries.into())
    }
}

impl IntoIterator for RecoveredEntries {
    type Item = (Position, RecoveredEntry);
    type IntoIter = std::collections::vec_deque::IntoIter<Self::Item>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

#[cfg(test)]
impl<const N: usize> From<[(Position, RecoveredEntry); N]> for RecoveredEntries {
    fn from(entries: [(Position, RecoveredEntry); N]) -> Self {
        entries.into_iter().collect()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn entry(size: u32) -> RecoveredEntry {
        RecoveredEntry { size, expires_at_ms: 0, urgent: false, collapse: None, subscription_ids: [].into() }
    }

    proptest! {
        #[test]
        fn in_whatever_order_entries_come_and_go_they_are_as_in_a_map(
            changes in prop::collection::vec((any::<bool>(), 0u64..12, any::<u32>()), 0..60),
        ) {
            let (mut entries, mut map) = (RecoveredEntries::default(), BTreeMap::new());
            for (is_new, message, size) in changes {
                let message = Position(message);
                if is_new {
                    entries.insert(message, entry(size));
                    map.insert(message, entry(size));
                } else {
                    prop_assert_eq!(entries.remove(message), map.remove(&message));
                }
                prop_assert_eq!(entries.contains(message), map.contains_key(&message));
                prop_assert!(entries.iter().eq(map.iter().map(|(message, entry)| (*message, entry))));
            }
        }
    }
}
