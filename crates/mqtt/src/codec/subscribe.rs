//! SUBSCRIBE, SUBACK, UNSUBSCRIBE, UNSUBACK.
//!
//! A filter whose *text* cannot be a string fails the packet. A string that is no topic filter does not: it is
//! refused by itself in the SUBACK (0x8F; in 3.1.1 0x80), so filters come as `&str` and the caller parses each.

use super::connect::{read_properties, write_properties};
use super::property::{Place, Properties};
use super::read::Reader;
use super::write::{frame, put_binary, put_packet_id};
use super::{DecodeError, EncodeError, PacketType, malformed, protocol_error};
use crate::reason::ReasonPlace;
use crate::topic::TopicFilter;
use crate::{PacketId, QoS, ReasonCode, RetainHandling, SubscriptionOptions, Version};

const NO_LOCAL: u8 = 1 << 2;
const RETAIN_AS_PUBLISHED: u8 = 1 << 3;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Subscribe<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    pub filters: SubscribeFilters<'a>,
}

/// One wish of a SUBSCRIBE.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeFilter<'a> {
    /// Printable, but not yet known to be a topic filter.
    pub filter: &'a str,
    pub options: SubscriptionOptions,
}

/// The filters of a SUBSCRIBE: checked, at least one, still in their encoded form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubscribeFilters<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> SubscribeFilters<'a> {
    /// At least one.
    pub const fn count(self) -> usize {
        self.count
    }

    pub fn iter(self) -> impl Iterator<Item = SubscribeFilter<'a>> {
        let mut r = Reader::new(self.bytes);
        // The view was validated, so an error cannot occur; it would end the iteration.
        std::iter::from_fn(move || read_filter(&mut r, Version::V5).ok())
    }

    fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        // [MQTT5-3.8.3-2] [MQTT311-3.8.3-3]
        if r.is_empty() {
            return Err(protocol_error("no topic filter"));
        }
        let (bytes, mut count) = (r.rest(), 0);
        while !r.is_empty() {
            let (filter, options) = (r.printable_bytes()?, read_options(r.u8()?, version)?);
            count += 1;
            // [MQTT5-3.8.3-4]
            if options.no_local && filter.starts_with(b"$share/") {
                return Err(protocol_error("no-local on a shared subscription"));
            }
        }
        Ok(Self { bytes, count })
    }
}

fn read_filter<'a>(r: &mut Reader<'a>, version: Version) -> Result<SubscribeFilter<'a>, DecodeError> {
    let filter = r.printable_string()?;
    let options = read_options(r.u8()?, version)?;
    Ok(SubscribeFilter { filter, options })
}

/// [MQTT5-3.8.3-5] [MQTT311-3.8.3-4]
fn read_options(byte: u8, version: Version) -> Result<SubscriptionOptions, DecodeError> {
    let reserved = if version.has_properties() { 0b1100_0000 } else { 0b1111_1100 };
    if byte & reserved != 0 {
        return Err(malformed("reserved bits of the subscription options"));
    }
    Ok(SubscriptionOptions {
        qos: QoS::from_bits(byte & 0b11).ok_or(malformed("QoS 3"))?,
        no_local: byte & NO_LOCAL != 0,
        retain_as_published: byte & RETAIN_AS_PUBLISHED != 0,
        retain_handling: RetainHandling::from_bits(byte >> 4 & 0b11).ok_or(protocol_error("Retain Handling 3"))?,
    })
}

/// The filters of a SUBSCRIBE that is being put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubscribeFiltersBuf {
    bytes: Vec<u8>,
    count: usize,
}

impl SubscribeFiltersBuf {
    pub fn push(&mut self, filter: TopicFilter<'_>, options: SubscriptionOptions) {
        // A valid filter is at most 65,535 bytes long.
        if put_binary(&mut self.bytes, filter.as_str().as_bytes()).is_ok() {
            self.bytes.push(options.to_byte());
            self.count += 1;
        }
    }

    pub fn view(&self) -> SubscribeFilters<'_> {
        SubscribeFilters { bytes: &self.bytes, count: self.count }
    }
}

impl<'a> Subscribe<'a> {
    pub(crate) fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet_id = r.packet_id()?;
        let properties = read_properties(r, version, Place::Subscribe)?;
        Ok(Self { packet_id, properties, filters: SubscribeFilters::read(r, version)? })
    }

    pub(crate) fn write(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        frame(out, PacketType::Subscribe.first_byte(), |out| {
            put_packet_id(out, self.packet_id);
            write_properties(out, version, self.properties)?;
            for SubscribeFilter { filter, options } in self.filters.iter() {
                put_binary(out, filter.as_bytes())?;
                out.push(if version.has_properties() { options.to_byte() } else { options.qos as u8 });
            }
            Ok(())
        })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsubscribe<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    pub filters: UnsubscribeFilters<'a>,
}

/// The filters of an UNSUBSCRIBE: checked, at least one, still in their encoded form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsubscribeFilters<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> UnsubscribeFilters<'a> {
    /// At least one.
    pub const fn count(self) -> usize {
        self.count
    }

    /// Each is printable, but not yet known to be a topic filter.
    pub fn iter(self) -> impl Iterator<Item = &'a str> {
        let mut r = Reader::new(self.bytes);
        // The view was validated, so an error cannot occur; it would end the iteration.
        std::iter::from_fn(move || r.printable_string().ok())
    }

    fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        // [MQTT5-3.10.3-2] [MQTT311-3.10.3-2]
        if r.is_empty() {
            return Err(protocol_error("no topic filter"));
        }
        let (bytes, mut count) = (r.rest(), 0);
        while !r.is_empty() {
            r.printable_bytes()?;
            count += 1;
        }
        Ok(Self { bytes, count })
    }
}

/// The filters of an UNSUBSCRIBE that is being put together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UnsubscribeFiltersBuf {
    bytes: Vec<u8>,
    count: usize,
}

impl UnsubscribeFiltersBuf {
    pub fn push(&mut self, filter: TopicFilter<'_>) {
        // As above.
        if put_binary(&mut self.bytes, filter.as_str().as_bytes()).is_ok() {
            self.count += 1;
        }
    }

    pub fn view(&self) -> UnsubscribeFilters<'_> {
        UnsubscribeFilters { bytes: &self.bytes, count: self.count }
    }
}

impl<'a> Unsubscribe<'a> {
    pub(crate) fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet_id = r.packet_id()?;
        let properties = read_properties(r, version, Place::Unsubscribe)?;
        Ok(Self { packet_id, properties, filters: UnsubscribeFilters::read(r)? })
    }

    pub(crate) fn write(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        frame(out, PacketType::Unsubscribe.first_byte(), |out| {
            put_packet_id(out, self.packet_id);
            write_properties(out, version, self.properties)?;
            self.filters.iter().try_for_each(|filter| put_binary(out, filter.as_bytes()))
        })
    }
}

/// One reason code for each filter, in order [MQTT5-3.8.4-6] [MQTT311-3.8.4-5].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReasonCodes<'a> {
    bytes: &'a [u8],
    place: ReasonPlace,
}

impl<'a> ReasonCodes<'a> {
    pub fn iter(self) -> impl Iterator<Item = ReasonCode> {
        self.bytes.iter().filter_map(move |&code| ReasonCode::from_wire(code, self.place))
    }

    fn read(r: &mut Reader<'a>, version: Version, place: ReasonPlace) -> Result<Self, DecodeError> {
        let bytes = r.take_rest();
        let known = |&code: &u8| match version {
            // [MQTT311-3.9.3-2]
            Version::V311 => matches!(code, 0 | 1 | 2 | 0x80),
            Version::V5 => ReasonCode::from_wire(code, place).is_some(),
        };
        if bytes.is_empty() {
            return Err(protocol_error("no reason code"));
        }
        if bytes.iter().all(known) { Ok(Self { bytes, place }) } else { Err(malformed("an unknown reason code")) }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Suback<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    pub codes: ReasonCodes<'a>,
}

impl<'a> Suback<'a> {
    pub(crate) fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet_id = r.packet_id()?;
        let properties = read_properties(r, version, Place::Ack)?;
        Ok(Self { packet_id, properties, codes: ReasonCodes::read(r, version, ReasonPlace::Suback)? })
    }

    pub(crate) fn write(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_suback(self.packet_id, self.properties, self.codes.iter(), version, out)
    }
}

pub(crate) fn write_suback(
    packet_id: PacketId,
    properties: Properties<'_>,
    codes: impl IntoIterator<Item = ReasonCode>,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    frame(out, PacketType::Suback.first_byte(), |out| {
        put_packet_id(out, packet_id);
        write_properties(out, version, properties)?;
        match version {
            Version::V5 => put_codes(out, codes, ReasonPlace::Suback)?,
            Version::V311 => out.extend(codes.into_iter().map(|code| match code.is_error() {
                true => ReasonCode::UNSPECIFIED_ERROR.get(),
                false => code.get(),
            })),
        }
        Ok(())
    })
}

/// In 3.1.1 it has no reason codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unsuback<'a> {
    pub packet_id: PacketId,
    pub properties: Properties<'a>,
    pub codes: ReasonCodes<'a>,
}

impl<'a> Unsuback<'a> {
    pub(crate) fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        let packet_id = r.packet_id()?;
        let properties = read_properties(r, version, Place::Ack)?;
        let codes = match version {
            Version::V311 => ReasonCodes { bytes: &[], place: ReasonPlace::Unsuback },
            Version::V5 => ReasonCodes::read(r, version, ReasonPlace::Unsuback)?,
        };
        Ok(Self { packet_id, properties, codes })
    }

    pub(crate) fn write(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        write_unsuback(self.packet_id, self.properties, self.codes.iter(), version, out)
    }
}

pub(crate) fn write_unsuback(
    packet_id: PacketId,
    properties: Properties<'_>,
    codes: impl IntoIterator<Item = ReasonCode>,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    frame(out, PacketType::Unsuback.first_byte(), |out| {
        put_packet_id(out, packet_id);
        if version == Version::V311 {
            return Ok(());
        }
        properties.write(out)?;
        put_codes(out, codes, ReasonPlace::Unsuback)
    })
}

/// Of thousands of codes most are the same: each is checked where it differs from the one before.
fn put_codes(
    out: &mut Vec<u8>,
    codes: impl IntoIterator<Item = ReasonCode>,
    place: ReasonPlace,
) -> Result<(), EncodeError> {
    let mut valid = None;
    for code in codes {
        if valid != Some(code) && !code.is_valid_in(place) {
            return Err(EncodeError::InvalidValue);
        }
        valid = Some(code);
        out.push(code.get());
    }
    Ok(())
}
