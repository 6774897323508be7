//! Logins by client certificates, while something happens.

use super::*;
use crate::worker::connect_request::ConnectRequest;
use crate::worker::connections::LoggedIn;
use accounts::access::Identity;
use accounts::login::{Credential, Login};
use catalog::RevokedToken;
use mqtt::Version;
use uuid::Uuid;

/// It was verified, and its device looked up, before.
fn verified(client_id: &str, ids: &[Uuid]) -> LoggedIn {
    let request = ConnectRequest {
        client: ClientKey::new(client_id),
        username: None,
        password: None,
        certificate: None,
        clean_start: true,
        session_expiry_s: None,
        version: Version::V5,
    };
    let identity = Identity::Device {
        client_id: client_id.to_owned(),
        user: "alice".to_owned(),
        group: "GID_dev".to_owned(),
        publishes: None,
    };
    let credential = Credential::Certificate { ids: ids.into() };
    LoggedIn { request: Box::new(request), result: Ok(Login { identity, credential, valid_until_ms: None }) }
}

#[test]
fn a_certificate_that_is_voided_while_its_device_is_looked_up_lets_nobody_in() {
    let mut bench = Bench::new();
    let (own, above, others) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
    bench.change(Change::RevokeToken(RevokedToken { id: above, key_id: None, expires_at_ms: u64::MAX >> 1 }));
    for (at, (ids, said)) in [([own, others], "CONNACK 0x00"), ([own, above], "CONNACK 0x87")].into_iter().enumerate() {
        // Its own look-up waits for the run time, which nobody drives here.
        let client_id = format!("{SERVICE}-{at}");
        let mut peer = bench.arrive();
        peer.send(&connect(&client_id, 60, 0));
        bench.turn(&[peer.has_input()]);
        assert!(!peer.has_something());
        bench.worker.logged_in(peer.key, Some(verified(&client_id, &ids)));
        bench.finish();
        let words = peer.next();
        assert!(words.starts_with(said), "{words}");
    }
}
