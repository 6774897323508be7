//! Deadlines of one worker, earliest first.
//!
//! Each key has at most one entry. Moving a deadline later costs nothing: the entry stays where it is, fires early, and
//! the owner says when it is really due.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// Lazy timers: `fire` may come early, never late.
#[derive(Debug)]
pub(crate) struct Timers<K> {
    heap: BinaryHeap<Reverse<(Instant, K)>>,
    armed: HashMap<K, Instant>,
}

impl<K: Copy + Eq + Hash + Ord> Timers<K> {
    pub(crate) fn new() -> Self {
        Self { heap: BinaryHeap::new(), armed: HashMap::new() }
    }

    /// Makes sure that the key fires at `due` or before.
    pub(crate) fn arm(&mut self, key: K, due: Instant) {
        if self.armed.get(&key).is_some_and(|armed| *armed <= due) {
            return;
        }
        self.armed.insert(key, due);
        self.heap.push(Reverse((due, key)));
    }

    pub(crate) fn forget(&mut self, key: K) {
        self.armed.remove(&key);
    }

    pub(crate) fn next_due(&mut self) -> Option<Instant> {
        self.skip_stale();
        self.heap.peek().map(|Reverse((due, _))| *due)
    }

    /// The next key whose deadline has passed; it is no longer armed.
    pub(crate) fn fire(&mut self, now: Instant) -> Option<K> {
        self.skip_stale();
        let Reverse((due, key)) = *self.heap.peek()?;
        if due > now {
            return None;
        }
        self.heap.pop();
        self.armed.remove(&key);
        Some(key)
    }

    fn skip_stale(&mut self) {
        while let Some(Reverse((due, key))) = self.heap.peek() {
            if self.armed.get(key) == Some(due) {
                return;
            }
            self.heap.pop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn the_earliest_deadline_fires_first_and_only_once() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timers = Timers::new();
        timers.arm(1, at(30));
        timers.arm(2, at(10));
        timers.arm(1, at(20));
        timers.arm(1, at(40));
        timers.arm(3, at(5));
        timers.forget(3);
        assert_eq!(timers.next_due(), Some(at(10)));
        assert_eq!(timers.fire(at(9)), None);
        assert_eq!(timers.fire(at(50)), Some(2));
        assert_eq!(timers.fire(at(50)), Some(1));
        assert_eq!(timers.fire(at(50)), None);
        assert_eq!(timers.next_due(), None);
    }
}
