//! Scenarios of the connections of one worker alone: virtual time, and events that a test gives. The sockets are of the
//! loopback interface; nothing waits for them but the peers.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

use std::io::Write as _;
use std::net::TcpListener;
use std::time::Duration;

use accounts::access::{Access, AccessConfig, Identity};
use accounts::login::{self, Credential, LoginError, LoginStep, PendingLogin};
use catalog::{AccessSnapshot, Device, Group};
use limiter::{Rate, TokenBucket};
use mqtt::codec::Properties;
use mqtt::server::Request;
use mqtt::{AckToken, QoS, ReasonCode};
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};

use super::*;
use crate::connection_limiter::ConnectionLimiter;
use crate::message::{Message, NEVER_MS};
use crate::transport::{READ_BYTES, Scratch};
use crate::worker::action::{ClientRef, Now};
use crate::worker::testing::{ALICE, Peer, connect, device, password_of, publish_of, publishes, username_of};

/// The connections of a worker, and the time.
struct Bench {
    connections: Connections,
    scratch: Box<Scratch>,
    limiter: Arc<ConnectionLimiter>,
    listener: TcpListener,
    now: Instant,
    /// Too much waits elsewhere for anything more to be read from publishers.
    is_congested: bool,
    /// Gives the registry, and is never waited on.
    _poll: mio::Poll,
}

/// What is between MQTT and the socket.
#[derive(Clone, Copy, Debug)]
struct Layers {
    tls: bool,
    websocket: bool,
}

/// A client that trusts a server.
fn tls_pair() -> (ClientConnection, ServerConnection) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (made.cert.der().clone(), made.signing_key.serialize_der().try_into().unwrap());
    let server =
        ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
    let mut roots = RootCertStore::empty();
    roots.add(certificate).unwrap();
    let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
    let client = ClientConnection::new(Arc::new(client), "localhost".try_into().unwrap()).unwrap();
    (client, ServerConnection::new(Arc::new(server)).unwrap())
}

/// All that a client has to send.
fn encrypted(client: &mut ClientConnection) -> Vec<u8> {
    let mut wire = Vec::new();
    while client.wants_write() {
        client.write_tls(&mut wire).unwrap();
    }
    wire
}

/// One binary frame with a mask that changes nothing.
fn frame_of(bytes: &[u8]) -> Vec<u8> {
    [&[0x82, 0xff][..], &(bytes.len() as u64).to_be_bytes(), &[0; 4], bytes].concat()
}

/// What one look at a connection brought.
#[derive(Debug, PartialEq, Eq)]
enum Seen {
    Connect,
    Publish(String),
    Ack(u16),
    Other,
    BrokenRule,
    Failed,
    End,
}

impl Bench {
    fn new() -> Self {
        Self::with(|_| ())
    }

    fn with(change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = Limits::default();
        change(&mut limits);
        let counts = Arc::new(Counts::default());
        let limiter = ConnectionLimiter::new(&limits, counts.clone());
        let connection_config = Arc::new(crate::shared::connection_config(&limits));
        let context = Context { limits: Arc::new(limits), connection_config, counts, meter: Arc::default() };
        let (poll, now) = (mio::Poll::new().unwrap(), Instant::now());
        let connections = Connections::new(context, poll.registry().try_clone().unwrap(), now);
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let scratch = Box::new(Scratch::new());
        Self { connections, scratch, limiter, listener, now, is_congested: false, _poll: poll }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn counts(&self) -> &Counts {
        &self.connections.context.counts
    }

    /// A connection on which nothing was said.
    fn arrive(&mut self) -> Peer {
        let permit = self.limiter.permit(self.listener.local_addr().unwrap().ip()).unwrap();
        let peer = Peer::connect(&self.listener, permit, |arrival| {
            self.connections.arrive(arrival, self.now);
            self.connections.keys().into_iter().max_by_key(|key| key.generation).unwrap()
        });
        assert_eq!(self.ready().last(), Some(&peer.key));
        peer
    }

    /// The same of another host.
    fn arrive_from(&mut self, host: [u8; 4]) -> Peer {
        let permit = self.limiter.permit(host.into()).unwrap();
        Peer::connect(&self.listener, permit, |arrival| {
            self.connections.arrive(Arrival { peer: (host, 1).into(), ..arrival }, self.now);
            self.connections.keys().into_iter().max_by_key(|key| key.generation).unwrap()
        })
    }

    /// The same through these layers; returns also what is to be sent for `bytes`.
    fn arrive_with(&mut self, layers: Layers, bytes: &[u8]) -> (Peer, Vec<u8>) {
        let (client, server) = tls_pair();
        let permit = self.limiter.permit(self.listener.local_addr().unwrap().ip()).unwrap();
        let mut peer = Peer::connect(&self.listener, permit, |arrival| {
            let tls = layers.tls.then(|| Box::new(server));
            let websocket = layers.websocket.then(Vec::new);
            self.connections.arrive(Arrival { tls, websocket, ..arrival }, self.now);
            self.connections.keys().into_iter().max_by_key(|key| key.generation).unwrap()
        });
        let bytes = if layers.websocket { frame_of(bytes) } else { bytes.to_vec() };
        let wire = if layers.tls { self.shake_hands(client, &mut peer, &bytes) } else { bytes };
        (peer, wire)
    }

    /// Returns what is to be sent for `bytes`.
    fn shake_hands(&mut self, mut client: ClientConnection, peer: &mut Peer, bytes: &[u8]) -> Vec<u8> {
        while client.is_handshaking() {
            peer.send(&encrypted(&mut client));
            self.connections.take_event(peer.has_input());
            assert_eq!(self.read(peer.key), []);
            self.flush();
            client.read_tls(&mut peer.socket).unwrap();
            client.process_new_packets().unwrap();
        }
        client.set_buffer_limit(None);
        client.writer().write_all(bytes).unwrap();
        encrypted(&mut client)
    }

    /// Sends, and reads all that the connection may read.
    fn say(&mut self, peer: &mut Peer, bytes: &[u8]) -> Vec<Seen> {
        peer.send(bytes);
        self.connections.take_event(peer.has_input());
        self.read(peer.key)
    }

    /// Reads until there is nothing for now.
    fn read(&mut self, key: ConnectionKey) -> Vec<Seen> {
        let mut seen = Vec::new();
        loop {
            match self.connections.read(key, &mut self.scratch, READ_BYTES) {
                Read::Nothing => return seen,
                Read::Drained => {}
                Read::Failed => {
                    seen.push(Seen::Failed);
                    return seen;
                }
                Read::Input { bytes, has_ended, .. } => {
                    let input = self.connections.begin_input(key, bytes).unwrap();
                    loop {
                        match self.connections.next_request(key, &input, self.now) {
                            Ok(Some(request)) => seen.push(Seen::of(&request)),
                            Ok(None) => break,
                            Err(()) => {
                                seen.push(Seen::BrokenRule);
                                break;
                            }
                        }
                        if self.connections.must_wait(key, self.is_congested) {
                            break;
                        }
                    }
                    self.connections.end_input(key, input);
                    if has_ended {
                        seen.push(Seen::End);
                        return seen;
                    }
                }
            }
        }
    }

    /// Those that are ready, as a turn looks at them.
    fn ready(&mut self) -> Vec<ConnectionKey> {
        let mut ready = Vec::new();
        for line in [Line::Ready, Line::Behind, Line::Login] {
            ready.extend(std::iter::from_fn(|| self.connections.next_of(line)));
        }
        ready
    }

    /// The end of a turn. Returns in which order the connections were written to, and whose clients read again.
    fn flush(&mut self) -> (Vec<ConnectionKey>, Vec<ClientRef>) {
        let dirty = self.connections.take_dirty();
        let mut readers = Vec::new();
        for key in &dirty {
            match self.connections.flush(*key, self.now) {
                Flushed::HasRoom(client) => readers.push(client),
                Flushed::Done => {}
                Flushed::Failed => panic!("the transport has failed"),
            }
        }
        let written = dirty.clone();
        self.connections.reuse(dirty);
        (written, readers)
    }

    fn close_of_timeout(&mut self) -> Option<ConnectionKey> {
        while let Some(timed_out) = self.connections.next_timeout(self.now) {
            if let TimedOut::Close(key) = timed_out {
                return Some(key);
            }
        }
        None
    }

    /// A client that was let in and has read its CONNACK.
    fn connect(&mut self, keep_alive_s: u16) -> Peer {
        let mut peer = self.arrive();
        assert_eq!(self.say(&mut peer, &connect(ALICE, keep_alive_s, 0)), [Seen::Connect]);
        assert!(self.connections.take_connect(peer.key).is_some());
        self.let_in(&peer);
        assert_eq!(peer.next(), "CONNACK 0x00");
        self.ready();
        assert_eq!(self.read(peer.key), []);
        self.flush();
        peer
    }

    fn let_in(&mut self, peer: &Peer) -> Accepted {
        let user = "alice".to_owned();
        let connected = Connected {
            client: client_of(peer.key),
            client_id: ClientKey::new(ALICE),
            identity: Identity::Device { client_id: ALICE.into(), user, group: "GID_dev".into(), publishes: None },
            credential: Credential::Device { key_id: "DC.alice".into() },
            validity: Validity::default(),
            connection_id: "connection".into(),
            since: Instant::now(),
            sent_disconnect: false,
            publishes: TokenBucket::default(),
            known_topic: None,
            tokens: TokenWatch::default(),
        };
        let awaiting = AwaitingConnack { connected, session_present: false, session_expiry_s: None };
        self.connections.await_connack(peer.key, awaiting);
        let accepted = self.connections.accept(peer.key, self.now).unwrap();
        self.flush();
        accepted
    }

    fn send_at_most_once(&mut self, peer: &Peer, message: &Message) {
        let now = Now::certain(self.now, 0);
        self.connections.send_at_most_once(peer.key, message, &[], now);
    }
}

impl Seen {
    fn of(request: &Request<'_>) -> Self {
        match request {
            Request::Connect(_) => Self::Connect,
            Request::Publish { message, .. } => Self::Publish(String::from_utf8_lossy(message.payload).into()),
            Request::Ack { packet_id, .. } => Self::Ack(packet_id.get()),
            _ => Self::Other,
        }
    }
}

fn client_of(key: ConnectionKey) -> ClientRef {
    ClientRef { slot: key.slot + 100, generation: key.generation }
}

fn numbers(numbers: std::ops::RangeInclusive<u16>) -> Vec<Seen> {
    numbers.map(|number| Seen::Publish(number.to_string())).collect()
}

fn message(payload: &str) -> Message {
    Message {
        topic: "chat/all".into(),
        properties: Properties::EMPTY.as_bytes().into(),
        payload: payload.as_bytes().into(),
        qos: QoS::AtMostOnce,
        arrived_ms: 0,
        expires_at_ms: NEVER_MS,
        collapse: None,
    }
}

/// What the first step of a login gives, and the device that it is to be finished with.
fn pending_login() -> (PendingLogin, Device) {
    let groups = vec![Group { group: "GID_dev".into() }];
    let access = Access::new(AccessConfig::default(), AccessSnapshot { groups, ..AccessSnapshot::default() });
    let (name, password) = (username_of(ALICE), password_of(ALICE));
    let step = login::begin(&access, ALICE, Some(&name), Some(password.as_bytes()));
    let LoginStep::NeedsDevice(pending) = step else { panic!("{step:?}") };
    (pending, device(ALICE))
}

#[test]
fn a_connection_without_a_connect_is_closed_when_its_time_is_up() {
    let mut bench = Bench::new();
    let peer = bench.arrive();
    bench.pass(Duration::from_millis(9_999));
    assert_eq!(bench.close_of_timeout(), None);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.close_of_timeout(), Some(peer.key));
    assert!(bench.connections.close(peer.key, None, bench.now).is_none(), "it leaves no client");
}

#[test]
fn what_was_read_behind_a_connect_waits_for_the_connack() {
    let mut bench = Bench::new();
    let mut peer = bench.arrive();
    assert_eq!(bench.say(&mut peer, &[connect(ALICE, 60, 0), publishes(1..=2)].concat()), [Seen::Connect]);
    assert_eq!(bench.connections.connect_read(peer.key), Some(&ClientKey::new(ALICE)));
    let request = bench.connections.take_connect(peer.key).unwrap();
    let (pending, device) = pending_login();
    bench.connections.await_device(peer.key, *request, pending).unwrap();
    assert_eq!(bench.say(&mut peer, &publishes(3..=3)), []);
    let now = Now::certain(bench.now, 0);
    let logged_in = bench.connections.finish_login(peer.key, Ok(Some(device)), now).unwrap();
    assert!(logged_in.result.is_ok(), "{:?}", logged_in.result);
    let accepted = bench.let_in(&peer);
    assert_eq!((accepted.client, accepted.fits), (client_of(peer.key), true));
    assert_eq!(peer.next(), "CONNACK 0x00");
    assert_eq!(bench.ready(), [peer.key]);
    assert_eq!(bench.read(peer.key), numbers(1..=3));
}

/// What is held of a client that sends much behind its CONNECT, until it is let in; then all of it is read in its order.
fn sends_much_behind_its_connect(layers: Layers) {
    let mut bench = Bench::with(|limits| limits.user_publishes = Rate { burst: 1_000_000, per_second: 1_000_000 });
    let (mut peer, wire) =
        bench.arrive_with(layers, &[connect(ALICE, 60, 0), publish_of(&[b'a'; 1000]).repeat(4_000)].concat());
    let sent = peer.fill(&wire);
    assert!(sent > 1_000_000, "the sockets hold {sent} bytes");
    bench.connections.take_event(peer.has_input());
    assert_eq!(bench.read(peer.key), [Seen::Connect]);
    let request = bench.connections.take_connect(peer.key).unwrap();
    let (pending, device) = pending_login();
    bench.connections.await_device(peer.key, *request, pending).unwrap();
    bench.connections.take_event(peer.has_input());
    assert_eq!(bench.read(peer.key), []);
    bench.flush();
    let connection = bench.connections.get(peer.key).unwrap();
    let held = connection.mqtt.held_len() + connection.transport.held_bytes();
    assert!((1..=16_384).contains(&held), "{held} bytes are held over {layers:?}");
    let now = Now::certain(bench.now, 0);
    bench.connections.finish_login(peer.key, Ok(Some(device)), now).unwrap();
    bench.let_in(&peer);
    let (mut seen, give_up) = (bench.read(peer.key), Instant::now() + Duration::from_secs(10));
    while seen.len() < 900 {
        assert!(Instant::now() < give_up, "{} came over {layers:?}", seen.len());
        bench.connections.take_event(peer.has_input());
        seen.extend(bench.read(peer.key));
    }
    assert!(seen.iter().all(|seen| matches!(seen, Seen::Publish(_))));
}

#[test]
fn a_client_that_sends_much_behind_its_connect_is_not_read_further_until_the_connack() {
    for (tls, websocket) in [(false, false), (false, true), (true, false), (true, true)] {
        sends_much_behind_its_connect(Layers { tls, websocket });
    }
}

#[test]
fn a_login_that_takes_too_long_is_closed_and_its_answer_is_nobodys() {
    let mut bench = Bench::new();
    let mut peer = bench.arrive();
    bench.say(&mut peer, &connect(ALICE, 60, 0));
    let request = bench.connections.take_connect(peer.key).unwrap();
    let (pending, device) = pending_login();
    bench.connections.await_device(peer.key, *request, pending).unwrap();
    bench.pass(Duration::from_secs(10));
    assert_eq!(bench.close_of_timeout(), Some(peer.key));
    bench.connections.close(peer.key, None, bench.now);
    let now = Now::certain(bench.now, 0);
    assert!(bench.connections.finish_login(peer.key, Ok(Some(device)), now).is_none());
    bench.flush();
    assert_eq!((peer.next().as_str(), peer.next().as_str()), ("CONNACK 0x88", "end"));
}

#[test]
fn a_refused_client_reads_why_and_then_the_end() {
    let mut bench = Bench::new();
    let mut peer = bench.arrive();
    bench.say(&mut peer, &connect(ALICE, 60, 0));
    bench.connections.take_connect(peer.key).unwrap();
    bench.connections.refuse(peer.key, ReasonCode::NOT_AUTHORIZED, None);
    assert!(bench.connections.close(peer.key, None, bench.now).is_none());
    bench.flush();
    assert_eq!((peer.next().as_str(), peer.next().as_str()), ("CONNACK 0x87", "end"));
    assert_eq!(bench.counts().refused_connects.value(), 1);
    assert!(bench.connections.are_finished());
}

#[test]
fn a_login_that_began_before_its_device_was_removed_finds_none() {
    for (removed, after, result) in [
        ("DC.alice", Duration::ZERO, Err(LoginError::Refused)),
        ("DC.other", Duration::ZERO, Ok(())),
        ("DC.alice", Duration::from_secs(15), Ok(())),
    ] {
        let mut bench = Bench::with(|limits| limits.connect_deadline = Duration::from_secs(60));
        let mut peer = bench.arrive();
        bench.say(&mut peer, &connect(ALICE, 60, 0));
        let request = bench.connections.take_connect(peer.key).unwrap();
        let (pending, device) = pending_login();
        bench.connections.await_device(peer.key, *request, pending).unwrap();
        bench.connections.void_credential(removed.into(), bench.now);
        bench.pass(after);
        bench.connections.tick(bench.now);
        let now = Now::certain(bench.now, 0);
        let logged_in = bench.connections.finish_login(peer.key, Ok(Some(device)), now).unwrap();
        assert_eq!(logged_in.result.map(drop), result, "{removed} {after:?}");
    }
}

#[test]
fn a_connection_moves_with_what_was_read_behind_its_connect() {
    let (mut first, mut second) = (Bench::new(), Bench::new());
    let mut peer = first.arrive();
    first.say(&mut peer, &[connect(ALICE, 60, 0), publishes(1..=1)].concat());
    let moving = first.connections.release(peer.key).unwrap();
    assert!(first.connections.is_empty() && first.close_of_timeout().is_none());
    assert_eq!(first.connections.next_due(), None);
    let (key, request) = second.connections.adopt(moving, second.now).unwrap();
    assert_eq!(request.client, ClientKey::new(ALICE));
    peer.key = key;
    second.let_in(&peer);
    assert_eq!(second.connections.next_of(Line::Login), None, "who is let in stands there no longer");
    assert_eq!(second.ready(), [key]);
    assert_eq!(second.read(key), numbers(1..=1));
    assert_eq!(peer.next(), "CONNACK 0x00");
}

#[test]
fn a_silent_client_is_closed_after_one_and_a_half_times_its_keep_alive() {
    let mut bench = Bench::new();
    let mut peer = bench.connect(10);
    bench.pass(Duration::from_secs(14));
    assert_eq!(bench.close_of_timeout(), None);
    assert_eq!(bench.say(&mut peer, &publishes(1..=1)), numbers(1..=1));
    bench.pass(Duration::from_millis(14_999));
    assert_eq!(bench.close_of_timeout(), None);
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.close_of_timeout(), Some(peer.key));
    let left = bench.connections.close(peer.key, None, bench.now).unwrap();
    assert_eq!((left.client, left.sent_disconnect), (client_of(peer.key), false));
    bench.flush();
    assert_eq!((peer.next().as_str(), peer.next().as_str()), ("DISCONNECT 0x8d", "end"));
}

#[test]
fn a_paused_publisher_keeps_what_it_sent_and_its_silence_says_nothing() {
    let mut bench = Bench::new();
    let mut peer = bench.connect(10);
    bench.is_congested = true;
    assert_eq!(bench.say(&mut peer, &publishes(1..=3)), numbers(1..=1));
    assert!(bench.connections.has_paused());
    bench.pass(Duration::from_secs(15));
    assert_eq!(bench.close_of_timeout(), None);
    assert_eq!(bench.say(&mut peer, &publishes(4..=4)), []);
    bench.is_congested = false;
    bench.ready();
    bench.connections.resume_paused();
    assert!(!bench.connections.has_paused());
    assert_eq!(bench.ready(), [peer.key]);
    assert_eq!(bench.read(peer.key), numbers(2..=4));
}

#[test]
fn a_publisher_whose_message_waits_for_the_queue_is_read_again_when_it_is_taken() {
    let mut bench = Bench::new();
    let mut peer = bench.connect(10);
    bench.connections.hold_for_queue(peer.key);
    assert_eq!(bench.say(&mut peer, &publishes(1..=1)), []);
    bench.ready();
    bench.connections.resume_from_queue(peer.key);
    assert_eq!(bench.connections.next_of(Line::Ready), None, "it may have much to say, so it goes behind the others");
    assert_eq!(bench.ready(), [peer.key]);
    assert_eq!(bench.read(peer.key), numbers(1..=1));
}

#[test]
fn a_user_that_publishes_too_fast_is_read_again_when_its_time_has_passed() {
    let mut bench = Bench::with(|limits| limits.user_publishes = Rate { burst: 2, per_second: 1 });
    let mut peer = bench.connect(60);
    assert_eq!(bench.say(&mut peer, &publishes(1..=5)), numbers(1..=3));
    bench.ready();
    bench.pass(Duration::from_millis(999));
    assert_eq!((bench.close_of_timeout(), bench.ready()), (None, vec![]));
    bench.pass(Duration::from_millis(1));
    assert_eq!((bench.close_of_timeout(), bench.ready()), (None, vec![peer.key]));
    assert_eq!(bench.read(peer.key), numbers(4..=4));
}

#[test]
fn a_slow_reader_misses_qos_0_and_says_when_it_reads_again() {
    let mut bench = Bench::new();
    let mut peer = bench.connect(60);
    let large = message(&"x".repeat(65_536));
    let mut sent = 0;
    while bench.connections.has_room(peer.key) {
        bench.send_at_most_once(&peer, &large);
        assert_eq!(bench.flush(), (vec![peer.key], vec![]));
        sent += 1;
        assert!(sent < 10_000, "the socket takes everything");
    }
    bench.send_at_most_once(&peer, &large);
    assert_eq!((bench.counts().dropped_slow.value(), bench.counts().sent.value()), (1, sent));
    assert_eq!(bench.say(&mut peer, &publishes(1..=1)), [], "nor is it read while it does not read");
    bench.ready();

    let mut readers = Vec::new();
    let mut received = 0;
    while received < sent {
        assert!(peer.next().starts_with("PUBLISH"));
        received += 1;
        bench.connections.take_event(peer.takes_output());
        readers.extend(bench.flush().1);
    }
    assert_eq!(readers, [client_of(peer.key)], "once");
    assert!(bench.connections.has_room(peer.key));
    bench.ready();
    assert_eq!(bench.read(peer.key), numbers(1..=1));
}

#[test]
fn a_slow_reader_is_cut_when_it_does_not_read_the_last_words() {
    let mut bench = Bench::new();
    let peer = bench.connect(60);
    let large = message(&"x".repeat(65_536));
    while bench.connections.has_room(peer.key) {
        bench.send_at_most_once(&peer, &large);
        bench.flush();
    }
    let farewell = Some((ReasonCode::SESSION_TAKEN_OVER, None));
    assert!(bench.connections.close(peer.key, farewell, bench.now).is_some());
    bench.flush();
    assert!(!bench.connections.are_finished());
    bench.pass(Duration::from_millis(4_999));
    assert_eq!(bench.close_of_timeout(), None);
    assert!(!bench.connections.is_empty());
    bench.pass(Duration::from_millis(1));
    assert_eq!(bench.close_of_timeout(), None);
    assert!(bench.connections.is_empty());
}

#[test]
fn a_connection_is_written_to_once_a_turn_and_in_the_order_of_what_was_said() {
    let mut bench = Bench::new();
    let (mut alice, mut bob) = (bench.connect(60), bench.connect(60));
    let mut tokens: Vec<AckToken> = Vec::new();
    alice.send(&publishes(1..=2));
    bench.connections.take_event(alice.has_input());
    let Read::Input { bytes, .. } = bench.connections.read(alice.key, &mut bench.scratch, READ_BYTES) else {
        panic!("it has sent")
    };
    let input = bench.connections.begin_input(alice.key, bytes).unwrap();
    while let Ok(Some(request)) = bench.connections.next_request(alice.key, &input, bench.now) {
        let Request::Publish { token: Some(token), .. } = request else { panic!("it publishes") };
        tokens.push(token);
    }
    bench.connections.end_input(alice.key, input);
    bench.flush();

    bench.send_at_most_once(&bob, &message("first"));
    bench.send_at_most_once(&alice, &message("second"));
    for token in tokens.into_iter().rev() {
        bench.connections.puback(alice.key, token, ReasonCode::SUCCESS);
    }
    bench.send_at_most_once(&bob, &message("third"));
    assert_eq!(bench.flush(), (vec![bob.key, alice.key], vec![]));
    assert_eq!([bob.next(), bob.next()], ["PUBLISH first", "PUBLISH third"]);
    assert_eq!([alice.next(), alice.next(), alice.next()], ["PUBLISH second", "PUBACK 1", "PUBACK 2"]);
    assert_eq!(bench.flush(), (vec![], vec![]));
}

#[test]
fn a_closed_connection_says_its_last_words_and_reads_nothing_more() {
    let mut bench = Bench::new();
    let mut peer = bench.connect(60);
    bench.send_at_most_once(&peer, &message("before"));
    let farewell = Some((ReasonCode::SESSION_TAKEN_OVER, None));
    let left = bench.connections.close(peer.key, farewell, bench.now).unwrap();
    assert_eq!((left.client, &*left.connection_id), (client_of(peer.key), "connection"));
    assert!(bench.connections.close(peer.key, farewell, bench.now).is_none(), "only once");
    assert!(bench.connections.connected(peer.key).is_none());
    bench.send_at_most_once(&peer, &message("after"));
    bench.flush();
    assert_eq!([peer.next(), peer.next(), peer.next()], ["PUBLISH before", "DISCONNECT 0x8e", "end"]);
    assert!(bench.connections.are_finished() && !bench.connections.is_empty());
    assert_eq!(bench.say(&mut peer, &publishes(1..=1)), [], "what it still sends is read and counts no more");
    peer.socket.shutdown(std::net::Shutdown::Write).unwrap();
    bench.connections.take_event(peer.has_end());
    let give_up = Instant::now() + Duration::from_secs(10);
    while !bench.connections.is_empty() {
        bench.read(peer.key);
        assert!(Instant::now() < give_up, "the end does not come");
    }
}

#[test]
fn a_broken_rule_is_counted_and_what_came_behind_it_is_not_looked_at() {
    let mut bench = Bench::new();
    let mut peer = bench.connect(60);
    let second_connect = connect(ALICE, 60, 0);
    let bytes = [publishes(1..=1), second_connect, publishes(2..=2)].concat();
    peer.send(&bytes);
    bench.connections.take_event(peer.has_input());
    let Read::Input { bytes, .. } = bench.connections.read(peer.key, &mut bench.scratch, READ_BYTES) else {
        panic!("it has sent")
    };
    let input = bench.connections.begin_input(peer.key, bytes).unwrap();
    assert!(matches!(bench.connections.next_request(peer.key, &input, bench.now), Ok(Some(_))));
    assert!(bench.connections.next_request(peer.key, &input, bench.now).is_err());
    bench.connections.close(peer.key, None, bench.now);
    assert!(matches!(bench.connections.next_request(peer.key, &input, bench.now), Ok(None)));
    bench.connections.end_input(peer.key, input);
    bench.flush();
    assert_eq!([peer.next(), peer.next()], ["DISCONNECT 0x82", "end"]);
    assert_eq!(bench.counts().protocol_errors.value(), 1);
}

#[test]
fn a_name_of_a_connection_that_has_gone_is_nobodys() {
    let mut bench = Bench::new();
    let old = bench.connect(60);
    bench.connections.close(old.key, None, bench.now);
    bench.connections.remove(old.key);
    let mut new = bench.connect(60);
    assert_eq!(old.key.slot, new.key.slot);
    assert!(!bench.connections.has_room(old.key) && bench.connections.peer_of(old.key).is_none());
    bench.send_at_most_once(&old, &message("for the old one"));
    bench.connections.hold_for_queue(old.key);
    bench.connections.read_later(old.key);
    assert!(bench.connections.close(old.key, Some((ReasonCode::SESSION_TAKEN_OVER, None)), bench.now).is_none());
    assert_eq!((bench.ready(), bench.flush()), (vec![], (vec![], vec![])));
    assert_eq!(bench.counts().dropped_slow.value(), 1);
    assert_eq!(bench.say(&mut new, &publishes(1..=1)), numbers(1..=1));
    bench.pass(Duration::from_secs(3600));
    assert_eq!(bench.close_of_timeout(), Some(new.key), "the timers of the old one are gone");
}

#[test]
fn a_login_waits_for_one_connection_of_each_other_network() {
    let (flood, other, alices) = ([192, 0, 2, 1], [192, 0, 2, 2], [198, 51, 100, 1]);
    let mut bench = Bench::new();
    let mut peers: Vec<Peer> = (0..100).map(|_| bench.arrive_from(flood)).collect();
    peers.push(bench.arrive_from(other));
    let alice = bench.arrive_from(alices);
    let next: Vec<_> = (0..3).filter_map(|_| bench.connections.next_of(Line::Login)).collect();
    assert_eq!(next, [peers[0].key, peers[100].key, alice.key]);
    // With each step of its own.
    bench.connections.read_later(alice.key);
    let next: Vec<_> = (0..2).filter_map(|_| bench.connections.next_of(Line::Login)).collect();
    assert_eq!(next, [peers[1].key, alice.key]);
    assert_eq!(bench.connections.len_of(Line::Login), 98);
}
