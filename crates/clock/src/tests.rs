//! Steps of the system's clock on virtual time.
#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use std::sync::{Arc, Mutex};

use super::*;

const S: u64 = 1_000_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// The true time at the start, in seconds.
const BEGIN: u64 = 1_800_000_000;

/// A machine whose clock can be set, and which can be suspended and booted anew.
#[derive(Clone)]
struct Played(Arc<Mutex<State>>);

struct State {
    boot: u32,
    boot_ns: u64,
    true_ns: u64,
    wrong_by_s: i64,
}

impl Machine for Played {
    fn read(&self) -> Reading {
        let state = self.0.lock().unwrap();
        Reading { boot_ns: state.boot_ns, wall_ns: state.true_ns.saturating_add_signed(state.wrong_by_s * S as i64) }
    }

    fn boot_id(&self) -> Option<String> {
        Some(format!("boot-{}", self.0.lock().unwrap().boot))
    }
}

impl Played {
    fn new() -> Self {
        Self(Arc::new(Mutex::new(State { boot: 1, boot_ns: 0, true_ns: BEGIN * S, wrong_by_s: 0 })))
    }

    fn clock(&self, kept: Option<&Kept>) -> Clock {
        Clock::start(Box::new(self.clone()), kept)
    }

    fn pass(&self, ns: u64) {
        let mut state = self.0.lock().unwrap();
        state.boot_ns += ns;
        state.true_ns += ns;
    }

    fn set_wrong_by(&self, seconds: i64) {
        self.0.lock().unwrap().wrong_by_s = seconds;
    }

    fn reboot(&self) {
        let mut state = self.0.lock().unwrap();
        state.boot += 1;
        state.boot_ns = 0;
    }

    /// Seconds by which the clock is ahead of the true time.
    fn error_of(&self, clock: &Clock) -> f64 {
        let now_ms = clock.now_ms() as i64;
        (now_ms - (self.0.lock().unwrap().true_ns / NS_PER_MS) as i64) as f64 / 1_000.0
    }

    /// Lets the clock be asked twice a second, as a server that has nothing to do does.
    fn serve(&self, clock: &Clock, seconds: u64) -> f64 {
        let mut error = self.error_of(clock);
        for _ in 0..2 * seconds {
            self.pass(S / 2);
            error = self.error_of(clock);
        }
        error
    }
}

const STEPS: [i64; 10] = [-30, 30, -2 * MINUTE, 2 * MINUTE, -HOUR, HOUR, -5 * HOUR, 5 * HOUR, -40 * DAY, 40 * DAY];

#[test]
fn a_step_is_followed_after_a_minute_and_one_of_more_than_a_day_after_ten() {
    for step in STEPS {
        let machine = Played::new();
        let clock = machine.clock(None);
        machine.set_wrong_by(step);
        let patience = if step.abs() > DAY { 600 } else { 60 };
        assert_eq!(machine.serve(&clock, patience - 1), 0.0, "{step} s, before");
        assert_eq!(machine.serve(&clock, 2), step as f64, "{step} s, after");
    }
}

#[test]
fn a_step_that_is_taken_back_in_time_was_never_there() {
    for (step, lasts_s) in STEPS.map(|step| (step, 58)).into_iter().chain([(40 * DAY, 300), (-40 * DAY, 300)]) {
        let machine = Played::new();
        let clock = machine.clock(None);
        machine.set_wrong_by(step);
        machine.serve(&clock, lasts_s);
        machine.set_wrong_by(0);
        assert_eq!(machine.serve(&clock, 3_600), 0.0, "{step} s");
    }
}

#[test]
fn a_clock_that_is_set_again_and_again_is_followed_when_it_rests() {
    let machine = Played::new();
    let clock = machine.clock(None);
    for n in 1..10 {
        machine.set_wrong_by(n * HOUR);
        assert_eq!(machine.serve(&clock, 50), 0.0);
    }
    assert_eq!(machine.serve(&clock, 11), (9 * HOUR) as f64);
}

#[test]
fn a_small_difference_is_made_up_for_by_a_twentieth_of_the_time_and_time_never_runs_back() {
    for wrong_by in [-2, 2] {
        let machine = Played::new();
        let clock = machine.clock(None);
        machine.set_wrong_by(wrong_by);
        let mut before = clock.now_ms();
        for _ in 0..4_000 {
            machine.pass(S / 100);
            let now = clock.now_ms();
            assert!((9..=11).contains(&(now - before)), "{} ms in 10", now - before);
            before = now;
        }
        assert!((machine.error_of(&clock) - wrong_by as f64).abs() < 0.002, "{}", machine.error_of(&clock));
    }
}

#[test]
fn a_restart_in_the_same_boot_goes_on_whatever_the_systems_clock_says() {
    for step in STEPS {
        let machine = Played::new();
        let kept = machine.clock(None).keep().unwrap();
        machine.set_wrong_by(step);
        machine.pass(10 * S);
        let clock = machine.clock(Some(&kept));
        assert_eq!(machine.error_of(&clock), 0.0, "{step} s");
        assert_eq!(machine.serve(&clock, 700), step as f64, "{step} s");
    }
}

#[test]
fn after_a_reboot_the_systems_clock_counts_unless_it_is_a_little_behind() {
    for (step, error) in
        [(30, 30), (-30, 0), (-9 * MINUTE, 0), (-HOUR, -HOUR), (40 * DAY, 40 * DAY), (-40 * DAY, -40 * DAY)]
    {
        let machine = Played::new();
        let kept = machine.clock(None).keep().unwrap();
        machine.reboot();
        machine.set_wrong_by(step);
        let clock = machine.clock(Some(&kept));
        assert_eq!(machine.error_of(&clock), error as f64, "{step} s");
    }
}

#[test]
fn a_suspended_machine_finds_the_night_gone() {
    let machine = Played::new();
    let clock = machine.clock(None);
    machine.pass(8 * 3_600 * S);
    assert_eq!(machine.error_of(&clock), 0.0);
}

#[test]
fn a_stored_time_is_a_floor_unless_it_is_far_ahead() {
    let machine = Played::new();
    let clock = machine.clock(None);
    let now = clock.now_ms();
    for (stored, begins) in [(now - 5_000, now), (now + 599_000, now + 599_000)] {
        clock.not_before(stored);
        assert_eq!(clock.now_ms(), begins);
    }
    clock.not_before(now + 40 * DAY as u64 * 1_000);
    assert_eq!(clock.now_ms(), now + 599_000);
}

#[test]
fn a_moment_of_the_systems_clock_keeps_its_age() {
    let machine = Played::new();
    let clock = machine.clock(None);
    machine.set_wrong_by(HOUR);
    let system_ms = machine.read().wall_ns / NS_PER_MS;
    assert_eq!(clock.of_system(system_ms - 20), clock.now_ms() - 20);
    assert_eq!(clock.of_system(system_ms + 300), clock.now_ms(), "not later than now");
}

#[test]
fn what_is_kept_is_read_again_and_half_of_it_is_not() {
    let kept = Kept { boot_id: "5cf7".into(), boot_ns: 17, service_ns: 18 };
    let text = kept.to_string();
    assert_eq!(text.parse(), Ok(kept));
    for end in 0..text.len() {
        assert_eq!(text[..end].parse::<Kept>(), Err(NotKept), "{:?}", &text[..end]);
    }
    assert_eq!("5cf7 17 18 19\n".parse::<Kept>(), Err(NotKept));
}

#[test]
fn the_machines_clocks_run() {
    let clock = Clock::system();
    let (kept, before) = (clock.keep(), clock.now_ms());
    assert!(kept.is_none_or(|kept| kept.boot_ns > 0));
    assert!(before > 1_700_000_000_000 && clock.now_ms() >= before);
}

proptest::proptest! {
    /// Whatever the system's clock does: no panic, and time runs back only where a step back is followed.
    #[test]
    fn time_runs_back_only_with_a_system_clock_that_was_set_back(
        moves in proptest::collection::vec((0_u64..200 * S, proptest::num::u64::ANY), 1..50),
    ) {
        let mut following = Following::since(0, BEGIN * S);
        let (mut boot_ns, mut before) = (0, 0);
        for (passed, wall_ns) in moves {
            boot_ns += passed;
            let (now, change) = following.at(Reading { boot_ns, wall_ns });
            if !matches!(change, Some(Change::Followed { .. })) {
                assert!(now >= before);
            }
            before = now;
        }
    }
}
