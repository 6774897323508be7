//! Clients that log in by tokens, renew them, and lose them.

use accounts::revocation::Sessions;
use accounts::token::{Applicant, Token, TokenType};
use catalog::{Change, KeyUpdate, RevokedToken, Scope};
use clock::testing::TestMachine;
use mqtt::{ReasonCode, Version};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::login::refusal;
use crate::terminal::{Profile, Said, Terminal};
use crate::world::{ALICE, BOB, KEY, SERVICE, World, token_key};

const CLIENT: &str = "GID_dev@@@token-1";
const HOUR_MS: u64 = 3_600_000;

fn token(world: &World, token_type: TokenType, resources: &[&str]) -> Token {
    Token {
        id: Uuid::now_v7(),
        token_type,
        resources: resources.iter().map(|resource| (*resource).to_owned()).collect(),
        // Whole seconds, which is what a token can say.
        expires_at_ms: world.clock.now_ms() / 1_000 * 1_000 + HOUR_MS,
        applicant: Applicant::key(KEY.0.to_owned(), 0),
        client_id: None,
        user: None,
        login: None,
    }
}

fn text(token: &Token) -> String {
    token_key().sign(token, 0).unwrap()
}

fn profile(profile: Profile, tokens: &[&Token]) -> Profile {
    let pairs: Vec<String> = tokens.iter().map(|token| format!("{}|{}", token.token_type, text(token))).collect();
    let username = Some(format!("Token|{}|convoke", KEY.0));
    Profile { username, password: Some(pairs.join("|")), ..profile }
}

/// Of Alice's device, by a token that reads what the resource names.
pub(crate) fn of_alice(world: &World, resource: &str) -> Profile {
    let token = Token {
        client_id: Some(ALICE.to_owned()),
        user: Some("alice".to_owned()),
        login: Some("DC.alice".to_owned()),
        ..token(world, TokenType::Read, &[resource])
    };
    profile(Profile::of(ALICE), &[&token])
}

fn upload(token: &Token) -> String {
    json!({ "token": text(token), "type": token.token_type }).to_string()
}

/// The notice, and then the end.
fn expect_notice(terminal: &mut Terminal, topic: &str, payload: Value) {
    let notice = terminal.take();
    assert_eq!(notice.topic, topic);
    assert_eq!(serde_json::from_str::<Value>(&notice.payload).unwrap(), payload);
}

const INVALID: &str = "$SYS/tokenInvalidNotice";

#[test]
fn tokens_let_a_client_publish_and_subscribe_what_they_name_with_both_versions() {
    let world = World::new();
    let (read, write) = (token(&world, TokenType::Read, &["chat/#"]), token(&world, TokenType::Write, &["chat/+"]));
    let both = token(&world, TokenType::ReadWrite, &["chat/#"]);
    for tokens in [&[&read, &write][..], &[&write, &read], &[&both]] {
        let mut client = world.connect(profile(Profile::passing(CLIENT), tokens));
        assert_eq!(
            client.subscribe(&["chat/room", "meeting-down/a"]),
            [ReasonCode::GRANTED_QOS_1, ReasonCode::NOT_AUTHORIZED]
        );
        assert_eq!(client.publish("chat/room", "hello"), ReasonCode::SUCCESS);
        assert_eq!(client.receive().payload, "hello");
        assert_eq!(client.publish("meeting-up/create", "no"), ReasonCode::NOT_AUTHORIZED);
        client.disconnect();
    }
    let old = Profile { clean_start: true, ..Profile::v311(CLIENT) };
    let mut old = world.connect(profile(old, &[&read, &write]));
    old.subscribe(&["chat/room"]);
    assert_eq!(old.publish("chat/room", "hello"), ReasonCode::SUCCESS);
    assert_eq!(old.receive().payload, "hello");
}

#[test]
fn p2p_needs_no_token_to_receive_and_a_w_to_send() {
    let world = World::new();
    let mut client = world.connect(profile(Profile::passing(CLIENT), &[&token(&world, TokenType::Read, &["chat/a"])]));
    let write = token(&world, TokenType::Write, &["chat/p2p/GID_dev@@@token-1/#"]);
    let mut sender = world.connect(profile(Profile::passing("GID_dev@@@token-2"), &[&write]));
    assert_eq!(sender.publish(&format!("chat/p2p/{CLIENT}/note"), "for you"), ReasonCode::SUCCESS);
    assert_eq!(client.receive().payload, "for you");
    assert_eq!(client.publish("chat/p2p/GID_dev@@@token-2", "no"), ReasonCode::NOT_AUTHORIZED);
    assert_eq!(sender.publish(&format!("chat/p2p/{BOB}"), "no"), ReasonCode::NOT_AUTHORIZED);
}

#[test]
fn void_tokens_let_nobody_in() {
    let world = World::new();
    let good = token(&world, TokenType::Read, &["chat/#"]);
    let expired = Token { expires_at_ms: 1_000, ..good.clone() };
    let elsewhere = Token { client_id: Some(BOB.to_owned()), ..good.clone() };
    let foreign = Token { applicant: Applicant::key("other".to_owned(), 0), ..good.clone() };
    let table = [
        (&expired, ReasonCode::NOT_AUTHORIZED),
        (&elsewhere, ReasonCode::BAD_USER_NAME_OR_PASSWORD),
        (&foreign, ReasonCode::NOT_AUTHORIZED),
    ];
    for (token, reason) in table {
        assert_eq!(refusal(&world, profile(Profile::of(CLIENT), &[token])), reason, "{token:?}");
    }
    let with =
        |password: &str| Profile { password: Some(password.to_owned()), ..profile(Profile::of(CLIENT), &[&good]) };
    for password in ["", "R", "R|nonsense", &format!("R|{0}|R|{0}", text(&good)), &format!("W|{}", text(&good))] {
        assert_eq!(refusal(&world, with(password)), ReasonCode::BAD_USER_NAME_OR_PASSWORD, "{password}");
    }
    assert_eq!(refusal(&world, profile(Profile::of(ALICE), &[&good])), ReasonCode::NOT_AUTHORIZED, "it is Alice's");
    world.connect(profile(Profile::of(CLIENT), &[&good]));
}

#[test]
fn a_session_is_kept_over_the_renewal_of_its_token() {
    let world = World::new();
    let first = token(&world, TokenType::ReadWrite, &["chat/#"]);
    world.connect(profile(Profile::of(CLIENT), &[&first])).disconnect();
    let bound = Token { client_id: Some(CLIENT.to_owned()), ..token(&world, TokenType::Read, &["chat/a"]) };
    assert!(world.connect(profile(Profile::of(CLIENT), &[&bound])).session_present);
    // From here on the client id is for tokens that name it.
    assert_eq!(refusal(&world, profile(Profile::of(CLIENT), &[&first])), ReasonCode::NOT_AUTHORIZED);
    assert!(world.connect(profile(Profile::of(CLIENT), &[&first, &bound])).session_present);
}

#[test]
fn a_token_that_names_no_client_id_takes_nothing_over_from_one_that_names_it() {
    let mut world = World::new();
    let anybody = token(&world, TokenType::ReadWrite, &["chat/#"]);
    let bound = Token { client_id: Some(CLIENT.to_owned()), ..anybody.clone() };
    let mut client = world.connect(profile(Profile::of(CLIENT), &[&bound]));
    client.subscribe(&["chat/a"]);
    for clean_start in [false, true] {
        let other = Profile { clean_start, ..profile(Profile::of(CLIENT), &[&anybody]) };
        assert_eq!(refusal(&world, other), ReasonCode::NOT_AUTHORIZED);
    }
    client.ping();
    client.disconnect();
    world.restart();
    assert_eq!(refusal(&world, profile(Profile::of(CLIENT), &[&anybody])), ReasonCode::NOT_AUTHORIZED);
    assert!(world.connect(profile(Profile::of(CLIENT), &[&bound])).session_present);
}

#[test]
fn a_service_takes_its_client_id_from_clients_with_tokens() {
    let world = World::new();
    let anybody = token(&world, TokenType::ReadWrite, &["chat/#"]);
    for (n, is_bound, is_connected) in [(1, false, false), (2, false, true), (3, true, true)] {
        let client_id = format!("{SERVICE}-{n}");
        let token = Token { client_id: is_bound.then(|| client_id.clone()), ..anybody.clone() };
        let mut squatter = world.connect(profile(Profile::of(&client_id), &[&token]));
        squatter.subscribe(&["chat/a"]);
        let squatter = is_connected.then_some(squatter);
        let mut service = world.connect(Profile::of(&client_id));
        assert!(!service.session_present, "it begins with nothing of theirs");
        assert_eq!(service.publish("chat/a", "to nobody"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
        if let Some(mut squatter) = squatter {
            assert_eq!(squatter.expect_end(), Said::Disconnect(ReasonCode::SESSION_TAKEN_OVER));
        }
        assert_eq!(refusal(&world, profile(Profile::of(&client_id), &[&token])), ReasonCode::NOT_AUTHORIZED);
    }
}

#[test]
fn services_keep_their_client_ids_from_clients_with_tokens() {
    let world = World::new();
    let mine = token(&world, TokenType::Read, &["chat/a"]);
    world.connect(Profile::of(SERVICE)).disconnect();
    assert_eq!(refusal(&world, profile(Profile::of(SERVICE), &[&mine])), ReasonCode::NOT_AUTHORIZED);
}

#[test]
fn a_subscription_that_is_permitted_no_more_ends_when_its_session_is_resumed() {
    let mut world = World::new();
    let wide = token(&world, TokenType::Read, &["chat/#"]);
    let narrow = token(&world, TokenType::Read, &["chat/a"]);
    let mut client = world.connect(profile(Profile::of(CLIENT), &[&wide]));
    client.subscribe(&["chat/a", "chat/b"]);
    client.disconnect();
    assert!(world.connect(profile(Profile::of(CLIENT), &[&narrow])).session_present);
    // Also after a restart, and when the rights are there again.
    world.restart();
    let mut client = world.connect(profile(Profile::of(CLIENT), &[&wide]));
    let mut service = world.connect(Profile::passing(SERVICE));
    assert_eq!(service.publish("chat/b", "not for it"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    assert_eq!(service.publish("chat/a", "for it"), ReasonCode::SUCCESS);
    assert_eq!(client.receive().payload, "for it");
}

#[test]
fn a_revoked_token_ends_its_connection_with_a_notice_and_no_other() {
    let world = World::new();
    let (one, other) = (token(&world, TokenType::Read, &["chat/#"]), token(&world, TokenType::Read, &["chat/#"]));
    let mut client = world.connect(profile(Profile::of(CLIENT), &[&one]));
    let mut bystander = world.connect(profile(Profile::of("GID_dev@@@token-2"), &[&other]));
    let mut old = Profile::v311("GID_dev@@@token-3");
    old.clean_start = true;
    let mut old = world.connect(profile(old, &[&one]));
    world.change_key(Change::RevokeToken(RevokedToken { id: one.id, key_id: None, expires_at_ms: one.expires_at_ms }));
    for client in [&mut client, &mut old] {
        expect_notice(client, INVALID, json!({ "code": 3, "type": "R" }));
    }
    assert_eq!(client.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert!(client.last_words.is_some_and(|words| words.contains("token")));
    assert_eq!(old.expect_end(), Said::Closed);
    assert_eq!(refusal(&world, profile(Profile::of(CLIENT), &[&one])), ReasonCode::NOT_AUTHORIZED);
    bystander.ping();
}

/// What comes meanwhile would be for whoever logs in there next.
#[test]
fn a_session_collects_nothing_more_by_a_token_that_was_revoked() {
    let world = World::new();
    let (read, write) = (token(&world, TokenType::Read, &["chat/#"]), token(&world, TokenType::ReadWrite, &["chat/b"]));
    let mut client = world.connect(profile(Profile::of(CLIENT), &[&read, &write]));
    client.subscribe(&["chat/a", "chat/b"]);
    world.change_key(Change::RevokeToken(RevokedToken {
        id: read.id,
        key_id: None,
        expires_at_ms: read.expires_at_ms,
    }));
    expect_notice(&mut client, INVALID, json!({ "code": 3, "type": "R" }));
    client.expect_end();
    let mut service = world.connect(Profile::passing(SERVICE));
    assert_eq!(service.publish("chat/a", "to nobody"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    assert_eq!(service.publish("chat/b", "the other token covers it"), ReasonCode::SUCCESS);
}

#[test]
fn a_token_ends_with_the_login_of_the_device_that_it_was_applied_for() {
    let world = World::new();
    let login = Some("DC.alice".to_owned());
    let of = |login: Option<String>| Token {
        client_id: Some(ALICE.to_owned()),
        user: Some("alice".to_owned()),
        login,
        ..token(&world, TokenType::Read, &["chat/#"])
    };
    let mut client = world.connect(profile(Profile::of(ALICE), &[&of(login.clone())]));
    let other = of(Some("DC.another".to_owned()));
    assert_eq!(refusal(&world, profile(Profile::of(ALICE), &[&other])), ReasonCode::NOT_AUTHORIZED);
    client.ping();
    world.replace_credential(ALICE, "alice", "alice-2");
    world.broker().cut_credential(ALICE, "DC.alice").blocking_recv().unwrap();
    assert_eq!(client.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert_eq!(refusal(&world, profile(Profile::of(ALICE), &[&of(login)])), ReasonCode::NOT_AUTHORIZED);
}

#[test]
fn tokens_end_with_their_key_and_not_by_what_it_is_narrowed_in_besides() {
    let world = World::new();
    let mut client = world.connect(profile(Profile::of(CLIENT), &[&token(&world, TokenType::ReadWrite, &["chat/#"])]));
    let narrowed = |scope: Scope| Change::UpdateKey {
        key_id: KEY.0.to_owned(),
        update: KeyUpdate { scopes: Some([scope].into_iter().collect()), ..KeyUpdate::default() },
    };
    world.change_key(narrowed(Scope::Topics));
    client.ping();
    assert_eq!(client.publish("chat/a", "still"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    world.change_key(narrowed(Scope::Devices));
    expect_notice(&mut client, INVALID, json!({ "code": -1, "type": "RW" }));
    assert_eq!(client.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
}

#[test]
fn all_connections_end_with_their_group() {
    let world = World::new();
    let holder = token(&world, TokenType::ReadWrite, &["chat/#"]);
    let mut clients = [Profile::of(ALICE), Profile::of(SERVICE), profile(Profile::of(CLIENT), &[&holder])]
        .map(|profile| world.connect(profile));
    world.change_key(Change::RemoveGroup { group: "GID_dev".to_owned(), force: true });
    for client in &mut clients {
        assert_eq!(client.expect_end(), Said::Disconnect(ReasonCode::ADMINISTRATIVE_ACTION));
    }
    assert_eq!(refusal(&world, Profile::of(SERVICE)), ReasonCode::BAD_USER_NAME_OR_PASSWORD);
}

#[test]
fn an_uploaded_token_is_in_force_when_it_is_acknowledged() {
    let world = World::new();
    let first = token(&world, TokenType::ReadWrite, &["chat/a"]);
    for client in [Profile::passing(CLIENT), Profile { clean_start: true, ..Profile::v311(CLIENT) }] {
        // 3.1.1 is not told that there is no subscriber; who may not publish is closed.
        let to_nobody = match client.version {
            Version::V5 => ReasonCode::NO_MATCHING_SUBSCRIBERS,
            Version::V311 => ReasonCode::SUCCESS,
        };
        let mut client = world.connect(profile(client, &[&first]));
        client.subscribe(&["chat/a"]);
        let second = token(&world, TokenType::ReadWrite, &["chat/b"]);
        assert_eq!(client.publish("$SYS/uploadToken", &upload(&second)), ReasonCode::SUCCESS);
        assert_eq!(client.publish("chat/b", "to nobody"), to_nobody);
        let mut service = world.connect(Profile::passing(SERVICE));
        assert_eq!(service.publish("chat/a", "to nobody any more"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
        // The older writing of the field, and QoS 0; the next PUBLISH comes behind it.
        let third = token(&world, TokenType::ReadWrite, &["chat/c"]);
        client.publish_qos0("$SYS/uploadToken", &json!({ "Token": text(&third), "type": "RW" }).to_string());
        assert_eq!(client.publish("chat/c", "to nobody"), to_nobody);
        client.disconnect();
        service.disconnect();
    }
}

#[test]
fn an_upload_that_is_void_ends_the_connection_with_its_code() {
    let world = World::new();
    let first = token(&world, TokenType::Read, &["chat/#"]);
    let good = token(&world, TokenType::Read, &["chat/#"]);
    let of = |token: Token| upload(&token);
    let table = [
        ("no JSON".to_owned(), "R", 1),
        (json!({ "token": "nonsense", "type": "W" }).to_string(), "W", 1),
        (json!({ "token": text(&good), "type": "W" }).to_string(), "W", 5),
        (json!({ "token": format!("{}AAAA", text(&good)), "type": "R" }).to_string(), "R", 8),
        (of(Token { expires_at_ms: 1_000, ..good.clone() }), "R", 2),
        (of(Token { client_id: Some(BOB.to_owned()), ..good.clone() }), "R", 4),
        (of(Token { user: Some("alice".to_owned()), ..good.clone() }), "R", -1),
        (json!({ "token": "x".repeat(60_000), "type": "R" }).to_string(), "R", 1),
    ];
    for (payload, token_type, code) in table {
        let mut client = world.connect(profile(Profile::passing(CLIENT), &[&first]));
        client.publish_qos0("$SYS/uploadToken", &payload);
        expect_notice(&mut client, INVALID, json!({ "code": code, "type": token_type }));
        assert_eq!(client.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED), "{code}");
    }
}

#[test]
fn who_did_not_log_in_by_tokens_uploads_none() {
    let world = World::new();
    let token = token(&world, TokenType::ReadWrite, &["chat/#"]);
    for client_id in [SERVICE, ALICE] {
        let mut client = world.connect(Profile::passing(client_id));
        assert_eq!(client.publish("$SYS/uploadToken", &upload(&token)), ReasonCode::NOT_AUTHORIZED);
        client.ping();
    }
    let nobody = Profile { username: None, password: None, ..Profile::of(CLIENT) };
    assert_eq!(refusal(&world, nobody), ReasonCode::BAD_USER_NAME_OR_PASSWORD);
}

#[test]
fn a_device_takes_the_client_id_that_tokens_had() {
    let world = World::new();
    let mut client = world.connect(profile(Profile::of(CLIENT), &[&token(&world, TokenType::Read, &["chat/#"])]));
    let answer = world.broker().end_device(CLIENT, accounts::revocation::Ending::Registered).blocking_recv().unwrap();
    assert_eq!(answer, None, "nobody keeps it");
    assert_eq!(client.expect_end(), Said::Disconnect(ReasonCode::ADMINISTRATIVE_ACTION));
    world.register(CLIENT, "dora");
    let holder = token(&world, TokenType::Read, &["chat/#"]);
    assert_eq!(refusal(&world, profile(Profile::of(CLIENT), &[&holder])), ReasonCode::NOT_AUTHORIZED);
    let (user, login) = (Some("dora".to_owned()), Some("DC.dora".to_owned()));
    let dora = Token { client_id: Some(CLIENT.to_owned()), user, login, ..holder };
    let client = world.connect(profile(Profile::of(CLIENT), &[&dora]));
    let holder = world.broker().holder_of(CLIENT).blocking_recv().unwrap();
    assert_eq!(holder.as_deref(), Some("user:dora"));
    client.disconnect();
}

/// So many milliseconds, in which the clock is asked.
fn pass(machine: &TestMachine, world: &World, ms: u64) {
    for _ in 0..ms.div_ceil(1_000) {
        machine.pass(1_000);
        let _ = world.clock.now_ms();
    }
}

const EXPIRES: &str = "$SYS/tokenExpireNotice";

#[test]
fn a_client_is_told_once_that_a_token_ends_and_is_ended_with_it_unless_it_brings_another() {
    let machine = TestMachine::at(1_800_000_000_000);
    let mut world = World::new();
    world.stop();
    world.clock = machine.clock(None);
    world.start();
    let [first, second] = [(); 2].map(|()| token(&world, TokenType::ReadWrite, &["chat/#"]));
    let mut renewing = world.connect(profile(Profile::passing("GID_dev@@@token-2"), &[&second]));
    let mut client = world.connect(profile(Profile::passing(CLIENT), &[&first]));
    pass(&machine, &world, HOUR_MS - 5 * 60_000);
    for client in [&mut client, &mut renewing] {
        expect_notice(client, EXPIRES, json!({ "expireTime": first.expires_at_ms, "type": "RW" }));
        client.expect_nothing();
    }
    let third = token(&world, TokenType::ReadWrite, &["chat/#"]);
    assert_eq!(renewing.publish("$SYS/uploadToken", &upload(&third)), ReasonCode::SUCCESS);
    pass(&machine, &world, 5 * 60_000);
    expect_notice(&mut client, INVALID, json!({ "code": 2, "type": "RW" }));
    assert_eq!(client.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    renewing.expect_nothing();
    assert_eq!(refusal(&world, profile(Profile::of(CLIENT), &[&first])), ReasonCode::NOT_AUTHORIZED);
    pass(&machine, &world, HOUR_MS - 10 * 60_000);
    expect_notice(&mut renewing, EXPIRES, json!({ "expireTime": third.expires_at_ms, "type": "RW" }));
}

fn key_ends_at(ends_at_ms: u64) -> Change {
    let update = KeyUpdate { expires_at_ms: Some(Some(ends_at_ms)), ..KeyUpdate::default() };
    Change::UpdateKey { key_id: KEY.0.to_owned(), update }
}

#[test]
fn tokens_go_by_the_time_of_their_key_whether_it_is_given_less_or_more() {
    let machine = TestMachine::at(1_800_000_000_000);
    let mut world = World::new();
    world.stop();
    world.clock = machine.clock(None);
    world.start();
    let token = token(&world, TokenType::ReadWrite, &["chat/#"]);
    let mut client = world.connect(profile(Profile::passing(CLIENT), &[&token]));
    let minutes = |count: u64| token.expires_at_ms - HOUR_MS + count * 60_000;
    // Less, told; then more, told; then more, of which the broker is not told.
    world.change_key(key_ends_at(minutes(10)));
    pass(&machine, &world, 6 * 60_000);
    expect_notice(&mut client, EXPIRES, json!({ "expireTime": minutes(10), "type": "RW" }));
    world.change_key(key_ends_at(minutes(20)));
    pass(&machine, &world, 6 * 60_000);
    client.expect_nothing();
    world.change_key_unseen(key_ends_at(minutes(90)));
    pass(&machine, &world, 4 * 60_000);
    expect_notice(&mut client, EXPIRES, json!({ "expireTime": minutes(20), "type": "RW" }));
    pass(&machine, &world, 30 * 60_000);
    client.ping();
    // Its own end.
    pass(&machine, &world, 10 * 60_000);
    expect_notice(&mut client, EXPIRES, json!({ "expireTime": token.expires_at_ms, "type": "RW" }));
    pass(&machine, &world, 5 * 60_000);
    expect_notice(&mut client, INVALID, json!({ "code": 2, "type": "RW" }));
}

#[test]
fn a_token_that_ends_soon_is_told_of_at_once() {
    let world = World::new();
    let ends_at_ms = world.clock.now_ms() / 1_000 * 1_000 + 120_000;
    let soon = Token { expires_at_ms: ends_at_ms, ..token(&world, TokenType::Read, &["chat/#"]) };
    for client in [Profile::passing(CLIENT), Profile { clean_start: true, ..Profile::v311(CLIENT) }] {
        let mut client = world.connect(profile(client, &[&soon]));
        expect_notice(&mut client, EXPIRES, json!({ "expireTime": ends_at_ms, "type": "R" }));
        client.disconnect();
    }
}
