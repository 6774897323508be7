#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

mod jwt;
mod tokens;

use super::*;
use crate::access::AccessConfig;
use crate::network::Network;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use catalog::{AccessKey, AccessSnapshot, Accounts, Catalog, Group, Key, SqliteCatalog, Topics, User};
use devices::LOOKUPS_WAITING_MAX;
use std::sync::Arc;
use std::sync::mpsc;
use tempfile::TempDir;
use tokio::runtime::Runtime;

const KEY: &str = "SecretForTestsOnly123456789012";
const CLIENT: &str = "GID_Test@@@0001";
const NOW: u64 = 1_000;

fn key(key_id: &str, secret: &str) -> AccessKey {
    AccessKey {
        key_id: key_id.to_owned(),
        secret: secret.to_owned(),
        instance: "mqtt-test-01".to_owned(),
        created_at_ms: 0,
    }
}

fn access() -> Access {
    let groups = ["GID_Test", "GID-web", "GID_TEST", "GID_AAA"].map(|group| Group { group: group.to_owned() });
    let elsewhere = AccessKey { instance: "other".to_owned(), ..key("LTAIother", KEY) };
    let snapshot = AccessSnapshot {
        revision: 1,
        groups: groups.into(),
        keys: [key("LTAItest", KEY), key("LTAIshort", "yyyyy"), elsewhere].map(Key::from).into(),
        ..AccessSnapshot::default()
    };
    Access::new(AccessConfig { instance: "mqtt-test-01".to_owned(), ..AccessConfig::default() }, snapshot)
}

fn device(secret: &str) -> Device {
    Device {
        client_id: CLIENT.to_owned(),
        user: "ann".to_owned(),
        group: "GID_Test".to_owned(),
        name: None,
        key_id: "DC.TestKeyId0001".to_owned(),
        secret: secret.to_owned(),
        expires_at_ms: NOW + 1,
    }
}

fn login(client_id: &str, username: &str, password: &str, device: Option<&Device>) -> Result<Identity, LoginError> {
    match begin(&access(), client_id, Some(username), Some(password.as_bytes())) {
        LoginStep::Decided(decided) => decided.map(|login| login.identity),
        LoginStep::NeedsDevice(pending) => {
            assert_eq!(pending.client_id(), client_id);
            pending.finish(device, |at_ms| at_ms <= NOW).map(|login| login.identity)
        }
    }
}

fn service(key_id: &str) -> Identity {
    Identity::Service { key_id: key_id.to_owned(), instance: "mqtt-test-01".to_owned() }
}

fn anns_phone() -> Identity {
    let (client_id, user, group) = (CLIENT.to_owned(), "ann".to_owned(), "GID_Test".to_owned());
    Identity::Device { client_id, user, group, publishes: None }
}

const DEVICE_NAME: &str = "DeviceCredential|DC.TestKeyId0001|mqtt-test-01";
const SERVICE_NAME: &str = "Signature|LTAItest|mqtt-test-01";
const DEVICE_PASSWORD: &str = "wzzjujcwE9hEgcCS/nOCbb1w12A=";
const SERVICE_PASSWORD: &str = "BQGRyVPvlFj/eWFwsSONB2yyMDg=";

#[test]
fn passwords_are_those_of_the_reference_product() {
    let longest = format!("GID_TEST@@@{}", "d".repeat(53));
    let table = [
        (KEY, CLIENT, SERVICE_PASSWORD),
        (KEY, "GID-web@@@alice_phone-1", "BPy7NfodGh6IoIzk0uM4HckwcTI="),
        (KEY, longest.as_str(), "/sA2cyig5Og2yHpEbs8D2QvTZ5M="),
        ("yyyyy", "GID_AAA@@@BBB001", "QxlkRyIXeoN29/+N7+g7f6t3QAM="),
        ("DC.DeviceSecretForTests0001", CLIENT, DEVICE_PASSWORD),
        ("DC.DeviceSecretForTests0002", CLIENT, "VXUsZLThQndrEKQJl1W0EJtnqOw="),
        (KEY, "GID_Test", "TlQVIxTA8nycCN1gjlB/swpUB60="),
        (KEY, "gid_test@@@0001", "Jl9qiithj7dHRLscc5RG2Tlq9UY="),
    ];
    for (secret, client_id, password) in table {
        assert_eq!(sign(secret, client_id), password, "{client_id}");
    }
}

#[test]
fn a_signature_logs_a_service_in_for_the_client_id_that_it_signs() {
    let longest = format!("GID_TEST@@@{}", "d".repeat(53));
    let short = "Signature|LTAIshort|mqtt-test-01";
    assert_eq!(login(CLIENT, SERVICE_NAME, SERVICE_PASSWORD, None), Ok(service("LTAItest")));
    let web = login("GID-web@@@alice_phone-1", SERVICE_NAME, "BPy7NfodGh6IoIzk0uM4HckwcTI=", None);
    assert_eq!(web, Ok(service("LTAItest")));
    assert_eq!(login(&longest, SERVICE_NAME, "/sA2cyig5Og2yHpEbs8D2QvTZ5M=", None), Ok(service("LTAItest")));
    assert_eq!(login("GID_AAA@@@BBB001", short, "QxlkRyIXeoN29/+N7+g7f6t3QAM=", None), Ok(service("LTAIshort")));
}

#[test]
fn what_a_signature_must_not_pass_with() {
    let table = [
        ("only the Group ID is signed", SERVICE_NAME, "TlQVIxTA8nycCN1gjlB/swpUB60="),
        ("another case is signed", SERVICE_NAME, "Jl9qiithj7dHRLscc5RG2Tlq9UY="),
        ("no padding", SERVICE_NAME, "BQGRyVPvlFj/eWFwsSONB2yyMDg"),
        ("trailing bits", SERVICE_NAME, "BQGRyVPvlFj/eWFwsSONB2yyMDh="),
        ("the other alphabet", SERVICE_NAME, "BQGRyVPvlFj_eWFwsSONB2yyMDg="),
        ("white space", SERVICE_NAME, " BQGRyVPvlFj/eWFwsSONB2yyMDg="),
        ("part of it", SERVICE_NAME, "BQGRyVPvlFj/eWFwsSM="),
        ("nothing", SERVICE_NAME, ""),
        ("another key", "Signature|LTAIshort|mqtt-test-01", SERVICE_PASSWORD),
        ("an unknown key", "Signature|LTAInone|mqtt-test-01", SERVICE_PASSWORD),
        ("another instance", "Signature|LTAItest|mqtt-test-02", SERVICE_PASSWORD),
        ("a key of another instance", "Signature|LTAIother|mqtt-test-01", SERVICE_PASSWORD),
        ("a key of another instance in its own", "Signature|LTAIother|other", SERVICE_PASSWORD),
    ];
    for (what, username, password) in table {
        assert_eq!(login(CLIENT, username, password, None), Err(LoginError::Refused), "{what}");
    }
    let unknown = sign(KEY, "GID_unknown@@@1");
    assert_eq!(login("GID_unknown@@@1", SERVICE_NAME, &unknown, None), Err(LoginError::Refused));
    let lower = login("gid_test@@@0001", SERVICE_NAME, "Jl9qiithj7dHRLscc5RG2Tlq9UY=", None);
    assert_eq!(lower, Err(LoginError::BadClientId));
}

#[test]
fn usernames_have_a_known_method_and_three_parts() {
    let table = [
        "",
        "Signature",
        "Signature|LTAItest",
        "Signature|LTAItest|",
        "Signature||mqtt-test-01",
        "Signature|LTAItest|mqtt-test-01|",
        "signature|LTAItest|mqtt-test-01",
        "token|LTAItest|mqtt-test-01",
        "Token|LTAItest",
        "LTAItest",
    ];
    for username in table {
        assert_eq!(login(CLIENT, username, SERVICE_PASSWORD, None), Err(LoginError::BadUsername), "{username}");
    }
    let nothing = begin(&access(), CLIENT, None, None);
    assert_eq!(nothing, LoginStep::Decided(Err(LoginError::BadUsername)));
}

#[test]
fn a_device_logs_in_with_its_own_credential_and_no_other() {
    let (first, refreshed) = (device("DC.DeviceSecretForTests0001"), device("DC.DeviceSecretForTests0002"));
    let new = "VXUsZLThQndrEKQJl1W0EJtnqOw=";
    assert_eq!(login(CLIENT, DEVICE_NAME, DEVICE_PASSWORD, Some(&first)), Ok(anns_phone()));
    assert_eq!(login(CLIENT, DEVICE_NAME, new, Some(&refreshed)), Ok(anns_phone()));
    assert_eq!(login(CLIENT, DEVICE_NAME, DEVICE_PASSWORD, Some(&refreshed)), Err(LoginError::Refused));
    assert_eq!(login(CLIENT, DEVICE_NAME, DEVICE_PASSWORD, None), Err(LoginError::Refused), "unregistered");
    let other_key = "DeviceCredential|DC.TestKeyId0002|mqtt-test-01";
    assert_eq!(login(CLIENT, other_key, DEVICE_PASSWORD, Some(&first)), Err(LoginError::Refused));
    let other_instance = "DeviceCredential|DC.TestKeyId0001|mqtt-test-02";
    assert_eq!(login(CLIENT, other_instance, DEVICE_PASSWORD, Some(&first)), Err(LoginError::Refused));
    let other_id = "GID_Test@@@0002";
    let signed = sign(&first.secret, other_id);
    assert_eq!(login(other_id, DEVICE_NAME, &signed, Some(&first)), Err(LoginError::Refused), "another's row");
    assert_eq!(login(other_id, DEVICE_NAME, &signed, None), Err(LoginError::Refused));
}

#[test]
fn a_request_is_signed_by_the_secret_of_a_key_of_this_instance_that_stands() {
    let is_over = |at_ms: u64| at_ms <= NOW;
    let access = |change: fn(&mut Key)| {
        let mut ours = Key::from(key("ours", KEY));
        change(&mut ours);
        let elsewhere = Key::from(AccessKey { instance: "other".to_owned(), ..key("elsewhere", KEY) });
        let snapshot = AccessSnapshot { revision: 1, keys: vec![ours, elsewhere], ..AccessSnapshot::default() };
        Access::new(AccessConfig { instance: "mqtt-test-01".to_owned(), ..AccessConfig::default() }, snapshot)
    };
    let signature = STANDARD.decode(sign(KEY, "20270102T030405Z")).unwrap();
    let signed = |access: &Access, key_id| has_signed(access, key_id, b"20270102T030405Z", &signature, is_over);
    let standing = access(|_| {});
    assert!(signed(&standing, "ours"));
    assert!(!signed(&standing, "elsewhere") && !signed(&standing, "nobody"));
    assert!(!has_signed(&standing, "ours", b"20270102T030406Z", &signature, is_over));
    assert!(!has_signed(&standing, "ours", b"20270102T030405Z", &[], is_over));
    type Change = fn(&mut Key);
    let changes: [(Change, bool); 3] = [
        (|key| key.expires_at_ms = Some(NOW), false),
        (|key| key.secrets[0].valid_until_ms = Some(NOW), false),
        (|key| key.expires_at_ms = Some(NOW + 1), true),
    ];
    for (change, expected) in changes {
        assert_eq!(signed(&access(change), "ours"), expected);
    }
}

#[test]
fn only_who_holds_the_secret_learns_that_it_has_expired() {
    let expired = Device { expires_at_ms: NOW, ..device("DC.DeviceSecretForTests0001") };
    assert_eq!(login(CLIENT, DEVICE_NAME, DEVICE_PASSWORD, Some(&expired)), Err(LoginError::Expired));
    assert_eq!(login(CLIENT, DEVICE_NAME, SERVICE_PASSWORD, Some(&expired)), Err(LoginError::Refused));
}

#[test]
fn a_service_may_not_take_a_users_client_id() {
    let owned = device("DC.DeviceSecretForTests0001");
    assert_eq!(login(CLIENT, SERVICE_NAME, SERVICE_PASSWORD, Some(&owned)), Err(LoginError::OwnedByUser));
}

#[test]
fn a_pending_login_shows_no_password() {
    let step = begin(&access(), CLIENT, Some(DEVICE_NAME), Some(b"the-password"));
    assert!(!format!("{step:?}").contains("the-password") && !format!("{step:?}").contains("116, 104"));
}

struct World {
    runtime: Runtime,
    catalog: Arc<SqliteCatalog>,
    directory: DeviceDirectory,
    _folder: TempDir,
}

impl World {
    /// A catalog with one device, and a directory over it.
    fn new() -> Self {
        let runtime = Runtime::new().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let catalog = runtime.block_on(SqliteCatalog::open(folder.path().join("catalog.db"))).unwrap();
        let catalog = Arc::new(catalog);
        let directory = DeviceDirectory::start(catalog.clone(), runtime.handle());
        let world = Self { runtime, catalog, directory, _folder: folder };
        world.runtime.block_on(async {
            world.catalog.put_group(Group { group: "GID_Test".to_owned() }).await.unwrap();
            world.catalog.put_user(User { user: "ann".to_owned(), name: "Ann".to_owned() }).await.unwrap();
        });
        world
    }

    fn put(&self, device: Device) {
        self.runtime.block_on(self.catalog.put_device(device)).unwrap();
    }

    /// As a worker asks: from a thread that knows no runtime.
    fn lookup(&self) -> Result<Option<Device>, LookupError> {
        self.lookup_for(LookupSource::Senders)
    }

    fn lookup_for(&self, source: LookupSource) -> Result<Option<Device>, LookupError> {
        let (answer, answers) = mpsc::channel();
        self.directory.lookup(source, CLIENT, Box::new(move |found| answer.send(found).unwrap()));
        answers.recv().unwrap()
    }
}

#[test]
fn the_directory_finds_a_device_and_never_remembers_that_there_was_none() {
    let world = World::new();
    assert_eq!(world.lookup(), Ok(None));
    world.put(device("one"));
    assert_eq!(world.lookup(), Ok(Some(device("one"))));
}

#[test]
fn a_known_device_is_answered_at_once_also_without_the_catalog() {
    let world = World::new();
    world.put(device("one"));
    world.lookup().unwrap();
    world.runtime.block_on(world.catalog.close());
    assert_eq!(world.lookup(), Ok(Some(device("one"))));
    world.directory.invalidate(CLIENT);
    assert_eq!(world.lookup(), Err(LookupError::Unavailable));
}

/// As another process does, which tells this one nothing.
#[test]
fn what_was_prolonged_elsewhere_is_seen_for_a_connection_that_was_to_end_by_now() {
    let world = World::new();
    world.put(device("one"));
    world.lookup().unwrap();
    let until = world.runtime.block_on(world.catalog.extend_device(CLIENT, &device("one").key_id, NOW + 50));
    assert_eq!(until.unwrap(), Some(NOW + 50));
    let prolonged = Device { expires_at_ms: NOW + 50, ..device("one") };
    assert_eq!(world.lookup_for(LookupSource::Standing), Ok(Some(prolonged.clone())));
    assert_eq!(world.lookup(), Ok(Some(prolonged)));
}

#[test]
fn a_replaced_credential_counts_once_the_old_one_is_invalidated() {
    let world = World::new();
    world.put(device("one"));
    world.lookup().unwrap();
    world.put(device("two"));
    world.directory.invalidate(CLIENT);
    assert_eq!(world.lookup(), Ok(Some(device("two"))));
}

#[test]
fn a_row_that_was_read_before_an_invalidation_is_not_kept_after_it() {
    let world = World::new();
    let cache = std::sync::Mutex::new(devices::Cache::new(4));
    let before = devices::lock(&cache).epoch();
    world.put(device("one"));
    devices::lock(&cache).invalidate(CLIENT);
    devices::keep(&cache, before, &device("stale"));
    assert_eq!(devices::lock(&cache).find(CLIENT), None);
    let now = devices::lock(&cache).epoch();
    devices::keep(&cache, now, &device("fresh"));
    assert_eq!(devices::lock(&cache).find(CLIENT), Some(device("fresh")));
}

#[test]
fn a_flood_of_unknown_client_ids_from_one_address_keeps_nobody_else_waiting() {
    let world = World::new();
    world.put(device("one"));
    // Its task does not run until it is told to.
    let idle = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let directory = DeviceDirectory::start(world.catalog.clone(), idle.handle());
    let (answer, answers) = mpsc::channel();
    let ask = |address: &str, client_id: &str| {
        let (answer, source) = (answer.clone(), LookupSource::Login(Network::of(address.parse().unwrap())));
        let client_id = client_id.to_owned();
        let asked = client_id.clone();
        directory.lookup(source, &asked, Box::new(move |found| answer.send((client_id, found)).unwrap()));
    };
    for number in 0..=LOOKUPS_WAITING_MAX {
        ask(&format!("2001:db8::{number:x}"), &format!("GID_Test@@@{number}"));
    }
    let nobody = |number: usize| format!("GID_Test@@@{number}");
    assert_eq!(answers.try_recv(), Ok((nobody(LOOKUPS_WAITING_MAX), Err(LookupError::Busy))));
    assert!(answers.try_recv().is_err(), "the others wait");
    ask("192.0.2.1", CLIENT);
    assert_eq!(answers.try_recv(), Ok((nobody(LOOKUPS_WAITING_MAX - 1), Err(LookupError::Busy))));
    let mut before = 0;
    idle.block_on(async {
        loop {
            match answers.try_recv() {
                Ok((client_id, found)) if client_id == CLIENT => break assert_eq!(found, Ok(Some(device("one")))),
                Ok(_) => before += 1,
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    assert!(before < LOOKUPS_WAITING_MAX / 4, "{before} were answered before it");
}

#[test]
fn a_directory_whose_task_has_died_says_so() {
    let world = World::new();
    world.directory.lookup(LookupSource::Senders, CLIENT, Box::new(|_| panic!("as a bug would")));
    world.runtime.block_on(world.directory.ended());
    assert_eq!(world.lookup(), Err(LookupError::Unavailable));
}
