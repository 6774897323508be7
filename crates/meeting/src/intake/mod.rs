//! Requests from the queue: in order per user, users side by side and in turn, each within its budget.
//!
//! While the catalog takes nothing, nothing is received: whatever was, is given back once, so that an outage of any
//! length costs a request one of its hand-outs. A request that is given back may come behind the next of its sender.

mod budget;
mod deliveries;
pub(crate) mod online;

use crate::commit::{Shared, Undecided};
use crate::intake::budget::{Budgets, Verdict};
use crate::intake::deliveries::{RECEIVE_MAX, acknowledge, give_back, give_back_all, receive};
use crate::requests;
use crate::requests::verify;
use crate::token::alias;
use limiter::{FairQueue, QueueLimits, Rate};
use queue::{Delivery, GroupName, TopicName};
use signalling::topics::property;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::Instrument;

/// Tries at once before a request is given back to the queue.
const TRIES: u32 = 5;
const TRY_PAUSE: Duration = Duration::from_millis(50);
/// Requests that wait, and how many a sender may keep waiting when there is no room.
const WAITING: QueueLimits = QueueLimits { waiting_max: 1_024, share: 8 };
/// Acknowledgements and refusals that are under way; past it, nothing is taken until one is done.
const SET_ASIDE_MAX: usize = 256;

/// Works until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>, group: GroupName, topic: TopicName) {
    let (to_intake, mut received) = mpsc::channel(RECEIVE_MAX);
    let mut gate = shared.gate.watch();
    let mut intake = Intake::new(&shared);
    let mut receiver = JoinSet::new();
    receiver.spawn(receive_all(shared, group, topic, to_intake));
    loop {
        let is_open = *gate.borrow_and_update();
        if is_open {
            intake.begin();
        } else {
            intake.give_back_waiting().await;
        }
        tokio::select! {
            delivery = received.recv(), if !is_open || intake.waiting.has_room() => match delivery {
                Some(delivery) if is_open => intake.take(delivery).await,
                Some(delivery) => intake.give_back(vec![delivery]).await,
                None => return,
            },
            Some(done) = intake.handled.join_next() => match done {
                Ok((sender, delivery, fate)) => intake.settled(sender, delivery, fate).await,
                Err(_) => return,
            },
            _ = gate.changed() => {}
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

/// What becomes of a request's hand-out.
enum Fate {
    Decided,
    /// It could not be decided, again and again; or the catalog takes nothing.
    Again,
}

struct Intake {
    shared: Arc<Shared>,
    /// The budgets count from then on.
    began: Instant,
    budgets: Budgets,
    /// By sender.
    waiting: FairQueue<String, Delivery>,
    /// With the sender.
    handled: JoinSet<(String, Delivery, Fate)>,
    /// Acknowledged, refused or given back.
    set_aside: JoinSet<()>,
}

impl Intake {
    fn new(shared: &Arc<Shared>) -> Self {
        let (burst, per_second) = (shared.config.requests_burst_max, shared.config.requests_per_second_max);
        Self {
            shared: Arc::clone(shared),
            began: Instant::now(),
            budgets: Budgets::new(Rate { burst, per_second }),
            waiting: FairQueue::new(WAITING),
            handled: JoinSet::new(),
            set_aside: JoinSet::new(),
        }
    }

    async fn take(&mut self, delivery: Delivery) {
        tracing::trace!(queue_message = %delivery.message_id, "a request is received");
        let sender = sender_of(&delivery).unwrap_or_default().to_owned();
        match self.budgets.take(&sender, self.began.elapsed()) {
            Verdict::Handle => {
                if let Some(excess) = self.waiting.push(sender, delivery) {
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
        let verdict = self.budgets.exceed(sender_of(&excess).unwrap_or_default(), self.began.elapsed());
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
        while self.set_aside.try_join_next().is_some() {}
        while self.set_aside.len() >= SET_ASIDE_MAX && self.set_aside.join_next().await.is_some() {}
    }

    /// The next of its sender need not wait for the acknowledgement, which the queue writes together with others.
    async fn settled(&mut self, sender: String, delivery: Delivery, fate: Fate) {
        self.waiting.done(sender);
        let shared = Arc::clone(&self.shared);
        match fate {
            Fate::Decided => self.set_aside(async move { acknowledge(&shared, delivery).await }).await,
            Fate::Again => self.give_back(vec![delivery]).await,
        }
    }

    async fn give_back(&mut self, deliveries: Vec<Delivery>) {
        let shared = Arc::clone(&self.shared);
        self.set_aside(async move { give_back_all(&shared, deliveries).await }).await;
    }

    async fn give_back_waiting(&mut self) {
        let waiting = self.waiting.drain();
        if !waiting.is_empty() {
            self.give_back(waiting).await;
        }
    }

    /// As many at once as the configuration says.
    fn begin(&mut self) {
        while self.handled.len() < self.shared.config.requests_at_once_max.max(1) {
            let Some((sender, delivery)) = self.waiting.pop() else { return };
            let shared = Arc::clone(&self.shared);
            self.handled.spawn(async move {
                let fate = settle(&shared, &delivery).await;
                (sender, delivery, fate)
            });
        }
    }
}

/// A request that cannot even be refused now comes again.
async fn refuse(shared: &Shared, delivery: Delivery, words: String) {
    let client = verify::sender(&delivery.message).map(|sender| alias(&sender.client));
    tracing::warn!(client, "a sender makes too many requests; some are not handled");
    match requests::refuse_limit(shared, &delivery.message, words).await {
        Ok(()) => acknowledge(shared, delivery).await,
        Err(error) => {
            tracing::debug!(%error, "a flood could not be refused");
            give_back(shared, delivery).await;
        }
    }
}

fn sender_of(delivery: &Delivery) -> Option<&str> {
    delivery.message.property(property::USER).or_else(|| delivery.message.property(property::CLIENT_ID))
}

async fn settle(shared: &Shared, delivery: &Delivery) -> Fate {
    match decide(shared, delivery).await {
        Ok(()) => Fate::Decided,
        Err(error) => {
            if error.is_outage() {
                shared.gate.close();
            }
            Fate::Again
        }
    }
}

/// The error: it could not be decided, again and again; or the catalog takes nothing.
async fn decide(shared: &Shared, delivery: &Delivery) -> Result<(), Undecided> {
    let mut attempt = 0;
    loop {
        let span = tracing::debug_span!("request", queue_message = %delivery.message_id);
        let Err(error) = requests::handle(shared, &delivery.message).instrument(span).await else { return Ok(()) };
        tracing::warn!(message = %delivery.message_id, attempt, %error, "a request could not be decided");
        attempt += 1;
        if attempt == TRIES || error.is_outage() || matches!(error, Undecided::Unsent) {
            return Err(error);
        }
        tokio::time::sleep(TRY_PAUSE * 2_u32.pow(attempt - 1)).await;
    }
}
