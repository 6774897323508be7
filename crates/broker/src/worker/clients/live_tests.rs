//! What is counted as needed of the log is about what it takes to write it again, in whatever shape it waits.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use std::collections::BTreeSet;

use commitlog::{Need, Position};
use mqtt::server::Restart;

use super::tests::{Bench, message};
use super::*;
use crate::message::{Message, SharedMessage};
use crate::store::Recovery;
use crate::store::journal::Batch;
use crate::store::messages::Messages;
use crate::worker::post::{FanOut, FanOutOrder, ReplyTarget, ReplyTo};

const DAY_S: u32 = 86_400;

fn name(number: usize) -> String {
    format!("GID_dev@@@user-{number:04}")
}

fn away(bench: &mut Bench, number: usize) -> ClientRef {
    let (key, client) = bench.connect(&name(number), DAY_S);
    bench.clients.leave(client, key, bench.now.ms);
    client
}

fn away_subscribers(bench: &mut Bench, count: usize) -> Vec<ClientRef> {
    let subscribers = (0..count).map(|number| {
        let (key, client) = bench.connect(&name(number), DAY_S);
        bench.subscribe(client, "chat/all");
        bench.clients.leave(client, key, bench.now.ms);
        client
    });
    subscribers.collect()
}

fn of_bytes(bytes: usize) -> Message {
    message(&"x".repeat(bytes))
}

fn publish_to_all(bench: &mut Bench, bytes: usize) {
    let message: SharedMessage = Message { topic: "chat/all".into(), ..of_bytes(bytes) }.into();
    let reply_to = ReplyTo { worker: 0, target: ReplyTarget::Nobody };
    bench.clients.take_fan_out(
        FanOut { message, from: None, keep: true, need: Need::Normal, order: FanOutOrder::LiveFirst, reply_to },
        bench.now,
        &mut bench.actions,
    );
    bench.drain();
}

/// What it takes of the log, to the byte.
fn needed_bytes(bench: &Bench) -> u64 {
    let messages = Messages::new(bench.log.clone());
    let mut batch = Batch::default();
    let clients = &bench.clients;
    let names: BTreeSet<Position> =
        clients.entries.iter().flat_map(|(_, entry)| entry.inbox.logged()).map(|(name, _)| name).collect();
    names.into_iter().for_each(|name| batch.carried(messages.read_record(name).unwrap()));
    clients.entries.iter().for_each(|(slot, entry)| clients.add_state(clients.ref_at(slot, entry), &mut batch));
    batch.bytes() as u64
}

/// Three times what is counted is what a log may take: four times what is needed, at most.
fn expect_about_right(bench: &Bench, what: &str) {
    let (counted, needed) = (bench.clients.live_bytes(), needed_bytes(bench));
    assert!(3 * counted <= 4 * needed, "{what}: {counted} bytes are counted, {needed} needed");
    assert!(2 * counted >= needed, "{what}: {counted} bytes are counted, {needed} needed");
}

fn start_again(bench: &mut Bench) {
    bench.log.close().unwrap();
    let (log, replay) = commitlog::Log::open(bench.storage.handle(), commitlog::Options::default()).unwrap();
    let mut recovery = Recovery::new();
    replay.run(|record| recovery.apply(record)).unwrap();
    bench.log = log;
    bench.begin_again();
    for (client_id, client) in recovery.clients {
        bench.clients.recover(&client_id, *client, Restart::Clean, bench.now);
    }
    bench.clients.recovered();
}

#[test]
fn sessions_that_wait_for_nothing_count_what_they_take() {
    let mut bench = Bench::new();
    (0..500).for_each(|number| _ = away(&mut bench, number));
    expect_about_right(&bench, "sessions");
    away_subscribers(&mut bench, 500);
    expect_about_right(&bench, "sessions with subscriptions");
}

#[test]
fn messages_of_one_client_count_what_they_take() {
    let mut bench = Bench::new();
    (0..20).for_each(|number| _ = away(&mut bench, number));
    for bytes in [0, 100, 10_000] {
        for number in 0..200 {
            bench.send(&name(number % 20), of_bytes(bytes).into());
        }
        expect_about_right(&bench, "messages");
    }
}

#[test]
fn a_message_of_many_inboxes_counts_once_until_the_last_of_them_is_done_with_it() {
    for bytes in [0, 64 << 10] {
        let mut bench = Bench::new();
        let subscribers = away_subscribers(&mut bench, 200);
        (0..5).for_each(|_| publish_to_all(&mut bench, bytes));
        expect_about_right(&bench, "a message of many inboxes");
        start_again(&mut bench);
        expect_about_right(&bench, "the same after a start");
        let (last, others) = (name(199), subscribers.len() - 1);
        for number in 0..others {
            let client = bench.clients.find(&ClientKey::new(&name(number))).unwrap();
            match number % 2 {
                0 => bench.clients.end_session(client),
                _ => {
                    let (key, client) = bench.connect(&name(number), DAY_S);
                    bench.deliver(client);
                    (1..=5).for_each(|id| bench.ack(client, key, id));
                    bench.clients.leave(client, key, bench.now.ms);
                }
            }
        }
        expect_about_right(&bench, "all but one have it");
        bench.clients.end_session(bench.clients.find(&ClientKey::new(&last)).unwrap());
        let left = bench.clients.live_bytes();
        assert!(left <= 400 * others as u64 / 2, "{left} bytes for sessions that wait for nothing");
    }
}

#[test]
fn what_is_in_memory_alone_counts_nothing() {
    let mut bench = Bench::new();
    bench.connect(&name(0), 0);
    let before = bench.clients.live_bytes();
    bench.send(&name(0), of_bytes(10_000).into());
    assert_eq!(bench.clients.live_bytes(), before);
    assert_eq!(bench.clients.context.counts.inbox_messages.value(), 1);
}
