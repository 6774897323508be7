//! What the queue has while the log has room for some of it: nobody gets it twice.

use std::time::Duration;

use catalog::Rule;
use mqtt::QoS;
use mqtt::codec::PropertiesBuf;

use crate::durability::{OTHER_SERVICE, TOO_LARGE_FOR_THE_RESERVE, fill, with_waiting};
use crate::terminal::{Profile, Terminal};
use crate::world::World;

/// Half of the reserve has room for one of these.
const HALF_OF_THE_RESERVE_TAKES_ONE: usize = 300 << 10;

/// Of services, so that each worker has some.
fn subscribers(world: &World, name: &str, profile: impl Fn(&str) -> Profile, qos: QoS) -> Vec<Terminal> {
    let subscriber = |number| {
        let mut subscriber = world.connect(profile(&format!("GID_dev@@@{number}-{name}")));
        // The first digits of an id decide on the worker more than the last.
        subscriber.subscribe_with(&["chat/#"], &PropertiesBuf::new(), qos);
        subscriber
    };
    (0..6).map(subscriber).collect()
}

/// A message of the queue finds no room, because the disk is full, at so many places, and room for so many inboxes.
fn refuse(world: &World, refusals: u64, inboxes: u64) {
    world.storage.set_full(true);
    fill(&mut world.connect(Profile::of(OTHER_SERVICE)));
    let before = world.stats();
    world.set_rule("chat", Rule::FromQueue);
    world.until("it is refused", |stats| stats.refused_by_log >= before.refused_by_log + refusals);
    world.until("some have it", |stats| stats.stored >= before.stored + inboxes);
}

fn expect_once(world: &World, subscribers: Vec<Terminal>, length: usize) {
    world.until_consumed("chat");
    for mut subscriber in subscribers {
        assert_eq!(subscriber.receive().payload.len(), length);
        subscriber.expect_nothing();
    }
}

#[test]
fn the_subscribers_of_a_worker_that_had_room_do_not_get_a_message_again_when_the_others_do() {
    let large = "x".repeat(HALF_OF_THE_RESERVE_TAKES_ONE);
    let world = with_waiting(&[("/news", &large)], |limits| {
        limits.payload_bytes_max = large.len();
        limits.from_queue_invisible = Duration::from_secs(600);
    });
    let subscribers = subscribers(&world, "persistent", Profile::of, QoS::AtLeastOnce);
    refuse(&world, 1, 1);
    world.storage.set_full(false);
    expect_once(&world, subscribers, large.len());
}

#[test]
fn who_needs_no_log_gets_a_message_once_though_others_of_the_same_worker_had_no_room() {
    let large = "x".repeat(TOO_LARGE_FOR_THE_RESERVE);
    let world = with_waiting(&[("/news", &large)], |limits| {
        limits.payload_bytes_max = large.len();
        limits.from_queue_invisible = Duration::from_secs(600);
    });
    let mut all = subscribers(&world, "persistent", Profile::of, QoS::AtLeastOnce);
    all.extend(subscribers(&world, "passing", Profile::passing, QoS::AtLeastOnce));
    all.extend(subscribers(&world, "at-most-once", Profile::of, QoS::AtMostOnce));
    refuse(&world, 2, 0);
    world.storage.set_full(false);
    expect_once(&world, all, large.len());
}
