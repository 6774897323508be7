//! The contract test suite, which every engine must pass. Each case creates its own topics and groups, so that all can
//! run against one engine; no case needs time to be fast, only to pass.
//!
//! ```ignore
//! for case in queue::contract::cases().into_iter().chain(queue::contract::atomic_ack_cases()) {
//!     case.run(&subject).await;
//! }
//! ```
//!
//! The cases of [`crate::AtomicAck`] are for an engine that offers it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use commitlog::testing::ForgettingStorage;
use commitlog::{Log, Need, NewRecord, Options, Part};
use tokio::sync::Semaphore;

use crate::atomic_ack::{AckRecord, AtomicAck};
use crate::error::{AckError, AdminError, InvalidMessage, ReceiveError, SendError};
use crate::limits::{BODY_BYTES_MAX, DELAY_MAX, INVISIBLE_MAX, RECEIVE_BYTES_MAX, ROOM_UNIT};
use crate::message::{Delivery, GroupOptions, Message, MessageId, Receipt, ReceiveRequest, TagFilter, TopicType};
use crate::names::{GroupName, TopicName};
use crate::queue::{BoxFuture, Queue};
use crate::room::Room;

/// The engine under test.
#[derive(Clone)]
pub struct Subject {
    pub queue: Arc<dyn Queue>,
    /// The log in which the engine keeps its records, if it offers [`AtomicAck`] to those who append there too.
    pub log: Option<Log>,
    /// The engine goes by it.
    pub clock: Clock,
    /// The shortest invisible time that it allows.
    pub invisible_min: Duration,
    /// How long a case waits for what must come: longer than anything takes.
    pub patience: Duration,
}

pub struct Case {
    pub name: &'static str,
    run: fn(Scene) -> BoxFuture<'static, ()>,
}

impl Case {
    /// Panics where the engine breaks the contract.
    pub async fn run(&self, subject: &Subject) {
        (self.run)(Scene::new(subject, self.name).await).await;
    }
}

macro_rules! cases {
    ($list:ident: $($name:ident),* $(,)?) => {
        #[must_use]
        pub fn $list() -> Vec<Case> {
            vec![$(Case { name: stringify!($name), run: |scene| Box::pin($name(scene)) }),*]
        }
    };
}

cases![cases:
    a_message_arrives_as_it_was_sent,
    messages_of_one_sender_arrive_in_their_order,
    a_message_that_is_out_is_hidden_from_its_group,
    what_is_not_acknowledged_comes_back_with_its_attempt_counted,
    what_is_acknowledged_never_comes_back,
    a_changed_time_ends_the_old_receipt,
    each_group_gets_every_message,
    a_group_that_comes_late_starts_at_the_oldest_message,
    a_filter_leaves_out_other_tags,
    a_waiting_receive_ends_when_a_message_comes,
    a_receive_takes_at_most_what_it_asked_for,
    a_receive_without_room_hands_out_nothing,
    what_fails_too_often_becomes_a_dead_letter,
    what_its_consumer_gives_up_becomes_a_dead_letter_at_once,
    a_group_is_as_it_was_made_last,
    creating_what_exists_changes_nothing,
    what_does_not_exist_is_refused_by_name,
    what_passes_a_limit_is_refused,
    a_topic_takes_messages_of_its_own_type_alone,
    a_delayed_message_comes_at_its_time_and_not_before,
    a_delivery_time_in_the_past_means_at_once,
    a_recalled_message_never_comes,
    a_delivery_time_too_far_ahead_is_refused,
    of_each_message_group_one_is_out_at_a_time,
    a_message_group_keeps_its_order_over_redelivery,
    a_message_of_a_group_that_fails_too_often_lets_the_next_one_come,
    a_message_of_a_group_that_is_given_up_lets_the_next_one_come,
    each_consumer_group_has_its_own_order,
    what_is_sent_again_under_its_id_is_stored_once,
    the_same_id_of_two_senders_is_two_messages,
];

cases![atomic_ack_cases:
    no_other_log_is_taken_for_the_engines_own,
    a_prepared_message_is_held_back,
    an_aborted_acknowledgement_leaves_the_receipt_as_it_was,
    an_aborted_acknowledgement_lets_the_message_come_back_in_its_time,
    a_committed_acknowledgement_ends_the_message,
    what_is_not_a_valid_receipt_is_not_prepared,
];

/// A topic and a group of one case.
#[derive(Clone)]
struct Scene {
    subject: Subject,
    topic: TopicName,
    group: GroupName,
}

const LONG: Duration = Duration::from_secs(3600);
/// A kind of record that is not the queue's.
const CONSUMER_RECORD: u8 = 0x40;

impl Scene {
    async fn new(subject: &Subject, case: &str) -> Self {
        let topic = TopicName::parse(case).expect("a case's name is a topic's");
        let scene = Self { subject: subject.clone(), topic, group: group("first", case) };
        scene.queue().create_topic(scene.topic.clone()).await.expect("create_topic");
        scene.create_group(&scene.group, GroupOptions::default()).await;
        scene
    }

    fn queue(&self) -> &dyn Queue {
        &*self.subject.queue
    }

    async fn create_group(&self, group: &GroupName, options: GroupOptions) {
        self.queue().create_group(group.clone(), options).await.expect("create_group");
    }

    async fn send(&self, message: Message) {
        self.queue().send_wait(&self.topic, message).await.expect("send");
    }

    fn request(&self, wait: Duration, invisible: Duration) -> ReceiveRequest {
        ReceiveRequest {
            group: self.group.clone(),
            topic: self.topic.clone(),
            filter: TagFilter::All,
            max: 32,
            wait,
            invisible,
        }
    }

    async fn receive(&self, request: ReceiveRequest) -> Vec<Delivery> {
        self.queue().receive(request).await.expect("receive")
    }

    /// The one message that must come.
    async fn receive_one(&self, invisible: Duration) -> Delivery {
        let mut deliveries = self.receive(self.request(self.subject.patience, invisible)).await;
        assert_eq!(deliveries.len(), 1, "one message, no more");
        deliveries.remove(0)
    }

    async fn receive_bodies(&self, count: usize) -> Vec<String> {
        let mut bodies = Vec::new();
        while bodies.len() < count {
            let deliveries = self.receive(self.request(self.subject.patience, LONG)).await;
            assert!(!deliveries.is_empty(), "{} of {count} messages came", bodies.len());
            bodies.extend(deliveries.iter().map(body));
        }
        bodies
    }

    /// Long enough to use the receipt, short enough to wait for its end.
    fn soon(&self) -> Duration {
        self.subject.invisible_min.max(Duration::from_millis(500))
    }

    fn log(&self) -> &Log {
        self.subject.log.as_ref().expect("the engine under test has a log that it shares")
    }

    fn atomic_ack(&self) -> Arc<dyn AtomicAck> {
        self.queue().atomic_ack(self.log().id()).expect("the engine offers it on its own log")
    }

    /// As a consumer does: its own record and the acknowledgement in one unit, durable when this returns.
    fn append_with_own_record(&self, ack: &AckRecord) {
        let (own, ack_payload) = ([Part::Bytes(b"kept")], [Part::Bytes(&ack.payload)]);
        let records = [NewRecord::new(CONSUMER_RECORD, 1, &own), NewRecord::new(ack.kind, ack.owner, &ack_payload)];
        let appended = self.log().append(Need::Essential, &records).expect("append");
        self.log().wait_durable(appended.end).expect("a log that works");
    }

    fn delayed(&self, body: &str, by: Duration) -> Message {
        let by_ms = u64::try_from(by.as_millis()).expect("it is not so long");
        Message { deliver_at_ms: Some(self.subject.clock.now_ms() + by_ms), ..text(body) }
    }

    async fn expect_nothing(&self) {
        let deliveries = self.receive(self.request(Duration::ZERO, LONG)).await;
        assert_eq!(deliveries, [], "nothing is due");
    }
}

fn group(which: &str, case: &str) -> GroupName {
    GroupName::parse(&format!("{which}-{case}")).expect("a case's name is a group's")
}

fn text(body: &str) -> Message {
    Message { body: body.to_owned().into(), ..Message::default() }
}

fn body(delivery: &Delivery) -> String {
    String::from_utf8_lossy(&delivery.message.body).into_owned()
}

async fn a_message_arrives_as_it_was_sent(scene: Scene) {
    let message = Message {
        keys: vec!["key one".to_owned(), "two".to_owned()],
        tag: Some("a tag".to_owned()),
        properties: vec![("name".to_owned(), " {\"json\": \"😀\"} ".to_owned()), ("empty".to_owned(), String::new())],
        body: vec![0, 159, 146, 150].into(),
        born_ms: 1_700_000_000_123,
        client_message_id: Some("0102".to_owned()),
        ..Message::default()
    };
    let id = scene.queue().send_wait(&scene.topic, message.clone()).await.expect("send");
    let delivery = scene.receive_one(LONG).await;
    assert_eq!(delivery.message, message);
    assert_eq!((delivery.message_id, delivery.topic, delivery.attempt), (id, scene.topic.clone(), 1));
}

async fn messages_of_one_sender_arrive_in_their_order(scene: Scene) {
    let bodies: Vec<String> = (0..50).map(|n| n.to_string()).collect();
    for body in &bodies {
        scene.send(text(body)).await;
    }
    assert_eq!(scene.receive_bodies(50).await, bodies);
}

async fn a_message_that_is_out_is_hidden_from_its_group(scene: Scene) {
    scene.send(text("out")).await;
    scene.receive_one(LONG).await;
    scene.expect_nothing().await;
}

async fn what_is_not_acknowledged_comes_back_with_its_attempt_counted(scene: Scene) {
    scene.send(text("again")).await;
    let first = scene.receive_one(scene.subject.invisible_min).await;
    let second = scene.receive_one(LONG).await;
    assert_eq!((second.attempt, body(&second)), (2, "again".to_owned()));
    assert_eq!(second.message_id, first.message_id);
    assert_eq!(scene.queue().ack(first.receipt).await, Err(AckError::Expired));
    assert_eq!(scene.queue().ack(second.receipt).await, Ok(()));
}

async fn what_is_acknowledged_never_comes_back(scene: Scene) {
    scene.send(text("once")).await;
    let delivery = scene.receive_one(LONG).await;
    assert_eq!(scene.queue().ack(delivery.receipt.clone()).await, Ok(()));
    assert_eq!(scene.queue().ack(delivery.receipt.clone()).await, Err(AckError::Expired), "a second time");
    let changed = scene.queue().change_invisible(delivery.receipt, Duration::ZERO).await;
    assert_eq!(changed, Err(AckError::Expired), "a change brings nothing back");
    scene.expect_nothing().await;
}

async fn a_changed_time_ends_the_old_receipt(scene: Scene) {
    scene.send(text("changed")).await;
    let first = scene.receive_one(LONG).await;
    let longer = scene.queue().change_invisible(first.receipt.clone(), LONG).await.expect("change");
    assert_eq!(scene.queue().ack(first.receipt).await, Err(AckError::Expired));
    scene.expect_nothing().await;
    scene.queue().change_invisible(longer, Duration::ZERO).await.expect("change");
    let second = scene.receive_one(LONG).await;
    assert_eq!(second.attempt, 2);
    assert_eq!(scene.queue().ack(second.receipt).await, Ok(()));
}

async fn each_group_gets_every_message(mut scene: Scene) {
    scene.send(text("for all")).await;
    let delivery = scene.receive_one(LONG).await;
    scene.queue().ack(delivery.receipt).await.expect("ack");
    scene.send(text("for all")).await;
    scene.receive_one(LONG).await;
    scene.group = group("second", scene.topic.as_str());
    scene.create_group(&scene.group, GroupOptions::default()).await;
    assert!(!scene.receive_bodies(1).await.is_empty());
}

async fn a_group_that_comes_late_starts_at_the_oldest_message(mut scene: Scene) {
    for n in 0..3 {
        scene.send(text(&n.to_string())).await;
    }
    scene.receive_bodies(3).await;
    scene.group = group("late", scene.topic.as_str());
    scene.create_group(&scene.group, GroupOptions::default()).await;
    assert_eq!(scene.receive_bodies(3).await, ["0", "1", "2"]);
}

async fn a_filter_leaves_out_other_tags(scene: Scene) {
    for tag in [Some("red"), Some("green"), None, Some("blue")] {
        let tag = tag.map(str::to_owned);
        scene.send(Message { tag: tag.clone(), ..text(tag.as_deref().unwrap_or("none")) }).await;
    }
    let filter = TagFilter::Tags(BTreeSet::from(["green".to_owned(), "blue".to_owned()]));
    let mut bodies = Vec::new();
    while bodies.len() < 2 {
        let request = ReceiveRequest { filter: filter.clone(), ..scene.request(scene.subject.patience, LONG) };
        let deliveries = scene.receive(request).await;
        assert!(!deliveries.is_empty(), "both tags come");
        bodies.extend(deliveries.iter().map(body));
    }
    assert_eq!(bodies, ["green", "blue"]);
}

async fn a_waiting_receive_ends_when_a_message_comes(scene: Scene) {
    scene.expect_nothing().await;
    let (queue, request) = (Arc::clone(&scene.subject.queue), scene.request(scene.subject.patience, LONG));
    let waiting = tokio::spawn(async move { queue.receive(request).await });
    tokio::task::yield_now().await;
    scene.send(text("wakes")).await;
    let deliveries = waiting.await.expect("the receive runs to its end").expect("receive");
    assert_eq!(deliveries.iter().map(body).collect::<Vec<_>>(), ["wakes"]);
}

async fn a_receive_takes_at_most_what_it_asked_for(scene: Scene) {
    for n in 0..5 {
        scene.send(text(&n.to_string())).await;
    }
    let some = scene.receive(ReceiveRequest { max: 2, ..scene.request(scene.subject.patience, LONG) }).await;
    assert!((1..=2).contains(&some.len()), "{} deliveries", some.len());
    let none = scene.receive(ReceiveRequest { max: 0, ..scene.request(Duration::ZERO, LONG) }).await;
    assert_eq!(none, []);
}

async fn a_receive_without_room_hands_out_nothing(scene: Scene) {
    let room = Room::of([Arc::new(Semaphore::new(RECEIVE_BYTES_MAX.div_ceil(ROOM_UNIT)))]);
    let receive = async |wait| {
        let request = ReceiveRequest { max: 1, ..scene.request(wait, LONG) };
        scene.queue().receive_within(request, room.clone()).await.expect("receive")
    };
    for n in 0..2 {
        scene.send(text(&n.to_string())).await;
    }
    let (first, place) = receive(scene.subject.patience).await;
    assert_eq!(first.len(), 1);
    assert_eq!(receive(Duration::ZERO).await.0, [], "the first has not been read");
    drop(place);
    let (second, _) = receive(scene.subject.patience).await;
    assert_eq!((second.len(), second[0].attempt), (1, 1));
}

async fn what_fails_too_often_becomes_a_dead_letter(mut scene: Scene) {
    scene.group = GroupName::parse("short-of-patience").expect("a name");
    scene.create_group(&scene.group, GroupOptions { attempts_max: 2, ..GroupOptions::default() }).await;
    let message = Message {
        tag: Some("poison".to_owned()),
        properties: vec![("why".to_owned(), "unknown".to_owned())],
        ..text("poison")
    };
    scene.send(message.clone()).await;
    for attempt in 1..=2 {
        assert_eq!(scene.receive_one(scene.subject.invisible_min).await.attempt, attempt);
    }
    // The next receive moves it.
    let gone = scene.receive(scene.request(scene.subject.invisible_min * 3, LONG)).await;
    assert_eq!(gone, [], "it is not handed out a third time");

    scene.topic = TopicName::dead_letters_of(&scene.group).expect("a name");
    scene.group = group("dead", "letters");
    scene.create_group(&scene.group, GroupOptions::default()).await;
    let letter = scene.receive_one(LONG).await;
    assert_eq!((letter.message, letter.attempt), (message, 1));
}

async fn the_same_id_of_two_senders_is_two_messages(scene: Scene) {
    let by = |sender: Option<&str>| {
        let sender = sender.map(str::to_owned);
        scene.queue().send_wait(&scene.topic, Message { sender, client_message_id: Some("1".to_owned()), ..text("x") })
    };
    let senders = [Some("alice"), Some("bob"), None];
    let mut ids = BTreeSet::new();
    for sender in senders.into_iter().chain(senders) {
        ids.insert(by(sender).await.expect("send"));
    }
    assert_eq!((ids.len(), scene.receive_bodies(3).await.len()), (3, 3));
    scene.expect_nothing().await;
}

async fn what_its_consumer_gives_up_becomes_a_dead_letter_at_once(mut scene: Scene) {
    let message = Message { tag: Some("poison".to_owned()), ..text("poison") };
    scene.send(message.clone()).await;
    let delivery = scene.receive_one(LONG).await;
    scene.queue().give_up(delivery.receipt.clone()).await.expect("give_up");
    for over in [scene.queue().give_up(delivery.receipt.clone()).await, scene.queue().ack(delivery.receipt).await] {
        assert_eq!(over, Err(AckError::Expired));
    }
    assert_eq!(scene.queue().give_up(Receipt::new("none")).await, Err(AckError::Malformed));
    scene.expect_nothing().await;
    scene.topic = TopicName::dead_letters_of(&scene.group).expect("a name");
    let letter = scene.receive_one(LONG).await;
    assert_eq!((letter.message, letter.attempt), (message, 1));
    // Its topic is one of the group's, too: nothing goes round.
    scene.queue().ack(letter.receipt).await.expect("ack");
    scene.expect_nothing().await;
}

async fn a_group_is_as_it_was_made_last(scene: Scene) {
    for options in [GroupOptions { attempts_max: 3, is_fifo: true }, GroupOptions { attempts_max: 4, is_fifo: false }] {
        scene.create_group(&scene.group, options).await;
        assert_eq!(scene.queue().group_options(scene.group.clone()).await, Ok(options));
    }
    let nobody = GroupName::parse("nobody").expect("a name");
    assert_eq!(scene.queue().group_options(nobody.clone()).await, Err(AdminError::UnknownGroup(nobody)));
}

async fn creating_what_exists_changes_nothing(scene: Scene) {
    scene.send(text("kept")).await;
    scene.queue().create_topic(scene.topic.clone()).await.expect("create_topic");
    scene.create_group(&scene.group, GroupOptions::default()).await;
    assert_eq!(body(&scene.receive_one(LONG).await), "kept");
}

async fn what_does_not_exist_is_refused_by_name(scene: Scene) {
    let nowhere = TopicName::parse("nowhere").expect("a name");
    let nobody = GroupName::parse("nobody").expect("a name");
    let sent = scene.queue().send_wait(&nowhere, text("lost")).await;
    assert_eq!(sent, Err(SendError::UnknownTopic(nowhere.clone())));
    let request = ReceiveRequest { topic: nowhere.clone(), ..scene.request(Duration::ZERO, LONG) };
    assert_eq!(scene.queue().receive(request).await, Err(ReceiveError::UnknownTopic(nowhere.clone())));
    let request = ReceiveRequest { group: nobody.clone(), ..scene.request(Duration::ZERO, LONG) };
    assert_eq!(scene.queue().receive(request).await, Err(ReceiveError::UnknownGroup(nobody)));
    let described = scene.queue().describe(nowhere.clone()).await;
    assert_eq!(described, Err(AdminError::UnknownTopic(nowhere)));
    assert_eq!(scene.queue().ack(Receipt::new("not a receipt")).await, Err(AckError::Malformed));
}

async fn what_passes_a_limit_is_refused(scene: Scene) {
    let too_large = Message { body: vec![0; BODY_BYTES_MAX + 1].into(), ..Message::default() };
    let sent = scene.queue().send_wait(&scene.topic, too_large).await;
    assert!(matches!(sent, Err(SendError::Invalid(_))), "{sent:?}");
    for invisible in [Duration::ZERO, INVISIBLE_MAX + Duration::from_millis(1)] {
        let received = scene.queue().receive(scene.request(Duration::ZERO, invisible)).await;
        assert!(matches!(received, Err(ReceiveError::InvisibleTime { .. })), "{received:?}");
    }
    let largest = Message { body: vec![7; BODY_BYTES_MAX].into(), ..Message::default() };
    scene.send(largest.clone()).await;
    assert_eq!(scene.receive_one(LONG).await.message, largest);
}

async fn a_topic_takes_messages_of_its_own_type_alone(scene: Scene) {
    let grouped = Message { message_group: Some("group".to_owned()), ..text("grouped") };
    let delayed = Message { deliver_at_ms: Some(1), ..text("delayed") };
    for (message, message_type) in [(grouped, TopicType::Fifo), (delayed, TopicType::Delay)] {
        let (topic, topic_type) = (scene.topic.clone(), TopicType::Normal);
        let refused = scene.queue().send_wait(&scene.topic, message).await;
        assert_eq!(refused, Err(SendError::WrongType { topic, topic_type, message_type }));
    }
    scene.expect_nothing().await;
    let again = scene.queue().create_topic_of(scene.topic.clone(), TopicType::Normal).await;
    assert_eq!(again, Ok(()));
}

/// The scene's topic becomes another one, of this type.
async fn of_type(mut scene: Scene, topic_type: TopicType) -> Scene {
    let name = format!("{}-{topic_type}", scene.topic);
    scene.topic = TopicName::parse(&name).expect("a name");
    let created = scene.queue().create_topic_of(scene.topic.clone(), topic_type).await;
    assert_eq!(created, Ok(()), "this engine has topics of type {topic_type}");
    scene
}

async fn a_delayed_message_comes_at_its_time_and_not_before(scene: Scene) {
    let scene = of_type(scene, TopicType::Delay).await;
    let (late, early) = (scene.delayed("late", scene.soon() * 4), scene.delayed("early", scene.soon() * 2));
    let mut sent = Vec::new();
    for message in [late, early] {
        let id = scene.queue().send_wait(&scene.topic, message.clone()).await.expect("send");
        sent.insert(0, (id, message));
    }
    scene.expect_nothing().await;
    let described = scene.queue().describe(scene.topic.clone()).await.expect("describe");
    assert_eq!((described.topic_type, described.messages, described.delayed), (TopicType::Delay, 0, 2));
    for (id, message) in sent {
        let delivery = scene.receive_one(LONG).await;
        assert!(message.deliver_at_ms.is_some_and(|at_ms| at_ms <= scene.subject.clock.now_ms()), "it comes too early");
        assert_eq!((delivery.message_id, delivery.message, delivery.attempt), (id, message, 1));
        scene.queue().ack(delivery.receipt).await.expect("ack");
    }
    scene.expect_nothing().await;
}

async fn a_delivery_time_in_the_past_means_at_once(scene: Scene) {
    let scene = of_type(scene, TopicType::Delay).await;
    let message = Message { deliver_at_ms: Some(1), ..text("at once") };
    scene.send(message.clone()).await;
    assert_eq!(scene.receive_one(LONG).await.message, message);
}

async fn a_recalled_message_never_comes(scene: Scene) {
    let scene = of_type(scene, TopicType::Delay).await;
    let id = scene.queue().send_wait(&scene.topic, scene.delayed("recalled", scene.soon() * 4)).await.expect("send");
    scene.send(scene.delayed("not recalled", scene.soon() * 4)).await;
    let recall = |id: &MessageId| scene.queue().recall(scene.topic.clone(), id.clone());
    assert_eq!(recall(&id).await, Ok(true));
    assert_eq!(recall(&id).await, Ok(false), "a second time");
    let other = scene.receive_one(LONG).await;
    assert_eq!(body(&other), "not recalled");
    assert_eq!(recall(&other.message_id).await, Ok(false), "it has come already");
    scene.expect_nothing().await;
}

async fn a_delivery_time_too_far_ahead_is_refused(scene: Scene) {
    let scene = of_type(scene, TopicType::Delay).await;
    let refused = scene.queue().send_wait(&scene.topic, scene.delayed("far", DELAY_MAX + LONG)).await;
    assert!(matches!(refused, Err(SendError::Invalid(InvalidMessage::DeliveryTime { .. }))), "{refused:?}");
    scene.expect_nothing().await;
}

fn grouped(group: &str, body: &str) -> Message {
    Message { message_group: Some(group.to_owned()), ..text(body) }
}

/// The scene's topic is one of message groups, with `a1 a2 b1 a3` in it, each of the group of its letter.
async fn with_groups(scene: Scene) -> Scene {
    let scene = of_type(scene, TopicType::Fifo).await;
    for body in ["a1", "a2", "b1", "a3"] {
        scene.send(grouped(&body[..1], body)).await;
    }
    scene
}

async fn of_each_message_group_one_is_out_at_a_time(scene: Scene) {
    let scene = with_groups(scene).await;
    let mut out = Vec::new();
    while out.len() < 2 {
        out.extend(scene.receive(scene.request(scene.subject.patience, LONG)).await);
    }
    assert_eq!(out.iter().map(body).collect::<Vec<_>>(), ["a1", "b1"]);
    scene.expect_nothing().await;
    for next in ["a2", "a3"] {
        scene.queue().ack(out.remove(0).receipt).await.expect("ack");
        out.insert(0, scene.receive_one(LONG).await);
        assert_eq!((body(&out[0]), out[0].attempt), (next.to_owned(), 1));
        assert_eq!(out[0].message.message_group.as_deref(), Some("a"));
    }
    scene.expect_nothing().await;
    let plain = scene.queue().send_wait(&scene.topic, text("of no group")).await;
    assert!(matches!(plain, Err(SendError::WrongType { topic_type: TopicType::Fifo, .. })), "{plain:?}");
}

async fn a_message_group_keeps_its_order_over_redelivery(scene: Scene) {
    let scene = with_groups(scene).await;
    let mut came = Vec::new();
    while came.last().is_none_or(|last: &(String, u32)| last.0 != "a3") {
        for delivery in scene.receive(scene.request(scene.subject.patience, scene.soon())).await {
            came.push((body(&delivery), delivery.attempt));
            if delivery.attempt > 1 {
                scene.queue().ack(delivery.receipt).await.expect("ack");
            } else {
                scene.queue().change_invisible(delivery.receipt, Duration::ZERO).await.expect("change");
            }
        }
    }
    came.retain(|(body, _)| body.starts_with('a'));
    let expected = ["a1", "a2", "a3"].iter().flat_map(|body| [1, 2].map(|attempt| ((*body).to_owned(), attempt)));
    let last = came.len();
    assert_eq!(came, expected.take(last).collect::<Vec<_>>());
}

async fn a_message_of_a_group_that_fails_too_often_lets_the_next_one_come(scene: Scene) {
    let scene = with_groups(scene).await;
    scene.create_group(&scene.group, GroupOptions { attempts_max: 1, ..GroupOptions::default() }).await;
    let mut came = Vec::new();
    while came.len() < 4 {
        for delivery in scene.receive(scene.request(scene.subject.patience, LONG)).await {
            came.push(body(&delivery));
            scene.queue().change_invisible(delivery.receipt, Duration::ZERO).await.expect("change");
        }
    }
    came.retain(|body| body.starts_with('a'));
    assert_eq!(came, ["a1", "a2", "a3"]);
    let topic = TopicName::dead_letters_of(&scene.group).expect("a name");
    let mut letters = 0;
    while letters < 3 {
        let request = ReceiveRequest { topic: topic.clone(), ..scene.request(scene.subject.patience, LONG) };
        letters += scene.receive(request).await.len();
    }
}

async fn a_message_of_a_group_that_is_given_up_lets_the_next_one_come(scene: Scene) {
    let scene = with_groups(scene).await;
    let mut came = Vec::new();
    while came.len() < 4 {
        for delivery in scene.receive(scene.request(scene.subject.patience, LONG)).await {
            came.push((body(&delivery), delivery.attempt));
            scene.queue().give_up(delivery.receipt).await.expect("give_up");
        }
    }
    came.retain(|(body, _)| body.starts_with('a'));
    assert_eq!(came, ["a1", "a2", "a3"].map(|body| (body.to_owned(), 1)));
    scene.expect_nothing().await;
}

async fn each_consumer_group_has_its_own_order(mut scene: Scene) {
    scene = with_groups(scene).await;
    let first = scene.receive(scene.request(scene.subject.patience, LONG)).await;
    scene.queue().ack(first[0].receipt.clone()).await.expect("ack");
    scene.group = group("other", scene.topic.as_str());
    scene.create_group(&scene.group, GroupOptions::default()).await;
    let second = scene.receive(scene.request(scene.subject.patience, LONG)).await;
    assert_eq!(body(&second[0]), "a2", "the first one was consumed before the group came");
}

async fn what_is_sent_again_under_its_id_is_stored_once(scene: Scene) {
    let message = |body: &str, id: &str| Message { client_message_id: Some(id.to_owned()), ..text(body) };
    let send = |body: &str, id: &str| scene.queue().send_wait(&scene.topic, message(body, id));
    // At the same time, as a sender whose first try takes too long.
    let (first, again) = (send("first", "one"), send("again", "one"));
    let id = first.await.expect("send");
    assert_eq!(again.await.as_ref(), Ok(&id), "it is the same message");
    let delivery = scene.receive_one(LONG).await;
    assert_eq!((&delivery.message_id, body(&delivery)), (&id, "first".to_owned()));
    scene.queue().ack(delivery.receipt).await.expect("ack");
    assert_eq!(send("after its end", "one").await, Ok(id.clone()));
    scene.expect_nothing().await;
    let other = of_type(scene.clone(), TopicType::Fifo).await;
    let grouped = Message { client_message_id: Some("one".to_owned()), ..grouped("group", "elsewhere") };
    assert_ne!(other.queue().send_wait(&other.topic, grouped).await, Ok(id), "another topic has ids of its own");
    assert!(send("second", "two").await.is_ok());
    assert_eq!(body(&scene.receive_one(LONG).await), "second");
}

async fn no_other_log_is_taken_for_the_engines_own(scene: Scene) {
    let (other, _) = Log::open(ForgettingStorage::new().handle(), Options::default()).expect("a log in memory");
    assert!(scene.queue().atomic_ack(other.id()).is_none());
    assert!(scene.queue().atomic_ack(scene.log().clone().id()).is_some());
}

async fn a_prepared_message_is_held_back(scene: Scene) {
    scene.send(text("held")).await;
    let receipt = scene.receive_one(scene.soon()).await.receipt;
    let atomic = scene.atomic_ack();
    atomic.prepare(&receipt).expect("a valid receipt");
    assert_eq!(atomic.prepare(&receipt), Err(AckError::Expired), "a second time");
    assert_eq!(scene.queue().ack(receipt.clone()).await, Err(AckError::Expired), "the other way");
    let changed = scene.queue().change_invisible(receipt.clone(), LONG).await;
    assert_eq!(changed, Err(AckError::Expired));
    let due = scene.receive(scene.request(scene.soon() * 2, LONG)).await;
    assert_eq!(due, [], "its time is over, and it is held");
    atomic.abort(&receipt);
    assert_eq!(scene.receive_one(LONG).await.attempt, 2);
}

async fn an_aborted_acknowledgement_leaves_the_receipt_as_it_was(scene: Scene) {
    scene.send(text("tried")).await;
    let receipt = scene.receive_one(LONG).await.receipt;
    let atomic = scene.atomic_ack();
    let first = atomic.prepare(&receipt).expect("a valid receipt");
    atomic.abort(&receipt);
    scene.expect_nothing().await;
    assert_eq!(atomic.prepare(&receipt), Ok(first), "it is tried again");
    atomic.abort(&receipt);
    assert_eq!(scene.queue().ack(receipt).await, Ok(()));
}

async fn an_aborted_acknowledgement_lets_the_message_come_back_in_its_time(scene: Scene) {
    scene.send(text("again")).await;
    let receipt = scene.receive_one(scene.soon()).await.receipt;
    let atomic = scene.atomic_ack();
    atomic.prepare(&receipt).expect("a valid receipt");
    atomic.abort(&receipt);
    let second = scene.receive_one(LONG).await;
    assert_eq!((body(&second), second.attempt), ("again".to_owned(), 2));
    assert_eq!(atomic.prepare(&receipt), Err(AckError::Expired), "the first receipt has ended");
    atomic.prepare(&second.receipt).expect("a valid receipt");
}

async fn a_committed_acknowledgement_ends_the_message(scene: Scene) {
    scene.send(text("once")).await;
    let receipt = scene.receive_one(LONG).await.receipt;
    let atomic = scene.atomic_ack();
    let ack = atomic.prepare(&receipt).expect("a valid receipt");
    scene.append_with_own_record(&ack);
    atomic.commit(&receipt);
    assert_eq!(atomic.prepare(&receipt), Err(AckError::Expired));
    assert_eq!(scene.queue().ack(receipt.clone()).await, Err(AckError::Expired));
    atomic.abort(&receipt);
    scene.expect_nothing().await;
    let left = scene.queue().describe(scene.topic.clone()).await.expect("describe");
    assert_eq!(left.messages, 0, "the only group has consumed it");
}

async fn what_is_not_a_valid_receipt_is_not_prepared(scene: Scene) {
    let atomic = scene.atomic_ack();
    assert_eq!(atomic.prepare(&Receipt::new("not a receipt")), Err(AckError::Malformed));
    scene.send(text("done")).await;
    let receipt = scene.receive_one(LONG).await.receipt;
    assert_eq!(scene.queue().ack(receipt.clone()).await, Ok(()));
    assert_eq!(atomic.prepare(&receipt), Err(AckError::Expired), "it was acknowledged");
}
