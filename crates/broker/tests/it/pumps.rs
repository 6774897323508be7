//! What the queue has while the log has room for some of it: nobody gets it twice, and nothing overtakes.

use std::time::{Duration, Instant};

use catalog::Rule;
use mqtt::QoS;
use mqtt::codec::PropertiesBuf;

use crate::durability::{OTHER_SERVICE, TOO_LARGE_FOR_THE_RESERVE, fill, with_waiting};
use crate::terminal::{Profile, Terminal};
use crate::world::{BOB, SERVICE, World};

/// Half of the reserve has room for one of these.
const HALF_OF_THE_RESERVE_TAKES_ONE: usize = 300 << 10;
const TO_BOB: &str = "/p2p/GID_dev@@@bob-1/note";

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

/// Receives the large one first, which had no room when the small one had.
fn expect_in_order(mut receiver: Terminal, world: &World) {
    assert_eq!(receiver.receive().payload.len(), TOO_LARGE_FOR_THE_RESERVE);
    assert_eq!(receiver.receive().payload, "small");
    world.until_consumed("chat");
    receiver.expect_nothing();
}

#[test]
fn a_message_that_would_have_room_does_not_overtake_one_that_has_none() {
    let large = "x".repeat(TOO_LARGE_FOR_THE_RESERVE);
    for (second_topic, receiver) in [("/news", Profile::of(SERVICE)), (TO_BOB, Profile::of(BOB))] {
        let world = with_waiting(&[(second_topic, &large), (second_topic, "small")], |limits| {
            limits.payload_bytes_max = large.len();
            limits.from_queue_invisible = Duration::from_secs(600);
        });
        let mut receiver = world.connect(receiver);
        receiver.subscribe(&["chat/#"]);
        refuse(&world, 1, 0);
        world.until("it is held", |_| !world.hidings.lock().unwrap().is_empty());
        world.storage.set_full(false);
        expect_in_order(receiver, &world);
    }
}

/// The next receive has begun before the message comes back from the worker.
#[test]
fn what_a_receive_brings_while_something_is_held_waits_behind_it() {
    let large = "x".repeat(TOO_LARGE_FOR_THE_RESERVE);
    let mut world = World::with_remote_queue();
    world.limits.payload_bytes_max = large.len();
    world.limits.from_queue_invisible = Duration::from_secs(600);
    world.restart();
    world.create_topic("chat");
    world.send("chat", &[("mqttSecondTopic", TO_BOB)], &large);
    let bob = world.connect(Profile::of(BOB));
    refuse(&world, 1, 0);
    world.until("it is held", |_| !world.hidings.lock().unwrap().is_empty());
    world.send("chat", &[("mqttSecondTopic", TO_BOB)], "small");
    until_received(&world);
    world.storage.set_full(false);
    expect_in_order(bob, &world);
}

/// By the broker, all that is in the queue.
fn until_received(world: &World) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while world.left_in("chat").0 > 0 {
        assert!(Instant::now() < give_up, "{:?}", world.left_in("chat"));
    }
}
