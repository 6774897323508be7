//! The handle of an open log, and its life: open, append, read, close.

use std::io;
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::error::{AppendError, OpenError, ReadError, WaitError};
use crate::format::{
    FIRST_RECORD, Geometry, RECORD_HEADER_LEN, RecordHeader, SEGMENT_SIZE_MAX, SEGMENT_SIZE_MIN, SEGMENT_SIZE_UNIT,
    START_LEN, Slot, is_segment_size, own,
};
use crate::pieces::DiskShare;
use crate::reclaim::{LogOwner, reclaim, reclaim_segments};
use crate::record::{Appended, LogEvent, Need, NewRecord, Part, Record};
use crate::recover::{damaged, file_error, recover};
use crate::replay::Replay;
use crate::seeded;
use crate::segment::{PrepareError, name_of, read_exact};
use crate::shared::Shared;
use crate::snapshot::{Snapshot, begin_snapshot, bytes_on_disk, complete_snapshot, find_snapshot, write_snapshots};
use crate::storage::{LockError, Storage, StorageFile, StorageLock};
use crate::tail::{Phase, Tail};
use crate::threads::{prepare_segments, write_batches};
use crate::{Epoch, Options, Position, SPACE_SEGMENTS_MIN, USER_KIND_MIN};

/// Bytes that are read together with a header: most records are not larger.
const FIRST_READ: usize = 1024;

/// The open log. Clones are cheap and share one writer thread.
///
/// Dropping the last clone writes what is pending, but leaves no mark of a clean stop: see [`Log::close`].
#[derive(Clone)]
pub struct Log {
    handle: Arc<Handle>,
}

/// The name of an open log in this process; the next start has another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LogId(u64);

impl LogId {
    fn next() -> Self {
        static OPENED: AtomicU64 = AtomicU64::new(0);
        Self(OPENED.fetch_add(1, Ordering::Relaxed))
    }
}

struct Handle {
    id: LogId,
    shared: Arc<Shared>,
    threads: Mutex<Vec<JoinHandle<()>>>,
}

impl Log {
    /// Opens or creates the log, and recovers it. No thread runs when it returns an error. The caller runs the
    /// [`Replay`] before it serves anything.
    ///
    /// # Errors
    /// Locked by another process, unreadable, damaged, or options that do not fit together.
    pub fn open(storage: Arc<dyn Storage>, options: Options) -> Result<(Self, Replay), OpenError> {
        let (shared, replay) = start(storage, options)?;
        let handle = Handle { id: LogId::next(), shared: Arc::new(shared), threads: Mutex::default() };
        handle.run()?;
        Ok((Self { handle: Arc::new(handle) }, replay))
    }

    /// The same, but no thread serves it: what is there can be read, and nothing becomes durable.
    #[cfg(any(test, feature = "testing"))]
    pub(crate) fn open_at_rest(storage: Arc<dyn Storage>, options: Options) -> Result<(Self, Replay), OpenError> {
        let (shared, replay) = start(storage, options)?;
        let handle = Handle { id: LogId::next(), shared: Arc::new(shared), threads: Mutex::default() };
        Ok((Self { handle: Arc::new(handle) }, replay))
    }

    /// Appends all records as one unit: after a crash either all of them are there or none. Never blocks on the disk.
    ///
    /// The records are *not durable* when this returns: that is when [`Log::durable`] has reached `end`.
    ///
    /// # Errors
    /// Nothing was appended; each variant says what has to happen before another try.
    pub fn append(&self, need: Need, records: &[NewRecord<'_>]) -> Result<Appended, AppendError> {
        seeded::append(self, need, records).unwrap_or_else(|| self.append_unit(need, records))
    }

    pub(crate) fn append_unit(&self, need: Need, records: &[NewRecord<'_>]) -> Result<Appended, AppendError> {
        let shared = self.shared();
        let mut tail = shared.tail();
        let mut appended = match tail.append(need, records) {
            Err(AppendError::Full) if need == Need::Carry && !std::mem::replace(&mut tail.has_refused_copies, true) => {
                let segment = tail.begin;
                drop(tail);
                tracing::warn!(
                    segment,
                    "what is needed of the log's oldest segment is more than there is room for: no space comes back until the \
                     disk has some free, or the log may take more (log.space_bytes_max)"
                );
                return Err(AppendError::Full);
            }
            result => result?,
        };
        // Under the lock of the tail, so that a copy is known before it can be the only one.
        for (record, position) in records.iter().zip(&mut appended.positions) {
            if let Some(name) = record.name {
                shared.copies.insert(&shared.geometry, name, *position);
                *position = name;
            }
        }
        shared.wake_for(&tail);
        Ok(appended)
    }

    /// Returns the record of this name, also when it is still pending, from its first copy if that is there and else
    /// from its newest one. Verifies its checksums.
    ///
    /// # Errors
    /// Not in the log, unreadable, or damaged.
    pub fn read(&self, position: Position) -> Result<Record, ReadError> {
        match self.try_read(position) {
            // It may just have been given back, and then there is a copy.
            Err(ReadError::OutOfRange(_)) => self.try_read(position),
            result => result,
        }
    }

    fn try_read(&self, position: Position) -> Result<Record, ReadError> {
        let shared = self.shared();
        let geometry = shared.geometry;
        let place = shared.place_of(position).ok_or(ReadError::OutOfRange(position))?;
        let pending = {
            let tail = shared.tail();
            if place >= tail.end() {
                return Err(ReadError::OutOfRange(position));
            }
            tail.pending_at(place, |bytes| decode_pending(&geometry, place, bytes))
        };
        let record = match pending {
            Some(record) => record.ok_or(ReadError::OutOfRange(position))?,
            None => read_from_file(shared, place)?,
        };
        if record.kind < USER_KIND_MIN || record.position != position {
            Err(ReadError::OutOfRange(position))
        } else {
            Ok(record)
        }
    }

    /// Everything below this position is durable.
    #[must_use]
    pub fn durable(&self) -> Position {
        self.shared().durable()
    }

    /// Adds a watcher. It is called on the writer thread after each sync, in order, and must not block: the next batch
    /// waits for it. No lock of the log is held then, so it may append and read. When the log is poisoned already, it
    /// is called at once, on this thread. Watchers that hold a `Log` keep it open until [`Log::close`], which no
    /// watcher may call.
    pub fn watch(&self, watcher: Box<dyn Fn(LogEvent) + Send + Sync>) {
        self.shared().watch(Arc::from(watcher));
    }

    /// Blocks until everything below `end` is durable. For tests and shutdown; workers use [`Log::watch`].
    ///
    /// # Errors
    /// The log failed or was closed before.
    pub fn wait_durable(&self, end: Position) -> Result<(), WaitError> {
        self.shared().wait_durable(end, |tail| matches!(tail.phase, Phase::Open | Phase::Closing { .. }))
    }

    /// Number of the oldest segment, and of the one that is appended to: the segment of a position is the position
    /// divided by the size of a segment.
    #[must_use]
    pub fn segments(&self) -> RangeInclusive<u64> {
        let tail = self.shared().tail();
        tail.begin..=tail.segment
    }

    /// Lets the segments that are made from now on hold carried records, which programs that know version 1 alone do
    /// not read. Returns whether the log has come to one: records can be carried then, and segments be given back.
    #[must_use]
    pub fn allow_carrying(&self) -> bool {
        self.shared().tail().allow_carrying()
    }

    /// Gives back all segments before `begin`. What is needed of them has been carried, and is durable; of what is not,
    /// nothing is left. Blocks until a crash cannot bring them back. `false`: they are not the log's any more, or not to be
    /// given back yet, because nothing can be carried.
    ///
    /// # Errors
    /// The log failed or was closed; whether the segments are gone shows the next start.
    pub fn reclaim(&self, begin: u64) -> Result<bool, WaitError> {
        reclaim(self.shared(), begin)
    }

    /// Registers a part whose index may need records of old segments; the name stands in log lines.
    #[must_use]
    pub fn register_owner(&self, name: &'static str) -> LogOwner {
        LogOwner::register(self.clone(), name)
    }

    /// Begins a snapshot, unless one is under way, whose records the next start shows instead of all that lies before it.
    /// Its owners learn of it by [`LogOwner::snapshot_wanted`]. `false`: there can be none now, because an owner is not
    /// there or not ready, there is no room for it, or the log is closed.
    #[must_use]
    pub fn request_snapshot(&self) -> bool {
        self.shared().snapshots.hurry();
        begin_snapshot(self.shared())
    }

    /// Waits until the snapshot under way, if there is one, is written or given up, at most so long. Blocks.
    pub fn wait_for_snapshot(&self, most: Duration) {
        self.shared().snapshots.wait_while_underway(most);
    }

    /// Where this record is read: its first copy, and once that was given back its newest one.
    #[must_use]
    pub fn place_of(&self, name: Position) -> Option<Position> {
        self.shared().place_of(name)
    }

    /// Number of the segment that holds this place.
    #[must_use]
    pub fn segment_of(&self, place: Position) -> u64 {
        self.shared().geometry.split(place).0
    }

    /// Whether an append that takes so many bytes is refused because there is no space for the next segment.
    #[must_use]
    pub fn is_full_for(&self, need: Need, bytes: usize) -> bool {
        self.shared().tail().is_full_for(need, bytes as u64)
    }

    /// The largest append, headers included.
    #[must_use]
    pub fn append_bytes_max(&self) -> usize {
        usize::try_from(self.shared().tail().append_max()).unwrap_or(usize::MAX)
    }

    /// The number of this start.
    #[must_use]
    pub fn epoch(&self) -> Epoch {
        self.shared().epoch
    }

    /// The same of all handles of this open log, and of no other: a unit that is appended through one handle can hold
    /// records meant for another only if their ids are equal.
    #[must_use]
    pub fn id(&self) -> LogId {
        self.handle.id
    }

    /// Refuses further appends, makes what is pending durable, marks a clean stop, drops the watchers and the lock. A
    /// snapshot that all owners have finished is written before, any other is given up.
    ///
    /// # Errors
    /// The log failed, or the disk is full: what was not durable may be lost, nothing else. The stop does not count as
    /// clean.
    pub fn close(&self) -> Result<(), WaitError> {
        complete_snapshot(self.shared());
        let end = self.handle.shut_down(true);
        self.wait_durable(end)?;
        self.shared().check_whole()
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.handle.shared
    }
}

fn check_options(options: &Options) -> Result<(), OpenError> {
    let size = options.segment_size;
    if !is_segment_size(size) {
        let reason = format!(
            "{size} is not a multiple of {SEGMENT_SIZE_UNIT} between {SEGMENT_SIZE_MIN} and {SEGMENT_SIZE_MAX}: choose one"
        );
        return Err(OpenError::Options { option: "segment_size", reason });
    }
    let least = SPACE_SEGMENTS_MIN * size;
    if options.space_max < least {
        let reason = format!("{} is too little for a log to go on: give at least {least}", options.space_max);
        return Err(OpenError::Options { option: "space_max", reason });
    }
    Ok(())
}

fn lock_storage(storage: &dyn Storage) -> Result<StorageLock, OpenError> {
    storage.lock().map_err(|error| match error {
        LockError::Held { pid } => OpenError::Locked { path: storage.path_of(""), pid },
        LockError::Io(source) => file_error(storage, "lock", "the data directory cannot be locked")(source),
    })
}

/// All of [`Log::open`] but the threads.
pub(crate) fn start(storage: Arc<dyn Storage>, options: Options) -> Result<(Shared, Replay), OpenError> {
    check_options(&options)?;
    let lock = lock_storage(&*storage)?;
    let recovered = recover(&*storage, options.segment_size, options.owners > 0)?;
    let snapshot = find_snapshot(&*storage, &recovered)?;
    let geometry = recovered.geometry;
    let epoch = Epoch(recovered.last_epoch.0.saturating_add(1));
    let end = geometry.position(recovered.segment, recovered.cut);
    let mut replay_files = recovered.files.clone();
    replay_files.retain(|number, _| *number <= recovered.segment);
    let tail = Tail::new(&recovered, epoch, &options);
    let carries_from = recovered.carries_from;
    let shared = Shared::new(Arc::clone(&storage), lock, options, geometry, epoch, tail, recovered.files);
    let copies = Arc::clone(&shared.copies);
    let from = snapshot.as_ref().map_or(geometry.position(recovered.begin, FIRST_RECORD), Snapshot::from);
    shared.snapshots.set_last(from, snapshot.as_ref().map_or(0, Snapshot::length));
    shared.snapshots.note_files(bytes_on_disk(&*storage), 0);
    let replay = Replay { storage, geometry, files: replay_files, snapshot, from, end, carries_from, copies };
    append_start(&shared)?;
    Ok((shared, replay))
}

/// Writes and syncs the record of this start, so that its number is never used again.
fn append_start(shared: &Shared) -> Result<(), OpenError> {
    let mut tail = shared.tail();
    let cannot = |action, segment| file_error(&*shared.storage, &name_of(segment), action);
    let must_roll = tail.must_roll(START_LEN);
    // With little room left, the first appends should not have to wait for the next segment.
    if tail.must_roll(shared.geometry.segment_size / 4) && tail.ready == tail.segment {
        let next = tail.segment + 1;
        let version = tail.version(next);
        let made = if must_roll {
            shared.prepare_at_start(version, next)
        } else {
            shared.prepare(version, next, || DiskShare::AtOnce, || false)
        };
        match made {
            Ok(()) => tail.ready = next,
            // The preparer tries again.
            Err(PrepareError::Retry(_)) if !must_roll => {}
            Err(error) => return Err(cannot("the file cannot be made", next)(error.into_source())),
        }
    }
    tail.push_start(own::START, &[Part::Bytes(&shared.epoch.0.to_le_bytes())]);
    let Some(batch) = tail.take_batch() else { return Ok(()) };
    let written = shared
        .file(batch.segment)
        .ok_or_else(|| io::ErrorKind::NotFound.into())
        .and_then(|file| file.write_at(&batch.bytes, batch.offset).and_then(|()| file.sync_data()));
    written.map_err(cannot("the file cannot be written", batch.segment))?;
    let end = batch.end;
    tail.finish_batch(batch);
    drop(tail);
    shared.publish(end);
    Ok(())
}

impl Handle {
    fn run(&self) -> Result<(), OpenError> {
        self.spawn("log-writer", write_batches)?;
        self.spawn("log-preparer", prepare_segments)?;
        if self.shared.options.owners > 0 {
            self.spawn("log-reclaimer", reclaim_segments)?;
            self.spawn("log-snapshots", write_snapshots)?;
        }
        Ok(())
    }

    fn spawn(&self, name: &str, run: fn(&Shared)) -> Result<(), OpenError> {
        let shared = Arc::clone(&self.shared);
        let work = move || {
            let guard = PanicGuard(shared);
            run(&guard.0);
        };
        let cannot = file_error(&*self.shared.storage, "", "a thread cannot be started");
        let thread = thread::Builder::new().name(name.to_owned()).spawn(work).map_err(cannot)?;
        self.threads.lock().unwrap_or_else(PoisonError::into_inner).push(thread);
        Ok(())
    }

    /// Lets the threads end. Returns the end of the log before the record of the stop.
    fn shut_down(&self, stop: bool) -> Position {
        self.shared.snapshots.stop();
        let end = {
            let mut tail = self.shared.tail();
            if tail.phase == Phase::Open {
                tail.phase = Phase::Closing { stop };
            }
            self.shared.wake_all();
            tail.end()
        };
        // Held to the end: another thread that closes the log at the same time waits for the same threads.
        let mut running = self.threads.lock().unwrap_or_else(PoisonError::into_inner);
        let threads = std::mem::take(&mut *running);
        let shared = Arc::clone(&self.shared);
        if threads.iter().any(|thread| thread.thread().id() == thread::current().id()) {
            // The last handle was dropped by a watcher: the writer cannot wait for itself.
            let closer = thread::Builder::new().name("log-closer".to_owned());
            drop(closer.spawn(move || join_threads(&shared, threads)));
        } else {
            join_threads(&shared, threads);
        }
        end
    }
}

/// Poisons the log when one of its threads panics: without it, callers would wait for ever.
struct PanicGuard(Arc<Shared>);

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if thread::panicking() {
            let reason = "a thread of the log panicked";
            self.0.poison(reason.to_owned());
            self.0.notify_poisoned(reason);
        }
    }
}

fn join_threads(shared: &Shared, threads: Vec<JoinHandle<()>>) {
    for thread in threads {
        // A panic was reported by its guard.
        drop(thread.join());
    }
    shared.release();
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shut_down(false);
    }
}

fn decode_pending(geometry: &Geometry, at: Position, bytes: &[u8]) -> Option<Record> {
    let Slot::Header(header) = RecordHeader::decode(geometry, at, bytes) else { return None };
    let payload = bytes.get(RECORD_HEADER_LEN..RECORD_HEADER_LEN + header.len as usize)?;
    Some(record(&header, payload.to_vec()))
}

fn record(header: &RecordHeader, payload: Vec<u8>) -> Record {
    Record { kind: header.kind, owner: header.owner, position: header.position, payload }
}

fn read_from_file(shared: &Shared, position: Position) -> Result<Record, ReadError> {
    let (segment, offset) = shared.geometry.split(position);
    let file = shared.file(segment).ok_or(ReadError::OutOfRange(position))?;
    let is_damaged = |what| ReadError::Damaged(damaged(&*shared.storage, segment, offset, what));
    let failed = |source: io::Error| match source.kind() {
        // All of a segment was there before it was used.
        io::ErrorKind::UnexpectedEof => is_damaged("the segment was cut"),
        _ => ReadError::Storage { path: shared.storage.path_of(&name_of(segment)), source },
    };
    let rest = usize::try_from(shared.geometry.segment_size - offset).unwrap_or(usize::MAX);
    let mut bytes = vec![0; rest.min(FIRST_READ)];
    read_exact(&*file, &mut bytes, offset).map_err(failed)?;
    let Slot::Header(header) = RecordHeader::decode(&shared.geometry, position, &bytes) else {
        return Err(is_damaged("there is no valid record"));
    };
    let payload = read_payload(&*file, &header, bytes, offset).map_err(failed)?;
    if header.payload_is_whole(&shared.geometry, position, &payload) {
        Ok(record(&header, payload))
    } else {
        Err(is_damaged("a record's checksum is wrong"))
    }
}

/// Returns the payload of the record that begins with `bytes`; reads what is missing of it.
fn read_payload(file: &dyn StorageFile, header: &RecordHeader, mut bytes: Vec<u8>, offset: u64) -> io::Result<Vec<u8>> {
    let read = bytes.len();
    bytes.resize(RECORD_HEADER_LEN + header.len as usize, 0);
    if bytes.len() > read {
        read_exact(file, &mut bytes[read..], offset + read as u64)?;
    }
    bytes.drain(..RECORD_HEADER_LEN);
    Ok(bytes)
}
