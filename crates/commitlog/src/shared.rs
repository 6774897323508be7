//! What the handles and the threads of one open log share.

use std::collections::BTreeSet;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::copies::Copies;
use crate::error::WaitError;
use crate::format::{Geometry, SegmentHeader, SegmentVersion};
use crate::pieces::DiskShare;
use crate::reclaim::Owners;
use crate::record::LogEvent;
use crate::recover::{FIRST_SEGMENT, Files};
use crate::segment::{
    PrepareError, SPARE, free_name_of, has_no_room, has_spare, leave_stub, make_spare, name_of, prepare,
    prepare_at_start, prepare_from_free, unfinished_name_of,
};
use crate::snapshot::Snapshots;
use crate::storage::{Storage, StorageFile, StorageLock};
use crate::tail::{Phase, Tail};
use crate::{Epoch, Options, Position};

pub(crate) type Watcher = Arc<dyn Fn(LogEvent) + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) geometry: Geometry,
    pub(crate) epoch: Epoch,
    pub(crate) options: Options,
    tail: Mutex<Tail>,
    pub(crate) files: RwLock<Files>,
    pub(crate) copies: Arc<Copies>,
    /// Names of files that were given back, to be used again.
    pub(crate) free: Mutex<Vec<String>>,
    /// Files of segments that are the log's no more, and could not be freed.
    pub(crate) kept_back: Mutex<KeptBack>,
    durable: AtomicU64,
    watchers: Mutex<Watchers>,
    /// There is something to write.
    work: Condvar,
    /// Another segment is needed.
    segment_needed: Condvar,
    /// Something became durable, or never will.
    progress: Condvar,
    /// The log has grown, or an owner has vacated a segment.
    space: Condvar,
    pub(crate) owners: Owners,
    pub(crate) snapshots: Snapshots,
    /// Of a seeded bug.
    #[cfg(feature = "faults")]
    pub(crate) withheld: crate::seeded::Withheld,
    lock: Mutex<Option<StorageLock>>,
}

/// What owners need changes without notice.
const SPACE_CHECKED_EVERY: Duration = Duration::from_secs(1);
/// Files that are kept for the next segments; more than these are removed.
const FREE_MAX: usize = 2;

#[derive(Default)]
pub(crate) struct KeptBack {
    pub(crate) files: Files,
    /// Those of which the log has said that they stay.
    told: BTreeSet<u64>,
}

#[derive(Default)]
struct Watchers {
    list: Vec<Watcher>,
    /// Why the log failed, for watchers that are added later.
    poisoned: Option<String>,
}

/// Locks the value, also after a panic of another holder: every use here is one statement or reads only, so that the
/// value is consistent.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    pub(crate) fn new(
        storage: Arc<dyn Storage>,
        lock: StorageLock,
        options: Options,
        geometry: Geometry,
        epoch: Epoch,
        tail: Tail,
        files: Files,
    ) -> Self {
        Self {
            storage,
            geometry,
            epoch,
            options,
            durable: AtomicU64::new(tail.end().0),
            tail: Mutex::new(tail),
            files: RwLock::new(files),
            copies: Arc::default(),
            free: Mutex::default(),
            kept_back: Mutex::default(),
            watchers: Mutex::default(),
            work: Condvar::new(),
            segment_needed: Condvar::new(),
            progress: Condvar::new(),
            space: Condvar::new(),
            owners: Owners::default(),
            snapshots: Snapshots::default(),
            #[cfg(feature = "faults")]
            withheld: crate::seeded::Withheld::default(),
            lock: Mutex::new(Some(lock)),
        }
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        lock(&self.tail)
    }

    pub(crate) fn file(&self, segment: u64) -> Option<Arc<dyn StorageFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(&segment).cloned()
    }

    /// Where the record of this name is to be read. A segment that is not made yet counts as there.
    pub(crate) fn place_of(&self, name: Position) -> Option<Position> {
        let (segment, _) = self.geometry.split(name);
        let files = self.files.read().unwrap_or_else(PoisonError::into_inner);
        let is_gone = files.keys().next().is_none_or(|oldest| segment < *oldest);
        if is_gone { self.copies.find(&self.geometry, name) } else { Some(name) }
    }

    /// Creates a segment that is ready for appends, and the spare file before it. Where there is no room for one that records
    /// wait for already, among them those that would give space back, it takes that of the spare file.
    pub(crate) fn prepare(
        &self,
        version: SegmentVersion,
        number: u64,
        share: impl Fn() -> DiskShare,
        is_waited_for: impl Fn() -> bool,
    ) -> Result<(), PrepareError> {
        // First: else a kill after the disk is full would be the end.
        // One that cannot be opened now is there; it is looked for again with the next segment.
        let has_spare = has_spare(&*self.storage, self.geometry.segment_size).unwrap_or(true);
        if !has_spare && let Err(error) = self.new_spare() {
            // On a full disk the space that was given back is all there is.
            if !self.use_free(SPARE).map_err(PrepareError::Retry)? {
                return Err(PrepareError::Retry(error));
            }
        }
        let header = self.header(version, number);
        let file = if self.use_free(&unfinished_name_of(number)).map_err(PrepareError::Retry)? {
            prepare_from_free(&*self.storage, &header)?
        } else {
            let made = self.check_space(2).map_err(PrepareError::Retry);
            match made.and_then(|()| prepare(&*self.storage, &header, share)) {
                Err(PrepareError::Retry(error)) if has_no_room(&error) && is_waited_for() => {
                    prepare_at_start(&*self.storage, &header, None)?
                }
                made => made?,
            }
        };
        self.add_file(number, file);
        Ok(())
    }

    fn new_spare(&self) -> io::Result<()> {
        self.check_space(1)?;
        make_spare(&*self.storage, self.geometry.segment_size)
    }

    /// Renames a file that was given back, for another use. `false`: there is none.
    fn use_free(&self, name: &str) -> io::Result<bool> {
        let Some(free) = lock(&self.free).pop() else { return Ok(false) };
        let renamed = self.storage.rename(&free, name);
        if renamed.as_ref().is_err_and(|error| error.kind() != io::ErrorKind::NotFound) {
            lock(&self.free).push(free);
        }
        renamed.map(|()| true)
    }

    /// The same for the segment that a start cannot do without.
    pub(crate) fn prepare_at_start(&self, version: SegmentVersion, number: u64) -> Result<(), PrepareError> {
        let file = prepare_at_start(&*self.storage, &self.header(version, number), None)?;
        self.add_file(number, file);
        Ok(())
    }

    /// Syncs all segments: with `SyncMode::Os`, what is durable for the process may be lost with the machine.
    pub(crate) fn sync_all(&self) -> Result<(), WaitError> {
        let files: Vec<_> = self.files.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        for file in files {
            if let Err(error) = file.sync_data() {
                let reason = format!("the log cannot be synced: {error}");
                self.poison(reason.clone());
                return Err(WaitError::Poisoned(reason));
            }
        }
        Ok(())
    }

    /// Removes the segments before `begin`. One that cannot be removed now is at the next start.
    pub(crate) fn give_back(&self, begin: u64) {
        {
            let mut files = self.files.write().unwrap_or_else(PoisonError::into_inner);
            let kept = files.split_off(&begin);
            lock(&self.kept_back).files.extend(std::mem::replace(&mut *files, kept));
        }
        self.copies.forget_before(begin);
        self.free_kept_back();
    }

    /// Frees the files of segments that are the log's no more. What cannot be freed now counts, and is tried again.
    pub(crate) fn free_kept_back(&self) {
        let mut kept_back = lock(&self.kept_back);
        let files = std::mem::take(&mut kept_back.files);
        for (number, file) in files {
            let name = name_of(number);
            // A read that began before still has the file.
            let is_read = Arc::strong_count(&file) > 1;
            let Err(error) = self.free(number, &name, is_read) else { continue };
            if error.kind() == io::ErrorKind::NotFound {
                continue;
            }
            if kept_back.told.insert(number) {
                tracing::warn!(path = self.storage.path_of(&name), %error, "a segment cannot be given back now, and is tried again");
            }
            kept_back.files.insert(number, file);
        }
        if kept_back.files.is_empty() {
            kept_back.told.clear();
        }
    }

    fn free(&self, number: u64, name: &str, is_read: bool) -> io::Result<()> {
        if number == FIRST_SEGMENT {
            return leave_stub(&*self.storage, &self.geometry);
        }
        if is_read {
            return self.storage.remove(name);
        }
        let free_name = free_name_of(number);
        self.storage.rename(name, &free_name)?;
        let Err(one_too_many) = self.keep_free(free_name) else { return Ok(()) };
        if self.storage.remove(&one_too_many).is_err() {
            // It is one that can be used, then.
            lock(&self.free).push(one_too_many);
        }
        Ok(())
    }

    /// # Errors
    /// The name, if enough files are kept.
    fn keep_free(&self, name: String) -> Result<(), String> {
        let mut free = lock(&self.free);
        if free.len() >= FREE_MAX {
            return Err(name);
        }
        free.push(name);
        Ok(())
    }

    fn header(&self, version: SegmentVersion, number: u64) -> SegmentHeader {
        SegmentHeader { version, geometry: self.geometry, number, epoch: self.epoch }
    }

    fn add_file(&self, number: u64, file: Arc<dyn StorageFile>) {
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(number, file);
    }

    pub(crate) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// Raises the durable position to `end`; wakes the threads that wait, calls the watchers.
    pub(crate) fn publish(&self, end: Position) {
        self.durable.store(end.0, Ordering::Release);
        {
            // A thread that checked before the store has to wait before it is notified.
            let _tail = self.tail();
            self.progress.notify_all();
        }
        self.notify_watchers(&LogEvent::Durable(end));
    }

    fn notify_watchers(&self, event: &LogEvent) {
        let list = lock(&self.watchers).list.clone();
        for watcher in list {
            watcher(event.clone());
        }
    }

    pub(crate) fn watch(&self, watcher: Watcher) {
        let poisoned = {
            let mut watchers = lock(&self.watchers);
            watchers.list.push(Arc::clone(&watcher));
            watchers.poisoned.clone()
        };
        if let Some(reason) = poisoned {
            watcher(LogEvent::Poisoned(reason));
        }
    }

    /// Ends the use of the log: nothing is accepted or becomes durable any more. The writer calls the watchers.
    pub(crate) fn poison(&self, reason: String) {
        self.snapshots.stop();
        let mut tail = self.tail();
        if !matches!(tail.phase, Phase::Poisoned(_)) {
            tracing::error!(reason, "the log has failed; it accepts nothing until the process is started again");
            tail.phase = Phase::Poisoned(reason);
        }
        self.wake_all();
    }

    pub(crate) fn notify_poisoned(&self, reason: &str) {
        lock(&self.watchers).poisoned = Some(reason.to_owned());
        self.notify_watchers(&LogEvent::Poisoned(reason.to_owned()));
    }

    pub(crate) fn wake_all(&self) {
        self.work.notify_all();
        self.segment_needed.notify_all();
        self.progress.notify_all();
        self.space.notify_all();
    }

    pub(crate) fn wake_reclaimer(&self) {
        self.tail().space_has_changed = true;
        self.space.notify_all();
    }

    /// Waits until a segment may be wanted or given back. `false`: never.
    pub(crate) fn wait_until_space_may_come_back(&self) -> bool {
        let mut tail = self.tail();
        if tail.phase == Phase::Open && !tail.space_has_changed {
            tail = wait(&self.space, tail, Some(SPACE_CHECKED_EVERY));
        }
        tail.space_has_changed = false;
        tail.phase == Phase::Open
    }

    /// Waits until everything below `end` is durable, as long as the log goes on like this.
    pub(crate) fn wait_durable(&self, end: Position, goes_on: impl Fn(&Tail) -> bool) -> Result<(), WaitError> {
        let mut tail = self.tail();
        loop {
            match &tail.phase {
                _ if self.durable() >= end => return Ok(()),
                Phase::Poisoned(reason) => return Err(WaitError::Poisoned(reason.clone())),
                _ if !goes_on(&tail) => return Err(WaitError::Closed(end)),
                _ => tail = wait(&self.progress, tail, None),
            }
        }
    }

    /// Whether the log has failed.
    pub(crate) fn check_whole(&self) -> Result<(), WaitError> {
        match &self.tail().phase {
            Phase::Poisoned(reason) => Err(WaitError::Poisoned(reason.clone())),
            _ => Ok(()),
        }
    }

    /// The same for a thread that a close waits for.
    pub(crate) fn wait_durable_while_open(&self, end: Position) -> Result<(), WaitError> {
        self.wait_durable(end, |tail| tail.phase == Phase::Open)
    }

    /// Wakes the threads that have work after an append.
    pub(crate) fn wake_for(&self, tail: &Tail) {
        if tail.writer_waits {
            self.work.notify_one();
        }
        if tail.needs_segment() {
            self.segment_needed.notify_one();
        }
    }

    pub(crate) fn wait_for_work<'a>(
        &self,
        mut tail: MutexGuard<'a, Tail>,
        most: Option<Duration>,
    ) -> MutexGuard<'a, Tail> {
        tail.writer_waits = true;
        let mut tail = wait(&self.work, tail, most);
        tail.writer_waits = false;
        tail
    }

    pub(crate) fn wait_until_segment_needed<'a>(
        &self,
        tail: MutexGuard<'a, Tail>,
        most: Option<Duration>,
    ) -> MutexGuard<'a, Tail> {
        wait(&self.segment_needed, tail, most)
    }

    /// Marks the log as closed after both threads have ended; drops the watchers and the lock, wakes waiting threads.
    pub(crate) fn release(&self) {
        {
            let mut tail = self.tail();
            if !matches!(tail.phase, Phase::Poisoned(_)) {
                tail.phase = Phase::Closed;
            }
        }
        let watchers = std::mem::take(&mut lock(&self.watchers).list);
        drop(watchers);
        lock(&self.lock).take();
        self.wake_all();
    }
}

fn wait<'a>(condvar: &Condvar, tail: MutexGuard<'a, Tail>, most: Option<Duration>) -> MutexGuard<'a, Tail> {
    match most {
        None => condvar.wait(tail).unwrap_or_else(PoisonError::into_inner),
        Some(most) => condvar.wait_timeout(tail, most).unwrap_or_else(PoisonError::into_inner).0,
    }
}
