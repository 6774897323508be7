//! Errors of SQLite by their consequence: a broken rule, a call that may be tried again, or the end of the file's use.

use crate::{CatalogError, CommitError, Health};
use tokio::sync::watch;

/// Why a function on a connection failed: an error of SQLite, or a rule of the catalog.
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

/// The remedy for a damaged file.
pub(super) const DAMAGE_REMEDY: &str =
    "restore it from a backup, or move it away with its -wal and -shm and begin anew";

/// The state of the file: whether it may be used, and whether it takes writes. A file that has failed is not used again
/// in this process.
#[derive(Debug, Default)]
pub(super) struct FileHealth(watch::Sender<Health>);

impl FileHealth {
    pub(super) fn watch(&self) -> watch::Receiver<Health> {
        self.0.subscribe()
    }

    pub(super) fn check(&self) -> Result<(), CatalogError> {
        match self.0.borrow().failure() {
            Some(why) => Err(CatalogError::Unavailable(why.to_owned())),
            None => Ok(()),
        }
    }

    /// What it was before, unless it is the same, or the file has failed.
    fn becomes(&self, now: Health) -> Option<Health> {
        let mut before = None;
        self.0.send_if_modified(|health| {
            if health.failure().is_none() && *health != now {
                before = Some(std::mem::replace(health, now));
            }
            before.is_some()
        });
        before
    }

    /// Converts the error of any statement but COMMIT; ends the use of the file where it says so.
    pub(super) fn classify(&self, error: sqlx::Error) -> CatalogError {
        match kind_of(&error) {
            SqlErrorKind::Io | SqlErrorKind::Damaged | SqlErrorKind::NotADatabase => self.fail(&error),
            _ => translate(error),
        }
    }

    /// Converts the error of a COMMIT: after one that failed for another reason than these it is unknown what is on
    /// disk.
    pub(super) fn classify_commit(&self, error: sqlx::Error) -> CatalogError {
        match kind_of(&error) {
            SqlErrorKind::Busy | SqlErrorKind::Full | SqlErrorKind::Unique | SqlErrorKind::Constraint => {
                translate(error)
            }
            _ => self.fail(&error),
        }
    }

    /// Records whether the file takes writes. A row that broke a rule does not count.
    pub(super) fn note_write(&self, result: &Result<(), CatalogError>) {
        match result {
            Ok(()) => {
                if self.becomes(Health::Serves).is_some() {
                    tracing::info!("the catalog takes writes again");
                }
            }
            Err(CatalogError::Unavailable(why)) => {
                if self.becomes(Health::RefusesWrites { why: why.clone() }) == Some(Health::Serves) {
                    tracing::warn!(why, "the catalog takes no writes at the moment");
                }
            }
            Err(_) => {}
        }
    }

    fn fail(&self, error: &sqlx::Error) -> CatalogError {
        let remedy = match kind_of(error) {
            SqlErrorKind::Damaged | SqlErrorKind::NotADatabase => DAMAGE_REMEDY,
            _ => "check the disk, then restart the program, which recovers from the file",
        };
        let why = format!("the catalog can be used no more: {error}; {remedy}");
        if self.becomes(Health::Failed { why }).is_some() {
            tracing::error!(%error, remedy, "the catalog failed and is used no more");
        }
        CatalogError::Unavailable(error.to_string())
    }
}

/// The kind of an SQLite error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SqlErrorKind {
    /// Another process holds the file.
    Busy,
    Full,
    /// Another row has a value that must be unique.
    Unique,
    /// The row breaks another rule of the schema.
    Constraint,
    Io,
    Damaged,
    NotADatabase,
    Other,
}

// https://www.sqlite.org/rescode.html
const SQLITE_BUSY: i32 = 5;
const SQLITE_IOERR: i32 = 10;
const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_CONSTRAINT: i32 = 19;
const SQLITE_CONSTRAINT_PRIMARYKEY: i32 = SQLITE_CONSTRAINT | (6 << 8);
const SQLITE_CONSTRAINT_UNIQUE: i32 = SQLITE_CONSTRAINT | (8 << 8);
const SQLITE_NOTADB: i32 = 26;
/// There is no room for the index of the write-ahead log to grow; what was written is not used.
const SQLITE_IOERR_SHMSIZE: i32 = SQLITE_IOERR | (19 << 8);

pub(super) fn kind_of(error: &sqlx::Error) -> SqlErrorKind {
    if matches!(error, sqlx::Error::WorkerCrashed) {
        return SqlErrorKind::Io;
    }
    let Some(code) = result_code(error) else { return SqlErrorKind::Other };
    match (code, code & 0xff) {
        (SQLITE_IOERR_SHMSIZE, _) | (_, SQLITE_FULL) => SqlErrorKind::Full,
        (_, SQLITE_BUSY) => SqlErrorKind::Busy,
        (SQLITE_CONSTRAINT_PRIMARYKEY | SQLITE_CONSTRAINT_UNIQUE, _) => SqlErrorKind::Unique,
        (_, SQLITE_CONSTRAINT) => SqlErrorKind::Constraint,
        (_, SQLITE_IOERR) => SqlErrorKind::Io,
        (_, SQLITE_CORRUPT) => SqlErrorKind::Damaged,
        (_, SQLITE_NOTADB) => SqlErrorKind::NotADatabase,
        _ => SqlErrorKind::Other,
    }
}

fn result_code(error: &sqlx::Error) -> Option<i32> {
    error.as_database_error()?.code()?.parse().ok()
}

fn translate(error: sqlx::Error) -> CatalogError {
    match kind_of(&error) {
        SqlErrorKind::Unique => CatalogError::Taken(format!("another row has what must be unique: {error}")),
        SqlErrorKind::Constraint => CatalogError::Invalid(format!("a rule of the catalog forbids this row: {error}")),
        SqlErrorKind::Full => {
            CatalogError::Unavailable(format!("the disk is full ({error}); make room, then try again"))
        }
        _ => CatalogError::Unavailable(error.to_string()),
    }
}
