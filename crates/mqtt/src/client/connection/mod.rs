//! The client's state machine.

mod incoming;
mod outgoing;

use std::collections::{BTreeMap, VecDeque};
use std::mem;
use std::time::{Duration, Instant};

use thiserror::Error;

use super::event::{Event, PublishId};
use super::options::Options;
use crate::acks::AckQueue;
use crate::codec::{self, Connect, Disconnect, Packet, PropertiesBuf, Property};
use crate::session::{Session, SessionLimits};
use crate::{QoS, ReasonCode};

/// More SUBSCRIBEs and UNSUBSCRIBEs than this do not wait for their answers at a time.
const SUBSCRIBES_PENDING_MAX: usize = 64;

/// Why a message was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum PublishError {
    #[error("too many messages wait")]
    Full,
    #[error("not connected, and a QoS 0 message does not wait")]
    NotConnected,
    #[error("no topic name")]
    Topic,
    #[error("larger than the server or the protocol takes")]
    TooLarge,
    #[error("QoS 2 is not supported")]
    QoS2,
}

/// Why a SUBSCRIBE or UNSUBSCRIBE was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SubscribeError {
    #[error("not connected")]
    NotConnected,
    #[error("too many wait for an answer")]
    Full,
    #[error("no topic filter")]
    NoFilter,
    #[error("larger than the server or the protocol takes")]
    TooLarge,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Disconnected,
    Connecting,
    Connected,
}

/// A message of ours that the server does not have yet.
#[derive(Debug)]
struct Outgoing {
    topic: String,
    payload: Vec<u8>,
    properties: PropertiesBuf,
}

/// What the server said in its CONNACK.
#[derive(Clone, Copy, Debug)]
struct ServerLimits {
    packet_size_max: u32,
    maximum_qos: QoS,
    keep_alive_s: u16,
}

/// A client. It outlives its connections.
#[derive(Debug)]
pub struct Client {
    options: Options,
    state: State,
    server: ServerLimits,
    held: Vec<u8>,
    out: Vec<u8>,
    events: VecDeque<Event>,
    /// What we owe on this connection; emptied with it, which makes handles given out so far void.
    acks: AckQueue,
    /// What we are owed.
    sending: Session<PublishId>,
    outgoing: BTreeMap<PublishId, Outgoing>,
    next_publish: u64,
    last_sent: Instant,
    last_received: Instant,
    ping_deadline: Option<Instant>,
}

impl Client {
    pub fn new(options: Options, now: Instant) -> Self {
        let limits = SessionLimits {
            send_window: options.send_window,
            kept_for_normal: 0,
            waiting_max: u32::try_from(options.waiting_max).unwrap_or(u32::MAX),
            subscriptions_max: 0,
        };
        Self {
            server: ServerLimits {
                packet_size_max: u32::MAX,
                maximum_qos: QoS::AtLeastOnce,
                keep_alive_s: options.keep_alive_s,
            },
            options,
            state: State::Disconnected,
            held: Vec::new(),
            out: Vec::new(),
            events: VecDeque::new(),
            acks: AckQueue::default(),
            sending: Session::new(limits),
            outgoing: BTreeMap::new(),
            next_publish: 0,
            last_sent: now,
            last_received: now,
            ping_deadline: None,
        }
    }

    pub const fn is_connected(&self) -> bool {
        matches!(self.state, State::Connected)
    }

    /// QoS 1 messages that the server has not acknowledged.
    pub fn unacknowledged(&self) -> usize {
        self.outgoing.len()
    }

    /// Starts on a new transport; an earlier one is given up.
    pub fn connect(&mut self, now: Instant) {
        self.connection_lost();
        self.state = State::Connecting;
        (self.last_sent, self.last_received) = (now, now);
        let options = self.options.clone();
        let properties = options.connect_properties().unwrap_or_default();
        let connect = Connect {
            version: options.version,
            is_3_1: false,
            clean_start: options.clean_start,
            keep_alive_s: options.keep_alive_s,
            properties: properties.view(),
            client_id: &options.client_id,
            will: None,
            username: options.username.as_deref(),
            password: options.password.as_deref(),
        };
        if codec::encode(&Packet::Connect(connect), options.version, &mut self.out).is_err() {
            self.close(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "client id, user name or password is too long");
        }
    }

    /// The transport is gone. Received messages that were not acknowledged will come again, sent ones go out again.
    pub fn connection_lost(&mut self) {
        self.out.clear();
        self.end_connection();
    }

    fn end_connection(&mut self) {
        self.state = State::Disconnected;
        self.held = Vec::new();
        self.acks.clear();
        self.sending.disconnected();
        self.sending.release_all_ids();
        self.ping_deadline = None;
    }

    /// Ends the connection in order; send the output, then close the transport. `session_expiry_interval`
    /// replaces that of the CONNECT, unless that one was 0 (5.0).
    pub fn disconnect(&mut self, session_expiry_interval: Option<u32>) {
        if self.is_connected() {
            let allowed = session_expiry_interval.filter(|_| self.options.session_expiry_interval > 0);
            let mut properties = PropertiesBuf::new();
            if let Some(expiry) = allowed {
                let pushed = properties.push(Property::SessionExpiryInterval(expiry));
                debug_assert!(pushed.is_ok(), "a number always fits");
            }
            let disconnect = Disconnect { reason: ReasonCode::SUCCESS, properties: properties.view() };
            self.write(&Packet::Disconnect(disconnect), self.last_sent);
        }
        self.end_connection();
    }

    /// The bytes to send.
    pub fn take_output(&mut self) -> Vec<u8> {
        mem::take(&mut self.out)
    }

    /// What happened, oldest first.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// When [`Self::handle_timeout`] wants to be called; ask again after every call.
    pub fn poll_timeout(&self) -> Option<Instant> {
        match self.state {
            State::Disconnected => None,
            State::Connecting => self.last_sent.checked_add(self.options.connect_timeout),
            State::Connected => self.ping_deadline.or_else(|| self.next_ping()),
        }
    }

    /// A ping is due when either side was silent for the keep alive: the server must hear us
    /// [MQTT5-3.1.2-20] [MQTT311-3.1.2-23], and we want to hear it.
    fn next_ping(&self) -> Option<Instant> {
        let keep_alive = Duration::from_secs(u64::from(self.server.keep_alive_s));
        let quiet_since = self.last_sent.min(self.last_received);
        quiet_since.checked_add(keep_alive).filter(|_| !keep_alive.is_zero())
    }

    /// Pings, or gives the connection up.
    pub fn handle_timeout(&mut self, now: Instant) {
        if self.poll_timeout().is_none_or(|deadline| now < deadline) {
            return;
        }
        match self.state {
            State::Connecting => self.close(ReasonCode::SERVER_UNAVAILABLE, "no CONNACK in time"),
            _ if self.ping_deadline.is_some() => {
                self.close(ReasonCode::KEEP_ALIVE_TIMEOUT, "the server does not answer");
            }
            _ => {
                self.write(&Packet::Pingreq, now);
                self.ping_deadline = now.checked_add(self.options.ping_timeout);
            }
        }
    }

    /// Takes what the transport has read.
    pub fn handle_input(&mut self, bytes: &[u8], now: Instant) {
        let mut held = mem::take(&mut self.held);
        if held.is_empty() {
            let read = self.handle_packets(bytes, now);
            held.extend_from_slice(&bytes[read..]);
        } else {
            held.extend_from_slice(bytes);
            let read = self.handle_packets(&held, now);
            held.drain(..read);
        }
        if self.state != State::Disconnected {
            self.held = held;
        }
    }

    /// Gives the connection up, and says why where a 5.0 client may.
    fn close(&mut self, reason: ReasonCode, detail: &'static str) {
        if self.is_connected() && self.options.version.has_properties() && reason.may_client_disconnect_with() {
            self.write(&Packet::Disconnect(Disconnect::new(reason)), self.last_sent);
        }
        self.end_connection();
        self.events.push_back(Event::Closed { reason, detail });
    }

    /// False if the packet does not fit; the output is then as it was.
    fn write(&mut self, packet: &Packet<'_>, now: Instant) -> bool {
        let start = self.out.len();
        let encoded = codec::encode(packet, self.options.version, &mut self.out);
        // [MQTT5-3.2.2-15]
        if encoded.is_err() || self.out.len() - start > self.server.packet_size_max as usize {
            self.out.truncate(start);
            return false;
        }
        self.last_sent = now;
        true
    }
}
