//! Identifiers inside the engine, each the log position of the record that created the thing; and its two clocks.

use std::time::Duration;

use commitlog::Position;

macro_rules! id {
    ($($name:ident),*) => {$(
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) struct $name(pub(crate) u64);

        impl From<Position> for $name {
            fn from(position: Position) -> Self {
                Self(position.0)
            }
        }
    )*};
}

id!(TopicId, GroupId, SubscriptionId);

/// Time since the engine was started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Now(pub(crate) Duration);

impl Now {
    pub(crate) fn after(self, span: Duration) -> Self {
        Self(self.0.saturating_add(span))
    }
}

/// Milliseconds since 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct WallMs(pub(crate) u64);
