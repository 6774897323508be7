//! Requests that carry an idempotency key.

use super::*;
use catalog::limits::ANSWER_KEEP_MS;
use tokio::time::timeout;

fn with_key(mut request: Request<Body>, idempotency_key: &str) -> Request<Body> {
    request.headers_mut().insert("idempotency-key", idempotency_key.parse().unwrap());
    request
}

impl World {
    /// With the key `"once"`.
    async fn once(&self, path: &str, body: Value) -> Answer {
        self.call(with_key(request("POST", path, Some(KEY), body), "\"once\"")).await
    }

    async fn changes(&self) -> usize {
        self.ask("GET", "/api/v1/audit?limit=200", Value::Null).await.body["items"].as_array().unwrap().len()
    }
}

fn was_replayed(answer: &Answer) -> bool {
    answer.headers.get("idempotency-replayed").is_some_and(|value| value == "true")
}

fn key_body(key: &str) -> Value {
    json!({ "key": key, "kind": "api", "scopes": ["groups"] })
}

#[tokio::test]
async fn a_request_that_is_sent_again_has_the_same_answer_and_changes_nothing_more() {
    let world = World::new().await;
    world.device("ann", Value::Null).await;
    world.create("/api/v1/topics", json!({ "topic": "orders", "rule": "none" })).await;
    world.key("billing", "access", &["topics"]).await;
    world.device("bob", json!({ "device": "phone" })).await;
    let table = [
        ("/api/v1/groups", json!({ "group": "GID_new" })),
        ("/api/v1/topics", json!({ "topic": "orders-up", "rule": "none" })),
        ("/api/v1/grants", json!({ "group": "GID_dev", "topic": "orders" })),
        ("/api/v1/keys", key_body("ops")),
        ("/api/v1/keys", json!({ "kind": "access", "scopes": ["topics"] })),
        ("/api/v1/keys/billing/rotate", json!({})),
        ("/api/v1/users/ann/devices", json!({ "device": "tablet", "name": "Ann" })),
        ("/api/v1/users/carol/devices", Value::Null),
        ("/api/v1/users/ann/login-links", Value::Null),
        ("/api/v1/devices/GID_dev@@@phone/revoke", Value::Null),
    ];
    for (n, (path, body)) in table.into_iter().enumerate() {
        let sent = || world.call(with_key(request("POST", path, Some(KEY), body.clone()), &format!("key-{n}")));
        let first = sent().await;
        assert!(first.status.is_success() && !was_replayed(&first), "{path}: {}", first.body);
        let changes = world.changes().await;
        world.pass(1_000);
        let again = sent().await;
        assert_eq!((again.status, &again.body), (first.status, &first.body), "{path}");
        assert!(was_replayed(&again), "{path}");
        assert_eq!(again.headers[header::CACHE_CONTROL], "no-store");
        assert_eq!(again.headers.get(header::CONTENT_TYPE), first.headers.get(header::CONTENT_TYPE), "{path}");
        assert_eq!(world.changes().await, changes, "{path} was done twice");
    }
}

#[tokio::test]
async fn a_key_is_for_one_request_of_one_caller() {
    let world = World::new().await;
    let ops = world.key("ops", "api", &["admin"]).await;
    assert_eq!(world.once("/api/v1/groups", json!({ "group": "GID_one" })).await.status, StatusCode::OK);
    let another = world.once("/api/v1/groups", json!({ "group": "GID_two" })).await;
    assert_eq!(another.refused(), (422, "idempotency_key_reused"));
    let elsewhere = world.once("/api/v1/keys", key_body("k")).await;
    assert_eq!(elsewhere.refused(), (422, "idempotency_key_reused"));
    let bare = with_key(request("POST", "/api/v1/groups", Some(KEY), json!({ "group": "GID_one" })), "once");
    assert!(was_replayed(&world.call(bare).await), "with quotes or without");
    let others = with_key(request("POST", "/api/v1/groups", Some(&ops), json!({ "group": "GID_two" })), "once");
    let others = world.call(others).await;
    assert!(others.status == StatusCode::OK && !was_replayed(&others));
}

#[tokio::test]
async fn a_refusal_is_not_kept() {
    let world = World::new().await;
    let link = || world.once("/api/v1/users/ann/login-links", Value::Null);
    assert_eq!(link().await.refused(), (404, "unknown_user"));
    world.device("ann", Value::Null).await;
    let made = link().await;
    assert!(made.status == StatusCode::OK && !was_replayed(&made));
    assert_eq!(link().await.body, made.body);
    let bad = world.call(with_key(request("POST", "/api/v1/groups", Some(KEY), json!({})), "a b")).await;
    assert_eq!(bad.refused(), (400, "invalid_idempotency_key"));
}

#[tokio::test]
async fn an_answer_is_given_again_only_to_those_who_may_still_ask() {
    let world = World::new().await;
    let secret = world.key("ops", "api", &["admin"]).await;
    let create = || world.call(with_key(request("POST", "/api/v1/keys", Some(&secret), key_body("new")), "once"));
    assert_eq!(create().await.status, StatusCode::OK);
    let narrow = world.ask("PATCH", "/api/v1/keys/ops", json!({ "scopes": ["groups"] })).await;
    assert_eq!(narrow.status, StatusCode::OK);
    assert_eq!(create().await.refused(), (403, "forbidden"));
    world.ask("DELETE", "/api/v1/keys/ops", Value::Null).await;
    assert_eq!(create().await.refused(), (401, "api_key_required"));
    let secret = world.key("ops", "api", &["admin"]).await;
    let later = with_key(request("POST", "/api/v1/keys", Some(&secret), key_body("new")), "once");
    assert_eq!(world.call(later).await.refused(), (409, "exists"), "a later key of that name is another caller");
}

#[tokio::test]
async fn an_answer_is_kept_for_a_day() {
    let world = World::new().await;
    let rotate = || world.once("/api/v1/keys/ops/rotate", json!({}));
    world.key("ops", "api", &["groups"]).await;
    let first = rotate().await;
    world.pass(ANSWER_KEEP_MS);
    assert_eq!(rotate().await.body, first.body);
    world.pass(1);
    let anew = rotate().await;
    assert!(!was_replayed(&anew) && anew.body["generation"] == 3, "{}", anew.body);
}

#[tokio::test]
async fn of_two_at_once_one_is_done_and_the_other_waits_for_its_answer() {
    let world = World::new().await;
    let create = || world.once("/api/v1/keys", json!({ "kind": "api", "scopes": ["groups"] }));
    let (a, b) = tokio::join!(create(), create());
    let (first, second) = if a.status == StatusCode::OK { (a, b) } else { (b, a) };
    assert_eq!(first.status, StatusCode::OK);
    assert_eq!(second.refused(), (409, "idempotency_key_busy"));
    assert_eq!(second.headers[header::RETRY_AFTER], "1");
    assert_eq!(create().await.body, first.body);
    assert_eq!(world.changes().await, 1);
}

#[tokio::test]
async fn an_answer_is_given_again_once_all_has_ended_that_its_change_ends() {
    let world = World::new().await;
    world.device("ann", json!({ "device": "phone" })).await;
    world.broker.is_silent_about_cuts.store(true, Ordering::SeqCst);
    let revoke = || world.once("/api/v1/devices/GID_dev@@@phone/revoke", Value::Null);
    let changes = world.changes().await;
    let hangs_up = Duration::from_millis(300);
    assert!(timeout(hangs_up, revoke()).await.is_err());
    assert_eq!(world.changes().await, changes + 1, "it is committed");
    assert!(timeout(hangs_up, revoke()).await.is_err(), "answered, and the connection still stands");
    world.broker.is_silent_about_cuts.store(false, Ordering::SeqCst);
    let answer = revoke().await;
    assert!(was_replayed(&answer) && answer.status == StatusCode::NO_CONTENT);
    assert_eq!(world.broker.cut_credentials.lock().unwrap().len(), 1);
    assert_eq!(world.changes().await, changes + 1);
}

#[tokio::test]
async fn neither_a_secret_of_an_answer_nor_the_key_that_opens_it_is_in_the_file() {
    let world = World::new().await;
    let create = with_key(request("POST", "/api/v1/keys", Some(KEY), key_body("ops")), "opens-the-answer");
    let api = world.call(create).await;
    let files = std::fs::read_dir(world._folder.path()).unwrap();
    let mut looked_at = 0;
    for file in files {
        let bytes = std::fs::read(file.unwrap().path()).unwrap();
        for words in [api.text("secret").as_bytes(), b"opens-the-answer"] {
            assert!(!bytes.windows(words.len()).any(|part| part == words));
        }
        looked_at += bytes.len();
    }
    assert!(looked_at > 10_000);
}

#[test]
fn the_document_names_the_header_where_answers_are_kept() {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let mut parameters = operation["parameters"].as_array().into_iter().flatten();
            if parameters.any(|parameter| parameter["name"] == "Idempotency-Key" && parameter["in"] == "header") {
                assert!(operation["responses"]["422"].is_object() && operation["responses"]["409"].is_object());
                routes.push(format!("{method} {path}"));
            }
        }
    }
    let expected = [
        "post /api/v1/devices/{client_id}/revoke",
        "post /api/v1/grants",
        "post /api/v1/groups",
        "post /api/v1/keys",
        "post /api/v1/keys/{key}/rotate",
        "post /api/v1/topics",
        "post /api/v1/users/{user}/devices",
        "post /api/v1/users/{user}/login-links",
    ];
    assert_eq!(routes, expected);
}
