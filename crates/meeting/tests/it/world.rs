//! The service on the real queue and the real catalog, with terminals in the place of the broker.

use crate::followed::Followed;
use crate::held::{Held, Hold, Write};
use crate::rtc::Recorder;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use bytes::Bytes;
use catalog::{Accounts, Catalog, Device, Group, Meetings, SqliteCatalog, Topics, User};
use clock::Clock;
use commitlog::testing::ForgettingStorage;
use commitlog::{Log, LogId, Options};
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use meeting::{Config, JoinSigner, MeetingService};
use queue::{
    AckError, AdminError, AtomicAck, BoxFuture, Delivery, Engine, EngineOptions, GroupName, GroupOptions, Message,
    Queue, Receipt, ReceiveError, ReceiveRequest, SendDone, SendError, TagFilter, TopicDescription, TopicName,
};
use signalling::topics::{MEETING_DOWN, MEETING_UP, RING_DOWN, property};
use signalling::{
    ChannelId, Down, DownBody, Envelope, InvitationId, JoinClaims, JoinParameters, MeetingId, SignalId, Up, UpBody,
};
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::watch;
use uuid::Uuid;

/// Longer than anything takes that must come.
const PATIENCE: Duration = Duration::from_secs(20);
pub(crate) const GROUP: &str = "GID_test";
const INVISIBLE: Duration = Duration::from_secs(600);

pub(crate) fn now_ms() -> u64 {
    u64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

/// `alice.phone` → `GID_test@@@alice-phone`
pub(crate) fn client_id(client: &str) -> String {
    format!("{GROUP}@@@{}", client.replace('.', "-"))
}

fn user_of(client: &str) -> &str {
    client.split('.').next().unwrap()
}

pub(crate) fn new_meeting() -> MeetingId {
    MeetingId(Uuid::now_v7())
}

/// A message that was hidden anew, and for how long.
#[derive(Clone, Debug)]
pub(crate) struct Hiding {
    pub(crate) message: String,
    pub(crate) invisible: Duration,
}

/// The real queue, in which acks or sends can be made to hang, as when the process ends there.
struct InterruptibleQueue {
    engine: Engine,
    acks_hang: Arc<AtomicBool>,
    sends_hang: Arc<AtomicBool>,
    sends_panic: Arc<AtomicBool>,
    full_topic: Arc<Mutex<Option<&'static str>>>,
    refused_kind: Arc<Mutex<Option<&'static str>>>,
    hidden: Arc<Mutex<Vec<Hiding>>>,
    receives: Arc<AtomicUsize>,
    requests_received: Arc<AtomicUsize>,
    hanging: Mutex<Vec<SendDone>>,
}

impl Queue for InterruptibleQueue {
    fn send(&self, topic: &TopicName, message: Message, done: SendDone) {
        assert!(!self.sends_panic.load(Ordering::SeqCst), "a defect of the queue");
        let kind = message.property(property::SECOND_TOPIC).and_then(|second| second.rsplit('/').next());
        let is_refused = self.refused_kind.lock().unwrap().take_if(|refused| Some(*refused) == kind).is_some();
        if is_refused || *self.full_topic.lock().unwrap() == Some(topic.as_str()) {
            done(Err(SendError::TopicFull(topic.clone())));
        } else if self.sends_hang.load(Ordering::SeqCst) {
            self.hanging.lock().unwrap().push(done);
        } else {
            self.engine.send(topic, message, done);
        }
    }

    fn receive(&self, request: ReceiveRequest) -> BoxFuture<'_, Result<Vec<Delivery>, ReceiveError>> {
        self.receives.fetch_add(1, Ordering::SeqCst);
        Box::pin(async move {
            let is_of_requests = request.topic.as_str() == MEETING_UP;
            let deliveries = self.engine.receive(request).await?;
            if is_of_requests {
                self.requests_received.fetch_add(deliveries.len(), Ordering::SeqCst);
            }
            Ok(deliveries)
        })
    }

    fn ack(&self, receipt: Receipt) -> BoxFuture<'_, Result<(), AckError>> {
        if self.acks_hang.load(Ordering::SeqCst) { Box::pin(std::future::pending()) } else { self.engine.ack(receipt) }
    }

    fn change_invisible(&self, receipt: Receipt, invisible: Duration) -> BoxFuture<'_, Result<Receipt, AckError>> {
        // The last part is of the hand-out.
        let message = receipt.as_str().rsplit_once('.').unwrap().0.to_owned();
        self.hidden.lock().unwrap().push(Hiding { message, invisible });
        self.engine.change_invisible(receipt, invisible)
    }

    fn create_topic(&self, topic: TopicName) -> BoxFuture<'_, Result<(), AdminError>> {
        self.engine.create_topic(topic)
    }

    fn create_group(&self, group: GroupName, options: GroupOptions) -> BoxFuture<'_, Result<(), AdminError>> {
        self.engine.create_group(group, options)
    }

    fn group_options(&self, group: GroupName) -> BoxFuture<'_, Result<GroupOptions, AdminError>> {
        self.engine.group_options(group)
    }

    fn give_up(&self, receipt: Receipt) -> BoxFuture<'_, Result<(), AckError>> {
        self.engine.give_up(receipt)
    }

    fn describe(&self, topic: TopicName) -> BoxFuture<'_, Result<TopicDescription, AdminError>> {
        self.engine.describe(topic)
    }

    fn atomic_ack(&self, log: LogId) -> Option<Arc<dyn AtomicAck>> {
        self.engine.atomic_ack(log)
    }
}

pub(crate) struct World {
    folder: tempfile::TempDir,
    storage: ForgettingStorage,
    log: Log,
    engine: Engine,
    pub(crate) catalog: Arc<SqliteCatalog>,
    pub(crate) hold: Arc<Hold>,
    pub(crate) rtc: Recorder,
    pub(crate) config: Config,
    /// Of the next start.
    pub(crate) clock: Clock,
    key_pem: String,
    public_key: Vec<u8>,
    service: Option<MeetingService>,
    /// A second one, on the same catalog and queue.
    other: Option<MeetingService>,
    acks_hang: Arc<AtomicBool>,
    sends_hang: Arc<AtomicBool>,
    sends_panic: Arc<AtomicBool>,
    full_topic: Arc<Mutex<Option<&'static str>>>,
    refused_kind: Arc<Mutex<Option<&'static str>>>,
    /// What the service has hidden anew.
    hidden: Arc<Mutex<Vec<Hiding>>>,
    /// How often the service has asked the queue for messages.
    receives: Arc<AtomicUsize>,
    requests_received: Arc<AtomicUsize>,
    inboxes: HashMap<String, VecDeque<Down>>,
    seen: HashSet<SignalId>,
    /// What clients know of the roster of their meeting; news of it are not in the inboxes.
    pub(crate) rosters: HashMap<String, Followed>,
    /// Every message, also repeated ones, with its properties.
    pub(crate) delivered: Vec<Message>,
}

fn open_queue(storage: &ForgettingStorage) -> (Log, Engine) {
    let options = Options { segment_size: 256 << 10, ..Options::default() };
    let (log, replay) = Log::open(storage.handle(), options).unwrap();
    let mut recovery = Engine::recover(EngineOptions::default());
    replay.run(|record| recovery.apply(record)).unwrap();
    let engine = recovery.start(log.clone());
    (log, engine)
}

async fn open_catalog(folder: &tempfile::TempDir) -> Arc<SqliteCatalog> {
    Arc::new(SqliteCatalog::open(folder.path().join("catalog.db")).await.unwrap())
}

fn key() -> (String, Vec<u8>) {
    let pair = Ed25519KeyPair::generate().unwrap();
    let base64 = base64_of(pair.to_pkcs8v1().unwrap().as_ref());
    (format!("-----BEGIN PRIVATE KEY-----\n{base64}\n-----END PRIVATE KEY-----\n"), pair.public_key().as_ref().to_vec())
}

fn base64_of(bytes: &[u8]) -> String {
    use base64::Engine as _;
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

fn status(client: &str, kind: &str, channel: &str, cause: Option<&str>) -> Vec<u8> {
    let body = serde_json::json!({
        "clientId": client_id(client), "time": now_ms(), "eventType": kind, "channelId": channel,
        "clientIp": "127.0.0.1:1", "cause": cause,
    });
    body.to_string().into_bytes()
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub(crate) async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let storage = ForgettingStorage::new();
        let (log, engine) = open_queue(&storage);
        let catalog = open_catalog(&folder).await;
        let (key_pem, public_key) = key();
        let mut config = Config { endpoints: vec!["https://rtc.test".to_owned()], ..Config::default() };
        change(&mut config);
        let mut world = Self {
            folder,
            storage,
            log,
            engine,
            catalog,
            hold: Arc::default(),
            rtc: Recorder::default(),
            config,
            clock: Clock::system(),
            key_pem,
            public_key,
            service: None,
            other: None,
            acks_hang: Arc::default(),
            sends_hang: Arc::default(),
            sends_panic: Arc::default(),
            full_topic: Arc::default(),
            refused_kind: Arc::default(),
            hidden: Arc::default(),
            receives: Arc::default(),
            requests_received: Arc::default(),
            inboxes: HashMap::new(),
            seen: HashSet::new(),
            rosters: HashMap::new(),
            delivered: Vec::new(),
        };
        world.register().await;
        world.start().await;
        for client in ["alice.phone", "bob.phone", "bob.laptop", "carol.phone"] {
            world.comes(client).await;
        }
        world
    }

    async fn register(&self) {
        self.catalog.put_group(Group { group: GROUP.to_owned() }).await.unwrap();
        for (user, devices) in [("alice", &["phone"][..]), ("bob", &["phone", "laptop"]), ("carol", &["phone"])] {
            self.catalog.put_user(User { user: user.to_owned(), name: user.to_uppercase() }).await.unwrap();
            for device in devices {
                self.add_device(user, device).await;
            }
        }
        let terminals = GroupName::parse("terminals").unwrap();
        self.engine.create_group(terminals, GroupOptions::default()).await.unwrap();
    }

    pub(crate) async fn add_device(&self, user: &str, device: &str) {
        let client_id = client_id(&format!("{user}.{device}"));
        let device = Device {
            key_id: format!("DC.{client_id}"),
            client_id,
            user: user.to_owned(),
            group: GROUP.to_owned(),
            name: None,
            secret: "secret".to_owned(),
            expires_at_ms: u64::MAX / 4,
        };
        self.catalog.put_device(device).await.unwrap();
    }

    pub(crate) async fn start(&mut self) {
        self.service = Some(self.new_service().await);
    }

    /// Another service works beside the first one.
    pub(crate) async fn is_joined(&mut self) {
        self.config.claimant = Uuid::from_u128(2);
        self.other = Some(self.new_service().await);
    }

    /// The first service dies, and knows nothing of it.
    pub(crate) fn loses_the_first(&mut self) {
        self.sends_hang.store(false, Ordering::SeqCst);
        self.service = self.other.take();
    }

    /// Messages that were sent more than once.
    pub(crate) fn repeats(&self) -> usize {
        self.delivered.len() - self.seen.len()
    }

    async fn new_service(&self) -> MeetingService {
        let queue = InterruptibleQueue {
            engine: self.engine.clone(),
            acks_hang: Arc::clone(&self.acks_hang),
            sends_hang: Arc::clone(&self.sends_hang),
            sends_panic: Arc::clone(&self.sends_panic),
            full_topic: Arc::clone(&self.full_topic),
            refused_kind: Arc::clone(&self.refused_kind),
            hidden: Arc::clone(&self.hidden),
            receives: Arc::clone(&self.receives),
            requests_received: Arc::clone(&self.requests_received),
            hanging: Mutex::default(),
        };
        let signer = JoinSigner::from_pem("convoke", "test", &self.key_pem).unwrap();
        let catalog = Held { catalog: Arc::clone(&self.catalog), hold: Arc::clone(&self.hold) };
        let (catalog, rtc) = (Arc::new(catalog), Arc::new(self.rtc.clone()));
        let started =
            MeetingService::start(self.config.clone(), self.clock.clone(), Arc::new(queue), catalog, rtc, signer).await;
        started.unwrap()
    }

    pub(crate) async fn create_topic_of(&self, topic: TopicName, topic_type: queue::TopicType) {
        self.engine.create_topic_of(topic, topic_type).await.unwrap();
    }

    /// Of the service's group: how often a message is handed out.
    pub(crate) async fn set_attempts_max(&self, attempts_max: u32) {
        let group = GroupName::parse(signalling::topics::MEETING_GROUP).unwrap();
        self.engine.create_group(group, GroupOptions { attempts_max, ..GroupOptions::default() }).await.unwrap();
    }

    /// Requests that the service has received and not acknowledged.
    pub(crate) async fn requests_in_flight(&self) -> u64 {
        let topic = TopicName::parse(signalling::topics::MEETING_UP).unwrap();
        let groups = self.engine.describe(topic).await.unwrap().groups;
        groups.iter().map(|group| group.in_flight).sum()
    }

    /// Nothing is acknowledged to the queue any more.
    pub(crate) fn let_acks_hang(&self) {
        self.acks_hang.store(true, Ordering::SeqCst);
    }

    /// Nothing is sent to terminals any more.
    pub(crate) fn let_sends_hang(&self) {
        self.sends_hang.store(true, Ordering::SeqCst);
    }

    /// Why the service has stopped by itself.
    pub(crate) async fn failure(&mut self) -> String {
        let failure = self.service.as_mut().unwrap().failure();
        tokio::time::timeout(PATIENCE, failure).await.expect("the service goes on")
    }

    pub(crate) fn hidden(&self) -> Vec<Hiding> {
        self.hidden.lock().unwrap().clone()
    }

    /// How often the service has asked the queue for messages.
    pub(crate) fn receives(&self) -> usize {
        self.receives.load(Ordering::SeqCst)
    }

    /// Requests that were handed out, each as often as it was.
    pub(crate) fn requests_received(&self) -> usize {
        self.requests_received.load(Ordering::SeqCst)
    }

    /// Only a closed gate lets the service try such a write, again and again.
    pub(crate) async fn until_the_gate_is_tried(&self) {
        self.hold.written();
        until("the gate is tried", async || self.hold.written().contains(&Write::SmallCommit)).await;
    }

    /// The topic that the queue takes nothing for, from now on.
    pub(crate) fn fill_topic(&self, topic: Option<&'static str>) {
        *self.full_topic.lock().unwrap() = topic;
    }

    /// The queue does not take the next signal of this kind, the first time.
    pub(crate) fn refuse_once(&self, kind: &'static str) {
        *self.refused_kind.lock().unwrap() = Some(kind);
    }

    pub(crate) fn operator(&self) -> meeting::operator::Operator {
        self.service.as_ref().unwrap().operator()
    }

    pub(crate) fn set_aside(&self) -> watch::Receiver<catalog::SetAside> {
        self.service.as_ref().unwrap().set_aside()
    }

    /// The queue breaks down with the next that is sent to a terminal.
    pub(crate) fn let_sends_panic(&self) {
        self.sends_panic.store(true, Ordering::SeqCst);
    }

    /// The process ends here: what was not synced is gone, and with it all channels and connections.
    pub(crate) async fn crash(&mut self) {
        self.service.take().unwrap().shutdown().await;
        self.catalog.close().await;
        self.storage.cut_power();
        (self.log, self.engine) = open_queue(&self.storage);
        self.catalog = open_catalog(&self.folder).await;
        self.rtc.lose_everything();
        self.acks_hang.store(false, Ordering::SeqCst);
        self.sends_hang.store(false, Ordering::SeqCst);
        self.sends_panic.store(false, Ordering::SeqCst);
    }

    async fn stamp_and_send(&self, topic: &str, properties: Vec<(String, String)>, body: Vec<u8>) {
        let message = Message { properties, body: Bytes::from(body), ..Message::default() };
        self.engine.send_wait(&TopicName::parse(topic).unwrap(), message).await.unwrap();
    }

    pub(crate) async fn publish(&self, client: &str, body: Vec<u8>) {
        self.publish_to(MEETING_UP, client, body).await;
    }

    /// As the broker stamps it.
    pub(crate) async fn publish_to(&self, topic: &str, client: &str, body: Vec<u8>) {
        let stamped = [
            (property::CLIENT_ID, client_id(client)),
            (property::USER, user_of(client).to_owned()),
            (property::ARRIVED_MS, now_ms().to_string()),
        ];
        let properties = stamped.map(|(name, value)| (name.to_owned(), value)).to_vec();
        self.stamp_and_send(topic, properties, body).await;
    }

    pub(crate) fn up(meeting: Option<MeetingId>, body: UpBody) -> Up {
        let (id, now) = (SignalId(Uuid::now_v7()), now_ms());
        let envelope =
            Envelope { v: 1, id, meeting, sent_at_ms: now, expires_at_ms: now + 30_000, in_reply_to: None, rev: None };
        Up { envelope, body }
    }

    pub(crate) async fn send(&self, client: &str, up: &Up) {
        self.publish(client, serde_json::to_vec(up).unwrap()).await;
    }

    pub(crate) async fn ask(&self, client: &str, meeting: impl Into<Option<MeetingId>>, body: UpBody) -> SignalId {
        let up = Self::up(meeting.into(), body);
        self.send(client, &up).await;
        up.envelope.id
    }

    pub(crate) async fn call(&self, client: &str, users: &[&str]) -> MeetingId {
        let meeting = new_meeting();
        self.ask(client, meeting, create(users)).await;
        meeting
    }

    async fn status(&self, client: &str, kind: &str, channel: &str) {
        self.status_for(client, kind, channel, None).await;
    }

    async fn status_for(&self, client: &str, kind: &str, channel: &str, cause: Option<&str>) {
        self.stamp_and_send(&format!("{GROUP}_MQTT"), Vec::new(), status(client, kind, channel, cause)).await;
    }

    /// A client publishes what reads like an event of another.
    pub(crate) async fn forges_a_connect(&self, forger: &str, client: &str) {
        let body = status(client, "connect", &format!("{client}-forged"), None);
        self.publish_to(&format!("{GROUP}_MQTT"), forger, body).await;
    }

    /// Connects, and waits until the catalog knows.
    pub(crate) async fn comes(&self, client: &str) {
        self.until_status_topic().await;
        self.connects(client).await;
        self.until_online(client, true).await;
    }

    /// On another connection than before, and waits until the catalog knows.
    pub(crate) async fn connects_anew(&self, client: &str, number: u32) {
        self.status(client, "connect", &format!("{client}-{number}")).await;
        self.until_online(client, true).await;
    }

    pub(crate) async fn connects(&self, client: &str) {
        self.status(client, "connect", &format!("{client}-1")).await;
    }

    pub(crate) async fn goes(&self, client: &str) {
        self.disconnects(client).await;
        self.until_online(client, false).await;
    }

    /// Its page is closed: DISCONNECT, and the end of the connection.
    pub(crate) async fn says_goodbye(&self, client: &str) {
        self.status(client, "disconnect", &format!("{client}-1")).await;
        self.goes(client).await;
    }

    pub(crate) async fn disconnects(&self, client: &str) {
        self.status(client, "tcpclean", &format!("{client}-1")).await;
    }

    /// Its right to be here was taken away.
    pub(crate) async fn is_revoked(&self, client: &str) {
        self.status_for(client, "tcpclean", &format!("{client}-1"), Some("revoked")).await;
    }

    async fn until_status_topic(&self) {
        self.until_topic(&TopicName::parse(&format!("{GROUP}_MQTT")).unwrap()).await;
    }

    pub(crate) async fn until_topic(&self, topic: &TopicName) {
        until("the service makes the topic", async || self.engine.describe(topic.clone()).await.is_ok()).await;
    }

    pub(crate) async fn until_online(&self, client: &str, online: bool) {
        let (client, user) = (client_id(client), user_of(client).to_owned());
        until("the catalog knows who is online", async || {
            let devices = self.catalog.devices_of(std::slice::from_ref(&user)).await.unwrap();
            devices.iter().any(|device| device.client_id == client && device.online == online)
        })
        .await;
    }

    /// The next message to this client.
    pub(crate) async fn next(&mut self, client: &str) -> Down {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        loop {
            if let Some(down) = self.inboxes.get_mut(client).and_then(VecDeque::pop_front) {
                return down;
            }
            assert!(tokio::time::Instant::now() < deadline, "{client} got nothing for {PATIENCE:?}");
            self.fetch(Duration::from_millis(20)).await;
        }
    }

    /// The next message, which must be of this kind.
    pub(crate) async fn expect(&mut self, client: &str, kind: &str) -> Down {
        let down = self.next(client).await;
        assert_eq!(down.body.kind(), kind, "{client} got {down:?}");
        down
    }

    /// The next message of this kind; others before it are let go.
    pub(crate) async fn find(&mut self, client: &str, kind: &str) -> Down {
        loop {
            let down = self.next(client).await;
            if down.body.kind() == kind {
                return down;
            }
        }
    }

    /// All that is there for the client now.
    pub(crate) fn take_all(&mut self, client: &str) -> Vec<Down> {
        self.inboxes.remove(client).unwrap_or_default().into()
    }

    /// All that is there for the client after everything that was asked is answered.
    pub(crate) async fn rest(&mut self, client: &str) -> Vec<&'static str> {
        self.settle().await;
        let rest = self.inboxes.remove(client).unwrap_or_default();
        rest.iter().map(|down| down.body.kind()).collect()
    }

    /// Every request that was sent before is decided and stored.
    pub(crate) async fn until_handled(&self) {
        let topic = TopicName::parse(MEETING_UP).unwrap();
        until("all requests are handled", async || {
            let groups = self.engine.describe(topic.clone()).await.unwrap().groups;
            groups.iter().all(|group| group.waiting + group.in_flight + group.due_again == 0)
        })
        .await;
    }

    /// Everything that was sent before is handled, and what it caused is delivered.
    pub(crate) async fn settle(&mut self) {
        self.until_handled().await;
        let catalog = Arc::clone(&self.catalog);
        until("the outbox is sent", async || catalog.outbox_len().await.unwrap() == 0).await;
        while self.fetch(Duration::ZERO).await {}
    }

    /// Takes what lies on the down topics to the inboxes; a signal that came before counts once.
    async fn fetch(&mut self, wait: Duration) -> bool {
        let mut any = false;
        for topic in [RING_DOWN, MEETING_DOWN] {
            let request = ReceiveRequest {
                group: GroupName::parse("terminals").unwrap(),
                topic: TopicName::parse(topic).unwrap(),
                filter: TagFilter::All,
                max: 32,
                wait,
                invisible: INVISIBLE,
            };
            for delivery in self.engine.receive(request).await.unwrap() {
                any = true;
                self.take(&delivery);
                self.engine.ack(delivery.receipt).await.unwrap();
            }
        }
        any
    }

    fn take(&mut self, delivery: &Delivery) {
        let down: Down = serde_json::from_slice(&delivery.message.body).unwrap();
        let second = delivery.message.property(property::SECOND_TOPIC).unwrap();
        let mut levels = second.split('/').skip(2);
        let (client, kind) = (levels.next().unwrap(), levels.next().unwrap());
        assert_eq!(kind, down.body.kind());
        self.delivered.push(delivery.message.clone());
        if self.seen.insert(down.envelope.id) {
            let client = client.strip_prefix("GID_test@@@").unwrap().replace('-', ".");
            let followed = self.rosters.entry(client.clone()).or_default();
            let is_news = followed.take(&down) && down.envelope.in_reply_to.is_none();
            if !is_news {
                self.inboxes.entry(client).or_default().push_back(down);
            }
        }
    }

    /// Waits until the client knows such a roster, as people are shown: `alice+ bob~`.
    pub(crate) async fn until_roster(&mut self, client: &str, roster: &str) {
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while self.roster(client) != roster {
            let shown = self.roster(client);
            assert!(tokio::time::Instant::now() < deadline, "{client} sees {shown:?}, not {roster:?}");
            self.fetch(Duration::from_millis(20)).await;
        }
    }

    pub(crate) fn roster(&self, client: &str) -> String {
        self.rosters.get(client).map(Followed::shown).unwrap_or_default()
    }

    pub(crate) fn claims(&self, join: &JoinParameters) -> JoinClaims {
        let mut rules = Validation::new(Algorithm::EdDSA);
        rules.set_audience(&[JoinClaims::AUDIENCE]);
        rules.set_issuer(&["convoke"]);
        let key = DecodingKey::from_ed_der(&self.public_key);
        jsonwebtoken::decode::<JoinClaims>(&join.token, &key, &rules).unwrap().claims
    }

    /// Alice has called Bob; his invitation is in his hands.
    pub(crate) async fn ringing(&mut self) -> (MeetingId, InvitationId) {
        let meeting = self.call("alice.phone", &["bob"]).await;
        self.expect("alice.phone", "admitted").await;
        let DownBody::Invitation(ring) = self.expect("bob.phone", "invitation").await.body else { panic!("no ring") };
        self.expect("bob.laptop", "invitation").await;
        (meeting, ring.invitation)
    }

    /// Bob has answered on his phone.
    pub(crate) async fn in_call(&mut self) -> MeetingId {
        let (meeting, invitation) = self.ringing().await;
        self.ask("bob.phone", meeting, UpBody::Accept { invitation }).await;
        self.find("bob.phone", "admitted").await;
        self.find("alice.phone", "accepted").await;
        for client in ["alice.phone", "bob.laptop", "bob.phone"] {
            self.rest(client).await;
        }
        meeting
    }

    pub(crate) async fn state(&mut self, client: &str) -> signalling::State {
        self.ask(client, None, UpBody::State {}).await;
        let DownBody::State(state) = self.find(client, "state").await.body else { panic!("no state") };
        *state
    }

    pub(crate) async fn until_closed(&self, meeting: MeetingId) {
        until("the channel is closed", async || !self.rtc.is_open(&channel(meeting))).await;
    }
}

pub(crate) fn channel(meeting: MeetingId) -> ChannelId {
    meeting.into()
}

pub(crate) fn create(users: &[&str]) -> UpBody {
    UpBody::Create {
        callees: users.iter().map(|user| (*user).into()).collect(),
        media: signalling::Media::Video,
        title: None,
    }
}

/// Looks again and again until it is so.
pub(crate) async fn until(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !so().await {
        assert!(tokio::time::Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}
