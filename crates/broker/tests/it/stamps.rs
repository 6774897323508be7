//! Who published a message, as services that subscribe see it.

use catalog::{Change, Grant, Grantee, Rights};
use mqtt::ReasonCode;
use mqtt::codec::{PropertiesBuf, Property, USER_PROPERTIES_MAX};

use crate::terminal::{Profile, Received};
use crate::world::{ALICE, BOB, World, now_ms};

const SERVICE_1: &str = "GID_dev@@@svc-1";
const SERVICE_2: &str = "GID_dev@@@svc-2";

/// A property of its own, and those that are the broker's.
fn forged() -> PropertiesBuf {
    let all =
        [("clientId", BOB), ("own", "1"), ("convokeUser", "bob"), ("convokeArrivedMs", "1"), ("convokeArrivedMs", "2")];
    let mut properties = PropertiesBuf::new();
    all.into_iter().for_each(|(name, value)| properties.push(Property::UserProperty(name, value)).unwrap());
    properties
}

fn names(received: &Received) -> Vec<&str> {
    received.user_properties.iter().map(|(name, _)| name.as_str()).collect()
}

fn value<'a>(received: &'a Received, name: &str) -> &'a str {
    received.user_properties.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
}

fn with_devices_in(topics: &[&str]) -> World {
    let world = World::new();
    for topic in topics {
        let (grantee, rights) = (Grantee::Group("GID_dev".to_owned()), Rights::parse("publish subscribe p2p").unwrap());
        world.change_key(Change::CreateGrant(Grant { grantee, parent: (*topic).to_owned(), rights }));
    }
    world
}

#[test]
fn services_see_who_published_and_devices_do_not_whatever_the_message_says_itself() {
    let world = with_devices_in(&["chat", "both-ways"]);
    let (mut alice, mut bob) = (world.connect(Profile::of(ALICE)), world.connect(Profile::of(BOB)));
    let (mut service, mut sender) = (world.connect(Profile::of(SERVICE_1)), world.connect(Profile::passing(SERVICE_2)));
    for topic in ["chat/room", "both-ways/room"] {
        assert_eq!([bob.subscribe(&[topic]), service.subscribe(&[topic])], [[ReasonCode::GRANTED_QOS_1]; 2]);
        let before = now_ms();
        assert_eq!(alice.publish_with(topic, "hello", &forged()), ReasonCode::SUCCESS);
        let seen = service.receive();
        assert_eq!(names(&seen), ["clientId", "convokeUser", "convokeArrivedMs", "own"], "{topic}");
        assert_eq!((value(&seen, "clientId"), value(&seen, "convokeUser")), (ALICE, "alice"));
        assert!((before..=now_ms()).contains(&value(&seen, "convokeArrivedMs").parse().unwrap()));
        assert_eq!(names(&bob.receive()), ["own"], "{topic}");
        assert_eq!(sender.publish_with(topic, "hello", &forged()), ReasonCode::SUCCESS);
        let seen = service.receive();
        assert_eq!(names(&seen), ["clientId", "convokeArrivedMs", "own"], "a service has no user");
        assert_eq!(value(&seen, "clientId"), SERVICE_2);
        assert_eq!(names(&bob.receive()), ["own"]);
    }
}

#[test]
fn stamps_are_kept_with_a_message_that_waits_and_outlive_a_crash() {
    let mut world = with_devices_in(&["chat"]);
    let (mut bob, mut service) = (world.connect(Profile::of(BOB)), world.connect(Profile::of(SERVICE_1)));
    bob.subscribe(&["chat/#"]);
    service.subscribe(&["chat/room"]);
    let own: Vec<_> = (0..USER_PROPERTIES_MAX).map(|number| (number.to_string(), "x".to_owned())).collect();
    let mut most = PropertiesBuf::new();
    own.iter().for_each(|(name, value)| most.push(Property::UserProperty(name, value)).unwrap());
    (bob, service) = {
        bob.disconnect();
        service.disconnect();
        let mut alice = world.connect(Profile::of(ALICE));
        assert_eq!(alice.publish_with("chat/room", "hello", &forged()), ReasonCode::SUCCESS);
        assert_eq!(alice.publish_with("chat/most", "as many as a packet takes", &most), ReasonCode::SUCCESS);
        world.cut_power();
        (world.connect(Profile::of(BOB)), world.connect(Profile::of(SERVICE_1)))
    };
    let seen = service.receive();
    assert_eq!(names(&seen), ["clientId", "convokeUser", "convokeArrivedMs", "own"]);
    assert_eq!(value(&seen, "clientId"), ALICE);
    assert_eq!(names(&bob.receive()), ["own"]);
    assert_eq!(bob.receive().user_properties, own);
}

#[test]
fn a_message_to_one_client_says_nothing_of_its_sender_that_the_sender_has_said() {
    let world = with_devices_in(&["chat"]);
    let (mut alice, mut service) = (world.connect(Profile::of(ALICE)), world.connect(Profile::of(SERVICE_1)));
    assert_eq!(alice.publish_with(&format!("chat/p2p/{SERVICE_1}"), "hello", &forged()), ReasonCode::SUCCESS);
    assert_eq!(names(&service.receive()), ["own"]);
}

#[test]
fn what_a_service_sends_on_the_queue_has_no_stamps_unless_it_says_for_whom_it_sends() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE_1));
    service.subscribe(&["ring-down/#"]);
    let user_properties = r#"[{"key":"clientId","value":"x"},{"key":"own","value":"1"}]"#;
    world.send("ring-down", &[("mqttSecondTopic", "/all"), ("mqtt5UserProperty", user_properties)], "hello");
    assert_eq!(names(&service.receive()), ["own"]);
    let stamps = [("clientId", ALICE), ("convokeUser", "alice"), ("convokeArrivedMs", "7")];
    world.send("ring-down", &[&[("mqttSecondTopic", "/all")], &stamps[..]].concat(), "hello");
    let seen = service.receive();
    assert_eq!(seen.user_properties, stamps.map(|(name, value)| (name.to_owned(), value.to_owned())));
}
