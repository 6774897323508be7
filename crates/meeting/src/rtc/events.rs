//! Events of the RTC server, passed to the meetings: in order per channel, channels concurrently.
//!
//! An event is read until it was read. While the catalog accepts nothing it waits in memory. Where some may be missing (there
//! was no room, an outage is over, the RTC server answers with a snapshot) the RTC server is asked who is connected.

use crate::commit::DecisionError;
use crate::machine::{Event, MediaChange};
use crate::rtc::reports::{ReportBatch, Reports};
use crate::state::ServiceState;
use signalling::{
    ChannelDescription, ChannelEvent, ChannelEventKind, ChannelEvents, ChannelId, EventCursor, LeftReason, MeetingId,
    Participant, ParticipationId,
};
use std::collections::{BTreeSet, HashMap};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// Meetings that handle events at the same time.
const AT_ONCE_MAX: usize = 16;
/// Attempts before an event is given up that could not be stored, though there is no outage.
const TRIES: u32 = 5;
const RETRY: Duration = Duration::from_millis(200);
/// Between two questions to an RTC server that does not answer, and before its events are asked for again.
const RETRY_SERVER: Duration = Duration::from_secs(1);

/// Runs until it is dropped, or a task of it has panicked. `cursor`: behind which event it begins.
pub(crate) async fn run(service: Arc<ServiceState>, mut cursor: Option<EventCursor>) {
    let mut gate = service.gate.watch();
    let (mut reports, mut handling, mut asking) = (Reports::default(), JoinSet::new(), JoinSet::new());
    let mut newest = Connections::default();
    let mut next = read(&service, cursor);
    loop {
        while handling.len() < AT_ONCE_MAX
            && let Some(batch) = reports.poll_batch()
        {
            handling.spawn(handle_batch(Arc::clone(&service), batch));
        }
        tokio::select! {
            read_now = &mut next => {
                if let Some(ChannelEvents { cursor: now, snapshot, events }) = read_now {
                    cursor = Some(now);
                    if let Some(snapshot) = snapshot {
                        newest.handle_snapshot(&snapshot);
                        service.reconciler.handle_snapshot(&snapshot);
                        asking.spawn(living(Arc::clone(&service)));
                    }
                    events.iter().for_each(|event| note(&mut newest, &mut reports, event));
                }
                next = read(&service, cursor);
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

type NextEvents = Pin<Box<dyn Future<Output = Option<ChannelEvents>> + Send>>;

/// `None`: the RTC server did not answer; it is to be asked again.
fn read(service: &ServiceState, after: Option<EventCursor>) -> NextEvents {
    let events = service.reconciler.channels().events(after);
    Box::pin(async move {
        match events.await {
            Ok(events) => Some(events),
            Err(error) => {
                tracing::warn!(%error, "the RTC server does not say what has happened; again");
                tokio::time::sleep(RETRY_SERVER).await;
                None
            }
        }
    })
}

fn note(newest: &mut Connections, reports: &mut Reports, event: &ChannelEvent) {
    let Some(change) = change(&event.kind).filter(|_| newest.is_news(event)) else { return };
    let Ok(meeting) = Uuid::try_parse(event.channel.as_str()) else { return };
    tracing::debug!(channel = %event.channel, participation = %event.participation, ?change, "media");
    reports.handle_report(meeting, (event.participation, change));
}

/// The newest connection of each participation that is there.
#[derive(Default)]
struct Connections(HashMap<(ChannelId, ParticipationId), u64>);

impl Connections {
    fn handle_snapshot(&mut self, snapshot: &[ChannelDescription]) {
        let all = snapshot.iter().flat_map(|described| {
            let of = |participant: &Participant| {
                ((described.channel.clone(), participant.participation), participant.connection)
            };
            described.participants.iter().map(of)
        });
        self.0 = all.collect();
    }

    /// Whether the event is not of an older connection than one that is known.
    fn is_news(&mut self, event: &ChannelEvent) -> bool {
        let key = (event.channel.clone(), event.participation);
        if self.0.get(&key).is_some_and(|known| *known > event.connection) {
            return false;
        }
        if matches!(event.kind, ChannelEventKind::Left { .. }) {
            self.0.remove(&key);
        } else {
            self.0.insert(key, event.connection);
        }
        true
    }
}

/// `None`: it does not concern the life of a meeting.
fn change(kind: &ChannelEventKind) -> Option<MediaChange> {
    match kind {
        ChannelEventKind::Joined { .. } => Some(MediaChange::Joined),
        ChannelEventKind::Lost => Some(MediaChange::Lost),
        ChannelEventKind::Back => Some(MediaChange::Back),
        ChannelEventKind::Left { reason: LeftReason::Replaced } => Some(MediaChange::Replaced),
        ChannelEventKind::Left { reason: LeftReason::Gone } => Some(MediaChange::Closed),
        ChannelEventKind::Left { .. } => Some(MediaChange::Left),
        ChannelEventKind::FirstPacket { .. } | ChannelEventKind::Quality { .. } | ChannelEventKind::Speaker { .. } => {
            None
        }
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

/// Asks who is connected now.
async fn connected(service: &ServiceState, meeting: Uuid) -> BTreeSet<ParticipationId> {
    loop {
        match service.reconciler.channels().describe(MeetingId(meeting).into()).await {
            Ok(described) => return described.map(|described| described.connected()).unwrap_or_default(),
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
