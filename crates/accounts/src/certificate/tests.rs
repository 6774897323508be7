#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use super::*;
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, CrlDistributionPoint,
    CrlIssuingDistributionPoint, CrlScope, DnType, DnValue, ExtendedKeyUsagePurpose, IsCa, KeyIdMethod, KeyPair,
    KeyUsagePurpose, RevokedCertParams, SerialNumber, date_time_ymd,
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
    trusting_all(&[signer])
}

fn trusting_all(signers: &[&Signer]) -> ClientAuthority {
    let bundle: String = signers.iter().map(|signer| signer.pem()).collect();
    ClientAuthority::new(bundle.as_bytes(), false).unwrap()
}

/// An intermediate authority with this serial number.
fn numbered_below(name: &str, serial: u64, above: &Signer) -> Signer {
    let mut params = authority_params(name);
    params.serial_number = Some(SerialNumber::from(serial));
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), above).unwrap()
}

fn put(authority: &ClientAuthority, lists: &[Vec<u8>]) -> Result<(), ListError> {
    authority.put_lists(lists.iter().map(|list| authority.read_list(list).unwrap()).collect())
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
    list_with(number, revoked, None, signer)
}

fn list_with(number: u64, revoked: &[u64], point: Option<CrlIssuingDistributionPoint>, signer: &Signer) -> Vec<u8> {
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
        issuing_distribution_point: point,
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
    let path = trusting(&signer).path(&[issued(&params, &signer)]).unwrap();
    let from_and_until = (1_577_836_800_000, 1_924_992_001_000);
    assert_eq!((path.begins_at_ms, path.ends_at_ms), from_and_until);
    assert_eq!(read.expires_at_ms, path.ends_at_ms);
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
fn an_authority_of_the_bundle_that_a_list_names_lets_nobody_in_nor_does_what_it_has_signed() {
    let root = signer("Root");
    let (one, other) = (numbered_below("One", 1, &root), numbered_below("Other", 2, &root));
    let lowest = numbered_below("Lowest", 3, &one);
    let authority = trusting_all(&[&lowest, &other, &one, &root]);
    let chains = [&lowest, &one, &other].map(|signer| [issued(&params(9), signer)]);
    let believed = || chains.each_ref().map(|chain| verify(&authority, chain).is_ok());
    assert_eq!(believed(), [true; 3]);
    let of = |roots: &[u64], number| [list(number, roots, &root), list(1, &[], &one), list(1, &[], &other)];
    put(&authority, &[&of(&[], 1)[..], &[list(1, &[], &lowest)]].concat()).unwrap();
    assert_eq!(believed(), [true; 3]);
    put(&authority, &[&of(&[1], 2)[..], &[list(1, &[], &lowest)]].concat()).unwrap();
    assert_eq!(believed(), [false, false, true]);
    // Shown, it counts as much; and so does what is shown besides.
    for shown in [[chains[1][0].clone(), one.der().clone()], [chains[2][0].clone(), one.der().clone()]] {
        assert!(verify(&authority, &shown).is_err());
    }
    // With none that is not revoked.
    let alone = trusting(&root);
    put(&alone, &[list(1, &[7], &root)]).unwrap();
    assert_eq!(verify(&alone, &[issued(&params(9), &root)]), Ok(()));
    let mut params = authority_params("Root");
    params.serial_number = Some(SerialNumber::from(7));
    let listed = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let alone = trusting(&listed);
    put(&alone, &[list(1, &[7], &listed)]).unwrap();
    assert!(verify(&alone, &[issued(&self::params(9), &listed)]).is_err());
}

#[test]
fn an_authority_of_the_bundle_is_no_more_than_its_own_certificate_says() {
    let root = signer("Root");
    let below = |change: fn(&mut CertificateParams)| {
        let mut params = authority_params("Below");
        change(&mut params);
        CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), &root).unwrap()
    };
    let expired = |params: &mut CertificateParams| params.not_after = date_time_ymd(2029, 1, 1);
    let of = |signers: &[&Signer], signer: &Signer| verify(&trusting_all(signers), &[issued(&params(1), signer)]);
    let (fresh, old) = (below(|_| {}), below(expired));
    assert_eq!(of(&[&root, &fresh], &fresh), Ok(()));
    assert!(of(&[&root, &old], &old).is_err());
    // As an anchor, too: its own authority is not in the bundle.
    assert_eq!(of(&[&fresh], &fresh), Ok(()));
    assert!(of(&[&old], &old).unwrap_err().contains("xpired"));
    let ends_itself = below(|params| params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0)));
    let lowest = self::below("Lowest", &ends_itself);
    assert_eq!(of(&[&root, &ends_itself], &ends_itself), Ok(()));
    assert!(of(&[&root, &ends_itself, &lowest], &lowest).is_err());
    let device = CertifiedIssuer::signed_by(params(2), KeyPair::generate().unwrap(), &root).unwrap();
    let refused = ClientAuthority::new(device.pem().as_bytes(), false).err();
    assert!(matches!(refused, Some(AuthorityError::NoAuthority(name)) if name.contains(CLIENT)));
}

#[test]
fn two_authorities_of_one_name_have_their_own_lists() {
    let (old, new) = (signer("Devices"), signer("Devices"));
    let authority = trusting_all(&[&old, &new]);
    let (olds, news) = ([issued(&params(1), &old)], [issued(&params(2), &new)]);
    put(&authority, &[list(5, &[], &old)]).unwrap();
    assert_eq!(verify(&authority, &olds), Ok(()));
    assert!(verify(&authority, &news).unwrap_err().contains("evocation"), "it has no list");
    put(&authority, &[list(5, &[], &old), list(3, &[], &new)]).unwrap();
    assert_eq!([verify(&authority, &olds), verify(&authority, &news)], [Ok(()), Ok(())]);
    put(&authority, &[list(6, &[1], &old), list(3, &[], &new)]).unwrap();
    assert_eq!((verify(&authority, &olds).is_err(), verify(&authority, &news)), (true, Ok(())));
    assert_eq!(put(&authority, &[list(5, &[], &old), list(4, &[], &new)]), Err(ListError::Older));
}

#[test]
fn with_lists_each_authority_that_signs_needs_one() {
    let root = signer("Root");
    let (one, strangers) = (below("One", &root), below("Strangers", &root));
    let authority = trusting_all(&[&root, &one]);
    let direct = [issued(&params(1), &root)];
    let by_one = [issued(&params(1), &one)];
    let shown = [issued(&params(1), &strangers), strangers.der().clone()];
    let believed = || [&direct[..], &by_one, &shown].map(|chain| verify(&authority, chain).is_ok());
    assert_eq!((believed(), authority.without_list().len()), ([true; 3], 0));
    put(&authority, &[list(1, &[], &root)]).unwrap();
    assert_eq!(believed(), [true, false, false]);
    assert_eq!(authority.without_list(), ["CN=One"]);
    put(&authority, &[list(1, &[], &root), list(1, &[], &one)]).unwrap();
    assert_eq!(believed(), [true, true, false]);
    put(&authority, &[list(1, &[], &one)]).unwrap();
    assert_eq!(believed(), [false; 3]);
}

#[test]
fn an_authority_that_was_renewed_with_its_key_goes_on() {
    let key = KeyPair::generate().unwrap().serialize_pem();
    let of = |serial: u64, change: fn(&mut CertificateParams)| {
        let mut params = authority_params("Root");
        params.serial_number = Some(SerialNumber::from(serial));
        change(&mut params);
        CertifiedIssuer::self_signed(params, KeyPair::from_pem(&key).unwrap()).unwrap()
    };
    let old = of(1, |params| params.not_after = date_time_ymd(2029, 1, 1));
    let new = of(2, |params| params.not_before = date_time_ymd(2028, 1, 1));
    let chain = [issued(&params(9), &old)];
    assert!(verify(&trusting(&old), &chain).is_err());
    let both = trusting_all(&[&old, &new]);
    put(&both, &[list(1, &[], &new)]).unwrap();
    assert_eq!(verify(&both, &chain), Ok(()));
}

#[test]
fn a_list_that_does_not_say_all_is_refused() {
    let root = signer("Root");
    let point = |scope| CrlIssuingDistributionPoint {
        distribution_point: CrlDistributionPoint { uris: vec!["http://crl.example.org/root.crl".into()] },
        scope,
    };
    let read = |scope| trusting(&root).read_list(&list_with(1, &[1], Some(point(scope)), &root)).map(|list| list.len());
    assert_eq!(read(None), Ok(1));
    assert_eq!(read(Some(CrlScope::UserCertsOnly)), Err(ListError::Partial));
}

#[test]
fn a_chain_ends_with_the_first_of_its_certificates() {
    let root = signer("Root");
    let mut between = authority_params("Between");
    between.not_after = date_time_ymd(2031, 1, 1);
    let between = CertifiedIssuer::signed_by(between, KeyPair::generate().unwrap(), &root).unwrap();
    let chain = [issued(&params(1), &between), between.der().clone()];
    let path = trusting(&root).path(&chain).unwrap();
    let own = Certificate::read(&chain[0]).unwrap();
    assert_eq!((path.ends_at_ms, path.ids.len(), path.ids[0]), (1_924_992_001_000, 3, own.id));
    assert!(own.expires_at_ms > path.ends_at_ms);
    // Whether that one is shown, or stands in the bundle.
    let known = trusting_all(&[&root, &between]).path(&chain[..1]).unwrap();
    assert_eq!((known.ends_at_ms, known.ids.len()), (path.ends_at_ms, 3));
}

#[test]
fn a_chain_that_is_too_large_is_refused_before_it_is_looked_at() {
    let root = signer("Root");
    let of = |bytes: usize| {
        let name = rcgen::SanType::DnsName("x".repeat(bytes).try_into().unwrap());
        verify(&trusting(&root), &[issued(&changed(|params| params.subject_alt_names = vec![name]), &root)])
    };
    assert_eq!(of(CHAIN_BYTES_MAX / 2), Ok(()));
    assert!(of(CHAIN_BYTES_MAX).is_err());
}

#[test]
fn a_bundle_without_a_certificate_is_no_authority() {
    for bundle in [&b""[..], b"garbage", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        assert!(ClientAuthority::new(bundle, false).is_err());
    }
}
