//! The collapse keys that one inbox has seen, each with its highest version, until the message's expiry.

use std::collections::BTreeMap;

use super::EntryId;
use crate::message::Collapse;

/// Collapse keys that one inbox remembers. At the limit the key that expires first is forgotten.
const KEYS_MAX: usize = 4096;

/// Small while there are none: most inboxes never see one.
#[derive(Debug, Default)]
#[expect(clippy::box_collection, reason = "one word while there are none")]
pub(super) struct CollapseKeys(Option<Box<BTreeMap<Box<str>, Seen>>>);

#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    pub(super) version: u64,
    pub(super) entry: EntryId,
    until_ms: u64,
}

impl CollapseKeys {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// What was seen of the key and has not expired.
    pub(super) fn find(&self, key: &str, now_ms: u64) -> Option<Seen> {
        self.0.as_ref()?.get(key).copied().filter(|seen| seen.until_ms > now_ms)
    }

    pub(super) fn remember(&mut self, entry: EntryId, collapse: &Collapse, until_ms: u64) {
        let keys = self.0.get_or_insert_default();
        // Ids rise with each admission, and only a higher version or one after the expiry was admitted.
        if keys.get(&collapse.key).is_some_and(|seen| seen.entry > entry) {
            return;
        }
        if keys.len() >= KEYS_MAX && !keys.contains_key(&collapse.key) {
            forget_earliest(keys);
        }
        keys.insert(collapse.key.clone(), Seen { version: collapse.version, until_ms, entry });
    }

    /// Forgets what has expired.
    pub(super) fn sweep(&mut self, now_ms: u64) {
        if let Some(keys) = &mut self.0 {
            keys.retain(|_, seen| seen.until_ms > now_ms);
            if keys.is_empty() {
                self.0 = None;
            }
        }
    }
}

fn forget_earliest(keys: &mut BTreeMap<Box<str>, Seen>) {
    let earliest = keys.iter().min_by_key(|(_, seen)| seen.until_ms).map(|(key, _)| key.clone());
    if let Some(key) = earliest {
        keys.remove(&key);
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
        assert!(keys.find("0", 0).is_none());
        assert!(keys.find("1", 100).is_some() && keys.find(&KEYS_MAX.to_string(), 100).is_some());
        keys.sweep(u64::MAX);
        assert!(keys.is_empty());
    }
}
