//! A line of entries that wait, eight bytes each for a handle of eight bytes.
//!
//! DUP is a property of what waited when a restart was unclean: these entries stay together, so the line knows only
//! where they begin and end. The line grows by an eighth, and gives the memory of a burst back while it empties.

use std::collections::VecDeque;
use std::ops::Range;

/// A line that grew past this gives its memory back when it needs less than a quarter of it.
pub(super) const KEPT_CAPACITY: usize = 8;
/// From the second entry on: most inboxes of clients that are away have one.
const GROWTH_MIN: usize = 4;

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Waiting<E> {
    pub(super) entry: E,
    pub(super) dup: bool,
}

#[derive(Debug)]
pub(super) struct Line<E> {
    entries: VecDeque<E>,
    /// Places of `entries`.
    dups: Range<u32>,
}

impl<E: Copy> Line<E> {
    pub(super) const fn new() -> Self {
        Self { entries: VecDeque::new(), dups: 0..0 }
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn entries(&self) -> impl Iterator<Item = E> {
        self.entries.iter().copied()
    }

    pub(super) fn push_back(&mut self, entry: E) {
        self.grow();
        self.entries.push_back(entry);
    }

    fn push_front(&mut self, entry: E) {
        self.grow();
        self.entries.push_front(entry);
        self.dups = self.dups.start + 1..self.dups.end + 1;
    }

    /// Undoes the last [`Self::pop_front`].
    pub(super) fn put_back(&mut self, last: Waiting<E>) {
        self.push_front(last.entry);
        if last.dup {
            self.dups.start = 0;
        }
    }

    fn grow(&mut self) {
        let len = self.entries.len();
        if len == self.entries.capacity() {
            self.entries.reserve_exact(if len == 0 { 1 } else { (len / 8).max(GROWTH_MIN) });
        }
    }

    pub(super) fn pop_front(&mut self) -> Option<Waiting<E>> {
        let entry = self.entries.pop_front()?;
        let dup = self.dups.contains(&0);
        self.dups = self.dups.start.saturating_sub(1)..self.dups.end.saturating_sub(1);
        self.give_back();
        Some(Waiting { entry, dup })
    }

    fn give_back(&mut self) {
        let (len, capacity) = (self.entries.len(), self.entries.capacity());
        if capacity > KEPT_CAPACITY && len < capacity / 4 {
            // Past what is kept, so that the last one that goes gives back all.
            self.entries.shrink_to(if len == 0 { 0 } else { (2 * len).max(KEPT_CAPACITY + 1) });
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&E) -> bool) {
        let before = self.dups.clone();
        let mut at = 0u32;
        self.entries.retain(|entry| {
            let stays = keep(entry);
            if !stays {
                self.dups.start -= u32::from(at < before.start);
                self.dups.end -= u32::from(at < before.end);
            }
            at += 1;
            stays
        });
    }

    pub(super) fn mark_all_dup(&mut self) {
        self.dups = 0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX);
    }

    pub(super) fn shrink(&mut self) {
        self.entries.shrink_to_fit();
    }

    pub(super) fn capacity(&self) -> usize {
        self.entries.capacity()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// It is a queue in which each entry carries its own DUP.
        #[test]
        fn it_holds_what_a_queue_of_pairs_would(
            restored in 0usize..8,
            steps in prop::collection::vec((0u8..6, 1u32..6), 1..80),
        ) {
            let (mut line, mut model) = (Line::new(), VecDeque::new());
            (0..restored).for_each(|_| line.push_back(7));
            model.resize(restored, (7, true));
            line.mark_all_dup();
            for (number, (step, divisor)) in (0u32..).zip(steps) {
                match step {
                    0 | 1 => {
                        line.push_back(number);
                        model.push_back((number, false));
                    }
                    2 => {
                        line.push_front(number);
                        model.push_front((number, false));
                    }
                    3 => {
                        let popped = line.pop_front().map(|waiting| (waiting.entry, waiting.dup));
                        prop_assert_eq!(popped, model.pop_front());
                    }
                    4 => {
                        if let Some(popped) = line.pop_front() {
                            line.put_back(popped);
                        }
                    }
                    _ => {
                        // By place, since entries that were restored are alike.
                        let (mut a, mut b) = (0, 0);
                        line.retain(|_| { a += 1; a % divisor != 0 });
                        model.retain(|_| { b += 1; b % divisor != 0 });
                    }
                }
                prop_assert_eq!(line.len(), model.len());
            }
            while let Some(Waiting { entry, dup }) = line.pop_front() {
                prop_assert_eq!(Some((entry, dup)), model.pop_front());
            }
            prop_assert!(model.is_empty());
        }
    }

    #[test]
    fn a_line_that_is_empty_again_holds_no_memory_of_a_burst() {
        let mut line = Line::new();
        (0..1000).for_each(|number| line.push_back(number));
        assert!(line.entries.capacity() <= 1128);
        while line.pop_front().is_some() {}
        assert_eq!(line.entries.capacity(), 0);
    }
}
