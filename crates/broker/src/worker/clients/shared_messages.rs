//! Messages that wait in several inboxes of one worker, and in how many.
//!
//! Positions rise as messages come: so it is a queue, sorted, which grows by an eighth. One that is in a single inbox again
//! leaves a gap, and gaps go when they are half of it.

use std::collections::VecDeque;

use commitlog::Position;

const GROWTH_MIN: usize = 8;

#[derive(Debug, Default)]
pub(super) struct SharedMessages {
    /// 0: it is in one inbox, or in none.
    inboxes: VecDeque<(Position, u32)>,
    gaps: usize,
}

impl SharedMessages {
    /// A message that is in so many inboxes, at least two.
    pub(super) fn insert(&mut self, message: Position, inboxes: u32) {
        if self.inboxes.len() == self.inboxes.capacity() {
            self.inboxes.reserve_exact((self.inboxes.len() / 8).max(GROWTH_MIN));
        }
        let at = self.inboxes.partition_point(|(other, _)| *other < message);
        self.inboxes.insert(at, (message, inboxes));
    }

    /// It is in one inbox less. `false`: it was in no other.
    pub(super) fn remove_one(&mut self, message: Position) -> bool {
        let Ok(at) = self.inboxes.binary_search_by_key(&message, |(message, _)| *message) else { return false };
        let inboxes = &mut self.inboxes[at].1;
        if *inboxes == 0 {
            return false;
        }
        *inboxes -= 1;
        if *inboxes == 1 {
            *inboxes = 0;
            self.gaps += 1;
            self.close_gaps();
        }
        true
    }

    fn close_gaps(&mut self) {
        if self.gaps > self.inboxes.len() / 2 {
            self.inboxes.retain(|(_, inboxes)| *inboxes > 0);
            self.inboxes.shrink_to_fit();
            self.gaps = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        /// Of a message that came in n inboxes it says n - 1 times that another one has it.
        #[test]
        fn it_counts_as_a_map_would(steps in prop::collection::vec((any::<bool>(), 2u32..6, any::<u8>()), 1..300)) {
            let (mut shared, mut model) = (SharedMessages::default(), BTreeMap::new());
            for (message, (comes, inboxes, which)) in (0..).zip(steps) {
                if comes {
                    shared.insert(Position(message), inboxes);
                    model.insert(message, inboxes);
                } else if let Some(one) = model.keys().nth(usize::from(which) % model.len().max(1)).copied() {
                    let left = model[&one] - 1;
                    prop_assert_eq!(shared.remove_one(Position(one)), left > 0);
                    if left > 0 { model.insert(one, left) } else { model.remove(&one) };
                }
                prop_assert!(!shared.remove_one(Position(u64::MAX)));
                prop_assert!(shared.gaps <= shared.inboxes.len() / 2);
            }
        }
    }

    #[test]
    fn when_all_is_in_one_inbox_again_it_holds_no_memory() {
        let mut shared = SharedMessages::default();
        (0..1000).for_each(|message| shared.insert(Position(message), 3));
        assert!(shared.inboxes.capacity() <= 1000 * 9 / 8 + GROWTH_MIN);
        for message in (0..1000).chain(0..1000) {
            assert!(shared.remove_one(Position(message)));
        }
        assert_eq!((shared.inboxes.capacity(), shared.gaps), (0, 0));
        assert!(!shared.remove_one(Position(1)));
    }
}
