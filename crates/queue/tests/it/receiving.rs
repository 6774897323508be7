//! Receives that wait and are woken, and many members of one group.

use std::collections::HashSet;
use std::time::Duration;

use queue::{Queue, ReceiveError, ReceiveRequest, TagFilter};
use tokio::time::Instant;

use crate::world::{LONG, World, bodies, request, text, topic};

#[tokio::test(start_paused = true)]
async fn a_receive_without_messages_ends_after_its_wait() {
    let world = World::new().await;
    let begin = Instant::now();
    assert_eq!(world.receive(Duration::from_secs(7), LONG).await, []);
    assert_eq!(begin.elapsed().as_secs(), 7);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_gets_what_becomes_due_meanwhile() {
    let world = World::new().await;
    world.send("one").await;
    world.receive(Duration::ZERO, Duration::from_secs(10)).await;
    let begin = Instant::now();
    let due = world.receive(Duration::from_secs(30), LONG).await;
    assert_eq!(bodies(&due), [("one".to_owned(), 2)]);
    assert_eq!(begin.elapsed().as_secs(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_waiting_receive_learns_of_a_time_that_was_made_shorter() {
    let world = World::new().await;
    world.send("one").await;
    let receipt = world.receive_due().await.remove(0).receipt;
    let begin = Instant::now();
    let engine = world.engine.clone();
    let waiting = tokio::spawn(async move { engine.receive(request(Duration::from_secs(50), LONG)).await });
    tokio::task::yield_now().await;
    world.engine.change_invisible(receipt, Duration::from_secs(3)).await.unwrap();
    assert_eq!(bodies(&waiting.await.unwrap().unwrap()), [("one".to_owned(), 2)]);
    assert_eq!(begin.elapsed().as_secs(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_share_the_messages_without_getting_one_twice() {
    let world = World::new().await;
    let members: Vec<_> = (0..8)
        .map(|_| {
            let engine = world.engine.clone();
            tokio::spawn(async move {
                let mut seen = Vec::new();
                loop {
                    let request = ReceiveRequest { max: 1, ..request(Duration::from_secs(60), LONG) };
                    let deliveries = engine.receive(request).await.unwrap();
                    for delivery in deliveries {
                        engine.ack(delivery.receipt).await.unwrap();
                        let body = String::from_utf8(delivery.message.body.to_vec()).unwrap();
                        if body == "end" {
                            return seen;
                        }
                        seen.push(body);
                    }
                }
            })
        })
        .collect();
    for n in 0..200 {
        world.send(&n.to_string()).await;
    }
    for _ in &members {
        world.send("end").await;
    }
    let mut all = Vec::new();
    for member in members {
        all.extend(member.await.unwrap());
    }
    assert_eq!(all.len(), 200);
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), 200);
}

#[tokio::test]
async fn a_send_is_answered_only_when_it_is_durable() {
    let world = World::new().await;
    world.storage.hold_syncs();
    let sent = world.engine.send_wait(&topic(), text("one"));
    let mut sent = tokio::spawn(sent);
    tokio::task::yield_now().await;
    assert_eq!(world.receive_due().await, [], "nor is it handed out");
    assert!(futures_pending(&mut sent).await);
    world.storage.release_syncs();
    sent.await.unwrap().unwrap();
    assert_eq!(world.receive_due().await.len(), 1);
}

async fn futures_pending<T>(task: &mut tokio::task::JoinHandle<T>) -> bool {
    tokio::select! {
        biased;
        _ = task => false,
        () = std::future::ready(()) => true,
    }
}

#[tokio::test]
async fn more_waiting_receives_than_allowed_are_refused() {
    let world = World::new().await;
    let mut waiting = tokio::task::JoinSet::new();
    for _ in 0..queue::limits::WAITERS_MAX {
        let engine = world.engine.clone();
        waiting.spawn(async move { engine.receive(request(Duration::from_secs(60), LONG)).await });
    }
    let refused = loop {
        match world.engine.receive(request(Duration::ZERO, LONG)).await {
            // Not all of them have begun to wait.
            Ok(_) => tokio::task::yield_now().await,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, ReceiveError::TooManyWaiters { max: 1024, .. }), "{refused:?}");
    waiting.shutdown().await;
    assert_eq!(world.receive_due().await, [], "their places are free again");
}

#[tokio::test(start_paused = true)]
async fn a_receive_that_is_given_up_loses_nothing() {
    let world = World::new().await;
    let engine = world.engine.clone();
    let waiting = tokio::spawn(async move { engine.receive(request(Duration::from_secs(60), LONG)).await });
    tokio::task::yield_now().await;
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    world.send("one").await;
    assert_eq!(bodies(&world.receive_due().await), [("one".to_owned(), 1)]);
}

#[tokio::test]
async fn a_filter_over_many_other_messages_still_finds_its_own() {
    let world = World::new().await;
    for n in 0..300 {
        world.engine.send(&topic(), text(&n.to_string()), Box::new(|_| {}));
    }
    let tagged = queue::Message { tag: Some("rare".to_owned()), ..text("found") };
    world.engine.send_wait(&topic(), tagged).await.unwrap();
    let filter = TagFilter::Tags(std::collections::BTreeSet::from(["rare".to_owned()]));
    let deliveries = world.engine.receive(ReceiveRequest { filter, ..request(LONG, LONG) }).await.unwrap();
    assert_eq!(bodies(&deliveries), [("found".to_owned(), 1)]);
}
