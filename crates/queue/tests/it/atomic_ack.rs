//! An acknowledgement as one unit with somebody else's record.

use std::time::Duration;

use commitlog::{Log, Need, NewRecord, Part, Position};
use queue::{AckError, AckRecord, Engine, Receipt};

use crate::world::{LONG, World, bodies};

const INBOX: u8 = 0x40;

/// Appends the inbox's reference and the acknowledgement as one. Answers the end of the unit.
fn take_over(log: &Log, ack: &AckRecord) -> Position {
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
        let ack = world.engine.ack_record(&receipt).unwrap();
        world.storage.hold_syncs();
        let end = take_over(&world.log, &ack);
        if durable {
            world.storage.release_syncs();
            world.log.wait_durable(end).unwrap();
            world.engine.applied(&receipt);
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
async fn while_it_is_decided_the_message_is_held_back() {
    let world = World::new().await;
    world.send("held").await;
    let receipt = world.receive(Duration::ZERO, Duration::from_millis(50)).await.remove(0).receipt;
    world.engine.ack_record(&receipt).unwrap();
    assert_eq!(world.engine.ack_record(&receipt), Err(AckError::Expired));
    assert_eq!(world.receive(Duration::from_millis(100), LONG).await, [], "its time is over, and it is held");
    world.engine.abandoned(&receipt);
    assert_eq!(bodies(&world.receive_due().await), [("held".to_owned(), 2)]);
}

#[tokio::test]
async fn an_applied_acknowledgement_ends_the_message() {
    let (world, receipt) = one_message().await;
    let ack = world.engine.ack_record(&receipt).unwrap();
    let end = take_over(&world.log, &ack);
    world.log.wait_durable(end).unwrap();
    world.engine.applied(&receipt);
    assert_eq!(world.receive_due().await, []);
    use queue::Queue as _;
    assert_eq!(world.engine.describe(crate::world::topic()).await.unwrap().messages, 0);
    let other: &Engine = &world.engine;
    assert_eq!(other.ack(receipt).await, Err(AckError::Expired));
}
