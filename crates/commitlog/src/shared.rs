//! What the handles and the two threads of one open log share.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use crate::format::{Geometry, SegmentHeader};
use crate::record::Durable;
use crate::recover::Files;
use crate::segment::prepare;
use crate::storage::{Storage, StorageFile, StorageLock};
use crate::tail::{Phase, Tail};
use crate::{Epoch, Options, Position};

pub(crate) type Watcher = Arc<dyn Fn(Durable) + Send + Sync>;

pub(crate) struct Shared {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) geometry: Geometry,
    pub(crate) epoch: Epoch,
    pub(crate) options: Options,
    tail: Mutex<Tail>,
    files: RwLock<Files>,
    durable: AtomicU64,
    watchers: Mutex<Watchers>,
    /// The writer has something to do.
    work: Condvar,
    /// Another segment is needed.
    need: Condvar,
    /// Something became durable, or never will.
    progress: Condvar,
    lock: Mutex<Option<StorageLock>>,
}

#[derive(Default)]
struct Watchers {
    list: Vec<Watcher>,
    /// What those who come later are told.
    poisoned: Option<String>,
}

/// A thread that panicked left the value as it was between two statements; every use here is one statement or reads
/// only, so that the value still holds together.
fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
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
            watchers: Mutex::default(),
            work: Condvar::new(),
            need: Condvar::new(),
            progress: Condvar::new(),
            lock: Mutex::new(Some(lock)),
        }
    }

    pub(crate) fn tail(&self) -> MutexGuard<'_, Tail> {
        held(&self.tail)
    }

    pub(crate) fn file(&self, segment: u64) -> Option<Arc<dyn StorageFile>> {
        self.files.read().unwrap_or_else(PoisonError::into_inner).get(&segment).cloned()
    }

    /// Makes a segment ready for appends.
    pub(crate) fn prepare(&self, number: u64) -> std::io::Result<()> {
        let header = SegmentHeader { geometry: self.geometry, number, epoch: self.epoch };
        let file = prepare(&*self.storage, &header, None)?;
        self.files.write().unwrap_or_else(PoisonError::into_inner).insert(number, file);
        Ok(())
    }

    pub(crate) fn durable(&self) -> Position {
        Position(self.durable.load(Ordering::Acquire))
    }

    /// Everything below `end` is durable: tells all who wait.
    pub(crate) fn publish(&self, end: Position) {
        self.durable.store(end.0, Ordering::Release);
        {
            // Whoever checked before the store has to be waiting before it is notified.
            let _tail = self.tail();
            self.progress.notify_all();
        }
        self.tell(&Durable::Up(end));
    }

    fn tell(&self, news: &Durable) {
        let list = held(&self.watchers).list.clone();
        for watcher in list {
            watcher(news.clone());
        }
    }

    pub(crate) fn watch(&self, watcher: Watcher) {
        let poisoned = {
            let mut watchers = held(&self.watchers);
            watchers.list.push(Arc::clone(&watcher));
            watchers.poisoned.clone()
        };
        if let Some(reason) = poisoned {
            watcher(Durable::Poisoned(reason));
        }
    }

    /// From here on nothing is accepted and nothing becomes durable. The writer tells the watchers.
    pub(crate) fn poison(&self, reason: String) {
        let mut tail = self.tail();
        if !matches!(tail.phase, Phase::Poisoned(_)) {
            tracing::error!(reason, "the log has failed; it accepts nothing until the process is started again");
            tail.phase = Phase::Poisoned(reason);
        }
        self.wake_all();
    }

    pub(crate) fn tell_poisoned(&self, reason: &str) {
        held(&self.watchers).poisoned = Some(reason.to_owned());
        self.tell(&Durable::Poisoned(reason.to_owned()));
    }

    pub(crate) fn wake_all(&self) {
        self.work.notify_all();
        self.need.notify_all();
        self.progress.notify_all();
    }

    /// After an append.
    pub(crate) fn wake_for(&self, tail: &Tail) {
        if tail.writer_waits {
            self.work.notify_one();
        }
        if tail.ready <= tail.segment {
            self.need.notify_one();
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

    pub(crate) fn wait_for_need<'a>(&self, tail: MutexGuard<'a, Tail>, most: Option<Duration>) -> MutexGuard<'a, Tail> {
        wait(&self.need, tail, most)
    }

    pub(crate) fn wait_for_progress<'a>(&self, tail: MutexGuard<'a, Tail>) -> MutexGuard<'a, Tail> {
        wait(&self.progress, tail, None)
    }

    /// Both threads have ended: lets go of what keeps others waiting.
    pub(crate) fn release(&self) {
        {
            let mut tail = self.tail();
            if !matches!(tail.phase, Phase::Poisoned(_)) {
                tail.phase = Phase::Closed;
            }
        }
        let watchers = std::mem::take(&mut held(&self.watchers).list);
        drop(watchers);
        held(&self.lock).take();
        self.wake_all();
    }
}

fn wait<'a>(condvar: &Condvar, tail: MutexGuard<'a, Tail>, most: Option<Duration>) -> MutexGuard<'a, Tail> {
    match most {
        None => condvar.wait(tail).unwrap_or_else(PoisonError::into_inner),
        Some(most) => condvar.wait_timeout(tail, most).unwrap_or_else(PoisonError::into_inner).0,
    }
}
