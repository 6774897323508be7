//! The connection half: framing, keep alive, flow limits, what the two versions do differently.
//!
//! ```text
//!   new ─► AwaitConnect ──CONNECT──► Connecting ──accept──► Open ──DISCONNECT, fault, disconnect()──► Closed
//!               │ anything else, deadline │ refuse, deadline                                             ▲
//!               └─────────────────────────┴──────────────────────────────────────────────────────────────┘
//! ```
//!
//! Contract: every turn is `begin`, `next` until it gives nothing, `end`. While [`Connection::wants_input`] is
//! false the caller reads nothing from the transport, so that what is held stays bounded by one read; it takes
//! another turn, with no bytes, once that has changed. All answers are appended to `out`. After a [`Close`] the
//! caller sends what is in `out` and closes the transport.
//!
//! An idle connection holds no buffer: bytes are kept only of packets that are incomplete or wait.

mod answer;
mod receive;

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::input::Held;
use super::{Close, ConnectionConfig, Input, Request};
use crate::acks::AckQueue;
use crate::{ReasonCode, Version};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    AwaitConnect,
    Connecting,
    Open,
    Closed,
}

/// Whether a packet was written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sent {
    Written,
    /// It does not fit the client's Maximum Packet Size: nothing was written, and it counts as delivered
    /// [MQTT5-3.1.2-25].
    TooLarge,
    /// The connection is not open; nothing was written.
    NotOpen,
}

/// What a connection has ignored or dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Acknowledgements for an exchange that does not exist.
    pub unknown_acks: u32,
    /// PUBLISHes that repeat one which is still unanswered.
    pub repeated_publishes: u32,
    /// Packets that did not fit the client's Maximum Packet Size.
    pub too_large: u32,
}

/// What the CONNACK says.
#[derive(Clone, Copy, Debug, Default)]
pub struct Accept<'a> {
    /// State was kept and will be used [MQTT5-3.2.2-2] [MQTT5-3.2.2-3] [MQTT311-3.2.2-1] [MQTT311-3.2.2-2].
    pub session_present: bool,
    /// The id that was made for a client which sent none [MQTT5-3.2.2-16].
    pub assigned_client_id: Option<&'a str>,
    /// In seconds; only if the server uses another than the client asked for.
    pub session_expiry_interval: Option<u32>,
}

/// One connection of a client.
#[derive(Debug)]
pub struct Connection {
    config: Arc<ConnectionConfig>,
    held: Held,
    acks: AckQueue,
    /// The start of the connection until it is open, then the time of the last complete packet.
    since: Instant,
    counters: Counters,
    client_packet_size_max: u32,
    client_receive_maximum: u16,
    /// In force, in seconds; 0 is none.
    keep_alive_s: u16,
    asked_keep_alive_s: u16,
    subscribes_pending: u16,
    state: State,
    version: Version,
    wants_problem_information: bool,
    expires_at_end: bool,
    /// What is held is the start of one packet, of no use without more bytes.
    is_starved: bool,
    /// We held packets back, so silence was ours; the keep alive starts anew.
    was_blocked: bool,
}

impl Connection {
    /// A transport that has just been opened.
    pub fn new(config: Arc<ConnectionConfig>, now: Instant) -> Self {
        Self {
            config,
            held: Held::default(),
            acks: AckQueue::default(),
            since: now,
            counters: Counters::default(),
            client_packet_size_max: u32::MAX,
            client_receive_maximum: u16::MAX,
            keep_alive_s: 0,
            asked_keep_alive_s: 0,
            subscribes_pending: 0,
            state: State::AwaitConnect,
            version: Version::V311,
            wants_problem_information: true,
            expires_at_end: false,
            is_starved: false,
            was_blocked: false,
        }
    }

    /// The client's version; of meaning once the CONNECT was read.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// How many PUBLISHes above QoS 0 the client takes unacknowledged; 65,535 if it did not say.
    pub const fn client_receive_maximum(&self) -> u16 {
        self.client_receive_maximum
    }

    pub const fn counters(&self) -> Counters {
        self.counters
    }

    /// The keep alive in force, in seconds; 0: there is none.
    pub const fn keep_alive_s(&self) -> u16 {
        self.keep_alive_s
    }

    /// When the last complete packet came; of meaning while it is open.
    pub const fn last_packet_at(&self) -> Instant {
        self.since
    }

    /// The CONNECT was accepted and the connection has not ended.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// Whether another turn could yield something. While false, leave the transport unread.
    pub fn wants_input(&self) -> bool {
        match self.state {
            State::AwaitConnect => true,
            State::Open => !self.is_blocked(),
            State::Connecting | State::Closed => false,
        }
    }

    /// Whether a turn without new bytes could yield something: packets were held back, or the last turn ended
    /// before they were read, and nothing hinders them now.
    pub fn has_held_input(&self) -> bool {
        !self.held.is_empty() && !self.is_starved && self.wants_input()
    }

    /// The bytes that are held for incomplete or waiting packets.
    pub fn held_len(&self) -> usize {
        self.held.len()
    }

    /// Starts a turn with what was just read from the transport; may be empty.
    pub fn begin<'b>(&mut self, bytes: &'b [u8]) -> Input<'b> {
        self.is_starved = false;
        Input::new(mem::take(&mut self.held), bytes)
    }

    /// Ends a turn: keeps what is incomplete or waits, drops what came after the end of the connection.
    pub fn end(&mut self, input: Input<'_>) {
        if !self.is_closed() {
            self.held = input.into_rest();
        }
    }

    /// The next request; `None` when more bytes, or an answer to an earlier request, is needed first, and when the turn
    /// has read as many packets as it may. PINGREQ and acknowledgements without an exchange are answered on the way.
    ///
    /// # Errors
    /// [`Close`] when the client broke a rule; what can be said to it is in `out`.
    pub fn next<'i>(
        &mut self,
        input: &'i Input<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Request<'i>>, Close> {
        // First: it notes who keeps whom waiting, also behind the last packet of a turn.
        while self.may_read(now) && !input.is_spent() {
            let bytes = input.unread();
            let Some((packet, len)) = self.decode(bytes, out)? else {
                self.is_starved = true;
                return Ok(None);
            };
            input.advance(len);
            let request = match self.state {
                State::AwaitConnect => Some(self.handle_connect(packet, out)?),
                _ => self.handle_packet(packet, now, out)?,
            };
            if request.is_some() {
                return Ok(request);
            }
        }
        Ok(None)
    }

    fn may_read(&mut self, now: Instant) -> bool {
        let is_blocked = self.state == State::Open && self.is_blocked();
        if mem::replace(&mut self.was_blocked, is_blocked) {
            self.since = now;
        }
        self.wants_input()
    }

    fn is_blocked(&self) -> bool {
        let acks_full =
            self.version == Version::V311 && self.acks.len() >= usize::from(self.config.receive_maximum.max(1));
        acks_full || self.subscribes_pending >= self.config.subscribes_pending_max.max(1)
    }

    /// When [`Self::handle_timeout`] wants to be called; ask again after every turn.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::AwaitConnect | State::Connecting => self.since.checked_add(self.config.connect_deadline),
            State::Open if self.keep_alive_s == 0 || self.was_blocked || self.is_blocked() => None,
            State::Open => self.since.checked_add(keep_alive_limit(self.keep_alive_s)),
            State::Closed => None,
        }
    }

    /// Ends a connection whose time is up [MQTT5-3.1.2-22] [MQTT311-3.1.2-24].
    ///
    /// # Errors
    /// [`Close`] if so; `Ok` if it is too early.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Vec<u8>) -> Result<(), Close> {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return Ok(());
        }
        match self.state {
            State::Open => Err(self.fail(ReasonCode::KEEP_ALIVE_TIMEOUT, "no packet within the keep alive", out)),
            State::Connecting => Err(self.fail(ReasonCode::SERVER_UNAVAILABLE, "the login took too long", out)),
            _ => Err(self.fail(ReasonCode::MAXIMUM_CONNECT_TIME, "no CONNECT in time", out)),
        }
    }
}

/// One and a half times the keep alive.
fn keep_alive_limit(keep_alive_s: u16) -> Duration {
    Duration::from_millis(u64::from(keep_alive_s) * 1500)
}
