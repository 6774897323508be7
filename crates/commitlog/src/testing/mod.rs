//! A storage for tests that forgets what was not synced. Deterministic: no clock, no randomness but from seeds.
//!
//! [`ForgettingStorage`] behaves like a disk with a page cache: reads see every write at once, a power cut keeps what
//! was synced and, of the rest, what a [`Fate`] chooses, sector by sector. It records a [`Trace`] of all calls, from
//! which the disk at any earlier moment can be created, so that [`CrashStates`] can be enumerated. It injects errors,
//! counts calls, holds syncs back, and on demand lies about them ([`Lie`]): to show that a checker finds the lie.

mod crash_states;
mod fate;
mod storage;
mod trace;

pub use crash_states::{CheckedStates, CrashStates};
pub use fate::{Everything, Fate, Nothing, Random, SectorFate, Subset};
pub use storage::{Call, Counts, ForgettingStorage, Lie};
pub use trace::{Moment, Op, SECTOR, Trace};

use std::sync::Arc;

use crate::storage::Storage;
use crate::{Log, OpenError, Options, Replay};

/// Opens a log that no thread serves, to see what a start finds: for crash states by the hundred thousand.
///
/// # Errors
/// As [`Log::open`].
pub fn open_at_rest(storage: Arc<dyn Storage>, options: Options) -> Result<(Log, Replay), OpenError> {
    Log::open_at_rest(storage, options)
}
