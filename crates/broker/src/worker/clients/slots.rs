//! Places with numbers, in pages that never move: what is there grows a page at a time, never to twice its size.

const PAGE: usize = 256;

#[derive(Debug)]
pub(super) struct Slots<T> {
    /// All are full but the last one.
    pages: Vec<Vec<Option<T>>>,
    /// Places that are free again.
    vacant: Vec<u32>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), vacant: Vec::new() }
    }
}

impl<T> Slots<T> {
    pub(super) fn len(&self) -> usize {
        self.capacity() - self.vacant.len()
    }

    /// Every number that was given is below it.
    pub(super) fn capacity(&self) -> usize {
        self.pages.last().map_or(0, |last| (self.pages.len() - 1) * PAGE + last.len())
    }

    pub(super) fn get(&self, slot: usize) -> Option<&T> {
        self.pages.get(slot / PAGE)?.get(slot % PAGE)?.as_ref()
    }

    pub(super) fn get_mut(&mut self, slot: usize) -> Option<&mut T> {
        self.pages.get_mut(slot / PAGE)?.get_mut(slot % PAGE)?.as_mut()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (usize, &T)> {
        self.pages.iter().flatten().enumerate().filter_map(|(slot, item)| Some((slot, item.as_ref()?)))
    }

    /// Returns its number.
    pub(super) fn insert(&mut self, item: T) -> u32 {
        if let Some(slot) = self.vacant.pop()
            && let Some(place) = self.place(slot)
        {
            *place = Some(item);
            return slot;
        }
        let slot = u32::try_from(self.capacity()).expect("fewer clients than fit into memory");
        match self.pages.last_mut().filter(|last| last.len() < PAGE) {
            Some(last) => last.push(Some(item)),
            None => {
                let mut page = Vec::with_capacity(PAGE);
                page.push(Some(item));
                self.pages.push(page);
            }
        }
        slot
    }

    pub(super) fn remove(&mut self, slot: u32) -> Option<T> {
        let item = self.place(slot)?.take()?;
        self.vacant.push(slot);
        Some(item)
    }

    fn place(&mut self, slot: u32) -> Option<&mut Option<T>> {
        self.pages.get_mut(slot as usize / PAGE)?.get_mut(slot as usize % PAGE)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn it_is_a_map_that_names_what_comes(steps in prop::collection::vec((0u8..5, 0usize..600), 1..1_500)) {
            let (mut slots, mut model) = (Slots::default(), BTreeMap::new());
            for (number, (step, slot)) in (0u32..).zip(steps) {
                if step < 3 {
                    let slot = slots.insert(number);
                    prop_assert_eq!(model.insert(slot, number), None, "it is free");
                } else {
                    let slot = u32::try_from(slot).unwrap_or(0);
                    prop_assert_eq!(slots.remove(slot), model.remove(&slot));
                }
                prop_assert_eq!(slots.len(), model.len());
                prop_assert_eq!(slots.get(slot).copied(), model.get(&(slot as u32)).copied());
                prop_assert_eq!(slots.get_mut(slot).copied(), model.get(&(slot as u32)).copied());
            }
            prop_assert!(slots.iter().map(|(slot, number)| (slot as u32, *number)).eq(model));
            prop_assert!(slots.iter().all(|(slot, _)| slot < slots.capacity()));
        }
    }
}
