//! An ordered set in sorted stretches of memory that are nearly full: a tree of the standard library leaves nearly half of its
//! places empty when what comes rises, and all clients that are away stand in two of them.

const STRETCH_MAX: usize = 128;
/// One that is shorter joins a neighbour, if that has room.
const STRETCH_MIN: usize = STRETCH_MAX / 4;
const JOINED_MAX: usize = STRETCH_MAX - STRETCH_MIN;
const GROWTH: usize = 8;

/// No stretch is empty; all in one are less than all in the next.
#[derive(Debug)]
pub(super) struct PackedSet<T>(Vec<Vec<T>>);

impl<T> Default for PackedSet<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Ord + Copy> PackedSet<T> {
    pub(super) fn first(&self) -> Option<&T> {
        self.0.first()?.first()
    }

    pub(super) fn pop_first(&mut self) -> Option<T> {
        let first = *self.first()?;
        self.remove(&first);
        Some(first)
    }

    /// From the first on.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        self.0.iter().flatten()
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.0.iter().map(Vec::len).sum()
    }

    /// The first stretch that does not end before `item`.
    fn stretch_of(&self, item: &T) -> usize {
        self.0.partition_point(|stretch| stretch.last().is_some_and(|last| last < item))
    }

    pub(super) fn insert(&mut self, item: T) {
        // Behind all there is: the last stretch goes on.
        let at = self.stretch_of(&item).min(self.0.len().saturating_sub(1));
        let Some(stretch) = self.0.get_mut(at) else { return self.0.push(vec![item]) };
        let Err(place) = stretch.binary_search(&item) else { return };
        if stretch.len() < STRETCH_MAX {
            return put(stretch, place, item);
        }
        if place == STRETCH_MAX {
            return self.0.insert(at + 1, vec![item]);
        }
        let mut behind = stretch.split_off(STRETCH_MAX / 2);
        stretch.shrink_to_fit();
        match place.checked_sub(stretch.len()) {
            Some(place) => put(&mut behind, place, item),
            None => put(stretch, place, item),
        }
        self.0.insert(at + 1, behind);
    }

    pub(super) fn remove(&mut self, item: &T) {
        let at = self.stretch_of(item);
        let Some(stretch) = self.0.get_mut(at) else { return };
        let Ok(place) = stretch.binary_search(item) else { return };
        stretch.remove(place);
        if stretch.is_empty() {
            self.0.remove(at);
            return;
        }
        give_back(stretch);
        if stretch.len() < STRETCH_MIN {
            self.join(at);
        }
    }

    /// Puts a stretch that became short and one of its neighbours together.
    fn join(&mut self, at: usize) {
        for first in [Some(at), at.checked_sub(1)].into_iter().flatten() {
            let [before, behind, ..] = &mut self.0[first..] else { continue };
            if before.len() + behind.len() <= JOINED_MAX {
                before.reserve_exact(behind.len());
                before.append(behind);
                self.0.remove(first + 1);
                return;
            }
        }
    }
}

fn give_back<T>(stretch: &mut Vec<T>) {
    if stretch.capacity() > stretch.len() + 2 * GROWTH {
        stretch.shrink_to(stretch.len() + GROWTH);
    }
}

fn put<T>(stretch: &mut Vec<T>, place: usize, item: T) {
    if stretch.len() == stretch.capacity() {
        stretch.reserve_exact(GROWTH);
    }
    stretch.insert(place, item);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use proptest::prelude::*;

    fn places<T>(set: &PackedSet<T>) -> usize {
        set.0.iter().map(Vec::capacity).sum()
    }

    proptest! {
        #[test]
        fn it_holds_what_a_tree_would(
            steps in prop::collection::vec((0u8..6, 0u32..600), 1..2_000),
        ) {
            let (mut set, mut model) = (PackedSet::default(), BTreeSet::new());
            for (number, (step, item)) in (1_000u32..).zip(steps) {
                match step {
                    0 | 1 => {
                        set.insert(item);
                        model.insert(item);
                    }
                    2 => {
                        set.insert(number);
                        model.insert(number);
                    }
                    3 | 4 => {
                        set.remove(&item);
                        model.remove(&item);
                    }
                    _ => prop_assert_eq!(set.pop_first(), model.pop_first()),
                }
                prop_assert_eq!(set.first(), model.first());
            }
            prop_assert!(set.iter().eq(&model));
            prop_assert_eq!(set.len(), model.len());
            prop_assert!(set.0.iter().all(|stretch| !stretch.is_empty() && stretch.len() <= STRETCH_MAX));
        }
    }

    #[test]
    fn few_of_its_places_are_empty_whatever_comes_and_goes() {
        const COUNT: u64 = 100_000;
        // Rising, falling, and all over the place: the factor has no divisor in common with the count.
        for (order, factor) in [("rising", 1), ("falling", COUNT - 1), ("scattered", 61_803)] {
            let mut set = PackedSet::default();
            (0..COUNT).for_each(|number| set.insert(number * factor % COUNT));
            let (empty, stretches) = (places(&set) - set.len(), set.0.len());
            assert!(empty * 8 <= set.len(), "{empty} places are empty, {order}");
            assert!(stretches * STRETCH_MAX <= 5 * set.len() / 2, "{stretches} stretches, {order}");
            (0..COUNT).filter(|number| number % 50 != 0).for_each(|number| set.remove(&(number * factor % COUNT)));
            assert_eq!(set.len(), COUNT as usize / 50);
            let (places, stretches) = (places(&set), set.0.len());
            assert!(places <= 2 * set.len(), "{places} places, {order}");
            assert!(stretches * STRETCH_MIN <= 3 * set.len(), "{stretches} stretches, {order}");
            while set.pop_first().is_some() {}
            assert_eq!(set.0.len(), 0);
        }
    }
}
