//! Keys that verify JWTs: of PEM, of a shared secret, of a JWK set (RFC 7517).

use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;
use std::fmt;

/// Keys that one set may have; a longer one is refused whole.
const JWKS_KEYS_MAX: usize = 100;
const KID_BYTES_MAX: usize = 256;
/// RFC 7518 §3.2: as long as the hash.
const SECRET_BYTES_MIN: usize = 32;
const P256_POINT_BYTES: usize = 65;
/// RFC 7518 §3.3 has 2048 bits at least; beyond 8192 nobody verifies.
const RSA_MODULUS_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;
const RSA_EXPONENT_BYTES_MAX: usize = 8;

/// Why a key cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("it holds a private key; give the public half: openssl pkey -in FILE -pubout")]
    Private,
    #[error("it holds no public key in PEM of the kinds Ed25519, P-256 or RSA with 2048 to 8192 bits")]
    Kind,
    #[error("a shared secret has 32 bytes at least: openssl rand -hex 32")]
    ShortSecret,
    #[error("the name of a key has 1 to 256 bytes")]
    Kid,
}

/// Why a JWK set is not taken. The keys from before it stay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwksError {
    #[error("the answer is no JWK set: a JSON object with the list `keys`")]
    Syntax,
    #[error("the set has more than 100 keys")]
    TooMany,
    #[error("the set has no key of the kinds Ed25519, P-256 or RSA with 2048 to 8192 bits that is for signatures")]
    NoneOfUse,
}

/// A key with its name and the one algorithm that it is good for.
#[derive(Clone)]
pub struct VerifyingKey {
    /// `None`: a shared secret, or a key of a set that names none.
    pub(super) kid: Option<String>,
    pub(super) algorithm: Algorithm,
    key: DecodingKey,
}

impl fmt::Debug for VerifyingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VerifyingKey")
            .field("kid", &self.kid)
            .field("algorithm", &self.algorithm)
            .finish_non_exhaustive()
    }
}

impl VerifyingKey {
    /// # Errors
    /// The PEM holds no public key of a kind that is known here.
    pub fn from_pem(kid: &str, pem: &[u8]) -> Result<Self, KeyError> {
        if kid.is_empty() || kid.len() > KID_BYTES_MAX {
            return Err(KeyError::Kid);
        }
        let is_private = pem.windows(b"PRIVATE KEY-----".len()).any(|part| part == b"PRIVATE KEY-----");
        if is_private {
            return Err(KeyError::Private);
        }
        let (algorithm, key) = public_of_pem(pem).ok_or(KeyError::Kind)?;
        Ok(Self { kid: Some(kid.to_owned()), algorithm, key })
    }

    /// # Errors
    /// [`KeyError::ShortSecret`].
    pub fn from_secret(secret: &[u8]) -> Result<Self, KeyError> {
        if secret.len() < SECRET_BYTES_MIN {
            return Err(KeyError::ShortSecret);
        }
        Ok(Self { kid: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) })
    }

    /// `None`: it is of no use here, as a secret is, which nobody should publish.
    fn from_jwk(jwk: &Value) -> Option<Self> {
        let jwk = Jwk::deserialize(jwk).ok()?;
        let is_for_signatures = jwk.usage.as_deref().is_none_or(|usage| usage == "sig")
            && jwk.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let is_named_well = jwk.kid.as_ref().is_none_or(|kid| (1..=KID_BYTES_MAX).contains(&kid.len()));
        if !is_for_signatures || !is_named_well {
            return None;
        }
        let (algorithm, key) = public_of_jwk(&jwk)?;
        let is_said_so = jwk.alg.as_deref().is_none_or(|said| said == name_of(algorithm));
        is_said_so.then_some(Self { kid: jwk.kid, algorithm, key })
    }

    pub(super) fn verifies(&self, signed: &[u8], signature: &str) -> bool {
        jsonwebtoken::crypto::verify(signature, signed, &self.key, self.algorithm).unwrap_or(false)
    }
}

fn name_of(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::EdDSA => "EdDSA",
        Algorithm::ES256 => "ES256",
        Algorithm::RS256 => "RS256",
        _ => "HS256",
    }
}

/// Those that keys of this module may have.
pub(super) fn algorithm_of(name: &str) -> Option<Algorithm> {
    [Algorithm::EdDSA, Algorithm::ES256, Algorithm::RS256, Algorithm::HS256]
        .into_iter()
        .find(|one| name_of(*one) == name)
}

fn public_of_pem(pem: &[u8]) -> Option<(Algorithm, DecodingKey)> {
    let is_p256 = |key: &DecodingKey| key.try_get_as_bytes().is_ok_and(|point| point.len() == P256_POINT_BYTES);
    let is_long = |key: &DecodingKey| {
        key.try_get_as_bytes().is_ok_and(|der| {
            aws_lc_rs::rsa::PublicKey::from_der(der).is_ok_and(|rsa| RSA_MODULUS_BYTES.contains(&rsa.modulus_len()))
        })
    };
    let ed = DecodingKey::from_ed_pem(pem).ok().map(|key| (Algorithm::EdDSA, key));
    let ec = || DecodingKey::from_ec_pem(pem).ok().filter(is_p256).map(|key| (Algorithm::ES256, key));
    let rsa = || DecodingKey::from_rsa_pem(pem).ok().filter(is_long).map(|key| (Algorithm::RS256, key));
    ed.or_else(ec).or_else(rsa)
}

#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    alg: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    crv: Option<String>,
    x: Option<String>,
    y: Option<String>,
    n: Option<String>,
    e: Option<String>,
}

fn public_of_jwk(jwk: &Jwk) -> Option<(Algorithm, DecodingKey)> {
    match (jwk.kty.as_str(), jwk.crv.as_deref()) {
        ("OKP", Some("Ed25519")) => {
            let x = bytes_of(jwk.x.as_ref()?)?;
            (x.len() == 32).then(|| (Algorithm::EdDSA, DecodingKey::from_ed_der(&x)))
        }
        ("EC", Some("P-256")) => {
            let (x, y) = (bytes_of(jwk.x.as_ref()?)?, bytes_of(jwk.y.as_ref()?)?);
            let point = [&[4], &*x, &*y].concat();
            (x.len() == 32 && y.len() == 32).then(|| (Algorithm::ES256, DecodingKey::from_ec_der(&point)))
        }
        ("RSA", _) => {
            let (n, e) = (bytes_of(jwk.n.as_ref()?)?, bytes_of(jwk.e.as_ref()?)?);
            let fits = RSA_MODULUS_BYTES.contains(&n.len()) && (1..=RSA_EXPONENT_BYTES_MAX).contains(&e.len());
            fits.then(|| (Algorithm::RS256, DecodingKey::from_rsa_raw_components(&n, &e)))
        }
        _ => None,
    }
}

fn bytes_of(text: &str) -> Option<Vec<u8>> {
    use base64::Engine;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).ok()
}

/// The keys of a JWK set that are of use here.
#[derive(Debug, Default)]
pub struct PublicKeys(pub(super) Vec<VerifyingKey>);

impl PublicKeys {
    /// One key that is not of use here does not void the others.
    ///
    /// # Errors
    /// The set is not taken.
    pub fn from_jwks(json: &[u8]) -> Result<Self, JwksError> {
        let set = super::strict_json::parse(json).ok_or(JwksError::Syntax)?;
        let keys = set.get("keys").and_then(Value::as_array).ok_or(JwksError::Syntax)?;
        if keys.len() > JWKS_KEYS_MAX {
            return Err(JwksError::TooMany);
        }
        let keys: Vec<VerifyingKey> = keys.iter().filter_map(VerifyingKey::from_jwk).collect();
        if keys.is_empty() { Err(JwksError::NoneOfUse) } else { Ok(Self(keys)) }
    }

    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
