//! Random meetings on virtual time: whatever happens in whatever order, the promises of the ring hold.

use super::play::{Act, CLIENTS, USERS, acts_of, play};
use super::world::user_of;
use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

#[path = "../../../../../fuzz/replay.rs"]
mod replay;

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        8 => (0..6_usize, 0..18_u8, 0..4_usize, 0..8_usize).prop_map(|(client, what, user, ring)| Act::Ask { client, what, user, ring }),
        2 => (0..12_usize, 0..6_u8).prop_map(|(who, change)| Act::Media { who, change }),
        1 => (0..6_usize).prop_map(Act::Comes),
        1 => (0..6_usize).prop_map(Act::Goes),
        1 => (0..6_usize).prop_map(Act::SaysGoodbye),
        2 => (0..50_u64).prop_map(Act::Pass),
        1 => Just(Act::Restart),
        1 => (0..4_usize).prop_map(Act::Busy),
    ]
}

#[test]
fn the_promises_hold_for_any_events_in_any_order() {
    let seed = TestRng::from_seed(RngAlgorithm::ChaCha, &[42; 32]);
    let config = Config { cases: 3_000, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, seed);
    runner
        .run(&prop::collection::vec(act(), 1..60), |acts| {
            play(&acts);
            Ok(())
        })
        .unwrap();
}

#[test]
fn the_clients_of_the_random_world_belong_to_its_users() {
    assert!(CLIENTS.iter().all(|client| USERS.contains(&user_of(client).as_str())));
}

#[test]
fn the_promises_hold_on_the_corpus() {
    replay::corpus("meeting_machine", 50, |bytes| play(&acts_of(bytes)));
}
