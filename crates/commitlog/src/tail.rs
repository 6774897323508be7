//! The tail of the log in memory: where the next append goes, and what is not written yet. Pure.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::error::AppendError;
use crate::format::{FIRST_RECORD, Geometry, RECORD_HEADER_LEN, ROLL_LEN, SegmentVersion, UnitPlan, encode_unit, own};
use crate::pieces::DiskShare;
use crate::reclaim::Pace;
use crate::record::{Appended, Need, NewRecord, Part};
use crate::recover::{FIRST_SEGMENT, Recovered};
use crate::{Epoch, Options, Position, SyncMode};

/// Records that are written by one call and become durable together.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) segment: u64,
    pub(crate) offset: u64,
    pub(crate) begin: Position,
    /// The records, and once it is taken an all-zero header behind them.
    pub(crate) bytes: Vec<u8>,
    /// End of the last record.
    pub(crate) end: Position,
}

impl Batch {
    fn holds(&self, at: Position) -> bool {
        self.begin <= at && at < self.end
    }

    pub(crate) fn bytes_at(&self, at: Position) -> Option<&[u8]> {
        let from = usize::try_from(at.0.checked_sub(self.begin.0)?).ok()?;
        self.holds(at).then(|| &self.bytes[from..])
    }
}

/// Phase of the log's life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Open,
    /// No appends are accepted; the writer finishes what is pending. With `stop` it then marks a clean stop.
    Closing {
        stop: bool,
    },
    Closed,
    Poisoned(String),
}

pub(crate) struct Tail {
    geometry: Geometry,
    epoch: Epoch,
    /// Number of the oldest segment.
    pub(crate) begin: u64,
    /// Number of the first segment of version 2, if there is or will be one.
    carries_from: Option<u64>,
    append_max: u64,
    pending_max: u64,
    reserve: u64,
    /// Segments that are kept ready beyond the one that is appended to. The second is for copies: else a full disk could
    /// not be freed by carrying what lives in the oldest segment.
    ahead: u64,
    sync: SyncMode,
    pub(crate) phase: Phase,
    pub(crate) segment: u64,
    offset: u64,
    /// With `SyncMode::Os`: begin of what was written since the last sync. It all counts as one batch.
    unsynced: Position,
    pending: VecDeque<Batch>,
    writing: Option<Arc<Batch>>,
    /// Appended and not durable.
    pending_bytes: u64,
    /// Highest segment that can be written to.
    pub(crate) ready: u64,
    /// The last attempt to create a segment failed, mostly because the disk is full: there may be none for a while.
    pub(crate) full: bool,
    /// What `Essential` and `Housekeeping` appends may take of what `Normal` ones may not, and have taken since a segment was made.
    reserve_now: u64,
    taken_of_reserve: u64,
    /// Copies were refused since there was no room, and that was said.
    pub(crate) has_refused_copies: bool,
    pub(crate) pace: Pace,
    /// A segment was made or vacated, and the reclaimer has not looked yet.
    pub(crate) space_has_changed: bool,
    /// The newest record is an empty batch (or nothing was appended yet).
    marked: bool,
    spare: Vec<u8>,
    /// Saves the appender a system call while the writer is busy.
    pub(crate) writer_waits: bool,
}

impl Tail {
    pub(crate) fn new(recovered: &Recovered, epoch: Epoch, options: &Options) -> Self {
        let Recovered { geometry, segment, cut, .. } = *recovered;
        let ready = recovered.files.keys().next_back().copied().unwrap_or(segment);
        let has_owners = options.owners > 0;
        let mut tail = Self {
            geometry,
            epoch,
            begin: recovered.begin,
            carries_from: recovered.carries_from.or(has_owners.then_some(ready + 1)),
            append_max: geometry.unit_max().min(options.append_bytes_max as u64),
            pending_max: options.pending_bytes_max as u64,
            reserve: options.reserve_bytes.min(geometry.segment_size / 4),
            ahead: if has_owners { 2 } else { 1 },
            sync: options.sync,
            phase: Phase::Open,
            segment,
            offset: cut,
            unsynced: geometry.position(segment, cut),
            pending: VecDeque::new(),
            writing: None,
            pending_bytes: 0,
            ready,
            full: false,
            reserve_now: 0,
            taken_of_reserve: 0,
            has_refused_copies: false,
            pace: Pace::default(),
            space_has_changed: false,
            marked: true,
            spare: Vec::new(),
            writer_waits: false,
        };
        // After a start on a full disk there may be less.
        tail.reserve_now = if tail.room_for_copies() > 0 { tail.reserve.min(tail.room() / 2) } else { tail.reserve };
        tail
    }

    pub(crate) fn append(&mut self, need: Need, records: &[NewRecord<'_>]) -> Result<Appended, AppendError> {
        match &self.phase {
            Phase::Open => {}
            Phase::Poisoned(reason) => return Err(AppendError::Poisoned(reason.clone())),
            Phase::Closing { .. } | Phase::Closed => return Err(AppendError::Closed),
        }
        let plan = UnitPlan::new(records, self.append_max)?;
        let end = self.end();
        if records.iter().any(|record| record.name.is_some_and(|name| name.0 == 0 || name >= end)) {
            return Err(AppendError::Invalid("a name that no record has"));
        }
        let segment = self.segment + u64::from(self.must_roll(plan.len()));
        if records.iter().any(|record| record.name.is_some()) && self.version(segment) == SegmentVersion::V1 {
            return Err(AppendError::Invalid("a carried record before there is a segment for it"));
        }
        self.check_pending(need, plan.len())?;
        self.check_room(need, plan.len())?;
        if self.must_roll(plan.len()) {
            self.roll();
        }
        self.marked = false;
        match need {
            Need::Carry => self.pace.copied += plan.len(),
            Need::Normal | Need::Essential | Need::Housekeeping => self.pace.appended += plan.len(),
        }
        if matches!(need, Need::Essential | Need::Housekeeping) {
            self.taken_of_reserve += self.takes_of_reserve(self.room().saturating_sub(plan.len()), plan.len());
        }
        if need == Need::Normal {
            self.pace.wanted_while_full = 0;
        }
        Ok(self.push(&plan, records))
    }

    fn check_pending(&self, need: Need, len: u64) -> Result<(), AppendError> {
        let max = match need {
            Need::Normal => self.pending_max,
            Need::Essential | Need::Housekeeping => self.pending_max + self.pending_max / 4,
            // Others come first.
            Need::Carry => self.pending_max / 2,
        };
        // A single large append must be possible when nothing else is pending.
        let fits = self.pending_bytes == 0 || self.pending_bytes + len <= max;
        if fits { Ok(()) } else { Err(AppendError::Busy) }
    }

    /// Normal appends leave the reserve alone until the next segment is ready: there may be no space for one. They do
    /// not go into a segment that is not ready either, since all later appends would have to wait for it.
    ///
    /// A log with owners that has only its last segment, as after a start on a full disk, takes no normal appends, however
    /// much room that one has: it is the room for the copies of the oldest segment, without which none would come back.
    ///
    /// So long as there is something to copy, copies and the reserve do not take of each other: however much is to be copied,
    /// what is there already goes on, and however much is acknowledged, the copies have a whole segment.
    fn check_room(&self, need: Need, len: u64) -> Result<(), AppendError> {
        let rolls = self.must_roll(len);
        let is_ready = self.segment + u64::from(rolls) <= self.ready;
        let room = if rolls { self.room_ahead() } else { self.room() };
        let (reserve, for_copies) = (self.reserve, self.room_for_copies());
        let (kept, may_take) = match need {
            Need::Normal => (reserve + for_copies, u64::MAX),
            Need::Essential if for_copies > 0 => (0, self.reserve_now),
            Need::Housekeeping if for_copies > 0 => (0, self.reserve_now / 2),
            Need::Essential => (0, u64::MAX),
            Need::Housekeeping => (reserve / 2, u64::MAX),
            Need::Carry if for_copies > 0 => (self.reserve_now.saturating_sub(self.taken_of_reserve), u64::MAX),
            Need::Carry => (0, u64::MAX),
        };
        let takes = if self.full { self.takes_of_reserve(room.saturating_sub(len), len) } else { 0 };
        match need {
            _ if is_ready && room >= len + kept && self.taken_of_reserve + takes <= may_take => Ok(()),
            _ if self.full => Err(AppendError::Full),
            Need::Normal | Need::Carry => Err(AppendError::Busy),
            Need::Essential | Need::Housekeeping => Ok(()),
        }
    }

    /// What can be appended before another segment is made.
    fn room(&self) -> u64 {
        // The log's own records go on behind what users may take.
        self.geometry.user_limit().saturating_sub(self.offset) + self.room_ahead()
    }

    fn room_ahead(&self) -> u64 {
        self.ready.saturating_sub(self.segment) * self.geometry.unit_max()
    }

    /// A log of one segment has none to copy from.
    fn room_for_copies(&self) -> u64 {
        if self.begin == self.segment { 0 } else { (self.ahead - 1) * self.geometry.unit_max() }
    }

    /// How much of an append after which so much room is left is none that `Normal` ones may take.
    fn takes_of_reserve(&self, room_after: u64, len: u64) -> u64 {
        len.min((self.reserve + self.room_for_copies()).saturating_sub(room_after))
    }

    /// A further segment was made.
    pub(crate) fn add_ready(&mut self, number: u64) {
        self.ready = number;
        (self.reserve_now, self.taken_of_reserve) = (self.reserve, 0);
        self.has_refused_copies = false;
    }

    /// Whether something was appended to a segment that is not made yet.
    pub(crate) fn waits_for_segment(&self) -> bool {
        self.segment > self.ready
    }

    /// Whether fewer segments are ready than are to be.
    pub(crate) fn needs_segment(&self) -> bool {
        self.segments_needed() > 0
    }

    /// How many are to be made.
    pub(crate) fn segments_needed(&self) -> u64 {
        (self.segment + self.ahead).saturating_sub(self.ready)
    }

    /// What the next segment may take of the disk: all of it, once others may have to wait for it soon.
    pub(crate) fn share_for_segments(&self) -> DiskShare {
        let kept = self.reserve + self.room_for_copies();
        let has_time = self.phase == Phase::Open && !self.full && self.room() >= kept + self.geometry.segment_size / 2;
        if has_time { DiskShare::Quarter } else { DiskShare::AtOnce }
    }

    pub(crate) fn is_full_for(&self, need: Need, len: u64) -> bool {
        self.full && self.check_room(need, len).is_err()
    }

    pub(crate) fn must_roll(&self, len: u64) -> bool {
        self.offset + len > self.geometry.user_limit()
    }

    /// Continues in the next segment, whose first record says where this one ends.
    fn roll(&mut self) {
        let end = self.geometry.position(self.segment, self.offset).to_bytes();
        self.segment += 1;
        self.offset = FIRST_RECORD;
        self.unsynced = self.geometry.position(self.segment, self.offset);
        let epoch = self.epoch.0.to_le_bytes();
        let begin = if self.begin == FIRST_SEGMENT { 0 } else { self.begin };
        self.push_owned(own::ROLL, begin, &[Part::Bytes(&end), Part::Bytes(&epoch)]);
        debug_assert_eq!(self.offset, FIRST_RECORD + ROLL_LEN);
    }

    /// Appends the first record of this start.
    pub(crate) fn push_start(&mut self, kind: u8, payload: &[Part<'_>]) {
        if self.must_roll(crate::format::START_LEN) {
            self.roll();
        }
        self.push_own(kind, payload);
    }

    /// The version that this segment has or will have.
    pub(crate) fn version(&self, number: u64) -> SegmentVersion {
        SegmentVersion::of_segment(number, self.carries_from)
    }

    /// Lets the segments that are made from now on be of version 2. Returns whether the log has come to one.
    pub(crate) fn allow_carrying(&mut self) -> bool {
        // The one behind those that are ready may be in the making.
        self.carries_from.get_or_insert(self.ready.max(self.segment) + 2);
        self.version(self.segment) == SegmentVersion::V2
    }

    /// Lets the log begin with this segment. Returns the end of the record that says so.
    pub(crate) fn push_begin(&mut self, begin: u64) -> Position {
        // Room for a stop stays. On a full disk there may be no next segment before this one is said.
        if self.offset + crate::format::BEGIN_LEN + RECORD_HEADER_LEN as u64 > self.geometry.own_limit() {
            self.roll();
        }
        self.begin = begin;
        self.marked = false;
        self.push_own(own::BEGIN, &[Part::Bytes(&begin.to_le_bytes())]);
        self.end()
    }

    /// Marks a clean stop with the last record, unless the log has failed meanwhile.
    pub(crate) fn push_stop(&mut self) {
        if self.phase == (Phase::Closing { stop: true }) {
            self.push_own(own::STOP, &[]);
            self.phase = Phase::Closing { stop: false };
        }
    }

    fn push_own(&mut self, kind: u8, payload: &[Part<'_>]) {
        self.push_owned(kind, 0, payload);
    }

    fn push_owned(&mut self, kind: u8, owner: u64, payload: &[Part<'_>]) {
        let record = [NewRecord::new(kind, owner, payload)];
        if let Ok(plan) = UnitPlan::of_own(&record) {
            self.push(&plan, &record);
        }
    }

    fn push(&mut self, plan: &UnitPlan, records: &[NewRecord<'_>]) -> Appended {
        let begin = self.geometry.position(self.segment, self.offset);
        let end = Position(begin.0 + plan.len());
        let positions = plan.positions(begin);
        let unsynced = self.unsynced;
        let sync = self.sync;
        let geometry = self.geometry;
        let batch = self.open_batch(begin);
        let batch_begin = if sync == SyncMode::Os { unsynced } else { batch.begin };
        encode_unit(&mut batch.bytes, &geometry, batch_begin, &positions, records);
        batch.end = end;
        self.offset += plan.len();
        self.pending_bytes += plan.len();
        Appended { positions, end }
    }

    fn open_batch(&mut self, begin: Position) -> &mut Batch {
        let goes_on = self.pending.back().is_some_and(|batch| batch.segment == self.segment);
        if !goes_on {
            let bytes = std::mem::take(&mut self.spare);
            self.pending.push_back(Batch { segment: self.segment, offset: self.offset, begin, bytes, end: begin });
        }
        let last = self.pending.len() - 1;
        &mut self.pending[last]
    }

    /// Takes the next batch to be written, if its segment is ready.
    pub(crate) fn take_batch(&mut self) -> Option<Arc<Batch>> {
        let mut batch = self.pending.pop_front_if(|batch| batch.segment <= self.ready)?;
        batch.bytes.extend_from_slice(&[0; RECORD_HEADER_LEN]);
        let batch = Arc::new(batch);
        self.writing = Some(Arc::clone(&batch));
        Some(batch)
    }

    /// Drops the batch that was taken: it is in the file, where reads find it.
    pub(crate) fn finish_batch(&mut self, batch: Arc<Batch>) {
        self.pending_bytes -= batch.end.0 - batch.begin.0;
        self.writing = None;
        if let Some(mut batch) = Arc::into_inner(batch)
            && batch.bytes.capacity() <= SPARE_BYTES_MAX
        {
            batch.bytes.clear();
            self.spare = batch.bytes;
        }
    }

    pub(crate) fn has_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Whether the newest batch should be followed by an empty one, and can be.
    pub(crate) fn wants_mark(&self) -> bool {
        let fits = self.offset + 2 * RECORD_HEADER_LEN as u64 <= self.geometry.own_limit();
        self.phase == Phase::Open && !self.marked && self.pending.is_empty() && fits
    }

    pub(crate) fn push_mark(&mut self) {
        self.push_own(own::MARK, &[]);
        self.marked = true;
    }

    /// Calls `read` with the bytes from `at` on, if they are not written yet.
    pub(crate) fn pending_at<T>(&self, at: Position, read: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let batches = self.writing.iter().map(|batch| &**batch).chain(&self.pending);
        batches.filter_map(|batch| batch.bytes_at(at)).next().map(read)
    }

    pub(crate) fn append_max(&self) -> u64 {
        self.append_max
    }

    pub(crate) fn end(&self) -> Position {
        self.geometry.position(self.segment, self.offset)
    }
}

/// Largest buffer of a written batch that is kept for the next one.
const SPARE_BYTES_MAX: usize = 1 << 20;
