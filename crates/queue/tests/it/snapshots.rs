//! A start from a snapshot of the log: it finds what a start from all of the log finds.

use std::time::Duration;

use commitlog::{Fault, Options};
use queue::{GroupOptions, Queue};

use crate::world::{World, bodies, by, group_name, owned};

const HOUR: Duration = Duration::from_secs(3600);
const SNAPSHOT_TAKES_MAX: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_start_from_a_snapshot_finds_what_a_start_from_the_whole_log_finds() {
    for is_damaged in [false, true] {
        let mut world = World::with(owned()).await;
        for n in 0..6 {
            world.send(&n.to_string()).await;
        }
        let deliveries = world.receive(Duration::ZERO, HOUR).await;
        let (acknowledged, open) = deliveries.split_at(3);
        for delivery in acknowledged {
            world.engine.ack(delivery.receipt.clone()).await.unwrap();
        }
        world.send("before").await;
        while !world.log.request_snapshot() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.log.wait_for_snapshot(SNAPSHOT_TAKES_MAX);
        world.send("behind").await;
        world.engine.ack(open[0].receipt.clone()).await.unwrap();
        world.storage.corrupt("snapshot", |bytes| *bytes.last_mut().unwrap() ^= u8::from(is_damaged)).unwrap();
        world.cut_power();
        let due = bodies(&world.receive_due().await);
        let expected =
            [("4", 2), ("5", 2), ("before", 1), ("behind", 1)].map(|(body, attempt)| (body.to_owned(), attempt));
        assert_eq!(due, expected, "damaged: {is_damaged}");
    }
}

/// The cursor of a group that has nothing in flight.
const CURSOR: u8 = 0x26;

#[tokio::test]
async fn a_seeded_snapshot_without_cursors_is_found_by_what_comes_back() {
    for (fault, back) in [(Fault::None, 0), (Fault::SnapshotForgets { kind: CURSOR }, 3)] {
        let mut world = World::with(Options { fault, ..owned() }).await;
        world.engine.create_group(group_name("idle"), GroupOptions::default()).await.unwrap();
        world.engine.receive(by("idle")).await.unwrap();
        for n in 0..3 {
            world.send(&n.to_string()).await;
        }
        for delivery in world.receive(Duration::ZERO, HOUR).await {
            world.engine.ack(delivery.receipt).await.unwrap();
        }
        while !world.log.request_snapshot() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        world.log.wait_for_snapshot(SNAPSHOT_TAKES_MAX);
        world.cut_power();
        assert_eq!(world.receive_due().await.len(), back, "{fault:?}");
    }
}
