//! Messages that are sent again under their senders' ids.

use clock::testing::TestMachine;
use commitlog::testing::ForgettingStorage;
use commitlog::{Log, Options};
use queue::{Engine, EngineOptions, GroupOptions, Message, MessageId, Queue};
use std::time::Duration;

use crate::world::{BEGIN_MS, engine_options, group, log_options, owned, request, send_patiently, text, topic};

struct World {
    machine: TestMachine,
    storage: ForgettingStorage,
    options: Options,
    log: Log,
    engine: Engine,
}

impl World {
    async fn new(options: Options) -> Self {
        let (machine, storage) = (TestMachine::at(BEGIN_MS), ForgettingStorage::new());
        let (log, engine) = start(&storage, &options, &machine);
        engine.create_topic(topic()).await.unwrap();
        Self { machine, storage, options, log, engine }
    }

    fn cut_power(&mut self) {
        self.storage.cut_power();
        (self.log, self.engine) = start(&self.storage, &self.options, &self.machine);
    }

    async fn send(&self, id: &str) -> MessageId {
        let message = Message { client_message_id: Some(id.to_owned()), ..text(id) };
        self.engine.send_wait(&topic(), message).await.unwrap()
    }

    async fn messages(&self) -> u64 {
        self.engine.describe(topic()).await.unwrap().messages
    }
}

fn start(storage: &ForgettingStorage, options: &Options, machine: &TestMachine) -> (Log, Engine) {
    let is_log_owner = options.owners > 0;
    let (log, replay) = Log::open(storage.handle(), options.clone()).unwrap();
    let mut recovery = Engine::recover(EngineOptions { is_log_owner, clock: machine.clock(None), ..engine_options() });
    replay.run(|record| recovery.apply(record)).unwrap();
    let engine = recovery.start(log.clone());
    (log, engine)
}

#[tokio::test]
async fn an_id_is_known_for_two_minutes_over_a_power_cut_and_not_longer() {
    let mut world = World::new(log_options()).await;
    let id = world.send("one").await;
    world.machine.pass(60_000);
    world.cut_power();
    assert_eq!(world.send("one").await, id);
    world.machine.pass(59_000);
    assert_eq!((world.send("one").await, world.messages().await), (id.clone(), 1));
    world.machine.pass(2_000);
    world.cut_power();
    assert_ne!(world.send("one").await, id);
    assert_eq!(world.messages().await, 2);
}

#[tokio::test]
async fn what_was_taken_out_is_stored_when_it_comes_again_also_after_a_power_cut() {
    let mut world = World::new(log_options()).await;
    let first = world.send("one").await;
    assert!(world.engine.remove(&topic(), &first).await.unwrap());
    let second = world.send("one").await;
    assert_ne!(second, first);
    assert_eq!((world.send("one").await, world.messages().await), (second.clone(), 1));
    assert!(world.engine.remove(&topic(), &second).await.unwrap());
    world.cut_power();
    let third = world.send("one").await;
    assert!(third != first && third != second && world.messages().await == 1);
    world.cut_power();
    assert_eq!((world.send("one").await, world.messages().await), (third, 1));
}

#[tokio::test]
async fn an_id_outlives_its_message_and_the_segment_in_which_that_was() {
    let mut world = World::new(owned()).await;
    let mut ids = Vec::new();
    for n in 0..50 {
        ids.push(world.send(&n.to_string()).await);
    }
    world.engine.create_group(group(), GroupOptions::default()).await.unwrap();
    for _ in 0..2 {
        for delivery in world.engine.receive(request(Duration::ZERO, Duration::from_secs(60))).await.unwrap() {
            world.engine.ack(delivery.receipt).await.unwrap();
        }
    }
    assert_eq!(world.messages().await, 0, "all are consumed");
    // Once more, so that what is said again is said again, too.
    for _ in 0..2 {
        let begin = *world.log.segments().start();
        while *world.log.segments().start() < begin + 8 {
            let filler = Message { body: vec![1; 2000].into(), ..Message::default() };
            send_patiently(&world.engine, &topic(), filler).await.unwrap();
            let look = queue::Look { topic: topic(), newest_first: false, after: None, max: 10, bytes_max: usize::MAX };
            for seen in world.engine.look(&look).unwrap().0 {
                world.engine.remove(&topic(), &seen.message_id).await.unwrap();
            }
        }
        world.cut_power();
    }
    for (n, id) in ids.iter().enumerate() {
        assert_eq!(world.send(&n.to_string()).await, *id);
    }
}
