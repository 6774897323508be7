//! Messages to the queue and from it, online events, dead letters.

use std::sync::{Arc, Mutex, mpsc};

use catalog::Rule;
use mqtt::codec::{PropertiesBuf, Property};
use mqtt::{ReasonCode, Version};
use queue::{Message, TopicName};

use crate::terminal::{Profile, Said, publish_bytes};
use crate::world::{ALICE, BOB, CAROL, SERVICE, World, now_ms};

fn second(client_id: &str) -> String {
    format!("/p2p/{client_id}/invitation")
}

#[test]
fn a_request_of_a_device_is_in_the_queue_before_its_puback() {
    let world = World::new();
    let mut alice = world.connect(Profile::of(ALICE));
    let before = now_ms();
    let properties = PropertiesBuf::new().with(Property::UserProperty("clientId", BOB)).unwrap();
    assert_eq!(alice.publish_with("meeting-up/create", r#"{"from":"bob"}"#, &properties), ReasonCode::SUCCESS);
    let delivery = world.receive("meeting-up");
    let property = |name| delivery.message.property(name).unwrap_or_default().to_owned();
    assert_eq!(property("mqttSecondTopic"), "/create");
    assert_eq!((property("clientId"), property("convokeUser")), (ALICE.to_owned(), "alice".to_owned()));
    let arrived: u64 = property("convokeArrivedMs").parse().unwrap();
    assert!((before..=now_ms()).contains(&arrived));
    assert_eq!(delivery.message.body, br#"{"from":"bob"}"#.as_slice());
}

#[test]
fn a_message_of_the_queue_reaches_a_client_that_is_on_the_line_and_one_that_is_off() {
    let world = World::new();
    let mut alice = world.connect(Profile::of(ALICE));
    world.send("ring-down", &[("mqttSecondTopic", &second(ALICE))], "for alice");
    let received = alice.receive();
    assert_eq!((received.topic, received.payload), (format!("ring-down{}", second(ALICE)), "for alice".to_owned()));
    world.send("ring-down", &[("mqttSecondTopic", &second(BOB))], "for bob");
    world.until("both are stored", |stats| stats.stored == 2);
    assert_eq!(world.connect(Profile::of(BOB)).receive().payload, "for bob");
}

#[test]
fn messages_of_one_client_keep_their_order() {
    let world = World::new();
    for number in 0..200 {
        world.send("meeting-down", &[("mqttSecondTopic", &second(BOB))], &number.to_string());
    }
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive_payloads(200), (0..200).map(|number| number.to_string()).collect::<Vec<_>>());
}

#[test]
fn an_inbox_takes_over_what_the_queue_had_and_a_crash_repeats_or_loses_nothing() {
    let mut world = World::new();
    world.send("ring-down", &[("mqttSecondTopic", &second(BOB))], "ring");
    world.until("it is in the inbox", |stats| stats.stored == 1);
    world.until_consumed("ring-down");
    world.cut_power();
    assert_eq!(world.left_in("ring-down"), (0, 0));
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive().payload, "ring");
    bob.expect_nothing();
}

#[test]
fn a_message_that_is_not_to_be_kept_is_not_kept() {
    let world = World::new();
    let off = second(BOB);
    world.send("meeting-down", &[("mqttSecondTopic", &off), ("cleansessionflag", "true")], "now or never");
    world.send("meeting-down", &[("mqttSecondTopic", &off)], "kept");
    world.until("both have come", |stats| (stats.dropped_absent, stats.stored) == (1, 1));
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive().payload, "kept");
    bob.expect_nothing();
    world.until_consumed("meeting-down");
}

#[test]
fn what_reaches_nobody_is_among_the_dead_letters_with_its_reason() {
    let world = World::new();
    world.send("ring-down", &[("mqttSecondTopic", "/p2p/GID_dev@@@nobody/x")], "to nobody");
    let letter = world.receive("%DLQ%convoke-broker");
    assert_eq!(letter.message.property("deadLetterReason"), Some("the receiver is not registered"));
    assert_eq!(letter.message.property("deadLetterTopic"), Some("ring-down"));
    assert_eq!(letter.message.body, "to nobody");
    world.send("ring-down", &[("mqttSecondTopic", &second(BOB)), ("qoslevel", "7")], "bad");
    let letter = world.receive("%DLQ%convoke-broker");
    assert_eq!(letter.message.property("deadLetterReason"), Some("qoslevel is not 0, 1 or 2"));
    assert_eq!(world.stats().dead_letters, 2);
}

#[test]
fn collapse_and_expiry_come_with_the_message() {
    let world = World::new();
    let to_bob = second(BOB);
    for (version, payload) in [("2", "ended"), ("1", "invitation")] {
        let collapse = [("collapseKey", "call-1"), ("collapseVersion", version)];
        world.send("ring-down", &[&[("mqttSecondTopic", to_bob.as_str())][..], &collapse].concat(), payload);
    }
    let old = [("mqttSecondTopic", to_bob.as_str()), ("mqtt5MsgExpireInterval", "0")];
    world.send("ring-down", &old, "too late");
    world.send("ring-down", &[("mqttSecondTopic", &to_bob), ("mqtt5MsgExpireInterval", "60")], "in time");
    world.until("all have come", |stats| stats.from_queue == 4 && stats.stored == 2);
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive().payload, "ended");
    let received = bob.receive();
    assert_eq!(received.payload, "in time");
    assert!((50..=60).contains(&received.expiry_s.unwrap()));
    bob.expect_nothing();
}

#[test]
fn subscribers_of_a_parent_that_comes_from_the_queue_get_its_messages() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    service.subscribe(&["meeting-down/#"]);
    world.send("meeting-down", &[("mqttSecondTopic", "/news")], "to all");
    assert_eq!(service.receive().topic, "meeting-down/news");
}

#[test]
fn the_pump_of_a_parent_that_no_longer_comes_from_the_queue_stops() {
    let world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    let to_bob = second(BOB);
    let until_pumped = |parent: &str| {
        world.set_rule(parent, Rule::FromQueue);
        world.until("its pump waits", |_| world.receiving.lock().unwrap().contains(parent));
    };
    until_pumped("chat");
    world.send("chat", &[("mqttSecondTopic", &to_bob)], "pumped");
    assert_eq!(bob.receive().payload, "pumped");
    world.until_consumed("chat");
    world.set_rule("chat", Rule::None);
    // The rules are followed together.
    until_pumped("later");
    world.send("chat", &[("mqttSecondTopic", &to_bob)], "left alone");
    world.send("later", &[("mqttSecondTopic", &to_bob)], "pumped, too");
    assert_eq!(bob.receive().payload, "pumped, too");
    bob.expect_nothing();
    assert_eq!(world.left_in("chat"), (1, 0));
}

#[test]
fn devices_publish_to_their_granted_parents_only() {
    let world = World::new();
    let mut alice = world.connect(Profile::of(ALICE));
    let refused = ReasonCode::NOT_AUTHORIZED;
    for topic in ["ring-down/x", "meeting-down/x", "chat/x", "none/x", "$SYS/x"] {
        assert_eq!(alice.publish(topic, "x"), refused, "{topic}");
    }
    assert_eq!(alice.publish("meeting-up/ok", "x"), ReasonCode::SUCCESS);
    let mut old = world.connect(Profile::v311(BOB));
    old.send(&publish_bytes(Version::V311, Some(9), "chat/x", b"x", &PropertiesBuf::new()));
    assert_eq!(old.expect_end(), Said::Closed);
}

#[test]
fn coming_and_going_is_told_to_the_queue() {
    let world = World::new();
    let bob = world.connect(Profile::of(BOB));
    let event = |world: &World| -> serde_json::Value {
        let delivery = world.receive("GID_dev_MQTT");
        let event: serde_json::Value = serde_json::from_slice(&delivery.message.body).unwrap();
        assert_eq!(delivery.message.tag.as_deref(), event["eventType"].as_str());
        event
    };
    let came = event(&world);
    assert_eq!((&came["clientId"], &came["eventType"]), (&BOB.into(), &"connect".into()));
    assert_eq!(came["channelId"].as_str().unwrap().len(), 32);
    bob.disconnect();
    let (left, gone) = (event(&world), event(&world));
    assert_eq!((&left["eventType"], &gone["eventType"]), (&"disconnect".into(), &"tcpclean".into()));
    assert_eq!((&left["channelId"], &gone["channelId"]), (&came["channelId"], &came["channelId"]));
}

#[test]
fn a_service_that_subscribes_learns_who_comes_and_goes() {
    let world = World::new();
    world.set_rule("GID_dev_MQTT", Rule::FromQueue);
    world.until("its pump waits", |_| world.receiving.lock().unwrap().contains("GID_dev_MQTT"));
    let mut service = world.connect(Profile::of(SERVICE));
    assert_eq!(service.subscribe(&["GID_dev_MQTT/#"]), [ReasonCode::GRANTED_QOS_1]);
    world.connect(Profile::of(BOB)).disconnect();
    let mut told = std::iter::repeat_with(|| service.receive())
        .map(|received| {
            assert_eq!(received.topic, "GID_dev_MQTT");
            serde_json::from_str::<serde_json::Value>(&received.payload).unwrap()
        })
        .filter(|event| event["clientId"] == BOB)
        .map(|event| event["eventType"].as_str().unwrap().to_owned());
    assert_eq!([(); 3].map(|()| told.next().unwrap()), ["connect", "disconnect", "tcpclean"]);
}

#[test]
fn a_connect_is_in_the_queue_before_whatever_follows_its_connack() {
    let world = World::new();
    let (queue, topic) = (world.queue(), TopicName::parse("GID_dev_MQTT").unwrap());
    // From here on the device is known.
    world.connect(Profile::of(ALICE)).disconnect();
    for _ in ["connect", "disconnect", "tcpclean"] {
        world.receive("GID_dev_MQTT");
    }
    // Nothing runs on the run time until the client has its CONNACK, and something follows.
    let gate = Arc::new(Mutex::new(()));
    let closed = gate.lock().unwrap();
    let (held, all_held) = mpsc::channel();
    for _ in 0..2 {
        let (gate, held) = (gate.clone(), held.clone());
        world.runtime.spawn(async move {
            held.send(()).unwrap();
            drop(gate.lock());
        });
    }
    assert_eq!(all_held.iter().take(2).count(), 2);
    let _alice = world.connect(Profile::of(ALICE));
    queue.send(&topic, Message { body: "next".into(), ..Message::default() }, Box::new(|_| ()));
    drop(closed);
    assert_eq!(world.receive("GID_dev_MQTT").message.tag.as_deref(), Some("connect"));
    assert_eq!(world.receive("GID_dev_MQTT").message.body, "next");
}

#[test]
fn a_start_tells_first_who_was_cut_off_by_the_last_end() {
    let mut world = World::new();
    let _carol = world.connect(Profile::of(CAROL));
    let came = world.receive("GID_dev_MQTT");
    assert_eq!(came.message.tag.as_deref(), Some("connect"));
    world.cut_power();
    let _bob = world.connect(Profile::of(BOB));
    let gone = world.receive("GID_dev_MQTT");
    let (came, gone): (serde_json::Value, serde_json::Value) =
        (serde_json::from_slice(&came.message.body).unwrap(), serde_json::from_slice(&gone.message.body).unwrap());
    assert_eq!((&gone["eventType"], &gone["channelId"]), (&"tcpclean".into(), &came["channelId"]));
    assert_eq!(world.receive("GID_dev_MQTT").message.tag.as_deref(), Some("connect"));
    world.restart();
    assert_eq!(world.receive("GID_dev_MQTT").message.tag.as_deref(), Some("tcpclean"));
}

#[test]
fn a_queue_elsewhere_is_told_when_the_inbox_has_the_message_and_a_repetition_is_known() {
    let mut world = World::with_remote_queue();
    let to_bob = second(BOB);
    world.send("ring-down", &[("mqttSecondTopic", to_bob.as_str())], "ring");
    world.until("it is in the inbox", |stats| stats.stored == 1);
    world.until_consumed("ring-down");
    world.cut_power();
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive().payload, "ring");
    bob.expect_nothing();
    assert_eq!(world.left_in("ring-down"), (0, 0));
}

#[test]
fn only_for_a_queue_elsewhere_the_log_keeps_the_ids_of_messages() {
    const QUEUE_ID_SEEN: u8 = 0x4b;
    for (mut world, ids) in [(World::new(), 0), (World::with_remote_queue(), 3)] {
        for number in 0..3 {
            world.send("ring-down", &[("mqttSecondTopic", &second(BOB))], &number.to_string());
        }
        world.until("all are in the inbox", |stats| stats.stored == 3);
        world.until_consumed("ring-down");
        assert_eq!(world.connect(Profile::of(BOB)).receive_payloads(3), ["0", "1", "2"]);
        assert_eq!(world.records_at_the_end(QUEUE_ID_SEEN), ids);
    }
}

#[test]
fn a_queue_elsewhere_that_has_lost_the_acknowledgement_repeats_the_message_and_nobody_gets_it_twice() {
    let mut world = World::with_remote_queue();
    // From here on the broker's disk is slow: it cannot acknowledge until the queue's is slow, too.
    world.storage.hold_syncs();
    world.send("ring-down", &[("mqttSecondTopic", &second(BOB))], "ring");
    world.until("it is in the inbox", |stats| stats.stored == 1);
    world.queue_storage.hold_syncs();
    world.storage.release_syncs();
    world.queue_storage.cut_power();
    world.restart();
    world.until("it has come again", |stats| stats.from_queue == 1);
    world.until_consumed("ring-down");
    assert_eq!(world.stats().stored, 0, "it is known");
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive().payload, "ring");
    bob.expect_nothing();
}

#[test]
fn what_goes_both_ways_comes_back_from_the_queue_once() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    service.subscribe(&["both-ways/#"]);
    assert_eq!(service.publish("both-ways/news", "there and back"), ReasonCode::SUCCESS);
    assert_eq!(service.receive().payload, "there and back");
    world.until_consumed("both-ways");
    service.expect_nothing();
}

#[test]
fn what_goes_to_the_queue_reaches_subscribers_too() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    service.subscribe(&["meeting-up/#"]);
    assert_eq!(world.connect(Profile::of(ALICE)).publish("meeting-up/create", "both"), ReasonCode::SUCCESS);
    assert_eq!(service.receive().payload, "both");
    assert_eq!(world.receive("meeting-up").message.body, "both");
}

#[test]
fn the_receiver_is_shown_another_topic_where_the_message_names_one() {
    let world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    for (real, shown) in [("/news", "meeting-down/news"), ("elsewhere/news", "elsewhere/news")] {
        world.send("meeting-down", &[("mqttSecondTopic", &second(BOB)), ("mqttRealTopic", real)], "x");
        assert_eq!(bob.receive().topic, shown);
    }
}
