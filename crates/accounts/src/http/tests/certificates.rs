//! Client certificates, asked about and voided.

use super::*;
use crate::certificate::{CertificateError, ClientAuthority};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use std::sync::OnceLock;

type Signer = CertifiedIssuer<'static, KeyPair>;

fn new_signer() -> Signer {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn signer() -> &'static Signer {
    static SIGNER: OnceLock<Signer> = OnceLock::new();
    SIGNER.get_or_init(new_signer)
}

pub(super) fn authority() -> ClientAuthority {
    ClientAuthority::new(signer().pem().as_bytes(), false).unwrap()
}

fn shown(client_id: &str, signer: &Signer) -> Value {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, client_id);
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    json!({ "token": params.signed_by(&KeyPair::generate().unwrap(), signer).unwrap().pem() })
}

#[tokio::test]
async fn a_certificate_is_said_to_be_valid_or_why_it_is_not() {
    let world = World::with_topics().await;
    let query = async |shown: &Value| world.ask("POST", "/api/v1/tokens:query", shown.clone()).await.body;
    let why = async |shown: Value| {
        let answer = query(&shown).await;
        assert_eq!(answer["valid"], json!(false), "{answer}");
        answer["why"].as_str().unwrap().to_owned()
    };
    let good = shown("GID_dev@@@a", signer());
    assert_eq!(why(good.clone()).await, CertificateError::Device.to_string());
    let made = world.ask("POST", "/api/v1/users/ann/devices", json!({ "device": "a" })).await;
    assert_eq!(made.status, StatusCode::OK, "{}", made.body);
    let answer = query(&good).await;
    assert_eq!((&answer["valid"], &answer["why"], &answer["user"]), (&json!(true), &Value::Null, &json!("ann")));
    assert_eq!(
        (&answer["client_id"], &answer["expires_at_ms"]),
        (&json!("GID_dev@@@a"), &json!(4_102_444_801_000_u64))
    );
    assert!(why(shown("GID_none@@@a", signer())).await.contains("GID_none"));
    assert!(why(shown("ann", signer())).await.contains("exactly one CN"));
    assert!(why(shown("GID_dev@@@a", &new_signer())).await.contains("not believed"));
    assert!(why(json!({ "token": "-----BEGIN CERTIFICATE-----\nAAAA" })).await.contains("cannot be read"));
}

#[tokio::test]
async fn a_certificate_is_voided_for_good_and_only_one_of_the_authority() {
    let world = World::with_topics().await;
    world.ask("POST", "/api/v1/users/ann/devices", json!({ "device": "a" })).await;
    let good = shown("GID_dev@@@a", signer());
    let revoke = async |shown: &Value| world.ask("POST", "/api/v1/tokens:revoke", shown.clone()).await;
    assert_eq!(revoke(&shown("GID_dev@@@a", &new_signer())).await.refused().0, 400);
    assert!(world.broker.cut_tokens.lock().unwrap().is_empty());
    assert_eq!(revoke(&good).await.status, StatusCode::NO_CONTENT);
    assert_eq!(revoke(&good).await.status, StatusCode::NO_CONTENT, "once more is no fault");
    let answer = world.ask("POST", "/api/v1/tokens:query", good).await.body;
    assert_eq!(answer["valid"], json!(false));
    assert!(answer["why"].as_str().unwrap().contains("revoked"));
    let id: uuid::Uuid = answer["id"].as_str().unwrap().parse().unwrap();
    assert_eq!(*world.broker.cut_tokens.lock().unwrap(), [id]);
}
