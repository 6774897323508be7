//! Ordinary topics: subscriptions of services, on whatever worker they are.

use std::time::{Duration, Instant};

use catalog::{Change, Rule};
use mqtt::codec::{PropertiesBuf, Property};
use mqtt::{QoS, ReasonCode};

use crate::terminal::{Profile, Said, Terminal};
use crate::world::{ALICE, SERVICE, World};

fn services(world: &World, count: usize) -> Vec<Terminal> {
    (0..count).map(|number| world.connect(Profile::of(&format!("GID_dev@@@svc-{number}")))).collect()
}

#[test]
fn a_message_reaches_every_subscriber_whose_filter_matches() {
    let world = World::new();
    let mut all = services(&world, 6);
    let filters = ["chat/room/1", "chat/+/1", "chat/#", "chat", "chat/room/2", "chat/room/+"];
    for (service, filter) in all.iter_mut().zip(filters) {
        assert_eq!(service.subscribe(&[filter]), [ReasonCode::GRANTED_QOS_1]);
    }
    let mut sender = world.connect(Profile::passing("GID_dev@@@sender"));
    assert_eq!(sender.publish("chat/room/1", "hello"), ReasonCode::SUCCESS);
    for (number, service) in all.iter_mut().enumerate() {
        if [0, 1, 2, 5].contains(&number) {
            assert_eq!(service.receive().payload, "hello", "{}", filters[number]);
        }
        service.expect_nothing();
    }
    assert_eq!(sender.publish("chat/nobody/there/is", "x"), ReasonCode::SUCCESS, "chat/# matches");
    assert_eq!(all[2].receive().payload, "x");
    assert_eq!(all[2].unsubscribe("chat/#"), [ReasonCode::SUCCESS]);
    assert_eq!(all[2].unsubscribe("chat/#"), [ReasonCode::NO_SUBSCRIPTION_EXISTED]);
    assert_eq!(sender.publish("chat/nobody/there/is", "x"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
}

#[test]
fn overlapping_filters_give_one_copy_with_all_subscription_ids_and_the_highest_qos() {
    let world = World::new();
    let mut service = world.connect(Profile::of("GID_dev@@@svc-0"));
    for (filter, id, qos) in [("chat/+", 7, QoS::AtMostOnce), ("chat/#", 9, QoS::AtLeastOnce)] {
        let properties = PropertiesBuf::new().with(Property::SubscriptionIdentifier(id)).unwrap();
        assert_eq!(service.subscribe_with(&[filter], &properties, qos), [ReasonCode::granted(qos)]);
    }
    service.publish("chat/a", "once");
    let mut received = service.receive();
    received.subscription_ids.sort_unstable();
    assert_eq!((received.payload.as_str(), received.subscription_ids), ("once", vec![7, 9]));
    assert!(received.id.is_some(), "QoS 1");
    service.expect_nothing();
}

#[test]
fn a_subscriber_that_is_off_gets_what_came_meanwhile() {
    let world = World::new();
    let mut all = services(&world, 2);
    for service in &mut all {
        service.subscribe(&["chat/#"]);
    }
    all.into_iter().for_each(Terminal::disconnect);
    let mut sender = world.connect(Profile::passing("GID_dev@@@sender"));
    assert_eq!(sender.publish("chat/a", "while you were away"), ReasonCode::SUCCESS);
    for mut service in services(&world, 2) {
        assert!(service.session_present);
        assert_eq!(service.receive().payload, "while you were away");
    }
}

#[test]
fn nobody_subscribes_to_p2p_or_beyond_a_parent_and_devices_subscribe_to_nothing() {
    let world = World::new();
    let mut service = world.connect(Profile::of("GID_dev@@@svc-0"));
    let filters = [format!("chat/p2p/{ALICE}"), "#".into(), "+/x".into(), "$SYS/#".into(), "none/#".into()];
    let codes = service.subscribe(&filters.iter().map(String::as_str).collect::<Vec<_>>());
    let (denied, invalid) = (ReasonCode::NOT_AUTHORIZED, ReasonCode::TOPIC_FILTER_INVALID);
    assert_eq!(codes, [denied, invalid, invalid, denied, denied]);
    assert_eq!(world.connect(Profile::of(ALICE)).subscribe(&["chat/#"]), [denied]);
    let mut old = world.connect(Profile::v311("GID_dev@@@svc-1"));
    assert_eq!(old.subscribe(&["chat/#", "#"]), [ReasonCode::GRANTED_QOS_1, ReasonCode::UNSPECIFIED_ERROR]);
    // A wildcard does not see P2P.
    service.subscribe(&["chat/#"]);
    service.publish(&format!("chat/p2p/{ALICE}"), "private");
    service.expect_nothing();
    old.expect_nothing();
}

#[test]
fn to_unsubscribe_what_is_no_filter_is_refused_for_this_filter() {
    let world = World::new();
    let mut service = world.connect(Profile::of("GID_dev@@@svc-0"));
    let filters: &[u8] = b"\x00\x02a#\x00\x01a";
    service.send(&[&[0xa2, 10, 0, 7, 0][..], filters].concat());
    let codes = vec![ReasonCode::TOPIC_FILTER_INVALID, ReasonCode::NO_SUBSCRIPTION_EXISTED];
    assert_eq!(service.next(), Said::Unsuback { id: 7, codes });
}

#[test]
fn a_client_has_a_limited_number_of_subscriptions() {
    let world = World::with(|limits| limits.subscriptions_max = 2);
    let mut service = world.connect(Profile::of("GID_dev@@@svc-0"));
    let granted = ReasonCode::GRANTED_QOS_1;
    assert_eq!(service.subscribe(&["chat/a", "chat/b", "chat/c"]), [granted, granted, ReasonCode::QUOTA_EXCEEDED]);
    assert_eq!(service.subscribe(&["chat/a"]), [granted], "it replaces");
}

#[test]
fn a_services_subscription_below_a_topic_that_was_removed_ends_when_it_comes_back() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    service.subscribe(&["chat/a", "both-ways/a"]);
    service.disconnect();
    world.change_key(Change::RemoveParent { parent: "chat".to_owned(), force: true });
    let service = world.connect(Profile::of(SERVICE));
    assert!(service.session_present);
    world.set_rule("chat", Rule::None);
    let mut other = world.connect(Profile::passing("GID_dev@@@service-2"));
    let give_up = Instant::now() + Duration::from_secs(10);
    loop {
        match other.publish("chat/a", "nobody's") {
            ReasonCode::NO_MATCHING_SUBSCRIBERS => break,
            // The rules are not in force yet.
            ReasonCode::NOT_AUTHORIZED => assert!(Instant::now() < give_up),
            other => panic!("{other:?}"),
        }
    }
}
