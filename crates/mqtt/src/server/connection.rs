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

use std::mem;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Close, ConnectionConfig, Input, Request, capability};
use crate::acks::AckQueue;
use crate::codec::{
    self, Ack, Connack, Connect, DecodeError, Disconnect, EncodeError, EncodedPublish, ForwardedProperties, Header,
    Packet, PacketType, Properties, PropertiesBuf, Property, Publish, peek_level,
};
use crate::{AckToken, Delivery, PacketId, ReasonCode, Version};

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
    held: Vec<u8>,
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
    /// We held packets back, so silence was ours; the keep alive starts anew.
    was_blocked: bool,
}

impl Connection {
    /// A transport that has just been opened.
    pub fn new(config: Arc<ConnectionConfig>, now: Instant) -> Self {
        Self {
            config,
            held: Vec::new(),
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

    /// The CONNECT was accepted and the connection has not ended.
    pub const fn is_open(&self) -> bool {
        matches!(self.state, State::Open)
    }

    pub const fn is_closed(&self) -> bool {
        matches!(self.state, State::Closed)
    }

    /// The received PUBLISHes without an answer.
    pub fn acks_pending(&self) -> usize {
        self.acks.len()
    }

    /// Whether another turn could yield something. While false, leave the transport unread.
    pub fn wants_input(&self) -> bool {
        match self.state {
            State::AwaitConnect => true,
            State::Open => !self.is_blocked(),
            State::Connecting | State::Closed => false,
        }
    }

    /// Whether a turn without new bytes could yield something, because bytes are held.
    pub fn has_held_input(&self) -> bool {
        !self.held.is_empty() && self.wants_input()
    }

    /// The bytes that are held for incomplete or waiting packets.
    pub fn held_len(&self) -> usize {
        self.held.len()
    }

    /// Gives memory of past traffic back; for a connection that has been quiet for a while.
    pub fn shrink(&mut self) {
        self.held.shrink_to_fit();
        self.acks.shrink();
    }

    /// Starts a turn with what was just read from the transport; may be empty.
    pub fn begin<'b>(&mut self, bytes: &'b [u8]) -> Input<'b> {
        Input::new(mem::take(&mut self.held), bytes)
    }

    /// Ends a turn: keeps what is incomplete or waits, drops what came after the end of the connection.
    pub fn end(&mut self, input: Input<'_>) {
        if !self.is_closed() {
            self.held = input.into_rest();
        }
    }

    /// The next request; `None` when more bytes, or an answer to an earlier request, is needed first. PINGREQ and
    /// acknowledgements without an exchange are answered on the way.
    ///
    /// # Errors
    /// [`Close`] when the client broke a rule; what can be said to it is in `out`.
    pub fn next<'i>(
        &mut self,
        input: &'i Input<'_>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Request<'i>>, Close> {
        while self.may_read(now) {
            let bytes = input.unread();
            let Some((packet, len)) = self.decode(bytes, out)? else { return Ok(None) };
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

    fn decode<'i>(&mut self, bytes: &'i [u8], out: &mut Vec<u8>) -> Result<Option<(Packet<'i>, usize)>, Close> {
        if self.state == State::AwaitConnect {
            return self.decode_first(bytes, out);
        }
        let decoded = codec::decode(bytes, self.version, self.config.packet_size_max);
        decoded.map_err(|DecodeError { reason, detail }| self.fail(reason, detail, out))
    }

    /// The first packet must be a CONNECT [MQTT5-3.1.0-1] [MQTT311-3.1.0-1]; anything else gets no answer.
    fn decode_first<'i>(&mut self, bytes: &'i [u8], out: &mut Vec<u8>) -> Result<Option<(Packet<'i>, usize)>, Close> {
        let Some(&first) = bytes.first() else { return Ok(None) };
        if !matches!(Header::first_byte(first, Version::V5), Ok((PacketType::Connect, _))) {
            self.state = State::Closed;
            return Err(Close { reason: ReasonCode::PROTOCOL_ERROR, detail: "the first packet is not a CONNECT" });
        }
        codec::decode(bytes, Version::V5, self.config.connect_packet_size_max).map_err(
            |DecodeError { reason, detail }| {
                self.state = State::Closed;
                answer_unreadable_connect(bytes, reason, out);
                Close { reason, detail }
            },
        )
    }

    fn handle_connect<'i>(&mut self, packet: Packet<'i>, out: &mut Vec<u8>) -> Result<Request<'i>, Close> {
        let Packet::Connect(connect) = packet else {
            return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "the first packet is not a CONNECT", out));
        };
        self.state = State::Connecting;
        self.version = connect.version;
        self.asked_keep_alive_s = connect.keep_alive_s;
        self.keep_alive_s = keep_alive_in_force(connect.keep_alive_s, self.config.keep_alive_max_s);
        self.client_receive_maximum = connect.properties.receive_maximum().unwrap_or(u16::MAX);
        self.client_packet_size_max = connect.properties.maximum_packet_size().unwrap_or(u32::MAX);
        self.wants_problem_information = connect.properties.request_problem_information().unwrap_or(true);
        self.expires_at_end = connect.properties.session_expiry_interval().unwrap_or(0) == 0;
        match self.refusal(&connect) {
            None => Ok(Request::Connect(connect)),
            Some((reason, detail)) => {
                self.refuse(reason, None, out);
                Err(Close { reason, detail })
            }
        }
    }

    fn refusal(&self, connect: &Connect<'_>) -> Option<(ReasonCode, &'static str)> {
        if connect.is_3_1 && !self.config.accept_3_1 {
            return Some((ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, "MQTT 3.1 is not accepted"));
        }
        let id_is_invalid = if connect.is_3_1 {
            !(1..=23).contains(&connect.client_id.chars().count())
        } else {
            // [MQTT311-3.1.3-8]
            connect.version == Version::V311 && connect.client_id.is_empty() && !connect.clean_start
        };
        if id_is_invalid {
            return Some((ReasonCode::CLIENT_IDENTIFIER_NOT_VALID, "a client id that this version does not allow"));
        }
        capability::refuse_connect(connect)
    }

    fn handle_packet<'i>(
        &mut self,
        packet: Packet<'i>,
        now: Instant,
        out: &mut Vec<u8>,
    ) -> Result<Option<Request<'i>>, Close> {
        // Only complete packets count for the keep alive: a trickle of bytes must not.
        self.since = now;
        match packet {
            Packet::Publish(message) => return self.handle_publish(message, out),
            Packet::Puback(Ack { packet_id, reason, .. }) => return Ok(Some(Request::Ack { packet_id, reason })),
            Packet::Subscribe(subscribe) => {
                self.subscribes_pending += 1;
                return Ok(Some(Request::Subscribe(subscribe)));
            }
            Packet::Unsubscribe(unsubscribe) => {
                self.subscribes_pending += 1;
                return Ok(Some(Request::Unsubscribe(unsubscribe)));
            }
            Packet::Disconnect(disconnect) => return self.handle_disconnect(disconnect, out).map(Some),
            // [MQTT5-3.12.4-1] [MQTT311-3.12.4-1]
            Packet::Pingreq => self.write(&Packet::Pingresp, out),
            Packet::Pubrec(ack) => self.answer_unknown(&ack, Packet::Pubrel, out),
            Packet::Pubrel(ack) => self.answer_unknown(&ack, Packet::Pubcomp, out),
            Packet::Pubcomp(_) => self.counters.unknown_acks += 1,
            // [MQTT5-3.1.0-2] [MQTT311-3.1.0-2]
            Packet::Connect(_) => return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "a second CONNECT", out)),
            Packet::Auth(_) => return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "AUTH without a method", out)),
            Packet::Connack(_) | Packet::Suback(_) | Packet::Unsuback(_) | Packet::Pingresp => {
                return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "a packet that only servers send", out));
            }
        }
        Ok(None)
    }

    /// There are no QoS 2 exchanges, so whatever step of one comes belongs to none.
    fn answer_unknown<'a>(&mut self, ack: &Ack<'_>, answer: impl FnOnce(Ack<'a>) -> Packet<'a>, out: &mut Vec<u8>) {
        self.counters.unknown_acks += 1;
        if !ack.reason.is_error() {
            self.write(&answer(Ack::new(ack.packet_id, ReasonCode::PACKET_IDENTIFIER_NOT_FOUND)), out);
        }
    }

    fn handle_publish<'i>(&mut self, message: Publish<'i>, out: &mut Vec<u8>) -> Result<Option<Request<'i>>, Close> {
        if let Some((reason, detail)) = capability::refuse_publish(&message) {
            return Err(self.fail(reason, detail, out));
        }
        let Delivery::AtLeastOnce { packet_id, dup } = message.delivery else {
            return Ok(Some(Request::Publish { message, token: None }));
        };
        if self.acks.owes(packet_id) {
            return self.handle_repeated(packet_id, dup, out).map(|()| None);
        }
        self.check_receive_maximum(out)?;
        let token = Some(self.acks.open(packet_id));
        Ok(Some(Request::Publish { message, token }))
    }

    fn check_receive_maximum(&mut self, out: &mut Vec<u8>) -> Result<(), Close> {
        // [MQTT5-3.3.4-9]; a 3.1.1 client is held back before it can come here.
        if self.acks.len() >= usize::from(self.config.receive_maximum.max(1)) {
            return Err(self.fail(ReasonCode::RECEIVE_MAXIMUM_EXCEEDED, "more than the Receive Maximum", out));
        }
        Ok(())
    }

    /// A PUBLISH whose id still waits for its answer: with DUP the same message, without it a broken rule
    /// [MQTT5-2.2.1-3] [MQTT311-2.3.1-2].
    fn handle_repeated(&mut self, packet_id: PacketId, dup: bool, out: &mut Vec<u8>) -> Result<(), Close> {
        if dup {
            self.counters.repeated_publishes += 1;
            return Ok(());
        }
        if self.version == Version::V311 {
            return Err(self.fail(ReasonCode::PACKET_IDENTIFIER_IN_USE, "a packet id that is in use", out));
        }
        self.check_receive_maximum(out)?;
        let token = self.acks.open(packet_id);
        self.puback(token, ReasonCode::PACKET_IDENTIFIER_IN_USE, out);
        Ok(())
    }

    fn handle_disconnect<'i>(&mut self, disconnect: Disconnect<'i>, out: &mut Vec<u8>) -> Result<Request<'i>, Close> {
        if !disconnect.reason.may_client_disconnect_with() {
            return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "a reason that only servers give", out));
        }
        let revives = disconnect.properties.session_expiry_interval().is_some_and(|expiry| expiry > 0);
        if self.expires_at_end && revives {
            // 5.0 section 3.14.2.2.2
            return Err(self.fail(ReasonCode::PROTOCOL_ERROR, "a Session Expiry Interval after none", out));
        }
        self.state = State::Closed;
        Ok(Request::Disconnect(disconnect))
    }

    /// Accepts the CONNECT; what came behind it is read in the next turn.
    ///
    /// # Errors
    /// [`Close`] if the CONNACK does not fit the client's Maximum Packet Size, or no CONNECT waits for it.
    pub fn accept(&mut self, accept: &Accept<'_>, now: Instant, out: &mut Vec<u8>) -> Result<(), Close> {
        if self.state != State::Connecting {
            return Err(Close { reason: ReasonCode::UNSPECIFIED_ERROR, detail: "no CONNECT waits for an answer" });
        }
        let properties = self.connack_properties(accept).map_err(|_| self.unfit())?;
        let reason = ReasonCode::SUCCESS;
        let connack = Connack { session_present: accept.session_present, reason, properties: properties.view() };
        if !self.write_fitting(out, |version, out| codec::encode(&Packet::Connack(connack), version, out)) {
            return Err(self.unfit());
        }
        self.state = State::Open;
        self.since = now;
        Ok(())
    }

    fn unfit(&mut self) -> Close {
        self.state = State::Closed;
        Close { reason: ReasonCode::PACKET_TOO_LARGE, detail: "the CONNACK does not fit" }
    }

    fn connack_properties(&self, accept: &Accept<'_>) -> Result<PropertiesBuf, EncodeError> {
        let mut properties = PropertiesBuf::new();
        if !self.version.has_properties() {
            return Ok(properties);
        }
        if let Some(expiry) = accept.session_expiry_interval {
            properties.push(Property::SessionExpiryInterval(expiry))?;
        }
        if let Some(client_id) = accept.assigned_client_id {
            properties.push(Property::AssignedClientIdentifier(client_id))?;
        }
        if self.keep_alive_s != self.asked_keep_alive_s {
            // [MQTT5-3.2.2-21]
            properties.push(Property::ServerKeepAlive(self.keep_alive_s))?;
        }
        properties.push(Property::ReceiveMaximum(self.config.receive_maximum.max(1)))?;
        properties.push(Property::MaximumPacketSize(self.config.packet_size_max.max(1)))?;
        capability::announce(&mut properties);
        Ok(properties)
    }

    /// Refuses the CONNECT and ends the connection. 3.1.1 has a return code for some reasons only; for the others
    /// the transport is closed without a word [MQTT311-3.2.2-6].
    pub fn refuse(&mut self, reason: ReasonCode, reason_string: Option<&str>, out: &mut Vec<u8>) {
        if self.state != State::Connecting {
            return;
        }
        self.write_with_reason_string(reason_string, out, |properties| {
            Packet::Connack(Connack { session_present: false, reason, properties })
        });
        self.state = State::Closed;
    }

    /// Answers a PUBLISH. Answers may come in any order; they leave in the order of the PUBLISHes. False if this
    /// connection does not owe the answer. In 3.1.1 the reason is not on the wire.
    pub fn puback(&mut self, token: AckToken, reason: ReasonCode, out: &mut Vec<u8>) -> bool {
        let known = self.acks.complete(token, reason);
        self.flush_acks(out);
        known
    }

    /// Gives up the answer to a PUBLISH: it will not be acknowledged, and does not hold back later answers.
    pub fn withhold(&mut self, token: AckToken, out: &mut Vec<u8>) -> bool {
        let known = self.acks.withhold(token);
        self.flush_acks(out);
        known
    }

    fn flush_acks(&mut self, out: &mut Vec<u8>) {
        while let Some((packet_id, reason)) = self.acks.pop_ready() {
            if self.is_open() {
                self.write(&Packet::Puback(Ack::new(packet_id, reason)), out);
            }
        }
    }

    /// Answers a SUBSCRIBE with one code for each filter. The reason string is left out where the client did not
    /// ask for problem information [MQTT5-3.1.2-29], or where it would make the packet too large [MQTT5-3.9.2-1].
    pub fn suback(
        &mut self,
        packet_id: PacketId,
        codes: &[ReasonCode],
        reason_string: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Sent {
        self.answer_subscribe(reason_string, out, |properties, version, out| {
            codec::write_suback(packet_id, properties, codes.iter().copied(), version, out)
        })
    }

    /// Answers an UNSUBSCRIBE with one code for each filter; 3.1.1 does not send them.
    pub fn unsuback(
        &mut self,
        packet_id: PacketId,
        codes: &[ReasonCode],
        reason_string: Option<&str>,
        out: &mut Vec<u8>,
    ) -> Sent {
        self.answer_subscribe(reason_string, out, |properties, version, out| {
            codec::write_unsuback(packet_id, properties, codes.iter().copied(), version, out)
        })
    }

    fn answer_subscribe(
        &mut self,
        reason_string: Option<&str>,
        out: &mut Vec<u8>,
        write: impl Fn(Properties<'_>, Version, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> Sent {
        if !self.is_open() {
            return Sent::NotOpen;
        }
        self.subscribes_pending = self.subscribes_pending.saturating_sub(1);
        let said = reason_string.filter(|_| self.wants_problem_information).map(reason_string_properties);
        let fits = said.is_some_and(|said| self.write_fitting(out, |version, out| write(said.view(), version, out)))
            || self.write_fitting(out, |version, out| write(Properties::EMPTY, version, out));
        self.sent(fits)
    }

    /// Sends a message with its properties replaced by `properties`; `message.properties` is not looked at.
    pub fn publish(&mut self, message: &Publish<'_>, properties: &ForwardedProperties<'_>, out: &mut Vec<u8>) -> Sent {
        if !self.is_open() {
            return Sent::NotOpen;
        }
        let fits = message.packet_len(self.version, properties).is_ok_and(|len| self.fits(len));
        let written = fits && message.write_forwarded(self.version, properties, out).is_ok();
        self.sent(written)
    }

    /// Sends a message that was encoded once for many receivers. It must have been encoded for this version;
    /// `packet_id` and `dup` are not looked at if it is of QoS 0.
    pub fn publish_encoded(
        &mut self,
        message: &EncodedPublish,
        packet_id: PacketId,
        dup: bool,
        out: &mut Vec<u8>,
    ) -> Sent {
        debug_assert_eq!(message.version(), self.version, "encoded for another version");
        if !self.is_open() {
            return Sent::NotOpen;
        }
        let fits = self.fits(message.packet_len());
        if fits {
            message.write(packet_id, dup, out);
        }
        self.sent(fits)
    }

    /// Ends the connection from our side; 3.1.1 has no word for it, the transport is just closed. Before the
    /// CONNACK this refuses the CONNECT.
    pub fn disconnect(&mut self, reason: ReasonCode, reason_string: Option<&str>, out: &mut Vec<u8>) {
        match self.state {
            State::Connecting => self.refuse(reason, reason_string, out),
            State::Open if self.version.has_properties() => {
                self.write_with_reason_string(reason_string, out, |properties| {
                    Packet::Disconnect(Disconnect { reason, properties })
                });
            }
            _ => {}
        }
        self.state = State::Closed;
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

    /// The client broke a rule: say so where the version can, and end.
    fn fail(&mut self, reason: ReasonCode, detail: &'static str, out: &mut Vec<u8>) -> Close {
        self.disconnect(reason, None, out);
        Close { reason, detail }
    }

    fn fits(&self, packet_len: usize) -> bool {
        packet_len <= self.client_packet_size_max as usize
    }

    fn sent(&mut self, fits: bool) -> Sent {
        if fits {
            return Sent::Written;
        }
        self.counters.too_large += 1;
        Sent::TooLarge
    }

    fn write(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        if !self.write_fitting(out, |version, out| codec::encode(packet, version, out)) {
            self.counters.too_large += 1;
        }
    }

    /// Writes with the reason string if that fits, else without it [MQTT5-3.2.2-19] [MQTT5-3.14.2-3].
    fn write_with_reason_string(
        &mut self,
        reason_string: Option<&str>,
        out: &mut Vec<u8>,
        packet: impl Fn(Properties<'_>) -> Packet<'_>,
    ) {
        let said = reason_string.map(reason_string_properties);
        let written = said.is_some_and(|said| {
            self.write_fitting(out, |version, out| codec::encode(&packet(said.view()), version, out))
        });
        if !written {
            self.write_fitting(out, |version, out| codec::encode(&packet(Properties::EMPTY), version, out));
        }
    }

    /// Writes a packet unless it is larger than the client takes [MQTT5-3.1.2-24]; then `out` is as it was.
    fn write_fitting(
        &self,
        out: &mut Vec<u8>,
        write: impl FnOnce(Version, &mut Vec<u8>) -> Result<(), EncodeError>,
    ) -> bool {
        let start = out.len();
        let fits = write(self.version, out).is_ok() && self.fits(out.len() - start);
        if !fits {
            out.truncate(start);
        }
        fits
    }
}

/// A reason string that cannot be encoded is left out.
fn reason_string_properties(text: &str) -> PropertiesBuf {
    PropertiesBuf::new().with(Property::ReasonString(text)).unwrap_or_default()
}

/// [MQTT5-3.2.2-21]; 0 asks for none, and means "no limit" as the maximum.
const fn keep_alive_in_force(asked_s: u16, max_s: u16) -> u16 {
    if max_s > 0 && (asked_s == 0 || asked_s > max_s) { max_s } else { asked_s }
}

/// One and a half times the keep alive.
fn keep_alive_limit(keep_alive_s: u16) -> Duration {
    Duration::from_millis(u64::from(keep_alive_s) * 1500)
}

/// Answers a CONNECT that could not be decoded in a form that its sender can read, if there is one.
fn answer_unreadable_connect(bytes: &[u8], reason: ReasonCode, out: &mut Vec<u8>) {
    let version_is_unknown = reason == ReasonCode::UNSUPPORTED_PROTOCOL_VERSION;
    let version = match peek_level(bytes) {
        Some(0..=4) => Version::V311,
        Some(5) => Version::V5,
        Some(_) if version_is_unknown => Version::V5,
        _ => return,
    };
    let connack = Connack { session_present: false, reason, properties: Properties::EMPTY };
    // 3.1.1 has no return code for most reasons: then nothing is written and the transport is closed.
    let _ = codec::encode(&Packet::Connack(connack), version, out);
}
