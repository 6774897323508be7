//! Scenarios of the clients of one worker alone: a log whose syncs are held, virtual time, no socket.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

use accounts::clients::Depth;
use std::cell::Cell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commitlog::testing::ForgettingStorage;
use commitlog::{AppendError, Log, Need, NewRecord, Options, Part, Position};
use mqtt::codec::{
    Properties, PropertiesBuf, Property, Subscribe, SubscribeFiltersBuf, Unsubscribe, UnsubscribeFiltersBuf,
};
use mqtt::server::Sent;
use mqtt::topic::TopicFilter;
use mqtt::{PacketId, QoS, ReasonCode, SubscriptionOptions, Version};

use super::reads::READS_MAX;
use super::session::Opened;
use super::subscriptions::FILTERS_MAX;
use super::*;
use crate::message::{Collapse, Message, NEVER_MS, SharedMessage};
use crate::over::Held;
use crate::store::RecoveredSession;
use crate::store::messages::{MessageError, Messages};
use crate::worker::action::Now;
use crate::worker::connect_request::ConnectRequest;
use crate::worker::post::{FanOut, FanOutOrder, Outcome, P2p, QueueJob, ReplyTarget, ReplyTo};
use crate::worker::queue_order::QueueOrder;
use crate::worker::reader::Loaded;

const ALICE: &str = "GID_dev@@@alice";
const BOB: &str = "GID_dev@@@bob";
const HOUR_S: u32 = 3600;

/// The clients of a worker, and what they want of the others.
pub(super) struct Bench {
    pub(super) clients: Clients,
    pub(super) actions: Actions,
    pub(super) now: Now,
    pub(super) storage: ForgettingStorage,
    pub(super) log: Log,
    messages: Messages,
    /// That were asked for and have no answer.
    reads: VecDeque<(ClientRef, Vec<Position>)>,
    connections: u32,
}

type LoadedMessage = Result<SharedMessage, Box<MessageError>>;

/// What became of one write, in short.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Seen {
    Reply(Outcome),
    Deliver(ClientRef),
    SendAtMostOnce(ConnectionKey),
    LookUp(String),
    Removed(Position),
    HandedOut(u16),
}

impl Bench {
    pub(super) fn new() -> Self {
        Self::with(|_| ())
    }

    pub(super) fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        Self::on(Options::default(), limits)
    }

    pub(super) fn with_options(options: Options) -> Self {
        Self::on(options, Limits::default())
    }

    fn on(options: Options, limits: Limits) -> Self {
        let storage = ForgettingStorage::new();
        let (log, _) = Log::open(storage.handle(), options).unwrap();
        let now = Now::certain(Instant::now(), 1_000_000);
        let (clients, messages) = (clients_on(log.clone(), limits, now), Messages::new(log.clone()));
        Self { clients, actions: Actions::new(), now, storage, log, messages, reads: VecDeque::new(), connections: 0 }
    }

    /// Clients that know nothing, on a log that was opened again.
    pub(super) fn begin_again(&mut self) {
        self.clients = clients_on(self.log.clone(), Limits::default(), self.now);
        self.messages = Messages::new(self.log.clone());
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.ms += u64::try_from(time.as_millis()).unwrap();
    }

    /// Ends and sweeps whatever a server does at that time.
    fn look_for_what_is_over(&mut self) {
        self.clients.end_if_over(&ClientKey::new(BOB), self.now.over());
        self.clients.tick(self.now);
        self.clients.sweep_some(self.now, &mut self.actions);
    }

    /// Of the next [`Self::open`].
    pub(super) fn next_connection_id(&self) -> String {
        format!("connection {}", self.connections + 1)
    }

    /// A connection whose CONNACK has not left.
    pub(super) fn open(&mut self, client_id: &str, expiry_s: u32, clean_start: bool) -> (ConnectionKey, Opened) {
        let connection_id = self.next_connection_id();
        self.connections += 1;
        let key = ConnectionKey { slot: 0, generation: self.connections };
        let request = ConnectRequest {
            client: ClientKey::new(client_id),
            username: None,
            password: None,
            certificate: None,
            clean_start,
            session_expiry_s: Some(expiry_s),
            version: Version::V5,
        };
        let opened = self.clients.open(key, &request, "user:x", (&connection_id, "peer"), &|_| true, self.now);
        (key, opened.unwrap())
    }

    pub(super) fn connect(&mut self, client_id: &str, expiry_s: u32) -> (ConnectionKey, ClientRef) {
        let (key, opened) = self.open(client_id, expiry_s, false);
        self.clients.connected(opened.client, key, 10);
        (key, opened.client)
    }

    pub(super) fn send(&mut self, to: &str, message: SharedMessage) -> Vec<Seen> {
        let reply_to = ReplyTo { worker: 0, target: ReplyTarget::Nobody };
        let p2p = P2p { to: ClientKey::new(to), message, keep: true, reply_to };
        self.clients.take_p2p(p2p, self.now, &mut self.actions);
        self.drain()
    }

    /// Does the writes, as a log that takes everything; says the rest.
    pub(super) fn drain(&mut self) -> Vec<Seen> {
        let mut seen = Vec::new();
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::WriteP2p(p2p) => {
                    assert!(self.clients.write_p2p(p2p, self.now, &mut self.actions).is_none());
                }
                Action::WriteFanOut(fan_out) => {
                    assert!(self.clients.write_fan_out(*fan_out, self.now, &mut self.actions).is_none());
                }
                Action::Reply { outcome, .. } => seen.push(Seen::Reply(outcome)),
                Action::Deliver { client, .. } => seen.push(Seen::Deliver(client)),
                Action::Read { client, positions } => self.reads.push_back((client, positions)),
                Action::SendAtMostOnce { to, .. } => seen.push(Seen::SendAtMostOnce(to)),
                Action::LookUp { receiver, .. } => seen.push(Seen::LookUp(receiver.as_str().to_owned())),
                Action::Defer(Deferred::Removed { message, .. }) => seen.push(Seen::Removed(message)),
                Action::Defer(Deferred::HandedOut { packet_id, .. }) => seen.push(Seen::HandedOut(packet_id.get())),
                _ => panic!("nothing of the queue is in these scenarios"),
            }
        }
        seen
    }

    /// What is handed out now and when the reader has answered, by its payload, all of it written.
    pub(super) fn deliver(&mut self, client: ClientRef) -> Vec<String> {
        // Nothing waits for the pace of reads.
        self.now.instant += Duration::from_secs(1);
        self.clients.pace_reads(self.now.instant, &mut self.actions);
        let mut delivered = self.hand_out(client, &[]);
        while !self.reads.is_empty() {
            delivered.extend(self.answer());
        }
        delivered
    }

    /// What is handed out without another read.
    fn hand_out(&mut self, client: ClientRef, loaded: &[Loaded]) -> Vec<String> {
        let mut delivered = Vec::new();
        while let Some(outbound) = self.clients.hand_out(client, loaded, self.now.over(), &mut self.actions) {
            delivered.push(String::from_utf8(outbound.message.payload.to_vec()).unwrap());
            self.clients.sent(client, &outbound, Sent::Written, &mut self.actions);
        }
        self.take_reads();
        delivered
    }

    fn take_reads(&mut self) {
        for action in std::mem::take(&mut self.actions) {
            match action {
                Action::Read { client, positions } => self.reads.push_back((client, positions)),
                other => self.actions.push_back(other),
            }
        }
    }

    /// The reader answers the oldest read; returns what is handed out then.
    fn answer(&mut self) -> Vec<String> {
        self.answer_with(|_, message| message)
    }

    /// The same with a reader that may fail.
    fn answer_with(&mut self, result: impl Fn(Position, LoadedMessage) -> LoadedMessage) -> Vec<String> {
        let (client, positions) = self.reads.pop_front().unwrap();
        let load = |position| {
            let message = self.messages.read(position).map(SharedMessage::from).map_err(Box::new);
            Loaded { position, message: result(position, message) }
        };
        let loaded: Vec<Loaded> = positions.into_iter().map(load).collect();
        self.clients.read_ended(client, &mut self.actions);
        self.hand_out(client, &loaded)
    }

    /// A message to a client that is connected; returns what is handed out at once.
    fn send_live(&mut self, to: &str, message: SharedMessage) -> Vec<String> {
        let reply_to = ReplyTo { worker: 0, target: ReplyTarget::Nobody };
        let p2p = P2p { to: ClientKey::new(to), message, keep: true, reply_to };
        assert!(self.clients.write_p2p(p2p, self.now, &mut self.actions).is_none());
        let stored = self.actions.iter_mut().find_map(|action| match action {
            Action::Deliver { client, just_stored } => Some((*client, just_stored.take())),
            _ => None,
        });
        let (client, just_stored) = stored.unwrap();
        self.drain();
        self.hand_out(client, just_stored.as_slice())
    }

    pub(super) fn ack(&mut self, client: ClientRef, connection: ConnectionKey, packet_id: u16) {
        self.clients.ack(client, connection, PacketId::new(packet_id).unwrap(), &mut self.actions);
        self.drain();
    }

    /// A client with these messages waiting, whose CONNACK has just left.
    fn resume(
        &mut self,
        client_id: &str,
        waiting: impl IntoIterator<Item = SharedMessage>,
    ) -> (ConnectionKey, ClientRef) {
        let (key, client) = self.connect(client_id, HOUR_S);
        self.clients.leave(client, key, self.now.ms);
        waiting.into_iter().for_each(|message| _ = self.send(client_id, message));
        self.connect(client_id, HOUR_S)
    }

    pub(super) fn subscribe(&mut self, client: ClientRef, filter: &str) {
        assert!(!matches!(self.subscribe_to(client, &[filter.to_owned()], |_| Ok(())), Answer::NotLogged));
    }

    pub(super) fn subscribe_with_id(&mut self, client: ClientRef, filter: &str, subscription_id: u32) {
        let mut properties = PropertiesBuf::new();
        properties.push(Property::SubscriptionIdentifier(subscription_id)).unwrap();
        let mut filters = SubscribeFiltersBuf::default();
        filters.push(TopicFilter::parse(filter).unwrap(), SubscriptionOptions::at(QoS::AtLeastOnce));
        let (packet_id, properties) = (PacketId::MIN, properties.view());
        let subscribe = Subscribe { packet_id, properties, filters: filters.view() };
        assert!(!matches!(self.clients.subscribe(client, &subscribe, false, |_| Ok(())), Answer::NotLogged));
    }

    fn subscribe_to(
        &mut self,
        client: ClientRef,
        topic_filters: &[String],
        may: impl Fn(TopicFilter<'_>) -> Result<(), ReasonCode>,
    ) -> Answer {
        let (mut filters, options) = (SubscribeFiltersBuf::default(), SubscriptionOptions::at(QoS::AtLeastOnce));
        topic_filters.iter().for_each(|filter| filters.push(TopicFilter::parse(filter).unwrap(), options));
        let (packet_id, properties) = (PacketId::MIN, Properties::default());
        let subscribe = Subscribe { packet_id, properties, filters: filters.view() };
        self.clients.subscribe(client, &subscribe, false, may)
    }

    pub(super) fn unsubscribe(&mut self, client: ClientRef, filter: &str) {
        let mut filters = UnsubscribeFiltersBuf::default();
        filters.push(TopicFilter::parse(filter).unwrap());
        let (packet_id, properties) = (PacketId::MIN, Properties::default());
        let unsubscribe = Unsubscribe { packet_id, properties, filters: filters.view() };
        assert!(!matches!(self.clients.unsubscribe(client, &unsubscribe), Answer::NotLogged));
    }
}

fn clients_on(log: Log, limits: Limits, now: Now) -> Clients {
    let context = Context {
        worker: 0,
        journal: Journal::new(log),
        counts: Arc::default(),
        inbox_limits: crate::shared::inbox_limits(&limits),
        limits: Arc::new(limits),
        urgent_parents: ["ring".to_owned()].into(),
        workers_by_filter: Arc::default(),
        queue_acks: QueueAcks::new(None),
    };
    Clients::new(context, now.instant)
}

pub(super) fn message(payload: &str) -> Message {
    Message {
        topic: "chat/p2p/x".into(),
        properties: Properties::EMPTY.as_bytes().into(),
        payload: payload.as_bytes().into(),
        qos: QoS::AtLeastOnce,
        arrived_ms: 1_000_000,
        expires_at_ms: NEVER_MS,
        collapse: None,
    }
}

fn text(payload: &str) -> SharedMessage {
    message(payload).into()
}

fn version(version: u64) -> SharedMessage {
    let collapse = Some(Collapse { key: "ring".into(), version });
    Message { collapse, ..message(&version.to_string()) }.into()
}

fn durable(seen: &[Seen]) -> Position {
    match seen {
        [Seen::Reply(Outcome::Durable(end)), ..] => *end,
        _ => panic!("{seen:?}"),
    }
}

/// [MQTT5-3.2.0-1]
#[test]
fn nothing_comes_before_the_connack() {
    let mut bench = Bench::new();
    let (key, opened) = bench.open(BOB, HOUR_S, false);
    let seen = bench.send(BOB, text("early"));
    assert_eq!(seen.last(), Some(&Seen::Deliver(opened.client)));
    assert_eq!(bench.clients.open_connection(opened.client), None);
    let at_most_once = Message { qos: QoS::AtMostOnce, ..message("now or never") };
    assert_eq!(
        bench.send(BOB, at_most_once.into()),
        [Seen::Reply(Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS))]
    );
    bench.clients.connected(opened.client, key, 10);
    assert_eq!(bench.clients.open_connection(opened.client), Some(key));
    assert_eq!(bench.deliver(opened.client), ["early"]);
}

#[test]
fn a_message_is_acknowledged_at_the_end_of_its_unit_and_handed_out_before() {
    let mut bench = Bench::new();
    let (_, bob) = bench.connect(BOB, HOUR_S);
    bench.storage.hold_syncs();
    let end = durable(&bench.send(BOB, text("hello")));
    assert!(end > bench.clients.context.journal.durable());
    assert_eq!(bench.deliver(bob), ["hello"]);
    assert_eq!(bench.drain(), [Seen::HandedOut(1)]);
    bench.storage.release_syncs();
}

#[test]
fn what_is_superseded_is_acknowledged_with_the_newer_one() {
    let mut bench = Bench::new();
    bench.connect(BOB, HOUR_S);
    bench.storage.hold_syncs();
    let newer = durable(&bench.send(BOB, version(2)));
    let older = durable(&bench.send(BOB, version(1)));
    assert!(older > bench.clients.context.journal.durable() && older <= newer, "{older:?} {newer:?}");
    bench.storage.release_syncs();
}

#[test]
fn messages_to_a_receiver_that_is_looked_up_wait_in_their_order() {
    let mut bench = Bench::new();
    assert_eq!(bench.send(BOB, text("1")), [Seen::LookUp(BOB.to_owned())]);
    assert_eq!(bench.send(BOB, text("2")), []);
    let bob = ClientKey::new(BOB);
    bench.clients.looked_up(&bob, Ok(true), bench.now, &mut bench.actions);
    assert_eq!(bench.drain().len(), 4, "a reply and a delivery for each");
    let (_, client) = bench.connect(BOB, HOUR_S);
    assert_eq!(bench.deliver(client), ["1", "2"]);
    bench.drain();

    assert_eq!(bench.send(ALICE, text("1")), [Seen::LookUp(ALICE.to_owned())]);
    bench.clients.looked_up(&ClientKey::new(ALICE), Ok(false), bench.now, &mut bench.actions);
    assert_eq!(bench.drain(), [Seen::Reply(Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS))]);
    assert!(bench.clients.lookups.is_empty());
}

#[test]
fn messages_to_receivers_that_are_looked_up_are_bounded_by_their_bytes_and_by_their_number() {
    let size = text("1234").held_bytes() + size_of::<P2p>();
    for (messages_max, bytes_max) in [(2, usize::MAX), (usize::MAX, 2 * size)] {
        let mut bench = Bench::with(|limits| {
            (limits.lookups_waiting_max, limits.lookups_bytes_max) = (messages_max, bytes_max);
        });
        assert_eq!(bench.send(ALICE, text("1234")), [Seen::LookUp(ALICE.to_owned())]);
        assert_eq!(bench.send(BOB, text("1234")), [Seen::LookUp(BOB.to_owned())]);
        assert_eq!(bench.send(BOB, text("1234")), [Seen::Reply(Outcome::Unavailable)]);
        bench.clients.looked_up(&ClientKey::new(ALICE), Ok(false), bench.now, &mut bench.actions);
        bench.drain();
        assert_eq!(bench.send(BOB, text("1234")), []);
        bench.clients.looked_up(&ClientKey::new(BOB), Ok(false), bench.now, &mut bench.actions);
        assert!(bench.clients.lookups.is_empty());
    }
}

#[test]
fn a_subscribe_of_thousands_of_filters_is_answered_in_part_and_logs_little() {
    for distinct in [1, 30, 32_000] {
        let mut bench = Bench::new();
        let (_, alice) = bench.connect(ALICE, HOUR_S);
        let before = durable(&bench.send(ALICE, text("x")));
        let filters: Vec<String> = (0..32_000).map(|n| (n % distinct).to_string()).collect();
        let asked = Cell::new(0);
        let may = |_: TopicFilter<'_>| {
            asked.set(asked.get() + 1);
            Ok(())
        };
        let answer = bench.subscribe_to(alice, &filters, may);
        let Answer::WhenDurable(end, codes) = answer else { panic!("it is logged") };
        assert_eq!((codes.len(), asked.get()), (32_000, FILTERS_MAX));
        assert!(codes[..30].iter().all(|code| !code.is_error()));
        assert!(codes[FILTERS_MAX..].iter().all(|code| *code == ReasonCode::QUOTA_EXCEEDED));
        assert!(end.0 - before.0 < 128 << 10, "{} bytes of the log", end.0 - before.0);
    }
}

#[test]
fn a_filter_that_a_subscribe_repeats_is_logged_once() {
    let mut bench = Bench::new();
    let (_, alice) = bench.connect(ALICE, HOUR_S);
    let mut bytes_of = |filter: &str, times: usize| {
        let before = durable(&bench.send(ALICE, text("x")));
        let answer = bench.subscribe_to(alice, &vec![filter.to_owned(); times], |_| Ok(()));
        let Answer::WhenDurable(end, codes) = answer else { panic!("it is logged") };
        assert_eq!(codes, vec![ReasonCode::granted(QoS::AtLeastOnce); times]);
        end.0 - before.0
    };
    assert_eq!(bytes_of("chat/one", 1_000), bytes_of("chat/two", 1));
}

#[test]
fn a_subscribe_that_changes_nothing_is_not_logged_and_waits_for_the_one_that_did() {
    let mut bench = Bench::new();
    let (_, alice) = bench.connect(ALICE, HOUR_S);
    bench.storage.hold_syncs();
    let filters = ["chat/all".to_owned()];
    let ends = [(); 2].map(|()| match bench.subscribe_to(alice, &filters, |_| Ok(())) {
        Answer::WhenDurable(end, _) => Some(end),
        _ => None,
    });
    bench.storage.release_syncs();
    let end = ends[0].expect("it is not durable yet");
    assert_eq!(ends, [Some(end); 2], "nothing is appended");
    bench.log.wait_durable(end).unwrap();
    assert!(matches!(bench.subscribe_to(alice, &filters, |_| Ok(())), Answer::Now(_)));
}

#[test]
fn a_subscribe_or_an_unsubscribe_that_a_full_log_refuses_changes_nothing_and_is_logged_when_it_comes_again() {
    let options = Options { segment_size: 1 << 20, full_retry_every: Duration::from_millis(1), ..Options::default() };
    let mut bench = Bench::with_options(options);
    let (_, alice) = bench.connect(ALICE, HOUR_S);
    bench.subscribe(alice, "kept");
    bench.storage.set_full(true);
    let journal = bench.clients.context.journal.clone();
    let mut filler = crate::store::journal::Batch::default();
    filler.closed("filler", "connection", 0);
    while journal.append(&filler, commitlog::Need::Normal) != Err(commitlog::AppendError::Full) {}
    let unsubscribe = |bench: &mut Bench| {
        let mut filters = UnsubscribeFiltersBuf::default();
        filters.push(TopicFilter::parse("kept").unwrap());
        let (packet_id, properties) = (PacketId::MIN, Properties::default());
        let unsubscribe = Unsubscribe { packet_id, properties, filters: filters.view() };
        bench.clients.unsubscribe(alice, &unsubscribe)
    };
    assert!(matches!(bench.subscribe_to(alice, &["new".to_owned()], |_| Ok(())), Answer::NotLogged));
    assert!(matches!(unsubscribe(&mut bench), Answer::NotLogged));
    let filters = |bench: &Bench| -> Vec<String> {
        let known = bench.clients.entry(alice).unwrap().inbox.session.subscriptions();
        known.iter().map(|known| known.filter.as_str().to_owned()).collect()
    };
    assert_eq!(filters(&bench), ["kept"]);
    bench.storage.set_full(false);
    while journal.is_full_for(commitlog::Need::Normal) {
        std::thread::yield_now();
    }
    assert!(matches!(bench.subscribe_to(alice, &["new".to_owned()], |_| Ok(())), Answer::WhenDurable(..)));
    let answer = unsubscribe(&mut bench);
    assert!(matches!(answer, Answer::WhenDurable(_, codes) if codes == [ReasonCode::SUCCESS]), "it was not done");
    assert_eq!(filters(&bench), ["new"]);
}

#[test]
fn subscriptions_beyond_a_limit_that_was_lowered_are_kept_and_said_again() {
    let mut bench = Bench::with(|limits| limits.subscriptions_max = 1);
    let options = logged_at_least_once();
    let subscriptions: std::collections::BTreeMap<_, _> = ["a", "b", "c"].map(|filter| (filter.into(), options)).into();
    let session = Some(RecoveredSession { account: "user:x".into(), expiry_s: HOUR_S, disconnected_ms: Some(1) });
    let recovered = RecoveredClient { session, subscriptions: subscriptions.clone(), ..RecoveredClient::default() };
    bench.clients.recover(BOB, recovered, Restart::Clean, bench.now);
    let bob = bench.clients.find(&ClientKey::new(BOB)).unwrap();
    assert_eq!(bench.clients.to_recovered(bob).subscriptions, subscriptions);
    let Answer::Now(codes) = bench.subscribe_to(bob, &["d".to_owned()], |_| Ok(())) else { panic!("it is refused") };
    assert_eq!(codes, [ReasonCode::QUOTA_EXCEEDED], "and no more come");
}

fn logged_at_least_once() -> crate::store::record::SubscribedOptions {
    super::subscriptions::logged(SubscriptionOptions::at(QoS::AtLeastOnce), None, false)
}

#[test]
fn an_unsubscribe_of_thousands_of_filters_says_which_it_has_left() {
    let mut bench = Bench::new();
    let (_, alice) = bench.connect(ALICE, HOUR_S);
    let names = ["first".to_owned(), "last".to_owned()];
    assert!(matches!(bench.subscribe_to(alice, &names, |_| Ok(())), Answer::WhenDurable(..)));
    let mut filters = UnsubscribeFiltersBuf::default();
    let between = vec!["none"; 5_000];
    for filter in [&["first"], &between[..], &["last"]].concat() {
        filters.push(TopicFilter::parse(filter).unwrap());
    }
    let (packet_id, properties) = (PacketId::MIN, Properties::default());
    let answer = bench.clients.unsubscribe(alice, &Unsubscribe { packet_id, properties, filters: filters.view() });
    let Answer::WhenDurable(_, codes) = answer else { panic!("it is logged") };
    assert_eq!((codes.len(), codes[0], codes[1]), (5_002, ReasonCode::SUCCESS, ReasonCode::NO_SUBSCRIPTION_EXISTED));
    assert!(codes[FILTERS_MAX..].iter().all(|code| *code == ReasonCode::IMPLEMENTATION_SPECIFIC_ERROR));
    let left = bench.clients.entry(alice).unwrap().inbox.session.subscriptions();
    assert_eq!(left.iter().map(|left| left.filter.as_str()).collect::<Vec<_>>(), ["last"]);
}

#[test]
fn a_session_ends_with_its_connection_or_when_its_time_is_over() {
    let mut bench = Bench::new();
    let (key, brief) = bench.connect(ALICE, 0);
    bench.clients.leave(brief, key, bench.now.ms);
    assert_eq!(bench.clients.find(&ClientKey::new(ALICE)), None);

    let (key, _) = bench.connect(BOB, HOUR_S);
    let bob = bench.clients.find(&ClientKey::new(BOB)).unwrap();
    bench.clients.leave(bob, key, bench.now.ms);
    bench.pass(Duration::from_secs(u64::from(HOUR_S) - 1));
    bench.clients.tick(bench.now);
    assert_eq!(bench.clients.find(&ClientKey::new(BOB)), Some(bob));
    bench.pass(Duration::from_secs(1));
    bench.clients.tick(bench.now);
    assert_eq!(bench.clients.find(&ClientKey::new(BOB)), None);
}

/// [MQTT5-3.1.2-23]
#[test]
fn a_session_whose_time_is_over_is_not_resumed_before_the_tick_that_ends_it() {
    let mut bench = Bench::new();
    let (key, bob) = bench.connect(BOB, HOUR_S);
    bench.clients.leave(bob, key, bench.now.ms);
    bench.send(BOB, text("late"));
    bench.pass(Duration::from_secs(u64::from(HOUR_S)));
    bench.clients.end_if_over(&ClientKey::new(BOB), bench.now.over());
    assert_eq!(bench.clients.holder_of(&ClientKey::new(BOB)), None);
    let (_, opened) = bench.open(BOB, HOUR_S, false);
    assert!(!opened.session_present);
    assert_eq!(bench.clients.context.counts.inbox_messages.value(), 0);
}

#[test]
fn a_session_whose_time_is_over_is_not_seen_and_ends_when_its_turn_comes() {
    let mut bench = Bench::new();
    let (key, bob) = bench.connect(BOB, HOUR_S);
    bench.clients.leave(bob, key, bench.now.ms);
    let client = ClientKey::new(BOB);
    let is_seen = |bench: &Bench| bench.clients.view(&client, Depth::All, bench.now.over()).session.is_some();
    assert!(is_seen(&bench));
    bench.pass(Duration::from_secs(u64::from(HOUR_S)));
    assert!(!is_seen(&bench) && bench.clients.holder_of(&client).is_some());
}

#[test]
fn a_message_that_comes_after_the_end_of_a_session_does_not_go_with_it() {
    let mut bench = Bench::new();
    let (key, bob) = bench.connect(BOB, HOUR_S);
    bench.clients.leave(bob, key, bench.now.ms);
    bench.pass(Duration::from_secs(u64::from(HOUR_S)));
    bench.send(BOB, text("after"));
    assert_eq!(bench.clients.find(&ClientKey::new(BOB)), None, "it waits for its receiver to be looked up");
}

/// A boot before the clock of the machine was set, and a log that was written while the clock was ahead.
#[test]
fn a_session_whose_connection_ended_at_a_time_that_lies_ahead_lasts_as_long_as_any_other() {
    const DAY: Duration = Duration::from_secs(24 * 3600);
    let day_ms = u64::try_from(DAY.as_millis()).unwrap();
    let recovered = |disconnected_ms| {
        let session =
            RecoveredSession { account: "user:x".into(), expiry_s: 3 * 86_400, disconnected_ms: Some(disconnected_ms) };
        RecoveredClient { session: Some(session), ..RecoveredClient::default() }
    };
    let bob = ClientKey::new(BOB);
    let mut bench = Bench::new();
    let truth_ms = 100 * day_ms;
    bench.now.ms = truth_ms - 40 * day_ms;
    bench.clients.recover(BOB, recovered(truth_ms - 60_000), Restart::Unclean, bench.now);
    bench.pass(Duration::from_secs(610));
    bench.now.ms = truth_ms + 610_000;
    bench.clients.tick(bench.now);
    assert!(bench.clients.find(&bob).is_some(), "eleven minutes after its connection, when the clock is right");

    let mut bench = Bench::new();
    bench.now.ms = truth_ms;
    bench.clients.recover(BOB, recovered(truth_ms + 40 * day_ms), Restart::Unclean, bench.now);
    bench.pass(3 * DAY - Duration::from_secs(1));
    bench.clients.tick(bench.now);
    assert!(bench.clients.find(&bob).is_some());
    bench.pass(Duration::from_secs(1));
    bench.clients.tick(bench.now);
    assert!(bench.clients.find(&bob).is_none());
}

#[test]
fn a_receiver_whose_slot_another_has_is_looked_up_and_nothing_of_its_own_goes_to_the_other() {
    let mut bench = Bench::new();
    let (_, bob) = bench.connect(BOB, HOUR_S);
    // The same key each time, as a connection has it that publishes to the same topic.
    let key = ClientKey::new(BOB);
    let send = |bench: &mut Bench| {
        let reply_to = ReplyTo { worker: 0, target: ReplyTarget::Nobody };
        let p2p = P2p { to: key.clone(), message: text("x"), keep: true, reply_to };
        bench.clients.take_p2p(p2p, bench.now, &mut bench.actions);
        bench.drain()
    };
    assert!(send(&mut bench).contains(&Seen::Deliver(bob)));
    bench.clients.detach(&key);
    bench.clients.end(&key);
    let (_, alice) = bench.connect(ALICE, HOUR_S);
    assert_eq!(alice.slot, bob.slot);
    assert_eq!(send(&mut bench), [Seen::LookUp(BOB.to_owned())]);
    assert_eq!(bench.deliver(alice), [] as [&str; 0]);
    let (_, again) = bench.connect(BOB, HOUR_S);
    bench.clients.looked_up(&key, Ok(true), bench.now, &mut bench.actions);
    bench.drain();
    assert!(send(&mut bench).contains(&Seen::Deliver(again)));
    assert_eq!(bench.deliver(alice), [] as [&str; 0]);
    assert_eq!(bench.deliver(again), ["x", "x"]);
}

#[test]
fn the_end_of_an_older_connection_does_nothing_to_the_session_of_a_newer_one() {
    let mut bench = Bench::new();
    let (older, bob) = bench.connect(BOB, HOUR_S);
    bench.send(BOB, text("hello"));
    bench.deliver(bob);
    bench.clients.leave(bob, older, bench.now.ms);
    let (newer, _) = bench.connect(BOB, HOUR_S);
    bench.drain();
    bench.clients.leave(bob, older, bench.now.ms);
    bench.clients.ack(bob, older, PacketId::new(1).unwrap(), &mut bench.actions);
    assert_eq!(bench.drain(), []);
    assert_eq!(bench.clients.open_connection(bob), Some(newer));
    assert_eq!(bench.deliver(bob), ["hello"]);
}

#[test]
fn a_name_of_a_client_that_was_forgotten_is_nobodys() {
    let mut bench = Bench::new();
    let (_, bob) = bench.connect(BOB, HOUR_S);
    bench.subscribe(bob, "news/#");
    let news = Message { topic: "news/today".into(), ..message("for bob") };
    let reply_to = ReplyTo { worker: 0, target: ReplyTarget::Nobody };
    let fan_out = FanOut {
        message: news.into(),
        from: None,
        keep: true,
        need: Need::Normal,
        order: FanOutOrder::LiveFirst,
        reply_to,
    };
    bench.clients.take_fan_out(fan_out, bench.now, &mut bench.actions);
    // While the write waits for the log, the session ends, and another client gets its slot.
    bench.clients.detach(&ClientKey::new(BOB));
    bench.clients.end(&ClientKey::new(BOB));
    let (_, alice) = bench.connect(ALICE, HOUR_S);
    assert_eq!(alice.slot, bob.slot);
    assert_eq!(bench.drain(), [Seen::Reply(Outcome::Done(ReasonCode::SUCCESS))]);
    assert_eq!(bench.deliver(alice), [] as [&str; 0]);
    assert_eq!(bench.deliver(bob), [] as [&str; 0]);
}

#[test]
fn a_receiver_that_was_forgotten_is_not_found_by_the_key_of_its_last_message() {
    let mut bench = Bench::new();
    let (_, bob) = bench.connect(BOB, HOUR_S);
    let key = ClientKey::new(BOB);
    let send = |bench: &mut Bench| {
        let reply_to = ReplyTo { worker: 0, target: ReplyTarget::Nobody };
        bench.clients.take_p2p(
            P2p { to: key.clone(), message: text("x"), keep: true, reply_to },
            bench.now,
            &mut bench.actions,
        );
        bench.drain()
    };
    assert!(send(&mut bench).contains(&Seen::Deliver(bob)));
    assert!(send(&mut bench).contains(&Seen::Deliver(bob)));
    bench.clients.detach(&key);
    bench.clients.end(&key);
    assert_eq!(send(&mut bench), [Seen::LookUp(BOB.to_owned())]);
    bench.clients.looked_up(&key, Ok(true), bench.now, &mut bench.actions);
    let again = bench.clients.find(&key).unwrap();
    assert!(again != bob && bench.drain().contains(&Seen::Deliver(again)));
    assert!(send(&mut bench).contains(&Seen::Deliver(again)));
}

#[test]
fn a_fan_out_that_a_busy_log_gives_back_is_stored_once_for_each_of_its_receivers() {
    let mut bench = Bench::new();
    let clients = [ALICE, BOB].map(|client_id| bench.connect(client_id, HOUR_S).1);
    clients.iter().for_each(|client| bench.subscribe(*client, "news/#"));
    bench.storage.hold_syncs();
    let mut sent = 0;
    let held = loop {
        let news = Message { topic: "news/today".into(), ..message(&format!("{sent}{}", "x".repeat(100_000))) };
        let reply_to = ReplyTo { worker: 0, target: ReplyTarget::Nobody };
        let fan_out = FanOut {
            message: news.into(),
            from: None,
            keep: true,
            need: Need::Normal,
            order: FanOutOrder::LiveFirst,
            reply_to,
        };
        bench.clients.take_fan_out(fan_out, bench.now, &mut bench.actions);
        let Some(Action::WriteFanOut(fan_out)) = bench.actions.pop_front() else { panic!("it is logged") };
        sent += 1;
        if let Some(held) = bench.clients.write_fan_out(*fan_out, bench.now, &mut bench.actions) {
            break held;
        }
        bench.drain();
        assert!(sent < 1000, "the log is never busy");
    };
    assert_eq!(bench.drain(), [], "nobody hears of it yet");
    assert_eq!(held.receivers.iter().map(|(client, _)| *client).collect::<Vec<_>>(), clients);
    bench.storage.release_syncs();
    let mut write = Some(held);
    while let Some(held) = write.take() {
        std::thread::yield_now();
        write = bench.clients.write_fan_out(held, bench.now, &mut bench.actions);
    }
    let seen = bench.drain();
    assert_eq!(seen[..2], clients.map(Seen::Deliver));
    assert!(matches!(seen[2..], [Seen::Reply(Outcome::Durable(_))]), "{seen:?}");
    assert_eq!(bench.clients.context.counts.inbox_messages.value(), 2 * sent);
}

/// Of a message whose references are two units of the log.
fn from_queue(bench: &mut Bench, from: ClientRef) -> Vec<Seen> {
    let news = Message { topic: "news/today".into(), ..message("to all") };
    let reply_to = ReplyTo { worker: 0, target: ReplyTarget::Nobody };
    let order = FanOutOrder::LogFirst { from, queue: QueueOrder::new(0, Arc::default()) };
    let fan_out = FanOut { message: news.into(), from: None, keep: true, need: QueueJob::NEED, order, reply_to };
    bench.clients.take_fan_out(fan_out, bench.now, &mut bench.actions);
    bench.drain()
}

#[test]
fn a_fan_out_of_the_queue_that_finds_room_for_one_unit_goes_on_behind_those_that_have_it() {
    const UNIT: usize = 4 << 10;
    const SUBSCRIBERS: usize = 100;
    let mut bench = Bench::with_options(Options {
        segment_size: 64 << 10,
        append_bytes_max: UNIT,
        // Half of it is for the queue.
        reserve_bytes: 3 * UNIT as u64,
        full_retry_every: Duration::from_millis(1),
        ..Options::default()
    });
    let (_, passing) = bench.connect("GID_dev@@@passing", 0);
    bench.subscribe(passing, "news/#");
    for number in 0..SUBSCRIBERS {
        let (_, client) = bench.connect(&format!("GID_dev@@@subscriber-{number:03}"), HOUR_S);
        bench.subscribe(client, "news/#");
    }
    bench.storage.set_full(true);
    let filler = [NewRecord::new(0x20, 9, &[Part::Bytes(&[0; 200])])];
    while bench.log.append(Need::Normal, &filler) != Err(AppendError::Full) {
        std::thread::yield_now();
    }
    let first = from_queue(&mut bench, ClientRef::FIRST);
    let Some(Seen::Reply(Outcome::Partial { stored, next })) = first.last() else { panic!("{first:?}") };
    let has_it = first.len() - 1;
    assert!((1..SUBSCRIBERS).contains(&has_it) && !first.contains(&Seen::Deliver(passing)), "{first:?}");
    bench.storage.set_full(false);
    while bench.log.is_full_for(Need::Normal, UNIT) {
        std::thread::yield_now();
    }
    let second = from_queue(&mut bench, *next);
    let [delivered @ .., Seen::Deliver(last), Seen::Reply(Outcome::Durable(end))] = &second[..] else {
        panic!("{second:?}");
    };
    assert!(end > stored && *last == passing, "those that need no log are the last");
    assert_eq!(has_it + delivered.len(), SUBSCRIBERS);
    assert!(delivered.iter().all(|delivered| !first.contains(delivered)));
}

/// A boot with a clock that may be days ahead.
#[test]
fn while_the_time_is_in_doubt_no_session_ends_and_no_message_expires() {
    const DAYS_40: Duration = Duration::from_secs(40 * 86_400);
    let mut bench = Bench::new();
    let (key, bob) = bench.connect(BOB, HOUR_S);
    bench.clients.leave(bob, key, bench.now.ms);
    bench.send(BOB, Message { expires_at_ms: bench.now.ms + 60_000, ..message("kept") }.into());
    let from_ms = bench.now.ms;
    bench.pass(DAYS_40);
    bench.now.held = Held { from_ms, until_ms: bench.now.ms };
    bench.look_for_what_is_over();
    let (_, opened) = bench.open(BOB, HOUR_S, false);
    assert!(opened.session_present);
    assert_eq!(bench.clients.context.counts.inbox_messages.value(), 1);
    bench.pass(Duration::from_secs(31));
    bench.now.held = Held::default();
    bench.look_for_what_is_over();
    assert_eq!(bench.clients.context.counts.inbox_messages.value(), 0, "the message, once the time is certain");
}

#[test]
fn messages_that_went_with_a_session_are_counted() {
    let dropped = |bench: &Bench| bench.clients.context.counts.dropped_with_session.value();
    let mut bench = Bench::new();
    let (key, bob) = bench.connect(BOB, HOUR_S);
    bench.clients.leave(bob, key, bench.now.ms);
    bench.send(BOB, text("1"));
    bench.send(BOB, text("2"));
    let (key, opened) = bench.open(BOB, HOUR_S, true);
    assert!(!opened.session_present);
    assert_eq!(dropped(&bench), 2, "a clean start discards them");

    bench.send(BOB, text("3"));
    bench.clients.leave(opened.client, key, bench.now.ms);
    assert_eq!(dropped(&bench), 2);
    bench.pass(Duration::from_secs(u64::from(HOUR_S)));
    bench.clients.tick(bench.now);
    assert_eq!(dropped(&bench), 3, "the session is over");
    assert_eq!(bench.clients.context.counts.inbox_messages.value(), 0);
}

#[test]
fn an_entry_that_has_expired_is_swept_and_logged_as_gone() {
    let mut bench = Bench::new();
    let (key, bob) = bench.connect(BOB, HOUR_S);
    bench.clients.leave(bob, key, bench.now.ms);
    let brief = Message { expires_at_ms: bench.now.ms + 1000, ..message("brief") };
    bench.send(BOB, brief.into());
    bench.pass(Duration::from_secs(31));
    bench.clients.tick(bench.now);
    bench.clients.sweep_some(bench.now, &mut bench.actions);
    assert!(matches!(bench.drain()[..], [Seen::Removed(_)]));
    assert_eq!(bench.clients.context.counts.inbox_messages.value(), 0);
}

fn numbers(numbers: std::ops::RangeInclusive<u32>) -> Vec<String> {
    numbers.map(|number| number.to_string()).collect()
}

fn texts(range: std::ops::RangeInclusive<u32>) -> impl Iterator<Item = SharedMessage> {
    numbers(range).into_iter().map(|number| text(&number))
}

fn urgent(payload: &str) -> SharedMessage {
    Message { topic: "ring/p2p/x".into(), ..message(payload) }.into()
}

#[test]
fn messages_of_the_log_go_out_in_their_order_and_a_live_one_follows_them_from_memory() {
    let mut bench = Bench::new();
    let (_, bob) = bench.resume(BOB, texts(1..=2));
    assert_eq!(bench.hand_out(bob, &[]), [] as [&str; 0]);
    assert_eq!(bench.send_live(BOB, text("3")), [] as [&str; 0]);
    assert_eq!(bench.reads.len(), 1, "one at a time");
    assert_eq!(bench.answer(), ["1", "2", "3"]);
    assert_eq!(bench.send_live(BOB, text("4")), ["4"]);
    assert_eq!(bench.reads.len(), 0);
}

#[test]
fn an_urgent_message_goes_before_those_that_are_being_read_and_takes_a_place_of_the_window() {
    let mut bench = Bench::new();
    let (key, bob) = bench.resume(BOB, texts(1..=11));
    bench.hand_out(bob, &[]);
    assert_eq!(bench.send_live(BOB, urgent("ring")), ["ring"]);
    assert_eq!(bench.answer(), numbers(1..=9));
    assert_eq!(bench.reads.len(), 0, "the window is closed");
    bench.ack(bob, key, 1);
    assert_eq!(bench.hand_out(bob, &[]), ["10"], "it was read, and found no place");
    bench.ack(bob, key, 2);
    assert_eq!(bench.deliver(bob), ["11"]);
}

#[test]
fn a_live_message_that_finds_the_window_closed_goes_out_without_a_read() {
    let mut bench = Bench::new();
    let (key, bob) = bench.connect(BOB, HOUR_S);
    let mut at_once = Vec::new();
    texts(1..=25).for_each(|message| at_once.extend(bench.send_live(BOB, message)));
    assert_eq!(at_once, numbers(1..=10));
    let mut rest = Vec::new();
    (1..=15).for_each(|packet_id| {
        bench.ack(bob, key, packet_id);
        rest.extend(bench.hand_out(bob, &[]));
    });
    assert_eq!((rest, bench.reads.len()), (numbers(11..=25), 0));
}

#[test]
fn a_read_goes_as_far_as_the_window_or_as_one_connection_is_written_to() {
    let mut bench = Bench::new();
    let large = |number: u32| text(&format!("{number}{}", "x".repeat(100_000)));
    let huge = text(&"x".repeat(300_000));
    let (_, bob) = bench.resume(BOB, texts(1..=25));
    bench.hand_out(bob, &[]);
    let (_, alice) = bench.resume(ALICE, [huge, large(1), large(2), large(3)]);
    bench.hand_out(alice, &[]);
    let mut sizes = Vec::new();
    while let Some((_, positions)) = bench.reads.front() {
        sizes.push(positions.len());
        bench.answer();
    }
    assert_eq!(sizes, [10, 1, 2, 1]);
}

#[test]
fn what_was_read_for_an_older_connection_goes_out_on_the_newer_one_once() {
    let mut bench = Bench::new();
    let (older, bob) = bench.resume(BOB, texts(1..=2));
    bench.hand_out(bob, &[]);
    bench.clients.leave(bob, older, bench.now.ms);
    let (newer, again) = bench.connect(BOB, HOUR_S);
    assert_eq!(bob, again);
    bench.hand_out(bob, &[]);
    assert_eq!(bench.reads.len(), 1);
    assert_eq!(bench.answer(), ["1", "2"]);
    assert_eq!(bench.reads.len(), 0);
    bench.drain();
    bench.ack(bob, newer, 1);
    bench.ack(bob, newer, 2);
    assert_eq!(bench.clients.context.counts.inbox_messages.value(), 0);
}

#[test]
fn what_was_in_flight_is_read_again_and_goes_first() {
    let mut bench = Bench::new();
    let (older, bob) = bench.resume(BOB, texts(1..=12));
    assert_eq!(bench.deliver(bob), numbers(1..=10));
    bench.ack(bob, older, 2);
    assert_eq!(bench.hand_out(bob, &[]), [] as [&str; 0]);
    bench.clients.leave(bob, older, bench.now.ms);
    bench.connect(BOB, HOUR_S);
    // The answer for the older connection is of what is not next any more.
    assert_eq!(bench.answer(), [] as [&str; 0]);
    let (first, rest) = (vec!["1".to_owned()], numbers(3..=11));
    assert_eq!(bench.answer(), [first, rest].concat());
}

#[test]
fn an_answer_for_a_session_that_has_ended_is_nobodys() {
    let mut bench = Bench::new();
    let (key, bob) = bench.resume(BOB, [text("for bob")]);
    bench.hand_out(bob, &[]);
    bench.clients.leave(bob, key, bench.now.ms);
    bench.clients.end(&ClientKey::new(BOB));
    let (_, alice) = bench.resume(ALICE, [text("for alice")]);
    assert_eq!(alice.slot, bob.slot);
    bench.hand_out(alice, &[]);
    assert_eq!(bench.answer(), [] as [&str; 0]);
    assert_eq!(bench.answer(), ["for alice"]);
    assert!(bench.clients.reads.are_over());
}

#[test]
fn a_version_that_comes_while_the_older_one_is_read_is_the_only_one_that_goes_out() {
    let mut bench = Bench::new();
    let (_, bob) = bench.resume(BOB, [version(1)]);
    bench.hand_out(bob, &[]);
    assert_eq!(bench.send_live(BOB, version(2)), ["2"]);
    assert_eq!(bench.answer(), [] as [&str; 0]);

    let mut bench = Bench::new();
    let (_, bob) = bench.resume(BOB, [version(1), text("x")]);
    bench.hand_out(bob, &[]);
    assert_eq!(bench.send_live(BOB, version(2)), [] as [&str; 0]);
    assert_eq!(bench.answer(), ["x", "2"]);
}

#[test]
fn a_message_that_expires_while_it_is_read_does_not_go_out() {
    let mut bench = Bench::new();
    let brief = Message { expires_at_ms: bench.now.ms + 1000, ..message("brief") };
    let (_, bob) = bench.resume(BOB, [brief.into(), text("lasting")]);
    bench.hand_out(bob, &[]);
    bench.pass(Duration::from_secs(1));
    assert_eq!(bench.answer(), ["lasting"]);
    assert_eq!(bench.clients.context.counts.expired.value(), 1);
}

#[test]
fn a_message_that_cannot_be_read_is_skipped_and_those_behind_it_go_out() {
    let mut bench = Bench::new();
    let (_, bob) = bench.resume(BOB, texts(1..=3));
    bench.hand_out(bob, &[]);
    let damaged = bench.reads[0].1[1];
    let what = "a test says so";
    let delivered = bench.answer_with(|position, message| {
        if position == damaged { Err(Box::new(MessageError::NotAMessage { position, what })) } else { message }
    });
    assert_eq!(delivered, ["1", "3"]);
    let stats = bench.clients.context.counts.stats(0);
    assert_eq!((stats.unreadable, stats.inbox_messages), (1, 2));
}

#[test]
fn clients_are_read_for_in_turn_and_so_many_at_a_time() {
    let mut bench = Bench::new();
    let clients: Vec<_> =
        (0..READS_MAX + 2).map(|number| bench.resume(&format!("GID_dev@@@{number}"), texts(1..=20))).collect();
    clients.iter().for_each(|(_, client)| _ = bench.hand_out(*client, &[]));
    assert_eq!(bench.reads.len(), READS_MAX);
    // The first one asks for more at once, the last but one goes away.
    bench.answer();
    (1..=10).for_each(|packet_id| bench.ack(clients[0].1, clients[0].0, packet_id));
    bench.hand_out(clients[0].1, &[]);
    let (key, gone) = clients[READS_MAX];
    bench.clients.leave(gone, key, bench.now.ms);
    let mut order = Vec::new();
    while let Some((client, _)) = bench.reads.front() {
        order.push(*client);
        bench.answer();
        assert!(bench.reads.len() <= READS_MAX);
    }
    let served = clients[1..].iter().chain(&clients[..1]).map(|(_, client)| *client);
    assert_eq!(order, served.collect::<Vec<_>>());
}

#[test]
fn what_is_read_for_all_clients_together_keeps_its_pace() {
    let mut bench = Bench::new();
    let clients: Vec<_> = (0..100).map(|number| bench.resume(&format!("GID_dev@@@{number}"), texts(1..=8)).1).collect();
    clients.iter().for_each(|client| _ = bench.hand_out(*client, &[]));
    let mut read_after = |pause| {
        bench.now.instant += pause;
        bench.clients.pace_reads(bench.now.instant, &mut bench.actions);
        bench.take_reads();
        let mut read = 0;
        while let Some((_, positions)) = bench.reads.front() {
            read += positions.len();
            bench.answer();
        }
        (read, bench.clients.has_paced_reads())
    };
    assert_eq!(read_after(Duration::ZERO), (256, true), "what comes at once after a pause");
    assert_eq!(read_after(Duration::ZERO), (0, true));
    assert_eq!(read_after(Duration::from_millis(2)), (2 * 64, true));
    assert_eq!(read_after(Duration::from_secs(1)), (256, true), "a pause is no credit for later");
    assert_eq!(read_after(Duration::from_secs(1)), (800 - 640, false));
}

/// Bob has no session that the log knows, so what comes while he is connected is in memory alone.
#[test]
fn what_came_meanwhile_goes_out_when_what_was_to_be_read_is_over() {
    let mut bench = Bench::new();
    let others: Vec<_> =
        (0..READS_MAX).map(|number| bench.resume(&format!("GID_dev@@@{number}"), texts(1..=1)).1).collect();
    others.iter().for_each(|client| _ = bench.hand_out(*client, &[]));
    let (key, bob) = bench.connect(BOB, HOUR_S);
    bench.clients.leave(bob, key, bench.now.ms);
    let brief = Message { expires_at_ms: bench.now.ms + 1000, ..message("brief") };
    bench.send(BOB, brief.into());
    let (_, bob) = bench.connect(BOB, 0);
    bench.hand_out(bob, &[]);
    bench.send(BOB, text("live"));
    bench.actions.clear();
    bench.pass(Duration::from_secs(31));
    bench.clients.tick(bench.now);
    bench.clients.sweep_some(bench.now, &mut bench.actions);
    bench.actions.clear();
    others.iter().for_each(|_| _ = bench.answer());
    let is_bobs = |action: &Action| matches!(action, Action::Deliver { client, .. } if *client == bob);
    assert!(bench.actions.iter().any(is_bobs), "he waits for nothing");
    assert_eq!(bench.hand_out(bob, &[]), ["live"]);
}
