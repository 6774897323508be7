//! The handle that everybody holds.

use std::sync::Arc;

use crate::error::{AppendError, OpenError, ReadError, ReplayError, WaitError};
use crate::record::{Appended, Durable, Need, NewRecord, Record, ReplayedRecord};
use crate::storage::Storage;
use crate::{Epoch, Options, Position};

/// The open log. Clones are cheap and share one writer thread.
///
/// Dropping the last clone writes what is pending, but leaves no mark of a clean stop: see [`Log::close`].
#[derive(Clone)]
pub struct Log {}

impl Log {
    /// Opens or makes the log, and recovers it. Nothing else is running yet when it returns an error.
    /// The caller runs the [`Replay`] before it serves anything.
    ///
    /// # Errors
    /// Locked by another process, unreadable, damaged, or options that do not fit together.
    pub fn open(storage: Arc<dyn Storage>, options: Options) -> Result<(Self, Replay), OpenError> {
        todo!()
    }

    /// Appends all records as one unit: after a crash either all of them are there or none. Never blocks on the disk.
    ///
    /// The records are *not durable* when this returns: that is when [`Log::durable`] has reached `end`.
    ///
    /// # Errors
    /// Nothing was appended; each variant says what it takes to try again.
    pub fn append(&self, need: Need, records: &[NewRecord<'_>]) -> Result<Appended, AppendError> {
        todo!()
    }

    /// The record whose first copy is at `position`, also when it is still pending. Verifies its checksums.
    ///
    /// # Errors
    /// Not in the log, unreadable, or damaged.
    pub fn read(&self, position: Position) -> Result<Record, ReadError> {
        todo!()
    }

    /// Everything below this position is durable.
    #[must_use]
    pub fn durable(&self) -> Position {
        todo!()
    }

    /// The watcher is called on the writer thread after each sync, in order, and must not block: the next batch waits
    /// for it. It holds no lock of the log, so it may append and read. It is called at once when the log is already
    /// poisoned. Watchers that hold a `Log` keep it open until [`Log::close`].
    pub fn watch(&self, watcher: Box<dyn Fn(Durable) + Send + Sync>) {
        todo!()
    }

    /// Blocks until everything below `end` is durable. For tests and shutdown; workers use [`Log::watch`].
    ///
    /// # Errors
    /// The log failed or was closed before.
    pub fn wait_durable(&self, end: Position) -> Result<(), WaitError> {
        todo!()
    }

    /// The number of this start.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        todo!()
    }

    /// Refuses further appends, makes what is pending durable, marks a clean stop, lets the watchers and the lock go.
    ///
    /// # Errors
    /// The log failed, or the disk is full: what was not durable may be lost, nothing else.
    pub fn close(&self) -> Result<(), WaitError> {
        todo!()
    }
}

/// All records that the log held when it was opened, in the order of their appends, each exactly once.
pub struct Replay {}

impl Replay {
    /// Hands every record to `apply`, reading as it goes: memory is bounded by the largest append.
    ///
    /// # Errors
    /// Damage in an older segment, an unreadable file, or the first error of `apply`.
    pub fn run<E>(self, apply: impl FnMut(ReplayedRecord<'_>) -> Result<(), E>) -> Result<Replayed, ReplayError<E>> {
        todo!()
    }
}

/// What a replay saw.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Replayed {
    pub records: u64,
    pub bytes: u64,
}
