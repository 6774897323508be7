//! Online state: the broker's events of all groups, stored in the catalog and passed to the meetings concerned.

use crate::commit::DecisionError;
use crate::intake::deliveries;
use crate::machine::Event;
use crate::state::ServiceState;
use catalog::{CatalogError, ClientOnline, DeviceState, EngagementKind, OnlineEvent, OnlineKind};
use queue::{Delivery, GroupName, TopicName};
use serde::Deserialize;
use signalling::topics::{STATUS_SUFFIX, property};
use signalling::{ClientId, UserName};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;
use uuid::Uuid;

/// About the largest number of events that are stored together.
const BATCH_MAX: usize = 512;
const RETRY: Duration = Duration::from_secs(1);
/// Connections that are remembered as ended by their clients; the oldest are removed first.
const DISCONNECTS_MAX: usize = 4_096;

/// Body of an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    client_id: String,
    time: u64,
    event_type: String,
    channel_id: String,
    /// Why the connection ended, where it says so.
    #[serde(default)]
    cause: Option<String>,
}

impl Status {
    /// The client's right to be here was taken away.
    fn is_revoked(&self) -> bool {
        self.cause.as_deref() == Some("revoked")
    }
}

/// How clients have gone, as far as their events say more than that their connections ended.
#[derive(Default)]
struct Gone {
    /// By DISCONNECT.
    said_goodbye: BTreeSet<String>,
    revoked: BTreeSet<String>,
}

/// Starts one consumer per group of the catalog; runs until it is dropped, or a consumer has panicked.
pub(crate) async fn run(service: Arc<ServiceState>, consumer: GroupName) {
    let mut revision = service.catalog.access_revision();
    let (mut known, mut consumers) = (BTreeSet::new(), JoinSet::new());
    loop {
        revision.borrow_and_update();
        match new_topics(&service, &mut known).await {
            Ok(topics) => {
                for topic in topics {
                    consumers.spawn(consume(Arc::clone(&service), consumer.clone(), topic));
                }
                tokio::select! {
                    changed = revision.changed() => if changed.is_err() {
                        return std::future::pending().await;
                    },
                    // Consumers end only by a panic.
                    Some(_) = consumers.join_next() => return,
                }
            }
            Err(error) => {
                tracing::warn!(%error, "the groups cannot be read; again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

async fn new_topics(service: &ServiceState, known: &mut BTreeSet<String>) -> Result<Vec<TopicName>, CatalogError> {
    let groups = service.catalog.access().await?.groups.into_iter().map(|group| group.group);
    let fresh: Vec<String> = groups.filter(|group| known.insert(group.clone())).collect();
    let topic = |group: &String| TopicName::parse(&format!("{group}{STATUS_SUFFIX}")).ok();
    Ok(fresh.iter().filter_map(topic).collect())
}

async fn consume(service: Arc<ServiceState>, consumer: GroupName, topic: TopicName) {
    while let Err(error) = service.queue.create_topic(topic.clone()).await {
        tracing::warn!(%topic, %error, "a status topic cannot be made; again");
        tokio::time::sleep(RETRY).await;
    }
    let mut disconnects = CleanDisconnects::default();
    loop {
        take(&service, deliveries::receive_many(&service, &consumer, &topic, BATCH_MAX).await, &mut disconnects).await;
    }
}

/// Stores what came together in one transaction. An outage is waited for.
async fn take(service: &Arc<ServiceState>, mut batch: Vec<Delivery>, disconnects: &mut CleanDisconnects) {
    disconnects.note(&said_in(&batch));
    loop {
        let said = said_in(&batch);
        let events: Vec<OnlineEvent> = said.iter().filter_map(event).collect();
        let revoked = said.into_iter().filter(Status::is_revoked).map(|status| status.client_id).collect();
        let gone = Gone { said_goodbye: disconnects.among(&events), revoked };
        let done = if events.is_empty() { Ok(()) } else { apply(service, &events, &gone).await };
        let Err(error) = done else {
            disconnects.forget(&events);
            return deliveries::acknowledge_all(service, batch).await;
        };
        tracing::warn!(events = events.len(), %error, "clients' online state could not be kept; again");
        if !error.is_outage() {
            return deliveries::give_back_all(service, batch).await;
        }
        service.gate.close();
        deliveries::keep_until_open(service, &mut batch).await;
    }
}

fn said_in(batch: &[Delivery]) -> Vec<Status> {
    batch.iter().filter_map(status).collect()
}

/// Connections whose client has sent DISCONNECT and whose end was not reported yet. Only in memory: `tcpclean` follows
/// at once, and without its `disconnect` the client counts as lost, which only takes longer.
#[derive(Default)]
struct CleanDisconnects(VecDeque<String>);

impl CleanDisconnects {
    fn note(&mut self, said: &[Status]) {
        self.0.extend(
            said.iter().filter(|status| status.event_type == "disconnect").map(|status| status.channel_id.clone()),
        );
        let excess = self.0.len().saturating_sub(DISCONNECTS_MAX);
        self.0.drain(..excess);
    }

    /// Of the clients whose connections ended, those that ended them by DISCONNECT.
    fn among(&self, events: &[OnlineEvent]) -> BTreeSet<String> {
        let ends = events.iter().filter(|event| event.kind == OnlineKind::TcpClean);
        ends.filter(|event| self.0.contains(&event.channel_id)).map(|event| event.client_id.clone()).collect()
    }

    fn forget(&mut self, events: &[OnlineEvent]) {
        let over = |channel: &String| {
            events.iter().any(|event| event.kind == OnlineKind::TcpClean && event.channel_id == *channel)
        };
        self.0.retain(|channel| !over(channel));
    }
}

/// Nothing that somebody has published to this topic: the broker stamps that with its sender, and its own events with nobody.
fn status(delivery: &Delivery) -> Option<Status> {
    let message = &delivery.message;
    let is_published = message.property(property::CLIENT_ID).is_some();
    if is_published { None } else { serde_json::from_slice(&message.body).ok() }
}

/// `disconnect` says how a connection ends, `tcpclean` that it has ended.
fn event(status: &Status) -> Option<OnlineEvent> {
    let kind = match status.event_type.as_str() {
        "connect" => OnlineKind::Connect,
        "tcpclean" => OnlineKind::TcpClean,
        _ => return None,
    };
    // A row holds no later time.
    let at_ms = status.time.min(i64::MAX as u64);
    Some(OnlineEvent { client_id: status.client_id.clone(), channel_id: status.channel_id.clone(), kind, at_ms })
}

async fn apply(service: &ServiceState, events: &[OnlineEvent], gone: &Gone) -> Result<(), DecisionError> {
    let clients = service.catalog.online_events(events).await?;
    for client in clients.iter().filter(|client| !client.online) {
        service.presence.end(&ClientId(client.client_id.clone()));
    }
    if service.config.is_off() { Ok(()) } else { tell_meetings(service, &clients, gone).await }
}

/// Also for clients that did not change: the event may have been stored by a process that ended before it told the
/// meetings.
async fn tell_meetings(service: &ServiceState, clients: &[ClientOnline], gone: &Gone) -> Result<(), DecisionError> {
    let users: BTreeSet<&String> = clients.iter().filter_map(|client| client.user.as_ref()).collect();
    let users: Vec<String> = users.into_iter().cloned().collect();
    let engagements = service.catalog.engagements_of(&users).await?;
    let engaged: BTreeSet<&String> = engagements.iter().map(|engagement| &engagement.user).collect();
    let engaged: Vec<String> = engaged.into_iter().cloned().collect();
    let reachable: BTreeSet<String> =
        service.catalog.devices_of(&engaged).await?.into_iter().filter_map(if_online).collect();
    for engagement in engagements {
        let own = clients.iter().filter(|client| client.user.as_ref() == Some(&engagement.user));
        match engagement.kind {
            EngagementKind::In => {
                for client in own {
                    pass_event(service, engagement.meeting, line_event(client, gone)).await?;
                }
            }
            EngagementKind::Rung if !reachable.contains(&engagement.user) => {
                pass_event(service, engagement.meeting, Event::Unreachable { user: UserName(engagement.user) }).await?;
            }
            EngagementKind::Rung | EngagementKind::Left => {}
        }
    }
    Ok(())
}

/// Who was revoked and is here again has come by another right.
fn line_event(client: &ClientOnline, gone: &Gone) -> Event {
    let ClientOnline { online, removed, .. } = *client;
    let is_revoked = gone.revoked.contains(&client.client_id);
    let said_goodbye = gone.said_goodbye.contains(&client.client_id);
    let client = ClientId(client.client_id.clone());
    match online {
        _ if removed => Event::Removed { client },
        false if is_revoked => Event::Removed { client },
        false if said_goodbye => Event::CleanDisconnect { client },
        online => Event::Online { client, online },
    }
}

fn if_online(device: DeviceState) -> Option<String> {
    device.online.then_some(device.user)
}

/// A meeting that fails does not keep the event from the others.
async fn pass_event(service: &ServiceState, meeting: Uuid, event: Event) -> Result<(), DecisionError> {
    match service.handle_event(meeting, event).await {
        Err(error) if !error.is_outage() => {
            tracing::error!(%meeting, %error, "a meeting does not learn that a client came or went");
            Ok(())
        }
        done => done.map(drop),
    }
}
