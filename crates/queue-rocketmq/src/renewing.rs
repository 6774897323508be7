//! Renewing what is due, and giving back what clients leave behind.

use std::sync::{Arc, Weak};
use std::time::Duration;

use queue::{AckError, GroupName, Receipt};
use tokio::sync::OwnedMutexGuard;
use tokio::time::Instant;

use crate::door::Caller;
use crate::limits::{INVISIBLE_OF_SERVER, RENEWALS_LOOK};
use crate::renewals::{Current, Found};
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
        let Found { to_renew, to_release } = self.renewals().look(Instant::now());
        for (issued, current) in to_renew {
            self.renew(&issued, current).await;
        }
        self.release_all(to_release).await;
    }

    /// An acknowledgement that comes meanwhile waits, and finds the new receipt.
    async fn renew(&self, issued: &Receipt, mut current: OwnedMutexGuard<Receipt>) {
        match self.queue.change_invisible(current.clone(), INVISIBLE_OF_SERVER).await {
            Ok(receipt) => {
                *current = receipt;
                self.renewals().renewed(issued, Instant::now());
            }
            // It is tried again at the next look.
            Err(AckError::Unavailable(_)) => {}
            Err(_) => drop(self.renewals().end(issued)),
        }
    }

    /// Lets `change` use the receipt of a hand-out that is valid now; nobody renews it meanwhile. It goes on as it is if the queue
    /// is not available, and else it is the consumer's matter.
    pub(crate) async fn with_current<T>(
        &self,
        issued: &Receipt,
        change: impl AsyncFnOnce(Receipt) -> Result<T, AckError>,
    ) -> Result<T, AckError> {
        let renewed = self.renewals().current(issued);
        let Some(renewed) = renewed else { return change(issued.clone()).await };
        let current = renewed.lock().await;
        let changed = change(current.clone()).await;
        if !matches!(changed, Err(AckError::Unavailable(_))) {
            self.renewals().end(issued);
        }
        changed
    }

    /// The client has left the group.
    pub(crate) async fn leave(&self, client: &Caller, group: &GroupName) {
        let left = self.renewals().end_all(client, group);
        self.release_all(left).await;
    }

    async fn release_all(&self, left: Vec<Current>) {
        for current in left {
            let receipt = current.lock().await.clone();
            self.release([receipt]).await;
        }
    }

    /// They are handed out again at once. One that cannot be given back comes again after its invisible time.
    pub(crate) async fn release(&self, receipts: impl IntoIterator<Item = Receipt>) {
        for receipt in receipts {
            let _ = self.queue.change_invisible(receipt, Duration::ZERO).await;
        }
    }

    /// What was handed out and has not come to its consumer, as it was issued.
    pub(crate) async fn give_back(&self, issued: impl IntoIterator<Item = Receipt>) {
        for issued in issued {
            let renewed = self.renewals().end(&issued);
            match renewed {
                Some(current) => self.release_all(vec![current]).await,
                None => self.release([issued]).await,
            }
        }
    }
}
