//! A map by position whose keys mostly come rising: sorted runs, so that an entry costs little more than itself. Pure.
//!
//! ```text
//! first of a run ──► [(position, value), …]    at most RUN_MAX, rising; all before the first of the next run
//! ```

use std::collections::BTreeMap;
use std::ops::{Bound, RangeBounds};

use commitlog::Position;

const RUN_MAX: usize = 256;

#[derive(Debug)]
pub(super) struct Runs<V> {
    /// No run is empty. Its own first may be gone.
    by_first: BTreeMap<Position, Vec<(Position, V)>>,
    len: usize,
}

impl<V> Default for Runs<V> {
    fn default() -> Self {
        Self { by_first: BTreeMap::new(), len: 0 }
    }
}

impl<V> Runs<V> {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn contains(&self, position: Position) -> bool {
        self.get(position).is_some()
    }

    pub(super) fn get(&self, position: Position) -> Option<&V> {
        let (_, run) = self.by_first.range(..=position).next_back()?;
        let at = run.binary_search_by_key(&position, |(position, _)| *position).ok()?;
        run.get(at).map(|(_, value)| value)
    }

    pub(super) fn range(&self, range: impl RangeBounds<Position>) -> impl DoubleEndedIterator<Item = (Position, &V)> {
        let from = match range.start_bound() {
            Bound::Included(from) => *from,
            Bound::Excluded(before) => after(*before),
            Bound::Unbounded => Position(0),
        };
        let end = match range.end_bound() {
            Bound::Included(last) => after(*last),
            Bound::Excluded(end) => *end,
            Bound::Unbounded => Position(u64::MAX),
        };
        let end = end.max(from);
        let within = move |run: &'_ Vec<(Position, V)>| {
            let before = |bound: Position| run.partition_point(|(position, _)| *position < bound);
            before(from)..before(end)
        };
        let runs = self.by_first.range(self.first_of(from).unwrap_or(from)..end);
        runs.flat_map(move |(_, run)| run[within(run)].iter().map(|(position, value)| (*position, value)))
    }

    /// How many stand at this position or behind it.
    pub(super) fn len_from(&self, from: Position) -> usize {
        let runs = self.by_first.range(self.first_of(from).unwrap_or(from)..);
        runs.map(|(_, run)| run.len() - run.partition_point(|(position, _)| *position < from)).sum()
    }

    /// Returns what stood there before.
    pub(super) fn insert(&mut self, position: Position, value: V) -> Option<V> {
        let replaced = match self.first_of(position).and_then(|first| self.by_first.get_mut(&first)) {
            Some(run) if run.len() < RUN_MAX => insert_into(run, position, value),
            Some(run) if run.last().is_some_and(|(last, _)| position <= *last) => {
                let mut upper = run.split_off(RUN_MAX / 2);
                run.shrink_to_fit();
                let first = upper.first().map_or(position, |(first, _)| *first);
                let half = if position < first { run } else { &mut upper };
                let replaced = insert_into(half, position, value);
                self.by_first.insert(first, upper);
                replaced
            }
            _ => {
                self.by_first.insert(position, vec![(position, value)]);
                None
            }
        };
        self.len += usize::from(replaced.is_none());
        replaced
    }

    pub(super) fn remove(&mut self, position: Position) -> Option<V> {
        let first = self.first_of(position)?;
        let run = self.by_first.get_mut(&first)?;
        let at = run.binary_search_by_key(&position, |(position, _)| *position).ok()?;
        let (_, value) = run.remove(at);
        self.len -= 1;
        if run.is_empty() {
            self.by_first.remove(&first);
        } else if run.len() < run.capacity() / 4 {
            run.shrink_to(run.len() * 2);
        }
        Some(value)
    }

    pub(super) fn first_mut(&mut self) -> Option<(Position, &mut V)> {
        let mut first = self.by_first.first_entry()?.into_mut().iter_mut();
        first.next().map(|(position, value)| (*position, value))
    }

    /// The first of the run in which the position stands, or would.
    fn first_of(&self, position: Position) -> Option<Position> {
        self.by_first.range(..=position).next_back().map(|(first, _)| *first)
    }
}

fn insert_into<V>(run: &mut Vec<(Position, V)>, position: Position, value: V) -> Option<V> {
    match run.binary_search_by_key(&position, |(position, _)| *position) {
        Ok(at) => Some(std::mem::replace(&mut run[at].1, value)),
        Err(at) => {
            run.insert(at, (position, value));
            None
        }
    }
}

fn after(position: Position) -> Position {
    Position(position.0.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, rng_seed: RngSeed::Fixed(9), ..ProptestConfig::default() })]

        /// Rising keys first, as most are; then any.
        #[test]
        fn runs_are_a_map(
            rising in 0..1500_u64,
            steps in prop::collection::vec((any::<bool>(), 0..6000_u64), 0..1500),
            ranges in prop::collection::vec((0..6100_u64, 0..6100_u64), 5),
        ) {
            let (mut runs, mut map) = (Runs::default(), BTreeMap::new());
            for n in 0..rising {
                prop_assert_eq!(runs.insert(Position(n * 4), n), map.insert(Position(n * 4), n));
            }
            for (inserts, at) in steps {
                let at = Position(at);
                if inserts {
                    prop_assert_eq!(runs.insert(at, at.0), map.insert(at, at.0));
                } else {
                    prop_assert_eq!(runs.remove(at), map.remove(&at));
                }
                prop_assert_eq!(runs.get(at), map.get(&at));
            }
            prop_assert_eq!(runs.len(), map.len());
            prop_assert_eq!(runs.first_mut().map(|(at, _)| at), map.first_entry().map(|first| *first.key()));
            for (from, end) in ranges {
                let (from, end) = (Position(from.min(end)), Position(from.max(end)));
                let expected: Vec<_> = map.range(from..end).map(|(at, value)| (*at, value)).collect();
                prop_assert_eq!(runs.range(from..end).collect::<Vec<_>>(), expected.clone());
                let behind = (Bound::Excluded(from), Bound::Included(end));
                prop_assert_eq!(runs.range(behind).rev().count(), if from == end { 0 } else { map.range(behind).count() });
                prop_assert_eq!(runs.len_from(from), map.range(from..).count());
            }
        }
    }
}
