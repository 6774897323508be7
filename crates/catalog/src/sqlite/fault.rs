//! What an error of SQLite means: a broken rule, a call that may be tried again, or the end of the file's use.

use crate::{CatalogError, CommitError};
use tokio::sync::watch;

/// Why a function on a connection stopped: SQLite, or a rule of ours.
#[derive(Debug)]
pub(super) enum Fault<E = CatalogError> {
    Sql(sqlx::Error),
    Rule(E),
}

impl<E> From<sqlx::Error> for Fault<E> {
    fn from(error: sqlx::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<CatalogError> for Fault<CatalogError> {
    fn from(error: CatalogError) -> Self {
        Self::Rule(error)
    }
}

impl From<CatalogError> for Fault<CommitError> {
    fn from(error: CatalogError) -> Self {
        Self::Rule(error.into())
    }
}

impl From<CommitError> for Fault<CommitError> {
    fn from(error: CommitError) -> Self {
        Self::Rule(error)
    }
}

/// Whether the file may still be used. Once it is not, it never is again in this process.
#[derive(Debug)]
pub(super) struct Health {
    failed: watch::Sender<Option<String>>,
}

impl Health {
    pub(super) fn new() -> Self {
        Self { failed: watch::Sender::new(None) }
    }

    pub(super) fn watch(&self) -> watch::Receiver<Option<String>> {
        self.failed.subscribe()
    }

    pub(super) fn check(&self) -> Result<(), CatalogError> {
        match &*self.failed.borrow() {
            Some(reason) => Err(CatalogError::Unavailable(reason.clone())),
            None => Ok(()),
        }
    }

    /// For any statement but COMMIT.
    pub(super) fn judge(&self, error: sqlx::Error) -> CatalogError {
        if is_io(&error) {
            return self.fail(&error);
        }
        translate(error)
    }

    /// A COMMIT that failed for another reason than these leaves it open what is on disk.
    pub(super) fn judge_commit(&self, error: sqlx::Error) -> CatalogError {
        match primary_code(&error) {
            Some(SQLITE_BUSY | SQLITE_FULL | SQLITE_CONSTRAINT) => translate(error),
            _ => self.fail(&error),
        }
    }

    fn fail(&self, error: &sqlx::Error) -> CatalogError {
        let reason = format!("an earlier error ended its use ({error}); restart the program to recover from the file");
        let newly = self.failed.send_if_modified(|failed| failed.is_none() && failed.replace(reason).is_none());
        if newly {
            tracing::error!(%error, "the catalog failed and is used no more; check the disk, then restart");
        }
        CatalogError::Unavailable(error.to_string())
    }
}

// Primary result codes, https://www.sqlite.org/rescode.html
const SQLITE_BUSY: i32 = 5;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_NOTADB: i32 = 26;

pub(super) fn is_not_a_database(error: &sqlx::Error) -> bool {
    primary_code(error) == Some(SQLITE_NOTADB)
}

fn is_io(error: &sqlx::Error) -> bool {
    matches!(primary_code(error), Some(SQLITE_IOERR | SQLITE_CORRUPT | SQLITE_NOTADB))
        || matches!(error, sqlx::Error::WorkerCrashed)
}

fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let extended: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(extended & 0xff)
}

fn translate(error: sqlx::Error) -> CatalogError {
    match primary_code(&error) {
        Some(SQLITE_CONSTRAINT) => CatalogError::Invalid(format!("a rule of the catalog forbids this row: {error}")),
        Some(SQLITE_FULL) => {
            CatalogError::Unavailable(format!("the disk is full ({error}); make room, then try again"))
        }
        _ => CatalogError::Unavailable(error.to_string()),
    }
}
