//! Outages of the catalog: one gate for all that comes from outside.
//!
//! Whoever finds that the catalog takes nothing closes it. Until a write is taken again nothing is received, whatever
//! the outage's length, and what was received is given back once or kept in memory.

use crate::state::ServiceState;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// While it is closed, the catalog is tried so often.
const TRY_WRITE_EVERY: Duration = Duration::from_secs(1);
/// Less often, up to this, if it closes again soon after it was opened: on a disk that is almost full a small write may
/// find room where a real one does not, and each opening costs what waits one of its hand-outs.
const TRY_WRITE_EVERY_MAX: Duration = Duration::from_secs(30);
const SOON: Duration = Duration::from_secs(10);

pub(crate) struct Gate {
    open: watch::Sender<bool>,
}

impl Default for Gate {
    fn default() -> Self {
        Self { open: watch::Sender::new(true) }
    }
}

impl Gate {
    pub(crate) fn close(&self) {
        if self.open.send_replace(false) {
            tracing::warn!("the catalog takes nothing: what comes waits where it is");
        }
    }

    /// Tells each opening and closing from now on.
    pub(crate) fn watch(&self) -> watch::Receiver<bool> {
        self.open.subscribe()
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

/// Opens the gate whenever the catalog takes writes again. Works until it is dropped.
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
        let hand_outs: Duration = pauses.take(16).sum();
        assert!(hand_outs > Duration::from_secs(5 * 60), "{hand_outs:?}");
        assert_eq!(next_pause(TRY_WRITE_EVERY_MAX, SOON), TRY_WRITE_EVERY);
    }
}
