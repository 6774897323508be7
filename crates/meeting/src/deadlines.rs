//! Deadlines: rows of the catalog, and one task that sleeps until the next; and the deletion of rows that are over.

use crate::commit::{CommitExtra, DecisionError, TRIES_MAX};
use crate::directory;
use crate::machine::Event;
use crate::state::ServiceState;
use catalog::{CatalogError, CommitError, DueTimers, TimerRow};
use clock::Times;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use uuid::Uuid;

/// Deadlines that are read together.
const DUE_MAX: u32 = 256;
const RETRY: Duration = Duration::from_secs(1);
/// A clock that was set has stood for so long that it is right.
const SETTLES_AFTER: Duration = Duration::from_hours(24);
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

/// Deletes what the catalog need not keep any more, and corrects what a clock has left that was ahead. Runs until it is
/// dropped.
pub(crate) async fn prune(service: Arc<ServiceState>) {
    let mut settling = Settling::new(Instant::now());
    loop {
        let times = service.clock.times();
        let Settled { prunes, corrects } = settling.look(times, service.clock.followed(), Instant::now());
        if prunes {
            match service.catalog.prune(times.now_ms).await {
                Ok(rows) => tracing::debug!(rows, "forgot what is over"),
                Err(error) => tracing::warn!(%error, "what is over could not be forgotten"),
            }
        }
        if corrects {
            let done = service.catalog.pull_in(times.now_ms).await;
            settling.corrected = done.is_ok();
            match done {
                Ok(0) => {}
                Ok(rows) => tracing::warn!(rows, "corrected times of a clock that was ahead"),
                Err(error) => tracing::warn!(%error, "times of a clock that was ahead could not be corrected"),
            }
        }
        tokio::time::sleep(service.config.prune_every).await;
    }
}

/// A clock that was set may be set again, to what is right: for a day nothing is deleted by it, and nothing corrected.
struct Settling {
    stands_since: Instant,
    followed: u64,
    corrected: bool,
}

#[derive(Debug, PartialEq, Eq)]
struct Settled {
    prunes: bool,
    corrects: bool,
}

impl Settling {
    fn new(now: Instant) -> Self {
        Self { stands_since: now, followed: 0, corrected: false }
    }

    /// `followed`: how often the clock was set in this run. Whether it was in the run before is not known; that keeps from a
    /// correction, which can wait.
    fn look(&mut self, times: Times, followed: u64, now: Instant) -> Settled {
        if followed != self.followed {
            *self = Self { followed, ..Self::new(now) };
        }
        let stands = now.saturating_duration_since(self.stands_since) >= SETTLES_AFTER;
        let prunes = !times.is_in_doubt() && (followed == 0 || stands);
        Settled { prunes, corrects: prunes && stands && !self.corrected }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_believed_by_the_catalog_after_a_day() {
        const MINUTE: Duration = Duration::from_mins(1);
        let certain = Times { now_ms: 9, over_ms: 9, held_until_ms: 9 };
        let (waits, prunes) = (Settled { prunes: false, corrects: false }, Settled { prunes: true, corrects: false });
        let corrects = Settled { prunes: true, corrects: true };
        let begin = Instant::now();
        let mut settling = Settling::new(begin);
        assert_eq!(settling.look(certain, 0, begin), prunes);
        assert_eq!(settling.look(Times { over_ms: 8, ..certain }, 0, begin + SETTLES_AFTER), waits, "it is in doubt");
        assert_eq!(settling.look(certain, 0, begin + SETTLES_AFTER), corrects);
        settling.corrected = true;
        assert_eq!(settling.look(certain, 0, begin + SETTLES_AFTER), prunes, "once");
        let set = begin + 2 * SETTLES_AFTER;
        assert_eq!(settling.look(certain, 1, set), waits);
        assert_eq!(settling.look(certain, 1, set + SETTLES_AFTER - MINUTE), waits);
        assert_eq!(settling.look(certain, 2, set + SETTLES_AFTER), waits, "it is set back");
        assert_eq!(settling.look(certain, 2, set + 2 * SETTLES_AFTER), corrects);
    }
}
