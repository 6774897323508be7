//! Deliveries of the queue to the service: received while the gate is open, kept while it is closed, acknowledged or given
//! back.

use crate::state::ServiceState;
use queue::{Delivery, GroupName, Receipt, ReceiveRequest, TagFilter, TopicName};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

pub(crate) use queue::limits::RECEIVE_MAX;

const WAIT: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_secs(1);
/// After this a delivery that was given back comes again.
const GIVEN_BACK: Duration = Duration::from_secs(2);

/// How often the time for which a message is hidden begins anew before it is over: it may pass on to the next
/// place where it waits each time just before it would have been hidden.
const HIDINGS: u32 = 6;

/// Waits for some; empty when there were none, or after a failure and a pause. What comes as the gate closes is kept
/// until it opens.
pub(crate) async fn receive(service: &Arc<ServiceState>, group: &GroupName, topic: &TopicName) -> Vec<Delivery> {
    service.gate.until_open().await;
    let mut deliveries = once(service, group, topic, WAIT).await;
    keep_until_open(service, &mut deliveries).await;
    deliveries
}

/// Waits until the gate is open. Those that the queue has meanwhile given to others are left out.
pub(crate) async fn keep_until_open(service: &ServiceState, deliveries: &mut Vec<Delivery>) {
    while !service.gate.is_open() {
        for mut delivery in std::mem::take(deliveries) {
            if hide(service, &mut delivery.receipt).await {
                deliveries.push(delivery);
            }
        }
        // Most often the gate opens before the time is over.
        let _ = tokio::time::timeout(hide_every(service), service.gate.until_open()).await;
    }
}

/// So often a message that is kept has to be hidden anew.
pub(crate) fn hide_every(service: &ServiceState) -> Duration {
    service.config.invisible / HIDINGS
}

/// Hides the message for another such time. `false`: the queue has given it to others, or will.
pub(crate) async fn hide(service: &ServiceState, receipt: &mut Receipt) -> bool {
    match service.queue.change_invisible(receipt.clone(), service.config.invisible).await {
        Ok(changed) => {
            *receipt = changed;
            true
        }
        Err(error) => {
            tracing::debug!(%error, "a message that was kept comes again");
            false
        }
    }
}

/// As many as there are, at most about `max`; waits for the first.
pub(crate) async fn receive_many(
    service: &Arc<ServiceState>,
    group: &GroupName,
    topic: &TopicName,
    max: usize,
) -> Vec<Delivery> {
    let mut all = receive(service, group, topic).await;
    let mut last = all.len();
    while last >= RECEIVE_MAX && all.len() < max {
        let more = once(service, group, topic, Duration::ZERO).await;
        last = more.len();
        all.extend(more);
    }
    all
}

async fn once(service: &ServiceState, group: &GroupName, topic: &TopicName, wait: Duration) -> Vec<Delivery> {
    let request = ReceiveRequest {
        group: group.clone(),
        topic: topic.clone(),
        filter: TagFilter::All,
        max: RECEIVE_MAX,
        wait,
        invisible: service.config.invisible,
    };
    match service.queue.receive(request).await {
        Ok(deliveries) => deliveries,
        Err(error) => {
            tracing::warn!(%topic, %error, "nothing can be received; again");
            tokio::time::sleep(RETRY).await;
            Vec::new()
        }
    }
}

pub(crate) async fn give_back(service: &ServiceState, delivery: Delivery) {
    if let Err(error) = service.queue.change_invisible(delivery.receipt, GIVEN_BACK).await {
        tracing::debug!(%error, "a message comes again when its invisible time is over");
    }
}

/// A receipt that is not valid any more means that the message comes again; then it is recognised as handled.
pub(crate) async fn acknowledge(service: &ServiceState, delivery: Delivery) {
    if let Err(error) = service.queue.ack(delivery.receipt).await {
        tracing::debug!(message = %delivery.message_id, %error, "a handled message was not acknowledged");
    }
}

/// Concurrently, since the queue writes many of them together.
pub(crate) async fn acknowledge_all(service: &Arc<ServiceState>, deliveries: Vec<Delivery>) {
    let mut work = JoinSet::new();
    for delivery in deliveries {
        let service = Arc::clone(service);
        work.spawn(async move { acknowledge(&service, delivery).await });
    }
    work.join_all().await;
}

pub(crate) async fn give_back_all(service: &Arc<ServiceState>, deliveries: Vec<Delivery>) {
    let mut work = JoinSet::new();
    for delivery in deliveries {
        let service = Arc::clone(service);
        work.spawn(async move { give_back(&service, delivery).await });
    }
    work.join_all().await;
}
