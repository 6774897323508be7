//! The message ids of a queue elsewhere that one inbox has had, so that what such a queue repeats is stored once.

use std::collections::BTreeMap;
use std::ops::Bound;

use commitlog::Position;

use crate::inbox::Correction;
use crate::over::Over;

/// Ids that one inbox remembers.
const IDS_MAX: usize = 10_000;

/// Small while there are none: with a queue in the same log there never are.
#[derive(Default)]
#[expect(clippy::box_collection, reason = "one word while there are none")]
pub(super) struct QueueIds(Option<Box<BTreeMap<Box<str>, KnownId>>>);

#[derive(Clone, Copy, Debug)]
struct KnownId {
    until_ms: u64,
    /// It is so when the log is durable up to here.
    end: Position,
}

impl QueueIds {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Where it became durable that the inbox has had this message.
    pub(super) fn find(&self, id: &str) -> Option<Position> {
        Some(self.0.as_ref()?.get(id)?.end)
    }

    /// Each id behind this one in their order, and until when it is remembered.
    pub(super) fn iter_after(&self, after: Option<&str>) -> impl Iterator<Item = (&str, u64)> {
        let behind = (after.map_or(Bound::Unbounded, Bound::Excluded), Bound::Unbounded);
        self.0.iter().flat_map(move |ids| ids.range::<str, _>(behind)).map(|(id, known)| (&**id, known.until_ms))
    }

    /// At the limit an id is not remembered, and its message stored again if it comes again.
    pub(super) fn remember(&mut self, id: &str, until_ms: u64, end: Position, over: Over) {
        if self.0.as_ref().is_some_and(|ids| ids.len() >= IDS_MAX) {
            self.sweep(over);
        }
        let ids = self.0.get_or_insert_default();
        if ids.len() < IDS_MAX {
            ids.insert(id.into(), KnownId { until_ms, end });
        }
    }

    /// When the first of them has had its time.
    pub(super) fn earliest_deadline_ms(&self) -> Option<u64> {
        self.0.as_ref()?.values().map(|known| known.until_ms).min()
    }

    pub(super) fn correct_deadlines(&mut self, correction: Correction) {
        let ids = self.0.iter_mut().flat_map(|ids| ids.values_mut());
        ids.for_each(|known| correction.apply(&mut known.until_ms));
    }

    /// Forgets what has had its time.
    pub(super) fn sweep(&mut self, over: Over) {
        if let Some(ids) = &mut self.0 {
            ids.retain(|_, known| !over.is_over(known.until_ms));
            if ids.is_empty() {
                self.0 = None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_known_until_its_time_is_over() {
        let mut ids = QueueIds::default();
        ids.remember("a", 10, Position(3), Over::by(0));
        ids.remember("b", 20, Position(4), Over::by(0));
        assert_eq!((ids.find("a"), ids.find("c")), (Some(Position(3)), None));
        ids.sweep(Over::by(10));
        assert_eq!((ids.find("a"), ids.find("b"), ids.is_empty()), (None, Some(Position(4)), false));
        ids.sweep(Over::by(20));
        assert!(ids.is_empty());
    }

    #[test]
    fn at_the_limit_only_what_has_had_its_time_gives_room() {
        let mut ids = QueueIds::default();
        (0..IDS_MAX).for_each(|id| ids.remember(&id.to_string(), 10, Position(1), Over::by(0)));
        ids.remember("one more", 20, Position(2), Over::by(9));
        assert_eq!(ids.find("one more"), None);
        ids.remember("one more", 20, Position(2), Over::by(10));
        assert_eq!((ids.find("one more"), ids.find("0")), (Some(Position(2)), None));
    }
}
