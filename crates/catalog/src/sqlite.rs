//! The catalog on one SQLite file.
//!
//! One writer connection (writes are served one after the other), a few readers that see the last commit, one connection
//! that makes checkpoints. WAL with `synchronous = FULL`: a write that has returned survives a power cut. After an I/O
//! error nothing is known about the file any more: every later call fails, and [`SqliteCatalog::failure`] tells the
//! program to exit and recover from the file. A full disk is no such error: writes are refused and nothing of them is
//! kept until there is space again ([`SqliteCatalog::refusing`]).

/// Runs one function of this module on a reader connection.
macro_rules! read {
    ($self:ident, $conn:ident => $work:expr) => {
        Box::pin(async move {
            let mut reader = $self.reader().await?;
            let $conn = &mut *reader;
            $work.await.map_err(|fault| $self.to_error(fault))
        })
    };
}

/// The same in one transaction, for a function with several statements that must see the same moment.
macro_rules! read_at_once {
    ($self:ident, $conn:ident => $work:expr) => {
        Box::pin(async move {
            $self.health.check()?;
            let mut tx = $self.readers.begin().await.map_err(|error| $self.health.classify(error))?;
            let $conn = &mut *tx;
            $work.await.map_err(|fault| $self.to_error(fault))
        })
    };
}

/// Runs one function of this module in a transaction of the writer.
macro_rules! write {
    ($self:ident, $conn:ident => $work:expr) => {
        Box::pin(async move {
            let mut tx = $self.begin().await?;
            let $conn = &mut *tx;
            let done = $work.await;
            $self.finish(tx, done).await
        })
    };
}

/// The same for rows of the access snapshot: the new revision is published after the commit.
macro_rules! write_access {
    ($self:ident, $conn:ident => $work:expr) => {
        Box::pin(async move {
            let mut tx = $self.begin().await?;
            let $conn = &mut *tx;
            let done = $work.await;
            let revision = $self.finish(tx, done).await?;
            $self.publish(revision);
            Ok(())
        })
    };
}

mod accounts;
mod answers;
mod apply;
mod audit;
mod checkpoint;
mod claims;
mod commit;
mod devices;
mod fault;
mod grants;
mod keys;
mod links;
mod meetings;
mod meetings_list;
mod migrate;
mod open;
mod presence;
mod probe;
mod prune;
mod rows;
mod seeds;
mod set_aside;
mod tokens;
mod topics;
mod users;

pub use migrate::SCHEMA_VERSION;
pub use open::OpenError;

use crate::{Catalog, CatalogError, CatalogFuture, Health};
use checkpoint::Checkpoints;
use claims::Claims;
use fault::{Fault, FileHealth};
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqlitePool, Transaction, query_scalar};
use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::{Mutex, watch};

/// [`Catalog`] on SQLite.
#[derive(Debug)]
pub struct SqliteCatalog {
    writer: SqlitePool,
    readers: SqlitePool,
    revision: watch::Sender<u64>,
    /// The number of the last change that an owner made.
    changes: watch::Sender<u64>,
    health: Arc<FileHealth>,
    checkpoints: Checkpoints,
    /// Held while rows are read that are to be claimed.
    claims: Mutex<Claims>,
}

impl SqliteCatalog {
    /// Opens the file, creates it if there is none, and brings its schema up to [`SCHEMA_VERSION`].
    ///
    /// # Errors
    /// See [`OpenError`]; the file is as it was.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        open::open(path.as_ref()).await
    }

    /// `journal_mode` and `synchronous` of the writer, as SQLite reports them: `wal` and `2` (FULL).
    ///
    /// # Errors
    /// As every call.
    pub async fn durability(&self) -> Result<[String; 2], CatalogError> {
        let mut writer = self.writer.acquire().await.map_err(|error| self.health.classify(error))?;
        let mut answers = [String::new(), String::new()];
        for (answer, sql) in answers.iter_mut().zip([
            "SELECT journal_mode FROM pragma_journal_mode",
            "SELECT CAST(synchronous AS TEXT) FROM pragma_synchronous",
        ]) {
            *answer = query_scalar(sql).fetch_one(&mut *writer).await.map_err(|error| self.health.classify(error))?;
        }
        Ok(answers)
    }

    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, CatalogError> {
        self.health.check()?;
        let begun = self.writer.begin_with("BEGIN IMMEDIATE").await;
        begun.map_err(|error| self.note_refused(self.health.classify(error)))
    }

    /// Commits the transaction, or rolls it back and returns why.
    async fn finish<T, E: From<CatalogError>>(
        &self,
        tx: Transaction<'static, Sqlite>,
        done: Result<T, Fault<E>>,
    ) -> Result<T, E> {
        match done {
            Ok(value) => {
                let committed = tx.commit().await.map_err(|error| self.health.classify_commit(error));
                self.health.note_write(&committed);
                self.checkpoints.note_commit();
                Ok(committed.map(|()| value)?)
            }
            Err(fault) => {
                // It fails where SQLite has rolled back by itself; the pool then replaces the connection.
                let _ = tx.rollback().await;
                Err(match fault {
                    Fault::Sql(error) => self.note_refused(self.health.classify(error)).into(),
                    Fault::Rule(rule) => rule,
                })
            }
        }
    }

    fn note_refused(&self, error: CatalogError) -> CatalogError {
        let refused = Err(error.clone());
        self.health.note_write(&refused);
        error
    }

    async fn date_ended_meetings(&self, now_ms: u64) -> Result<(), CatalogError> {
        let mut tx = self.begin().await?;
        let done = prune::date_ended_meetings(&mut tx, now_ms).await;
        self.finish(tx, done).await
    }

    async fn prune_batch(&self, now_ms: u64) -> Result<(u64, bool), CatalogError> {
        let mut tx = self.begin().await?;
        let done = prune::prune_batch(&mut tx, now_ms).await;
        self.finish(tx, done).await
    }

    async fn pull_in_batch(&self, now_ms: u64) -> Result<(u64, bool), CatalogError> {
        let mut tx = self.begin().await?;
        let done = prune::pull_in_batch(&mut tx, now_ms).await;
        self.finish(tx, done).await
    }

    async fn reader(&self) -> Result<PoolConnection<Sqlite>, CatalogError> {
        self.health.check()?;
        self.readers.acquire().await.map_err(|error| self.health.classify(error))
    }

    fn to_error<E: From<CatalogError>>(&self, fault: Fault<E>) -> E {
        match fault {
            Fault::Sql(error) => self.health.classify(error).into(),
            Fault::Rule(rule) => rule,
        }
    }

    fn publish(&self, revision: Option<u64>) {
        if let Some(revision) = revision {
            raise(&self.revision, revision);
        }
    }

    /// Tells of all that is committed.
    async fn publish_changes(&self) -> Result<(), CatalogError> {
        let mut reader = self.reader().await?;
        // In this order: who sees a number of a change goes by the revision that it made, or a later one.
        let number = audit::last_number(&mut reader).await.map_err(|error| self.health.classify(error))?;
        let revision = topics::revision(&mut reader).await.map_err(|error| self.health.classify(error))?;
        raise(&self.revision, revision.cast_unsigned());
        raise(&self.changes, number.cast_unsigned());
        Ok(())
    }
}

fn raise(watched: &watch::Sender<u64>, new: u64) {
    watched.send_if_modified(|seen| {
        let rises = new > *seen;
        *seen = new.max(*seen);
        rises
    });
}

impl Catalog for SqliteCatalog {
    fn health(&self) -> watch::Receiver<Health> {
        self.health.watch()
    }

    fn try_write(&self) -> CatalogFuture<'_, ()> {
        Box::pin(async move {
            let mut tx = self.begin().await?;
            let done = probe::write(&mut tx).await;
            self.finish(tx, done).await
        })
    }

    fn close(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async move {
            self.checkpoints.close().await;
            self.readers.close().await;
            self.writer.close().await;
        })
    }

    fn prune(&self, now_ms: u64) -> CatalogFuture<'_, u64> {
        Box::pin(async move {
            self.date_ended_meetings(now_ms).await?;
            let mut gone = 0;
            loop {
                let (rows, all) = self.prune_batch(now_ms).await?;
                gone += rows;
                if all {
                    return Ok(gone);
                }
            }
        })
    }

    fn pull_in(&self, now_ms: u64) -> CatalogFuture<'_, u64> {
        Box::pin(async move {
            let mut corrected = 0;
            loop {
                let (rows, all) = self.pull_in_batch(now_ms).await?;
                corrected += rows;
                if all {
                    return Ok(corrected);
                }
            }
        })
    }
}

#[cfg(test)]
mod tests;
