//! The collapse keys that one inbox has seen, each with its highest version, until the message's expiry.

use super::{Correction, EntryId};
use crate::message::Collapse;
use crate::over::Over;

/// Collapse keys that one inbox remembers. At the limit the key that expires first is forgotten.
pub(crate) const KEYS_MAX: usize = 4096;
const GROWTH_MIN: usize = 2;

/// Sorted by key, and grown by an eighth: a tree leaves nearly half of its memory empty. Small while there are none: most
/// inboxes never see one.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "one word while there are none")]
pub(super) struct CollapseKeys(Option<Box<Vec<Known>>>);

#[derive(Debug)]
struct Known {
    key: Box<str>,
    seen: Seen,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) version: u64,
    pub(super) entry: EntryId,
    pub(super) until_ms: u64,
}

impl CollapseKeys {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn is_full(&self) -> bool {
        self.0.as_ref().is_some_and(|keys| keys.len() >= KEYS_MAX)
    }

    /// What was seen of the key and has not expired.
    pub(super) fn find(&self, key: &str, over: Over) -> Option<Seen> {
        let keys = self.0.as_ref()?;
        let at = place(keys, key).ok()?;
        keys.get(at).map(|known| known.seen).filter(|seen| !over.is_over(seen.until_ms))
    }

    pub(super) fn remember(&mut self, entry: EntryId, collapse: &Collapse, until_ms: u64) {
        let keys = self.0.get_or_insert_default();
        let seen = Seen { version: collapse.version, until_ms, entry };
        if let Ok(at) = place(keys, &collapse.key) {
            // Ids rise with each admission, and only a higher version or one after the expiry was admitted.
            if keys[at].seen.entry <= entry {
                keys[at].seen = seen;
            }
            return;
        }
        if keys.len() >= KEYS_MAX {
            forget_earliest(keys);
        }
        if keys.len() == keys.capacity() {
            keys.reserve_exact((keys.len() / 8).max(GROWTH_MIN));
        }
        let (Ok(at) | Err(at)) = place(keys, &collapse.key);
        keys.insert(at, Known { key: collapse.key.clone(), seen });
    }

    /// Those behind this key, in their order.
    pub(super) fn iter_after(&self, after: Option<&str>) -> impl Iterator<Item = (&str, Seen)> {
        let keys = self.0.as_ref().map_or(&[][..], |keys| keys.as_slice());
        let first = after.map_or(0, |after| keys.partition_point(|known| *known.key <= *after));
        keys[first..].iter().map(|known| (&*known.key, known.seen))
    }

    /// When the first of them expires.
    pub(super) fn earliest_deadline_ms(&self) -> Option<u64> {
        self.0.as_ref()?.iter().map(|known| known.seen.until_ms).min()
    }

    pub(super) fn correct_deadlines(&mut self, correction: Correction) {
        let keys = self.0.iter_mut().flat_map(|keys| keys.iter_mut());
        keys.for_each(|known| correction.apply(&mut known.seen.until_ms));
    }

    /// Forgets what has expired, and gives its memory back.
    pub(super) fn sweep(&mut self, over: Over) {
        let Some(keys) = &mut self.0 else { return };
        keys.retain(|known| !over.is_over(known.seen.until_ms));
        if keys.is_empty() {
            self.0 = None;
        } else if keys.len() < keys.capacity() / 2 {
            keys.shrink_to_fit();
        }
    }
}

/// Where the key is, or where it belongs.
fn place(keys: &[Known], key: &str) -> Result<usize, usize> {
    keys.binary_search_by(|known| (*known.key).cmp(key))
}

fn forget_earliest(keys: &mut Vec<Known>) {
    let earliest = keys.iter().enumerate().min_by_key(|(_, known)| known.seen.until_ms).map(|(at, _)| at);
    if let Some(at) = earliest {
        keys.remove(at);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use commitlog::Position;

    #[test]
    fn at_the_limit_the_key_that_expires_first_is_forgotten() {
        let mut keys = CollapseKeys::default();
        let collapse = |key: u64| Collapse { key: key.to_string().into(), version: 1 };
        (0..=KEYS_MAX as u64).for_each(|key| keys.remember(EntryId::logged(Position(key)), &collapse(key), 100 + key));
        assert!(keys.find("0", Over::by(0)).is_none());
        assert!(keys.find("1", Over::by(100)).is_some() && keys.find(&KEYS_MAX.to_string(), Over::by(100)).is_some());
        keys.sweep(Over::by(u64::MAX));
        assert!(keys.is_empty());
    }
}
