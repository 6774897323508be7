//! A start from a snapshot: it has all that a start from the whole log has.

use mqtt::ReasonCode;

use crate::terminal::Profile;
use crate::world::{BOB, CAROL, SERVICE, World};

const SUBSCRIBERS: [&str; 4] = ["GID_dev@@@svc-0", "GID_dev@@@svc-1", "GID_dev@@@svc-2", "GID_dev@@@svc-3"];

fn to(client_id: &str) -> String {
    format!("chat/p2p/{client_id}/note")
}

/// Subscribers that are off, something that waits for each of them, and Carol, who has taken the first of three messages.
fn world_where_much_waits() -> World {
    let world = World::with_small_segments();
    for client_id in SUBSCRIBERS {
        let mut terminal = world.connect(Profile::of(client_id));
        assert_eq!(terminal.subscribe(&["chat/all"]), [ReasonCode::GRANTED_QOS_1]);
        terminal.disconnect();
    }
    let mut carol = world.connect(Profile::of(CAROL));
    let mut service = world.connect(Profile::passing(SERVICE));
    for number in ["one", "two", "three"] {
        assert_eq!(service.publish(&to(CAROL), number), ReasonCode::SUCCESS);
    }
    assert_eq!(carol.receive().payload, "one");
    carol.disconnect();
    assert_eq!(service.publish("chat/all", "before"), ReasonCode::SUCCESS);
    world
}

fn expect_all_that_waited(world: &World) {
    let mut service = world.connect(Profile::passing(SERVICE));
    assert_eq!(service.publish("chat/all", "behind"), ReasonCode::SUCCESS);
    for client_id in SUBSCRIBERS {
        assert_eq!(world.connect(Profile::of(client_id)).receive_payloads(2), ["before", "behind"], "{client_id}");
    }
    assert_eq!(world.connect(Profile::of(CAROL)).receive_payloads(2), ["two", "three"]);
    assert_eq!(service.publish(&to(BOB), "new"), ReasonCode::SUCCESS);
}

#[test]
fn a_clean_stop_leaves_a_snapshot_that_serves_any_number_of_threads() {
    for threads in [1, 2, 3] {
        let mut world = world_where_much_waits();
        world.restart_with_threads(threads);
        assert!(world.snapshot_records() > 0, "{threads} threads");
        expect_all_that_waited(&world);
    }
}

#[test]
fn after_a_power_cut_the_snapshot_and_the_log_behind_it_are_all() {
    let mut world = world_where_much_waits();
    world.restart();
    let mut service = world.connect(Profile::passing(SERVICE));
    assert_eq!(service.publish(&to(CAROL), "four"), ReasonCode::SUCCESS);
    world.cut_power();
    assert!(world.snapshot_records() > 0);
    let mut carol = world.connect(Profile::of(CAROL));
    assert_eq!(carol.receive_payloads(3), ["two", "three", "four"]);
    carol.expect_nothing();
}

#[test]
fn with_a_damaged_snapshot_the_whole_log_says_the_same() {
    let mut world = world_where_much_waits();
    world.stop();
    world.storage.corrupt("snapshot", |bytes| *bytes.last_mut().unwrap() ^= 1).unwrap();
    world.start();
    assert_eq!(world.snapshot_records(), 0);
    expect_all_that_waited(&world);
}
