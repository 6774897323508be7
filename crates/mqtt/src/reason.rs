//! Reason codes of 5.0, the packets they may stand in, and their 3.1.1 counterparts.

use std::fmt;

/// A 5.0 reason code. From 0x80 on it says that something failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReasonCode(u8);

macro_rules! reason_codes {
    ($($name:ident = $code:literal, $text:literal;)*) => {
        impl ReasonCode {
            $(#[doc = $text] pub const $name: Self = Self($code);)*

            /// The specification's name of the code.
            pub const fn name(self) -> &'static str {
                match self.0 {
                    $($code => $text,)*
                    _ => "Unknown reason code",
                }
            }
        }
    };
}

reason_codes! {
    SUCCESS = 0x00, "Success";
    GRANTED_QOS_1 = 0x01, "Granted QoS 1";
    GRANTED_QOS_2 = 0x02, "Granted QoS 2";
    DISCONNECT_WITH_WILL = 0x04, "Disconnect with Will Message";
    NO_MATCHING_SUBSCRIBERS = 0x10, "No matching subscribers";
    NO_SUBSCRIPTION_EXISTED = 0x11, "No subscription existed";
    CONTINUE_AUTHENTICATION = 0x18, "Continue authentication";
    RE_AUTHENTICATE = 0x19, "Re-authenticate";
    UNSPECIFIED_ERROR = 0x80, "Unspecified error";
    MALFORMED_PACKET = 0x81, "Malformed Packet";
    PROTOCOL_ERROR = 0x82, "Protocol Error";
    IMPLEMENTATION_SPECIFIC_ERROR = 0x83, "Implementation specific error";
    UNSUPPORTED_PROTOCOL_VERSION = 0x84, "Unsupported Protocol Version";
    CLIENT_IDENTIFIER_NOT_VALID = 0x85, "Client Identifier not valid";
    BAD_USER_NAME_OR_PASSWORD = 0x86, "Bad User Name or Password";
    NOT_AUTHORIZED = 0x87, "Not authorized";
    SERVER_UNAVAILABLE = 0x88, "Server unavailable";
    SERVER_BUSY = 0x89, "Server busy";
    BANNED = 0x8A, "Banned";
    SERVER_SHUTTING_DOWN = 0x8B, "Server shutting down";
    BAD_AUTHENTICATION_METHOD = 0x8C, "Bad authentication method";
    KEEP_ALIVE_TIMEOUT = 0x8D, "Keep Alive timeout";
    SESSION_TAKEN_OVER = 0x8E, "Session taken over";
    TOPIC_FILTER_INVALID = 0x8F, "Topic Filter invalid";
    TOPIC_NAME_INVALID = 0x90, "Topic Name invalid";
    PACKET_IDENTIFIER_IN_USE = 0x91, "Packet Identifier in use";
    PACKET_IDENTIFIER_NOT_FOUND = 0x92, "Packet Identifier not found";
    RECEIVE_MAXIMUM_EXCEEDED = 0x93, "Receive Maximum exceeded";
    TOPIC_ALIAS_INVALID = 0x94, "Topic Alias invalid";
    PACKET_TOO_LARGE = 0x95, "Packet too large";
    MESSAGE_RATE_TOO_HIGH = 0x96, "Message rate too high";
    QUOTA_EXCEEDED = 0x97, "Quota exceeded";
    ADMINISTRATIVE_ACTION = 0x98, "Administrative action";
    PAYLOAD_FORMAT_INVALID = 0x99, "Payload format invalid";
    RETAIN_NOT_SUPPORTED = 0x9A, "Retain not supported";
    QOS_NOT_SUPPORTED = 0x9B, "QoS not supported";
    USE_ANOTHER_SERVER = 0x9C, "Use another server";
    SERVER_MOVED = 0x9D, "Server moved";
    SHARED_SUBSCRIPTIONS_NOT_SUPPORTED = 0x9E, "Shared Subscriptions not supported";
    CONNECTION_RATE_EXCEEDED = 0x9F, "Connection rate exceeded";
    MAXIMUM_CONNECT_TIME = 0xA0, "Maximum connect time";
    SUBSCRIPTION_IDENTIFIERS_NOT_SUPPORTED = 0xA1, "Subscription Identifiers not supported";
    WILDCARD_SUBSCRIPTIONS_NOT_SUPPORTED = 0xA2, "Wildcard Subscriptions not supported";
}

/// The packets that carry reason codes, each with its own valid set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ReasonPlace {
    Connack,
    /// PUBACK and PUBREC.
    Publish,
    /// PUBREL and PUBCOMP.
    Release,
    Suback,
    Unsuback,
    Disconnect,
    Auth,
}

impl ReasonPlace {
    const fn codes(self) -> &'static [u8] {
        match self {
            Self::Connack => &[
                0x00, 0x80, 0x81, 0x82, 0x83, 0x84, 0x85, 0x86, 0x87, 0x88, 0x89, 0x8A, 0x8C, 0x90, 0x95, 0x97, 0x99,
                0x9A, 0x9B, 0x9C, 0x9D, 0x9F,
            ],
            Self::Publish => &[0x00, 0x10, 0x80, 0x83, 0x87, 0x90, 0x91, 0x97, 0x99],
            Self::Release => &[0x00, 0x92],
            Self::Suback => &[0x00, 0x01, 0x02, 0x80, 0x83, 0x87, 0x8F, 0x91, 0x97, 0x9E, 0xA1, 0xA2],
            Self::Unsuback => &[0x00, 0x11, 0x80, 0x83, 0x87, 0x8F, 0x91],
            Self::Disconnect => &[
                0x00, 0x04, 0x80, 0x81, 0x82, 0x83, 0x87, 0x89, 0x8B, 0x8D, 0x8E, 0x8F, 0x90, 0x93, 0x94, 0x95, 0x96,
                0x97, 0x98, 0x99, 0x9A, 0x9B, 0x9C, 0x9D, 0x9E, 0x9F, 0xA0, 0xA1, 0xA2,
            ],
            Self::Auth => &[0x00, 0x18, 0x19],
        }
    }
}

impl ReasonCode {
    pub const fn get(self) -> u8 {
        self.0
    }

    pub const fn is_error(self) -> bool {
        self.0 >= 0x80
    }

    /// The SUBACK code that grants this QoS.
    pub const fn granted(qos: crate::QoS) -> Self {
        Self(qos as u8)
    }

    pub(crate) fn from_wire(code: u8, place: ReasonPlace) -> Option<Self> {
        place.codes().contains(&code).then_some(Self(code))
    }

    pub(crate) fn is_valid_in(self, place: ReasonPlace) -> bool {
        place.codes().contains(&self.0)
    }

    /// Whether a client may name this code in its DISCONNECT (5.0 table 3-10).
    pub(crate) const fn may_client_disconnect_with(self) -> bool {
        matches!(self.0, 0x00 | 0x04 | 0x80..=0x83 | 0x90 | 0x93..=0x99)
    }
}

impl fmt::Debug for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "0x{:02X} {}", self.0, self.name())
    }
}

impl fmt::Display for ReasonCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// The return code of a 3.1.1 CONNACK.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectReturnCode {
    Accepted = 0,
    UnacceptableProtocolVersion = 1,
    IdentifierRejected = 2,
    ServerUnavailable = 3,
    BadUserNameOrPassword = 4,
    NotAuthorized = 5,
}

impl ConnectReturnCode {
    /// The nearest 3.1.1 code. `None`: 3.1.1 has no word for it, the connection is closed without a CONNACK
    /// [MQTT311-3.2.2-6].
    pub const fn from_reason(reason: ReasonCode) -> Option<Self> {
        match reason.0 {
            0x00 => Some(Self::Accepted),
            0x84 => Some(Self::UnacceptableProtocolVersion),
            0x85 => Some(Self::IdentifierRejected),
            0x88 | 0x89 | 0x97 => Some(Self::ServerUnavailable),
            0x86 => Some(Self::BadUserNameOrPassword),
            0x87 | 0x8A => Some(Self::NotAuthorized),
            _ => None,
        }
    }

    /// The 5.0 code of a 3.1.1 return code; `None` for reserved ones.
    pub(crate) const fn reason_of(code: u8) -> Option<ReasonCode> {
        match code {
            0 => Some(ReasonCode::SUCCESS),
            1 => Some(ReasonCode::UNSUPPORTED_PROTOCOL_VERSION),
            2 => Some(ReasonCode::CLIENT_IDENTIFIER_NOT_VALID),
            3 => Some(ReasonCode::SERVER_UNAVAILABLE),
            4 => Some(ReasonCode::BAD_USER_NAME_OR_PASSWORD),
            5 => Some(ReasonCode::NOT_AUTHORIZED),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_the_3_1_1_return_code_that_says_the_same() {
        let table = [
            (0x84, Some(1)),
            (0x85, Some(2)),
            (0x88, Some(3)),
            (0x89, Some(3)),
            (0x97, Some(3)),
            (0x86, Some(4)),
            (0x87, Some(5)),
            (0x8A, Some(5)),
            (0x81, None),
            (0x9A, None),
        ];
        for (reason, code) in table {
            assert_eq!(ConnectReturnCode::from_reason(ReasonCode(reason)).map(|c| c as u8), code, "0x{reason:02X}");
        }
    }
}
