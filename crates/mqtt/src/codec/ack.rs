//! PUBACK, PUBREC, PUBREL, PUBCOMP: one shape.

use super::property::{Place, Properties, read_optional};
use super::read::Reader;
use super::write::{frame, put_packet_id};
use super::{DecodeError, EncodeError, PacketType, malformed};
use crate::reason::ReasonPlace;
use crate::{PacketId, ReasonCode, Version};

/// A step in the acknowledgement of a PUBLISH. In 3.1.1 the reason is always success.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack<'a> {
    pub packet_id: PacketId,
    pub reason: ReasonCode,
    pub properties: Properties<'a>,
}

const fn place(kind: PacketType) -> ReasonPlace {
    match kind {
        PacketType::Pubrel | PacketType::Pubcomp => ReasonPlace::Release,
        _ => ReasonPlace::Publish,
    }
}

impl<'a> Ack<'a> {
    pub const fn new(packet_id: PacketId, reason: ReasonCode) -> Self {
        Self { packet_id, reason, properties: Properties::EMPTY }
    }

    /// Two bytes: success. Three: a reason code. More: properties too.
    pub(crate) fn read(r: &mut Reader<'a>, version: Version, kind: PacketType) -> Result<Self, DecodeError> {
        let packet_id = r.packet_id()?;
        if !version.has_properties() || r.is_empty() {
            return Ok(Self::new(packet_id, ReasonCode::SUCCESS));
        }
        let reason = ReasonCode::from_wire(r.u8()?, place(kind)).ok_or(malformed("an unknown reason code"))?;
        Ok(Self { packet_id, reason, properties: read_optional(r, Place::Ack)? })
    }
}

pub(crate) fn write_ack(
    kind: PacketType,
    ack: &Ack<'_>,
    version: Version,
    out: &mut Vec<u8>,
) -> Result<(), EncodeError> {
    if !ack.reason.is_valid_in(place(kind)) {
        return Err(EncodeError::InvalidValue);
    }
    let has_properties = !ack.properties.is_empty();
    if !version.has_properties() || (ack.reason == ReasonCode::SUCCESS && !has_properties) {
        let [high, low] = ack.packet_id.get().to_be_bytes();
        out.extend_from_slice(&[kind.first_byte(), 2, high, low]);
        return Ok(());
    }
    frame(out, kind.first_byte(), |out| {
        put_packet_id(out, ack.packet_id);
        out.push(ack.reason.get());
        if has_properties { ack.properties.write(out) } else { Ok(()) }
    })
}
