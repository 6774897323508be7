//! A bounded line in which every source has its turn. Pure.
//!
//! Each source has a queue of its own, and the queues are served one item each in turn: whoever asks for much waits
//! behind itself only. When the line is full, the place is taken from the source that has most.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;

#[derive(Debug)]
pub(super) struct Line<S, T> {
    queues: HashMap<S, VecDeque<T>>,
    /// Sources that have something, in the order of their turns.
    turns: VecDeque<S>,
    len: usize,
    max: usize,
}

impl<S: Copy + Eq + Hash, T> Line<S, T> {
    pub(super) fn new(max: usize) -> Self {
        Self { queues: HashMap::new(), turns: VecDeque::new(), len: 0, max }
    }

    /// Returns what has no place in a full line: the newest of the source that has most.
    pub(super) fn push(&mut self, source: S, item: T) -> Option<T> {
        let mut refused = None;
        if self.len >= self.max {
            refused = self.take_from_longest(source);
            if refused.is_none() {
                return Some(item);
            }
        }
        let queue = self.queues.entry(source).or_default();
        if queue.is_empty() {
            self.turns.push_back(source);
        }
        queue.push_back(item);
        self.len += 1;
        refused
    }

    pub(super) fn pop(&mut self) -> Option<T> {
        let source = self.turns.pop_front()?;
        let queue = self.queues.get_mut(&source)?;
        let item = queue.pop_front();
        if queue.is_empty() {
            self.queues.remove(&source);
        } else {
            self.turns.push_back(source);
        }
        self.len -= usize::from(item.is_some());
        item
    }

    /// `None`: nobody has more than `source` would have.
    fn take_from_longest(&mut self, source: S) -> Option<T> {
        let own = self.queues.get(&source).map_or(0, VecDeque::len);
        // Whoever floods has more than the average, and costs no search.
        if own * self.queues.len() > self.len {
            return None;
        }
        let longest = self.queues.values_mut().max_by_key(|queue| queue.len()).filter(|queue| queue.len() > own + 1)?;
        self.len -= 1;
        longest.pop_back()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FLOOD: u8 = 0;

    fn drain(line: &mut Line<u8, u32>) -> Vec<u32> {
        std::iter::from_fn(|| line.pop()).collect()
    }

    #[test]
    fn each_source_has_its_turn_and_keeps_its_order() {
        let mut line = Line::new(100);
        for (source, item) in [(FLOOD, 1), (FLOOD, 2), (FLOOD, 3), (1, 10), (2, 20), (1, 11)] {
            assert_eq!(line.push(source, item), None);
        }
        assert_eq!(drain(&mut line), [1, 10, 20, 2, 11, 3]);
        assert_eq!(line.push(1, 12), None);
        assert_eq!(drain(&mut line), [12]);
        assert_eq!((line.len, line.queues.len(), line.turns.len()), (0, 0, 0));
    }

    #[test]
    fn a_flood_from_one_source_takes_no_place_from_the_others() {
        let mut line = Line::new(100);
        for item in 0..1000 {
            assert_eq!(line.push(FLOOD, item), (item >= 100).then_some(item), "of a flood the newest is refused");
        }
        for (source, newest) in (1..=50).zip((50..100).rev()) {
            assert_eq!(line.push(source, 1000 + u32::from(source)), Some(newest));
        }
        assert_eq!((line.len, line.queues.len()), (100, 51));
        let order = drain(&mut line);
        let first_turns: Vec<u32> = (1..=50).map(|source| 1000 + source).collect();
        assert_eq!((order[0], &order[1..51]), (0, &first_turns[..]));
    }

    #[test]
    fn a_line_full_of_equals_refuses_the_newcomer() {
        let mut line = Line::new(3);
        assert_eq!([0, 1, 2].map(|source| line.push(source, u32::from(source))), [None; 3]);
        assert_eq!(line.push(3, 3), Some(3));
        assert_eq!(line.push(0, 4), Some(4));
        assert_eq!(drain(&mut line), [0, 1, 2]);
    }
}
