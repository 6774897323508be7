#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use super::testing::ToldBroker;
use super::*;
use crate::access::AccessConfig;
use crate::login::DeviceDirectory;
use catalog::{
    AccessKey, Accounts, Actor, Audit, By, Change, Device, Grant, Grantee, Group, KeyUpdate, Order, ParentTopic, Right,
    Rights, Rule, SqliteCatalog, Topics, User,
};
use sqlx::{Connection, SqliteConnection};
use std::collections::HashSet;
use std::future::poll_fn;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::Poll;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::time::sleep;

/// A catalog with a key, a group and a user, followed, and the same file as another process has it.
struct World {
    catalog: Arc<SqliteCatalog>,
    elsewhere: SqliteCatalog,
    access: AccessView,
    directory: DeviceDirectory,
    broker: Arc<ToldBroker>,
    revocation: Revocation,
    folder: TempDir,
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("catalog.sqlite");
        let catalog = Arc::new(SqliteCatalog::open(&path).await.unwrap());
        catalog.put_group(Group { group: "GID_dev".to_owned() }).await.unwrap();
        catalog.put_user(User { user: "ann".to_owned(), name: "Ann".to_owned() }).await.unwrap();
        catalog.put_user(User { user: "bob".to_owned(), name: "Bob".to_owned() }).await.unwrap();
        let key = AccessKey {
            key_id: "svc".to_owned(),
            secret: "secret".to_owned(),
            instance: "convoke".to_owned(),
            created_at_ms: 0,
        };
        catalog.put_access_key(key).await.unwrap();
        let access = AccessView::follow(catalog.clone(), AccessConfig::default()).await.unwrap();
        let directory = DeviceDirectory::start(catalog.clone(), &Handle::current());
        let broker = Arc::new(ToldBroker::default());
        let revocation = Revocation::follow(catalog.clone(), access.clone(), directory.clone(), broker.clone());
        let elsewhere = SqliteCatalog::open(&path).await.unwrap();
        Self { catalog, elsewhere, access, directory, broker, revocation, folder }
    }

    async fn register(&self, client_id: &str, user: &str, key_id: &str) {
        self.catalog.put_device(device(client_id, user, key_id)).await.unwrap();
    }

    /// In one statement.
    async fn register_many(&self, devices: usize) {
        self.register_from(0, devices).await;
    }

    async fn register_from(&self, first: usize, behind: usize) {
        let path = self.folder.path().join("catalog.sqlite");
        let mut conn = SqliteConnection::connect(path.to_str().unwrap()).await.unwrap();
        let sql = "WITH RECURSIVE n(n) AS (SELECT $1 UNION ALL SELECT n + 1 FROM n WHERE n + 1 < $2) \
                   INSERT INTO devices (client_id, user_id, group_id, key_id, secret, expires_at_ms) \
                   SELECT 'GID_dev@@@d-' || n, 'ann', 'GID_dev', 'DC.' || n, 's', 1 << 50 FROM n";
        let [first, behind] = [first, behind].map(|n| i64::try_from(n).unwrap());
        sqlx::query(sql).bind(first).bind(behind).execute(&mut conn).await.unwrap();
    }

    async fn until(&self, what: &str, is_so: impl Fn(&ToldBroker) -> bool) {
        let give_up = Instant::now() + Duration::from_secs(20);
        while !is_so(&self.broker) {
            assert!(Instant::now() < give_up, "{what}");
            sleep(Duration::from_millis(5)).await;
        }
    }
}

fn device(client_id: &str, user: &str, key_id: &str) -> Device {
    Device {
        client_id: client_id.to_owned(),
        user: user.to_owned(),
        group: "GID_dev".to_owned(),
        name: None,
        key_id: key_id.to_owned(),
        secret: "secret".to_owned(),
        expires_at_ms: 1 << 50,
    }
}

fn order(change: Change) -> Order {
    Order { change, by: By { actor: Actor::Owner, address: None, at_ms: 1_000, right_as_of: None }, expected: None }
}

fn removal(client_id: &str) -> Order {
    order(Change::RemoveDevice { client_id: client_id.to_owned(), key_id: None })
}

fn disabling() -> Order {
    let update = KeyUpdate { disabled: Some(true), ..KeyUpdate::default() };
    order(Change::UpdateKey { key_id: "svc".to_owned(), update })
}

fn ended(client_id: &str, key_id: &str) -> (String, Option<String>) {
    (client_id.to_owned(), Some(key_id.to_owned()))
}

#[tokio::test]
async fn what_another_process_changes_ends_here_too_under_the_new_rules() {
    let world = World::new().await;
    world.register("GID_dev@@@a", "ann", "DC.1").await;
    world.elsewhere.apply(removal("GID_dev@@@a")).await.unwrap();
    world.elsewhere.apply(disabling()).await.unwrap();
    world.until("both", |broker| broker.cut_keys.lock().unwrap().len() + broker.ended.lock().unwrap().len() == 2).await;
    assert_eq!(*world.broker.cut_keys.lock().unwrap(), ["svc"]);
    assert_eq!(*world.broker.ended.lock().unwrap(), [ended("GID_dev@@@a", "DC.1")]);
    assert!(world.access.load().key("svc").is_none(), "who logs in from now on is judged by the new rules");
}

/// A change of this process tells of the other one's, and concerns no rules of access.
#[tokio::test]
async fn what_another_process_changes_is_ended_under_the_new_rules_also_before_this_one_has_looked_for_it() {
    let world = World::new().await;
    // The first look is over, and the next one is far.
    tokio::time::sleep(Duration::from_millis(50)).await;
    world.elsewhere.apply(disabling()).await.unwrap();
    world
        .catalog
        .apply(order(Change::PutDevice { device: device("GID_dev@@@a", "ann", "DC.1"), replaces: None }))
        .await
        .unwrap();
    world.until("the key", |broker| !broker.cut_keys.lock().unwrap().is_empty()).await;
    assert!(world.access.load().key("svc").is_none(), "who logs in from now on is judged by the new rules");
}

/// Goes on with it at most so often, then drops it.
async fn polled<F: Future>(work: F, times: u64) -> Option<F::Output> {
    let (mut work, mut left) = (pin!(work), times);
    poll_fn(|context| match work.as_mut().poll(context) {
        Poll::Ready(done) => Poll::Ready(Some(done)),
        Poll::Pending if left == 0 => Poll::Ready(None),
        Poll::Pending => {
            left -= 1;
            Poll::Pending
        }
    })
    .await
}

/// Whoever has ordered it is gone while the catalog commits, so that nobody tells of it.
#[tokio::test]
async fn what_was_committed_and_not_answered_ends() {
    let world = World::new().await;
    let mut unanswered = Vec::new();
    for n in 0..1_000_u64 {
        let client_id = format!("GID_dev@@@d-{n}");
        world.register(&client_id, "ann", &format!("DC.{n}")).await;
        // At each place where it waits, the one for the commit among them.
        let is_answered = polled(world.catalog.apply(removal(&client_id)), n % 100).await.is_some();
        // Behind what may still be under way.
        world.catalog.try_write().await.unwrap();
        if !is_answered && world.catalog.device(&client_id).await.unwrap().is_none() {
            unanswered.push(ended(&client_id, &format!("DC.{n}")));
        }
        if unanswered.len() == 3 {
            break;
        }
    }
    assert!(!unanswered.is_empty(), "no commit was left unanswered");
    let all_ended = |broker: &ToldBroker| {
        let ended = broker.ended.lock().unwrap();
        unanswered.iter().all(|device| ended.contains(device))
    };
    world.until("all of them", all_ended).await;
}

#[tokio::test]
async fn a_right_to_subscribe_that_is_taken_back_elsewhere_is_judged_by_the_new_rules_until_it_is_done() {
    let world = World::new().await;
    let (grantee, rights) = (Grantee::User("ann".to_owned()), Rights::parse("subscribe").unwrap());
    world.catalog.put_parent(ParentTopic::new("up", Rule::None)).await.unwrap();
    world.catalog.put_grant(Grant { grantee: grantee.clone(), parent: "up".to_owned(), rights }).await.unwrap();
    world.broker.is_full.store(true, Ordering::SeqCst);
    let remove = Change::RemoveGrant { grantee: grantee.clone(), parent: "up".to_owned() };
    let number = world.elsewhere.apply(order(remove)).await.unwrap().number.unwrap();
    world.until("a second try", |_| world.revocation.figures().tried_again > 0).await;
    assert!(!world.access.load().gives(&grantee, "up", Right::Subscribe));
    assert!(world.broker.judged_subscriptions.lock().unwrap().is_empty());
    world.broker.is_full.store(false, Ordering::SeqCst);
    world.revocation.passed(number).await;
    assert_eq!(*world.broker.judged_subscriptions.lock().unwrap(), ["up"]);
    assert_eq!((world.revocation.figures().waiting, world.revocation.figures().done), (0, 1));
}

#[tokio::test]
async fn a_row_of_a_device_that_another_process_has_changed_is_read_again() {
    let world = World::new().await;
    world.register("GID_dev@@@a", "ann", "DC.1").await;
    let key_id = || {
        let (done, found) = std::sync::mpsc::channel();
        world.directory.lookup(
            crate::login::LookupSource::Senders,
            "GID_dev@@@a",
            Box::new(move |device| {
                done.send(device.unwrap().unwrap().key_id).unwrap();
            }),
        );
        async move { tokio::task::spawn_blocking(move || found.recv().unwrap()).await.unwrap() }
    };
    assert_eq!(key_id().await, "DC.1");
    let new = Change::PutDevice { device: device("GID_dev@@@a", "ann", "DC.2"), replaces: Some("DC.1".to_owned()) };
    let number = world.elsewhere.apply(order(new)).await.unwrap().number.unwrap();
    world.revocation.passed(number).await;
    assert_eq!(key_id().await, "DC.2");
    assert_eq!(*world.broker.cut_credentials.lock().unwrap(), [("GID_dev@@@a".to_owned(), "DC.1".to_owned())]);
}

#[tokio::test]
async fn what_the_broker_has_not_ended_is_tried_again_and_holds_up_nothing_else() {
    let world = World::new().await;
    world.register("GID_dev@@@a", "ann", "DC.1").await;
    world.broker.is_silent.store(true, Ordering::SeqCst);
    let stuck = world.catalog.apply(removal("GID_dev@@@a")).await.unwrap().number.unwrap();
    let other = world.catalog.apply(disabling()).await.unwrap().number.unwrap();
    world.revocation.passed(other).await;
    world.until("a second try", |_| world.revocation.figures().tried_again > 0).await;
    assert_eq!((world.revocation.figures().waiting, world.revocation.figures().done), (1, 1));
    world.broker.is_silent.store(false, Ordering::SeqCst);
    world.revocation.passed(stuck).await;
    assert_eq!(*world.broker.ended.lock().unwrap(), [ended("GID_dev@@@a", "DC.1")]);
    assert_eq!(world.revocation.figures().waiting, 0);
}

#[tokio::test]
async fn what_was_registered_again_before_it_could_be_ended_keeps_its_new_session() {
    let world = World::new().await;
    world.register("GID_dev@@@a", "ann", "DC.1").await;
    world.broker.is_silent.store(true, Ordering::SeqCst);
    let number = world.catalog.apply(removal("GID_dev@@@a")).await.unwrap().number.unwrap();
    world.until("a try", |_| world.revocation.figures().tried_again > 0).await;
    world.register("GID_dev@@@a", "bob", "DC.2").await;
    world.broker.holders.lock().unwrap().insert("GID_dev@@@a".to_owned(), "user:bob".into());
    world.broker.is_silent.store(false, Ordering::SeqCst);
    world.revocation.passed(number).await;
    assert_eq!(*world.broker.ended.lock().unwrap(), []);
    assert_eq!(*world.broker.cut_devices.lock().unwrap(), [("GID_dev@@@a".to_owned(), "DC.1".to_owned())]);
}

#[tokio::test]
async fn a_session_of_the_user_before_ends_though_the_client_id_was_registered_again() {
    let world = World::new().await;
    world.register("GID_dev@@@a", "ann", "DC.1").await;
    world.broker.holders.lock().unwrap().insert("GID_dev@@@a".to_owned(), "user:ann".into());
    // Of another process, which has no broker to ask.
    let held = world.revocation.turn_at("GID_dev@@@a").await;
    let number = world.elsewhere.apply(removal("GID_dev@@@a")).await.unwrap().number.unwrap();
    world.elsewhere.put_device(device("GID_dev@@@a", "bob", "DC.2")).await.unwrap();
    world.until("its connection", |broker| !broker.cut_devices.lock().unwrap().is_empty()).await;
    drop(held);
    world.revocation.passed(number).await;
    assert_eq!(*world.broker.ended.lock().unwrap(), [ended("GID_dev@@@a", "DC.1")]);
}

fn removal_of_group() -> Change {
    Change::RemoveGroup { group: "GID_dev".to_owned(), force: true }
}

/// Of more removed devices than may wait for it.
#[tokio::test]
async fn a_log_that_takes_nothing_keeps_no_connection() {
    const DEVICES: usize = 10_000;
    let world = World::new().await;
    world.broker.is_full.store(true, Ordering::SeqCst);
    for n in 0..2 {
        world.register_from(n * DEVICES, (n + 1) * DEVICES).await;
        world.catalog.apply(order(removal_of_group())).await.unwrap();
        world.catalog.apply(order(Change::CreateGroup(Group { group: "GID_dev".to_owned() }))).await.unwrap();
    }
    world.register("GID_dev@@@a", "ann", "DC.a").await;
    world.catalog.apply(removal("GID_dev@@@a")).await.unwrap();
    let key = world.catalog.apply(disabling()).await.unwrap().number.unwrap();
    world.revocation.passed_at_once(key).await;
    assert_eq!(*world.broker.cut_keys.lock().unwrap(), ["svc"]);
    let cut = |broker: &ToldBroker| broker.cut_devices.lock().unwrap().len();
    world.until("all connections", |broker| cut(broker) == 2 * DEVICES + 1).await;
    assert_eq!(*world.broker.ended.lock().unwrap(), []);
}

#[tokio::test]
async fn ten_thousand_devices_of_a_removed_group_are_all_ended() {
    const DEVICES: usize = 10_000;
    let world = World::new().await;
    world.register_many(DEVICES).await;
    let began = Instant::now();
    let number = world.catalog.apply(order(removal_of_group())).await.unwrap().number.unwrap();
    let removed = began.elapsed();
    world.revocation.passed(number).await;
    println!("{DEVICES} devices removed in {removed:?}, ended in {:?}", began.elapsed());
    let ended: HashSet<_> = world.broker.ended.lock().unwrap().iter().cloned().collect();
    assert_eq!(ended.len(), DEVICES);
}

#[tokio::test]
async fn a_registration_ends_what_others_have_under_the_client_id_and_a_later_one_is_let_alone() {
    let world = World::new().await;
    let order = |change: Change| {
        let by = By { actor: Actor::Owner, address: None, at_ms: 1, right_as_of: None };
        world.catalog.apply(Order { change, by, expected: None })
    };
    let put = |user: &str, key_id: &str, replaces: Option<&str>| Change::PutDevice {
        device: device("GID_dev@@@a", user, key_id),
        replaces: replaces.map(str::to_owned),
    };
    world.broker.holders.lock().unwrap().insert("GID_dev@@@a".to_owned(), "tokens:convoke".into());
    let done = order(put("ann", "DC.1", None)).await.unwrap();
    world.revocation.passed(done.number.unwrap()).await;
    let registered = || std::mem::take(&mut *world.broker.registered.lock().unwrap());
    assert_eq!(registered(), [("GID_dev@@@a".to_owned(), "user:ann".to_owned())]);
    assert!(world.broker.holders.lock().unwrap().is_empty());
    // Her own login again is not another's.
    let done = order(put("ann", "DC.2", Some("DC.1"))).await.unwrap();
    world.revocation.passed(done.number.unwrap()).await;
    assert_eq!(registered(), []);
    // It is Bob's before this is carried out.
    let turn = world.revocation.turn_at("GID_dev@@@b").await;
    let put = |user: &str| Change::PutDevice { device: device("GID_dev@@@b", user, "DC.3"), replaces: None };
    order(put("ann")).await.unwrap();
    order(Change::RemoveDevice { client_id: "GID_dev@@@b".to_owned(), key_id: None }).await.unwrap();
    let done = order(put("bob")).await.unwrap();
    drop(turn);
    world.revocation.passed(done.number.unwrap()).await;
    let b = ("GID_dev@@@b".to_owned(), "user:bob".to_owned());
    assert_eq!(registered(), [b], "once, and nothing for Ann");
}
