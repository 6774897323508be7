//! What owners publish, and see and drop of the queue's messages.

use super::queue_names::FakeNames;
use super::*;
use crate::access::PublishRefusal;
use crate::clients::{Answer, Turn};
use crate::messages::{
    Look, Looked, Messages, NoMessages, NotPublished, One, PlaceOutcome, Publication, Published, Publisher, QueuePlace,
    ReceiverPlace, Redrive, StoredMessage,
};
use catalog::Audit;
use std::collections::BTreeMap;
use std::future::{pending, ready};
use std::sync::Mutex;
use tokio::task::JoinSet;

const HELD: &str = "0000000000000040";

/// What broker and queue would say, and what they were asked.
#[derive(Default)]
pub(super) struct FakeMessages {
    published: Mutex<Vec<Publication>>,
    looks: Mutex<Vec<Look>>,
    removed: Mutex<Vec<(String, String)>>,
    /// What is published here stays under way, and is not answered.
    stuck: Mutex<Vec<Turn>>,
    redriven: Mutex<Vec<Redrive>>,
    pub(super) names: FakeNames,
}

impl FakeMessages {
    pub(super) fn published(&self) -> usize {
        self.published.lock().unwrap().len()
    }
}

fn stored(message_id: &str) -> StoredMessage {
    StoredMessage {
        message_id: message_id.to_owned(),
        stored_at_ms: START_MS,
        tag: None,
        keys: Vec::new(),
        properties: BTreeMap::new(),
        payload: Some("hello".to_owned()),
        payload_base64: None,
        payload_bytes: Some(5),
        withheld: false,
    }
}

impl Messages for FakeMessages {
    fn publish(&self, publication: Publication, turn: Turn) -> Answer<Result<Published, NotPublished>> {
        if publication.topic == "stuck/x" {
            self.stuck.lock().unwrap().push(turn);
            return Box::pin(pending());
        }
        let answer = match publication.topic.as_str() {
            "none/x" => Err(NotPublished::Refused(PublishRefusal::UnknownParent)),
            "closed/x" => Err(NotPublished::Refused(PublishRefusal::Scope)),
            "large/x" => Err(NotPublished::TooLarge { max: 7 }),
            "wide/x" => Err(NotPublished::Invalid("its properties have too many bytes".to_owned())),
            "full/x" => Err(NotPublished::Unavailable("the log is full".to_owned())),
            "+/x" => Err(NotPublished::Topic),
            _ => {
                let queue = QueuePlace { topic: "orders".to_owned(), message_id: HELD.to_owned() };
                let outcome = PlaceOutcome::Stored;
                let receiver = ReceiverPlace { client_id: "GID_dev@@@d".to_owned(), online: false, outcome };
                Ok(Published { queue: Some(queue), receiver: Some(receiver), subscribers: None })
            }
        };
        self.published.lock().unwrap().push(publication);
        Box::pin(ready(Some(answer)))
    }

    fn holds(&self, topic: &str, message_id: &str) -> bool {
        (topic, message_id) == ("%DLQ%workers", HELD)
    }

    fn look(&self, look: Look, _: Turn) -> Answer<Result<Looked, NoMessages>> {
        let answer = match (look.topic.as_str(), look.after.as_deref()) {
            ("orders" | "%DLQ%workers", None | Some(HELD)) => {
                Ok(Looked { messages: vec![stored(HELD)], has_more: look.after.is_none() })
            }
            ("orders", Some(other)) => Err(NoMessages::Id(other.to_owned())),
            (topic, _) => Err(NoMessages::Topic(topic.to_owned())),
        };
        self.looks.lock().unwrap().push(look);
        Box::pin(ready(Some(answer)))
    }

    fn remove(&self, topic: String, message_id: String, _: Turn) -> Answer<Result<bool, NoMessages>> {
        self.removed.lock().unwrap().push((topic, message_id));
        Box::pin(ready(Some(Ok(true))))
    }

    fn show(&self, one: One, _: Turn) -> Answer<Result<Option<StoredMessage>, NoMessages>> {
        let One { topic, message_id, .. } = one;
        let letter = |group: &str| match group {
            "%DLQ%workers" => Some(stored(HELD)),
            "%DLQ%convoke-broker" | "%DLQ%steered" => Some(StoredMessage {
                properties: [("deadLetterTopic".to_owned(), "orders".to_owned())].into(),
                ..stored(HELD)
            }),
            "%DLQ%damaged" => {
                Some(StoredMessage { message_id: HELD.to_owned(), stored_at_ms: START_MS, ..StoredMessage::default() })
            }
            _ => None,
        };
        Box::pin(ready(Some(Ok(letter(&topic).filter(|_| message_id == HELD)))))
    }

    fn redrive(&self, redrive: Redrive, _: Turn) -> Answer<Result<Option<String>, NoMessages>> {
        let answer = match redrive.to.as_str() {
            "none" => Err(NoMessages::Topic("none".to_owned())),
            "steps" => Err(NoMessages::OtherType {
                topic: "steps".to_owned(),
                topic_type: "fifo".to_owned(),
                message_type: "normal".to_owned(),
            }),
            "full" => Err(NoMessages::Unavailable("topic full holds as many messages as it may".to_owned())),
            _ => Ok(Some("0000000000000080".to_owned())),
        };
        self.redriven.lock().unwrap().push(redrive);
        Box::pin(ready(Some(answer)))
    }

    fn topics_of(&self, group: &str) -> Vec<String> {
        let topics: &[&str] = match group {
            "workers" => &["jobs"],
            "nobody" => &[],
            _ => &["jobs", "orders"],
        };
        topics.iter().map(|&topic| topic.to_owned()).collect()
    }

    fn dead_letters_of(&self, group: &str) -> Option<String> {
        (!group.contains(' ')).then(|| format!("%DLQ%{group}"))
    }
}

#[tokio::test]
async fn messages_that_are_under_way_are_bounded_though_nobody_waits_for_them() {
    let world = World::new().await;
    let stuck = || world.messages.stuck.lock().unwrap().len();
    for _ in 0..2 {
        let mut asked = JoinSet::new();
        for _ in 0..40 {
            let body = json!({ "topic": "stuck/x", "payload": "" });
            let answer = world.router.clone().oneshot(request("POST", "/api/v1/messages", Some(KEY), body));
            asked.spawn(async move { drop(answer.await) });
        }
        devices::until("messages are under way", || stuck() == LOOKS_AT_ONCE).await;
        for _ in 0..20 {
            world.ask("GET", "/api/v1/groups", Value::Null).await;
        }
        assert_eq!(stuck(), LOOKS_AT_ONCE);
        let devices = world.post("/api/v1/devices:query", Some(KEY), json!({ "client_ids": ["GID_dev@@@d1"] })).await;
        assert_eq!(devices.status, StatusCode::OK, "what is answered from memory waits for no disk");
        drop(asked);
    }
}

#[tokio::test]
async fn a_message_is_published_with_the_rights_of_the_key_and_the_answer_says_where_it_went() {
    let world = World::new().await;
    let [access, api] = [world.key("billing", "access", &["topics"]).await, world.key("ops", "api", &["topics"]).await];
    let request = |key: &str, body| request("POST", "/api/v1/messages", Some(key), body);
    let wish =
        json!({ "topic": "orders/x", "payload_base64": "AP8=", "qos": 0, "expiry_s": 9, "properties": { "a": "b" } });
    let answer = world.call(request(KEY, wish)).await;
    let receiver = json!({ "client_id": "GID_dev@@@d", "online": false, "outcome": "stored" });
    let expected = json!({ "queue": { "topic": "orders", "message_id": HELD }, "receiver": receiver });
    assert_eq!(answer.body, expected);
    world.call(request(&api, json!({ "topic": "orders/x", "payload": "text" }))).await;
    let with_secret = super::owners::with_basic("POST", "/api/v1/messages", "billing", &access);
    let (parts, _) = with_secret.into_parts();
    let body = Body::from(json!({ "topic": "orders/x" }).to_string());
    world.call(Request::from_parts(parts, body)).await;
    let published = std::mem::take(&mut *world.messages.published.lock().unwrap());
    let by: Vec<_> = published.iter().map(|publication| publication.by.clone()).collect();
    let owner = |name: &str| Publisher::Owner(name.to_owned());
    assert_eq!(by, [owner("owner"), owner("key:ops"), Publisher::Service("billing".to_owned())]);
    let first = &published[0];
    assert_eq!((first.payload.as_slice(), first.at_least_once, first.expiry_s), ([0, 255].as_slice(), false, Some(9)));
    assert_eq!(first.properties["a"], "b");
    assert_eq!((published[1].payload.as_slice(), published[1].at_least_once), (b"text".as_slice(), true));
    assert_eq!(*world.catalog.change_number().borrow(), 2, "the keys alone: a message is no change");
}

#[tokio::test]
async fn a_message_that_goes_nowhere_is_refused_with_the_cause() {
    let world = World::new().await;
    let table = [
        (json!({ "topic": "none/x" }), (400, "invalid_topic"), "the parent topic does not exist"),
        (json!({ "topic": "+/x" }), (400, "invalid_topic"), "wildcard"),
        (json!({ "topic": "closed/x" }), (403, "forbidden"), "the scope topics"),
        (json!({ "topic": "large/x" }), (413, "body_too_large"), "7 bytes"),
        (json!({ "topic": "wide/x" }), (400, "invalid_body"), "too many bytes"),
        (json!({ "topic": "full/x" }), (503, "unavailable"), "the log is full"),
        (json!({ "topic": "a", "payload": "a", "payload_base64": "AA==" }), (400, "invalid_body"), "not both"),
        (json!({ "topic": "a", "payload_base64": "?" }), (400, "invalid_body"), "base64"),
        (json!({ "topic": "a", "qos": 2 }), (400, "invalid_body"), "0 or 1"),
        (json!({}), (400, "invalid_body"), "topic"),
    ];
    for (body, expected, words) in table {
        let answer = world.ask("POST", "/api/v1/messages", body.clone()).await;
        assert_eq!(answer.refused(), expected, "{body}");
        assert!(answer.text("detail").contains(words), "{}", answer.body);
    }
}

#[tokio::test]
async fn the_largest_payload_of_mqtt_fits_into_a_request_in_base64() {
    use base64::Engine as _;
    let world = World::new().await;
    let publish = async |bytes: usize| {
        let payload = base64::engine::general_purpose::STANDARD.encode(vec![0; bytes]);
        world.ask("POST", "/api/v1/messages", json!({ "topic": "orders/x", "payload_base64": payload })).await
    };
    assert_eq!(publish(64 * 1024).await.status, StatusCode::OK);
    assert_eq!(publish(MESSAGE_BODY_BYTES_MAX).await.refused(), (413, "body_too_large"));
    assert_eq!(world.messages.published.lock().unwrap()[0].payload.len(), 64 * 1024);
}

#[tokio::test]
async fn messages_of_the_queue_are_looked_at_in_parts() {
    let world = World::new().await;
    let first = world.ask("GET", "/api/v1/queue-topics/orders/messages?limit=200", Value::Null).await;
    let item = json!({ "message_id": HELD, "stored_at_ms": START_MS, "payload": "hello", "payload_bytes": 5 });
    assert_eq!(first.body, json!({ "items": [item], "next": HELD }));
    let path = format!("/api/v1/queue-topics/orders/messages?from=oldest&after={HELD}");
    let last = world.ask("GET", &path, Value::Null).await;
    assert_eq!(last.body, json!({ "items": [item] }));
    let looks = std::mem::take(&mut *world.messages.looks.lock().unwrap());
    let asked: Vec<_> = looks.iter().map(|look| (look.newest_first, look.limit)).collect();
    assert_eq!(asked, [(true, 200), (false, 20)]);
    for (path, expected) in [
        ("/api/v1/queue-topics/none/messages", (404, "not_found")),
        ("/api/v1/queue-topics/orders/messages?after=x", (400, "invalid_query")),
        ("/api/v1/queue-topics/orders/messages?from=middle", (400, "invalid_query")),
        ("/api/v1/queue-topics/orders/messages?limit=201", (400, "invalid_query")),
        ("/api/v1/queue-groups/no%20group/dead-letters", (404, "not_found")),
        ("/api/v1/queue-groups/nobody/dead-letters", (404, "not_found")),
    ] {
        assert_eq!(world.ask("GET", path, Value::Null).await.refused(), expected, "{path}");
    }
    let none = world.ask("GET", "/api/v1/queue-groups/idle/dead-letters", Value::Null).await;
    assert_eq!(none.body, json!({ "items": [] }), "nothing is dead yet");
}

#[tokio::test]
async fn what_is_for_one_client_is_asked_for_with_the_scope_admin_alone() {
    let world = World::new().await;
    let narrow = world.key("ops", "api", &["topics", "meetings", "devices"]).await;
    for path in ["/api/v1/queue-topics/orders/messages", "/api/v1/queue-groups/workers/dead-letters"] {
        for (key, shown) in [(narrow.as_str(), false), (KEY, true)] {
            assert_eq!(world.call(request("GET", path, Some(key), Value::Null)).await.status, StatusCode::OK);
            let look = world.messages.looks.lock().unwrap().pop().unwrap();
            assert_eq!(look.with_p2p, shown, "{path}");
        }
    }
}

#[tokio::test]
async fn a_dead_letter_is_dropped_and_the_log_says_so() {
    let world = World::new().await;
    let letters = world.ask("GET", "/api/v1/queue-groups/workers/dead-letters", Value::Null).await;
    assert_eq!(letters.body["items"][0]["message_id"], HELD);
    let path = format!("/api/v1/queue-groups/workers/dead-letters/{HELD}");
    assert_eq!(world.ask("DELETE", &path, Value::Null).await.status, StatusCode::NO_CONTENT);
    assert_eq!(*world.messages.removed.lock().unwrap(), [("%DLQ%workers".to_owned(), HELD.to_owned())]);
    let log = world.ask("GET", "/api/v1/audit?kind=dead_letter", Value::Null).await;
    let row = &log.body["items"][0];
    assert_eq!((&row["action"], &row["subject"]), (&json!("drop"), &json!(format!("workers/{HELD}"))));
    let other = world.ask("DELETE", "/api/v1/queue-groups/others/dead-letters/0000000000000040", Value::Null).await;
    assert_eq!(other.refused(), (404, "not_found"));
    assert_eq!(*world.catalog.change_number().borrow(), 1);
}

#[tokio::test]
async fn a_dead_letter_is_dropped_although_its_caller_hangs_up_once_it_is_in_the_log() {
    let world = World::new().await;
    let path = format!("/api/v1/queue-groups/workers/dead-letters/{HELD}");
    devices::hang_up_after(&world, "DELETE", &path).await;
    devices::until("the letter is dropped", || !world.messages.removed.lock().unwrap().is_empty()).await;
}

#[tokio::test]
async fn a_dead_letter_is_tried_again_where_it_came_from_or_where_the_owner_says() {
    let world = World::new().await;
    let path = |group: &str| format!("/api/v1/queue-groups/{group}/dead-letters/{HELD}");
    let shown = world.ask("GET", &path("workers"), Value::Null).await;
    assert_eq!((shown.text("message_id"), shown.text("payload")), (HELD, "hello"));
    let redrive = async |group: &str, body| world.ask("POST", &format!("{}/redrive", path(group)), body).await;
    let sent = redrive("workers", Value::Null).await;
    assert_eq!(sent.body, json!({ "topic": "jobs", "message_id": "0000000000000080" }), "the only topic of the group");
    assert_eq!(redrive("convoke-broker", Value::Null).await.text("topic"), "orders", "as the broker has noted");
    assert_eq!(redrive("steered", Value::Null).await.refused(), (400, "invalid_topic"), "its sender has said it");
    assert_eq!(redrive("workers", json!({ "topic": "later" })).await.text("topic"), "later");
    let to: Vec<_> = world.messages.redriven.lock().unwrap().iter().map(|one| one.to.clone()).collect();
    assert_eq!(to, ["jobs", "orders", "later"]);
    let log = world.ask("GET", "/api/v1/audit?kind=dead_letter", Value::Null).await;
    let row = &log.body["items"][2];
    assert_eq!((&row["action"], &row["subject"]), (&json!("redrive"), &json!(format!("workers/{HELD}"))));
    assert_eq!(row["after"], json!({ "group": "workers", "message_id": HELD, "topic": "jobs" }));
    for (group, body, expected) in [
        ("others", Value::Null, (404, "not_found")),
        ("damaged", Value::Null, (404, "not_found")),
        ("workers", json!({ "topic": "none" }), (400, "invalid_topic")),
        ("workers", json!({ "topic": "%DLQ%workers" }), (400, "invalid_topic")),
        ("workers", json!({ "topic": "full" }), (503, "unavailable")),
        ("workers", json!({ "topic": "steps" }), (400, "invalid_topic")),
        ("workers", json!({ "to": "jobs" }), (400, "invalid_body")),
    ] {
        assert_eq!(redrive(group, body.clone()).await.refused(), expected, "{group} {body}");
    }
}
