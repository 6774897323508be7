//! Tokens: what a service gives its users, so that they may publish and subscribe for a while.
//!
//! A token is self-contained: a compact JWT (RFC 7519), signed with HS256 by a key of this instance. It says what it is
//! good for; nothing is kept of it but that it was revoked.
//!
//! ```text
//!   header  {"alg":"HS256","typ":"JWT","kid":<name of the key>}
//!   claims  iss <instance>   aud convoke-mqtt   jti <UUIDv7>   iat, exp <seconds since 1970>
//!           key <id of the key that applied for it; left out: the owner's>   key_made_ms <when that was created>
//!           owner_key <name of the owner's key, if that applied for it>
//!           actions R|W|RW   resources [<topic or filter>, …]   client <client id>   user, login <whose device that is, and its credential>
//! ```
//!
//! What it is not: whether a token that was issued here is still good is the matter of
//! [`Access::token`](crate::access::Access::token), and whether its time is over that of the login: nothing here looks at a
//! clock.

mod holder;
mod pairs;
pub(crate) mod resource;
mod types;

pub use holder::{HolderError, TokenHolder};
pub(crate) use pairs::pairs;
pub use resource::{ResourceError, check_resource};
pub use types::TokenType;

use crate::sealing::Sealing;
use aws_lc_rs::digest::{SHA256, digest};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::Arc;
use uuid::Uuid;

/// Bytes of one token; a longer one is not looked at. Three of them fit into a CONNECT.
pub const TOKEN_BYTES_MAX: usize = 5 * 1024;
/// Topics and filters that one token names.
pub const RESOURCES_MAX: usize = 100;

const AUDIENCE: &str = "convoke-mqtt";
/// In the user name, in place of the id of a key, where the owner's own key applied for the token.
pub const OWNER: &str = "owner";

/// Why a token is void, with the codes of the reference product.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum TokenError {
    #[error("the token was not issued here, or is damaged; apply for one")]
    Forged,
    #[error("the token has expired; apply for a new one")]
    Expired,
    #[error("the token was revoked; apply for a new one")]
    Revoked,
    #[error("the token is for another client id")]
    Resource,
    #[error("the tokens must be R, W and RW, each once at most, and each be of the type that is said of it")]
    Type,
    #[error("the signature of the token is wrong; apply for one")]
    Signature,
    #[error("the key that applied for the token is disabled, removed or narrowed, or not the one of the user name")]
    Account,
}

impl TokenError {
    /// As clients are told it.
    #[must_use]
    pub const fn code(self) -> i32 {
        match self {
            Self::Forged => 1,
            Self::Expired => 2,
            Self::Revoked => 3,
            Self::Resource => 4,
            Self::Type => 5,
            Self::Signature => 8,
            Self::Account => -1,
        }
    }
}

/// The key that applied for a token.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Applicant {
    /// `None`: the owner's, which is in no catalog.
    pub key_id: Option<String>,
    /// A later key of the same name is another one.
    pub made_ms: u64,
    /// Of the owner's key its name, which is derived from its secret: one that takes its place is another one.
    pub owner_key: Option<String>,
}

impl Applicant {
    #[must_use]
    pub const fn key(key_id: String, made_ms: u64) -> Self {
        Self { key_id: Some(key_id), made_ms, owner_key: None }
    }

    #[must_use]
    pub const fn owner(owner_key: String) -> Self {
        Self { key_id: None, made_ms: 0, owner_key: Some(owner_key) }
    }

    /// As user names have it.
    #[must_use]
    pub fn name(&self) -> &str {
        self.key_id.as_deref().unwrap_or(OWNER)
    }
}

/// A token, read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Token {
    pub id: Uuid,
    pub token_type: TokenType,
    /// Sorted; topics, or filters for many of them.
    pub resources: Vec<String>,
    pub expires_at_ms: u64,
    pub applicant: Applicant,
    /// The only client id that it is good for; `None`: any that no user owns.
    pub client_id: Option<String>,
    /// Whose device that was when the token was applied for.
    pub user: Option<String>,
    /// The id of the credential that the device had: with that login the token ends, too.
    pub login: Option<String>,
}

impl Token {
    /// Whether a message to this topic is one that the token names, whatever else is to be said of it.
    #[must_use]
    pub fn names_topic(&self, topic: &str) -> bool {
        self.resources.iter().any(|resource| resource::matches(resource, topic))
    }

    /// In memory, with the text that it holds.
    fn bytes(&self) -> usize {
        let names = [&self.applicant.key_id, &self.applicant.owner_key, &self.client_id, &self.user, &self.login];
        let names: usize = names.into_iter().flatten().map(String::len).sum();
        let resources: usize = self.resources.iter().map(|resource| size_of::<String>() + resource.len()).sum();
        size_of::<Self>() + names + resources
    }

    /// Whether the token names every topic that the filter may bring.
    #[must_use]
    pub fn covers_filter(&self, filter: &str) -> bool {
        self.resources.iter().any(|resource| resource::covers(resource, filter))
    }
}

#[derive(Serialize, Deserialize)]
struct Claims {
    iss: String,
    aud: String,
    jti: Uuid,
    iat: u64,
    exp: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    key_made_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    owner_key: Option<String>,
    actions: TokenType,
    resources: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<String>,
}

/// Signs tokens of one instance, and verifies them.
#[derive(Clone)]
pub struct TokenKey(Arc<Inner>);

struct Inner {
    kid: String,
    instance: String,
    signing: EncodingKey,
    verifying: DecodingKey,
    sealing: Sealing,
    rules: Validation,
}

impl TokenKey {
    /// Its name in tokens is derived from the secret.
    #[must_use]
    pub fn new(instance: &str, secret: &[u8; 32]) -> Self {
        let name = digest(&SHA256, secret);
        let kid = name.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect();
        let mut rules = Validation::new(Algorithm::HS256);
        rules.set_issuer(&[instance]);
        rules.set_audience(&[AUDIENCE]);
        rules.set_required_spec_claims(&["exp", "iss", "aud"]);
        // Expiry is judged by the service's clock.
        rules.validate_exp = false;
        let (signing, verifying) = (EncodingKey::from_secret(secret), DecodingKey::from_secret(secret));
        let sealing = Sealing::new(secret);
        Self(Arc::new(Inner { kid, instance: instance.to_owned(), signing, verifying, sealing, rules }))
    }

    /// Under keys of its own that are derived from the same secret.
    pub(crate) fn sealing(&self) -> &Sealing {
        &self.0.sealing
    }

    /// # Errors
    /// The text would be longer than [`TOKEN_BYTES_MAX`]: it names too much.
    pub fn sign(&self, token: &Token, now_ms: u64) -> Result<String, TooLong> {
        let Token { id, token_type, resources, expires_at_ms, applicant, client_id, user, login } = token.clone();
        let claims = Claims {
            iss: self.0.instance.clone(),
            aud: AUDIENCE.to_owned(),
            jti: id,
            iat: now_ms / 1_000,
            exp: expires_at_ms / 1_000,
            key: applicant.key_id,
            key_made_ms: applicant.made_ms,
            owner_key: applicant.owner_key,
            actions: token_type,
            resources,
            client: client_id,
            user,
            login,
        };
        let header = Header { kid: Some(self.0.kid.clone()), ..Header::new(Algorithm::HS256) };
        let text = jsonwebtoken::encode(&header, &claims, &self.0.signing).map_err(|_| TooLong)?;
        if text.len() > TOKEN_BYTES_MAX { Err(TooLong) } else { Ok(text) }
    }

    /// Reads a token that was signed here, also one that is void by now. What it costs is bounded.
    ///
    /// # Errors
    /// [`TokenError::Forged`] or [`TokenError::Signature`].
    pub fn verify(&self, text: &str) -> Result<Token, TokenError> {
        if text.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::Forged);
        }
        let kid = jsonwebtoken::decode_header(text).ok().and_then(|header| header.kid);
        if kid.as_deref() != Some(self.0.kid.as_str()) {
            return Err(TokenError::Forged);
        }
        let verified = jsonwebtoken::decode::<Claims>(text, &self.0.verifying, &self.0.rules);
        let claims = verified.map_err(|error| error_of(error.kind()))?.claims;
        Ok(Token {
            id: claims.jti,
            token_type: claims.actions,
            resources: claims.resources,
            expires_at_ms: claims.exp.saturating_mul(1_000),
            applicant: Applicant { key_id: claims.key, made_ms: claims.key_made_ms, owner_key: claims.owner_key },
            client_id: claims.client,
            user: claims.user,
            login: claims.login,
        })
    }
}

fn error_of(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidSignature => TokenError::Signature,
        _ => TokenError::Forged,
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the token would be longer than 5 KiB; name fewer topics, or filters with wildcards for them")]
pub struct TooLong;

impl PartialEq for TokenKey {
    fn eq(&self, other: &Self) -> bool {
        (&self.0.kid, &self.0.instance) == (&other.0.kid, &other.0.instance)
    }
}

impl Eq for TokenKey {}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenKey").field("kid", &self.0.kid).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
