//! The bound of the memory of clients that are away, with all that a worker keeps of them and the allocator's own rounding.

use mqtt::server::Restart;

use super::tests::{Bench, message};
use super::*;
use crate::inbox::memory::held;
use crate::store::{RecoveredEntry, RecoveredSession};
use commitlog::Position;

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
            bench.clients.recover(&format!("GID_dev@@@user-{number:08}"), recovered, Restart::Clean, bench.now);
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
