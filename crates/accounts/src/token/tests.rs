#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use super::*;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

const SECRET: [u8; 32] = [7; 32];
const NOW_MS: u64 = 1_700_000_000_000;

fn key() -> TokenKey {
    TokenKey::new("convoke", &SECRET)
}

fn token() -> Token {
    Token {
        id: Uuid::from_u128(1),
        token_type: TokenType::ReadWrite,
        resources: vec!["meeting-down/#".to_owned(), "meeting-up/create".to_owned()],
        expires_at_ms: NOW_MS + 60_000,
        applicant: Applicant::key("LTAItest".to_owned(), 5),
        client_id: Some("GID_Test@@@0001".to_owned()),
        user: None,
        login: None,
    }
}

/// A token of these parts, with a signature that is right for them.
fn signed(header: &Value, claims: &Value, secret: &[u8]) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(header), part(claims));
    let tag = aws_lc_rs::hmac::sign(&aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, secret), text.as_bytes());
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(tag))
}

fn header() -> Value {
    let text = key().sign(&token(), NOW_MS).unwrap();
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(text.split('.').next().unwrap()).unwrap()).unwrap()
}

fn claims() -> Value {
    json!({
        "iss": "convoke", "aud": "convoke-mqtt", "jti": Uuid::from_u128(1), "iat": NOW_MS / 1000,
        "exp": NOW_MS / 1000 + 60, "key": "LTAItest", "key_made_ms": 5, "actions": "RW",
        "resources": ["meeting-down/#", "meeting-up/create"], "client": "GID_Test@@@0001",
    })
}

fn with(mut value: Value, name: &str, other: Value) -> Value {
    value[name] = other;
    value
}

#[test]
fn a_token_says_what_it_was_signed_for() {
    let text = key().sign(&token(), NOW_MS).unwrap();
    assert_eq!(key().verify(&text), Ok(token()));
    assert_eq!(header(), json!({ "typ": "JWT", "alg": "HS256", "kid": "4bb06f8e4e3a7715" }));
    assert_eq!(key().verify(&signed(&header(), &claims(), &SECRET)), Ok(token()), "as others read and write it");
    let bare = Token {
        applicant: Applicant::owner("0123456789abcdef".to_owned()),
        client_id: None,
        user: Some("ann".to_owned()),
        login: Some("DC.1".to_owned()),
        ..token()
    };
    assert_eq!(key().verify(&key().sign(&bare, NOW_MS).unwrap()), Ok(bare));
}

#[test]
fn only_what_this_instance_signed_is_a_token() {
    let good = key().sign(&token(), NOW_MS).unwrap();
    let [head, body, tag]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let none = URL_SAFE_NO_PAD.encode(with(header(), "alg", json!("none")).to_string());
    let alg = |alg: &str| signed(&with(header(), "alg", json!(alg)), &claims(), &SECRET);
    let without = |name: &str| {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(name);
        signed(&header(), &claims, &SECRET)
    };
    let claim = |name: &str, value: Value| signed(&header(), &with(claims(), name, value), &SECRET);
    let forged = [
        ("nothing", String::new()),
        ("a bar of dots", "...".to_owned()),
        ("no signature", format!("{head}.{body}.")),
        ("no dot", format!("{head}.{body}")),
        ("no algorithm", format!("{none}.{body}.")),
        ("no algorithm, with a signature", format!("{none}.{body}.{tag}")),
        ("another algorithm of the family", alg("HS512")),
        ("an algorithm of another family", alg("RS256")),
        ("an algorithm that is none", alg("hs256")),
        ("no name of a key", signed(&json!({ "alg": "HS256" }), &claims(), &SECRET)),
        ("another key", signed(&with(header(), "kid", json!("0000000000000000")), &claims(), &SECRET)),
        ("another instance", claim("iss", json!("other"))),
        ("another purpose", claim("aud", json!("join"))),
        ("no end", without("exp")),
        ("no id", without("jti")),
        ("no topics", without("resources")),
        ("an end that is a text", claim("exp", json!("soon"))),
        ("an end before 1970", claim("exp", json!(-1))),
        ("actions that are none", claim("actions", json!("WR"))),
        ("claims that are a list", signed(&header(), &json!([1]), &SECRET)),
        ("not base64", format!("{head}.{}.{tag}", &body.replace('e', "*"))),
        ("bytes of an image", "\u{0}\u{1}\u{2}PNG".repeat(100)),
        ("huge", format!("{good}{}", "A".repeat(TOKEN_BYTES_MAX))),
        ("many dots", ".".repeat(TOKEN_BYTES_MAX)),
        ("nested JSON", format!("{}.{body}.{tag}", URL_SAFE_NO_PAD.encode("[".repeat(3_000)))),
    ];
    for (what, text) in forged {
        let refused = key().verify(&text).unwrap_err();
        assert!(matches!(refused, TokenError::Forged | TokenError::Signature), "{what}: {refused:?}");
    }
    assert_eq!(key().verify(&format!("{head}.{body}.")), Err(TokenError::Signature));
    assert_eq!(key().verify(&format!("{none}.{body}.")), Err(TokenError::Forged));
    for cut in 0..good.len() {
        assert!(key().verify(&good[..cut]).is_err(), "{cut}");
    }
}

#[test]
fn a_signature_that_is_not_of_these_words_or_of_this_key_is_wrong() {
    let good = key().sign(&token(), NOW_MS).unwrap();
    let [head, _, tag]: [&str; 3] = good.split('.').collect::<Vec<_>>().try_into().unwrap();
    let wider =
        URL_SAFE_NO_PAD.encode(with(claims(), "resources", json!(["meeting-down/#", "ring-down/#"])).to_string());
    let table = [
        ("other claims", format!("{head}.{wider}.{tag}")),
        ("another secret under the same name", signed(&header(), &claims(), &[8; 32])),
        ("an empty secret", signed(&header(), &claims(), &[])),
    ];
    for (what, text) in table {
        assert_eq!(key().verify(&text), Err(TokenError::Signature), "{what}");
    }
    assert_eq!(TokenKey::new("convoke", &[8; 32]).verify(&good), Err(TokenError::Forged), "by a key of another name");
}

#[test]
fn a_token_is_no_longer_than_a_connect_has_room_for() {
    let resources = |chars: usize| (0..RESOURCES_MAX).map(|n| format!("{n:0chars$}")).collect::<Vec<_>>();
    let fits = Token { resources: resources(30), ..token() };
    assert!(key().sign(&fits, NOW_MS).unwrap().len() <= TOKEN_BYTES_MAX);
    assert_eq!(key().sign(&Token { resources: resources(64), ..token() }, NOW_MS), Err(TooLong));
    // User name, client id and three tokens, within what is read of a client that is not let in.
    const { assert!(3 * (TOKEN_BYTES_MAX + 4) + 512 < 16 * 1024) };
}

#[test]
fn codes_are_those_of_the_reference_product_and_a_debug_shows_no_secret() {
    use TokenError::{Account, Expired, Forged, Resource, Revoked, Signature, Type};
    assert_eq!(
        [Forged, Expired, Revoked, Resource, Type, Signature, Account].map(TokenError::code),
        [1, 2, 3, 4, 5, 8, -1]
    );
    assert_eq!(format!("{:?}", key()), "TokenKey { kid: \"4bb06f8e4e3a7715\", .. }");
}
