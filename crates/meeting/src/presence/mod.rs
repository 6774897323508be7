//! Presence: the task that tells the clients that watch their contacts whose presence has changed.
//!
//! Each change, by whichever service, has a rising number in the catalog; changes are read a few times a second while a
//! client watches. Watches are only in memory: after a restart there are none, and terminals renew them with their next
//! connect or after a minute. A change of presence is no decision: it goes to the queue without the outbox, and expires
//! like an answer. Absences and watches last for a time of this process, whatever happens to the service's clock.

mod watches;

use crate::directory;
use crate::presence::watches::{SLOTS, Watches};
use crate::state::ServiceState;
use catalog::CatalogError;
use signalling::{ClientId, Contact, DownBody};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};

const TURN: Duration = Duration::from_millis(1_000 / SLOTS as u64);
/// Turns between two readings of changes.
const READ_EVERY: usize = 4;
/// Users whose changes are read together.
const READ_MAX: u32 = 1_000;
/// Longest watch.
const WATCH_S_MAX: u32 = 120;

pub(crate) struct PresenceWatches {
    watches: Mutex<Watches>,
    /// What the times of the watches count from.
    started: Instant,
    /// A client has begun to watch.
    begun: Notify,
}

impl Default for PresenceWatches {
    fn default() -> Self {
        Self { watches: Mutex::default(), started: Instant::now(), begun: Notify::new() }
    }
}

impl PresenceWatches {
    fn with<T>(&self, act: impl FnOnce(&mut Watches) -> T) -> T {
        act(&mut self.watches.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn elapsed_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// The client was told `told`, with all changes up to `number`; it watches for `watch_s` from now on, 0: no more.
    pub(crate) fn watch(&self, client: &ClientId, told: &[Contact], number: u64, watch_s: u32) {
        if watch_s == 0 {
            return self.end(client);
        }
        let until_ms = self.elapsed_ms() + u64::from(watch_s.min(WATCH_S_MAX)) * 1_000;
        self.with(|watches| watches.handle_watch(client, told, number, until_ms));
        self.begun.notify_one();
    }

    pub(crate) fn end(&self, client: &ClientId) {
        self.with(|watches| watches.handle_end(client));
    }
}

/// Runs until it is dropped, or a send has panicked.
pub(crate) async fn run(service: Arc<ServiceState>) {
    let mut ticks = tokio::time::interval(TURN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut sending = JoinSet::new();
    for turn in (0..SLOTS * READ_EVERY).cycle() {
        if service.presence.with(|watches| watches.is_empty()) {
            service.presence.begun.notified().await;
        }
        ticks.tick().await;
        if turn % READ_EVERY == 0
            && let Err(error) = read(&service).await
        {
            tracing::debug!(%error, "changes of presence cannot be read; again");
        }
        let news = service.presence.with(|watches| {
            watches.handle_time(service.presence.elapsed_ms());
            watches.poll_news(turn)
        });
        for (client, contacts) in news {
            sending.spawn(tell(Arc::clone(&service), client, contacts));
        }
        while let Some(sent) = sending.try_join_next() {
            if sent.is_err() {
                return;
            }
        }
    }
}

/// Reads the present state of all users that have changed since the last reading.
async fn read(service: &ServiceState) -> Result<(), CatalogError> {
    loop {
        let after = service.presence.with(|watches| watches.after);
        let changes = service.catalog.presence_changes(after, READ_MAX).await?;
        let known = service.presence.with(|watches| watches.watched(&changes.users));
        let now = directory::as_they_are(&*service.catalog, known).await?;
        service.presence.with(|watches| {
            now.into_iter().for_each(|contact| watches.handle_presence(contact, service.presence.elapsed_ms()));
            // A watch that began meanwhile may have been told of an earlier state.
            if watches.after == after {
                watches.after = changes.last;
            }
        });
        if !changes.more {
            return Ok(());
        }
    }
}

async fn tell(service: Arc<ServiceState>, client: ClientId, contacts: Vec<Contact>) {
    let news = service.to_client(&client, DownBody::Presence { users: contacts.clone() });
    let lost = service.send_directly(news, None).await.is_err();
    service.presence.with(|watches| watches.handle_sent(&client, if lost { &contacts } else { &[] }));
}
