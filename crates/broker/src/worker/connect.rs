//! From a CONNECT to a session, and from the end of a connection to the end of a session.

use commitlog::{AppendError, Appended, Need, Position};
use mqtt::server::Accept;
use mqtt::{ReasonCode, Version};

use super::Worker;
use super::durable::AfterDurable;
use super::link::{ConnectWish, Live, Opening, Stage};
use super::post::{LinkKey, Notice};
use super::seat::{NEVER_S, Seat, SessionInfo, ends_at};
use crate::access::Identity;
use crate::bridge::events::EventKind;
use crate::client::ClientKey;
use crate::login::{self, Asker, LoginStep, LookupError};
use crate::network::Network;
use crate::pace::Pace;
use crate::store::journal::Batch;
use crate::store::record::SessionRecord;

/// What a CONNECT changes in the log.
struct Change {
    batch: Batch,
    need: Need,
    /// It makes, changes or discards a persistent session, or an earlier CONNECT did and the disk does not have it yet:
    /// the CONNACK waits.
    waits: bool,
    session_present: bool,
}

impl Worker {
    /// First step of the login; a miss parks the connection.
    pub(super) fn begin_login(&mut self, key: LinkKey, wish: Box<ConnectWish>) {
        let (client_id, username) = (wish.client.as_str(), wish.username.as_deref());
        let step = login::begin(&self.shared.access.load(), client_id, username, wish.password.as_deref());
        match step {
            LoginStep::Decided(Ok(identity)) => self.open(key, &wish, identity),
            LoginStep::Decided(Err(error)) => self.refuse(key, error.reason()),
            LoginStep::NeedsDevice(pending) => {
                let device = pending.client_id().to_owned();
                if let Some(link) = self.link(key) {
                    link.stage = Stage::LoggingIn(Box::new((*wish, pending)));
                    self.look_up_login(key, &device);
                }
            }
        }
    }

    fn look_up_login(&mut self, key: LinkKey, device: &str) {
        let Some(address) = self.shared.workers.get(self.me).cloned() else { return };
        let Some(asker) = self.link(key).map(|link| Asker::Login(Network::of(link.peer.ip()))) else { return };
        let done = move |found| address.notify(Notice::Device { link: key, found });
        self.shared.devices.lookup(asker, device, Box::new(done));
    }

    /// Second step of the login.
    pub(super) fn finish_login(&mut self, key: LinkKey, found: Result<Option<catalog::Device>, LookupError>) {
        let now_ms = self.now_ms;
        let found = found.map(|device| device.filter(|device| !self.is_removed(device)));
        let Some(link) = self.link(key) else { return };
        if !matches!(link.stage, Stage::LoggingIn(..)) {
            return;
        }
        let Stage::LoggingIn(parked) = std::mem::replace(&mut link.stage, Stage::Connecting) else { return };
        let (wish, pending) = *parked;
        let result = found.map_err(login::LoginError::from).and_then(|device| pending.finish(device.as_ref(), now_ms));
        match result {
            Ok(identity) => self.open(key, &wish, identity),
            Err(error) => self.refuse(key, error.reason()),
        }
    }

    fn refuse(&mut self, key: LinkKey, reason: ReasonCode) {
        self.shared.counts.refused_connects.one();
        if let Some(link) = self.link(key) {
            link.mqtt.refuse(reason, None, &mut link.out);
        }
        self.end_link(key, None);
    }

    /// Gives the client its session, once nothing of an older connection can act any more.
    fn open(&mut self, key: LinkKey, wish: &ConnectWish, identity: Identity) {
        let client = &wish.client;
        let account = identity.account().into_boxed_str();
        if !self.owns(client, &account) {
            return self.refuse(key, ReasonCode::NOT_AUTHORIZED);
        }
        self.take_over(client);
        let info = SessionInfo { account, expiry_s: self.expiry_of(wish) };
        let channel_id: Box<str> = uuid::Uuid::now_v7().simple().to_string().into();
        let Some(peer) = self.link(key).map(|link| link.peer.to_string()) else { return };
        let mut change = self.plan_session(wish, &info);
        change.batch.opened(client.as_str(), &channel_id, self.now_ms, &peer);
        let end = match self.append_change(&change) {
            Ok(appended) => appended.end,
            Err(error) => return self.refuse_for_log(key, &error),
        };
        self.seat_client(key, wish, info);
        let live = Live { client: client.clone(), identity, channel_id, said_goodbye: false, pace: Pace::default() };
        let (session_present, session_expiry_s) = (change.session_present, self.expiry_to_tell(wish));
        if let Some(link) = self.link(key) {
            link.stage = Stage::Opening(Box::new(Opening { live, session_present, session_expiry_s }));
        }
        if change.waits { self.accept_when_durable(key, client, end) } else { self.accept(key) }
    }

    fn append_change(&self, change: &Change) -> Result<Appended, AppendError> {
        match change.need {
            Need::Normal => self.shared.journal.append_small(&change.batch),
            Need::Essential => self.shared.journal.append(&change.batch, Need::Essential),
        }
    }

    fn accept_when_durable(&mut self, key: LinkKey, client: &ClientKey, end: Position) {
        if let Some(seat) = self.seats.get_mut(client) {
            seat.settled_at = end;
        }
        self.when_durable(end, AfterDurable::Accept(key));
    }

    fn refuse_for_log(&mut self, key: LinkKey, error: &AppendError) {
        self.shared.counts.refused_by_log.one();
        let reason = match error {
            AppendError::Full => ReasonCode::QUOTA_EXCEEDED,
            AppendError::Busy => ReasonCode::SERVER_BUSY,
            _ => ReasonCode::SERVER_UNAVAILABLE,
        };
        self.refuse(key, reason);
    }

    fn owns(&self, client: &ClientKey, account: &str) -> bool {
        self.holder_of(client).is_none_or(|holder| holder == account)
    }

    /// The account that has a session under this client id.
    pub(super) fn holder_of(&self, client: &ClientKey) -> Option<&str> {
        let session = self.seats.get(client)?.session.as_ref()?;
        Some(&session.account)
    }

    fn take_over(&mut self, client: &ClientKey) {
        let Some(old) = self.seats.get(client).and_then(|seat| seat.link) else { return };
        self.shared.counts.taken_over.one();
        self.end_link(old, Some(ReasonCode::SESSION_TAKEN_OVER));
    }

    /// The session expiry in force, in seconds.
    fn expiry_of(&self, wish: &ConnectWish) -> u32 {
        match (wish.version, wish.clean_start) {
            (Version::V311, true) => 0,
            (Version::V311, false) => seconds(self.shared.limits.session_expiry_v311),
            (Version::V5, _) => self.capped_expiry(wish.session_expiry_s.unwrap_or(0)),
        }
    }

    pub(super) fn capped_expiry(&self, asked_s: u32) -> u32 {
        asked_s.min(seconds(self.shared.limits.session_expiry_max))
    }

    /// 5.0 section 3.2.2.3.2: only if it is not what was asked for.
    fn expiry_to_tell(&self, wish: &ConnectWish) -> Option<u32> {
        let in_force = self.expiry_of(wish);
        (wish.version == Version::V5 && in_force != wish.session_expiry_s.unwrap_or(0)).then_some(in_force)
    }

    fn plan_session(&self, wish: &ConnectWish, info: &SessionInfo) -> Change {
        let client_id = wish.client.as_str();
        let mut batch = Batch::default();
        let seat = self.seats.get(&wish.client);
        let kept = seat.filter(|_| !wish.clean_start);
        let discards = wish.clean_start && seat.is_some_and(|seat| seat.is_logged);
        if discards {
            batch.session_gone(client_id);
        }
        let known = kept.and_then(|seat| seat.session.as_ref());
        let was_persistent = known.is_some_and(|session| session.expiry_s > 0);
        let changes = known != Some(info) && (info.expiry_s > 0 || was_persistent);
        if changes {
            batch.session(SessionRecord { client_id, account: &info.account, expiry_s: info.expiry_s });
        }
        let need = if changes { Need::Normal } else { Need::Essential };
        let is_settled = kept.is_none_or(|seat| seat.settled_at <= self.shared.journal.durable());
        Change { batch, need, waits: discards || changes || !is_settled, session_present: known.is_some() }
    }

    fn seat_client(&mut self, key: LinkKey, wish: &ConnectWish, info: SessionInfo) {
        let client = &wish.client;
        if wish.clean_start {
            self.drop_seat(client);
        }
        let limits = &self.shared.inbox_limits;
        let seat = self.seats.entry(client.clone()).or_insert_with(|| Seat::new(limits));
        if let Some(ends_at_ms) = seat.ends_at_ms.take() {
            self.endings.remove(&(ends_at_ms, client.clone()));
        }
        if seat.session.is_none() {
            self.shared.counts.sessions.one();
        }
        seat.is_logged |= info.expiry_s > 0;
        seat.session = Some(info);
        seat.link = Some(key);
    }

    /// The CONNACK leaves, and then what waits.
    pub(super) fn accept(&mut self, key: LinkKey) {
        let now = self.now;
        let Some(link) = self.link(key) else { return };
        if !matches!(link.stage, Stage::Opening(_)) {
            return;
        }
        let Stage::Opening(opening) = std::mem::replace(&mut link.stage, Stage::Connecting) else { return };
        let Opening { live, session_present, session_expiry_s } = *opening;
        let accept = Accept { session_present, assigned_client_id: None, session_expiry_interval: session_expiry_s };
        let accepted = link.mqtt.accept(&accept, now, &mut link.out);
        let receive_maximum = link.mqtt.client_receive_maximum();
        let (client, peer) = (live.client.clone(), link.peer);
        // The CONNACK leaves at the end of the turn.
        self.shared.events.send(EventKind::Connect, &client, &live.channel_id, self.now_ms, &peer.to_string());
        let Some(link) = self.link(key) else { return };
        link.stage = Stage::Live(Box::new(live));
        link.again = true;
        if accepted.is_err() {
            return self.end_link(key, None);
        }
        if let Some(seat) = self.seats.get_mut(&client) {
            seat.inbox.session.connected(receive_maximum);
        }
        self.arm(key);
        self.mark_dirty(key);
        self.mark_ready(key);
        self.deliver(&client);
    }

    /// A connection has ended: what it had of its client.
    pub(super) fn leave(&mut self, key: LinkKey, stage: Stage) {
        let live = match stage {
            Stage::Live(live) => *live,
            Stage::Opening(opening) => opening.live,
            _ => return,
        };
        self.tell_end(key, &live);
        let now_ms = self.now_ms;
        let Some(seat) = self.seats.get_mut(&live.client).filter(|seat| seat.link == Some(key)) else { return };
        seat.link = None;
        seat.inbox.session.disconnected();
        seat.inbox.session.shrink();
        let expiry_s = seat.session.as_ref().map_or(0, |session| session.expiry_s);
        if expiry_s == 0 {
            return self.end_session(&live.client);
        }
        seat.ends_at_ms = ends_at(expiry_s, now_ms);
        if let Some(ends_at_ms) = seat.ends_at_ms {
            self.endings.insert((ends_at_ms, live.client));
        }
    }

    fn tell_end(&mut self, key: LinkKey, live: &Live) {
        let Some(peer) = self.link(key).map(|link| link.peer.to_string()) else { return };
        self.lazy.closed(live.client.clone(), live.channel_id.clone(), self.now_ms);
        let events = &self.shared.events;
        if live.said_goodbye {
            events.send(EventKind::Disconnect, &live.client, &live.channel_id, self.now_ms, &peer);
        }
        events.send(EventKind::TcpClean, &live.client, &live.channel_id, self.now_ms, &peer);
    }

    /// The session is over, and with it all that waits.
    pub(super) fn end_session(&mut self, client: &ClientKey) {
        if self.drop_seat(client) {
            let mut batch = Batch::default();
            batch.session_gone(client.as_str());
            self.append_essential(&batch);
        }
    }

    /// Forgets a client in memory; `true`: the log still has something of it.
    pub(super) fn drop_seat(&mut self, client: &ClientKey) -> bool {
        let Some(seat) = self.seats.remove(client) else { return false };
        if let Some(ends_at_ms) = seat.ends_at_ms {
            self.endings.remove(&(ends_at_ms, client.clone()));
        }
        for subscription in seat.inbox.session.subscriptions() {
            self.drop_subscription(client, subscription.filter.as_filter());
        }
        let counts = &self.shared.counts;
        counts.inbox_messages.less(seat.inbox.len() as u64);
        counts.inbox_bytes.less(seat.inbox.bytes());
        if seat.session.is_some() {
            counts.sessions.less(1);
        }
        seat.is_logged
    }
}

fn seconds(duration: std::time::Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(NEVER_S)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_id_belongs_to_the_account_and_not_to_a_key() {
        let service = |key_id: &str| Identity::Service { key_id: key_id.to_owned(), instance: "convoke".to_owned() };
        assert_eq!(service("a").account(), service("b").account());
        let device = Identity::Device {
            client_id: "GID_dev@@@a".to_owned(),
            user: "alice".to_owned(),
            group: "GID_dev".to_owned(),
        };
        assert_eq!(device.account(), "user:alice");
    }
}
