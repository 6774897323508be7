//! What owners do, and what a key may not do.

use super::*;
use crate::access::{PublishRefusal, SubscribeRefusal};
use crate::login::sign;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use catalog::{ParentTopic, Rule, Scope};

impl World {
    pub(super) async fn ask(&self, method: &str, path: &str, body: Value) -> Answer {
        self.call(request(method, path, Some(KEY), body)).await
    }

    /// Creates what the answers name.
    pub(super) async fn create(&self, path: &str, body: Value) -> Answer {
        let answer = self.ask("POST", path, body).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.body);
        answer
    }

    pub(super) async fn key(&self, key: &str, kind: &str, scopes: &[&str]) -> String {
        let answer = self.create("/api/v1/keys", json!({ "key": key, "kind": kind, "scopes": scopes })).await;
        assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
        answer.text("secret").to_owned()
    }

    /// As a service with a Signature.
    fn sign_in(&self, key: &str, secret: &str) -> Result<Identity, LoginError> {
        let (id, name) = ("GID_dev@@@svc", format!("Signature|{key}|convoke"));
        match login::begin(&self.access.load(), id, Some(&name), Some(sign(secret, id).as_bytes())) {
            LoginStep::Decided(decided) => decided.map(|login| login.identity),
            LoginStep::NeedsDevice(pending) => {
                let now_ms = self.clock.load(Ordering::Relaxed);
                pending.finish(None, |at_ms| at_ms <= now_ms).map(|login| login.identity)
            }
        }
    }
}

pub(super) fn with_if_match(mut request: Request<Body>, tag: &str) -> Request<Body> {
    request.headers_mut().insert(header::IF_MATCH, tag.parse().unwrap());
    request
}

pub(super) fn with_basic(method: &str, path: &str, key: &str, secret: &str) -> Request<Body> {
    use base64::Engine;
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{key}:{secret}"));
    let mut request = request(method, path, None, Value::Null);
    request.headers_mut().insert(header::AUTHORIZATION, format!("Basic {login}").parse().unwrap());
    request
}

/// Every route that takes a key: method, path with names in it, scope, and whether it says something without a key, too.
pub(super) fn routes_with_keys() -> Vec<(String, String, String, bool)> {
    let document = serde_json::to_value(openapi()).unwrap();
    let mut routes = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(scopes) = operation["security"][0]["api_key"].as_array() else { continue };
            assert_eq!(scopes.len(), 1, "{method} {path} names one scope");
            let mut path = path.clone();
            for (name, value) in [
                ("group", "GID_none"),
                ("topic", "none"),
                ("key", "none"),
                ("link", "none"),
                ("message", "none"),
                ("grantee", "GID_none"),
                ("meeting", "none"),
            ] {
                path = path.replace(&format!("{{{name}}}"), value);
            }
            let path = path.replace("{user}", "nobody").replace("{client_id}", "GID_none@@@d");
            let is_open = operation["security"].as_array().unwrap().contains(&json!({}));
            routes.push((method.to_uppercase(), path, scopes[0].as_str().unwrap().to_owned(), is_open));
        }
    }
    routes
}

#[tokio::test]
async fn each_route_opens_for_the_scope_that_the_document_names_and_for_no_other() {
    let world = World::new().await;
    let mut secrets = Vec::new();
    for scope in Scope::ALL {
        secrets.push((scope, world.key(scope.name(), "api", &[scope.name()]).await));
    }
    let routes = routes_with_keys();
    assert!(routes.len() >= 49, "{routes:?}");
    let mut looked_at = 0;
    for (method, path, needed, is_open) in routes {
        let without = world.call(request(&method, &path, None, json!({}))).await;
        assert_eq!(without.status == StatusCode::UNAUTHORIZED, !is_open, "{method} {path}");
        for (scope, secret) in &secrets {
            let answer = world.call(request(&method, &path, Some(secret), json!({}))).await;
            let opens = scope.name() == needed || *scope == Scope::Admin;
            let words = format!("{method} {path} with {}: {} {}", scope.name(), answer.status, answer.body);
            assert_eq!(answer.status == StatusCode::FORBIDDEN, !opens, "{words}");
            assert_ne!(answer.status, StatusCode::UNAUTHORIZED, "{words}");
            looked_at += 1;
        }
    }
    println!("{looked_at} requests: each route with each scope");
}

#[tokio::test]
async fn a_key_without_the_scope_does_not_learn_what_there_is() {
    let world = World::new().await;
    let secret = world.key("meetings", "api", &["meetings"]).await;
    let mut answers = Vec::new();
    for group in ["GID_dev", "GID_none"] {
        let answer = world.call(request("GET", &format!("/api/v1/groups/{group}"), Some(&secret), Value::Null)).await;
        assert_eq!(answer.refused(), (403, "forbidden"));
        answers.push(answer.body);
    }
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_fresh_group_topic_and_grant_let_a_device_publish_and_the_tester_says_by_which_rule() {
    let world = World::new().await;
    world.create("/api/v1/groups", json!({ "group": "GID_phone" })).await;
    world.create("/api/v1/topics", json!({ "topic": "orders-up", "rule": "to_queue" })).await;
    let question = "/api/v1/grants:test?client_id=GID_phone@@@d1&action=publish&topic=orders-up/call";
    let before = world.ask("GET", question, Value::Null).await;
    assert_eq!(
        (&before.body["allowed"], before.text("why")),
        (&json!(false), "no grant of GID_phone gives the right publish at orders-up")
    );
    world.create("/api/v1/grants", json!({ "group": "GID_phone", "topic": "orders-up" })).await;
    let after = world.ask("GET", question, Value::Null).await;
    assert_eq!(
        (&after.body["allowed"], after.text("why")),
        (&json!(true), "the grant GID_phone/orders-up, with the right publish")
    );
    let device = world.device("ann", json!({ "device": "d1", "group": "GID_phone" })).await;
    let who = world.connect(&device).await.unwrap();
    assert_eq!(world.access.load().may_publish(&who, "orders-up/call"), Ok(()));

    let of_nobody =
        world.ask("GET", "/api/v1/grants:test?key=none&action=publish&topic=orders-up/call", Value::Null).await;
    assert_eq!(of_nobody.text("why"), "there is no access key none, or it is disabled");

    let secret = world.key("billing", "access", &["topics"]).await;
    let of_billing = "/api/v1/grants:test?key=billing&action=publish&topic=orders-up/call";
    assert_eq!(world.ask("GET", of_billing, Value::Null).await.body["allowed"], true);
    world.ask("PATCH", "/api/v1/keys/billing", json!({ "expires_at_ms": START_MS + 1_000 })).await;
    assert_eq!(*world.broker.judged_keys.lock().unwrap(), ["billing", "billing"], "made, and its time changed");
    world.pass(1_000);
    let expired = world.ask("GET", of_billing, Value::Null).await;
    assert_eq!((&expired.body["allowed"], expired.text("why")), (&json!(false), "the access key billing has expired"));
    assert_eq!(world.sign_in("billing", &secret), Err(LoginError::Expired));

    let list = world.ask("GET", "/api/v1/grants?group=GID_phone", Value::Null).await;
    assert_eq!(list.body, json!({ "items": [{ "group": "GID_phone", "topic": "orders-up", "rights": ["publish"] }] }));
    let gone = world.ask("DELETE", "/api/v1/grants/GID_phone/orders-up", Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    // The answer comes when the server goes by it: also for a connection that stands.
    assert!(world.access.load().may_publish(&who, "orders-up/call").is_err());
    let again = world.ask("DELETE", "/api/v1/grants/GID_phone/orders-up", Value::Null).await;
    assert_eq!(again.refused(), (404, "not_found"));
}

#[tokio::test]
async fn users_have_grants_of_their_own_and_the_tester_names_the_one_that_decides() {
    let world = World::new().await;
    world.create("/api/v1/topics", json!({ "topic": "orders-up", "rule": "none" })).await;
    world.device("ann", json!({ "device": "d1" })).await;
    let of_ann = json!({ "user": "ann", "topic": "orders-up", "rights": ["subscribe", "p2p"] });
    assert_eq!(world.create("/api/v1/grants", of_ann.clone()).await.body, of_ann);
    assert_eq!(world.create("/api/v1/grants", of_ann.clone()).await.body, of_ann, "it is there already");
    let other = world.ask("POST", "/api/v1/grants", json!({ "user": "ann", "topic": "orders-up" })).await;
    assert_eq!(other.refused(), (409, "exists"));
    let shown = world.ask("GET", "/api/v1/grants/user:ann/orders-up", Value::Null).await;
    assert_eq!(shown.body, of_ann);

    let why = async |client_id: &str, action: &str, topic: &str| {
        let path = format!("/api/v1/grants:test?client_id={client_id}&action={action}&topic={topic}");
        let answer = world.ask("GET", &path, Value::Null).await;
        (answer.body["allowed"].as_bool().unwrap(), answer.text("why").to_owned())
    };
    let said = |allowed, words: &str| (allowed, words.to_owned());
    let p2p = "orders-up/p2p/GID_dev@@@d2/x";
    let table = [
        ("subscribe", "orders-up/%23", said(true, "the grant user:ann/orders-up, with the right subscribe")),
        (
            "subscribe",
            "$share/all/orders-up/%2B",
            said(false, "shared subscriptions are not offered; subscribe to the filter itself"),
        ),
        ("publish", p2p, said(true, "the grant user:ann/orders-up, with the right p2p")),
        ("publish", "orders-up/a", said(false, "no grant of GID_dev or user:ann gives the right publish at orders-up")),
        ("subscribe", "orders-up/p2p/%23", said(false, &SubscribeRefusal::P2p.to_string())),
    ];
    for (action, topic, expected) in table {
        assert_eq!(why("GID_dev@@@d1", action, topic).await, expected, "{action} {topic}");
    }
    let unregistered = why("GID_dev@@@d9", "subscribe", "orders-up/a").await;
    assert_eq!(unregistered, said(false, "no grant of GID_dev gives the right subscribe at orders-up"));

    let tag = shown.headers[header::ETAG].to_str().unwrap();
    let narrow = request("PATCH", "/api/v1/grants/user:ann/orders-up", Some(KEY), json!({ "rights": ["p2p"] }));
    assert_eq!(world.call(with_if_match(narrow, tag)).await.body["rights"], json!(["p2p"]));
    assert!(!why("GID_dev@@@d1", "subscribe", "orders-up/a").await.0);
    let nothing = world.ask("PATCH", "/api/v1/grants/user:ann/orders-up", json!({ "rights": [] })).await;
    assert_eq!(nothing.refused(), (400, "invalid_body"));
    let list = world.ask("GET", "/api/v1/grants?user=ann", Value::Null).await;
    assert_eq!(list.body["items"], json!([{ "user": "ann", "topic": "orders-up", "rights": ["p2p"] }]));
    let both = world.ask("POST", "/api/v1/grants", json!({ "user": "ann", "group": "GID_dev", "topic": "orders-up" }));
    assert_eq!(both.await.refused(), (400, "invalid_body"));
    let refused = world.ask("DELETE", "/api/v1/users/ann", Value::Null).await;
    assert!(refused.text("detail").contains("1 grant, 1 device"), "{}", refused.body);
    let hangs = world.ask("GET", "/api/v1/users/ann", Value::Null).await;
    let expected = json!({ "user": "ann", "name": "ann", "devices": 1, "connected": 0, "links": 0, "grants": 1 });
    assert_eq!(hangs.body, expected);
    let gone = world.ask("DELETE", "/api/v1/grants/user:ann/orders-up", Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn how_long_messages_of_a_topic_wait_is_changed_apart_from_its_rule() {
    let world = World::new().await;
    let made = world.create("/api/v1/topics", json!({ "topic": "typing", "rule": "none", "kept_s": 0 })).await;
    assert_eq!(made.body, json!({ "topic": "typing", "rule": "none", "kept_s": 0 }));
    assert_eq!(world.access.load().kept_s("typing"), Some(0));
    for (body, expected) in [
        (json!({ "kept_s": 60 }), json!({ "topic": "typing", "rule": "none", "kept_s": 60 })),
        (json!({ "rule": "to_queue" }), json!({ "topic": "typing", "rule": "to_queue", "kept_s": 60 })),
        (json!({ "kept_s": null }), json!({ "topic": "typing", "rule": "to_queue" })),
    ] {
        assert_eq!(world.ask("PATCH", "/api/v1/topics/typing", body).await.body, expected);
    }
    assert_eq!(world.access.load().kept_s("typing"), None);
    let refused = world.ask("PATCH", "/api/v1/topics/typing", json!({ "kept_s": 259_201 })).await;
    assert_eq!(refused.refused(), (400, "invalid_topic"));
}

#[tokio::test]
async fn a_topic_that_mixes_upstream_and_downstream_is_warned_of() {
    let world = World::new().await;
    let warned = |answer: &Value| {
        let warnings = answer["warnings"].as_array().cloned().unwrap_or_default();
        warnings.iter().map(|warning| warning["warning"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let both = world.create("/api/v1/topics", json!({ "topic": "mixed", "rule": "both" })).await;
    assert_eq!(warned(&both.body), ["both_ways"]);
    let up = world.create("/api/v1/topics", json!({ "topic": "orders-up", "rule": "to_queue" })).await;
    assert_eq!(up.body, json!({ "topic": "orders-up", "rule": "to_queue" }));
    let p2p = json!({ "group": "GID_dev", "topic": "orders-up", "rights": ["publish", "p2p"] });
    world.create("/api/v1/grants", p2p).await;
    let shown = world.ask("GET", "/api/v1/topics/orders-up", Value::Null).await;
    assert_eq!((warned(&shown.body), &shown.body["grants"]), (vec!["downstream_on_upstream".to_owned()], &json!(1)));
    let turned = world.ask("PATCH", "/api/v1/topics/orders-up", json!({ "rule": "from_queue" })).await;
    assert_eq!(warned(&turned.body), ["upstream_on_downstream"]);
    let list = world.ask("GET", "/api/v1/topics", Value::Null).await;
    let all: Vec<_> = list.body["items"].as_array().unwrap().iter().map(warned).collect();
    assert!(all.contains(&vec!["both_ways".to_owned()]) && all.contains(&vec!["upstream_on_downstream".to_owned()]));
}

#[tokio::test]
async fn the_first_grant_of_an_access_key_narrows_it_on_mqtt_and_takes_its_power_over_topics() {
    let world = World::new().await;
    for topic in ["orders-up", "news"] {
        world.create("/api/v1/topics", json!({ "topic": topic, "rule": "none" })).await;
    }
    let secret = world.key("billing", "access", &["topics", "groups"]).await;
    let topics_alone = world.key("clerk", "api", &["topics"]).await;
    let of_billing = json!({ "key": "billing", "topic": "orders-up", "rights": ["subscribe"] });
    let by_clerk = request("POST", "/api/v1/grants", Some(&topics_alone), of_billing.clone());
    assert_eq!(world.call(by_clerk).await.refused(), (403, "forbidden"), "keys are the matter of admin");
    let list = || with_basic("GET", "/api/v1/topics", "billing", &secret);
    assert_eq!(world.call(list()).await.status, StatusCode::OK);

    world.create("/api/v1/grants", of_billing).await;
    assert_eq!(*world.broker.cut_keys.lock().unwrap(), ["billing"]);
    let who = world.sign_in("billing", &secret).unwrap();
    let access = world.access.load();
    assert_eq!(access.may_subscribe(&who, "orders-up/#"), Ok(()));
    assert_eq!(access.may_subscribe(&who, "news/#"), Err(SubscribeRefusal::NotGranted));
    assert_eq!(access.may_publish(&who, "orders-up/a"), Err(PublishRefusal::NotGranted));
    drop(access);
    assert_eq!(world.call(list()).await.refused(), (403, "forbidden"), "it could grant itself everything");
    assert_eq!(world.call(with_basic("GET", "/api/v1/groups", "billing", &secret)).await.status, StatusCode::OK);
    let shown = world.ask("GET", "/api/v1/keys/billing", Value::Null).await.body;
    assert_eq!((&shown["narrowed"], &shown["grants"]), (&json!(true), &json!(1)));
    assert_eq!(shown["connections"], "billing".len(), "what the broker says");

    let gone = world.ask("DELETE", "/api/v1/grants/key:billing/orders-up", Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    let question = "/api/v1/grants:test?key=billing&action=subscribe&topic=orders-up/a";
    let answer = world.ask("GET", question, Value::Null).await;
    assert_eq!(answer.body["allowed"], false);
    assert_eq!(answer.text("why"), "no grant of key:billing gives the right subscribe at orders-up");
}

#[tokio::test]
async fn names_that_cannot_be_and_questions_that_make_no_sense_are_refused_with_words() {
    let world = World::new().await;
    let table = [
        ("POST", "/api/v1/groups", json!({ "group": "phone" }), (400, "invalid_group")),
        ("POST", "/api/v1/groups", json!({ "groups": "GID_phone" }), (400, "invalid_body")),
        ("POST", "/api/v1/topics", json!({ "topic": "a/b", "rule": "none" }), (400, "invalid_topic")),
        ("POST", "/api/v1/topics", json!({ "topic": "orders", "rule": "all" }), (400, "invalid_body")),
        ("POST", "/api/v1/grants", json!({ "group": "GID_none", "topic": "none" }), (400, "invalid_body")),
        ("POST", "/api/v1/keys", json!({ "key": "a b", "kind": "api", "scopes": ["topics"] }), (400, "invalid_key")),
        ("POST", "/api/v1/keys", json!({ "kind": "api", "scopes": [] }), (400, "invalid_key")),
        ("POST", "/api/v1/keys", json!({ "kind": "api", "scopes": ["root"] }), (400, "invalid_body")),
        (
            "POST",
            "/api/v1/keys",
            json!({ "kind": "access", "scopes": ["topics"], "consumer_groups": ["a b"] }),
            (400, "invalid_key"),
        ),
        (
            "POST",
            "/api/v1/keys",
            json!({ "kind": "api", "scopes": ["topics"], "expires_at_ms": 1 }),
            (400, "invalid_key"),
        ),
        ("POST", "/api/v1/users/ann/login-links", json!({ "valid_s": 1 }), (400, "invalid_body")),
        ("PATCH", "/api/v1/topics/none", json!({ "rule": "both" }), (404, "not_found")),
        ("GET", "/api/v1/groups?limit=0", Value::Null, (400, "invalid_query")),
        ("GET", "/api/v1/groups?limit=201", Value::Null, (400, "invalid_query")),
        ("GET", "/api/v1/groups?after=%21", Value::Null, (400, "invalid_query")),
        ("GET", "/api/v1/groups?page=2", Value::Null, (400, "invalid_query")),
        ("GET", "/api/v1/audit?kind=thing", Value::Null, (400, "invalid_query")),
        ("GET", "/api/v1/audit?after=-1", Value::Null, (400, "invalid_query")),
        ("GET", "/api/v1/grants:test?action=publish&topic=up", Value::Null, (400, "invalid_query")),
        ("GET", "/api/v1/grants:test?client_id=x&action=publish&topic=up", Value::Null, (400, "invalid_device")),
        ("GET", "/api/v1/users/%FF", Value::Null, (400, "invalid_user")),
        ("GET", "/api/v1/keys/%FF", Value::Null, (404, "not_found")),
    ];
    for (method, path, body, expected) in table {
        let answer = world.ask(method, path, body).await;
        assert_eq!(answer.refused(), expected, "{method} {path}: {}", answer.body);
    }
}

#[tokio::test]
async fn what_is_in_use_is_named_and_goes_by_force() {
    let world = World::new().await;
    world.catalog.put_parent(ParentTopic::new("up", Rule::ToQueue)).await.unwrap();
    world.create("/api/v1/grants", json!({ "group": "GID_other", "topic": "up" })).await;
    let device = world.device("ann", json!({ "device": "d", "group": "GID_other" })).await;
    let refused = world.ask("DELETE", "/api/v1/groups/GID_other", Value::Null).await;
    assert_eq!(refused.refused(), (409, "in_use"));
    assert!(refused.text("detail").contains("1 grant, 1 device"), "{}", refused.body);
    let shown = world.ask("GET", "/api/v1/groups/GID_other", Value::Null).await;
    assert_eq!(shown.body, json!({ "group": "GID_other", "grants": 1, "devices": 1, "connected": 0 }));
    let narrow = world.key("narrow", "api", &["groups", "topics"]).await;
    let forced = request("DELETE", "/api/v1/groups/GID_other?force=true", Some(&narrow), Value::Null);
    assert_eq!(world.call(forced).await.refused(), (403, "forbidden"), "devices go with it");
    let gone = world.ask("DELETE", "/api/v1/groups/GID_other?force=true", Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    assert_eq!(world.connect(&device).await, Err(LoginError::Refused));
    let ended = world.broker.ended.lock().unwrap().pop().unwrap();
    assert!(ended.0 == "GID_other@@@d" && ended.1.is_some_and(|key| device.text("username").contains(&key)));
}

#[tokio::test]
async fn a_service_logs_in_by_a_fresh_key_until_it_is_disabled_or_ends() {
    let world = World::new().await;
    let secret = world.key("billing", "access", &["topics"]).await;
    assert!(matches!(world.sign_in("billing", &secret), Ok(Identity::Service { key_id, .. }) if key_id == "billing"));
    assert_eq!(world.sign_in("billing", "another"), Err(LoginError::Refused));
    for (disabled, expected) in [(true, Some(LoginError::Refused)), (false, None)] {
        let changed = world.ask("PATCH", "/api/v1/keys/billing", json!({ "disabled": disabled })).await;
        assert_eq!((changed.status, &changed.body["disabled"]), (StatusCode::OK, &json!(disabled)));
        assert_eq!(world.sign_in("billing", &secret).err(), expected);
    }
    assert_eq!(*world.broker.cut_keys.lock().unwrap(), ["billing"], "its connections end once: when it is disabled");
    let ends = json!({ "expires_at_ms": START_MS + 1_000 });
    assert_eq!(world.ask("PATCH", "/api/v1/keys/billing", ends).await.body["expires_at_ms"], START_MS + 1_000);
    assert!(world.sign_in("billing", &secret).is_ok());
    world.pass(1_000);
    assert_eq!(world.sign_in("billing", &secret), Err(LoginError::Expired));
    let lasts = world.ask("PATCH", "/api/v1/keys/billing", json!({ "expires_at_ms": null })).await;
    assert_eq!(lasts.body.get("expires_at_ms"), None);
    assert!(world.sign_in("billing", &secret).is_ok());
    assert_eq!(world.ask("DELETE", "/api/v1/keys/billing", Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.sign_in("billing", &secret), Err(LoginError::Refused));
}

#[tokio::test]
async fn after_a_rotation_both_secrets_are_valid_for_the_overlap() {
    let world = World::new().await;
    let first = world.key("billing", "access", &["topics"]).await;
    let answer = world.create("/api/v1/keys/billing/rotate", json!({ "overlap_s": 60 })).await;
    assert_eq!(answer.body["generation"], 2);
    let second = answer.text("secret").to_owned();
    assert!(world.sign_in("billing", &first).is_ok() && world.sign_in("billing", &second).is_ok());
    let shown = world.ask("GET", "/api/v1/keys/billing", Value::Null).await;
    let secrets = json!([{ "generation": 2 }, { "generation": 1, "valid_until_ms": START_MS + 60_000 }]);
    assert_eq!(shown.body["secrets"], secrets);
    world.pass(60_000);
    assert_eq!(world.sign_in("billing", &first), Err(LoginError::Expired));
    assert!(world.sign_in("billing", &second).is_ok());
    let now = world.create("/api/v1/keys/billing/rotate", json!({ "overlap_s": 0 })).await;
    assert_eq!(world.sign_in("billing", &second), Err(LoginError::Expired));
    assert!(world.sign_in("billing", now.text("secret")).is_ok());
    assert_eq!(world.sign_in("billing", &first), Err(LoginError::Refused));
}

#[tokio::test]
async fn an_access_key_opens_the_api_by_its_secret_and_an_api_key_ends_with_its_time() {
    let world = World::new().await;
    let secret = world.key("billing", "access", &["groups"]).await;
    let groups = world.call(with_basic("GET", "/api/v1/groups", "billing", &secret)).await;
    assert_eq!(groups.body, json!({ "items": [{ "group": "GID_dev" }, { "group": "GID_other" }] }));
    let wrong = world.call(with_basic("GET", "/api/v1/groups", "billing", "wrong")).await;
    assert_eq!(wrong.refused(), (401, "api_key_required"));
    let wish = json!({ "kind": "api", "scopes": ["groups"], "expires_at_ms": START_MS + 5_000 });
    let key = world.create("/api/v1/keys", wish).await;
    let list = || world.call(request("GET", "/api/v1/groups", Some(key.text("secret")), Value::Null));
    assert_eq!(list().await.status, StatusCode::OK);
    world.pass(5_000);
    assert_eq!(list().await.refused(), (401, "api_key_required"));
}

#[tokio::test]
async fn a_list_is_read_part_by_part() {
    let world = World::new().await;
    for n in 0..5 {
        world.create("/api/v1/groups", json!({ "group": format!("GID_no{n}") })).await;
    }
    let (mut names, mut path, mut parts) = (Vec::new(), "/api/v1/groups?limit=3".to_owned(), 0);
    loop {
        let part = world.ask("GET", &path, Value::Null).await;
        let items = part.body["items"].as_array().unwrap();
        names.extend(items.iter().map(|item| item["group"].as_str().unwrap().to_owned()));
        parts += 1;
        let Some(next) = part.body["next"].as_str() else { break };
        path = format!("/api/v1/groups?limit=3&after={next}");
    }
    assert_eq!(names, ["GID_dev", "GID_no0", "GID_no1", "GID_no2", "GID_no3", "GID_no4", "GID_other"]);
    assert_eq!(parts, 3);
}

#[tokio::test]
async fn what_was_changed_meanwhile_is_not_changed_by_one_who_has_not_seen_it() {
    let world = World::new().await;
    world.create("/api/v1/topics", json!({ "topic": "orders", "rule": "none" })).await;
    let seen = world.ask("GET", "/api/v1/topics/orders", Value::Null).await;
    let tag = seen.headers[header::ETAG].to_str().unwrap().to_owned();
    let update = |rule: &str| request("PATCH", "/api/v1/topics/orders", Some(KEY), json!({ "rule": rule }));
    assert_eq!(world.call(with_if_match(update("both"), &tag)).await.status, StatusCode::OK);
    assert_eq!(world.call(with_if_match(update("none"), &tag)).await.refused(), (412, "stale"));
    assert_eq!(world.call(with_if_match(update("none"), "W/x")).await.refused(), (400, "invalid_query"));
    assert_eq!(world.ask("GET", "/api/v1/topics/orders", Value::Null).await.body["rule"], "both");
    assert_eq!(world.call(with_if_match(update("none"), "*")).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_removed_user_leaves_nothing_and_its_terminals_are_ended() {
    let world = World::new().await;
    let devices = [
        world.device("ann", json!({ "device": "a", "name": "Ann" })).await,
        world.device("ann", json!({ "device": "b" })).await,
    ];
    let link = world.create("/api/v1/users/ann/login-links", json!({ "valid_s": 3600 })).await;
    assert_eq!(link.body["expires_at_ms"], START_MS + 3_600_000);
    let found = world.ask("GET", "/api/v1/users?search=AN", Value::Null).await;
    assert_eq!(found.body, json!({ "items": [{ "user": "ann", "name": "Ann" }] }));
    let list = world.ask("GET", "/api/v1/devices?user=ann", Value::Null).await;
    assert_eq!(list.body["items"][1]["client_id"], "GID_dev@@@b");
    let links = world.ask("GET", "/api/v1/login-links?user=ann", Value::Null).await;
    assert_eq!(links.body["items"][0]["link"], link.body["link"]);
    let refused = world.ask("DELETE", "/api/v1/users/ann", Value::Null).await;
    assert!(refused.refused() == (409, "in_use") && refused.text("detail").contains("2 devices, 1 login link"));
    let gone = world.ask("DELETE", "/api/v1/users/ann?force=true", Value::Null).await;
    assert_eq!(gone.status, StatusCode::NO_CONTENT);
    for device in &devices {
        assert_eq!(world.connect(device).await, Err(LoginError::Refused));
    }
    assert_eq!(world.login(link.text("secret"), "web-00000000-0").await.refused(), (401, "login_refused"));
    let mut ended: Vec<_> = world.broker.ended.lock().unwrap().iter().map(|(client_id, _)| client_id.clone()).collect();
    ended.sort_unstable();
    // Once when each was registered, in case that something was left of another.
    assert_eq!(ended, ["GID_dev@@@a", "GID_dev@@@a", "GID_dev@@@b", "GID_dev@@@b"]);
    assert_eq!(world.ask("GET", "/api/v1/users/ann", Value::Null).await.refused(), (404, "not_found"));
}

#[tokio::test]
async fn a_removed_link_logs_nobody_in_and_one_whose_time_is_over_neither() {
    let world = World::new().await;
    world.device("ann", Value::Null).await;
    let [first, second] = [
        world.create("/api/v1/users/ann/login-links", Value::Null).await,
        world.create("/api/v1/users/ann/login-links", json!({ "valid_s": 60 })).await,
    ];
    assert_eq!(world.login(second.text("secret"), "web-00000000-0").await.status, StatusCode::OK);
    let removed = world.ask("DELETE", &format!("/api/v1/login-links/{}", first.text("link")), Value::Null).await;
    assert_eq!(removed.status, StatusCode::NO_CONTENT);
    assert_eq!(world.login(first.text("secret"), "web-00000000-0").await.refused(), (401, "login_refused"));
    world.pass(60_000);
    assert_eq!(world.login(second.text("secret"), "web-00000000-0").await.refused(), (401, "login_refused"));
}

#[tokio::test]
async fn the_log_says_who_has_changed_what_and_no_secret() {
    let world = World::new().await;
    let secret = world.key("ops", "api", &["admin"]).await;
    let made = world.call(request("POST", "/api/v1/groups", Some(&secret), json!({ "group": "GID_new" }))).await;
    assert_eq!(made.status, StatusCode::OK);
    let link = {
        world.device("ann", Value::Null).await;
        world.create("/api/v1/users/ann/login-links", Value::Null).await
    };
    world.login(link.text("secret"), "web-00000000-0").await;
    let log = world.ask("GET", "/api/v1/audit", Value::Null).await;
    let row = |number: usize| {
        let items = log.body["items"].as_array().unwrap();
        let row = &items[items.len() - number];
        ["actor", "action", "kind", "subject"].map(|field| row[field].as_str().unwrap().to_owned())
    };
    assert_eq!(row(1), ["owner", "create", "key", "ops"]);
    assert_eq!(row(2), ["key:ops", "create", "group", "GID_new"]);
    assert_eq!(row(3), ["owner", "create", "user", "ann"]);
    assert_eq!(row(5)[1..3], ["create", "link"]);
    let by_link = format!("link:{}", link.text("link"));
    assert_eq!(row(6), [by_link.as_str(), "create", "device", "GID_dev@@@web-00000000-0"]);
    let text = log.body.to_string();
    assert!(!text.contains(&secret) && !text.contains(link.text("secret")), "{text}");
    let of_groups = world.ask("GET", "/api/v1/audit?kind=group&limit=1", Value::Null).await;
    assert_eq!(of_groups.body["items"][0]["after"], json!({ "group": "GID_new" }));
    assert_eq!(of_groups.body.get("next"), None);
}

#[tokio::test]
async fn the_note_of_a_key_is_one_line_that_reads_as_it_is_written() {
    let world = World::new().await;
    for note in ["a\nb", "\u{202E}ecilA", "a\u{2028}b", &"x".repeat(201)] {
        let body = json!({ "kind": "api", "scopes": ["topics"], "note": note });
        assert_eq!(world.ask("POST", "/api/v1/keys", body).await.refused(), (400, "invalid_key"), "{note:?}");
    }
    let body = json!({ "kind": "api", "scopes": ["topics"], "note": "עברית, and more" });
    world.create("/api/v1/keys", body).await;
}

#[tokio::test]
async fn no_key_narrows_itself() {
    let world = World::new().await;
    world.create("/api/v1/topics", json!({ "topic": "orders", "rule": "none" })).await;
    let [own, other] = [world.key("own", "access", &["admin"]).await, world.key("other", "access", &["admin"]).await];
    let grant = async |key: &str, secret: &str| {
        let body = json!({ "key": "own", "topic": "orders" }).to_string();
        world.call(with_basic("POST", "/api/v1/grants", key, secret).map(|_| Body::from(body))).await
    };
    let refused = grant("own", &own).await;
    assert_eq!(refused.refused(), (409, "in_use"));
    assert!(refused.text("detail").contains("narrow itself"), "{}", refused.text("detail"));
    assert_eq!(grant("other", &other).await.status, StatusCode::OK);
}

#[tokio::test]
async fn no_key_locks_itself_out() {
    let world = World::new().await;
    let [own, other] = [world.key("own", "api", &["admin"]).await, world.key("other", "api", &["admin"]).await];
    let path = "/api/v1/keys/own";
    let refused = [
        ("PATCH", json!({ "disabled": true }), "disable itself"),
        ("PATCH", json!({ "scopes": ["topics", "devices"] }), "take the scope admin from itself"),
        ("PATCH", json!({ "expires_at_ms": START_MS + 1_500 }), "bring its own end nearer"),
        ("DELETE", Value::Null, "remove itself"),
    ];
    for (method, body, why) in refused {
        let answer = world.call(request(method, path, Some(&own), body)).await;
        assert_eq!(answer.refused(), (409, "in_use"), "{why}");
        assert!(answer.text("detail").contains(why), "{}", answer.text("detail"));
    }
    let rotate = async |overlap_s: u64| {
        let body = json!({ "overlap_s": overlap_s });
        world.call(request("POST", "/api/v1/keys/own/rotate", Some(&own), body)).await
    };
    assert_eq!(rotate(119).await.refused(), (409, "in_use"), "a lost answer is asked for with the secret of before");
    assert_eq!(rotate(120).await.status, StatusCode::OK);
    for body in [json!({ "note": "mine" }), json!({ "scopes": ["admin", "topics"], "disabled": false })] {
        assert_eq!(world.call(request("PATCH", path, Some(&own), body)).await.status, StatusCode::OK);
    }
    let end = async |key: &str, ends: Value| {
        world.call(request("PATCH", path, Some(key), json!({ "expires_at_ms": ends }))).await
    };
    assert_eq!(end(&other, json!(START_MS + 9_000)).await.status, StatusCode::OK);
    assert_eq!(end(&own, json!(START_MS + 8_999)).await.refused(), (409, "in_use"));
    for later in [json!(START_MS + 9_001), Value::Null] {
        assert_eq!(end(&own, later.clone()).await.status, StatusCode::OK, "{later}");
    }
    for (method, body) in [("PATCH", json!({ "disabled": true })), ("DELETE", Value::Null)] {
        assert!(world.call(request(method, path, Some(&other), body)).await.status.is_success());
    }
}

#[tokio::test]
async fn the_topics_of_calls_are_closed_to_devices_and_keep_what_calls_need() {
    let world = World::new().await;
    let short = json!({ "topic": "ring-down", "rule": "from_queue", "kept_s": 1 });
    assert_eq!(world.ask("POST", "/api/v1/topics", short).await.refused(), (400, "invalid_body"));
    world.create("/api/v1/topics", json!({ "topic": "ring-down", "rule": "from_queue" })).await;
    world.key("billing", "access", &["topics"]).await;
    let p2p = |who: Value| {
        let mut body = json!({ "topic": "ring-down", "rights": ["p2p"] });
        body.as_object_mut().unwrap().extend(who.as_object().unwrap().clone());
        body
    };
    let refused = world.ask("POST", "/api/v1/grants", p2p(json!({ "group": "GID_dev" }))).await;
    assert_eq!(refused.refused(), (400, "invalid_body"));
    assert!(refused.text("detail").contains("signals of calls"), "{}", refused.text("detail"));
    world.create("/api/v1/grants", p2p(json!({ "key": "billing" }))).await;
    let kept = world.ask("PATCH", "/api/v1/topics/ring-down", json!({ "kept_s": 0 })).await;
    assert_eq!(kept.refused(), (400, "invalid_body"));
}

#[tokio::test]
async fn the_topics_of_calls_stay_and_keep_the_rule_that_calls_need() {
    let world = World::new().await;
    let wrong = world.ask("POST", "/api/v1/topics", json!({ "topic": "ring-down", "rule": "both" })).await;
    assert_eq!(wrong.refused(), (400, "invalid_body"));
    // As it may have been made by an older version.
    world.catalog.put_parent(ParentTopic::new("ring-down", Rule::None)).await.unwrap();
    world.key("billing", "access", &["topics"]).await;
    let rule = async |rule: &str| world.ask("PATCH", "/api/v1/topics/ring-down", json!({ "rule": rule })).await;
    assert_eq!(rule("from_queue").await.text("rule"), "from_queue", "that is mended");
    for other in ["none", "to_queue", "both"] {
        let refused = rule(other).await;
        assert_eq!(refused.refused(), (400, "invalid_body"), "{other}");
        assert!(refused.text("detail").contains("need the rule from_queue"), "{}", refused.text("detail"));
    }
    for path in ["/api/v1/topics/ring-down", "/api/v1/topics/ring-down?force=true"] {
        let refused = world.ask("DELETE", path, Value::Null).await;
        assert_eq!(refused.refused(), (409, "in_use"));
        assert!(refused.text("detail").contains("signals of calls"), "{}", refused.text("detail"));
    }
    assert_eq!(world.ask("GET", "/api/v1/topics/ring-down", Value::Null).await.text("rule"), "from_queue");
}

#[tokio::test]
async fn who_is_online_is_the_brokers_word_alone() {
    let world = World::new().await;
    let make = async |topic: &str, rule: &str| {
        world.ask("POST", "/api/v1/topics", json!({ "topic": topic, "rule": rule })).await
    };
    // The group of the second one may be made later.
    for topic in ["GID_dev_MQTT", "GID_later_MQTT"] {
        for rule in ["to_queue", "both"] {
            let refused = make(topic, rule).await;
            assert_eq!(refused.refused(), (400, "invalid_body"), "{topic} {rule}");
            assert!(refused.text("detail").contains("who is online"), "{}", refused.text("detail"));
        }
        assert_eq!(make(topic, "from_queue").await.status, StatusCode::OK);
        let patch = world.ask("PATCH", &format!("/api/v1/topics/{topic}"), json!({ "rule": "both" })).await;
        assert_eq!(patch.refused(), (400, "invalid_body"));
    }
    assert_eq!(make("our_MQTT", "to_queue").await.status, StatusCode::OK, "no group has such a name");
    for right in ["publish", "p2p"] {
        let grant = json!({ "group": "GID_dev", "topic": "GID_dev_MQTT", "rights": [right] });
        assert_eq!(world.ask("POST", "/api/v1/grants", grant).await.refused(), (400, "invalid_body"), "{right}");
    }
    world
        .create("/api/v1/grants", json!({ "group": "GID_dev", "topic": "GID_dev_MQTT", "rights": ["subscribe"] }))
        .await;
}

#[tokio::test]
async fn grants_of_keys_go_with_their_topic_for_those_alone_who_administer_keys() {
    let world = World::new().await;
    for topic in ["orders", "news"] {
        world.create("/api/v1/topics", json!({ "topic": topic, "rule": "none" })).await;
        world.create("/api/v1/grants", json!({ "group": "GID_dev", "topic": topic })).await;
    }
    world.device("ann", json!({ "device": "phone" })).await;
    world.create("/api/v1/grants", json!({ "user": "ann", "topic": "news" })).await;
    world.key("billing", "access", &["topics"]).await;
    world.create("/api/v1/grants", json!({ "key": "billing", "topic": "orders" })).await;
    let narrow = world.key("topics", "api", &["topics"]).await;
    let remove = async |topic: &str, key: &str| {
        let path = format!("/api/v1/topics/{topic}?force=true");
        world.call(request("DELETE", &path, Some(key), Value::Null)).await
    };
    let refused = remove("orders", &narrow).await;
    assert_eq!(refused.refused(), (403, "forbidden"));
    assert!(refused.text("detail").contains("the scope admin"), "{}", refused.text("detail"));
    let grant = world.ask("GET", "/api/v1/grants/key:billing/orders", Value::Null).await;
    assert_eq!(grant.status, StatusCode::OK);
    assert_eq!(remove("news", &narrow).await.status, StatusCode::NO_CONTENT, "of groups and users");
    assert_eq!(remove("orders", KEY).await.status, StatusCode::NO_CONTENT);
}

#[tokio::test]
async fn a_narrowed_key_makes_no_credentials_and_a_users_grants_go_with_the_scope_topics_alone() {
    let world = World::new().await;
    world.create("/api/v1/topics", json!({ "topic": "orders", "rule": "none" })).await;
    world.device("ann", json!({ "device": "phone" })).await;
    let secret = world.key("billing", "access", &["topics", "devices"]).await;
    let register = || {
        let basic = format!("Basic {}", STANDARD.encode(format!("billing:{secret}")));
        let mut request = request("POST", "/api/v1/users/bob/devices", None, Value::Null);
        request.headers_mut().insert(header::AUTHORIZATION, basic.parse().unwrap());
        world.call(request)
    };
    assert_eq!(register().await.status, StatusCode::OK);
    world.create("/api/v1/grants", json!({ "key": "billing", "topic": "orders" })).await;
    assert_eq!(register().await.refused(), (403, "forbidden"));
    world.create("/api/v1/grants", json!({ "user": "ann", "topic": "orders" })).await;
    let devices = world.key("devices", "api", &["devices"]).await;
    let remove = |key: &str| world.call(request("DELETE", "/api/v1/users/ann?force=true", Some(key), Value::Null));
    assert_eq!(remove(&devices).await.refused(), (403, "forbidden"));
    let both = world.key("both", "api", &["devices", "topics"]).await;
    assert_eq!(remove(&both).await.status, StatusCode::NO_CONTENT);
}
