//! Refused requests, as they are counted.

use super::*;
use catalog::Audit;

impl World {
    async fn refusals(&self, query: &str) -> Value {
        let answer = self.ask("GET", &format!("/api/v1/audit/refusals{query}"), Value::Null).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.body);
        answer.body
    }

    async fn get(&self, path: &str, key: Option<&str>) -> Answer {
        self.call(from("192.0.2.1", request("GET", path, key, Value::Null))).await
    }
}

#[tokio::test]
async fn refusals_are_counted_by_key_and_minute_and_write_nothing() {
    let world = World::new().await;
    let secret = world.key("billing", "api", &["topics"]).await;
    let number = *world.catalog.change_number().borrow();
    assert_eq!(world.refusals("").await, json!({ "items": [] }));
    for _ in 0..3 {
        assert_eq!(world.get("/api/v1/groups", Some(&secret)).await.refused(), (403, "forbidden"));
    }
    for n in 0..25 {
        let code = world.get("/api/v1/groups", Some("wrong")).await.status.as_u16();
        assert_eq!(code, if n < 20 { 401 } else { 429 });
    }
    assert_eq!(world.get("/api/v1/topics/none", Some(&secret)).await.refused(), (404, "not_found"));
    world.pass(60_000);
    assert_eq!(world.get("/api/v1/keys", Some(&secret)).await.refused(), (403, "forbidden"));
    let minute_ms = START_MS / 60_000 * 60_000;
    let expected = json!([
        { "minute_ms": minute_ms + 60_000, "actor": "key:billing", "unauthorized": 0, "forbidden": 1, "too_many": 0 },
        { "minute_ms": minute_ms, "unauthorized": 20, "forbidden": 0, "too_many": 5 },
        { "minute_ms": minute_ms, "actor": "key:billing", "unauthorized": 0, "forbidden": 3, "too_many": 0 },
    ]);
    assert_eq!(world.refusals("").await, json!({ "items": expected }));
    let (mut parts, mut query) = (Vec::new(), "?limit=1".to_owned());
    loop {
        let part = world.refusals(&query).await;
        parts.extend(part["items"].as_array().unwrap().iter().cloned());
        let Some(next) = part["next"].as_str() else { break };
        query = format!("?limit=1&after={next}");
    }
    assert_eq!(Value::Array(parts), expected);
    let bad = world.ask("GET", "/api/v1/audit/refusals?after=eA", Value::Null).await;
    assert_eq!(bad.refused(), (400, "invalid_query"));
    assert_eq!(*world.catalog.change_number().borrow(), number, "a refusal was written");
}
