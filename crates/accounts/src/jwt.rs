//! JWTs (RFC 7519) of other issuers: a device of a user logs in by what the application's own login service has signed.
//!
//! ```text
//!   username  JWT|<name of the issuer in the configuration>|<InstanceId>      password  the JWT, compact (RFC 7515 §3.1)
//!   header    alg EdDSA, ES256 or RS256, or HS256 with a configured secret;  kid
//!   claims    iss, aud as configured   exp   nbf?   jti?   <user>, <client id>: of configured names
//!             convoke_publish? [<topic or filter>, …]: of what the group was granted, these only
//! ```
//!
//! What it is not: whether the client id is a device of that user is the matter of [`login`](crate::login), which also judges
//! times: nothing here looks at a wall clock. A key is good for one algorithm, which its own type says and never the JWT; an issuer's
//! keys verify that issuer's JWTs only. What is signed is read strictly: a name that comes twice, or a critical extension, voids it.

mod claims;
mod issuer;
mod keys;
mod refresh;
mod strict_json;

pub use issuer::{Issuer, IssuerRules, Issuers};
pub use keys::{JwksError, KeyError, PublicKeys, VerifyingKey};

use uuid::Uuid;

/// Bytes of one JWT; a longer one is not looked at.
pub const JWT_BYTES_MAX: usize = 8 * 1024;

/// Why a JWT lets nobody in. Its words are thing, cause and remedy, for the one who showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum JwtError {
    #[error("the JWT is longer than 8 KiB; have fewer claims put into it")]
    TooLong,
    #[error(
        "the password is no JWT in its compact form: header.claims.signature, each in Base64url, of JSON without repeated names"
    )]
    Malformed,
    #[error("the header of the JWT has critical extensions, which are not known here; sign without `crit` and `b64`")]
    Critical,
    #[error("the algorithm of the JWT is not that of a key of its issuer; sign with EdDSA, ES256 or RS256")]
    Algorithm,
    #[error("no key of the issuer has the `kid` of the JWT; it may be too new: try again in some seconds")]
    UnknownKey,
    #[error("the signature of the JWT is wrong; ask its issuer for a new one")]
    Signature,
    #[error("`iss` of the JWT is not what the configuration of this issuer expects")]
    Issuer,
    #[error("`aud` of the JWT does not name this server; ask for one with the audience of its configuration")]
    Audience,
    #[error("the JWT has no `exp`; have it signed with one")]
    NoExpiry,
    #[error("the JWT has expired; ask its issuer for a new one")]
    Expired,
    #[error("the JWT is not valid yet; compare the clocks of the issuer and of this server")]
    NotYet,
    #[error("the claim that names the user is missing, or is no text of 1 to 256 bytes")]
    User,
    #[error("the JWT is for another client id, or has no claim that names one")]
    ClientId,
    #[error("`convoke_publish` of the JWT is no list of up to 100 topics or filters behind a parent topic")]
    Rights,
    #[error("the JWT was revoked; ask its issuer for a new one")]
    Revoked,
    #[error("the client id is no device of the user whom the JWT names; register that first")]
    Device,
}

/// A JWT whose signature is right, and that is for this server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jwt {
    /// By which it can be revoked. Made from the issuer and `jti`, or from what is signed where there is no `jti`.
    pub id: Uuid,
    pub user: String,
    pub client_id: String,
    /// With the leeway; `None`: from ever.
    pub begins_at_ms: Option<u64>,
    /// The same.
    pub expires_at_ms: u64,
    /// Topics and filters; `None`: all that the group of the device was granted.
    pub publishes: Option<Vec<String>>,
}

impl Jwt {
    /// `is_over`: whether what was to end then has ended.
    ///
    /// # Errors
    /// [`JwtError::Expired`] or [`JwtError::NotYet`].
    pub fn check_time(&self, is_over: impl Fn(u64) -> bool) -> Result<(), JwtError> {
        if is_over(self.expires_at_ms) {
            return Err(JwtError::Expired);
        }
        let has_begun = self.begins_at_ms.is_none_or(is_over);
        if has_begun { Ok(()) } else { Err(JwtError::NotYet) }
    }
}

#[cfg(test)]
pub(crate) mod tests;
