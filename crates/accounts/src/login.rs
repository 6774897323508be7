//! Logins: who a connection is, by the reference product's `Signature`, `Token` and `DeviceCredential`, by a JWT, or by the certificate
//! of its TLS connection.
//!
//! | username | password |
//! |---|---|
//! | `Signature\|<AccessKeyId>\|<InstanceId>` | Base64(HMAC-SHA1(AccessKeySecret, client id)) |
//! | `Token\|<AccessKeyId>\|<InstanceId>` | `R\|<token>\|W\|<token>`, or `RW\|<token>`, in any order; one that is void voids all |
//! | `DeviceCredential\|<DeviceAccessKeyId>\|<InstanceId>` | Base64(HMAC-SHA1(DeviceAccessKeySecret, client id)) |
//! | `JWT\|<name of the issuer>\|<InstanceId>` | a [JWT](crate::jwt) of that issuer, for this client id |
//! | `Certificate\|\|<InstanceId>`, or none | empty: the [certificate](crate::certificate) is for this client id |
//!
//! In two steps, so that a worker never waits: [`begin`] decides what needs no device and says which device it needs;
//! [`PendingLogin::finish`] decides the rest when [`DeviceDirectory`] has answered. Nothing here looks at a clock.
//!
//! Unknown and wrong give one answer, after the same hashing: a missing key or device is checked against a secret that
//! nobody has. (That a known device is found faster than an unknown one can be measured; it tells no secret.)

mod certificate;
mod devices;
mod jwt;
mod password;
mod standing;
mod why;

pub use devices::{DEVICES_CACHED_MAX, DeviceDirectory, LookupDone, LookupError, LookupSource};
pub(crate) use password::matches;
pub use password::sign;
pub use standing::{credential_stands_until, has_signed, judge_again, secret_stands_until};
pub(crate) use why::{method_of, why_refused};

use crate::access::{Access, ClientId, Identity};
use crate::certificate::CertificateError;
use crate::jwt::{Issuer, JwtError};
use crate::token::{HolderError, TokenError, TokenHolder, pairs};
use catalog::Device;
use certificate::CertificateClaim;
use jwt::JwtClaim;
use rustls::pki_types::CertificateDer;
use uuid::Uuid;

/// Why a login is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum LoginError {
    #[error("the client id must read <GroupID>@@@<DeviceID>, at most 64 characters")]
    BadClientId,
    #[error(
        "the username must read Signature|<key id>|<instance>, or so with Token, DeviceCredential, JWT or Certificate"
    )]
    BadUsername,
    /// Unknown group, key, device or instance, or a wrong password: the same for all.
    #[error("the credential is not valid for this client id")]
    Refused,
    #[error("the credential has expired; ask the application's server for a new one")]
    Expired,
    #[error("the access key lacks the scope topics, without which there is nothing to do on MQTT")]
    Scope,
    #[error("the client id belongs to a user's device; choose another one, or apply for a token for that device")]
    OwnedByUser,
    #[error("a token is not valid: {0}")]
    Token(TokenError),
    #[error(transparent)]
    Jwt(JwtError),
    #[error(transparent)]
    Certificate(CertificateError),
    #[error("too many logins wait for the catalog; try again later")]
    Busy,
    #[error("the catalog did not answer; try again later")]
    Unavailable,
}

impl From<HolderError> for LoginError {
    fn from(error: HolderError) -> Self {
        match error {
            HolderError::OwnedByUser => Self::OwnedByUser,
            HolderError::Token(error) => Self::Token(error),
        }
    }
}

impl From<TokenError> for LoginError {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl From<JwtError> for LoginError {
    fn from(error: JwtError) -> Self {
        Self::Jwt(error)
    }
}

impl From<CertificateError> for LoginError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}

impl From<LookupError> for LoginError {
    fn from(error: LookupError) -> Self {
        match error {
            LookupError::Busy => Self::Busy,
            LookupError::TimedOut | LookupError::Unavailable => Self::Unavailable,
        }
    }
}

/// Who was let in, by what, and until when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub identity: Identity,
    pub credential: Credential,
    /// By the service's clock; `None`: until it is taken away.
    pub valid_until_ms: Option<u64>,
}

/// What a login was let in by; of a service beside its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// One of the key's secrets, of the key that was created then: a later one of the same name begins with the same generation.
    Secret { generation: u64, key_created_ms: u64 },
    /// That of a device.
    Device { key_id: Box<str> },
    /// Those of the identity.
    Tokens,
    /// One that an issuer has signed; it ends with it, and nothing prolongs that.
    Jwt { id: Uuid },
    /// That of its TLS connection; the same of it, and of those above it.
    Certificate { ids: Box<[Uuid]> },
}

#[derive(Debug, PartialEq, Eq)]
pub enum LoginStep {
    Decided(Result<Login, LoginError>),
    /// Look up [`PendingLogin::client_id`] in the [`DeviceDirectory`], then finish.
    NeedsDevice(PendingLogin),
}

/// A login that waits for the row of the device with its client id.
#[derive(Debug, PartialEq, Eq)]
pub struct PendingLogin {
    client_id: String,
    claim: Claim,
}

#[derive(PartialEq, Eq)]
enum Claim {
    /// Verified, but the client id may belong to a user.
    Service(Login),
    /// Verified, but for their time and whose client id it is.
    Tokens(Box<TokenHolder>),
    Jwt(Box<JwtClaim>),
    Certificate(Box<CertificateClaim>),
    Device {
        key_id: String,
        password: Vec<u8>,
        known: bool,
    },
}

impl std::fmt::Debug for Claim {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Service(login) => f.debug_tuple("Service").field(&login.identity).finish(),
            Self::Tokens(holder) => f.debug_tuple("Tokens").field(holder).finish(),
            Self::Jwt(claim) => f.debug_tuple("Jwt").field(claim).finish(),
            Self::Certificate(claim) => f.debug_tuple("Certificate").field(claim).finish(),
            Self::Device { key_id, .. } => f.debug_struct("Device").field("key_id", key_id).finish_non_exhaustive(),
        }
    }
}

/// What a CONNECT shows of who sends it.
#[derive(Clone, Copy, Default)]
pub struct Shown<'a> {
    pub username: Option<&'a str>,
    pub password: Option<&'a [u8]>,
    /// With what was shown with it, which the handshake of its connection has verified.
    pub certificate: Option<&'a [CertificateDer<'static>]>,
}

/// The first step of a CONNECT.
pub fn begin(access: &Access, client_id: &str, username: Option<&str>, password: Option<&[u8]>) -> LoginStep {
    begin_with(access, client_id, Shown { username, password, certificate: None })
}

/// The same of one that may have a certificate, which counts where the user name says so, or where there is no user name.
pub fn begin_with(access: &Access, client_id: &str, shown: Shown<'_>) -> LoginStep {
    match claim(access, client_id, shown) {
        Ok(claim) => LoginStep::NeedsDevice(PendingLogin { client_id: client_id.to_owned(), claim }),
        Err(error) => LoginStep::Decided(Err(error)),
    }
}

fn claim(access: &Access, client_id: &str, shown: Shown<'_>) -> Result<Claim, LoginError> {
    let id = ClientId::parse(client_id).map_err(|_| LoginError::BadClientId)?;
    let password = shown.password.unwrap_or_default();
    let name = match shown.username.unwrap_or_default() {
        "" if shown.certificate.is_some() => Username::of_certificate(access.instance()),
        text => Username::parse(text).ok_or(LoginError::BadUsername)?,
    };
    let known = access.has_group(id.group()) && name.instance == access.instance();
    match name.method {
        Method::Signature => signature(access, client_id, &name, password, known),
        Method::Token => tokens(access, id, &name, password, known).map(|holder| Claim::Tokens(Box::new(holder))),
        Method::Jwt => {
            JwtClaim::new(access, client_id, name.key_id, password, known).map(|claim| Claim::Jwt(Box::new(claim)))
        }
        Method::Certificate => {
            let chain = shown.certificate.ok_or(CertificateError::Missing)?;
            let claim = CertificateClaim::new(access, client_id, chain, known && password.is_empty())?;
            Ok(Claim::Certificate(Box::new(claim)))
        }
        Method::DeviceCredential => {
            Ok(Claim::Device { key_id: name.key_id.to_owned(), password: password.to_owned(), known })
        }
    }
}

fn signature(
    access: &Access,
    client_id: &str,
    name: &Username<'_>,
    password: &[u8],
    known: bool,
) -> Result<Claim, LoginError> {
    let Some(key) = access.key(name.key_id) else {
        matches(None, client_id, password);
        return Err(LoginError::Refused);
    };
    let secret = key.secrets.iter().find(|secret| matches(Some(&secret.secret), client_id, password));
    match secret {
        Some(secret) if known && key.instance == name.instance => {
            let identity = Identity::Service { key_id: key.key_id.clone(), instance: key.instance.clone() };
            let credential = Credential::Secret { generation: secret.generation, key_created_ms: key.created_at_ms };
            Ok(Claim::Service(Login { identity, credential, valid_until_ms: key.valid_until_ms(secret) }))
        }
        _ => Err(LoginError::Refused),
    }
}

/// All must be good. What is wrong with one is told to its holder: nobody learns anything by that who has none.
fn tokens(
    access: &Access,
    id: ClientId<'_>,
    name: &Username<'_>,
    password: &[u8],
    known: bool,
) -> Result<TokenHolder, LoginError> {
    let password = str::from_utf8(password).map_err(|_| TokenError::Forged)?;
    let mut tokens = Vec::new();
    for (token_type, text) in pairs(password)? {
        let token = access.token(text)?;
        if token.token_type != token_type {
            return Err(TokenError::Type.into());
        }
        if token.applicant.name() != name.key_id {
            return Err(TokenError::Account.into());
        }
        tokens.push(token);
    }
    let holder = TokenHolder::new(id, name.instance, tokens)?.ending_by(|token| access.end_of_token(token));
    if known { Ok(holder) } else { Err(LoginError::Refused) }
}

impl PendingLogin {
    /// The device to look up.
    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// The issuer whose keys are to be fetched anew before the second step, because it may know by then what it does not know now.
    pub fn wanted_keys(&self) -> Option<&Issuer> {
        match &self.claim {
            Claim::Jwt(claim) => claim.wanted_keys(),
            _ => None,
        }
    }

    /// The second step, with what the directory found. `is_over`: whether what was to end then has ended.
    ///
    /// # Errors
    /// The login is refused.
    pub fn finish(self, device: Option<&Device>, is_over: impl Fn(u64) -> bool) -> Result<Login, LoginError> {
        match self.claim {
            Claim::Service(_) if device.is_some() => Err(LoginError::OwnedByUser),
            Claim::Service(login) if login.valid_until_ms.is_some_and(&is_over) => Err(LoginError::Expired),
            Claim::Service(login) => Ok(login),
            Claim::Tokens(holder) => finish_tokens(*holder, device, is_over),
            Claim::Jwt(claim) => claim.finish(&self.client_id, device, is_over),
            Claim::Certificate(claim) => claim.finish(device, is_over),
            Claim::Device { key_id, password, known } => {
                let device = device.filter(|device| known && device.key_id == key_id);
                finish_device(&self.client_id, device, &password, is_over)
            }
        }
    }
}

fn finish_tokens(
    holder: TokenHolder,
    device: Option<&Device>,
    is_over: impl Fn(u64) -> bool,
) -> Result<Login, LoginError> {
    let holder = holder.of_device(device)?;
    if holder.first_to_end().is_some_and(|(_, ends_at_ms)| is_over(ends_at_ms)) {
        return Err(TokenError::Expired.into());
    }
    // Each of them is told of before it ends, and may be renewed: their ends are looked at apart.
    Ok(Login { identity: Identity::Tokens(Box::new(holder)), credential: Credential::Tokens, valid_until_ms: None })
}

fn finish_device(
    client_id: &str,
    device: Option<&Device>,
    password: &[u8],
    is_over: impl Fn(u64) -> bool,
) -> Result<Login, LoginError> {
    let fits = matches(device.map(|device| device.secret.as_str()), client_id, password);
    match device {
        Some(device) if fits && device.client_id == client_id => {
            if is_over(device.expires_at_ms) {
                return Err(LoginError::Expired);
            }
            let (user, group) = (device.user.clone(), device.group.clone());
            let identity = Identity::Device { client_id: client_id.to_owned(), user, group, publishes: None };
            let credential = Credential::Device { key_id: device.key_id.as_str().into() };
            Ok(Login { identity, credential, valid_until_ms: Some(device.expires_at_ms) })
        }
        _ => Err(LoginError::Refused),
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Method {
    Signature,
    Token,
    DeviceCredential,
    Jwt,
    Certificate,
}

#[derive(Debug, PartialEq, Eq)]
struct Username<'a> {
    method: Method,
    key_id: &'a str,
    instance: &'a str,
}

impl<'a> Username<'a> {
    fn of_certificate(instance: &'a str) -> Self {
        Self { method: Method::Certificate, key_id: "", instance }
    }

    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.split('|');
        let method = match parts.next()? {
            "Signature" => Method::Signature,
            "Token" => Method::Token,
            "DeviceCredential" => Method::DeviceCredential,
            "JWT" => Method::Jwt,
            "Certificate" => Method::Certificate,
            _ => return None,
        };
        let (key_id, instance) = (parts.next()?, parts.next()?);
        let whole =
            parts.next().is_none() && key_id.is_empty() == (method == Method::Certificate) && !instance.is_empty();
        whole.then_some(Self { method, key_id, instance })
    }
}

#[cfg(test)]
mod tests;
