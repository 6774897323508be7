//! One connection as its worker keeps it: transport, MQTT connection half, and how far it has come.
//!
//! ```text
//!   AwaitingConnect ──CONNECT──► (moves to its owner) LoggingIn ──► AwaitingConnack ──durable──► Connected ──► Closing ──► gone
//! ```

use super::lines::Line;
use super::token_deadlines::TokenWatch;
use std::net::SocketAddr;
use std::time::Instant;

use accounts::access::Identity;
use accounts::login::{Credential, PendingLogin};
use limiter::TokenBucket;
use mqtt::server::Connection;

use crate::client::ClientKey;
use crate::connection_limiter::ConnectionPermit;
use crate::memory::Charge;
use crate::transport::{Readiness, Transport};
use crate::worker::action::ClientRef;
use crate::worker::connect_request::ConnectRequest;
use crate::worker::known_topic::KnownTopic;
use crate::worker::post::ConnectionKey;

pub(super) struct ClientConnection {
    pub(super) key: ConnectionKey,
    pub(super) transport: Transport,
    pub(super) mqtt: Connection,
    /// MQTT bytes that wait for the transport.
    pub(super) out: Vec<u8>,
    pub(super) stage: Stage,
    pub(super) peer: SocketAddr,
    pub(super) permit: ConnectionPermit,
    /// Of its buffers, as they were at the end of the last turn.
    pub(super) charge: Charge,
    pub(super) read_state: ReadState,
    /// Spent beyond its share of a turn, and to be paid by the next ones.
    pub(super) owed_packets: u32,
    /// Bytes that were read before are to be looked at again.
    pub(super) has_unprocessed: bool,
    pub(super) is_dirty: bool,
    /// Where it waits for its turn.
    pub(super) line: Option<Line>,
    /// A mailbox that it publishes to is full, or too much waits for the log.
    pub(super) is_paused: bool,
    /// It has published too fast; its bucket says how long it is not read.
    pub(super) is_slowed: bool,
    /// Its last message waits until the queue takes it.
    pub(super) waits_for_queue: bool,
    /// The log had no room for a PUBLISH of this 3.1.1 client: it is answered none any more, and is closed when there is room.
    pub(super) awaits_room: bool,
    /// Since its timer was last looked at.
    pub(super) was_unread: bool,
}

/// What a read of the socket may bring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ReadState {
    Empty,
    MayHoldBytes,
    /// The peer's end is behind what it still holds, and no further event tells of it.
    HoldsEnd,
}

pub(super) enum Stage {
    AwaitingConnect,
    /// The CONNECT has come; the worker that owns the client id goes on with it.
    ConnectRead(Box<ConnectRequest>),
    /// Waits for the directory of devices.
    LoggingIn(Box<(ConnectRequest, PendingLogin)>),
    /// The session is made; the CONNACK waits for the log.
    AwaitingConnack(Box<AwaitingConnack>),
    Connected(Box<Connected>),
    /// Nothing of it can act any more; what is in `out` goes out first.
    Closing(Box<Closing>),
}

pub(super) struct Closing {
    /// All is said, and FIN is sent.
    pub(super) is_finished: bool,
    pub(super) give_up: Instant,
}

/// A client that was let in and whose CONNACK has not left.
pub(in crate::worker) struct AwaitingConnack {
    pub(in crate::worker) connected: Connected,
    pub(in crate::worker) session_present: bool,
    /// In seconds; to be told, because it is not what was asked for.
    pub(in crate::worker) session_expiry_s: Option<u32>,
}

pub(in crate::worker) struct Connected {
    pub(in crate::worker) client: ClientRef,
    pub(in crate::worker) client_id: ClientKey,
    pub(in crate::worker) identity: Identity,
    /// What it was let in by.
    pub(in crate::worker) credential: Credential,
    pub(in crate::worker) validity: Validity,
    /// Unique per connection.
    pub(in crate::worker) connection_id: Box<str>,
    pub(in crate::worker) since: Instant,
    /// The client sent DISCONNECT.
    pub(in crate::worker) sent_disconnect: bool,
    pub(in crate::worker) publishes: TokenBucket,
    /// What it published to last.
    pub(in crate::worker) known_topic: Option<Box<KnownTopic>>,
    pub(in crate::worker) tokens: TokenWatch,
}

/// Until when a connection may stand. What prolongs its credential sets another one.
#[derive(Clone, Copy, Debug, Default)]
pub(in crate::worker) struct Validity {
    /// By the service's clock; `None`: until its right is taken away.
    pub(in crate::worker) until_ms: Option<u64>,
    /// It ends then at the latest, however the clock is set: nothing prolongs what it was let in by.
    pub(in crate::worker) ends_by: Option<Instant>,
    /// When it is looked at next, which is not later than it ends.
    pub(in crate::worker) look_at: Option<Instant>,
}

/// A connection between two workers, with everything that was read.
pub(crate) struct Moving {
    pub(super) transport: Transport,
    pub(super) mqtt: Connection,
    pub(super) out: Vec<u8>,
    pub(super) request: Box<ConnectRequest>,
    pub(super) peer: SocketAddr,
    pub(super) permit: ConnectionPermit,
    pub(super) charge: Charge,
}

impl Moving {
    /// What was read and not processed, and what is to be written.
    pub(in crate::worker) fn held_bytes(&self) -> usize {
        size_of::<Self>() + self.mqtt.held_len() + self.out.len()
    }
}

impl ClientConnection {
    pub(super) fn new(
        key: ConnectionKey,
        transport: Transport,
        mqtt: Connection,
        peer: SocketAddr,
        permit: ConnectionPermit,
        charge: Charge,
    ) -> Self {
        Self {
            key,
            transport,
            mqtt,
            out: Vec::new(),
            stage: Stage::AwaitingConnect,
            peer,
            permit,
            charge,
            read_state: ReadState::MayHoldBytes,
            owed_packets: 0,
            has_unprocessed: false,
            is_dirty: false,
            line: None,
            is_paused: false,
            is_slowed: false,
            waits_for_queue: false,
            awaits_room: false,
            was_unread: false,
        }
    }

    /// Counts what its buffers hold now, and its tokens, which are larger than all else that an idle one has.
    pub(super) fn charge_buffers(&mut self) {
        let tokens = match self.let_in().map(|let_in| &let_in.identity) {
            Some(Identity::Tokens(holder)) => holder.bytes(),
            _ => 0,
        };
        self.charge.set(self.mqtt.held_len() + self.out.len() + self.transport.held_bytes() + tokens);
    }

    /// After a read.
    pub(super) fn note_read(&mut self, state: Readiness) {
        if state != Readiness::More && self.read_state == ReadState::MayHoldBytes {
            self.read_state = ReadState::Empty;
        }
    }

    /// What it sends is left where it is, so that its silence says nothing.
    pub(super) fn is_unread(&self) -> bool {
        self.is_paused || self.is_slowed || self.waits_for_queue
    }

    pub(super) fn connected(&self) -> Option<&Connected> {
        match &self.stage {
            Stage::Connected(connected) => Some(connected),
            _ => None,
        }
    }

    /// The same, also if its CONNACK has not left.
    pub(super) fn let_in(&self) -> Option<&Connected> {
        match &self.stage {
            Stage::Connected(connected) => Some(connected),
            Stage::AwaitingConnack(awaiting) => Some(&awaiting.connected),
            _ => None,
        }
    }

    pub(super) fn let_in_mut(&mut self) -> Option<&mut Connected> {
        match &mut self.stage {
            Stage::Connected(connected) => Some(connected),
            Stage::AwaitingConnack(awaiting) => Some(&mut awaiting.connected),
            _ => None,
        }
    }

    pub(super) fn connected_mut(&mut self) -> Option<&mut Connected> {
        match &mut self.stage {
            Stage::Connected(connected) => Some(connected),
            _ => None,
        }
    }

    /// When its validity is to be looked at.
    pub(super) fn look_at(&self) -> Option<Instant> {
        self.connected()?.validity.look_at
    }

    pub(super) fn is_finished(&self) -> bool {
        matches!(&self.stage, Stage::Closing(closing) if closing.is_finished)
    }

    pub(super) fn is_closing(&self) -> bool {
        matches!(self.stage, Stage::Closing(_))
    }
}
