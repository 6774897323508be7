//! The bound of the memory of clients that are away, with all that a worker keeps of them and the allocator's own rounding.

use mqtt::server::Restart;

use super::tests::Bench;
use super::*;
use crate::inbox::memory::held;
use crate::store::{RecoveredEntry, RecoveredSession};
use commitlog::Position;

/// What one of eight workers has of a million clients.
const CLIENTS: u64 = 125_000;

fn with_one_message(number: u64, now_ms: u64) -> RecoveredClient {
    let (account, expiry_s) = (format!("user:{number:08}").into(), 86_400);
    let session = RecoveredSession { account, expiry_s, disconnected_ms: Some(now_ms + number) };
    let expires_at_ms = now_ms + 1000 * number;
    let entry = RecoveredEntry { size: 100, expires_at_ms, urgent: false, collapse: None, subscription_ids: vec![] };
    let entries = [(Position(number), entry)].into();
    RecoveredClient { session: Some(session), entries, ..RecoveredClient::default() }
}

#[test]
fn a_client_that_is_away_with_one_message_costs_at_most_576_bytes() {
    let mut bench = Bench::new();
    let before = held();
    for number in 0..CLIENTS {
        let recovered = with_one_message(number, bench.now.ms);
        bench.clients.recover(&format!("GID_dev@@@user-{number:08}"), recovered, Restart::Clean, bench.now);
    }
    let bytes = held().wrapping_sub(before) as u64 / CLIENTS;
    println!("{bytes} bytes for each client, {} of them its entry", size_of::<ClientEntry>());
    assert!(bytes <= 576, "{bytes} bytes for each client");
}
