#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod certificates;
mod devices;
mod jwts;
mod late;
mod legacy_tokens;
mod logins;
mod meetings;
mod messages;
mod once;
mod owners;
mod queue_names;
mod refusals;
mod server;
mod tokens;
mod validator;

use super::gate::Elapsed;
use super::*;
use crate::access::{AccessConfig, Identity, TopicOfCalls};
use crate::login::{self, LoginError, LoginStep};
use crate::revocation::testing::ToldBroker;
use crate::token::TokenKey;
use axum::body::{Body, to_bytes};
use axum::extract::ConnectInfo;
use axum::http::{Request, StatusCode, header};
use catalog::{Accounts, ApiKey, Group, Rights, Rule, SqliteCatalog, Topics};
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tower::ServiceExt;

const KEY: &str = "the-api-key";
const START_MS: u64 = 1_000_000;

/// The router on a real catalog, with clocks that stand until they are moved.
struct World {
    router: Router,
    catalog: Arc<SqliteCatalog>,
    access: AccessView,
    directory: DeviceDirectory,
    broker: Arc<ToldBroker>,
    clients: Arc<devices::FakeBroker>,
    meetings: Arc<meetings::OneMeeting>,
    messages: Arc<messages::FakeMessages>,
    /// Milliseconds since 1970.
    clock: Arc<AtomicU64>,
    /// Milliseconds that have passed, however the clock was set.
    passed: Arc<AtomicU64>,
    /// By how many milliseconds the clock may be ahead.
    doubt: Arc<AtomicU64>,
    _folder: TempDir,
}

struct Answer {
    status: StatusCode,
    headers: axum::http::HeaderMap,
    body: Value,
}

impl Answer {
    fn refused(&self) -> (u16, &str) {
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(self.body["status"], self.status.as_u16());
        assert!(self.body["title"].is_string() && self.body["detail"].is_string());
        (self.status.as_u16(), self.body["code"].as_str().unwrap())
    }

    fn text(&self, field: &str) -> &str {
        self.body[field].as_str().unwrap()
    }
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalog = Arc::new(SqliteCatalog::open(folder.path().join("catalog.db")).await.unwrap());
        for group in ["GID_dev", "GID_other"] {
            catalog.put_group(Group { group: group.to_owned() }).await.unwrap();
        }
        let access = AccessView::follow(
            catalog.clone(),
            AccessConfig {
                token_key: Some(token_key()),
                issuers: jwts::issuers(),
                calls: vec![
                    of_calls("ring-down", Rule::FromQueue, "publish subscribe p2p"),
                    of_calls("ring-up", Rule::ToQueue, "subscribe p2p"),
                ],
                client_authority: Some(certificates::authority()),
                ..AccessConfig::default()
            },
        )
        .await
        .unwrap();
        let directory = DeviceDirectory::start(catalog.clone(), &Handle::current());
        let clock = Arc::new(AtomicU64::new(START_MS));
        let now_ms: Now = {
            let clock = clock.clone();
            Arc::new(move || clock.load(Ordering::Relaxed))
        };
        let (passed, doubt) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
        let elapsed: Elapsed = {
            let passed = passed.clone();
            Box::new(move || Duration::from_millis(passed.load(Ordering::Relaxed)))
        };
        let broker = Arc::new(ToldBroker::default());
        let sessions = Arc::clone(&broker) as Arc<dyn Sessions>;
        let revocation = Revocation::follow(catalog.clone(), access.clone(), directory.clone(), Arc::clone(&sessions));
        let clients = Arc::<devices::FakeBroker>::default();
        let messages = Arc::<messages::FakeMessages>::default();
        let is_over: IsOver = {
            let (clock, doubt) = (clock.clone(), doubt.clone());
            Arc::new(move |at_ms| at_ms <= clock.load(Ordering::Relaxed) - doubt.load(Ordering::Relaxed))
        };
        let meetings = Arc::new(meetings::OneMeeting::default());
        let state = HttpState {
            catalog: catalog.clone(),
            access: access.clone(),
            directory: directory.clone(),
            endpoints: endpoints(),
            default_group: "GID_dev".to_owned(),
            gate: Gate::with_time(ApiKeys::new([KEY]), catalog.clone(), is_over.clone(), elapsed),
            refusals: RefusalCounts::default(),
            sessions,
            revocation,
            clients: Arc::clone(&clients) as _,
            meetings: Arc::clone(&meetings) as _,
            server: Arc::new(server::FakeServer),
            messages: Arc::clone(&messages) as _,
            is_over,
            now_ms,
        };
        Self {
            doubt,
            router: router(state),
            catalog,
            access,
            directory,
            broker,
            clients,
            meetings,
            messages,
            clock,
            passed,
            _folder: folder,
        }
    }

    fn pass(&self, ms: u64) {
        self.clock.fetch_add(ms, Ordering::Relaxed);
        self.passed.fetch_add(ms, Ordering::Relaxed);
    }

    async fn call(&self, request: Request<Body>) -> Answer {
        let response = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        }
    }

    async fn post(&self, path: &str, key: Option<&str>, body: Value) -> Answer {
        self.call(request("POST", path, key, body)).await
    }

    async fn device(&self, user: &str, body: Value) -> Answer {
        self.post(&format!("/api/v1/users/{user}/devices"), Some(KEY), body).await
    }

    async fn login(&self, secret: &str, device: &str) -> Answer {
        self.post("/api/v1/login", None, json!({"secret": secret, "device": device})).await
    }

    /// What a broker's worker does with the credential of an answer.
    async fn connect(&self, answer: &Answer) -> Result<Identity, LoginError> {
        let (id, name, password) = (answer.text("client_id"), answer.text("username"), answer.text("password"));
        match login::begin(&self.access.load(), id, Some(name), Some(password.as_bytes())) {
            LoginStep::Decided(decided) => decided.map(|login| login.identity),
            LoginStep::NeedsDevice(pending) => {
                let (done, found) = oneshot::channel();
                let answer = Box::new(move |device| done.send(device).unwrap());
                self.directory.lookup(login::LookupSource::Senders, pending.client_id(), answer);
                let now_ms = self.clock.load(Ordering::Relaxed);
                let finished = pending.finish(found.await.unwrap().unwrap().as_ref(), |at_ms| at_ms <= now_ms);
                finished.map(|login| login.identity)
            }
        }
    }
}

fn of_calls(parent: &'static str, rule: Rule, closed: &str) -> TopicOfCalls {
    TopicOfCalls { parent: parent.to_owned(), rule: Some(rule), closed: Rights::parse(closed).unwrap() }
}

fn token_key() -> TokenKey {
    TokenKey::new("convoke", &[3; 32])
}

fn endpoints() -> Endpoints {
    Endpoints {
        mqtt: Some("mqtt://localhost:1883".to_owned()),
        api: "http://localhost:8080/api/v1".to_owned(),
        join: vec!["http://localhost:8080".to_owned()],
        ..Endpoints::default()
    }
}

fn request(method: &str, path: &str, key: Option<&str>, body: Value) -> Request<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(key) = key {
        request = request.header(header::AUTHORIZATION, format!("Bearer {key}"));
    }
    let body = if body.is_null() { Body::empty() } else { Body::from(body.to_string()) };
    request.body(body).unwrap()
}

#[tokio::test]
async fn a_new_user_gets_a_credential_that_logs_its_device_in() {
    let world = World::new().await;
    let answer = world.device("ann", json!({"device": "phone", "name": "Ann 李"})).await;
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
    assert_eq!(answer.text("client_id"), "GID_dev@@@phone");
    assert_eq!((answer.text("user"), answer.text("name")), ("ann", "Ann 李"));
    assert_eq!(answer.body["expires_at_ms"], START_MS + CREDENTIAL_VALID_MS);
    let expected = json!({"mqtt": "mqtt://localhost:1883", "api": endpoints().api, "join": endpoints().join});
    assert_eq!(answer.body["endpoints"], expected);
    assert!(
        answer.text("username").starts_with("DeviceCredential|DC.") && answer.text("username").ends_with("|convoke")
    );
    let identity = world.connect(&answer).await.unwrap();
    let (client_id, user, group) = ("GID_dev@@@phone".to_owned(), "ann".to_owned(), "GID_dev".to_owned());
    assert_eq!(identity, Identity::Device { client_id, user, group, publishes: None });
}

#[tokio::test]
async fn the_same_device_again_replaces_the_credential() {
    let world = World::new().await;
    let first = world.device("ann", json!({"device": "phone"})).await;
    assert!(world.connect(&first).await.is_ok());
    let second = world.device("ann", json!({"device": "phone"})).await;
    assert_eq!(world.connect(&first).await, Err(LoginError::Refused));
    assert!(world.connect(&second).await.is_ok());
}

#[tokio::test]
async fn a_credential_ends_after_30_days() {
    let world = World::new().await;
    let answer = world.device("ann", Value::Null).await;
    world.clock.fetch_add(CREDENTIAL_VALID_MS - 1, Ordering::Relaxed);
    assert!(world.connect(&answer).await.is_ok());
    world.clock.fetch_add(1, Ordering::Relaxed);
    assert_eq!(world.connect(&answer).await, Err(LoginError::Expired));
}

#[tokio::test]
async fn without_a_body_each_call_makes_another_device_named_like_the_user() {
    let world = World::new().await;
    let [first, second] = [world.device("ann", Value::Null).await, world.device("ann", json!({})).await];
    assert_ne!(first.text("client_id"), second.text("client_id"));
    assert_eq!(first.text("name"), "ann");
}

#[tokio::test]
async fn a_name_renames_and_none_keeps_the_name() {
    let world = World::new().await;
    let renamed = world.call(request("PUT", "/api/v1/users/ann", Some(KEY), json!({"name": " Ann "}))).await;
    assert_eq!((renamed.status, renamed.body), (StatusCode::OK, json!({"user": "ann", "name": "Ann"})));
    assert_eq!(world.device("ann", json!({"device": "phone"})).await.text("name"), "Ann");
    assert_eq!(world.device("ann", json!({"device": "phone", "name": "Anna"})).await.text("name"), "Anna");
    assert_eq!(world.device("ann", json!({"device": "phone"})).await.text("name"), "Anna");
}

#[tokio::test]
async fn another_group_may_be_named_if_it_exists() {
    let world = World::new().await;
    let other = world.device("ann", json!({"device": "phone", "group": "GID_other"})).await;
    assert_eq!(other.text("client_id"), "GID_other@@@phone");
    let none = world.device("ann", json!({"group": "GID_none"})).await;
    assert_eq!(none.refused(), (400, "unknown_group"));
}

#[tokio::test]
async fn a_device_of_another_user_is_not_taken_over() {
    let world = World::new().await;
    let anns = world.device("ann", json!({"device": "phone"})).await;
    assert_eq!(world.device("bob", json!({"device": "phone"})).await.refused(), (409, "device_taken"));
    assert_eq!(world.catalog.user("bob").await.unwrap(), None, "a refused request leaves nothing behind");
    assert!(world.connect(&anns).await.is_ok());
}

#[tokio::test]
async fn a_login_link_is_redeemed_again_and_again() {
    let world = World::new().await;
    world.device("ann", json!({"device": "phone", "name": "Ann"})).await;
    let link = world.post("/api/v1/users/ann/login-links", Some(KEY), Value::Null).await;
    assert_eq!((link.status, link.text("user")), (StatusCode::OK, "ann"));
    for device in ["web-00000000-0", "web-00000000-1", "web-00000000-0"] {
        let answer = world.login(link.text("secret"), device).await;
        assert_eq!((answer.text("user"), answer.text("name")), ("ann", "Ann"));
        assert_eq!(answer.text("client_id"), format!("GID_dev@@@{device}"));
        assert!(matches!(world.connect(&answer).await, Ok(Identity::Device { user, .. }) if user == "ann"));
    }
    assert_eq!(world.login("wrong", "web-00000000-0").await.refused(), (401, "login_refused"));
    let stored = world.catalog.login_link(&sha256_hex(link.text("secret"))).await.unwrap();
    assert_eq!(stored.unwrap().user, "ann");
}

#[tokio::test]
async fn a_page_of_any_origin_may_log_in_by_a_link_and_no_page_may_use_the_api_key() {
    let world = World::new().await;
    world.device("ann", json!({"device": "phone"})).await;
    let link = world.post("/api/v1/users/ann/login-links", Some(KEY), Value::Null).await;
    let asked = world.call(request("OPTIONS", "/api/v1/login", None, Value::Null)).await;
    assert_eq!(asked.status, StatusCode::NO_CONTENT);
    assert_eq!(asked.headers[header::ACCESS_CONTROL_ALLOW_METHODS], "POST, DELETE");
    assert_eq!(asked.headers[header::ACCESS_CONTROL_ALLOW_HEADERS], "authorization, content-type");
    let large = json!({"secret": "x".repeat(BODY_BYTES_MAX), "device": "d"});
    let too_large = world.post("/api/v1/login", None, large).await;
    assert_eq!(too_large.refused(), (413, "body_too_large"));
    for answer in [asked, world.login(link.text("secret"), "web").await, world.login("wrong", "web").await, too_large] {
        assert_eq!(answer.headers[header::ACCESS_CONTROL_ALLOW_ORIGIN], "*");
        assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_CREDENTIALS));
    }
    for (method, path) in [("PUT", "/api/v1/users/ann"), ("POST", "/api/v1/users/ann/devices")] {
        for answer in [request("OPTIONS", path, None, Value::Null), request(method, path, Some(KEY), Value::Null)] {
            assert!(!world.call(answer).await.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN), "{path}");
        }
    }
}

#[tokio::test]
async fn the_devices_of_one_user_are_bounded_and_known_ones_may_come_again() {
    let world = World::new().await;
    for n in 0..DEVICES_PER_USER_MAX {
        assert_eq!(world.device("ann", json!({"device": n.to_string()})).await.status, StatusCode::OK);
    }
    assert_eq!(world.device("ann", json!({"device": "more"})).await.refused(), (409, "too_many_devices"));
    assert_eq!(world.device("ann", json!({"device": "0"})).await.status, StatusCode::OK);
    assert_eq!(world.device("bob", json!({"device": "more"})).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_login_link_needs_its_user() {
    let world = World::new().await;
    let refused = world.post("/api/v1/users/nobody/login-links", Some(KEY), Value::Null).await;
    assert_eq!(refused.refused(), (404, "unknown_user"));
}

#[tokio::test]
async fn only_a_valid_api_key_opens_the_users() {
    let world = World::new().await;
    let paths = [
        ("PUT", "/api/v1/users/ann"),
        ("POST", "/api/v1/users/ann/devices"),
        ("POST", "/api/v1/users/ann/login-links"),
    ];
    for (method, path) in paths {
        for key in [None, Some(""), Some("wrong"), Some("the-api-ke"), Some("the-api-key2")] {
            let refused = world.call(request(method, path, key, json!({"name": "Ann"}))).await;
            assert_eq!(refused.refused(), (401, "api_key_required"), "{method} {path} {key:?}");
            assert_eq!(refused.headers[header::WWW_AUTHENTICATE], "Bearer");
        }
    }
    assert_eq!(world.catalog.user("ann").await.unwrap(), None);
    let stored = ApiKey { secret_sha256: sha256_hex("second"), label: "the app".to_owned() };
    world.catalog.put_api_key(stored).await.unwrap();
    assert_eq!(world.post("/api/v1/users/ann/devices", Some("second"), Value::Null).await.status, StatusCode::OK);
    let hash_as_key = world.post("/api/v1/users/ann/devices", Some(&sha256_hex("second")), Value::Null).await;
    assert_eq!(hash_as_key.refused(), (401, "api_key_required"));
}

#[tokio::test]
async fn what_breaks_a_name_is_refused_and_leaves_nothing_behind() {
    let world = World::new().await;
    let long = "x".repeat(65);
    let table = [
        ("an%20n", json!({}), "invalid_user"),
        ("%E6%9D%8E", json!({}), "invalid_user"),
        ("%FF", json!({}), "invalid_user"),
        (long.as_str(), json!({}), "invalid_user"),
        ("ann", json!({"name": "  "}), "invalid_name"),
        ("ann", json!({"name": long}), "invalid_name"),
        ("ann", json!({"name": "a\u{0}b"}), "invalid_name"),
        ("ann", json!({"name": "\u{202E}ecilA"}), "invalid_name"),
        ("ann", json!({"name": "\u{200B}\u{200B}"}), "invalid_name"),
        ("ann", json!({"device": ""}), "invalid_device"),
        ("ann", json!({"device": "a b"}), "invalid_device"),
        ("ann", json!({"device": "a@@@b"}), "invalid_device"),
        ("ann", json!({"device": "d".repeat(55)}), "invalid_device"),
        ("ann", json!({"devices": "phone"}), "invalid_body"),
        ("ann", json!({"device": 7}), "invalid_body"),
        ("ann", json!([]), "invalid_body"),
    ];
    for (user, body, code) in table {
        let refused = world.device(user, body.clone()).await;
        assert_eq!(refused.refused(), (400, code), "{user} {body}");
    }
    assert!(world.catalog.users(None, 10).await.unwrap().is_empty());
    let longest = world.device("a.b+c@d_e-f", json!({"device": "d".repeat(54), "name": "x".repeat(64)})).await;
    assert_eq!(longest.status, StatusCode::OK);
}

#[tokio::test]
async fn a_large_body_is_refused() {
    let world = World::new().await;
    let large = json!({"name": "x".repeat(BODY_BYTES_MAX)});
    assert_eq!(world.device("ann", large).await.refused(), (413, "body_too_large"));
}

fn from(address: &str, mut request: Request<Body>) -> Request<Body> {
    let peer: SocketAddr = format!("{address}:1234").parse().unwrap();
    request.extensions_mut().insert(ConnectInfo(peer));
    request
}

fn guess(n: usize) -> Request<Body> {
    request("POST", "/api/v1/login", None, json!({"secret": format!("guess {n}"), "device": "d"}))
}

impl World {
    /// Fails until it is told to wait; the last answer.
    async fn fail_from(&self, address: &str) -> Answer {
        let mut answer = self.call(from(address, guess(0))).await;
        for n in 1..100 {
            if answer.refused() == (429, "too_many_failures") {
                break;
            }
            answer = self.call(from(address, guess(n))).await;
        }
        answer
    }
}

#[tokio::test]
async fn failed_logins_of_an_address_are_slowed_down_and_others_are_not() {
    let world = World::new().await;
    let blocked = world.fail_from("192.0.2.1").await;
    assert_eq!(blocked.refused(), (429, "too_many_failures"));
    assert_eq!(blocked.headers[header::RETRY_AFTER], "1");
    let wrong_key = request("PUT", "/api/v1/users/ann", Some("wrong"), json!({"name": "Ann"}));
    assert_eq!(world.call(from("192.0.2.1", wrong_key)).await.refused(), (429, "too_many_failures"));
    assert_eq!(world.call(from("192.0.2.2", guess(0))).await.refused(), (401, "login_refused"));
    world.pass(1_000);
    assert_eq!(world.call(from("192.0.2.1", guess(0))).await.refused(), (401, "login_refused"));
}

#[tokio::test]
async fn a_clock_that_is_set_back_slows_nobody_down() {
    let world = World::new().await;
    assert_eq!(world.call(from("192.0.2.1", guess(0))).await.refused(), (401, "login_refused"));
    world.clock.store(START_MS / 2, Ordering::Relaxed);
    assert_eq!(world.call(from("192.0.2.1", guess(1))).await.refused(), (401, "login_refused"));
}

#[tokio::test]
async fn a_right_key_and_a_right_secret_open_whatever_others_at_the_address_have_tried() {
    let world = World::new().await;
    world.device("ann", json!({"device": "phone"})).await;
    let link = world.post("/api/v1/users/ann/login-links", Some(KEY), Value::Null).await;
    let stored = ApiKey { secret_sha256: sha256_hex("second"), label: "the app".to_owned() };
    world.catalog.put_api_key(stored).await.unwrap();
    assert_eq!(world.fail_from("192.0.2.1").await.refused(), (429, "too_many_failures"));
    let body = json!({"secret": link.text("secret"), "device": "phone"});
    let login = world.call(from("192.0.2.1", request("POST", "/api/v1/login", None, body))).await;
    assert_eq!((login.status, login.text("user")), (StatusCode::OK, "ann"));
    for key in [KEY, "second"] {
        let renamed = request("PUT", "/api/v1/users/ann", Some(key), json!({"name": "Ann"}));
        assert_eq!(world.call(from("192.0.2.1", renamed)).await.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn a_client_id_that_a_service_uses_is_no_users_device() {
    let world = World::new().await;
    world.device("ann", json!({"device": "phone"})).await;
    let link = world.post("/api/v1/users/ann/login-links", Some(KEY), Value::Null).await;
    let hold =
        |account: &str| world.broker.holders.lock().unwrap().insert("GID_dev@@@billing".to_owned(), account.into());
    hold("service:convoke");
    assert_eq!(world.login(link.text("secret"), "billing").await.refused(), (409, "device_taken"));
    assert_eq!(world.device("ann", json!({"device": "billing"})).await.refused(), (409, "device_taken"));
    assert_eq!(world.device("new", json!({"device": "billing"})).await.refused(), (409, "device_taken"));
    assert_eq!(world.catalog.device("GID_dev@@@billing").await.unwrap(), None);
    assert_eq!(world.catalog.user("new").await.unwrap(), None);
    hold("user:ann");
    assert_eq!(world.login(link.text("secret"), "billing").await.status, StatusCode::OK, "her own session");
}

#[tokio::test]
async fn what_a_user_left_under_a_client_id_that_is_registered_no_more_ends_before_another_has_it() {
    let world = World::new().await;
    let client_id = "GID_dev@@@tablet".to_owned();
    world.broker.holders.lock().unwrap().insert(client_id.clone(), "user:bob".into());
    assert_eq!(world.device("ann", json!({"device": "tablet"})).await.status, StatusCode::OK);
    assert_eq!(*world.broker.ended.lock().unwrap(), [(client_id, None)]);
}

#[tokio::test]
async fn logins_at_once_do_not_pass_the_bound_of_devices_nor_share_a_name() {
    let world = World::new().await;
    for n in 0..DEVICES_PER_USER_MAX - 1 {
        assert_eq!(world.device("ann", json!({"device": n.to_string()})).await.status, StatusCode::OK);
    }
    let (a, b) = tokio::join!(world.device("ann", json!({"device": "a"})), world.device("ann", json!({"device": "b"})));
    let mut codes = [a.status.as_u16(), b.status.as_u16()];
    codes.sort_unstable();
    assert_eq!(codes, [200, 409]);
    let (bobs, carols) =
        tokio::join!(world.device("bob", json!({"device": "same"})), world.device("carol", json!({"device": "same"})));
    let refused = if bobs.status == StatusCode::OK { carols } else { bobs };
    assert_eq!(refused.refused(), (409, "device_taken"));
}

#[tokio::test]
async fn without_its_catalog_it_says_so_and_tells_nothing_of_it() {
    let world = World::new().await;
    world.catalog.close().await;
    let answer = world.device("ann", json!({"device": "phone"})).await;
    assert_eq!(answer.refused(), (503, "unavailable"));
    assert!(!answer.text("detail").to_lowercase().contains("pool"), "{}", answer.body);
}

#[test]
fn the_document_names_every_route_with_its_answers() {
    let document = serde_json::to_value(openapi()).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    let paths = document["paths"].as_object().unwrap();
    let expected = [
        "/api/v1/audit",
        "/api/v1/audit/refusals",
        "/api/v1/devices",
        "/api/v1/devices/{client_id}",
        "/api/v1/devices/{client_id}/kick",
        "/api/v1/devices/{client_id}/purge",
        "/api/v1/devices/{client_id}/revoke",
        "/api/v1/devices:query",
        "/api/v1/grants",
        "/api/v1/grants/{grantee}/{topic}",
        "/api/v1/grants:test",
        "/api/v1/groups",
        "/api/v1/groups/{group}",
        "/api/v1/keys",
        "/api/v1/keys/{key}",
        "/api/v1/keys/{key}/rotate",
        "/api/v1/login",
        "/api/v1/login-links",
        "/api/v1/login-links/{link}",
        "/api/v1/login/renew",
        "/api/v1/meetings",
        "/api/v1/meetings/{meeting}",
        "/api/v1/meetings/{meeting}/block",
        "/api/v1/meetings/{meeting}/end",
        "/api/v1/meetings/{meeting}/invite",
        "/api/v1/meetings/{meeting}/kick",
        "/api/v1/meetings/{meeting}/mute",
        "/api/v1/meetings/{meeting}/unban",
        "/api/v1/meetings/{meeting}/unblock",
        "/api/v1/meetings/{meeting}/unmute",
        "/api/v1/messages",
        "/api/v1/queue-groups",
        "/api/v1/queue-groups/{group}",
        "/api/v1/queue-groups/{group}/dead-letters",
        "/api/v1/queue-groups/{group}/dead-letters/{message}",
        "/api/v1/queue-groups/{group}/dead-letters/{message}/redrive",
        "/api/v1/queue-topics",
        "/api/v1/queue-topics/{topic}",
        "/api/v1/queue-topics/{topic}/messages",
        "/api/v1/server",
        "/api/v1/server/configuration",
        "/api/v1/tokens",
        "/api/v1/tokens:query",
        "/api/v1/tokens:revoke",
        "/api/v1/topics",
        "/api/v1/topics/{topic}",
        "/api/v1/users",
        "/api/v1/users/{user}",
        "/api/v1/users/{user}/devices",
        "/api/v1/users/{user}/login-links",
        "/token/apply",
        "/token/query",
        "/token/revoke",
    ];
    assert_eq!(paths.keys().map(String::as_str).collect::<Vec<_>>(), expected);
    let devices = &paths["/api/v1/users/{user}/devices"]["post"];
    assert_eq!(devices["security"], json!([{"api_key": ["devices"]}]));
    assert!(devices["responses"]["409"]["content"]["application/problem+json"].is_object());
    assert_eq!(paths["/api/v1/login"]["delete"]["security"], json!([{"device_credential": []}]));
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for name in ["Terminal", "Endpoints", "Problem", "Code", "DeviceRequest", "LoginRequest"] {
        assert!(schemas.contains_key(name), "{name}");
    }
    let schemes = &document["components"]["securitySchemes"];
    assert_eq!(
        (&schemes["api_key"]["scheme"], &schemes["device_credential"]["scheme"]),
        (&json!("bearer"), &json!("basic"))
    );
}
