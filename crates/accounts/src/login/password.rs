//! Base64(HMAC-SHA1(secret, client id)): standard alphabet, with padding, 28 characters.

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

/// Checked in place of a secret that does not exist, so that unknown takes as long as wrong.
const NOBODYS_SECRET: &str = "DC.nobody-holds-this-secret-0000";

/// The password of a client id.
pub fn sign(secret: &str, client_id: &str) -> String {
    STANDARD.encode(hmac::sign(&key(secret), client_id.as_bytes()))
}

/// In constant time for all passwords of the right form.
pub(crate) fn matches(secret: Option<&str>, client_id: &str, password: &[u8]) -> bool {
    verifies(secret, client_id.as_bytes(), &STANDARD.decode(password).unwrap_or_default())
}

/// The same of other bytes, with the signature as it is.
pub(super) fn verifies(secret: Option<&str>, signed: &[u8], tag: &[u8]) -> bool {
    hmac::verify(&key(secret.unwrap_or(NOBODYS_SECRET)), signed, tag).is_ok() && secret.is_some()
}

/// SHA-1 is what the format demands; as a keyed hash it stands.
fn key(secret: &str) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes())
}
