//! The space of old segments: which parts may still need them, when one is wanted back, and how it goes.
//!
//! ```text
//! kept ── the log is too large ──► wanted ── all owners have vacated it ──► begin is durable ──► given back
//! ```

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::error::WaitError;
use crate::format::SegmentVersion;
use crate::seeded;
use crate::shared::Shared;
use crate::snapshot::{SnapshotSection, Snapshots};
use crate::tail::Phase;
use crate::{Log, Position, SyncMode};

/// The log may be this many times as large as what its owners need. With three, at most half of all writes are copies.
const LIVE_FACTOR: u64 = 3;
/// After copies of this many bytes the next segment waits for one byte of other appends: owners that need more than
/// they say do not keep the log copying.
const COPIES_PER_APPEND: u64 = 3;
/// No segment has this number.
const NONE: u64 = 0;

/// What was appended and not yet set off against copies.
#[derive(Default)]
pub(crate) struct Pace {
    /// Bytes of copies.
    pub(crate) copied: u64,
    /// Bytes of all else.
    pub(crate) appended: u64,
    /// Segments that were wanted since the log took a `Normal` append.
    pub(crate) wanted_while_full: u64,
}

/// What the owners have said.
#[derive(Default)]
pub(crate) struct Owners {
    list: Mutex<Vec<OwnerState>>,
    /// Number of the segment that all are to vacate.
    wanted: AtomicU64,
}

#[derive(Default)]
struct OwnerState {
    name: &'static str,
    is_gone: bool,
    /// `None`: it has not said.
    live_bytes: Option<u64>,
    /// The newest segment that this one has vacated, and where its copies end.
    vacated: u64,
    end: Position,
}

impl Owners {
    fn list(&self) -> MutexGuard<'_, Vec<OwnerState>> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wanted(&self) -> u64 {
        self.wanted.load(Ordering::Acquire)
    }

    /// What all need; `None`: one that was to register has not, has not said what it needs, or is gone.
    pub(crate) fn live_bytes(&self, count: usize) -> Option<u64> {
        let list = self.list();
        let all_are_there = list.len() == count && list.iter().all(|owner| !owner.is_gone);
        if all_are_there { list.iter().map(|owner| owner.live_bytes).sum() } else { None }
    }

    /// Where the copies of all owners end, once all have vacated the segment.
    fn vacated(&self, segment: u64) -> Option<Position> {
        let list = self.list();
        let all_have = list.iter().all(|owner| owner.vacated >= segment && !owner.is_gone);
        all_have.then(|| list.iter().map(|owner| owner.end).max().unwrap_or_default())
    }
}

/// A part of the program whose index may need records of old segments.
///
/// No segment is given back before all have registered, as many as [`Options::owners`](crate::Options::owners) says, and
/// have said what they need, which is when their replay is over. When one is dropped, the log gives nothing back any more.
/// An owner keeps the log open, as a [`Log`] does.
pub struct LogOwner {
    log: Log,
    number: usize,
    /// The newest segment that was vacated.
    vacated: u64,
    /// Number of the newest snapshot that this one has begun its section of.
    snapshot: u64,
}

/// The oldest segment, which is to be vacated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WantedSegment {
    pub number: u64,
    /// The positions in it.
    pub positions: Range<Position>,
}

impl LogOwner {
    pub(crate) fn register(log: Log, name: &'static str) -> Self {
        let number = {
            let mut list = log.shared().owners.list();
            list.push(OwnerState { name, ..OwnerState::default() });
            list.len() - 1
        };
        Self { log, number, vacated: NONE, snapshot: 0 }
    }

    /// Notes how many bytes this part would append if it carried all that it needs, headers included.
    pub fn set_live_bytes(&self, bytes: u64) {
        let shared = self.log.shared();
        let before = shared.owners.list().get_mut(self.number).and_then(|state| state.live_bytes.replace(bytes));
        // The last that says it lets a log begin that was left too large, and one that needs less may make it so.
        if before.is_none_or(|before| bytes < before) {
            shared.wake_reclaimer();
        }
    }

    /// The segment that this part has still to vacate.
    #[must_use]
    pub fn wanted(&self) -> Option<WantedSegment> {
        let shared = self.log.shared();
        let number = shared.owners.wanted();
        let geometry = &shared.geometry;
        (number > self.vacated).then(|| WantedSegment {
            number,
            positions: geometry.position(number, 0)..geometry.position(number + 1, 0),
        })
    }

    /// Says that all that this part needs of the segment has been appended again. It need not be durable: the log waits
    /// for it.
    pub fn vacate(&mut self, segment: u64) {
        self.vacated = self.vacated.max(segment);
        let shared = self.log.shared();
        // One lock after the other, never both.
        let end = shared.tail().end();
        if let Some(state) = shared.owners.list().get_mut(self.number) {
            state.vacated = self.vacated;
            state.end = end;
        }
        shared.wake_reclaimer();
    }

    /// The snapshot that this part has still to write its state into. One atomic load while there is none.
    pub fn snapshot_wanted(&mut self) -> Option<SnapshotSection> {
        let (number, from) = self.log.shared().snapshots.wanted_after(self.snapshot)?;
        self.snapshot = number;
        Some(Snapshots::section(self.log.clone(), number, from))
    }

    /// Names of which this segment has a carried copy, rising.
    #[must_use]
    pub fn copies_in(&self, segment: u64) -> Vec<Position> {
        self.log.shared().copies.names_in(segment)
    }
}

impl Drop for LogOwner {
    fn drop(&mut self) {
        self.log.shared().snapshots.leave_after(self.snapshot);
        if let Some(state) = self.log.shared().owners.list().get_mut(self.number) {
            tracing::debug!(owner = state.name, "an owner of the log is gone: no segment is given back any more");
            state.is_gone = true;
        }
    }
}

/// Gives segment after segment back while the log is too large, until it is closed or fails.
pub(crate) fn reclaim_segments(shared: &Shared) {
    loop {
        shared.free_kept_back();
        let done = match shared.owners.wanted() {
            NONE => want_oldest(shared),
            wanted => match vacated(shared, wanted) {
                Some(end) => give_back_vacated(shared, wanted, end),
                None => false,
            },
        };
        if !done && !shared.wait_until_space_may_come_back() {
            return;
        }
    }
}

fn vacated(shared: &Shared, wanted: u64) -> Option<Position> {
    seeded::vacated_unasked(&shared.options, || shared.tail().end()).or_else(|| shared.owners.vacated(wanted))
}

/// Wants the oldest segment back if the log is too large. `false`: it is not, or nothing can be carried yet.
fn want_oldest(shared: &Shared) -> bool {
    let Some(live) = shared.owners.live_bytes(shared.options.owners) else { return false };
    let mut guard = shared.tail();
    let tail = &mut *guard;
    let size = (tail.ready.max(tail.segment) + 1 - tail.begin) * shared.geometry.segment_size;
    // On a full disk even a small log gives what it can.
    let above = if tail.full { 0 } else { shared.options.reclaim_above.min(shared.options.space_max / 2) };
    let is_too_large = size > above.max(LIVE_FACTOR.saturating_mul(live));
    // Nothing else can be appended to a full log: it is gone through once, whatever its owners say that they need.
    if tail.phase != Phase::Open || tail.begin == tail.segment || !(is_too_large || tail.full) {
        return false;
    }
    // What was appended beyond what the copies needed counts for the next segments too: a burst that is over is given
    // back although nothing follows it.
    let left = tail.pace.appended.checked_sub(tail.pace.copied / COPIES_PER_APPEND);
    let may_go_on = is_too_large && left.is_some();
    let may_free = tail.full && tail.pace.wanted_while_full <= tail.segment - tail.begin;
    if !(may_go_on || may_free) || !tail.allow_carrying() {
        return false;
    }
    tail.pace = Pace {
        copied: 0,
        appended: left.unwrap_or(0).min(size),
        wanted_while_full: tail.pace.wanted_while_full + u64::from(tail.full),
    };
    let segment = tail.begin;
    shared.owners.wanted.store(segment, Ordering::Release);
    drop(guard);
    tracing::debug!(segment, "a segment of the log is wanted back");
    true
}

/// `false`: the log is closed or has failed.
fn give_back_vacated(shared: &Shared, wanted: u64, end: Position) -> bool {
    if !seeded::begins_early(&shared.options) && shared.wait_durable_while_open(end).is_err() {
        return false;
    }
    let Ok(is_given_back) = reclaim(shared, wanted + 1) else { return false };
    if is_given_back {
        tracing::debug!(segment = wanted, "a segment of the log was given back");
    }
    // Also if somebody else gave it back before.
    shared.owners.wanted.store(NONE, Ordering::Release);
    is_given_back
}

/// Gives back all segments before `begin`, of which nothing is needed that is not durable elsewhere.
pub(crate) fn reclaim(shared: &Shared, begin: u64) -> Result<bool, WaitError> {
    if shared.options.sync == SyncMode::Os {
        shared.sync_all()?;
    }
    let end = {
        let mut tail = shared.tail();
        let is_old = tail.begin < begin && begin <= tail.segment;
        let can_say = tail.phase == Phase::Open && tail.version(tail.segment) == SegmentVersion::V2;
        if !is_old || !can_say {
            return Ok(false);
        }
        let end = tail.push_begin(begin);
        shared.wake_for(&tail);
        end
    };
    if !seeded::begins_early(&shared.options) {
        shared.wait_durable_while_open(end)?;
    }
    if shared.options.sync == SyncMode::Os {
        shared.sync_all()?;
    }
    shared.give_back(begin);
    Ok(true)
}
