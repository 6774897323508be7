//! How the service's time follows the system's clock. Pure: a reading of both clocks goes in, the time comes out.

const NS_PER_S: u64 = 1_000_000_000;
/// Up to here a difference is made up for little by little.
const SLEWED_MAX_NS: u64 = 2 * NS_PER_S;
/// Of the time that passes: by so much the service's runs faster or slower.
const SLEW_PART: u64 = 20;
/// From here on a difference is more likely a mistake than a correction.
const LARGE_NS: u64 = 24 * 3600 * NS_PER_S;
const FOLLOWED_AFTER_NS: u64 = 60 * NS_PER_S;
const LARGE_FOLLOWED_AFTER_NS: u64 = 600 * NS_PER_S;
/// A clock that is so far behind what is known is believed: what is known was wrong.
const BEHIND_MAX_NS: u64 = 600 * NS_PER_S;

/// The machine's clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Since the machine was started, the time in which it slept included.
    pub boot_ns: u64,
    /// The system's clock, since 1970.
    pub wall_ns: u64,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The system's clock has been set.
    Differs {
        by_s: i64,
        followed_after_s: u64,
    },
    /// It was set back before it was followed.
    Back,
    Followed {
        by_s: i64,
    },
}

/// The service's time between two readings: `service_ns` at `boot_ns`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Following {
    boot_ns: u64,
    service_ns: u64,
    step: Option<Step>,
}

/// A difference that is too large to be made up for, since it was noticed.
#[derive(Clone, Copy, Debug)]
struct Step {
    since_boot_ns: u64,
    by_ns: i64,
}

impl Following {
    pub(crate) fn since(boot_ns: u64, service_ns: u64) -> Self {
        Self { boot_ns, service_ns, step: None }
    }

    /// The time at this reading. One that is older than another one before it gets the other one's.
    pub(crate) fn at(&mut self, reading: Reading) -> (u64, Option<Change>) {
        let Some(passed_ns) = reading.boot_ns.checked_sub(self.boot_ns) else { return (self.service_ns, None) };
        self.boot_ns = reading.boot_ns;
        self.service_ns = self.service_ns.saturating_add(passed_ns);
        let by_ns = difference(reading.wall_ns, self.service_ns);
        let change = if by_ns.unsigned_abs() <= SLEWED_MAX_NS {
            let most = i64::try_from(passed_ns / SLEW_PART).unwrap_or(i64::MAX);
            self.service_ns = self.service_ns.saturating_add_signed(by_ns.clamp(-most, most));
            self.step.take().map(|_| Change::Back)
        } else {
            self.step_by(by_ns, reading)
        };
        (self.service_ns, change)
    }

    fn step_by(&mut self, by_ns: i64, reading: Reading) -> Option<Change> {
        let after_ns = if by_ns.unsigned_abs() > LARGE_NS { LARGE_FOLLOWED_AFTER_NS } else { FOLLOWED_AFTER_NS };
        let by_s = by_ns / NS_PER_S as i64;
        let known = self.step.filter(|step| step.by_ns.abs_diff(by_ns) <= SLEWED_MAX_NS);
        let Some(step) = known else {
            self.step = Some(Step { since_boot_ns: reading.boot_ns, by_ns });
            return Some(Change::Differs { by_s, followed_after_s: after_ns / NS_PER_S });
        };
        if reading.boot_ns - step.since_boot_ns < after_ns {
            return None;
        }
        self.service_ns = reading.wall_ns;
        self.step = None;
        Some(Change::Followed { by_s })
    }

    /// Goes on from a time that was stored earlier, unless it lies too far ahead to be true.
    pub(crate) fn not_before(&mut self, reading: Reading, stored_ns: u64) {
        let (now_ns, _) = self.at(reading);
        if stored_ns.saturating_sub(now_ns) <= BEHIND_MAX_NS {
            self.service_ns = now_ns.max(stored_ns);
        }
    }
}

fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(if a > b { i64::MAX } else { i64::MIN })
}
