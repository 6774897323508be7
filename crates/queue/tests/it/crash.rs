//! Power cuts at every moment of a run of sends, hand-outs and acknowledgements.

use std::collections::BTreeSet;

use commitlog::Options;
use commitlog::testing::{Everything, Fate, Lie, Nothing, Random, Trace};
use queue::{Queue, ReceiveRequest};

use crate::world::{LONG, World, log_options, request, start, text, topic};

const SEED: u64 = 20_260_702;
const SENT: u64 = 0;
const ACK_BEGUN: u64 = 1;
const ACKED: u64 = 2;

fn small() -> Options {
    Options { segment_size: 64 << 10, idle_mark_after: None, ..log_options() }
}

/// Sends 30 messages and acknowledges two of three. Notes what was answered, when it was.
async fn run(lie: Lie) -> Trace {
    let world = World::with(small()).await;
    world.storage.set_lie(lie);
    let note = |what: u64, n: u64| world.storage.note(n * 3 + what);
    for n in 0..30 {
        world.engine.send_wait(&topic(), text(&n.to_string())).await.unwrap();
        note(SENT, n);
        let one = ReceiveRequest { max: 1, ..request(LONG, LONG) };
        let delivery = world.engine.receive(one).await.unwrap().remove(0);
        if n % 3 > 0 {
            note(ACK_BEGUN, n);
            world.engine.ack(delivery.receipt).await.unwrap();
            note(ACKED, n);
        }
    }
    world.storage.trace()
}

fn noted(notes: &[u64], what: u64) -> BTreeSet<u64> {
    notes.iter().filter(|note| *note % 3 == what).map(|note| note / 3).collect()
}

async fn check(trace: &Trace, at: usize, fate: &mut dyn Fate) -> Result<(), String> {
    let notes = trace.notes_before(at);
    if notes.is_empty() {
        // The topic and the group need not be there yet.
        return Ok(());
    }
    let (_log, engine) = start(&trace.cut(at, fate), small());
    let due = engine.receive(request(std::time::Duration::ZERO, LONG)).await.map_err(|error| error.to_string())?;
    let due: BTreeSet<u64> =
        due.iter().map(|delivery| String::from_utf8_lossy(&delivery.message.body).parse().unwrap()).collect();
    let must: BTreeSet<u64> = &noted(&notes, SENT) - &noted(&notes, ACK_BEGUN);
    if let Some(lost) = must.difference(&due).next() {
        return Err(format!("message {lost} was answered and is lost"));
    }
    match due.intersection(&noted(&notes, ACKED)).next() {
        Some(again) => Err(format!("message {again} was acknowledged and came again")),
        None => Ok(()),
    }
}

#[tokio::test]
async fn at_no_moment_is_a_message_lost_or_an_acknowledged_one_handed_out_again() {
    let trace = run(Lie::None).await;
    for at in 0..=trace.ops().len() {
        let mut random = Random::new(SEED + at as u64);
        let fates: [&mut dyn Fate; 3] = [&mut Nothing, &mut Everything, &mut random];
        for fate in fates {
            check(&trace, at, fate).await.unwrap_or_else(|error| unreachable!("moment {at}: {error}"));
        }
    }
}

#[tokio::test]
async fn the_check_finds_a_disk_that_syncs_too_late() {
    let trace = run(Lie::SyncLate).await;
    let mut found = 0;
    for at in 0..=trace.ops().len() {
        found += usize::from(check(&trace, at, &mut Nothing).await.is_err());
    }
    assert!(found > 10, "{found} findings");
}
