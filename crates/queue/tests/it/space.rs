//! The engine as an owner of its log: space comes back, and nothing that waits goes with it.

use std::time::Duration;

use commitlog::Log;
use queue::{GroupOptions, Queue, ReceiveRequest};

use crate::world::{
    LONG, SHORT, World, bodies, by, group_name, owned, request, send_patiently, text, topic, topic_name,
};

const FIRST: &str = "00000000000000000001.segment";

fn segments(log: &Log) -> u64 {
    log.segments().end() - log.segments().start() + 1
}

/// Sends to a topic of its own, and acknowledges it, until the log begins with this segment.
pub(crate) async fn work_until_log_begins_at(world: &World, segment: u64) {
    let busy = topic_name("busy");
    world.engine.create_topic(busy.clone()).await.unwrap();
    while *world.log.segments().start() < segment {
        send_patiently(&world.engine, &busy, text(&"x".repeat(1000))).await.unwrap();
        let request = ReceiveRequest { topic: busy.clone(), ..request(LONG, LONG) };
        for delivery in world.engine.receive(request).await.unwrap() {
            world.engine.ack(delivery.receipt).await.unwrap();
        }
        assert!(segments(&world.log) < 200, "no space comes back");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

#[tokio::test]
async fn what_a_group_never_receives_is_carried_while_the_space_of_all_else_comes_back() {
    let mut world = World::with(owned()).await;
    world
        .engine
        .create_group(group_name("idle"), GroupOptions { attempts_max: 7, ..GroupOptions::default() })
        .await
        .unwrap();
    world.engine.receive(by("idle")).await.unwrap();
    for n in 0..20 {
        world.send(&n.to_string()).await;
    }
    work_until_log_begins_at(&world, 40).await;
    // The keeper asks now and then, so the log may be behind while it is written to.
    let settled = async {
        while segments(&world.log) >= 15 {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let settled = tokio::time::timeout(Duration::from_secs(60), settled).await;
    assert!(settled.is_ok(), "{} segments stay", segments(&world.log));
    world.cut_power();
    world.cut_power();
    let expected: Vec<_> = (0..20).map(|n| (n.to_string(), 1)).collect();
    assert_eq!(bodies(&world.engine.receive(by("idle")).await.unwrap()), expected);
}

#[tokio::test]
async fn hand_outs_and_what_a_group_has_consumed_outlive_the_segments_that_said_so() {
    let mut world = World::with(owned()).await;
    for group in ["one", "two"] {
        world
            .engine
            .create_group(group_name(group), GroupOptions { attempts_max: 9, ..GroupOptions::default() })
            .await
            .unwrap();
        world.engine.receive(by(group)).await.unwrap();
    }
    for n in 0..6 {
        world.send(&n.to_string()).await;
    }
    // Of group one, 0 and 1 are consumed, 2 and 3 in flight for the second time, and 4 and 5 were not handed out.
    for attempt in 1..=2 {
        let four = ReceiveRequest { max: 4 - 2 * (attempt - 1), invisible: SHORT, ..by("one") };
        for delivery in world.engine.receive(four).await.unwrap().into_iter().take(4 - 2 * attempt) {
            world.engine.ack(delivery.receipt).await.unwrap();
        }
        tokio::time::sleep(2 * SHORT).await;
    }
    work_until_log_begins_at(&world, 12).await;
    world.cut_power();
    let due = |pairs: &[(u32, u32)]| pairs.iter().map(|(n, attempt)| (n.to_string(), *attempt)).collect::<Vec<_>>();
    assert_eq!(bodies(&world.engine.receive(by("one")).await.unwrap()), due(&[(2, 3), (3, 3), (4, 1), (5, 1)]));
    let all: Vec<_> = (0..6).map(|n| (n, 1)).collect();
    assert_eq!(bodies(&world.engine.receive(by("two")).await.unwrap()), due(&all));
}

#[tokio::test]
async fn a_message_whose_acknowledgement_is_prepared_keeps_its_segment_until_that_is_decided() {
    let world = World::with(owned()).await;
    world.send("held").await;
    let held = world.receive_due().await.remove(0);
    let segment = *world.log.segments().start();
    let atomic = world.engine.atomic_ack(world.log.id()).unwrap();
    atomic.prepare(&held.receipt).unwrap();
    let busy = async {
        let work = work_until_log_begins_at(&world, segment + 1);
        tokio::time::timeout(Duration::from_millis(600), work).await
    };
    assert!(busy.await.is_err(), "the segment was given back");
    atomic.abort(&held.receipt);
    work_until_log_begins_at(&world, segment + 1).await;
    world.engine.ack(held.receipt).await.unwrap();
}

/// Changes a byte of all that is there of this text in the first segment.
fn damage_first_segment(world: &World, text: &str) {
    let damage = |bytes: &mut Vec<u8>| {
        let mut damaged = 0;
        for at in 0..bytes.len() - text.len() {
            if bytes[at..].starts_with(text.as_bytes()) {
                bytes[at] ^= 1;
                damaged += 1;
            }
        }
        assert!(damaged > 0, "{text} is not there");
    };
    world.storage.corrupt(FIRST, damage).unwrap();
}

/// An idle group to which three messages wait.
async fn world_with_three_messages() -> World {
    let world = World::with(owned()).await;
    world
        .engine
        .create_group(group_name("idle"), GroupOptions { attempts_max: 7, ..GroupOptions::default() })
        .await
        .unwrap();
    world.engine.receive(by("idle")).await.unwrap();
    for body in ["before", "damaged", "after"] {
        world.send(body).await;
    }
    world
}

#[tokio::test]
async fn a_message_that_the_disk_has_damaged_is_lost_alone_and_keeps_no_space() {
    let mut world = world_with_three_messages().await;
    damage_first_segment(&world, "damaged");
    work_until_log_begins_at(&world, 12).await;
    for _ in 0..2 {
        assert_eq!(world.engine.describe(topic()).await.unwrap().messages, 2, "it is not waited for any more");
        let received = bodies(&world.engine.receive(by("idle")).await.unwrap());
        assert_eq!(received.iter().map(|(body, _)| &**body).collect::<Vec<_>>(), ["before", "after"]);
        world.cut_power();
    }
}

#[tokio::test]
async fn definitions_that_the_disk_has_damaged_are_carried_from_what_is_known_of_them() {
    for damaged in ["topic", "idle"] {
        let mut world = world_with_three_messages().await;
        damage_first_segment(&world, damaged);
        work_until_log_begins_at(&world, 12).await;
        world.cut_power();
        let expected = ["before", "damaged", "after"].map(|body| (body.to_owned(), 1));
        assert_eq!(bodies(&world.engine.receive(by("idle")).await.unwrap()), expected, "{damaged}");
    }
}

#[tokio::test]
async fn a_segment_that_was_cut_keeps_no_space() {
    let world = world_with_three_messages().await;
    let cut = |bytes: &mut Vec<u8>| {
        let at = bytes.windows(7).position(|window| window == b"damaged").unwrap();
        bytes.truncate(at);
    };
    world.storage.corrupt(FIRST, cut).unwrap();
    work_until_log_begins_at(&world, 12).await;
    assert_eq!(bodies(&world.engine.receive(by("idle")).await.unwrap()), [("before".to_owned(), 1)]);
}
