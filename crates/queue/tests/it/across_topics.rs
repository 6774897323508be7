//! Units over two topics at the same time in both directions: dead letters, and letters that are tried again.

use std::collections::BTreeSet;
use std::time::Duration;

use queue::{Engine, GroupOptions, Look, MessageId, Queue, ReceiveRequest, TopicName};

use crate::world::{World, by, group, group_name, request, send_patiently, text, topic};

const MESSAGES: usize = 60;
const REDRIVEN: usize = 400;

fn letters() -> TopicName {
    TopicName::dead_letters_of(&group()).unwrap()
}

fn found(engine: &Engine, topic: TopicName) -> Vec<(MessageId, queue::Message)> {
    let look = Look { topic, newest_first: false, after: None, max: 10, bytes_max: usize::MAX };
    let seen = engine.look(&look).map(|(seen, _)| seen).unwrap_or_default();
    seen.into_iter().filter_map(|seen| Some((seen.message_id, seen.message?))).collect()
}

/// Each message is handed out once and becomes a dead letter.
async fn fail_all(engine: Engine) {
    loop {
        let request = request(Duration::from_secs(1), Duration::from_millis(1));
        drop(engine.receive(ReceiveRequest { max: 3, ..request }).await);
    }
}

async fn redrive_some(engine: Engine) {
    let mut redriven = 0;
    while redriven < REDRIVEN / 2 {
        for (id, message) in found(&engine, letters()) {
            redriven +=
                usize::from(engine.redrive(&letters(), &id, &topic(), &message).await.is_ok_and(|new| new.is_some()));
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn dead_letters_and_redrives_at_the_same_time_lose_nothing_and_come_to_an_end() {
    let world = World::new().await;
    world.engine.create_group(group(), GroupOptions { attempts_max: 1, ..GroupOptions::default() }).await.unwrap();
    for n in 0..MESSAGES {
        send_patiently(&world.engine, &topic(), text(&n.to_string())).await.unwrap();
    }
    let failing: Vec<_> = (0..2).map(|_| tokio::spawn(fail_all(world.engine.clone()))).collect();
    let redriving: Vec<_> = (0..2).map(|_| tokio::spawn(redrive_some(world.engine.clone()))).collect();
    // Options of groups are changed under all of it, and topics are described.
    for n in 0..50 {
        // The log may be busy with its next segment.
        drop(
            world
                .engine
                .create_group(group_name("other"), GroupOptions { attempts_max: 1 + n, ..GroupOptions::default() })
                .await,
        );
        drop(world.engine.describe_all());
        drop(world.engine.receive(by("other")).await);
    }
    for redriving in redriving {
        redriving.await.unwrap();
    }
    while world.engine.describe(letters()).await.unwrap().messages < MESSAGES as u64 {
        tokio::task::yield_now().await;
    }
    failing.iter().for_each(tokio::task::JoinHandle::abort);
    while world.engine.create_group(group_name("reader"), GroupOptions::default()).await.is_err() {
        tokio::task::yield_now().await;
    }
    let mut bodies = BTreeSet::new();
    while bodies.len() < MESSAGES {
        let deliveries = world.engine.receive(ReceiveRequest { topic: letters(), ..by("reader") }).await.unwrap();
        assert!(!deliveries.is_empty(), "{} of {MESSAGES} are there", bodies.len());
        for delivery in deliveries {
            assert!(bodies.insert(delivery.message.body), "each of them once");
        }
    }
}
