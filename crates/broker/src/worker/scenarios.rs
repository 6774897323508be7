//! Scenarios of whole turns of one worker: a test gives the events of the sockets and the time, and holds the syncs of the
//! log. Nothing is waited for but the log's writer and the peers.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod certificates;
mod orders;
mod tokens;

use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use accounts::access::{AccessConfig, AccessView};
use accounts::login::{DeviceDirectory, LookupSource};
use catalog::{Actor, By, Catalog, Change, Grant, Group, Order, ParentTopic, Rule, SqliteCatalog, User};
use commitlog::testing::ForgettingStorage;
use commitlog::{AppendError, Log, LogId, Need, NewRecord, Options, Part, Position};
use limiter::Rate;
use mqtt::ReasonCode;
use mqtt::server::Restart;
use queue::{
    AckError, AdminError, AtomicAck, BoxFuture, Delivery, Engine, EngineOptions, GroupName, GroupOptions, Message,
    NotTaken, Queue, Receipt, ReceiveError, ReceiveRequest, SendDone, TopicDescription, TopicName,
};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, oneshot};

use super::action::Deferred;
use super::connections::{Line, SocketEvent};
use super::post::{Arrival, Notice, WorkerAddress};
use super::reader::Reader;
use super::testing::{
    ALICE, BOB, Peer, SERVICE, TO_BOB, access_key, connect, device, disconnect, frame, ping, puback, publish_numbered,
    publish_of, publish_to, publishes, publishes_to, small_log, subscribe, token_key, unsubscribe, user_of,
};
use super::*;
use crate::bridge::events::Event;
use crate::broker::{Deps, share};
use crate::client::ClientKey;
use crate::config::Limits;
use crate::store::record::kind;
use crate::store::{Recovery, owns};

const HOUR_S: u32 = 3600;
const ONLINE_EVENTS: &str = "GID_dev_MQTT";
const TO_QUEUE: &str = "meeting-up";

/// One worker, which owns all clients, and what it stands on.
struct Bench {
    worker: Worker,
    address: WorkerAddress,
    reader: Reader,
    now: Now,
    listener: TcpListener,
    storage: ForgettingStorage,
    log: Log,
    queue: Arc<Watched>,
    catalog: Arc<dyn Catalog>,
    runtime: Runtime,
    /// Gives the registry, and is never waited on.
    _poll: Poll,
    _events: mpsc::Receiver<Event>,
    _folder: tempfile::TempDir,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::on(Options::default(), limits)
    }

    fn on(options: Options, limits: Limits) -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let inside = runtime.enter();
        let (storage, folder) = (ForgettingStorage::new(), tempfile::tempdir().unwrap());
        // The worker alone takes part in a snapshot.
        let options = Options { owners: 1, snapshot_every: None, ..options };
        let (log, _) = Log::open(storage.handle(), options).unwrap();
        let engine = Engine::recover(EngineOptions::default()).start(log.clone());
        let queue = Arc::new(Watched { engine, taken: Mutex::default(), client: Mutex::default() });
        let (catalog, access, devices) = runtime.block_on(async {
            for topic in [ONLINE_EVENTS, TO_QUEUE] {
                queue.create_topic(TopicName::parse(topic).unwrap()).await.unwrap();
            }
            let catalog: Arc<dyn Catalog> = Arc::new(SqliteCatalog::open(folder.path().join("catalog")).await.unwrap());
            seed(&*catalog).await;
            let config = AccessConfig { token_key: Some(token_key()), ..AccessConfig::default() };
            let access = AccessView::follow(catalog.clone(), config).await.unwrap();
            let devices = DeviceDirectory::start(catalog.clone(), runtime.handle());
            for client_id in [ALICE, BOB] {
                know(&devices, client_id).await;
            }
            (catalog, access, devices)
        });
        let deps = Deps {
            log: log.clone(),
            recovery: Recovery::new(),
            clock: clock::Clock::system(),
            queue: queue.clone(),
            access,
            removed_devices: Vec::new(),
            devices,
            runtime: runtime.handle().clone(),
            on_fatal: Arc::new(|_| ()),
        };
        let (address, prepared) = prepare().unwrap();
        let (shared, _, events) = share(limits, Vec::new(), vec![address.clone()], deps);
        let meter = shared.memory.meter_of_tasks().clone();
        let (reader_address, reader) = reader::reader(log.clone(), vec![address.clone()], meter);
        let (worker, poll) = prepared.into_worker(0, shared, Recovered::default(), Restart::Clean, reader_address);
        drop(inside);
        Self {
            now: worker.now,
            worker,
            address,
            reader,
            listener: TcpListener::bind(("127.0.0.1", 0)).unwrap(),
            storage,
            log,
            queue,
            catalog,
            runtime,
            _poll: poll,
            _events: events,
            _folder: folder,
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.ms += u64::try_from(time.as_millis()).unwrap();
    }

    /// In force when it returns; what waits for the catalog is answered meanwhile.
    fn change(&mut self, change: Change) {
        let (catalog, access) = (Arc::clone(&self.catalog), self.worker.shared.access.clone());
        self.runtime.block_on(async move {
            let by = By { actor: Actor::Owner, address: None, at_ms: 0, right_as_of: None };
            catalog.apply(Order { change, by, expected: None }).await.unwrap();
            let revision = *catalog.access_revision().borrow();
            access.reached(revision).await;
        });
    }

    fn turn(&mut self, events: &[SocketEvent]) {
        let _inside = self.runtime.enter();
        self.worker.turn(events.iter().copied(), self.now);
    }

    /// Turns without new events, until the log has everything, the reader has answered, and there is nothing left to do.
    fn finish(&mut self) {
        let give_up = Instant::now() + Duration::from_secs(10);
        loop {
            self.turn(&[]);
            while self.reader.answer_next() {}
            let is_idle = self.worker.mailbox.is_empty() && self.worker.logins.is_empty();
            let is_done = self.worker.durability.is_settled() && is_idle;
            if is_done && self.worker.connections.are_served() {
                return;
            }
            assert!(Instant::now() < give_up, "it does not come to an end");
            std::thread::yield_now();
        }
    }

    /// One turn in which one connection has a flood and another a message. Returns how much was said to the flood.
    fn turn_with_a_flood(&mut self, flood: &mut Peer, healthy: &mut Peer, number: u16) -> usize {
        healthy.send(&publishes(number..=number));
        self.turn(&[flood.has_input(), healthy.has_input()]);
        assert!(healthy.has_something(), "it waits behind the flood");
        assert_eq!(healthy.next(), format!("PUBACK {number}"));
        answers(flood)
    }

    /// All of them have input, in this order.
    fn turn_with_all<'p>(&mut self, peers: impl IntoIterator<Item = &'p Peer>) {
        let events: Vec<SocketEvent> = peers.into_iter().map(Peer::has_input).collect();
        self.turn(&events);
    }

    /// Services that are logged in.
    fn connect_many(&mut self, count: usize) -> Vec<Peer> {
        (0..count).map(|n| self.connect(&format!("{SERVICE}-{n}"), 0)).collect()
    }

    /// A connection on which nothing was said.
    fn arrive(&mut self) -> Peer {
        self.arrive_by(|arrival| arrival)
    }

    /// A connection of WebSocket frames.
    fn arrive_by_websocket(&mut self) -> Peer {
        self.arrive_by(|arrival| Arrival { websocket: Some(Vec::new()), ..arrival })
    }

    fn arrive_by(&mut self, transport: impl FnOnce(Arrival) -> Arrival) -> Peer {
        let permit = self.worker.shared.connection_limiter.permit(self.listener.local_addr().unwrap().ip()).unwrap();
        let (worker, address, now) = (&mut self.worker, &self.address, self.now);
        Peer::connect(&self.listener, permit, |arrival| {
            address.notify(Notice::Arrival(Box::new(transport(arrival))));
            worker.turn(std::iter::empty(), now);
            worker.connections.keys().into_iter().max_by_key(|key| key.generation).unwrap()
        })
    }

    /// A client that is logged in.
    fn connect(&mut self, client_id: &str, session_expiry_s: u32) -> Peer {
        let mut peer = self.arrive();
        peer.send(&connect(client_id, 60, session_expiry_s));
        self.turn(&[peer.has_input()]);
        self.until_told(&peer);
        assert!(peer.next().starts_with("CONNACK 0x00"));
        peer
    }

    /// A client whose CONNACK has left, and for which the reader may have something to do.
    fn log_in(&mut self, client_id: &str) -> Peer {
        let mut peer = self.arrive();
        peer.send(&connect(client_id, 60, HOUR_S));
        self.turn(&[peer.has_input()]);
        self.turn(&[]);
        peer
    }

    /// Turns until the broker says something. A service is looked up on the run time, and the queue answers from a thread.
    fn until_told(&mut self, peer: &Peer) {
        let give_up = Instant::now() + Duration::from_secs(10);
        while !peer.has_something() {
            assert!(Instant::now() < give_up, "the broker says nothing");
            self.runtime.block_on(tokio::task::yield_now());
            self.finish();
        }
    }

    /// Sends, and lets the worker do all that follows.
    fn say(&mut self, peer: &mut Peer, bytes: &[u8]) {
        peer.send(bytes);
        self.turn(&[peer.has_input()]);
        self.finish();
    }

    /// The kinds of the broker's records, in the order of the log.
    fn into_records(self) -> Vec<u8> {
        let Self { worker, reader, storage, log, queue, .. } = self;
        drop((worker, reader));
        queue.engine.close();
        log.close().unwrap();
        let (_log, replay) = Log::open(storage.handle(), Options::default()).unwrap();
        let mut kinds = Vec::new();
        let collected = replay.run(|record| {
            kinds.extend(owns(record.kind).then_some(record.kind));
            Ok::<_, std::convert::Infallible>(())
        });
        collected.unwrap();
        kinds
    }
}

/// How many packets without a name of their own it was told.
fn answers(peer: &mut Peer) -> usize {
    let mut said = 0;
    while peer.has_something() {
        assert_eq!(peer.next(), "another packet");
        said += 1;
    }
    said
}

async fn seed(catalog: &dyn Catalog) {
    catalog.put_group(Group { group: "GID_dev".into() }).await.unwrap();
    for (parent, rule) in [(TO_QUEUE, Rule::ToQueue), ("chat", Rule::None)] {
        catalog.put_parent(ParentTopic::new(parent, rule)).await.unwrap();
        catalog.put_grant(Grant::to_publish("GID_dev", parent)).await.unwrap();
    }
    catalog.put_access_key(access_key()).await.unwrap();
    for client_id in [ALICE, BOB] {
        let user = user_of(client_id);
        catalog.put_user(User { user: user.into(), name: user.into() }).await.unwrap();
        catalog.put_device(device(client_id)).await.unwrap();
    }
}

/// From here on the directory answers at once.
async fn know(devices: &DeviceDirectory, client_id: &str) {
    let (done, found) = oneshot::channel();
    devices.lookup(LookupSource::Senders, client_id, Box::new(move |device| done.send(device).unwrap()));
    assert!(found.await.unwrap().unwrap().is_some());
}

/// The queue, with what it took from the worker, in that order.
struct Watched {
    engine: Engine,
    taken: Mutex<Vec<Taken>>,
    /// Whether this one was told something is noted with each message.
    client: Mutex<Option<TcpStream>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Taken {
    topic: String,
    /// The kind of an online event.
    tag: Option<String>,
    /// The connection of an online event.
    connection_id: Option<String>,
    client_was_told: bool,
}

impl Watched {
    fn watch(&self, peer: &Peer) {
        *self.client.lock().unwrap() = Some(peer.socket.try_clone().unwrap());
    }

    fn note(&self, topic: &TopicName, message: &Message) {
        let client = self.client.lock().unwrap();
        let client_was_told = client.as_ref().is_some_and(|client| {
            client.set_nonblocking(true).unwrap();
            let is_there = client.peek(&mut [0]).is_ok();
            client.set_nonblocking(false).unwrap();
            is_there
        });
        let event: Option<serde_json::Value> = serde_json::from_slice(&message.body).ok();
        let connection_id = event.and_then(|event| event["channelId"].as_str().map(str::to_owned));
        let taken = Taken { topic: topic.to_string(), tag: message.tag.clone(), connection_id, client_was_told };
        self.taken.lock().unwrap().push(taken);
    }

    fn taken(&self) -> Vec<Taken> {
        std::mem::take(&mut *self.taken.lock().unwrap())
    }

    /// The online events that it took, with the numbers of their connections, from the first on.
    fn events(&self) -> Vec<(String, usize)> {
        let mut connections: Vec<String> = Vec::new();
        let events = self.taken().into_iter().filter(|taken| taken.topic == ONLINE_EVENTS);
        let numbered = events.map(|taken| {
            let connection_id = taken.connection_id.unwrap();
            let number = connections.iter().position(|known| *known == connection_id).unwrap_or(connections.len());
            if number == connections.len() {
                connections.push(connection_id);
            }
            (taken.tag.unwrap(), number + 1)
        });
        numbered.collect()
    }
}

impl Queue for Watched {
    fn send(&self, topic: &TopicName, message: Message, done: SendDone) {
        self.engine.send(topic, message, done);
    }

    fn try_send(&self, topic: &TopicName, message: Message, done: SendDone) -> Result<(), Box<NotTaken>> {
        self.note(topic, &message);
        self.engine.try_send(topic, message, done)
    }

    fn receive(&self, request: ReceiveRequest) -> BoxFuture<'_, Result<Vec<Delivery>, ReceiveError>> {
        self.engine.receive(request)
    }

    fn ack(&self, receipt: Receipt) -> BoxFuture<'_, Result<(), AckError>> {
        self.engine.ack(receipt)
    }

    fn change_invisible(&self, receipt: Receipt, invisible: Duration) -> BoxFuture<'_, Result<Receipt, AckError>> {
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

fn events(expected: &[(&str, usize)]) -> Vec<(String, usize)> {
    expected.iter().map(|(kind, connection)| ((*kind).to_owned(), *connection)).collect()
}

#[test]
fn the_connect_event_is_in_the_queue_before_the_connack_leaves_and_before_the_first_publish() {
    let mut bench = Bench::new();
    let mut alice = bench.arrive();
    bench.queue.watch(&alice);
    bench.storage.hold_syncs();
    alice.send(&[connect(ALICE, 60, HOUR_S), publishes_to(TO_QUEUE, 1..=1)].concat());
    bench.turn(&[alice.has_input()]);
    bench.turn(&[]);
    bench.turn(&[]);
    assert_eq!(bench.queue.taken(), [], "the session is not on the disk");
    bench.storage.release_syncs();
    bench.finish();
    assert_eq!(alice.next(), "CONNACK 0x00");
    bench.until_told(&alice);
    assert_eq!(alice.next(), "PUBACK 1");
    let taken = bench.queue.taken();
    assert_eq!(taken[0].tag.as_deref(), Some("connect"));
    assert!(!taken[0].client_was_told, "the CONNACK was faster");
    assert_eq!((taken[1].topic.as_str(), taken.len()), (TO_QUEUE, 2));
}

#[test]
fn an_older_connection_does_nothing_once_a_newer_one_has_its_session() {
    let mut bench = Bench::new();
    let (mut older, mut service) = (bench.connect(BOB, HOUR_S), bench.connect(SERVICE, 0));
    bench.say(&mut service, &publishes_to(TO_BOB, 1..=1));
    assert_eq!((older.next().as_str(), service.next().as_str()), ("PUBLISH 1", "PUBACK 1"));
    let mut newer = bench.arrive();
    newer.send(&connect(BOB, 60, HOUR_S));
    bench.turn(&[newer.has_input()]);
    bench.until_told(&newer);
    older.send(&[puback(1), publishes(7..=7)].concat());
    bench.turn(&[older.has_input()]);
    bench.finish();
    assert_eq!([older.next(), older.next()], ["DISCONNECT 0x8e", "end"]);
    assert_eq!([newer.next(), newer.next()], ["CONNACK 0x00, present", "PUBLISH 1, DUP"]);
    assert_eq!(bench.worker.shared.stats().inbox_messages, 1, "it is in flight on the newer one");
    bench.say(&mut newer, &puback(1));
    assert_eq!(bench.worker.shared.stats().inbox_messages, 0);
    assert!(!newer.has_something(), "what the older one published last");
    assert_eq!(bench.worker.shared.stats().received, 1);
}

#[test]
fn an_acknowledgement_and_an_end_are_logged_behind_the_messages_of_their_turn() {
    let mut bench = Bench::new();
    let (mut bob, mut service) = (bench.connect(BOB, HOUR_S), bench.connect(SERVICE, 0));
    bench.say(&mut service, &publishes_to(TO_BOB, 1..=1));
    assert_eq!(bob.next(), "PUBLISH 1");
    bob.send(&[puback(1), disconnect()].concat());
    service.send(&publishes_to(TO_BOB, 2..=2));
    bench.turn(&[bob.has_input(), service.has_input()]);
    bench.finish();
    assert_eq!([service.next(), service.next()], ["PUBACK 1", "PUBACK 2"]);
    let mut records = bench.into_records();
    records.retain(|kind| *kind != kind::EVENT_SENT);
    let expected = [
        [kind::MESSAGE, kind::REFERENCE].as_slice(),
        &[kind::HANDED_OUT],
        &[kind::MESSAGE, kind::REFERENCE],
        &[kind::REMOVED, kind::CLOSED],
    ];
    assert!(records.ends_with(&expected.concat()), "{records:x?}");
}

#[test]
fn a_hand_out_is_logged_behind_all_messages_of_its_turn() {
    let mut bench = Bench::new();
    let (bob, mut service) = (bench.connect(BOB, HOUR_S), bench.connect(SERVICE, 0));
    service.send(&publishes_to(TO_BOB, 1..=3));
    bench.turn(&[service.has_input()]);
    bench.finish();
    drop(bob);
    let mut records = bench.into_records();
    records.retain(|kind| *kind != kind::EVENT_SENT);
    let messages = [kind::MESSAGE, kind::REFERENCE].repeat(3);
    assert!(records.ends_with(&[messages, vec![kind::HANDED_OUT]].concat()), "{records:x?}");
}

#[test]
fn an_end_is_told_before_the_next_session_of_the_client_id_begins() {
    let mut bench = Bench::new();
    let mut first = bench.connect(ALICE, 0);
    // A take-over.
    let mut second = bench.arrive();
    second.send(&connect(ALICE, 60, 0));
    bench.turn(&[second.has_input()]);
    bench.finish();
    assert_eq!([first.next(), first.next()], ["DISCONNECT 0x8e", "end"]);
    assert_eq!(second.next(), "CONNACK 0x00", "the session ended with its connection");
    // A DISCONNECT in the turn that finds the next CONNECT, too.
    let mut third = bench.arrive();
    third.send(&connect(ALICE, 60, 0));
    second.send(&disconnect());
    bench.turn(&[third.has_input(), second.has_input()]);
    bench.finish();
    assert_eq!((second.next().as_str(), third.next().as_str()), ("end", "CONNACK 0x00"));
    let expected =
        [("connect", 1), ("tcpclean", 1), ("connect", 2), ("disconnect", 2), ("tcpclean", 2), ("connect", 3)];
    assert_eq!(bench.queue.events(), events(&expected));
    let records = bench.into_records();
    let ends = records.iter().filter(|kind| [kind::OPENED, kind::CLOSED].contains(kind)).count();
    assert_eq!(ends, 5, "three came and two went: {records:x?}");
}

#[test]
fn a_connection_with_much_to_read_leaves_the_turn_to_others() {
    let mut bench = Bench::with(|limits| limits.user_publishes = Rate { burst: 1_000_000, per_second: 1_000_000 });
    let (mut flood, mut bob) = (bench.connect(ALICE, 0), bench.connect(BOB, 0));
    let packet = publish_of(&[0; 1000]);
    let sent = flood.fill(&packet.repeat(10_000));
    assert!(sent > 8 * 65_536, "the sockets hold {sent} bytes");
    // With the end behind it, so that what the kernel has not moved yet does not end the reading.
    flood.socket.shutdown(std::net::Shutdown::Write).unwrap();
    bob.send(&publishes(1..=1));
    let before = bench.worker.shared.stats().received;
    bench.turn(&[flood.has_end(), bob.has_input()]);
    assert_eq!(bob.next(), "PUBACK 1");
    let received = usize::try_from(bench.worker.shared.stats().received - before).unwrap() - 1;
    assert!(received > 0 && received * packet.len() <= 4 * 65_536, "{received}");
    assert_eq!(bench.worker.time_to_wait(bench.now.instant), Duration::ZERO, "and it goes on at once");
}

#[test]
fn thousands_of_small_packets_leave_the_turn_to_others_and_are_answered_in_their_order() {
    let mut bench = Bench::new();
    let (mut flood, mut bob) = (bench.connect(ALICE, 0), bench.connect(BOB, 0));
    let pings = 5_000;
    flood.send(&[ping().repeat(pings), publishes(9..=9)].concat());
    let mut answered = 0;
    for number in 1..=3 {
        let said = bench.turn_with_a_flood(&mut flood, &mut bob, number);
        assert!((1..=128).contains(&said), "{said} in one turn");
        assert_eq!(bench.worker.time_to_wait(bench.now.instant), Duration::ZERO, "and it goes on at once");
        answered += said;
    }
    bench.finish();
    for _ in answered..pings {
        assert_eq!(flood.next(), "another packet");
    }
    assert_eq!(flood.next(), "PUBACK 9");
}

/// A log of three segments that has no room, and none for what is needed for this or less.
fn bench_without_room(used_up: &[(Need, usize)]) -> Bench {
    let mut bench = Bench::on(small_log(), Limits::default());
    let append = |log: &Log, need, bytes: &[u8]| {
        std::thread::yield_now();
        log.append(need, &[NewRecord::new(0x20, 9, &[Part::Bytes(bytes)])]).map(drop)
    };
    while *bench.log.segments().end() < 3 {
        bench.pass(TICK);
        bench.turn(&[]);
        let _ = append(&bench.log, Need::Normal, &[0; 500]);
    }
    bench.pass(TICK);
    bench.turn(&[]);
    bench.storage.set_full(true);
    for (need, bytes) in used_up {
        while append(&bench.log, *need, &vec![0; *bytes]) != Err(AppendError::Full) {}
    }
    bench
}

fn until_a_segment_is_given_back(bench: &mut Bench) {
    let give_up = Instant::now() + Duration::from_secs(10);
    while *bench.log.segments().start() < 2 {
        bench.turn(&[]);
        assert!(Instant::now() < give_up, "no space comes back: {:?}", bench.log.segments());
    }
}

/// Its end finds no room, and would have some only when the segment is given back.
#[test]
fn a_client_that_goes_while_the_log_is_full_keeps_no_segment() {
    let mut bench = bench_without_room(&[(Need::Normal, 500), (Need::Housekeeping, 500), (Need::Housekeeping, 0)]);
    assert!(!bench.log.is_full_for(Need::Essential, 64), "acknowledgements have room");
    let (client, connection_id, at_ms) = (ClientKey::new(ALICE), "c".into(), bench.now.ms);
    bench.worker.durability.defer(Deferred::Closed { client, connection_id, at_ms });
    until_a_segment_is_given_back(&mut bench);
}

#[test]
fn a_worker_that_needs_nothing_gives_a_segment_back_without_room_and_the_latest_time_stays() {
    // Nothing is left for a record that says the time.
    let used_up = [(Need::Normal, 500), (Need::Carry, 500), (Need::Essential, 0), (Need::Carry, 0)];
    let mut bench = bench_without_room(&used_up);
    let latest_ms = bench.now.ms;
    until_a_segment_is_given_back(&mut bench);
    bench.storage.kill_process();
    let (_log, replay) = Log::open(bench.storage.handle(), small_log()).unwrap();
    let mut recovery = Recovery::new();
    replay.run(|record| recovery.apply(record)).unwrap();
    assert_eq!(recovery.last_ms, latest_ms);
}

/// Each is the work of 67 packets, and a connection gets 128 in a turn.
#[test]
fn of_packets_with_a_thousand_filters_a_turn_takes_two() {
    for packet in [subscribe(1_100), unsubscribe(1_100)] {
        let mut bench = Bench::new();
        let (mut flood, mut bob) = (bench.connect(ALICE, 0), bench.connect(BOB, 0));
        flood.send(&packet.repeat(3));
        let answered = [1, 2].map(|number| bench.turn_with_a_flood(&mut flood, &mut bob, number));
        assert_eq!(answered, [2, 1]);
    }
}

#[test]
fn ten_floods_share_one_turn_and_a_message_that_comes_last_is_in_it() {
    let mut bench = Bench::new();
    let (mut floods, mut bob) = (bench.connect_many(10), bench.connect(BOB, 0));
    floods.iter_mut().for_each(|flood| flood.send(&ping().repeat(20_000)));
    bench.turn_with_all(&floods);
    for number in 1..=20 {
        floods.iter_mut().for_each(|flood| _ = answers(flood));
        bob.send(&publishes(number..=number));
        bench.turn(&[bob.has_input()]);
        assert!(bob.has_something(), "it waits behind the floods");
        assert_eq!(bob.next(), format!("PUBACK {number}"));
        let said: Vec<usize> = floods.iter_mut().map(answers).collect();
        assert!(said.iter().all(|said| (1..=128).contains(said)), "each has its share and no more: {said:?}");
    }
}

/// A turn is sixteen shares of sixteen packets, and 480 floods have thirty turns for one round.
#[test]
fn of_hundreds_of_floods_each_has_its_round_and_others_are_in_every_turn() {
    let mut bench = Bench::new();
    let (mut floods, mut bob) = (bench.connect_many(480), bench.connect(BOB, 0));
    floods.iter_mut().for_each(|flood| flood.send(&ping().repeat(1_000)));
    bench.turn_with_all(&floods);
    // All are in the line behind now.
    (0..30).for_each(|_| bench.turn(&[]));
    let mut number = 0;
    for _ in 0..3 {
        floods.iter_mut().for_each(|flood| _ = answers(flood));
        for _ in 0..30 {
            number += 1;
            bob.send(&publishes(number..=number));
            bench.turn(&[bob.has_input()]);
            assert_eq!(bob.next(), format!("PUBACK {number}"));
        }
        let said: Vec<usize> = floods.iter_mut().map(answers).collect();
        assert!(said.iter().all(|said| (15..=32).contains(said)), "{said:?}");
    }
}

#[test]
fn those_that_are_there_are_served_in_every_turn_and_of_hundreds_that_log_in_some() {
    let mut bench = Bench::new();
    let mut bob = bench.connect(BOB, 0);
    let mut others: Vec<Peer> = (0..200).map(|_| bench.arrive()).collect();
    for (n, other) in others.iter_mut().enumerate() {
        other.send(&connect(&format!("{SERVICE}-{n}"), 60, 0));
    }
    bench.turn_with_all(&others);
    for number in 1..=30 {
        bob.send(&publishes(number..=number));
        bench.turn(&[bob.has_input()]);
        assert_eq!(bob.next(), format!("PUBACK {number}"));
    }
    let left = bench.worker.connections.len_of(Line::Login);
    assert!(left <= 200 - 31, "one is read in each turn at least: {left}");
    others.iter().for_each(|other| bench.until_told(other));
}

/// Each turn is shared by 101, so that a SUBSCRIBE with the work of 220 packets is that of fourteen shares of 16.
#[test]
fn a_packet_beyond_the_share_is_paid_with_the_next_turns() {
    let mut bench = Bench::new();
    let (mut others, mut alice) = (bench.connect_many(100), bench.connect(ALICE, 0));
    alice.send(&[subscribe(6_000), ping()].concat());
    let mut turn_with_others = |alice: &mut Peer| {
        others.iter_mut().for_each(|other| other.send(&ping()));
        bench.turn_with_all(others.iter().chain([&*alice]));
        assert!(others.iter_mut().all(|other| answers(other) == 1), "the others do not wait");
        answers(alice)
    };
    let mut turns_until_told = || (1..=20).find(|_| turn_with_others(&mut alice) > 0);
    assert!(turns_until_told().is_some(), "the SUBSCRIBE is read in parts");
    assert_eq!(turns_until_told(), Some(13), "twelve turns pay what it cost beyond the first share");
}

#[test]
fn what_comes_behind_the_end_of_a_connection_is_drained_by_one_read_in_a_turn() {
    let mut bench = Bench::new();
    let mut flood = bench.connect(ALICE, 0);
    // No packet of a client begins with this.
    let sent = flood.fill(&[0; 1 << 20].repeat(4));
    assert!(sent > 8 * 65_536, "the sockets hold {sent} bytes");
    flood.socket.shutdown(std::net::Shutdown::Write).unwrap();
    let mut turns = 0;
    while !bench.worker.connections.is_empty() {
        turns += 1;
        bench.turn(&[flood.has_end()]);
    }
    assert!(turns >= sent / 65_536, "{turns} turns for {sent} bytes");
}

#[test]
fn pings_of_a_websocket_are_packets_too() {
    let mut bench = Bench::new();
    let (mut flood, mut bob) = (bench.arrive_by_websocket(), bench.connect(BOB, 0));
    flood.send(&frame(0x82, &connect(ALICE, 60, 0)));
    bench.turn(&[flood.has_input()]);
    bench.until_told(&flood);
    flood.send(&[frame(0x89, b"").repeat(2_000), frame(0x82, &ping())].concat());
    bench.turn(&[flood.has_input()]);
    let (mut said, mut turns) = (Vec::new(), 0);
    // A frame with a PINGRESP.
    while !said.ends_with(&[0x82, 2, 0xD0, 0]) {
        turns += 1;
        bob.send(&publishes(turns..=turns));
        bench.turn(&[flood.has_input(), bob.has_input()]);
        assert_eq!(bob.next(), format!("PUBACK {turns}"));
        while flood.has_something() {
            said.extend(flood.next_bytes());
        }
    }
    assert_eq!(turns, (2_000_u16 - 128).div_ceil(128), "each turn takes the most that one connection gets");
}

/// Bob's session ends with his connection, so what he does not acknowledge is held in memory.
#[test]
fn while_memory_is_short_publishes_and_logins_are_refused_and_acknowledgements_free_it() {
    const PAYLOAD: [u8; 10_000] = [b'x'; 10_000];
    let mut bench = Bench::with(|limits| limits.memory_bytes_max = 10 * PAYLOAD.len() as u64);
    let (mut service, mut bob) = (bench.connect(SERVICE, 0), bench.connect(BOB, 0));
    for number in 1..=10 {
        bench.say(&mut service, &publish_numbered(TO_BOB, number, &PAYLOAD));
        assert_eq!(service.next(), format!("PUBACK {number}"));
    }
    assert!(bench.worker.shared.stats().held_bytes > 10 * PAYLOAD.len() as u64);
    bench.say(&mut service, &[publish_numbered(TO_BOB, 11, b"refused"), publish_of(b"dropped")].concat());
    assert_eq!(service.next(), "PUBACK 11 0x97");
    let mut late = bench.arrive();
    bench.say(&mut late, &connect(BOB, 60, 0));
    assert_eq!([late.next(), late.next()], ["CONNACK 0x89", "end"]);

    for number in 1..=10 {
        assert!(bob.next().starts_with("PUBLISH x"));
        bench.say(&mut bob, &puback(number));
    }
    bench.say(&mut service, &publish_numbered(TO_BOB, 12, b"taken"));
    assert_eq!((service.next().as_str(), bob.next().as_str()), ("PUBACK 12", "PUBLISH taken"));
    let stats = bench.worker.shared.stats();
    assert_eq!((stats.refused_for_memory, stats.short_of_memory), (3, 1));
}

/// Two turns take 256 packets; nobody reads the answers to the first, so those to the second cannot be written.
#[test]
fn what_was_read_before_a_write_failed_is_processed() {
    let mut bench = Bench::new();
    let mut alice = bench.connect(ALICE, 0);
    bench.queue.taken();
    alice.send(&[ping().repeat(500), publishes_to(TO_QUEUE, 1..=1)].concat());
    let has_input = alice.has_input();
    drop(alice);
    bench.turn(&[has_input]);
    bench.finish();
    let taken = bench.queue.taken();
    assert!(taken.iter().any(|taken| taken.topic == TO_QUEUE), "{taken:?}");
}

#[test]
fn a_clock_that_is_set_back_slows_no_publisher() {
    let mut bench = Bench::with(|limits| limits.user_publishes = Rate { burst: 2, per_second: 1 });
    let mut alice = bench.connect(ALICE, 0);
    for number in 1..=3 {
        bench.say(&mut alice, &publishes(number..=number));
        assert_eq!(alice.next(), format!("PUBACK {number}"));
        bench.pass(Duration::from_secs(1));
        bench.now.ms -= 600_000;
    }
}

#[test]
fn a_stop_tells_the_clients_why_and_waits_a_moment_for_them_to_close() {
    let mut bench = Bench::new();
    let mut alice = bench.connect(ALICE, HOUR_S);
    bench.address.notify(Notice::Stop(ReasonCode::SERVER_SHUTTING_DOWN));
    bench.finish();
    assert_eq!([alice.next(), alice.next()], ["DISCONNECT 0x8b", "end"]);
    assert!(!bench.worker.is_finished());
    bench.pass(STOP_LINGERS);
    bench.turn(&[]);
    assert!(bench.worker.is_finished());
    assert!(bench.worker.durability.is_complete());
}

/// Bob is off, and these wait for him on the disk.
fn bench_with_waiting(numbers: std::ops::RangeInclusive<u16>) -> (Bench, Peer) {
    let mut bench = Bench::new();
    let (mut bob, mut service) = (bench.connect(BOB, HOUR_S), bench.connect(SERVICE, 0));
    bench.say(&mut bob, &disconnect());
    for number in numbers {
        bench.say(&mut service, &publishes_to(TO_BOB, number..=number));
        assert_eq!(service.next(), format!("PUBACK {number}"));
    }
    (bench, service)
}

#[test]
fn a_worker_reads_nothing_from_the_disk_and_serves_others_while_the_reader_does() {
    let (mut bench, mut service) = bench_with_waiting(1..=2);
    let reads = bench.storage.counts().reads;
    let (mut alice, mut bob) = (bench.connect(ALICE, 0), bench.log_in(BOB));
    assert_eq!(bob.next(), "CONNACK 0x00, present");
    alice.send(&ping());
    service.send(&publishes_to(TO_BOB, 3..=3));
    bench.turn(&[alice.has_input(), service.has_input()]);
    assert!(alice.has_something() && !bob.has_something());
    assert_eq!(bench.storage.counts().reads, reads, "the reader has not begun");
    bench.finish();
    assert_eq!([bob.next(), bob.next(), bob.next()], ["PUBLISH 1", "PUBLISH 2", "PUBLISH 3"]);
    assert!(bench.storage.counts().reads > reads);
}

#[test]
fn an_answer_of_the_reader_that_comes_before_the_connack_of_a_newer_connection_waits_for_it() {
    let (mut bench, _service) = bench_with_waiting(1..=2);
    let mut older = bench.log_in(BOB);
    assert_eq!(older.next(), "CONNACK 0x00, present");
    // The newer one changes the session, so that its CONNACK waits for the disk.
    bench.storage.hold_syncs();
    let mut newer = bench.arrive();
    newer.send(&connect(BOB, 60, 2 * HOUR_S));
    bench.turn(&[newer.has_input()]);
    bench.turn(&[]);
    assert_eq!([older.next(), older.next()], ["DISCONNECT 0x8e", "end"]);
    assert!(bench.reader.answer_next());
    bench.turn(&[]);
    assert!(!newer.has_something());
    bench.storage.release_syncs();
    bench.finish();
    assert_eq!([newer.next(), newer.next(), newer.next()], ["CONNACK 0x00, present", "PUBLISH 1", "PUBLISH 2"]);
}

#[test]
fn a_client_that_reads_again_gets_what_was_in_flight_though_nothing_else_waits() {
    let (mut bench, mut service) = bench_with_waiting(1..=1);
    let mut bob = bench.connect(BOB, HOUR_S);
    bench.finish();
    assert_eq!(bob.next(), "PUBLISH 1");
    bench.say(&mut bob, &disconnect());
    let mut bob = bench.log_in(BOB);
    // Before the answer comes, the connection is filled with what nobody acknowledges.
    while bench.worker.connections.has_room(bob.key) {
        service.send(&publish_to(TO_BOB, &[b'x'; 50_000]));
        bench.turn(&[service.has_input()]);
    }
    assert!(bench.reader.answer_next());
    bench.turn(&[]);
    while bob.next() != "PUBLISH 1, DUP" {
        bench.turn(&[bob.takes_output()]);
        bench.reader.answer_next();
    }
}

#[test]
fn a_stop_does_not_wait_for_the_reader_and_its_answer_comes_to_nobody() {
    let (mut bench, _service) = bench_with_waiting(1..=2);
    let mut bob = bench.log_in(BOB);
    bench.address.notify(Notice::Stop(ReasonCode::SERVER_SHUTTING_DOWN));
    bench.turn(&[]);
    assert!(bench.reader.answer_next());
    bench.finish();
    bench.pass(STOP_LINGERS);
    bench.turn(&[]);
    assert!(bench.worker.is_finished() && bench.worker.durability.is_complete());
    assert_eq!([bob.next(), bob.next(), bob.next()], ["CONNACK 0x00, present", "DISCONNECT 0x8b", "end"]);
    assert_eq!(bench.worker.shared.stats().inbox_messages, 2);
}

#[test]
fn nothing_goes_into_a_snapshot_before_what_is_deferred_is_in_the_log() {
    let mut bench = Bench::new();
    assert!(bench.log.request_snapshot());
    let acknowledged = Deferred::Removed { client: ClientKey::new(BOB), message: Position(1) };
    bench.worker.durability.defer(acknowledged);
    (0..5).for_each(|_| bench.worker.dump());
    assert!(bench.worker.dumping.is_underway());
    bench.worker.durability.flush();
    (0..5).for_each(|_| bench.worker.dump());
    assert!(!bench.worker.dumping.is_underway());
}
