//! Client certificates, asked about and voided.

use super::*;
use crate::certificate::{CertificateError, ClientAuthority};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, RevokedCertParams,
};
use std::sync::OnceLock;

type Signer = CertifiedIssuer<'static, KeyPair>;

fn new_signer() -> Signer {
    let mut params = CertificateParams::default();
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
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
    json!({ "token": params(client_id).signed_by(&KeyPair::generate().unwrap(), signer).unwrap().pem() })
}

fn params(client_id: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, client_id);
    params.not_before = rcgen::date_time_ymd(1970, 1, 1);
    params.not_after = rcgen::date_time_ymd(2100, 1, 1);
    params
}

/// Those that are refused now, and may be believed at another time: not valid yet; below what has ended; on a list.
fn refused_for_now() -> [(&'static str, String); 3] {
    let (later, ended) = (rcgen::date_time_ymd(2090, 1, 1), rcgen::date_time_ymd(1970, 1, 1));
    let issued = |serial: u64, change: &dyn Fn(&mut CertificateParams), signer: &Signer| {
        let mut params = params("GID_dev@@@a");
        params.serial_number = Some(serial.into());
        change(&mut params);
        params.signed_by(&KeyPair::generate().unwrap(), signer).unwrap().pem()
    };
    let mut between = CertificateParams::default();
    between.distinguished_name.push(DnType::CommonName, "Between");
    between.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    (between.not_before, between.not_after) = (ended, ended);
    let between = CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), signer()).unwrap();
    [
        ("not valid yet", issued(1, &|params| params.not_before = later, signer())),
        ("has expired", format!("{}{}", issued(2, &|_| {}, &between), between.pem())),
        ("revoked", issued(LISTED, &|_| {}, signer())),
    ]
}

const LISTED: u64 = 3;

fn put_list(authority: &ClientAuthority) {
    let params = CertificateRevocationListParams {
        this_update: rcgen::date_time_ymd(2020, 1, 1),
        next_update: rcgen::date_time_ymd(2100, 1, 1),
        crl_number: 1.into(),
        issuing_distribution_point: None,
        revoked_certs: vec![RevokedCertParams {
            serial_number: LISTED.into(),
            revocation_time: rcgen::date_time_ymd(2020, 1, 1),
            reason_code: None,
            invalidity_date: None,
        }],
        key_identifier_method: KeyIdMethod::Sha256,
    };
    let list = authority.read_list(params.signed_by(signer()).unwrap().der()).unwrap();
    authority.put_lists(vec![list]).unwrap();
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

#[tokio::test]
async fn a_certificate_that_is_refused_for_now_is_voided_for_good_all_the_same() {
    let world = World::with_topics().await;
    world.ask("POST", "/api/v1/users/ann/devices", json!({ "device": "a" })).await;
    for (words, pem) in refused_for_now() {
        if words == "revoked" {
            let access = world.access.load();
            put_list(access.client_authority().unwrap());
        }
        let shown = json!({ "token": pem });
        let query = world.ask("POST", "/api/v1/tokens:query", shown.clone()).await.body;
        assert!(query["valid"] == json!(false) && query["why"].as_str().unwrap().contains(words), "{query}");
        let id: uuid::Uuid = query["id"].as_str().unwrap().parse().unwrap();
        assert!(!world.access.load().is_revoked(id));
        assert_eq!(world.ask("POST", "/api/v1/tokens:revoke", shown).await.status, StatusCode::NO_CONTENT, "{words}");
        assert!(world.access.load().is_revoked(id), "{words}");
    }
}
