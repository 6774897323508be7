//! What is acknowledged is on disk.

use std::sync::atomic::Ordering;
use std::time::Duration;

use broker::{Fatal, Limits};
use catalog::Rule;
use commitlog::testing::Call;
use mqtt::codec::{PropertiesBuf, Property};
use mqtt::{QoS, ReasonCode, Version};

use crate::brittle;
use crate::pipe::{Stream, tcp};
use crate::terminal::{Profile, Said, Terminal, publish_bytes, subscribe_bytes};
use crate::world::{ALICE, BOB, CAROL, SERVICE, World};

fn to(client_id: &str) -> String {
    format!("chat/p2p/{client_id}/note")
}

pub(crate) const OTHER_SERVICE: &str = "GID_dev@@@service-2";

fn none() -> PropertiesBuf {
    PropertiesBuf::new()
}

#[test]
fn a_clean_restart_keeps_sessions_subscriptions_and_inboxes() {
    let mut world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    service.subscribe(&["chat/room/#"]);
    let mut bob = world.connect(Profile::of(BOB));
    service.publish(&to(BOB), "in flight");
    let in_flight = bob.take();
    bob.ping();
    drop(bob);
    service.publish(&to(BOB), "waiting");
    service.publish(&to(CAROL), "never connected");
    world.restart();
    let mut bob = world.connect(Profile::of(BOB));
    assert!(bob.session_present);
    let (first, second) = (bob.receive(), bob.receive());
    assert_eq!((first.payload.as_str(), first.dup, first.id), ("in flight", true, in_flight.id));
    assert_eq!((second.payload.as_str(), second.dup), ("waiting", false));
    bob.expect_nothing();
    assert_eq!(world.connect(Profile::of(CAROL)).receive().payload, "never connected");
    let mut service = world.connect(Profile::of(SERVICE));
    assert!(service.session_present);
    service.publish("chat/room/1", "still subscribed");
    assert_eq!(service.receive().payload, "still subscribed");
    world.restart();
    world.connect(Profile::of(BOB)).expect_nothing();
}

#[test]
fn a_power_cut_loses_nothing_that_was_acknowledged_and_resends_with_dup() {
    let mut world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    let mut service = world.connect(Profile::of(SERVICE));
    for number in 0..20 {
        assert_eq!(service.publish(&to(BOB), &number.to_string()), ReasonCode::SUCCESS);
    }
    world.cut_power();
    let mut bob = world.connect(Profile::of(BOB));
    assert!(bob.session_present);
    for number in 0..20 {
        let received = bob.receive();
        assert_eq!((received.payload, received.dup), (number.to_string(), true));
    }
    bob.expect_nothing();
    assert_eq!(world.stats().inbox_messages, 0);
}

#[test]
fn a_clean_restart_after_a_power_cut_does_not_forget_the_doubt() {
    let mut world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    service.publish(&to(BOB), "perhaps known");
    world.cut_power();
    world.restart();
    let mut bob = world.connect(Profile::of(BOB));
    assert!(bob.receive().dup);
    bob.ping();
    world.restart();
    service = world.connect(Profile::of(SERVICE));
    service.publish(&to(BOB), "surely new");
    world.restart();
    assert!(!world.connect(Profile::of(BOB)).receive().dup);
}

#[test]
fn new_packet_ids_after_a_power_cut_meet_none_that_may_be_known() {
    let mut world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    let mut service = world.connect(Profile::of(SERVICE));
    service.publish(&to(BOB), "before");
    let before = bob.take();
    world.cut_power();
    let mut service = world.connect(Profile::of(SERVICE));
    service.publish(&to(BOB), "after");
    let mut bob = world.connect(Profile::of(BOB));
    let (again, after) = (bob.receive(), bob.receive());
    assert_eq!((again.payload.as_str(), again.dup), ("before", true));
    assert_eq!(after.payload, "after");
    assert_ne!(after.id, before.id);
}

#[test]
fn a_puback_waits_for_the_disk_but_the_live_receiver_does_not() {
    let world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    let mut service = world.connect(Profile::of(SERVICE));
    world.storage.hold_syncs();
    service.send(&publish_bytes(Version::V5, Some(77), &to(BOB), b"fast", &none()));
    assert_eq!(bob.take().payload, "fast");
    // A round trip of the service: its PUBACK would have come before the answer.
    service.ping();
    world.storage.release_syncs();
    assert_eq!(service.next(), Said::Puback { id: 77, reason: ReasonCode::SUCCESS });
}

#[test]
fn the_connack_of_a_new_session_and_the_suback_wait_for_the_disk() {
    let world = World::new();
    let mut known = world.connect(Profile::of(SERVICE));
    let mut other = world.connect(Profile::of(ALICE));
    world.storage.hold_syncs();
    let mut fresh = Terminal::open(Stream(tcp(world.address())), Version::V5);
    fresh.send(&Profile::of(BOB).to_bytes());
    known.send(&subscribe_bytes(Version::V5, 5, &["chat/#"], &none(), QoS::AtLeastOnce));
    world.until("the session is made", |stats| stats.sessions == 3);
    known.ping();
    other.ping();
    world.storage.release_syncs();
    fresh.expect_connack().unwrap();
    assert_eq!(known.next(), Said::Suback { id: 5, codes: vec![ReasonCode::GRANTED_QOS_1] });
}

#[test]
fn a_session_that_is_not_on_the_disk_yet_is_not_said_to_be_present_either() {
    let world = World::new();
    let mut other = world.connect(Profile::of(ALICE));
    world.storage.hold_syncs();
    let mut first = Terminal::open(Stream(tcp(world.address())), Version::V5);
    first.send(&Profile::of(BOB).to_bytes());
    world.until("the session is made", |stats| stats.sessions == 2);
    let socket = tcp(world.address());
    let ear = socket.try_clone().unwrap();
    let mut second = Terminal::open(Stream(socket), Version::V5);
    second.send(&Profile::of(BOB).to_bytes());
    // The turn that ended the first one would have answered the second.
    assert!(first.expect_connack().is_err());
    other.ping();
    ear.set_nonblocking(true).unwrap();
    assert_eq!(ear.peek(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    ear.set_nonblocking(false).unwrap();
    world.storage.release_syncs();
    second.expect_connack().unwrap();
    assert!(second.session_present);
}

#[test]
fn a_log_that_is_busy_makes_publishers_wait_and_refuses_nobody() {
    const COUNT: u16 = 60;
    let world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    let mut service = world.connect(Profile::of(SERVICE));
    let mut subscriber = world.connect(Profile::of(CAROL));
    service.subscribe(&["chat/room"]);
    world.storage.hold_syncs();
    let payload = "x".repeat(40_000);
    for id in 1..=COUNT {
        let topic = if id % 10 == 0 { "chat/room".to_owned() } else { to(BOB) };
        service.send(&publish_bytes(Version::V5, Some(id), &topic, format!("{id}:{payload}").as_bytes(), &none()));
    }
    // More than the log takes without a sync: the rest waits, and nobody else does.
    let count = u64::from(COUNT);
    world.until("the log is busy", |stats| stats.received == count && stats.waited_for_log > 0);
    subscriber.ping();
    world.storage.release_syncs();
    let mut acknowledged = Vec::new();
    while acknowledged.len() < usize::from(COUNT) {
        match service.next() {
            Said::Puback { id, reason } => acknowledged.push((id, reason)),
            Said::Publish(received) => service.ack(&received),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(acknowledged, (1..=COUNT).map(|id| (id, ReasonCode::SUCCESS)).collect::<Vec<_>>());
    for id in (1..=COUNT).filter(|id| id % 10 != 0) {
        assert!(bob.receive().payload.starts_with(&format!("{id}:")));
    }
    assert_eq!(world.stats().refused_by_log, 0);
}

#[test]
fn a_message_that_waited_for_a_busy_log_outlives_the_session_of_its_receiver() {
    const COUNT: u16 = 60;
    let world = World::new();
    let bob = world.connect(Profile::of(BOB));
    let mut service = world.connect(Profile::of(SERVICE));
    world.storage.hold_syncs();
    let payload = "x".repeat(40_000);
    for id in 1..=COUNT {
        service.send(&publish_bytes(Version::V5, Some(id), &to(BOB), payload.as_bytes(), &none()));
    }
    let count = u64::from(COUNT);
    world.until("the log is busy", |stats| stats.received == count && stats.waited_for_log > 0);
    service.ping();
    let waiting = world.stats().waited_for_log;
    bob.end_session();
    world.until("the session has ended", |stats| stats.sessions == 1);
    world.storage.release_syncs();
    for id in 1..=COUNT {
        assert_eq!(service.next(), Said::Puback { id, reason: ReasonCode::SUCCESS });
    }
    assert_eq!(world.stats().inbox_messages, waiting);
}

#[test]
fn a_full_disk_refuses_new_messages_delivers_old_ones_and_resumes_by_itself() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    let mut old = world.connect(Profile::v311(OTHER_SERVICE));
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(service.publish(&to(BOB), "kept"), ReasonCode::SUCCESS);
    let kept = bob.take();
    bob.ping();
    drop(bob);
    world.storage.set_full(true);
    fill(&mut service);
    assert_eq!(service.publish(&to(CAROL), "x"), ReasonCode::QUOTA_EXCEEDED);
    // 3.1.1 has no code for it: neither this PUBLISH nor one behind it is answered, and the connection stays.
    old.send(&publish_bytes(Version::V311, Some(3), &to(CAROL), b"x", &none()));
    for id in 4..=400 {
        old.send(&publish_bytes(Version::V311, Some(id), "chat/x", b"y", &none()));
    }
    old.ping();
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive(), crate::terminal::Received { dup: true, ..kept });
    bob.ping();
    world.storage.set_full(false);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    while service.publish(&to(BOB), "again") != ReasonCode::SUCCESS {
        assert!(std::time::Instant::now() < deadline, "it does not resume");
    }
    assert_eq!(bob.receive().payload, "again");
    assert_eq!(old.expect_end(), Said::Closed, "there is room: the client is to send them again");
    let mut old = world.connect(Profile::v311(OTHER_SERVICE));
    old.send(&publish_bytes(Version::V311, Some(3), &to(CAROL), b"x", &none()));
    assert_eq!(old.next(), Said::Puback { id: 3, reason: ReasonCode::SUCCESS });
}

#[test]
fn a_full_disk_refuses_logins_that_make_or_change_a_session_and_resumes_others() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    let mut bob = world.connect(Profile::of(BOB));
    world.storage.set_full(true);
    fill(&mut service);
    let refusal = |profile| match Terminal::connect(world.address(), profile) {
        Err(Said::Connack { reason, .. }) => reason,
        Err(other) => panic!("{other:?}"),
        Ok(_) => panic!("it is let in"),
    };
    assert_eq!(refusal(Profile::of(CAROL)), ReasonCode::QUOTA_EXCEEDED);
    assert_eq!(refusal(Profile::v311(CAROL)), ReasonCode::SERVER_UNAVAILABLE);
    assert_eq!(refusal(Profile { session_expiry_s: Some(7), ..Profile::of(BOB) }), ReasonCode::QUOTA_EXCEEDED);
    bob.ping();
    assert!(world.connect(Profile::of(BOB)).session_present);
    assert_eq!(bob.expect_end(), Said::Disconnect(ReasonCode::SESSION_TAKEN_OVER));
}

/// The records of connections may take half of what is kept for acknowledgements.
#[test]
fn reconnects_on_a_full_disk_are_refused_before_they_take_the_room_of_acknowledgements() {
    const WAITING: usize = 100;
    let mut world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    let mut alice = world.connect(Profile::of(ALICE));
    let mut bob = world.connect(Profile::of(BOB));
    world.connect(Profile::v311(CAROL)).disconnect();
    for _ in 0..WAITING {
        service.publish(&to(ALICE), "kept");
    }
    world.storage.set_full(true);
    fill(&mut service);
    let refusal = loop {
        match Terminal::connect(world.address(), Profile::of(BOB)) {
            Ok(next) => bob = next,
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refusal, Said::Connack { reason: ReasonCode::QUOTA_EXCEEDED, .. }), "{refusal:?}");
    // What is not taken over is not asked for before, so it goes on until there is no room to the byte.
    let refusal = loop {
        match Terminal::connect(world.address(), Profile::v311(CAROL)) {
            Ok(carol) => carol.disconnect(),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refusal, Said::Connack { reason: ReasonCode::SERVER_UNAVAILABLE, .. }), "{refusal:?}");
    bob.ping();
    for _ in 0..WAITING {
        alice.receive();
    }
    alice.ping();
    world.restart();
    world.storage.set_full(false);
    let deadline = std::time::Instant::now() + Duration::from_secs(10);
    let mut alice = loop {
        match Terminal::connect(world.address(), Profile::of(ALICE)) {
            Ok(alice) => break alice,
            Err(refused) => assert!(std::time::Instant::now() < deadline, "it does not resume: {refused:?}"),
        }
    };
    assert!(alice.session_present);
    alice.expect_nothing();
}

/// Until nothing more is taken.
pub(crate) fn fill(service: &mut Terminal) {
    let payload = "x".repeat(60_000);
    for payload in [payload.as_str(), "x"] {
        let mut sent = 0;
        while service.publish(&to(CAROL), payload) == ReasonCode::SUCCESS {
            sent += 1;
            assert!(sent < 5000, "the disk is not full");
        }
    }
}

#[test]
fn what_is_in_the_queue_goes_on_to_its_receiver_while_the_disk_is_full() {
    let mut world = World::new();
    let ring = [("mqttSecondTopic", format!("/p2p/{BOB}/invitation"))];
    let ring = ring.each_ref().map(|(name, value)| (*name, value.as_str()));
    // The pump, which waits for it, takes one more message and ends, so that the next one stays in the queue.
    world.until("the pump waits", |_| world.receiving.lock().unwrap().contains("ring-down"));
    *world.breaks.lock().unwrap() = Some(brittle::Call::Receive);
    world.send("ring-down", &ring, "first");
    world.until("the pump has ended", |stats| stats.stored == 1 && !world.fatal.lock().unwrap().is_empty());
    world.send("ring-down", &ring, "second");
    world.storage.set_full(true);
    fill(&mut world.connect(Profile::of(SERVICE)));
    *world.breaks.lock().unwrap() = None;
    world.fatal.lock().unwrap().clear();
    world.restart();
    world.until("it is stored", |stats| stats.stored == 1);
    world.until_consumed("ring-down");
}

/// A world in whose queue these are, for a parent topic that does not come from the queue yet.
pub(crate) fn with_waiting(messages: &[(&str, &str)], change: impl FnOnce(&mut Limits)) -> World {
    let world = World::with(change);
    world.create_topic("chat");
    for (second_topic, body) in messages {
        world.send("chat", &[("mqttSecondTopic", second_topic)], body);
    }
    world
}

#[test]
fn what_is_in_the_queue_goes_on_to_subscribers_while_the_disk_is_full() {
    let world = with_waiting(&[("/news", "to all")], |_| ());
    let mut subscriber = world.connect(Profile::of(SERVICE));
    subscriber.subscribe(&["chat/#"]);
    world.storage.set_full(true);
    fill(&mut world.connect(Profile::of(OTHER_SERVICE)));
    world.set_rule("chat", Rule::FromQueue);
    assert_eq!(subscriber.receive().payload, "to all");
    world.until_consumed("chat");
}

/// It may take half of the reserve.
pub(crate) const TOO_LARGE_FOR_THE_RESERVE: usize = 600 << 10;

#[test]
fn what_the_log_has_no_room_for_waits_and_becomes_no_dead_letter() {
    let large = "x".repeat(TOO_LARGE_FOR_THE_RESERVE);
    let to_bob = format!("/p2p/{BOB}/note");
    for (second_topic, receiver) in [("/news", Profile::of(SERVICE)), (to_bob.as_str(), Profile::of(BOB))] {
        let world = with_waiting(&[(second_topic, &large), (second_topic, &large)], |limits| {
            limits.payload_bytes_max = large.len();
            // Nothing is handed out a second time while this test runs.
            limits.from_queue_invisible = Duration::from_secs(600);
        });
        let mut receiver = world.connect(receiver);
        receiver.subscribe(&["chat/#"]);
        world.set_attempts_max(1);
        world.storage.set_full(true);
        fill(&mut world.connect(Profile::of(OTHER_SERVICE)));
        let refused = world.stats().refused_by_log;
        world.set_rule("chat", Rule::FromQueue);
        world.until("the first is refused", |stats| stats.refused_by_log > refused);
        world.storage.set_full(false);
        for _ in 0..2 {
            assert_eq!(receiver.receive().payload.len(), large.len());
        }
        world.until_consumed("chat");
        assert_eq!(world.try_receive("%DLQ%convoke-broker", Duration::ZERO), None);
    }
}

/// It fits into the queue, and not into a unit with its reference.
#[test]
fn what_no_unit_of_the_log_holds_does_not_wait_for_room_and_becomes_a_dead_letter() {
    let large = "x".repeat((1 << 20) - 170);
    let world = World::with(|limits| {
        limits.payload_bytes_max = large.len();
        limits.from_queue_invisible = Duration::from_millis(10);
    });
    world.set_attempts_max(2);
    world.send("ring-down", &[("mqttSecondTopic", &format!("/p2p/{BOB}/note"))], &large);
    let letter = world.receive("%DLQ%convoke-broker");
    assert_eq!((letter.message.body.len(), letter.message.property("deadLetterReason")), (large.len(), None));
    world.until("it came twice", |stats| (stats.from_queue, stats.stored) == (2, 0));
}

#[test]
fn what_waits_for_room_is_not_handed_out_again_however_long_that_takes() {
    let large = "x".repeat(TOO_LARGE_FOR_THE_RESERVE);
    let world = with_waiting(&[("/news", &large), ("/news", &large)], |limits| {
        limits.payload_bytes_max = large.len();
        limits.from_queue_invisible = Duration::from_secs(3);
        // Not enough for both: the second one waits for places.
        limits.from_queue_max = 40;
    });
    let mut subscriber = world.connect(Profile::of(SERVICE));
    subscriber.subscribe(&["chat/#"]);
    world.storage.set_full(true);
    fill(&mut world.connect(Profile::of(OTHER_SERVICE)));
    world.set_rule("chat", Rule::FromQueue);
    let hidden_twice = || world.hidings.lock().unwrap().values().filter(|count| **count >= 2).count();
    world.until("the time of both has begun anew", |_| hidden_twice() == 2);
    world.storage.set_full(false);
    for _ in 0..2 {
        assert_eq!(subscriber.receive().payload.len(), large.len());
    }
    world.until_consumed("chat");
}

/// A queue that lives elsewhere refuses so many acknowledgements, and hands out nothing a second time while the test runs.
fn with_refused_acks(count: usize) -> World {
    let mut world = World::with_remote_queue();
    world.limits.from_queue_invisible = Duration::from_secs(600);
    world.restart();
    world.refused_acks.store(count, Ordering::Relaxed);
    world
}

#[test]
fn an_acknowledgement_that_finds_no_room_is_tried_again_and_nothing_is_delivered_again() {
    let world = with_refused_acks(2);
    world.create_topic("chat");
    world.send("chat", &[("mqttSecondTopic", "/news")], "to all");
    let mut subscriber = world.connect(Profile::of(SERVICE));
    // Nothing in the broker would recognise it.
    subscriber.subscribe_with(&["chat/#"], &none(), QoS::AtMostOnce);
    world.set_rule("chat", Rule::FromQueue);
    assert_eq!(subscriber.receive().payload, "to all");
    world.until_consumed("chat");
    subscriber.expect_nothing();
    assert_eq!((world.stats().from_queue, world.refused_acks.load(Ordering::Relaxed)), (1, 0));
}

#[test]
fn a_dead_letter_whose_acknowledgement_finds_no_room_is_there_once() {
    let world = with_refused_acks(2);
    world.send("ring-down", &[("mqttSecondTopic", "/p2p/nobody/invitation")], "lost");
    world.until_consumed("ring-down");
    assert_eq!(world.receive("%DLQ%convoke-broker").message.body, "lost");
    assert_eq!(world.try_receive("%DLQ%convoke-broker", Duration::ZERO), None);
}

#[test]
fn after_a_failed_sync_nothing_is_acknowledged_and_the_process_is_told_to_end() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    world.storage.fail(Call::Sync, 0, std::io::ErrorKind::Other);
    service.send(&publish_bytes(Version::V5, Some(77), &to(BOB), b"lost", &none()));
    let mut last = service.next();
    if let Said::Puback { reason, .. } = last {
        assert!(reason.is_error(), "refused, because the log had failed before it came");
        last = service.next();
    }
    assert_eq!(last, Said::Disconnect(ReasonCode::SERVER_SHUTTING_DOWN));
    world.until("the process is told", |_| matches!(world.fatal.lock().unwrap().first(), Some(Fatal::Log(_))));
}

fn version(version: u64) -> PropertiesBuf {
    let version = version.to_string();
    let property = |name, value| Property::UserProperty(name, value);
    let key = none().with(property("collapseKey", "ring")).unwrap();
    key.with(property("collapseVersion", &version)).unwrap()
}

#[test]
fn what_a_newer_version_supersedes_is_acknowledged_when_the_newer_one_is_on_the_disk() {
    let world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    let mut newer = world.connect(Profile::of(SERVICE));
    let mut older = world.connect(Profile::of(OTHER_SERVICE));
    world.storage.hold_syncs();
    newer.send(&publish_bytes(Version::V5, Some(1), &to(BOB), b"newer", &version(2)));
    newer.ping();
    older.send(&publish_bytes(Version::V5, Some(2), &to(BOB), b"older", &version(1)));
    // A round trip: a PUBACK would have come before the answer.
    older.ping();
    world.until("one was dropped", |stats| stats.superseded == 1);
    older.ping();
    world.storage.release_syncs();
    assert_eq!(older.next(), Said::Puback { id: 2, reason: ReasonCode::SUCCESS });
    assert_eq!(newer.next(), Said::Puback { id: 1, reason: ReasonCode::SUCCESS });
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(bob.receive().payload, "newer");
    bob.expect_nothing();
}

#[test]
fn what_was_handed_out_after_a_clean_start_and_forgotten_by_a_power_cut_carries_dup() {
    let mut world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    world.connect(Profile::of(SERVICE)).publish(&to(BOB), "perhaps known");
    // The second start finds no event of a connection that is still to be logged.
    world.restart();
    world.restart();
    world.storage.hold_syncs();
    let mut bob = world.connect(Profile::of(BOB));
    assert!(!bob.take().dup);
    world.cut_power();
    assert!(world.connect(Profile::of(BOB)).receive().dup);
}

/// More than the log takes in one append.
#[test]
fn a_message_for_more_subscribers_than_one_append_holds_reaches_them_all() {
    const SUBSCRIBERS: usize = 60;
    let mut world = World::new();
    let name = |number: usize| format!("GID_dev@@@subscriber-{number}");
    for number in 0..SUBSCRIBERS {
        world.connect(Profile::of(&name(number))).subscribe(&["chat/room"]);
    }
    // It is part of each reference.
    let key = "k".repeat(60_000);
    let properties = none().with(Property::UserProperty("collapseKey", &key)).unwrap();
    let properties = properties.with(Property::UserProperty("collapseVersion", "1")).unwrap();
    let mut service = world.connect(Profile::of(SERVICE));
    assert_eq!(service.publish_with("chat/room", "for all", &properties), ReasonCode::SUCCESS);
    world.cut_power();
    for number in 0..SUBSCRIBERS {
        let mut subscriber = world.connect(Profile::of(&name(number)));
        assert_eq!(subscriber.receive().payload, "for all");
        subscriber.expect_nothing();
    }
}
