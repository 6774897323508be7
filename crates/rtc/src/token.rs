//! Join tokens: JWT (RFC 7519) signed with EdDSA (RFC 8037), the key named by `kid`.
//!
//! The owner of a channel signs, the RTC server verifies with [`JoinKey`]s, of which each opens the channels of one owner;
//! the clock is a parameter. A [`SigningKey`] signs in place of the meeting service: for tests, and for other services in
//! Rust.

use crate::owner::Owner;
use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use clock::Times;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use signalling::JoinClaims;
use std::time::Duration;

/// Bytes of a token; a longer one is not looked at.
const TOKEN_BYTES_MAX: usize = 8 * 1024;
const ED25519_PUBLIC_BYTES: usize = 32;
/// A token may be from so many seconds ahead: the clocks of two machines differ.
pub(crate) const AHEAD_MAX_S: u64 = 60;

/// A public key that may have signed join tokens, the name that tokens call it by, and whose channels they open.
#[derive(Clone)]
pub struct JoinKey {
    owner: Owner,
    kid: String,
    public: DecodingKey,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error(
        "the token is not one of ours (its form, its key or its signature is wrong): ask for fresh join parameters"
    )]
    Invalid,
    #[error("the token has expired: ask for fresh join parameters")]
    Expired,
    #[error("the token lasts for longer than any may: sign one that expires sooner")]
    TooLong,
    #[error("the token is for another purpose or another instance: use the one of the join parameters")]
    Foreign,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "not an Ed25519 key: expected PEM (PKCS#8 private key, or SubjectPublicKeyInfo) or the 32 bytes of a public key"
)]
pub struct KeyError;

/// The claims of a token that one of `keys` signed for `issuer`, and that has not expired, with the owner of the key. One
/// from a time ahead was signed by a clock that was wrong; it would last for longer than any, and counts as expired.
///
/// # Errors
/// [`TokenError`], without saying which part of an invalid token is wrong.
pub fn verify(token: &str, keys: &[JoinKey], issuer: &str, times: Times) -> Result<(Owner, JoinClaims), TokenError> {
    if token.len() > TOKEN_BYTES_MAX {
        return Err(TokenError::Invalid);
    }
    let kid = jsonwebtoken::decode_header(token).ok().and_then(|header| header.kid).ok_or(TokenError::Invalid)?;
    let key = keys.iter().find(|key| key.kid == kid).ok_or(TokenError::Invalid)?;
    let verified = jsonwebtoken::decode::<JoinClaims>(token, &key.public, &validation(issuer));
    let claims = verified.map_err(|error| token_error(error.kind()))?.claims;
    let is_from_ahead = claims.iat > (times.now_ms / 1_000).saturating_add(AHEAD_MAX_S);
    let is_over = times.is_over(claims.exp.saturating_mul(1_000)) || is_from_ahead;
    if is_over { Err(TokenError::Expired) } else { Ok((key.owner.clone(), claims)) }
}

/// # Errors
/// [`TokenError::TooLong`]
pub(crate) fn check_life(claims: &JoinClaims, life_max: Duration) -> Result<(), TokenError> {
    let is_long = claims.exp.saturating_sub(claims.iat) > life_max.as_secs();
    if is_long { Err(TokenError::TooLong) } else { Ok(()) }
}

fn validation(issuer: &str) -> Validation {
    let mut rules = Validation::new(Algorithm::EdDSA);
    rules.set_audience(&[JoinClaims::AUDIENCE]);
    rules.set_issuer(&[issuer]);
    rules.set_required_spec_claims(&["exp", "aud", "iss"]);
    // Expiry is checked against the caller's clock.
    rules.validate_exp = false;
    rules
}

fn token_error(kind: &ErrorKind) -> TokenError {
    match kind {
        ErrorKind::InvalidAudience | ErrorKind::InvalidIssuer => TokenError::Foreign,
        _ => TokenError::Invalid,
    }
}

impl JoinKey {
    /// # Errors
    /// [`KeyError`] if the text is not a PEM `PUBLIC KEY` of Ed25519.
    pub fn from_pem(kid: impl Into<String>, pem: &str) -> Result<Self, KeyError> {
        let public = DecodingKey::from_ed_pem(pem.as_bytes()).map_err(|_| KeyError)?;
        Ok(Self { owner: Owner::default(), kid: kid.into(), public })
    }

    /// # Errors
    /// [`KeyError`] if there are not exactly 32 bytes.
    pub fn from_bytes(kid: impl Into<String>, public: &[u8]) -> Result<Self, KeyError> {
        if public.len() != ED25519_PUBLIC_BYTES {
            return Err(KeyError);
        }
        Ok(Self { owner: Owner::default(), kid: kid.into(), public: DecodingKey::from_ed_der(public) })
    }

    /// Its tokens open the channels of this owner.
    #[must_use]
    pub fn of(self, owner: Owner) -> Self {
        Self { owner, ..self }
    }

    pub fn kid(&self) -> &str {
        &self.kid
    }
}

impl std::fmt::Debug for JoinKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("JoinKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// The private half. Its `kid` is derived from the public key, so that it needs no name of its own.
#[derive(Clone)]
pub struct SigningKey {
    kid: String,
    private: EncodingKey,
    public: Vec<u8>,
}

impl SigningKey {
    /// A new key as PEM (PKCS#8); what is kept in `keys/join.pem`.
    ///
    /// # Errors
    /// [`KeyError`] if the system's random numbers fail.
    pub fn generate_pem() -> Result<String, KeyError> {
        let pair = Ed25519KeyPair::generate().map_err(|_| KeyError)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| KeyError)?;
        Ok(pem("PRIVATE KEY", pkcs8.as_ref()))
    }

    /// # Errors
    /// [`KeyError`] if the text is not a PEM `PRIVATE KEY` of Ed25519.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let pkcs8 = pem_content(text).ok_or(KeyError)?;
        let pair = Ed25519KeyPair::from_pkcs8(&pkcs8).map_err(|_| KeyError)?;
        let public = pair.public_key().as_ref().to_vec();
        Ok(Self { kid: kid_of(&public), private: EncodingKey::from_ed_der(&pkcs8), public })
    }

    /// What the RTC server must be given to trust this key.
    pub fn public(&self) -> JoinKey {
        JoinKey { owner: Owner::default(), kid: self.kid.clone(), public: DecodingKey::from_ed_der(&self.public) }
    }

    /// # Errors
    /// [`KeyError`] if the key cannot sign.
    pub fn sign(&self, claims: &JoinClaims) -> Result<String, KeyError> {
        let header = Header { kid: Some(self.kid.clone()), ..Header::new(Algorithm::EdDSA) };
        jsonwebtoken::encode(&header, claims, &self.private).map_err(|_| KeyError)
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SigningKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

fn kid_of(public: &[u8]) -> String {
    digest(&SHA256, public).as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

fn pem(label: &str, content: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(content))
}

fn pem_content(text: &str) -> Option<Vec<u8>> {
    let body = text.split_once("-----BEGIN PRIVATE KEY-----")?.1.split_once("-----END PRIVATE KEY-----")?.0;
    let base64: String = body.split_whitespace().collect();
    STANDARD.decode(base64).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use clock::Clock;
    use clock::testing::TestMachine;
    use signalling::{ChannelId, ParticipationId, UserName};
    use uuid::Uuid;

    const NOW_S: u64 = 1_800_000_000;

    fn at(now_s: u64) -> Times {
        Times::certain(now_s * 1_000)
    }

    fn claims() -> JoinClaims {
        JoinClaims {
            iss: "convoke".to_owned(),
            aud: JoinClaims::AUDIENCE.to_owned(),
            jti: "1".to_owned(),
            iat: NOW_S,
            exp: NOW_S + 60,
            channel: ChannelId::from("c"),
            participation: ParticipationId(Uuid::from_u128(1)),
            user: UserName::from("bob"),
            client: "b".to_owned(),
            rev: 0,
        }
    }

    fn claims_of(token: &str, keys: &[JoinKey], issuer: &str, times: Times) -> Result<JoinClaims, TokenError> {
        verify(token, keys, issuer, times).map(|(_, claims)| claims)
    }

    fn key() -> SigningKey {
        SigningKey::from_pem(&SigningKey::generate_pem().unwrap()).unwrap()
    }

    #[test]
    fn what_was_signed_is_verified_until_it_expires() {
        let key = key();
        let token = key.sign(&claims()).unwrap();
        assert_eq!(claims_of(&token, &[key.public()], "convoke", at(NOW_S + 59)), Ok(claims()));
        assert_eq!(claims_of(&token, &[key.public()], "convoke", at(NOW_S + 60)), Err(TokenError::Expired));
    }

    #[test]
    fn a_key_opens_the_channels_of_its_owner() {
        let key = key();
        let public = key.public().of(Owner::from("app"));
        let (owner, _) = verify(&key.sign(&claims()).unwrap(), &[public], "convoke", at(NOW_S)).unwrap();
        assert_eq!(owner, Owner::from("app"));
    }

    #[test]
    fn a_token_that_was_signed_while_the_clock_was_ahead_has_expired() {
        let key = key();
        for (ahead_s, result) in [(59, true), (60, true), (61, false), (3_600, false), (40 * 86_400, false)] {
            let claims = JoinClaims { iat: NOW_S + ahead_s, exp: NOW_S + ahead_s + 600, ..claims() };
            let verified = claims_of(&key.sign(&claims).unwrap(), &[key.public()], "convoke", at(NOW_S));
            let expected = if result { Ok(claims) } else { Err(TokenError::Expired) };
            assert_eq!(verified, expected, "{ahead_s} s ahead");
        }
    }

    /// While the server runs, over a boot, and for five minutes. A token that a step back has put ahead is good once more when
    /// its time comes: in all for its own time, and that of the step, but not for more than its own again.
    #[test]
    fn by_no_step_of_the_clock_is_a_token_good_twice_and_by_none_that_is_not_believed_for_less() {
        const DAY_S: i64 = 86_400;
        const LASTS_S: u64 = 600;
        let (key, token_of) = (key(), |iat| JoinClaims { iat, exp: iat + LASTS_S, ..claims() });
        let steps = [30, 120, 3_600, 5 * 3_600, 40 * DAY_S].into_iter().flat_map(|step| [step, -step]);
        for (step_s, is_boot, lasts_s) in
            steps.flat_map(|step| [(step, false, 3_600), (step, true, 3_600), (step, false, 300), (step, true, 300)])
        {
            let machine = TestMachine::at(NOW_S * 1_000);
            let mut clock = machine.clock(None);
            let signed = |clock: &Clock| key.sign(&token_of(clock.now_ms() / 1_000)).unwrap();
            let is_good =
                |token: &str, clock: &Clock| claims_of(token, &[key.public()], "convoke", clock.times()).is_ok();
            let before = signed(&clock);
            let kept = clock.keep();
            machine.set_wrong_by(step_s);
            if is_boot {
                machine.reboot();
                clock = machine.clock(Some(&kept));
            }
            let when = format!("{step_s} s for {lasts_s} s, a boot: {is_boot}");
            let longest_s = LASTS_S + step_s.unsigned_abs().min(LASTS_S) + AHEAD_MAX_S;
            let patience_s = if step_s.abs() > DAY_S { 600 } else { 60 };
            let mut tokens = vec![(before, 0, 0)];
            for passed_s in (20..=2 * 3_600).step_by(20) {
                machine.pass(20_000);
                if passed_s == lasts_s {
                    machine.set_wrong_by(0);
                }
                // One from each of the times.
                if [60, 280, 600, 700, 3_500].contains(&passed_s) {
                    tokens.push((signed(&clock), passed_s, 0));
                }
                let is_believed = is_boot || lasts_s >= patience_s && passed_s >= patience_s;
                for (token, signed_s, good_s) in &mut tokens {
                    let age_s = passed_s - *signed_s;
                    let is_good = is_good(token, &clock);
                    *good_s += if is_good { 20 } else { 0 };
                    assert!(*good_s <= longest_s, "{when}: {signed_s} s is good for {good_s} s");
                    assert!(is_good || is_believed || age_s >= LASTS_S, "{when}: {signed_s} s is bad at {passed_s} s");
                }
            }
        }
    }

    /// A machine without a battery for its clock, off for so long.
    #[test]
    fn a_token_that_was_signed_before_the_clock_was_set_has_its_time_and_no_more() {
        let key = key();
        for off_for_s in [3_600, 3 * 86_400] {
            let machine = TestMachine::at(NOW_S * 1_000);
            let kept = machine.clock(None).keep();
            machine.pass(off_for_s * 1_000);
            machine.reboot();
            machine.unset();
            let clock = machine.clock(Some(&kept));
            let iat = clock.now_ms() / 1_000;
            let token = key.sign(&JoinClaims { iat, exp: iat + 600, ..claims() }).unwrap();
            let is_good = || claims_of(&token, &[key.public()], "convoke", clock.times()).is_ok();
            machine.pass(30_000);
            assert!(is_good());
            machine.set_wrong_by(0);
            assert!(is_good(), "off for {off_for_s} s");
            machine.pass(569_000);
            assert!(is_good(), "off for {off_for_s} s");
            machine.pass(1_000);
            assert!(!is_good(), "off for {off_for_s} s");
        }
    }

    #[test]
    fn a_token_of_another_key_issuer_or_purpose_is_refused() {
        let (ours, theirs) = (key(), key());
        let check = |claims: &JoinClaims, signer: &SigningKey| {
            claims_of(&signer.sign(claims).unwrap(), &[ours.public()], "convoke", at(NOW_S))
        };
        assert_eq!(check(&claims(), &theirs), Err(TokenError::Invalid));
        assert_eq!(check(&JoinClaims { iss: "other".to_owned(), ..claims() }, &ours), Err(TokenError::Foreign));
        assert_eq!(check(&JoinClaims { aud: "queue".to_owned(), ..claims() }, &ours), Err(TokenError::Foreign));
    }

    #[test]
    fn a_key_that_uses_a_foreign_kid_does_not_pass() {
        let (ours, theirs) = (key(), key());
        let forged = SigningKey { kid: ours.kid.clone(), ..theirs };
        assert_eq!(
            claims_of(&forged.sign(&claims()).unwrap(), &[ours.public()], "convoke", at(NOW_S)),
            Err(TokenError::Invalid)
        );
    }

    #[test]
    fn an_altered_token_another_algorithm_and_noise_are_invalid() {
        let key = key();
        let token = key.sign(&claims()).unwrap();
        let mut parts: Vec<&str> = token.split('.').collect();
        let unsigned = "eyJhbGciOiJub25lIn0";
        parts[0] = unsigned;
        let hmac = jsonwebtoken::encode(
            &Header { kid: Some(key.kid.clone()), ..Header::new(Algorithm::HS256) },
            &claims(),
            &EncodingKey::from_secret(&key.public),
        );
        let altered = token.replacen("eyJpc3MiOiJ", "eyJpc3MiOiK", 1);
        for bad in ["", "a.b.c", &parts.join("."), &hmac.unwrap(), &altered, &"x".repeat(TOKEN_BYTES_MAX + 1)] {
            assert_eq!(claims_of(bad, &[key.public()], "convoke", at(NOW_S)), Err(TokenError::Invalid), "{bad}");
        }
    }

    #[test]
    fn a_public_key_is_read_from_pem_and_from_bytes() {
        let key = key();
        let spki = [&[0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00], key.public.as_slice()];
        let from_pem = JoinKey::from_pem(&key.kid, &pem("PUBLIC KEY", &spki.concat())).unwrap();
        let from_bytes = JoinKey::from_bytes(&key.kid, &key.public).unwrap();
        let token = key.sign(&claims()).unwrap();
        for public in [from_pem, from_bytes] {
            assert!(claims_of(&token, &[public], "convoke", at(NOW_S)).is_ok());
        }
        assert!(JoinKey::from_pem("k", "nonsense").is_err());
        assert!(JoinKey::from_bytes("k", &[0; 31]).is_err());
    }
}
