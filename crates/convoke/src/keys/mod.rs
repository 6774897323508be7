//! Keys and certificates of a data directory: `api-key`, `keys/join.pem`, `keys/channels.pem`, `keys/token-secret`, `tls/ca.pem` with a server
//! certificate. An empty directory gets new ones.
//!
//! Existing files are used as they are; nothing is ever overwritten. Secrets have mode 0600.

mod files;
mod tls;

pub(crate) use files::read_or_create;
pub use files::write_secret;
pub use tls::Certificate;

use anyhow::{Context, Result, bail};
use aws_lc_rs::digest;
use aws_lc_rs::rand::{SecureRandom, SystemRandom};
use rcgen::{KeyPair, PKCS_ED25519};
use std::path::Path;

/// The key that administers the instance over HTTP.
pub struct ApiKey(String);

/// The pair that signs and verifies join tokens.
pub struct JoinKey {
    /// Names the key in tokens: the first half of the SHA-256 of the public key, in hex.
    pub kid: String,
    pub private_pem: String,
    pub public_pem: String,
}

impl ApiKey {
    pub fn load_or_create(data: &Path) -> Result<Self> {
        let path = data.join("api-key");
        let text = read_or_create(&path, || Ok(random_hex::<24>()))?;
        let key = text.trim().to_owned();
        if key.len() < 32 {
            bail!(
                "{} is too short to be a secret\n  remedy: remove it, a new one is made at the next start",
                path.display()
            );
        }
        Ok(Self(key))
    }

    pub fn text(&self) -> &str {
        &self.0
    }

    /// The name that tokens have of it: the first 16 digits of its hash.
    pub fn name(&self) -> String {
        self.sha256().chars().take(16).collect()
    }

    /// Lower-case hex of SHA-256, the form in which the catalog keeps it.
    pub fn sha256(&self) -> String {
        sha256_hex(self.0.as_bytes())
    }
}

impl JoinKey {
    /// The one of the built-in meeting service.
    pub fn load_or_create(data: &Path) -> Result<Self> {
        Self::named(data, "join.pem")
    }

    /// The one for channels that keys of the API put.
    pub fn of_channels(data: &Path) -> Result<Self> {
        Self::named(data, "channels.pem")
    }

    fn named(data: &Path, file: &str) -> Result<Self> {
        let path = data.join("keys").join(file);
        let private_pem = read_or_create(&path, || Ok(KeyPair::generate_for(&PKCS_ED25519)?.serialize_pem()))?;
        let pair = KeyPair::from_pem(&private_pem).with_context(|| {
            format!(
                "{} holds no Ed25519 key in PKCS#8 PEM\n  remedy: restore it from a copy, or remove it: a new one is \
                 made at the next start, and join tokens of the old one are void",
                path.display()
            )
        })?;
        let public = rcgen::PublicKeyData::der_bytes(&pair);
        Ok(Self { kid: sha256_hex(public)[..32].to_owned(), public_pem: pair.public_key_pem(), private_pem })
    }
}

/// Signs the tokens of MQTT clients.
pub struct TokenSecret([u8; 32]);

impl TokenSecret {
    pub fn load_or_create(data: &Path) -> Result<Self> {
        let path = data.join("keys").join("token-secret");
        let text = read_or_create(&path, || Ok(random_hex::<32>()))?;
        bytes_of_hex(text.trim()).map(Self).with_context(|| {
            format!(
                "{} does not hold 64 hex digits\n  remedy: restore it from a copy, or remove it: a new one is made at the \
                 next start, and all tokens of MQTT clients are void",
                path.display()
            )
        })
    }

    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

fn bytes_of_hex(text: &str) -> Option<[u8; 32]> {
    let mut bytes = [0; 32];
    let is_hex = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    for (n, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * n..2 * n + 2)?, 16).ok()?;
    }
    is_hex.then_some(bytes)
}

/// `N` random bytes in lower-case hex.
pub fn random_hex<const N: usize>() -> String {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).expect("the system has randomness");
    hex(&bytes)
}

pub fn sha256_hex(bytes: &[u8]) -> String {
    hex(digest::digest(&digest::SHA256, bytes).as_ref())
}

fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[cfg(test)]
mod tests;
