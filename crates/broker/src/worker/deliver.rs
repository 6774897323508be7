//! From the inbox to the client, as far as its window and its socket go.

use commitlog::Position;
use mqtt::codec::{ForwardedProperties, Properties};
use mqtt::server::Sent;
use mqtt::{Delivery, ReasonCode};

use super::Worker;
use super::post::{LinkKey, Outcome};
use crate::client::ClientKey;
use crate::inbox::{Gone, Outgoing};
use crate::message::{Message, SharedMessage};

/// A message that has just been put into inboxes, so that who reads at once costs no read of the log.
#[derive(Clone, Copy)]
pub(super) struct Fresh<'a> {
    pub(super) position: Position,
    pub(super) message: &'a SharedMessage,
}

impl Worker {
    /// Sends what waits until the window is closed or the client does not read.
    pub(super) fn deliver(&mut self, client: &ClientKey) {
        self.deliver_with(client, None);
    }

    pub(super) fn deliver_fresh(&mut self, client: &ClientKey, fresh: Fresh<'_>) {
        self.deliver_with(client, Some(fresh));
    }

    fn deliver_with(&mut self, client: &ClientKey, fresh: Option<Fresh<'_>>) {
        let Some(key) = self.live_link_of(client) else { return };
        let mut expired = Vec::new();
        while self.has_room(key) {
            let now_ms = self.now_ms;
            let Some(seat) = self.seats.get_mut(client) else { break };
            let Some(outgoing) = seat.inbox.hand_out(now_ms, &mut expired) else { break };
            self.send(key, client, outgoing, fresh);
        }
        self.shared.counts.expired.add(expired.len() as u64);
        expired.into_iter().for_each(|gone| self.forget(client, gone));
    }

    fn live_link_of(&mut self, client: &ClientKey) -> Option<LinkKey> {
        let key = self.seats.get(client)?.link?;
        self.link(key)?.live().map(|_| key)
    }

    fn has_room(&mut self, key: LinkKey) -> bool {
        let out_bytes_max = self.shared.limits.out_bytes_max;
        self.link(key).is_some_and(|link| link.out.len() < out_bytes_max)
    }

    fn send(&mut self, key: LinkKey, client: &ClientKey, outgoing: Outgoing, fresh: Option<Fresh<'_>>) {
        let Outgoing { id, entry, packet_id, dup, is_first } = outgoing;
        let Some(message) = entry.message.or_else(|| self.message_at(client, id.position()?, fresh)) else {
            return self.give_up(client, packet_id);
        };
        let delivery = Delivery::AtLeastOnce { packet_id, dup };
        match self.write(key, &message, delivery, &entry.subscription_ids) {
            Sent::Written => {
                self.shared.counts.sent.one();
                if let Some(position) = id.position().filter(|_| is_first) {
                    self.lazy.handed_out(client, position, packet_id);
                }
            }
            Sent::TooLarge => {
                // As if delivered [MQTT5-3.1.2-25].
                self.shared.counts.dropped_too_large.one();
                self.done(client, packet_id);
            }
            // It stays in flight and goes out on the next connection.
            Sent::NotOpen => {}
        }
    }

    fn message_at(&self, client: &ClientKey, at: Position, fresh: Option<Fresh<'_>>) -> Option<SharedMessage> {
        if let Some(fresh) = fresh.filter(|fresh| fresh.position == at) {
            return Some(fresh.message.clone());
        }
        match self.shared.journal.read_message(at) {
            Ok(message) => Some(message.into()),
            Err(error) => {
                tracing::error!(%error, client_group = client.group(), "a waiting message cannot be read");
                None
            }
        }
    }

    /// A message that cannot be read is skipped; the log keeps it.
    fn give_up(&mut self, client: &ClientKey, packet_id: mqtt::PacketId) {
        self.shared.counts.unreadable.one();
        let Some(Gone { size, .. }) = self.seats.get_mut(client).and_then(|seat| seat.inbox.ack(packet_id)) else {
            return;
        };
        self.shared.counts.inbox_messages.less(1);
        self.shared.counts.inbox_bytes.less(u64::from(size));
    }

    fn done(&mut self, client: &ClientKey, packet_id: mqtt::PacketId) {
        if let Some(gone) = self.seats.get_mut(client).and_then(|seat| seat.inbox.ack(packet_id)) {
            self.forget(client, gone);
        }
    }

    fn write(&mut self, key: LinkKey, message: &Message, delivery: Delivery, ids: &[u32]) -> Sent {
        let message_expiry_s = message.expiry_left_s(self.now_ms);
        let Some(link) = self.link(key) else { return Sent::NotOpen };
        let properties = ForwardedProperties {
            // The bytes were checked when the message was made.
            base: Properties::parse_publish(&message.properties).unwrap_or_default(),
            message_expiry_s,
            subscription_ids: ids,
        };
        let sent = link.mqtt.publish(&message.as_publish(delivery), &properties, &mut link.out);
        self.mark_dirty(key);
        sent
    }

    /// QoS 0: now or never.
    pub(super) fn send_at_most_once(&mut self, client: &ClientKey, message: &SharedMessage, ids: &[u32]) -> Outcome {
        let counts = self.shared.counts.clone();
        let Some(key) = self.live_link_of(client) else {
            counts.dropped_absent.one();
            return Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS);
        };
        if super::route::is_over(message, self.now_ms) {
            counts.expired.one();
        } else if !self.has_room(key) {
            counts.dropped_slow.one();
        } else {
            match self.write(key, message, Delivery::AtMostOnce, ids) {
                Sent::Written => counts.sent.one(),
                Sent::TooLarge => counts.dropped_too_large.one(),
                Sent::NotOpen => counts.dropped_absent.one(),
            }
        }
        Outcome::Done(ReasonCode::SUCCESS)
    }
}
