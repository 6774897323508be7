//! Random lives of a few clients on a small log that gives its old segments back and has snapshots: whenever the process is
//! killed, the log has what the clients had.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commitlog::testing::{ForgettingStorage, Random};
use commitlog::{
    AppendError, Fault, Log, LogOwner, Need, Options, Position, SnapshotError, SnapshotSection, WantedSegment,
};
use mqtt::codec::{Properties, SubscribeFiltersBuf, UnsubscribeFiltersBuf};
use mqtt::server::Sent;
use mqtt::topic::TopicFilter;
use mqtt::{PacketId, QoS, ReasonCode, SubscriptionOptions, Version};

use super::dump::tests::{ALLOCATIONS_PER_RECORD, away};
use super::state_tests::keep_newest_of_each_key;
use super::tests::Bench;
use super::*;
use crate::inbox::memory::allocations_and_most;
use crate::message::{Collapse, Message, NEVER_MS, SharedMessage};
use crate::store::journal::Batch;
use crate::store::messages::Messages;
use crate::store::{RecoveredConnection, Recovery};
use crate::worker::connect_request::ConnectRequest;
use crate::worker::post::{P2p, ReplyTarget, ReplyTo};
use crate::worker::reader::{Loaded, ReadRecord};

mod crash_states;

const SNAPSHOT_TAKES_MAX: Duration = Duration::from_secs(60);
const SEGMENT: u64 = 32 << 10;
const HOUR_S: u32 = 3600;
/// Of a session that ends while its client is away.
const BRIEF_S: u32 = 10;
/// A message with a collapse key expires after this time, so that of one key what comes later expires later.
const KEYED_MS: u64 = 20_000;
/// What other messages have at most that expire, and as much as passes at once at most.
const EXPIRY_MS_MAX: usize = 20_000;
const PASS_MS_MAX: usize = 30_000;
const NAMES: [&str; 5] = ["GID_dev@@@a", "GID_dev@@@b", "GID_dev@@@c", "GID_dev@@@d", "GID_dev@@@absent"];
/// The last one never acknowledges, and is sent little, which does not expire. Its session is always the same.
const ABSENT: usize = NAMES.len() - 1;

fn options(fault: Fault) -> Options {
    Options {
        fault,
        segment_size: SEGMENT,
        append_bytes_max: 16 << 10,
        reserve_bytes: 2 << 10,
        owners: 1,
        reclaim_above: 3 * SEGMENT,
        snapshot_every: None,
        full_retry_every: Duration::from_millis(1),
        ..Options::default()
    }
}

/// How often something ended by itself in a life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Ends {
    /// Messages by time.
    expired: u64,
    /// Sessions by time.
    over: u64,
    /// Sessions by a clean start.
    discarded: u64,
    unsubscribed: u64,
}

impl Ends {
    fn all_of(lives: impl IntoIterator<Item = Self>) -> Self {
        lives.into_iter().fold(Self::default(), |sum, life| Self {
            expired: sum.expired + life.expired,
            over: sum.over + life.over,
            discarded: sum.discarded + life.discarded,
            unsubscribed: sum.unsubscribed + life.unsubscribed,
        })
    }

    fn has_each(&self) -> bool {
        [self.expired, self.over, self.discarded, self.unsubscribed].iter().all(|count| *count > 0)
    }
}

/// The clients of the only worker, and its log.
struct Life {
    fault: Fault,
    random: Random,
    storage: ForgettingStorage,
    log: Log,
    owner: LogOwner,
    clients: Clients,
    actions: Actions,
    now: Now,
    pass: Option<Pass>,
    /// The snapshot under way, and how far it is.
    dump: Option<(SnapshotSection, ClientsDump)>,
    /// Starts that took something from a snapshot.
    from_snapshots: u64,
    /// The newest moment that has a marker in the log.
    marked: u64,
    /// What is to be logged later.
    deferred: Vec<Deferred>,
    /// Connections by client, with their ids.
    connected: BTreeMap<usize, (ConnectionKey, Box<str>)>,
    in_flight: BTreeMap<usize, Vec<PacketId>>,
    connections: u32,
    sent: u64,
    vacated: u64,
    ends: Ends,
    /// What the reader is to read.
    asked: Vec<Position>,
}

impl Life {
    fn new(seed: u64) -> Self {
        Self::with(Fault::None, seed)
    }

    fn with(fault: Fault, seed: u64) -> Self {
        let now = Now::certain(Instant::now(), 1_000_000);
        let storage = ForgettingStorage::new();
        let (log, _) = Log::open(storage.handle(), options(fault)).unwrap();
        let clients = Clients::new(context(&log), now.instant);
        Self {
            fault,
            random: Random::new(seed),
            owner: log.register_owner("test"),
            storage,
            log,
            clients,
            actions: Actions::new(),
            now,
            pass: None,
            dump: None,
            from_snapshots: 0,
            marked: 0,
            deferred: Vec::new(),
            connected: BTreeMap::new(),
            in_flight: BTreeMap::new(),
            connections: 0,
            sent: 0,
            vacated: 0,
            ends: Ends::default(),
            asked: Vec::new(),
        }
    }

    fn step(&mut self) {
        self.now.ms += 1;
        let who = self.random.below(NAMES.len());
        match self.random.below(100) {
            0..6 if self.connected.contains_key(&who) => self.disconnect(who),
            0..15 if !self.connected.contains_key(&who) => self.connect(who),
            15..21 => self.subscribe(who),
            21..25 => self.unsubscribe(who),
            25..27 if who != ABSENT => self.end(who),
            27..65 => self.send(who),
            65..84 => self.ack(who),
            84..92 => self.flush(),
            92..97 => self.pass(),
            _ => {}
        }
        self.dispatch();
        self.carry();
        self.dump();
    }

    fn find(&self, who: usize) -> Option<ClientRef> {
        self.clients.find(&ClientKey::new(NAMES[who]))
    }

    /// Sessions end and messages expire.
    fn pass(&mut self) {
        let ms = 1 + self.random.below(PASS_MS_MAX) as u64;
        self.now.ms += ms;
        self.now.instant += Duration::from_millis(ms);
        let counts = Arc::clone(&self.clients.context.counts);
        let (sessions, expired) = (counts.sessions.value(), counts.expired.value());
        self.clients.tick(self.now);
        self.ends.over += sessions - counts.sessions.value();
        while self.clients.is_sweeping() {
            self.clients.sweep_some(self.now, &mut self.actions);
        }
        self.ends.expired += counts.expired.value() - expired;
        self.log_owed();
    }

    /// Ends of sessions that the busy log did not take.
    fn log_owed(&mut self) {
        while self.clients.owes_records() {
            if self.clients.log_some_owed(Need::Essential).is_err() {
                std::thread::yield_now();
                self.carry();
            }
        }
    }

    /// `true`: its session was over, and has ended.
    fn ends_if_over(&mut self, who: usize) -> bool {
        let Some(client) = self.find(who) else { return false };
        let has_ended = self.clients.end_session_if_over(client, self.now.over());
        self.ends.over += u64::from(has_ended);
        self.log_owed();
        has_ended
    }

    fn connect(&mut self, who: usize) {
        if self.ends_if_over(who) {
            return;
        }
        let had_session = self.find(who).is_some();
        self.connections += 1;
        let key = ConnectionKey { slot: 0, generation: self.connections };
        let id: Box<str> = format!("connection-{}", self.connections).into();
        let request = ConnectRequest {
            client: ClientKey::new(NAMES[who]),
            username: None,
            password: None,
            certificate: None,
            clean_start: who != ABSENT && self.random.below(3) == 0,
            session_expiry_s: Some(if who != ABSENT && self.random.below(3) > 0 { BRIEF_S } else { HOUR_S }),
            version: Version::V5,
        };
        let opened = loop {
            match self.clients.open(key, &request, "user:x", (&id, "peer"), &|_| true, self.now) {
                Ok(opened) => break opened,
                Err(reason) => assert_eq!(reason, ReasonCode::SERVER_BUSY),
            }
            std::thread::yield_now();
            self.carry();
        };
        self.ends.discarded += u64::from(request.clean_start && had_session);
        self.clients.connected(opened.client, key, 4);
        self.connected.insert(who, (key, id));
        self.actions.push_back(Action::Deliver { client: opened.client, just_stored: None });
    }

    fn disconnect(&mut self, who: usize) {
        let Some((key, connection_id)) = self.connected.remove(&who) else { return };
        self.in_flight.remove(&who);
        let (client, at_ms) = (ClientKey::new(NAMES[who]), self.now.ms);
        let left = self.find(who).unwrap();
        self.deferred.push(Deferred::Closed { client, connection_id: connection_id.clone(), at_ms });
        self.deferred.push(Deferred::EventSent { connection_id });
        self.clients.leave(left, key, at_ms);
    }

    fn end(&mut self, who: usize) {
        self.disconnect(who);
        // Behind what is deferred of it.
        self.flush();
        while let session::Ended::NotLogged = self.clients.end(&ClientKey::new(NAMES[who])) {}
    }

    fn subscribe(&mut self, who: usize) {
        let Some((client, true)) = self.find(who).map(|client| (client, self.connected.contains_key(&who))) else {
            return;
        };
        let mut filters = SubscribeFiltersBuf::default();
        let filter = format!("chat/{}", self.random.below(4));
        filters.push(TopicFilter::parse(&filter).unwrap(), SubscriptionOptions::at(QoS::AtLeastOnce));
        let (packet_id, properties) = (PacketId::MIN, Properties::default());
        let subscribe = mqtt::codec::Subscribe { packet_id, properties, filters: filters.view() };
        assert!(!matches!(self.clients.subscribe(client, &subscribe, false, |_| Ok(())), Answer::NotLogged));
    }

    fn unsubscribe(&mut self, who: usize) {
        let Some((client, true)) = self.find(who).map(|client| (client, self.connected.contains_key(&who))) else {
            return;
        };
        let entry = self.clients.entry(client).unwrap();
        let subscribed = entry.inbox.session.subscriptions();
        if subscribed.is_empty() {
            return;
        }
        let filter = subscribed[self.random.below(subscribed.len())].filter.as_filter();
        let mut filters = UnsubscribeFiltersBuf::default();
        filters.push(filter);
        let (packet_id, properties) = (PacketId::MIN, Properties::default());
        let unsubscribe = mqtt::codec::Unsubscribe { packet_id, properties, filters: filters.view() };
        assert!(!matches!(self.clients.unsubscribe(client, &unsubscribe), Answer::NotLogged));
        self.ends.unsubscribed += 1;
    }

    fn send(&mut self, who: usize) {
        // It is registered.
        if self.find(who).is_none() || (who == ABSENT && self.random.below(8) > 0) || self.ends_if_over(who) {
            return;
        }
        self.sent += 1;
        let collapse = (self.random.below(3) == 0)
            .then(|| Collapse { key: format!("k{}", self.random.below(3)).into(), version: self.sent });
        let expires_at_ms = match collapse {
            _ if who == ABSENT => NEVER_MS,
            Some(_) => self.now.ms + KEYED_MS,
            None if self.random.below(3) == 0 => self.now.ms + 1 + self.random.below(EXPIRY_MS_MAX) as u64,
            None => NEVER_MS,
        };
        let message = Message {
            topic: if self.sent.is_multiple_of(4) { "ring/p2p/x" } else { "chat/p2p/x" }.into(),
            properties: Properties::EMPTY.as_bytes().into(),
            payload: vec![b'x'; self.random.below(3000)].into(),
            qos: QoS::AtLeastOnce,
            arrived_ms: self.now.ms,
            expires_at_ms,
            collapse,
        };
        let reply_to = ReplyTo { worker: 0, target: ReplyTarget::Nobody };
        let p2p = P2p { to: ClientKey::new(NAMES[who]), message: message.into(), keep: true, reply_to };
        self.clients.take_p2p(p2p, self.now, &mut self.actions);
    }

    fn ack(&mut self, who: usize) {
        let (Some((key, _)), Some(client)) = (self.connected.get(&who), self.find(who)) else { return };
        let Some(ids) = self.in_flight.get_mut(&who).filter(|ids| who != ABSENT && !ids.is_empty()) else { return };
        let id = ids.remove(self.random.below(ids.len()));
        self.clients.ack(client, *key, id, &mut self.actions);
    }

    fn dispatch(&mut self) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::WriteP2p(p2p) => {
                    if let Some(p2p) = self.clients.write_p2p(p2p, self.now, &mut self.actions) {
                        std::thread::yield_now();
                        self.carry();
                        self.actions.push_front(Action::WriteP2p(p2p));
                    }
                }
                Action::Deliver { client, .. } => self.deliver(client),
                Action::Defer(deferred) => self.deferred.push(deferred),
                Action::Read { client, .. } => {
                    self.clients.read_ended(client, &mut self.actions);
                    self.actions.push_back(Action::Deliver { client, just_stored: None });
                }
                Action::Reply { .. } => {}
                _ => panic!("nothing else happens in this life"),
            }
        }
    }

    fn deliver(&mut self, client: ClientRef) {
        let Some(key) = self.clients.key_of(client) else { return };
        let who = NAMES.iter().position(|name| *name == key.as_str()).unwrap();
        if !self.connected.contains_key(&who) {
            return;
        }
        let loaded = self.load(client);
        while let Some(outbound) = self.clients.hand_out(client, &loaded, self.now.over(), &mut self.actions) {
            let mqtt::Delivery::AtLeastOnce { packet_id, .. } = outbound.delivery() else { panic!("it is QoS 1") };
            self.in_flight.entry(who).or_default().push(packet_id);
            self.clients.sent(client, &outbound, Sent::Written, &mut self.actions);
        }
    }

    /// What may go out next, as the reader loads it.
    fn load(&self, client: ClientRef) -> Vec<Loaded> {
        let messages = Messages::new(self.log.clone());
        let load = |position| {
            let message = messages.read(position).map(SharedMessage::from).map_err(Box::new);
            Loaded { position, message }
        };
        let mut next = self.clients.entry(client).map(|entry| entry.inbox.next_in_log(u64::MAX)).unwrap_or_default();
        next.sort_unstable();
        next.into_iter().map(load).collect()
    }

    /// Logs what is deferred.
    fn flush(&mut self) {
        let mut batch = Batch::default();
        for deferred in self.deferred.drain(..) {
            match deferred {
                Deferred::HandedOut { client, message, packet_id } => {
                    batch.handed_out(client.as_str(), &[(message, packet_id)]);
                }
                Deferred::Removed { client, message } => batch.removed(client.as_str(), &[message]),
                Deferred::Closed { client, connection_id, at_ms } => {
                    batch.closed(client.as_str(), &connection_id, at_ms);
                }
                Deferred::EventSent { connection_id } => batch.event_sent(&connection_id),
            }
        }
        while let Err(error) = self.clients.context.journal.append_independent(&batch, Need::Essential) {
            assert_eq!(error, AppendError::Busy);
            std::thread::yield_now();
        }
    }

    fn carry(&mut self) {
        self.owner.set_live_bytes(self.clients.live_bytes());
        let Some(wanted) = self.owner.wanted() else { return };
        let pass = self.pass.take().filter(|pass| pass.segment() == wanted.number);
        let journal = self.clients.context.journal.clone();
        let copies = self.owner.copies_in(wanted.number);
        let mut pass = pass.unwrap_or_else(|| Pass::new(wanted, copies, &journal));
        // Often only a few records at a time, so that much happens between two steps.
        let records = if self.random.below(2) == 0 { 1 + self.random.below(8) } else { CARRY_STEP.records };
        pass.set_limits(StepLimits { records, ..CARRY_STEP });
        let connected = &self.connected;
        let open = |key| open_in(connected, key);
        match self.clients.carry_some(&mut pass, self.now.ms, open) {
            // As a worker does: what was acknowledged, and was not carried for that reason, must not wait any more.
            Ok(Progress::Done) if self.deferred.is_empty() => {
                self.owner.vacate(pass.segment());
                self.vacated += 1;
                return;
            }
            Ok(Progress::Read(names)) => self.asked = names,
            // The reader takes its time.
            Ok(Progress::Waits) if self.random.below(4) == 0 => pass.take_read(self.read()).unwrap(),
            Ok(_) | Err(AppendError::Busy) => {}
            Err(error) => panic!("{error}"),
        }
        self.pass = Some(pass);
    }

    /// A few records at a time, so that much happens between two steps.
    fn dump(&mut self) {
        if self.random.below(20) == 0 {
            let _ = self.log.request_snapshot();
        }
        if let Some(section) = self.owner.snapshot_wanted() {
            self.dump = Some((section, ClientsDump::default()));
        }
        if self.dump.is_none() || self.random.below(3) == 0 {
            return;
        }
        self.flush();
        let Some((mut section, mut dump)) = self.dump.take() else { return };
        let mut step = Step::new(StepLimits { records: 2 + self.random.below(8), ..DUMP_STEP });
        step.batch.latest_time(self.now.ms);
        step.batch.foreign(crash_states::MARKER, 0, self.marked.to_le_bytes().to_vec());
        let open = |key| open_in(&self.connected, key);
        let has_more = self.clients.dump_some(&mut dump, &mut step, open);
        match self.clients.context.journal.push_independent(&step.batch, &mut section) {
            Ok(()) if has_more => self.dump = Some((section, dump)),
            Ok(()) => {
                section.finish();
                self.log.wait_for_snapshot(SNAPSHOT_TAKES_MAX);
            }
            Err(SnapshotError::GivenUp) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn read(&mut self) -> Vec<ReadRecord> {
        let messages = Messages::new(self.log.clone());
        let names = std::mem::take(&mut self.asked).into_iter();
        names.map(|name| (name, messages.read_record(name).map_err(Box::new))).collect()
    }

    /// What was not synced stays, as after a kill of the process, or is gone.
    fn die(&mut self) -> Result<(), String> {
        self.flush();
        self.until_durable();
        self.storage.kill_process();
        self.dump = None;
        if self.random.below(3) == 0 {
            // All of the log says the same. There may have been none.
            let _ = self.storage.handle().remove("snapshot");
        }
        let told: BTreeMap<_, _> = NAMES
            .iter()
            .filter_map(|name| Some((*name, self.state_of(self.clients.find(&ClientKey::new(name))?))))
            .collect();
        let opened = Log::open(self.storage.handle(), options(self.fault));
        let (log, replay) = opened.map_err(|error| error.to_string())?;
        let mut recovery = Recovery::new();
        let replayed = replay.run(|record| recovery.apply(record)).map_err(|error| error.to_string())?;
        self.from_snapshots += u64::from(replayed.snapshot_records > 0);
        self.check(&recovery, &told)?;
        self.live_again(log, recovery)
    }

    fn until_durable(&self) {
        let mut batch = Batch::default();
        batch.latest_time(self.now.ms);
        let newest = self.clients.context.journal.append(&batch, Need::Essential).unwrap();
        self.log.wait_durable(newest.end).unwrap();
    }

    fn state_of(&self, client: ClientRef) -> RecoveredClient {
        comparable(self.clients.to_recovered(client), self.now.ms)
    }

    /// # Errors
    /// What the log has, and the clients had not, or the other way round.
    fn check(&self, recovery: &Recovery, told: &BTreeMap<&str, RecoveredClient>) -> Result<(), String> {
        for name in NAMES {
            let found = recovery.clients.get(name).map(|client| comparable(again(client), self.now.ms));
            let found = found.unwrap_or_default();
            let nothing = RecoveredClient::default();
            let told = told.get(name).unwrap_or(&nothing);
            if &found != told {
                let missing = |in_one: &RecoveredClient, in_other: &RecoveredClient| {
                    let entries = in_one.entries.iter().map(|(message, _)| message);
                    entries.filter(|message| !in_other.entries.contains(*message)).count()
                };
                let what = match (missing(told, &found), missing(&found, told)) {
                    (0, 0) => "another state".to_owned(),
                    (0, back) => format!("{back} messages came back"),
                    (lost, _) => format!("{lost} messages are lost"),
                };
                return Err(format!("{name}: {what}: {found:?} was {told:?}"));
            }
        }
        let open: BTreeMap<Box<str>, RecoveredConnection> = self
            .connected
            .iter()
            .map(|(who, (_, id))| {
                (
                    id.clone(),
                    RecoveredConnection { client_id: NAMES[*who].into(), address: "peer".into(), closed_ms: None },
                )
            })
            .collect();
        if recovery.connections == open {
            Ok(())
        } else {
            Err(format!("connections: {:?} were {open:?}", recovery.connections))
        }
    }

    fn live_again(&mut self, log: Log, mut recovery: Recovery) -> Result<(), String> {
        self.now.ms += 1;
        (self.owner, self.pass) = (log.register_owner("test"), None);
        self.clients = Clients::new(context(&log), self.now.instant);
        let mut batch = Batch::default();
        batch.started(self.now.ms);
        recovery.connections.keys().for_each(|id| batch.event_sent(id));
        self.clients.context.journal.append_independent(&batch, Need::Essential).unwrap();
        for (client_id, client) in std::mem::take(&mut recovery.clients) {
            self.clients.recover(&client_id, *client, Restart::Unclean, self.now);
            self.check_readable(&client_id, &log)?;
        }
        self.log = log;
        (self.connected, self.in_flight) = (BTreeMap::new(), BTreeMap::new());
        Ok(())
    }

    /// Whatever waits can be read.
    fn check_readable(&self, client_id: &str, log: &Log) -> Result<(), String> {
        let Some(client) = self.clients.find(&ClientKey::new(client_id)) else { return Ok(()) };
        let messages = Messages::new(log.clone());
        let mut waiting = self.clients.entry(client).unwrap().inbox.logged();
        waiting.try_for_each(|(message, _)| {
            messages.read(message).map(drop).map_err(|error| format!("{client_id}: what waits cannot be read: {error}"))
        })
    }
}

fn open_in(connected: &BTreeMap<usize, (ConnectionKey, Box<str>)>, key: ConnectionKey) -> Option<OpenConnection> {
    let (_, id) = connected.values().find(|(open, _)| *open == key)?;
    Some(OpenConnection { id: id.clone(), address: "peer".into() })
}

fn context(log: &Log) -> Context {
    let limits = Limits::default();
    Context {
        worker: 0,
        journal: Journal::new(log.clone()),
        counts: Arc::default(),
        inbox_limits: crate::shared::inbox_limits(&limits),
        limits: Arc::new(limits),
        urgent_parents: ["ring".to_owned()].into(),
        workers_by_filter: Arc::default(),
        queue_acks: QueueAcks::new(None),
    }
}

fn again(client: &RecoveredClient) -> RecoveredClient {
    let RecoveredClient { session, subscriptions, entries, handed_out, seen, queue_ids, .. } = client;
    RecoveredClient {
        oldest: Position::default(),
        session: session.clone(),
        subscriptions: subscriptions.clone(),
        entries: entries.clone(),
        handed_out: handed_out.clone(),
        last_handed_out: None,
        seen: seen.clone(),
        queue_ids: queue_ids.clone(),
    }
}

/// Without what a live client does not know: of each collapse key all but what came last, and what is past its time. After
/// a crash packet ids are left out, more than the log knows of.
fn comparable(mut client: RecoveredClient, now_ms: u64) -> RecoveredClient {
    (client.oldest, client.last_handed_out) = (Position::default(), None);
    keep_newest_of_each_key(&mut client, now_ms);
    client
}

#[test]
fn whenever_the_process_is_killed_the_log_has_what_the_clients_had() {
    let (mut from_snapshots, mut ends) = (0, Vec::new());
    for seed in 0..12 {
        let mut life = Life::new(seed);
        for _ in 0..6 {
            let steps = life.random.below(600);
            (0..steps).for_each(|_| life.step());
            life.die().unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        }
        assert!(life.vacated > 3, "seed {seed}: {} segments were vacated", life.vacated);
        from_snapshots += life.from_snapshots;
        ends.push(life.ends);
    }
    assert!(from_snapshots > 10, "{from_snapshots} starts from snapshots");
    let ends = Ends::all_of(ends);
    assert!(ends.has_each(), "{ends:?}");
}

/// Seeded bugs of the log. What each does first is random: messages are lost, cannot be read or come back, the state of a
/// client is another one, or so are the connections.
const BUGS: [Fault; 4] =
    [Fault::ForgetsCopies, Fault::CopiesLate, Fault::VacatesUnasked, Fault::SnapshotLeavesOut { every: 2 }];

#[test]
fn each_seeded_bug_of_carry_and_snapshot_is_found() {
    for fault in BUGS {
        let found = (0..12).find_map(|seed| {
            let mut life = Life::with(fault, seed);
            (0..6).find_map(|_| {
                let steps = life.random.below(600);
                (0..steps).for_each(|_| life.step());
                life.die().err()
            })
        });
        let found = found.unwrap_or_else(|| panic!("{fault:?} was not found"));
        println!("{fault:?}: {}", found.get(..60).unwrap_or(&found));
    }
}

#[test]
fn after_a_start_a_client_is_carried_with_the_segment_that_its_records_begin_in() {
    let mut life = Life::new(0);
    life.connect(0);
    while *life.log.segments().end() < 3 {
        life.until_durable();
    }
    life.connect(1);
    let newest = u32::try_from(*life.log.segments().end()).unwrap();
    life.die().unwrap();
    let oldest = |who| life.clients.oldest_segment_of(life.find(who).unwrap());
    assert_eq!((oldest(0), oldest(1)), (Some(1), Some(newest)));
}

#[test]
fn a_full_inbox_is_carried_in_small_steps() {
    let mut bench = Bench::new();
    bench.clients.recover(NAMES[0], away(1, 10_000), Restart::Clean, bench.now);
    let client = bench.clients.find(&ClientKey::new(NAMES[0])).unwrap();
    let wanted = WantedSegment { number: 1, positions: Position(0)..Position(0) };
    let mut pass = Pass::new(wanted, Vec::new(), &bench.clients.context.journal);
    let (mut longest, mut progress) = (Duration::ZERO, Ok(Progress::More));
    while progress != Ok(Progress::Done) {
        assert!(matches!(progress, Ok(Progress::More) | Err(AppendError::Busy)), "{progress:?}");
        let begun = Instant::now();
        // What is held meanwhile is not bounded here: the log keeps what its writer has not come to.
        let (next, allocations, _) =
            allocations_and_most(|| bench.clients.carry_some(&mut pass, bench.now.ms, |_| None));
        longest = longest.max(begun.elapsed());
        let allocated_max = 2 * ALLOCATIONS_PER_RECORD * CARRY_STEP.records;
        assert!(allocations <= allocated_max, "{allocations} allocations in one step");
        progress = next;
    }
    println!("the longest step took {longest:?}");
    let was = bench.clients.to_recovered(client);
    bench.log.close().unwrap();
    let (_log, replay) = Log::open(bench.storage.handle(), Options::default()).unwrap();
    let mut recovery = Recovery::new();
    replay.for_each(|record| recovery.apply(record).unwrap()).unwrap();
    assert_eq!(again(&recovery.clients[NAMES[0]]), again(&was));
}
