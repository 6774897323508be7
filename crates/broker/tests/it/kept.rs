//! How long messages of a parent topic wait for who is off, where its owner has said it.

use catalog::{Change, ParentUpdate};
use mqtt::ReasonCode;

use crate::expiry::{pass, world};
use crate::terminal::Profile;
use crate::world::{ALICE, BOB, SERVICE, World};

fn keep(parent: &str, kept_s: Option<u32>) -> Change {
    let update = ParentUpdate { rule: None, kept_s: Some(kept_s) };
    Change::UpdateParent { parent: parent.to_owned(), update }
}

fn to(parent: &str, client_id: &str) -> String {
    format!("{parent}/p2p/{client_id}/note")
}

#[test]
fn what_is_not_kept_reaches_who_is_on_the_line_alone() {
    let world = World::new();
    let (mut alice, mut service) = (world.connect(Profile::of(ALICE)), world.connect(Profile::of(SERVICE)));
    world.connect(Profile::of(BOB)).disconnect();
    assert_eq!(service.publish(&to("chat", BOB), "before"), ReasonCode::SUCCESS);
    world.change_key(keep("chat", Some(0)));
    assert_eq!(service.publish(&to("chat", ALICE), "on the line"), ReasonCode::SUCCESS);
    assert_eq!(alice.receive().payload, "on the line");
    assert_eq!(service.publish(&to("chat", BOB), "off"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    world.change_key(keep("chat", None));
    assert_eq!(service.publish(&to("chat", BOB), "after"), ReasonCode::SUCCESS);
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive_payloads(2), ["before", "after"]);
    bob.expect_nothing();
}

/// Though they come back at once, and though their inboxes have room.
#[test]
fn what_is_not_kept_fills_no_inbox_of_a_subscriber_that_is_off() {
    let world = World::new();
    for parent in ["chat", "both-ways"] {
        world.change_key(keep(parent, Some(0)));
    }
    let [mut away, mut there] = ["GID_dev@@@svc-1", "GID_dev@@@svc-2"].map(|client_id| {
        let mut service = world.connect(Profile::of(client_id));
        assert_eq!(service.subscribe(&["chat/#", "both-ways/#"]), [ReasonCode::GRANTED_QOS_1; 2]);
        service
    });
    away.disconnect();
    let mut sender = world.connect(Profile::passing("GID_dev@@@sender"));
    for topic in ["chat/room", "both-ways/room"] {
        assert_eq!(sender.publish(topic, topic), ReasonCode::SUCCESS);
        assert_eq!(there.receive().payload, topic);
    }
    there.disconnect();
    assert_eq!(sender.publish("chat/room", "to nobody"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    away = world.connect(Profile::of("GID_dev@@@svc-1"));
    assert!(away.session_present);
    away.expect_nothing();
}

#[test]
fn what_comes_from_the_queue_is_kept_as_its_parent_topic_says() {
    let world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    world.change_key(keep("meeting-down", Some(0)));
    let note = format!("/p2p/{BOB}/note");
    for parent in ["meeting-down", "ring-down"] {
        world.send(parent, &[("mqttSecondTopic", &note)], parent);
        world.until_consumed(parent);
    }
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive().payload, "ring-down");
    bob.expect_nothing();
}

#[test]
fn what_is_kept_for_a_minute_is_gone_after_that_for_subscribers_and_for_one_client() {
    let (machine, world) = world();
    world.change_key(keep("chat", Some(60)));
    const READER: &str = "GID_dev@@@reader";
    let mut reader = world.connect(Profile::of(READER));
    reader.subscribe(&["chat/#", "both-ways/#"]);
    reader.disconnect();
    world.connect(Profile::of(BOB)).disconnect();
    let mut service = world.connect(Profile::of(SERVICE));
    for (topic, payload) in [("chat/a", "early"), (&*to("chat", BOB), "early")] {
        assert_eq!(service.publish(topic, payload), ReasonCode::SUCCESS);
    }
    pass(&machine, 40_000);
    for topic in ["chat/a", &to("chat", BOB)] {
        assert_eq!(service.publish(topic, "late"), ReasonCode::SUCCESS);
    }
    pass(&machine, 40_000);
    for client_id in [READER, BOB] {
        let mut receiver = world.connect(Profile::of(client_id));
        assert_eq!(receiver.receive().payload, "late", "{client_id}");
        receiver.expect_nothing();
    }
}
