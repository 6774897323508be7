//! Keys: who may administer the instance, by `Authorization: Bearer <API key>`, or `Basic` with an access key.

use super::device_login::basic;
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::digest::{SHA256, digest};
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;
use std::fmt::Write;
use std::sync::Arc;

/// The keys that the program was started with; all others are looked up in the catalog by their hash.
#[derive(Clone, Default)]
pub struct ApiKeys {
    hashes: Arc<[[u8; 32]]>,
}

impl ApiKeys {
    /// Keeps the hashes of these keys only.
    pub fn new<'a>(keys: impl IntoIterator<Item = &'a str>) -> Self {
        Self { hashes: keys.into_iter().map(sha256).collect() }
    }

    /// In constant time for each of them.
    pub(super) fn contain(&self, hash: &[u8; 32]) -> bool {
        let mut known = false;
        for other in self.hashes.iter() {
            known |= verify_slices_are_equal(hash, other).is_ok();
        }
        known
    }
}

/// Lower-case hex, as the catalog keeps API keys and login secrets.
pub fn sha256_hex(secret: &str) -> String {
    hex(&sha256(secret))
}

pub(super) fn sha256(text: impl AsRef<[u8]>) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest(&SHA256, text.as_ref()).as_ref());
    hash
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// What a request shows to be let in: an API key, or the id and the secret of an access key.
pub(super) struct Shown {
    pub(super) key_id: Option<String>,
    pub(super) secret: String,
}

impl Shown {
    pub(super) fn of(parts: &Parts) -> Option<Self> {
        match bearer(parts) {
            Some(key) => Some(Self { key_id: None, secret: key.to_owned() }),
            None => basic(parts).map(|login| Self { key_id: Some(login.client_id), secret: login.password }),
        }
    }
}

fn bearer(parts: &Parts) -> Option<&str> {
    let (scheme, key) = parts.headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let key = key.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !key.is_empty()).then_some(key)
}
