//! Requests that the meeting service refuses: a signal with a stable code and words.

use super::{SOON, Scene, text};
use anyhow::{Context, Result, ensure};
use scenarios::link::Link;
use serde_json::{Value, json};
use std::time::{SystemTime, UNIX_EPOCH};

pub(super) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_millis() as u64
}

/// A UUIDv7 that no other test takes.
pub(super) fn id(number: u64) -> String {
    format!("01890000-0000-7000-8000-{number:012x}")
}

/// A request that can be read; `body` adds to it or changes it.
pub(crate) fn request(number: u64, kind: &str, body: &Value) -> Value {
    let now_ms = now_ms();
    let mut request = json!({
        "v": 1, "id": id(number), "meeting": id(number + 0xA000_0000), "type": kind,
        "sent_at_ms": now_ms, "expires_at_ms": now_ms + 20_000,
    });
    let fields = request.as_object_mut().expect("an object");
    fields.extend(body.as_object().cloned().unwrap_or_default());
    request
}

/// The first answer of this kind to what is published.
pub(super) fn ask(link: &mut Link, kind: &str, payload: &[u8], answer: &str) -> Result<Value> {
    link.publish(&format!("meeting-up/{kind}"), payload)?;
    loop {
        let message = link.message(SOON).with_context(|| format!("no {answer} came"))?;
        let said: Value = serde_json::from_slice(&message.payload)?;
        if said["type"] == answer {
            return Ok(said);
        }
    }
}

/// The code of a refusal, which must have words and name the request.
fn refused(link: &mut Link, request: &Value) -> Result<String> {
    let kind = text(request, "type")?;
    let said = ask(link, kind, request.to_string().as_bytes(), "refused")?;
    ensure!(said["in_reply_to"] == request["id"], "an answer to something else: {said}");
    ensure!(!text(&said, "words")?.is_empty(), "no words: {said}");
    Ok(text(&said, "code")?.to_owned())
}

#[test]
fn a_request_that_cannot_be_granted_is_refused_with_a_code_and_words() {
    let mut scene = Scene::start().expect("the server starts");
    scene.device("bob").expect("bob");
    let alice = scene.device("alice").expect("alice");
    let mut link = scene.link(&alice).expect("alice connects");
    let call = |callee: &str| json!({ "callees": [callee], "media": "video" });
    let with = |mut body: Value, key: &str, value: Value| {
        body[key] = value;
        body
    };
    let many: Vec<String> = (0..51).map(|n| format!("user{n}")).collect();
    let invitation = json!({ "invitation": id(0xBAD) });
    let table = [
        ("an unknown meeting", "roster", json!({}), "not_allowed"),
        ("to join an unknown meeting", "join", json!({}), "not_allowed"),
        ("to destroy an unknown meeting", "destroy", json!({}), "not_allowed"),
        ("to kick from an unknown meeting", "kick", json!({ "user": "bob" }), "not_allowed"),
        ("to accept in an unknown meeting", "accept", invitation, "not_allowed"),
        ("no meeting", "roster", json!({ "meeting": null }), "invalid"),
        ("a type that does not exist", "explode", json!({}), "invalid"),
        ("callees that are no list", "create", with(call("bob"), "callees", json!(7)), "invalid"),
        ("another version", "create", with(call("bob"), "v", json!(2)), "invalid"),
        ("no callees", "create", json!({ "media": "video" }), "invalid"),
        ("a meeting that is no id", "create", with(call("bob"), "meeting", json!("x")), "invalid"),
        ("a time before 1970", "create", with(call("bob"), "expires_at_ms", json!(-1)), "invalid"),
        ("an expired request", "create", with(call("bob"), "expires_at_ms", json!(now_ms() - 1)), "expired"),
        ("a title too long", "create", with(call("bob"), "title", json!("x".repeat(201))), "limit"),
        ("too many callees", "create", json!({ "callees": many, "media": "video" }), "limit"),
        ("a name that is none", "create", call("bob\u{0}"), "invalid"),
        ("an unknown user", "create", call("nobody"), "not_allowed"),
        ("oneself", "create", call("alice"), "invalid"),
    ];
    let mut number = 0;
    let wrong = || {
        for (name, kind, body, code) in &table {
            number += 1;
            let request = request(number, kind, body);
            assert_eq!(refused(&mut link, &request).context(*name)?, *code, "{name}");
        }
        Ok(())
    };
    scene.costs_nothing(6, wrong).expect("nobody is harmed");
}

#[test]
fn what_is_no_request_at_all_is_refused_as_invalid() {
    let mut scene = Scene::start().expect("the server starts");
    let alice = scene.device("alice").expect("alice");
    let mut link = scene.link(&alice).expect("alice connects");
    let deep = "[".repeat(60_000);
    let table: [&[u8]; 8] =
        [b"", b"{", b"null", b"[]", b"{}", &[0xFF; 1000], deep.as_bytes(), b"{\"v\":1,\"v\":1,\"type\":\"create\"}"];
    let wrong = || {
        for payload in table {
            let said = ask(&mut link, "create", payload, "refused")?;
            assert_eq!(text(&said, "code")?, "invalid", "{:?}", String::from_utf8_lossy(payload));
        }
        Ok(())
    };
    scene.costs_nothing(12, wrong).expect("nobody is harmed");
}
