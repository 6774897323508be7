//! The gate for all that comes from outside: closed while the catalog accepts no write.
//!
//! The task whose write fails closes it. Until a write succeeds again nothing is received, however long the outage is.
//! What was received is kept in memory and stays hidden in the queue: no outage costs it a hand-out, of which it has a
//! few, and the queue a record.

use crate::state::ServiceState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// Interval of attempts to write while it is closed.
const TRY_WRITE_EVERY: Duration = Duration::from_secs(1);
/// The interval grows up to this if the gate closes again soon after it was opened: on a disk that is almost full a
/// small write may find room where a real one does not, and with each opening all that waits is tried in vain.
const TRY_WRITE_EVERY_MAX: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);

pub(crate) struct OutageGate {
    open: watch::Sender<bool>,
}

impl Default for OutageGate {
    fn default() -> Self {
        Self { open: watch::Sender::new(true) }
    }
}

impl OutageGate {
    pub(crate) fn close(&self) {
        if self.open.send_replace(false) {
            tracing::warn!("the catalog takes nothing: what comes waits where it is");
        }
    }

    /// Reports each opening and closing from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.open.subscribe()
    }

    pub(crate) fn is_open(&self) -> bool {
        *self.open.borrow()
    }

    pub(crate) async fn until_open(&self) {
        self.until(true).await;
    }

    pub(crate) async fn until_closed(&self) {
        self.until(false).await;
    }

    async fn until(&self, open: bool) {
        // Fails only without a sender, which is here.
        let _ = self.watch().wait_for(|is| *is == open).await;
    }
}

/// Opens the gate when the catalog accepts writes again. Runs until it is dropped.
pub(crate) async fn run(service: Arc<ServiceState>) {
    let (mut pause, mut opened) = (TRY_WRITE_EVERY, None::<Instant>);
    loop {
        service.gate.until_closed().await;
        if let Some(opened) = opened.take() {
            pause = next_pause(pause, opened.elapsed());
        }
        tokio::time::sleep(pause).await;
        match service.try_write().await {
            Ok(()) => {
                opened = Some(Instant::now());
                service.gate.open.send_replace(true);
                tracing::info!("the catalog takes what comes again");
            }
            Err(error) => tracing::debug!(%error, "the catalog takes nothing still"),
        }
    }
}

fn next_pause(last: Duration, was_open: Duration) -> Duration {
    if was_open < SOON { (last * 2).min(TRY_WRITE_EVERY_MAX) } else { TRY_WRITE_EVERY }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gate_that_closes_again_at_once_is_opened_less_and_less_often() {
        let pauses = std::iter::successors(Some(TRY_WRITE_EVERY), |last| Some(next_pause(*last, Duration::ZERO)));
        let openings: Duration = pauses.take(16).sum();
        assert!(openings > Duration::from_secs(5 * 60), "{openings:?}");
        assert_eq!(next_pause(TRY_WRITE_EVERY_MAX, SOON), TRY_WRITE_EVERY);
    }
}
