//! What the app sends: messages, subscriptions, acknowledgements.

use std::time::Instant;

use super::{Client, Outgoing, PublishError, SUBSCRIBES_PENDING_MAX, SubscribeError};
use crate::client::{AckHandle, Event, Publication, PublishId};
use crate::codec::{
    self, Ack, Packet, Properties, Publish, Subscribe, SubscribeFiltersBuf, Unsubscribe, UnsubscribeFiltersBuf,
};
use crate::session::{HandOut, Priority};
use crate::topic::{TopicFilter, TopicName};
use crate::{Delivery, PacketId, QoS, ReasonCode, SubscriptionOptions};

impl Client {
    /// Takes a message. At QoS 1 it is kept until the server has acknowledged it, over all connections of this
    /// client; [`Event::Published`] says so. At QoS 0 it is sent now or never.
    ///
    /// # Errors
    /// [`PublishError`]; nothing was taken.
    pub fn publish(&mut self, message: Publication<'_>, now: Instant) -> Result<PublishId, PublishError> {
        TopicName::parse(message.topic).map_err(|_| PublishError::Topic)?;
        let id = PublishId(self.next_publish);
        match message.qos {
            QoS::ExactlyOnce => return Err(PublishError::QoS2),
            QoS::AtMostOnce if !self.is_connected() => return Err(PublishError::NotConnected),
            QoS::AtMostOnce => {
                let publish = publish_packet(Delivery::AtMostOnce, message.topic, message.properties, message.payload);
                if !self.write(&Packet::Publish(publish), now) {
                    return Err(PublishError::TooLarge);
                }
            }
            QoS::AtLeastOnce => self.enqueue(id, message)?,
        }
        self.next_publish += 1;
        self.flush_outgoing(now);
        Ok(id)
    }

    fn enqueue(&mut self, id: PublishId, message: Publication<'_>) -> Result<(), PublishError> {
        let size = message.topic.len() + message.properties.as_bytes().len() + message.payload.len();
        if size > codec::PACKET_SIZE_MAX as usize / 2 {
            return Err(PublishError::TooLarge);
        }
        self.sending.push(id, Priority::Normal).map_err(|_| PublishError::Full)?;
        let outgoing = Outgoing {
            topic: message.topic.to_owned(),
            payload: message.payload.to_vec(),
            properties: message.properties.to_owned(),
        };
        self.outgoing.insert(id, outgoing);
        Ok(())
    }

    /// Sends what the window allows. A message that this server does not take is done, with the reason.
    pub(super) fn flush_outgoing(&mut self, now: Instant) {
        while self.is_connected() {
            let Some(HandOut { entry, packet_id, dup, .. }) = self.sending.hand_out() else { return };
            if let Err(reason) = self.send(entry, packet_id, dup, now) {
                self.sending.ack(packet_id);
                self.finish_publish(entry, reason);
            }
        }
    }

    fn send(&mut self, id: PublishId, packet_id: PacketId, dup: bool, now: Instant) -> Result<(), ReasonCode> {
        if self.server.maximum_qos < QoS::AtLeastOnce {
            // [MQTT5-3.2.2-11]
            return Err(ReasonCode::QOS_NOT_SUPPORTED);
        }
        let Some(message) = self.outgoing.remove(&id) else { return Err(ReasonCode::UNSPECIFIED_ERROR) };
        let delivery = Delivery::AtLeastOnce { packet_id, dup };
        let publish = publish_packet(delivery, &message.topic, message.properties.view(), &message.payload);
        let written = self.write(&Packet::Publish(publish), now);
        self.outgoing.insert(id, message);
        if written { Ok(()) } else { Err(ReasonCode::PACKET_TOO_LARGE) }
    }

    pub(super) fn finish_publish(&mut self, id: PublishId, reason: ReasonCode) {
        self.outgoing.remove(&id);
        self.events.push_back(Event::Published { id, reason });
    }

    /// Asks for subscriptions; [`Event::Subscribed`] answers. A SUBSCRIBE whose connection is lost is forgotten.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing was sent.
    pub fn subscribe(
        &mut self,
        filters: &[(TopicFilter<'_>, SubscriptionOptions)],
        now: Instant,
    ) -> Result<PacketId, SubscribeError> {
        let mut wishes = SubscribeFiltersBuf::default();
        filters.iter().for_each(|&(filter, options)| wishes.push(filter, options));
        self.request(filters.is_empty(), now, |packet_id| {
            Packet::Subscribe(Subscribe { packet_id, properties: Properties::EMPTY, filters: wishes.view() })
        })
    }

    /// Gives subscriptions up; [`Event::Unsubscribed`] answers.
    ///
    /// # Errors
    /// [`SubscribeError`]; nothing was sent.
    pub fn unsubscribe(&mut self, filters: &[TopicFilter<'_>], now: Instant) -> Result<PacketId, SubscribeError> {
        let mut names = UnsubscribeFiltersBuf::default();
        filters.iter().for_each(|&filter| names.push(filter));
        self.request(filters.is_empty(), now, |packet_id| {
            Packet::Unsubscribe(Unsubscribe { packet_id, properties: Properties::EMPTY, filters: names.view() })
        })
    }

    fn request<'p>(
        &mut self,
        is_empty: bool,
        now: Instant,
        packet: impl FnOnce(PacketId) -> Packet<'p>,
    ) -> Result<PacketId, SubscribeError> {
        if !self.is_connected() {
            return Err(SubscribeError::NotConnected);
        }
        if is_empty {
            return Err(SubscribeError::NoFilter);
        }
        if self.sending.reserved_len() >= SUBSCRIBES_PENDING_MAX {
            return Err(SubscribeError::Full);
        }
        let packet_id = self.sending.reserve_id();
        if !self.write(&packet(packet_id), now) {
            self.sending.release_id(packet_id);
            return Err(SubscribeError::TooLarge);
        }
        Ok(packet_id)
    }

    /// Releases the PUBACK of a received message, in any order; PUBACKs leave in the order of the messages. False if
    /// the message came on an earlier connection: the PUBACK is dropped, since on this one its packet id may name
    /// another message.
    pub fn ack(&mut self, handle: AckHandle, now: Instant) -> bool {
        if !self.acks.complete(handle.0, ReasonCode::SUCCESS) {
            return false;
        }
        while let Some((packet_id, reason)) = self.acks.pop_ready() {
            self.write(&Packet::Puback(Ack::new(packet_id, reason)), now);
        }
        true
    }
}

fn publish_packet<'a>(
    delivery: Delivery,
    topic: &'a str,
    properties: Properties<'a>,
    payload: &'a [u8],
) -> Publish<'a> {
    Publish { delivery, retain: false, topic, properties, payload }
}
