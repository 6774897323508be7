//! Client ids as keys, and which worker owns them.

use std::fmt;
use std::sync::Arc;

/// Between Group ID and Device ID.
const SEPARATOR: &str = "@@@";

/// A client id as what maps and mailboxes are keyed by; cheap to clone. Its grammar is the login's matter.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ClientKey(Arc<str>);

impl ClientKey {
    pub(crate) fn new(id: &str) -> Self {
        Self(id.into())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// The same key, not only an equal one. As long as one of them is kept, its [`address`](Self::address) is nobody else's.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    /// The same for a key and its clones.
    pub(crate) fn address(&self) -> usize {
        self.0.as_ptr().addr()
    }

    /// The Group ID, if it has one.
    pub(crate) fn group(&self) -> Option<&str> {
        self.0.split_once(SEPARATOR).map(|(group, _)| group)
    }

    /// Which of `workers` owns the client.
    pub(crate) fn owner(id: &str, workers: usize) -> usize {
        usize::try_from((Self::hash_of(id) >> 32) % workers.max(1) as u64).unwrap_or(0)
    }

    /// FNV-1a: the same in every run, since it stands in the log.
    pub(crate) fn hash_of(id: &str) -> u64 {
        id.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
    }
}

impl std::borrow::Borrow<str> for ClientKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_is_what_stands_before_the_separator() {
        assert_eq!(ClientKey::new("GID_dev@@@alice-1").group(), Some("GID_dev"));
        assert_eq!(ClientKey::new("plain").group(), None);
    }

    #[test]
    fn the_hash_never_changes() {
        assert_eq!(ClientKey::hash_of(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(ClientKey::hash_of("a"), 0xaf63_dc4c_8601_ec8c);
    }
}
