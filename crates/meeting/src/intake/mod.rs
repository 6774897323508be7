//! The intake of requests from the queue: in order per user, users concurrently and in turn, each within its budget.
//!
//! While the gate is closed nothing is received: what was, waits until it is open, hidden in the queue, so that an outage of
//! any length costs a request none of its hand-outs. A request that is given back, because it could not be decided for another
//! reason, may come behind the next of its sender.

mod budget;
mod deliveries;
pub(crate) mod online;

use crate::commit::DecisionError;
use crate::intake::budget::{Budgets, Verdict};
use crate::intake::deliveries::{acknowledge, give_back, hide, hide_every, receive};
use crate::requests;
use crate::requests::verify;
use crate::state::ServiceState;
use crate::token::alias;
use limiter::{FairQueue, QueueLimits, Rate};
use queue::{Delivery, GroupName, Message, MessageId, TopicName};
use signalling::topics::property;
use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tracing::Instrument;

/// Attempts before a request is given back to the queue.
const TRIES: u32 = 5;
const TRY_PAUSE: Duration = Duration::from_millis(50);
/// Places of requests that wait, and how many a sender may keep when there is no room.
const WAITING: QueueLimits = QueueLimits { waiting_max: 1_024, share: 8 };
/// Bytes of a request for which one place is enough, so that all take 16 MiB, which one passes at most.
const BYTES_PER_PLACE: usize = 16 << 10;
/// Acknowledgements and refusals that are under way; past it, the intake waits until one is done.
const FINISHING_MAX: usize = 256;

/// Runs until it is dropped.
pub(crate) async fn run(service: Arc<ServiceState>, group: GroupName, topic: TopicName) {
    let mut hiding = tokio::time::interval(hide_every(&service));
    hiding.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut gate = service.gate.watch();
    let mut intake = Intake::new(&service);
    let mut receiving = JoinSet::new();
    loop {
        let is_open = *gate.borrow_and_update();
        if is_open {
            intake.begin();
        }
        if intake.received.is_empty() && receiving.is_empty() {
            let (service, group, topic) = (Arc::clone(&service), group.clone(), topic.clone());
            receiving.spawn(async move { receive(&service, &group, &topic).await });
        }
        tokio::select! {
            Some(received) = receiving.join_next() => match received {
                Ok(deliveries) => intake.received.extend(deliveries),
                Err(_) => return,
            },
            () = std::future::ready(()), if is_open && intake.can_take() => intake.take_next().await,
            Some(done) = intake.handled.join_next() => match done {
                Ok((sender, delivery, next)) => intake.handle_done(sender, delivery, next).await,
                Err(_) => return,
            },
            _ = gate.changed() => {}
            _ = hiding.tick() => intake.hide_all().await,
        }
    }
}

/// What is done with a request's hand-out.
enum NextStep {
    /// The request is decided.
    Acknowledge,
    /// It could not be decided, again and again.
    GiveBack,
}

struct Intake {
    service: Arc<ServiceState>,
    /// The budgets count from then on.
    began: Instant,
    budgets: Budgets,
    /// Received and not taken yet: there is no room, or the gate is closed.
    received: VecDeque<Delivery>,
    /// By sender.
    waiting: FairQueue<String, Delivery>,
    /// Requests that are being handled, each with its sender.
    handled: JoinSet<(String, Delivery, NextStep)>,
    /// Hand-outs that are being acknowledged, refused or given back.
    finishing: JoinSet<()>,
}

impl Intake {
    fn new(service: &Arc<ServiceState>) -> Self {
        let (burst, per_second) = (service.config.requests_burst_max, service.config.requests_per_second_max);
        Self {
            service: Arc::clone(service),
            began: Instant::now(),
            budgets: Budgets::new(Rate { burst, per_second }),
            received: VecDeque::new(),
            waiting: FairQueue::new(WAITING),
            handled: JoinSet::new(),
            finishing: JoinSet::new(),
        }
    }

    fn can_take(&self) -> bool {
        !self.received.is_empty() && self.waiting.has_room()
    }

    async fn take_next(&mut self) {
        let Some(delivery) = self.received.pop_front() else { return };
        tracing::trace!(queue_message = %delivery.message_id, "a request is received");
        let sender = sender_of(&delivery).unwrap_or_default().to_owned();
        match self.budgets.take(&sender, self.began.elapsed()) {
            Verdict::Handle => {
                let places = places_of(&delivery.message);
                for excess in self.waiting.push_large(sender, delivery, places) {
                    self.give_up(excess).await;
                }
            }
            verdict => {
                let rate = self.service.config.requests_per_second_max;
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
        let service = Arc::clone(&self.service);
        self.finish(async move {
            match verdict {
                Verdict::Refuse => refuse(&service, delivery, words).await,
                _ => acknowledge(&service, delivery).await,
            }
        })
        .await;
    }

    async fn finish(&mut self, work: impl Future<Output = ()> + Send + 'static) {
        self.finishing.spawn(work);
        while self.finishing.try_join_next().is_some() {}
        while self.finishing.len() >= FINISHING_MAX && self.finishing.join_next().await.is_some() {}
    }

    /// The next request of the sender does not wait for the acknowledgement, which the queue writes together with
    /// others.
    async fn handle_done(&mut self, sender: String, delivery: Delivery, next: NextStep) {
        self.waiting.done(sender);
        let service = Arc::clone(&self.service);
        match next {
            NextStep::Acknowledge => self.finish(async move { acknowledge(&service, delivery).await }).await,
            NextStep::GiveBack => self.finish(async move { give_back(&service, delivery).await }).await,
        }
    }

    /// All that is not being handled. Also one that cannot be hidden is handled: when it comes again it is recognised.
    async fn hide_all(&mut self) {
        for delivery in self.received.iter_mut().chain(self.waiting.items_mut()) {
            hide(&self.service, &mut delivery.receipt).await;
        }
    }

    /// Begins to handle requests, as many at once as the configuration says.
    fn begin(&mut self) {
        while self.handled.len() < self.service.config.requests_at_once_max.max(1) {
            let Some((sender, mut delivery)) = self.waiting.pop() else { return };
            let service = Arc::clone(&self.service);
            self.handled.spawn(async move {
                let next = handle(&service, &mut delivery).await;
                (sender, delivery, next)
            });
        }
    }
}

/// A request that cannot even be refused now comes again.
async fn refuse(service: &ServiceState, delivery: Delivery, words: String) {
    let client = verify::sender(&delivery.message).map(|sender| alias(&sender.client));
    tracing::warn!(client, "a sender makes too many requests; some are not handled");
    match requests::refuse_limit(service, &delivery.message, words).await {
        Ok(()) => acknowledge(service, delivery).await,
        Err(error) => {
            tracing::debug!(%error, "a flood could not be refused");
            give_back(service, delivery).await;
        }
    }
}

fn places_of(message: &Message) -> usize {
    let properties = message.properties.iter().map(|(name, value)| name.len() + value.len());
    (message.body.len() + properties.sum::<usize>()).div_ceil(BYTES_PER_PLACE).max(1)
}

fn sender_of(delivery: &Delivery) -> Option<&str> {
    delivery.message.property(property::USER).or_else(|| delivery.message.property(property::CLIENT_ID))
}

/// Handles the request, and keeps it hidden in the queue however long that takes.
async fn handle(service: &ServiceState, delivery: &mut Delivery) -> NextStep {
    let Delivery { message_id, message, receipt, .. } = delivery;
    let mut deciding = pin!(decide(service, message_id, message));
    loop {
        match tokio::time::timeout(hide_every(service), &mut deciding).await {
            Ok(Ok(())) => return NextStep::Acknowledge,
            Ok(Err(_)) => return NextStep::GiveBack,
            Err(_) => _ = hide(service, receipt).await,
        }
    }
}

/// Waits for the end of an outage.
///
/// # Errors
/// All attempts failed, or another is useless now.
async fn decide(service: &ServiceState, id: &MessageId, message: &Message) -> Result<(), DecisionError> {
    let mut attempt = 0;
    loop {
        let span = tracing::debug_span!("request", queue_message = %id);
        let Err(error) = requests::handle(service, message).instrument(span).await else { return Ok(()) };
        tracing::warn!(message = %id, attempt, %error, "a request could not be decided");
        if error.is_outage() {
            service.gate.close();
            service.gate.until_open().await;
            continue;
        }
        attempt += 1;
        if attempt == TRIES || matches!(error, DecisionError::Unsent) {
            return Err(error);
        }
        tokio::time::sleep(TRY_PAUSE * 2_u32.pow(attempt - 1)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_requests_of_many_senders_take_no_more_than_is_said() {
        const LARGE: usize = 256 << 10;
        let message = Message {
            body: vec![0; LARGE - 100].into(),
            properties: vec![("name".to_owned(), "x".repeat(96))],
            ..Message::default()
        };
        let mut waiting = FairQueue::new(WAITING);
        let places = places_of(&message);
        let refused = (0..1_000).map(|sender| waiting.push_large(sender, (), places).len()).sum::<usize>();
        assert_eq!((1_000 - refused) * LARGE, 16 << 20);
        assert_eq!(places_of(&Message::default()), 1);
    }
}
