//! Online state: the broker's events of all groups, kept in the catalog and told to the meetings concerned.

use crate::deciding::{Shared, Undecided};
use crate::intake;
use catalog::{CatalogError, OnlineEvent, OnlineKind, Tie};
use queue::{Delivery, GroupName, TopicName};
use serde::Deserialize;
use signalling::meeting::Event;
use signalling::topics::STATUS_SUFFIX;
use signalling::{ClientId, UserName};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

const RETRY: Duration = Duration::from_secs(1);

/// Body of an event.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    client_id: String,
    time: u64,
    event_type: String,
    channel_id: String,
}

/// One consumer per group of the catalog; works until it is dropped, or a consumer has panicked.
pub(crate) async fn run(shared: Arc<Shared>, consumer: GroupName) {
    let mut revision = shared.catalog.access_revision();
    let (mut known, mut consumers) = (BTreeSet::new(), JoinSet::new());
    loop {
        revision.borrow_and_update();
        match new_topics(&shared, &mut known).await {
            Ok(topics) => {
                for topic in topics {
                    consumers.spawn(consume(Arc::clone(&shared), consumer.clone(), topic));
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

async fn new_topics(shared: &Shared, known: &mut BTreeSet<String>) -> Result<Vec<TopicName>, CatalogError> {
    let groups = shared.catalog.access().await?.groups.into_iter().map(|group| group.group);
    let fresh: Vec<String> = groups.filter(|group| known.insert(group.clone())).collect();
    let topic = |group: &String| TopicName::parse(&format!("{group}{STATUS_SUFFIX}")).ok();
    Ok(fresh.iter().filter_map(topic).collect())
}

async fn consume(shared: Arc<Shared>, consumer: GroupName, topic: TopicName) {
    while let Err(error) = shared.queue.create_topic(topic.clone()).await {
        tracing::warn!(%topic, %error, "a status topic cannot be made; again");
        tokio::time::sleep(RETRY).await;
    }
    loop {
        for delivery in intake::receive(&shared, &consumer, &topic).await {
            take(&shared, delivery).await;
        }
    }
}

async fn take(shared: &Shared, delivery: Delivery) {
    let done = match event(&delivery) {
        Some(event) => apply(shared, event).await,
        None => Ok(()),
    };
    match done {
        Ok(()) => intake::acknowledge(shared, delivery).await,
        Err(error) => tracing::warn!(%error, "a client's online state could not be kept; its event comes again"),
    }
}

/// `disconnect` says nothing that `tcpclean` does not say.
fn event(delivery: &Delivery) -> Option<OnlineEvent> {
    let status: Status = serde_json::from_slice(&delivery.message.body).ok()?;
    let kind = match status.event_type.as_str() {
        "connect" => OnlineKind::Connect,
        "tcpclean" => OnlineKind::TcpClean,
        _ => return None,
    };
    Some(OnlineEvent { client_id: status.client_id, channel_id: status.channel_id, kind, at_ms: status.time })
}

async fn apply(shared: &Shared, event: OnlineEvent) -> Result<(), Undecided> {
    let client = event.client_id.clone();
    shared.catalog.online_event(event).await?;
    // Also when nothing changed: the event may have been stored by a run that ended before the meetings were told.
    let Some(device) = shared.catalog.device(&client).await? else { return Ok(()) };
    let user = UserName(device.user);
    let devices = shared.catalog.devices_of(std::slice::from_ref(&user.0)).await?;
    let online = devices.iter().any(|device| device.client_id == client && device.online);
    let reachable = devices.iter().any(|device| device.online);
    for tie in shared.catalog.engagements_of(std::slice::from_ref(&user.0)).await? {
        let event = match tie.kind {
            Tie::In => Event::Online { client: ClientId(client.clone()), online },
            Tie::Rung if !reachable => Event::Unreachable { user: user.clone() },
            Tie::Rung | Tie::Left => continue,
        };
        shared.happen(tie.meeting, event).await?;
    }
    Ok(())
}
