//! The catalog on one SQLite file.
//!
//! One writer connection (writes are served one after the other), a few readers that see the last commit, one connection
//! that makes checkpoints. WAL with `synchronous = FULL`: a write that has returned survives a power cut. After an I/O
//! error nothing is known about the file any more: every later call fails, and [`SqliteCatalog::failure`] tells the
//! program to exit and recover from the file. A full disk is no such error: writes are refused and nothing of them is
//! kept until there is space again ([`SqliteCatalog::refusing`]).

mod access;
mod checkpoint;
mod commit;
mod devices;
mod fault;
mod meetings;
mod migrate;
mod online;
mod open;
mod probe;
mod prune;
mod rows;
mod set_aside;
mod users;

pub use migrate::SCHEMA_VERSION;
pub use open::OpenError;

use crate::{
    AccessKey, AccessSnapshot, ApiKey, Catalog, CatalogError, CatalogFuture, ClientOnline, CommitError, Device,
    DeviceState, DueTimers, Engagement, Grant, Group, LoginLink, MeetingCommit, MeetingRow, OnlineEvent, OutboxRow,
    OutcomeRow, ParentTopic, PastCallPlace, PastCallRow, PresenceChanges, SetAside, TimerRow, User, UserState,
};
use checkpoint::Checkpoints;
use fault::{Fault, Health};
use sqlx::pool::PoolConnection;
use sqlx::{Sqlite, SqlitePool, Transaction, query_scalar};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use tokio::sync::watch;
use uuid::Uuid;

/// [`Catalog`] on SQLite.
#[derive(Debug)]
pub struct SqliteCatalog {
    writer: SqlitePool,
    readers: SqlitePool,
    revision: watch::Sender<u64>,
    health: Arc<Health>,
    checkpoints: Checkpoints,
}

impl SqliteCatalog {
    /// Opens the file, creates it if there is none, and brings its schema up to [`SCHEMA_VERSION`].
    ///
    /// # Errors
    /// See [`OpenError`]; the file is as it was.
    pub async fn open(path: impl AsRef<Path>) -> Result<Self, OpenError> {
        open::open(path.as_ref()).await
    }

    /// Becomes `Some(reason)` when the file can be used no more; the process must end then.
    pub fn failure(&self) -> watch::Receiver<Option<String>> {
        self.health.watch()
    }

    /// `Some(reason)` from a write that the file did not take (the disk is full, another program holds the file) until
    /// the next one that it takes. The program goes on; [`try_write`](Self::try_write) finds out when that is over.
    pub fn refusing(&self) -> watch::Receiver<Option<String>> {
        self.health.watch_refusing()
    }

    /// Writes a row and deletes it, to find out whether the file takes writes.
    ///
    /// # Errors
    /// As every write.
    pub async fn try_write(&self) -> Result<(), CatalogError> {
        let mut tx = self.begin().await?;
        let done = probe::write(&mut tx).await;
        self.finish(tx, done).await
    }

    /// Waits for running calls and closes the file; later calls fail.
    pub async fn close(&self) {
        self.checkpoints.close().await;
        self.readers.close().await;
        self.writer.close().await;
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
        let Some(new) = revision else { return };
        self.revision.send_if_modified(|seen| {
            let rises = new > *seen;
            *seen = new.max(*seen);
            rises
        });
    }
}

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

impl Catalog for SqliteCatalog {
    fn access(&self) -> CatalogFuture<'_, AccessSnapshot> {
        read_at_once!(self, conn => access::snapshot(conn))
    }

    fn access_revision(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    fn put_group(&self, group: Group) -> CatalogFuture<'_, ()> {
        write_access!(self, conn => access::put_group(conn, &group))
    }

    fn put_parent(&self, parent: ParentTopic) -> CatalogFuture<'_, ()> {
        write_access!(self, conn => access::put_parent(conn, &parent))
    }

    fn put_access_key(&self, key: AccessKey) -> CatalogFuture<'_, ()> {
        write_access!(self, conn => access::put_access_key(conn, &key))
    }

    fn put_grant(&self, grant: Grant) -> CatalogFuture<'_, ()> {
        write_access!(self, conn => access::put_grant(conn, &grant))
    }

    fn put_user(&self, user: User) -> CatalogFuture<'_, ()> {
        write!(self, conn => users::put_user(conn, &user))
    }

    fn user(&self, user: &str) -> CatalogFuture<'_, Option<User>> {
        let user = user.to_owned();
        read!(self, conn => users::user(conn, &user))
    }

    fn users(&self, after: Option<&str>, limit: u32) -> CatalogFuture<'_, Vec<User>> {
        let after = after.map(str::to_owned);
        read!(self, conn => users::users(conn, after.as_deref(), limit))
    }

    fn put_device(&self, device: Device) -> CatalogFuture<'_, ()> {
        write!(self, conn => devices::put(conn, &device))
    }

    fn device(&self, client_id: &str) -> CatalogFuture<'_, Option<Device>> {
        let client_id = client_id.to_owned();
        read!(self, conn => devices::device(conn, &client_id))
    }

    fn extend_device(&self, client_id: &str, key_id: &str, expires_at_ms: u64) -> CatalogFuture<'_, Option<u64>> {
        let (client_id, key_id) = (client_id.to_owned(), key_id.to_owned());
        write!(self, conn => devices::extend(conn, &client_id, &key_id, expires_at_ms))
    }

    fn remove_device(&self, client_id: &str, key_id: &str, at_ms: u64) -> CatalogFuture<'_, bool> {
        let (client_id, key_id) = (client_id.to_owned(), key_id.to_owned());
        write!(self, conn => devices::remove(conn, &client_id, &key_id, at_ms))
    }

    fn removed_devices(&self) -> CatalogFuture<'_, Vec<String>> {
        read!(self, conn => devices::removed(conn))
    }

    fn devices_of(&self, users: &[String]) -> CatalogFuture<'_, Vec<DeviceState>> {
        let users = users.to_vec();
        read!(self, conn => devices::of_users(conn, &users))
    }

    fn put_api_key(&self, key: ApiKey) -> CatalogFuture<'_, ()> {
        write!(self, conn => users::put_api_key(conn, &key))
    }

    fn api_key(&self, secret_sha256: &str) -> CatalogFuture<'_, Option<ApiKey>> {
        let hash = secret_sha256.to_owned();
        read!(self, conn => users::api_key(conn, &hash))
    }

    fn put_login_link(&self, link: LoginLink) -> CatalogFuture<'_, ()> {
        write!(self, conn => users::put_login_link(conn, &link))
    }

    fn login_link(&self, secret_sha256: &str) -> CatalogFuture<'_, Option<LoginLink>> {
        let hash = secret_sha256.to_owned();
        read!(self, conn => users::login_link(conn, &hash))
    }

    fn online_events(&self, events: &[OnlineEvent]) -> CatalogFuture<'_, Vec<ClientOnline>> {
        let events = events.to_vec();
        write!(self, conn => online::apply(conn, &events))
    }

    fn meeting(&self, id: Uuid) -> CatalogFuture<'_, Option<MeetingRow>> {
        read!(self, conn => meetings::meeting(conn, id))
    }

    fn meeting_revision(&self, id: Uuid) -> CatalogFuture<'_, Option<u64>> {
        read!(self, conn => meetings::revision(conn, id))
    }

    fn live_meetings(&self) -> CatalogFuture<'_, Vec<Uuid>> {
        read!(self, conn => meetings::live(conn))
    }

    fn commit(&self, commit: MeetingCommit) -> CatalogFuture<'_, (), CommitError> {
        write!(self, conn => commit::apply(conn, &commit))
    }

    fn handled(&self, signal: Uuid) -> CatalogFuture<'_, bool> {
        read!(self, conn => meetings::handled(conn, signal))
    }

    fn engagements_of(&self, users: &[String]) -> CatalogFuture<'_, Vec<Engagement>> {
        let users = users.to_vec();
        read!(self, conn => meetings::engagements_of(conn, &users))
    }

    fn due_timers(&self, due: DueTimers, limit: u32) -> CatalogFuture<'_, Vec<TimerRow>> {
        read!(self, conn => meetings::due_timers(conn, &due, limit))
    }

    fn next_timer(&self, held_ms: Range<u64>) -> CatalogFuture<'_, Option<u64>> {
        read!(self, conn => meetings::next_timer(conn, &held_ms))
    }

    fn outbox(&self, after: i64, limit: u32) -> CatalogFuture<'_, Vec<OutboxRow>> {
        read!(self, conn => meetings::outbox(conn, after, limit))
    }

    fn outbox_sent(&self, ids: &[i64]) -> CatalogFuture<'_, ()> {
        let ids = ids.to_vec();
        write!(self, conn => meetings::outbox_sent(conn, &ids))
    }

    fn set_meeting_aside(&self, id: Uuid, reason: &str) -> CatalogFuture<'_, ()> {
        let reason = reason.to_owned();
        write!(self, conn => set_aside::meeting(conn, id, &reason))
    }

    fn set_message_aside(&self, id: i64, reason: &str) -> CatalogFuture<'_, ()> {
        let reason = reason.to_owned();
        write!(self, conn => set_aside::message(conn, id, &reason))
    }

    fn set_aside(&self) -> CatalogFuture<'_, SetAside> {
        read!(self, conn => set_aside::count(conn))
    }

    fn presence_changes(&self, after: u64, limit: u32) -> CatalogFuture<'_, PresenceChanges> {
        read_at_once!(self, conn => online::changes(conn, after, limit))
    }

    fn user_state(&self, user: &str, outcomes: u32) -> CatalogFuture<'_, Option<UserState>> {
        let user = user.to_owned();
        read!(self, conn => meetings::user_state(conn, &user, outcomes))
    }

    fn outcomes(&self, user: &str, limit: u32) -> CatalogFuture<'_, Vec<OutcomeRow>> {
        let user = user.to_owned();
        read!(self, conn => meetings::outcomes(conn, &user, limit))
    }

    fn past_calls(&self, user: &str, before: Option<PastCallPlace>, limit: u32) -> CatalogFuture<'_, Vec<PastCallRow>> {
        let user = user.to_owned();
        read!(self, conn => meetings::past_calls(conn, &user, before, limit))
    }

    fn creates_since(&self, user: &str, since_ms: u64, now_ms: u64) -> CatalogFuture<'_, u32> {
        let user = user.to_owned();
        read!(self, conn => meetings::creates_since(conn, &user, since_ms, now_ms))
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
