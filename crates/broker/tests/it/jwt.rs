//! Devices that log in by a JWT, until it ends or is revoked.

use accounts::jwt::{Issuer, IssuerRules, Issuers, PublicKeys, VerifyingKey};
use accounts::revocation::Sessions;
use catalog::{Change, RevokedToken};
use clock::testing::TestMachine;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use mqtt::{ReasonCode, Version};
use serde_json::{Value, json};

use crate::login::refusal;
use crate::pipe::{Stream, tcp};
use crate::terminal::{Profile, Said, Terminal};
use crate::world::{ALICE, BOB, SERVICE, World};

const SECRET: &[u8] = &[7; 32];
/// RFC 8037 A.1.
const PRIVATE: &str = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n-----END \
                       PRIVATE KEY-----\n";
const PUBLIC_X: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";

/// `app` has a shared secret; of `keys` a JWK set is still to be fetched.
pub(crate) fn issuers() -> Issuers {
    let rules = |name: &str| IssuerRules {
        name: name.to_owned(),
        issuer: "https://login.example.org".to_owned(),
        audience: "convoke".to_owned(),
        user_claim: "sub".to_owned(),
        client_id_claim: "client_id".to_owned(),
        leeway_ms: 0,
    };
    let secret = VerifyingKey::from_secret(SECRET).unwrap();
    Issuers::new([Issuer::new(rules("app"), vec![secret], false), Issuer::new(rules("keys"), Vec::new(), true)])
}

fn claims(client_id: &str, user: &str, ends_ms: u64) -> Value {
    let exp = ends_ms as f64 / 1_000.0;
    json!({ "iss": "https://login.example.org", "aud": "convoke", "sub": user, "client_id": client_id, "exp": exp, "jti": "j1" })
}

fn signed(claims: &Value) -> String {
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &EncodingKey::from_secret(SECRET)).unwrap()
}

fn profile(profile: Profile, issuer: &str, jwt: String) -> Profile {
    Profile { username: Some(format!("JWT|{issuer}|convoke")), password: Some(jwt), ..profile }
}

fn alice(world: &World, jwt: &Value) -> Terminal {
    world.connect(profile(Profile::passing(ALICE), "app", signed(jwt)))
}

fn in_an_hour(world: &World) -> u64 {
    world.clock.now_ms() + 3_600_000
}

#[test]
fn a_jwt_lets_a_device_in_as_its_credential_does_with_both_versions() {
    let world = World::new();
    let jwt = signed(&claims(ALICE, "alice", in_an_hour(&world)));
    world.connect(Profile::of(ALICE)).disconnect();
    for version in [Profile::of(ALICE), Profile::v311(ALICE)] {
        let mut alice = world.connect(profile(version, "app", jwt.clone()));
        assert!(alice.session_present, "the session is the user's, whatever the login was");
        assert_eq!(alice.publish("meeting-up/create", "let us talk"), ReasonCode::SUCCESS);
        let mut service = world.connect(Profile::passing(SERVICE));
        assert_eq!(service.publish(&format!("chat/p2p/{ALICE}"), "for you"), ReasonCode::SUCCESS);
        assert_eq!(alice.receive().payload, "for you");
        service.disconnect();
        alice.disconnect();
    }
    let holder = world.broker().holder_of(ALICE).blocking_recv().unwrap();
    assert_eq!(holder.as_deref(), Some("user:alice"));
}

#[test]
fn a_jwt_that_lets_nobody_in_says_why() {
    let world = World::new();
    let until = in_an_hour(&world);
    let table = [
        (claims(ALICE, "bob", until), ReasonCode::NOT_AUTHORIZED, "no device of the user"),
        (claims(BOB, "alice", until), ReasonCode::BAD_USER_NAME_OR_PASSWORD, "another client id"),
        (claims(ALICE, "alice", 1_000), ReasonCode::NOT_AUTHORIZED, "expired"),
    ];
    for (claims, reason, words) in table {
        let profile = profile(Profile::of(ALICE), "app", signed(&claims));
        assert_eq!(refusal(&world, profile.clone()), reason, "{words}");
        let v311 = Profile { version: Version::V311, session_expiry_s: None, ..profile.clone() };
        assert_eq!(refusal(&world, v311), reason, "{words}");
        let mut terminal = Terminal::open(Stream(tcp(world.address())), profile.version);
        terminal.send(&profile.to_bytes());
        assert!(terminal.expect_connack().is_err(), "{words}");
        assert!(terminal.last_words.is_some_and(|said| said.contains(words)), "{words}");
    }
    let nobody = profile(Profile::of(ALICE), "nobody", signed(&claims(ALICE, "alice", until)));
    assert_eq!(refusal(&world, nobody), ReasonCode::BAD_USER_NAME_OR_PASSWORD);
}

#[test]
fn a_jwt_may_narrow_what_its_device_publishes() {
    let world = World::new();
    let mut narrowed = claims(ALICE, "alice", in_an_hour(&world));
    narrowed["convoke_publish"] = json!(["meeting-up/state"]);
    let mut alice = alice(&world, &narrowed);
    assert_eq!(alice.publish("meeting-up/state", "asks"), ReasonCode::SUCCESS);
    assert_eq!(alice.publish("meeting-up/create", "no"), ReasonCode::NOT_AUTHORIZED);
}

#[test]
fn a_connection_ends_with_its_jwt_by_the_services_clock() {
    let machine = TestMachine::at(1_800_000_000_000);
    let mut world = World::new();
    world.stop();
    world.clock = machine.clock(None);
    world.start();
    let mut alice = alice(&world, &claims(ALICE, "alice", in_an_hour(&world)));
    alice.ping();
    for _ in 0..3_600 {
        machine.pass(1_000);
        let _ = world.clock.now_ms();
    }
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert!(alice.last_words.is_some_and(|words| words.contains("expired")));
}

/// The service's clock stands still here, as if it were set back again and again.
#[test]
fn a_connection_ends_with_its_jwt_by_the_time_that_passes_too() {
    let mut world = World::new();
    world.stop();
    world.clock = TestMachine::at(1_800_000_000_000).clock(None);
    world.start();
    let ends_ms = world.clock.now_ms() + 1_200;
    let mut alice = alice(&world, &claims(ALICE, "alice", ends_ms));
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert!(world.clock.now_ms() < ends_ms);
}

#[test]
fn a_revoked_jwt_ends_its_connection_and_no_other() {
    let world = World::new();
    let until = in_an_hour(&world);
    let one = claims(ALICE, "alice", until);
    let mut other = claims(BOB, "bob", until);
    other["jti"] = "j2".into();
    let mut alice = alice(&world, &one);
    let mut bob = world.connect(profile(Profile::passing(BOB), "app", signed(&other)));
    let id = world.issuers.named("app").unwrap().verify(&signed(&one)).unwrap().id;
    world.change_key(Change::RevokeToken(RevokedToken { id, key_id: None, expires_at_ms: until }));
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert!(alice.last_words.is_some_and(|words| words.contains("revoked")));
    assert_eq!(refusal(&world, profile(Profile::of(ALICE), "app", signed(&one))), ReasonCode::NOT_AUTHORIZED);
    bob.ping();
}

#[test]
fn a_login_waits_for_the_key_that_is_fetched_because_of_it() {
    let world = World::new();
    let issuer = world.issuers.named("keys").unwrap().clone();
    let header = Header { kid: Some("k1".to_owned()), ..Header::new(Algorithm::EdDSA) };
    let key = EncodingKey::from_ed_pem(PRIVATE.as_bytes()).unwrap();
    let jwt = jsonwebtoken::encode(&header, &claims(ALICE, "alice", in_an_hour(&world)), &key).unwrap();
    let fetched = issuer.clone();
    let fetching = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(fetched.refresh_wanted());
        fetched.fetch_begins();
        let jwks = json!({ "keys": [{ "kty": "OKP", "crv": "Ed25519", "kid": "k1", "x": PUBLIC_X }] });
        fetched.fetch_ended(Some(PublicKeys::from_jwks(jwks.to_string().as_bytes()).unwrap()));
    });
    world.connect(profile(Profile::of(ALICE), "keys", jwt.clone()));
    fetching.join().unwrap();
    // A key that is not there is not waited for again right behind a fetch.
    let other = Header { kid: Some("k2".to_owned()), ..header };
    let unknown = jsonwebtoken::encode(&other, &claims(ALICE, "alice", in_an_hour(&world)), &key).unwrap();
    let unknown = profile(Profile::of(ALICE), "keys", unknown);
    assert_eq!(refusal(&world, unknown), ReasonCode::BAD_USER_NAME_OR_PASSWORD);
}
