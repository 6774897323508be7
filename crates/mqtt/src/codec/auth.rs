//! AUTH of 5.0.

use super::connect::check_authentication;
use super::property::{Place, Properties};
use super::read::Reader;
use super::write::frame;
use super::{DecodeError, EncodeError, PacketType, malformed};
use crate::reason::ReasonPlace;
use crate::{ReasonCode, Version};

/// A step of an extended authentication.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Auth<'a> {
    pub reason: ReasonCode,
    pub properties: Properties<'a>,
}

impl<'a> Auth<'a> {
    /// Reason and properties may be left out together only.
    pub(crate) fn read(r: &mut Reader<'a>) -> Result<Self, DecodeError> {
        if r.is_empty() {
            return Ok(Self { reason: ReasonCode::SUCCESS, properties: Properties::EMPTY });
        }
        // [MQTT5-3.15.2-1]
        let code = ReasonCode::from_wire(r.u8()?, ReasonPlace::Auth);
        let reason = code.ok_or(malformed("an unknown reason code"))?;
        let properties = Properties::read(r, Place::Auth)?;
        check_authentication(properties)?;
        Ok(Self { reason, properties })
    }

    pub(crate) fn write(&self, version: Version, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        if !version.has_properties() {
            return Err(EncodeError::NotInThisVersion);
        }
        frame(out, PacketType::Auth.first_byte(), |out| {
            if self.reason == ReasonCode::SUCCESS && self.properties.is_empty() {
                return Ok(());
            }
            out.push(self.reason.get());
            self.properties.write(out)
        })
    }
}
