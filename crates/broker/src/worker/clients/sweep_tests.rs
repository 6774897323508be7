//! What expires, and who is visited for it, on virtual time.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use std::time::Duration;

use commitlog::Position;
use mqtt::server::Restart;
use mqtt::{PacketId, ReasonCode};
use proptest::prelude::*;

use super::deadlines::BUCKET_MS;
use super::entry::NEVER_S;
use super::tests::{Bench, Seen, message};
use super::*;
use crate::inbox::KEYS_MAX;
use crate::message::{Collapse, Message};
use crate::store::{RecoveredEntry, RecoveredSession};
use crate::worker::post::Outcome;

const BOB: &str = "GID_dev@@@bob";
const CLIENTS: [&str; 3] = ["GID_dev@@@alice", BOB, "GID_dev@@@carol"];
const DAY: Duration = Duration::from_hours(24);
const HOUR: Duration = Duration::from_hours(1);

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

impl Bench {
    /// Time passes, and as many turns as there is work for.
    fn sweep_after(&mut self, time: Duration) -> Vec<Seen> {
        self.pass(time);
        self.clients.tick(self.now);
        while self.clients.is_sweeping() {
            self.clients.sweep_some(self.now, &mut self.actions);
        }
        self.drain()
    }

    fn waiting(&self, client_id: &str) -> usize {
        let client = self.clients.find(&ClientKey::new(client_id)).and_then(|client| self.clients.entry(client));
        client.map_or(0, |entry| entry.inbox.len())
    }

    fn set_clock_back(&mut self, by: Duration) {
        self.clients.tick(self.now);
        self.now.ms -= ms(by);
        self.clients.tick(self.now);
    }
}

fn session() -> RecoveredSession {
    RecoveredSession { account: "user:x".into(), expiry_s: NEVER_S, disconnected_ms: Some(1) }
}

fn with_entry(expires_at_ms: u64) -> RecoveredClient {
    let entry = RecoveredEntry { size: 1, expires_at_ms, urgent: false, collapse: None, subscription_ids: [].into() };
    RecoveredClient { session: Some(session()), entries: [(Position(7), entry)].into(), ..RecoveredClient::default() }
}

#[test]
fn nobody_is_visited_who_has_nothing_that_expires() {
    let mut bench = Bench::new();
    for number in 0..100_000 {
        let idle = RecoveredClient { session: Some(session()), ..RecoveredClient::default() };
        bench.clients.recover(&format!("GID_dev@@@{number}"), idle, Restart::Clean, bench.now);
    }
    bench.clients.recover(BOB, with_entry(bench.now.ms + ms(DAY)), Restart::Clean, bench.now);
    for hours in 1..=48 {
        bench.pass(HOUR);
        bench.clients.tick(bench.now);
        assert_eq!(bench.clients.is_sweeping(), hours == 25, "after {hours} hours");
        bench.clients.sweep_some(bench.now, &mut bench.actions);
        assert!(!bench.clients.is_sweeping(), "one visit was enough");
    }
    assert_eq!(bench.waiting(BOB), 0);
}

#[test]
fn a_turn_visits_some_of_the_clients_that_are_due_and_the_next_one_goes_on() {
    let mut bench = Bench::new();
    for number in 0..100 {
        bench.clients.recover(&number.to_string(), with_entry(bench.now.ms + 1000), Restart::Clean, bench.now);
    }
    bench.pass(HOUR);
    bench.clients.tick(bench.now);
    let counts = bench.clients.context.counts.clone();
    let mut left = Vec::new();
    while bench.clients.is_sweeping() {
        bench.clients.sweep_some(bench.now, &mut bench.actions);
        left.push(counts.inbox_messages.value());
    }
    assert_eq!(left, [68, 36, 4, 0]);
}

#[test]
fn a_receiver_for_which_nothing_was_stored_is_forgotten() {
    let mut bench = Bench::new();
    let late = Message { expires_at_ms: bench.now.ms, ..message("late") };
    bench.send(BOB, late.into());
    bench.clients.looked_up(&ClientKey::new(BOB), Ok(true), bench.now, &mut bench.actions);
    bench.drain();
    assert!(bench.clients.find(&ClientKey::new(BOB)).is_some());
    bench.sweep_after(Duration::from_millis(BUCKET_MS));
    assert!(bench.clients.find(&ClientKey::new(BOB)).is_none());
}

#[test]
fn what_was_stored_before_the_clock_was_set_back_is_kept_as_long_as_any_other_message() {
    let mut bench = Bench::with(|limits| limits.offline_retention = 3 * DAY);
    bench.now.ms += ms(50 * DAY);
    let (key, bob) = bench.connect(BOB, NEVER_S);
    bench.clients.leave(bob, key, bench.now.ms);
    bench.send(BOB, message("before").into());
    bench.set_clock_back(40 * DAY);
    // What comes after has its time like ever, and the client is visited for it first.
    let brief = Message { expires_at_ms: bench.now.ms + 1000, ..message("brief") };
    bench.send(BOB, brief.into());
    bench.sweep_after(DAY + HOUR);
    bench.send(BOB, message("after").into());
    bench.sweep_after(2 * DAY - 2 * HOUR);
    assert_eq!(bench.waiting(BOB), 2, "an hour before");
    assert_eq!(bench.sweep_after(HOUR + Duration::from_millis(BUCKET_MS)).len(), 1);
    assert_eq!(bench.waiting(BOB), 1, "after its retention");
    bench.sweep_after(DAY + HOUR);
    assert_eq!(bench.waiting(BOB), 0);
}

#[test]
fn a_clock_that_lies_behind_until_the_network_is_there_costs_no_message() {
    let mut bench = Bench::new();
    let truth_ms = bench.now.ms + ms(400 * DAY);
    bench.clients.recover(BOB, with_entry(truth_ms + ms(DAY)), Restart::Unclean, bench.now);
    bench.sweep_after(10 * Duration::from_mins(1));
    bench.now.ms = truth_ms;
    bench.sweep_after(23 * HOUR);
    assert_eq!(bench.waiting(BOB), 1);
    bench.sweep_after(2 * HOUR);
    assert_eq!(bench.waiting(BOB), 0);
}

#[test]
fn what_comes_from_a_log_of_a_clock_that_was_ahead_is_kept_as_long_as_any_other_message() {
    let mut bench = Bench::with(|limits| limits.offline_retention = 3 * DAY);
    let mut recovered = with_entry(bench.now.ms + ms(400 * DAY));
    recovered.queue_ids.insert("id".into(), bench.now.ms + ms(400 * DAY));
    bench.clients.recover(BOB, recovered, Restart::Unclean, bench.now);
    bench.sweep_after(DAY + HOUR);
    bench.sweep_after(2 * DAY - 2 * HOUR);
    let bob = bench.clients.find(&ClientKey::new(BOB)).unwrap();
    assert!(bench.clients.entry(bob).unwrap().queue_ids.is_empty());
    assert_eq!(bench.waiting(BOB), 1);
    bench.sweep_after(2 * HOUR);
    assert_eq!(bench.waiting(BOB), 0);
}

/// What ends behind what is held is visited late.
#[test]
fn what_has_expired_makes_room_while_something_is_held_and_what_is_held_stays() {
    let mut bench = Bench::with(|limits| limits.inbox_messages_max = 3);
    let (key, bob) = bench.connect(BOB, NEVER_S);
    bench.clients.leave(bob, key, bench.now.ms);
    let ending_in = |bench: &Bench, time: Duration, payload: &str| {
        Message { expires_at_ms: bench.now.ms + ms(time), ..message(payload) }.into()
    };
    let early = ending_in(&bench, HOUR, "dated early");
    bench.send(BOB, early);
    bench.now.held.from_ms = bench.now.ms;
    bench.now.ms += ms(40 * DAY);
    bench.now.held.until_ms = bench.now.ms;
    for payload in ["brief", "brief too"] {
        let brief = ending_in(&bench, Duration::from_secs(1), payload);
        bench.send(BOB, brief);
    }
    bench.now.held.from_ms += ms(Duration::from_mins(1));
    assert_eq!(bench.sweep_after(Duration::from_mins(1)), []);
    assert_eq!(bench.waiting(BOB), 3);

    assert!(matches!(bench.send(BOB, message("1").into())[..], [Seen::Removed(_), Seen::Removed(_), ..]));
    bench.send(BOB, message("2").into());
    let full = [Seen::Reply(Outcome::Dropped(ReasonCode::QUOTA_EXCEEDED))];
    for _ in 0..3 {
        assert_eq!(bench.send(BOB, message("3").into()), full);
    }
    let (_, bob) = bench.connect(BOB, NEVER_S);
    assert_eq!(bench.deliver(bob), ["dated early", "1", "2"]);
}

#[test]
fn an_inbox_is_swept_for_room_once_in_a_while_whatever_is_refused() {
    let begin = Instant::now();
    let client = |slot| ClientRef { slot, generation: 1 };
    let mut swept = SweptForRoom::new(begin);
    let mut may = |slots: [u32; 3], passed_ms| {
        slots.map(|slot| swept.may(client(slot), begin + Duration::from_millis(passed_ms)))
    };
    assert_eq!(may([1, 1, 2], 1), [true, false, true]);
    assert_eq!(may([2, 1, 3], BUCKET_MS - 1), [false, false, true]);
    assert_eq!(may([1, 1, 2], BUCKET_MS), [true, false, true]);
}

#[test]
fn a_collapse_key_that_is_held_outlives_one_that_has_expired() {
    let mut bench = Bench::new();
    // In memory alone.
    bench.connect(BOB, 0);
    let keyed = |bench: &Bench, key: &str, time: Duration| {
        let collapse = Some(Collapse { key: key.into(), version: 1 });
        Message { collapse, expires_at_ms: bench.now.ms + ms(time), ..message(key) }.into()
    };
    let early = keyed(&bench, "dated early", HOUR);
    bench.send(BOB, early);
    bench.now.held.from_ms = bench.now.ms;
    bench.now.ms += ms(40 * DAY);
    bench.now.held.until_ms = bench.now.ms;
    for number in 1..KEYS_MAX {
        let brief = keyed(&bench, &number.to_string(), Duration::from_secs(1));
        bench.send(BOB, brief);
    }
    bench.now.held.from_ms += ms(Duration::from_mins(1));
    bench.sweep_after(Duration::from_mins(1));
    let one_more = keyed(&bench, "one more", HOUR);
    bench.send(BOB, one_more);
    let again = keyed(&bench, "dated early", HOUR);
    bench.send(BOB, again);
    assert_eq!(bench.waiting(BOB), 2, "the key is known still");
}

#[derive(Clone, Debug)]
enum Act {
    Send { client: usize, expires_s: u64, key: Option<u8> },
    Deliver(usize),
    Ack(usize),
    Reconnect(usize),
    Pass(u64),
}

fn act() -> impl Strategy<Value = Act> {
    let client = 0..CLIENTS.len();
    prop_oneof![
        4 => (client.clone(), 0u64..200, prop::option::of(0u8..3))
            .prop_map(|(client, expires_s, key)| Act::Send { client, expires_s, key }),
        2 => client.clone().prop_map(Act::Deliver),
        2 => client.clone().prop_map(Act::Ack),
        1 => client.prop_map(Act::Reconnect),
        2 => (0u64..100).prop_map(Act::Pass),
    ]
}

/// Three clients that come and go; the first ends with its connection.
struct Run {
    bench: Bench,
    attached: [(ConnectionKey, ClientRef); 3],
    versions: u64,
}

impl Run {
    fn new() -> Self {
        let mut bench = Bench::new();
        let attached = CLIENTS.map(|client_id| bench.connect(client_id, NEVER_S));
        Self { bench, attached, versions: 0 }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Send { client, expires_s, key } => self.send(CLIENTS[client], expires_s, key),
            Act::Deliver(client) => _ = self.bench.deliver(self.attached[client].1),
            Act::Ack(client) => self.ack(client),
            Act::Reconnect(client) => {
                let (key, left) = self.attached[client];
                self.bench.clients.leave(left, key, self.bench.now.ms);
                self.attached[client] = self.bench.connect(CLIENTS[client], NEVER_S);
            }
            Act::Pass(seconds) => _ = self.bench.sweep_after(Duration::from_secs(seconds)),
        }
        self.bench.drain();
    }

    fn send(&mut self, to: &str, expires_s: u64, key: Option<u8>) {
        self.versions += 1;
        let collapse = key.map(|key| Collapse { key: key.to_string().into(), version: self.versions });
        let expires_at_ms = self.bench.now.ms + 1000 * expires_s;
        self.bench.send(to, Message { expires_at_ms, collapse, ..message("x") }.into());
    }

    fn ack(&mut self, client: usize) {
        let (key, client) = self.attached[client];
        let in_flight = self.bench.clients.entry(client).unwrap().inbox.session.in_flight().next();
        let packet_id = in_flight.map_or(PacketId::MIN, |(_, packet_id)| packet_id);
        self.bench.clients.ack(client, key, packet_id, &mut self.bench.actions);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
    #[test]
    fn nothing_outlasts_its_deadline_by_more_than_a_bucket(acts in prop::collection::vec(act(), 1..60)) {
        let mut run = Run::new();
        for act in acts {
            let is_swept = matches!(act, Act::Pass(_));
            run.act(act);
            let now_ms = run.bench.now.ms;
            for (_, client) in run.attached.iter().filter(|_| is_swept) {
                let earliest_ms = run.bench.clients.entry(*client).unwrap().earliest_deadline_ms();
                prop_assert!(earliest_ms.is_none_or(|earliest_ms| earliest_ms + BUCKET_MS > now_ms));
            }
        }
        run.bench.sweep_after(Duration::from_secs(200) + Duration::from_millis(BUCKET_MS));
        prop_assert!(!run.bench.clients.deadlines.has_due(u64::MAX), "nothing is left to expire");
    }
}
