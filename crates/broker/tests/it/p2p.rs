//! To one client, without a subscription.

use std::time::Duration;

use mqtt::ReasonCode;
use mqtt::codec::{PropertiesBuf, Property};

use crate::terminal::{Profile, Said};
use crate::world::{ALICE, BOB, CAROL, SERVICE, World};

fn to(client_id: &str) -> String {
    format!("chat/p2p/{client_id}/note")
}

fn collapse(key: &str, version: u64) -> PropertiesBuf {
    PropertiesBuf::new()
        .with(Property::UserProperty("collapseKey", key))
        .unwrap()
        .with(Property::UserProperty("collapseVersion", &version.to_string()))
        .unwrap()
}

#[test]
fn a_message_reaches_a_client_that_is_on_the_line() {
    let world = World::new();
    for receiver in [ALICE, BOB, CAROL] {
        let mut terminal = world.connect(Profile::of(receiver));
        let mut service = world.connect(Profile::passing(SERVICE));
        assert_eq!(service.publish(&to(receiver), "hello"), ReasonCode::SUCCESS);
        let received = terminal.receive();
        assert_eq!((received.topic, received.payload, received.dup), (to(receiver), "hello".to_owned(), false));
        service.publish_qos0(&to(receiver), "and gone");
        let received = terminal.receive();
        assert_eq!((received.payload.as_str(), received.id), ("and gone", None));
    }
}

#[test]
fn messages_wait_in_their_order_for_a_client_that_is_off() {
    let world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    let mut service = world.connect(Profile::passing(SERVICE));
    for number in 0..100 {
        assert_eq!(service.publish(&to(BOB), &number.to_string()), ReasonCode::SUCCESS);
    }
    let mut bob = world.connect(Profile::of(BOB));
    assert!(bob.session_present);
    assert_eq!(bob.receive_payloads(100), (0..100).map(|number| number.to_string()).collect::<Vec<_>>());
    bob.expect_nothing();
    world.until("the inbox is empty", |stats| (stats.inbox_messages, stats.inbox_bytes) == (0, 0));
}

#[test]
fn a_registered_device_that_never_connected_gets_what_was_sent_before() {
    let world = World::new();
    let mut service = world.connect(Profile::passing(SERVICE));
    assert_eq!(service.publish(&to(CAROL), "first"), ReasonCode::SUCCESS);
    let mut carol = world.connect(Profile::of(CAROL));
    assert!(!carol.session_present);
    assert_eq!(carol.receive().payload, "first");
}

#[test]
fn a_service_is_told_that_nobody_has_the_client_id() {
    let world = World::new();
    let mut service = world.connect(Profile::passing(SERVICE));
    assert_eq!(service.publish(&to("GID_dev@@@nobody"), "x"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    let mut old = world.connect(Profile { clean_start: true, ..Profile::v311("GID_dev@@@service-2") });
    assert_eq!(old.publish(&to("GID_dev@@@nobody"), "x"), ReasonCode::SUCCESS);
    assert_eq!(world.stats().dropped_absent, 2);
}

#[test]
fn a_client_whose_session_ends_with_its_connection_gets_only_what_comes_meanwhile() {
    let world = World::new();
    let mut service = world.connect(Profile::passing(SERVICE));
    let other = "GID_dev@@@service-3";
    let mut passing = world.connect(Profile::passing(other));
    assert_eq!(service.publish(&to(other), "live"), ReasonCode::SUCCESS);
    assert_eq!(passing.receive().payload, "live");
    passing.disconnect();
    assert_eq!(service.publish(&to(other), "late"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
}

#[test]
fn of_one_collapse_key_only_the_highest_version_comes() {
    let world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    let mut service = world.connect(Profile::passing(SERVICE));
    for (version, payload) in [(2, "two"), (1, "one"), (3, "three"), (3, "again")] {
        assert_eq!(service.publish_with(&to(BOB), payload, &collapse("call", version)), ReasonCode::SUCCESS);
    }
    service.publish_with(&to(BOB), "other", &collapse("else", 1));
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive_payloads(2), ["three", "other"]);
    // Remembered after delivery.
    service.publish_with(&to(BOB), "late", &collapse("call", 2));
    bob.expect_nothing();
    assert_eq!(world.stats().superseded, 4);
}

#[test]
fn urgent_parents_are_delivered_before_everything_else() {
    let world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    let mut service = world.connect(Profile::passing(SERVICE));
    service.publish(&to(BOB), "chat");
    service.publish(&format!("ring-down/p2p/{BOB}/invitation"), "ring");
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive_payloads(2), ["ring", "chat"]);
}

#[test]
fn a_message_carries_what_is_left_of_its_expiry_and_dies_with_it() {
    let world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    let mut service = world.connect(Profile::passing(SERVICE));
    let expiry = |seconds| PropertiesBuf::new().with(Property::MessageExpiryInterval(seconds)).unwrap();
    service.publish_with(&to(BOB), "long", &expiry(100));
    service.publish_with(&to(BOB), "short", &expiry(1));
    let begin = std::time::Instant::now();
    // Time itself is what is tested.
    std::thread::sleep(Duration::from_millis(1100));
    let mut bob = world.connect(Profile::of(BOB));
    let received = bob.receive();
    assert_eq!(received.payload, "long");
    let gone = u32::try_from(begin.elapsed().as_secs()).unwrap();
    assert!((100 - gone - 1..100).contains(&received.expiry_s.unwrap()), "{:?}", received.expiry_s);
    bob.expect_nothing();
    assert_eq!(world.stats().expired, 1);
}

#[test]
fn an_expiry_of_zero_is_for_those_on_the_line() {
    let world = World::new();
    let now = PropertiesBuf::new().with(Property::MessageExpiryInterval(0)).unwrap();
    world.connect(Profile::of(BOB)).disconnect();
    let mut alice = world.connect(Profile::of(ALICE));
    let mut service = world.connect(Profile::passing(SERVICE));
    assert_eq!(service.publish_with(&to(ALICE), "now", &now), ReasonCode::SUCCESS);
    assert_eq!(alice.receive().payload, "now");
    assert_eq!(service.publish_with(&to(BOB), "never", &now), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    world.connect(Profile::of(BOB)).expect_nothing();
}

#[test]
fn a_full_inbox_refuses_and_counts() {
    let world = World::with(|limits| limits.inbox_messages_max = 2);
    let mut service = world.connect(Profile::passing(SERVICE));
    for expected in [ReasonCode::SUCCESS, ReasonCode::SUCCESS, ReasonCode::QUOTA_EXCEEDED] {
        assert_eq!(service.publish(&to(BOB), "x"), expected);
    }
    assert_eq!(world.stats().inbox_full, 1);
    assert_eq!(world.stats().inbox_messages, 2);
}

/// Whoever may send to a client must not keep it from being rung.
#[test]
fn an_inbox_that_others_have_filled_has_room_for_a_ring() {
    let world = World::with(|limits| limits.inbox_messages_max = 32);
    let mut service = world.connect(Profile::passing(SERVICE));
    for number in 0..30 {
        assert_eq!(service.publish(&to(BOB), "x"), ReasonCode::SUCCESS, "{number}");
    }
    assert_eq!(service.publish(&to(BOB), "x"), ReasonCode::QUOTA_EXCEEDED);
    let ring = [("mqttSecondTopic", format!("/p2p/{BOB}/invitation"))];
    let ring = ring.each_ref().map(|(name, value)| (*name, value.as_str()));
    for _ in 0..2 {
        world.send("ring-down", &ring, "ring");
    }
    world.until("the rings are in the inbox", |stats| stats.inbox_messages == 32);
    assert_eq!(world.connect(Profile::of(BOB)).receive().payload, "ring");
}

#[test]
fn what_waits_in_memory_for_a_slow_client_has_its_own_bound() {
    let world = World::with(|limits| limits.memory_inbox_bytes_max = 100);
    let mut passing = world.connect(Profile { receive_maximum: Some(1), ..Profile::passing(BOB) });
    let _kept = world.connect(Profile { receive_maximum: Some(1), ..Profile::of(CAROL) });
    let mut service = world.connect(Profile::passing(SERVICE));
    let payload = "x".repeat(60);
    assert_eq!(service.publish(&to(BOB), &payload), ReasonCode::SUCCESS);
    assert_eq!(service.publish(&to(BOB), &payload), ReasonCode::QUOTA_EXCEEDED);
    let received = passing.receive();
    assert_eq!(received.payload, payload);
    passing.ping();
    assert_eq!(service.publish(&to(BOB), &payload), ReasonCode::SUCCESS);
    for _ in 0..3 {
        assert_eq!(service.publish(&to(CAROL), &payload), ReasonCode::SUCCESS, "it waits in the log");
    }
}

#[test]
fn a_window_that_is_full_holds_back_until_there_is_an_acknowledgement() {
    let world = World::new();
    let mut bob = world.connect(Profile { receive_maximum: Some(2), ..Profile::of(BOB) });
    let mut service = world.connect(Profile::passing(SERVICE));
    for number in 0..4 {
        service.publish(&to(BOB), &number.to_string());
    }
    let (first, second) = (bob.take(), bob.take());
    bob.expect_nothing();
    bob.ack(&second);
    assert_eq!(bob.take().payload, "2");
    bob.expect_nothing();
    bob.ack(&first);
    assert_eq!(bob.take().payload, "3");
}

#[test]
fn end_users_may_not_write_to_each_other() {
    let world = World::new();
    let mut alice = world.connect(Profile::of(ALICE));
    for client_id in [BOB, "GID_dev@@@nobody"] {
        assert_eq!(alice.publish(&to(client_id), "x"), ReasonCode::NOT_AUTHORIZED);
    }
    let mut old = world.connect(Profile::v311(BOB));
    old.send(&crate::terminal::publish_bytes(mqtt::Version::V311, Some(7), &to(ALICE), b"x", &PropertiesBuf::new()));
    assert_eq!(old.expect_end(), Said::Closed);
    alice.expect_nothing();
}

#[test]
fn a_terminal_that_acknowledges_no_invitation_before_its_answer_gets_the_answer() {
    for count in [34, 1_000] {
        let world = World::new();
        world.connect(Profile::of(BOB)).disconnect();
        let mut service = world.connect(Profile::passing(SERVICE));
        let ring = format!("ring-down/p2p/{BOB}/invitation");
        for number in 0..count {
            assert_eq!(service.publish(&ring, &number.to_string()), ReasonCode::SUCCESS);
        }
        // A second connection, since what is in flight comes again whatever waits.
        for answer in ["first", "second"] {
            let mut bob = world.connect(Profile::of(BOB));
            assert_eq!(service.publish(&to(BOB), answer), ReasonCode::SUCCESS);
            let mut held = Vec::new();
            let answered = loop {
                match bob.take() {
                    received if received.payload == answer => break received,
                    received => held.push(received),
                }
            };
            bob.ack(&answered);
            assert_eq!(held[0].payload, "0", "{count}: rings come first all the same");
            if answer == "second" {
                held.iter().for_each(|received| bob.ack(received));
                // The first answer comes again if its acknowledgement did not get through.
                let rings = held.iter().filter(|received| received.payload != "first").count();
                let rest: Vec<_> = (rings..count).map(|number| number.to_string()).collect();
                assert_eq!(bob.receive_payloads(rest.len()), rest);
            }
        }
    }
}
