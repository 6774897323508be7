//! Logins that are renewed and ended.

use super::*;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use catalog::Accounts;

impl World {
    pub(super) async fn renew(&self, login: &Answer) -> Answer {
        self.call(with_login("POST", "/api/v1/login/renew", login)).await
    }

    async fn log_out(&self, login: &Answer) -> Answer {
        self.call(with_login("DELETE", "/api/v1/login", login)).await
    }
}

fn with_login(method: &str, path: &str, login: &Answer) -> Request<Body> {
    with_basic(method, path, &format!("{}:{}", login.text("client_id"), login.text("password")))
}

fn with_basic(method: &str, path: &str, login: &str) -> Request<Body> {
    let login = STANDARD.encode(login);
    let request = Request::builder().method(method).uri(path).header(header::AUTHORIZATION, format!("Basic {login}"));
    request.body(Body::empty()).unwrap()
}

#[tokio::test]
async fn a_login_link_is_shown_and_ends_when_its_owner_says() {
    let world = World::new().await;
    world.device("ann", json!({ "device": "phone" })).await;
    let made = world.post("/api/v1/users/ann/login-links", Some(KEY), Value::Null).await;
    let path = format!("/api/v1/login-links/{}", made.text("link"));
    let shown = world.ask("GET", &path, Value::Null).await;
    assert_eq!((shown.text("user"), &shown.body["expires_at_ms"]), ("ann", &made.body["expires_at_ms"]));
    assert!(!shown.body.to_string().contains(made.text("secret")));
    let tag = shown.headers[header::ETAG].to_str().unwrap().to_owned();
    let ends = world.ask("PATCH", &path, json!({ "valid_s": 60 })).await;
    assert_eq!(ends.body["expires_at_ms"], START_MS + 60_000);
    let stale = super::owners::with_if_match(request("DELETE", &path, Some(KEY), Value::Null), &tag);
    assert_eq!(world.call(stale).await.refused(), (412, "stale"));
    assert_eq!(world.login(made.text("secret"), "web").await.status, StatusCode::OK);
    world.pass(60_000);
    assert_eq!(world.login(made.text("secret"), "web").await.refused(), (401, "login_refused"));
    for body in [json!({ "valid_s": 59 }), json!({ "valid_s": 315_360_001 }), json!({})] {
        assert_eq!(world.ask("PATCH", &path, body.clone()).await.refused(), (400, "invalid_body"), "{body}");
    }
    for method in ["GET", "PATCH"] {
        let unknown = world.ask(method, "/api/v1/login-links/none", json!({ "valid_s": 60 })).await;
        assert_eq!(unknown.refused(), (404, "not_found"), "{method}");
    }
}

#[tokio::test]
async fn a_renewed_credential_is_the_same_and_lasts_30_days_from_then() {
    let world = World::new().await;
    let first = world.device("ann", json!({"device": "phone", "name": "Ann"})).await;
    world.call(request("PUT", "/api/v1/users/ann", Some(KEY), json!({"name": "Anna"}))).await;
    world.clock.fetch_add(CREDENTIAL_VALID_MS - 1, Ordering::Relaxed);
    assert!(world.connect(&first).await.is_ok());
    // An answer may be lost, and two tabs may ask at once.
    let (one, other) = tokio::join!(world.renew(&first), world.renew(&first));
    for renewed in [one, other, world.renew(&first).await] {
        assert_eq!(renewed.status, StatusCode::OK);
        assert_eq!(renewed.headers[header::CACHE_CONTROL], "no-store");
        let mut expected = first.body.clone();
        expected["name"] = json!("Anna");
        expected["expires_at_ms"] = json!(START_MS + 2 * CREDENTIAL_VALID_MS - 1);
        assert_eq!(renewed.body, expected);
    }
    world.clock.fetch_add(CREDENTIAL_VALID_MS - 1, Ordering::Relaxed);
    assert!(world.connect(&first).await.is_ok());
    world.clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(world.connect(&first).await, Err(LoginError::Expired));
}

#[tokio::test]
async fn a_credential_that_has_expired_by_a_clock_in_doubt_is_renewed() {
    let world = World::new().await;
    let login = world.device("ann", json!({"device": "phone"})).await;
    world.clock.fetch_add(CREDENTIAL_VALID_MS, Ordering::Relaxed);
    world.doubt.store(CREDENTIAL_VALID_MS, Ordering::Relaxed);
    assert_eq!(world.renew(&login).await.status, StatusCode::OK);
}

#[tokio::test]
async fn an_expired_credential_is_told_so_and_may_only_end_its_device() {
    let world = World::new().await;
    let answer = world.device("ann", json!({"device": "phone"})).await;
    world.clock.fetch_add(CREDENTIAL_VALID_MS, Ordering::Relaxed);
    assert_eq!(world.renew(&answer).await.refused(), (401, "login_expired"));
    // As long as the device is registered.
    world.clock.fetch_add(catalog::limits::EXPIRED_DEVICE_KEEP_MS, Ordering::Relaxed);
    world.catalog.prune(world.clock.load(Ordering::Relaxed)).await.unwrap();
    assert_eq!(world.renew(&answer).await.refused(), (401, "login_expired"));
    assert_eq!(world.log_out(&answer).await.status, StatusCode::NO_CONTENT);
    assert_eq!(world.renew(&answer).await.refused(), (401, "login_ended"));
}

#[tokio::test]
async fn a_device_that_logs_out_is_removed_and_its_place_is_free() {
    let world = World::new().await;
    let mut logins = Vec::new();
    for n in 0..DEVICES_PER_USER_MAX {
        logins.push(world.device("ann", json!({"device": format!("d-{n}")})).await);
    }
    assert_eq!(world.device("ann", Value::Null).await.refused(), (409, "too_many_devices"));
    world.broker.holders.lock().unwrap().insert("GID_dev@@@d-7".to_owned(), "user:ann".into());
    world.broker.ended.lock().unwrap().clear();
    let gone = &logins[7];
    assert!(world.connect(gone).await.is_ok());
    assert_eq!(world.log_out(gone).await.status, StatusCode::NO_CONTENT);
    let key_id = gone.text("username").split('|').nth(1).map(str::to_owned);
    assert_eq!(*world.broker.ended.lock().unwrap(), [("GID_dev@@@d-7".to_owned(), key_id)]);
    assert_eq!(world.connect(gone).await, Err(LoginError::Refused));
    assert_eq!(world.log_out(gone).await.refused(), (401, "login_ended"));
    assert_eq!(world.renew(gone).await.refused(), (401, "login_ended"));
    assert!(world.connect(&logins[8]).await.is_ok());
    // By anybody.
    assert_eq!(world.device("bob", json!({"device": "d-7"})).await.status, StatusCode::OK);
    assert_eq!(world.device("ann", Value::Null).await.status, StatusCode::OK);
}

#[tokio::test]
async fn what_a_removed_device_has_left_at_the_broker_ends_before_its_client_id_is_given_away() {
    let world = World::new().await;
    // Left over by a crash, or by a device that was forgotten long after it had expired.
    world.broker.holders.lock().unwrap().insert("GID_dev@@@phone".to_owned(), "user:ann".into());
    assert_eq!(world.device("bob", json!({"device": "phone"})).await.status, StatusCode::OK);
    assert_eq!(*world.broker.ended.lock().unwrap(), [("GID_dev@@@phone".to_owned(), None)]);
}

#[tokio::test]
async fn only_the_right_password_of_the_present_credential_renews_or_ends_a_login() {
    let world = World::new().await;
    let old = world.device("ann", json!({"device": "phone"})).await;
    let new = world.device("ann", json!({"device": "phone"})).await;
    let other = world.device("bob", json!({"device": "phone-2"})).await;
    let (client, password) = (new.text("client_id"), new.text("password"));
    let table = [
        format!("{client}:{}", old.text("password")),
        format!("{client}:{}", other.text("password")),
        format!("{}:{password}", other.text("client_id")),
        format!("GID_dev@@@nobody:{password}"),
        format!("{client}:"),
        format!("{client}:{password}:"),
        format!(":{password}"),
        format!("{}:{password}", "x".repeat(5_000)),
    ];
    for login in table {
        for (method, path) in [("POST", "/api/v1/login/renew"), ("DELETE", "/api/v1/login")] {
            let refused = world.call(with_basic(method, path, &login)).await;
            assert_eq!(refused.refused(), (401, "login_ended"), "{method} {login}");
        }
        world.pass(2_000);
    }
    assert!(world.connect(&new).await.is_ok() && world.connect(&other).await.is_ok());
    assert_eq!(world.renew(&new).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_request_without_a_device_credential_says_nothing_of_a_login() {
    let world = World::new().await;
    let login = world.device("ann", json!({"device": "phone"})).await;
    let plain = format!("{}:{}", login.text("client_id"), login.text("password"));
    let headers = [
        None,
        Some("Basic".to_owned()),
        Some("Basic !!!".to_owned()),
        Some(format!("Basic {plain}")),
        Some(format!("Basic {}", STANDARD.encode("no colon"))),
        Some(format!("Basic {}", STANDARD.encode([0xff, b':', 0xff]))),
        Some(format!("Bearer {}", STANDARD.encode(&plain))),
    ];
    for value in headers {
        for (method, path) in [("POST", "/api/v1/login/renew"), ("DELETE", "/api/v1/login")] {
            let mut request = Request::builder().method(method).uri(path);
            if let Some(value) = &value {
                request = request.header(header::AUTHORIZATION, value);
            }
            let refused = world.call(request.body(Body::empty()).unwrap()).await;
            assert_eq!(refused.refused(), (401, "login_refused"), "{value:?}");
            // A browser would ask the person for a password.
            assert!(!refused.headers[header::WWW_AUTHENTICATE].to_str().unwrap().contains("Basic"));
        }
    }
}

#[tokio::test]
async fn wrong_device_credentials_are_slowed_down_and_right_ones_are_not() {
    let world = World::new().await;
    let login = world.device("ann", json!({"device": "phone"})).await;
    let wrong = || from("192.0.2.1", with_basic("POST", "/api/v1/login/renew", "GID_dev@@@phone:wrong"));
    for _ in 0..20 {
        assert_eq!(world.call(wrong()).await.refused(), (401, "login_ended"));
    }
    let slowed = world.call(wrong()).await;
    assert_eq!(slowed.refused(), (429, "too_many_failures"));
    assert_eq!(slowed.headers[header::RETRY_AFTER], "1");
    for (method, path) in [("POST", "/api/v1/login/renew"), ("DELETE", "/api/v1/login")] {
        assert!(world.call(from("192.0.2.1", with_login(method, path, &login))).await.status.is_success());
    }
}

#[tokio::test]
async fn pages_of_any_origin_may_renew_and_end_a_login() {
    let world = World::new().await;
    for path in ["/api/v1/login", "/api/v1/login/renew"] {
        let asked = world.call(request("OPTIONS", path, None, Value::Null)).await;
        assert_eq!(asked.status, StatusCode::NO_CONTENT);
        assert_eq!(asked.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert_eq!(asked.headers[header::ACCESS_CONTROL_ALLOW_METHODS], "POST, DELETE");
        assert_eq!(asked.headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "authorization, content-type");
    }
    let login = world.device("ann", json!({"device": "phone"})).await;
    for answer in [world.renew(&login).await, world.log_out(&login).await, world.log_out(&login).await] {
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*", "{}", answer.status);
    }
}

#[tokio::test]
async fn of_renewals_and_an_end_at_once_the_end_stands() {
    let world = World::new().await;
    let login = world.device("ann", json!({"device": "phone"})).await;
    let (one, ended, other, again) =
        tokio::join!(world.renew(&login), world.log_out(&login), world.renew(&login), world.log_out(&login));
    for renewed in [one, other] {
        assert!(renewed.status == StatusCode::OK || renewed.refused() == (401, "login_ended"), "{}", renewed.status);
    }
    let ends = [ended, again].map(|answer| answer.status.as_u16());
    assert!(ends == [204, 401] || ends == [401, 204], "{ends:?}");
    assert_eq!(world.catalog.device("GID_dev@@@phone").await.unwrap(), None);
}

#[tokio::test]
async fn a_caller_that_hangs_up_leaves_no_half_removed_device() {
    let world = World::new().await;
    let login = world.device("ann", json!({"device": "phone"})).await;
    world.broker.ended.lock().unwrap().clear();
    let gone = async {
        while world.catalog.device("GID_dev@@@phone").await.unwrap().is_some() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        biased;
        () = gone => {}
        _ = world.log_out(&login) => {}
    }
    while world.broker.ended.lock().unwrap().is_empty() {
        tokio::task::yield_now().await;
    }
}
