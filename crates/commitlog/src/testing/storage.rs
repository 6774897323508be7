//! The storage that forgets, with its injected errors and lies.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use super::fate::{Fate, Nothing};
use super::trace::{Image, Op, Trace};
use crate::storage::{LockError, Storage, StorageFile, StorageLock};

/// Calls in which an error can be injected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    List,
    Create,
    Open,
    Rename,
    Remove,
    SyncFolder,
    Read,
    Write,
    Allocate,
    Sync,
    Size,
}

/// A way in which the storage breaks its contract.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Lie {
    #[default]
    None,
    /// `sync_data` does nothing.
    IgnoreSync,
    /// `sync_data` happens, but only when the next call changes something.
    SyncLate,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub reads: u64,
    pub writes: u64,
    pub syncs: u64,
    pub folder_syncs: u64,
    /// All calls in which an error can be injected.
    pub calls: u64,
    /// Errors that were injected: a test in which none was tested nothing.
    pub injected: u64,
}

/// A disk in memory that forgets. Clones are the same disk.
#[derive(Clone)]
pub struct ForgettingStorage {
    inner: Arc<Inner>,
}

struct Inner {
    state: Mutex<State>,
    released: Condvar,
}

struct State {
    /// What reads see.
    view: Image,
    next_file: usize,
    trace: Trace,
    counts: Counts,
    lie: Lie,
    late: Vec<usize>,
    injections: Vec<Injection>,
    /// Once the disk is full: the bytes of all files, which may not become more.
    capacity: Option<usize>,
    /// What the disk says that it has, which is another matter; `None`: what is left of the capacity.
    free_space: Option<u64>,
    syncs_held: bool,
    locked: bool,
    /// Rises when the process or the power ends: what was opened before is dead.
    life: u64,
    ids: u8,
}

struct Injection {
    call: Option<Call>,
    /// Calls that still pass.
    after: u64,
    error: InjectedError,
    /// All calls behind the first one that failed fail too.
    lasts: bool,
}

#[derive(Clone, Copy)]
enum InjectedError {
    Kind(io::ErrorKind),
    /// An `errno`.
    Os(i32),
}

impl From<InjectedError> for io::Error {
    fn from(error: InjectedError) -> Self {
        match error {
            InjectedError::Kind(kind) => kind.into(),
            InjectedError::Os(errno) => Self::from_raw_os_error(errno),
        }
    }
}

impl Default for ForgettingStorage {
    fn default() -> Self {
        Self::new()
    }
}

impl ForgettingStorage {
    #[must_use]
    pub fn new() -> Self {
        Self::from_image(Image::default())
    }

    pub(super) fn from_image(image: Image) -> Self {
        let next_file = image.files.keys().next_back().map_or(0, |last| last + 1);
        let state = State {
            trace: Trace { begin: image.clone(), ops: Vec::new() },
            view: image,
            next_file,
            counts: Counts::default(),
            lie: Lie::None,
            late: Vec::new(),
            injections: Vec::new(),
            capacity: None,
            free_space: Some(u64::MAX),
            syncs_held: false,
            locked: false,
            life: 0,
            ids: 0,
        };
        Self { inner: Arc::new(Inner { state: Mutex::new(state), released: Condvar::new() }) }
    }

    /// Returns the storage for [`crate::Log::open`]. It fails once the process is killed or the power cut.
    #[must_use]
    pub fn handle(&self) -> Arc<dyn Storage> {
        Arc::new(Process { storage: self.clone(), life: self.state().life })
    }

    /// The power goes and comes back: un-synced writes and folder changes are gone, open files are dead.
    pub fn cut_power(&self) {
        self.cut_power_with(&mut Nothing);
    }

    /// The same, but `fate` chooses what is kept of what was not synced.
    pub fn cut_power_with(&self, fate: &mut dyn Fate) {
        let mut state = self.state();
        let image = state.trace.image_after_cut(state.trace.ops.len(), fate);
        state.trace = Trace { begin: image.clone(), ops: Vec::new() };
        state.view = image;
        self.end_life(&mut state);
    }

    /// The process ends, the machine goes on: everything written is there, open files are dead.
    pub fn kill_process(&self) {
        let mut state = self.state();
        self.end_life(&mut state);
    }

    fn end_life(&self, state: &mut State) {
        state.life += 1;
        state.locked = false;
        state.late.clear();
        state.injections.clear();
        state.syncs_held = false;
        self.inner.released.notify_all();
    }

    /// Fails the call of this kind that comes after `after` others of it.
    pub fn fail(&self, call: Call, after: u64, kind: io::ErrorKind) {
        let error = InjectedError::Kind(kind);
        self.state().injections.push(Injection { call: Some(call), after, error, lasts: false });
    }

    /// Fails the call, of any kind, that comes after `after` others.
    pub fn fail_any(&self, after: u64, kind: io::ErrorKind) {
        let error = InjectedError::Kind(kind);
        self.state().injections.push(Injection { call: None, after, error, lasts: false });
    }

    /// The same with an `errno`, and, if it lasts, for all calls from there on.
    pub fn fail_any_with(&self, after: u64, errno: i32, lasts: bool) {
        let error = InjectedError::Os(errno);
        self.state().injections.push(Injection { call: None, after, error, lasts });
    }

    /// While the disk is full, files can be overwritten, but not grown beyond what others give back.
    pub fn set_full(&self, full: bool) {
        let mut state = self.state();
        state.capacity = full.then(|| state.view.bytes());
    }

    /// Sets what the disk says that it has. Files take nothing of it.
    pub fn set_free_space(&self, bytes: u64) {
        self.state().free_space = Some(bytes);
    }

    /// The disk has room for so many bytes more, and says what is left of them.
    pub fn set_room(&self, bytes: usize) {
        let mut state = self.state();
        state.capacity = Some(state.view.bytes() + bytes);
        state.free_space = None;
    }

    pub fn set_lie(&self, lie: Lie) {
        self.state().lie = lie;
    }

    /// Every `sync_data` waits until [`ForgettingStorage::release_syncs`].
    pub fn hold_syncs(&self) {
        self.state().syncs_held = true;
    }

    pub fn release_syncs(&self) {
        self.state().syncs_held = false;
        self.inner.released.notify_all();
    }

    #[must_use]
    pub fn counts(&self) -> Counts {
        self.state().counts
    }

    /// Puts a note into the trace.
    pub fn note(&self, note: u64) {
        self.state().trace.ops.push(Op::Note(note));
    }

    #[must_use]
    pub fn trace(&self) -> Trace {
        self.state().trace.clone()
    }

    /// Changes the bytes of a file durably, unnoticed by the log.
    ///
    /// # Errors
    /// There is no such file.
    pub fn corrupt(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut state = self.state();
        let file = *state.view.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        let content = state.view.content_mut(file);
        change(content);
        let bytes = content.clone();
        state.trace.ops.push(Op::Write { file, offset: 0, bytes });
        state.trace.ops.push(Op::Sync { file });
        Ok(())
    }

    /// Returns the content of a file, as reads see it.
    ///
    /// # Errors
    /// There is no such file.
    pub fn content(&self, name: &str) -> io::Result<Vec<u8>> {
        let state = self.state();
        let file = state.view.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(state.view.files.get(file).map(|content| content.to_vec()).unwrap_or_default())
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.inner.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins a call of a process that was started in this `life`.
    fn enter(&self, life: u64, call: Call) -> io::Result<MutexGuard<'_, State>> {
        let mut state = self.state();
        if state.life != life {
            return Err(io::Error::other("the process was killed or the power cut"));
        }
        state.enter(call)?;
        Ok(state)
    }
}

/// The storage as one process sees it.
struct Process {
    storage: ForgettingStorage,
    life: u64,
}

impl Process {
    fn enter(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        self.storage.enter(self.life, call)
    }

    fn file(&self, file: usize) -> Arc<dyn StorageFile> {
        Arc::new(ForgettingFile { storage: self.storage.clone(), file, life: self.life })
    }
}

impl State {
    /// Counts the call, and fails it if that was asked for.
    fn enter(&mut self, call: Call) -> io::Result<()> {
        self.counts.calls += 1;
        let mut failed = None;
        self.injections.retain_mut(|injection| {
            if injection.call.is_some_and(|wanted| wanted != call) {
                return true;
            }
            if injection.after == 0 {
                failed = Some(injection.error);
            }
            let due = injection.after == 0 && !injection.lasts;
            injection.after = injection.after.saturating_sub(1);
            !due
        });
        let Some(error) = failed else { return Ok(()) };
        self.counts.injected += 1;
        Err(error.into())
    }

    /// Whether the file may have this length.
    fn check_room(&self, file: usize, len: usize) -> io::Result<()> {
        let grows_by = len.saturating_sub(self.view.files.get(&file).map_or(0, |content| content.len()));
        match self.capacity {
            Some(capacity) if grows_by > 0 && self.view.bytes() + grows_by > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }

    fn record(&mut self, op: Op) {
        for file in std::mem::take(&mut self.late) {
            self.trace.ops.push(Op::Sync { file });
        }
        self.view.apply(&op);
        self.trace.ops.push(op);
    }

    fn sync(&mut self, file: usize) {
        match self.lie {
            Lie::None => self.record(Op::Sync { file }),
            Lie::IgnoreSync => {}
            Lie::SyncLate => self.late.push(file),
        }
    }
}

impl Storage for Process {
    fn list(&self) -> io::Result<Vec<String>> {
        let state = self.enter(Call::List)?;
        Ok(state.view.names.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.enter(Call::Create)?;
        let file = state.next_file;
        state.next_file += 1;
        state.record(Op::Create { name: name.to_owned(), file });
        Ok(self.file(file))
    }

    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>> {
        let state = self.enter(Call::Open)?;
        let file = *state.view.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.file(file))
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.enter(Call::Rename)?;
        if !state.view.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.record(Op::Rename { from: from.to_owned(), to: to.to_owned() });
        Ok(())
    }

    fn exchange(&self, one: &str, other: &str) -> io::Result<()> {
        let mut state = self.enter(Call::Rename)?;
        if !state.view.names.contains_key(one) || !state.view.names.contains_key(other) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.record(Op::Exchange { one: one.to_owned(), other: other.to_owned() });
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.enter(Call::Remove)?;
        if !state.view.names.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.record(Op::Remove { name: name.to_owned() });
        Ok(())
    }

    fn sync_dir(&self) -> io::Result<()> {
        let mut state = self.enter(Call::SyncFolder)?;
        state.counts.folder_syncs += 1;
        state.record(Op::SyncFolder);
        Ok(())
    }

    fn lock(&self) -> Result<StorageLock, LockError> {
        let mut state = self.storage.state();
        if std::mem::replace(&mut state.locked, true) {
            return Err(LockError::Held { pid: std::process::id().to_string() });
        }
        Ok(StorageLock::new(Unlock { storage: self.storage.clone(), life: self.life }))
    }

    fn random_id(&self) -> io::Result<[u8; 16]> {
        let mut state = self.storage.state();
        state.ids += 1;
        Ok([state.ids; 16])
    }

    fn free_space(&self) -> io::Result<u64> {
        let state = self.storage.state();
        let left = || state.capacity.unwrap_or(usize::MAX).saturating_sub(state.view.bytes()) as u64;
        Ok(state.free_space.unwrap_or_else(left))
    }

    fn path_of(&self, name: &str) -> String {
        format!("memory/{name}")
    }
}

struct Unlock {
    storage: ForgettingStorage,
    life: u64,
}

impl Drop for Unlock {
    fn drop(&mut self) {
        let mut state = self.storage.state();
        if state.life == self.life {
            state.locked = false;
        }
    }
}

struct ForgettingFile {
    storage: ForgettingStorage,
    file: usize,
    life: u64,
}

impl ForgettingFile {
    fn enter(&self, call: Call) -> io::Result<MutexGuard<'_, State>> {
        self.storage.enter(self.life, call)
    }

    fn sync_entered<'a>(&'a self, mut state: MutexGuard<'a, State>) -> io::Result<()> {
        while state.syncs_held && state.life == self.life {
            state = self.storage.inner.released.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.life != self.life {
            return Err(io::Error::other("the power was cut during the sync"));
        }
        state.counts.syncs += 1;
        state.sync(self.file);
        Ok(())
    }
}

impl StorageFile for ForgettingFile {
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.enter(Call::Read)?;
        state.counts.reads += 1;
        let content = state.view.files.get(&self.file).map_or(&[][..], |content| content.as_slice());
        let from = usize::try_from(offset).map_or(content.len(), |from| from.min(content.len()));
        let len = buf.len().min(content.len() - from);
        buf[..len].copy_from_slice(&content[from..from + len]);
        Ok(len)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut state = self.enter(Call::Write)?;
        let offset = usize::try_from(offset).map_err(io::Error::other)?;
        state.check_room(self.file, offset + bytes.len())?;
        state.counts.writes += 1;
        state.record(Op::Write { file: self.file, offset, bytes: bytes.to_vec() });
        Ok(())
    }

    fn allocate(&self, len: u64) -> io::Result<()> {
        let mut state = self.enter(Call::Allocate)?;
        let len = usize::try_from(len).map_err(io::Error::other)?;
        state.check_room(self.file, len)?;
        state.record(Op::Allocate { file: self.file, len });
        Ok(())
    }

    fn sync_data(&self) -> io::Result<()> {
        match self.enter(Call::Sync) {
            Ok(state) => self.sync_entered(state),
            Err(error) => {
                let mut state = self.storage.state();
                if state.life == self.life {
                    state.record(Op::SyncFailed { file: self.file });
                }
                Err(error)
            }
        }
    }

    fn size(&self) -> io::Result<u64> {
        let state = self.enter(Call::Size)?;
        Ok(state.view.files.get(&self.file).map_or(0, |content| content.len()) as u64)
    }
}
