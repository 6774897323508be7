//! DISCONNECT.

use super::property::{Place, Properties, read_optional};
use super::read::Reader;
use super::write::frame;
use super::{DecodeError, EncodeError, PacketType, malformed};
use crate::reason::ReasonPlace;
use crate::{ReasonCode, Version};

/// The end of a connection. In 3.1.1 only clients send it, and it says nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disconnect<'a> {
    pub reason: ReasonCode,
    pub properties: Properties<'a>,
}

impl<'a> Disconnect<'a> {
    pub const fn new(reason: ReasonCode) -> Self {
        Self { reason, properties: Properties::EMPTY }
    }

    pub(crate) fn read(r: &mut Reader<'a>, version: Version) -> Result<Self, DecodeError> {
        if !version.has_properties() || r.is_empty() {
            return Ok(Self::new(ReasonCode::SUCCESS));
        }
        let code = ReasonCode::from_wire(r.u8()?, ReasonPlace::Disconnect);
        let reason = code.ok_or(malformed("an unknown reason code"))?;
        Ok(Self { reason, properties: read_optional(r, Place::Disconnect)? })
    }

    pub(crate) fn write(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !self.reason.is_valid_in(ReasonPlace::Disconnect) {
            return Err(EncodeError::InvalidValue);
        }
        let has_properties = !self.properties.is_empty();
        frame(out, PacketType::Disconnect.first_byte(), |out| {
            if !version.has_properties() || (self.reason == ReasonCode::SUCCESS && !has_properties) {
                return Ok(());
            }
            out.push(self.reason.get());
            if has_properties { self.properties.write(out) } else { Ok(()) }
        })
    }
}
