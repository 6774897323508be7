//! Properties of 5.0: a validated, borrowed view, and the buffer that builds them.
//!
//! The view keeps the bytes as they came. They are checked once when the packet is decoded; reading them again
//! needs no allocation, and forwarding copies them as they are.

use super::read::{Reader, VARINT_MAX};
use super::write::{put_binary, put_u16, put_u32, put_varint};
use super::{DecodeError, EncodeError, malformed, protocol_error};
use crate::ReasonCode;
use crate::topic::TopicName;

/// More user properties than this in one packet are refused.
pub const USER_PROPERTIES_MAX: usize = 256;
/// Those that a server may add to a PUBLISH before it keeps it.
const USER_PROPERTIES_ADDED_MAX: usize = 4;

/// One property (5.0 section 2.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Property<'a> {
    PayloadFormatIndicator(bool),
    MessageExpiryInterval(u32),
    ContentType(&'a str),
    ResponseTopic(&'a str),
    CorrelationData(&'a [u8]),
    SubscriptionIdentifier(u32),
    SessionExpiryInterval(u32),
    AssignedClientIdentifier(&'a str),
    ServerKeepAlive(u16),
    AuthenticationMethod(&'a str),
    AuthenticationData(&'a [u8]),
    RequestProblemInformation(bool),
    WillDelayInterval(u32),
    RequestResponseInformation(bool),
    ResponseInformation(&'a str),
    ServerReference(&'a str),
    ReasonString(&'a str),
    ReceiveMaximum(u16),
    TopicAliasMaximum(u16),
    TopicAlias(u16),
    MaximumQoS(bool),
    RetainAvailable(bool),
    UserProperty(&'a str, &'a str),
    MaximumPacketSize(u32),
    WildcardSubscriptionAvailable(bool),
    SubscriptionIdentifierAvailable(bool),
    SharedSubscriptionAvailable(bool),
}

/// The packets that carry properties.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Connect = 1 << 0,
    Will = 1 << 1,
    Connack = 1 << 2,
    Publish = 1 << 3,
    /// PUBACK, PUBREC, PUBREL, PUBCOMP, SUBACK, UNSUBACK.
    Ack = 1 << 4,
    Subscribe = 1 << 5,
    Unsubscribe = 1 << 6,
    Disconnect = 1 << 7,
    Auth = 1 << 8,
}

const CONNECT: u16 = Place::Connect as u16;
const WILL: u16 = Place::Will as u16;
const CONNACK: u16 = Place::Connack as u16;
const PUBLISH: u16 = Place::Publish as u16;
const ACK: u16 = Place::Ack as u16;
const SUBSCRIBE: u16 = Place::Subscribe as u16;
const UNSUBSCRIBE: u16 = Place::Unsubscribe as u16;
const DISCONNECT: u16 = Place::Disconnect as u16;
const AUTH: u16 = Place::Auth as u16;

const USER_PROPERTY: u8 = 0x26;
const SUBSCRIPTION_IDENTIFIER: u8 = 0x0B;
const MESSAGE_EXPIRY: u8 = 0x02;

/// The packets in which a property may stand (5.0 table 2-4).
const fn places(id: u8) -> u16 {
    match id {
        0x01 | MESSAGE_EXPIRY | 0x03 | 0x08 | 0x09 => PUBLISH | WILL,
        SUBSCRIPTION_IDENTIFIER => PUBLISH | SUBSCRIBE,
        0x11 => CONNECT | CONNACK | DISCONNECT,
        0x12 | 0x13 | 0x1A | 0x24 | 0x25 | 0x28 | 0x29 | 0x2A => CONNACK,
        0x15 | 0x16 => CONNECT | CONNACK | AUTH,
        0x17 | 0x19 => CONNECT,
        0x18 => WILL,
        0x1C => CONNACK | DISCONNECT,
        0x1F => CONNACK | ACK | DISCONNECT | AUTH,
        0x21 | 0x22 | 0x27 => CONNECT | CONNACK,
        0x23 => PUBLISH,
        USER_PROPERTY => CONNECT | WILL | CONNACK | PUBLISH | ACK | SUBSCRIBE | UNSUBSCRIBE | DISCONNECT | AUTH,
        _ => 0,
    }
}

fn boolean(reader: &mut Reader<'_>) -> Result<bool, DecodeError> {
    match reader.u8()? {
        0 => Ok(false),
        1 => Ok(true),
        _ => Err(protocol_error("a boolean property that is neither 0 nor 1")),
    }
}

fn response_topic<'a>(reader: &mut Reader<'a>) -> Result<&'a str, DecodeError> {
    let text = reader.string()?;
    // [MQTT5-3.3.2-14]
    TopicName::parse(text).map_err(|_| protocol_error("a Response Topic that is no topic name"))?;
    Ok(text)
}

fn nonzero<T: PartialEq + From<u8>>(value: T, detail: &'static str) -> Result<T, DecodeError> {
    if value == T::from(0) { Err(protocol_error(detail)) } else { Ok(value) }
}

fn topic_alias(reader: &mut Reader<'_>) -> Result<u16, DecodeError> {
    match reader.u16()? {
        // [MQTT5-3.3.2-8]
        0 => Err(DecodeError { reason: ReasonCode::TOPIC_ALIAS_INVALID, detail: "Topic Alias 0" }),
        alias => Ok(alias),
    }
}

/// The value of a property whose identifier was just read.
fn read_value<'a>(id: u8, reader: &mut Reader<'a>) -> Result<Property<'a>, DecodeError> {
    Ok(match id {
        0x01 => Property::PayloadFormatIndicator(boolean(reader)?),
        MESSAGE_EXPIRY => Property::MessageExpiryInterval(reader.u32()?),
        0x03 => Property::ContentType(reader.string()?),
        0x08 => Property::ResponseTopic(response_topic(reader)?),
        0x09 => Property::CorrelationData(reader.binary()?),
        SUBSCRIPTION_IDENTIFIER => {
            Property::SubscriptionIdentifier(nonzero(reader.varint()?, "Subscription Identifier 0")?)
        }
        0x11 => Property::SessionExpiryInterval(reader.u32()?),
        0x12 => Property::AssignedClientIdentifier(reader.string()?),
        0x13 => Property::ServerKeepAlive(reader.u16()?),
        0x15 => Property::AuthenticationMethod(reader.string()?),
        0x16 => Property::AuthenticationData(reader.binary()?),
        0x17 => Property::RequestProblemInformation(boolean(reader)?),
        0x18 => Property::WillDelayInterval(reader.u32()?),
        0x19 => Property::RequestResponseInformation(boolean(reader)?),
        0x1A => Property::ResponseInformation(reader.string()?),
        0x1C => Property::ServerReference(reader.string()?),
        0x1F => Property::ReasonString(reader.string()?),
        0x21 => Property::ReceiveMaximum(nonzero(reader.u16()?, "Receive Maximum 0")?),
        0x22 => Property::TopicAliasMaximum(reader.u16()?),
        0x23 => Property::TopicAlias(topic_alias(reader)?),
        0x24 => Property::MaximumQoS(boolean(reader)?),
        0x25 => Property::RetainAvailable(boolean(reader)?),
        USER_PROPERTY => Property::UserProperty(reader.string()?, reader.string()?),
        0x27 => Property::MaximumPacketSize(nonzero(reader.u32()?, "Maximum Packet Size 0")?),
        0x28 => Property::WildcardSubscriptionAvailable(boolean(reader)?),
        0x29 => Property::SubscriptionIdentifierAvailable(boolean(reader)?),
        0x2A => Property::SharedSubscriptionAvailable(boolean(reader)?),
        _ => return Err(malformed("an unknown property")),
    })
}

/// Validated properties as they stand on the wire, without their length. Empty in every 3.1.1 packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'a>(&'a [u8]);

macro_rules! accessors {
    ($($(#[$doc:meta])* $name:ident: $variant:ident -> $type:ty;)*) => {
        $($(#[$doc])* pub fn $name(self) -> Option<$type> {
            self.iter().find_map(|property| match property {
                Property::$variant(value) => Some(value),
                _ => None,
            })
        })*
    };
}

impl<'a> Properties<'a> {
    pub const EMPTY: Self = Self(&[]);

    /// Properties of a PUBLISH that were kept as bytes (see [`Self::as_bytes`]) and are read back. The server may have added
    /// some user properties.
    ///
    /// # Errors
    /// As when decoding the packet.
    pub fn parse_publish(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        Self::check(bytes, Place::Publish, USER_PROPERTIES_MAX + USER_PROPERTIES_ADDED_MAX)
    }

    /// The same of bytes that were checked before and have not changed since: nothing is checked again. Reading them ends
    /// at the first byte that is none of a property.
    pub fn kept_publish(bytes: &'a [u8]) -> Self {
        debug_assert!(Self::parse_publish(bytes).is_ok(), "they were checked");
        Self(bytes)
    }

    /// The encoded properties, without the length before them.
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }

    pub fn iter(self) -> impl Iterator<Item = Property<'a>> {
        let mut reader = Reader::new(self.0);
        // The view was validated, so an error cannot occur; it would end the iteration.
        std::iter::from_fn(move || {
            let id = reader.u8().ok()?;
            read_value(id, &mut reader).ok()
        })
    }

    pub fn user_properties(self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.iter().filter_map(|property| match property {
            Property::UserProperty(name, value) => Some((name, value)),
            _ => None,
        })
    }

    /// The first user property of this name.
    pub fn user_property(self, name: &str) -> Option<&'a str> {
        self.user_properties().find_map(|(key, value)| (key == name).then_some(value))
    }

    pub fn subscription_identifiers(self) -> impl Iterator<Item = u32> {
        self.iter().filter_map(|property| match property {
            Property::SubscriptionIdentifier(id) => Some(id),
            _ => None,
        })
    }

    accessors! {
        payload_format_indicator: PayloadFormatIndicator -> bool;
        /// In seconds.
        message_expiry_interval: MessageExpiryInterval -> u32;
        content_type: ContentType -> &'a str;
        response_topic: ResponseTopic -> &'a str;
        correlation_data: CorrelationData -> &'a [u8];
        subscription_identifier: SubscriptionIdentifier -> u32;
        /// In seconds; 0xFFFF_FFFF is never.
        session_expiry_interval: SessionExpiryInterval -> u32;
        assigned_client_identifier: AssignedClientIdentifier -> &'a str;
        /// In seconds.
        server_keep_alive: ServerKeepAlive -> u16;
        authentication_method: AuthenticationMethod -> &'a str;
        authentication_data: AuthenticationData -> &'a [u8];
        request_problem_information: RequestProblemInformation -> bool;
        /// In seconds.
        will_delay_interval: WillDelayInterval -> u32;
        request_response_information: RequestResponseInformation -> bool;
        response_information: ResponseInformation -> &'a str;
        server_reference: ServerReference -> &'a str;
        reason_string: ReasonString -> &'a str;
        receive_maximum: ReceiveMaximum -> u16;
        topic_alias_maximum: TopicAliasMaximum -> u16;
        topic_alias: TopicAlias -> u16;
        /// `true` is QoS 1, `false` QoS 0; absent is QoS 2.
        maximum_qos: MaximumQoS -> bool;
        retain_available: RetainAvailable -> bool;
        maximum_packet_size: MaximumPacketSize -> u32;
        wildcard_subscription_available: WildcardSubscriptionAvailable -> bool;
        subscription_identifier_available: SubscriptionIdentifierAvailable -> bool;
        shared_subscription_available: SharedSubscriptionAvailable -> bool;
    }

    pub fn to_owned(self) -> PropertiesBuf {
        PropertiesBuf(self.0.to_vec())
    }

    /// Without the first ones, as long as they are `skipped`.
    pub fn after(self, skipped: impl Fn(Property<'a>) -> bool) -> Self {
        let mut reader = Reader::new(self.0);
        loop {
            let rest = reader.rest();
            let read = reader.u8().and_then(|id| read_value(id, &mut reader));
            if !read.is_ok_and(&skipped) {
                return Self(rest);
            }
        }
    }

    /// The bytes before and after the Message Expiry Interval; all of them before if there is none.
    pub(crate) fn around_message_expiry(self) -> (&'a [u8], &'a [u8]) {
        let mut reader = Reader::new(self.0);
        loop {
            let start = self.0.len() - reader.len();
            let Ok(id) = reader.u8() else { return (self.0, &[]) };
            if read_value(id, &mut reader).is_err() {
                return (self.0, &[]);
            }
            if id == MESSAGE_EXPIRY {
                return (&self.0[..start], reader.rest());
            }
        }
    }

    /// Reads the length and the properties, and checks each: known, allowed here, at most once unless it may
    /// repeat, its value in range (5.0 section 2.2.2.2).
    pub(crate) fn read(reader: &mut Reader<'a>, place: Place) -> Result<Self, DecodeError> {
        let len = reader.varint()?;
        Self::check(reader.take(len as usize)?, place, USER_PROPERTIES_MAX)
    }

    fn check(bytes: &'a [u8], place: Place, user_properties_max: usize) -> Result<Self, DecodeError> {
        let mut reader = Reader::new(bytes);
        let mut seen: u64 = 0;
        let mut user_properties = 0;
        while !reader.is_empty() {
            let id = read_id(&mut reader)?;
            if places(id) & place as u16 == 0 {
                return Err(malformed("a property that does not belong to this packet"));
            }
            let repeats = id == USER_PROPERTY || (id == SUBSCRIPTION_IDENTIFIER && place == Place::Publish);
            if !repeats && seen & (1 << id) != 0 {
                return Err(protocol_error("a property twice"));
            }
            seen |= 1 << id;
            user_properties += usize::from(id == USER_PROPERTY);
            if user_properties > user_properties_max {
                return Err(DecodeError { reason: ReasonCode::QUOTA_EXCEEDED, detail: "too many user properties" });
            }
            read_value(id, &mut reader)?;
        }
        Ok(Self(bytes))
    }
}

/// A property identifier is a variable byte integer, but all that exist have one byte.
fn read_id(reader: &mut Reader<'_>) -> Result<u8, DecodeError> {
    match reader.varint()? {
        id @ 1..=0x2A => Ok(id as u8),
        _ => Err(malformed("an unknown property")),
    }
}

impl<'a> Properties<'a> {
    /// A size in bytes that a frame can announce is the caller's to keep; lengths past it fail when encoding.
    pub(crate) fn write(self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let len = u32::try_from(self.0.len()).ok().filter(|&len| len <= VARINT_MAX);
        put_varint(out, len.ok_or(EncodeError::PacketTooLong)?);
        out.extend_from_slice(self.0);
        Ok(())
    }
}

/// Properties that are being put together, or kept.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PropertiesBuf(Vec<u8>);

impl PropertiesBuf {
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// What was pushed so far. Whether it may stand in a certain packet is checked by who decodes it.
    pub fn view(&self) -> Properties<'_> {
        Properties(&self.0)
    }

    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    /// Appends one property.
    ///
    /// # Errors
    /// When a string or a binary value is longer than 65,535 bytes, a string holds NUL, or a number is out of range.
    pub fn push(&mut self, property: Property<'_>) -> Result<(), EncodeError> {
        let start = self.0.len();
        let pushed = write_property(&mut self.0, property).and_then(|()| self.verify_last(start));
        if pushed.is_err() {
            self.0.truncate(start);
        }
        pushed
    }

    /// For building in one expression; see [`Self::push`].
    ///
    /// # Errors
    /// As [`Self::push`].
    pub fn with(mut self, property: Property<'_>) -> Result<Self, EncodeError> {
        self.push(property)?;
        Ok(self)
    }

    fn verify_last(&self, start: usize) -> Result<(), EncodeError> {
        let mut reader = Reader::new(&self.0[start..]);
        let read = reader.u8().and_then(|id| read_value(id, &mut reader));
        read.map(|_| ()).map_err(|_| EncodeError::InvalidValue)
    }
}

fn write_property(out: &mut Vec<u8>, property: Property<'_>) -> Result<(), EncodeError> {
    let (id, value) = split(property);
    out.push(id);
    match value {
        Value::Byte(value) => out.push(u8::from(value)),
        Value::Two(value) => put_u16(out, value),
        Value::Four(value) => put_u32(out, value),
        Value::Variable(value) if value > VARINT_MAX => return Err(EncodeError::InvalidValue),
        Value::Variable(value) => put_varint(out, value),
        Value::Bytes(bytes) => put_binary(out, bytes)?,
        Value::Pair(name, value) => {
            put_binary(out, name.as_bytes())?;
            put_binary(out, value.as_bytes())?;
        }
    }
    Ok(())
}

enum Value<'a> {
    Byte(bool),
    Two(u16),
    Four(u32),
    Variable(u32),
    Bytes(&'a [u8]),
    Pair(&'a str, &'a str),
}

/// The identifier and the wire type of a property.
fn split(property: Property<'_>) -> (u8, Value<'_>) {
    match property {
        Property::PayloadFormatIndicator(v) => (0x01, Value::Byte(v)),
        Property::MessageExpiryInterval(v) => (MESSAGE_EXPIRY, Value::Four(v)),
        Property::ContentType(v) => (0x03, Value::Bytes(v.as_bytes())),
        Property::ResponseTopic(v) => (0x08, Value::Bytes(v.as_bytes())),
        Property::CorrelationData(v) => (0x09, Value::Bytes(v)),
        Property::SubscriptionIdentifier(v) => (SUBSCRIPTION_IDENTIFIER, Value::Variable(v)),
        Property::SessionExpiryInterval(v) => (0x11, Value::Four(v)),
        Property::AssignedClientIdentifier(v) => (0x12, Value::Bytes(v.as_bytes())),
        Property::ServerKeepAlive(v) => (0x13, Value::Two(v)),
        Property::AuthenticationMethod(v) => (0x15, Value::Bytes(v.as_bytes())),
        Property::AuthenticationData(v) => (0x16, Value::Bytes(v)),
        Property::RequestProblemInformation(v) => (0x17, Value::Byte(v)),
        Property::WillDelayInterval(v) => (0x18, Value::Four(v)),
        Property::RequestResponseInformation(v) => (0x19, Value::Byte(v)),
        Property::ResponseInformation(v) => (0x1A, Value::Bytes(v.as_bytes())),
        Property::ServerReference(v) => (0x1C, Value::Bytes(v.as_bytes())),
        Property::ReasonString(v) => (0x1F, Value::Bytes(v.as_bytes())),
        Property::ReceiveMaximum(v) => (0x21, Value::Two(v)),
        Property::TopicAliasMaximum(v) => (0x22, Value::Two(v)),
        Property::TopicAlias(v) => (0x23, Value::Two(v)),
        Property::MaximumQoS(v) => (0x24, Value::Byte(v)),
        Property::RetainAvailable(v) => (0x25, Value::Byte(v)),
        Property::UserProperty(name, value) => (USER_PROPERTY, Value::Pair(name, value)),
        Property::MaximumPacketSize(v) => (0x27, Value::Four(v)),
        Property::WildcardSubscriptionAvailable(v) => (0x28, Value::Byte(v)),
        Property::SubscriptionIdentifierAvailable(v) => (0x29, Value::Byte(v)),
        Property::SharedSubscriptionAvailable(v) => (0x2A, Value::Byte(v)),
    }
}

/// The length that `id` takes up as a Subscription Identifier property.
pub(crate) const fn subscription_id_len(id: u32) -> usize {
    1 + super::write::varint_len(id)
}

pub(crate) fn put_subscription_id(out: &mut Vec<u8>, id: u32) {
    out.push(SUBSCRIPTION_IDENTIFIER);
    put_varint(out, id);
}

pub(crate) const MESSAGE_EXPIRY_LEN: usize = 5;

pub(crate) fn put_message_expiry(out: &mut Vec<u8>, seconds: u32) {
    out.push(MESSAGE_EXPIRY);
    put_u32(out, seconds);
}

/// The properties part of a packet that may end before it: absent means none.
pub(crate) fn read_optional<'a>(reader: &mut Reader<'a>, place: Place) -> Result<Properties<'a>, DecodeError> {
    if reader.is_empty() { Ok(Properties::EMPTY) } else { Properties::read(reader, place) }
}
