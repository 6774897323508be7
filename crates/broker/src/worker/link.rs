//! One connection as its worker keeps it: transport, protocol, and how far it has come.
//!
//! ```text
//!   Connecting ──CONNECT──► (moves to the owner) LoggingIn ──► Opening ──durable──► Live ──► Closing ──► gone
//! ```

use std::net::SocketAddr;
use std::time::Instant;

use mqtt::Version;
use mqtt::codec::Connect;
use mqtt::server::Connection;

use crate::access::Identity;
use crate::client::ClientKey;
use crate::doorkeeper::ConnectionPermit;
use crate::login::PendingLogin;
use crate::pace::Pace;
use crate::transport::{Readiness, Transport};

pub(crate) struct Link {
    pub(crate) generation: u64,
    pub(crate) transport: Transport,
    pub(crate) mqtt: Connection,
    /// MQTT bytes that wait for the transport.
    pub(crate) out: Vec<u8>,
    pub(crate) stage: Stage,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: ConnectionPermit,
    pub(crate) socket: Socket,
    /// Bytes that were read before are to be looked at again.
    pub(crate) again: bool,
    pub(crate) is_dirty: bool,
    pub(crate) is_ready: bool,
    /// A mailbox that it publishes to is full.
    pub(crate) is_paused: bool,
    /// It has published too fast; its pace says how long it is not read.
    pub(crate) is_slowed: bool,
    /// Its last message waits until the queue takes it.
    pub(crate) waits_for_queue: bool,
    /// Since its timer was last looked at.
    pub(crate) was_unread: bool,
}

/// What a read of the socket may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Socket {
    Empty,
    MayHoldBytes,
    /// The peer's end is behind what it still holds, and no further event tells of it.
    HoldsEnd,
}

pub(crate) enum Stage {
    /// Waits for the CONNECT.
    Connecting,
    /// The CONNECT has come, the owner is another worker.
    Moving(Box<ConnectWish>),
    /// Waits for the directory of devices.
    LoggingIn(Box<(ConnectWish, PendingLogin)>),
    /// The session is made; the CONNACK waits for the log.
    Opening(Box<Opening>),
    Live(Box<Live>),
    /// Nothing of it can act any more; what is in `out` goes out first.
    Closing {
        is_finished: bool,
        give_up: Instant,
    },
}

/// What a CONNECT asks for, owned.
pub(crate) struct ConnectWish {
    pub(crate) client: ClientKey,
    pub(crate) username: Option<Box<str>>,
    pub(crate) password: Option<Box<[u8]>>,
    pub(crate) clean_start: bool,
    /// As asked for, in seconds; `None`: 5.0 did not say, or it is a 3.1.1 session that is to last.
    pub(crate) session_expiry_s: Option<u32>,
    pub(crate) version: Version,
}

impl ConnectWish {
    pub(crate) fn of(connect: &Connect<'_>) -> Self {
        Self {
            client: ClientKey::new(connect.client_id),
            username: connect.username.map(Box::from),
            password: connect.password.map(Box::from),
            clean_start: connect.clean_start,
            session_expiry_s: connect.properties.session_expiry_interval(),
            version: connect.version,
        }
    }
}

/// An accepted client whose CONNACK has not left.
pub(crate) struct Opening {
    pub(crate) live: Live,
    pub(crate) session_present: bool,
    /// To be told, because it is not what was asked for.
    pub(crate) session_expiry_s: Option<u32>,
}

pub(crate) struct Live {
    pub(crate) client: ClientKey,
    pub(crate) identity: Identity,
    /// Unique per connection.
    pub(crate) channel_id: Box<str>,
    /// The client sent DISCONNECT.
    pub(crate) said_goodbye: bool,
    pub(crate) pace: Pace,
}

/// A connection between two workers, with everything that was read.
pub(crate) struct Moving {
    pub(crate) transport: Transport,
    pub(crate) mqtt: Connection,
    pub(crate) out: Vec<u8>,
    pub(crate) wish: Box<ConnectWish>,
    pub(crate) peer: SocketAddr,
    pub(crate) permit: ConnectionPermit,
}

impl Link {
    pub(crate) fn new(
        generation: u64,
        transport: Transport,
        mqtt: Connection,
        peer: SocketAddr,
        permit: ConnectionPermit,
    ) -> Self {
        Self {
            generation,
            transport,
            mqtt,
            out: Vec::new(),
            stage: Stage::Connecting,
            peer,
            permit,
            socket: Socket::MayHoldBytes,
            again: false,
            is_dirty: false,
            is_ready: false,
            is_paused: false,
            is_slowed: false,
            waits_for_queue: false,
            was_unread: false,
        }
    }

    /// After a read.
    pub(crate) fn note_read(&mut self, state: Readiness) {
        if state != Readiness::More && self.socket == Socket::MayHoldBytes {
            self.socket = Socket::Empty;
        }
    }

    /// What it sends is left where it is, so that its silence says nothing.
    pub(crate) fn is_unread(&self) -> bool {
        self.is_paused || self.is_slowed || self.waits_for_queue
    }

    pub(crate) fn live(&self) -> Option<&Live> {
        match &self.stage {
            Stage::Live(live) => Some(live),
            _ => None,
        }
    }

    /// All is said, and FIN is sent.
    pub(crate) fn is_finished(&self) -> bool {
        matches!(self.stage, Stage::Closing { is_finished: true, .. })
    }

    pub(crate) fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing { .. })
    }
}
