//! JWTs of other issuers, asked about and voided.

use super::*;
use crate::jwt::tests::{AUDIENCE, ISSUER, rules};
use crate::jwt::{Issuer, Issuers, VerifyingKey};
use jsonwebtoken::{Algorithm, EncodingKey, Header};

const SECRET: &[u8] = &[9; 32];

pub(super) fn issuers() -> Issuers {
    Issuers::new([Issuer::new(rules("app"), vec![VerifyingKey::from_secret(SECRET).unwrap()], false)])
}

fn signed(change: impl FnOnce(&mut Value)) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": AUDIENCE, "sub": "ann", "client_id": "GID_dev@@@a", "exp": START_MS / 1_000 + 60, "jti": "j1",
    });
    change(&mut claims);
    let key = EncodingKey::from_secret(SECRET);
    json!({ "token": jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).unwrap() })
}

#[tokio::test]
async fn a_jwt_is_said_to_be_valid_or_why_it_is_not() {
    let world = World::with_topics().await;
    let query = async |shown: &Value| world.ask("POST", "/api/v1/tokens:query", shown.clone()).await.body;
    let why = async |shown: Value| {
        let answer = query(&shown).await;
        assert_eq!((&answer["valid"], &answer["issuer"]), (&json!(false), &json!("app")), "{answer}");
        answer["why"].as_str().unwrap().to_owned()
    };
    assert!(why(signed(|_| ())).await.contains("no device of the user"));
    let made = world.ask("POST", "/api/v1/users/ann/devices", json!({ "device": "a" })).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let answer = query(&signed(|_| ())).await;
    assert_eq!((&answer["valid"], &answer["why"], &answer["user"]), (&json!(true), &Value::Null, &json!("ann")));
    assert_eq!((&answer["client_id"], &answer["issuer"]), (&json!("GID_dev@@@a"), &json!("app")));
    assert_eq!(answer["expires_at_ms"], START_MS / 1_000 * 1_000 + 70_000, "with the leeway");
    assert!(why(signed(|claims| claims["sub"] = "bob".into())).await.contains("no device of the user"));
    assert!(why(signed(|claims| claims["exp"] = 1.into())).await.contains("expired"));
    assert!(why(signed(|claims| claims["nbf"] = (START_MS / 1_000 + 50).into())).await.contains("not valid yet"));
    assert!(why(signed(|claims| claims["aud"] = "other".into())).await.contains("`aud`"));
    assert!(why(signed(|claims| claims["client_id"] = "GID_none@@@a".into())).await.contains("GID_none"));
    let mut forged = signed(|_| ());
    forged["token"] = format!("{}AAAA", forged["token"].as_str().unwrap()).into();
    assert!(why(forged).await.contains("signature"));
    let elsewhere = query(&signed(|claims| claims["iss"] = "https://other.example.org".into())).await;
    assert_eq!((&elsewhere["valid"], &elsewhere["issuer"]), (&json!(false), &Value::Null));
}

#[tokio::test]
async fn a_jwt_is_voided_by_its_jti_for_good() {
    let world = World::with_topics().await;
    world.ask("POST", "/api/v1/users/ann/devices", json!({ "device": "a" })).await;
    let shown = signed(|_| ());
    let revoke = async |shown: &Value| world.ask("POST", "/api/v1/tokens:revoke", shown.clone()).await;
    assert_eq!(revoke(&shown).await.status, StatusCode::NO_CONTENT);
    assert_eq!(revoke(&shown).await.status, StatusCode::NO_CONTENT, "once more is no fault");
    let id = issuers().named("app").unwrap().verify(shown["token"].as_str().unwrap()).unwrap().id;
    assert_eq!(*world.broker.cut_tokens.lock().unwrap(), [id]);
    assert_eq!(world.access.load().check_jwt(id), Err(crate::jwt::JwtError::Revoked));
    let renewed = signed(|claims| claims["exp"] = (START_MS / 1_000 + 90).into());
    let answer = world.ask("POST", "/api/v1/tokens:query", renewed).await.body;
    assert_eq!(answer["valid"], json!(false), "the same jti");
    let forged = json!({ "token": format!("{}AAAA", shown["token"].as_str().unwrap()) });
    assert_eq!(revoke(&forged).await.refused().0, 400);
    assert_eq!(revoke(&signed(|claims| claims["exp"] = 1.into())).await.status, StatusCode::NO_CONTENT, "over already");
}
