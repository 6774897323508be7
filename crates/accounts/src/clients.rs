//! What the API sees and asks of client ids at the broker: connections, sessions, inboxes.
//!
//! What it is: the values, and the trait [`Clients`] by which the API is given them. What it is not: the broker, nor the
//! registrations of devices, which are the catalog's: a client id may have the one, the other, or both.

use serde::Serialize;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use utoipa::ToSchema;

/// Client ids that one question names, at most.
pub const CLIENTS_PER_QUESTION: usize = 100;

/// `None`: the broker has stopped, or cannot keep what was asked of it.
pub type Answer<T> = Pin<Box<dyn Future<Output = Option<T>> + Send>>;

/// One of the places that questions and orders have. Whoever carries one out holds it until that is done, whether or not
/// somebody still waits for the answer: so what is under way is bounded.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Held for its drop.
    _permit: Option<Arc<OwnedSemaphorePermit>>,
}

impl Turn {
    #[must_use]
    pub fn of(permit: OwnedSemaphorePermit) -> Self {
        Self { _permit: Some(Arc::new(permit)) }
    }

    /// Of one who asks so few things at once that nobody counts them.
    #[must_use]
    pub fn uncounted() -> Self {
        Self { _permit: None }
    }
}

/// How much of a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Depth {
    /// All but its subscriptions, which may be many.
    Presence,
    All,
}

/// The broker, as the API asks it. Each question goes to the workers that own the client ids, and is answered from memory.
pub trait Clients: Send + Sync {
    /// The states of these, in their order.
    fn states(&self, client_ids: Vec<String>, depth: Depth, turn: Turn) -> Answer<Vec<ClientState>>;
    /// How many connections were let in by an access key, or by tokens that it has applied for.
    fn connections_of_key(&self, key_id: &str, turn: Turn) -> Answer<u64>;
    /// Ends the connection; the session stays. `false`: there was none.
    fn kick(&self, client_id: &str, why: &'static str, turn: Turn) -> Answer<bool>;
    /// Drops what waits. Answers when it stays dropped, whatever happens. A log that is full cannot keep that: nothing is
    /// dropped then.
    fn purge(&self, client_id: &str, turn: Turn) -> Answer<Purged>;
}

/// What the broker has under a client id. Nothing at all: it is away and unknown.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClientState {
    pub connection: Option<ConnectionState>,
    pub session: Option<SessionState>,
    pub inbox: InboxState,
}

/// The connection of a client that was let in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConnectionState {
    pub since_ms: u64,
    /// Of the peer, with its port.
    #[schema(example = "192.0.2.7:50312")]
    pub address: String,
    pub protocol: Protocol,
    /// Whether it is encrypted by this server.
    pub tls: bool,
    pub websocket: bool,
    /// In force, in seconds; 0: none.
    pub keep_alive_s: u16,
    /// When its last packet came.
    pub last_packet_ms: u64,
}

/// The version of MQTT.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub enum Protocol {
    #[serde(rename = "3.1.1")]
    V311,
    #[serde(rename = "5.0")]
    V5,
}

/// What outlives a connection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SessionState {
    /// Whose client id it is: `user:<user>`, or `service:<instance>`.
    #[schema(example = "user:ann")]
    pub account: String,
    /// How long it outlives its connection, in seconds; 0: not at all. Left out: for ever.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiry_s: Option<u32>,
    /// When its last connection ended. Left out: it is connected, or that is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub disconnected_ms: Option<u64>,
    /// When it ends unless it is connected again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ends_at_ms: Option<u64>,
    /// Topic filters.
    pub subscriptions: Vec<String>,
}

/// What waits for a client.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct InboxState {
    pub messages: u64,
    pub bytes: u64,
    /// Of these, sent and not acknowledged yet.
    pub in_flight: u64,
}

/// What was dropped of an inbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Purged {
    /// Messages that were dropped.
    pub purged: u64,
    /// Messages that the connected device has been sent already, and is to acknowledge.
    pub in_flight: u64,
}
