//! The newest [`Access`], followed by a task, read by many threads.

use super::{Access, AccessConfig};
use arc_swap::{ArcSwap, Guard};
use catalog::{Catalog, CatalogError};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// After a failed reading; the last snapshot stays in use meanwhile.
const RETRY: Duration = Duration::from_millis(500);

/// Cheap to clone; the following task ends with the last clone, or with the catalog.
#[derive(Clone, Debug)]
pub struct AccessView {
    shared: Arc<Shared>,
    _follower: Arc<Follower>,
}

#[derive(Debug)]
struct Shared {
    current: ArcSwap<Access>,
    revision: watch::Sender<u64>,
}

#[derive(Debug)]
struct Follower(JoinHandle<()>);

impl Drop for Follower {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl AccessView {
    /// Reads the first snapshot and follows the catalog from then on, on the current tokio runtime.
    ///
    /// # Errors
    /// The first reading failed.
    pub async fn follow(catalog: Arc<dyn Catalog>, config: AccessConfig) -> Result<Self, CatalogError> {
        let revisions = catalog.access_revision();
        let first = Access::new(config.clone(), catalog.access().await?);
        let shared =
            Arc::new(Shared { revision: watch::Sender::new(first.revision()), current: ArcSwap::from_pointee(first) });
        let follower = tokio::spawn(follow(catalog, config, revisions, shared.clone()));
        Ok(Self { shared, _follower: Arc::new(Follower(follower)) })
    }

    /// For one decision; do not keep it.
    pub fn load(&self) -> Guard<Arc<Access>> {
        self.shared.current.load()
    }

    /// Waits until this revision of the catalog, or a later one, is in force.
    pub async fn reached(&self, revision: u64) {
        // The sender lives in `shared`, so this cannot fail while `self` is borrowed.
        let _ = self.shared.revision.subscribe().wait_for(|seen| *seen >= revision).await;
    }
}

async fn follow(
    catalog: Arc<dyn Catalog>,
    config: AccessConfig,
    mut revisions: watch::Receiver<u64>,
    shared: Arc<Shared>,
) {
    loop {
        let wanted = *revisions.borrow_and_update();
        if shared.current.load().revision() < wanted {
            refresh(&*catalog, &config, &shared).await;
        } else if revisions.changed().await.is_err() {
            return;
        }
    }
}

async fn refresh(catalog: &dyn Catalog, config: &AccessConfig, shared: &Shared) {
    match catalog.access().await {
        Ok(snapshot) => {
            let access = Access::new(config.clone(), snapshot);
            let revision = access.revision();
            shared.current.store(Arc::new(access));
            shared.revision.send_replace(revision);
        }
        Err(error) => {
            tracing::warn!(%error, "cannot read the rules of access; the last ones stay in force");
            tokio::time::sleep(RETRY).await;
        }
    }
}
