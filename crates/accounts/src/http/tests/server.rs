//! The server as its owner and as everybody sees it.

use super::*;
use crate::clients::Turn;
use crate::server::{DataState, HealthState, LogState, PartState, ServerState, ServerView, Setting};
use std::future::{Future, ready};
use std::pin::Pin;

pub(super) struct FakeServer;

impl ServerView for FakeServer {
    fn https_port(&self) -> u16 {
        8443
    }

    fn state(&self, _: Turn) -> Pin<Box<dyn Future<Output = ServerState> + Send + '_>> {
        let part = PartState { part: "catalog", ok: false, detail: Some("takes no writes".to_owned()) };
        Box::pin(ready(ServerState {
            version: "1.2.3".to_owned(),
            started_at_ms: START_MS,
            uptime_s: 7,
            now_ms: START_MS + 7_000,
            dev: false,
            health: HealthState { ready: false, parts: vec![part] },
            data: DataState { path: "/data".to_owned(), used_bytes: Some(1), free_bytes: None, size_bytes: None },
            log: LogState { bytes: Some(1), segments: 2, full: false },
            listeners: Vec::new(),
            certificates: Vec::new(),
            limits: Vec::new(),
            queue: Vec::new(),
            queue_topics: 0,
        }))
    }

    fn configuration(&self) -> Vec<Setting> {
        let value = json!("0.0.0.0:1883");
        vec![Setting { key: "mqtt.listen".to_owned(), value, origin: "flag", from: Some("--set".to_owned()) }]
    }
}

#[tokio::test]
async fn everybody_learns_the_port_of_https_and_an_owner_the_rest() {
    let world = World::new().await;
    let open = world.call(request("GET", "/api/v1/server", None, Value::Null)).await;
    assert_eq!((open.status, open.body), (StatusCode::OK, json!({ "https_port": 8443 })));
    assert_eq!(open.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
    let owners = world.ask("GET", "/api/v1/server", Value::Null).await;
    assert_eq!((&owners.body["https_port"], &owners.body["version"]), (&json!(8443), &json!("1.2.3")));
    let part = json!({ "part": "catalog", "ok": false, "detail": "takes no writes" });
    assert_eq!(owners.body["health"], json!({ "ready": false, "parts": [part] }));
    assert_eq!(owners.body["data"], json!({ "path": "/data", "used_bytes": 1 }));
    for answer in [&open.headers, &owners.headers] {
        assert_eq!(answer[header::CACHE_CONTROL], "no-store");
    }
    assert!(!owners.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "no page of another origin reads it");
    let wrong = world.call(request("GET", "/api/v1/server", Some("wrong"), Value::Null)).await;
    assert_eq!(wrong.refused(), (401, "api_key_required"));
}

#[tokio::test]
async fn the_configuration_says_where_each_value_is_from() {
    let world = World::new().await;
    let answer = world.ask("GET", "/api/v1/server/configuration", Value::Null).await;
    let listen = json!({ "key": "mqtt.listen", "value": "0.0.0.0:1883", "origin": "flag", "from": "--set" });
    assert_eq!(answer.body, json!({ "items": [listen] }));
}
