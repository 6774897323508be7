//! How far the feed of changes was followed, and what is not done of what was read.

use std::collections::BTreeMap;

#[derive(Debug, Default)]
pub(super) struct Progress {
    /// All changes up to this one were read.
    pub(super) read_to: u64,
    /// By the number of the change: how much of what it ends has not ended.
    undone: BTreeMap<u64, usize>,
}

impl Progress {
    pub(super) fn from(number: u64) -> Self {
        Self { read_to: number, undone: BTreeMap::new() }
    }

    pub(super) fn has_passed(&self, number: u64) -> bool {
        self.read_to >= number && !self.undone.contains_key(&number)
    }

    /// This change was read, and ends so much.
    pub(super) fn read(&mut self, number: u64, ends: usize) {
        self.read_to = self.read_to.max(number);
        if ends > 0 {
            self.undone.insert(number, ends);
        }
    }

    /// One thing of it has ended; `true`: it was the last.
    pub(super) fn one_is_done(&mut self, number: u64) -> bool {
        let Some(left) = self.undone.get_mut(&number) else { return false };
        *left -= 1;
        let is_last = *left == 0;
        if is_last {
            self.undone.remove(&number);
        }
        is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_passed_when_it_is_read_and_all_that_it_ends_has_ended_whatever_others_wait_for() {
        let mut progress = Progress::from(4);
        assert!(progress.has_passed(4) && !progress.has_passed(5));
        progress.read(5, 2);
        progress.read(7, 0);
        assert_eq!((progress.has_passed(5), progress.has_passed(7)), (false, true));
        assert!(!progress.one_is_done(5) && progress.one_is_done(5) && !progress.one_is_done(5));
        assert!(progress.has_passed(5) && progress.undone.is_empty());
    }
}
