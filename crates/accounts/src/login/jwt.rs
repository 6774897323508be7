//! The login of a device by a JWT.

use super::{Credential, Login, LoginError};
use crate::access::{Access, Identity};
use crate::jwt::{Issuer, Jwt, JwtError};
use catalog::Device;
use std::fmt;

/// What a CONNECT with a JWT claims.
#[derive(PartialEq, Eq)]
pub(super) struct JwtClaim {
    issuer: Issuer,
    read: Read,
    /// Group and instance exist.
    known: bool,
}

#[derive(PartialEq, Eq)]
enum Read {
    Verified(Jwt),
    /// By a key that is not known yet.
    Unverified(Box<str>),
}

/// The text is a secret.
impl fmt::Debug for JwtClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JwtClaim").field("issuer", &self.issuer.name()).finish_non_exhaustive()
    }
}

impl JwtClaim {
    pub(super) fn new(
        access: &Access,
        client_id: &str,
        issuer: &str,
        password: &[u8],
        known: bool,
    ) -> Result<Self, LoginError> {
        let issuer = access.issuers().named(issuer).ok_or(LoginError::Refused)?.clone();
        let text = str::from_utf8(password).map_err(|_| JwtError::Malformed)?;
        let read = match issuer.verify(text) {
            Ok(jwt) => Read::Verified(jwt),
            Err(JwtError::UnknownKey) if issuer.has_jwks() => Read::Unverified(text.into()),
            Err(error) => return Err(error.into()),
        };
        if let Read::Verified(jwt) = &read {
            check(jwt, client_id)?;
            access.check_jwt(jwt.id)?;
        }
        Ok(Self { issuer, read, known })
    }

    pub(super) fn wanted_keys(&self) -> Option<&Issuer> {
        matches!(self.read, Read::Unverified(_)).then_some(&self.issuer)
    }

    /// Whether it was revoked is judged once more by the caller, who has the rules of then.
    pub(super) fn finish(
        self,
        client_id: &str,
        device: Option<&Device>,
        is_over: impl Fn(u64) -> bool,
    ) -> Result<Login, LoginError> {
        let jwt = match self.read {
            Read::Verified(jwt) => jwt,
            Read::Unverified(text) => self.issuer.verify(&text)?,
        };
        check(&jwt, client_id)?;
        jwt.check_time(is_over)?;
        if !self.known {
            return Err(LoginError::Refused);
        }
        let is_theirs = |device: &&Device| device.client_id == client_id && device.user == jwt.user;
        let device = device.filter(is_theirs).ok_or(JwtError::Device)?;
        let identity = Identity::Device {
            client_id: client_id.to_owned(),
            user: jwt.user,
            group: device.group.clone(),
            publishes: jwt.publishes.map(Vec::into_boxed_slice),
        };
        Ok(Login { identity, credential: Credential::Jwt { id: jwt.id }, valid_until_ms: Some(jwt.expires_at_ms) })
    }
}

fn check(jwt: &Jwt, client_id: &str) -> Result<(), JwtError> {
    if jwt.client_id == client_id { Ok(()) } else { Err(JwtError::ClientId) }
}
