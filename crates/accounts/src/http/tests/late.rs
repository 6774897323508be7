//! Requests whose key loses its right while they are under way.

use super::owners::{routes_with_keys, with_basic};
use super::*;
use axum::body::Bytes;
use catalog::{Actor, Audit, By, Change, Grant, Grantee, KeyUpdate, Order, ParentTopic, Rule, Scope};
use http_body::Frame;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// A body that comes when something else is done, which begins when the body is read.
struct Late {
    first: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
    body: Body,
}

impl http_body::Body for Late {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if let Some(first) = &mut self.first {
            ready!(first.as_mut().poll(cx));
            self.first = None;
        }
        Pin::new(&mut self.body).poll_frame(cx)
    }
}

impl World {
    /// Its answer, where the key is changed between its headers and its body.
    async fn call_late(&self, request: Request<Body>, change: Change) -> Answer {
        let catalog = self.catalog.clone();
        let first = Box::pin(async move {
            let by = By { actor: Actor::Owner, address: None, at_ms: START_MS, right_as_of: None };
            catalog.apply(Order { change, by, expected: None }).await.unwrap();
        });
        self.call(request.map(|body| Body::new(Late { first: Some(first), body }))).await
    }
}

fn disabled(key_id: &str) -> Change {
    let update = KeyUpdate { disabled: Some(true), ..KeyUpdate::default() };
    Change::UpdateKey { key_id: key_id.to_owned(), update }
}

fn without_topics(key_id: &str) -> Change {
    let update = KeyUpdate { scopes: Some([Scope::Groups].into_iter().collect()), ..KeyUpdate::default() };
    Change::UpdateKey { key_id: key_id.to_owned(), update }
}

fn removed(key_id: &str) -> Change {
    Change::RemoveKey { key_id: key_id.to_owned() }
}

#[tokio::test]
async fn a_message_is_published_by_a_key_that_is_as_it_was_when_the_whole_request_is_here() {
    let world = World::new().await;
    let parent = ParentTopic { parent: "orders".to_owned(), rule: Rule::None, kept_s: None };
    world.catalog.put_parent(parent).await.unwrap();
    let narrowed = |key_id: &str| {
        let grantee = Grantee::Key(key_id.to_owned());
        Change::CreateGrant(Grant { grantee, parent: "orders".to_owned(), rights: Rights::parse("publish").unwrap() })
    };
    type Made = fn(&str) -> Change;
    let table: [(&str, Made, (u16, &str)); 3] = [
        ("disabled", disabled, (401, "api_key_required")),
        ("removed", removed, (401, "api_key_required")),
        ("lessened", without_topics, (503, "unavailable")),
    ];
    let body = || Body::from(json!({ "topic": "orders/x" }).to_string());
    for kind in ["access", "api"] {
        for (name, change, expected) in table {
            let key = format!("{kind}-{name}");
            let secret = world.key(&key, kind, &["topics"]).await;
            let request = match kind {
                "access" => with_basic("POST", "/api/v1/messages", &key, &secret),
                _ => request("POST", "/api/v1/messages", Some(&secret), Value::Null),
            };
            let answer = world.call_late(request.map(|_| body()), change(&key)).await;
            assert_eq!(answer.refused(), expected, "{key}");
        }
    }
    let secret = world.key("narrowed", "access", &["topics"]).await;
    let request = with_basic("POST", "/api/v1/messages", "narrowed", &secret).map(|_| body());
    assert_eq!(world.call_late(request, narrowed("narrowed")).await.refused(), (503, "unavailable"));
    assert_eq!(world.messages.published(), 0);
}

#[tokio::test]
async fn no_route_does_or_tells_anything_for_a_key_that_is_gone_when_its_body_comes() {
    let world = World::new().await;
    let document = serde_json::to_value(openapi()).unwrap();
    let bodies = document["paths"].as_object().unwrap().values().flat_map(|item| item.as_object().unwrap().values());
    let count = bodies.filter(|operation| operation["security"][0].get("api_key").is_some());
    let count = count.filter(|operation| operation.get("requestBody").is_some()).count();
    let mut refused = 0;
    for (n, (method, path, scope, _)) in routes_with_keys().into_iter().enumerate() {
        let (key, secret) = (format!("key-{n}"), world.key(&format!("key-{n}"), "api", &[&scope]).await);
        let answer = world.call_late(request(&method, &path, Some(&secret), json!({})), disabled(&key)).await;
        refused += usize::from(answer.status == StatusCode::UNAUTHORIZED);
        let reads_the_body = world.catalog.key(&key).await.unwrap().unwrap().value.disabled;
        let words = format!("{method} {path}: {} {}", answer.status, answer.body);
        assert_eq!(reads_the_body, answer.status == StatusCode::UNAUTHORIZED, "{words}");
    }
    assert!(refused >= count && count >= 20, "{refused} of {count}");
}

#[tokio::test]
async fn an_answer_that_is_kept_is_not_given_to_a_key_that_is_gone_when_its_body_comes() {
    let world = World::new().await;
    let secret = world.key("ops", "api", &["admin"]).await;
    let wish = || {
        let mut request =
            request("POST", "/api/v1/keys", Some(&secret), json!({ "kind": "api", "scopes": ["topics"] }));
        request.headers_mut().insert("idempotency-key", "one".parse().unwrap());
        request
    };
    assert_eq!(world.call(wish()).await.status, StatusCode::OK);
    assert_eq!(world.call_late(wish(), disabled("ops")).await.refused(), (401, "api_key_required"));
}
