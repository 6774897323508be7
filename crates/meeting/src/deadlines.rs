//! Deadlines: rows of the catalog, and one task that sleeps until the next; and the deletion of rows that are over.

use crate::commit::{CommitExtra, DecisionError, TRIES_MAX};
use crate::directory;
use crate::machine::Event;
use crate::state::ServiceState;
use catalog::{CatalogError, Claim, CommitError, DueTimers, TimerRow};
use clock::Times;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use uuid::Uuid;

/// So long no other service handles deadlines of a meeting that this one handles; they decide on one revision in any case.
const CLAIM: Duration = Duration::from_secs(5);
/// Deadlines that are read together.
const DUE_MAX: u32 = 256;
const RETRY: Duration = Duration::from_secs(1);
/// Longest sleep: another service may have stored an earlier deadline.
const SLEEP_MAX: Duration = Duration::from_secs(5);
/// While deadlines are held: which of them is the next is not known.
const HELD_SLEEP_MAX: Duration = Duration::from_secs(1);

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
    let claim = Claim { by: service.config.claimant, lasts: CLAIM };
    let due = service.catalog.claim_timers(claim, due, DUE_MAX).await?;
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
    let next_ms = service.catalog.next_timer(claim.by, times.held_ms()).await?;
    let sleep_max = if times.held_ms().is_empty() { SLEEP_MAX } else { HELD_SLEEP_MAX };
    let left = next_ms.map_or(sleep_max, |at_ms| Duration::from_millis(at_ms.saturating_sub(service.now_ms())));
    let pause = if failed { RETRY } else { left.min(sleep_max) };
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
    // How often the clock had been followed when that was corrected.
    let mut corrected = None;
    loop {
        let (followed, times) = (service.clock.followed(), service.clock.times());
        if may_prune(&times, followed) {
            match service.catalog.prune(times.now_ms).await {
                Ok(rows) => tracing::debug!(rows, "forgot what is over"),
                Err(error) => tracing::warn!(%error, "what is over could not be forgotten"),
            }
        }
        if times.is_settled() && corrected != Some(followed) {
            match service.catalog.pull_in(times.now_ms).await {
                Ok(rows) => {
                    corrected = Some(followed);
                    if rows > 0 {
                        tracing::warn!(rows, "corrected times of a clock that was ahead");
                    }
                }
                Err(error) => tracing::warn!(%error, "times of a clock that was ahead could not be corrected"),
            }
        }
        tokio::time::sleep(service.config.prune_every).await;
    }
}

/// Not by a time in doubt or before what was dated too early has had its time, and not before a clock that was followed has
/// settled. Of a run that has followed none it is not known when one was; so long nothing waits.
fn may_prune(times: &Times, followed: u64) -> bool {
    times.held_ms().is_empty() && (followed == 0 || times.is_settled())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_was_set_is_believed_by_the_catalog_after_a_day() {
        let times = |hours, over_ms| {
            let stood = Duration::from_hours(hours);
            Times { now_ms: 9, over_ms, held_from_ms: over_ms, held_until_ms: 9, stood }
        };
        for (hours, over_ms, followed, prunes) in
            [(0, 9, 0, true), (0, 8, 0, false), (30, 8, 0, false), (23, 9, 1, false), (24, 9, 1, true)]
        {
            assert_eq!(may_prune(&times(hours, over_ms), followed), prunes, "{hours} h, {over_ms}, {followed}");
        }
    }
}
