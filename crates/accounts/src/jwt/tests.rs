#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod hostile;
mod sets;
mod vectors;

use super::*;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://login.example.org";
pub(crate) const AUDIENCE: &str = "convoke";
pub(crate) const PHONE: &str = "GID_phone@@@d1";

pub(crate) fn rules(name: &str) -> IssuerRules {
    IssuerRules {
        name: name.to_owned(),
        issuer: ISSUER.to_owned(),
        audience: AUDIENCE.to_owned(),
        user_claim: "sub".to_owned(),
        client_id_claim: "client_id".to_owned(),
        leeway_ms: 10_000,
    }
}

/// An issuer's key pair.
pub(crate) struct Signer {
    pub(crate) kid: String,
    algorithm: Algorithm,
    private: EncodingKey,
    public: Vec<u8>,
}

impl Signer {
    pub(crate) fn ed25519(kid: &str) -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let private = EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref());
        Self { kid: kid.to_owned(), algorithm: Algorithm::EdDSA, private, public: pair.public_key().as_ref().to_vec() }
    }

    pub(crate) fn p256(kid: &str) -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let private = EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref());
        Self { kid: kid.to_owned(), algorithm: Algorithm::ES256, private, public: pair.public_key().as_ref().to_vec() }
    }

    pub(crate) fn pem(&self) -> String {
        let prefix = match self.algorithm {
            Algorithm::EdDSA => "302a300506032b6570032100",
            _ => "3059301306072a8648ce3d020106082a8648ce3d030107034200",
        };
        let prefix: Vec<u8> =
            (0..prefix.len()).step_by(2).map(|n| u8::from_str_radix(&prefix[n..n + 2], 16).unwrap()).collect();
        let der = [prefix, self.public.clone()].concat();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", STANDARD.encode(der))
    }

    pub(crate) fn key(&self) -> VerifyingKey {
        VerifyingKey::from_pem(&self.kid, self.pem().as_bytes()).unwrap()
    }

    pub(crate) fn jwk(&self) -> Value {
        match self.algorithm {
            Algorithm::EdDSA => json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "x": encode(&self.public) }),
            _ => {
                let (x, y) = (encode(&self.public[1..33]), encode(&self.public[33..]));
                json!({ "kty": "EC", "crv": "P-256", "kid": self.kid, "x": x, "y": y })
            }
        }
    }

    pub(crate) fn header(&self) -> Value {
        json!({ "alg": format!("{:?}", self.algorithm), "kid": self.kid })
    }

    /// What the texts say, as they are.
    pub(crate) fn sign_texts(&self, header: &str, claims: &str) -> String {
        let signed = format!("{}.{}", encode(header.as_bytes()), encode(claims.as_bytes()));
        let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &self.private, self.algorithm).unwrap();
        format!("{signed}.{signature}")
    }

    pub(crate) fn sign(&self, claims: &Value) -> String {
        self.sign_texts(&self.header().to_string(), &claims.to_string())
    }
}

pub(crate) fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Valid from 100 s to 200 s.
pub(crate) fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "client_id": PHONE, "nbf": 100, "exp": 200, "jti": "j1" })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn issuer(keys: Vec<VerifyingKey>) -> Issuer {
    Issuer::new(rules("app"), keys, false)
}

#[test]
fn a_jwt_names_a_user_a_client_id_and_its_time_with_the_leeway() {
    for signer in [Signer::ed25519("k1"), Signer::p256("k1")] {
        let jwt = issuer(vec![signer.key()]).verify(&signer.sign(&claims())).unwrap();
        assert_eq!((jwt.user.as_str(), jwt.client_id.as_str()), ("ann", PHONE));
        assert_eq!((jwt.begins_at_ms, jwt.expires_at_ms, &jwt.publishes), (Some(90_000), 210_000, &None));
        let by = |now_ms: u64| jwt.check_time(|at_ms| at_ms <= now_ms);
        assert_eq!(
            [by(89_999), by(90_000), by(209_999), by(210_000)],
            [Err(JwtError::NotYet), Ok(()), Ok(()), Err(JwtError::Expired)]
        );
    }
}

#[test]
fn what_a_jwt_must_say() {
    let signer = Signer::ed25519("k1");
    let issuer = issuer(vec![signer.key()]);
    let table = [
        (without("iss"), JwtError::Issuer),
        (with("iss", json!("https://login.example.org/")), JwtError::Issuer),
        (with("iss", json!([ISSUER])), JwtError::Issuer),
        (without("aud"), JwtError::Audience),
        (with("aud", json!("another")), JwtError::Audience),
        (with("aud", json!(["another", 1])), JwtError::Audience),
        (without("exp"), JwtError::NoExpiry),
        (with("exp", json!("200")), JwtError::Malformed),
        (with("exp", json!(-1)), JwtError::Malformed),
        (with("nbf", json!(null)), JwtError::Malformed),
        (with("jti", json!(7)), JwtError::Malformed),
        (without("sub"), JwtError::User),
        (with("sub", json!("")), JwtError::User),
        (with("sub", json!("u".repeat(257))), JwtError::User),
        (with("sub", json!(1)), JwtError::User),
        (without("client_id"), JwtError::ClientId),
        (with("client_id", json!([PHONE])), JwtError::ClientId),
        (with("convoke_publish", json!("orders/#")), JwtError::Rights),
        (with("convoke_publish", json!(["#"])), JwtError::Rights),
        (with("convoke_publish", json!(vec!["orders"; 101])), JwtError::Rights),
    ];
    for (claims, error) in table {
        assert_eq!(issuer.verify(&signer.sign(&claims)), Err(error), "{claims}");
    }
}

#[test]
fn one_of_several_audiences_does_and_times_may_have_fractions_or_be_far_away() {
    let signer = Signer::ed25519("k1");
    let issuer = issuer(vec![signer.key()]);
    let many = with("aud", json!(["another", AUDIENCE]));
    assert!(issuer.verify(&signer.sign(&many)).is_ok());
    for (exp, ends_ms) in
        [(json!(200.5), 210_500), (json!(u64::MAX), 253_402_300_799_000), (json!(1e300), 253_402_300_799_000)]
    {
        assert_eq!(issuer.verify(&signer.sign(&with("exp", exp))).unwrap().expires_at_ms, ends_ms);
    }
    let rights = with("convoke_publish", json!(["orders-up/#"]));
    let narrowed = issuer.verify(&signer.sign(&rights)).unwrap();
    assert_eq!(narrowed.publishes, Some(vec!["orders-up/#".to_owned()]));
}

#[test]
fn the_id_by_which_it_is_revoked_is_that_of_its_jti_or_of_what_is_signed() {
    // Two signatures of ECDSA differ, and sign the same.
    let signer = Signer::p256("k1");
    let issuer = issuer(vec![signer.key()]);
    let id = |claims: &Value| issuer.verify(&signer.sign(claims)).unwrap().id;
    let renewed = with("exp", json!(300));
    assert_eq!(id(&claims()), id(&renewed));
    assert_ne!(id(&claims()), id(&with("jti", json!("j2"))));
    assert_eq!(id(&without("jti")), id(&without("jti")));
    let mut other = without("jti");
    other["exp"] = json!(300);
    assert_ne!(id(&without("jti")), id(&other));
    assert_ne!(signer.sign(&claims()), signer.sign(&claims()));
}
