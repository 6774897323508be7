//! Devices that log in by client certificates, until these end or are revoked.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use accounts::certificate::{Certificate, ClientAuthority};
use accounts::revocation::Sessions;
use catalog::{Change, RevokedToken};
use clock::testing::TestMachine;
use mqtt::{ReasonCode, Version};
use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, CertifiedIssuer, DnType, IsCa, KeyIdMethod,
    KeyPair, KeyUsagePurpose, RevokedCertParams, SerialNumber,
};
use rustls::pki_types::CertificateDer;
use rustls::server::NoServerSessionStorage;
use rustls::{ClientConfig, RootCertStore, ServerConfig};

use crate::pipe::{Tls, tcp};
use crate::terminal::{Profile, Said, Terminal};
use crate::world::{ALICE, BOB, World, credentials, now_ms};

const HOUR: Duration = Duration::from_secs(3_600);

type Signer = CertifiedIssuer<'static, KeyPair>;

fn signer() -> Signer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "Devices");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// An authority below another one, which has given it this serial number.
fn below(above: &Signer, serial: u64, ends_after: Duration) -> Signer {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, format!("Devices {serial}"));
    params.serial_number = Some(SerialNumber::from(serial));
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.not_before = (SystemTime::now() - HOUR).into();
    params.not_after = (SystemTime::now() + ends_after).into();
    CertifiedIssuer::signed_by(params, KeyPair::generate().unwrap(), above).unwrap()
}

/// A device's certificate with its key, and what is shown with it.
struct Held {
    certificate: CertificateDer<'static>,
    key: KeyPair,
    above: Vec<CertificateDer<'static>>,
}

impl Held {
    /// Valid from an hour ago.
    fn new(signer: &Signer, client_id: &str, serial: u64, ends_after: Duration) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, client_id);
        params.serial_number = Some(SerialNumber::from(serial));
        params.not_before = (SystemTime::now() - HOUR).into();
        params.not_after = (SystemTime::now() + ends_after).into();
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, signer).unwrap().der().clone();
        Self { certificate, key, above: Vec::new() }
    }

    fn chain(&self) -> Vec<CertificateDer<'static>> {
        [self.certificate.clone()].into_iter().chain(self.above.iter().cloned()).collect()
    }

    /// Shows the certificate of this authority, too.
    fn below(signer: &Signer, client_id: &str, serial: u64) -> Self {
        Self { above: vec![signer.der().clone()], ..Self::new(signer, client_id, serial, HOUR) }
    }
}

/// A broker whose TLS listener asks for certificates of this signer.
struct Scene {
    signer: Signer,
    authority: ClientAuthority,
    server: CertificateDer<'static>,
    world: World,
}

impl Scene {
    fn new(is_required: bool) -> Self {
        Self::at(is_required, None)
    }

    fn at(is_required: bool, machine: Option<&TestMachine>) -> Self {
        let signer = signer();
        let authority = ClientAuthority::new(signer.pem().as_bytes(), is_required).unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let server = made.cert.der().clone();
        let mut tls = ServerConfig::builder()
            .with_client_cert_verifier(authority.verifier())
            .with_single_cert(vec![server.clone()], made.signing_key.serialize_der().try_into().unwrap())
            .unwrap();
        tls.session_storage = Arc::new(NoServerSessionStorage {});
        let mut world = World::new();
        world.stop();
        (world.tls, world.client_authority) = (Some(Arc::new(tls)), Some(authority.clone()));
        if let Some(machine) = machine {
            world.clock = machine.clock(None);
        }
        world.start();
        Self { signer, authority, server, world }
    }

    fn held(&self, client_id: &str, serial: u64) -> Held {
        Held::new(&self.signer, client_id, serial, HOUR)
    }

    fn open(&self, held: Option<&Held>, version: Version) -> Terminal {
        let mut roots = RootCertStore::empty();
        roots.add(self.server.clone()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots);
        let client = match held {
            None => client.with_no_client_auth(),
            Some(held) => {
                client.with_client_auth_cert(held.chain(), held.key.serialize_der().try_into().unwrap()).unwrap()
            }
        };
        Terminal::open(Tls::connect_by(client, tcp(self.world.address())), version)
    }

    /// What the broker says; the words are the terminal's then.
    fn connect(&self, held: Option<&Held>, profile: &Profile) -> (Terminal, Result<(), Said>) {
        let mut terminal = self.open(held, profile.version);
        terminal.send(&profile.to_bytes());
        let said = terminal.expect_connack();
        (terminal, said)
    }

    fn refusal(&self, held: Option<&Held>, profile: &Profile) -> (ReasonCode, String) {
        match self.connect(held, profile) {
            (terminal, Err(Said::Connack { reason, .. })) => (reason, terminal.last_words.unwrap_or_default()),
            (_, other) => panic!("{other:?}"),
        }
    }

    fn let_in(&self, held: &Held, client_id: &str) -> Terminal {
        let (terminal, said) = self.connect(Some(held), &by_certificate(Profile::passing(client_id)));
        assert_eq!(said, Ok(()));
        terminal
    }

    fn revoke(&self, number: u64, serials: &[u64]) {
        let revoked = serials.iter().map(|serial| RevokedCertParams {
            serial_number: SerialNumber::from(*serial),
            revocation_time: SystemTime::now().into(),
            reason_code: None,
            invalidity_date: None,
        });
        let params = CertificateRevocationListParams {
            this_update: SystemTime::now().into(),
            next_update: (SystemTime::now() + HOUR).into(),
            crl_number: SerialNumber::from(number),
            issuing_distribution_point: None,
            revoked_certs: revoked.collect(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        let list = params.signed_by(&self.signer).unwrap();
        self.authority.put_lists(vec![self.authority.read_list(list.der()).unwrap()]).unwrap();
        self.world.broker().judge_certificates().blocking_recv().unwrap();
    }
}

fn by_certificate(profile: Profile) -> Profile {
    Profile { username: Some("Certificate||convoke".into()), password: None, ..profile }
}

#[test]
fn a_certificate_lets_its_device_in_with_and_without_a_user_name() {
    let scene = Scene::new(false);
    let held = scene.held(ALICE, 1);
    // The session is the user's, whatever the login was.
    let (terminal, said) = scene.connect(None, &Profile::of(ALICE));
    assert_eq!(said, Ok(()));
    terminal.disconnect();
    for version in [Profile::of(ALICE), Profile::v311(ALICE)] {
        for username in [Some("Certificate||convoke".to_owned()), Some(String::new()), None] {
            let profile = Profile { username: username.clone(), password: None, ..version.clone() };
            let (mut alice, said) = scene.connect(Some(&held), &profile);
            assert_eq!(said, Ok(()), "{username:?}");
            assert!(alice.session_present);
            assert_eq!(alice.publish("meeting-up/create", "let us talk"), ReasonCode::SUCCESS);
            alice.disconnect();
        }
    }
    let holder = scene.world.broker().holder_of(ALICE).blocking_recv().unwrap();
    assert_eq!(holder.as_deref(), Some("user:alice"));
}

#[test]
fn a_certificate_that_lets_nobody_in_says_why() {
    let scene = Scene::new(false);
    let (alices, nobodys) = (scene.held(ALICE, 1), scene.held("GID_dev@@@nobody", 2));
    let wrong = ReasonCode::BAD_USER_NAME_OR_PASSWORD;
    let bob = by_certificate(Profile::of(BOB));
    let (reason, words) = scene.refusal(Some(&alices), &bob);
    assert!(reason == wrong && words.contains("another client id"), "{words}");
    let (reason, words) = scene.refusal(None, &bob);
    assert!(reason == wrong && words.contains("no client certificate"), "{words}");
    let (reason, words) = scene.refusal(Some(&nobodys), &by_certificate(Profile::of("GID_dev@@@nobody")));
    assert!(reason == ReasonCode::NOT_AUTHORIZED && words.contains("no registered device"), "{words}");
    // What would say two things at once.
    let with_password = Profile { password: Some("x".into()), ..by_certificate(Profile::of(ALICE)) };
    assert_eq!(scene.refusal(Some(&alices), &with_password).0, wrong);
    for username in ["Certificate|x|convoke", "Certificate||other", "Certificate|convoke", "|convoke"] {
        let profile = Profile { username: Some(username.into()), ..by_certificate(Profile::of(ALICE)) };
        assert_eq!(scene.refusal(Some(&alices), &profile).0, wrong, "{username}");
    }
    let nothing = Profile { username: None, password: None, ..Profile::of(ALICE) };
    assert_eq!(scene.refusal(None, &nothing).0, wrong);
}

#[test]
fn a_certificate_that_is_not_believed_ends_the_handshake_and_so_does_none_where_one_is_required() {
    let scene = Scene::new(true);
    let strangers = Held::new(&signer(), ALICE, 1, HOUR);
    let (username, password) = credentials(ALICE);
    let profile = Profile { username: Some(username), password: Some(password), ..Profile::of(ALICE) };
    for held in [None, Some(&strangers)] {
        let mut terminal = scene.open(held, Version::V5);
        // The socket may be gone by then.
        let sent = terminal.try_send(&profile.to_bytes());
        assert!(sent.is_err() || terminal.expect_connack() == Err(Said::Closed));
    }
    scene.world.until("nobody stays", |stats| stats.connections == 0);
    assert_eq!(scene.world.stats().sessions, 0);
    // One that is believed does not stand in the way of another login.
    let (_, said) = scene.connect(Some(&scene.held(ALICE, 2)), &profile);
    assert_eq!(said, Ok(()));
}

#[test]
fn a_connection_ends_with_its_certificate_by_the_services_clock() {
    let machine = TestMachine::at(now_ms());
    let scene = Scene::at(false, Some(&machine));
    let mut alice = scene.let_in(&scene.held(ALICE, 1), ALICE);
    alice.ping();
    for _ in 0..3_602 {
        machine.pass(1_000);
        let _ = scene.world.clock.now_ms();
    }
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert!(alice.last_words.is_some_and(|words| words.contains("expired")));
    // The system's clock would still let it in.
    let (reason, words) = scene.refusal(Some(&scene.held(ALICE, 1)), &by_certificate(Profile::of(ALICE)));
    assert!(reason == ReasonCode::NOT_AUTHORIZED && words.contains("expired"), "{words}");
}

/// The service's clock stands still here, as if it were set back again and again.
#[test]
fn a_connection_ends_with_its_certificate_by_the_time_that_passes_too() {
    let scene = Scene::at(false, Some(&TestMachine::at(now_ms())));
    let held = Held::new(&scene.signer, ALICE, 1, Duration::from_secs(2));
    let mut alice = scene.let_in(&held, ALICE);
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
}

#[test]
fn a_certificate_that_is_not_valid_yet_by_the_services_clock_waits() {
    let machine = TestMachine::at(now_ms() - 24 * 3_600_000);
    let scene = Scene::at(false, Some(&machine));
    let (reason, words) = scene.refusal(Some(&scene.held(ALICE, 1)), &by_certificate(Profile::of(ALICE)));
    assert!(reason == ReasonCode::NOT_AUTHORIZED && words.contains("not valid yet"), "{words}");
}

#[test]
fn a_list_that_names_a_certificate_ends_its_connection_and_no_other() {
    let scene = Scene::new(false);
    let (one, other) = (scene.held(ALICE, 1), scene.held(BOB, 2));
    let (mut alice, mut bob) = (scene.let_in(&one, ALICE), scene.let_in(&other, BOB));
    scene.revoke(1, &[]);
    alice.ping();
    scene.revoke(2, &[1]);
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert!(alice.last_words.is_some_and(|words| words.contains("revoked")));
    bob.ping();
    scene.world.until("one is left", |stats| stats.connections == 1);
}

#[test]
fn a_certificate_is_revoked_by_its_id_like_a_token() {
    let scene = Scene::new(false);
    let held = scene.held(ALICE, 1);
    let mut alice = scene.let_in(&held, ALICE);
    let Certificate { id, expires_at_ms, .. } = Certificate::read(&held.certificate).unwrap();
    scene.world.change_key(Change::RevokeToken(RevokedToken { id, key_id: None, expires_at_ms }));
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    let (reason, words) = scene.refusal(Some(&held), &by_certificate(Profile::of(ALICE)));
    assert!(reason == ReasonCode::NOT_AUTHORIZED && words.contains("revoked"), "{words}");
    scene.let_in(&scene.held(ALICE, 2), ALICE);
}

#[test]
fn a_connection_ends_with_the_authority_between_its_certificate_and_the_configured_one() {
    let scene = Scene::at(false, Some(&TestMachine::at(now_ms())));
    let between = below(&scene.signer, 1, Duration::from_secs(2));
    let mut alice = scene.let_in(&Held::below(&between, ALICE, 1), ALICE);
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
}

/// With lists an authority that is not configured lets nobody in: so a list that voids it is the first one.
#[test]
fn connections_below_an_authority_that_is_voided_end_and_no_others() {
    let scene = Scene::new(false);
    let (listed, voided) = (below(&scene.signer, 7, HOUR), below(&scene.signer, 8, HOUR));
    let mut alice = scene.let_in(&Held::below(&listed, ALICE, 1), ALICE);
    let mut bob = scene.let_in(&Held::below(&voided, BOB, 1), BOB);
    scene.revoke(1, &[7]);
    assert_eq!(alice.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert!(alice.last_words.is_some_and(|words| words.contains("revoked")));
    bob.ping();
    let path = scene.authority.path(&Held::below(&voided, BOB, 1).chain()).unwrap();
    let revoked = RevokedToken { id: path.ids[1], key_id: None, expires_at_ms: path.ends_at_ms };
    scene.world.change_key(Change::RevokeToken(revoked));
    assert_eq!(bob.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
}
