//! Renewing what is due, and giving back what clients leave behind.

use std::sync::{Arc, Weak};
use std::time::Duration;

use queue::{AckError, GroupName, Receipt};
use tokio::time::Instant;

use crate::door::Caller;
use crate::limits::{INVISIBLE_OF_SERVER, RENEWALS_LOOK};
use crate::renewals::Found;
use crate::service::Shared;

/// Looks at the hand-outs until the service is gone.
pub(crate) fn start(shared: &Arc<Shared>) {
    tokio::spawn(follow(Arc::downgrade(shared)));
}

async fn follow(shared: Weak<Shared>) {
    loop {
        tokio::time::sleep(RENEWALS_LOOK).await;
        let Some(shared) = shared.upgrade() else { return };
        shared.renew_all_due().await;
    }
}

impl Shared {
    async fn renew_all_due(&self) {
        let Found { to_renew, to_release } = self.renewals.lock().await.look(Instant::now());
        for issued in to_renew {
            self.renew(&issued).await;
        }
        self.release(to_release).await;
    }

    /// An acknowledgement that comes meanwhile waits, and finds the new receipt.
    async fn renew(&self, issued: &Receipt) {
        let mut renewals = self.renewals.lock().await;
        let Some(current) = renewals.current(issued) else { return };
        match self.queue.change_invisible(current, INVISIBLE_OF_SERVER).await {
            Ok(receipt) => renewals.renewed(issued, receipt, Instant::now()),
            // It is tried again at the next look.
            Err(AckError::Unavailable(_)) => {}
            Err(_) => drop(renewals.end(issued)),
        }
    }

    /// The client has left the group.
    pub(crate) async fn leave(&self, client: &Caller, group: &GroupName) {
        let left = self.renewals.lock().await.end_all(client, group);
        self.release(left).await;
    }

    /// They are handed out again at once. One that cannot be given back comes again after its invisible time.
    pub(crate) async fn release(&self, receipts: impl IntoIterator<Item = Receipt>) {
        for receipt in receipts {
            let _ = self.queue.change_invisible(receipt, Duration::ZERO).await;
        }
    }

    /// What was handed out and has not come to its consumer, as it was issued.
    pub(crate) async fn give_back(&self, issued: impl IntoIterator<Item = Receipt>) {
        let mut renewals = self.renewals.lock().await;
        let current: Vec<_> = issued.into_iter().map(|issued| renewals.end(&issued).unwrap_or(issued)).collect();
        drop(renewals);
        self.release(current).await;
    }
}
