//! Devices that are removed.

use accounts::revocation::{Ending, Sessions};
use mqtt::{ReasonCode, Version};
use tokio::sync::oneshot;

use crate::login::refusal;
use crate::terminal::{Profile, Said};
use crate::world::{BOB, SERVICE, World, key_id_of};

fn to(client_id: &str) -> String {
    format!("chat/p2p/{client_id}/note")
}

/// As the API does. The account of a service that keeps the client id.
fn remove(world: &World, client_id: &str, user: &str) -> Option<String> {
    world.remove_from_catalog(client_id, user);
    answer(world.broker().end_device(client_id, Ending::Removed { key_id: &key_id_of(user) }))
}

fn answer(answer: oneshot::Receiver<Option<Box<str>>>) -> Option<String> {
    answer.blocking_recv().unwrap().map(String::from)
}

#[test]
fn a_removed_device_is_told_why_and_may_not_come_back() {
    let world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    assert_eq!(remove(&world, BOB, "bob"), None);
    assert_eq!(bob.expect_end(), Said::Disconnect(ReasonCode::ADMINISTRATIVE_ACTION));
    assert_eq!(bob.last_words.as_deref(), Some("the login of this device has ended: log in again"));
    for profile in [Profile::of(BOB), Profile::v311(BOB)] {
        assert_eq!(refusal(&world, profile), ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    }
    world.until("nothing of it is left", |stats| (stats.connections, stats.sessions) == (0, 0));
}

#[test]
fn a_removed_device_that_speaks_3_1_1_is_closed() {
    let world = World::new();
    let mut bob = world.connect(Profile::v311(BOB));
    assert_eq!(remove(&world, BOB, "bob"), None);
    assert_eq!(bob.expect_end(), Said::Closed);
    world.until("nothing of it is left", |stats| (stats.connections, stats.sessions) == (0, 0));
}

#[test]
fn the_removal_of_a_device_that_is_away_is_told_to_the_queue_too() {
    let world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    let told = || {
        let message = world.receive("GID_dev_MQTT").message;
        (message.tag.unwrap(), serde_json::from_slice::<serde_json::Value>(&message.body).unwrap())
    };
    // In any order: the first event of a group waits until the topic is made.
    let of_the_connection = [told(), told(), told()];
    let mut tags = of_the_connection.each_ref().map(|(tag, _)| tag.as_str());
    tags.sort_unstable();
    assert_eq!(tags, ["connect", "disconnect", "tcpclean"]);
    assert_eq!(remove(&world, BOB, "bob"), None);
    let (tag, removed) = told();
    assert_eq!(tag, "tcpclean");
    assert_eq!(removed["clientId"], BOB);
    for (_, event) in of_the_connection {
        assert_ne!(event["channelId"], removed["channelId"], "it ends no connection twice");
    }
}

/// The events of one group, up to the `connect` of a client that comes now.
fn events_until_now(world: &World) -> Vec<serde_json::Value> {
    world.connect(Profile::of(SERVICE));
    let told = std::iter::from_fn(|| {
        let body = world.receive("GID_dev_MQTT").message.body;
        Some(serde_json::from_slice::<serde_json::Value>(&body).unwrap())
    });
    told.take_while(|event| event["clientId"] != SERVICE).collect()
}

/// In whatever order its connection and its session end.
#[test]
fn the_end_of_a_right_is_told_once_with_its_cause() {
    let key_id = key_id_of("bob");
    let cut = |world: &World| world.broker().cut_device(BOB, &key_id).blocking_recv().unwrap();
    let end = |world: &World| {
        assert_eq!(answer(world.broker().end_device(BOB, Ending::Removed { key_id: &key_id })), None);
    };
    let replace = |world: &World| world.broker().cut_credential(BOB, &key_id).blocking_recv().unwrap();
    for is_connected in [true, false] {
        for (number, acts) in [[&cut as &dyn Fn(&World), &end], [&end, &cut], [&replace, &replace]].iter().enumerate() {
            let world = World::new();
            let bob = world.connect(Profile::of(BOB));
            if !is_connected {
                bob.disconnect();
                world.until("it is away", |stats| stats.connections == 0);
            }
            world.remove_from_catalog(BOB, "bob");
            acts.iter().for_each(|act| act(&world));
            let events = events_until_now(&world);
            let revoked: Vec<_> = events.iter().filter(|event| event["cause"] == "revoked").collect();
            assert_eq!(revoked.len(), 1, "{is_connected} {number} {events:?}");
            assert_eq!(revoked[0]["eventType"], "tcpclean");
            let ends = events.iter().filter(|event| event["eventType"] == "tcpclean").count();
            assert_eq!(ends, if is_connected { 1 } else { 2 }, "{number} {events:?}");
        }
    }
}

#[test]
fn the_removal_of_a_device_that_is_away_is_told_also_when_it_is_registered_again_before_it_has_ended() {
    for (ending, told) in [(Ending::RegisteredAgain, 1), (Ending::Registered, 0)] {
        let world = World::new();
        world.remove_from_catalog(BOB, "bob");
        assert_eq!(answer(world.broker().end_device(BOB, ending)), None);
        world.connect(Profile::of(SERVICE));
        let is_of_bob = |body: &[u8]| String::from_utf8_lossy(body).contains(BOB);
        // That of the service is told later.
        let mut events = 0;
        loop {
            let message = world.receive("GID_dev_MQTT").message;
            if !is_of_bob(&message.body) {
                break;
            }
            assert_eq!(message.tag.as_deref(), Some("tcpclean"));
            events += 1;
        }
        assert_eq!(events, told, "{ending:?}");
    }
}

#[test]
fn the_connection_of_a_removed_device_ends_before_its_session_and_waits_for_no_disk() {
    let world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    world.remove_from_catalog(BOB, "bob");
    world.broker().cut_device(BOB, "DC.another").blocking_recv().unwrap();
    world.broker().cut_device(BOB, &key_id_of("bob")).blocking_recv().unwrap();
    assert_eq!(bob.expect_end(), Said::Disconnect(ReasonCode::ADMINISTRATIVE_ACTION));
    assert_eq!(bob.last_words.as_deref(), Some("the login of this device has ended: log in again"));
    world.until("its session is there", |stats| (stats.connections, stats.sessions) == (0, 1));
    assert_eq!(answer(world.broker().end_device(BOB, Ending::Removed { key_id: &key_id_of("bob") })), None);
    world.until("nothing of it is left", |stats| stats.sessions == 0);
}

#[test]
fn whoever_registers_the_client_id_of_a_removed_device_finds_an_empty_inbox() {
    for was_connected in [true, false] {
        let mut world = World::new();
        if was_connected {
            world.connect(Profile::of(BOB)).disconnect();
        }
        let mut service = world.connect(Profile::passing(SERVICE));
        assert_eq!(service.publish(&to(BOB), "for the first"), ReasonCode::SUCCESS);
        assert_eq!(remove(&world, BOB, "bob"), None);
        assert_eq!(service.publish(&to(BOB), "for nobody"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
        assert_eq!(world.stats().inbox_messages, 0);
        world.register(BOB, "dave");
        world.cut_power();
        let bob = world.connect(daves());
        assert!(!bob.session_present);
        assert_eq!(world.stats().inbox_messages, 0);
    }
}

/// The credential of the next owner of Bob's client id.
fn daves() -> Profile {
    with_login(BOB, "dave")
}

/// By the credential of this name.
fn with_login(client_id: &str, name: &str) -> Profile {
    let password = accounts::login::sign(&format!("DC.secret-of-{name}"), client_id);
    let username = format!("DeviceCredential|DC.{name}|convoke");
    Profile { username: Some(username), password: Some(password), ..Profile::of(client_id) }
}

#[test]
fn a_power_cut_between_catalog_and_log_leaves_nothing_of_a_removed_device() {
    for clean in [true, false] {
        let mut world = World::new();
        world.connect(Profile::of(BOB)).disconnect();
        let mut service = world.connect(Profile::passing(SERVICE));
        assert_eq!(service.publish(&to(BOB), "for the first"), ReasonCode::SUCCESS);
        world.remove_from_catalog(BOB, "bob");
        if clean {
            world.restart();
        } else {
            world.cut_power();
        }
        assert_eq!(world.broker().holder_of(BOB).blocking_recv().unwrap(), None);
        assert_eq!(world.stats().inbox_messages, 0);
        assert_eq!(refusal(&world, Profile::of(BOB)), ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        // The end is in the log: once the client id is another's, the next start has nothing to take up.
        world.register(BOB, "dave");
        world.cut_power();
        let bob = world.connect(daves());
        assert!(!bob.session_present);
        assert_eq!(world.stats().inbox_messages, 0);
    }
}

#[test]
fn a_login_that_began_before_the_removal_does_not_come_about() {
    let world = World::new();
    // The row is still in the cache, as for a login that has just found it.
    world.connect(Profile::of(BOB)).end_session();
    world.until("it is off", |stats| stats.connections == 0);
    assert_eq!(answer(world.broker().end_device(BOB, Ending::Removed { key_id: &key_id_of("bob") })), None);
    for profile in [Profile::of(BOB), Profile { version: Version::V311, ..Profile::of(BOB) }] {
        assert_eq!(refusal(&world, profile), ReasonCode::BAD_USER_NAME_OR_PASSWORD);
    }
}

#[test]
fn a_service_keeps_its_client_id() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    assert_eq!(
        answer(world.broker().end_device(SERVICE, Ending::Registered)).as_deref(),
        Some("service:convoke/LTAItest")
    );
    service.ping();
}

#[test]
fn a_replaced_credential_ends_the_connection_that_used_it_and_the_session_stays() {
    for profile in [Profile::of(BOB), Profile::v311(BOB)] {
        let world = World::new();
        let is_v5 = profile.version == Version::V5;
        let mut bob = world.connect(profile);
        world.replace_credential(BOB, "bob", "anew");
        world.broker().cut_credential(BOB, &key_id_of("bob")).blocking_recv().unwrap();
        if is_v5 {
            assert_eq!(bob.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
            assert!(bob.last_words.as_deref().is_some_and(|words| words.contains("replaced")));
        } else {
            assert_eq!(bob.expect_end(), Said::Closed);
        }
        assert_eq!(refusal(&world, Profile::of(BOB)), ReasonCode::BAD_USER_NAME_OR_PASSWORD);
        assert!(world.connect(with_login(BOB, "anew")).session_present);
    }
}

#[test]
fn a_connection_by_the_new_credential_stays_when_the_end_of_the_old_one_comes_late() {
    let world = World::new();
    world.replace_credential(BOB, "bob", "anew");
    let mut bob = world.connect(with_login(BOB, "anew"));
    world.broker().cut_credential(BOB, &key_id_of("bob")).blocking_recv().unwrap();
    bob.ping();
}

#[test]
fn a_login_that_began_before_its_credential_was_replaced_does_not_come_about() {
    let world = World::new();
    // The row is still in the cache, as for a login that has just found it.
    world.connect(Profile::of(BOB)).disconnect();
    world.broker().cut_credential(BOB, &key_id_of("bob")).blocking_recv().unwrap();
    assert_eq!(refusal(&world, Profile::of(BOB)), ReasonCode::BAD_USER_NAME_OR_PASSWORD);
}
