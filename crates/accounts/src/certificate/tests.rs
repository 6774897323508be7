#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, DnValue,
    ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, UnixTime};
use std::time::Duration;

const CLIENT: &str = "GID_dev@@@alice-phone";
/// In 2030.
const NOW_S: u64 = 1_900_000_000;

type Signer = CertifiedIssuer<'static, KeyPair>;

fn authority_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

fn signer(name: &str) -> Signer {
    CertifiedIssuer::self_signed(authority_params(name), KeyPair::generate().unwrap()).unwrap()
}

fn below(name: &str, above: &Signer) -> Signer {
    CertifiedIssuer::signed_by(authority_params(name), KeyPair::generate().unwrap(), above).unwrap()
}

fn trusting(signer: &Signer) -> ClientAuthority {
    ClientAuthority::new(signer.pem().as_bytes(), false).unwrap()
}

fn params(serial: u64) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, CLIENT);
    params.serial_number = Some(SerialNumber::from(serial));
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    params
}

fn changed(change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = params(1);
    change(&mut params);
    params
}

fn issued(params: &CertificateParams, signer: &Signer) -> CertificateDer<'static> {
    params.signed_by(&KeyPair::generate().unwrap(), signer).unwrap().der().clone()
}

fn list(number: u64, revoked: &[u64], signer: &Signer) -> Vec<u8> {
    let revoked = revoked.iter().map(|serial| RevokedCertParams {
        serial_number: SerialNumber::from(*serial),
        revocation_time: date_time_ymd(2029, 1, 1),
        reason_code: None,
        invalidity_date: None,
    });
    let params = CertificateRevocationListParams {
        this_update: date_time_ymd(2029, 1, 1),
        next_update: date_time_ymd(2029, 2, 1),
        crl_number: SerialNumber::from(number),
        issuing_distribution_point: None,
        revoked_certs: revoked.collect(),
        key_identifier_method: KeyIdMethod::Sha256,
    };
    params.signed_by(signer).unwrap().der().to_vec()
}

fn verify(authority: &ClientAuthority, chain: &[CertificateDer<'_>]) -> Result<(), String> {
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW_S));
    authority.verify(chain, now).map_err(|error| error.to_string())
}

#[test]
fn a_certificate_says_who_and_until_when() {
    let signer = signer("Devices");
    let params = changed(|params| {
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2031, 1, 1);
    });
    let read = Certificate::read(&issued(&params, &signer)).unwrap();
    assert_eq!(read.client_id, CLIENT);
    assert_eq!((read.begins_at_ms, read.expires_at_ms), (1_577_836_800_000, 1_924_992_001_000));
    // Another certificate of the same number is the same; another number, or another issuer's, is not.
    assert_eq!(Certificate::read(&issued(&params, &signer)).unwrap().id, read.id);
    assert_ne!(Certificate::read(&issued(&super::tests::params(8), &signer)).unwrap().id, read.id);
    let other = self::signer("Others");
    assert_ne!(Certificate::read(&issued(&params, &other)).unwrap().id, read.id);
}

#[test]
fn a_subject_that_can_be_read_in_two_ways_names_nobody() {
    let signer = signer("Devices");
    let named = |values: Vec<(DnType, DnValue)>| {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        values.into_iter().for_each(|(kind, value)| params.distinguished_name.push(kind, value));
        Certificate::read(&issued(&params, &signer)).map(|read| read.client_id)
    };
    let text = |text: &str| DnValue::Utf8String(text.to_owned());
    let another_name = || DnType::CustomDnType(vec![2, 5, 4, 3]);
    assert_eq!(named(vec![(DnType::CommonName, text(CLIENT))]).as_deref(), Ok(CLIENT));
    let table = [
        vec![],
        vec![(DnType::OrganizationName, text(CLIENT))],
        vec![(DnType::CommonName, text(CLIENT)), (another_name(), text("GID_dev@@@other"))],
        vec![(DnType::CommonName, text("GID_dev@@@alice\0-phone"))],
        vec![(DnType::CommonName, text("GID_dev@@@alice-phone\n"))],
        vec![(DnType::CommonName, text("alice"))],
        vec![(DnType::CommonName, text(""))],
        vec![(DnType::CommonName, DnValue::Ia5String(CLIENT.try_into().unwrap()))],
        vec![(DnType::CommonName, DnValue::TeletexString(CLIENT.try_into().unwrap()))],
        vec![(DnType::CommonName, DnValue::BmpString(CLIENT.try_into().unwrap()))],
    ];
    for subject in table {
        assert_eq!(named(subject.clone()), Err(CertificateError::Name), "{subject:?}");
    }
    assert_eq!(Certificate::read(b"no certificate"), Err(CertificateError::Malformed));
    let trailing = [&issued(&params(1), &signer)[..], b"more"].concat();
    assert_eq!(Certificate::read(&trailing), Err(CertificateError::Malformed));
}

#[test]
fn a_chain_is_believed_up_to_its_longest_and_no_other() {
    let root = signer("Root");
    let authority = trusting(&root);
    let mut above = vec![below("1", &root)];
    for name in ["2", "3", "4"] {
        above.push(below(name, above.last().unwrap()));
    }
    // From the device's certificate up to below the root.
    let chain = |length: usize| -> Vec<CertificateDer<'static>> {
        let intermediates = above[..length - 1].iter().rev().map(|one| one.der().clone());
        let signer = if length == 1 { &root } else { &above[length - 2] };
        [issued(&params(1), signer)].into_iter().chain(intermediates).collect()
    };
    for length in 1..=CHAIN_MAX {
        assert_eq!(verify(&authority, &chain(length)), Ok(()), "{length}");
    }
    assert!(verify(&authority, &chain(CHAIN_MAX + 1)).is_err());
    assert!(verify(&authority, &[]).is_err());
}

#[test]
fn a_certificate_of_somebody_else_for_something_else_or_another_time_is_refused() {
    let root = signer("Root");
    let authority = trusting(&root);
    let self_signed = params(1).self_signed(&KeyPair::generate().unwrap()).unwrap().der().clone();
    let namesake = signer("Root");
    let no_authority = CertifiedIssuer::signed_by(params(2), KeyPair::generate().unwrap(), &root).unwrap();
    let for_servers = changed(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]);
    let expired = changed(|params| params.not_after = date_time_ymd(2029, 1, 1));
    let not_yet = changed(|params| params.not_before = date_time_ymd(2031, 1, 1));
    let table = [
        ("self-signed", vec![self_signed]),
        ("of another authority", vec![issued(&params(1), &signer("Other"))]),
        ("of another authority with the same name", vec![issued(&params(1), &namesake)]),
        ("signed by a device", vec![issued(&params(1), &no_authority), no_authority.der().clone()]),
        ("for servers", vec![issued(&for_servers, &root)]),
        ("expired", vec![issued(&expired, &root)]),
        ("not yet", vec![issued(&not_yet, &root)]),
        ("garbage", vec![CertificateDer::from(b"garbage".to_vec())]),
    ];
    for (what, chain) in table {
        assert!(verify(&authority, &chain).is_err(), "{what}");
    }
    assert_eq!(verify(&authority, &[issued(&params(1), &root)]), Ok(()));
}

#[test]
fn a_list_of_the_authority_revokes_and_one_that_is_past_its_time_goes_on_to() {
    let root = signer("Root");
    let authority = trusting(&root);
    let (one, other) = (issued(&params(1), &root), issued(&params(0x00ff), &root));
    let id = Certificate::read(&one).unwrap().id;
    authority.put_lists(vec![authority.read_list(&list(1, &[1], &root)).unwrap()]).unwrap();
    assert!(authority.is_revoked(id));
    assert!(verify(&authority, std::slice::from_ref(&one)).is_err());
    assert_eq!(verify(&authority, std::slice::from_ref(&other)), Ok(()));
    let state = authority.lists();
    assert_eq!((state[0].revoked, state[0].issuer.as_str()), (1, "CN=Root"));
    assert!(state[0].due_at_ms.is_some_and(|due_at_ms| due_at_ms < NOW_S * 1_000));
    // The next one takes its place, and may let the certificate in again.
    authority.put_lists(vec![authority.read_list(&list(2, &[0x00ff], &root)).unwrap()]).unwrap();
    assert_eq!(verify(&authority, &[one]), Ok(()));
    assert!(verify(&authority, std::slice::from_ref(&other)).is_err());
    assert!(!authority.is_revoked(id) && authority.is_revoked(Certificate::read(&other).unwrap().id));
}

#[test]
fn a_list_that_is_older_foreign_forged_or_no_list_changes_nothing() {
    let root = signer("Root");
    let authority = trusting(&root);
    let newer = authority.read_list(&list(5, &[1], &root)).unwrap();
    authority.put_lists(vec![newer]).unwrap();
    let older = authority.read_list(&list(4, &[], &root)).unwrap();
    assert_eq!(authority.put_lists(vec![older]), Err(ListError::Older));
    let foreign = authority.read_list(&list(6, &[], &signer("Other"))).map(drop);
    assert_eq!(foreign, Err(ListError::Issuer));
    let namesake = authority.read_list(&list(6, &[], &signer("Root"))).map(drop);
    assert_eq!(namesake, Err(ListError::Signature));
    let mut forged = list(6, &[1], &root);
    *forged.last_mut().unwrap() ^= 1;
    assert_eq!(authority.read_list(&forged).map(drop), Err(ListError::Signature));
    let whole = list(6, &[], &root);
    for garbage in [&b""[..], b"garbage", &whole[..whole.len() - 1], &[&whole[..], b"more"].concat()] {
        assert_eq!(authority.read_list(garbage).map(drop), Err(ListError::Malformed));
    }
    assert_eq!(authority.read_list(&vec![0x30; LIST_BYTES_MAX + 1]).map(drop), Err(ListError::TooLong));
    assert!(authority.is_revoked(Certificate::read(&issued(&params(1), &root)).unwrap().id));
}

#[test]
fn a_bundle_without_a_certificate_is_no_authority() {
    for bundle in [&b""[..], b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(ClientAuthority::new(bundle, false).is_err());
    }
}
