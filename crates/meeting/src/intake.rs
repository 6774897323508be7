//! Requests from the queue: in order per user, users side by side and in turn, each within its budget.

use crate::budget::{Budgets, Verdict};
use crate::deciding::{Shared, Undecided};
use crate::handle;
use crate::request;
use crate::token::alias;
use crate::turns::Turns;
use queue::{Delivery, GroupName, ReceiveRequest, TagFilter, TopicName};
use signalling::topics::property;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

const RECEIVE_MAX: usize = 32;
const WAIT: Duration = Duration::from_secs(20);
const RETRY: Duration = Duration::from_secs(1);
/// Tries at once before a request is given back to the queue.
const TRIES: u32 = 5;
const TRY_PAUSE: Duration = Duration::from_millis(50);
/// While the catalog takes nothing, a request is tried again for so long without being given back.
const HELD_MAX: Duration = Duration::from_secs(600);
/// When a request that was given back comes again.
const GIVEN_BACK: Duration = Duration::from_secs(2);

/// Works until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, group: GroupName, topic: TopicName) {
    let (to_intake, mut received) = mpsc::channel(RECEIVE_MAX);
    let mut intake = Intake::new(&shared);
    let mut receiver = JoinSet::new();
    receiver.spawn(receive_all(shared, group, topic, to_intake));
    loop {
        intake.begin();
        tokio::select! {
            delivery = received.recv(), if intake.turns.has_room() => match delivery {
                Some(delivery) => intake.take(delivery).await,
                None => return,
            },
            Some(done) = intake.handled.join_next() => match done {
                Ok(sender) => intake.turns.done(sender),
                Err(_) => return,
            },
        }
    }
}

async fn receive_all(shared: Arc<Shared>, group: GroupName, topic: TopicName, to_intake: mpsc::Sender<Delivery>) {
    loop {
        for delivery in receive(&shared, &group, &topic).await {
            if to_intake.send(delivery).await.is_err() {
                return;
            }
        }
    }
}

struct Intake {
    shared: Arc<Shared>,
    budgets: Budgets,
    turns: Turns<Delivery>,
    handled: JoinSet<String>,
    discarded: JoinSet<()>,
}

impl Intake {
    fn new(shared: &Arc<Shared>) -> Self {
        let (burst, per_second) = (shared.config.requests_burst_max, shared.config.requests_per_second_max);
        Self {
            shared: Arc::clone(shared),
            budgets: Budgets::new(burst, per_second),
            turns: Turns::default(),
            handled: JoinSet::new(),
            discarded: JoinSet::new(),
        }
    }

    async fn take(&mut self, delivery: Delivery) {
        let sender = sender_of(&delivery).unwrap_or_default().to_owned();
        match self.budgets.take(&sender, Instant::now()) {
            Verdict::Handle => {
                if let Some(excess) = self.turns.push(&sender, delivery) {
                    self.discard(excess, Verdict::Refuse).await;
                }
            }
            verdict => self.discard(delivery, verdict).await,
        }
    }

    async fn discard(&mut self, delivery: Delivery, verdict: Verdict) {
        self.discarded.spawn(discard(Arc::clone(&self.shared), delivery, verdict));
        // The queue writes the acknowledgements of some together.
        if self.discarded.len() >= RECEIVE_MAX {
            while self.discarded.join_next().await.is_some() {}
        }
    }

    /// As many at once as the configuration says.
    fn begin(&mut self) {
        while self.handled.len() < self.shared.config.requests_at_once_max.max(1) {
            let Some((sender, delivery)) = self.turns.next() else { return };
            let shared = Arc::clone(&self.shared);
            self.handled.spawn(async move {
                settle(&shared, delivery).await;
                sender
            });
        }
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

fn sender_of(delivery: &Delivery) -> Option<&str> {
    delivery.message.property(property::USER).or_else(|| delivery.message.property(property::CLIENT_ID))
}

async fn settle(shared: &Shared, mut delivery: Delivery) {
    let give_up = Instant::now() + HELD_MAX;
    loop {
        let held_for = match decide(shared, &delivery).await {
            Ok(()) => return acknowledge(shared, delivery).await,
            // Nobody's request can be decided now: it is kept, and no hand-out is used up.
            Err(error) if error.is_outage() && Instant::now() < give_up => shared.config.invisible,
            Err(_) => GIVEN_BACK,
        };
        match shared.queue.change_invisible(delivery.receipt, held_for).await {
            Ok(receipt) if held_for != GIVEN_BACK => delivery.receipt = receipt,
            Ok(_) => return,
            Err(error) => {
                return tracing::debug!(%error, "a request comes again when its invisible time is over");
            }
        }
    }
}

/// The error: it could not be decided, again and again.
async fn decide(shared: &Shared, delivery: &Delivery) -> Result<(), Undecided> {
    let mut attempt = 0;
    loop {
        let span = tracing::debug_span!("request", queue_message = %delivery.message_id);
        let Err(error) = handle::handle(shared, &delivery.message).instrument(span).await else { return Ok(()) };
        tracing::warn!(message = %delivery.message_id, attempt, %error, "a request could not be decided");
        tokio::time::sleep(TRY_PAUSE * 2_u32.pow(attempt)).await;
        attempt += 1;
        if attempt == TRIES {
            return Err(error);
        }
    }
}

/// A receipt that is not valid any more means that the message comes again; it is known then.
pub(crate) async fn acknowledge(shared: &Shared, delivery: Delivery) {
    if let Err(error) = shared.queue.ack(delivery.receipt).await {
        tracing::debug!(message = %delivery.message_id, %error, "a handled message was not acknowledged");
    }
}
