//! The devices that the broker knows at the moment.
//!
//! A bounded cache over the catalog. A hit is answered at once, in the caller's thread. A miss goes to the tokio run
//! time through a bounded mailbox and is answered there, within the deadline; a full mailbox is answered
//! [`LookupError::Busy`] at once. Misses are never cached, so that a device may log in as soon as it is registered.
//!
//! Who replaces a device calls [`DeviceDirectory::invalidate`] after the catalog has it. Where another process did, the
//! old row may be used for at most [`ROW_TRUSTED`].

use super::recent::Recent;
use catalog::{Catalog, Device};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc};
use tokio::time::{Instant, timeout_at};

/// Devices in the cache; those unused longest go first.
pub const DEVICES_CACHED_MAX: usize = 65_536;
/// Lookups that wait for the catalog; the next one is refused.
pub const LOOKUPS_WAITING_MAX: usize = 4_096;
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

/// Cheap to clone; all clones share one cache.
#[derive(Clone, Debug)]
pub struct DeviceDirectory {
    cache: Arc<Mutex<Cache>>,
    mailbox: mpsc::Sender<Lookup>,
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

impl DeviceDirectory {
    /// Its task runs on `runtime` and ends with the last clone.
    pub fn start(catalog: Arc<dyn Catalog>, runtime: &Handle) -> Self {
        let cache = Arc::new(Mutex::new(Cache::new(DEVICES_CACHED_MAX)));
        let (mailbox, lookups) = mpsc::channel(LOOKUPS_WAITING_MAX);
        runtime.spawn(serve(catalog, cache.clone(), lookups));
        Self { cache, mailbox }
    }

    /// Answers `done` with the device of this client id, `None` if it is not registered.
    pub fn lookup(&self, client_id: &str, done: LookupDone) {
        if let Some(device) = self.cached(client_id) {
            return done(Ok(Some(device)));
        }
        let lookup = Lookup { client_id: client_id.to_owned(), deadline: Instant::now() + DEADLINE, done };
        match self.mailbox.try_send(lookup) {
            Ok(()) => {}
            Err(mpsc::error::TrySendError::Full(lookup)) => (lookup.done)(Err(LookupError::Busy)),
            Err(mpsc::error::TrySendError::Closed(lookup)) => (lookup.done)(Err(LookupError::Unavailable)),
        }
    }

    /// The device, if it is known without asking the catalog.
    pub fn cached(&self, client_id: &str) -> Option<Device> {
        lock(&self.cache).find(client_id)
    }

    /// Forgets what it knows of this client id.
    pub fn invalidate(&self, client_id: &str) {
        lock(&self.cache).invalidate(client_id);
    }
}

/// A thread that panicked with the lock held left the cache whole: each change of it is one call.
pub(super) fn lock(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn serve(catalog: Arc<dyn Catalog>, cache: Arc<Mutex<Cache>>, mut lookups: mpsc::Receiver<Lookup>) {
    let running = Arc::new(Semaphore::new(LOOKUPS_RUNNING_MAX));
    while let Some(lookup) = lookups.recv().await {
        let Ok(turn) = timeout_at(lookup.deadline, running.clone().acquire_owned()).await else {
            (lookup.done)(Err(LookupError::TimedOut));
            continue;
        };
        let (catalog, cache) = (catalog.clone(), cache.clone());
        tokio::spawn(async move {
            let answer = read(&*catalog, &cache, &lookup.client_id, lookup.deadline).await;
            drop(turn);
            (lookup.done)(answer);
        });
    }
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
    if let Some(device) = &device {
        keep(cache, epoch, device);
    }
    Ok(device)
}

pub(super) fn keep(cache: &Mutex<Cache>, epoch: u64, device: &Device) {
    let mut cache = lock(cache);
    if cache.epoch == epoch {
        cache.rows.insert(device.client_id.clone(), (device.clone(), Instant::now()));
    }
}
