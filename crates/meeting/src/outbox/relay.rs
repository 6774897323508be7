//! The relay from the outbox to the queue: at least once, in order per receiver and topic, until the queue has
//! accepted.
//!
//! Each receiver and topic is a lane of its own: one that the queue refuses at the moment does not block another. A
//! message that no queue ever accepts is set aside for an operator, and its lane continues.
//!
//! An answer that is not stored may take its place in the lane, too ([`Answer`]): behind all that was stored before the
//! relay got it.

use crate::commit::DecisionError;
use crate::outbox::encode;
use crate::set_aside;
use crate::state::ServiceState;
use catalog::{NewOutboxRow, OutboxRow};
use queue::SendError;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

/// Rows that are read together.
const READ_MAX: u32 = 256;
/// Rows in memory; past it nothing is read until some are sent.
const HELD_MAX: usize = 8_192;
const DELETE_EVERY: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_millis(200);
const RETRY_CATALOG: Duration = Duration::from_secs(1);

/// Runs until it is dropped, or a lane has panicked: its messages are not sent, and must not be lost.
pub(crate) async fn run(service: Arc<ServiceState>, mut answers: mpsc::Receiver<Answer>) {
    let mut relay = Relay::new(service);
    let mut look = true;
    loop {
        if look && relay.has_room() {
            look = relay.read().await;
            if !look {
                relay.take_answers();
            }
        }
        tokio::select! {
            biased;
            Some(done) = relay.sending.join_next() => match done {
                Ok(done) => relay.done(done),
                Err(_) => return,
            },
            () = relay.service.outbox.notified() => look = true,
            Some(answer) = answers.recv() => {
                relay.answers.push(answer);
                look = true;
            }
            () = std::future::ready(()), if look && relay.has_room() => {}
        }
    }
}

/// Receiver and topic.
type Lane = (String, String);

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
    /// The last row that was read.
    after: i64,
    /// Those for whose lanes the outbox is to be read first.
    answers: Vec<Answer>,
    waiting: HashMap<Lane, Vec<Item>>,
    busy: HashSet<Lane>,
    /// Items that wait or are being sent.
    held: usize,
    sending: JoinSet<Done>,
}

/// A lane has sent, or set aside, so many items.
struct Done {
    lane: Lane,
    items: usize,
}

impl Relay {
    fn new(service: Arc<ServiceState>) -> Self {
        Self {
            service,
            after: 0,
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

    /// Returns whether there are more rows.
    async fn read(&mut self) -> bool {
        match self.service.catalog.outbox(self.after, READ_MAX).await {
            Ok(rows) => {
                let more = rows.len() >= READ_MAX as usize;
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
        for OutboxRow { id, message } in rows {
            self.after = id;
            let lane = message.as_ref().map_or_else(|_| Lane::default(), lane_of);
            self.push(lane.clone(), Item::Row(id, message));
            lanes.insert(lane);
        }
        lanes.into_iter().for_each(|lane| self.begin(lane));
    }

    /// All rows are read that were stored before these answers came.
    fn take_answers(&mut self) {
        for answer in std::mem::take(&mut self.answers) {
            let lane = lane_of(&answer.row);
            self.push(lane.clone(), Item::Answer(answer));
            self.begin(lane);
        }
    }

    fn push(&mut self, lane: Lane, item: Item) {
        self.waiting.entry(lane).or_default().push(item);
        self.held += 1;
    }

    /// Sends the items of a lane, unless some of it are being sent.
    fn begin(&mut self, lane: Lane) {
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

fn lane_of(row: &NewOutboxRow) -> Lane {
    (encode::receiver(row).to_owned(), row.topic.clone())
}

async fn send_in_order(service: Arc<ServiceState>, lane: Lane, items: Vec<Item>) -> Done {
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
            Err(SendError::Invalid(error)) => return Sent::Never(error.to_string()),
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
