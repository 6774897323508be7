//! PUBLISH, and how it is forwarded without decoding it again.

use super::connect::read_properties;
use super::property::{
    MESSAGE_EXPIRY_LEN, Place, Properties, put_message_expiry, put_subscription_id, subscription_id_len,
};
use super::read::{Reader, VARINT_MAX};
use super::write::{put_binary, put_packet_id, put_varint, varint_len};
use super::{DecodeError, EncodeError, PacketType, malformed, protocol_error};
use crate::topic::{TopicError, TopicName};
use crate::{Delivery, QoS, Version};

const RETAIN: u8 = 1 << 0;
const DUP: u8 = 1 << 3;

/// A message on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Publish<'a> {
    pub delivery: Delivery,
    pub retain: bool,
    /// Empty only where a Topic Alias stands for it.
    pub topic: &'a str,
    /// The encoded bytes can be kept and forwarded as they are ([`Properties::as_bytes`]).
    pub properties: Properties<'a>,
    pub payload: &'a [u8],
}

/// [MQTT5-3.3.1-2] [MQTT5-3.3.1-4] [MQTT311-3.3.1-2] [MQTT311-3.3.1-4]
pub(super) fn check_flags(flags: u8) -> Result<QoS, DecodeError> {
    let qos = QoS::from_bits(flags >> 1 & 0b11).ok_or(malformed("QoS 3"))?;
    if qos == QoS::AtMostOnce && flags & DUP != 0 { Err(malformed("DUP on QoS 0")) } else { Ok(qos) }
}

impl<'a> Publish<'a> {
    pub(crate) fn read(flags: u8, r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let qos = check_flags(flags)?;
        let dup = flags & DUP != 0;
        let topic = r.string()?;
        let delivery = match qos {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce { packet_id: r.packet_id()?, dup },
            QoS::ExactlyOnce => Delivery::ExactlyOnce { packet_id: r.packet_id()?, dup },
        };
        let properties = read_properties(r, version, Place::Publish)?;
        check_topic(topic, properties)?;
        Ok(Self { delivery, retain: flags & RETAIN != 0, topic, properties, payload: r.take_rest() })
    }

    pub(crate) fn write(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let properties = ForwardedProperties::unchanged(self.properties);
        self.write_forwarded(version, &properties, out)
    }

    /// Writes the message with `properties` in place of its own.
    pub(crate) fn write_forwarded(
        &self,
        version: Version,
        properties: &ForwardedProperties<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), EncodeError> {
        let body_len = self.body_len(version, properties)?;
        out.reserve(5 + body_len as usize);
        out.push(first_byte(self.delivery, self.retain));
        put_varint(out, body_len);
        put_binary(out, self.topic.as_bytes())?;
        if let Some(id) = self.delivery.packet_id() {
            put_packet_id(out, id);
        }
        if version.has_properties() {
            properties.write(out);
        }
        out.extend_from_slice(self.payload);
        Ok(())
    }

    /// Checks every limit before a byte is written.
    fn body_len(&self, version: Version, properties: &ForwardedProperties<'_>) -> Result<u32, EncodeError> {
        if self.topic.len() > usize::from(u16::MAX) {
            return Err(EncodeError::FieldTooLong);
        }
        let id_len = if self.delivery.packet_id().is_some() { 2 } else { 0 };
        let properties_len = if version.has_properties() { properties.len_with_prefix()? } else { 0 };
        let len = 2 + self.topic.len() + id_len + properties_len + self.payload.len();
        u32::try_from(len).ok().filter(|&len| len <= VARINT_MAX).ok_or(EncodeError::PacketTooLong)
    }

    /// The size of the whole packet with `properties` in place of its own.
    pub(crate) fn packet_len(
        &self,
        version: Version,
        properties: &ForwardedProperties<'_>,
    ) -> Result<usize, EncodeError> {
        let body_len = self.body_len(version, properties)?;
        Ok(1 + varint_len(body_len) + body_len as usize)
    }
}

fn first_byte(delivery: Delivery, retain: bool) -> u8 {
    let dup = if delivery.dup() { DUP } else { 0 };
    PacketType::Publish.first_byte() | dup | (delivery.qos() as u8) << 1 | u8::from(retain)
}

fn check_topic(topic: &str, properties: Properties<'_>) -> Result<(), DecodeError> {
    match TopicName::parse(topic) {
        Ok(_) => Ok(()),
        Err(TopicError::Empty) if properties.topic_alias().is_some() => Ok(()),
        Err(TopicError::Empty) => Err(protocol_error("an empty topic")),
        Err(error) => Err(DecodeError { reason: error.name_reason(), detail: "a topic that is no topic name" }),
    }
}

/// The properties of a message on its way to a receiver: the publisher's own, unaltered and in order, except for
/// what the server sets [MQTT5-3.3.2-17] [MQTT5-3.3.2-18].
#[derive(Clone, Copy, Debug, Default)]
pub struct ForwardedProperties<'a> {
    pub base: Properties<'a>,
    /// What is left of the message's expiry, in seconds; takes the place of the one in `base` [MQTT5-3.3.2-6].
    /// `None` leaves `base` as it is.
    pub message_expiry_s: Option<u32>,
    /// The identifiers of the receiver's matching subscriptions.
    pub subscription_ids: &'a [u32],
}

impl<'a> ForwardedProperties<'a> {
    pub const fn unchanged(base: Properties<'a>) -> Self {
        Self { base, message_expiry_s: None, subscription_ids: &[] }
    }

    fn base_parts(&self) -> (&'a [u8], &'a [u8]) {
        match self.message_expiry_s {
            Some(_) => self.base.around_message_expiry(),
            None => (self.base.as_bytes(), &[]),
        }
    }

    fn len(&self) -> usize {
        let (before, after) = self.base_parts();
        let expiry = self.message_expiry_s.map_or(0, |_| MESSAGE_EXPIRY_LEN);
        let ids: usize = self.subscription_ids.iter().map(|&id| subscription_id_len(id)).sum();
        before.len() + after.len() + expiry + ids
    }

    fn len_with_prefix(&self) -> Result<usize, EncodeError> {
        if self.subscription_ids.iter().any(|&id| id == 0 || id > VARINT_MAX) {
            return Err(EncodeError::InvalidValue);
        }
        let len = u32::try_from(self.len()).ok().filter(|&len| len <= VARINT_MAX).ok_or(EncodeError::PacketTooLong)?;
        Ok(varint_len(len) + len as usize)
    }

    /// The caller has checked [`Self::len_with_prefix`].
    fn write(&self, out: &mut Vec<u8>) {
        put_varint(out, self.len() as u32);
        let (before, after) = self.base_parts();
        out.extend_from_slice(before);
        out.extend_from_slice(after);
        if let Some(seconds) = self.message_expiry_s {
            put_message_expiry(out, seconds);
        }
        self.subscription_ids.iter().for_each(|&id| put_subscription_id(out, id));
    }
}
