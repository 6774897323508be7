//! The two lines of entries that wait. One entry takes no memory of its own: most sessions without a connection have one.

use super::Priority;
use super::line::{Line, Waiting};

#[derive(Debug, Default)]
pub(super) enum Lines<E> {
    #[default]
    Empty,
    One {
        entry: E,
        priority: Priority,
        dup: bool,
    },
    /// Also while there are fewer, so that a few entries at a time cost no allocation each.
    Many(Box<Both<E>>),
}

#[derive(Debug)]
pub(super) struct Both<E> {
    urgent: Line<E>,
    normal: Line<E>,
}

impl<E: Copy> Lines<E> {
    pub(super) fn len(&self) -> usize {
        match self {
            Self::Empty => 0,
            Self::One { .. } => 1,
            Self::Many(both) => both.len(),
        }
    }

    /// In the order they will be handed out.
    pub(super) fn entries(&self, asked: Priority) -> impl Iterator<Item = E> {
        let (one, line) = match self {
            Self::Empty => (None, None),
            Self::One { entry, priority, .. } => (Some(*entry).filter(|_| *priority == asked), None),
            Self::Many(both) => (None, Some(both.line(asked))),
        };
        one.into_iter().chain(line.into_iter().flat_map(Line::entries))
    }

    pub(super) fn push_back(&mut self, entry: E, priority: Priority) {
        match self {
            Self::Empty => *self = Self::One { entry, priority, dup: false },
            Self::One { entry: first, priority: its, dup } => {
                let mut both = Both::with(Waiting { entry: *first, dup: *dup }, *its);
                both.line_mut(priority).push_back(entry);
                *self = Self::Many(both);
            }
            Self::Many(both) => both.line_mut(priority).push_back(entry),
        }
    }

    pub(super) fn push_front(&mut self, entry: E, priority: Priority) {
        self.put_back(Waiting { entry, dup: false }, priority);
    }

    /// Puts it where it was taken from: at the front of its line.
    pub(super) fn put_back(&mut self, last: Waiting<E>, priority: Priority) {
        match self {
            Self::Empty => *self = Self::One { entry: last.entry, priority, dup: last.dup },
            Self::One { entry: first, priority: its, dup } => {
                let mut both = Both::with(Waiting { entry: *first, dup: *dup }, *its);
                both.line_mut(priority).put_back(last);
                *self = Self::Many(both);
            }
            Self::Many(both) => both.line_mut(priority).put_back(last),
        }
    }

    pub(super) fn pop_front(&mut self, priority: Priority) -> Option<Waiting<E>> {
        match self {
            Self::One { entry, priority: its, dup } if *its == priority => {
                let waiting = Waiting { entry: *entry, dup: *dup };
                *self = Self::Empty;
                Some(waiting)
            }
            Self::Empty | Self::One { .. } => None,
            Self::Many(both) => {
                let waiting = both.line_mut(priority).pop_front();
                self.give_back();
                waiting
            }
        }
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&E) -> bool) {
        match self {
            Self::Empty => {}
            Self::One { entry, .. } => {
                if !keep(entry) {
                    *self = Self::Empty;
                }
            }
            Self::Many(both) => {
                both.urgent.retain(&mut keep);
                both.normal.retain(&mut keep);
            }
        }
    }

    /// Of all that waits now.
    pub(super) fn mark_all_dup(&mut self) {
        match self {
            Self::Empty => {}
            Self::One { dup, .. } => *dup = true,
            Self::Many(both) => {
                both.urgent.mark_all_dup();
                both.normal.mark_all_dup();
            }
        }
    }

    pub(super) fn shrink(&mut self) {
        let Self::Many(both) = self else { return };
        if both.len() > 1 {
            both.urgent.shrink();
            both.normal.shrink();
            return;
        }
        let last = [Priority::Urgent, Priority::Normal].into_iter().find_map(|priority| {
            let Waiting { entry, dup } = both.line_mut(priority).pop_front()?;
            Some(Self::One { entry, priority, dup })
        });
        *self = last.unwrap_or_default();
    }

    /// Both lines gave the memory of a burst back.
    fn give_back(&mut self) {
        if let Self::Many(both) = self
            && both.urgent.capacity() + both.normal.capacity() == 0
        {
            *self = Self::Empty;
        }
    }
}

impl<E: Copy> Both<E> {
    fn with(first: Waiting<E>, priority: Priority) -> Box<Self> {
        let mut both = Box::new(Self { urgent: Line::new(), normal: Line::new() });
        both.line_mut(priority).put_back(first);
        both
    }

    fn len(&self) -> usize {
        self.urgent.len() + self.normal.len()
    }

    fn line(&self, priority: Priority) -> &Line<E> {
        match priority {
            Priority::Urgent => &self.urgent,
            Priority::Normal => &self.normal,
        }
    }

    fn line_mut(&mut self, priority: Priority) -> &mut Line<E> {
        match priority {
            Priority::Urgent => &mut self.urgent,
            Priority::Normal => &mut self.normal,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;

    use proptest::prelude::*;

    use super::*;

    const BOTH: [Priority; 2] = [Priority::Urgent, Priority::Normal];

    proptest! {
        /// It is two queues in which each entry carries its own DUP, also when it has given memory back at any time.
        #[test]
        fn it_holds_what_two_queues_of_pairs_would(
            restored in 0usize..4,
            steps in prop::collection::vec((0u8..7, 0usize..2, 1u32..6), 1..80),
        ) {
            let (mut lines, mut model) = (Lines::default(), [VecDeque::new(), VecDeque::new()]);
            for number in 0..restored {
                lines.push_back(7, BOTH[number % 2]);
                model[number % 2].push_back((7, true));
            }
            lines.mark_all_dup();
            for (number, (step, line, divisor)) in (0u32..).zip(steps) {
                let priority = BOTH[line];
                match step {
                    0 | 1 => {
                        lines.push_back(number, priority);
                        model[line].push_back((number, false));
                    }
                    2 => {
                        lines.push_front(number, priority);
                        model[line].push_front((number, false));
                    }
                    3 => {
                        let popped = lines.pop_front(priority).map(|waiting| (waiting.entry, waiting.dup));
                        prop_assert_eq!(popped, model[line].pop_front());
                    }
                    4 => {
                        if let Some(popped) = lines.pop_front(priority) {
                            lines.put_back(popped, priority);
                        }
                    }
                    5 => {
                        let (mut a, mut b) = (0, 0);
                        lines.retain(|_| { a += 1; a % divisor != 0 });
                        model.iter_mut().for_each(|line| line.retain(|_| { b += 1; b % divisor != 0 }));
                    }
                    _ => lines.shrink(),
                }
                prop_assert_eq!(lines.len(), model[0].len() + model[1].len());
                for (priority, model) in BOTH.into_iter().zip(&model) {
                    prop_assert!(lines.entries(priority).eq(model.iter().map(|(entry, _)| *entry)));
                }
            }
            for (priority, model) in BOTH.into_iter().zip(&mut model) {
                while let Some(Waiting { entry, dup }) = lines.pop_front(priority) {
                    prop_assert_eq!(Some((entry, dup)), model.pop_front());
                }
                prop_assert!(model.is_empty());
            }
        }
    }

    #[test]
    fn one_entry_is_held_without_an_allocation_also_after_a_burst() {
        for priority in BOTH {
            let mut lines = Lines::default();
            (0..100).for_each(|number| lines.push_back(number, priority));
            (0..99).for_each(|_| assert!(lines.pop_front(priority).is_some()));
            lines.shrink();
            assert!(matches!(lines, Lines::One { entry: 99, dup: false, .. }), "{lines:?}");
            assert!(lines.pop_front(priority).is_some() && matches!(lines, Lines::Empty));
        }
    }

    #[test]
    fn lines_that_are_empty_again_hold_no_memory_of_a_burst() {
        let mut lines = Lines::default();
        (0..100).for_each(|number| lines.push_back(number, Priority::Urgent));
        while lines.pop_front(Priority::Urgent).is_some() {}
        assert!(matches!(lines, Lines::Empty), "{lines:?}");
    }
}
