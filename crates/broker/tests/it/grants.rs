//! Rights of devices and of narrowed keys: what grants name, and nothing else.

use accounts::login::sign;
use catalog::{AccessKey, Change, Grant, Grantee, Key, Rights};
use mqtt::ReasonCode;

use crate::login::refusal;
use crate::terminal::{Profile, Said};
use crate::world::{ALICE, BOB, SERVICE, World};

const SECRET: &str = "SecretOfAnotherService12345678";

fn grant(grantee: Grantee, parent: &str, rights: &str) -> Change {
    Change::CreateGrant(Grant { grantee, parent: parent.to_owned(), rights: Rights::parse(rights).unwrap() })
}

fn key(key_id: &str) -> Grantee {
    Grantee::Key(key_id.to_owned())
}

fn user(user: &str) -> Grantee {
    Grantee::User(user.to_owned())
}

/// Another access key, with which services log in under client ids of their choice.
fn with_another_key(world: &World) {
    let (key_id, secret, instance) = ("another".to_owned(), SECRET.to_owned(), "convoke".to_owned());
    world.change_key(Change::CreateKey(Key::from(AccessKey { key_id, secret, instance, created_at_ms: 1 })));
}

fn by_another_key(client_id: &str) -> Profile {
    let username = Some("Signature|another|convoke".to_owned());
    Profile { username, password: Some(sign(SECRET, client_id)), ..Profile::of(client_id) }
}

#[test]
fn a_device_does_what_its_group_and_its_user_were_granted() {
    let world = World::new();
    let (mut alice, mut bob) = (world.connect(Profile::of(ALICE)), world.connect(Profile::of(BOB)));
    let to_bob = format!("chat/p2p/{BOB}/hello");
    assert_eq!(alice.publish(&to_bob, "no"), ReasonCode::NOT_AUTHORIZED);
    assert_eq!(alice.subscribe(&["chat/#"]), [ReasonCode::NOT_AUTHORIZED]);
    world.change_key(grant(Grantee::Group("GID_dev".to_owned()), "chat", "subscribe"));
    world.change_key(grant(user("alice"), "chat", "p2p publish"));
    assert_eq!(alice.publish(&to_bob, "hello"), ReasonCode::SUCCESS);
    assert_eq!(bob.receive().payload, "hello");
    assert_eq!(
        bob.subscribe(&["chat/#", "chat/p2p/#", "#"]),
        [ReasonCode::GRANTED_QOS_1, ReasonCode::NOT_AUTHORIZED, ReasonCode::NOT_AUTHORIZED,]
    );
    assert_eq!(alice.publish("chat/room", "all of you"), ReasonCode::SUCCESS);
    assert_eq!(bob.receive().payload, "all of you");
    assert_eq!(bob.publish("chat/room", "me too"), ReasonCode::NOT_AUTHORIZED);
    assert_eq!(alice.publish(&to_bob, "yours alone"), ReasonCode::SUCCESS);
    assert_eq!(bob.receive().payload, "yours alone");
    bob.expect_nothing();
}

#[test]
fn a_narrowed_key_goes_on_with_its_own_sessions_and_with_no_other_services() {
    const OTHERS: &str = "GID_dev@@@others";
    let mut world = World::new();
    with_another_key(&world);
    world.connect(Profile::of(SERVICE)).subscribe(&["chat/a"]);
    let mut other = world.connect(by_another_key(OTHERS));
    other.subscribe(&["chat/#", "both-ways/#"]);
    world.change_key(grant(key("another"), "chat", "subscribe"));
    assert_eq!(other.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert!(other.last_words.as_deref().is_some_and(|words| words.contains("narrowed")));

    for _ in 0..2 {
        assert_eq!(refusal(&world, by_another_key(SERVICE)), ReasonCode::NOT_AUTHORIZED);
        let mut other = world.connect(by_another_key(OTHERS));
        assert!(other.session_present);
        assert_eq!(other.subscribe(&["both-ways/#"]), [ReasonCode::NOT_AUTHORIZED]);
        assert_eq!(other.unsubscribe("both-ways/#"), [ReasonCode::NO_SUBSCRIPTION_EXISTED], "it has ended");
        assert_eq!(other.subscribe(&["chat/#"]), [ReasonCode::GRANTED_QOS_1]);
        assert_eq!(other.publish("chat/a", "no"), ReasonCode::NOT_AUTHORIZED);
        other.disconnect();
        world.restart();
    }
    // It has not lost what it had, and a service that is not narrowed may go on with all.
    assert!(world.connect(Profile::of(SERVICE)).session_present);
    assert!(world.connect(Profile::of(OTHERS)).session_present);
    assert_eq!(refusal(&world, by_another_key(OTHERS)), ReasonCode::NOT_AUTHORIZED);
}
