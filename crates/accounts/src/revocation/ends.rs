//! What a change ends, by the lane that does it.

use catalog::{ChangeRow, Cut, Kind};

/// Which of two ways along the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lane {
    /// What waits for no disk.
    AtOnce,
    /// What removed devices leave behind.
    ForGood,
}

/// What a change ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum End {
    Cut(Cut),
    /// The time of this access key or of its secrets was changed.
    OfTime {
        key_id: String,
    },
    /// The session of a removed device, and what waits for it.
    Remains {
        client_id: String,
        key_id: String,
    },
}

impl End {
    /// Whether it is under the rules of access, which have to be in force before.
    pub(super) fn concerns_access(&self) -> bool {
        matches!(
            self,
            Self::Cut(Cut::Key { .. } | Cut::Token { .. } | Cut::Group { .. } | Cut::Subscriptions { .. })
                | Self::OfTime { .. }
        )
    }

    /// A removed device is one thing that ends, though both lanes have a part of it; where one is registered, there is nothing
    /// of others as a rule.
    pub(super) fn counts(&self) -> bool {
        !matches!(self, Self::Cut(Cut::Device { .. } | Cut::Others { .. }))
    }
}

impl Lane {
    /// Its part of what this change ends.
    pub(super) fn ends_of(self, row: ChangeRow) -> Vec<End> {
        let remains = |cut| match cut {
            Cut::Device { client_id, key_id } => Some(End::Remains { client_id, key_id }),
            Cut::Key { .. }
            | Cut::Credential { .. }
            | Cut::Token { .. }
            | Cut::Others { .. }
            | Cut::Group { .. }
            | Cut::Subscriptions { .. } => None,
        };
        match self {
            Self::AtOnce if row.kind == Kind::Key && row.cuts.is_empty() => vec![End::OfTime { key_id: row.subject }],
            Self::AtOnce => row.cuts.into_iter().map(End::Cut).collect(),
            Self::ForGood => row.cuts.into_iter().filter_map(remains).collect(),
        }
    }
}
