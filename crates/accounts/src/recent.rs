//! A map that keeps the recently used: bounded, every operation in constant time.
//!
//! Two generations: what is used moves to the young one; when that is full it becomes the old one, and what was old
//! and unused is gone. So at least half of the bound, and never more than all of it, is kept.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;

#[derive(Debug)]
pub(crate) struct Recent<K, V> {
    young: HashMap<K, V>,
    old: HashMap<K, V>,
    generation_max: usize,
}

impl<K: Hash + Eq, V> Recent<K, V> {
    pub(crate) fn new(bound: usize) -> Self {
        Self { young: HashMap::new(), old: HashMap::new(), generation_max: (bound / 2).max(1) }
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.old.remove(&key);
        if self.young.len() >= self.generation_max && !self.young.contains_key(&key) {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// Counts as a use.
    pub(crate) fn get_mut<Q>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        if let Some((key, value)) = self.old.remove_entry(key) {
            self.insert(key, value);
        }
        self.young.get_mut(key)
    }

    pub(crate) fn remove<Q>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
        Q: Hash + Eq + ?Sized,
    {
        self.young.remove(key).or_else(|| self.old.remove(key))
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }
}

#[cfg(test)]
mod tests {
    use super::Recent;

    #[test]
    fn it_never_holds_more_than_its_bound_and_keeps_what_is_used() {
        let mut recent = Recent::new(8);
        recent.insert(0, 'k');
        for key in 1..100 {
            recent.insert(key, 'x');
            assert!(recent.len() <= 8);
            assert_eq!(recent.get_mut(&0).copied(), Some('k'));
        }
        assert_eq!(recent.get_mut(&1), None);
        assert_eq!(recent.get_mut(&99).copied(), Some('x'));
    }

    #[test]
    fn a_newer_value_replaces_and_a_removed_one_is_gone_from_both_generations() {
        let mut recent = Recent::new(2);
        recent.insert(1, 'a');
        recent.insert(2, 'b');
        recent.insert(1, 'c');
        assert_eq!(recent.remove(&1), Some('c'));
        assert_eq!(recent.get_mut(&1), None);
        assert_eq!(recent.len(), 1);
    }
}
