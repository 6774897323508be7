//! What owners see of devices, and order of them.

use super::owners::with_if_match;
use super::*;
use crate::clients::{
    Answer, ClientState, Clients, ConnectionState, Depth, InboxState, Protocol, Purged, SessionState, Turn,
};
use catalog::{Actor, Audit, By, Change, KeyUpdate, OnlineEvent, OnlineKind, Order, Presence};
use std::collections::HashMap;
use std::future::{pending, ready};
use std::sync::Mutex;
use tokio::task::JoinSet;

/// What the broker would say, and what it was told to do.
#[derive(Default)]
pub(super) struct FakeBroker {
    states: Mutex<HashMap<String, ClientState>>,
    orders: Mutex<Vec<String>>,
    has_stopped: Mutex<bool>,
    /// Such questions or orders are kept, and not answered.
    stuck: Mutex<&'static str>,
    kept: Mutex<Vec<(&'static str, Turn)>>,
}

impl FakeBroker {
    fn answer<T: Send + 'static>(&self, question: &'static str, turn: Turn, answer: T) -> Answer<T> {
        if *self.stuck.lock().unwrap() == question {
            self.kept.lock().unwrap().push((question, turn));
            return Box::pin(pending());
        }
        let has_stopped = *self.has_stopped.lock().unwrap();
        Box::pin(ready((!has_stopped).then_some(answer)))
    }

    fn has_connection(&self, client_id: &str, account: &str) {
        let connection = ConnectionState {
            since_ms: START_MS - 500,
            address: "192.0.2.7:50312".to_owned(),
            protocol: Protocol::V5,
            tls: true,
            websocket: false,
            keep_alive_s: 60,
            last_packet_ms: START_MS - 100,
        };
        self.put(client_id, ClientState { connection: Some(connection), ..away(account, None) });
    }

    fn put(&self, client_id: &str, state: ClientState) {
        self.states.lock().unwrap().insert(client_id.to_owned(), state);
    }

    fn orders(&self) -> Vec<String> {
        std::mem::take(&mut *self.orders.lock().unwrap())
    }
}

/// A session with two messages.
fn away(account: &str, disconnected_ms: Option<u64>) -> ClientState {
    let session = SessionState {
        account: account.to_owned(),
        expiry_s: Some(60),
        disconnected_ms,
        ends_at_ms: disconnected_ms.map(|at_ms| at_ms + 60_000),
        subscriptions: Vec::new(),
    };
    let inbox = InboxState { messages: 2, bytes: 200, in_flight: 1 };
    ClientState { connection: None, session: Some(session), inbox }
}

impl Clients for FakeBroker {
    fn states(&self, client_ids: Vec<String>, _: Depth, turn: Turn) -> Answer<Vec<ClientState>> {
        assert!(client_ids.len() <= CLIENTS_MAX);
        let states = self.states.lock().unwrap();
        self.answer("states", turn, client_ids.iter().map(|id| states.get(id).cloned().unwrap_or_default()).collect())
    }

    fn connections_of_key(&self, key_id: &str, turn: Turn) -> Answer<u64> {
        self.answer("connections_of_key", turn, key_id.len() as u64)
    }

    fn kick(&self, client_id: &str, _: &'static str, turn: Turn) -> Answer<bool> {
        self.orders.lock().unwrap().push(format!("kick {client_id}"));
        let state = self.states.lock().unwrap().get(client_id).cloned().unwrap_or_default();
        self.answer("kick", turn, state.connection.is_some())
    }

    fn purge(&self, client_id: &str, turn: Turn) -> Answer<Purged> {
        self.orders.lock().unwrap().push(format!("purge {client_id}"));
        self.answer("purge", turn, Purged { purged: 1, in_flight: 1 })
    }
}

const CLIENTS_MAX: usize = crate::clients::CLIENTS_PER_QUESTION;

#[tokio::test]
async fn a_device_is_shown_with_its_registration_and_with_what_the_broker_has() {
    let world = World::new().await;
    world.device("ann", json!({ "device": "d1" })).await;
    let fresh = world.ask("GET", "/api/v1/devices/GID_dev@@@d1", Value::Null).await;
    assert_eq!((&fresh.body["user"], &fresh.body["online"]), (&json!("ann"), &json!(false)));
    assert_eq!(fresh.body["inbox"], json!({ "messages": 0, "bytes": 0, "in_flight": 0 }));
    assert!(["since_ms", "last_seen_ms", "connection", "session"].iter().all(|field| fresh.body.get(*field).is_none()));
    assert!(fresh.headers.contains_key(header::ETAG));

    world.clients.has_connection("GID_dev@@@d1", "user:ann");
    let connected = world.ask("GET", "/api/v1/devices/GID_dev@@@d1", Value::Null).await;
    let times = ["since_ms", "last_seen_ms"].map(|field| connected.body[field].as_u64().unwrap());
    assert_eq!((&connected.body["online"], times), (&json!(true), [START_MS - 500, START_MS - 100]));
    let connection = json!({
        "since_ms": START_MS - 500, "address": "192.0.2.7:50312", "protocol": "5.0", "tls": true, "websocket": false,
        "keep_alive_s": 60, "last_packet_ms": START_MS - 100
    });
    assert_eq!(connected.body["connection"], connection);
    let session = json!({ "account": "user:ann", "expiry_s": 60, "subscriptions": [] });
    assert_eq!(connected.body["session"], session);
    assert_eq!(connected.body["inbox"], json!({ "messages": 2, "bytes": 200, "in_flight": 1 }));
    let list = world.ask("GET", "/api/v1/devices?user=ann", Value::Null).await;
    assert_eq!(list.body["items"][0]["online"], true, "the list says what the broker says");

    world.clients.put("GID_dev@@@d1", away("user:ann", Some(START_MS - 50)));
    let gone = world.ask("GET", "/api/v1/devices/GID_dev@@@d1", Value::Null).await;
    let times = ["since_ms", "last_seen_ms"].map(|field| gone.body[field].as_u64().unwrap());
    assert_eq!((&gone.body["online"], times), (&json!(false), [START_MS - 50; 2]));
}

#[tokio::test]
async fn a_service_is_nobody_to_a_key_that_administers_no_services() {
    let world = World::new().await;
    world.clients.has_connection("GID_dev@@@svc", "service:convoke");
    let key = world.key("desk", "api", &["devices"]).await;
    for client_id in ["GID_dev@@@svc", "GID_dev@@@none"] {
        for (method, order) in [("GET", ""), ("POST", "/kick"), ("POST", "/purge")] {
            let path = format!("/api/v1/devices/{client_id}{order}");
            let answer = world.call(request(method, &path, Some(&key), Value::Null)).await;
            assert_eq!(answer.refused(), (404, "not_found"), "{method} {path}");
            assert_eq!(answer.text("detail"), format!("there is no device {client_id} here; see the list of them"));
        }
    }
    assert!(world.clients.orders().is_empty());
}

#[tokio::test]
async fn a_service_is_shown_while_it_has_a_session_and_nobody_is_not() {
    let world = World::new().await;
    world.clients.has_connection("GID_dev@@@svc", "service:convoke");
    let service = world.ask("GET", "/api/v1/devices/GID_dev@@@svc", Value::Null).await;
    assert_eq!(service.body["session"]["account"], "service:convoke");
    assert!(service.body.get("user").is_none() && !service.headers.contains_key(header::ETAG));
    let long = format!("/api/v1/devices/{}", "x".repeat(129));
    for path in ["/api/v1/devices/GID_dev@@@none", "/api/v1/devices/%20", &long] {
        assert_eq!(world.ask("GET", path, Value::Null).await.refused(), (404, "not_found"), "{path}");
    }
    *world.clients.has_stopped.lock().unwrap() = true;
    let silent = world.ask("GET", "/api/v1/devices/GID_dev@@@svc", Value::Null).await;
    assert_eq!(silent.refused(), (503, "unavailable"));
}

#[tokio::test]
async fn a_list_longer_than_a_question_is_asked_in_parts() {
    let world = World::new().await;
    for n in 0..120 {
        world.device(&format!("user{}", n / 60), json!({ "device": format!("d{n:03}") })).await;
    }
    world.clients.has_connection("GID_dev@@@d110", "user:user1");
    let list = world.ask("GET", "/api/v1/devices?limit=200", Value::Null).await;
    let items = list.body["items"].as_array().unwrap();
    let online: Vec<_> = items.iter().filter(|item| item["online"] == true).collect();
    assert_eq!((items.len(), online.len(), &online[0]["client_id"]), (120, 1, &json!("GID_dev@@@d110")));
}

#[tokio::test]
async fn up_to_a_hundred_client_ids_are_looked_at_together() {
    let world = World::new().await;
    world.device("ann", json!({ "device": "away" })).await;
    world.clients.has_connection("GID_dev@@@on", "user:bob");
    world.clients.put("GID_dev@@@away", away("user:ann", Some(1)));
    let ids = json!({ "client_ids": ["GID_dev@@@on", "GID_dev@@@away", "nobody's", "GID_dev@@@on"] });
    let answer = world.ask("POST", "/api/v1/devices:query", ids).await;
    let on = json!({ "client_id": "GID_dev@@@on", "online": true, "since_ms": START_MS - 500 });
    let off = |id: &str| json!({ "client_id": id, "online": false });
    assert_eq!(answer.body, json!({ "items": [on, off("GID_dev@@@away"), off("nobody's"), on] }));
    let hundred: Vec<_> = (0..100).map(|n| format!("GID_dev@@@{n}")).collect();
    let answer = world.ask("POST", "/api/v1/devices:query", json!({ "client_ids": hundred })).await;
    assert_eq!(answer.body["items"].as_array().unwrap().len(), 100);
    for wrong in
        [json!({}), json!({ "client_ids": [] }), json!({ "client_ids": [""] }), json!({ "client_ids": vec!["x"; 101] })]
    {
        assert_eq!(world.ask("POST", "/api/v1/devices:query", wrong).await.refused(), (400, "invalid_body"));
    }
    let long = json!({ "client_ids": ["x".repeat(129)] });
    assert_eq!(world.ask("POST", "/api/v1/devices:query", long).await.refused(), (400, "invalid_body"));
}

#[tokio::test]
async fn what_is_ordered_is_in_the_log_before_it_is_done() {
    let world = World::new().await;
    world.clients.has_connection("GID_dev@@@svc", "service:convoke");
    let kicked = world.ask("POST", "/api/v1/devices/GID_dev@@@svc/kick", Value::Null).await;
    assert_eq!(kicked.body, json!({ "was_connected": true }));
    let purged = world.ask("POST", "/api/v1/devices/GID_dev@@@svc/purge", Value::Null).await;
    assert_eq!(purged.body, json!({ "purged": 1, "in_flight": 1 }));
    assert_eq!(world.clients.orders(), ["kick GID_dev@@@svc", "purge GID_dev@@@svc"]);
    let log = world.ask("GET", "/api/v1/audit?subject=GID_dev@@@svc", Value::Null).await;
    let actions: Vec<_> = log.body["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["purge", "kick"]);

    let number = *world.catalog.change_number().borrow();
    for order in ["kick", "purge", "revoke"] {
        let path = format!("/api/v1/devices/GID_dev@@@none/{order}");
        assert_eq!(world.ask("POST", &path, Value::Null).await.refused(), (404, "not_found"), "{order}");
    }
    let service = world.ask("POST", "/api/v1/devices/GID_dev@@@svc/revoke", Value::Null).await;
    assert_eq!(service.refused(), (404, "not_found"), "its login is its key");
    assert_eq!(*world.catalog.change_number().borrow(), number);
    assert!(world.clients.orders().is_empty());
}

#[tokio::test]
async fn a_revoked_login_lets_nobody_in_and_a_new_one_is_the_same_device() {
    let world = World::new().await;
    let old = world.device("ann", json!({ "device": "d1" })).await;
    assert!(world.connect(&old).await.is_ok());
    let path = "/api/v1/devices/GID_dev@@@d1/revoke";
    let stale = with_if_match(request("POST", path, Some(KEY), Value::Null), "\"999\"");
    assert_eq!(world.call(stale).await.refused(), (412, "stale"));
    assert!(world.clients.orders().is_empty() && world.connect(&old).await.is_ok());
    assert_eq!(world.ask("POST", path, Value::Null).await.status, StatusCode::NO_CONTENT);
    let old_key = old.text("username").split('|').nth(1).unwrap().to_owned();
    assert_eq!(*world.broker.cut_credentials.lock().unwrap(), [("GID_dev@@@d1".to_owned(), old_key)]);
    assert_eq!(world.connect(&old).await, Err(LoginError::Refused));
    let renewed = world.renew(&old).await;
    assert_eq!(renewed.refused(), (401, "login_ended"));
    let shown = world.ask("GET", "/api/v1/devices/GID_dev@@@d1", Value::Null).await;
    assert_eq!((&shown.body["user"], &shown.body["expires_at_ms"]), (&json!("ann"), &json!(START_MS)));
    let new = world.device("ann", json!({ "device": "d1" })).await;
    assert_eq!(new.body["client_id"], old.body["client_id"]);
    assert!(world.connect(&new).await.is_ok());
    let log = world.ask("GET", "/api/v1/audit?subject=GID_dev@@@d1", Value::Null).await;
    let actions: Vec<_> = log.body["items"].as_array().unwrap().iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["update", "revoke", "create"]);
}

/// Asks, and hangs up as soon as the change is made.
async fn hang_up_after_the_change(world: &World, path: &str) {
    hang_up_after(world, "POST", path).await;
}

pub(super) async fn hang_up_after(world: &World, method: &str, path: &str) {
    let mut number = world.catalog.change_number();
    let before = *number.borrow_and_update();
    let mut asked = Box::pin(world.ask(method, path, Value::Null));
    tokio::select! {
        biased;
        changed = number.changed() => changed.unwrap(),
        _ = &mut asked => {}
    }
    assert_ne!(*number.borrow(), before, "{path} was answered without a change");
}

pub(super) async fn until(what: &str, is_so: impl Fn() -> bool) {
    let give_up = std::time::Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(std::time::Instant::now() < give_up, "{what}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn a_device_has_a_name_by_which_it_is_found() {
    let world = World::new().await;
    for device in ["d1", "d2"] {
        world.device("ann", json!({ "device": device })).await;
    }
    let path = "/api/v1/devices/GID_dev@@@d1";
    let before = world.ask("GET", path, Value::Null).await;
    let tag = before.headers[header::ETAG].to_str().unwrap().to_owned();
    let named = world.ask("PATCH", path, json!({ "name": " Kitchen tablet " })).await;
    assert_eq!((named.status, named.text("name")), (StatusCode::OK, "Kitchen tablet"));
    let stale = super::owners::with_if_match(request("PATCH", path, Some(KEY), json!({ "name": "x" })), &tag);
    assert_eq!(world.call(stale).await.refused(), (412, "stale"));
    world.device("ann", json!({ "device": "d1" })).await;
    for (search, expected) in
        [("kitchen", vec!["GID_dev@@@d1"]), ("ANN", vec!["GID_dev@@@d1", "GID_dev@@@d2"]), ("x", vec![])]
    {
        let found = world.ask("GET", &format!("/api/v1/devices?search={search}"), Value::Null).await;
        let ids: Vec<_> =
            found.body["items"].as_array().unwrap().iter().map(|item| item["client_id"].clone()).collect();
        assert_eq!(ids, expected, "{search}");
    }
    for (body, expected) in [
        (json!({ "name": "a\u{202E}b" }), (400, "invalid_name")),
        (json!({ "name": "" }), (400, "invalid_name")),
        (json!({}), (400, "invalid_body")),
    ] {
        assert_eq!(world.ask("PATCH", path, body.clone()).await.refused(), expected, "{body}");
    }
    assert_eq!(world.ask("PATCH", path, json!({ "name": null })).await.body.get("name"), None);
    let unknown = world.ask("PATCH", "/api/v1/devices/GID_dev@@@none", json!({ "name": "x" })).await;
    assert_eq!(unknown.refused(), (404, "not_found"));
}

#[tokio::test]
async fn an_order_is_carried_out_although_its_caller_hangs_up_once_it_is_in_the_log() {
    let world = World::new().await;
    world.clients.has_connection("GID_dev@@@svc", "service:convoke");
    for order in ["kick", "purge"] {
        hang_up_after_the_change(&world, &format!("/api/v1/devices/GID_dev@@@svc/{order}")).await;
        until(order, || world.clients.orders() == [format!("{order} GID_dev@@@svc")]).await;
    }
}

#[tokio::test]
async fn a_revocation_ends_the_connection_although_its_caller_hangs_up_and_the_broker_is_slow() {
    let world = World::new().await;
    let old = world.device("ann", json!({ "device": "d1" })).await;
    let old_key = old.text("username").split('|').nth(1).unwrap().to_owned();
    world.broker.is_silent.store(true, Ordering::SeqCst);
    hang_up_after_the_change(&world, "/api/v1/devices/GID_dev@@@d1/revoke").await;
    world.broker.is_silent.store(false, Ordering::SeqCst);
    let cut = ("GID_dev@@@d1".to_owned(), old_key);
    until("the connection ends", || *world.broker.cut_credentials.lock().unwrap() == [cut.clone()]).await;
}

/// Ann's phone has a session; whoever registers it again waits for the broker's answer while this changes something.
async fn registered_while(
    world: &World,
    registration: impl Future<Output = super::Answer>,
    change: Change,
) -> super::Answer {
    world.broker.holders.lock().unwrap().insert("GID_dev@@@phone".to_owned(), "user:ann".into());
    *world.broker.held_questions.lock().unwrap() = Some(Vec::new());
    let meanwhile = async {
        let is_held = || world.broker.held_questions.lock().unwrap().as_ref().is_some_and(|held| !held.is_empty());
        until("the broker is asked", is_held).await;
        let by = By { actor: Actor::Owner, address: None, at_ms: START_MS, right_as_of: None };
        world.catalog.apply(Order { change, by, expected: None }).await.unwrap();
        *world.broker.held_questions.lock().unwrap() = None;
    };
    tokio::join!(registration, meanwhile).0
}

#[tokio::test]
async fn a_device_that_is_removed_while_it_is_registered_again_begins_with_nothing() {
    let world = World::new().await;
    world.device("ann", json!({ "device": "phone" })).await;
    world.broker.ended.lock().unwrap().clear();
    let removal = Change::RemoveDevice { client_id: "GID_dev@@@phone".to_owned(), key_id: None };
    let again = world.device("ann", json!({ "device": "phone" }));
    let again = registered_while(&world, again, removal).await;
    assert!(world.connect(&again).await.is_ok());
    assert_eq!(world.broker.ended.lock().unwrap()[0], ("GID_dev@@@phone".to_owned(), None));
    assert_eq!(*world.broker.registered_again.lock().unwrap(), ["GID_dev@@@phone"], "its removal was not told");
}

#[tokio::test]
async fn a_device_that_was_never_removed_is_not_told_to_be() {
    let world = World::new().await;
    world.device("ann", json!({ "device": "phone" })).await;
    assert_eq!(world.broker.ended.lock().unwrap().len(), 1);
    assert!(world.broker.registered_again.lock().unwrap().is_empty());
}

#[tokio::test]
async fn a_login_link_or_a_key_that_is_taken_away_registers_nothing_any_more() {
    let world = World::new().await;
    world.device("ann", json!({ "device": "phone" })).await;
    let before = world.catalog.device("GID_dev@@@phone").await.unwrap();
    let link = world.post("/api/v1/users/ann/login-links", Some(KEY), Value::Null).await;
    let removal = Change::RemoveLink { link_id: link.text("link").to_owned() };
    let refused = registered_while(&world, world.login(link.text("secret"), "phone"), removal).await;
    assert_eq!(refused.refused(), (401, "login_refused"));
    let key = world.key("app", "api", &["devices"]).await;
    let update = KeyUpdate { disabled: Some(true), ..KeyUpdate::default() };
    let disabling = Change::UpdateKey { key_id: "app".to_owned(), update };
    let body = json!({ "device": "phone" });
    let refused = registered_while(&world, world.post("/api/v1/users/ann/devices", Some(&key), body), disabling).await;
    assert_eq!(refused.refused(), (401, "api_key_required"));
    assert_eq!(world.catalog.device("GID_dev@@@phone").await.unwrap(), before);
}

/// The connection of the login before does not end, because the broker does not answer.
#[tokio::test]
async fn a_registration_that_waits_for_the_end_of_a_connection_holds_up_no_other() {
    let world = World::new().await;
    world.device("ann", json!({ "device": "phone" })).await;
    world.broker.is_silent_about_cuts.store(true, Ordering::SeqCst);
    let number = *world.catalog.change_number().borrow();
    let again = world.device("ann", json!({ "device": "phone" }));
    let other = async {
        until("it is registered", || *world.catalog.change_number().borrow() > number).await;
        world.device("bob", json!({ "device": "tablet" })).await
    };
    tokio::select! {
        biased;
        _ = again => panic!("nothing has ended"),
        other = other => assert_eq!(other.status, StatusCode::OK),
    }
}

impl World {
    /// So many at once, whose callers hang up when these are dropped.
    fn ask_many(&self, count: usize, method: &str, path: &str) -> JoinSet<()> {
        let mut asked = JoinSet::new();
        for _ in 0..count {
            let answer = self.router.clone().oneshot(request(method, path, Some(KEY), Value::Null));
            asked.spawn(async move { drop(answer.await) });
        }
        asked
    }

    fn kept(&self) -> usize {
        self.clients.kept.lock().unwrap().len()
    }
}

#[tokio::test]
async fn purges_that_wait_for_the_disk_hold_up_nothing_else() {
    let world = World::new().await;
    world.clients.has_connection("GID_dev@@@svc", "service:convoke");
    *world.clients.stuck.lock().unwrap() = "purge";
    let _purges = world.ask_many(40, "POST", "/api/v1/devices/GID_dev@@@svc/purge");
    until("purges are under way", || world.kept() == PURGES_AT_ONCE).await;
    let shown = world.ask("GET", "/api/v1/devices/GID_dev@@@svc", Value::Null).await;
    let kicked = world.ask("POST", "/api/v1/devices/GID_dev@@@svc/kick", Value::Null).await;
    assert_eq!((shown.status, kicked.status, world.kept()), (StatusCode::OK, StatusCode::OK, PURGES_AT_ONCE));
    assert!(world.clients.kept.lock().unwrap().iter().all(|(question, _)| *question == "purge"));
}

#[tokio::test]
async fn what_the_broker_has_not_done_keeps_its_turn_though_nobody_waits_for_it() {
    let world = World::new().await;
    *world.clients.stuck.lock().unwrap() = "states";
    for _ in 0..2 {
        let asked = world.ask_many(40, "GET", "/api/v1/devices/GID_dev@@@d1");
        until("questions are under way", || world.kept() == QUESTIONS_AT_ONCE).await;
        for _ in 0..20 {
            world.ask("GET", "/api/v1/groups", Value::Null).await;
        }
        assert_eq!(world.kept(), QUESTIONS_AT_ONCE);
        drop(asked);
    }
}

#[tokio::test]
async fn what_a_service_has_is_for_those_who_may_administer_services() {
    let world = World::new().await;
    world.clients.has_connection("GID_dev@@@svc", "service:convoke");
    world.device("ann", json!({ "device": "d1" })).await;
    let devices = world.key("devices", "api", &["devices"]).await;
    let both = world.key("both", "api", &["devices", "topics"]).await;
    for (method, order) in [("GET", ""), ("POST", "/kick"), ("POST", "/purge")] {
        let status = async |client_id: &str, key: &str| {
            let path = format!("/api/v1/devices/{client_id}{order}");
            world.call(request(method, &path, Some(key), Value::Null)).await.status.as_u16()
        };
        assert_eq!(status("GID_dev@@@d1", &devices).await, 200, "{order}");
        assert_eq!(status("GID_dev@@@svc", &devices).await, 404, "{order}");
        assert_eq!(status("GID_dev@@@svc", &both).await, 200, "{order}");
    }
}

/// Right after a crash the broker has nothing of it, and the catalog has it online since it came.
#[tokio::test]
async fn what_the_catalog_has_online_is_not_away_since_it_came() {
    let world = World::new().await;
    world.device("ann", json!({ "device": "d1" })).await;
    let client_id = "GID_dev@@@d1".to_owned();
    let came = OnlineEvent { client_id, channel_id: "one".to_owned(), kind: OnlineKind::Connect, at_ms: START_MS };
    world.catalog.online_events(std::slice::from_ref(&came)).await.unwrap();
    let crashed = world.ask("GET", "/api/v1/devices/GID_dev@@@d1", Value::Null).await;
    assert_eq!(crashed.body["online"], false);
    assert_eq!((crashed.body.get("since_ms"), crashed.body.get("last_seen_ms")), (None, None));
    let went = OnlineEvent { kind: OnlineKind::TcpClean, at_ms: START_MS + 50, ..came };
    world.catalog.online_events(&[went]).await.unwrap();
    let gone = world.ask("GET", "/api/v1/devices/GID_dev@@@d1", Value::Null).await;
    assert_eq!((&gone.body["since_ms"], &gone.body["last_seen_ms"]), (&json!(START_MS + 50), &json!(START_MS + 50)));
}

#[tokio::test]
async fn a_client_id_that_clients_with_tokens_hold_is_freed_by_removing_it() {
    let world = World::new().await;
    let held = |account: &str| {
        world.broker.holders.lock().unwrap().insert("GID_dev@@@x".to_owned(), account.into());
    };
    let remove = async || world.ask("DELETE", "/api/v1/devices/GID_dev@@@x", Value::Null).await;
    assert_eq!(remove().await.refused(), (404, "not_found"), "nobody has it");
    held("service:convoke");
    assert_eq!(remove().await.refused(), (404, "not_found"), "a service keeps its own");
    for account in ["tokens:convoke", "bound-tokens:convoke"] {
        held(account);
        assert_eq!(remove().await.status, StatusCode::NO_CONTENT);
        assert_eq!(*world.broker.ended.lock().unwrap(), [("GID_dev@@@x".to_owned(), None)]);
        world.broker.ended.lock().unwrap().clear();
    }
    let log = world.ask("GET", "/api/v1/audit?kind=device", Value::Null).await.body;
    let rows = log["items"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((&rows[0]["action"], &rows[0]["subject"]), (&json!("end"), &json!("GID_dev@@@x")));
}
