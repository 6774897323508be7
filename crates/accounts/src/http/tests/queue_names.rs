//! What owners make and see of the names of the queue.

use super::messages::FakeMessages;
use super::*;
use crate::clients::{Answer, Turn};
use crate::queue_names::{
    ConsumedTopicState, ConsumerGroupState, NewConsumerGroup, NewQueueTopic, NotMade, QueueNames, QueueTopicType,
};
use crate::server::{QueueGroupState, QueueTopicState};
use std::future::ready;
use std::sync::Mutex;

/// What a queue was asked to make.
#[derive(Default)]
pub(super) struct FakeNames {
    topics: Mutex<Vec<NewQueueTopic>>,
    groups: Mutex<Vec<NewConsumerGroup>>,
}

fn topic(name: &str, topic_type: QueueTopicType) -> QueueTopicState {
    let group = QueueGroupState { group: "workers".to_owned(), waiting: 3, in_flight: 2, due_again: 1 };
    let (topic, groups) = (name.to_owned(), vec![group]);
    QueueTopicState { topic, topic_type, messages: 6, delayed: 1, bytes: 1_000, groups }
}

impl QueueNames for FakeMessages {
    fn topics(&self) -> Vec<QueueTopicState> {
        ["%DLQ%workers", "jobs", "orders"].map(|name| topic(name, QueueTopicType::Normal)).to_vec()
    }

    fn topic(&self, name: &str) -> Option<QueueTopicState> {
        self.topics().into_iter().find(|topic| topic.topic == name)
    }

    fn is_new_topic(&self, wish: &NewQueueTopic) -> Result<bool, NotMade> {
        match (wish.topic.as_str(), wish.topic_type) {
            ("a b", _) => Err(NotMade::Name { what: "queue topic", name: "a b".to_owned() }),
            (_, QueueTopicType::Transaction) => Err(NotMade::NoSuchType("transaction")),
            ("orders", QueueTopicType::Normal) => Ok(false),
            ("orders", _) => Err(NotMade::OtherType { topic: "orders".to_owned(), is: "normal".to_owned() }),
            _ => Ok(true),
        }
    }

    fn create_topic(&self, wish: NewQueueTopic, _: Turn) -> Answer<Result<(), NotMade>> {
        let made = match wish.topic.as_str() {
            "one-more" => Err(NotMade::TooMany("there are 10000 topics already".to_owned())),
            "busy" => Err(NotMade::Unavailable("too much waits for the disk".to_owned())),
            _ => Ok(()),
        };
        self.names.topics.lock().unwrap().push(wish);
        Box::pin(ready(Some(made)))
    }

    fn groups(&self) -> Vec<ConsumerGroupState> {
        let consumed = ConsumedTopicState { topic: "jobs".to_owned(), waiting: 3, in_flight: 2, due_again: 1 };
        let workers =
            ConsumerGroupState { group: "workers".to_owned(), max_attempts: 16, fifo: false, topics: vec![consumed] };
        let made = self.names.groups.lock().unwrap();
        let made = made.iter().map(|made| ConsumerGroupState {
            group: made.group.clone(),
            max_attempts: made.max_attempts,
            fifo: made.fifo,
            topics: Vec::new(),
        });
        [workers].into_iter().chain(made).collect()
    }

    fn group(&self, name: &str) -> Option<ConsumerGroupState> {
        // What was made last.
        self.groups().into_iter().rev().find(|group| group.group == name)
    }

    fn check_group(&self, name: &str) -> Result<(), NotMade> {
        let is_own = name.starts_with("convoke-");
        if is_own { Err(NotMade::Name { what: "consumer group", name: name.to_owned() }) } else { Ok(()) }
    }

    fn put_group(&self, wish: NewConsumerGroup, _: Turn) -> Answer<Result<(), NotMade>> {
        self.names.groups.lock().unwrap().push(wish);
        Box::pin(ready(Some(Ok(()))))
    }
}

#[tokio::test]
async fn topics_of_the_queue_are_listed_in_parts_with_what_their_groups_have_to_consume() {
    let world = World::new().await;
    let (mut names, mut query) = (Vec::new(), "?limit=2".to_owned());
    loop {
        let part = world.ask("GET", &format!("/api/v1/queue-topics{query}"), Value::Null).await;
        for topic in part.body["items"].as_array().unwrap() {
            let group = json!({ "group": "workers", "waiting": 3, "in_flight": 2, "due_again": 1 });
            assert_eq!((&topic["bytes"], &topic["groups"]), (&json!(1_000), &json!([group])));
            names.push(topic["topic"].as_str().unwrap().to_owned());
        }
        let Some(next) = part.body["next"].as_str() else { break };
        query = format!("?limit=2&after={next}");
    }
    assert_eq!(names, ["%DLQ%workers", "jobs", "orders"]);
    let one = world.ask("GET", "/api/v1/queue-topics/jobs", Value::Null).await;
    assert_eq!((one.status.as_u16(), &one.body["type"], &one.body["delayed"]), (200, &json!("normal"), &json!(1)));
    let none = world.ask("GET", "/api/v1/queue-topics/none", Value::Null).await;
    assert_eq!(none.status.as_u16(), 404);
}

async fn changes_of(world: &World, kind: &str) -> Vec<(Value, Value, Value)> {
    let log = world.ask("GET", &format!("/api/v1/audit?kind={kind}"), Value::Null).await;
    let rows = log.body["items"].as_array().unwrap().iter();
    rows.map(|row| (row["action"].clone(), row["subject"].clone(), row["after"].clone())).collect()
}

#[tokio::test]
async fn a_queue_topic_is_made_once_and_keeps_its_type() {
    let world = World::new().await;
    let make = async |body: Value| world.ask("POST", "/api/v1/queue-topics", body).await;
    let made = make(json!({ "topic": "steps", "type": "fifo" })).await;
    assert_eq!((made.status.as_u16(), made.body), (200, json!({ "topic": "steps", "type": "fifo" })));
    let known = make(json!({ "topic": "orders" })).await;
    assert_eq!((known.status.as_u16(), known.body), (200, json!({ "topic": "orders", "type": "normal" })));
    let refused = [
        (json!({ "topic": "orders", "type": "fifo" }), (409, "exists"), "of the type normal"),
        (json!({ "topic": "a b" }), (400, "invalid_body"), "letters, digits"),
        (json!({ "topic": "paid", "type": "transaction" }), (400, "invalid_body"), "take another one"),
        (json!({ "topic": "one-more" }), (409, "in_use"), "10000 topics"),
        (json!({ "topic": "busy" }), (503, "unavailable"), "the disk"),
    ];
    for (body, (status, code), words) in refused {
        let answer = make(body).await;
        assert_eq!((answer.status.as_u16(), &answer.body["code"]), (status, &json!(code)), "{:?}", answer.body);
        assert!(answer.body["detail"].as_str().unwrap().contains(words), "{:?}", answer.body);
    }
    // What was ordered, also if it failed; nothing of what was there.
    let topics = world.messages.names.topics.lock().unwrap().iter().map(|wish| wish.topic.clone()).collect::<Vec<_>>();
    assert_eq!(topics, ["steps", "one-more", "busy"]);
    let changes = changes_of(&world, "queue_topic").await;
    let subjects: Vec<_> = changes.iter().map(|(action, subject, _)| (action.clone(), subject.clone())).collect();
    assert_eq!(subjects, ["busy", "one-more", "steps"].map(|topic| (json!("create"), json!(topic))));
    assert_eq!(changes[2].2, json!({ "topic": "steps", "type": "fifo" }));
}

#[tokio::test]
async fn a_consumer_group_is_made_shown_and_changed() {
    let world = World::new().await;
    let ask = async |method: &str, path: &str, body: Value| {
        let answer = world.ask(method, &format!("/api/v1/queue-groups{path}"), body).await;
        (answer.status.as_u16(), answer.body)
    };
    let shop = json!({ "group": "shop", "max_attempts": 3, "fifo": true });
    for _ in 0..2 {
        assert_eq!(ask("POST", "", shop.clone()).await, (200, shop.clone()));
    }
    let (status, other) = ask("POST", "", json!({ "group": "shop" })).await;
    assert_eq!((status, &other["code"]), (409, &json!("exists")));
    let changed = json!({ "group": "shop", "max_attempts": 5, "fifo": true });
    for _ in 0..2 {
        assert_eq!(ask("PATCH", "/shop", json!({ "max_attempts": 5 })).await, (200, changed.clone()));
    }
    let refused = [
        ("POST", "", json!({ "group": "convoke-broker" }), 400),
        ("POST", "", json!({ "group": "x", "max_attempts": 0 }), 400),
        ("PATCH", "/shop", json!({ "max_attempts": 1_001 }), 400),
        ("PATCH", "/nobody", json!({ "fifo": true }), 404),
        ("GET", "/nobody", Value::Null, 404),
    ];
    for (method, path, body, expected) in refused {
        let (status, answer) = ask(method, path, body).await;
        assert_eq!(status, expected, "{method} {path}: {answer}");
    }
    let (_, shown) = ask("GET", "/workers", Value::Null).await;
    assert_eq!(shown["topics"], json!([{ "topic": "jobs", "waiting": 3, "in_flight": 2, "due_again": 1 }]));
    let (_, part) = ask("GET", "?limit=1", Value::Null).await;
    assert!(part["items"][0]["group"] == "workers" && part["next"].is_string(), "{part}");
    let changes = changes_of(&world, "queue_group").await;
    assert_eq!(changes, [(json!("update"), json!("shop"), changed), (json!("create"), json!("shop"), shop)]);
    let plain = world.key("plain", "api", &["groups"]).await;
    let answer = world.call(request("POST", "/api/v1/queue-groups", Some(&plain), json!({ "group": "theirs" }))).await;
    assert_eq!(answer.status.as_u16(), 403);
}
