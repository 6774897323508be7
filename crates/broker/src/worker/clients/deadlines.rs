//! The order in which time alone changes something of the clients: whose deadline comes first stands first.
//!
//! What it is: at most one place for each client, in a bucket of service time that begins when its earliest deadline is
//! over. What it is not: told of everything. A client whose deadline has gone stays where it is; it is visited then, and
//! put where it belongs. So what comes and goes costs an inbox nothing here as long as nothing is due earlier than before.

use std::num::NonZeroU32;

use super::packed_set::PackedSet;

/// So much later than its deadline a client may be due.
pub(super) const BUCKET_MS: u64 = 16_000;

/// A stretch of service time, counted from its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Bucket(NonZeroU32);

impl Bucket {
    /// The first one that begins when this deadline is over.
    fn behind(deadline_ms: u64) -> Self {
        let number = u32::try_from(deadline_ms.div_ceil(BUCKET_MS)).unwrap_or(u32::MAX);
        Self(NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN))
    }

    pub(super) fn begins_ms(self) -> u64 {
        u64::from(self.0.get()) * BUCKET_MS
    }
}

/// Each client notes its own place; the two change together.
#[derive(Default)]
pub(super) struct Deadlines(PackedSet<(Bucket, u32)>);

impl Deadlines {
    /// The client in this slot has this deadline too.
    pub(super) fn add(&mut self, slot: u32, place: &mut Option<Bucket>, deadline_ms: u64) {
        let bucket = Bucket::behind(deadline_ms);
        if place.is_none_or(|place| bucket < place) {
            self.remove(slot, place);
            self.0.insert((bucket, slot));
            *place = Some(bucket);
        }
    }

    /// Its earliest deadline is this one, or it has none.
    pub(super) fn set(&mut self, slot: u32, place: &mut Option<Bucket>, deadline_ms: Option<u64>) {
        self.remove(slot, place);
        if let Some(deadline_ms) = deadline_ms {
            self.add(slot, place, deadline_ms);
        }
    }

    pub(super) fn remove(&mut self, slot: u32, place: &mut Option<Bucket>) {
        if let Some(bucket) = place.take() {
            self.0.remove(&(bucket, slot));
        }
    }

    pub(super) fn has_due(&self, now_ms: u64) -> bool {
        self.0.first().is_some_and(|(bucket, _)| bucket.begins_ms() <= now_ms)
    }

    /// The slot of the client that is due first, if one is. It has no place any more until it is [`set`](Self::set).
    pub(super) fn take_due(&mut self, now_ms: u64) -> Option<u32> {
        if !self.has_due(now_ms) {
            return None;
        }
        self.0.pop_first().map(|(_, slot)| slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_client_is_due_when_its_deadline_is_over_and_at_most_a_bucket_later() {
        for deadline_ms in [0, 1, BUCKET_MS - 1, BUCKET_MS, BUCKET_MS + 1, 1_700_000_000_001] {
            let (mut deadlines, mut place) = (Deadlines::default(), None);
            deadlines.add(7, &mut place, deadline_ms);
            assert!(deadline_ms == 0 || !deadlines.has_due(deadline_ms - 1), "{deadline_ms}");
            assert_eq!(deadlines.take_due(deadline_ms + BUCKET_MS), Some(7), "{deadline_ms}");
            assert!(!deadlines.has_due(u64::MAX));
        }
    }

    #[test]
    fn a_deadline_at_the_end_of_all_time_has_a_place() {
        let (mut deadlines, mut place) = (Deadlines::default(), None);
        deadlines.add(7, &mut place, u64::MAX);
        deadlines.remove(7, &mut place);
        assert_eq!((deadlines.has_due(u64::MAX), place), (false, None));
    }

    proptest! {
        /// Each client has the place of the earliest deadline that it was given since it was put right.
        #[test]
        fn clients_are_due_in_the_order_of_their_earliest_deadlines(
            steps in prop::collection::vec((0u8..4, 0usize..4, 0u64..40), 1..80),
        ) {
            let (mut deadlines, mut places, mut earliest) = (Deadlines::default(), [None; 4], [None; 4]);
            for (step, client, buckets) in steps {
                let (slot, deadline_ms) = (u32::try_from(client).unwrap_or(0), buckets * BUCKET_MS + BUCKET_MS);
                match step {
                    0 | 1 => {
                        deadlines.add(slot, &mut places[client], deadline_ms);
                        earliest[client] = Some(earliest[client].map_or(deadline_ms, |other: u64| other.min(deadline_ms)));
                    }
                    2 => {
                        deadlines.set(slot, &mut places[client], Some(deadline_ms));
                        earliest[client] = Some(deadline_ms);
                    }
                    _ => {
                        deadlines.remove(slot, &mut places[client]);
                        earliest[client] = None;
                    }
                }
                let first = (0u32..).zip(earliest).filter_map(|(slot, at_ms)| Some((at_ms?, slot))).min();
                prop_assert_eq!(deadlines.0.first().map(|(_, slot)| *slot), first.map(|(_, slot)| slot));
                if let Some((at_ms, _)) = first {
                    prop_assert!(deadlines.has_due(at_ms) && !deadlines.has_due(at_ms - 1));
                }
                prop_assert_eq!(deadlines.0.len(), earliest.iter().flatten().count());
            }
        }
    }
}
