//! Steps of the system's clock on virtual time.

use super::following::{Change, EARLIEST_NS};
use super::testing::TestMachine;
use super::*;

const S: u64 = 1_000_000_000;
const MINUTE: i64 = 60;
const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
/// The true time at the start.
const BEGIN_MS: u64 = 1_800_000_000_000;

fn machine() -> TestMachine {
    TestMachine::at(BEGIN_MS)
}

/// Seconds by which the clock is ahead of the true time.
fn error_of(machine: &TestMachine, clock: &Clock) -> f64 {
    (clock.now_ms() as f64 - machine.true_ms() as f64) / 1_000.0
}

/// Lets the clock be asked twice a second, as a server that has nothing to do does.
fn serve(machine: &TestMachine, clock: &Clock, seconds: u64) -> f64 {
    let mut error = error_of(machine, clock);
    for _ in 0..2 * seconds {
        machine.pass(500);
        error = error_of(machine, clock);
    }
    error
}

const STEPS: [i64; 10] = [-30, 30, -2 * MINUTE, 2 * MINUTE, -HOUR, HOUR, -5 * HOUR, 5 * HOUR, -40 * DAY, 40 * DAY];

#[test]
fn a_step_is_followed_after_a_minute_and_one_of_more_than_a_day_after_ten() {
    for step in STEPS {
        let machine = machine();
        let clock = machine.clock(None);
        machine.set_wrong_by(step);
        let patience = if step.abs() > DAY { 600 } else { 60 };
        assert_eq!(serve(&machine, &clock, patience - 1), 0.0, "{step} s, before");
        assert_eq!(serve(&machine, &clock, 2), step as f64, "{step} s, after");
    }
}

#[test]
fn a_step_that_is_taken_back_in_time_was_never_there() {
    for (step, lasts_s) in STEPS.map(|step| (step, 58)).into_iter().chain([(40 * DAY, 300), (-40 * DAY, 300)]) {
        let machine = machine();
        let clock = machine.clock(None);
        machine.set_wrong_by(step);
        serve(&machine, &clock, lasts_s);
        machine.set_wrong_by(0);
        assert_eq!(serve(&machine, &clock, 3_600), 0.0, "{step} s");
    }
}

#[test]
fn a_clock_that_is_set_again_and_again_is_followed_when_it_rests() {
    let machine = machine();
    let clock = machine.clock(None);
    for n in 1..10 {
        machine.set_wrong_by(n * HOUR);
        assert_eq!(serve(&machine, &clock, 50), 0.0);
    }
    assert_eq!(serve(&machine, &clock, 11), (9 * HOUR) as f64);
}

#[test]
fn a_small_difference_is_made_up_for_by_a_twentieth_of_the_time_and_time_never_runs_back() {
    for wrong_by in [-2, 2] {
        let machine = machine();
        let clock = machine.clock(None);
        machine.set_wrong_by(wrong_by);
        let mut before = clock.now_ms();
        for _ in 0..4_000 {
            machine.pass(10);
            let now = clock.now_ms();
            assert!((9..=11).contains(&(now - before)), "{} ms in 10", now - before);
            before = now;
        }
        assert!((error_of(&machine, &clock) - wrong_by as f64).abs() < 0.002, "{}", error_of(&machine, &clock));
    }
}

#[test]
fn a_restart_in_the_same_boot_goes_on_whatever_the_systems_clock_says() {
    for step in STEPS {
        let machine = machine();
        let kept = machine.clock(None).keep();
        machine.set_wrong_by(step);
        machine.pass(10_000);
        let clock = machine.clock(Some(&kept));
        assert_eq!(error_of(&machine, &clock), 0.0, "{step} s");
        assert_eq!(serve(&machine, &clock, 700), step as f64, "{step} s");
    }
}

#[test]
fn after_a_reboot_the_systems_clock_counts_unless_it_is_a_little_behind() {
    for (step, error) in
        [(30, 30), (-30, 0), (-9 * MINUTE, 0), (-HOUR, -HOUR), (40 * DAY, 40 * DAY), (-40 * DAY, -40 * DAY)]
    {
        let machine = machine();
        let kept = machine.clock(None).keep();
        machine.reboot();
        machine.set_wrong_by(step);
        let clock = machine.clock(Some(&kept));
        assert_eq!(error_of(&machine, &clock), error as f64, "{step} s");
    }
}

/// A boot with a clock that is ahead by so much of what was known a minute before; returns the true time of that.
fn booted_ahead_by(seconds: i64) -> (TestMachine, Clock, u64) {
    let machine = machine();
    let kept = machine.clock(None).keep();
    let known_ms = machine.true_ms();
    machine.pass(60_000);
    machine.reboot();
    machine.set_wrong_by(seconds);
    let clock = machine.clock(Some(&kept));
    (machine, clock, known_ms)
}

#[test]
fn by_a_clock_that_is_days_ahead_after_a_boot_nothing_ends_for_ten_minutes() {
    let (machine, clock, known_ms) = booted_ahead_by(40 * DAY);
    assert_eq!(error_of(&machine, &clock), (40 * DAY) as f64);
    assert_eq!(clock.times().over_ms, known_ms);
    serve(&machine, &clock, 599);
    assert_eq!(clock.times().over_ms, known_ms + 599_000);
    serve(&machine, &clock, 2);
    assert!(!clock.times().is_in_doubt());
}

#[test]
fn a_boot_with_a_clock_up_to_a_day_ahead_is_believed_at_once() {
    for step in [0, 30, HOUR, 5 * HOUR, DAY - 61] {
        assert!(!booted_ahead_by(step).1.times().is_in_doubt(), "{step} s");
    }
}

#[test]
fn a_clock_that_is_put_right_within_ten_minutes_of_the_boot_has_ended_nothing() {
    for put_right_after_s in [0, 5, 300, 598] {
        let (machine, clock, known_ms) = booted_ahead_by(40 * DAY);
        serve(&machine, &clock, put_right_after_s);
        machine.set_wrong_by(0);
        for _ in 0..700 {
            serve(&machine, &clock, 1);
            assert!(clock.times().over_ms <= machine.true_ms(), "put right after {put_right_after_s} s");
        }
        assert_eq!(error_of(&machine, &clock), 0.0);
        assert_eq!(clock.times().over_ms, machine.true_ms());
        assert!(clock.times().over_ms > known_ms);
    }
}

#[test]
fn a_time_in_doubt_is_kept_as_what_is_known_so_that_the_next_start_doubts_it_as_well() {
    for reboots in [true, false] {
        let (machine, clock, known_ms) = booted_ahead_by(40 * DAY);
        serve(&machine, &clock, 100);
        let (kept, stored_ms) = (clock.keep(), clock.now_ms());
        assert_eq!(kept.service_ns / NS_PER_MS, known_ms + 100_000);
        if reboots {
            machine.reboot();
        }
        let again = machine.clock(Some(&kept));
        again.not_before(stored_ms);
        assert_eq!(again.times().over_ms, known_ms + 100_000);
        serve(&machine, &again, 602);
        let again = machine.clock(Some(&again.keep()));
        assert!(!again.times().is_in_doubt(), "a time that is certain goes on in the same boot");
    }
}

#[test]
fn a_clock_that_is_not_set_ends_no_doubt() {
    let (machine, clock, known_ms) = booted_ahead_by(40 * DAY);
    serve(&machine, &clock, 300);
    machine.set_wrong_by(-20_000 * DAY);
    serve(&machine, &clock, 700);
    assert_eq!(clock.times().over_ms, known_ms + 1_000_000);
    machine.set_wrong_by(0);
    serve(&machine, &clock, 700);
    assert_eq!((error_of(&machine, &clock), clock.times().is_in_doubt()), (0.0, false));
}

#[test]
fn what_is_kept_is_of_one_moment_while_others_read_the_clock() {
    let machine = machine();
    let clock = machine.clock(None);
    let is_over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !is_over.load(std::sync::atomic::Ordering::Relaxed) {
                    machine.pass(1);
                    let _ = clock.now_ms();
                }
            });
        }
        let boot_id = machine.boot_id();
        let of_no_boot = (0..50_000).filter(|_| Some(clock.keep().boot_id) != boot_id).count();
        is_over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert_eq!(of_no_boot, 0);
    });
}

#[test]
fn on_a_machine_that_does_not_say_which_boot_it_is_a_start_doubts_as_after_a_boot() {
    struct Nameless(TestMachine);
    impl Machine for Nameless {
        fn read(&self) -> Reading {
            self.0.read()
        }
        fn boot_id(&self) -> Option<String> {
            None
        }
    }
    let machine = machine();
    let kept = Clock::start(Box::new(Nameless(machine.clone())), None).keep();
    assert_eq!(kept.to_string().parse(), Ok(kept.clone()));
    machine.set_wrong_by(40 * DAY);
    let clock = Clock::start(Box::new(Nameless(machine.clone())), Some(&kept));
    assert_eq!(error_of(&machine, &clock), (40 * DAY) as f64);
    assert!(clock.times().is_in_doubt());
}

#[test]
fn what_a_run_in_doubt_has_set_is_over_in_its_time_and_what_is_from_before_is_held() {
    let (machine, clock, known_ms) = booted_ahead_by(40 * DAY);
    let begun_ms = clock.now_ms();
    serve(&machine, &clock, 60);
    let held = clock.times().held_ms();
    for (at_ms, is_held) in [
        (known_ms + 59_000, false),
        (known_ms + 60_000, false),
        (known_ms + 61_000, true),
        (known_ms + DAY as u64 * 1_000, true),
        (begun_ms, true),
        (begun_ms + 1, false),
    ] {
        assert_eq!(held.contains(&at_ms), is_held, "{at_ms}");
    }
    serve(&machine, &clock, 541);
    assert!(clock.times().held_ms().is_empty());
}

#[test]
fn what_is_left_of_a_time_is_counted_from_when_it_is_over() {
    let times = Times { over_ms: 200, held_from_ms: 100, held_until_ms: 900, ..Times::certain(1_000) };
    for (at_ms, left_ms) in [(100, 0), (101, 1), (900, 800), (901, 0), (1_000, 0), (1_001, 1)] {
        assert_eq!((times.left_ms(at_ms), times.is_over(at_ms)), (left_ms, left_ms == 0), "{at_ms}");
    }
    assert_eq!([999, 1_000, 1_003].map(|at_ms| Times::certain(1_000).left_ms(at_ms)), [0, 0, 3]);
}

#[test]
fn without_anything_kept_the_log_says_what_time_is_known() {
    let machine = machine();
    let known_ms = machine.true_ms() - 2 * DAY as u64 * 1_000;
    let clock = machine.clock(None);
    clock.not_before(0);
    assert!(!clock.times().is_in_doubt(), "an empty log knows nothing");
    clock.not_before(known_ms);
    let now_ms = machine.true_ms();
    assert_eq!(clock.times(), Times { over_ms: known_ms, held_from_ms: known_ms, ..Times::certain(now_ms) });
}

#[test]
fn a_clock_is_settled_a_day_after_the_start_or_after_a_step_that_was_followed() {
    let machine = machine();
    let clock = machine.clock(None);
    let after = |seconds: i64| {
        machine.pass(seconds as u64 * 1_000);
        clock.times().is_settled()
    };
    assert!(!after(DAY - 1) && after(1));
    machine.set_wrong_by(HOUR);
    assert!(after(1), "it is not followed yet");
    assert!(!after(60) && !after(DAY - 1) && after(1));
    let again = machine.clock(Some(&clock.keep()));
    assert!(!again.times().is_settled(), "another run does not know");
}

#[test]
fn a_suspended_machine_finds_the_night_gone() {
    let machine = machine();
    let clock = machine.clock(None);
    machine.pass(8 * 3_600 * 1_000);
    assert_eq!(error_of(&machine, &clock), 0.0);
}

#[test]
fn a_stored_time_is_a_floor_unless_it_is_far_ahead() {
    let machine = machine();
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
fn what_is_kept_is_read_again_and_half_of_it_is_not() {
    for early in [None, Some(KeptEarly { since_boot_ns: 16, known_ns: 19, until_ns: 20 })] {
        let kept = Kept { boot_id: "5cf7".into(), boot_ns: 17, service_ns: 18, early };
        let text = kept.to_string();
        assert_eq!(text.parse(), Ok(kept));
        for end in 0..text.len() {
            assert_eq!(text[..end].parse::<Kept>(), Err(NotKept), "{:?}", &text[..end]);
        }
    }
    for damaged in ["5cf7 17 18 19\n", "5cf7 17 18 19 20\n", "5cf7 17 x\n", "5cf7 17\n", "\n"] {
        assert_eq!(damaged.parse::<Kept>(), Err(NotKept), "{damaged:?}");
    }
}

#[test]
fn a_restart_in_the_same_boot_is_not_moved_by_what_was_stored_while_the_clock_was_wrong() {
    let machine = machine();
    let clock = machine.clock(None);
    machine.set_wrong_by(9 * MINUTE);
    serve(&machine, &clock, 62);
    let latest_stored = clock.now_ms();
    machine.set_wrong_by(0);
    assert_eq!(serve(&machine, &clock, 62), 0.0);
    assert_eq!(clock.followed(), 2);
    let clock = machine.clock(Some(&clock.keep()));
    clock.not_before(latest_stored);
    assert_eq!(error_of(&machine, &clock), 0.0);
}

#[test]
fn the_machines_clocks_run() {
    let clock = Clock::system();
    let (kept, before) = (clock.keep(), clock.now_ms());
    assert!(kept.boot_ns > 0);
    assert!(before > 1_700_000_000_000 && clock.now_ms() >= before);
}

/// A machine without a battery for its clock, off for so long after a run that has kept the time; its service runs since
/// the boot, which was so long ago in service time.
struct WithoutBattery {
    machine: TestMachine,
    clock: Clock,
    /// By how much the time will turn out to be behind.
    behind_s: i64,
}

const SET_AFTER_S: u64 = 30;
const DATED_AFTER_S: u64 = 10;

/// `None`: its first start ever.
const OFF_FOR_S: [Option<i64>; 5] = [Some(5), Some(HOUR), Some(20 * HOUR), Some(3 * DAY), None];

impl WithoutBattery {
    fn boot(off_for_s: Option<i64>) -> Self {
        let machine = machine();
        let kept = machine.clock(None).keep();
        machine.pass(off_for_s.unwrap_or(0).unsigned_abs() * 1_000);
        machine.reboot();
        machine.unset();
        let clock = machine.clock(off_for_s.map(|_| &kept));
        let first_start_s = (BEGIN_MS * NS_PER_MS - EARLIEST_NS) / S;
        Self { machine, clock, behind_s: off_for_s.unwrap_or(first_start_s.cast_signed()) }
    }

    fn pass(&self, seconds: u64) {
        self.machine.pass(seconds * 1_000);
        let _ = self.clock.times();
    }

    fn restart(&mut self) {
        let kept: Kept = self.clock.keep().to_string().parse().expect("it can be read");
        self.clock = self.machine.clock(Some(&kept));
    }

    /// By the network.
    fn set(&self) {
        self.machine.set_wrong_by(0);
    }

    fn error_s(&self) -> f64 {
        error_of(&self.machine, &self.clock)
    }
}

#[test]
fn a_clock_that_is_not_set_is_not_believed_and_is_followed_at_once_when_it_is_set() {
    for off_for in OFF_FOR_S {
        let server = WithoutBattery::boot(off_for);
        assert_eq!(server.error_s(), -server.behind_s as f64, "{off_for:?}");
        server.pass(SET_AFTER_S);
        assert_eq!(server.error_s(), -server.behind_s as f64, "{off_for:?}: it goes on by the time since boot");
        assert!(server.clock.times().held_ms().is_empty(), "{off_for:?}");
        server.set();
        assert_eq!(server.error_s(), 0.0, "{off_for:?}");
        assert_eq!(server.clock.times().is_in_doubt(), server.behind_s > DAY, "{off_for:?}: as at a boot");
        server.pass(601);
        assert_eq!((server.error_s(), server.clock.times().is_in_doubt()), (0.0, false), "{off_for:?}");
        server.pass(4 * DAY.unsigned_abs());
        assert!(server.clock.times().held_ms().is_empty(), "{off_for:?}: nothing is held for good");
    }
}

#[test]
fn what_was_dated_before_the_clock_was_set_has_its_time() {
    for off_for in OFF_FOR_S {
        for restarts in [false, true] {
            for lasts_s in [45, 600, HOUR, 12 * HOUR, DAY, 3 * DAY] {
                let mut server = WithoutBattery::boot(off_for);
                server.pass(DATED_AFTER_S);
                let ends_at_ms = server.clock.now_ms() + lasts_s.unsigned_abs() * 1_000;
                server.pass(SET_AFTER_S - DATED_AFTER_S);
                if restarts {
                    server.restart();
                }
                server.set();
                server.pass(1);
                if restarts {
                    server.restart();
                }
                // What lasts for longer than the machine was off ends by as much too early as by a step ahead.
                let lost_s = if lasts_s > server.behind_s + 20 { server.behind_s } else { 0 };
                let left_s = lasts_s - 21 - lost_s;
                let when = format!("{off_for:?}, for {lasts_s} s, restarts: {restarts}");
                server.pass(left_s.unsigned_abs() - 1);
                assert!(!server.clock.times().is_over(ends_at_ms), "{when}: too early");
                server.pass(2);
                assert!(server.clock.times().is_over(ends_at_ms), "{when}: too late");
            }
        }
    }
}

#[test]
fn what_is_dated_once_the_clock_is_set_has_its_time_and_no_more_also_over_a_restart() {
    for off_for in OFF_FOR_S {
        for restarts in [false, true] {
            let mut server = WithoutBattery::boot(off_for);
            server.pass(SET_AFTER_S);
            server.set();
            server.pass(1);
            let ends_at_ms = server.clock.now_ms() + 45_000;
            server.pass(44);
            if restarts {
                server.restart();
            }
            assert!(!server.clock.times().is_over(ends_at_ms), "{off_for:?}, restarts: {restarts}");
            server.pass(1);
            assert!(server.clock.times().is_over(ends_at_ms), "{off_for:?}, restarts: {restarts}");
        }
    }
}

#[test]
fn a_clock_that_is_not_set_never_settles() {
    for off_for in OFF_FOR_S {
        let server = WithoutBattery::boot(off_for);
        server.pass(3 * DAY.unsigned_abs());
        assert!(!server.clock.times().is_settled(), "{off_for:?}");
        server.set();
        server.pass(DAY.unsigned_abs() - 1);
        assert!(!server.clock.times().is_settled(), "{off_for:?}");
        server.pass(3 * DAY.unsigned_abs());
        assert!(server.clock.times().is_settled(), "{off_for:?}: once what was dated before has had its time");
    }
}

#[test]
fn a_clock_that_loses_its_time_is_settled_again_when_it_shows_that_nothing_was_wrong() {
    let machine = machine();
    let clock = machine.clock(None);
    machine.pass(DAY.unsigned_abs() * 1_000);
    assert!(clock.times().is_settled());
    machine.unset();
    assert!(!clock.times().is_settled());
    machine.set_wrong_by(1);
    assert!(clock.times().is_settled());
}

/// By a kill, or because the disk takes nothing.
#[test]
fn a_run_that_could_not_keep_that_the_clock_was_set_leaves_no_more_to_hold_than_it_dated_before() {
    for off_for in OFF_FOR_S {
        let mut server = WithoutBattery::boot(off_for);
        server.pass(DATED_AFTER_S);
        let early_ms = server.clock.now_ms() + 600_000;
        server.pass(SET_AFTER_S - DATED_AFTER_S);
        let kept = server.clock.keep();
        server.pass(5);
        server.set();
        let ends_at_ms = server.clock.now_ms() + 45_000;
        server.pass(45);
        assert!(server.clock.times().is_over(ends_at_ms));
        server.clock = server.machine.clock(Some(&kept));
        server.pass(1);
        assert!(!server.clock.times().is_over(early_ms), "{off_for:?}");
        assert_eq!(server.clock.times().is_over(ends_at_ms), !server.clock.times().is_in_doubt(), "{off_for:?}");
        server.pass(600);
        assert!(server.clock.times().is_over(early_ms), "{off_for:?}");
        assert!(server.clock.times().is_over(ends_at_ms), "{off_for:?}");
        assert_eq!(server.error_s(), 0.0, "{off_for:?}");
    }
}

/// What was known was ahead, by as much as the first number of seconds.
#[test]
fn a_clock_that_is_set_to_a_time_before_the_known_one_counts_as_at_a_boot() {
    for (ahead_s, error_at_once, error_after_a_minute) in [(300, 300, 0), (HOUR, 0, 0), (40 * DAY, 0, 0)] {
        let machine = machine();
        machine.set_wrong_by(ahead_s);
        let kept = machine.clock(None).keep();
        machine.reboot();
        machine.unset();
        let clock = machine.clock(Some(&kept));
        assert_eq!(serve(&machine, &clock, SET_AFTER_S), ahead_s as f64);
        machine.set_wrong_by(0);
        assert_eq!(error_of(&machine, &clock), error_at_once as f64, "{ahead_s} s");
        assert_eq!(serve(&machine, &clock, 61), error_after_a_minute as f64, "{ahead_s} s");
        assert!(clock.times().held_ms().is_empty());
    }
}

#[test]
fn while_the_clock_is_not_set_the_log_says_what_time_it_is_whatever_that_is() {
    let machine = machine();
    machine.unset();
    let clock = machine.clock(None);
    clock.not_before(BEGIN_MS - DAY as u64 * 1_000);
    assert_eq!(clock.now_ms(), BEGIN_MS - DAY as u64 * 1_000);
    clock.not_before(0);
    machine.set_wrong_by(0);
    assert_eq!(clock.now_ms(), BEGIN_MS);
}

/// Nothing was dated before the log was read.
#[test]
fn a_clock_that_is_set_while_the_log_is_read_was_set_at_the_start() {
    let machine = machine();
    machine.unset();
    let clock = machine.clock(None);
    machine.pass(2_000);
    machine.set_wrong_by(0);
    clock.not_before(BEGIN_MS - HOUR as u64 * 1_000);
    assert_eq!(clock.times(), Times { stood: clock.times().stood, ..Times::certain(machine.true_ms()) });
}

#[test]
fn a_clock_that_loses_its_time_while_the_server_runs_changes_nothing() {
    let machine = machine();
    let clock = machine.clock(None);
    machine.set_wrong_by(HOUR);
    serve(&machine, &clock, 30);
    machine.unset();
    assert_eq!(serve(&machine, &clock, 3_600), 0.0);
    let clock = machine.clock(Some(&clock.keep()));
    assert_eq!(serve(&machine, &clock, 3_600), 0.0);
    machine.set_wrong_by(0);
    assert_eq!(serve(&machine, &clock, 3_600), 0.0);
    assert!(clock.followed() == 0 && clock.times().held_ms().is_empty());
}

#[test]
fn a_wrong_time_that_the_clock_is_set_to_first_ends_nothing_if_it_is_put_right_within_ten_minutes() {
    let server = WithoutBattery::boot(Some(HOUR));
    let ends_at_ms = server.clock.now_ms() + 2 * DAY as u64 * 1_000;
    server.pass(SET_AFTER_S);
    server.machine.set_wrong_by(40 * DAY);
    serve(&server.machine, &server.clock, 300);
    assert!(!server.clock.times().is_over(ends_at_ms));
    server.set();
    assert_eq!(serve(&server.machine, &server.clock, 601), 0.0);
    assert!(!server.clock.times().is_over(ends_at_ms));
    server.pass(DAY as u64 * 3);
    assert!(server.clock.times().is_over(ends_at_ms));
}

#[test]
fn that_the_clock_is_not_set_is_told_once() {
    let reading = |boot_ns| Reading { boot_ns, wall_ns: boot_ns };
    let mut following = Following::begin(reading(0));
    let told: Vec<_> = (0..10).filter_map(|n| following.at(reading(n * S)).1).collect();
    assert_eq!(told, [Change::NotSet]);
    let set = Reading { boot_ns: 10 * S, wall_ns: EARLIEST_NS + HOUR as u64 * S };
    assert_eq!(following.at(set).1, Some(Change::FirstSet { by_s: HOUR - 10 }));
}

proptest::proptest! {
    /// Whatever the system's clock does: no panic, and time runs back only where a step back is followed.
    #[test]
    fn time_runs_back_only_with_a_system_clock_that_was_set_back(
        moves in proptest::collection::vec((0_u64..200 * S, proptest::num::u64::ANY), 1..50),
        begins_unset in proptest::bool::ANY,
    ) {
        let begin_ns = if begins_unset { 0 } else { BEGIN_MS * NS_PER_MS };
        let mut following = Following::begin(Reading { boot_ns: 0, wall_ns: begin_ns });
        following.doubt(BEGIN_MS * NS_PER_MS / 2);
        let mut boot_ns = 0;
        let (mut before, _) = following.at(Reading { boot_ns, wall_ns: begin_ns });
        for (passed, wall_ns) in moves {
            boot_ns += passed;
            let (now, change) = following.at(Reading { boot_ns, wall_ns });
            if !matches!(change, Some(Change::Followed { .. } | Change::FirstSet { .. })) {
                assert!(now.now_ns >= before.now_ns && now.over_ns >= before.over_ns);
            }
            assert!(now.held_from_ns <= now.over_ns && now.over_ns <= now.now_ns);
            assert!(now.held_from_ns <= now.held_until_ns && now.held_until_ns <= now.now_ns);
            before = now;
        }
    }
}
