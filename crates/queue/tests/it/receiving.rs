//! Receives that wait and are woken, and many members of one group.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use queue::limits::{RECEIVE_BYTES_MAX, ROOM_UNIT};
use queue::{Delivery, Message, Place, Queue, ReceiveError, ReceiveRequest, Room, TagFilter};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::world::{LONG, World, bodies, request, send_patiently, text, topic};

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

const LARGE: usize = 300 << 10;

/// A room for so many receives that take all they may.
fn room(receives: usize) -> Room {
    Room::of([Arc::new(Semaphore::new(receives * RECEIVE_BYTES_MAX / ROOM_UNIT))])
}

async fn receive_within(world: &World, room: &Room, wait: Duration) -> (Vec<Delivery>, Place) {
    let one = ReceiveRequest { max: 1, ..request(wait, LONG) };
    world.engine.receive_within(one, room.clone()).await.unwrap()
}

fn held_bytes(held: &[(Vec<Delivery>, Place)]) -> usize {
    held.iter().flat_map(|(deliveries, _)| deliveries).map(|delivery| delivery.message.bytes()).sum()
}

#[tokio::test]
async fn what_unread_receives_hold_stays_within_their_room_and_nothing_is_handed_out_without() {
    let world = World::new().await;
    let (own, others) = (room(2), room(1));
    for _ in 0..2 * RECEIVE_BYTES_MAX / LARGE {
        let body = vec![1; LARGE].into();
        send_patiently(&world.engine, &topic(), Message { body, ..Message::default() }).await.unwrap();
    }
    let mut held = Vec::new();
    for _ in 0..200 {
        held.push(receive_within(&world, &own, Duration::ZERO).await);
    }
    let count = held.iter().flat_map(|(deliveries, _)| deliveries).count();
    assert!(held_bytes(&held) + 2 * LARGE > RECEIVE_BYTES_MAX && held_bytes(&held) <= 2 * RECEIVE_BYTES_MAX, "{count}");
    assert_eq!(world.engine.describe(topic()).await.unwrap().groups[0].in_flight, count as u64);

    // One that waits for room keeps no message from a member that has some.
    let waiting = {
        let (engine, own) = (world.engine.clone(), own.clone());
        tokio::spawn(async move { engine.receive_within(request(Duration::from_secs(50), LONG), own).await.unwrap() })
    };
    tokio::task::yield_now().await;
    assert_eq!(receive_within(&world, &others, Duration::ZERO).await.0.len(), 1);
    assert_eq!(world.engine.describe(topic()).await.unwrap().groups[0].in_flight, count as u64 + 1);
    held.clear();
    assert!(!waiting.await.unwrap().0.is_empty(), "there is room again");
}

#[tokio::test]
async fn a_receive_that_waits_for_messages_holds_no_place() {
    let world = World::new().await;
    let room = room(1);
    let waiting: Vec<_> = (0..3)
        .map(|_| {
            let (engine, room) = (world.engine.clone(), room.clone());
            let request = ReceiveRequest { max: 1, ..request(Duration::from_secs(50), LONG) };
            tokio::spawn(async move { engine.receive_within(request, room).await.unwrap().0 })
        })
        .collect();
    tokio::task::yield_now().await;
    assert!(room.try_reserve().is_some());
    for _ in &waiting {
        world.send("one for each").await;
    }
    for waiting in waiting {
        assert_eq!(waiting.await.unwrap().len(), 1);
    }
}

#[tokio::test]
async fn a_message_wakes_a_member_that_has_room_although_others_wait_before_it() {
    let world = World::new().await;
    let (full, free) = (room(1), room(1));
    let held = full.try_reserve();
    let mut waiting = Vec::new();
    for room in [&full, &full, &free] {
        let (engine, room) = (world.engine.clone(), room.clone());
        let request = request(Duration::from_secs(50), LONG);
        waiting.push(tokio::spawn(async move { engine.receive_within(request, room).await.unwrap().0 }));
        tokio::task::yield_now().await;
    }
    world.send("one").await;
    assert_eq!(bodies(&waiting.pop().unwrap().await.unwrap()), [("one".to_owned(), 1)]);
    drop(held);
    for (n, body) in ["two", "three"].into_iter().enumerate() {
        world.send(body).await;
        while waiting.iter().filter(|waiting| waiting.is_finished()).count() <= n {
            tokio::task::yield_now().await;
        }
    }
}
