//! Requests from the queue: in order per user, users side by side, each within its budget.

use crate::budget::{Budgets, Verdict};
use crate::deciding::Shared;
use crate::handle;
use crate::request;
use crate::token::alias;
use queue::{Delivery, GroupName, ReceiveRequest, TagFilter, TopicName};
use signalling::topics::property;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

/// Requests of one lane that wait.
const LANE_MAX: usize = 64;
const RECEIVE_MAX: usize = 32;
const WAIT: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_secs(1);
/// Tries at once before a request is given back to the queue.
const TRIES: u32 = 5;
const TRY_PAUSE: Duration = Duration::from_millis(50);
/// When a request that was given back comes again.
const GIVEN_BACK: Duration = Duration::from_secs(2);

/// Works until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, group: GroupName, topic: TopicName) {
    let mut tasks = JoinSet::new();
    let mut discarded = JoinSet::new();
    let mut budgets = Budgets::new(shared.config.requests_burst_max, shared.config.requests_per_second_max);
    let lanes: Vec<_> = (0..shared.config.lanes.max(1))
        .map(|_| {
            let (to_lane, from_intake) = mpsc::channel(LANE_MAX);
            tasks.spawn(lane(Arc::clone(&shared), from_intake));
            to_lane
        })
        .collect();
    loop {
        for delivery in receive(&shared, &group, &topic).await {
            let verdict = budgets.take(sender_of(&delivery).unwrap_or_default(), Instant::now());
            if verdict != Verdict::Handle {
                discarded.spawn(discard(Arc::clone(&shared), delivery, verdict));
                continue;
            }
            let lane = &lanes[lane_of(&delivery, lanes.len())];
            if lane.send(delivery).await.is_err() {
                return;
            }
        }
        // At most one batch: the queue writes all their acknowledgements together.
        while discarded.join_next().await.is_some() {}
    }
}

/// Too many of one sender.
async fn discard(shared: Arc<Shared>, delivery: Delivery, verdict: Verdict) {
    if verdict == Verdict::Refuse {
        let client = request::sender(&delivery.message).map(|sender| alias(&sender.client));
        tracing::warn!(client, "a sender makes too many requests; some are not handled");
        if let Err(error) = handle::refuse_flood(&shared, &delivery.message).await {
            tracing::debug!(%error, "a flood could not be refused");
        }
    }
    acknowledge(&shared, delivery).await;
}

/// Waits for some; empty when there were none, or after a failure and a pause.
pub(crate) async fn receive(shared: &Shared, group: &GroupName, topic: &TopicName) -> Vec<Delivery> {
    let request = ReceiveRequest {
        group: group.clone(),
        topic: topic.clone(),
        filter: TagFilter::All,
        max: RECEIVE_MAX,
        wait: WAIT,
        invisible: shared.config.invisible,
    };
    match shared.queue.receive(request).await {
        Ok(deliveries) => deliveries,
        Err(error) => {
            tracing::warn!(%topic, %error, "nothing can be received; again");
            tokio::time::sleep(RETRY).await;
            Vec::new()
        }
    }
}

/// A user's requests are handled in the order in which they came.
fn lane_of(delivery: &Delivery, lanes: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    sender_of(delivery).hash(&mut hasher);
    usize::try_from(hasher.finish() % lanes as u64).unwrap_or(0)
}

fn sender_of(delivery: &Delivery) -> Option<&str> {
    delivery.message.property(property::USER).or_else(|| delivery.message.property(property::CLIENT_ID))
}

async fn lane(shared: Arc<Shared>, mut deliveries: mpsc::Receiver<Delivery>) {
    while let Some(delivery) = deliveries.recv().await {
        if decide(&shared, &delivery).await {
            acknowledge(&shared, delivery).await;
        } else if let Err(error) = shared.queue.change_invisible(delivery.receipt, GIVEN_BACK).await {
            tracing::debug!(%error, "a request comes again when its invisible time is over");
        }
    }
}

/// `false`: it could not be decided, again and again.
async fn decide(shared: &Shared, delivery: &Delivery) -> bool {
    for attempt in 0..TRIES {
        let span = tracing::debug_span!("request", queue_message = %delivery.message_id);
        match handle::handle(shared, &delivery.message).instrument(span).await {
            Ok(()) => return true,
            Err(error) => {
                tracing::warn!(message = %delivery.message_id, attempt, %error, "a request could not be decided");
                tokio::time::sleep(TRY_PAUSE * 2_u32.pow(attempt)).await;
            }
        }
    }
    false
}

/// A receipt that is not valid any more means that the message comes again; it is known then.
pub(crate) async fn acknowledge(shared: &Shared, delivery: Delivery) {
    if let Err(error) = shared.queue.ack(delivery.receipt).await {
        tracing::debug!(message = %delivery.message_id, %error, "a handled message was not acknowledged");
    }
}
