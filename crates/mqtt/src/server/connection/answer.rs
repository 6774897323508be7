//! What the caller lets a connection say.

use std::time::Instant;

use super::{Accept, Connection, Sent, State};
use crate::codec::{
    self, Ack, Connack, Disconnect, EncodeError, ForwardedProperties, Packet, Properties, PropertiesBuf, Property,
    Publish,
};
use crate::reason::ReasonPlace;
use crate::server::{Close, capability};
use crate::{AckToken, PacketId, ReasonCode, Version};

impl Connection {
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

    /// The same for all PUBLISHes from this one on.
    pub fn withhold_from(&mut self, token: AckToken, out: &mut Vec<u8>) {
        self.acks.withhold_from(token);
        self.flush_acks(out);
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

    /// Ends the connection from our side; 3.1.1 has no word for it, the transport is just closed. Before the
    /// CONNACK this refuses the CONNECT.
    pub fn disconnect(&mut self, reason: ReasonCode, reason_string: Option<&str>, out: &mut Vec<u8>) {
        match self.state {
            // Not every reason to end a connection may stand in a CONNACK [MQTT5-3.2.2-8].
            State::Connecting => {
                let may_be_said = reason.is_valid_in(ReasonPlace::Connack);
                let said = if may_be_said { reason } else { ReasonCode::SERVER_UNAVAILABLE };
                self.refuse(said, reason_string, out);
            }
            State::Open if self.version.has_properties() => {
                self.write_with_reason_string(reason_string, out, |properties| {
                    Packet::Disconnect(Disconnect { reason, properties })
                });
            }
            _ => {}
        }
        self.state = State::Closed;
    }

    /// The client broke a rule: say so where the version can, and end.
    pub(super) fn fail(&mut self, reason: ReasonCode, detail: &'static str, out: &mut Vec<u8>) -> Close {
        self.disconnect(reason, None, out);
        Close { reason, detail }
    }

    pub(super) fn fits(&self, packet_len: usize) -> bool {
        packet_len <= self.client_packet_size_max as usize
    }

    pub(super) fn sent(&mut self, fits: bool) -> Sent {
        if fits {
            return Sent::Written;
        }
        self.counters.too_large += 1;
        Sent::TooLarge
    }

    pub(super) fn write(&mut self, packet: &Packet<'_>, out: &mut Vec<u8>) {
        if !self.write_fitting(out, |version, out| codec::encode(packet, version, out)) {
            self.counters.too_large += 1;
        }
    }

    /// Writes with the reason string if that fits, else without it [MQTT5-3.2.2-19] [MQTT5-3.14.2-3].
    pub(super) fn write_with_reason_string(
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
    pub(super) fn write_fitting(
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
