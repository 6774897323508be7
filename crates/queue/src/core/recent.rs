//! The message ids of senders that came to a topic a short while ago: what comes again under one of them is the same message.
//! Pure.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use commitlog::Position;

use crate::ids::WallMs;
use crate::limits::{RECENT_IDS_MAX, RECENT_IDS_TIME};

#[derive(Debug, Default)]
pub(crate) struct RecentIds {
    /// In the order in which they came, more or less.
    recent: VecDeque<Recent>,
    /// How many have left it.
    gone: u64,
    /// Counted with those that have gone.
    number_by_id: HashMap<Arc<str>, u64>,
    /// Messages that were taken out: what comes under their ids again is not stored, and must be.
    taken_out: HashSet<Position>,
}

/// More that were taken out than there are ids, and this, are looked through for those that had none.
const TAKEN_OUT_SPARE: usize = 1024;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recent {
    pub(crate) id: Arc<str>,
    pub(crate) stored: WallMs,
    /// The message that came under it.
    pub(crate) message: Position,
    /// The last record that says so; below it if that is not known.
    pub(crate) said_at: Position,
}

impl Recent {
    fn is_over(&self, now: WallMs) -> bool {
        let kept_ms = u64::try_from(RECENT_IDS_TIME.as_millis()).unwrap_or(u64::MAX);
        now.0.abs_diff(self.stored.0) >= kept_ms
    }
}

impl RecentIds {
    /// The message that came under this id.
    pub(crate) fn find(&self, id: &str, now: WallMs) -> Option<Position> {
        let found = self.recent.get(self.index(*self.number_by_id.get(id)?)?)?;
        Some(found.message).filter(|message| !found.is_over(now) && !self.taken_out.contains(message))
    }

    /// The message was recalled, or removed by an owner.
    pub(crate) fn forget(&mut self, message: Position) {
        self.taken_out.insert(message);
        if self.taken_out.len() > 2 * self.recent.len() + TAKEN_OUT_SPARE {
            let known: HashSet<Position> = self.recent.iter().map(|recent| recent.message).collect();
            self.taken_out.retain(|message| known.contains(message));
        }
    }

    pub(crate) fn note(&mut self, recent: Recent) {
        let number = self.gone + self.recent.len() as u64;
        self.number_by_id.insert(Arc::clone(&recent.id), number);
        self.recent.push_back(recent);
        while self.recent.len() > RECENT_IDS_MAX {
            self.remove_first();
        }
    }

    pub(crate) fn remove_old(&mut self, now: WallMs) {
        while self.recent.front().is_some_and(|first| first.is_over(now)) {
            self.remove_first();
        }
        if self.recent.is_empty() {
            (self.recent, self.number_by_id, self.taken_out) = Default::default();
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.recent.len()
    }

    /// When the first came.
    pub(crate) fn oldest(&self) -> Option<WallMs> {
        self.recent.front().map(|first| first.stored)
    }

    /// Forgets the first ones that came no later than this, but at most so many. Returns how many.
    pub(crate) fn forget_first(&mut self, until: WallMs, max: usize) -> usize {
        let before = self.recent.len();
        while before - self.recent.len() < max && self.oldest().is_some_and(|oldest| oldest <= until) {
            self.remove_first();
        }
        before - self.recent.len()
    }

    fn remove_first(&mut self) {
        let Some(first) = self.recent.pop_front() else { return };
        if self.number_by_id.get(&first.id) == Some(&self.gone) {
            self.number_by_id.remove(&first.id);
            self.taken_out.remove(&first.message);
        }
        self.gone += 1;
    }

    /// Those from this number on whose messages were not taken out, with their numbers.
    pub(crate) fn from(&self, number: u64) -> impl Iterator<Item = (u64, &Recent)> {
        let from = number.max(self.gone);
        let rest = self.recent.iter().skip(usize::try_from(from - self.gone).unwrap_or(usize::MAX));
        (from..).zip(rest).filter(|(_, recent)| !self.taken_out.contains(&recent.message))
    }

    pub(crate) fn set_said_at(&mut self, number: u64, said_at: Position) {
        if let Some(recent) = self.index(number).and_then(|index| self.recent.get_mut(index)) {
            recent.said_at = said_at;
        }
    }

    fn index(&self, number: u64) -> Option<usize> {
        usize::try_from(number.checked_sub(self.gone)?).ok()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    fn recent(n: u64) -> Recent {
        Recent { id: format!("id {n}").into(), stored: WallMs(n), message: Position(n), said_at: Position(n) }
    }

    #[test]
    fn an_id_is_known_for_its_time_and_under_its_newest_message() {
        let kept_ms = u64::try_from(RECENT_IDS_TIME.as_millis()).unwrap();
        let mut ids = RecentIds::default();
        (1..=3).for_each(|n| ids.note(recent(n)));
        assert_eq!(ids.find("id 1", WallMs(kept_ms)), Some(Position(1)));
        assert_eq!(ids.find("id 1", WallMs(kept_ms + 1)), None, "its time is over, although it is here");
        ids.note(Recent { message: Position(9), stored: WallMs(9), ..recent(1) });
        ids.remove_old(WallMs(kept_ms + 2));
        assert_eq!(
            ids.find("id 1", WallMs(kept_ms + 2)),
            Some(Position(9)),
            "the older one has gone, this one has not"
        );
        assert_eq!(ids.find("id 2", WallMs(2)), None);
        let left: Vec<_> = ids.from(0).map(|(number, recent)| (number, recent.message.0)).collect();
        assert_eq!(left, [(2, 3), (3, 9)]);
        ids.set_said_at(2, Position(70));
        assert_eq!(ids.from(2).next().unwrap().1.said_at, Position(70));
        ids.remove_old(WallMs(kept_ms * 9));
        assert_eq!((ids.from(0).count(), ids.number_by_id.len()), (0, 0));
        ids.note(recent(5));
        assert_eq!(ids.find("id 5", WallMs(5)), Some(Position(5)));
    }

    #[test]
    fn the_id_of_a_message_that_was_taken_out_is_free() {
        let mut ids = RecentIds::default();
        (1..=2).for_each(|n| ids.note(recent(n)));
        ids.forget(Position(1));
        assert_eq!((ids.find("id 1", WallMs(3)), ids.find("id 2", WallMs(3))), (None, Some(Position(2))));
        assert_eq!(ids.from(0).map(|(number, _)| number).collect::<Vec<_>>(), [1]);
        ids.note(Recent { message: Position(9), ..recent(1) });
        assert_eq!(ids.find("id 1", WallMs(3)), Some(Position(9)));
        (10..10_000).for_each(|n| ids.forget(Position(n)));
        assert!(ids.taken_out.len() <= 2 * ids.recent.len() + TAKEN_OUT_SPARE);
        assert_eq!(ids.find("id 2", WallMs(3)), Some(Position(2)));
    }

    #[test]
    fn the_oldest_go_when_there_are_too_many() {
        let mut ids = RecentIds::default();
        let many = RECENT_IDS_MAX as u64;
        (0..many + 10).for_each(|n| ids.note(Recent { stored: WallMs(0), ..recent(n) }));
        assert_eq!((ids.recent.len(), ids.number_by_id.len()), (RECENT_IDS_MAX, RECENT_IDS_MAX));
        assert_eq!(ids.find("id 9", WallMs(1)), None);
        assert_eq!(ids.find("id 10", WallMs(1)), Some(Position(10)));
    }
}
