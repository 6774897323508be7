//! Stored meetings, and a cache of those that were read or decided last, so that an event on a large one does not read
//! all its rows. An entry counts only while the catalog has the same revision: another service may have raised it.

use crate::machine::{DocumentError, DocumentRow, Meeting, Places};
use catalog::MeetingRow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use uuid::Uuid;

/// Documents, members and invitations in the cache, of all meetings together: some 10 MB.
const ENTRIES_MAX: usize = 20_000;

/// A document with the revision that a change of it must name.
#[derive(Clone, Debug)]
pub(crate) struct StoredMeeting {
    pub meeting: Arc<Meeting>,
    pub revision: u64,
    pub created_at_ms: u64,
    /// The places of its rows.
    pub places: Arc<Places>,
}

impl TryFrom<MeetingRow> for StoredMeeting {
    type Error = DocumentError;

    fn try_from(row: MeetingRow) -> Result<Self, DocumentError> {
        let rows = row.parts.into_iter().map(|part| DocumentRow {
            kind: part.name.kind,
            place: part.name.place,
            entry: part.document,
        });
        let (meeting, places) = Meeting::from_rows(&row.document, rows)?;
        let (revision, created_at_ms) = (row.revision, row.created_at_ms);
        Ok(Self { meeting: Arc::new(meeting), revision, created_at_ms, places: Arc::new(places) })
    }
}

impl StoredMeeting {
    fn entries(&self) -> usize {
        1 + self.meeting.members.len() + self.meeting.invitations.len()
    }
}

#[derive(Default)]
pub(crate) struct MeetingCache {
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    by_id: HashMap<Uuid, Entry>,
    entries: usize,
    /// Rises with each use.
    uses: u64,
}

struct Entry {
    stored: StoredMeeting,
    used: u64,
}

impl MeetingCache {
    pub(crate) fn find(&self, id: Uuid) -> Option<StoredMeeting> {
        self.with(|kept| {
            kept.uses += 1;
            let entry = kept.by_id.get_mut(&id)?;
            entry.used = kept.uses;
            Some(entry.stored.clone())
        })
    }

    /// Of two revisions the newer is kept. A closed meeting is removed.
    pub(crate) fn keep(&self, stored: &StoredMeeting) {
        let id = stored.meeting.id.0;
        self.with(|kept| {
            if kept.by_id.get(&id).is_some_and(|entry| entry.stored.revision > stored.revision) {
                return;
            }
            kept.forget(id);
            if !stored.meeting.closed {
                kept.uses += 1;
                kept.entries += stored.entries();
                kept.by_id.insert(id, Entry { stored: stored.clone(), used: kept.uses });
                kept.make_room();
            }
        });
    }

    fn with<T>(&self, act: impl FnOnce(&mut Kept) -> T) -> T {
        act(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn forget(&mut self, id: Uuid) {
        if let Some(entry) = self.by_id.remove(&id) {
            self.entries -= entry.stored.entries();
        }
    }

    /// Removes the least recently used until half is left: seldom, so that it may sort all of them.
    fn make_room(&mut self) {
        if self.entries <= ENTRIES_MAX {
            return;
        }
        let mut by_use: Vec<(u64, Uuid)> = self.by_id.iter().map(|(id, entry)| (entry.used, *id)).collect();
        by_use.sort_unstable();
        for (_, id) in by_use {
            if self.entries <= ENTRIES_MAX / 2 {
                return;
            }
            self.forget(id);
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    fn stored(number: u128, revision: u64, closed: bool) -> StoredMeeting {
        let id = Uuid::from_u128(number);
        let head =
            format!(r#"{{"v":2,"id":"{id}","rev":1,"host":"u","media":"audio","ends_below":1,"closed":{closed}}}"#);
        let row = MeetingRow { id, revision, document: head, parts: Vec::new(), ended: closed, created_at_ms: 0 };
        StoredMeeting::try_from(row).unwrap()
    }

    fn revision(memory: &MeetingCache, number: u128) -> Option<u64> {
        memory.find(Uuid::from_u128(number)).map(|stored| stored.revision)
    }

    #[test]
    fn the_newest_revision_stays_and_a_closed_meeting_is_forgotten() {
        let memory = MeetingCache::default();
        for revision in [2, 3, 1] {
            memory.keep(&stored(1, revision, false));
        }
        assert_eq!(revision(&memory, 1), Some(3));
        memory.keep(&stored(1, 4, true));
        assert_eq!(revision(&memory, 1), None);
        assert_eq!(memory.with(|kept| kept.entries), 0);
    }

    #[test]
    fn what_was_not_used_for_longest_makes_room() {
        let memory = MeetingCache::default();
        let max = ENTRIES_MAX as u128;
        for number in 0..max {
            memory.keep(&stored(number, 1, false));
        }
        assert_eq!(revision(&memory, 0), Some(1));
        memory.keep(&stored(max, 1, false));
        assert_eq!(memory.with(|kept| (kept.entries, kept.by_id.len())), (ENTRIES_MAX / 2, ENTRIES_MAX / 2));
        assert_eq!((revision(&memory, 0), revision(&memory, 1), revision(&memory, max)), (Some(1), None, Some(1)));
    }
}
