//! A start from a snapshot of the log: it finds what a start from all of the log finds.

use std::time::Duration;

use queue::Queue;

use crate::world::{World, bodies, owned};

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
