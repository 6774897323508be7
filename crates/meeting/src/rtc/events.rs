//! Events of the RTC server, passed to the meetings: in order per channel, channels concurrently.
//!
//! An event comes once. While the catalog accepts nothing it waits in memory. Where some may be missing (there was no
//! room, an outage is over, the receiver has ended because the RTC server started again) the RTC server is asked who is
//! connected.

use crate::commit::DecisionError;
use crate::machine::{Event, MediaChange};
use crate::rtc::reports::{ReportBatch, Reports};
use crate::state::ServiceState;
use signalling::{ChannelEvent, ChannelEventKind, LeftReason, MeetingId, ParticipationId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Meetings that handle events at the same time.
const AT_ONCE_MAX: usize = 16;
/// Attempts before an event is given up that could not be stored, though there is no outage.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_millis(200);
/// Between two questions to an RTC server that does not answer, and before its events are asked for again.
const RETRY_SERVER: Duration = Duration::from_secs(1);

/// Runs until it is dropped, or a task of it has panicked.
pub(crate) async fn run(service: Arc<ServiceState>, mut events: mpsc::Receiver<ChannelEvent>) {
    let mut gate = service.gate.watch();
    let (mut reports, mut handling, mut asking) = (Reports::default(), JoinSet::new(), JoinSet::new());
    loop {
        while handling.len() < AT_ONCE_MAX
            && let Some(batch) = reports.poll_batch()
        {
            handling.spawn(handle_batch(Arc::clone(&service), batch));
        }
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => note(&service, &mut reports, &event),
                None => {
                    tracing::warn!("the RTC server reports no more events; asking it anew");
                    tokio::time::sleep(RETRY_SERVER).await;
                    events = service.reconciler.channels().events();
                    asking.spawn(living(Arc::clone(&service)));
                }
            },
            Some(done) = handling.join_next() => match done {
                Ok(meeting) => reports.handle_done(meeting),
                Err(_) => return,
            },
            Some(meetings) = asking.join_next() => match meetings {
                Ok(meetings) => meetings.into_iter().for_each(|meeting| reports.handle_gap(meeting)),
                Err(_) => return,
            },
            _ = gate.changed() => if *gate.borrow_and_update() {
                asking.spawn(living(Arc::clone(&service)));
            },
        }
    }
}

fn note(service: &ServiceState, reports: &mut Reports, event: &ChannelEvent) {
    let Some(change) = change(&event.kind) else { return };
    let Ok(meeting) = Uuid::try_parse(event.channel.as_str()) else { return };
    tracing::debug!(channel = %event.channel, participation = %event.participation, ?change, "media");
    if change == MediaChange::Joined {
        service.reconciler.handle_joined(meeting, event.participation);
    }
    reports.handle_report(meeting, (event.participation, change));
}

/// `None`: it does not concern the life of a meeting.
fn change(kind: &ChannelEventKind) -> Option<MediaChange> {
    match kind {
        ChannelEventKind::Joined { .. } => Some(MediaChange::Joined),
        ChannelEventKind::Lost => Some(MediaChange::Lost),
        ChannelEventKind::Back => Some(MediaChange::Back),
        ChannelEventKind::Left(LeftReason::Replaced) => Some(MediaChange::Replaced),
        ChannelEventKind::Left(LeftReason::Gone) => Some(MediaChange::Closed),
        ChannelEventKind::Left(_) => Some(MediaChange::Left),
        ChannelEventKind::Quality { .. } | ChannelEventKind::Speaker { .. } => None,
    }
}

/// All living meetings.
async fn living(service: Arc<ServiceState>) -> Vec<Uuid> {
    loop {
        service.gate.until_open().await;
        match service.catalog.live_meetings().await {
            Ok(meetings) => return meetings,
            Err(error) => {
                tracing::warn!(%error, "living meetings cannot be read; again");
                tokio::time::sleep(RETRY_SERVER).await;
            }
        }
    }
}

async fn handle_batch(service: Arc<ServiceState>, batch: ReportBatch) -> Uuid {
    let ReportBatch { meeting, ask, changes } = batch;
    if ask {
        let connected = connected(&service, meeting).await;
        handle_event(&service, meeting, Event::Connected { connected }).await;
    }
    for (participation, change) in changes {
        handle_event(&service, meeting, Event::Media { participation, change }).await;
    }
    meeting
}

/// Asks who is connected now. All calls on the channel are repeated: it may be a new one.
async fn connected(service: &ServiceState, meeting: Uuid) -> BTreeSet<ParticipationId> {
    service.reconciler.repeat_all(meeting);
    loop {
        match service.reconciler.channels().describe(MeetingId(meeting).into()).await {
            Ok(described) => {
                let participants = described.map(|channel| channel.participants).unwrap_or_default();
                let there = participants.into_iter().filter(|participant| participant.connected);
                return there.map(|participant| participant.participation).collect();
            }
            Err(error) => {
                tracing::warn!(%meeting, %error, "the RTC server does not say who is connected; again");
                tokio::time::sleep(RETRY_SERVER).await;
            }
        }
    }
}

/// Returns when the event is stored, or given up; waits for the end of an outage.
async fn handle_event(service: &ServiceState, meeting: Uuid, event: Event) {
    let mut attempt = 0;
    while let Err(error) = service.handle_event(meeting, event.clone()).await {
        if wait_for_outage(service, &error).await {
            continue;
        }
        attempt += 1;
        if attempt == TRIES {
            return tracing::error!(%meeting, %error, "a report of the RTC server was lost");
        }
        tokio::time::sleep(RETRY).await;
    }
}

/// Waits for its end if the error is an outage; else returns `false`.
async fn wait_for_outage(service: &ServiceState, error: &DecisionError) -> bool {
    if error.is_outage() {
        service.gate.close();
        service.gate.until_open().await;
    }
    error.is_outage()
}
