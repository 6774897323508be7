//! Logins of MQTT that an owner asks about.

use super::*;
use crate::login::sign;

const SERVICE: &str = "GID_dev@@@svc";

impl World {
    async fn judged(&self, key: &str, username: &str, password: &str, client_id: &str) -> Value {
        let login = json!({ "username": username, "password": password, "client_id": client_id });
        let answer = self.post("/api/v1/tokens:query", Some(key), login).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }
}

#[tokio::test]
async fn a_login_is_judged_as_a_connect_is_and_says_who_it_is() {
    let world = World::with_topics().await;
    let secret = world.key("billing", "access", &["topics"]).await;
    let by_key = world.judged(KEY, "Signature|billing|convoke", &sign(&secret, SERVICE), SERVICE).await;
    let expected = json!({ "valid": true, "login": "Signature", "key": "billing", "client_id": SERVICE });
    assert_eq!(by_key, expected);
    let device = world.device("ann", json!({ "device": "phone" })).await;
    let (client_id, name, password) = (device.text("client_id"), device.text("username"), device.text("password"));
    let by_device = world.judged(KEY, name, password, client_id).await;
    let expected = json!({
        "valid": true, "login": "DeviceCredential", "client_id": client_id, "user": "ann",
        "expires_at_ms": START_MS + CREDENTIAL_VALID_MS,
    });
    assert_eq!(by_device, expected);
    let wish = json!({ "actions": "W", "resources": ["chat/a"], "expires_at_ms": START_MS + 60_000 });
    let token = world.post("/api/v1/tokens", Some(KEY), wish).await;
    let by_token = world.judged(KEY, token.text("username"), token.text("password"), SERVICE).await;
    let expected = json!({
        "valid": true, "login": "Token", "key": "owner", "client_id": SERVICE, "expires_at_ms": START_MS + 60_000,
    });
    assert_eq!(by_token, expected);
    let at_the_device = world.judged(KEY, token.text("username"), token.text("password"), client_id).await;
    assert!(at_the_device["why"].as_str().unwrap().contains("belongs to a user's device"), "{at_the_device}");
    world.pass(60_000);
    let late = world.judged(KEY, token.text("username"), token.text("password"), SERVICE).await;
    assert_eq!((&late["valid"], &late["code"]), (&json!(false), &json!(2)));
}

#[tokio::test]
async fn a_login_that_is_refused_says_why() {
    let world = World::with_topics().await;
    let (secret, narrow) =
        (world.key("billing", "access", &["topics"]).await, world.key("desk", "access", &["devices"]).await);
    let old = world.device("ann", json!({ "device": "phone" })).await;
    let phone = old.text("client_id");
    let new = world.device("ann", json!({ "device": "phone" })).await;
    let right = sign(&secret, SERVICE);
    let table = [
        ("Signature|billing|convoke", sign("other", SERVICE), SERVICE, "no secret of the access key billing"),
        ("Signature|none|convoke", right.clone(), SERVICE, "there is no access key none"),
        ("Signature|billing|other", right.clone(), SERVICE, "the instance of the user name is other"),
        ("Signature|billing|convoke", sign(&secret, "GID_none@@@x"), "GID_none@@@x", "the group GID_none"),
        ("Signature|billing|convoke", sign(&secret, phone), phone, "belongs to a user's device"),
        ("Signature|desk|convoke", sign(&narrow, SERVICE), SERVICE, "lacks the scope topics"),
        (old.text("username"), old.text("password").to_owned(), phone, "the device has another credential"),
        (new.text("username"), old.text("password").to_owned(), phone, "another signature"),
        (new.text("username"), new.text("password").to_owned(), "GID_dev@@@none", "no device is registered"),
        ("JWT|nobody|convoke", "a.b.c".to_owned(), SERVICE, "no issuer nobody"),
        ("Token|app|convoke", "W|x".to_owned(), SERVICE, "not issued here"),
        ("billing", right.clone(), SERVICE, "the username must read"),
        ("Signature|billing|convoke", right.clone(), "svc", "the client id must read"),
    ];
    for (username, password, client_id, words) in table {
        let answer = world.judged(KEY, username, &password, client_id).await;
        assert_eq!(answer["valid"], false, "{username}");
        assert!(answer["why"].as_str().unwrap().contains(words), "{username}: {answer}");
    }
    world.broker.holders.lock().unwrap().insert(SERVICE.to_owned(), "user:bob".into());
    let taken = world.judged(KEY, "Signature|billing|convoke", &right, SERVICE).await;
    assert!(taken["why"].as_str().unwrap().contains("a session of another account"), "{taken}");
}

#[tokio::test]
async fn who_tries_passwords_learns_nothing_of_keys_and_devices_that_its_scopes_do_not_show() {
    let world = World::with_topics().await;
    world.key("billing", "access", &["topics"]).await;
    let device = world.device("ann", json!({ "device": "phone" })).await;
    let caller = world.key("caller", "api", &["topics"]).await;
    let credential = device.text("username");
    let tries = [
        ("Signature|billing|convoke", SERVICE),
        ("Signature|none|convoke", SERVICE),
        ("Signature|billing|convoke", "GID_none@@@svc"),
        ("Signature|billing|convoke", device.text("client_id")),
        (credential, device.text("client_id")),
        (credential, "GID_dev@@@none"),
        ("DeviceCredential|DC.none|convoke", device.text("client_id")),
        ("JWT|nobody|convoke", SERVICE),
    ];
    let mut told = std::collections::BTreeSet::new();
    for (username, client_id) in tries {
        let answer = world.judged(&caller, username, &sign("wrong", client_id), client_id).await;
        assert_eq!(answer["valid"], false);
        told.insert(answer["why"].as_str().unwrap().to_owned());
    }
    assert_eq!(told, [LoginError::Refused.to_string()].into());
}

#[tokio::test]
async fn a_question_has_a_token_or_a_whole_login() {
    let world = World::new().await;
    for body in [
        json!({}),
        json!({ "username": "Signature|a|convoke", "client_id": SERVICE }),
        json!({ "token": "t", "username": "u", "password": "p", "client_id": "c" }),
        json!({ "token": "t", "client_id": "c" }),
    ] {
        let answer = world.ask("POST", "/api/v1/tokens:query", body.clone()).await;
        assert_eq!(answer.refused(), (400, "invalid_body"), "{body}");
    }
}
