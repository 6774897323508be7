//! Client certificates (X.509, RFC 5280): a registered device logs in by a certificate of a configured authority.
//!
//! ```text
//!   subject   exactly one CN, a UTF8String: the client id <GroupID>@@@<DeviceID>
//!   validity  by the system's clock in the handshake, by the service's clock from the login on
//!   id        made from the issuer's name and the serial number: by it a certificate is revoked, like a token
//! ```
//!
//! What it is not: whether the client id is a registered device is the matter of [`login`](crate::login). Only what a TLS
//! handshake has verified by a [`ClientAuthority`] is read here as somebody's.

mod authority;
mod path;
mod revocation_list;

pub use authority::{AuthorityError, CHAIN_BYTES_MAX, CHAIN_MAX, ClientAuthority, ListState};
pub use path::Path;
pub use revocation_list::{LIST_BYTES_MAX, ListError, RevocationList};

use crate::access::ClientId;
use aws_lc_rs::digest::{Context, SHA256};
use uuid::Uuid;
use x509_parser::asn1_rs::Tag;
use x509_parser::prelude::X509Certificate;
use x509_parser::time::ASN1Time;

/// Why a certificate lets nobody in. Its words are thing, cause and remedy, for the one who showed it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum CertificateError {
    #[error("there is no client certificate; connect with TLS to the MQTT listener, and show one")]
    Missing,
    #[error("the client certificate cannot be read; have it issued anew")]
    Malformed,
    #[error(
        "the subject of the client certificate has not exactly one CN, a UTF8String with a client id; have it issued so"
    )]
    Name,
    #[error("the client certificate is for another client id")]
    ClientId,
    #[error("the client certificate, or one above it, has expired; get a new one")]
    Expired,
    #[error(
        "the client certificate, or one above it, is not valid yet; compare the clocks of its issuer and of this server"
    )]
    NotYet,
    #[error("the client certificate, or one above it, was revoked; get a new one")]
    Revoked,
    #[error("the client id of the certificate is no registered device; register that first")]
    Device,
}

/// What a certificate says of its holder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// By which it can be revoked.
    pub id: Uuid,
    pub client_id: String,
    pub expires_at_ms: u64,
}

impl Certificate {
    /// # Errors
    /// It is none, or names no client id.
    pub fn read(der: &[u8]) -> Result<Self, CertificateError> {
        let certificate = path::parse(der)?;
        Ok(Self {
            id: id_of(certificate.issuer().as_raw(), certificate.raw_serial()),
            client_id: client_id(&certificate).ok_or(CertificateError::Name)?,
            expires_at_ms: path::validity(&certificate).1,
        })
    }
}

/// `notAfter` belongs to the time in which it is valid (RFC 5280 §4.1.2.5).
const LAST_SECOND_MS: u64 = 1_000;

/// One name only: which of two counts would be the matter of who reads it.
fn client_id(certificate: &X509Certificate<'_>) -> Option<String> {
    let mut names = certificate.subject().iter_common_name();
    let (Some(name), None) = (names.next(), names.next()) else { return None };
    // A PrintableString has no `@`.
    let name = (name.attr_value().tag() == Tag::Utf8String).then(|| name.attr_value().data)?;
    let name = str::from_utf8(name).ok()?;
    ClientId::parse(name).ok().map(|_| name.to_owned())
}

/// The same for a certificate and for the line of a revocation list that names it.
fn id_of(issuer: &[u8], serial: &[u8]) -> Uuid {
    let zeros = serial.iter().take_while(|byte| **byte == 0).count();
    let mut hash = Context::new(&SHA256);
    hash.update(b"x509");
    hash.update(&u64::try_from(issuer.len()).unwrap_or(u64::MAX).to_be_bytes());
    hash.update(issuer);
    hash.update(&serial[zeros..]);
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash.finish().as_ref()[..16]);
    uuid::Builder::from_custom_bytes(bytes).into_uuid()
}

/// Before 1970 is 1970.
fn millis(at: ASN1Time) -> u64 {
    u64::try_from(at.timestamp()).unwrap_or(0).saturating_mul(1_000)
}

#[cfg(test)]
mod tests;
