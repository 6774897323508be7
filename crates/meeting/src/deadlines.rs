//! Deadlines: rows of the catalog, one task that sleeps until the next; and the daily forgetting.

use crate::clock;
use crate::commit::{Extra, Shared, TRIES_MAX, Undecided};
use crate::directory;
use crate::machine::Event;
use catalog::{CatalogError, CommitError, TimerRow};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Deadlines that are looked at together.
const DUE_MAX: u32 = 256;
const RETRY: Duration = Duration::from_secs(1);
/// Longest sleep: another service may have stored an earlier deadline.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// Works until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        if let Err(error) = once(&shared).await {
            tracing::warn!(%error, "deadlines cannot be read; again");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Fires what is due, then sleeps until the next deadline or until one is added.
async fn once(shared: &Shared) -> Result<(), CatalogError> {
    let due = shared.catalog.due_timers(clock::now_ms(), DUE_MAX).await?;
    let mut meetings: BTreeMap<Uuid, Vec<TimerRow>> = BTreeMap::new();
    for timer in due {
        meetings.entry(timer.meeting).or_default().push(timer);
    }
    let mut failed = false;
    for (id, due) in meetings {
        if let Err(error) = fire(shared, id, due).await {
            failed = true;
            tracing::warn!(meeting = %id, %error, "a deadline could not be kept; again");
        }
    }
    let next_ms = shared.catalog.next_timer().await?;
    let left = next_ms.map_or(SLEEP_MAX, |at_ms| Duration::from_millis(at_ms.saturating_sub(clock::now_ms())));
    let pause = if failed { RETRY } else { left.min(SLEEP_MAX) };
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = shared.deadlines.notified() => {}
    }
    Ok(())
}

async fn fire(shared: &Shared, id: Uuid, due: Vec<TimerRow>) -> Result<(), Undecided> {
    for _ in 0..TRIES_MAX {
        let Some(known) = shared.known(id).await? else { return Ok(()) };
        let online = directory::online_members(&*shared.catalog, &known.meeting).await?;
        let mut step = shared.machine(|context| known.meeting.apply(Event::Due { online }, context));
        // Stored in any case, so that the rows that woke us are replaced by what the document says now.
        step.changed = true;
        match shared.store(Some(&known), step, Extra { timers: due.clone(), ..Extra::default() }).await {
            Err(Undecided::Commit(CommitError::Conflict)) => {}
            done => return done.map(drop),
        }
    }
    Err(CommitError::Conflict.into())
}

/// Works until it is dropped.
pub(crate) async fn prune(shared: Arc<Shared>) {
    loop {
        match shared.catalog.prune(clock::now_ms()).await {
            Ok(rows) => tracing::debug!(rows, "forgot what is over"),
            Err(error) => tracing::warn!(%error, "what is over could not be forgotten"),
        }
        tokio::time::sleep(shared.config.prune_every).await;
    }
}
