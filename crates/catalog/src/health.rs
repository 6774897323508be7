//! Whether a store serves.

/// How a store is at the moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Health {
    /// It took the last write.
    #[default]
    Serves,
    /// It did not take the last write (the disk is full, another program holds it), or cannot be reached. The program goes on;
    /// [`Catalog::try_write`](crate::Catalog::try_write) finds out when that is over.
    RefusesWrites { why: String },
    /// It cannot be used any more in this process, which must end.
    Failed { why: String },
}

impl Health {
    /// Why writes are not taken at the moment.
    #[must_use]
    pub fn refusal(&self) -> Option<&str> {
        match self {
            Self::RefusesWrites { why } => Some(why),
            Self::Serves | Self::Failed { .. } => None,
        }
    }

    #[must_use]
    pub fn failure(&self) -> Option<&str> {
        match self {
            Self::Failed { why } => Some(why),
            Self::Serves | Self::RefusesWrites { .. } => None,
        }
    }
}
