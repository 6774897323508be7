//! Answers that their consumers do not read.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use clock::testing::TestMachine;
use commitlog::testing::ForgettingStorage;
use commitlog::{Log, Options};
use queue::limits::{RECEIVE_BYTES_MAX, ROOM_UNIT};
use queue::{Engine, EngineOptions, GroupOptions, Message, Queue};
use tokio::sync::watch;
use tokio_stream::StreamExt;

use super::*;
use crate::access::Access;

const LARGE: usize = 300 << 10;
const MESSAGES: usize = 60;

/// Everybody may do everything.
struct Open;

impl Access for Open {
    fn has_signed(&self, _: &str, _: &[u8], _: &[u8]) -> bool {
        true
    }

    fn may_use_topics(&self, _: &str) -> bool {
        true
    }

    fn may_send(&self, _: &str, _: &str, _: &str) -> bool {
        true
    }

    fn may_show(&self, _: &str, _: &str, _: &str) -> bool {
        true
    }

    fn may_receive(&self, _: &str, _: &str) -> bool {
        true
    }

    fn may_use_group(&self, _: &str, _: &str) -> bool {
        true
    }

    fn may_stamp(&self, _: &str) -> bool {
        true
    }
}

struct World {
    shared: Arc<Shared>,
    engine: Engine,
    _stop: watch::Sender<bool>,
}

impl World {
    /// With more messages than two receives may hold.
    async fn new() -> Self {
        let (log, _) = Log::open(ForgettingStorage::new().handle(), Options::default()).unwrap();
        let clock = TestMachine::at(1_800_000_000_000).clock(None);
        let engine = Engine::recover(EngineOptions { clock: clock.clone(), ..EngineOptions::default() }).start(log);
        let orders = TopicName::parse("orders").unwrap();
        engine.create_topic(orders.clone()).await.unwrap();
        engine.create_group(GroupName::parse("shop").unwrap(), GroupOptions::default()).await.unwrap();
        for _ in 0..MESSAGES {
            let body = vec![1; LARGE].into();
            engine.send_wait(&orders, Message { body, ..Message::default() }).await.unwrap();
        }
        let (stop, stopping) = watch::channel(false);
        let shared = Shared::new(Arc::new(engine.clone()), Arc::new(Open), clock, stopping);
        Self { shared, engine, _stop: stop }
    }

    /// What one poll that waits for nothing has been handed out.
    async fn poll(&self, key: &str) -> Received {
        let resource = |name: &str| Some(wire::Resource { name: name.to_owned(), ..wire::Resource::default() });
        let queue = wire::MessageQueue { topic: resource("orders"), ..wire::MessageQueue::default() };
        let request = wire::ReceiveMessageRequest {
            group: resource("shop"),
            message_queue: Some(queue),
            batch_size: 1,
            invisible_duration: Some(wire::Duration { seconds: 3_600, nanos: 0 }),
            ..wire::ReceiveMessageRequest::default()
        };
        let caller = Caller { key_id: key.into(), client_id: "client".into() };
        self.shared.receive(&caller, request, Some(Duration::ZERO)).await.unwrap()
    }

    async fn in_flight(&self) -> usize {
        let described = self.engine.describe(TopicName::parse("orders").unwrap()).await.unwrap();
        usize::try_from(described.groups[0].in_flight).unwrap()
    }

    fn free_units(&self, key: &str) -> usize {
        self.shared.answers.parts(&key.into())[0].available_permits()
    }
}

#[tokio::test(start_paused = true)]
async fn polls_that_read_nothing_are_handed_no_more_than_the_share_of_their_key() {
    let world = World::new().await;
    // The rest of its share is taken by others.
    let [share, _] = world.shared.answers.parts(&"greedy".into());
    let left = 2 * RECEIVE_BYTES_MAX / ROOM_UNIT;
    let _taken = share.try_acquire_many(u32::try_from(share.available_permits() - left).unwrap()).unwrap();

    let (mut answers, mut bytes) = (Vec::new(), 0);
    for _ in 0..600 {
        let received = world.poll("greedy").await;
        bytes += received.deliveries.iter().map(|delivery| delivery.message.bytes()).sum::<usize>();
        answers.push(world.shared.stream_of(Ok(received)));
    }
    assert!(bytes + 2 * LARGE > RECEIVE_BYTES_MAX && bytes <= 2 * RECEIVE_BYTES_MAX, "{bytes}");
    assert_eq!(world.in_flight().await, bytes / LARGE, "what has no room is not handed out");
    assert_eq!(world.poll("other").await.deliveries.len(), 1);

    answers.clear();
    assert_eq!(world.poll("greedy").await.deliveries.len(), 1, "there is room again");
}

#[tokio::test(start_paused = true)]
async fn what_a_consumer_does_not_read_on_has_its_place_until_its_stream_ends() {
    let world = World::new().await;
    let all = world.free_units("greedy");
    let received = world.poll("greedy").await;
    let mut answer = world.shared.stream_of(Ok(received));
    answer.next().await.unwrap().unwrap();
    answer.next().await.unwrap().unwrap();
    // The message is on its way, and the rest is given up.
    tokio::time::sleep(2 * ANSWER_STEP_MAX).await;
    assert!(world.free_units("greedy") <= all - LARGE / ROOM_UNIT);
    drop(answer);
    assert_eq!(world.free_units("greedy"), all);
}
