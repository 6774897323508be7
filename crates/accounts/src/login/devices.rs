//! The directory of devices: a bounded cache over the catalog.
//!
//! A hit is answered at once, in the caller's thread. A miss goes to the tokio run time through a [`FairQueue`] and is
//! answered there, within the deadline. Each network has its turn in the queue; what has no place in a full one is
//! answered [`LookupError::Busy`] at once, first of the network that asks for most. So a network that floods with client
//! ids that nobody has keeps only its own devices waiting. Misses are never cached, so that a device may log in as soon
//! as it is registered.
//!
//! What replaces a device calls [`DeviceDirectory::invalidate`] after the catalog has it. Where another process did, the
//! old row may be used for at most [`ROW_TRUSTED`].

use crate::network::Network;
use crate::recent::Recent;
use catalog::{Catalog, Device};
use limiter::{FairQueue, QueueLimits};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};

/// Devices in the cache; those unused longest go first.
pub const DEVICES_CACHED_MAX: usize = 65_536;
/// Lookups that wait for the catalog; beyond it one is refused.
pub(super) const LOOKUPS_WAITING_MAX: usize = 4_096;
/// Lookups that the catalog works on at once.
const LOOKUPS_RUNNING_MAX: usize = 16;
/// From the call to its answer.
const DEADLINE: Duration = Duration::from_secs(5);
/// How long a row is used without being read again.
const ROW_TRUSTED: Duration = Duration::from_secs(30);

/// Called once, from any thread; it must not wait.
pub type LookupDone = Box<dyn FnOnce(Result<Option<Device>, LookupError>) + Send>;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LookupError {
    #[error("too many lookups wait for the catalog")]
    Busy,
    #[error("the catalog did not answer in time")]
    TimedOut,
    #[error("the catalog cannot be read")]
    Unavailable,
}

/// The source of a lookup; each has its turn.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LookupSource {
    /// A login from there.
    Login(Network),
    /// Clients that send to devices which have no session.
    Senders,
    /// The queue, for messages to such devices.
    Queue,
    /// Connections whose credential was to end by now. They are told what the catalog has: another process may have prolonged
    /// it since the row was read that is in the cache.
    Standing,
}

/// Cheap to clone; all clones share one cache.
#[derive(Clone, Debug)]
pub struct DeviceDirectory {
    inner: Arc<Inner>,
    /// Told when something waits.
    wake: mpsc::Sender<()>,
}

#[derive(Debug)]
struct Inner {
    cache: Mutex<Cache>,
    waiting: Mutex<FairQueue<LookupSource, Lookup>>,
}

#[derive(Debug)]
pub(super) struct Cache {
    rows: Recent<String, (Device, Instant)>,
    /// Rises with each invalidation: what was read before it is not kept after it.
    epoch: u64,
}

impl Cache {
    pub(super) fn new(bound: usize) -> Self {
        Self { rows: Recent::new(bound), epoch: 0 }
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch
    }

    pub(super) fn invalidate(&mut self, client_id: &str) {
        self.epoch += 1;
        self.rows.remove(client_id);
    }

    pub(super) fn find(&mut self, client_id: &str) -> Option<Device> {
        let (device, read_at) = self.rows.get_mut(client_id)?;
        if read_at.elapsed() < ROW_TRUSTED {
            return Some(device.clone());
        }
        self.rows.remove(client_id);
        None
    }
}

struct Lookup {
    client_id: String,
    deadline: Instant,
    done: LookupDone,
}

impl std::fmt::Debug for Lookup {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lookup").field("deadline", &self.deadline).finish_non_exhaustive()
    }
}

impl DeviceDirectory {
    /// Its task runs on `runtime` and ends with the last clone.
    pub fn start(catalog: Arc<dyn Catalog>, runtime: &Handle) -> Self {
        let cache = Mutex::new(Cache::new(DEVICES_CACHED_MAX));
        let waiting = FairQueue::new(QueueLimits { waiting_max: LOOKUPS_WAITING_MAX, share: 0 });
        let inner = Arc::new(Inner { cache, waiting: Mutex::new(waiting) });
        let (wake, wakes) = mpsc::channel(1);
        runtime.spawn(serve(catalog, inner.clone(), wakes));
        Self { inner, wake }
    }

    /// Answers `done` with the device of this client id, `None` if it is not registered.
    pub fn lookup(&self, source: LookupSource, client_id: &str, done: LookupDone) {
        if source != LookupSource::Standing
            && let Some(device) = self.cached(client_id)
        {
            return done(Ok(Some(device)));
        }
        if self.wake.is_closed() {
            return done(Err(LookupError::Unavailable));
        }
        let lookup = Lookup { client_id: client_id.to_owned(), deadline: Instant::now() + DEADLINE, done };
        let refused = lock(&self.inner.waiting).push(source, lookup);
        // Full: the task has been told already, and has not looked since.
        let _ = self.wake.try_send(());
        if let Some(refused) = refused {
            (refused.done)(Err(LookupError::Busy));
        }
    }

    /// The device, if it is known without asking the catalog.
    pub fn cached(&self, client_id: &str) -> Option<Device> {
        lock(&self.inner.cache).find(client_id)
    }

    /// Forgets what it knows of this client id.
    pub fn invalidate(&self, client_id: &str) {
        lock(&self.inner.cache).invalidate(client_id);
    }

    /// Returns when its task has ended, by a panic: no lookup is answered any more.
    pub async fn ended(&self) {
        self.wake.closed().await;
    }
}

/// A thread that panicked with the lock held left the value whole: each change of it is one call.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(catalog: Arc<dyn Catalog>, inner: Arc<Inner>, mut wakes: mpsc::Receiver<()>) {
    let mut running = JoinSet::new();
    loop {
        while running.len() < LOOKUPS_RUNNING_MAX
            && let Some(lookup) = next_of(&mut lock(&inner.waiting))
        {
            running.spawn(answer(catalog.clone(), inner.clone(), lookup));
        }
        tokio::select! {
            woken = wakes.recv() => if woken.is_none() { return },
            // One that panicked has left a lookup without an answer.
            Some(ended) = running.join_next() => if ended.is_err() { return },
        }
    }
}

/// Its source may have more lookups running.
fn next_of(waiting: &mut FairQueue<LookupSource, Lookup>) -> Option<Lookup> {
    let (source, lookup) = waiting.pop()?;
    waiting.done(source);
    Some(lookup)
}

async fn answer(catalog: Arc<dyn Catalog>, inner: Arc<Inner>, lookup: Lookup) {
    let Lookup { client_id, deadline, done } = lookup;
    let is_late = Instant::now() >= deadline;
    done(if is_late { Err(LookupError::TimedOut) } else { read(&*catalog, &inner.cache, &client_id, deadline).await });
}

async fn read(
    catalog: &dyn Catalog,
    cache: &Mutex<Cache>,
    client_id: &str,
    deadline: Instant,
) -> Result<Option<Device>, LookupError> {
    let epoch = lock(cache).epoch();
    let answer = timeout_at(deadline, catalog.device(client_id)).await.map_err(|_| LookupError::TimedOut)?;
    let device = answer.map_err(|error| {
        tracing::warn!(%error, "cannot look a device up");
        LookupError::Unavailable
    })?;
    match &device {
        Some(device) => keep(cache, epoch, device),
        // It may be cached still, where another process has removed it.
        None => drop(lock(cache).rows.remove(client_id)),
    }
    Ok(device)
}

pub(super) fn keep(cache: &Mutex<Cache>, epoch: u64, device: &Device) {
    let mut cache = lock(cache);
    if cache.epoch == epoch {
        cache.rows.insert(device.client_id.clone(), (device.clone(), Instant::now()));
    }
}
