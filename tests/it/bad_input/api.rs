//! The HTTP API: problem+json with a stable code.

use super::Scene;
use scenarios::wire;

#[test]
fn the_api_names_each_mistake_by_a_stable_code() {
    let mut scene = Scene::start().expect("the server starts");
    let server = scene.addresses().expect("addresses").http;
    let key = format!("authorization: Bearer {}", scene.api_key().expect("an API key"));
    let devices = "POST /api/v1/users/alice/devices";
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(64 * 1024));
    let table: &[(&str, &str, &[u8], u16, &str)] = &[
        ("a user's name with a space", "POST /api/v1/users/a%20b/devices", b"{}", 400, "invalid_user"),
        ("a user's name that is no UTF-8", "PUT /api/v1/users/%FF", b"{\"name\":\"x\"}", 400, "invalid_user"),
        ("a device's name with a space", devices, b"{\"device\": \"a b\"}", 400, "invalid_device"),
        ("a device's name that ends a client id", devices, b"{\"device\": \"a@@@b\"}", 400, "invalid_device"),
        ("an empty name", devices, b"{\"name\": \" \"}", 400, "invalid_name"),
        ("a group that does not exist", devices, b"{\"group\": \"GID_none\"}", 400, "unknown_group"),
        ("a body that is no JSON", devices, b"{\"device\": ", 400, "invalid_body"),
        ("a body that is no object", devices, b"[1]", 400, "invalid_body"),
        ("a body of ones", devices, &[0xFF; 100], 400, "invalid_body"),
        ("a field that does not exist", devices, b"{\"devices\": \"x\"}", 400, "invalid_body"),
        ("a body too large", devices, large.as_bytes(), 413, "body_too_large"),
        ("somebody's device", "POST /api/v1/users/bob/devices", b"{\"device\":\"witness-phone\"}", 409, "device_taken"),
        ("a connected service's client id", devices, b"{\"device\": \"service\"}", 409, "device_taken"),
        ("a path that does not exist", "GET /api/v1/everything", b"", 404, "not_found"),
        ("a path that does not exist", "POST /rtc/v2/join", b"", 404, "not_found"),
        ("a device that is asked for", "GET /api/v1/users/alice/devices", b"", 405, "method_not_allowed"),
        ("a channel that is written", "POST /api/v1/channels/x", b"", 405, "method_not_allowed"),
        ("a join that is asked for", "GET /rtc/v1/join", b"", 405, "method_not_allowed"),
        ("a link for nobody", "POST /api/v1/users/nobody/login-links", b"", 404, "unknown_user"),
    ];
    let wrong = || {
        for (name, request, body, status, code) in table {
            let answer = wire::http(server, request, &[&key], body)?;
            assert_eq!(answer.problem()?, (*status, (*code).to_owned()), "{name}");
        }
        Ok(())
    };
    scene.costs_nothing(15, wrong).expect("nobody is harmed");
}

#[test]
fn without_a_valid_key_or_secret_nothing_is_answered_and_guessing_is_slowed_down() {
    let mut scene = Scene::start().expect("the server starts");
    let server = scene.addresses().expect("addresses").http;
    let requests = [
        ("POST /api/v1/users/alice/devices", "api_key_required"),
        ("POST /api/v1/users/alice/login-links", "api_key_required"),
        ("PUT /api/v1/users/alice", "api_key_required"),
        ("GET /api/v1/channels/x", "api_key_required"),
    ];
    for (request, code) in requests {
        for head in [&[][..], &["authorization: Bearer 0000"], &["authorization: Basic YTpi"]] {
            let answer = wire::http(server, request, head, b"").expect("an answer");
            assert_eq!(answer.problem().expect("a problem"), (401, code.to_owned()), "{request} {head:?}");
        }
    }
    let guess =
        || wire::http(server, "POST /api/v1/login", &[], b"{\"secret\":\"guess\",\"device\":\"web-1\"}")?.problem();
    let answers: Vec<_> = (0..60).map(|_| guess().expect("a problem")).collect();
    assert_eq!(answers[0], (401, "login_refused".to_owned()));
    let slowed = (429, "too_many_failures".to_owned());
    assert!(answers.contains(&slowed), "{answers:?}");
    let wrong_key = wire::http(server, "GET /api/v1/channels/x", &["authorization: Bearer 0000"], b"");
    assert_eq!(wrong_key.expect("an answer").problem().expect("a problem"), slowed);
    let key = format!("authorization: Bearer {}", scene.api_key().expect("an API key"));
    let right_key = wire::http(server, "GET /api/v1/channels/x", &[&key], b"").expect("an answer");
    assert_eq!(right_key.status, 200, "from the same address");
    scene.costs_nothing(200, || guess().map(drop)).expect("nobody is harmed");
}
