//! An acknowledgement in one unit with a record of an inbox, over a power cut.

use std::sync::Arc;
use std::time::Duration;

use commitlog::{Log, Need, NewRecord, Part, Position};
use queue::{AckRecord, AtomicAck, Queue, Receipt};

use crate::world::{LONG, World};

const INBOX: u8 = 0x40;

fn atomic_ack(world: &World) -> Arc<dyn AtomicAck> {
    world.engine.atomic_ack(world.log.id()).unwrap()
}

/// Appends the inbox's reference and the acknowledgement as one unit. Returns its end.
fn append_both(log: &Log, ack: &AckRecord) -> Position {
    let ack_payload = [Part::Bytes(&ack.payload)];
    let records =
        [NewRecord::new(INBOX, 1, &[Part::Bytes(b"reference")]), NewRecord::new(ack.kind, ack.owner, &ack_payload)];
    log.append(Need::Essential, &records).unwrap().end
}

async fn one_message() -> (World, Receipt) {
    let world = World::new().await;
    world.send("for the inbox").await;
    let receipt = world.receive(Duration::ZERO, LONG).await.remove(0).receipt;
    (world, receipt)
}

fn inbox_records(world: &World) -> usize {
    let (_log, replay) = Log::open(world.storage.handle(), crate::world::log_options()).unwrap();
    let mut found = 0;
    replay.for_each(|record| found += usize::from(record.kind == INBOX)).unwrap();
    found
}

#[tokio::test]
async fn a_message_is_never_in_neither_and_never_in_both() {
    for durable in [false, true] {
        let (mut world, receipt) = one_message().await;
        let atomic = atomic_ack(&world);
        let ack = atomic.prepare(&receipt).unwrap();
        world.storage.hold_syncs();
        let end = append_both(&world.log, &ack);
        if durable {
            world.storage.release_syncs();
            world.log.wait_durable(end).unwrap();
            atomic.commit(&receipt);
        }
        world.storage.cut_power();
        let in_inbox = inbox_records(&world);
        world.storage.kill_process();
        world.restart();
        let in_queue = world.receive_due().await.len();
        assert_eq!((in_inbox, in_queue), if durable { (1, 0) } else { (0, 1) });
    }
}

#[tokio::test]
async fn an_engine_offers_it_for_its_own_log_of_this_start_only() {
    let mut world = World::new().await;
    assert!(world.engine.atomic_ack(world.log.id()).is_some());
    let earlier = world.log.clone();
    world.log.close().unwrap();
    world.restart();
    assert!(world.engine.atomic_ack(earlier.id()).is_none());
    assert!(world.engine.atomic_ack(world.log.id()).is_some());
}
