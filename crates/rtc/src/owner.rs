//! Whose channels are whose. Each owner has a space of names of its own, and sees nothing of the others'.

use signalling::ChannelId;
use std::fmt;
use std::sync::Arc;

/// Whoever puts channels: the meeting service, or the app of an API key. Opaque; cheap to clone.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner(Arc<str>);

impl Default for Owner {
    /// The only one of a server that serves one.
    fn default() -> Self {
        Self::from("")
    }
}

impl From<&str> for Owner {
    fn from(name: &str) -> Self {
        Self(name.into())
    }
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A channel of an owner.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ChannelKey {
    pub(crate) owner: Owner,
    pub(crate) channel: ChannelId,
}

impl fmt::Display for ChannelKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.owner, self.channel)
    }
}
