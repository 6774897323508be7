//! Rings and their deadlines when the system's clock is set, on virtual time: none ends too early or never, and each that
//! is missed is missed once.

use super::world::World;
use catalog::DueTimers;
use clock::Clock;
use clock::testing::TestMachine;
use meeting::machine::Event;
use std::collections::BTreeSet;

const BEGIN_MS: u64 = 1_800_000_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
const STEPS_S: [i64; 10] = [-30, 30, -2 * MINUTE, 2 * MINUTE, -HOUR, HOUR, -5 * HOUR, 5 * HOUR, -40 * DAY, 40 * DAY];
/// A ring, from the moment at which the deadline that it has was set.
const RING_S: u64 = 45;
/// The service is away for so long.
const AWAY_S: u64 = 5;
const NIGHT_S: u64 = 8 * 3_600;
const WHEN: [When; 4] = [When::Running, When::Restart, When::Reboot, When::Suspended];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum When {
    Running,
    /// In the same boot.
    Restart,
    Reboot,
    /// It wakes with another clock.
    Suspended,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    /// No device has rung yet.
    ToReach,
    /// No device is there.
    ToAbsent,
    Ringing,
}

const KINDS: [Kind; 3] = [Kind::ToReach, Kind::ToAbsent, Kind::Ringing];

/// The meeting service on a machine.
struct Service {
    machine: TestMachine,
    clock: Clock,
    world: World,
    /// Of the ring that stands, in true time.
    deadline_set_ms: u64,
}

impl Service {
    fn new() -> Self {
        let machine = TestMachine::at(BEGIN_MS);
        let clock = machine.clock(None);
        Self { machine, clock, world: World::new(), deadline_set_ms: BEGIN_MS }
    }

    fn look(&mut self) {
        let times = self.clock.times();
        (self.world.now_ms, self.world.held_ms) = (times.now_ms, times.held_ms());
    }

    /// Alice calls Bob.
    fn ring(&mut self, kind: Kind) {
        self.world = World::new();
        self.look();
        if matches!(kind, Kind::ToAbsent) {
            self.world.offline = ["bob.phone".into(), "bob.laptop".into()].into();
        }
        self.world.create("alice.phone", &["bob"]);
        if matches!(kind, Kind::Ringing) {
            self.pass(2);
            self.world.ringing("bob.phone");
        }
        self.deadline_set_ms = self.machine.true_ms();
    }

    fn rings(&self) -> bool {
        self.world.document().pending().next().is_some()
    }

    /// Time passes, in which deadlines fire as they do in the service.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.machine.pass(1_000);
            self.fire();
        }
    }

    fn fire(&mut self) {
        self.look();
        let rules = &self.world.rules;
        let (now_ms, held_ms) = (self.world.now_ms, self.world.held_ms.clone());
        let due = DueTimers { now_ms, latest_ms: now_ms + rules.deadline_max_ms(), held_ms };
        let Some(meeting) = &self.world.meeting else { return };
        if meeting.timers(rules).iter().any(|timer| due.contains(timer.due_ms)) {
            let online = self.world.online();
            self.world.event(Event::Due { online });
        }
    }

    /// The clock is set, while the service runs or while it is away.
    fn set_clock(&mut self, wrong_by_s: i64, when: When) {
        let kept = self.clock.keep();
        self.machine.set_wrong_by(wrong_by_s);
        match when {
            When::Running => return,
            When::Suspended => self.machine.pass(NIGHT_S * 1_000),
            When::Restart | When::Reboot => {
                self.machine.pass(AWAY_S * 1_000);
                if when == When::Reboot {
                    self.machine.reboot();
                }
                self.clock = self.machine.clock(Some(&kept));
                self.look();
                let online = self.world.online();
                self.world.event(Event::Restarted { connected: BTreeSet::new(), online });
            }
        }
        self.fire();
    }

    /// The same while no ring stands.
    fn set_clock_of_an_idle_service(&mut self, wrong_by_s: i64, when: When) {
        self.ring(Kind::ToReach);
        self.until_missed();
        self.set_clock(wrong_by_s, when);
    }

    /// Waits until the ring has ended by itself; returns how long that took since its deadline was set, in true time.
    fn until_missed(&mut self) -> u64 {
        while self.rings() {
            assert!(self.world.missed.is_empty(), "it rings");
            let lasts_s = (self.machine.true_ms() - self.deadline_set_ms) / 1_000;
            assert!(lasts_s < 2 * NIGHT_S, "it rings on and on");
            self.pass(1);
        }
        let lasts_s = (self.machine.true_ms() - self.deadline_set_ms) / 1_000;
        self.pass(3);
        self.is_missed_once();
        lasts_s
    }

    /// Everybody is told of the end, and nobody twice.
    fn is_missed_once(&mut self) {
        assert_eq!((self.world.missed.len(), self.world.past.len()), (1, 2));
        for (client, end) in [
            ("alice.phone", "ended(no_answer)"),
            ("bob.phone", "ring ended(no_answer, missed)"),
            ("bob.laptop", "ring ended(no_answer, missed)"),
        ] {
            let got = self.world.got(client);
            let ends: Vec<&String> = got.iter().filter(|signal| signal.contains("ended")).collect();
            assert_eq!(ends, [end], "{client}");
        }
    }

    /// One ring after the other, for so long. A ring over which the clock is followed ends early by a step ahead; by a step
    /// back it lasts no longer than a new one.
    fn ring_on_and_on(&mut self, seconds: u64, case: &str) {
        let end_ms = self.machine.true_ms() + seconds * 1_000;
        for kind in KINDS.into_iter().cycle() {
            if self.machine.true_ms() >= end_ms {
                return;
            }
            let followed = self.clock.followed();
            self.ring(kind);
            let lasts_s = self.until_missed();
            let followed = self.clock.followed() - followed;
            let longest_s = if followed > 0 { 2 * RING_S } else { RING_S };
            assert!(lasts_s <= longest_s, "{case}, {kind:?}: {lasts_s} s, followed {followed} times");
            assert!(followed > 0 || lasts_s == RING_S, "{case}, {kind:?}: {lasts_s} s");
        }
    }
}

#[test]
fn by_a_step_that_is_not_believed_yet_a_ring_ends_neither_earlier_nor_later() {
    for when in [When::Running, When::Restart] {
        for step in STEPS_S {
            for kind in KINDS {
                let mut service = Service::new();
                service.ring(kind);
                service.pass(5);
                service.set_clock(step, when);
                assert_eq!(service.until_missed(), RING_S, "{step} s, {when:?}, {kind:?}");
            }
        }
    }
}

/// The machine may have been off for as long as the clock is ahead, up to a day. A time behind the known one is the known
/// one's, or a deadline that lies ahead by it is set anew.
#[test]
fn a_ring_over_a_reboot_ends_by_the_clock_of_the_boot_at_most_a_ring_later() {
    for step in STEPS_S {
        for kind in KINDS {
            let mut service = Service::new();
            service.ring(kind);
            service.pass(5);
            service.set_clock(step, When::Reboot);
            let off = if (1..DAY).contains(&step) { step.unsigned_abs() } else { 0 };
            let shortest_s = RING_S.saturating_sub(off).max(5 + AWAY_S);
            let longest_s = if off > 0 { shortest_s } else { 5 + AWAY_S + RING_S };
            let lasts_s = service.until_missed();
            assert!((shortest_s..=longest_s).contains(&lasts_s), "{step} s, {kind:?}: {lasts_s} s");
        }
    }
}

#[test]
fn a_ring_is_over_after_a_night_in_which_the_machine_slept_whatever_the_clock_says_then() {
    for step in STEPS_S {
        for kind in KINDS {
            let mut service = Service::new();
            service.ring(kind);
            service.pass(5);
            service.set_clock(step, When::Suspended);
            assert!(!service.rings(), "{step} s, {kind:?}");
            service.is_missed_once();
        }
    }
}

#[test]
fn rings_have_their_time_before_and_after_a_step_is_believed_and_after_it_is_taken_back() {
    for when in WHEN {
        for step in STEPS_S {
            let mut service = Service::new();
            service.set_clock_of_an_idle_service(step, when);
            service.ring_on_and_on(20 * 60, &format!("{step} s, {when:?}"));
            service.machine.set_wrong_by(0);
            service.ring_on_and_on(20 * 60, &format!("{step} s, {when:?}, and back"));
        }
    }
}

#[test]
fn rings_have_their_time_while_a_clock_is_forty_days_wrong_for_five_minutes_and_after() {
    for when in WHEN {
        for step in [-40 * DAY, 40 * DAY] {
            let mut service = Service::new();
            service.set_clock_of_an_idle_service(step, when);
            service.ring_on_and_on(5 * 60, &format!("{step} s, {when:?}"));
            service.machine.set_wrong_by(0);
            service.ring_on_and_on(20 * 60, &format!("{step} s, {when:?}, and back"));
        }
    }
}

/// A machine without a battery for its clock was off for so long, and is set half a minute after the service has begun.
#[test]
fn rings_have_their_time_though_the_clock_is_set_while_they_stand() {
    for off_for_s in [5 * MINUTE, HOUR, 3 * DAY, 300 * DAY] {
        for kind in KINDS {
            let mut service = Service::new();
            let kept = service.clock.keep();
            service.machine.pass(off_for_s.unsigned_abs() * 1_000);
            service.machine.reboot();
            service.machine.unset();
            service.clock = service.machine.clock(Some(&kept));
            let case = format!("{off_for_s} s, {kind:?}");
            service.ring(kind);
            service.pass(30);
            service.machine.set_wrong_by(0);
            assert_eq!(service.until_missed(), RING_S, "{case}");
            service.ring_on_and_on(15 * 60, &case);
        }
    }
}

#[test]
fn a_member_that_has_gone_is_missed_in_its_time_though_the_clock_is_set_meanwhile() {
    for off_for_s in [HOUR, 3 * DAY] {
        let mut service = Service::new();
        let kept = service.clock.keep();
        service.machine.pass(off_for_s.unsigned_abs() * 1_000);
        service.machine.reboot();
        service.machine.unset();
        service.clock = service.machine.clock(Some(&kept));
        service.ring(Kind::Ringing);
        service.world.goes("alice.phone");
        service.pass(10);
        service.machine.set_wrong_by(0);
        for _ in 0..9 {
            service.pass(1);
            // Another deadline of the meeting is due.
            let online = service.world.online();
            service.world.event(Event::Due { online });
            assert!(service.rings(), "{off_for_s} s");
        }
        service.pass(1);
        assert!(!service.rings(), "{off_for_s} s");
    }
}
