//! Deadlines of one worker, earliest first.
//!
//! Moving a deadline later costs nothing: the entry stays where it is, fires early, and the owner says when it is really
//! due. Moving it earlier leaves an entry behind that counts no longer; when those are the most, they are thrown out.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};
use std::hash::Hash;
use std::time::Instant;

/// Entries that count no longer, beyond as many as there are keys.
const STALE_MAX: usize = 64;

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
        if self.heap.len() > 2 * self.armed.len() + STALE_MAX {
            self.heap = self.armed.iter().map(|(key, due)| Reverse((*due, *key))).collect();
        }
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

    #[test]
    fn a_deadline_that_goes_back_and_forth_takes_no_more_and_more_memory() {
        let start = Instant::now();
        let far = start + Duration::from_secs(3600);
        let mut timers = Timers::new();
        timers.arm(0, far);
        for ms in 0..10_000 {
            let near = start + Duration::from_millis(ms);
            timers.arm(1, near);
            assert_eq!(timers.fire(near), Some(1));
            timers.arm(1, far);
        }
        assert!(timers.heap.len() <= 2 * 2 + STALE_MAX, "{}", timers.heap.len());
        assert_eq!((timers.fire(far), timers.fire(far), timers.fire(far)), (Some(0), Some(1), None));
    }
}
