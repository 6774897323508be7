//! Whatever ends a right ends the connections that had it.
//!
//! What it is: the one follower of the catalog's feed of changes. It reads what each change ends, forgets what the directory
//! of devices knows of it, and tells the broker, whoever made the change: a request, also one whose commit was not
//! answered, or another process. What could not be ended stays and is tried again, and holds up nothing else.
//!
//! What it is not: it decides nothing; what a change ends is said in the transaction that makes it. It begins with the changes
//! after its start: then nobody is connected, and the broker's start has ended what the log has of removed devices.

mod progress;
mod sessions;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
mod turns;

pub use sessions::Sessions;
pub(crate) use sessions::{ANSWERS_WITHIN, answered};

use crate::access::{AccessView, account_of_user, is_account_of_service};
use crate::login::DeviceDirectory;
use catalog::{Catalog, CatalogError, ChangeRow, Cut, Kind};
use progress::Progress;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{MutexGuard, Semaphore, watch};
use tokio::task::{JoinError, JoinHandle, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};
use turns::Turns;

/// Changes of other processes are looked for this often.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const CHANGES_AT_ONCE: u32 = 128;
/// Devices that the broker is told to end at once: the ends of their sessions share the flushes of its log.
const ENDED_AT_ONCE: usize = 256;
/// As long as so much has not ended, no further change is read. One change ends 10,000 devices at most.
const UNDONE_MAX: usize = 20_000;
/// Pauses between two tries.
const RETRY_AFTER: Duration = Duration::from_millis(250);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
const WARN_EVERY: Duration = Duration::from_secs(10);

/// Cheap to clone; the following task ends with the last clone.
#[derive(Clone)]
pub struct Revocation {
    follower: Arc<Follower>,
    task: Arc<Task>,
}

impl std::fmt::Debug for Revocation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Revocation").field("figures", &self.figures()).finish_non_exhaustive()
    }
}

/// Of what changes end: connections of a key, of a credential, of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationFigures {
    pub waiting: u64,
    pub done: u64,
    pub tried_again: u64,
}

#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

struct Follower {
    catalog: Arc<dyn Catalog>,
    access: AccessView,
    directory: DeviceDirectory,
    sessions: Arc<dyn Sessions>,
    turns: Turns,
    at_once: Semaphore,
    progress: watch::Sender<Progress>,
    done: AtomicU64,
    tried_again: AtomicU64,
}

impl Revocation {
    /// Follows the changes that are made from now on, on the current tokio run time.
    pub fn follow(
        catalog: Arc<dyn Catalog>,
        access: AccessView,
        directory: DeviceDirectory,
        sessions: Arc<dyn Sessions>,
    ) -> Self {
        let mut numbers = catalog.change_number();
        let progress = watch::Sender::new(Progress::from(*numbers.borrow_and_update()));
        let follower = Arc::new(Follower {
            catalog,
            access,
            directory,
            sessions,
            turns: Turns::new(),
            at_once: Semaphore::new(ENDED_AT_ONCE),
            progress,
            done: AtomicU64::new(0),
            tried_again: AtomicU64::new(0),
        });
        let task = Arc::new(Task(tokio::spawn(Arc::clone(&follower).run(numbers))));
        Self { follower, task }
    }

    /// Waits until all has ended that this change ends.
    pub async fn passed(&self, number: u64) {
        let mut progress = self.follower.progress.subscribe();
        // Its sender is ours.
        let _ = progress.wait_for(|progress| progress.has_passed(number)).await;
    }

    /// While it is held, nothing under this client id ends because of an earlier change.
    pub(crate) async fn turn_at(&self, client_id: &str) -> MutexGuard<'_, ()> {
        self.follower.turns.of(client_id).await
    }

    #[must_use]
    pub fn figures(&self) -> RevocationFigures {
        RevocationFigures {
            waiting: self.follower.progress.borrow().undone() as u64,
            done: self.follower.done.load(Ordering::Relaxed),
            tried_again: self.follower.tried_again.load(Ordering::Relaxed),
        }
    }

    /// Returns when its task has ended, by a panic: nothing is ended any more.
    pub async fn ended(&self) {
        while !self.task.0.is_finished() {
            sleep(LOOK_EVERY).await;
        }
    }
}

/// What a change ends.
enum End {
    Cut(Cut),
    /// The time of this access key or of its secrets was changed.
    OfTime {
        key_id: String,
    },
}

fn ends_of(row: ChangeRow) -> Vec<End> {
    if row.kind == Kind::Key && row.cuts.is_empty() {
        return vec![End::OfTime { key_id: row.subject }];
    }
    row.cuts.into_iter().map(End::Cut).collect()
}

/// What a task of one that panicked should have ended would stand for ever.
fn pass_on_panic(ended: Result<(), JoinError>) {
    if let Err(error) = ended
        && let Ok(panic) = error.try_into_panic()
    {
        std::panic::resume_unwind(panic);
    }
}

impl Follower {
    async fn run(self: Arc<Self>, mut numbers: watch::Receiver<u64>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Ends with this task.
        let mut running = JoinSet::new();
        let mut warned = (Instant::now(), 0);
        loop {
            self.warn_of_tries(&mut warned);
            tokio::select! {
                changed = numbers.changed() => if changed.is_err() { return },
                // What cannot be read now is read at the next look.
                _ = looks.tick() => drop(self.catalog.look_for_changes().await),
                Some(ended) = running.join_next() => pass_on_panic(ended),
            }
            let last = *numbers.borrow_and_update();
            if let Err(error) = self.read_to(last, &mut running).await {
                tracing::warn!(%error, "cannot read what was changed; what it ends stands until then");
            }
        }
    }

    /// Says that something is tried again and again, now and then.
    fn warn_of_tries(&self, (last, tries): &mut (Instant, u64)) {
        let tried_again = self.tried_again.load(Ordering::Relaxed);
        if tried_again > *tries && last.elapsed() >= WARN_EVERY {
            let waiting = self.progress.borrow().undone();
            tracing::warn!(
                waiting,
                "what changes end has not ended, because the broker does not answer; it is tried again"
            );
            (*last, *tries) = (Instant::now(), tried_again);
        }
    }

    async fn read_to(self: &Arc<Self>, last: u64, running: &mut JoinSet<()>) -> Result<(), CatalogError> {
        loop {
            let after = self.progress.borrow().read_to;
            if after >= last {
                return Ok(());
            }
            let mut rows = self.catalog.changes(after, CHANGES_AT_ONCE).await?;
            // The revision of the rules that those of another process have made.
            self.catalog.look_for_changes().await?;
            // The rules of access of later ones may not be known yet.
            rows.retain(|row| row.number <= last);
            let read_to = rows.last().map_or(last, |row| row.number);
            for row in rows {
                self.take(row, running);
                while running.len() >= UNDONE_MAX
                    && let Some(ended) = running.join_next().await
                {
                    pass_on_panic(ended);
                }
            }
            self.progress.send_modify(|progress| progress.read(read_to, 0));
        }
    }

    fn take(self: &Arc<Self>, row: ChangeRow, running: &mut JoinSet<()>) {
        if row.kind == Kind::Device {
            self.directory.invalidate(&row.subject);
        }
        for cut in &row.cuts {
            if let Cut::Device { client_id, .. } | Cut::Credential { client_id, .. } = cut {
                self.directory.invalidate(client_id);
            }
        }
        let revision = *self.catalog.access_revision().borrow();
        let number = row.number;
        let ends = ends_of(row);
        self.progress.send_modify(|progress| progress.read(number, ends.len()));
        for end in ends {
            running.spawn(Arc::clone(self).end_for_sure(number, end, revision));
        }
    }

    async fn end_for_sure(self: Arc<Self>, number: u64, end: End, revision: u64) {
        let mut pause = RETRY_AFTER;
        while !self.try_end(&end, revision).await {
            self.tried_again.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(change = number, ?pause, "what a change ends has not ended; it is tried again");
            sleep(pause).await;
            pause = (2 * pause).min(RETRY_AFTER_MAX);
        }
        self.done.fetch_add(1, Ordering::Relaxed);
        self.progress.send_if_modified(|progress| progress.one_is_done(number));
    }

    /// `false`: the broker or the catalog has not answered.
    async fn try_end(&self, end: &End, revision: u64) -> bool {
        if let End::Cut(Cut::Key { .. } | Cut::Token { .. }) | End::OfTime { .. } = end {
            // Whoever logs in from there on is judged by the new rules.
            self.access.reached(revision).await;
        }
        match end {
            End::OfTime { key_id } => answered(self.sessions.judge_key(key_id)).await.is_some(),
            End::Cut(Cut::Key { key_id }) => answered(self.sessions.cut_key(key_id)).await.is_some(),
            End::Cut(Cut::Credential { client_id, key_id }) => {
                answered(self.sessions.cut_credential(client_id, key_id)).await.is_some()
            }
            End::Cut(Cut::Token { id }) => answered(self.sessions.cut_token(*id)).await.is_some(),
            End::Cut(Cut::Device { client_id, key_id }) => self.try_end_device(client_id, key_id).await,
        }
    }

    /// Where the client id was registered again meanwhile, what its new user has there stays.
    async fn try_end_device(&self, client_id: &str, key_id: &str) -> bool {
        // It is never closed.
        let _one_of_some = self.at_once.acquire().await;
        let _turn = self.turns.of(client_id).await;
        let registered = match self.catalog.device(client_id).await {
            Ok(registered) => registered,
            Err(error) => {
                tracing::debug!(%error, "cannot read whether a removed device was registered again");
                return false;
            }
        };
        if let Some(device) = registered {
            let Some(holder) = answered(self.sessions.holder_of(client_id)).await else { return false };
            let its_own = account_of_user(&device.user);
            if holder.is_none_or(|holder| *holder == *its_own || is_account_of_service(&holder)) {
                return answered(self.sessions.cut_credential(client_id, key_id)).await.is_some();
            }
        }
        answered(self.sessions.end_device(client_id, Some(key_id))).await.is_some()
    }
}
