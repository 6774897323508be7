//! The bound of the memory of clients that are away, with all that a worker keeps of them and the allocator's own rounding.

use mqtt::server::Restart;

use super::tests::{Bench, message};
use super::*;
use crate::broker::share_out;
use crate::inbox::memory::{held, left_and_most};
use crate::store::record::{self, Reference, SessionRecord, kind};
use crate::store::{RecoveredEntry, RecoveredSession, Recovery};
use commitlog::{Position, ReplayedRecord};

/// What one of eight workers has of a million clients, and one of six.
const SHARES: [u64; 2] = [125_000, 166_667];

fn with_one_message(number: u64, now_ms: u64) -> RecoveredClient {
    let (account, expiry_s) = (format!("user:{number:08}").into(), 86_400);
    let session = RecoveredSession { account, expiry_s, disconnected_ms: Some(now_ms - 500 * number) };
    let expires_at_ms = now_ms + 1000 * number;
    let entry = RecoveredEntry { size: 100, expires_at_ms, urgent: false, collapse: None, subscription_ids: [].into() };
    let entries = [(Position(number), entry)].into();
    RecoveredClient { session: Some(session), entries, ..RecoveredClient::default() }
}

#[test]
fn a_client_that_is_away_with_one_message_costs_at_most_268_bytes() {
    for clients in SHARES {
        let mut bench = Bench::new();
        bench.now.ms = 1_800_000_000_000;
        let before = held();
        for number in 0..clients {
            let recovered = with_one_message(number, bench.now.ms);
            bench.clients.recover(&client_id(number), recovered, Restart::Clean, bench.now);
        }
        let bytes = held().wrapping_sub(before) as u64 / clients;
        println!("{bytes} bytes for each of {clients} clients, {} of them its entry", size_of::<ClientEntry>());
        assert!(bytes <= 268, "{bytes} bytes for each client");
    }
}

#[test]
fn a_client_that_left_holds_no_more_than_its_names_and_one_message() {
    let mut bench = Bench::new();
    let client_id = "GID_dev@@@user-00000001";
    let (key, bob) = bench.connect(client_id, 3600);
    for burst in 0..5 {
        (0..10).for_each(|_| _ = bench.send(client_id, message("one of many").into()));
        assert_eq!(bench.deliver(bob).len(), 10);
        (1..=10).for_each(|number| bench.ack(bob, key, 10 * burst + number));
    }
    bench.clients.leave(bob, key, bench.now.ms);
    bench.send(client_id, message("the last one").into());
    let entry = bench.clients.remove(bob).expect("its session has not ended");
    assert_eq!(entry.inbox.len(), 1);
    let before = held();
    drop(entry);
    let bytes = before - held();
    assert_eq!(bytes, 48, "client id and account, no allocation more");
}

/// What a log says of clients that are away, with so many messages each, which came in turn.
fn replay(clients: u64, messages: u64, collapse: bool, now_ms: u64) -> Recovery {
    let mut recovery = Recovery::new();
    let mut feed = |kind, payload: Vec<u8>, position| {
        let replayed = ReplayedRecord { kind, owner: 0, position, is_carried: false, payload: &payload };
        recovery.apply(replayed).expect("it is of this version");
    };
    for number in 0..clients {
        let (client_id, account) = (client_id(number), format!("user:{number:08}"));
        let session = SessionRecord { client_id: &client_id, account: &account, expiry_s: 86_400 };
        feed(kind::SESSION_STATE, record::encode_session_state(session, Some(now_ms - number)), Position(number));
    }
    for number in 0..clients * messages {
        let key = format!("key-{:04}", number / clients);
        let reference = Reference {
            client_id: &client_id(number % clients),
            message: Position(clients + number),
            packet_id: None,
            urgent: false,
            retain_as_published: false,
            size: 100,
            expires_at_ms: now_ms + 1_000 * (1 + number % 100_000),
            collapse: collapse.then_some((&*key, 1)),
            subscription_ids: vec![],
        };
        feed(kind::REFERENCE, reference.encode_whole(), Position(clients + number));
    }
    recovery
}

fn client_id(number: u64) -> String {
    format!("GID_dev@@@user-{number:08}")
}

#[test]
fn a_start_holds_at_most_one_and_a_half_times_what_stays() {
    for (clients, messages, collapse) in [(125_000, 1, false), (1_250, 100, false), (1_250, 100, true)] {
        let mut bench = Bench::new();
        bench.now.ms = 1_800_000_000_000;
        let ((), left, most) = left_and_most(|| {
            let recovery = replay(clients, messages, collapse, bench.now.ms);
            for (client_id, client) in share_out(recovery, 1).remove(0).clients {
                bench.clients.recover(&client_id, *client, Restart::Unclean, bench.now);
            }
            bench.clients.recovered();
        });
        let each = left as u64 / (clients * messages);
        println!("{clients} clients with {messages} messages: {left} bytes stay, {each} each; {most} at most");
        assert!(2 * most <= 3 * left, "{most} bytes at most, {left} stay");
    }
}
