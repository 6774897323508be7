//! What becomes of a session and of the messages that wait in it when the system's clock is set, on virtual time.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use std::time::Duration;

use clock::Clock;
use clock::testing::TestMachine;
use commitlog::{Log, Need, Options};
use mqtt::server::Restart;

use super::tests::{Bench, message};
use super::*;
use crate::message::Message;
use crate::store::Recovery;
use crate::store::journal::{Batch, Journal};

const BOB: &str = "GID_dev@@@bob";
const BEGIN_MS: u64 = 1_800_000_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const STEPS_S: [i64; 10] = [-30, 30, -2 * MINUTE, 2 * MINUTE, -HOUR, HOUR, -5 * HOUR, 5 * HOUR, -40 * DAY, 40 * DAY];
/// Of Bob's session, and of the message that waits in it, which is kept for as long as any can be.
const SESSION: Duration = Duration::from_hours(5 * 24);
const MESSAGE: Duration = Duration::from_hours(3 * 24);

fn seconds(seconds: i64) -> Duration {
    Duration::from_secs(seconds.unsigned_abs())
}

fn ms(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

/// A worker's clients on a machine; Bob has gone, and a message waits for him.
struct Server {
    machine: TestMachine,
    clock: Clock,
    bench: Bench,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Running,
    Restart,
    Reboot,
}

impl Server {
    fn new() -> Self {
        let machine = TestMachine::at(BEGIN_MS);
        let (clock, bench) = (machine.clock(None), Bench::new());
        let mut server = Self { machine, clock, bench };
        server.look();
        server.bob_comes_and_goes();
        server
    }

    /// Its machine has no battery for its clock, and was off for so long since the last run.
    fn without_battery(off_for: Duration) -> Self {
        let machine = TestMachine::at(BEGIN_MS);
        let kept = machine.clock(None).keep();
        machine.pass(ms(off_for));
        machine.reboot();
        machine.unset();
        let (clock, bench) = (machine.clock(Some(&kept)), Bench::new());
        let mut server = Self { machine, clock, bench };
        server.look();
        server.bob_comes_and_goes();
        server
    }

    fn look(&mut self) {
        self.bench.now = Now { instant: self.bench.now.instant, ..Now::of(&self.clock) };
    }

    fn bob_comes_and_goes(&mut self) {
        let connection_id = self.bench.next_connection_id();
        let (key, bob) = self.bench.connect(BOB, u32::try_from(SESSION.as_secs()).unwrap());
        let now_ms = self.bench.now.ms;
        self.bench.clients.leave(bob, key, now_ms);
        let mut batch = Batch::default();
        batch.closed(BOB, &connection_id, now_ms);
        Journal::new(self.bench.log.clone()).append_independent(&batch, Need::Essential).unwrap();
        let (arrived_ms, expires_at_ms) = (now_ms, now_ms + ms(MESSAGE));
        self.bench.send(BOB, Message { arrived_ms, expires_at_ms, ..message("waits") }.into());
    }

    /// Time passes, in which the worker does what is due.
    fn pass(&mut self, time: Duration) {
        let end = self.bench.now.instant + time;
        while self.bench.now.instant < end {
            let step = (end - self.bench.now.instant).min(Duration::from_secs(30));
            self.machine.pass(ms(step));
            self.bench.now.instant += step;
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.look();
        self.bench.clients.tick(self.bench.now);
        while self.bench.clients.is_sweeping() {
            self.bench.clients.sweep_some(self.bench.now, &mut self.bench.actions);
        }
        self.bench.drain();
    }

    /// The clock is set, while the server runs or while it is away.
    fn set_clock(&mut self, wrong_by_s: i64, when: When) {
        if when == When::Running {
            return self.machine.set_wrong_by(wrong_by_s);
        }
        let kept = self.clock.keep();
        self.bench.log.close().unwrap();
        if when == When::Reboot {
            self.machine.reboot();
        }
        self.machine.set_wrong_by(wrong_by_s);
        self.machine.pass(5_000);
        let (log, replay) = Log::open(self.bench.storage.handle(), Options::default()).unwrap();
        let mut recovery = Recovery::new();
        replay.for_each(|replayed| recovery.apply(replayed).unwrap()).unwrap();
        self.bench.log = log;
        self.clock = self.machine.clock(Some(&kept));
        self.clock.not_before(recovery.latest_ms());
        self.look();
        self.bench.begin_again();
        for (client_id, client) in recovery.clients {
            self.bench.clients.recover(&client_id, *client, Restart::Unclean, self.bench.now);
        }
    }

    fn has_session(&self) -> bool {
        self.bench.clients.find(&ClientKey::new(BOB)).is_some()
    }

    fn waiting(&self) -> usize {
        let client = self.bench.clients.find(&ClientKey::new(BOB)).and_then(|client| self.bench.clients.entry(client));
        client.map_or(0, |entry| entry.inbox.len())
    }

    fn has_all(&self) -> bool {
        self.has_session() && self.waiting() == 1
    }
}

const WHEN: [When; 3] = [When::Running, When::Restart, When::Reboot];

#[test]
fn nothing_ends_by_a_step_before_it_is_believed() {
    for when in WHEN {
        for step in STEPS_S {
            let mut server = Server::new();
            server.set_clock(step, when);
            for minute in 0..10 {
                server.turn();
                assert!(server.has_all(), "{step} s, {when:?}, after {minute} minutes");
                server.pass(seconds(MINUTE - 1));
            }
        }
    }
}

#[test]
fn a_clock_that_is_forty_days_wrong_for_five_minutes_ends_nothing() {
    for when in WHEN {
        for step in [-40 * DAY, 40 * DAY] {
            let mut server = Server::new();
            server.set_clock(step, when);
            server.pass(seconds(5 * MINUTE));
            server.set_clock(0, When::Running);
            server.pass(MESSAGE - seconds(HOUR));
            assert!(server.has_all(), "{step} s, {when:?}");
            server.pass(seconds(2 * HOUR));
            assert_eq!((server.has_session(), server.waiting()), (true, 0), "{step} s, {when:?}: the message is over");
            server.pass(SESSION - MESSAGE);
            assert!(!server.has_session(), "{step} s, {when:?}");
        }
    }
}

/// A step ahead takes from what lasts. A step back gives at most as much as it lasts, and a message a day until that shows.
#[test]
fn a_step_that_is_believed_ends_what_is_over_by_it_and_keeps_nothing_for_long() {
    for when in WHEN {
        for step in STEPS_S {
            let mut server = Server::new();
            server.set_clock(step, when);
            server.pass(seconds(11 * MINUTE));
            let is_over = step > DAY;
            assert_eq!((server.has_session(), server.waiting() == 1), (!is_over, !is_over), "{step} s, {when:?}");
            server.pass(MESSAGE + seconds(DAY + 2 * HOUR));
            assert_eq!(server.waiting(), 0, "{step} s, {when:?}");
            server.pass(SESSION - MESSAGE - seconds(DAY) + seconds(6 * HOUR));
            assert!(!server.has_session(), "{step} s, {when:?}");
        }
    }
}

#[test]
fn what_began_while_the_clock_was_ahead_has_its_time_and_no_more() {
    for when in WHEN {
        let mut server = Server::new();
        server.set_clock(40 * DAY, when);
        server.pass(seconds(11 * MINUTE));
        server.bob_comes_and_goes();
        server.set_clock(0, When::Running);
        server.pass(seconds(11 * MINUTE));
        server.pass(MESSAGE - seconds(HOUR));
        assert!(server.has_all(), "{when:?}");
        server.pass(seconds(DAY + 2 * HOUR));
        assert_eq!(server.waiting(), 0, "{when:?}");
        server.pass(SESSION - MESSAGE - seconds(DAY));
        assert!(!server.has_session(), "{when:?}");
    }
}

#[test]
fn a_night_in_which_the_machine_sleeps_counts() {
    let mut server = Server::new();
    server.machine.pass(ms(MESSAGE) - 1_000);
    server.turn();
    assert!(server.has_all());
    server.machine.pass(2_000);
    server.turn();
    server.pass(seconds(2 * MINUTE));
    assert_eq!((server.has_session(), server.waiting()), (true, 0));
    server.machine.pass(ms(SESSION - MESSAGE));
    server.turn();
    assert!(!server.has_session());
}

/// What lasts for longer than the machine was off ends by that too early.
#[test]
fn what_began_before_the_clock_was_set_has_its_time() {
    for (off_for, lost) in [(HOUR, seconds(HOUR)), (300 * DAY, Duration::ZERO)] {
        // In the same boot: the clock is set while the server runs, or while it is away.
        for when in [When::Running, When::Restart] {
            let mut server = Server::without_battery(seconds(off_for));
            server.pass(seconds(30));
            server.set_clock(0, when);
            server.pass(seconds(11 * MINUTE));
            assert!(server.has_all(), "{off_for} s, {when:?}");
            server.pass(MESSAGE - lost - seconds(HOUR));
            assert!(server.has_all(), "{off_for} s, {when:?}");
            server.pass(seconds(2 * HOUR));
            assert_eq!(server.waiting(), 0, "{off_for} s, {when:?}");
            server.pass(SESSION - MESSAGE);
            assert!(!server.has_session(), "{off_for} s, {when:?}");
        }
    }
}
