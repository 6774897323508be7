//! The relay from the outbox to the queue: at least once, in order per receiver and topic, until the queue has
//! accepted.
//!
//! Each receiver and topic is a lane of its own: one that the queue refuses at the moment does not block another. A
//! message that no queue ever accepts is set aside for an operator, and its lane continues. Lanes are claimed, so that
//! several services share an outbox: one whose service has died goes on at another when its claim ends.
//!
//! An answer that is not stored may take its place in the lane, too ([`Answer`]): behind all that was stored before the
//! relay got it.

use crate::commit::DecisionError;
use crate::outbox::encode;
use crate::set_aside;
use crate::state::ServiceState;
use catalog::{Claim, NewOutboxRow, OutboxRow};
use queue::SendError;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;

/// Rows that are read together.
const READ_MAX: u32 = 256;
/// Rows in memory; past it nothing is read until some are sent.
const HELD_MAX: usize = 8_192;
/// The lanes of a service that is gone wait for so long, and then until another looks.
const CLAIM: Duration = Duration::from_secs(6);
/// How often claims are renewed, and the outbox is looked through for lanes that nobody has.
const LOOK_EVERY: Duration = Duration::from_secs(2);
const DELETE_EVERY: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_millis(200);
const RETRY_CATALOG: Duration = Duration::from_secs(1);

/// Runs until it is dropped, or a lane has panicked: its messages are not sent, and must not be lost.
pub(crate) async fn run(service: Arc<ServiceState>, mut answers: mpsc::Receiver<Answer>) {
    let mut relay = Relay::new(service);
    relay.forget_earlier_claims().await;
    let mut look = true;
    let mut renew = tokio::time::interval(LOOK_EVERY);
    renew.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        if look && relay.has_room() {
            look = relay.read(READ_MAX).await;
            if !look {
                relay.take_answers();
            }
        }
        if !look && relay.held == 0 {
            relay.service.caught_up.notify_one();
        }
        tokio::select! {
            biased;
            Some(done) = relay.sending.join_next() => match done {
                Ok(done) => relay.done(done),
                Err(_) => return,
            },
            () = relay.service.outbox.notified() => look = true,
            Some(answer) = answers.recv(), if relay.answers.len() < ANSWERS_MAX => {
                relay.answers.push(answer);
                look = true;
            }
            _ = renew.tick() => {
                if relay.has_room() {
                    look = true;
                } else {
                    relay.read(0).await;
                }
            }
            () = std::future::ready(()), if look && relay.has_room() => {}
        }
    }
}

/// An answer that is sent when all is sent that the outbox had for its receiver and topic before. It is lost with the
/// process.
pub(crate) struct Answer {
    row: NewOutboxRow,
    sent: oneshot::Sender<Sent>,
}

/// Answers on their way to the relay; past it, their requests wait.
pub(crate) const ANSWERS_MAX: usize = 256;

/// What a lane sends.
enum Item {
    /// A row of the outbox: its id, and the message or why it cannot be read.
    Row(i64, Result<NewOutboxRow, String>),
    Answer(Answer),
}

struct Relay {
    service: Arc<ServiceState>,
    /// Those for whose lanes the outbox is to be read first.
    answers: Vec<Answer>,
    waiting: HashMap<String, Vec<Item>>,
    busy: HashSet<String>,
    /// Items that wait or are being sent.
    held: usize,
    sending: JoinSet<Done>,
}

/// A lane has sent, or set aside, so many items.
struct Done {
    lane: String,
    items: usize,
}

impl Relay {
    fn new(service: Arc<ServiceState>) -> Self {
        Self {
            service,
            answers: Vec::new(),
            waiting: HashMap::new(),
            busy: HashSet::new(),
            held: 0,
            sending: JoinSet::new(),
        }
    }

    fn has_room(&self) -> bool {
        self.held < HELD_MAX
    }

    /// What an earlier run of this service had is sent by this one.
    async fn forget_earlier_claims(&self) {
        while let Err(error) = self.service.catalog.release_claims(self.service.config.claimant).await {
            tracing::warn!(%error, "claims of an earlier run cannot be ended; again");
            tokio::time::sleep(RETRY_CATALOG).await;
        }
    }

    /// Claims and takes rows. Returns whether there are more.
    async fn read(&mut self, limit: u32) -> bool {
        let claim = Claim { by: self.service.config.claimant, lasts: CLAIM };
        match self.service.catalog.claim_outbox(claim, limit).await {
            Ok(rows) => {
                let more = rows.len() >= limit as usize;
                self.take(rows);
                more
            }
            Err(error) => {
                tracing::warn!(%error, "the outbox cannot be read; again");
                tokio::time::sleep(RETRY_CATALOG).await;
                true
            }
        }
    }

    fn take(&mut self, rows: Vec<OutboxRow>) {
        let mut lanes = HashSet::new();
        for OutboxRow { id, lane, message } in rows {
            self.push(lane.clone(), Item::Row(id, message));
            lanes.insert(lane);
        }
        lanes.into_iter().for_each(|lane| self.begin(lane));
    }

    /// All rows are read that were stored before these answers came.
    fn take_answers(&mut self) {
        for answer in std::mem::take(&mut self.answers) {
            let lane = answer.row.lane.clone();
            self.push(lane.clone(), Item::Answer(answer));
            self.begin(lane);
        }
    }

    fn push(&mut self, lane: String, item: Item) {
        self.waiting.entry(lane).or_default().push(item);
        self.held += 1;
    }

    /// Sends the items of a lane, unless some of it are being sent.
    fn begin(&mut self, lane: String) {
        if self.busy.contains(&lane) {
            return;
        }
        let Some(items) = self.waiting.remove(&lane) else { return };
        self.busy.insert(lane.clone());
        self.sending.spawn(send_in_order(Arc::clone(&self.service), lane, items));
    }

    fn done(&mut self, Done { lane, items }: Done) {
        self.held -= items;
        self.busy.remove(&lane);
        self.begin(lane);
    }
}

async fn send_in_order(service: Arc<ServiceState>, lane: String, items: Vec<Item>) -> Done {
    let done = Done { lane, items: items.len() };
    for item in items {
        match item {
            Item::Row(id, row) => send_row(&service, id, row).await,
            Item::Answer(Answer { row, sent }) => {
                // The request may have been given up.
                let _ = sent.send(send_while_good(&service, &row).await);
            }
        }
    }
    done
}

async fn send_row(service: &ServiceState, id: i64, row: Result<NewOutboxRow, String>) {
    let sent = match row {
        Ok(row) => send_while_good(service, &row).await,
        Err(reason) => Sent::Never(reason),
    };
    match sent {
        Sent::Yes | Sent::Expired => service.sent().push(id),
        Sent::Never(reason) => set_aside::message(service, id, &reason).await,
    }
}

/// Deletes the rows that are sent, many together: each write of the catalog delays the next request. Rows that are sent
/// again after a crash do no harm. Runs until it is dropped.
pub(crate) async fn delete_sent(service: Arc<ServiceState>) {
    loop {
        tokio::time::sleep(DELETE_EVERY).await;
        let ids = std::mem::take(&mut *service.sent());
        if ids.is_empty() {
            continue;
        }
        if let Err(error) = service.catalog.outbox_sent(&ids).await {
            tracing::warn!(%error, "sent messages stay in the outbox; again");
            service.sent().extend(ids);
        }
    }
}

pub(crate) enum Sent {
    Yes,
    /// It has expired.
    Expired,
    /// No queue ever accepts it.
    Never(String),
}

/// Tries until the queue accepts it or it expires.
async fn send_while_good(service: &ServiceState, row: &NewOutboxRow) -> Sent {
    loop {
        let (topic, message) = match encode::message(row, service.clock.times()) {
            Ok(Some(mail)) => mail,
            Ok(None) => return Sent::Expired,
            Err(reason) => return Sent::Never(reason),
        };
        match service.queue.send_wait(&topic, message).await {
            Ok(queue_message) => {
                tracing::trace!(%queue_message, %topic, "a signal is durable in the queue");
                return Sent::Yes;
            }
            Err(error @ (SendError::Invalid(_) | SendError::WrongType { .. })) => {
                return Sent::Never(error.to_string());
            }
            Err(error) => {
                tracing::warn!(%topic, %error, "the queue does not take a signal; again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
}

/// Sends without the outbox, beside what it has for the receiver.
///
/// # Errors
/// It has expired before the queue accepted it.
pub(crate) async fn send_directly(service: &ServiceState, row: &NewOutboxRow) -> Result<(), DecisionError> {
    answered(send_while_good(service, row).await)
}

/// Sends without the outbox, behind what it has for the receiver.
///
/// # Errors
/// It has expired before the queue accepted it, or the service ends.
pub(crate) async fn send_behind(service: &ServiceState, row: NewOutboxRow) -> Result<(), DecisionError> {
    let (sent, done) = oneshot::channel();
    service.answers.send(Answer { row, sent }).await.map_err(|_| DecisionError::Unsent)?;
    answered(done.await.map_err(|_| DecisionError::Unsent)?)
}

fn answered(sent: Sent) -> Result<(), DecisionError> {
    match sent {
        Sent::Yes => Ok(()),
        Sent::Expired => Err(DecisionError::Unsent),
        Sent::Never(reason) => {
            tracing::error!(reason, "the queue refuses an answer; it is lost");
            Ok(())
        }
    }
}
