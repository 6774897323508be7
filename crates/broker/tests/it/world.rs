//! A broker with everything it stands on, on a disk that can be cut off.

use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accounts::access::{AccessConfig, AccessView};
use accounts::certificate::ClientAuthority;
use accounts::jwt::Issuers;
use accounts::login::{DeviceDirectory, sign};
use accounts::revocation::Sessions;
use accounts::token::TokenKey;
use broker::{Bind, Broker, Config, Deps, Fatal, Limits, Listener, Recovery, Stats};
use catalog::{
    AccessKey, Actor, By, Catalog, Change, Cut, Device, Grant, Group, Order, ParentTopic, Rule, SqliteCatalog, User,
};
use clock::Clock;
use commitlog::testing::{Fate, ForgettingStorage, Nothing};
use commitlog::{Fault, Log, Options};
use mqtt::ReasonCode;
use queue::{
    Delivery, Engine, EngineOptions, GroupName, GroupOptions, Message, Queue, ReceiveRequest, TagFilter, TopicName,
};
use rustls::ServerConfig;
use tokio::runtime::Runtime;

use crate::brittle::{Breaks, Brittle, Hidings, Receiving, RefusedAcks};
use crate::terminal::{Profile, Terminal};

pub(crate) const ALICE: &str = "GID_dev@@@alice-1";
pub(crate) const BOB: &str = "GID_dev@@@bob-1";
pub(crate) const CAROL: &str = "GID_dev@@@carol-1";
/// A service's client id.
pub(crate) const SERVICE: &str = "GID_dev@@@service-1";
const WORKERS: usize = 2;
pub(crate) const SMALL_SEGMENT: u64 = 256 << 10;
pub(crate) const KEY: (&str, &str) = ("LTAItest", "SecretForTestsOnly123456789012");

/// What outlives a restart.
pub(crate) struct World {
    pub(crate) storage: ForgettingStorage,
    /// The disk of a queue that lives elsewhere.
    pub(crate) queue_storage: ForgettingStorage,
    folder: tempfile::TempDir,
    pub(crate) limits: Limits,
    /// Of the next start.
    pub(crate) clock: Clock,
    pub(crate) tls: Option<Arc<ServerConfig>>,
    /// The queue lives elsewhere: on a log of its own.
    queue_is_remote: bool,
    /// The log of the broker is small and gives its old segments back.
    gives_space_back: bool,
    threads: usize,
    pub(crate) breaks: Breaks,
    pub(crate) receiving: Receiving,
    pub(crate) hidings: Hidings,
    pub(crate) refused_acks: RefusedAcks,
    fault: Fault,
    is_seeded: bool,
    pub(crate) runtime: Runtime,
    /// Whose JWTs let devices in.
    pub(crate) issuers: Issuers,
    pub(crate) client_authority: Option<ClientAuthority>,
    pub(crate) fatal: Arc<Mutex<Vec<Fatal>>>,
    running: Option<Running>,
}

struct Running {
    catalog: Arc<dyn Catalog>,
    access: AccessView,
    devices: DeviceDirectory,
    broker: Broker,
    engine: Engine,
    log: Log,
    /// The same log, unless the queue lives elsewhere.
    queue_log: Log,
    /// Records that the start took from a snapshot.
    from_snapshot: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let mut world = Self {
            storage: ForgettingStorage::new(),
            queue_storage: ForgettingStorage::new(),
            folder: tempfile::tempdir().unwrap(),
            limits,
            clock: Clock::system(),
            tls: None,
            queue_is_remote: false,
            gives_space_back: false,
            threads: WORKERS,
            breaks: Breaks::default(),
            receiving: Receiving::default(),
            hidings: Hidings::default(),
            refused_acks: RefusedAcks::default(),
            fault: Fault::None,
            is_seeded: false,
            issuers: crate::jwt::issuers(),
            client_authority: None,
            runtime: tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
            fatal: Arc::default(),
            running: None,
        };
        world.start();
        world
    }

    pub(crate) fn with_tls(tls: Arc<ServerConfig>) -> Self {
        let mut world = Self::new();
        world.stop();
        world.tls = Some(tls);
        world.start();
        world
    }

    /// On a log with this bug.
    pub(crate) fn with_fault(fault: Fault) -> Self {
        let mut world = Self::new();
        world.stop();
        world.fault = fault;
        world.start();
        world
    }

    pub(crate) fn with_remote_queue() -> Self {
        let mut world = Self::new();
        world.stop();
        world.queue_is_remote = true;
        world.start();
        world
    }

    /// On a log of small segments that has no other owners than the workers.
    pub(crate) fn with_small_segments() -> Self {
        let mut world = Self::new();
        world.stop();
        world.storage = ForgettingStorage::new();
        (world.queue_is_remote, world.gives_space_back) = (true, true);
        world.start();
        world
    }

    fn log_options(&self) -> Options {
        if self.gives_space_back {
            return Options {
                segment_size: SMALL_SEGMENT,
                append_bytes_max: 64 << 10,
                reserve_bytes: 32 << 10,
                owners: self.threads,
                reclaim_above: 4 * SMALL_SEGMENT,
                ..self.queue_log_options()
            };
        }
        self.queue_log_options()
    }

    fn queue_log_options(&self) -> Options {
        Options {
            segment_size: 4 << 20,
            append_bytes_max: 1 << 20,
            reserve_bytes: 1 << 20,
            pending_bytes_max: 1 << 20,
            full_retry_every: Duration::from_millis(20),
            fault: self.fault,
            ..Options::default()
        }
    }

    pub(crate) fn start(&mut self) {
        let options = self.log_options();
        let (log, replay) = Log::open(self.storage.handle(), options).unwrap();
        let engine_options = EngineOptions {
            invisible_min: Duration::from_millis(1),
            clock: self.clock.clone(),
            ..EngineOptions::default()
        };
        let mut queue_recovery = Engine::recover(engine_options);
        let mut recovery = Recovery::new();
        let replayed = replay
            .run(|record| {
                if !self.queue_is_remote {
                    queue_recovery.apply(record).unwrap();
                }
                recovery.apply(record)
            })
            .unwrap();
        let queue_log = if self.queue_is_remote {
            let (queue_log, replay) = Log::open(self.queue_storage.handle(), self.queue_log_options()).unwrap();
            replay.run(|record| queue_recovery.apply(record)).unwrap();
            queue_log
        } else {
            log.clone()
        };
        let handle = self.runtime.handle().clone();
        let _inside = handle.enter();
        let engine = queue_recovery.start(queue_log.clone());
        let fatal = self.fatal.clone();
        let (path, tls, limits) = (self.folder.path().join("catalog.sqlite"), self.tls.clone(), self.limits.clone());
        let threads = self.threads;
        let (deps_log, deps_engine) = (log.clone(), engine.clone());
        let (breaks, receiving, hidings) =
            (self.breaks.clone(), Arc::clone(&self.receiving), Arc::clone(&self.hidings));
        let refused_acks = Arc::clone(&self.refused_acks);
        let (clock, issuers, client_authority) =
            (self.clock.clone(), self.issuers.clone(), self.client_authority.clone());
        let is_seeded = std::mem::replace(&mut self.is_seeded, true);
        let (broker, catalog, access, devices) = handle.block_on(async move {
            let catalog: Arc<dyn Catalog> = Arc::new(SqliteCatalog::open(path).await.unwrap());
            if !is_seeded {
                seed(&*catalog).await;
            }
            let access = AccessView::follow(
                catalog.clone(),
                AccessConfig { token_key: Some(token_key()), issuers, client_authority, ..AccessConfig::default() },
            )
            .await
            .unwrap();
            let runtime = tokio::runtime::Handle::current();
            let devices = DeviceDirectory::start(catalog.clone(), &runtime);
            let config = Config {
                listeners: vec![Listener { bind: Bind::Address(([127, 0, 0, 1], 0).into()), tls }],
                threads,
                limits,
                urgent_parents: vec!["ring-down".to_owned()],
            };
            let deps = Deps {
                log: deps_log,
                recovery,
                clock,
                queue: Arc::new(Brittle { engine: deps_engine, breaks, receiving, hidings, refused_acks }),
                access: access.clone(),
                removed_devices: catalog.removed_devices().await.unwrap(),
                devices: devices.clone(),
                runtime,
                on_fatal: Arc::new(move |why| fatal.lock().unwrap().push(why)),
            };
            (Broker::start(config, deps).await.unwrap(), catalog, access, devices)
        });
        let from_snapshot = replayed.snapshot_records;
        self.running = Some(Running { catalog, access, devices, broker, engine, log, queue_log, from_snapshot });
    }

    /// Alice's device, with a credential until then.
    /// Lets the credential of a device last until then.
    pub(crate) fn renew_until(&self, client_id: &str, user: &str, expires_at_ms: u64) {
        let Running { catalog, devices, .. } = self.running.as_ref().unwrap();
        let until = self.runtime.block_on(catalog.extend_device(client_id, &key_id_of(user), expires_at_ms)).unwrap();
        assert_eq!(until, Some(expires_at_ms));
        devices.invalidate(client_id);
    }

    pub(crate) fn let_alice_in_until(&self, expires_at_ms: u64) {
        let running = self.running.as_ref().unwrap();
        let device = Device { expires_at_ms, ..device(ALICE, "alice") };
        self.runtime.block_on(running.catalog.put_device(device)).unwrap();
        running.devices.invalidate(ALICE);
    }

    /// Stops as an operator would.
    pub(crate) fn stop(&mut self) {
        let Running { broker, engine, log, queue_log, .. } = self.running.take().unwrap();
        broker.shutdown(ReasonCode::SERVER_SHUTTING_DOWN);
        engine.close();
        log.close().unwrap();
        if self.queue_is_remote {
            // A test may have cut its power.
            let _ = queue_log.close();
        }
        // A log whose power was cut has failed.
        let fatal = self.fatal.lock().unwrap();
        assert!(fatal.iter().all(|fatal| matches!(fatal, Fatal::Log(_))), "a stop is no failure: {fatal:?}");
    }

    /// Stops, and counts the records of a kind in the log.
    pub(crate) fn records_at_the_end(&mut self, kind: u8) -> usize {
        self.stop();
        let (log, replay) = Log::open(self.storage.handle(), self.log_options()).unwrap();
        let mut found = 0;
        replay.for_each(|record| found += usize::from(record.kind == kind)).unwrap();
        log.close().unwrap();
        found
    }

    pub(crate) fn restart(&mut self) {
        self.stop();
        self.start();
    }

    pub(crate) fn restart_with_threads(&mut self, threads: usize) {
        self.stop();
        self.threads = threads;
        self.start();
    }

    /// The power goes and comes back: what was not synced is gone.
    pub(crate) fn cut_power(&mut self) {
        self.cut_power_with(&mut Nothing);
    }

    /// The same, but `fate` chooses what is kept of what was not synced.
    pub(crate) fn cut_power_with(&mut self, fate: &mut dyn Fate) {
        self.storage.cut_power_with(fate);
        let Running { broker, engine, log, queue_log, .. } = self.running.take().unwrap();
        broker.shutdown(ReasonCode::SERVER_SHUTTING_DOWN);
        engine.close();
        // Its disk is gone; there may have been nothing to write.
        let _ = log.close();
        if self.queue_is_remote {
            queue_log.close().unwrap();
        }
        drop((broker, engine, log, queue_log));
        self.start();
    }

    pub(crate) fn broker(&self) -> &Broker {
        &self.running.as_ref().unwrap().broker
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.broker().local_addrs()[0]
    }

    pub(crate) fn stats(&self) -> Stats {
        self.broker().stats()
    }

    /// Numbers of the log's segments.
    pub(crate) fn segments(&self) -> RangeInclusive<u64> {
        self.running.as_ref().unwrap().log.segments()
    }

    /// Records that the start took from a snapshot.
    pub(crate) fn snapshot_records(&self) -> u64 {
        self.running.as_ref().unwrap().from_snapshot
    }

    /// Waits until the numbers are as they should be, at most some seconds.
    pub(crate) fn until(&self, what: &str, mut is_so: impl FnMut(&Stats) -> bool) {
        let give_up = Instant::now() + Duration::from_secs(10);
        while !is_so(&self.stats()) {
            assert!(Instant::now() < give_up, "{what}: {:?}", self.stats());
            std::thread::yield_now();
        }
    }

    // Catalog.

    /// As the API does before it tells the broker.
    pub(crate) fn remove_from_catalog(&self, client_id: &str, user: &str) {
        let Running { catalog, devices, .. } = self.running.as_ref().unwrap();
        assert!(self.runtime.block_on(catalog.remove_device(client_id, &key_id_of(user), now_ms())).unwrap());
        devices.invalidate(client_id);
    }

    /// In force, and the broker is told nothing.
    pub(crate) fn change_key_unseen(&self, change: Change) {
        let Running { catalog, access, .. } = self.running.as_ref().unwrap();
        self.runtime.block_on(async {
            let by = By { actor: Actor::Owner, address: None, at_ms: now_ms(), right_as_of: None };
            catalog.apply(Order { change, by, expected: None }).await.unwrap();
            let revision = *catalog.access_revision().borrow();
            access.reached(revision).await;
        });
    }

    /// As the API does: in force before the broker is told.
    pub(crate) fn change_key(&self, change: Change) {
        let Running { catalog, access, broker, .. } = self.running.as_ref().unwrap();
        self.runtime.block_on(async {
            let by = By { actor: Actor::Owner, address: None, at_ms: now_ms(), right_as_of: None };
            let done = catalog.apply(Order { change, by, expected: None }).await.unwrap();
            let revision = *catalog.access_revision().borrow();
            access.reached(revision).await;
            if done.cuts.is_empty() {
                broker.judge_key(KEY.0).await.unwrap();
            }
            for cut in done.cuts {
                match cut {
                    Cut::Key { key_id } => broker.cut_key(&key_id).await.unwrap(),
                    Cut::Token { id } => broker.cut_token(id).await.unwrap(),
                    Cut::Group { group } => broker.cut_group(&group).await.unwrap(),
                    Cut::Subscriptions { parent } => broker.judge_subscriptions(&parent).await.unwrap(),
                    Cut::Device { client_id, key_id } => broker.cut_device(&client_id, &key_id).await.unwrap(),
                    cut => panic!("{cut:?}"),
                }
            }
        });
    }

    pub(crate) fn register(&self, client_id: &str, user: &str) {
        let Running { catalog, devices, .. } = self.running.as_ref().unwrap();
        let named = User { user: user.into(), name: user.into() };
        self.runtime.block_on(catalog.put_user(named)).unwrap();
        self.runtime.block_on(catalog.put_device(device(client_id, user))).unwrap();
        devices.invalidate(client_id);
    }

    /// Another credential, of this name, for a device of this user.
    pub(crate) fn replace_credential(&self, client_id: &str, user: &str, name: &str) {
        let Running { catalog, devices, .. } = self.running.as_ref().unwrap();
        let new = Device { user: user.into(), ..device(client_id, name) };
        self.runtime.block_on(catalog.put_device(new)).unwrap();
        devices.invalidate(client_id);
    }

    /// Changes where the messages of a parent topic go.
    pub(crate) fn set_rule(&self, parent: &str, rule: Rule) {
        let catalog = &self.running.as_ref().unwrap().catalog;
        self.runtime.block_on(catalog.put_parent(ParentTopic::new(parent, rule))).unwrap();
    }

    // Queue.

    /// Of the broker's group: how often a message is handed out.
    pub(crate) fn set_attempts_max(&self, attempts_max: u32) {
        let group = GroupName::parse(broker::GROUP).unwrap();
        self.runtime
            .block_on(self.queue().create_group(group, GroupOptions { attempts_max, ..GroupOptions::default() }))
            .unwrap();
    }

    pub(crate) fn create_topic(&self, topic: &str) {
        self.runtime.block_on(self.queue().create_topic(TopicName::parse(topic).unwrap())).unwrap();
    }

    pub(crate) fn queue(&self) -> Arc<dyn Queue> {
        Arc::new(self.running.as_ref().unwrap().engine.clone())
    }

    pub(crate) fn send(&self, topic: &str, properties: &[(&str, &str)], body: &str) {
        let message = Message {
            properties: properties.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect(),
            body: body.to_owned().into(),
            born_ms: now_ms(),
            ..Message::default()
        };
        let topic = TopicName::parse(topic).unwrap();
        self.runtime.block_on(self.queue().send_wait(&topic, message)).unwrap();
    }

    /// The next message of a topic for the group `tests`, acknowledged.
    pub(crate) fn receive(&self, topic: &str) -> Delivery {
        self.try_receive(topic, Duration::from_secs(10)).unwrap_or_else(|| panic!("no message in {topic}"))
    }

    pub(crate) fn try_receive(&self, topic: &str, wait: Duration) -> Option<Delivery> {
        let (group, topic) = (GroupName::parse("tests").unwrap(), TopicName::parse(topic).unwrap());
        let queue = self.queue();
        self.runtime.block_on(async move {
            queue.create_group(group.clone(), GroupOptions::default()).await.unwrap();
            queue.create_topic(topic.clone()).await.unwrap();
            let invisible = Duration::from_secs(30);
            let request = ReceiveRequest { group, topic, filter: TagFilter::All, max: 1, wait, invisible };
            let delivery = queue.receive(request).await.unwrap().pop()?;
            queue.ack(delivery.receipt.clone()).await.unwrap();
            Some(delivery)
        })
    }

    /// Waits until the broker's group has nothing left of a topic.
    pub(crate) fn until_consumed(&self, topic: &str) {
        let give_up = Instant::now() + Duration::from_secs(10);
        while self.left_in(topic) != (0, 0) {
            assert!(Instant::now() < give_up, "{:?}", self.left_in(topic));
        }
    }

    /// What the broker's group has left of a topic: never handed out, and handed out without an acknowledgement.
    pub(crate) fn left_in(&self, topic: &str) -> (u64, u64) {
        let description = self.runtime.block_on(self.queue().describe(TopicName::parse(topic).unwrap())).unwrap();
        let group = description.groups.iter().find(|progress| progress.group.as_str() == broker::GROUP);
        group.map_or((0, 0), |progress| (progress.waiting, progress.in_flight + progress.due_again))
    }

    // Terminals.

    pub(crate) fn connect(&self, profile: Profile) -> Terminal {
        Terminal::connect(self.address(), profile).unwrap_or_else(|refused| panic!("refused: {refused:?}"))
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if let Some(Running { broker, engine, log, queue_log, .. }) = self.running.take() {
            // A test that failed must not wait for a disk that it holds.
            self.storage.release_syncs();
            self.queue_storage.release_syncs();
            broker.shutdown(ReasonCode::SERVER_SHUTTING_DOWN);
            engine.close();
            // A test may have broken the log on purpose.
            let _ = (log.close(), queue_log.close());
        }
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    u64::try_from(since.as_millis()).unwrap()
}

async fn seed(catalog: &dyn Catalog) {
    catalog.put_group(Group { group: "GID_dev".into() }).await.unwrap();
    let parents = [
        ("meeting-up", Rule::ToQueue),
        ("ring-down", Rule::FromQueue),
        ("meeting-down", Rule::FromQueue),
        ("chat", Rule::None),
        ("both-ways", Rule::Both),
    ];
    for (parent, rule) in parents {
        catalog.put_parent(ParentTopic::new(parent, rule)).await.unwrap();
    }
    let (key_id, secret) = KEY;
    let key = AccessKey { key_id: key_id.into(), secret: secret.into(), instance: "convoke".into(), created_at_ms: 0 };
    catalog.put_access_key(key).await.unwrap();
    catalog.put_grant(Grant::to_publish("GID_dev", "meeting-up")).await.unwrap();
    for (client_id, user) in [(ALICE, "alice"), (BOB, "bob"), (CAROL, "carol")] {
        catalog.put_user(User { user: user.into(), name: user.into() }).await.unwrap();
        catalog.put_device(device(client_id, user)).await.unwrap();
    }
}

pub(crate) fn token_key() -> TokenKey {
    TokenKey::new("convoke", &[5; 32])
}

fn device(client_id: &str, user: &str) -> Device {
    Device {
        client_id: client_id.into(),
        user: user.into(),
        group: "GID_dev".into(),
        name: None,
        key_id: key_id_of(user),
        secret: format!("DC.secret-of-{user}"),
        expires_at_ms: u64::MAX >> 1,
    }
}

pub(crate) fn key_id_of(user: &str) -> String {
    format!("DC.{user}")
}

/// Username and password of a seeded device or, for any other client id, of the service.
pub(crate) fn credentials(client_id: &str) -> (String, String) {
    for (device, user) in [(ALICE, "alice"), (BOB, "bob"), (CAROL, "carol")] {
        if device == client_id {
            let password = sign(&format!("DC.secret-of-{user}"), client_id);
            return (format!("DeviceCredential|DC.{user}|convoke"), password);
        }
    }
    (format!("Signature|{}|convoke", KEY.0), sign(KEY.1, client_id))
}
