//! The small words of the protocol that every layer shares.

use std::fmt;
use std::num::NonZeroU16;

/// The protocol version of a connection. 3.1 (`MQIsdp`, level 3) is spoken as [`Version::V311`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Version {
    V311,
    V5,
}

impl Version {
    /// Whether packets of this version carry properties and reason codes.
    pub const fn has_properties(self) -> bool {
        matches!(self, Self::V5)
    }

    /// The protocol level on the wire.
    pub const fn level(self) -> u8 {
        match self {
            Self::V311 => 4,
            Self::V5 => 5,
        }
    }
}

/// Quality of service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum QoS {
    #[default]
    AtMostOnce = 0,
    AtLeastOnce = 1,
    ExactlyOnce = 2,
}

impl QoS {
    /// The QoS of two wire bits; 3 is none.
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::AtMostOnce),
            1 => Some(Self::AtLeastOnce),
            2 => Some(Self::ExactlyOnce),
            _ => None,
        }
    }
}

/// A packet identifier, never 0 [MQTT5-2.2.1-3] [MQTT311-2.3.1-1].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PacketId(NonZeroU16);

impl PacketId {
    pub const MIN: Self = Self(NonZeroU16::MIN);
    pub const MAX: Self = Self(NonZeroU16::MAX);

    /// `None` for 0.
    pub const fn new(id: u16) -> Option<Self> {
        match NonZeroU16::new(id) {
            Some(id) => Some(Self(id)),
            None => None,
        }
    }

    pub const fn get(self) -> u16 {
        self.0.get()
    }

    /// The id that follows; after 65,535 comes 1.
    #[must_use]
    pub fn next(self) -> Self {
        self.0.checked_add(1).map_or(Self::MIN, Self)
    }

    /// The id that this one is next to.
    #[must_use]
    pub fn previous(self) -> Self {
        Self::new(self.get() - 1).unwrap_or(Self::MAX)
    }

    /// The id `steps` further on, in the ring of 65,535 ids.
    #[must_use]
    pub fn advanced_by(self, steps: u16) -> Self {
        let zero_based = (u32::from(self.get()) - 1 + u32::from(steps)) % u32::from(u16::MAX);
        u16::try_from(zero_based + 1).ok().and_then(Self::new).unwrap_or(Self::MIN)
    }
}

impl fmt::Display for PacketId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// How a PUBLISH travels. A packet id and DUP exist exactly where the protocol has them
/// [MQTT5-2.2.1-2] [MQTT5-3.3.1-2] [MQTT311-2.3.1-5] [MQTT311-3.3.1-2].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    AtMostOnce,
    AtLeastOnce { packet_id: PacketId, dup: bool },
    ExactlyOnce { packet_id: PacketId, dup: bool },
}

impl Delivery {
    pub const fn qos(self) -> QoS {
        match self {
            Self::AtMostOnce => QoS::AtMostOnce,
            Self::AtLeastOnce { .. } => QoS::AtLeastOnce,
            Self::ExactlyOnce { .. } => QoS::ExactlyOnce,
        }
    }

    pub const fn packet_id(self) -> Option<PacketId> {
        match self {
            Self::AtMostOnce => None,
            Self::AtLeastOnce { packet_id, .. } | Self::ExactlyOnce { packet_id, .. } => Some(packet_id),
        }
    }

    pub const fn dup(self) -> bool {
        match self {
            Self::AtMostOnce => false,
            Self::AtLeastOnce { dup, .. } | Self::ExactlyOnce { dup, .. } => dup,
        }
    }
}

/// When a subscription is answered with retained messages (5.0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RetainHandling {
    #[default]
    Send = 0,
    SendIfNew = 1,
    DoNotSend = 2,
}

impl RetainHandling {
    pub const fn from_bits(bits: u8) -> Option<Self> {
        match bits {
            0 => Some(Self::Send),
            1 => Some(Self::SendIfNew),
            2 => Some(Self::DoNotSend),
            _ => None,
        }
    }
}

/// What a subscriber asked for. In 3.1.1 only the QoS is on the wire; the rest has its default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct SubscriptionOptions {
    pub qos: QoS,
    pub no_local: bool,
    pub retain_as_published: bool,
    pub retain_handling: RetainHandling,
}

impl SubscriptionOptions {
    /// Options with this QoS and everything else at its default.
    pub fn at(qos: QoS) -> Self {
        Self { qos, ..Self::default() }
    }

    /// The options byte of a SUBSCRIBE.
    pub(crate) fn to_byte(self) -> u8 {
        self.qos as u8
            | u8::from(self.no_local) << 2
            | u8::from(self.retain_as_published) << 3
            | (self.retain_handling as u8) << 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packet_ids_wrap_around_and_never_become_zero() {
        assert_eq!(PacketId::MAX.next(), PacketId::MIN);
        assert_eq!(PacketId::MIN.previous(), PacketId::MAX);
        assert_eq!(PacketId::MAX.previous().next(), PacketId::MAX);
        assert_eq!(PacketId::MAX.advanced_by(1), PacketId::MIN);
        assert_eq!(PacketId::MIN.advanced_by(u16::MAX), PacketId::MIN);
        assert_eq!(PacketId::MIN.advanced_by(41).get(), 42);
        assert_eq!(PacketId::new(0), None);
    }
}
