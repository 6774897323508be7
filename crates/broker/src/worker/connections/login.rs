//! Logins under way, up to the CONNACK.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use accounts::Network;
use accounts::login::{Login, LoginError, LookupError, LookupSource, PendingLogin};
use mqtt::ReasonCode;
use mqtt::server::Accept;

use super::Connections;
use super::connection::{AwaitingConnack, Stage};
use crate::client::ClientKey;
use crate::worker::action::{ClientRef, Now};
use crate::worker::connect_request::ConnectRequest;
use crate::worker::post::ConnectionKey;

/// Longer than a login may take that looked for the device before it was removed or registered.
const CHANGES_REMEMBERED: Duration = Duration::from_secs(15);

/// How a login ended.
pub(in crate::worker) struct LoggedIn {
    pub(in crate::worker) request: Box<ConnectRequest>,
    pub(in crate::worker) result: Result<Login, LoginError>,
}

/// A client whose CONNACK is written.
pub(in crate::worker) struct Accepted {
    pub(in crate::worker) client: ClientRef,
    pub(in crate::worker) client_id: ClientKey,
    pub(in crate::worker) connection_id: Box<str>,
    pub(in crate::worker) peer: SocketAddr,
    pub(in crate::worker) receive_maximum: u16,
    /// The CONNACK is within the client's Maximum Packet Size; otherwise the connection is to be closed.
    pub(in crate::worker) fits: bool,
}

impl Connections {
    /// A login that waits for a device. Returns the source of the look-up; `None`: the connection has gone.
    pub(in crate::worker) fn await_device(
        &mut self,
        key: ConnectionKey,
        request: ConnectRequest,
        pending: PendingLogin,
    ) -> Option<LookupSource> {
        let connection = self.get_mut(key)?;
        connection.stage = Stage::LoggingIn(Box::new((request, pending)));
        Some(LookupSource::Login(Network::of(connection.peer.ip())))
    }

    /// Goes on with a login that waits for a device, with what the directory found.
    pub(in crate::worker) fn finish_login(
        &mut self,
        key: ConnectionKey,
        found: Result<Option<catalog::Device>, LookupError>,
        now: Now,
    ) -> Option<LoggedIn> {
        let is_old = match &found {
            Ok(Some(device)) => self.is_void(device),
            Ok(None) => self.is_registered(key),
            Err(_) => false,
        };
        let connection = self.get_mut(key)?;
        let (request, pending) = match std::mem::replace(&mut connection.stage, Stage::AwaitingConnect) {
            Stage::LoggingIn(parked) => *parked,
            stage => {
                connection.stage = stage;
                return None;
            }
        };
        let result = match found {
            // Whose the client id is now is not known.
            Ok(_) if is_old => Err(LoginError::Refused),
            Ok(device) => pending.finish(device.as_ref(), |at_ms| now.over().is_over(at_ms)),
            Err(error) => Err(error.into()),
        };
        Some(LoggedIn { request: Box::new(request), result })
    }

    /// Whether the device was removed or has another credential since the login began.
    fn is_void(&self, device: &catalog::Device) -> bool {
        self.void_credentials.contains_key(device.key_id.as_str())
    }

    /// Whether the client id of a login was registered since it began, or may have been.
    fn is_registered(&self, key: ConnectionKey) -> bool {
        match self.get(key).map(|connection| &connection.stage) {
            Some(Stage::LoggingIn(parked)) => self.registered.contains_key(&parked.0.client),
            _ => false,
        }
    }

    /// No login comes about any more that has found no device with this client id.
    pub(in crate::worker) fn note_registered(&mut self, client: ClientKey, now: Instant) {
        self.registered.insert(client, now);
    }

    /// The device is removed.
    pub(in crate::worker) fn forget_registered(&mut self, client: &ClientKey) {
        self.registered.remove(client);
    }

    /// No login with this credential comes about any more. `false`: that has been said before.
    pub(in crate::worker) fn void_credential(&mut self, key_id: Box<str>, now: Instant) -> bool {
        self.void_credentials.insert(key_id, now).is_none()
    }

    pub(in crate::worker) fn tick(&mut self, now: Instant) {
        let is_young = |since: Instant| now.duration_since(since) < CHANGES_REMEMBERED;
        self.void_credentials.retain(|_, since| is_young(*since));
        self.registered.retain(|_, since| is_young(*since));
        let table = &self.table;
        self.awaiting_room.retain(|key| {
            let connection = table.get(key.slot as usize).filter(|connection| connection.key == *key);
            connection.is_some_and(|connection| !connection.is_closing())
        });
    }

    /// Answers the CONNECT with a refusal, and with words for the person behind a 5.0 client; the caller closes the connection.
    pub(in crate::worker) fn refuse(&mut self, key: ConnectionKey, reason: ReasonCode, words: Option<&str>) {
        self.context.counts.refused_connects.one();
        if let Some(connection) = self.get_mut(key) {
            connection.mqtt.refuse(reason, words, &mut connection.out);
        }
    }

    /// The client is let in; its CONNACK waits for [`Self::accept`].
    pub(in crate::worker) fn await_connack(&mut self, key: ConnectionKey, awaiting: AwaitingConnack) {
        if let Some(connection) = self.get_mut(key) {
            connection.stage = Stage::AwaitingConnack(Box::new(awaiting));
        }
    }

    /// Writes the CONNACK, which leaves at the end of the turn.
    pub(in crate::worker) fn accept(&mut self, key: ConnectionKey, now: Instant) -> Option<Accepted> {
        let connection = self.get_mut(key)?;
        let awaiting = match std::mem::replace(&mut connection.stage, Stage::AwaitingConnect) {
            Stage::AwaitingConnack(awaiting) => *awaiting,
            stage => {
                connection.stage = stage;
                return None;
            }
        };
        let AwaitingConnack { connected, session_present, session_expiry_s } = awaiting;
        let accept = Accept { session_present, assigned_client_id: None, session_expiry_interval: session_expiry_s };
        let fits = connection.mqtt.accept(&accept, now, &mut connection.out).is_ok();
        let accepted = Accepted {
            client: connected.client,
            client_id: connected.client_id.clone(),
            connection_id: connected.connection_id.clone(),
            peer: connection.peer,
            receive_maximum: connection.mqtt.client_receive_maximum(),
            fits,
        };
        connection.stage = Stage::Connected(Box::new(connected));
        connection.has_unprocessed = true;
        self.arm(key, now);
        self.mark_dirty(key);
        self.mark_ready(key);
        Some(accepted)
    }
}
