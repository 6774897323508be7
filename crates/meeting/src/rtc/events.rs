//! What the RTC server reports, told to the meetings: in order per channel, channels side by side.
//!
//! A report comes once. While the catalog takes nothing it waits in memory. Where some may be missing (there was no room,
//! an outage is over, the receiver has ended because the RTC server started again) the RTC server is asked what is.

use crate::commit::DecisionError;
use crate::machine::{Event, MediaChange};
use crate::rtc::reports::{Change, ReportBatch, Reports};
use crate::state::ServiceState;
use signalling::{ChannelEvent, ChannelEventKind, LeftReason, MeetingId, ParticipationId};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Meetings that are told at the same time.
const AT_ONCE_MAX: usize = 16;
/// Tries before a report is given up that finds no outage and is not taken.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_millis(200);
/// Between two questions to an RTC server that does not answer, and before another receiver is asked for.
const RETRY_SERVER: Duration = Duration::from_secs(1);

/// Works until it is dropped, or a task of it has panicked.
pub(crate) async fn run(service: Arc<ServiceState>, mut events: mpsc::Receiver<ChannelEvent>) {
    let mut gate = service.gate.watch();
    let (mut reports, mut telling, mut asking) = (Reports::default(), JoinSet::new(), JoinSet::new());
    loop {
        while telling.len() < AT_ONCE_MAX
            && let Some(batch) = reports.next()
        {
            telling.spawn(tell(Arc::clone(&service), batch));
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
            Some(done) = telling.join_next() => match done {
                Ok(meeting) => reports.done(meeting),
                Err(_) => return,
            },
            Some(meetings) = asking.join_next() => match meetings {
                Ok(meetings) => meetings.into_iter().for_each(|meeting| reports.ask(meeting)),
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
        service.reconciler.joined(meeting, event.participation);
    }
    reports.push(meeting, (event.participation, change));
}

/// `None`: of no concern to the life of a meeting.
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

/// All meetings whose channels are to be asked about.
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

async fn tell(service: Arc<ServiceState>, batch: ReportBatch) -> Uuid {
    let ReportBatch { meeting, ask, changes } = batch;
    if ask {
        let connected = connected(&service, meeting).await;
        insist(&service, meeting, Event::Connected { connected }).await;
    }
    for (participation, change) in changes {
        insist(&service, meeting, event_of((participation, change))).await;
    }
    meeting
}

fn event_of((participation, change): Change) -> Event {
    Event::Media { participation, change }
}

/// Who is connected now. What was told to the channel is told again: it may be a new one.
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

/// Returns when it is stored; an outage is waited for.
async fn insist(service: &ServiceState, meeting: Uuid, event: Event) {
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

/// `false`: it is none.
async fn wait_for_outage(service: &ServiceState, error: &DecisionError) -> bool {
    if error.is_outage() {
        service.gate.close();
        service.gate.until_open().await;
    }
    error.is_outage()
}
