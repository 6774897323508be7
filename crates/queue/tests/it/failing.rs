//! Failures: the disk fails or is full, the engine is closed.

use std::io::ErrorKind;
use std::time::Duration;

use clock::testing::TestMachine;
use commitlog::testing::{Call, ForgettingStorage};
use commitlog::{Log, Need, NewRecord, Options, Part};
use queue::{
    AckError, Engine, EngineOptions, GroupOptions, Message, Queue, ReceiveError, ReceiveRequest, SendError, TopicName,
    TopicType, Unavailable,
};
use tokio::sync::oneshot;

use crate::world::{BEGIN_MS, LONG, SHORT, World, bodies, engine_options, group, log_options, request, text, topic};

#[tokio::test]
async fn a_failed_sync_answers_all_who_wait_with_an_error() {
    let world = World::new().await;
    world.send("one").await;
    let receipt = world.receive_due().await.remove(0).receipt;
    let engine = world.engine.clone();
    let waiting = tokio::spawn(async move { engine.receive(request(Duration::from_secs(60), LONG)).await });
    tokio::task::yield_now().await;
    world.settle().await;
    // Made in the background: its sync is not the one that is to fail.
    while world.storage.content("00000000000000000002.segment").is_err() {
        tokio::task::yield_now().await;
    }
    world.storage.fail(Call::Sync, 0, ErrorKind::Other);
    let (sent, acked) = tokio::join!(world.engine.send_wait(&topic(), text("two")), world.engine.ack(receipt));
    assert!(matches!(sent, Err(SendError::Unavailable(Unavailable::Failed(_)))), "{sent:?}");
    assert!(matches!(acked, Err(AckError::Unavailable(Unavailable::Failed(_)))), "{acked:?}");
    let received = waiting.await.unwrap();
    assert!(matches!(received, Err(ReceiveError::Unavailable(Unavailable::Failed(_)))), "{received:?}");
    let sent = world.engine.send_wait(&topic(), text("three")).await;
    assert!(matches!(sent, Err(SendError::Unavailable(Unavailable::Failed(_)))), "{sent:?}");
}

#[tokio::test]
async fn on_a_full_disk_sends_are_refused_and_consuming_goes_on() {
    let world = World::with(Options { segment_size: 16 << 10, reserve_bytes: 4 << 10, ..log_options() }).await;
    world.storage.set_full(true);
    let mut sent = 0;
    let refusal = loop {
        match world.engine.send_wait(&topic(), text(&"x".repeat(400))).await {
            Ok(_) => sent += 1,
            // The next segment is still being made.
            Err(SendError::Unavailable(Unavailable::Busy)) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(refusal, SendError::Unavailable(Unavailable::Full));
    let mut consumed = 0;
    while consumed < sent.min(5) {
        for delivery in world.receive(Duration::ZERO, LONG).await.into_iter().take(5) {
            world.engine.ack(delivery.receipt).await.unwrap();
            consumed += 1;
        }
    }
    world.storage.set_full(false);
    while world.engine.send_wait(&topic(), text("again")).await.is_err() {
        tokio::task::yield_now().await;
    }
}

/// Also when acknowledgements have used more of the reserve than what is noted about those who work may.
#[tokio::test]
async fn on_a_full_disk_a_delayed_message_still_comes_at_its_time() {
    let storage = ForgettingStorage::new();
    let options = Options { segment_size: 16 << 10, reserve_bytes: 4 << 10, ..log_options() };
    let machine = TestMachine::at(BEGIN_MS);
    let (log, _) = Log::open(storage.handle(), options).unwrap();
    let options = EngineOptions { clock: machine.clock(None), ..engine_options() };
    let engine = Engine::recover(options).start(log.clone());
    let later = TopicName::parse("later").unwrap();
    engine.create_topic(topic()).await.unwrap();
    engine.create_topic_of(later.clone(), TopicType::Delay).await.unwrap();
    engine.create_group(group(), GroupOptions::default()).await.unwrap();
    let delayed = Message { deliver_at_ms: Some(BEGIN_MS + 60_000), ..text("later") };
    engine.send_wait(&later, delayed).await.unwrap();
    storage.set_full(true);
    let refusal = loop {
        match engine.send_wait(&topic(), text(&"x".repeat(200))).await {
            Ok(_) => {}
            Err(SendError::Unavailable(Unavailable::Busy)) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert_eq!(refusal, SendError::Unavailable(Unavailable::Full));
    let noted = || log.append(Need::Housekeeping, &[NewRecord::new(0x40, 0, &[Part::Bytes(&[0; 32])])]);
    while noted().is_ok() {
        let delivery =
            engine.receive(ReceiveRequest { max: 1, ..request(Duration::ZERO, LONG) }).await.unwrap().remove(0);
        engine.ack(delivery.receipt).await.unwrap();
    }
    machine.pass(61_000);
    let due = engine.receive(ReceiveRequest { topic: later, ..request(LONG, LONG) }).await.unwrap();
    assert_eq!(bodies(&due), [("later".to_owned(), 1)]);
}

#[tokio::test]
async fn what_a_busy_queue_does_not_take_comes_back_and_can_be_tried_again() {
    let world = World::with(Options { pending_bytes_max: 4 << 10, ..log_options() }).await;
    world.storage.hold_syncs();
    let mut answers = Vec::new();
    let not_taken = loop {
        let (answer, answered) = oneshot::channel();
        let done = Box::new(move |result| answer.send(result).unwrap());
        match world.engine.try_send(&topic(), text(&format!("{}:{}", answers.len(), "x".repeat(1000))), done) {
            Ok(()) => answers.push(answered),
            Err(not_taken) => {
                answers.push(answered);
                break not_taken;
            }
        }
    };
    assert!(answers.len() > 1, "an idle queue takes a message");
    world.storage.release_syncs();
    let mut waiting = Some(not_taken);
    while let Some(again) = waiting.take() {
        waiting = world.engine.try_send(&topic(), again.message, again.done).err();
        tokio::task::yield_now().await;
    }
    let count = answers.len();
    for answer in answers {
        answer.await.unwrap().unwrap();
    }
    let received = world.receive_due().await;
    let number = |(body, _): &(String, u32)| body.split(':').next().unwrap().parse().unwrap();
    let numbers: Vec<usize> = bodies(&received).iter().map(number).collect();
    assert_eq!(numbers, (0..count).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_message_that_the_disk_has_damaged_keeps_no_other_back() {
    let world = World::new().await;
    for body in ["before", "damaged", "after"] {
        world.send(body).await;
    }
    damage(&world);
    assert_eq!(bodies(&world.receive_due().await), [("before".to_owned(), 1), ("after".to_owned(), 1)]);
    assert_eq!(bodies(&world.receive_due().await), []);
}

fn damage(world: &World) {
    let damage = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(7).position(|window| window == b"damaged").unwrap();
        bytes[at] = b'D';
    };
    world.storage.corrupt("00000000000000000001.segment", damage).unwrap();
}

/// The group has had the message as often as it may.
async fn world_with_dead_message() -> World {
    let world = World::new().await;
    world.engine.create_group(group(), GroupOptions { attempts_max: 1, ..GroupOptions::default() }).await.unwrap();
    world.send("damaged").await;
    assert_eq!(world.receive(Duration::ZERO, SHORT).await.len(), 1);
    tokio::time::sleep(SHORT).await;
    world
}

async fn messages_in(world: &World, topic: &TopicName) -> u64 {
    world.engine.describe(topic.clone()).await.map_or(0, |topic| topic.messages)
}

#[tokio::test(start_paused = true)]
async fn a_damaged_message_at_its_last_attempt_is_given_up() {
    let world = world_with_dead_message().await;
    damage(&world);
    assert_eq!(world.receive_due().await, []);
    world.settle().await;
    let described = world.engine.describe(topic()).await.unwrap();
    assert_eq!((described.messages, described.groups[0].in_flight, described.groups[0].due_again), (0, 0, 0));
    assert_eq!(messages_in(&world, &TopicName::dead_letters_of(&group()).unwrap()).await, 0);
    world.send("after").await;
    assert_eq!(bodies(&world.receive_due().await), [("after".to_owned(), 1)]);
}

/// The disk may have it the next time: a receive that waits tries again.
#[tokio::test(start_paused = true)]
async fn a_dead_letter_that_cannot_be_read_now_is_moved_when_it_can_be() {
    let world = world_with_dead_message().await;
    for after in 0..3 {
        world.storage.fail(Call::Read, after, ErrorKind::Other);
    }
    assert_eq!(world.receive(Duration::from_secs(60), LONG).await, []);
    world.settle().await;
    assert_eq!(world.storage.counts().injected, 3);
    assert_eq!(messages_in(&world, &topic()).await, 0);
    assert_eq!(messages_in(&world, &TopicName::dead_letters_of(&group()).unwrap()).await, 1);
}

#[tokio::test(start_paused = true)]
async fn receives_that_wait_try_a_dead_letter_that_cannot_be_read_only_now_and_then() {
    let world = world_with_dead_message().await;
    for after in 0..10_000 {
        world.storage.fail(Call::Read, after, ErrorKind::Other);
    }
    let wait = Duration::from_secs(60);
    tokio::join!(world.receive(wait, LONG), world.receive(wait, LONG), world.receive(wait, LONG));
    let tries = world.storage.counts().injected;
    assert!((2..100).contains(&tries), "{tries}");
    assert_eq!(messages_in(&world, &topic()).await, 1, "it is not lost");
}

#[tokio::test]
async fn a_closed_engine_lets_nobody_wait() {
    let world = World::new().await;
    let engine = world.engine.clone();
    let waiting = tokio::spawn(async move { engine.receive(request(Duration::from_secs(60), LONG)).await });
    tokio::task::yield_now().await;
    world.engine.close();
    let closed = ReceiveError::Unavailable(Unavailable::Closed);
    assert_eq!(waiting.await.unwrap(), Err(closed));
    let sent = world.engine.send_wait(&topic(), text("late")).await;
    assert_eq!(sent, Err(SendError::Unavailable(Unavailable::Closed)));
}

#[tokio::test]
async fn a_send_that_was_accepted_is_answered_by_the_close_of_the_log() {
    let world = World::new().await;
    let sent = world.engine.send_wait(&topic(), text("last"));
    world.engine.close();
    world.log.close().unwrap();
    assert!(sent.await.is_ok());
}
