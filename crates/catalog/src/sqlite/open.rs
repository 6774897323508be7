//! Opening the file: one writer, a few readers, and the errors of a start.

use super::checkpoint::{self, Checkpoints};
use super::fault::{DAMAGE_REMEDY, FileHealth, SqlErrorKind, kind_of};
use super::migrate::{SCHEMA_VERSION, migrate};
use super::rows::to_u64;
use super::{SqliteCatalog, audit, topics};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection, SqliteConnection};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, watch};

/// More than read at a time: one that is given back is asked whether it still works before it is lent again, and a
/// request that reads twice would wait for that.
const READERS: u32 = 6;
/// Another process (a backup, a shell) may hold the file this long.
const BUSY_TIMEOUT: Duration = Duration::from_secs(5);
/// A call that waits longer for a connection fails as unavailable. Together with the time above this is well below the
/// 20 s after which an answer expires, which is created before it waits here.
const TURN_TIMEOUT: Duration = Duration::from_secs(5);

/// The catalog could not be opened: which file, why, and what to do.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the catalog {path}: {cause}", path = path.display())]
pub struct OpenError {
    path: PathBuf,
    cause: OpenCause,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum OpenCause {
    #[error("{0}; make the folder and let this user write to it")]
    File(#[source] io::Error),
    #[error("it is no SQLite file; move it away, or name another file")]
    NotADatabase,
    #[error("it is damaged ({0}); {DAMAGE_REMEDY}")]
    Damaged(#[source] sqlx::Error),
    #[error("the disk is full ({0}); make room, then start again")]
    Full(#[source] sqlx::Error),
    #[error(
        "its schema has version {found}, this program knows up to {SCHEMA_VERSION}; \
         start the newer program that made it, or restore a backup"
    )]
    Newer { found: u32 },
    #[error("{0}; check that no other program holds it and that the disk is sound")]
    Sql(#[source] sqlx::Error),
}

impl From<OpenCause> for OpenError {
    fn from(cause: OpenCause) -> Self {
        Self { path: PathBuf::new(), cause }
    }
}

impl From<sqlx::Error> for OpenError {
    fn from(error: sqlx::Error) -> Self {
        match kind_of(&error) {
            SqlErrorKind::NotADatabase => OpenCause::NotADatabase.into(),
            SqlErrorKind::Damaged => OpenCause::Damaged(error).into(),
            SqlErrorKind::Full => OpenCause::Full(error).into(),
            _ => OpenCause::Sql(error).into(),
        }
    }
}

pub(super) async fn open(path: &Path) -> Result<SqliteCatalog, OpenError> {
    try_open(path).await.map_err(|error| OpenError { path: path.to_owned(), ..error })
}

async fn try_open(path: &Path) -> Result<SqliteCatalog, OpenError> {
    make_private(path).map_err(OpenCause::File)?;
    let options = options(path);
    let writer = pool(1).connect_with(options.clone()).await?;
    migrate(&mut *writer.acquire().await?).await?;
    let checkpointer = pool(1).connect_with(options.clone()).await?;
    let readers = pool(READERS).connect_with(options.pragma("query_only", "ON")).await?;
    let revision = read_number(topics::revision(&mut *readers.acquire().await?).await?)?;
    let changes = read_number(audit::last_number(&mut *readers.acquire().await?).await?)?;
    let health = Arc::<FileHealth>::default();
    let checkpoints = Checkpoints::start(checkpointer, Arc::clone(&health));
    let (revision, changes) = (watch::Sender::new(revision), watch::Sender::new(changes));
    Ok(SqliteCatalog { writer, readers, revision, changes, health, checkpoints, claims: Mutex::default() })
}

/// The file holds secrets: only its owner may read it. SQLite gives its side files the same mode.
fn make_private(path: &Path) -> io::Result<()> {
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
        Ok(file) => file.sync_all().and_then(|()| sync_folder(path)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
    }
}

fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY_TIMEOUT)
        .pragma("wal_autocheckpoint", checkpoint::WRITER_PAGES)
}

/// Connections that stay: no life time, no test before each use.
fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .min_connections(connections)
        .max_connections(connections)
        .acquire_timeout(TURN_TIMEOUT)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
        .before_acquire(|connection, _| Box::pin(std::future::ready(Ok(is_usable(connection)))))
}

/// SQLite may roll a transaction back by itself (full, out of memory, I/O error:
/// <https://sqlite.org/lang_transaction.html> section 2.4). The ROLLBACK that follows fails then, and the connection
/// counts as within a transaction for ever: it is closed, and a new one is opened in its place.
fn is_usable(connection: &SqliteConnection) -> bool {
    !connection.is_in_transaction()
}

fn read_number(stored: i64) -> Result<u64, OpenError> {
    to_u64(stored).map_err(|error| OpenCause::Sql(sqlx::Error::Decode(error.into())).into())
}
