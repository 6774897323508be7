//! From the outbox to the queue: at least once, in order per receiver, until the queue has said OK.

use crate::clock;
use crate::deciding::{Shared, Undecided};
use crate::mail;
use catalog::{CatalogError, NewOutboxRow, OutboxRow};
use queue::{InvalidMessage, Queue, SendError};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinSet;

/// Rows that are on their way together.
const WAVE_MAX: u32 = 256;
const FORGET_EVERY: Duration = Duration::from_millis(50);
const RETRY: Duration = Duration::from_millis(200);
const RETRY_CATALOG: Duration = Duration::from_secs(1);

/// Works until it is dropped.
pub(crate) async fn run(shared: Arc<Shared>) {
    let mut after = 0;
    loop {
        match wave(&shared, after).await {
            Ok(Some(last)) => after = last,
            Ok(None) => shared.outbox.notified().await,
            Err(error) => {
                tracing::warn!(%error, "the outbox cannot be read; again");
                tokio::time::sleep(RETRY_CATALOG).await;
                after = 0;
            }
        }
    }
}

/// Sends what lies there; the id of the last row, if there was one.
async fn wave(shared: &Arc<Shared>, after: i64) -> Result<Option<i64>, CatalogError> {
    let rows = shared.catalog.outbox(after, WAVE_MAX).await?;
    let Some(last) = rows.last().map(|row| row.id) else { return Ok(None) };
    let rows: Vec<(i64, NewOutboxRow)> = rows.into_iter().filter_map(readable).collect();
    let ids: Vec<i64> = rows.iter().map(|(id, _)| *id).collect();
    let mut lanes = JoinSet::new();
    for rows in by_receiver(rows) {
        lanes.spawn(send_in_order(Arc::clone(&shared.queue), rows));
    }
    // Panics if one of them has: its messages are not sent, and must not be forgotten.
    lanes.join_all().await;
    shared.sent().extend(ids);
    Ok(Some(last))
}

/// Forgets what is sent, now and then: each time costs a write of the catalog that the next request would wait for.
/// Rows that are sent again after a crash do no harm. Works until it is dropped.
pub(crate) async fn forget(shared: Arc<Shared>) {
    loop {
        tokio::time::sleep(FORGET_EVERY).await;
        let ids = std::mem::take(&mut *shared.sent());
        if ids.is_empty() {
            continue;
        }
        if let Err(error) = shared.catalog.outbox_sent(&ids).await {
            tracing::warn!(%error, "sent messages stay in the outbox; again");
            shared.sent().extend(ids);
        }
    }
}

fn readable(row: OutboxRow) -> Option<(i64, NewOutboxRow)> {
    match row.message {
        Ok(message) => Some((row.id, message)),
        Err(reason) => {
            tracing::error!(row = row.id, reason, "a row of the outbox cannot be read; it stays there");
            None
        }
    }
}

fn by_receiver(rows: Vec<(i64, NewOutboxRow)>) -> Vec<Vec<(i64, NewOutboxRow)>> {
    let mut lanes: HashMap<String, Vec<(i64, NewOutboxRow)>> = HashMap::new();
    for (id, row) in rows {
        lanes.entry(mail::receiver(&row).to_owned()).or_default().push((id, row));
    }
    lanes.into_values().collect()
}

async fn send_in_order(queue: Arc<dyn Queue>, rows: Vec<(i64, NewOutboxRow)>) {
    for (id, row) in rows {
        match send_while_good(&*queue, &row).await {
            Sent::Yes | Sent::TooLate => {}
            Sent::Refused(error) => tracing::error!(row = id, %error, "the queue refuses a signal; it is lost"),
        }
    }
}

enum Sent {
    Yes,
    /// Nobody wants it any more.
    TooLate,
    /// It is none that the queue takes, ever.
    Refused(InvalidMessage),
}

/// Again and again, as long as the signal is good.
async fn send_while_good(queue: &dyn Queue, row: &NewOutboxRow) -> Sent {
    while let Some((topic, message)) = mail::message(row, clock::now_ms()) {
        match queue.send_wait(&topic, message).await {
            Ok(_) => return Sent::Yes,
            Err(SendError::Invalid(error)) => return Sent::Refused(error),
            Err(error) => {
                tracing::warn!(%topic, %error, "the queue does not take a signal; again");
                tokio::time::sleep(RETRY).await;
            }
        }
    }
    Sent::TooLate
}

/// Without the outbox: the caller waits, and may ask again if it was too late.
pub(crate) async fn send_straight(queue: &dyn Queue, row: &NewOutboxRow) -> Result<(), Undecided> {
    match send_while_good(queue, row).await {
        Sent::Yes => Ok(()),
        Sent::TooLate => Err(Undecided::Unsent),
        Sent::Refused(error) => {
            tracing::error!(%error, "the queue refuses an answer; it is lost");
            Ok(())
        }
    }
}
