//! Requests from the queue: in order per user, users side by side and in turn, each within its budget.
//!
//! While the catalog takes nothing, nothing is received: whatever was, is given back once, so that an outage of any
//! length costs a request one of its hand-outs. A request that is given back may come behind the next of its sender.

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
/// While the catalog takes nothing, it is tried so often.
const TRY_WRITE_EVERY: Duration = Duration::from_secs(1);
/// When a request that was given back comes again.
const GIVEN_BACK: Duration = Duration::from_secs(2);

/// Works until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, group: GroupName, topic: TopicName) {
    let (to_intake, mut received) = mpsc::channel(RECEIVE_MAX);
    let mut intake = Intake::new(&shared);
    let mut receiver = JoinSet::new();
    receiver.spawn(receive_all(shared, group, topic, to_intake));
    loop {
        let is_open = intake.outage.is_empty();
        if is_open {
            intake.begin();
        }
        tokio::select! {
            delivery = received.recv(), if is_open && intake.turns.has_room() => match delivery {
                Some(delivery) => intake.take(delivery).await,
                None => return,
            },
            Some(done) = intake.handled.join_next() => match done {
                Ok((sender, undecided)) => intake.settled(sender, undecided),
                Err(_) => return,
            },
            Some(over) = intake.outage.join_next() => if over.is_err() { return },
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
    /// With the sender; and the request, if the catalog took nothing.
    handled: JoinSet<(String, Option<Delivery>)>,
    /// Refused, dropped or given back.
    set_aside: JoinSet<()>,
    /// Ends with the outage of the catalog.
    outage: JoinSet<()>,
}

impl Intake {
    fn new(shared: &Arc<Shared>) -> Self {
        let (burst, per_second) = (shared.config.requests_burst_max, shared.config.requests_per_second_max);
        Self {
            shared: Arc::clone(shared),
            budgets: Budgets::new(burst, per_second),
            turns: Turns::default(),
            handled: JoinSet::new(),
            set_aside: JoinSet::new(),
            outage: JoinSet::new(),
        }
    }

    async fn take(&mut self, delivery: Delivery) {
        let sender = sender_of(&delivery).unwrap_or_default().to_owned();
        match self.budgets.take(&sender, Instant::now()) {
            Verdict::Handle => {
                if let Some(excess) = self.turns.push(&sender, delivery) {
                    self.give_up(excess).await;
                }
            }
            verdict => {
                let rate = self.shared.config.requests_per_second_max;
                let words =
                    format!("more than {rate} requests a second are too many, this and others are not handled: wait");
                self.discard(delivery, verdict, words).await;
            }
        }
    }

    async fn give_up(&mut self, excess: Delivery) {
        let verdict = self.budgets.exceed(sender_of(&excess).unwrap_or_default(), Instant::now());
        let words = "too many requests wait, this and others of yours are not handled: wait";
        self.discard(excess, verdict, words.to_owned()).await;
    }

    async fn discard(&mut self, delivery: Delivery, verdict: Verdict, words: String) {
        let shared = Arc::clone(&self.shared);
        self.set_aside(async move {
            match verdict {
                Verdict::Refuse => refuse(&shared, delivery, words).await,
                _ => acknowledge(&shared, delivery).await,
            }
        })
        .await;
    }

    async fn set_aside(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.set_aside.spawn(work);
        // The queue writes the acknowledgements of some together.
        if self.set_aside.len() >= RECEIVE_MAX {
            while self.set_aside.join_next().await.is_some() {}
        }
    }

    fn settled(&mut self, sender: String, undecided: Option<Delivery>) {
        self.turns.done(sender);
        let Some(undecided) = undecided else { return };
        if self.outage.is_empty() {
            tracing::warn!("the catalog takes nothing: requests wait on the queue");
            self.outage.spawn(until_written(Arc::clone(&self.shared)));
        }
        let shared = Arc::clone(&self.shared);
        let all: Vec<_> = std::iter::once(undecided).chain(self.turns.drain()).collect();
        self.set_aside.spawn(async move {
            for delivery in all {
                give_back(&shared, delivery).await;
            }
        });
    }

    /// As many at once as the configuration says.
    fn begin(&mut self) {
        while self.handled.len() < self.shared.config.requests_at_once_max.max(1) {
            let Some((sender, delivery)) = self.turns.next() else { return };
            let shared = Arc::clone(&self.shared);
            self.handled.spawn(async move { (sender, settle(&shared, delivery).await) });
        }
    }
}

/// A request that cannot even be refused now comes again.
async fn refuse(shared: &Shared, delivery: Delivery, words: String) {
    let client = request::sender(&delivery.message).map(|sender| alias(&sender.client));
    tracing::warn!(client, "a sender makes too many requests; some are not handled");
    match handle::refuse_limit(shared, &delivery.message, words).await {
        Ok(()) => acknowledge(shared, delivery).await,
        Err(error) => {
            tracing::debug!(%error, "a flood could not be refused");
            give_back(shared, delivery).await;
        }
    }
}

async fn until_written(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(TRY_WRITE_EVERY).await;
        match shared.try_write().await {
            Ok(()) => return tracing::info!("the catalog takes requests again"),
            Err(error) => tracing::debug!(%error, "the catalog takes nothing still"),
        }
    }
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

/// Answers the request back if nobody's can be decided now.
async fn settle(shared: &Shared, delivery: Delivery) -> Option<Delivery> {
    match decide(shared, &delivery).await {
        Ok(()) => acknowledge(shared, delivery).await,
        Err(error) if error.is_outage() => return Some(delivery),
        Err(_) => give_back(shared, delivery).await,
    }
    None
}

/// The error: it could not be decided, again and again; or the catalog takes nothing.
async fn decide(shared: &Shared, delivery: &Delivery) -> Result<(), Undecided> {
    let mut attempt = 0;
    loop {
        let span = tracing::debug_span!("request", queue_message = %delivery.message_id);
        let Err(error) = handle::handle(shared, &delivery.message).instrument(span).await else { return Ok(()) };
        tracing::warn!(message = %delivery.message_id, attempt, %error, "a request could not be decided");
        attempt += 1;
        if attempt == TRIES || error.is_outage() {
            return Err(error);
        }
        tokio::time::sleep(TRY_PAUSE * 2_u32.pow(attempt - 1)).await;
    }
}

async fn give_back(shared: &Shared, delivery: Delivery) {
    if let Err(error) = shared.queue.change_invisible(delivery.receipt, GIVEN_BACK).await {
        tracing::debug!(%error, "a request comes again when its invisible time is over");
    }
}

/// A receipt that is not valid any more means that the message comes again; it is known then.
pub(crate) async fn acknowledge(shared: &Shared, delivery: Delivery) {
    if let Err(error) = shared.queue.ack(delivery.receipt).await {
        tracing::debug!(message = %delivery.message_id, %error, "a handled message was not acknowledged");
    }
}
