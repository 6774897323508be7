//! From a CONNECT to a session, and from the end of a connection to the end of a session.

use accounts::access::is_account_of_tokens;
use accounts::login::{self, Credential, Login, LoginError, LoginStep, Shown};
use commitlog::AppendError;
use limiter::TokenBucket;
use mqtt::ReasonCode;

use super::Worker;
use super::action::{Action, AfterDurable, ClientRef, Deferred};
use super::connect_request::ConnectRequest;
use super::connections::{Accepted, AwaitingConnack, Connected, Left, LoggedIn, Moving, TokenWatch};
use super::ended_connections::EndedConnection;
use super::post::{ConnectionKey, Notice, Post};
use crate::bridge::events::{Cause, EventKind};
use crate::client::ClientKey;
use crate::reason;

impl Worker {
    /// The CONNECT has been read: the worker that owns the client id goes on with it.
    pub(super) fn after_connect(&mut self, key: ConnectionKey) {
        let Some(client_id) = self.connections.connect_read(key) else { return };
        let owner = ClientKey::owner(client_id.as_str(), self.shared.workers.len());
        if owner != self.me {
            if let Some(moving) = self.connections.release(key) {
                self.worker_posts.post(owner, Post::Move(Box::new(moving)));
            }
        } else if let Some(request) = self.connections.take_connect(key) {
            self.log_in(key, request);
        }
    }

    pub(super) fn adopt(&mut self, moving: Moving) {
        if self.stopping.is_some() {
            return;
        }
        if let Some((key, request)) = self.connections.adopt(moving, self.now.instant) {
            self.log_in(key, request);
        }
    }

    /// The first step of a login; where it needs a device, that is looked up, and the answer comes as a notice.
    fn log_in(&mut self, key: ConnectionKey, mut request: Box<ConnectRequest>) {
        if self.is_short_of_memory {
            self.shared.counts.refused_for_memory.one();
            return self.refuse(key, ReasonCode::SERVER_BUSY);
        }
        // Not held while the device is looked up.
        let certificate = request.certificate.take();
        let shown = Shown {
            username: request.username.as_deref(),
            password: request.password.as_deref(),
            certificate: certificate.as_deref(),
        };
        let step = login::begin_with(&self.shared.access.load(), request.client.as_str(), shown);
        match step {
            LoginStep::Decided(result) => self.logged_in(key, Some(LoggedIn { request, result })),
            LoginStep::NeedsDevice(pending) => {
                let (device, wanted_keys) = (pending.client_id().to_owned(), pending.wanted_keys().cloned());
                let Some(address) = self.shared.workers.get(self.me).cloned() else { return };
                let Some(source) = self.connections.await_device(key, *request, pending) else { return };
                let done = move |found| address.notify(Notice::Device { connection: key, found });
                let devices = self.shared.devices.clone();
                let look_up = move || devices.lookup(source, &device, Box::new(done));
                match wanted_keys {
                    Some(issuer) => issuer.when_refreshed(Box::new(look_up)),
                    None => look_up(),
                }
            }
        }
    }

    /// A login that has ended: the client gets its session, once nothing of an older connection can act any more.
    pub(super) fn logged_in(&mut self, key: ConnectionKey, logged_in: Option<LoggedIn>) {
        let Some(LoggedIn { request, result }) = logged_in else { return };
        let access = self.shared.access.load();
        let is_over = |at_ms| self.now.over().is_over(at_ms);
        let judged = result.and_then(|login| login::judge_again(&access, request.client.as_str(), login, is_over));
        let Login { identity, credential, valid_until_ms } = match judged {
            Ok(login) => login,
            Err(error) => return self.refuse_login(key, error),
        };
        // 1. The client id is not another account's. A session whose time is over is nobody's.
        let (client_id, account) = (request.client.clone(), identity.account().into_boxed_str());
        self.clients.end_if_over(&client_id, self.now.over());
        let is_anothers = |holder: &&str| !access.takes_over(&identity, holder);
        if let Some(holder) = self.clients.holder_of(&client_id).filter(is_anothers) {
            if !is_account_of_tokens(holder) || !access.ends_tokens(&identity) {
                return self.refuse(key, ReasonCode::NOT_AUTHORIZED);
            }
            if self.clients.has_no_room_for(&request, &account) {
                return self.refuse(key, self.clients.refusal(&AppendError::Full));
            }
            self.end_session_of_tokens(&client_id);
        }
        // 2. Take-over. A login that the full log refuses leaves the older connection alone.
        if let Some(old) = self.clients.connection_of(&client_id) {
            if self.clients.has_no_room_for(&request, &account) {
                return self.refuse(key, self.clients.refusal(&AppendError::Full));
            }
            self.shared.counts.taken_over.one();
            self.close(old, Some(ReasonCode::SESSION_TAKEN_OVER));
        }
        // 3. The session, and in the log what changes.
        let Some(peer) = self.connections.peer_of(key) else { return };
        let connection_id: Box<str> = uuid::Uuid::now_v7().simple().to_string().into();
        let may = |filter: &str| access.may_subscribe(&identity, filter).is_ok();
        let opened = self.clients.open(key, &request, &account, (&connection_id, &peer.to_string()), &may, self.now);
        let opened = match opened {
            Ok(opened) => opened,
            Err(reason) => return self.refuse(key, reason),
        };
        // 4. The CONNACK, at once or when the log is durable.
        let validity = match &credential {
            Credential::Jwt { .. } | Credential::Certificate { .. } => self.validity_for_good(valid_until_ms),
            _ => self.validity_until(valid_until_ms),
        };
        let connected = Connected {
            client: opened.client,
            client_id,
            identity,
            credential,
            validity,
            connection_id,
            since: self.now.instant,
            sent_disconnect: false,
            publishes: TokenBucket::default(),
            known_topic: None,
            tokens: TokenWatch::default(),
        };
        let (session_present, session_expiry_s) = (opened.session_present, opened.session_expiry_s);
        self.connections.await_connack(key, AwaitingConnack { connected, session_present, session_expiry_s });
        match opened.waits_for {
            Some(end) => self.durability.wait(end, AfterDurable::Accept(key)),
            None => self.accept(key),
        }
    }

    /// What clients with tokens have under a client id ends for good. What the log does not take of it is owed to it.
    fn end_session_of_tokens(&mut self, client_id: &ClientKey) {
        if let Some(connection) = self.clients.detach(client_id) {
            self.shared.counts.taken_over.one();
            self.close(connection, Some(ReasonCode::SESSION_TAKEN_OVER));
        }
        self.clients.end(client_id);
    }

    /// What is wrong with a JWT or a certificate is said to its holder, who cannot see it; of secrets it is not said which is wrong.
    fn refuse_login(&mut self, key: ConnectionKey, error: LoginError) {
        let words = matches!(error, LoginError::Jwt(_) | LoginError::Certificate(_)).then(|| error.to_string());
        tracing::debug!(%error, "a login is refused");
        self.connections.refuse(key, reason::of_login(error), words.as_deref());
        self.close(key, None);
    }

    fn refuse(&mut self, key: ConnectionKey, reason: ReasonCode) {
        self.connections.refuse(key, reason, None);
        self.close(key, None);
    }

    /// The CONNACK leaves, and then what waits.
    pub(super) fn accept(&mut self, key: ConnectionKey) {
        let Some(accepted) = self.connections.accept(key, self.now.instant) else { return };
        let Accepted { client, client_id, connection_id, peer, receive_maximum, fits } = accepted;
        self.shared.events.send(EventKind::Connect, &client_id, &connection_id, self.now.ms, &peer.to_string());
        if !fits {
            return self.close(key, None);
        }
        self.clients.connected(client, key, receive_maximum);
        self.connections.watch_tokens(key, None);
        self.actions.push_back(Action::Deliver { client, just_stored: None });
    }

    /// Ends a connection. `reason` is said to a 5.0 client; `None`: all is said, or there is nobody to say it to.
    pub(super) fn close(&mut self, key: ConnectionKey, reason: Option<ReasonCode>) {
        let left = self.connections.close(key, reason.map(|reason| (reason, None)), self.now.instant);
        self.left(key, left, None);
    }

    /// The same with words for the person behind a 5.0 client.
    pub(super) fn close_with_words(&mut self, key: ConnectionKey, reason: ReasonCode, words: &str) {
        let left = self.connections.close(key, Some((reason, Some(words))), self.now.instant);
        self.left(key, left, None);
    }

    /// The same where the right was taken away that its client had come by.
    pub(super) fn close_revoked(&mut self, key: ConnectionKey, reason: ReasonCode, words: &str) {
        let left = self.connections.close(key, Some((reason, Some(words))), self.now.instant);
        self.left(key, left, Some(Cause::Revoked));
    }

    /// The end of a connection is told before the session that ends with it is forgotten.
    fn left(&mut self, key: ConnectionKey, left: Option<Left>, cause: Option<Cause>) {
        let Some(Left { client, client_id, connection_id, sent_disconnect, peer }) = left else { return };
        let (events, peer, at_ms) = (&self.shared.events, peer.to_string(), self.now.ms);
        if sent_disconnect {
            events.send(EventKind::Disconnect, &client_id, &connection_id, at_ms, &peer);
        }
        events.send_end(cause, &client_id, &connection_id, at_ms, &peer);
        self.note_end(client, &client_id, &connection_id, peer);
        self.durability.defer(Deferred::Closed { client: client_id, connection_id, at_ms });
        self.clients.leave(client, key, at_ms);
    }

    /// The log has to know the connection until its end is told.
    fn note_end(&mut self, client: ClientRef, client_id: &ClientKey, connection_id: &str, address: String) {
        // A connection was logged for its client, so the segment of the one is never younger than the other's.
        let oldest_segment = self.clients.oldest_segment_of(client).map_or(0, u64::from);
        let (client, address, closed_ms) = (client_id.clone(), address.into(), self.now.ms);
        let ended = EndedConnection { client, address, closed_ms, oldest_segment };
        if !self.ended.add(connection_id.into(), ended) {
            self.shared.counts.ends_forgotten.one();
        }
    }
}
