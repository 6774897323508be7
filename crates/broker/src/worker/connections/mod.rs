//! The connections of one worker: table, I/O, timers, and logins under way.
//!
//! What it is: everything that ends with a connection. What it is not: it knows no session and no inbox; a connection that
//! is through its login has the [`ClientRef`](super::action::ClientRef) that its requests are for. It waits for nothing and
//! asks nobody: what its sockets have it is told by [`SocketEvent`]s, and a login that needs a device waits until
//! [`Connections::finish_login`] is called with it.

mod close;
mod connection;
mod lines;
mod login;
mod read;
#[cfg(test)]
mod tests;
mod timers;
mod token_deadlines;
mod view;
mod write;

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use accounts::access::Identity;
use accounts::login::Credential;
use mio::event::Event;
use mio::{Interest, Registry, Token};
use mqtt::server::{Connection, ConnectionConfig};
use slab::Slab;
use uuid::Uuid;

use super::connect_request::ConnectRequest;
use super::post::{Arrival, ConnectionKey};
use crate::client::ClientKey;
use crate::config::Limits;
use crate::memory::{Charge, Meter};
use crate::stats::Counts;
use crate::timers::Timers;
use crate::transport::Transport;
use connection::{ClientConnection, ReadState, Stage};
use lines::Lines;

pub(super) use close::Left;
pub(crate) use connection::Moving;
pub(super) use connection::{AwaitingConnack, Connected, Validity};
pub(super) use lines::Line;
pub(super) use login::{Accepted, LoggedIn};
pub(crate) use read::LOGIN_HELD_BYTES;
pub(super) use read::Read;
pub(super) use timers::TimedOut;
pub(super) use token_deadlines::{TokenNews, TokenWatch};
pub(super) use write::Flushed;

/// The token of the waker; slots of connections come after it.
pub(super) const WAKE: Token = Token(0);
const FIRST_SLOT: usize = WAKE.0 + 1;

#[cfg(test)]
pub(super) const CONNECTION_BYTES: usize =
    size_of::<ClientConnection>() + size_of::<Connected>() + 2 * size_of::<(Instant, ConnectionKey)>();

/// What the connections of a worker use of the rest of the broker.
pub(super) struct Context {
    pub(super) limits: Arc<Limits>,
    pub(super) connection_config: Arc<ConnectionConfig>,
    pub(super) counts: Arc<Counts>,
    pub(super) meter: Arc<Meter>,
}

/// What may be done with the socket of one connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketEvent {
    pub(super) slot: usize,
    pub(super) has_input: bool,
    /// The peer sends nothing more than what the socket holds.
    pub(super) has_end: bool,
    pub(super) takes_output: bool,
}

impl SocketEvent {
    /// `None`: it is the waker's.
    pub(super) fn of(event: &Event) -> Option<Self> {
        Some(Self {
            slot: event.token().0.checked_sub(FIRST_SLOT)?,
            has_input: event.is_readable() || event.is_error(),
            has_end: event.is_read_closed(),
            takes_output: event.is_writable(),
        })
    }
}

pub(super) struct Connections {
    context: Context,
    registry: Registry,
    /// Buckets of publishers count from here.
    start: Instant,
    table: Slab<ClientConnection>,
    generations: u32,
    timers: Timers<ConnectionKey>,
    /// Those that have something to do without a new event.
    lines: Lines,
    /// Those that have bytes to write at the end of the turn.
    dirty: Vec<ConnectionKey>,
    paused: Vec<ConnectionKey>,
    /// Those of 3.1.1 that are closed when the log has room.
    awaiting_room: Vec<ConnectionKey>,
    /// Credentials of devices that were removed a moment ago, and when.
    void_credentials: HashMap<Box<str>, Instant>,
    /// Client ids that were registered a moment ago, and when.
    registered: HashMap<ClientKey, Instant>,
    /// When there is something to say of the tokens of a connection.
    token_deadlines: BTreeSet<(u64, ConnectionKey)>,
}

impl Connections {
    pub(super) fn new(context: Context, registry: Registry, now: Instant) -> Self {
        Self {
            context,
            registry,
            start: now,
            table: Slab::new(),
            generations: 0,
            timers: Timers::new(),
            lines: Lines::default(),
            dirty: Vec::new(),
            paused: Vec::new(),
            awaiting_room: Vec::new(),
            void_credentials: HashMap::new(),
            registered: HashMap::new(),
            token_deadlines: BTreeSet::new(),
        }
    }

    /// Takes a connection that has just been made.
    pub(super) fn arrive(&mut self, arrival: Arrival, now: Instant) {
        let Arrival { socket, tls, websocket, peer, permit } = arrival;
        if socket.set_nonblocking(true).is_err() || socket.set_nodelay(true).is_err() {
            return;
        }
        let socket = mio::net::TcpStream::from_std(socket);
        let transport = match websocket {
            Some(read_ahead) => Transport::upgraded(socket, tls, read_ahead),
            None => Transport::new(socket, tls),
        };
        let mqtt = Connection::new(self.context.connection_config.clone(), now);
        let charge = Charge::new(&self.context.meter, 0);
        self.keep(|key| ClientConnection::new(key, transport, mqtt, peer, permit, charge), now);
    }

    /// Takes a connection from another worker, whose client is ours.
    pub(super) fn adopt(&mut self, moving: Moving, now: Instant) -> Option<(ConnectionKey, Box<ConnectRequest>)> {
        let Moving { transport, mqtt, out, request, peer, permit, charge } = moving;
        let key = self.keep(
            |key| {
                let connection = ClientConnection::new(key, transport, mqtt, peer, permit, charge);
                ClientConnection { out, has_unprocessed: true, ..connection }
            },
            now,
        )?;
        Some((key, request))
    }

    /// Registers the connection; what it holds already is processed before anything is waited for.
    fn keep(&mut self, create: impl FnOnce(ConnectionKey) -> ClientConnection, now: Instant) -> Option<ConnectionKey> {
        self.generations = self.generations.wrapping_add(1);
        let vacant = self.table.vacant_entry();
        let key = ConnectionKey { slot: u32::try_from(vacant.key()).ok()?, generation: self.generations };
        let mut connection = create(key);
        let (token, interest) = (Token(vacant.key() + FIRST_SLOT), Interest::READABLE | Interest::WRITABLE);
        if let Err(error) = self.registry.register(connection.transport.socket_mut(), token, interest) {
            tracing::debug!(%error, "a connection cannot be watched");
            return None;
        }
        vacant.insert(connection);
        self.arm(key, now);
        self.mark_ready(key);
        Some(key)
    }

    /// The client id of a CONNECT that has just been read.
    pub(super) fn connect_read(&self, key: ConnectionKey) -> Option<&ClientKey> {
        match &self.get(key)?.stage {
            Stage::ConnectRead(request) => Some(&request.client),
            _ => None,
        }
    }

    /// The CONNECT itself, for this worker to go on with.
    pub(super) fn take_connect(&mut self, key: ConnectionKey) -> Option<Box<ConnectRequest>> {
        let connection = self.get_mut(key)?;
        match std::mem::replace(&mut connection.stage, Stage::AwaitingConnect) {
            Stage::ConnectRead(request) => Some(request),
            stage => {
                connection.stage = stage;
                None
            }
        }
    }

    /// Lets go of a connection, for the worker that owns its client.
    pub(super) fn release(&mut self, key: ConnectionKey) -> Option<Moving> {
        self.get(key)?;
        let ClientConnection { mut transport, mqtt, out, stage, peer, permit, charge, .. } =
            self.table.remove(key.slot as usize);
        self.timers.forget(key);
        let Stage::ConnectRead(request) = stage else { return None };
        if let Err(error) = self.registry.deregister(transport.socket_mut()) {
            tracing::debug!(%error, "a connection cannot be handed over");
            return None;
        }
        Some(Moving { transport, mqtt, out, request, peer, permit, charge })
    }

    pub(super) fn take_event(&mut self, event: SocketEvent) {
        let Some(connection) = self.table.get_mut(event.slot) else { return };
        let key = connection.key;
        if event.has_end {
            connection.read_state = ReadState::HoldsEnd;
        } else if event.has_input {
            connection.read_state = connection.read_state.max(ReadState::MayHoldBytes);
        }
        let wants_write = !connection.out.is_empty() || connection.transport.has_pending() || connection.is_closing();
        if event.takes_output && wants_write {
            self.mark_dirty(key);
        }
        self.mark_ready(key);
    }

    /// A client that was let in, also if its CONNACK has not left.
    pub(super) fn let_in(&self, key: ConnectionKey) -> Option<&Connected> {
        self.get(key)?.let_in()
    }

    pub(super) fn connected(&self, key: ConnectionKey) -> Option<&Connected> {
        self.get(key)?.connected()
    }

    pub(super) fn connected_mut(&mut self, key: ConnectionKey) -> Option<&mut Connected> {
        self.get_mut(key)?.connected_mut()
    }

    /// Id and address of the connection of a client that was let in.
    pub(super) fn opened(&self, key: ConnectionKey) -> Option<(&str, SocketAddr)> {
        let connection = self.get(key)?;
        Some((&connection.let_in()?.connection_id, connection.peer))
    }

    pub(super) fn peer_of(&self, key: ConnectionKey) -> Option<SocketAddr> {
        Some(self.get(key)?.peer)
    }

    /// Those that were let in by this key, or by a token that it has applied for.
    pub(super) fn of_key(&self, wanted: &str) -> impl Iterator<Item = ConnectionKey> {
        self.of_identity(move |identity| match identity {
            Identity::Service { key_id, .. } => key_id == wanted,
            Identity::Tokens(holder) => holder.tokens().any(|token| token.applicant.key_id.as_deref() == Some(wanted)),
            Identity::Device { .. } => false,
        })
    }

    /// Whether it was let in by this credential of a device, or by tokens that were applied for while the device had it.
    pub(super) fn is_of_credential(&self, key: ConnectionKey, wanted: &str) -> bool {
        self.let_in(key).is_some_and(|let_in| match (&let_in.credential, &let_in.identity) {
            (Credential::Device { key_id }, _) => **key_id == *wanted,
            (_, Identity::Tokens(holder)) => holder.is_of_login(wanted),
            _ => false,
        })
    }

    /// Those that have this token, or were let in by this JWT or certificate.
    pub(super) fn of_token(&self, id: Uuid) -> impl Iterator<Item = ConnectionKey> {
        self.of_let_in(move |let_in| match (&let_in.identity, &let_in.credential) {
            (Identity::Tokens(holder), _) => holder.tokens().any(|token| token.id == id),
            (_, Credential::Jwt { id: one }) => *one == id,
            (_, Credential::Certificate { ids }) => ids.contains(&id),
            _ => false,
        })
    }

    /// Those that were let in by a certificate which is void, or one above it.
    pub(super) fn of_void_certificate(&self, is_void: impl Fn(&[Uuid]) -> bool) -> impl Iterator<Item = ConnectionKey> {
        self.of_let_in(move |let_in| matches!(&let_in.credential, Credential::Certificate { ids } if is_void(ids)))
    }

    /// Those whose client ids are of this group.
    pub(super) fn of_group(&self, group: &str) -> impl Iterator<Item = ConnectionKey> {
        let is_of_it = move |connection: &ClientConnection| {
            let rest = connection.let_in().and_then(|one| one.client_id.as_str().strip_prefix(group));
            rest.is_some_and(|rest| rest.starts_with("@@@"))
        };
        self.table.iter().filter(move |(_, connection)| is_of_it(connection)).map(|(_, connection)| connection.key)
    }

    fn of_identity(&self, is_wanted: impl Fn(&Identity) -> bool) -> impl Iterator<Item = ConnectionKey> {
        self.of_let_in(move |let_in| is_wanted(&let_in.identity))
    }

    fn of_let_in(&self, is_wanted: impl Fn(&Connected) -> bool) -> impl Iterator<Item = ConnectionKey> {
        let is_wanted = move |connection: &ClientConnection| connection.let_in().is_some_and(&is_wanted);
        self.table.iter().filter(move |(_, connection)| is_wanted(connection)).map(|(_, connection)| connection.key)
    }

    /// Of a client that was let in.
    pub(super) fn identity_of(&self, key: ConnectionKey) -> Option<&Identity> {
        Some(&self.get(key)?.let_in()?.identity)
    }

    /// The client has other rights from now on, also if its CONNACK has not left.
    pub(super) fn change_identity(&mut self, key: ConnectionKey, identity: Identity) {
        if let Some(connected) = self.get_mut(key).and_then(ClientConnection::let_in_mut) {
            connected.tokens.forget_told(&connected.identity, &identity);
            connected.identity = identity;
            connected.known_topic = None;
        }
    }

    pub(super) fn keys(&self) -> Vec<ConnectionKey> {
        self.table.iter().map(|(_, connection)| connection.key).collect()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// Each has said everything, and sent FIN.
    pub(super) fn are_finished(&self) -> bool {
        self.table.iter().all(|(_, connection)| connection.is_finished())
    }

    /// A publisher whose mailbox was full, or whose messages waited for the log, is read again.
    pub(super) fn resume_paused(&mut self) {
        for key in std::mem::take(&mut self.paused) {
            if let Some(connection) = self.get_mut(key) {
                connection.is_paused = false;
                self.read_later(key);
            }
        }
    }

    pub(super) fn has_awaiting_room(&self) -> bool {
        !self.awaiting_room.is_empty()
    }

    /// Those that are to be closed now that the log has room.
    pub(super) fn take_awaiting_room(&mut self) -> Vec<ConnectionKey> {
        std::mem::take(&mut self.awaiting_room)
    }

    pub(super) fn has_paused(&self) -> bool {
        !self.paused.is_empty()
    }

    fn get(&self, key: ConnectionKey) -> Option<&ClientConnection> {
        self.table.get(key.slot as usize).filter(|connection| connection.key == key)
    }

    fn get_mut(&mut self, key: ConnectionKey) -> Option<&mut ClientConnection> {
        self.table.get_mut(key.slot as usize).filter(|connection| connection.key == key)
    }

    /// There are bytes to write at the end of the turn.
    fn mark_dirty(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.get_mut(key)
            && !std::mem::replace(&mut connection.is_dirty, true)
        {
            self.dirty.push(key);
        }
    }
}
