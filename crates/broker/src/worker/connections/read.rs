//! From the socket to requests.

use std::time::Instant;

use mqtt::server::{Input, Request};

use super::Connections;
use super::connection::{ReadState, Stage};
use crate::transport::{Readiness, Scratch, TransportError};
use crate::worker::connect_request::ConnectRequest;
use crate::worker::post::ConnectionKey;

/// Bytes that are held of a client that is not let in: a part of its CONNECT, then what came behind it. Everything after
/// that stays in the socket until the CONNACK. (rustls holds a part of one record more, at most 16 KiB.)
pub(crate) const LOGIN_HELD_BYTES: usize = 16 << 10;

/// What one look at a connection brings.
pub(in crate::worker) enum Read<'s> {
    /// Nothing for now.
    Nothing,
    /// Something that no longer counts: look again.
    Drained,
    /// Bytes to process, behind what is held from before; may be none.
    Input {
        bytes: &'s [u8],
        /// WebSocket control frames between them.
        controls: usize,
        has_ended: bool,
    },
    /// The transport has failed.
    Failed,
}

impl Connections {
    /// Reads at most `bytes_max`.
    pub(in crate::worker) fn read<'s>(
        &mut self,
        key: ConnectionKey,
        scratch: &'s mut Scratch,
        bytes_max: usize,
    ) -> Read<'s> {
        let out_bytes_max = self.context.limits.out_bytes_max;
        let Some(connection) = self.get_mut(key) else { return Read::Nothing };
        if connection.is_closing() {
            return if self.drain(key, scratch) { Read::Drained } else { Read::Nothing };
        }
        if connection.is_unread() || connection.out.len() >= out_bytes_max || !connection.mqtt.wants_input() {
            return Read::Nothing;
        }
        if std::mem::take(&mut connection.has_unprocessed) {
            return Read::Input { bytes: &[], controls: 0, has_ended: false };
        }
        if connection.read_state == ReadState::Empty {
            return Read::Nothing;
        }
        let bytes_max = match connection.connected() {
            Some(_) => bytes_max,
            None => LOGIN_HELD_BYTES.saturating_sub(connection.mqtt.held_len()).clamp(1, bytes_max),
        };
        match connection.transport.read(scratch, bytes_max) {
            Ok(input) => {
                connection.note_read(input.state);
                let has_ended = input.state == Readiness::Ended;
                Read::Input { bytes: input.bytes, controls: input.controls, has_ended }
            }
            Err(error) => {
                self.count_failure(&error);
                Read::Failed
            }
        }
    }

    pub(super) fn count_failure(&self, error: &TransportError) {
        tracing::debug!(%error, "a connection failed");
        if matches!(error, TransportError::Tls(_) | TransportError::WebSocket(_)) {
            self.context.counts.protocol_errors.one();
        }
    }

    /// Takes what the connection owes from its share of this turn. Returns what is left of that.
    pub(in crate::worker) fn pay(&mut self, key: ConnectionKey, packets: usize) -> usize {
        let Some(connection) = self.get_mut(key) else { return packets };
        let owed = connection.owed_packets as usize;
        connection.owed_packets = saturated(owed.saturating_sub(packets));
        packets.saturating_sub(owed)
    }

    /// The connection has spent so many packets beyond its share.
    pub(in crate::worker) fn owe(&mut self, key: ConnectionKey, packets: usize) {
        if let Some(connection) = self.get_mut(key) {
            connection.owed_packets = connection.owed_packets.saturating_add(saturated(packets));
        }
    }

    /// Starts to process bytes; [`Self::end_input`] ends it.
    pub(in crate::worker) fn begin_input<'b>(&mut self, key: ConnectionKey, bytes: &'b [u8]) -> Option<Input<'b>> {
        Some(self.get_mut(key)?.mqtt.begin(bytes))
    }

    /// The next request, `None`: there is none for now.
    ///
    /// # Errors
    /// The client broke a rule: the connection is to be closed.
    pub(in crate::worker) fn next_request<'i>(
        &mut self,
        key: ConnectionKey,
        input: &'i Input<'_>,
        now: Instant,
    ) -> Result<Option<Request<'i>>, ()> {
        let Some(connection) = self.get_mut(key).filter(|connection| !connection.is_closing()) else { return Ok(None) };
        match connection.mqtt.next(input, now, &mut connection.out) {
            Ok(request) => {
                match &request {
                    Some(Request::Publish { .. }) => self.spend_publish(key, now),
                    Some(Request::Connect(connect)) => {
                        let request = ConnectRequest::of(connect, connection.transport.peer_certificates());
                        connection.stage = Stage::ConnectRead(Box::new(request));
                    }
                    _ => {}
                }
                Ok(request)
            }
            Err(close) => {
                tracing::debug!(reason = %close.reason, detail = close.detail, "a connection broke a rule");
                self.context.counts.protocol_errors.one();
                Err(())
            }
        }
    }

    /// An end user that publishes too fast is read again when there is room.
    fn spend_publish(&mut self, key: ConnectionKey, now: Instant) {
        let (rate, passed) = (self.context.limits.user_publishes, now.saturating_duration_since(self.start));
        let Some(connection) = self.get_mut(key) else { return };
        let Some(connected) = connection.connected_mut().filter(|connected| !connected.identity.is_service()) else {
            return;
        };
        let is_slowed = connected.publishes.take(rate, passed).is_some();
        connection.is_slowed = is_slowed;
        if is_slowed {
            self.arm_at(key, now);
        }
    }

    /// A client that is let in is not read until [`Self::resume_paused`]. `false`: it is none.
    pub(in crate::worker) fn pause(&mut self, key: ConnectionKey) -> bool {
        let Some(connection) = self.get_mut(key).filter(|connection| connection.connected().is_some()) else {
            return false;
        };
        connection.was_unread = true;
        if !std::mem::replace(&mut connection.is_paused, true) {
            self.paused.push(key);
        }
        true
    }

    /// Whether the rest of the input stays where it is: a mailbox is full, the log or the queue is busy, the client publishes
    /// too fast or does not read.
    pub(in crate::worker) fn must_wait(&mut self, key: ConnectionKey, is_congested: bool) -> bool {
        let out_bytes_max = self.context.limits.out_bytes_max;
        if is_congested {
            self.paused.push(key);
        }
        let Some(connection) = self.get_mut(key) else { return true };
        connection.is_paused |= is_congested;
        connection.was_unread |= connection.is_unread();
        let must_wait = connection.is_unread() || connection.out.len() >= out_bytes_max;
        connection.has_unprocessed |= must_wait;
        must_wait
    }

    pub(in crate::worker) fn end_input(&mut self, key: ConnectionKey, input: Input<'_>) {
        if let Some(connection) = self.get_mut(key) {
            let has_spent_turn = input.is_spent();
            connection.mqtt.end(input);
            connection.has_unprocessed |= has_spent_turn && connection.mqtt.has_held_input();
        }
        self.mark_dirty(key);
    }

    /// Its last message waits for the queue: it is not read meanwhile.
    pub(in crate::worker) fn hold_for_queue(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.get_mut(key) {
            connection.waits_for_queue = true;
        }
    }

    /// The queue has taken its message.
    pub(in crate::worker) fn resume_from_queue(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.get_mut(key).filter(|connection| connection.waits_for_queue) {
            connection.waits_for_queue = false;
            self.read_later(key);
        }
    }
}

/// In the few bytes that a connection has for it; no packet costs nearly as much.
fn saturated(packets: usize) -> u32 {
    u32::try_from(packets).unwrap_or(u32::MAX)
}
