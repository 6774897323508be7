//! What owners ask and order of clients.

use super::*;
use crate::worker::orders::Order;
use crate::worker::testing::message_of;
use accounts::clients::{ClientState, Depth, Purged, Turn};
use std::thread::yield_now;
use tokio::sync::Semaphore;
use tokio::sync::oneshot::error::TryRecvError;

const NOTHING: Purged = Purged { purged: 0, in_flight: 0 };

fn purge(client_id: &str) -> (Order, oneshot::Receiver<Purged>) {
    let (answer, answered) = oneshot::channel();
    (Order::Purge { client: ClientKey::new(client_id), answer, turn: Turn::uncounted() }, answered)
}

impl Bench {
    fn order_purge(&mut self, client_id: &str) -> oneshot::Receiver<Purged> {
        let (order, answered) = purge(client_id);
        self.address.notify(Notice::Ordered(order));
        self.turn(&[]);
        answered
    }

    fn state(&mut self, client_id: &str) -> ClientState {
        let (answer, mut answered) = oneshot::channel();
        let (clients, turn) = (vec![ClientKey::new(client_id)], Turn::uncounted());
        self.address.notify(Notice::Ordered(Order::States { clients, depth: Depth::All, answer, turn }));
        self.turn(&[]);
        answered.try_recv().unwrap().remove(0)
    }
}

#[test]
fn a_purge_that_drops_nothing_is_answered_without_a_tick() {
    let mut bench = Bench::new();
    let mut answered = bench.order_purge(BOB);
    assert_eq!(bench.worker.time_to_wait(Instant::now()), Duration::ZERO);
    bench.turn(&[]);
    assert_eq!(answered.try_recv(), Ok(NOTHING));
}

#[test]
fn a_purge_is_answered_when_the_disk_has_it_and_is_as_much_work_as_it_drops() {
    let (mut bench, _service) = bench_with_waiting(1..=3);
    bench.storage.hold_syncs();
    let (order, mut answered) = purge(BOB);
    assert_eq!(bench.worker.obey(order), 3);
    bench.worker.dispatch();
    (0..3).for_each(|_| bench.turn(&[]));
    assert_eq!(answered.try_recv(), Err(TryRecvError::Empty));
    bench.storage.release_syncs();
    let give_up = Instant::now() + Duration::from_secs(10);
    let purged = loop {
        match answered.try_recv() {
            Err(TryRecvError::Empty) if Instant::now() < give_up => yield_now(),
            answer => break answer,
        }
        bench.turn(&[]);
    };
    assert_eq!(purged, Ok(Purged { purged: 3, ..NOTHING }));
}

#[test]
fn a_log_without_any_room_lets_nothing_be_dropped() {
    let mut bench = bench_without_room(&[(Need::Normal, 500), (Need::Housekeeping, 0), (Need::Essential, 0)]);
    assert_eq!(bench.order_purge(BOB).try_recv(), Err(TryRecvError::Closed));
    assert!(!bench.worker.durability.has_deferred());
}

#[test]
fn a_question_that_nobody_waits_for_is_not_answered() {
    let mut bench = Bench::new();
    let clients: Vec<_> = (0..100).map(|_| ClientKey::new(BOB)).collect();
    let (answer, answered) = oneshot::channel();
    drop(answered);
    let order = Order::States { clients, depth: Depth::All, answer, turn: Turn::uncounted() };
    assert_eq!(bench.worker.obey(order), 1);
}

/// As long as the worker has not come to it, also if nobody waits for the answer.
#[test]
fn a_message_of_an_owner_holds_its_turn_until_its_place_has_decided() {
    let mut bench = Bench::new();
    let turns = Arc::new(Semaphore::new(2));
    let turn = || Turn::of(Arc::clone(&turns).try_acquire_owned().unwrap());
    let (to, message) = (ClientKey::new(BOB), message_of(b"x"));
    let answer = || oneshot::channel().0;
    let deliver = Order::Deliver { to, message: message.clone(), keep: false, answer: answer(), turn: turn() };
    bench.address.notify(Notice::Ordered(deliver));
    bench.address.notify(Notice::Ordered(Order::FanOut { message, keep: true, answer: answer(), turn: turn() }));
    assert_eq!(turns.available_permits(), 0);
    (0..3).for_each(|_| bench.turn(&[]));
    assert_eq!(turns.available_permits(), 2);
}

#[test]
fn times_of_a_connection_are_told_by_the_clock_as_it_goes_now() {
    let mut bench = Bench::new();
    let _alice = bench.connect(ALICE, HOUR_S);
    bench.pass(Duration::from_secs(10));
    for step_ms in [7_200_000, -3_600_000] {
        bench.now.ms = bench.now.ms.saturating_add_signed(step_ms);
        let connection = bench.state(ALICE).connection.unwrap();
        assert_eq!(bench.now.ms - connection.since_ms, 10_000);
        assert!(connection.last_packet_ms >= connection.since_ms && connection.last_packet_ms <= bench.now.ms);
    }
}
