//! Texts that are kept where others may read, and that only this server can read: AES-256-GCM under a key of the data
//! directory's secret.
//!
//! Each text has a key of its own, made from the secret and from words that the caller knows and that are kept nowhere: who has
//! the secret and what is kept still lacks these words.
//!
//! A sealed text is `nonce (12 bytes) | cipher text | tag (16 bytes)`. It is bound to a context, which is not in it: who opens it
//! must name the same.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Prk, Salt};
use std::fmt;

/// Each purpose of the secret has its own key.
const PURPOSE: &[u8] = b"convoke: kept answers";

#[derive(Clone)]
pub struct Sealing(Prk);

/// Seals and opens what belongs to certain words.
pub(crate) struct Seal(RandomizedNonceKey);

struct Length;

impl KeyType for Length {
    fn len(&self) -> usize {
        AES_256_GCM.key_len()
    }
}

impl Sealing {
    #[must_use]
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(Salt::new(HKDF_SHA256, &[]).extract(secret))
    }

    /// `None`: the cryptographic library fails.
    pub(crate) fn of(&self, words: &str) -> Option<Seal> {
        let mut key = [0; 32];
        self.0.expand(&[PURPOSE, words.as_bytes()], Length).ok()?.fill(&mut key).ok()?;
        RandomizedNonceKey::new(&AES_256_GCM, &key).ok().map(Seal)
    }
}

impl Seal {
    pub(crate) fn seal(&self, context: &[u8], text: Vec<u8>) -> Option<Vec<u8>> {
        let mut text = text;
        let nonce = self.0.seal_in_place_append_tag(Aad::from(context), &mut text).ok()?;
        let mut sealed = nonce.as_ref().to_vec();
        sealed.append(&mut text);
        Some(sealed)
    }

    /// `None`: it was sealed by another secret, with other words or for another context, or is damaged.
    pub(crate) fn open(&self, context: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
        let (nonce, text) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut text = text.to_vec();
        Some(self.0.open_in_place(nonce, Aad::from(context), &mut text).ok()?.to_vec())
    }
}

impl fmt::Debug for Sealing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sealing").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn a_text_is_opened_by_its_secret_with_its_words_in_its_context_alone() {
        let seal = |secret, words| Sealing::new(&[secret; 32]).of(words).unwrap();
        let (sealing, other, with_other_words) = (seal(1, "words"), seal(2, "words"), seal(1, "other words"));
        let sealed = sealing.seal(b"context", b"a secret".to_vec()).unwrap();
        assert!(!sealed.windows(8).any(|part| part == b"a secret"));
        assert_ne!(sealed, sealing.seal(b"context", b"a secret".to_vec()).unwrap());
        assert_eq!(sealing.open(b"context", &sealed).unwrap(), b"a secret");
        assert_eq!(sealing.open(b"another", &sealed), None);
        assert_eq!(other.open(b"context", &sealed), None);
        assert_eq!(with_other_words.open(b"context", &sealed), None);
        for cut in 0..sealed.len() {
            assert_eq!(sealing.open(b"context", &sealed[..cut]), None);
        }
        let mut flipped = sealed.clone();
        flipped[20] ^= 1;
        assert_eq!(sealing.open(b"context", &flipped), None);
    }
}
