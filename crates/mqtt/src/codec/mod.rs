//! Packets: bytes to borrowed views and back.
//!
//! [`decode`] looks at one packet at the start of a buffer. It needs no state, so a packet that arrives split at
//! any byte is decoded by asking again with more bytes; only the header is read until the packet is complete.
//! An announced length allocates nothing. Every packet type decodes, also those that the connection refuses.

mod ack;
mod auth;
mod connect;
mod disconnect;
mod property;
mod publish;
mod read;
mod subscribe;
mod write;

pub use ack::Ack;
pub use auth::Auth;
pub use connect::{Connack, Connect, Will};
pub use disconnect::Disconnect;
pub use property::{Properties, PropertiesBuf, Property, USER_PROPERTIES_MAX};
pub use publish::{ForwardedProperties, Publish};
pub use subscribe::{
    ReasonCodes, Suback, Subscribe, SubscribeFilter, SubscribeFilters, SubscribeFiltersBuf, Unsuback, Unsubscribe,
    UnsubscribeFilters, UnsubscribeFiltersBuf,
};

pub(crate) use ack::write_ack;
pub(crate) use connect::peek_level;
pub(crate) use subscribe::{write_suback, write_unsuback};

use thiserror::Error;

use crate::{ReasonCode, Version};
use read::{Reader, varint};

/// The largest packet that the protocol can express: five header bytes and 268,435,455 more.
pub const PACKET_SIZE_MAX: u32 = 268_435_460;

/// Bytes that are no packet. The connection they came on cannot go on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{detail} ({reason})")]
pub struct DecodeError {
    /// What 5.0 calls it on the wire.
    pub reason: ReasonCode,
    pub detail: &'static str,
}

pub(crate) const fn malformed(detail: &'static str) -> DecodeError {
    DecodeError { reason: ReasonCode::MALFORMED_PACKET, detail }
}

pub(crate) const fn protocol_error(detail: &'static str) -> DecodeError {
    DecodeError { reason: ReasonCode::PROTOCOL_ERROR, detail }
}

/// A packet that cannot be written; the output buffer is as it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum EncodeError {
    #[error("a string or binary value is longer than 65,535 bytes")]
    FieldTooLong,
    #[error("the packet is longer than 268,435,455 bytes")]
    PacketTooLong,
    #[error("a value that its field cannot hold")]
    InvalidValue,
    #[error("a packet or reason code that this protocol version does not have")]
    NotInThisVersion,
}

/// Any packet, as a view over the buffer that it was decoded from, or over what is to be encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packet<'a> {
    Connect(Connect<'a>),
    Connack(Connack<'a>),
    Publish(Publish<'a>),
    Puback(Ack<'a>),
    Pubrec(Ack<'a>),
    Pubrel(Ack<'a>),
    Pubcomp(Ack<'a>),
    Subscribe(Subscribe<'a>),
    Suback(Suback<'a>),
    Unsubscribe(Unsubscribe<'a>),
    Unsuback(Unsuback<'a>),
    Pingreq,
    Pingresp,
    Disconnect(Disconnect<'a>),
    Auth(Auth<'a>),
}

/// The packet types of the fixed header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PacketType {
    Connect = 1,
    Connack,
    Publish,
    Puback,
    Pubrec,
    Pubrel,
    Pubcomp,
    Subscribe,
    Suback,
    Unsubscribe,
    Unsuback,
    Pingreq,
    Pingresp,
    Disconnect,
    Auth,
}

impl PacketType {
    const fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            1 => Self::Connect,
            2 => Self::Connack,
            3 => Self::Publish,
            4 => Self::Puback,
            5 => Self::Pubrec,
            6 => Self::Pubrel,
            7 => Self::Pubcomp,
            8 => Self::Subscribe,
            9 => Self::Suback,
            10 => Self::Unsubscribe,
            11 => Self::Unsuback,
            12 => Self::Pingreq,
            13 => Self::Pingresp,
            14 => Self::Disconnect,
            15 => Self::Auth,
            _ => return None,
        })
    }

    /// The flags that the fixed header must carry; PUBLISH has its own.
    const fn flags(self) -> u8 {
        match self {
            Self::Pubrel | Self::Subscribe | Self::Unsubscribe => 0b0010,
            _ => 0,
        }
    }

    /// The first byte of a packet that is not a PUBLISH.
    pub(crate) const fn first_byte(self) -> u8 {
        (self as u8) << 4 | self.flags()
    }
}

/// The start of a packet, checked.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: PacketType,
    flags: u8,
    header_len: usize,
    body_len: usize,
}

impl Header {
    /// The type and flags of the first byte: reserved flags are malformed
    /// [MQTT5-2.1.3-1] [MQTT311-2.2.2-1] [MQTT311-2.2.2-2].
    pub(crate) fn first_byte(byte: u8, version: Version) -> Result<(PacketType, u8), DecodeError> {
        let kind = PacketType::from_bits(byte >> 4).ok_or(malformed("packet type 0"))?;
        if kind == PacketType::Auth && !version.has_properties() {
            return Err(malformed("AUTH in 3.1.1"));
        }
        let flags = byte & 0x0F;
        match kind {
            PacketType::Publish => publish::check_flags(flags).map(|_| ())?,
            _ if flags != kind.flags() => return Err(malformed("reserved flags of the fixed header")),
            _ => {}
        }
        Ok((kind, flags))
    }

    fn decode(bytes: &[u8], version: Version, max_packet_size: u32) -> Result<Option<Self>, DecodeError> {
        let Some((&first, rest)) = bytes.split_first() else { return Ok(None) };
        let (kind, flags) = Self::first_byte(first, version)?;
        let Some((body_len, varint_len)) = varint(rest)? else { return Ok(None) };
        let header = Self { kind, flags, header_len: 1 + varint_len, body_len: body_len as usize };
        if header.packet_len() > max_packet_size as usize {
            // [MQTT5-3.2.2-15]
            return Err(DecodeError { reason: ReasonCode::PACKET_TOO_LARGE, detail: "packet too large" });
        }
        Ok(Some(header))
    }

    const fn packet_len(&self) -> usize {
        self.header_len + self.body_len
    }
}

/// Decodes the packet at the start of `bytes` and returns it with its length; `None` if it is not complete yet.
///
/// `version` is that of the connection; a CONNECT carries its own and ignores it. `max_packet_size` counts the
/// whole packet and is enforced as soon as the length is known.
///
/// # Errors
/// [`DecodeError`] for whatever breaks a rule that one packet alone can break, as soon as the bytes at hand show it.
/// The protocol has no way to go on after it.
pub fn decode(
    bytes: &[u8],
    version: Version,
    max_packet_size: u32,
) -> Result<Option<(Packet<'_>, usize)>, DecodeError> {
    let Some(header) = Header::decode(bytes, version, max_packet_size)? else { return Ok(None) };
    let len = header.packet_len();
    let Some(body) = bytes.get(header.header_len..len) else { return Ok(None) };
    decode_body(&header, body, version).map(|packet| Some((packet, len)))
}

fn decode_body<'a>(header: &Header, body: &'a [u8], version: Version) -> Result<Packet<'a>, DecodeError> {
    let mut reader = Reader::new(body);
    let r = &mut reader;
    let packet = match header.kind {
        PacketType::Connect => Packet::Connect(Connect::read(r)?),
        PacketType::Connack => Packet::Connack(Connack::read(r, version)?),
        PacketType::Publish => Packet::Publish(Publish::read(header.flags, r, version)?),
        PacketType::Puback => Packet::Puback(Ack::read(r, version, header.kind)?),
        PacketType::Pubrec => Packet::Pubrec(Ack::read(r, version, header.kind)?),
        PacketType::Pubrel => Packet::Pubrel(Ack::read(r, version, header.kind)?),
        PacketType::Pubcomp => Packet::Pubcomp(Ack::read(r, version, header.kind)?),
        PacketType::Subscribe => Packet::Subscribe(Subscribe::read(r, version)?),
        PacketType::Suback => Packet::Suback(Suback::read(r, version)?),
        PacketType::Unsubscribe => Packet::Unsubscribe(Unsubscribe::read(r, version)?),
        PacketType::Unsuback => Packet::Unsuback(Unsuback::read(r, version)?),
        PacketType::Pingreq => Packet::Pingreq,
        PacketType::Pingresp => Packet::Pingresp,
        PacketType::Disconnect => Packet::Disconnect(Disconnect::read(r, version)?),
        PacketType::Auth => Packet::Auth(Auth::read(r)?),
    };
    reader.end()?;
    Ok(packet)
}

/// Appends a packet to `out`. Properties and reason codes are left out in 3.1.1.
///
/// # Errors
/// [`EncodeError`]; `out` is then as it was.
pub fn encode(packet: &Packet<'_>, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
    match packet {
        Packet::Connect(connect) => connect.write(out),
        Packet::Connack(connack) => connack.write(version, out),
        Packet::Publish(publish) => publish.write(version, out),
        Packet::Puback(ack) => write_ack(PacketType::Puback, ack, version, out),
        Packet::Pubrec(ack) => write_ack(PacketType::Pubrec, ack, version, out),
        Packet::Pubrel(ack) => write_ack(PacketType::Pubrel, ack, version, out),
        Packet::Pubcomp(ack) => write_ack(PacketType::Pubcomp, ack, version, out),
        Packet::Subscribe(subscribe) => subscribe.write(version, out),
        Packet::Suback(suback) => suback.write(version, out),
        Packet::Unsubscribe(unsubscribe) => unsubscribe.write(version, out),
        Packet::Unsuback(unsuback) => unsuback.write(version, out),
        Packet::Pingreq => write::frame(out, PacketType::Pingreq.first_byte(), |_| Ok(())),
        Packet::Pingresp => write::frame(out, PacketType::Pingresp.first_byte(), |_| Ok(())),
        Packet::Disconnect(disconnect) => disconnect.write(version, out),
        Packet::Auth(auth) => auth.write(version, out),
    }
}

/// The body of the fuzz target: whatever the bytes are, decoding ends, reads nothing outside them, and what it
/// accepts it can write and read again as the same packet.
#[doc(hidden)]
pub fn fuzz(bytes: &[u8]) {
    for version in [Version::V311, Version::V5] {
        let Ok(Some((packet, len))) = decode(bytes, version, PACKET_SIZE_MAX) else { continue };
        assert!(len <= bytes.len(), "a packet is never longer than the bytes it came from");
        let mut again = Vec::new();
        encode(&packet, version, &mut again).expect("what was decoded fits into a packet");
        let decoded = decode(&again, version, PACKET_SIZE_MAX);
        assert_eq!(decoded, Ok(Some((packet, again.len()))), "encoding and decoding are inverse");
    }
}
