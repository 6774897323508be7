//! Outages of the catalog: one gate for all that comes from outside.
//!
//! Whoever finds that the catalog takes nothing closes it. Until a write is taken again nothing is received, whatever
//! the outage's length, and what was received is given back once or kept in memory.

use crate::deciding::Shared;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;

/// While it is closed, the catalog is tried so often.
const TRY_WRITE_EVERY: Duration = Duration::from_secs(1);

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
pub(crate) async fn run(shared: Arc<Shared>) {
    loop {
        shared.gate.until_closed().await;
        tokio::time::sleep(TRY_WRITE_EVERY).await;
        match shared.try_write().await {
            Ok(()) => {
                shared.gate.open.send_replace(true);
                tracing::info!("the catalog takes what comes again");
            }
            Err(error) => tracing::debug!(%error, "the catalog takes nothing still"),
        }
    }
}
