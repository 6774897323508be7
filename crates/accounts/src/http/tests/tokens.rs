//! Tokens: applied for, looked at, used and revoked.

use super::*;
use catalog::{ParentTopic, Rule};
use uuid::Uuid;

const DAY_MS: u64 = 24 * 3600 * 1000;

impl World {
    pub(super) async fn with_topics() -> Self {
        let world = Self::new().await;
        for parent in ["meeting-up", "meeting-down", "chat"] {
            let parent = ParentTopic::new(parent, Rule::None);
            world.catalog.put_parent(parent).await.unwrap();
        }
        let revision = *world.catalog.access_revision().borrow();
        world.access.reached(revision).await;
        world
    }

    async fn token(&self, key: &str, wish: Value) -> Answer {
        self.post("/api/v1/tokens", Some(key), wish).await
    }

    /// As a worker does, with the user name and password of the answer.
    async fn log_in_by(&self, client_id: &str, answer: &Answer) -> Result<Identity, LoginError> {
        let mut body = answer.body.clone();
        body["client_id"] = client_id.into();
        self.connect(&Answer { status: answer.status, headers: answer.headers.clone(), body }).await
    }
}

fn wish(client_id: Option<&str>) -> Value {
    let mut wish = json!({
        "actions": "RW", "resources": ["meeting-down/#", "chat/+", "chat/+"], "expires_at_ms": START_MS + 60_000,
    });
    if let Some(client_id) = client_id {
        wish["client_id"] = client_id.into();
    }
    wish
}

#[tokio::test]
async fn no_token_opens_what_is_closed_to_devices() {
    let world = World::with_topics().await;
    world.create("/api/v1/topics", json!({ "topic": "ring-down", "rule": "from_queue" })).await;
    world.create("/api/v1/topics", json!({ "topic": "ring-up", "rule": "to_queue" })).await;
    world.create("/api/v1/topics", json!({ "topic": "GID_dev_MQTT", "rule": "from_queue" })).await;
    let table = [
        ("R", "ring-down/#", "right subscribe"),
        ("R", "ring-down", "right subscribe"),
        ("W", "ring-down/call", "right publish"),
        ("W", "ring-down/p2p/+/invitation", "right p2p"),
        ("RW", "ring-down/p2p/GID_dev@@@d", "right p2p"),
        // What is published there goes to the service; nobody is heard there, or reached.
        ("R", "ring-up/#", "right subscribe"),
        ("RW", "ring-up/create", "right subscribe"),
        ("W", "ring-up/p2p/#", "right p2p"),
        ("W", "GID_dev_MQTT/#", "who is online"),
    ];
    for (actions, resource, words) in table {
        let resources = json!(["chat/a", resource]);
        let body = json!({ "actions": actions, "resources": resources, "expires_at_ms": START_MS + 60_000 });
        let refused = world.token(KEY, body).await;
        assert_eq!(refused.refused(), (400, "invalid_token"), "{actions} {resource}");
        assert!(refused.text("detail").contains(words), "{actions} {resource}: {}", refused.text("detail"));
    }
    for (actions, resource) in [("W", "ring-up/#"), ("R", "GID_dev_MQTT/#")] {
        let body = json!({ "actions": actions, "resources": [resource], "expires_at_ms": START_MS + 60_000 });
        assert_eq!(world.token(KEY, body).await.status, StatusCode::OK, "{actions} {resource}");
    }
}

#[tokio::test]
async fn a_token_of_the_api_logs_its_client_in_until_it_ends_or_is_revoked() {
    let world = World::with_topics().await;
    let secret = world.key("app", "access", &["topics"]).await;
    let basic = super::owners::with_basic("POST", "/api/v1/tokens", "app", &secret);
    let (parts, _) = basic.into_parts();
    let made = world.call(Request::from_parts(parts, Body::from(wish(None).to_string()))).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    assert_eq!(made.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(made.body["resources"], json!(["chat/+", "meeting-down/#"]));
    assert_eq!(made.text("username"), "Token|app|convoke");
    assert_eq!(made.text("password"), format!("RW|{}", made.text("token")));
    let who = world.log_in_by("GID_dev@@@a", &made).await.unwrap();
    assert_eq!(world.access.load().may_publish(&who, "chat/a"), Ok(()));
    let shown = json!({ "token": made.text("token") });
    let query = async || world.ask("POST", "/api/v1/tokens:query", shown.clone()).await.body;
    let answer = query().await;
    assert_eq!((&answer["valid"], &answer["key"], &answer["actions"]), (&json!(true), &json!("app"), &json!("RW")));
    let revoked = world.ask("POST", "/api/v1/tokens:revoke", shown.clone()).await;
    assert_eq!(revoked.status, StatusCode::NO_CONTENT);
    // The answer comes when the server goes by it: also for a connection that stands.
    assert!(world.access.load().may_publish(&who, "chat/a").is_err());
    let id: Uuid = made.text("id").parse().unwrap();
    assert_eq!(*world.broker.cut_tokens.lock().unwrap(), [id]);
    let refused = world.log_in_by("GID_dev@@@a", &made).await.unwrap_err();
    assert_eq!(refused, LoginError::Token(crate::token::TokenError::Revoked));
    let answer = query().await;
    assert_eq!((&answer["valid"], &answer["code"], &answer["id"]), (&json!(false), &json!(3), &json!(id)));
    let again = world.ask("POST", "/api/v1/tokens:revoke", shown).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT);
    let log = world.ask("GET", "/api/v1/audit?kind=token", Value::Null).await;
    let rows = log.body["items"].as_array().unwrap();
    assert_eq!(rows.len(), 1, "to revoke twice is one change");
    assert_eq!(
        (&rows[0]["action"], &rows[0]["subject"], &rows[0]["before"]["key"]),
        (&json!("revoke"), &json!(id), &json!("app"))
    );
    assert!(!log.body.to_string().contains(made.text("token")));
}

#[tokio::test]
async fn a_token_ends_when_it_says_at_the_latest_after_30_days_and_with_its_key() {
    let world = World::with_topics().await;
    let wished = async |expires_at_ms: u64, key: &str| {
        let mut wish = wish(None);
        wish["expires_at_ms"] = expires_at_ms.into();
        world.token(key, wish).await
    };
    for (wish_ms, ends_ms) in [
        (START_MS + 60_000, START_MS + 60_000),
        (START_MS + 60_999, START_MS + 60_000),
        (START_MS + 30 * DAY_MS, START_MS + 30 * DAY_MS),
        (START_MS + 31 * DAY_MS, START_MS + 30 * DAY_MS),
        (u64::MAX, START_MS + 30 * DAY_MS),
    ] {
        assert_eq!(wished(wish_ms, KEY).await.body["expires_at_ms"], ends_ms, "{wish_ms}");
    }
    // Who asks for 60 s may have looked at its clock some seconds ago.
    assert_eq!(wished(START_MS + 50_000, KEY).await.body["expires_at_ms"], START_MS + 50_000);
    assert_eq!(wished(START_MS + 49_999, KEY).await.refused(), (400, "invalid_token"));
    let key = json!({ "key": "short", "kind": "api", "scopes": ["topics"], "expires_at_ms": START_MS + 90_000 });
    let key = world.create("/api/v1/keys", key).await;
    let token = wished(START_MS + DAY_MS, key.text("secret")).await;
    assert_eq!(token.body["expires_at_ms"], START_MS + 90_000);
    assert!(world.log_in_by("GID_dev@@@a", &token).await.is_ok());
    world.pass(90_000);
    let expired = LoginError::Token(crate::token::TokenError::Expired);
    assert_eq!(world.log_in_by("GID_dev@@@a", &token).await, Err(expired));
    let shown = json!({ "token": token.text("token") });
    assert_eq!(world.ask("POST", "/api/v1/tokens:query", shown.clone()).await.body["code"], 2);
    // Void already: nothing is to be changed.
    assert_eq!(world.ask("POST", "/api/v1/tokens:revoke", shown).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.ask("GET", "/api/v1/audit?kind=token", Value::Null).await.body["items"], json!([]));
}

#[tokio::test]
async fn a_key_that_goes_takes_its_tokens_with_it_and_a_new_one_of_its_name_brings_none_back() {
    let world = World::with_topics().await;
    let secret = world.key("app", "api", &["topics"]).await;
    let token = world.token(&secret, wish(Some("GID_dev@@@a"))).await;
    assert!(world.log_in_by("GID_dev@@@a", &token).await.is_ok());
    let account = Err(LoginError::Token(crate::token::TokenError::Account));
    for disabled in [true, false] {
        world.ask("PATCH", "/api/v1/keys/app", json!({ "disabled": disabled })).await;
        let found = world.log_in_by("GID_dev@@@a", &token).await;
        assert_eq!(found.is_ok(), !disabled, "{found:?}");
    }
    world.ask("DELETE", "/api/v1/keys/app", Value::Null).await;
    assert_eq!(world.log_in_by("GID_dev@@@a", &token).await, account);
    world.pass(1);
    world.key("app", "api", &["topics"]).await;
    assert_eq!(world.log_in_by("GID_dev@@@a", &token).await, account);
}

#[tokio::test]
async fn a_token_for_a_users_device_takes_the_scope_devices_and_acts_as_the_user() {
    let world = World::with_topics().await;
    world.device("ann", json!({ "device": "phone" })).await;
    let phone = "GID_dev@@@phone";
    let narrow = world.key("narrow", "api", &["topics"]).await;
    let wide = world.key("wide", "api", &["topics", "devices"]).await;
    assert_eq!(world.token(&narrow, wish(Some(phone))).await.refused(), (403, "forbidden"));
    let unbound = world.token(&narrow, wish(None)).await;
    assert_eq!(world.log_in_by(phone, &unbound).await, Err(LoginError::OwnedByUser));
    let token = world.token(&wide, wish(Some(phone))).await;
    assert_eq!((token.text("user"), token.text("client_id")), ("ann", phone));
    assert_eq!(world.log_in_by(phone, &token).await.unwrap().account(), "user:ann");
    let elsewhere = world.log_in_by("GID_dev@@@other", &token).await;
    assert_eq!(elsewhere, Err(LoginError::Token(crate::token::TokenError::Resource)));
    // It ends with the login of the device that it was applied for, also where the user registers the device again.
    world.ask("DELETE", "/api/v1/devices/GID_dev@@@phone", Value::Null).await;
    let account = Err(LoginError::Token(crate::token::TokenError::Account));
    assert_eq!(world.log_in_by(phone, &token).await, account);
    world.device("ann", json!({ "device": "phone" })).await;
    assert_eq!(world.log_in_by(phone, &token).await, account);
    let token = world.token(&wide, wish(Some(phone))).await;
    assert!(world.log_in_by(phone, &token).await.is_ok());
    world.ask("POST", "/api/v1/devices/GID_dev@@@phone/revoke", Value::Null).await;
    assert_eq!(world.log_in_by(phone, &token).await, account);
}

#[tokio::test]
async fn what_can_be_no_token_is_refused_with_words() {
    let world = World::with_topics().await;
    let with = |name: &str, value: Value| {
        let mut wish = wish(None);
        wish[name] = value;
        wish
    };
    let many: Vec<String> = (0..101).map(|n| format!("chat/{n}")).collect();
    let long: Vec<String> = (0..100).map(|n| format!("chat/{n:055}")).collect();
    let table = [
        (with("resources", json!([])), "1 to 100 topics"),
        (with("resources", json!(many)), "1 to 100 topics"),
        (with("resources", json!(long)), "5 KiB"),
        (with("resources", json!(["gone/a"])), "does not exist"),
        (with("resources", json!(["#"])), "parent topic"),
        (with("resources", json!(["chat/#/a"])), "last level"),
        (with("resources", json!(["chat/p2p/alice"])), "client id"),
        (with("resources", json!(["chat/a b"])), "levels"),
        (with("client_id", json!("alice")), "<GroupID>@@@<DeviceID>"),
        (with("client_id", json!("GID_none@@@a")), "GID_none"),
        (with("expires_at_ms", json!(0)), "60 s to 30 days"),
    ];
    for (wish, words) in table {
        let answer = world.token(KEY, wish.clone()).await;
        assert_eq!(answer.refused(), (400, "invalid_token"), "{wish}");
        assert!(answer.text("detail").contains(words), "{wish}: {}", answer.text("detail"));
    }
    for wish in [with("actions", json!("WR")), with("more", json!(1)), json!({})] {
        assert_eq!(world.token(KEY, wish.clone()).await.refused(), (400, "invalid_body"), "{wish}");
    }
    let both = world.token(KEY, with("actions", json!("R,W"))).await;
    assert_eq!(both.text("actions"), "RW");
    assert_eq!(both.text("username"), "Token|owner|convoke");
    let forged = json!({ "token": "nonsense" });
    assert_eq!(world.ask("POST", "/api/v1/tokens:revoke", forged.clone()).await.refused(), (400, "invalid_token"));
    let why = "the token was not issued here, or is damaged; apply for one";
    let answer = world.ask("POST", "/api/v1/tokens:query", forged).await.body;
    assert_eq!(answer, json!({ "valid": false, "code": 1, "why": why }));
}

#[tokio::test]
async fn one_key_that_asks_too_often_keeps_no_other_waiting() {
    let world = World::with_topics().await;
    let other = world.key("other", "api", &["topics"]).await;
    let token = world.token(KEY, wish(None)).await;
    let shown = json!({ "token": token.text("token") });
    for _ in 0..5 {
        assert_eq!(world.ask("POST", "/api/v1/tokens:revoke", shown.clone()).await.status, StatusCode::NO_CONTENT);
    }
    assert_eq!(world.ask("POST", "/api/v1/tokens:revoke", shown.clone()).await.refused(), (429, "too_many_requests"));
    let others = world.post("/api/v1/tokens:revoke", Some(&other), shown).await;
    assert_eq!(others.status, StatusCode::NO_CONTENT);
    for _ in 1..100 {
        assert_eq!(world.token(KEY, wish(None)).await.status, StatusCode::OK);
    }
    assert_eq!(world.token(KEY, wish(None)).await.refused(), (429, "too_many_requests"));
}
