//! The table from what accounts refuse to MQTT's reason codes.
//!
//! For 5.0; the connection half says the same in 3.1.1, as far as that has a code.

use accounts::access::{PublishRefusal, SubscribeRefusal};
use accounts::certificate::CertificateError;
use accounts::jwt::JwtError;
use accounts::login::LoginError;
use accounts::token::TokenError;
use mqtt::ReasonCode;

/// For CONNACK (5.0 section 3.2.2.2).
pub(crate) const fn of_login(error: LoginError) -> ReasonCode {
    match error {
        LoginError::BadClientId => ReasonCode::CLIENT_IDENTIFIER_NOT_VALID,
        LoginError::BadUsername | LoginError::Refused => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        LoginError::Expired | LoginError::Scope | LoginError::OwnedByUser => ReasonCode::NOT_AUTHORIZED,
        LoginError::Token(error) => of_token(error),
        LoginError::Jwt(error) => of_jwt(error),
        LoginError::Certificate(error) => of_certificate(error),
        LoginError::Busy => ReasonCode::SERVER_BUSY,
        LoginError::Unavailable => ReasonCode::SERVER_UNAVAILABLE,
    }
}

/// For CONNACK; a DISCONNECT has 0x87 alone for all of them (5.0 section 3.14.2.1).
const fn of_token(error: TokenError) -> ReasonCode {
    use TokenError::{Account, Expired, Forged, Resource, Revoked, Signature, Type};
    match error {
        Forged | Signature | Resource | Type => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
        Expired | Revoked | Account => ReasonCode::NOT_AUTHORIZED,
    }
}

/// For CONNACK.
const fn of_jwt(error: JwtError) -> ReasonCode {
    match error {
        JwtError::Expired | JwtError::NotYet | JwtError::Revoked | JwtError::Device => ReasonCode::NOT_AUTHORIZED,
        _ => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
    }
}

/// For CONNACK.
const fn of_certificate(error: CertificateError) -> ReasonCode {
    use CertificateError::{ClientId, Device, Expired, Malformed, Missing, Name, NotYet, Revoked};
    match error {
        Expired | NotYet | Revoked | Device => ReasonCode::NOT_AUTHORIZED,
        Missing | Malformed | Name | ClientId => ReasonCode::BAD_USER_NAME_OR_PASSWORD,
    }
}

/// For PUBACK and PUBREC (5.0 section 3.4.2.1).
pub(crate) const fn of_publish(refusal: PublishRefusal) -> ReasonCode {
    use PublishRefusal::{BadLevel, BadReceiver, NotGranted, NotInToken, Reserved, Scope, TooLong, UnknownParent};
    match refusal {
        TooLong | BadLevel | BadReceiver => ReasonCode::TOPIC_NAME_INVALID,
        UnknownParent | NotGranted | NotInToken | Scope | Reserved => ReasonCode::NOT_AUTHORIZED,
    }
}

/// For SUBACK (5.0 section 3.9.3); 3.1.1 has 0x80 alone.
pub(crate) const fn of_subscribe(refusal: SubscribeRefusal) -> ReasonCode {
    use SubscribeRefusal::{
        BadLevel, NotGranted, NotInToken, P2p, Reserved, Scope, TooLong, UnknownParent, WildcardParent,
    };
    match refusal {
        TooLong | WildcardParent | BadLevel => ReasonCode::TOPIC_FILTER_INVALID,
        P2p | UnknownParent | NotGranted | NotInToken | Scope | Reserved => ReasonCode::NOT_AUTHORIZED,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_carry_codes_of_their_packets() {
        assert_eq!(of_publish(PublishRefusal::NotGranted), ReasonCode::NOT_AUTHORIZED);
        assert_eq!(of_publish(PublishRefusal::UnknownParent), of_publish(PublishRefusal::NotGranted));
        assert_eq!(of_publish(PublishRefusal::TooLong), ReasonCode::TOPIC_NAME_INVALID);
        assert_eq!(of_subscribe(SubscribeRefusal::WildcardParent), ReasonCode::TOPIC_FILTER_INVALID);
        assert_eq!(of_subscribe(SubscribeRefusal::P2p), ReasonCode::NOT_AUTHORIZED);
    }
}
