//! From answers and messages to the socket.

use std::time::Instant;

use accounts::access::Identity;
use mqtt::codec::ForwardedProperties;
use mqtt::server::Sent;
use mqtt::{AckToken, Delivery, PacketId, ReasonCode, Version};

use super::Connections;
use super::connection::Stage;
use crate::message::Message;
use crate::worker::action::{ClientRef, Now};
use crate::worker::post::ConnectionKey;

/// What became of a connection at the end of a turn.
pub(in crate::worker) enum Flushed {
    Done,
    /// Its client reads again: what waits for it may be sent.
    HasRoom(ClientRef),
    /// The transport has failed.
    Failed,
}

impl Connections {
    /// Whether a message may be written; beyond this the client does not read.
    pub(in crate::worker) fn has_room(&self, key: ConnectionKey) -> bool {
        self.get(key).is_some_and(|connection| connection.out.len() < self.context.limits.out_bytes_max)
    }

    pub(in crate::worker) fn send(
        &mut self,
        key: ConnectionKey,
        message: &Message,
        delivery: Delivery,
        subscription_ids: &[u32],
        now: Now,
    ) -> Sent {
        let Some(connection) = self.get_mut(key) else { return Sent::NotOpen };
        let is_service =
            connection.connected().is_some_and(|connected| matches!(connected.identity, Identity::Service { .. }));
        let base = if is_service { message.properties() } else { message.unstamped() };
        let properties =
            ForwardedProperties { base, message_expiry_s: message.expiry_left_s(now.over()), subscription_ids };
        let sent = connection.mqtt.publish(&message.as_publish(delivery, base), &properties, &mut connection.out);
        self.mark_dirty(key);
        sent
    }

    /// QoS 0: a client that does not read misses it.
    pub(in crate::worker) fn send_at_most_once(
        &mut self,
        key: ConnectionKey,
        message: &Message,
        ids: &[u32],
        now: Now,
    ) {
        if message.is_over(now.over()) {
            self.context.counts.expired.one();
        } else if !self.has_room(key) {
            self.context.counts.dropped_slow.one();
        } else {
            match self.send(key, message, Delivery::AtMostOnce, ids, now) {
                Sent::Written => self.context.counts.sent.one(),
                Sent::TooLarge => self.context.counts.dropped_too_large.one(),
                Sent::NotOpen => self.context.counts.dropped_absent.one(),
            }
        }
    }

    pub(in crate::worker) fn puback(&mut self, key: ConnectionKey, token: AckToken, reason: ReasonCode) {
        let Some(connection) = self.get_mut(key) else { return };
        let was_blocked = !connection.mqtt.wants_input();
        connection.mqtt.puback(token, reason, &mut connection.out);
        connection.has_unprocessed |= was_blocked;
        self.mark_dirty(key);
        if was_blocked {
            self.mark_ready(key);
        }
    }

    /// Refuses a PUBLISH. `false`: 3.1.1 has no reason code for it, so its connection is to be closed, and its client keeps the
    /// message.
    pub(in crate::worker) fn refuse_publish(
        &mut self,
        key: ConnectionKey,
        token: AckToken,
        reason: ReasonCode,
    ) -> bool {
        let Some(connection) = self.get_mut(key) else { return true };
        if connection.mqtt.version() == Version::V311 {
            connection.mqtt.withhold(token, &mut connection.out);
            return false;
        }
        self.puback(key, token, reason);
        true
    }

    /// The log has no room for a PUBLISH, and 5.0 is told so. 3.1.1 has no reason code for it: neither this PUBLISH nor one
    /// behind it is answered, and the connection is closed when there is room, so that its client sends them again.
    pub(in crate::worker) fn refuse_without_room(&mut self, key: ConnectionKey, token: AckToken) {
        let Some(connection) = self.get_mut(key).filter(|connection| !connection.is_closing()) else { return };
        if connection.mqtt.version() != Version::V311 {
            return self.puback(key, token, ReasonCode::QUOTA_EXCEEDED);
        }
        let was_blocked = !connection.mqtt.wants_input();
        connection.mqtt.withhold_from(token, &mut connection.out);
        connection.has_unprocessed |= was_blocked;
        let is_first = !std::mem::replace(&mut connection.awaits_room, true);
        self.mark_dirty(key);
        if was_blocked {
            self.mark_ready(key);
        }
        if is_first {
            self.awaiting_room.push(key);
        }
    }

    /// Whether a PUBLISH is discarded without an answer: the log had no room for one before it.
    pub(in crate::worker) fn discards(&mut self, key: ConnectionKey, token: AckToken) -> bool {
        let Some(connection) = self.get_mut(key).filter(|connection| connection.awaits_room) else { return false };
        connection.mqtt.withhold(token, &mut connection.out);
        true
    }

    pub(in crate::worker) fn suback(&mut self, key: ConnectionKey, packet_id: PacketId, codes: &[ReasonCode]) {
        let Some(connection) = self.get_mut(key) else { return };
        // What is too large for the client is counted by the MQTT half.
        let _ = connection.mqtt.suback(packet_id, codes, None, &mut connection.out);
        self.resume_held_input(key);
    }

    pub(in crate::worker) fn unsuback(&mut self, key: ConnectionKey, packet_id: PacketId, codes: &[ReasonCode]) {
        let Some(connection) = self.get_mut(key) else { return };
        // As for the SUBACK.
        let _ = connection.mqtt.unsuback(packet_id, codes, None, &mut connection.out);
        self.resume_held_input(key);
    }

    /// Whether the client is told what became of each filter of an UNSUBSCRIBE; 3.1.1 knows only success.
    pub(in crate::worker) fn has_reason_codes(&self, key: ConnectionKey) -> bool {
        self.get(key).is_some_and(|connection| connection.mqtt.version() != Version::V311)
    }

    /// An answer has left: packets that waited for it may go on.
    fn resume_held_input(&mut self, key: ConnectionKey) {
        if let Some(connection) = self.get_mut(key) {
            connection.has_unprocessed |= connection.mqtt.has_held_input();
        }
        self.mark_dirty(key);
        self.mark_ready(key);
    }

    /// Those that have something to write, each of them to be given to [`Self::flush`]. Give the list back with
    /// [`Self::reuse`].
    pub(in crate::worker) fn take_dirty(&mut self) -> Vec<ConnectionKey> {
        std::mem::take(&mut self.dirty)
    }

    pub(in crate::worker) fn reuse(&mut self, mut dirty: Vec<ConnectionKey>) {
        dirty.clear();
        if self.dirty.is_empty() {
            self.dirty = dirty;
        }
    }

    /// Writes what the transport takes, and counts what stays.
    pub(in crate::worker) fn flush(&mut self, key: ConnectionKey, now: Instant) -> Flushed {
        let flushed = self.write_out(key, now);
        if let Some(connection) = self.get_mut(key) {
            connection.charge_buffers();
        }
        flushed
    }

    fn write_out(&mut self, key: ConnectionKey, now: Instant) -> Flushed {
        let out_bytes_max = self.context.limits.out_bytes_max;
        let Some(connection) = self.get_mut(key) else { return Flushed::Done };
        connection.is_dirty = false;
        if let Stage::Closing(closing) = &mut connection.stage {
            match connection.transport.close_step(&mut connection.out) {
                Ok(finished) => closing.is_finished = finished,
                Err(_) => closing.give_up = now,
            }
            if closing.give_up <= now {
                self.remove(key);
            }
            return Flushed::Done;
        }
        let was_full = connection.out.len() >= out_bytes_max;
        if let Err(error) = connection.transport.write(&mut connection.out) {
            self.count_failure(&error);
            return Flushed::Failed;
        }
        let has_room = connection.out.len() < out_bytes_max;
        let client = connection.connected().map(|connected| connected.client);
        if has_room && (was_full || connection.has_unprocessed) {
            self.mark_ready(key);
        }
        match client {
            Some(client) if has_room && was_full => Flushed::HasRoom(client),
            _ => Flushed::Done,
        }
    }
}
