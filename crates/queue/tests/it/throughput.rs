//! How much two threads get done on eight topics of one engine. Run by hand, on a storage that costs nothing:
//! `cargo test -p queue --test it throughput -- --ignored --nocapture`.

use std::sync::Arc;
use std::time::{Duration, Instant};

use commitlog::testing::ForgettingStorage;
use commitlog::{Log, Options};
use queue::{Engine, GroupOptions, Message, Queue, ReceiveRequest, TagFilter, TopicName};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::world::{LONG, engine_options, group, send_patiently, topic_name};

const TOPICS: usize = 8;
const MESSAGES: usize = 4_000;
/// Sends of one topic on their way to the disk.
const IN_FLIGHT: usize = 64;
const ROUNDS: usize = 5;

fn topic(n: usize) -> TopicName {
    topic_name(&format!("topic{n}"))
}

async fn engine() -> Engine {
    let (log, _) = Log::open(ForgettingStorage::new().handle(), Options::default()).unwrap();
    let engine = Engine::recover(engine_options()).start(log);
    engine.create_group(group(), GroupOptions::default()).await.unwrap();
    for n in 0..TOPICS {
        engine.create_topic(topic(n)).await.unwrap();
    }
    engine
}

async fn send(engine: Engine, topic: TopicName) {
    let places = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut sends = tokio::task::JoinSet::new();
    for _ in 0..MESSAGES {
        let place = Arc::clone(&places).acquire_owned().await.unwrap();
        let (engine, topic) = (engine.clone(), topic.clone());
        sends.spawn(async move {
            let message = Message { body: vec![b'x'; 200].into(), ..Message::default() };
            send_patiently(&engine, &topic, message).await.unwrap();
            drop(place);
        });
    }
    sends.join_all().await;
}

async fn consume(engine: Engine, topic: TopicName) {
    let mut consumed = 0;
    while consumed < MESSAGES {
        let (filter, topic) = (TagFilter::All, topic.clone());
        let request = ReceiveRequest { group: group(), topic, filter, max: 32, wait: LONG, invisible: LONG };
        let deliveries = engine.receive(request).await.unwrap();
        consumed += deliveries.len();
        let acks = deliveries.into_iter().map(|delivery| engine.ack(delivery.receipt));
        for ack in acks.collect::<Vec<_>>() {
            ack.await.unwrap();
        }
    }
}

async fn measure(begin: fn(Engine, TopicName) -> JoinHandle<()>, engine: &Engine) -> Duration {
    let begun = Instant::now();
    let tasks: Vec<_> = (0..TOPICS).map(|n| begin(engine.clone(), topic(n))).collect();
    for task in tasks {
        task.await.unwrap();
    }
    begun.elapsed()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "it measures"]
async fn sends_and_hand_outs_of_eight_topics() {
    let per_second = |took: Duration| (TOPICS * MESSAGES) as f64 / took.as_secs_f64();
    for round in 0..ROUNDS {
        let engine = engine().await;
        let sends = measure(|engine, topic| tokio::spawn(send(engine, topic)), &engine).await;
        let consumes = measure(|engine, topic| tokio::spawn(consume(engine, topic)), &engine).await;
        println!("round {round}: {:.0} sends/s, {:.0} consumed/s", per_second(sends), per_second(consumes));
    }
}
