//! What the broker keeps in the log: its records, the way in ([`journal`]) and the ways back ([`messages`], [`Recovery`]).

mod bytes;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
#[cfg(test)]
mod histories;
pub(crate) mod journal;
pub(crate) mod messages;
#[cfg(test)]
mod pinned;
pub(crate) mod record;
mod recovered_entries;
mod recovery;
mod start_record;

pub use record::RECORD_KINDS;
pub(crate) use recovered_entries::RecoveredEntry;
pub use recovery::{RecoverError, Recovery};
pub(crate) use recovery::{RecoveredClient, RecoveredConnection};
#[cfg(test)]
pub(crate) use recovery::{RecoveredSeen, RecoveredSession};

/// Whether the log records of this kind belong to the broker.
#[must_use]
pub fn owns(kind: u8) -> bool {
    RECORD_KINDS.contains(&kind)
}
