//! Rights of devices and of narrowed keys: what grants name, and nothing else.

use accounts::login::sign;
use accounts::revocation::Sessions;
use catalog::{AccessKey, Change, Grant, Grantee, Key, Rights};
use mqtt::ReasonCode;

use crate::durability::fill;
use crate::login::refusal;
use crate::terminal::{Profile, Said, Terminal};
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

const WORDS: &str = "the right to a subscription of this connection was taken back: see its owner";

fn remove(grantee: Grantee, parent: &str) -> Change {
    Change::RemoveGrant { grantee, parent: parent.to_owned() }
}

fn update(grantee: Grantee, parent: &str, rights: &str) -> Change {
    Change::UpdateGrant(Grant { grantee, parent: parent.to_owned(), rights: Rights::parse(rights).unwrap() })
}

/// Alice, who subscribes to all of `chat` and of `both-ways`.
fn subscribed(world: &World) -> Terminal {
    for parent in ["chat", "both-ways"] {
        world.change_key(grant(user("alice"), parent, "publish subscribe"));
    }
    let mut alice = world.connect(Profile::of(ALICE));
    let granted = ReasonCode::GRANTED_QOS_1;
    assert_eq!(alice.subscribe(&["chat/#", "chat/+/x", "both-ways/#"]), [granted, granted, granted]);
    alice
}

#[test]
fn whose_right_to_subscribe_is_taken_back_is_told_and_comes_back_without_the_subscription() {
    let world = World::new();
    let mut alice = subscribed(&world);
    let mut service = world.connect(Profile::of(SERVICE));
    service.subscribe(&["chat/#"]);
    world.change_key(update(user("alice"), "chat", "subscribe"));
    alice.ping();
    assert_eq!(alice.publish("chat/a", "no"), ReasonCode::NOT_AUTHORIZED, "each PUBLISH is judged");
    world.change_key(update(user("alice"), "chat", "publish p2p"));
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(alice.last_words.as_deref(), Some(WORDS));
    let mut alice = world.connect(Profile::of(ALICE));
    assert!(alice.session_present);
    assert_eq!(alice.publish("chat/a/x", "to the service"), ReasonCode::SUCCESS);
    assert_eq!(service.receive().payload, "to the service", "it has its whole instance");
    alice.expect_nothing();
    for (filter, code) in [
        ("chat/#", ReasonCode::NO_SUBSCRIPTION_EXISTED),
        ("chat/+/x", ReasonCode::NO_SUBSCRIPTION_EXISTED),
        ("both-ways/#", ReasonCode::SUCCESS),
    ] {
        assert_eq!(alice.unsubscribe(filter), [code], "{filter}");
    }
}

#[test]
fn a_session_that_is_away_collects_nothing_more_and_what_is_granted_outlasts_a_restart() {
    let mut world = World::new();
    subscribed(&world).disconnect();
    world.change_key(remove(user("alice"), "chat"));
    let mut service = world.connect(Profile::of(SERVICE));
    assert_eq!(service.publish("chat/a", "not for her"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    service.disconnect();
    world.restart();
    let mut service = world.connect(Profile::of(SERVICE));
    assert_eq!(service.publish("both-ways/a", "for her"), ReasonCode::SUCCESS);
    assert_eq!(world.connect(Profile::of(ALICE)).receive().payload, "for her");
}

/// Nobody has told the broker.
#[test]
fn what_had_not_ended_before_the_process_did_ends_with_its_start() {
    let mut world = World::new();
    subscribed(&world).disconnect();
    world.change_key_unseen(remove(user("alice"), "chat"));
    world.restart();
    let mut service = world.connect(Profile::of(SERVICE));
    world.until("the subscriptions at chat have ended", |_| {
        service.publish("chat/a", "not for her") == ReasonCode::NO_MATCHING_SUBSCRIBERS
    });
    world.connect(Profile::of(ALICE)).expect_nothing();
}

#[test]
fn a_grant_of_the_group_or_of_the_user_is_enough_and_a_removed_topic_takes_both() {
    let world = World::new();
    let mut alice = subscribed(&world);
    let group = || Grantee::Group("GID_dev".to_owned());
    world.change_key(grant(group(), "chat", "subscribe"));
    world.change_key(remove(user("alice"), "chat"));
    alice.ping();
    world.change_key(remove(group(), "chat"));
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    let mut alice = world.connect(Profile::of(ALICE));
    world.change_key(Change::RemoveParent { parent: "both-ways".to_owned(), force: true });
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
}

#[test]
fn more_subscribers_than_a_turn_judges_are_all_judged() {
    const SERVICES: usize = 700;
    let world = World::new();
    with_another_key(&world);
    world.change_key(grant(key("another"), "chat", "subscribe"));
    let client_id = |n: usize| format!("GID_dev@@@many-{n}");
    let mut others: Vec<_> = (0..SERVICES).map(|n| world.connect(by_another_key(&client_id(n)))).collect();
    for other in &mut others {
        assert_eq!(other.subscribe(&["chat/#"]), [ReasonCode::GRANTED_QOS_1]);
    }
    let mut whole = world.connect(Profile::of(SERVICE));
    whole.subscribe(&["chat/#"]);
    world.change_key(remove(key("another"), "chat"));
    for other in &mut others {
        assert_eq!(other.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    }
    assert_eq!(whole.publish("chat/a", "for me"), ReasonCode::SUCCESS);
    assert_eq!(whole.receive().payload, "for me");
}

#[test]
fn what_the_full_log_does_not_take_is_not_told_as_done_and_the_connection_ends_all_the_same() {
    let world = World::new();
    let mut alice = subscribed(&world);
    let mut service = world.connect(Profile::of(SERVICE));
    world.storage.set_full(true);
    fill(&mut service);
    world.change_key_unseen(remove(user("alice"), "chat"));
    let judged = || world.broker().judge_subscriptions("chat").blocking_recv().is_ok();
    assert!(!judged());
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    world.storage.set_full(false);
    world.until("there is room", |_| judged());
    assert_eq!(service.publish("chat/a", "nobody's"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
}

#[test]
fn a_narrowed_keys_session_collects_nothing_more_while_it_is_away() {
    const AWAY: &str = "GID_dev@@@away";
    let world = World::new();
    with_another_key(&world);
    let mut away = world.connect(by_another_key(AWAY));
    away.subscribe(&["chat/#", "both-ways/#"]);
    away.disconnect();
    world.change_key(grant(key("another"), "chat", "subscribe"));
    let mut service = world.connect(Profile::of(SERVICE));
    service.publish("both-ways/a", "not for it");
    service.publish("chat/a", "for it");
    let mut away = world.connect(by_another_key(AWAY));
    assert_eq!(away.receive().payload, "for it");
    away.expect_nothing();
}

#[test]
fn what_a_users_tokens_let_it_subscribe_outlasts_a_start_and_the_grants_of_others() {
    let mut world = World::new();
    let profile = crate::tokens::of_alice(&world, "chat/#");
    let mut alice = world.connect(profile.clone());
    assert_eq!(alice.subscribe(&["chat/#"]), [ReasonCode::GRANTED_QOS_1]);
    alice.disconnect();
    world.change_key(grant(user("bob"), "chat", "subscribe"));
    world.change_key(remove(user("bob"), "chat"));
    world.stop();
    world.start();
    world.connect(Profile::of(SERVICE)).publish("chat/a", "still hers");
    let mut alice = world.connect(profile);
    assert!(alice.session_present);
    assert_eq!(alice.receive().payload, "still hers");
}
