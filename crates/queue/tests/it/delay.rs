//! Messages with a delivery time over stops, reclaimed segments and snapshots; what they take in memory.

use std::time::Duration;

use clock::Clock;
use clock::testing::TestMachine;
use commitlog::testing::ForgettingStorage;
use commitlog::{Log, Options};
use queue::{
    Delivery, Engine, EngineOptions, GroupOptions, InvalidMessage, Message, Queue, ReceiveRequest, SendError, TopicType,
};

use crate::world::{BEGIN_MS, LONG, bodies, engine_options, group, log_options, owned, request, text, topic};

const MINUTE_MS: u64 = 60_000;

/// A topic of delayed messages on a machine whose time the test lets pass.
struct Later {
    machine: TestMachine,
    clock: Clock,
    storage: ForgettingStorage,
    options: Options,
    log: Log,
    engine: Engine,
}

impl Later {
    async fn new(options: Options) -> Self {
        let (machine, storage) = (TestMachine::at(BEGIN_MS), ForgettingStorage::new());
        let clock = machine.clock(None);
        let (log, engine) = start(&storage, options.clone(), &clock);
        engine.create_topic_of(topic(), TopicType::Delay).await.unwrap();
        engine.create_group(group(), GroupOptions { attempts_max: 2, ..GroupOptions::default() }).await.unwrap();
        Self { machine, clock, storage, options, log, engine }
    }

    fn restart(&mut self) {
        (self.log, self.engine) = start(&self.storage, self.options.clone(), &self.clock);
    }

    fn after(&self, minutes: u64, body: &str) -> Message {
        Message { deliver_at_ms: Some(self.clock.now_ms() + minutes * MINUTE_MS), ..text(body) }
    }

    fn pass(&self, minutes: u64) {
        self.machine.pass(minutes * MINUTE_MS);
    }

    async fn receive(&self, wait: Duration) -> Vec<Delivery> {
        self.engine.receive(ReceiveRequest { max: 1, ..request(wait, LONG) }).await.unwrap()
    }

    async fn delayed(&self) -> u64 {
        self.engine.describe(topic()).await.unwrap().delayed
    }
}

fn start(storage: &ForgettingStorage, options: Options, clock: &Clock) -> (Log, Engine) {
    let is_log_owner = options.owners > 0;
    let (log, replay) = Log::open(storage.handle(), options).unwrap();
    let mut recovery = Engine::recover(EngineOptions { is_log_owner, clock: clock.clone(), ..engine_options() });
    replay.run(|record| recovery.apply(record)).unwrap();
    let engine = recovery.start(log.clone());
    (log, engine)
}

#[tokio::test]
async fn delayed_messages_come_in_the_order_of_their_times_over_a_power_cut() {
    let mut world = Later::new(log_options()).await;
    for (minutes, body) in [(30, "third"), (10, "first"), (20, "second"), (90, "recalled")] {
        let id = world.engine.send_wait(&topic(), world.after(minutes, body)).await.unwrap();
        if body == "recalled" {
            assert_eq!(world.engine.recall(topic(), id).await, Ok(true));
        }
    }
    for stopped_for in [9, 11, 80] {
        world.storage.cut_power();
        world.pass(stopped_for);
        world.restart();
        if stopped_for == 9 {
            assert_eq!(world.receive(Duration::ZERO).await, []);
            assert_eq!(world.delayed().await, 3);
            continue;
        }
        for body in if stopped_for == 11 { ["first", "second"].as_slice() } else { &["third"] } {
            let delivery = world.receive(LONG).await.remove(0);
            assert_eq!(bodies(std::slice::from_ref(&delivery)), [((*body).to_owned(), 1)]);
            world.engine.ack(delivery.receipt).await.unwrap();
        }
    }
    assert_eq!((world.receive(Duration::ZERO).await, world.delayed().await), (vec![], 0));
}

#[tokio::test]
async fn a_delayed_message_keeps_its_id_and_becomes_a_dead_letter_like_any_other() {
    let mut world = Later::new(log_options()).await;
    let message = Message { tag: Some("tag".to_owned()), ..world.after(1, "fails") };
    let id = world.engine.send_wait(&topic(), message.clone()).await.unwrap();
    world.pass(2);
    for attempt in 1..=2 {
        let delivery = world.receive(LONG).await.remove(0);
        assert_eq!((&delivery.message_id, &delivery.message, delivery.attempt), (&id, &message, attempt));
        assert!(world.engine.holds(&topic(), &id));
        world.engine.change_invisible(delivery.receipt, Duration::ZERO).await.unwrap();
        world.log.close().unwrap();
        world.restart();
    }
    assert_eq!(world.receive(Duration::ZERO).await, []);
    let letters = queue::TopicName::dead_letters_of(&group()).unwrap();
    let letter = world.engine.receive(ReceiveRequest { topic: letters.clone(), ..request(LONG, LONG) }).await.unwrap();
    assert_eq!(letter[0].message, message);
    let again = world.engine.redrive(&letters, &letter[0].message_id, &topic(), &message).await.unwrap();
    assert!(again.is_some());
    assert_eq!(world.receive(LONG).await[0].message, message);
}

#[tokio::test]
async fn a_delivery_time_further_ahead_than_the_engine_was_told_is_refused() {
    let world = Later::new(log_options()).await;
    let send = async |minutes| world.engine.send_wait(&topic(), world.after(minutes, "far")).await;
    assert!(send(24 * 60).await.is_ok());
    let (ahead_ms, max_ms) = ((24 * 60 + 1) * MINUTE_MS, 24 * 60 * MINUTE_MS);
    let refused = Err(SendError::Invalid(InvalidMessage::DeliveryTime { ahead_ms, max_ms }));
    assert_eq!(send(24 * 60 + 1).await, refused);
}

#[tokio::test]
async fn what_waits_outlives_the_segments_in_which_it_was_written() {
    let mut world = Later::new(owned()).await;
    for n in 0..20_u64 {
        world.engine.send_wait(&topic(), world.after(10 + n % 2 * 60, &n.to_string())).await.unwrap();
    }
    world.pass(20);
    let entered = async |world: &Later| {
        while world.delayed().await > 10 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    entered(&world).await;
    // Of others, so that all comes to lie in segments that are wanted back.
    let begin = *world.log.segments().start();
    let other = crate::world::topic_name("other");
    world.engine.create_topic(other.clone()).await.unwrap();
    while *world.log.segments().start() < begin + 4 {
        let filler = Message { body: vec![1; 2000].into(), ..Message::default() };
        crate::world::send_patiently(&world.engine, &other, filler).await.unwrap();
        let due = world.engine.receive(ReceiveRequest { topic: other.clone(), ..request(LONG, LONG) }).await.unwrap();
        for delivery in due {
            world.engine.ack(delivery.receipt).await.unwrap();
        }
    }
    world.storage.cut_power();
    world.restart();
    assert_eq!(world.delayed().await, 10);
    let mut came = Vec::new();
    for minutes in [0, 60] {
        world.pass(minutes);
        for _ in 0..10 {
            let delivery = world.receive(LONG).await.remove(0);
            came.extend(bodies(std::slice::from_ref(&delivery)));
            world.engine.ack(delivery.receipt).await.unwrap();
        }
    }
    let expected = (0..2).flat_map(|odd| (0..10).map(move |n| ((2 * n + odd).to_string(), 1)));
    assert_eq!(came, expected.collect::<Vec<_>>());
}
