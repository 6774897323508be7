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
    /// Of what is in force. Its sender is the following task's.
    revision: watch::Receiver<u64>,
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
        let (in_force, revision) = watch::channel(first.revision());
        let shared = Arc::new(Shared { revision, current: ArcSwap::from_pointee(first) });
        let follower = tokio::spawn(follow(catalog, config, revisions, shared.clone(), in_force));
        Ok(Self { shared, _follower: Arc::new(Follower(follower)) })
    }

    /// For one decision; do not keep it.
    pub fn load(&self) -> Guard<Arc<Access>> {
        self.shared.current.load()
    }

    /// Waits until this revision of the catalog, or a later one, is in force.
    pub async fn reached(&self, revision: u64) {
        let mut seen = self.shared.revision.clone();
        if seen.wait_for(|seen| *seen >= revision).await.is_err() {
            // The task has ended, so it is never reached.
            std::future::pending().await
        }
    }

    #[cfg(test)]
    pub(super) fn abort(&self) {
        self._follower.0.abort();
    }

    /// Its task has ended, by a panic or with the catalog: new rules come into force no more.
    pub async fn ended(&self) {
        let mut seen = self.shared.revision.clone();
        while seen.changed().await.is_ok() {}
    }
}

async fn follow(
    catalog: Arc<dyn Catalog>,
    config: AccessConfig,
    mut revisions: watch::Receiver<u64>,
    shared: Arc<Shared>,
    in_force: watch::Sender<u64>,
) {
    loop {
        let wanted = *revisions.borrow_and_update();
        if shared.current.load().revision() < wanted {
            refresh(&*catalog, &config, &shared, &in_force).await;
        } else if revisions.changed().await.is_err() {
            return;
        }
    }
}

async fn refresh(catalog: &dyn Catalog, config: &AccessConfig, shared: &Shared, in_force: &watch::Sender<u64>) {
    match catalog.access().await {
        Ok(snapshot) => {
            let access = Access::new(config.clone(), snapshot);
            let revision = access.revision();
            shared.current.store(Arc::new(access));
            in_force.send_replace(revision);
        }
        Err(error) => {
            tracing::warn!(%error, "cannot read the rules of access; the last ones stay in force");
            tokio::time::sleep(RETRY).await;
        }
    }
}
