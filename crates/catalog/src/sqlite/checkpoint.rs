//! Checkpoints: pages of the write-ahead log are copied to the file on a connection of their own, so that no commit
//! waits for it.
//!
//! SQLite would do it in the commit that makes the log longer than 1,000 pages. The writer still does where this falls
//! behind ([`WRITER_PAGES`]), so that the log stays bounded.

use super::fault::FileHealth;
use sqlx::{SqlitePool, query};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// Commits between two checkpoints: about 1,000 pages.
const EVERY_COMMITS: u32 = 64;
/// Pages of the log at which a commit makes a checkpoint itself: 32 MB.
pub(super) const WRITER_PAGES: &str = "8000";

/// The task that makes them. It ends with this.
#[derive(Debug)]
pub(super) struct Checkpoints {
    commits: AtomicU32,
    due: Arc<Notify>,
    pool: SqlitePool,
    _task: JoinSet<()>,
}

impl Checkpoints {
    pub(super) fn start(pool: SqlitePool, health: Arc<FileHealth>) -> Self {
        let due = Arc::new(Notify::new());
        let mut task = JoinSet::new();
        task.spawn(run(pool.clone(), Arc::clone(&due), health));
        Self { commits: AtomicU32::new(0), due, pool, _task: task }
    }

    pub(super) fn note_commit(&self) {
        if self.commits.fetch_add(1, Ordering::Relaxed) % EVERY_COMMITS == EVERY_COMMITS - 1 {
            self.due.notify_one();
        }
    }

    pub(super) async fn close(&self) {
        self.pool.close().await;
    }
}

async fn run(pool: SqlitePool, due: Arc<Notify>, health: Arc<FileHealth>) {
    loop {
        due.notified().await;
        match query("PRAGMA wal_checkpoint(PASSIVE)").execute(&pool).await {
            Ok(_) => {}
            Err(sqlx::Error::PoolClosed) => return,
            // Nothing is lost by one that is not made: what is committed is in the log.
            Err(error) => tracing::warn!(error = %health.classify(error), "a checkpoint of the catalog was not made"),
        }
    }
}
