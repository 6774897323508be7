//! JWTs that somebody has made to be let in without a signature of the issuer, or to cost more than they may.

use super::*;

fn tail(jwt: &str) -> &str {
    jwt.split_once('.').unwrap().1
}

#[test]
fn none_is_no_algorithm_however_it_is_written() {
    let signer = Signer::ed25519("k1");
    let issuer = issuer(vec![signer.key()]);
    let good = signer.sign(&claims());
    let payload = tail(&good).split_once('.').unwrap().0;
    for alg in ["none", "None", "NONE", "nOnE", "", "HS512", "RS512", "ES384", "eddsa", "PS256"] {
        let header = encode(json!({ "alg": alg, "kid": "k1" }).to_string().as_bytes());
        for text in [format!("{header}.{payload}."), format!("{header}.{}", tail(&good))] {
            assert_eq!(issuer.verify(&text), Err(JwtError::Algorithm), "{alg}");
        }
    }
    for header in [json!({ "kid": "k1" }), json!({ "alg": null }), json!({ "alg": ["EdDSA"] })] {
        let text = format!("{}.{payload}.", encode(header.to_string().as_bytes()));
        assert_eq!(issuer.verify(&text), Err(JwtError::Algorithm), "{header}");
    }
}

/// The public key is no secret: an HMAC with it, in any form of it, is not its signature.
#[test]
fn a_public_key_is_no_secret_of_an_hmac() {
    for signer in [Signer::ed25519("k1"), Signer::p256("k1")] {
        let issuer = issuer(vec![signer.key()]);
        for secret in [signer.pem().into_bytes(), signer.public.clone(), signer.pem().trim().as_bytes().to_vec()] {
            for kid in [json!("k1"), json!(null)] {
                let mut header = json!({ "alg": "HS256", "kid": kid });
                if kid.is_null() {
                    header.as_object_mut().unwrap().remove("kid");
                }
                let signed =
                    format!("{}.{}", encode(header.to_string().as_bytes()), encode(claims().to_string().as_bytes()));
                let hmac = EncodingKey::from_secret(&secret);
                let signature = jsonwebtoken::crypto::sign(signed.as_bytes(), &hmac, Algorithm::HS256).unwrap();
                assert_eq!(issuer.verify(&format!("{signed}.{signature}")), Err(JwtError::Algorithm));
            }
        }
    }
}

#[test]
fn a_key_is_good_for_its_own_algorithm_only() {
    let (ed, ec) = (Signer::ed25519("ed"), Signer::p256("ec"));
    let issuer = issuer(vec![ed.key(), ec.key()]);
    for (header, signer) in
        [(json!({ "alg": "ES256", "kid": "ed" }), &ec), (json!({ "alg": "EdDSA", "kid": "ec" }), &ed)]
    {
        let text = signer.sign_texts(&header.to_string(), &claims().to_string());
        assert_eq!(issuer.verify(&text), Err(JwtError::Algorithm), "{header}");
    }
    let unnamed = ed.sign_texts(r#"{"alg":"EdDSA"}"#, &claims().to_string());
    assert!(issuer.verify(&unnamed).is_ok(), "the only one of its kind");
}

#[test]
fn a_kid_is_compared_and_nothing_else_is_done_with_it() {
    let signer = Signer::ed25519("k1");
    let issuer = issuer(vec![signer.key()]);
    let kids =
        ["../../keys/join.pem", "/dev/null", "https://evil.example.org/jwks", "k1\0", "K1", "", "k1' OR '1'='1", " k1"];
    for kid in kids {
        let header =
            json!({ "alg": "EdDSA", "kid": kid, "jku": "https://evil.example.org", "x5u": "file:///etc/passwd" });
        let text = signer.sign_texts(&header.to_string(), &claims().to_string());
        assert_eq!(issuer.verify(&text), Err(JwtError::UnknownKey), "{kid:?}");
    }
    for kid in [json!(1), json!(null), json!(["k1"])] {
        let text = signer.sign_texts(&json!({ "alg": "EdDSA", "kid": kid }).to_string(), &claims().to_string());
        assert_eq!(issuer.verify(&text), Err(JwtError::Malformed), "{kid}");
    }
}

/// A key that the JWT itself brings is not looked at.
#[test]
fn a_key_in_the_header_is_not_used() {
    let (good, evil) = (Signer::ed25519("k1"), Signer::ed25519("k1"));
    let header = json!({ "alg": "EdDSA", "kid": "k1", "jwk": evil.jwk() });
    let text = evil.sign_texts(&header.to_string(), &claims().to_string());
    assert_eq!(issuer(vec![good.key()]).verify(&text), Err(JwtError::Signature));
}

#[test]
fn names_that_come_twice_and_critical_extensions_void_it() {
    let signer = Signer::ed25519("k1");
    let issuer = issuer(vec![signer.key()]);
    let (header, said) = (signer.header().to_string(), claims().to_string());
    let doubled = said.replacen('{', r#"{"sub":"owner","#, 1);
    let doubled_alg = r#"{"alg":"none","alg":"EdDSA","kid":"k1"}"#;
    let escaped = said.replacen('{', r#"{"\u0073ub":"owner","#, 1);
    let table = [
        (header.as_str(), doubled.as_str(), JwtError::Malformed),
        (header.as_str(), escaped.as_str(), JwtError::Malformed),
        (doubled_alg, said.as_str(), JwtError::Malformed),
        (r#"{"alg":"EdDSA","kid":"k1","crit":["exp"]}"#, said.as_str(), JwtError::Critical),
        (r#"{"alg":"EdDSA","kid":"k1","b64":false}"#, said.as_str(), JwtError::Critical),
        ("[]", said.as_str(), JwtError::Malformed),
        (header.as_str(), "[]", JwtError::Malformed),
        (header.as_str(), "{} {}", JwtError::Malformed),
        (header.as_str(), "", JwtError::Malformed),
    ];
    for (header, said, error) in table {
        assert_eq!(issuer.verify(&signer.sign_texts(header, said)), Err(error), "{header} {said}");
    }
}

#[test]
fn what_is_no_compact_jwt_is_refused_before_anything_is_verified() {
    let signer = Signer::ed25519("k1");
    let issuer = issuer(vec![signer.key()]);
    let good = signer.sign(&claims());
    for text in
        ["", ".", "..", "...", "a.b.c", "e30.e30", &format!("{good}."), &format!("{good}.e30"), &format!(" {good}")]
    {
        assert_eq!(issuer.verify(text), Err(JwtError::Malformed), "{text}");
    }
    let deep = signer.sign_texts(&format!(r#"{{"a":{}1{}}}"#, "[".repeat(1_000), "]".repeat(1_000)), "{}");
    assert_eq!(issuer.verify(&deep), Err(JwtError::Malformed));
    let many: String = (0..300).map(|n| format!(r#""a{n}":0,"#)).collect();
    let many = signer.sign_texts(&format!(r#"{{{many}"alg":"EdDSA"}}"#), "{}");
    assert_eq!(issuer.verify(&many), Err(JwtError::Malformed));
    for padded in [format!("{good}="), format!("{good}\n"), format!("{good}A")] {
        assert_eq!(issuer.verify(&padded), Err(JwtError::Signature), "{padded}");
    }
    let long = signer.sign(&with("more", json!("x".repeat(JWT_BYTES_MAX))));
    assert_eq!(issuer.verify(&long), Err(JwtError::TooLong));
    let huge_header = json!({ "alg": "EdDSA", "kid": "k".repeat(7_000) }).to_string();
    assert_eq!(issuer.verify(&signer.sign_texts(&huge_header, "{}")), Err(JwtError::TooLong));
}

#[test]
fn another_issuers_key_is_no_key_of_this_one() {
    let (one, other) = (Signer::ed25519("k1"), Signer::ed25519("k1"));
    let rules_of_other = IssuerRules { issuer: "https://other.example.org".to_owned(), ..rules("other") };
    let issuers = Issuers::new([issuer(vec![one.key()]), Issuer::new(rules_of_other, vec![other.key()], false)]);
    let jwt = other.sign(&claims());
    assert_eq!(issuers.named("app").unwrap().verify(&jwt), Err(JwtError::Signature));
    assert_eq!(issuers.named("other").unwrap().verify(&jwt), Err(JwtError::Issuer));
    assert_eq!(issuers.named("nobody"), None);
}
