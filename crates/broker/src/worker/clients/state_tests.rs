//! The state of clients against the log of the same run: a start finds the same in both.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use commitlog::testing::ForgettingStorage;
use commitlog::{Log, Need, Options, Position, ReplayedRecord};
use mqtt::PacketId;
use mqtt::server::Restart;
use proptest::prelude::*;

use super::entry::NEVER_S;
use super::tests::{Bench, message};
use super::*;
use crate::message::{Collapse, Message};
use crate::over::Over;
use crate::store::journal::Batch;
use crate::store::record::ConnectionRecord;
use crate::store::{RecoveredConnection, Recovery};
use crate::worker::ended_connections::{EndedConnection, EndedConnections};
use crate::worker::post::{FanOut, FanOutOrder, P2p, ReplyTarget, ReplyTo};

const CLIENTS: [&str; 3] = ["GID_dev@@@alice", "GID_dev@@@bob", "GID_dev@@@carol"];
const FILTERS: [&str; 2] = ["news/#", "ring/#"];
const NOBODY: ReplyTo = ReplyTo { worker: 0, target: ReplyTarget::Nobody };

/// What happens, to which client, and a number for what is left open.
type Choice = (u8, usize, u8);

fn options() -> Options {
    Options { segment_size: 1 << 20, append_bytes_max: 64 << 10, ..Options::default() }
}

/// Clients whose log says at once what a worker says at the end of a turn.
struct Run {
    bench: Bench,
    /// Those that have a session, by client id.
    attached: HashMap<&'static str, (ConnectionKey, ClientRef)>,
    /// By connection id, until its `tcpclean` is in the queue.
    connections: BTreeMap<Box<str>, RecoveredConnection>,
    /// Those of them that have ended, as the worker knows them.
    ended: EndedConnections,
}

impl Run {
    fn new() -> Self {
        let bench = Bench::with_options(options());
        let (attached, connections) = (HashMap::new(), BTreeMap::new());
        Self { bench, attached, connections, ended: EndedConnections::default() }
    }

    fn act(&mut self, (what, client, number): Choice) {
        let client_id = CLIENTS[client];
        match what {
            0 | 1 => self.connect(client_id, number),
            2 => self.leave(client_id),
            3..=5 => self.send(client_id, number),
            6 => self.fan_out(number),
            7 | 8 => self.deliver(client_id),
            9 => self.ack(client_id, number),
            10 => self.subscribe(client_id, number),
            11 => self.pass(number),
            12 => self.see_queue_id(client_id, number),
            13 => self.send_event(),
            14 if number < 100 => self.end(client_id),
            _ if number < 100 => self.restart(),
            _ => {}
        }
        self.drain();
    }

    fn log(&self, fill: impl FnOnce(&mut Batch)) {
        let mut batch = Batch::default();
        fill(&mut batch);
        self.bench.clients.context.journal.append(&batch, Need::Essential).unwrap();
    }

    fn drain(&mut self) {
        while let Some(action) = self.bench.actions.pop_front() {
            let (clients, now, actions) = (&mut self.bench.clients, self.bench.now, &mut self.bench.actions);
            match action {
                Action::WriteP2p(p2p) => assert!(clients.write_p2p(p2p, now, actions).is_none()),
                Action::WriteFanOut(fan_out) => assert!(clients.write_fan_out(*fan_out, now, actions).is_none()),
                Action::LookUp { receiver, .. } => clients.looked_up(&receiver, Ok(true), now, actions),
                Action::Defer(Deferred::Removed { client, message }) => {
                    self.log(|batch| batch.removed(client.as_str(), &[message]));
                }
                Action::Defer(Deferred::HandedOut { client, message, packet_id }) => {
                    self.log(|batch| batch.handed_out(client.as_str(), &[(message, packet_id)]));
                }
                Action::Reply { .. } | Action::Deliver { .. } => {}
                _ => panic!("nothing else is in these runs"),
            }
        }
    }

    fn connect(&mut self, client_id: &'static str, number: u8) {
        self.leave(client_id);
        let expiry_s = [0, 60, 3600, NEVER_S][usize::from(number % 4)];
        let connection_id = self.bench.next_connection_id();
        let (key, opened) = self.bench.open(client_id, expiry_s, number.is_multiple_of(5));
        self.bench.clients.connected(opened.client, key, 3);
        self.attached.insert(client_id, (key, opened.client));
        let connection = RecoveredConnection { client_id: client_id.into(), address: "peer".into(), closed_ms: None };
        self.connections.insert(connection_id.into(), connection);
    }

    fn leave(&mut self, client_id: &'static str) {
        let Some((key, client)) = self.attached.remove(client_id) else { return };
        let at_ms = self.bench.now.ms;
        let before = self.bench.clients.to_recovered(client);
        self.bench.clients.leave(client, key, at_ms);
        self.check_that_it_kept(client, before);
        let is_its = |connection: &RecoveredConnection| &*connection.client_id == client_id;
        let mut open = self.connections.iter_mut().filter(|(_, connection)| connection.closed_ms.is_none());
        let (connection_id, connection) = open.find(|(_, connection)| is_its(connection)).unwrap();
        connection.closed_ms = Some(at_ms);
        let (connection_id, address) = (connection_id.clone(), connection.address.clone());
        let client = ClientKey::new(client_id);
        self.ended.add(connection_id.clone(), EndedConnection { client, address, closed_ms: at_ms, oldest_segment: 0 });
        self.log(|batch| batch.closed(client_id, &connection_id, at_ms));
    }

    /// A client that is away has all that it had, unless its session has ended.
    fn check_that_it_kept(&self, client: ClientRef, mut before: RecoveredClient) {
        if self.bench.clients.entry(client).is_none() {
            return;
        }
        let after = self.bench.clients.to_recovered(client);
        if let (Some(before), Some(after)) = (&mut before.session, &after.session) {
            before.disconnected_ms = after.disconnected_ms;
        }
        assert_eq!(before, after);
    }

    /// What comes later expires later, of the same key.
    fn message(&self, topic: &str, number: u8) -> Message {
        let key = ["k", "l"].get(usize::from(number % 4));
        let collapse = key.map(|key| Collapse { key: (*key).into(), version: u64::from(number / 4 % 8) });
        let (arrived_ms, expires_at_ms) = (self.bench.now.ms, self.bench.now.ms + 100_000);
        Message { topic: topic.into(), arrived_ms, expires_at_ms, collapse, ..message("x") }
    }

    fn send(&mut self, client_id: &str, number: u8) {
        let topic = if number.is_multiple_of(3) { "ring/p2p/x" } else { "chat/p2p/x" };
        let message = self.message(topic, number).into();
        let p2p = P2p { to: ClientKey::new(client_id), message, keep: true, reply_to: NOBODY };
        self.bench.clients.take_p2p(p2p, self.bench.now, &mut self.bench.actions);
    }

    fn fan_out(&mut self, number: u8) {
        let topic = if number.is_multiple_of(3) { "ring/x" } else { "news/x" };
        let fan_out = FanOut {
            message: self.message(topic, number).into(),
            from: None,
            keep: true,
            need: Need::Normal,
            order: FanOutOrder::LiveFirst,
            reply_to: NOBODY,
        };
        self.bench.clients.take_fan_out(fan_out, self.bench.now, &mut self.bench.actions);
    }

    fn deliver(&mut self, client_id: &str) {
        if let Some((_, client)) = self.attached.get(client_id) {
            self.bench.deliver(*client);
        }
    }

    fn ack(&mut self, client_id: &str, number: u8) {
        let Some(&(key, client)) = self.attached.get(client_id) else { return };
        let in_flight: Vec<_> = self.bench.clients.entry(client).unwrap().inbox.session.in_flight().collect();
        let Some((_, packet_id)) = in_flight.get(usize::from(number) % in_flight.len().max(1)) else { return };
        self.bench.clients.ack(client, key, *packet_id, &mut self.bench.actions);
    }

    fn subscribe(&mut self, client_id: &str, number: u8) {
        let Some(&(_, client)) = self.attached.get(client_id) else { return };
        let filter = FILTERS[usize::from(number % 2)];
        match number % 3 {
            0 => self.bench.unsubscribe(client, filter),
            1 => self.bench.subscribe(client, filter),
            _ => self.bench.subscribe_with_id(client, filter, u32::from(number) + 1),
        }
    }

    /// At most a bit more than an hour.
    fn pass(&mut self, number: u8) {
        let seconds = if number > 240 { 4000 } else { u64::from(number) };
        self.bench.pass(Duration::from_secs(seconds));
        self.bench.clients.tick(self.bench.now);
        self.bench.clients.sweep_some(self.bench.now, &mut self.bench.actions);
        let clients = &self.bench.clients;
        self.attached.retain(|_, (_, client)| clients.entry(*client).is_some());
    }

    fn see_queue_id(&mut self, client_id: &str, number: u8) {
        let now_ms = self.bench.now.ms;
        let (id, until_ms) = ((number % 3).to_string(), now_ms + 200_000);
        let Some(client) = self.bench.clients.find(&ClientKey::new(client_id)) else { return };
        let entry = self.bench.clients.entry_mut(client).unwrap();
        if entry.is_persistent() {
            entry.is_logged = true;
            entry.queue_ids.remember(&id, until_ms, Position::default(), Over::by(now_ms));
            self.log(|batch| batch.queue_id_seen(client_id, until_ms, &id));
        }
    }

    fn send_event(&mut self) {
        let closed = self.connections.iter().find(|(_, connection)| connection.closed_ms.is_some());
        let Some(connection_id) = closed.map(|(connection_id, _)| connection_id.clone()) else { return };
        self.connections.remove(&connection_id);
        self.ended.told(&connection_id);
        self.log(|batch| batch.event_sent(&connection_id));
    }

    fn end(&mut self, client_id: &'static str) {
        self.leave(client_id);
        self.bench.clients.end(&ClientKey::new(client_id));
    }

    /// Sessions in memory only end before: the log would keep the last packet id of a client that a start finds empty.
    fn restart(&mut self) {
        let in_memory = self.in_memory();
        CLIENTS.into_iter().filter(|id| in_memory.contains(*id)).for_each(|id| self.leave(id));
        let recovery = self.reopen();
        let now = self.bench.now;
        self.bench.begin_again();
        self.attached.clear();
        for connection in self.connections.values_mut() {
            connection.closed_ms.get_or_insert(now.ms);
        }
        self.ended = EndedConnections::recover(recovery.connections, 0, now.ms);
        for (client_id, client) in recovery.clients {
            self.bench.clients.recover(&client_id, *client, Restart::Clean, now);
        }
        self.log(|batch| batch.started(now.ms));
    }

    /// Clients whose session ends with its connection.
    fn in_memory(&self) -> BTreeSet<Box<str>> {
        let entries = self.bench.clients.entries.iter().map(|(_, entry)| entry);
        entries.filter(|entry| !entry.is_persistent()).map(|entry| entry.client_id().into()).collect()
    }

    /// What the log says.
    fn reopen(&mut self) -> Recovery {
        self.reopen_with(|_| ())
    }

    /// The same; each of its records is shown, too.
    fn reopen_with(&mut self, mut show: impl FnMut(ReplayedRecord<'_>)) -> Recovery {
        self.bench.log.close().unwrap();
        let (log, replay) = Log::open(self.bench.storage.handle(), options()).unwrap();
        self.bench.log = log;
        let mut recovery = Recovery::new();
        let shown = replay.for_each(|replayed| {
            show(replayed);
            recovery.apply(replayed).unwrap();
        });
        shown.unwrap();
        recovery
    }

    /// The connection of a client that is there.
    fn open_connection(&self, key: ConnectionKey) -> Option<OpenConnection> {
        let (client_id, _) = self.attached.iter().find(|(_, (open, _))| *open == key)?;
        let is_its =
            |connection: &RecoveredConnection| connection.closed_ms.is_none() && &*connection.client_id == *client_id;
        let (id, connection) = self.connections.iter().find(|(_, connection)| is_its(connection))?;
        Some(OpenConnection { id: id.clone(), address: connection.address.clone() })
    }

    /// The records of a snapshot, written a few at a time while the clients live on, and where the log is read behind it.
    fn dump_while(&mut self, records: usize, [clients, ended]: [Vec<Choice>; 2]) -> (Vec<Batch>, Position) {
        let mut marker = Batch::default();
        marker.latest_time(self.bench.now.ms);
        let from = self.bench.clients.context.journal.append(&marker, Need::Essential).unwrap().end;
        let (mut dump, mut dumped, mut choices) = (ClientsDump::default(), vec![marker], clients.into_iter());
        let limits = StepLimits { records, ..DUMP_STEP };
        loop {
            let mut step = Step::new(limits);
            let has_more = self.bench.clients.dump_some(&mut dump, &mut step, |key| self.open_connection(key));
            dumped.push(step.batch);
            if !has_more {
                break;
            }
            choices.next().into_iter().for_each(|choice| self.act(choice));
        }
        let (mut after, mut choices) = (None, choices.chain(ended));
        loop {
            let mut step = Step::new(limits);
            after = self.ended.dump_some(after.as_deref(), &mut step);
            dumped.push(step.batch);
            if after.is_none() {
                break;
            }
            choices.next().into_iter().for_each(|choice| self.act(choice));
        }
        choices.for_each(|choice| self.act(choice));
        (dumped, from)
    }

    /// What a log says that has nothing but the state of now.
    fn carried(&self, last_ms: u64) -> Recovery {
        let storage = ForgettingStorage::new();
        let (log, _) = Log::open(storage.handle(), options()).unwrap();
        let mut batch = Batch::default();
        let clients = &self.bench.clients;
        clients.entries.iter().for_each(|(slot, entry)| clients.add_state(clients.ref_at(slot, entry), &mut batch));
        for (connection_id, connection) in &self.connections {
            let RecoveredConnection { client_id, address, closed_ms } = connection;
            batch.connection(ConnectionRecord { client_id, connection_id, address, closed_ms: *closed_ms });
        }
        batch.latest_time(last_ms);
        Journal::new(log.clone()).append_independent(&batch, Need::Essential).unwrap();
        log.close().unwrap();
        let (mut recovery, (_, replay)) = (Recovery::new(), Log::open(storage.handle(), options()).unwrap());
        replay.for_each(|replayed| recovery.apply(replayed).unwrap()).unwrap();
        recovery
    }
}

/// What a start makes of it; `None`: nothing. What a session in memory only does to collapse keys is not logged.
fn in_effect(mut client: RecoveredClient, is_in_memory: bool, now_ms: u64) -> Option<RecoveredClient> {
    let session = client.session.as_mut();
    match session.as_ref().map(|session| session.expiry_s) {
        // All that was in it goes with its connection.
        Some(0) => return Some(RecoveredClient { session: client.session, ..RecoveredClient::default() }),
        Some(NEVER_S) => session.unwrap().disconnected_ms = None,
        _ => {}
    }
    client.queue_ids.retain(|_, until_ms| *until_ms > now_ms);
    (client.oldest, client.last_handed_out) = (Position::default(), None);
    if is_in_memory {
        client.seen.clear();
        client.entries.iter_mut().for_each(|(_, entry)| entry.collapse = None);
    } else {
        keep_newest_of_each_key(&mut client, now_ms);
    }
    let is_empty =
        client.session.is_none() && client.entries.is_empty() && client.seen.is_empty() && client.queue_ids.is_empty();
    (!is_empty).then_some(client)
}

fn in_effect_of_all(
    recovery: &mut Recovery,
    in_memory: &BTreeSet<Box<str>>,
    now_ms: u64,
) -> BTreeMap<Box<str>, RecoveredClient> {
    let clients = recovery.clients.drain();
    let clients = clients.map(|(id, client)| (in_effect(*client, in_memory.contains(&id), now_ms), id));
    clients.filter_map(|(client, id)| Some((id, client?))).collect()
}

/// The last packet id of each client, 0 if there was none.
fn last_packet_ids(recovery: &Recovery) -> BTreeMap<Box<str>, u16> {
    let last = |client: &RecoveredClient| client.last_handed_out.unwrap_or(PacketId::MAX).get() % u16::MAX;
    recovery.clients.iter().map(|(client_id, client)| (client_id.clone(), last(client))).collect()
}

pub(super) fn keep_newest_of_each_key(client: &mut RecoveredClient, now_ms: u64) {
    let of_entries = client.entries.iter().filter_map(|(at, entry)| Some((&entry.collapse.as_ref()?.key, at)));
    let of_seen = client.seen.iter().map(|(key, seen)| (key, seen.entry));
    let mut newest: BTreeMap<Box<str>, Position> = BTreeMap::new();
    for (key, entry) in of_entries.chain(of_seen) {
        let known = newest.entry(key.clone()).or_default();
        *known = entry.max(*known);
    }
    client.seen.retain(|key, seen| seen.until_ms > now_ms && newest[key] == seen.entry);
    for (at, entry) in client.entries.iter_mut() {
        let is_over = entry.expires_at_ms <= now_ms;
        entry.collapse.take_if(|collapse| is_over || newest[&collapse.key] != at);
    }
}

/// To connect, to leave, and to send an event.
fn select_connection_step() -> impl Strategy<Value = u8> {
    prop::sample::select(vec![0, 2, 13])
}

#[test]
fn a_message_outlives_a_session_that_the_log_does_not_know_and_what_was_before_it() {
    let mut run = Run::new();
    run.act((3, 1, 0));
    run.connect(CLIENTS[1], 4);
    let carried = run.carried(0);
    let bob = &carried.clients[CLIENTS[1]];
    assert_eq!((&bob.session, bob.entries.len()), (&None, 1));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn a_start_finds_in_a_snapshot_that_was_written_while_clients_lived_on_what_it_finds_in_the_whole_log(
        before in prop::collection::vec((0u8..16, 0..CLIENTS.len(), any::<u8>()), 1..60),
        // None of them is a restart.
        meanwhile in prop::collection::vec((0u8..15, 0..CLIENTS.len(), any::<u8>()), 0..30),
        // Clients that come and go and are told of, while what is dumped are the connections that have ended.
        of_connections in prop::collection::vec((select_connection_step(), 0..CLIENTS.len(), any::<u8>()), 0..20),
        records in 1usize..4,
    ) {
        let mut run = Run::new();
        before.into_iter().for_each(|choice| run.act(choice));
        let (dumped, from) = run.dump_while(records, [meanwhile, of_connections]);
        let (now_ms, in_memory) = (run.bench.now.ms, run.in_memory());
        let mut of_snapshot = Recovery::new();
        dumped.iter().for_each(|batch| batch.apply_to(&mut of_snapshot));
        let mut logged = run.reopen_with(|replayed| {
            if replayed.position >= from {
                of_snapshot.apply(replayed).unwrap();
            }
        });
        let last_logged = last_packet_ids(&logged);
        for (client_id, last) in last_packet_ids(&of_snapshot) {
            prop_assert!(last >= last_logged.get(&client_id).copied().unwrap_or(0), "{client_id}: {last}");
        }
        let in_effect_of = |recovery: &mut Recovery| in_effect_of_all(recovery, &in_memory, now_ms);
        prop_assert_eq!(in_effect_of(&mut of_snapshot), in_effect_of(&mut logged));
        prop_assert_eq!(&of_snapshot.connections, &logged.connections);
        prop_assert_eq!(of_snapshot.last_ms, logged.last_ms);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 96, ..ProptestConfig::default() })]
    #[test]
    fn a_start_finds_in_the_state_of_the_clients_what_it_finds_in_the_whole_log(
        choices in prop::collection::vec((0u8..16, 0..CLIENTS.len(), any::<u8>()), 1..80),
    ) {
        let mut run = Run::new();
        choices.into_iter().for_each(|choice| run.act(choice));
        let (now_ms, in_memory) = (run.bench.now.ms, run.in_memory());
        let mut logged = run.reopen();
        let mut carried = run.carried(logged.last_ms);
        let last_logged = last_packet_ids(&logged);
        for (client_id, last) in last_packet_ids(&carried) {
            // Ids of what had expired and was not sent are known to nobody else.
            prop_assert!(last >= last_logged.get(&client_id).copied().unwrap_or(0), "{client_id}: {last}");
        }
        let in_effect_of = |recovery: &mut Recovery| in_effect_of_all(recovery, &in_memory, now_ms);
        prop_assert_eq!(in_effect_of(&mut carried), in_effect_of(&mut logged));
        prop_assert_eq!(&carried.connections, &logged.connections);
        prop_assert_eq!(carried.last_ms, logged.last_ms);
    }
}
