//! The way along the feed: what is read of it, done, and tried again.

use super::RevocationFigures;
use super::ends::{End, Lane};
use super::progress::Progress;
use super::sessions::{Ending, Sessions, answered};
use super::turns::Turns;
use crate::access::{AccessView, account_of_user, is_account_of_service};
use crate::login::DeviceDirectory;
use catalog::{Catalog, CatalogError, ChangeRow, Cut, Kind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::sync::{Semaphore, watch};
use tokio::task::{JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// Changes of other processes are looked for this often.
pub(super) const LOOK_EVERY: Duration = Duration::from_millis(500);
const CHANGES_AT_ONCE: u32 = 128;
/// Devices that the broker is told to end for good at once: the ends of their sessions share the flushes of its log.
const ENDED_AT_ONCE: usize = 256;
/// As long as so much of a lane has not ended, it reads no further change. One change ends 10,000 devices at most.
const UNDONE_MAX: usize = 20_000;
/// Pauses between two tries.
const RETRY_AFTER: Duration = Duration::from_millis(250);
const RETRY_AFTER_MAX: Duration = Duration::from_secs(10);
const WARN_EVERY: Duration = Duration::from_secs(10);

pub(super) struct Follower {
    catalog: Arc<dyn Catalog>,
    access: AccessView,
    directory: DeviceDirectory,
    sessions: Arc<dyn Sessions>,
    pub(super) turns: Turns,
    for_good_at_once: Semaphore,
    at_once: watch::Sender<Progress>,
    for_good: watch::Sender<Progress>,
    read: AtomicU64,
    done: AtomicU64,
    tried_again: AtomicU64,
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
    /// From behind the change of this number on.
    pub(super) fn new(
        catalog: Arc<dyn Catalog>,
        access: AccessView,
        directory: DeviceDirectory,
        sessions: Arc<dyn Sessions>,
        number: u64,
    ) -> Self {
        Self {
            catalog,
            access,
            directory,
            sessions,
            turns: Turns::new(),
            for_good_at_once: Semaphore::new(ENDED_AT_ONCE),
            at_once: watch::Sender::new(Progress::from(number)),
            for_good: watch::Sender::new(Progress::from(number)),
            read: AtomicU64::new(0),
            done: AtomicU64::new(0),
            tried_again: AtomicU64::new(0),
        }
    }

    pub(super) fn progress(&self, lane: Lane) -> &watch::Sender<Progress> {
        match lane {
            Lane::AtOnce => &self.at_once,
            Lane::ForGood => &self.for_good,
        }
    }

    pub(super) fn figures(&self) -> RevocationFigures {
        let done = self.done.load(Ordering::SeqCst);
        RevocationFigures {
            waiting: self.read.load(Ordering::SeqCst).saturating_sub(done),
            done,
            tried_again: self.tried_again.load(Ordering::Relaxed),
        }
    }

    pub(super) async fn run(self: Arc<Self>, lane: Lane, mut numbers: watch::Receiver<u64>) {
        let mut looks = interval(LOOK_EVERY);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        // Ends with this task.
        let mut running = JoinSet::new();
        let mut warned = (Instant::now(), 0);
        loop {
            tokio::select! {
                changed = numbers.changed() => if changed.is_err() { return },
                // What cannot be read now is read at the next look.
                _ = looks.tick() => if lane == Lane::AtOnce {
                    self.warn_of_tries(&mut warned);
                    drop(self.catalog.look_for_changes().await);
                },
                Some(ended) = running.join_next() => pass_on_panic(ended),
            }
            let last = *numbers.borrow_and_update();
            if let Err(error) = self.read_to(lane, last, &mut running).await {
                tracing::warn!(%error, "cannot read what was changed; what it ends stands until then");
            }
        }
    }

    /// Says that something is tried again and again, now and then.
    fn warn_of_tries(&self, (last, tries): &mut (Instant, u64)) {
        let RevocationFigures { waiting, tried_again, .. } = self.figures();
        if tried_again > *tries && last.elapsed() >= WARN_EVERY {
            tracing::warn!(
                waiting,
                "what changes end has not ended, because the broker does not answer; it is tried again"
            );
            (*last, *tries) = (Instant::now(), tried_again);
        }
    }

    async fn read_to(self: &Arc<Self>, lane: Lane, last: u64, running: &mut JoinSet<()>) -> Result<(), CatalogError> {
        loop {
            let after = self.progress(lane).borrow().read_to;
            if after >= last {
                return Ok(());
            }
            let mut rows = self.catalog.changes(after, CHANGES_AT_ONCE).await?;
            if lane == Lane::AtOnce {
                // The revision of the rules that those of another process have made.
                self.catalog.look_for_changes().await?;
            }
            // The rules of access of later ones may not be known yet.
            rows.retain(|row| row.number <= last);
            let read_to = rows.last().map_or(last, |row| row.number);
            for row in rows {
                self.take(lane, row, running);
                while running.len() >= UNDONE_MAX
                    && let Some(ended) = running.join_next().await
                {
                    pass_on_panic(ended);
                }
            }
            self.progress(lane).send_modify(|progress| progress.read(read_to, 0));
        }
    }

    fn take(self: &Arc<Self>, lane: Lane, row: ChangeRow, running: &mut JoinSet<()>) {
        if lane == Lane::AtOnce {
            self.forget_devices(&row);
        }
        let revision = *self.catalog.access_revision().borrow();
        let number = row.number;
        let ends = lane.ends_of(row);
        let counted = ends.iter().filter(|end| end.counts()).count() as u64;
        self.read.fetch_add(counted, Ordering::SeqCst);
        self.progress(lane).send_modify(|progress| progress.read(number, ends.len()));
        for end in ends {
            running.spawn(Arc::clone(self).end_for_sure(lane, number, end, revision));
        }
    }

    /// What the directory has read before the change.
    fn forget_devices(&self, row: &ChangeRow) {
        if row.kind == Kind::Device {
            self.directory.invalidate(&row.subject);
        }
        for cut in &row.cuts {
            if let Cut::Device { client_id, .. } | Cut::Credential { client_id, .. } = cut {
                self.directory.invalidate(client_id);
            }
        }
    }

    async fn end_for_sure(self: Arc<Self>, lane: Lane, number: u64, end: End, revision: u64) {
        let mut pause = RETRY_AFTER;
        if end.concerns_access() {
            // Whoever logs in from there on is judged by the new rules.
            self.access.reached(revision).await;
        }
        while !self.try_end(&end).await {
            self.tried_again.fetch_add(1, Ordering::Relaxed);
            tracing::debug!(change = number, ?pause, "what a change ends has not ended; it is tried again");
            sleep(pause).await;
            pause = (2 * pause).min(RETRY_AFTER_MAX);
        }
        if end.counts() {
            self.done.fetch_add(1, Ordering::SeqCst);
        }
        self.progress(lane).send_if_modified(|progress| progress.one_is_done(number));
    }

    /// `false`: the broker or the catalog has not answered.
    async fn try_end(&self, end: &End) -> bool {
        let told = match end {
            End::OfTime { key_id } => self.sessions.judge_key(key_id),
            End::Cut(Cut::Key { key_id }) => self.sessions.cut_key(key_id),
            End::Cut(Cut::Token { id }) => self.sessions.cut_token(*id),
            End::Cut(Cut::Credential { client_id, key_id }) => self.sessions.cut_credential(client_id, key_id),
            End::Cut(Cut::Device { client_id, key_id }) => self.sessions.cut_device(client_id, key_id),
            End::Cut(Cut::Group { group }) => self.sessions.cut_group(group),
            End::Cut(Cut::Subscriptions { parent }) => self.sessions.judge_subscriptions(parent),
            End::Cut(Cut::Others { client_id, user }) => return self.try_end_others(client_id, user).await,
            End::Remains { client_id, key_id } => return self.try_end_device(client_id, key_id).await,
        };
        answered(told).await.is_some()
    }

    /// Where the client id is another's or nobody's by now, the change that made it so ends what there is to end.
    async fn try_end_others(&self, client_id: &str, user: &str) -> bool {
        let _turn = self.turns.of(client_id).await;
        match self.catalog.device(client_id).await {
            Ok(Some(device)) if device.user == user => {
                answered(self.sessions.end_others(client_id, &account_of_user(user))).await.is_some()
            }
            Ok(_) => true,
            Err(error) => {
                tracing::debug!(%error, "cannot read whose a client id is that was registered");
                false
            }
        }
    }

    /// Where the client id was registered again meanwhile, what its new user has there stays.
    async fn try_end_device(&self, client_id: &str, key_id: &str) -> bool {
        // It is never closed.
        let _one_of_some = self.for_good_at_once.acquire().await;
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
                return true;
            }
        }
        answered(self.sessions.end_device(client_id, Ending::Removed { key_id })).await.is_some()
    }
}
