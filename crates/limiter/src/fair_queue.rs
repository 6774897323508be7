//! A bounded queue in which every source has its turn.
//!
//! Each source has a queue of its own, and the queues are served one item each in turn: a source that asks for much
//! waits behind itself only, and one that asks once waits for at most one item of each other. The items of a source
//! keep their order and are served one at a time: its next turn comes when [`FairQueue::done`] has been called.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

/// How much may wait, and what a source may count on, in places. An item takes one, or several if it is large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct QueueLimits {
    /// Of all sources. The last item may take more than are left.
    pub waiting_max: usize,
    /// What no source loses to another when that many wait. The only item of a source is within it, however large it is.
    pub share: usize,
}

/// Items of type `T` by their sources `S`.
#[derive(Debug)]
pub struct FairQueue<S, T> {
    /// Of each source with something that waits or is served.
    by_source: HashMap<S, SourceQueue<T>>,
    /// Sources with something that waits and nothing that is served, in the order of their turns.
    ready: VecDeque<S>,
    /// Places that are taken.
    waiting: usize,
    limits: QueueLimits,
}

#[derive(Debug)]
struct SourceQueue<T> {
    /// Each with its places.
    items: VecDeque<(T, usize)>,
    places: usize,
    is_served: bool,
}

impl<S: Clone + Eq + Hash, T> FairQueue<S, T> {
    pub fn new(limits: QueueLimits) -> Self {
        Self { by_source: HashMap::new(), ready: VecDeque::new(), waiting: 0, limits }
    }

    /// Places that are taken, of all sources: as many as items where each takes one.
    pub fn len(&self) -> usize {
        self.waiting
    }

    pub fn is_empty(&self) -> bool {
        self.waiting == 0
    }

    /// Whether a place is free, or can be taken from sources with more than their share.
    pub fn has_room(&self) -> bool {
        self.can_make_room(self.limits.share)
    }

    /// Returns what has no place in a full queue: this item, if its source has more than its share and than the average;
    /// otherwise the newest item of the source that has most, if that is more than its share; otherwise this one. Nobody
    /// loses an item unless this one gets a place by it.
    pub fn push(&mut self, source: S, item: T) -> Option<T> {
        self.push_large(source, item, 1).pop()
    }

    /// The same for an item that takes so many places: what has none may be several.
    pub fn push_large(&mut self, source: S, item: T, places: usize) -> Vec<T> {
        let Some(refused) = self.make_room(&source) else { return vec![item] };
        if let Some(queue) = self.by_source.get_mut(&source) {
            queue.items.push_back((item, places));
            queue.places += places;
        } else {
            let queue = SourceQueue { items: VecDeque::from([(item, places)]), places, is_served: false };
            self.by_source.insert(source.clone(), queue);
            self.ready.push_back(source);
        }
        self.waiting += places;
        refused
    }

    /// All that waits, in no order.
    pub fn items_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.by_source.values_mut().flat_map(|queue| &mut queue.items).map(|(item, _)| item)
    }

    /// The next item with its source, which has no other turn until [`done`](Self::done).
    pub fn pop(&mut self) -> Option<(S, T)> {
        let source = self.ready.pop_front()?;
        let queue = self.by_source.get_mut(&source)?;
        let (item, places) = queue.items.pop_front()?;
        queue.is_served = true;
        queue.places -= places;
        self.waiting -= places;
        Some((source, item))
    }

    /// What was popped of this source is served. Of a source that has nothing served it changes nothing.
    pub fn done(&mut self, source: S) {
        let Some(queue) = self.by_source.get_mut(&source).filter(|queue| queue.is_served) else { return };
        queue.is_served = false;
        if queue.items.is_empty() {
            self.by_source.remove(&source);
        } else {
            self.ready.push_back(source);
        }
    }

    /// Returns what others lose. `None`: they have too little above their share, or above what `source` would have.
    fn make_room(&mut self, source: &S) -> Option<Vec<T>> {
        let mut lost = Vec::new();
        if self.waiting < self.limits.waiting_max {
            return Some(lost);
        }
        let (own, share) = (self.by_source.get(source).map_or(0, |queue| queue.places), self.limits.share);
        // A source that floods has more than its share and than the average: it loses its own, and costs no search.
        if own > share && own * self.by_source.len() > self.waiting {
            return None;
        }
        let kept = share.max(own + 1);
        if !self.can_make_room(kept) {
            return None;
        }
        while self.waiting >= self.limits.waiting_max {
            let longest = self.by_source.values_mut().filter(|queue| queue.has_more_than(kept));
            let longest = longest.max_by_key(|queue| queue.places)?;
            let (item, places) = longest.items.pop_back()?;
            longest.places -= places;
            self.waiting -= places;
            lost.push(item);
        }
        Some(lost)
    }

    /// Whether a place is free when each source loses what it has above `kept`.
    fn can_make_room(&self, kept: usize) -> bool {
        let mut waiting = self.waiting;
        let mut queues = self.by_source.values();
        while waiting >= self.limits.waiting_max {
            let Some(queue) = queues.next() else { return false };
            waiting -= queue.places_above(kept);
        }
        true
    }
}

impl<T> SourceQueue<T> {
    /// The only item of a source is never too much.
    fn has_more_than(&self, kept: usize) -> bool {
        self.places > kept && self.items.len() > 1
    }

    /// Those of the newest items until no more than `kept` are left, or one item.
    fn places_above(&self, kept: usize) -> usize {
        let mut left = self.places;
        for (_, places) in self.items.iter().skip(1).rev() {
            if left <= kept {
                break;
            }
            left -= places;
        }
        self.places - left
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    const FLOOD: u8 = 0;
    const ALICE: u8 = 1;
    const BOB: u8 = 2;

    fn queue(waiting_max: usize, share: usize) -> FairQueue<u8, u32> {
        FairQueue::new(QueueLimits { waiting_max, share })
    }

    fn drain(queue: &mut FairQueue<u8, u32>) -> Vec<u32> {
        let served = std::iter::from_fn(|| {
            let (source, item) = queue.pop()?;
            queue.done(source);
            Some(item)
        });
        let served = served.collect();
        assert_eq!((queue.waiting, queue.by_source.len(), queue.ready.len()), (0, 0, 0));
        served
    }

    #[test]
    fn each_source_has_its_turn_and_keeps_its_order() {
        let mut line = queue(100, 0);
        for (source, item) in [(FLOOD, 1), (FLOOD, 2), (FLOOD, 3), (ALICE, 10), (BOB, 20), (ALICE, 11)] {
            assert_eq!(line.push(source, item), None);
        }
        assert_eq!(drain(&mut line), [1, 10, 20, 2, 11, 3]);
        assert_eq!(line.push(ALICE, 12), None);
        assert_eq!(drain(&mut line), [12]);
    }

    #[test]
    fn a_source_has_one_item_served_at_a_time() {
        let mut turns = queue(100, 0);
        turns.push(ALICE, 1);
        turns.push(ALICE, 2);
        let (alice, first) = turns.pop().unwrap();
        assert_eq!((first, turns.pop()), (1, None));
        turns.push(ALICE, 3);
        assert_eq!(turns.pop(), None);
        turns.done(alice);
        assert_eq!(drain(&mut turns), [2, 3]);
    }

    #[test]
    fn a_source_that_has_nothing_served_is_done_with_nothing() {
        let mut turns = queue(100, 0);
        turns.done(BOB);
        assert_eq!(turns.pop(), None);
        turns.push(ALICE, 1);
        turns.push(ALICE, 2);
        turns.done(ALICE);
        let (alice, first) = turns.pop().unwrap();
        assert_eq!((first, turns.pop()), (1, None), "she still has one turn at a time");
        turns.done(alice);
        turns.done(alice);
        assert_eq!(drain(&mut turns), [2]);
    }

    #[test]
    fn a_large_item_takes_several_places_and_the_last_one_may_pass_the_limit() {
        let mut turns = queue(10, 4);
        assert_eq!(turns.push_large(ALICE, 1, 4), [0; 0]);
        assert_eq!(turns.push_large(BOB, 2, 4), [0; 0]);
        assert_eq!(turns.push_large(3, 3, 4), [0; 0]);
        assert_eq!((turns.waiting, turns.has_room()), (12, false));
        assert_eq!(turns.push_large(4, 4, 1), [4]);
        let (alice, _) = turns.pop().unwrap();
        turns.done(alice);
        assert_eq!((turns.waiting, turns.has_room()), (8, true));
        assert_eq!(turns.push(4, 4), None);
        assert_eq!(drain(&mut turns), [2, 3, 4]);
    }

    #[test]
    fn a_flood_of_large_items_loses_as_many_as_the_others_need() {
        let mut turns = queue(10, 2);
        assert_eq!(turns.push_large(FLOOD, 0, 3), [0; 0]);
        for item in 1..=5 {
            assert_eq!(turns.push(FLOOD, item), None);
        }
        assert_eq!(turns.push_large(FLOOD, 6, 4), [0; 0]);
        assert_eq!(turns.push_large(FLOOD, 7, 4), [7]);
        assert_eq!(turns.push(ALICE, 10), Some(6), "one of four places");
        assert_eq!(turns.push_large(BOB, 20, 2), [0; 0]);
        assert_eq!(turns.push_large(ALICE, 11, 1), [5, 4]);
        assert_eq!(turns.items_mut().count(), 7);
        assert_eq!(drain(&mut turns), [0, 10, 20, 1, 11, 2, 3]);
    }

    #[test]
    fn nobody_loses_a_place_that_is_not_enough() {
        let mut turns = queue(10, 4);
        for item in 1..=5 {
            assert_eq!(turns.push(FLOOD, item), None);
        }
        assert_eq!(turns.push_large(ALICE, 10, 4), [0; 0]);
        assert_eq!(turns.push_large(BOB, 20, 4), [0; 0]);
        assert_eq!((turns.waiting, turns.has_room()), (13, false), "the flood has one too many, and four are needed");
        assert_eq!(turns.push(3, 30), Some(30));
        assert_eq!(drain(&mut turns), [1, 10, 20, 2, 3, 4, 5]);
    }

    #[test]
    fn the_only_item_of_a_source_is_its_share_however_large_it_is() {
        let mut turns = queue(10, 2);
        assert_eq!(turns.push_large(ALICE, 10, 6), [0; 0]);
        assert_eq!(turns.push_large(BOB, 20, 6), [0; 0]);
        assert!(!turns.has_room());
        assert_eq!(turns.push(3, 30), Some(30), "neither has more than one");
        let (alice, _) = turns.pop().unwrap();
        turns.done(alice);
        for item in 1..=4 {
            assert_eq!(turns.push(FLOOD, item), None);
        }
        assert_eq!(turns.push(3, 30), Some(4), "of the flood, though Bob has more places");
        assert_eq!(drain(&mut turns), [20, 1, 30, 2, 3]);
    }

    #[test]
    fn a_flood_from_one_source_takes_no_place_from_the_others() {
        let mut line = queue(100, 0);
        for item in 0..1000 {
            assert_eq!(line.push(FLOOD, item), (item >= 100).then_some(item), "of a flood the newest is refused");
        }
        for (source, newest) in (1..=50).zip((50..100).rev()) {
            assert_eq!(line.push(source, 1000 + u32::from(source)), Some(newest));
        }
        assert_eq!((line.waiting, line.by_source.len()), (100, 51));
        let order = drain(&mut line);
        let first_turns: Vec<u32> = (1..=50).map(|source| 1000 + source).collect();
        assert_eq!((order[0], &order[1..51]), (0, &first_turns[..]));
    }

    #[test]
    fn a_queue_full_of_equals_refuses_the_newcomer() {
        let mut line = queue(3, 0);
        assert_eq!([0, 1, 2].map(|source| line.push(source, u32::from(source))), [None; 3]);
        assert_eq!(line.push(3, 3), Some(3));
        assert_eq!(line.push(0, 4), Some(4));
        assert_eq!(drain(&mut line), [0, 1, 2]);
    }

    #[test]
    fn when_too_many_wait_a_source_with_more_than_its_share_loses_its_newest() {
        let mut turns = queue(10, 8);
        for item in 1..=10 {
            assert!(turns.has_room());
            assert_eq!(turns.push(FLOOD, item), None);
        }
        assert_eq!(turns.push(ALICE, 100), Some(10));
        assert_eq!(turns.push(FLOOD, 11), Some(11));
        assert_eq!(turns.push(BOB, 200), Some(9));
        assert!(!turns.has_room(), "nobody has more than the share");
        assert_eq!(turns.push(3, 300), Some(300), "and the bound holds");
        assert_eq!(drain(&mut turns)[..3], [1, 100, 200]);
        assert!(turns.has_room());
    }

    #[test]
    fn a_source_with_its_share_loses_nothing_to_a_flood() {
        let mut turns = queue(10, 2);
        for (source, item) in [(ALICE, 1), (ALICE, 2), (3, 3), (4, 4), (5, 5), (6, 6)] {
            assert_eq!(turns.push(source, item), None);
        }
        for item in 10..14 {
            assert_eq!(turns.push(FLOOD, item), None);
        }
        assert_eq!(turns.push(ALICE, 99), Some(13));
    }

    #[test]
    fn in_a_full_queue_a_source_loses_only_what_is_above_its_share() {
        let mut turns = queue(10, 4);
        for source in [ALICE, ALICE, ALICE, BOB, 3, 4] {
            assert_eq!(turns.push(source, u32::from(source)), None);
        }
        for item in 10..14 {
            assert_eq!(turns.push(FLOOD, item), None);
        }
        assert!(!turns.has_room());
        assert_eq!(turns.push(FLOOD, 14), Some(14));
        turns.pop();
        assert_eq!(turns.push(FLOOD, 15), None);
        assert_eq!(turns.push(ALICE, 1), Some(15), "the flood has more than its share");
    }
}
