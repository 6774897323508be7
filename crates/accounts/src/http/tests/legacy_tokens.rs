//! The token service in the reference product's own form, with its published examples.

use super::*;
use crate::login::sign;
use catalog::{AccessKey, Scope};

/// Of the examples.
const SECRET: &str = "SecretForTestsOnly123456789012";
const ENDS_MS: u64 = START_MS + 3_600_000;

impl World {
    async fn with_service() -> Self {
        let world = Self::with_topics().await;
        let [key_id, secret, instance] = ["LTAItest", SECRET, "convoke"].map(str::to_owned);
        world.catalog.put_access_key(AccessKey { key_id, secret, instance, created_at_ms: 0 }).await.unwrap();
        let revision = *world.catalog.access_revision().borrow();
        world.access.reached(revision).await;
        world
    }

    async fn form(&self, method: &str, path: &str, pairs: &[(&str, &str)]) -> Value {
        let text = form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish();
        let request = Request::builder().method(method);
        let request = match method {
            "GET" => request.uri(format!("{path}?{text}")).body(Body::empty()),
            _ => request
                .uri(path)
                .header(header::CONTENT_TYPE, "application/x-www-form-urlencoded")
                .body(Body::from(text)),
        };
        let answer = self.call(request.unwrap()).await;
        assert_eq!(answer.status, StatusCode::OK);
        answer.body
    }

    /// Signed as the reference product's clients do it.
    async fn apply(&self, method: &str, change: &[(&str, &str)], secret: &str) -> Value {
        let ends = ENDS_MS.to_string();
        let mut pairs = vec![
            ("actions", "R,W"),
            ("resources", "meeting-down/#,meeting-up/create"),
            ("expireTime", ends.as_str()),
            ("serviceName", "mq"),
            ("instanceId", "convoke"),
        ];
        for (name, value) in change {
            pairs.retain(|(known, _)| known != name);
            pairs.push((name, value));
        }
        pairs.sort_unstable();
        let text: Vec<String> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let signature = sign(secret, &text.join("&"));
        pairs.extend([("accessKey", "LTAItest"), ("proxyType", "MQTT"), ("signature", signature.as_str())]);
        self.form(method, "/token/apply", &pairs).await
    }

    async fn about(&self, path: &str, token: &str) -> Value {
        let signature = sign(SECRET, &format!("token={token}"));
        self.form("POST", path, &[("token", token), ("accessKey", "LTAItest"), ("signature", &signature)]).await
    }
}

#[test]
fn signatures_are_those_of_the_reference_product() {
    let table = [
        (
            "actions=R,W&expireTime=1893456000000&instanceId=mqtt-test-01&resources=meeting-down/#,meeting-up/create&serviceName=mq",
            "mx/UjJ/Y7XpTRxRyvYrtRzvfzlU=",
        ),
        ("token=LzMTexampleToken==", "4UsujrxhqBepRFLifoDxFutdvJs="),
        ("parama=a&paramb=b1,b2,b3&paramc=c1,c2", "BYFqEBS+gRCU0dG0l/eKwmEhOxU="),
    ];
    for (text, signature) in table {
        assert_eq!(sign(SECRET, text), signature, "{text}");
    }
}

#[tokio::test]
async fn a_signed_request_in_the_order_of_its_client_is_taken() {
    let world = World::with_service().await;
    for method in ["POST", "GET"] {
        let answer = world.apply(method, &[], SECRET).await;
        assert_eq!((&answer["success"], &answer["code"]), (&json!(true), &json!(200)), "{answer}");
        let token = answer["tokenData"].as_str().unwrap();
        assert_eq!(world.about("/token/query", token).await["code"], 200);
        assert_eq!(world.about("/token/revoke", token).await["code"], 200);
        assert_eq!(
            world.about("/token/query", token).await,
            json!({
                "success": false, "code": 3, "message": "the token was revoked; apply for a new one",
            })
        );
    }
    // What is signed is sorted, whatever the order of what is sent.
    let ends = ENDS_MS.to_string();
    let text = format!(
        "actions=R,W&expireTime={ends}&instanceId=convoke&resources=meeting-down/#,meeting-up/create&serviceName=mq"
    );
    let signature = sign(SECRET, &text);
    let unsorted = [
        ("signature", signature.as_str()),
        ("resources", "meeting-up/create,meeting-down/#"),
        ("serviceName", "mq"),
        ("actions", "W,R"),
        ("instanceId", "convoke"),
        ("accessKey", "LTAItest"),
        ("proxyType", "MQTT"),
        ("expireTime", &ends),
    ];
    assert_eq!(world.form("POST", "/token/apply", &unsorted).await["code"], 200);
}

#[tokio::test]
async fn who_has_not_signed_gets_nothing() {
    let world = World::with_service().await;
    assert_eq!(world.apply("POST", &[], "another secret").await["code"], 407);
    let token = world.apply("POST", &[], SECRET).await["tokenData"].as_str().unwrap().to_owned();
    let signature = sign(SECRET, &format!("token={token}"));
    for path in ["/token/query", "/token/revoke"] {
        let of = |key: &'static str, token: &str| {
            [("token", token.to_owned()), ("accessKey", key.to_owned()), ("signature", signature.clone())]
        };
        for pairs in [of("none", &token), of("LTAItest", "another")] {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            assert_eq!(world.form("POST", path, &pairs).await["code"], 407, "{path}");
        }
        let unsigned = [("token", token.as_str()), ("accessKey", "LTAItest")];
        assert_eq!(world.form("POST", path, &unsigned).await["code"], 400, "{path}");
    }
    let scopes = json!({ "scopes": [Scope::Devices.name()] });
    world.ask("PATCH", "/api/v1/keys/LTAItest", scopes).await;
    assert_eq!(world.apply("POST", &[], SECRET).await["code"], 407, "it lacks the scope topics");
}

#[tokio::test]
async fn parameters_that_are_wrong_have_a_code_of_their_own() {
    let world = World::with_service().await;
    let table: &[&[(&str, &str)]] = &[
        &[("actions", "RW")],
        &[("actions", "")],
        &[("resources", "gone/a")],
        &[("resources", "#")],
        &[("expireTime", "soon")],
        &[("expireTime", "1")],
        &[("instanceId", "other")],
        &[("serviceName", "other")],
    ];
    for change in table {
        let answer = world.apply("POST", change, SECRET).await;
        assert_eq!((&answer["success"], &answer["code"]), (&json!(false), &json!(400)), "{change:?}: {answer}");
    }
    assert_eq!(world.about("/token/query", "nonsense").await["code"], 1);
    assert_eq!(world.about("/token/revoke", "nonsense").await["code"], 410);
    let long = "x".repeat(BODY_BYTES_MAX);
    assert_eq!(world.about("/token/query", &long).await["code"], 400);
    let bound = world.apply("POST", &[("clientId", "GID_dev@@@a")], SECRET).await;
    let token = token_key().verify(bound["tokenData"].as_str().unwrap()).unwrap();
    assert_eq!(token.client_id.as_deref(), Some("GID_dev@@@a"));
}
