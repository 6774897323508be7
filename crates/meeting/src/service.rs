//! The service as a whole: its start, its tasks, its end.

use crate::commit::DecisionError;
use crate::commit::stored::MeetingCache;
use crate::config::Config;
use crate::directory::contacts::Contacts;
use crate::intake::{self, online};
use crate::machine::Event;
use crate::operator::Operator;
use crate::outage::{self, OutageGate};
use crate::outbox::relay;
use crate::presence::{self, PresenceWatches};
use crate::rosters::Rosters;
use crate::rosters::send;
use crate::rtc::channels::Channels;
use crate::rtc::reconcile::Reconciler;
use crate::rtc::{apply, events};
use crate::state::ServiceState;
use crate::token::JoinSigner;
use crate::{deadlines, directory, set_aside};
use catalog::{Catalog, CatalogError, SetAside};
use clock::Clock;
use queue::{AdminError, GroupName, GroupOptions, NameError, Queue, TopicName};
use signalling::topics::{MEETING_DOWN, MEETING_GROUP, RING_DOWN};
use signalling::{ChannelId, EventCursor, MeetingId, ParticipationId};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use tokio::sync::{Mutex, Notify, mpsc, watch};
use tokio::task::JoinSet;
use uuid::Uuid;

/// The running service. Dropping it stops all tasks at once, as a crash would: nothing is lost by that.
pub struct MeetingService {
    tasks: JoinSet<()>,
    set_aside: watch::Receiver<SetAside>,
    operator: Operator,
    catalog: Arc<dyn Catalog>,
    claimant: Uuid,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("the meeting service cannot use the queue: {0}")]
    Queue(#[from] AdminError),
    #[error("the meeting service cannot use the catalog: {0}")]
    Catalog(#[from] CatalogError),
    #[error("a name of the meeting service is not one of the queue: {0}")]
    Name(#[from] NameError),
    #[error("a living meeting cannot be taken up again: {0}")]
    Meeting(String),
}

impl MeetingService {
    /// Creates its topics and its group where they are missing, restores all living meetings, then serves. One that answers
    /// no topics leaves the meetings that there are as they stand.
    ///
    /// # Errors
    /// The queue or the catalog does not answer.
    pub async fn start(
        config: Config,
        clock: Clock,
        queue: Arc<dyn Queue>,
        catalog: Arc<dyn Catalog>,
        channels: Arc<dyn Channels>,
        signer: JoinSigner,
    ) -> Result<Self, StartError> {
        let group = prepare(&*queue, &config.topics).await?;
        let (answers, waiting_answers) = mpsc::channel(relay::ANSWERS_MAX);
        let service = Arc::new(ServiceState {
            config,
            clock,
            queue,
            catalog,
            signer,
            reconciler: Reconciler::new(channels),
            gate: OutageGate::default(),
            meetings: MeetingCache::default(),
            contacts: Contacts::default(),
            rosters: Rosters::default(),
            presence: PresenceWatches::default(),
            set_aside: watch::Sender::default(),
            sent: std::sync::Mutex::default(),
            outbox: Notify::new(),
            caught_up: Notify::new(),
            answers,
            deadlines: Notify::new(),
            creating: Mutex::new(()),
        });
        let (set_aside, operator) = (service.set_aside.subscribe(), Operator::new(Arc::clone(&service)));
        let (catalog, claimant) = (Arc::clone(&service.catalog), service.config.claimant);
        let mut tasks = JoinSet::new();
        if service.config.is_off() {
            report_left_meetings(&service).await?;
        } else {
            let cursor = restore_meetings(&service).await?;
            run_meetings(&service, &group, (waiting_answers, cursor), &mut tasks);
        }
        report_set_aside(&service).await;
        tasks.spawn(outage::run(Arc::clone(&service)));
        tasks.spawn(online::run(Arc::clone(&service), group));
        tasks.spawn(deadlines::prune(service));
        Ok(Self { tasks, set_aside, operator, catalog, claimant })
    }

    /// How many meetings and messages are set aside for an operator, as it changes.
    pub fn set_aside(&self) -> watch::Receiver<SetAside> {
        self.set_aside.clone()
    }

    /// The way in for those who run the server. What it does after the end of the service is carried out by the next start.
    pub fn operator(&self) -> Operator {
        self.operator.clone()
    }

    /// Returns when a task of the service has stopped by itself, which only a defect can cause: the process should end
    /// then and start again.
    pub async fn failure(&mut self) -> String {
        match self.tasks.join_next().await {
            Some(Err(error)) => format!("a task of the meeting service failed: {error}"),
            Some(Ok(())) | None => "a task of the meeting service stopped".to_owned(),
        }
    }

    /// Stops all tasks at once: the next start, or another service, continues what was under way.
    pub async fn shutdown(mut self) {
        self.tasks.shutdown().await;
        if let Err(error) = self.catalog.release_claims(self.claimant).await {
            tracing::warn!(%error, "what this service had claimed waits until its claims end");
        }
    }
}

async fn prepare(queue: &dyn Queue, requests: &[TopicName]) -> Result<GroupName, StartError> {
    let group = GroupName::parse(MEETING_GROUP)?;
    if !requests.is_empty() {
        let answers = [TopicName::parse(RING_DOWN)?, TopicName::parse(MEETING_DOWN)?];
        for topic in requests.iter().chain(&answers) {
            queue.create_topic(topic.clone()).await?;
        }
    }
    queue.create_group(group.clone(), GroupOptions::default()).await?;
    Ok(group)
}

/// Starts all that acts in meetings.
fn run_meetings(
    service: &Arc<ServiceState>,
    group: &GroupName,
    (answers, cursor): (mpsc::Receiver<relay::Answer>, Option<EventCursor>),
    tasks: &mut JoinSet<()>,
) {
    tasks.spawn(apply::run(Arc::clone(service)));
    tasks.spawn(relay::run(Arc::clone(service), answers));
    tasks.spawn(relay::delete_sent(Arc::clone(service)));
    tasks.spawn(send::run(Arc::clone(service)));
    tasks.spawn(events::run(Arc::clone(service), cursor));
    tasks.spawn(presence::run(Arc::clone(service)));
    tasks.spawn(deadlines::run(Arc::clone(service)));
    for topic in &service.config.topics {
        tasks.spawn(intake::run(Arc::clone(service), group.clone(), topic.clone()));
    }
}

async fn report_left_meetings(service: &ServiceState) -> Result<(), StartError> {
    let meetings = service.catalog.live_meetings().await?.len();
    if meetings > 0 {
        tracing::warn!(meetings, "the meeting service is off, and leaves the meetings as they stand that it has begun");
    }
    Ok(())
}

/// Takes up all living meetings, with those who are connected now; rings keep their deadlines. Returns where the events of
/// the RTC server go on; `None`: it did not answer, and is asked again.
async fn restore_meetings(service: &ServiceState) -> Result<Option<EventCursor>, StartError> {
    let living = service.catalog.live_meetings().await?;
    let there = service.reconciler.channels().events(None).await;
    let cursor = there.as_ref().ok().map(|events| events.cursor);
    let snapshot = there.ok().and_then(|events| events.snapshot).unwrap_or_default();
    let mut connected: HashMap<ChannelId, BTreeSet<ParticipationId>> =
        snapshot.into_iter().map(|described| (described.channel.clone(), described.connected())).collect();
    for id in &living {
        let connected = connected.remove(&ChannelId::from(MeetingId(*id))).unwrap_or_default();
        match restore_meeting(service, *id, connected).await {
            Err(error) if error.is_outage() => return Err(StartError::Meeting(error.to_string())),
            Err(error) => tracing::error!(meeting = %id, %error, "a living meeting is not taken up again"),
            Ok(()) => {}
        }
    }
    tracing::info!(meetings = living.len(), "meetings taken up");
    Ok(cursor)
}

async fn report_set_aside(service: &ServiceState) {
    set_aside::count(service).await;
    let SetAside { meetings, messages } = *service.set_aside.borrow();
    if meetings + messages > 0 {
        tracing::warn!(meetings, messages, "some are set aside for an operator");
    }
}

async fn restore_meeting(
    service: &ServiceState,
    id: Uuid,
    connected: BTreeSet<ParticipationId>,
) -> Result<(), DecisionError> {
    let Some(stored) = service.stored_meeting(id).await? else { return Ok(()) };
    let online = directory::online_members(&*service.catalog, &stored.meeting).await?;
    if let Some(meeting) = service.handle_event(id, Event::Restarted { connected, online }).await? {
        service.reconciler.handle_meeting(&meeting);
        service.rosters.handle_meeting(&meeting, &[]);
    }
    Ok(())
}
