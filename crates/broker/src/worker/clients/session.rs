//! The session of a client: from a login that was let in to its end.

use std::time::Duration;

use commitlog::{AppendError, Appended, Need, Position};
use mqtt::{ReasonCode, Version};

use super::Clients;
use super::entry::{Attachment, ClientEntry, NEVER_S, ends_at};
use super::identity::SessionInfo;
use super::owed::Owed;
use super::permitted::MaySubscribe;
use crate::client::ClientKey;
use crate::over::Over;
use crate::store::journal::Batch;
use crate::store::record::SessionRecord;
use crate::worker::action::{ClientRef, Now};
use crate::worker::connect_request::ConnectRequest;
use crate::worker::post::ConnectionKey;

/// Records that a full log did not take, of one turn.
const OWED_PER_TURN: usize = 1024;

/// A session that a connection has got.
pub(in crate::worker) struct Opened {
    pub(in crate::worker) client: ClientRef,
    pub(in crate::worker) session_present: bool,
    /// In seconds; to be told, because it is not what was asked for.
    pub(in crate::worker) session_expiry_s: Option<u32>,
    /// The CONNACK waits until the log is durable up to here.
    pub(in crate::worker) waits_for: Option<Position>,
}

/// What is left in the log of a client whose entry was ended.
pub(in crate::worker) enum Ended {
    Nothing,
    /// Nothing, once the log is durable up to here.
    Logged(Position),
    /// The log takes nothing.
    NotLogged,
}

/// What a CONNECT changes in the log.
struct Change {
    batch: Batch,
    need: Need,
    /// It makes, changes or discards a persistent session, or an earlier CONNECT did and the disk does not have it yet, or
    /// the start of the broker: the CONNACK waits.
    waits: bool,
    session_present: bool,
}

impl Clients {
    /// The account that has a session under this client id.
    pub(in crate::worker) fn holder_of(&self, client_id: &ClientKey) -> Option<&str> {
        Some(self.entry(self.find(client_id)?)?.session()?.account)
    }

    /// Gives a client its session, on a connection whose CONNACK has not left, without the subscriptions that it may not have
    /// any more. The caller has ended the connection that had it before.
    ///
    /// # Errors
    /// The reason to refuse the CONNECT: the log takes nothing.
    pub(in crate::worker) fn open(
        &mut self,
        connection: ConnectionKey,
        request: &ConnectRequest,
        account: &str,
        (connection_id, peer): (&str, &str),
        may: MaySubscribe<'_>,
        now: Now,
    ) -> Result<Opened, ReasonCode> {
        self.context.journal.log_start(now.certain_ms()).map_err(|error| self.refusal(&error))?;
        let info = SessionInfo { account, expiry_s: self.expiry_of(request) };
        let mut change = self.plan(request, info);
        let forbidden = if request.clean_start { Vec::new() } else { self.forbidden(&request.client, may) };
        Self::add_ends(request.client.as_str(), &forbidden, &mut change.batch);
        change.waits |= !forbidden.is_empty();
        change.batch.opened(request.client.as_str(), connection_id, now.ms, peer);
        let Appended { end, positions } = self.append_change(&change).map_err(|error| self.refusal(&error))?;
        self.owed.settle(&request.client);
        let waits_for = change.waits.then_some(end);
        let client = self.attach(connection, request, info);
        self.end_forbidden(client, forbidden);
        let segment = positions.first().map(|position| self.context.journal.segment_at(*position));
        if let Some(entry) = self.entry_mut(client) {
            segment.into_iter().for_each(|segment| entry.need_from(segment));
            entry.settled_at = waits_for.unwrap_or(entry.settled_at);
        }
        let session_expiry_s = self.expiry_to_tell(request);
        Ok(Opened { client, session_present: change.session_present, session_expiry_s, waits_for })
    }

    /// A session whose time is over is nobody's any more, also before the tick that ends it.
    pub(in crate::worker) fn end_if_over(&mut self, client_id: &ClientKey, over: Over) {
        if let Some(client) = self.find(client_id) {
            self.end_session_if_over(client, over);
        }
    }

    /// `true`: it was over.
    pub(super) fn end_session_if_over(&mut self, client: ClientRef, over: Over) -> bool {
        let ends_at_ms = self.entry(client).and_then(|entry| entry.ends_at_ms);
        let is_over = ends_at_ms.is_some_and(|ends_at_ms| over.is_over(ends_at_ms.get()));
        if is_over {
            self.end_session(client);
        }
        is_over
    }

    fn append_change(&self, change: &Change) -> Result<Appended, AppendError> {
        match change.need {
            Need::Normal => self.context.journal.append_small(&change.batch),
            need => self.context.journal.append(&change.batch, need),
        }
    }

    /// Whether the log has no room for what this CONNECT changes: sooner if it makes or changes a persistent session.
    pub(in crate::worker) fn has_no_room_for(&self, request: &ConnectRequest, account: &str) -> bool {
        let info = SessionInfo { account, expiry_s: self.expiry_of(request) };
        self.context.journal.is_full_for(self.plan(request, info).need)
    }

    pub(in crate::worker) fn refusal(&self, error: &AppendError) -> ReasonCode {
        self.context.counts.refused_by_log.one();
        match error {
            AppendError::Full => ReasonCode::QUOTA_EXCEEDED,
            AppendError::Busy => ReasonCode::SERVER_BUSY,
            _ => ReasonCode::SERVER_UNAVAILABLE,
        }
    }

    /// The session expiry in force, in seconds.
    fn expiry_of(&self, request: &ConnectRequest) -> u32 {
        match (request.version, request.clean_start) {
            (Version::V311, true) => 0,
            (Version::V311, false) => seconds(self.context.limits.session_expiry_v311),
            (Version::V5, _) => self.capped_expiry(request.session_expiry_s.unwrap_or(0)),
        }
    }

    fn capped_expiry(&self, asked_s: u32) -> u32 {
        asked_s.min(seconds(self.context.limits.session_expiry_max))
    }

    /// 5.0 section 3.2.2.3.2: only if it is not what was asked for.
    fn expiry_to_tell(&self, request: &ConnectRequest) -> Option<u32> {
        let in_force = self.expiry_of(request);
        (request.version == Version::V5 && in_force != request.session_expiry_s.unwrap_or(0)).then_some(in_force)
    }

    fn plan(&self, request: &ConnectRequest, info: SessionInfo<'_>) -> Change {
        let client_id = request.client.as_str();
        let mut batch = Batch::default();
        let entry = self.find(&request.client).and_then(|client| self.entry(client));
        let kept = entry.filter(|_| !request.clean_start);
        let owed = self.owed.find(&request.client);
        let discards = owed == Some(Owed::End) || request.clean_start && entry.is_some_and(|entry| entry.is_logged);
        if discards {
            batch.session_gone(client_id);
        }
        let known = kept.and_then(|entry| entry.session());
        let was_persistent = known.is_some_and(|session| session.expiry_s > 0);
        let is_as_logged = known == Some(info) && owed != Some(Owed::Expiry);
        let changes = !is_as_logged && (info.expiry_s > 0 || was_persistent);
        if changes {
            batch.session(SessionRecord { client_id, account: info.account, expiry_s: info.expiry_s });
        }
        // Without a record of the connection a session is not resumed: its time would count from the end of an older one.
        let need = if changes { Need::Normal } else { Need::Housekeeping };
        let is_settled = kept.is_none_or(|entry| entry.settled_at <= self.context.journal.durable());
        let waits = discards || changes || !is_settled || !self.context.journal.is_start_durable();
        Change { batch, need, waits, session_present: known.is_some() }
    }

    fn attach(&mut self, connection: ConnectionKey, request: &ConnectRequest, info: SessionInfo<'_>) -> ClientRef {
        if request.clean_start
            && let Some(client) = self.find(&request.client)
        {
            self.drop_entry(client);
        }
        let client = match self.find(&request.client) {
            Some(client) => client,
            None => self.insert(ClientEntry::new(request.client.as_str(), &self.context.inbox_limits)),
        };
        let Some(entry) = self.entries.get_mut(client.slot as usize) else { return client };
        if let Some(ends_at_ms) = entry.ends_at_ms.take() {
            self.endings.remove(ends_at_ms, client.slot);
        }
        if entry.session().is_none() {
            self.context.counts.sessions.one();
        }
        entry.is_logged |= info.expiry_s > 0;
        entry.is_session_logged |= info.expiry_s > 0;
        entry.identity.set_session(info);
        let attachment = Attachment { key: request.client.clone(), connection, is_open: false };
        entry.attachment = Some(Box::new(attachment));
        client
    }

    /// The CONNACK is written: what waits may follow.
    pub(in crate::worker) fn connected(&mut self, client: ClientRef, connection: ConnectionKey, receive_maximum: u16) {
        let Some(entry) = self.entry_mut(client) else { return };
        if let Some(attachment) = entry.attachment.as_mut().filter(|attachment| attachment.connection == connection) {
            attachment.is_open = true;
            entry.inbox.session.connected(receive_maximum);
        }
    }

    /// The connection has ended: its session waits for another one, or ends with it.
    pub(in crate::worker) fn leave(&mut self, client: ClientRef, connection: ConnectionKey, now_ms: u64) {
        let Some(entry) = self.entry_mut(client).filter(|entry| entry.is_attached_to(connection)) else { return };
        entry.attachment = None;
        entry.inbox.session.disconnected();
        entry.inbox.shrink();
        let expiry_s = entry.session().map_or(0, |session| session.expiry_s);
        if expiry_s == 0 {
            return self.end_session(client);
        }
        entry.ends_at_ms = ends_at(expiry_s, now_ms);
        if let Some(ends_at_ms) = entry.ends_at_ms {
            self.endings.insert(ends_at_ms, client.slot);
        }
    }

    /// A DISCONNECT says how long the session is to last.
    pub(in crate::worker) fn change_expiry(&mut self, client: ClientRef, asked_s: u32) {
        let expiry_s = self.capped_expiry(asked_s);
        let Some(entry) = self.entry_mut(client) else { return };
        if !entry.identity.change_expiry(expiry_s) {
            return;
        }
        let key = entry.key();
        self.log_owed(&key, Owed::Expiry, Need::Essential);
    }

    /// The session is over, and with it all that waits.
    pub(super) fn end_session(&mut self, client: ClientRef) {
        let Some(key) = self.key_of(client) else { return };
        if self.drop_entry(client) {
            self.log_owed(&key, Owed::End, Need::Essential);
        }
    }

    /// Tries some of what the log did not take once more. `true`: there is more.
    ///
    /// # Errors
    /// The log does not take it now either.
    pub(super) fn log_some_owed(&mut self, need: Need) -> Result<bool, AppendError> {
        if self.owed.is_empty() {
            return Ok(false);
        }
        let some: Vec<(ClientKey, Owed)> = self.owed.iter().take(OWED_PER_TURN).collect();
        let mut batch = Batch::default();
        some.iter().for_each(|(key, owed)| self.add_owed(key, *owed, &mut batch));
        self.context.journal.append_independent(&batch, need)?;
        some.iter().for_each(|(key, _)| self.owed.settle(key));
        Ok(!self.owed.is_empty())
    }

    /// Logs what nobody waits for, but what must not be lost: what the log does not take now is owed to it.
    fn log_owed(&mut self, key: &ClientKey, owed: Owed, need: Need) {
        let Err(error) = self.append_owed(key, owed, need) else { return };
        self.context.counts.refused_by_log.one();
        tracing::debug!(%error, "the end of a session was not logged yet");
    }

    /// Takes the session from its connection, which leaves nothing behind when it ends.
    pub(in crate::worker) fn detach(&mut self, client_id: &ClientKey) -> Option<ConnectionKey> {
        let entry = self.entry_mut(self.find(client_id)?)?;
        Some(entry.attachment.take()?.connection)
    }

    /// Logs it; what the log has no room for is owed to it.
    fn append_owed(&mut self, key: &ClientKey, owed: Owed, need: Need) -> Result<Position, AppendError> {
        let mut batch = Batch::default();
        self.add_owed(key, owed, &mut batch);
        match self.context.journal.append(&batch, need) {
            Ok(appended) => {
                self.owed.settle(key);
                Ok(appended.end)
            }
            Err(error) => {
                self.owed.add(key, owed);
                Err(error)
            }
        }
    }

    fn add_owed(&self, key: &ClientKey, owed: Owed, batch: &mut Batch) {
        if owed == Owed::End {
            return batch.session_gone(key.as_str());
        }
        let entry = self.find(key).and_then(|client| self.entry(client));
        if let Some(SessionInfo { account, expiry_s }) = entry.and_then(|entry| entry.session()) {
            batch.session(SessionRecord { client_id: key.as_str(), account, expiry_s });
        }
    }

    /// Ends session and inbox of a client without a connection.
    pub(in crate::worker) fn end(&mut self, client_id: &ClientKey) -> Ended {
        let is_logged = self.find(client_id).is_some_and(|client| self.drop_entry(client));
        if !is_logged && self.owed.find(client_id).is_none() {
            return Ended::Nothing;
        }
        match self.append_owed(client_id, Owed::End, Need::Essential) {
            Ok(end) => Ended::Logged(end),
            Err(error) => {
                self.context.counts.refused_by_log.one();
                tracing::warn!(%error, "the end of a removed device's session is not logged yet");
                Ended::NotLogged
            }
        }
    }

    /// Forgets a client in memory; `true`: the log still has something of it.
    fn drop_entry(&mut self, client: ClientRef) -> bool {
        let Some(entry) = self.remove(client) else { return false };
        if let Some(ends_at_ms) = entry.ends_at_ms {
            self.endings.remove(ends_at_ms, client.slot);
        }
        for subscription in entry.inbox.session.subscriptions() {
            self.drop_subscription(client, subscription.filter.as_filter());
        }
        let waiting = entry.inbox.len() as u64;
        self.context.counts.dropped_with_session.add(waiting);
        self.count_out(waiting, entry.inbox.bytes());
        entry.inbox.logged().for_each(|(message, size)| self.live.remove(message, size));
        if entry.session().is_some() {
            self.context.counts.sessions.less(1);
        }
        entry.is_logged
    }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(NEVER_S)
}
