//! Logins of devices by JWTs.

use super::*;
use crate::jwt::tests::{Signer, claims, rules};
use crate::jwt::{Issuer, Issuers, JwtError, PublicKeys};
use catalog::{Grant, ParentTopic, Right, Rule};
use serde_json::{Value, json};

const USERNAME: &str = "JWT|app|mqtt-test-01";
/// Within the time of `claims`.
const NOW_MS: u64 = 150_000;

fn with(issuer: &Issuer, revoked: Vec<Uuid>) -> Access {
    let snapshot = AccessSnapshot {
        revision: 1,
        groups: vec![Group { group: "GID_Test".to_owned() }],
        parents: ["call", "calls"].map(|parent| ParentTopic::new(parent, Rule::ToQueue)).into(),
        grants: ["call", "calls"]
            .map(|parent| Grant {
                rights: [Right::Publish, Right::Subscribe].into_iter().collect(),
                ..Grant::to_publish("GID_Test", parent)
            })
            .into(),
        revoked_tokens: revoked,
        ..AccessSnapshot::default()
    };
    let issuers = Issuers::new([issuer.clone()]);
    Access::new(AccessConfig { instance: "mqtt-test-01".to_owned(), issuers, ..AccessConfig::default() }, snapshot)
}

fn said() -> Value {
    let mut said = claims();
    said["client_id"] = CLIENT.into();
    said
}

fn pending(access: &Access, client_id: &str, username: &str, jwt: &str) -> Result<PendingLogin, LoginError> {
    match begin(access, client_id, Some(username), Some(jwt.as_bytes())) {
        LoginStep::NeedsDevice(pending) => Ok(pending),
        LoginStep::Decided(decided) => Err(decided.unwrap_err()),
    }
}

fn try_in(access: &Access, jwt: &str, device: Option<&Device>, now_ms: u64) -> Result<Login, LoginError> {
    pending(access, CLIENT, USERNAME, jwt)?.finish(device, |at_ms| at_ms <= now_ms)
}

#[test]
fn a_jwt_lets_the_device_of_its_user_in_until_its_end() {
    let signer = Signer::ed25519("k1");
    let issuer = Issuer::new(rules("app"), vec![signer.key()], false);
    let (access, phone) = (with(&issuer, Vec::new()), device("s"));
    let jwt = signer.sign(&said());
    let login = try_in(&access, &jwt, Some(&phone), NOW_MS).unwrap();
    assert_eq!(login.identity, anns_phone());
    // The credential of the device is over since long: that is another login.
    assert_eq!(login.valid_until_ms, Some(210_000));
    assert_eq!(try_in(&access, &jwt, Some(&phone), 89_000), Err(JwtError::NotYet.into()));
    assert_eq!(try_in(&access, &jwt, Some(&phone), 210_000), Err(JwtError::Expired.into()));
}

#[test]
fn a_jwt_lets_nobody_else_in() {
    let signer = Signer::ed25519("k1");
    let issuer = Issuer::new(rules("app"), vec![signer.key()], false);
    let (access, phone, jwt) = (with(&issuer, Vec::new()), device("s"), signer.sign(&said()));
    let bobs = Device { user: "bob".to_owned(), ..phone.clone() };
    assert_eq!(try_in(&access, &jwt, None, NOW_MS), Err(JwtError::Device.into()), "not registered");
    assert_eq!(try_in(&access, &jwt, Some(&bobs), NOW_MS), Err(JwtError::Device.into()));
    let table = [
        ("GID_Test@@@0002", USERNAME, LoginError::Jwt(JwtError::ClientId)),
        (CLIENT, "JWT|other|mqtt-test-01", LoginError::Refused),
        (CLIENT, "JWT|app", LoginError::BadUsername),
        (CLIENT, "jwt|app|mqtt-test-01", LoginError::BadUsername),
        ("ann", USERNAME, LoginError::BadClientId),
    ];
    for (client_id, username, error) in table {
        assert_eq!(pending(&access, client_id, username, &jwt), Err(error), "{client_id} {username}");
    }
    let elsewhere = pending(&access, CLIENT, "JWT|app|mqtt-test-02", &jwt).unwrap();
    assert_eq!(elsewhere.finish(Some(&phone), |at_ms| at_ms <= NOW_MS), Err(LoginError::Refused));
    let mut unknown = said();
    unknown["client_id"] = "GID_None@@@0001".into();
    let unknown = pending(&access, "GID_None@@@0001", USERNAME, &signer.sign(&unknown)).unwrap();
    assert_eq!(unknown.finish(None, |at_ms| at_ms <= NOW_MS), Err(LoginError::Refused), "no such group");
}

#[test]
fn a_revoked_jwt_lets_nobody_in() {
    let signer = Signer::ed25519("k1");
    let issuer = Issuer::new(rules("app"), vec![signer.key()], false);
    let jwt = signer.sign(&said());
    let id = issuer.verify(&jwt).unwrap().id;
    assert_eq!(try_in(&with(&issuer, vec![id]), &jwt, Some(&device("s")), NOW_MS), Err(JwtError::Revoked.into()));
}

#[test]
fn a_login_by_a_key_that_is_fetched_meanwhile_comes_about() {
    let signer = Signer::p256("k1");
    let issuer = Issuer::new(rules("app"), Vec::new(), true);
    let (access, phone, jwt) = (with(&issuer, Vec::new()), device("s"), signer.sign(&said()));
    let parked = pending(&access, CLIENT, USERNAME, &jwt).unwrap();
    assert_eq!(parked.wanted_keys(), Some(&issuer));
    let in_vain = pending(&access, CLIENT, USERNAME, &jwt).unwrap();
    assert_eq!(in_vain.finish(Some(&phone), |at_ms| at_ms <= NOW_MS), Err(JwtError::UnknownKey.into()));
    let jwks = json!({ "keys": [signer.jwk()] }).to_string();
    issuer.fetch_ended(Some(PublicKeys::from_jwks(jwks.as_bytes()).unwrap()));
    assert_eq!(parked.finish(Some(&phone), |at_ms| at_ms <= NOW_MS).unwrap().identity, anns_phone());
    assert_eq!(pending(&access, CLIENT, USERNAME, &jwt).unwrap().wanted_keys(), None);
}

#[test]
fn a_parked_login_is_for_its_client_id_too() {
    let signer = Signer::ed25519("k1");
    let issuer = Issuer::new(rules("app"), Vec::new(), true);
    let access = with(&issuer, Vec::new());
    let parked = pending(&access, "GID_Test@@@0002", USERNAME, &signer.sign(&said())).unwrap();
    let jwks = json!({ "keys": [signer.jwk()] }).to_string();
    issuer.fetch_ended(Some(PublicKeys::from_jwks(jwks.as_bytes()).unwrap()));
    let other = Device { client_id: "GID_Test@@@0002".to_owned(), ..device("s") };
    assert_eq!(parked.finish(Some(&other), |at_ms| at_ms <= NOW_MS), Err(JwtError::ClientId.into()));
}

#[test]
fn a_jwt_may_narrow_what_its_device_was_granted_and_widens_nothing() {
    let signer = Signer::ed25519("k1");
    let issuer = Issuer::new(rules("app"), vec![signer.key()], false);
    let access = with(&issuer, Vec::new());
    let mut narrowed = said();
    narrowed["convoke_publish"] = json!(["call/a/#", "other/#"]);
    let narrowed = try_in(&access, &signer.sign(&narrowed), Some(&device("s")), NOW_MS).unwrap().identity;
    let may = |topic: &str| access.may_publish(&narrowed, topic).is_ok();
    let topics = ["call/a", "call/a/b", "call/b", "calls/a", "other/a", "call/p2p/GID_Test@@@0001"];
    assert_eq!(topics.map(may), [true, true, false, false, false, false]);
    let whole = anns_phone();
    assert!(["call/a", "call/b", "calls/a"].iter().all(|topic| access.may_publish(&whole, topic).is_ok()));
    let subscribes = |filter: &str| access.may_subscribe(&narrowed, filter).is_ok();
    assert_eq!(
        ["call/a", "call/a/#", "call/#", "calls/a", "other/a"].map(subscribes),
        [true, true, false, false, false]
    );
    assert!(access.may_subscribe(&whole, "call/#").is_ok());
}
