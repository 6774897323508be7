//! Deadlines: rows of the catalog, and one task that sleeps until the next; and the deletion of rows that are over.

use crate::commit::{CommitExtra, DecisionError, TRIES_MAX};
use crate::directory;
use crate::machine::Event;
use crate::state::ServiceState;
use catalog::{CatalogError, CommitError, DueTimers, TimerRow};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// Deadlines that are read together.
const DUE_MAX: u32 = 256;
const RETRY: Duration = Duration::from_secs(1);
/// Longest sleep: another service may have stored an earlier deadline.
const SLEEP_MAX: Duration = Duration::from_secs(5);

/// Runs until it is dropped.
pub(crate) async fn run(service: Arc<ServiceState>) {
    loop {
        if let Err(error) = once(&service).await {
            tracing::warn!(%error, "deadlines cannot be read; again");
            tokio::time::sleep(RETRY).await;
        }
    }
}

/// Handles what is due, then sleeps until the next deadline or until one is added.
async fn once(service: &ServiceState) -> Result<(), CatalogError> {
    let times = service.clock.times();
    let latest_ms = times.now_ms.saturating_add(service.config.rules.deadline_max_ms());
    let due = DueTimers { now_ms: times.now_ms, latest_ms, held_ms: times.held_ms() };
    let due = service.catalog.due_timers(due, DUE_MAX).await?;
    let mut meetings: BTreeMap<Uuid, Vec<TimerRow>> = BTreeMap::new();
    for timer in due {
        meetings.entry(timer.meeting).or_default().push(timer);
    }
    let mut failed = false;
    for (id, due) in meetings {
        if let Err(error) = fire(service, id, due).await {
            failed = true;
            tracing::warn!(meeting = %id, %error, "a deadline could not be kept; again");
        }
    }
    let next_ms = service.catalog.next_timer(times.held_ms()).await?;
    let left = next_ms.map_or(SLEEP_MAX, |at_ms| Duration::from_millis(at_ms.saturating_sub(service.now_ms())));
    let pause = if failed { RETRY } else { left.min(SLEEP_MAX) };
    tokio::select! {
        () = tokio::time::sleep(pause) => {}
        () = service.deadlines.notified() => {}
    }
    Ok(())
}

async fn fire(service: &ServiceState, id: Uuid, due: Vec<TimerRow>) -> Result<(), DecisionError> {
    for _ in 0..TRIES_MAX {
        let Some(stored) = service.stored_meeting(id).await? else { return Ok(()) };
        let online = directory::online_members(&*service.catalog, &stored.meeting).await?;
        let mut decided = service.decide(|context| stored.meeting.handle_event(Event::Due { online }, context));
        // Stored in any case, so that the rows that were due are replaced by what the document says now.
        decided.changed = true;
        match service.store(Some(&stored), decided, CommitExtra { timers: due.clone(), ..CommitExtra::default() }).await
        {
            Err(DecisionError::Commit(CommitError::Conflict)) => {}
            done => return done.map(drop),
        }
    }
    Err(CommitError::Conflict.into())
}

/// Deletes what the catalog need not keep any more. Runs until it is dropped.
pub(crate) async fn prune(service: Arc<ServiceState>) {
    loop {
        prune_once(&service).await;
        tokio::time::sleep(service.config.prune_every).await;
    }
}

/// While the time is in doubt nothing is over.
async fn prune_once(service: &ServiceState) {
    let times = service.clock.times();
    if times.is_in_doubt() {
        return;
    }
    match service.catalog.prune(times.now_ms).await {
        Ok(rows) => tracing::debug!(rows, "forgot what is over"),
        Err(error) => tracing::warn!(%error, "what is over could not be forgotten"),
    }
}
