//! Keys of PEM and of JWK sets.

use super::*;

fn set(keys: &[Value]) -> Result<PublicKeys, JwksError> {
    PublicKeys::from_jwks(json!({ "keys": keys }).to_string().as_bytes())
}

#[test]
fn a_set_is_rotated_and_a_failed_fetch_leaves_the_keys_as_they_are() {
    let (old, new) = (Signer::ed25519("2026-1"), Signer::p256("2026-2"));
    let issuer = Issuer::new(rules("app"), Vec::new(), true);
    let verify = |signer: &Signer| issuer.verify(&signer.sign(&claims())).map(|jwt| jwt.user);
    assert_eq!(verify(&old), Err(JwtError::UnknownKey));
    issuer.fetch_ended(Some(set(&[old.jwk()]).unwrap()));
    assert_eq!((verify(&old), verify(&new)), (Ok("ann".to_owned()), Err(JwtError::UnknownKey)));
    issuer.fetch_ended(None);
    assert!(verify(&old).is_ok());
    issuer.fetch_ended(Some(set(&[old.jwk(), new.jwk()]).unwrap()));
    assert!(verify(&old).is_ok() && verify(&new).is_ok());
    issuer.fetch_ended(Some(set(&[new.jwk()]).unwrap()));
    assert_eq!((verify(&old), verify(&new).is_ok()), (Err(JwtError::UnknownKey), true));
}

#[test]
fn the_configurations_key_comes_before_one_of_that_name_in_the_set() {
    let (own, published) = (Signer::ed25519("k1"), Signer::ed25519("k1"));
    let issuer = Issuer::new(rules("app"), vec![own.key()], true);
    issuer.fetch_ended(Some(set(&[published.jwk()]).unwrap()));
    assert!(issuer.verify(&own.sign(&claims())).is_ok());
    assert_eq!(issuer.verify(&published.sign(&claims())), Err(JwtError::Signature));
}

#[test]
fn without_a_kid_one_of_two_keys_is_not_guessed() {
    let (one, other) = (Signer::ed25519("k1"), Signer::ed25519("k2"));
    let issuer = issuer(vec![one.key(), other.key()]);
    let unnamed = one.sign_texts(r#"{"alg":"EdDSA"}"#, &claims().to_string());
    assert_eq!(issuer.verify(&unnamed), Err(JwtError::UnknownKey));
}

#[test]
fn a_key_that_is_of_no_use_leaves_the_others_in_the_set() {
    let good = Signer::ed25519("k1");
    let jwk = good.jwk();
    let mut of_use = vec![jwk.clone()];
    let changed = |name: &str, value: Value| {
        let mut jwk = jwk.clone();
        jwk[name] = value;
        jwk
    };
    let useless = [
        json!({ "kty": "oct", "kid": "k2", "k": encode(&[7; 32]) }),
        json!({ "kty": "EC", "crv": "P-384", "x": encode(&[1; 48]), "y": encode(&[1; 48]) }),
        json!({ "kty": "EC", "crv": "P-256", "x": encode(&[1; 31]), "y": encode(&[1; 32]) }),
        json!({ "kty": "OKP", "crv": "X25519", "x": encode(&[1; 32]) }),
        json!({ "kty": "RSA", "n": encode(&[0xff; 128]), "e": "AQAB" }),
        json!({ "kty": "RSA", "n": encode(&[0xff; 4096]), "e": "AQAB" }),
        json!({ "kty": "RSA", "n": encode(&[0xff; 256]), "e": encode(&[1; 64]) }),
        changed("use", json!("enc")),
        changed("key_ops", json!(["sign"])),
        changed("alg", json!("HS256")),
        changed("kid", json!("k".repeat(257))),
        changed("kid", json!("")),
        changed("x", json!("not Base64url!")),
        json!("garbage"),
        json!(null),
        json!([]),
    ];
    for jwk in &useless {
        assert_eq!(set(std::slice::from_ref(jwk)).err(), Some(JwksError::NoneOfUse), "{jwk}");
    }
    of_use.extend(useless);
    assert_eq!(set(&of_use).unwrap().len(), 1);
    let said = [changed("alg", json!("EdDSA")), changed("use", json!("sig")), changed("key_ops", json!(["verify"]))];
    assert_eq!(set(&said).unwrap().len(), 3);
}

#[test]
fn what_is_no_set_or_too_large_a_one_is_not_taken() {
    let jwk = Signer::ed25519("k1").jwk();
    for text in ["", "{}", "[]", "null", "<html>", r#"{"keys":{}}"#, r#"{"keys":[],"keys":[]}"#] {
        assert_eq!(PublicKeys::from_jwks(text.as_bytes()).err(), Some(JwksError::Syntax), "{text}");
    }
    assert_eq!(set(&[]).err(), Some(JwksError::NoneOfUse));
    assert_eq!(set(&vec![jwk.clone(); 100]).unwrap().len(), 100);
    assert_eq!(set(&vec![jwk; 101]).err(), Some(JwksError::TooMany));
}

#[test]
fn a_pem_is_taken_of_public_keys_of_known_kinds_only() {
    let signer = Signer::p256("k1");
    let refused = |pem: &str| VerifyingKey::from_pem("k1", pem.as_bytes()).err();
    assert_eq!(refused(&signer.pem()), None);
    let private = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIAAA\n-----END PRIVATE KEY-----\n";
    assert_eq!(refused(private), Some(KeyError::Private));
    for pem in ["", "nonsense", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n"] {
        assert_eq!(refused(pem), Some(KeyError::Kind), "{pem}");
    }
    assert_eq!(VerifyingKey::from_pem("", signer.pem().as_bytes()).err(), Some(KeyError::Kid));
    assert_eq!(VerifyingKey::from_secret(&[7; 31]).err(), Some(KeyError::ShortSecret));
}

#[tokio::test]
async fn a_fetch_is_wanted_by_the_first_login_and_answers_those_that_wait() {
    let issuer = Issuer::new(rules("app"), Vec::new(), true);
    let (done, mut waits) = tokio::sync::oneshot::channel();
    issuer.when_refreshed(Box::new(|| _ = done.send(())));
    issuer.refresh_wanted().await;
    issuer.fetch_begins();
    assert!(waits.try_recv().is_err());
    issuer.fetch_ended(None);
    waits.await.unwrap();
}
