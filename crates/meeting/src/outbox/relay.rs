//! The relay from the outbox to the queue: at least once, in order per receiver and topic, until the queue has
//! accepted.
//!
//! Each receiver and topic is a lane of its own: one that the queue refuses at the moment does not block another. A
//! message that no queue ever accepts is set aside for an operator, and its lane continues.

use crate::commit::DecisionError;
use crate::outbox::encode;
use crate::set_aside;
use crate::state::ServiceState;
use catalog::{NewOutboxRow, OutboxRow};
use queue::SendError;
use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Rows that are read together.
const READ_MAX: u32 = 256;
/// Rows in memory; past it nothing is read until some are sent.
const HELD_MAX: usize = 8_192;
const DELETE_EVERY: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_millis(200);
const RETRY_CATALOG: Duration = Duration::from_secs(1);

/// Runs until it is dropped, or a lane has panicked: its messages are not sent, and must not be lost.
pub(crate) async fn run(service: Arc<ServiceState>) {
    let mut relay = Relay::new(service);
    let mut look = true;
    loop {
        if look && relay.has_room() {
            look = relay.read().await;
        }
        tokio::select! {
            biased;
            Some(done) = relay.sending.join_next() => match done {
                Ok(done) => relay.done(done),
                Err(_) => return,
            },
            () = relay.service.outbox.notified() => look = true,
            () = std::future::ready(()), if look && relay.has_room() => {}
        }
    }
}

/// Receiver and topic.
type Lane = (String, String);

/// The id, and the message or why it cannot be read.
type Row = (i64, Result<NewOutboxRow, String>);

struct Relay {
    service: Arc<ServiceState>,
    /// The last row that was read.
    after: i64,
    waiting: HashMap<Lane, Vec<Row>>,
    busy: HashSet<Lane>,
    /// Rows that wait or are being sent.
    held: usize,
    sending: JoinSet<Done>,
}

/// A lane has sent, or set aside, so many rows.
struct Done {
    lane: Lane,
    rows: usize,
}

impl Relay {
    fn new(service: Arc<ServiceState>) -> Self {
        Self { service, after: 0, waiting: HashMap::new(), busy: HashSet::new(), held: 0, sending: JoinSet::new() }
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
        self.held += rows.len();
        let mut lanes = HashSet::new();
        for OutboxRow { id, message } in rows {
            self.after = id;
            let lane = message.as_ref().map_or_else(|_| Lane::default(), lane_of);
            self.waiting.entry(lane.clone()).or_default().push((id, message));
            lanes.insert(lane);
        }
        lanes.into_iter().for_each(|lane| self.begin(lane));
    }

    /// Sends the rows of a lane, unless some of it are being sent.
    fn begin(&mut self, lane: Lane) {
        if self.busy.contains(&lane) {
            return;
        }
        let Some(rows) = self.waiting.remove(&lane) else { return };
        self.busy.insert(lane.clone());
        self.sending.spawn(send_in_order(Arc::clone(&self.service), lane, rows));
    }

    fn done(&mut self, Done { lane, rows }: Done) {
        self.held -= rows;
        self.busy.remove(&lane);
        self.begin(lane);
    }
}

fn lane_of(row: &NewOutboxRow) -> Lane {
    (encode::receiver(row).to_owned(), row.topic.clone())
}

async fn send_in_order(service: Arc<ServiceState>, lane: Lane, rows: Vec<Row>) -> Done {
    let done = Done { lane, rows: rows.len() };
    for (id, row) in rows {
        let sent = match row {
            Ok(row) => send_while_good(&service, &row).await,
            Err(reason) => Sent::Never(reason),
        };
        match sent {
            Sent::Yes | Sent::Expired => service.sent().push(id),
            Sent::Never(reason) => set_aside::message(&service, id, &reason).await,
        }
    }
    done
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

enum Sent {
    Yes,
    /// It has expired.
    Expired,
    /// No queue ever accepts it.
    Never(String),
}

/// Tries until the queue accepts it or it expires.
async fn send_while_good(service: &ServiceState, row: &NewOutboxRow) -> Sent {
    loop {
        let (topic, message) = match encode::message(row, service.now_ms()) {
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

/// Sends without the outbox.
///
/// # Errors
/// It has expired before the queue accepted it.
pub(crate) async fn send_directly(service: &ServiceState, row: &NewOutboxRow) -> Result<(), DecisionError> {
    match send_while_good(service, row).await {
        Sent::Yes => Ok(()),
        Sent::Expired => Err(DecisionError::Unsent),
        Sent::Never(reason) => {
            tracing::error!(reason, "the queue refuses an answer; it is lost");
            Ok(())
        }
    }
}
