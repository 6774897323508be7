//! CONNECT and CONNACK.

use super::property::{Place, Properties};
use super::read::Reader;
use super::write::{frame, put_binary, put_u16};
use super::{DecodeError, EncodeError, PacketType, Property, malformed, protocol_error};
use crate::reason::ReasonPlace;
use crate::topic::TopicName;
use crate::{ConnectReturnCode, QoS, ReasonCode, Version};

const NAME: &[u8] = b"MQTT";
/// The name of 3.1, whose level is 3 and whose packets are those of 3.1.1.
const NAME_3_1: &[u8] = b"MQIsdp";
const LEVEL_3_1: u8 = 3;

const RESERVED: u8 = 1 << 0;
const CLEAN_START: u8 = 1 << 1;
const WILL: u8 = 1 << 2;
const WILL_RETAIN: u8 = 1 << 5;
const PASSWORD: u8 = 1 << 6;
const USER_NAME: u8 = 1 << 7;

/// The first packet of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connect<'a> {
    pub version: Version,
    /// The protocol was 3.1 (`MQIsdp`): same packets, client ids of at most 23 characters and never empty.
    pub is_3_1: bool,
    /// Clean Start of 5.0, Clean Session of 3.1.1.
    pub clean_start: bool,
    /// In seconds; 0 is none.
    pub keep_alive_s: u16,
    pub properties: Properties<'a>,
    pub client_id: &'a str,
    pub will: Option<Will<'a>>,
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
}

/// The message that the server publishes when the client is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Will<'a> {
    pub topic: &'a str,
    pub payload: &'a [u8],
    pub qos: QoS,
    pub retain: bool,
    pub properties: Properties<'a>,
}

impl<'a> Connect<'a> {
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        let (version, is_3_1) = read_protocol(r)?;
        let flags = r.u8()?;
        check_flags(flags, version)?;
        let keep_alive_s = r.u16()?;
        let properties = read_properties(r, version, Place::Connect)?;
        check_authentication(properties)?;
        Ok(Self {
            version,
            is_3_1,
            clean_start: flags & CLEAN_START != 0,
            keep_alive_s,
            properties,
            client_id: r.printable_string()?,
            will: if flags & WILL != 0 { Some(Will::read(r, flags, version)?) } else { None },
            username: if flags & USER_NAME != 0 { Some(r.printable_string()?) } else { None },
            password: if flags & PASSWORD != 0 { Some(r.binary()?) } else { None },
        })
    }

    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        frame(out, PacketType::Connect.first_byte(), |out| {
            let (name, level) = if self.is_3_1 { (NAME_3_1, LEVEL_3_1) } else { (NAME, self.version.level()) };
            put_binary(out, name)?;
            out.extend_from_slice(&[level, self.flags()]);
            put_u16(out, self.keep_alive_s);
            write_properties(out, self.version, self.properties)?;
            put_binary(out, self.client_id.as_bytes())?;
            if let Some(will) = &self.will {
                will.write(self.version, out)?;
            }
            self.username.map_or(Ok(()), |name| put_binary(out, name.as_bytes()))?;
            self.password.map_or(Ok(()), |password| put_binary(out, password))
        })
    }

    fn flags(&self) -> u8 {
        let mut flags = 0;
        if self.clean_start {
            flags |= CLEAN_START;
        }
        if let Some(will) = &self.will {
            flags |= WILL | (will.qos as u8) << 3;
            flags |= if will.retain { WILL_RETAIN } else { 0 };
        }
        if self.username.is_some() {
            flags |= USER_NAME;
        }
        if self.password.is_some() {
            flags |= PASSWORD;
        }
        flags
    }
}

/// The protocol name and level [MQTT5-3.1.2-1] [MQTT5-3.1.2-2] [MQTT311-3.1.2-1] [MQTT311-3.1.2-2].
fn read_protocol(r: &mut Reader<'_>) -> Result<(Version, bool), DecodeError> {
    let name = r.binary()?;
    let level = r.u8()?;
    match (name, level) {
        (NAME, 4) => Ok((Version::V311, false)),
        (NAME, 5) => Ok((Version::V5, false)),
        (NAME_3_1, LEVEL_3_1) => Ok((Version::V311, true)),
        (NAME | NAME_3_1, _) => {
            Err(DecodeError { reason: ReasonCode::UNSUPPORTED_PROTOCOL_VERSION, detail: "unknown protocol level" })
        }
        _ => Err(malformed("unknown protocol name")),
    }
}

/// The protocol level that the body of a CONNECT names, also one that nobody knows; `None` if the protocol name is
/// another. It decides in which form a refusal can be read.
pub(crate) fn peek_level(packet: &[u8]) -> Option<u8> {
    let (body_len, header_len) = super::varint(packet.get(1..)?).ok()??;
    let rest = &packet[1 + header_len..];
    let mut r = Reader::new(&rest[..rest.len().min(body_len as usize)]);
    let name = r.binary().ok()?;
    (name == NAME || name == NAME_3_1).then(|| r.u8().ok()).flatten()
}

/// [MQTT5-3.1.2-3] [MQTT5-3.1.2-11] [MQTT5-3.1.2-12] [MQTT5-3.1.2-13]
/// [MQTT311-3.1.2-3] [MQTT311-3.1.2-13] [MQTT311-3.1.2-14] [MQTT311-3.1.2-15] [MQTT311-3.1.2-22]
fn check_flags(flags: u8, version: Version) -> Result<(), DecodeError> {
    let will_qos = flags >> 3 & 0b11;
    if flags & RESERVED != 0 {
        return Err(malformed("the reserved connect flag"));
    }
    if flags & WILL == 0 && (will_qos != 0 || flags & WILL_RETAIN != 0) {
        return Err(malformed("Will QoS or Will Retain without a will"));
    }
    if will_qos == 3 {
        return Err(malformed("Will QoS 3"));
    }
    if version == Version::V311 && flags & PASSWORD != 0 && flags & USER_NAME == 0 {
        return Err(malformed("a password without a user name"));
    }
    Ok(())
}

/// Authentication data need a method.
pub(crate) fn check_authentication(properties: Properties<'_>) -> Result<(), DecodeError> {
    if properties.authentication_data().is_some() && properties.authentication_method().is_none() {
        return Err(protocol_error("authentication data without a method"));
    }
    Ok(())
}

impl<'a> Will<'a> {
    fn read(r: &mut Reader<'a>, flags: u8, version: Version) -> Result<Self, DecodeError> {
        let properties = read_properties(r, version, Place::Will)?;
        let topic = r.string()?;
        TopicName::parse(topic)
            .map_err(|error| DecodeError { reason: error.name_reason(), detail: "the Will Topic" })?;
        let payload = r.binary()?;
        let qos = QoS::from_bits(flags >> 3 & 0b11).ok_or(malformed("Will QoS 3"))?;
        Ok(Self { topic, payload, qos, retain: flags & WILL_RETAIN != 0, properties })
    }

    fn write(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_properties(out, version, self.properties)?;
        put_binary(out, self.topic.as_bytes())?;
        put_binary(out, self.payload)
    }
}

pub(crate) fn read_properties<'a>(
    r: &mut Reader<'a>,
    version: Version,
    place: Place,
) -> Result<Properties<'a>, DecodeError> {
    if version.has_properties() { Properties::read(r, place) } else { Ok(Properties::EMPTY) }
}

pub(crate) fn write_properties(
    out: &mut Vec<u8>,
    version: Version,
    properties: Properties<'_>,
) -> Result<(), EncodeError> {
    if version.has_properties() { properties.write(out) } else { Ok(()) }
}

/// The server's answer to a CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Connack<'a> {
    pub session_present: bool,
    /// In 3.1.1 the return code, said in the words of 5.0.
    pub reason: ReasonCode,
    pub properties: Properties<'a>,
}

impl<'a> Connack<'a> {
    pub(crate) fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let session_present = match r.u8()? {
            0 => false,
            1 => true,
            _ => return Err(malformed("reserved acknowledge flags")),
        };
        let code = r.u8()?;
        let reason = match version {
            Version::V311 => ConnectReturnCode::reason_of(code),
            Version::V5 => ReasonCode::from_wire(code, ReasonPlace::Connack),
        };
        let reason = reason.ok_or(malformed("an unknown reason code"))?;
        if session_present && reason != ReasonCode::SUCCESS {
            // [MQTT5-3.2.2-6] [MQTT311-3.2.2-4]
            return Err(protocol_error("session present in a refusal"));
        }
        let properties = read_properties(r, version, Place::Connack)?;
        check_authentication(properties)?;
        Ok(Self { session_present, reason, properties })
    }

    pub(crate) fn write(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let code = match version {
            Version::V5 => Some(self.reason.get()),
            Version::V311 => ConnectReturnCode::from_reason(self.reason).map(|code| code as u8),
        };
        let code = code.ok_or(EncodeError::NotInThisVersion)?;
        frame(out, PacketType::Connack.first_byte(), |out| {
            out.extend_from_slice(&[u8::from(self.session_present), code]);
            write_properties(out, version, self.properties)
        })
    }

    /// The properties that name one client's share of the server's limits.
    pub fn maximum_qos(&self) -> QoS {
        let limit = self.properties.iter().find_map(|property| match property {
            Property::MaximumQoS(at_least_once) => Some(at_least_once),
            _ => None,
        });
        match limit {
            None => QoS::ExactlyOnce,
            Some(true) => QoS::AtLeastOnce,
            Some(false) => QoS::AtMostOnce,
        }
    }
}
