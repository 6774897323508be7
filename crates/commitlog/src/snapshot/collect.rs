//! What the owners give to a snapshot, until the thread that writes it takes it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use thiserror::Error;

use super::format::{FRAME_BODY, Unfit, encode_records, records_len};
use crate::record::NewRecord;
use crate::seeded;
use crate::{Log, Position};

/// Less than this waits for more, so that frames are not small.
const TAKEN_FROM: usize = FRAME_BODY / 4;

/// The records were not taken.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnapshotError {
    /// A megabyte waits for the disk. Push the same again shortly.
    #[error("the snapshot is behind with writing")]
    Busy,
    /// The snapshot is not continued. Drop the section.
    #[error("the snapshot was given up")]
    GivenUp,
    /// A kind that belongs to the log, a reference to a record without a name, or more than the largest append: an error
    /// of the caller.
    #[error("not a valid record of a snapshot: {0}")]
    Invalid(&'static str),
}

/// One owner's share of a snapshot. The snapshot is given up when one is dropped unfinished.
///
/// The snapshot counts once all owners have finished. What an owner has to keep:
///
/// - **All below [`from`](Self::from) is in.** Its state, when it is dumped, holds all that this owner appended below.
/// - **Only what was appended is in.** It need not be durable: the log waits for that.
/// - **The replay is absolute.** All behind `from` is applied again, over a state that may hold it.
/// - **What behind `from` refers to a record below is pushed by the same owner**, or the record was carried behind `from`.
pub struct SnapshotSection {
    log: Log,
    number: u64,
    from: Position,
    is_finished: bool,
}

impl SnapshotSection {
    /// Where the replay goes on after the snapshot's records.
    #[must_use]
    pub fn from(&self) -> Position {
        self.from
    }

    /// Adds all of the records or none. Never blocks. A record that is [`carried`](NewRecord::carried) is shown under its
    /// name, any other at position 0, which names no record.
    ///
    /// # Errors
    /// Nothing was added; each variant says what has to happen.
    pub fn push(&mut self, records: &[NewRecord<'_>]) -> Result<(), SnapshotError> {
        let records = &*seeded::pushed(&self.log.shared().options, records);
        let len = records_len(records).map_err(|Unfit(what)| SnapshotError::Invalid(what))?;
        if len > self.log.append_bytes_max() {
            return Err(SnapshotError::Invalid("more than the largest append"));
        }
        self.snapshots().push(self.number, len, records)
    }

    /// Says that the state of this owner is complete.
    pub fn finish(mut self) {
        self.is_finished = true;
        self.snapshots().finish(self.number);
    }

    fn snapshots(&self) -> &Snapshots {
        &self.log.shared().snapshots
    }
}

impl Drop for SnapshotSection {
    fn drop(&mut self) {
        if !self.is_finished {
            self.snapshots().give_up(self.number, "an owner did not finish");
        }
    }
}

/// The snapshot under way, if there is one.
#[derive(Default)]
pub(crate) struct Snapshots {
    state: Mutex<State>,
    changed: Condvar,
    /// Number of the snapshot under way; 0: there is none.
    wanted: AtomicU64,
    /// Somebody has asked for one and waits for it.
    is_hurried: AtomicBool,
}

#[derive(Default)]
struct State {
    begun: u64,
    /// Where the newest one that was begun goes on; of the last run, where the one that was used does.
    last_from: Position,
    /// Length of the newest one that was written, or of the one that was used.
    last_length: u64,
    underway: Option<Underway>,
    /// Bytes of the newest file, and of the one on its way or left over.
    files: (u64, u64),
    is_stopped: bool,
}

struct Underway {
    from: Position,
    /// Owners that have not finished.
    unfinished: usize,
    /// Records that were not written yet.
    waiting: Vec<u8>,
    records: u64,
    given_up: Option<&'static str>,
}

impl Underway {
    fn is_complete(&self) -> bool {
        self.unfinished == 0 && self.given_up.is_none()
    }
}

/// What there is to write.
pub(crate) enum Taken {
    Records {
        bytes: Vec<u8>,
        count: u64,
    },
    /// Nothing yet.
    Nothing,
    /// All owners have finished.
    All,
    GivenUp(&'static str),
}

impl Snapshots {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The snapshot under way of this number, if it goes on.
    fn underway(state: &mut State, number: u64) -> Option<&mut Underway> {
        let is_this = state.begun == number && !state.is_stopped;
        state.underway.as_mut().filter(|underway| is_this && underway.given_up.is_none())
    }

    /// Begins a snapshot that so many owners take part in, unless one is under way. `false`: the log is closed.
    pub(crate) fn begin(&self, from: Position, owners: usize) -> bool {
        let mut state = self.state();
        if state.is_stopped || state.underway.is_some() {
            return !state.is_stopped;
        }
        state.begun += 1;
        state.last_from = from;
        state.underway = Some(Underway { from, unfinished: owners, waiting: Vec::new(), records: 0, given_up: None });
        self.wanted.store(state.begun, Ordering::Release);
        self.changed.notify_all();
        true
    }

    /// The snapshot under way, if it is newer than the one of this number.
    pub(crate) fn wanted_after(&self, number: u64) -> Option<(u64, Position)> {
        if self.wanted.load(Ordering::Acquire) <= number {
            return None;
        }
        let mut state = self.state();
        let begun = state.begun;
        Self::underway(&mut state, begun).map(|underway| (begun, underway.from))
    }

    pub(crate) fn section(log: Log, number: u64, from: Position) -> SnapshotSection {
        SnapshotSection { log, number, from, is_finished: false }
    }

    fn push(&self, number: u64, len: usize, records: &[NewRecord<'_>]) -> Result<(), SnapshotError> {
        let mut state = self.state();
        let underway = Self::underway(&mut state, number).ok_or(SnapshotError::GivenUp)?;
        // A single large push must be possible when nothing else waits.
        if !underway.waiting.is_empty() && underway.waiting.len() + len > FRAME_BODY {
            return Err(SnapshotError::Busy);
        }
        encode_records(&mut underway.waiting, records);
        underway.records += records.len() as u64;
        if underway.waiting.len() >= TAKEN_FROM {
            self.changed.notify_all();
        }
        Ok(())
    }

    fn finish(&self, number: u64) {
        let mut state = self.state();
        if let Some(underway) = Self::underway(&mut state, number) {
            underway.unfinished = underway.unfinished.saturating_sub(1);
            self.changed.notify_all();
        }
    }

    /// An owner that is gone takes part in no snapshot after that of this number.
    pub(crate) fn leave_after(&self, number: u64) {
        if let Some((wanted, _)) = self.wanted_after(number) {
            self.give_up(wanted, "an owner is gone");
        }
    }

    fn give_up(&self, number: u64, why: &'static str) {
        let mut state = self.state();
        if let Some(underway) = Self::underway(&mut state, number) {
            underway.given_up = Some(why);
            self.changed.notify_all();
        }
    }

    /// Lets the one under way not be continued. `false`: there is none.
    pub(crate) fn give_up_underway(&self, why: &'static str) -> bool {
        let mut state = self.state();
        let Some(underway) = &mut state.underway else { return false };
        underway.given_up.get_or_insert(why);
        self.changed.notify_all();
        true
    }

    /// Why the one under way is not continued.
    pub(crate) fn given_up(&self) -> Option<&'static str> {
        self.state().underway.as_ref().and_then(|underway| underway.given_up)
    }

    pub(crate) fn is_underway(&self) -> bool {
        self.state().underway.is_some()
    }

    /// What all files of snapshots take of the disk.
    pub(crate) fn bytes(&self) -> u64 {
        let (newest, unfinished) = self.state().files;
        newest + unfinished
    }

    pub(crate) fn note_files(&self, newest: u64, unfinished: u64) {
        self.state().files = (newest, unfinished);
    }

    pub(crate) fn note_unfinished(&self, bytes: u64) {
        self.state().files.1 = bytes;
    }

    /// Where the snapshot under way goes on; waits for one to be begun.
    pub(crate) fn wait_until_begun(&self, most: Duration) -> Option<Position> {
        let state = self.state();
        let is_idle = |state: &mut State| !state.is_stopped && state.underway.is_none();
        let state = self.changed.wait_timeout_while(state, most, is_idle).unwrap_or_else(PoisonError::into_inner).0;
        state.underway.as_ref().map(|underway| underway.from)
    }

    /// Takes what is to be written next; waits for it.
    pub(crate) fn take(&self, most: Duration) -> Taken {
        let state = self.state();
        let has_nothing = |state: &mut State| {
            let waits = |underway: &Underway| {
                underway.given_up.is_none() && underway.unfinished > 0 && underway.waiting.len() < TAKEN_FROM
            };
            !state.is_stopped && state.underway.as_ref().is_some_and(waits)
        };
        let mut state =
            self.changed.wait_timeout_while(state, most, has_nothing).unwrap_or_else(PoisonError::into_inner).0;
        if state.is_stopped {
            return Taken::GivenUp("the log is closed");
        }
        match &mut state.underway {
            None => Taken::Nothing,
            Some(Underway { given_up: Some(why), .. }) => Taken::GivenUp(why),
            Some(underway) if underway.waiting.is_empty() && underway.unfinished == 0 => Taken::All,
            Some(underway) if underway.waiting.is_empty() => Taken::Nothing,
            Some(underway) => Taken::Records {
                bytes: std::mem::take(&mut underway.waiting),
                count: std::mem::take(&mut underway.records),
            },
        }
    }

    /// The one under way, or the next one, leaves the disk to nobody.
    pub(crate) fn hurry(&self) {
        self.is_hurried.store(true, Ordering::Relaxed);
    }

    pub(crate) fn is_hurried(&self) -> bool {
        self.is_hurried.load(Ordering::Relaxed)
    }

    /// The snapshot under way is written or given up.
    pub(crate) fn end(&self) {
        self.is_hurried.store(false, Ordering::Relaxed);
        self.wanted.store(0, Ordering::Release);
        self.state().underway = None;
        self.changed.notify_all();
    }

    /// Nothing is begun or continued any more.
    pub(crate) fn stop(&self) {
        self.state().is_stopped = true;
        self.changed.notify_all();
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.state().is_stopped
    }

    /// Waits while a snapshot is being written that all owners have finished.
    pub(crate) fn wait_while_complete(&self) {
        let state = self.state();
        let is_complete =
            |state: &mut State| !state.is_stopped && state.underway.as_ref().is_some_and(Underway::is_complete);
        drop(self.changed.wait_while(state, is_complete));
    }

    /// Waits until none is under way, at most so long.
    pub(crate) fn wait_while_underway(&self, most: Duration) {
        let is_underway = |state: &mut State| !state.is_stopped && state.underway.is_some();
        drop(self.changed.wait_timeout_while(self.state(), most, is_underway));
    }

    pub(crate) fn last_from(&self) -> Position {
        self.state().last_from
    }

    pub(crate) fn last_length(&self) -> u64 {
        self.state().last_length
    }

    /// The start has used one, or has read the log from here.
    pub(crate) fn set_last(&self, from: Position, length: u64) {
        let mut state = self.state();
        (state.last_from, state.last_length) = (from, length);
    }

    pub(crate) fn note_written(&self, length: u64) {
        self.state().last_length = length;
    }
}
