//! How the service's time follows the system's clock. Pure: a reading of both clocks goes in, the time comes out.

use crate::kept::{Kept, KeptEarly};

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
/// The beginning of 2026. This program did not exist before: a clock that shows an earlier time has not been set.
pub(crate) const EARLIEST_NS: u64 = 1_767_225_600 * NS_PER_S;
/// For so long what was dated before the clock was set has its time, as long as a message is kept.
const EARLY_MAX_NS: u64 = 3 * 24 * 3600 * NS_PER_S;

/// The machine's clocks at one moment, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Since the machine was started, the time in which it slept included.
    pub boot_ns: u64,
    /// The system's clock, since 1970.
    pub wall_ns: u64,
}

/// The service's time at one moment, in nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Served {
    pub(crate) now_ns: u64,
    /// As [`crate::Times::over_ms`].
    pub(crate) over_ns: u64,
    /// As [`crate::Times::held_from_ms`].
    pub(crate) held_from_ns: u64,
    /// As [`crate::Times::held_until_ms`].
    pub(crate) held_until_ns: u64,
    /// As [`crate::Times::stood`].
    pub(crate) stood_ns: u64,
}

/// What is worth a line in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    /// The system's clock shows a time that cannot be.
    NotSet,
    /// It has been set for the first time since the start of this run, and is followed.
    FirstSet {
        by_s: i64,
    },
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
    /// The time of the start has been true for long enough, or has been set back.
    Certain,
}

/// The service's time between two readings: `service_ns` at `boot_ns`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Following {
    boot_ns: u64,
    service_ns: u64,
    step: Option<Step>,
    doubt: Option<Doubt>,
    early: Early,
    /// The system's clock is not set, which was told.
    is_unset: bool,
    /// The start of this run, or when the system's clock was last followed.
    stands_since_boot_ns: u64,
}

/// The time at the start, `begun_ns`, was so far ahead of the latest that was known that it may be a mistake: `known_ns`
/// at `since_boot_ns`.
#[derive(Clone, Copy, Debug)]
struct Doubt {
    since_boot_ns: u64,
    known_ns: u64,
    begun_ns: u64,
}

/// What this run has dated too early, because it began before the system's clock was set.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Early {
    Nothing,
    /// All of it so far: the clock has not been set yet. A run before this one had what is dated up to here to hold.
    All {
        until_ns: Option<u64>,
    },
    Until(DatedEarly),
}

/// The clock was set to `until_ns` at `since_boot_ns`, when the time was `known_ns`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct DatedEarly {
    since_boot_ns: u64,
    known_ns: u64,
    until_ns: u64,
}

/// A difference that is too large to be made up for, since it was noticed.
#[derive(Clone, Copy, Debug)]
struct Step {
    since_boot_ns: u64,
    by_ns: i64,
}

impl Following {
    /// The first run in this boot begins with this reading.
    pub(crate) fn begin(reading: Reading) -> Self {
        let is_set = reading.wall_ns >= EARLIEST_NS;
        Self {
            early: if is_set { Early::Nothing } else { Early::All { until_ns: None } },
            ..Self::since(reading.boot_ns, reading.wall_ns.max(EARLIEST_NS), reading.boot_ns)
        }
    }

    /// A run before this one in the same boot kept this; this one begins at `begun_boot_ns`.
    pub(crate) fn go_on(kept: &Kept, begun_boot_ns: u64) -> Self {
        let early = match kept.early {
            None => Early::Nothing,
            Some(KeptEarly { since_boot_ns, known_ns, until_ns }) if known_ns < kept.service_ns => {
                Early::Until(DatedEarly { since_boot_ns: since_boot_ns.min(kept.boot_ns), known_ns, until_ns })
            }
            Some(KeptEarly { until_ns, .. }) => {
                Early::All { until_ns: Some(until_ns).filter(|until_ns| *until_ns > kept.service_ns) }
            }
        };
        Self { early, ..Self::since(kept.boot_ns, kept.service_ns, begun_boot_ns) }
    }

    /// The service's time was `service_ns` at `boot_ns`; this run begins at `begun_boot_ns`.
    pub(crate) fn since(boot_ns: u64, service_ns: u64, begun_boot_ns: u64) -> Self {
        Self {
            boot_ns,
            service_ns,
            step: None,
            doubt: None,
            early: Early::Nothing,
            is_unset: false,
            stands_since_boot_ns: begun_boot_ns,
        }
    }

    /// The time at this reading. One that is older than another one before it gets the other one's.
    pub(crate) fn at(&mut self, reading: Reading) -> (Served, Option<Change>) {
        let change = self.advance(reading);
        let ended = self.end_doubt();
        self.end_early();
        (self.served(), change.or(ended))
    }

    fn served(&self) -> Served {
        let now_ns = self.service_ns;
        // A clock that is not set confirms nothing.
        let stood_ns = if self.is_unset { 0 } else { self.boot_ns.saturating_sub(self.stands_since_boot_ns) };
        let doubted = self.doubt.map(|doubt| (doubt.certain_ns(self.boot_ns), doubt.begun_ns));
        let over_ns = doubted.map_or(now_ns, |(certain_ns, _)| now_ns.min(certain_ns));
        let early = match self.early {
            Early::Until(early) => Some((early.certain_ns(self.boot_ns), early.until_ns)),
            _ => None,
        };
        let held = [doubted, early].into_iter().flatten();
        let held = held.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))).unwrap_or((now_ns, now_ns));
        let held_from_ns = over_ns.min(held.0);
        Served { now_ns, over_ns, held_from_ns, held_until_ns: now_ns.min(held.1).max(held_from_ns), stood_ns }
    }

    /// What the next run in the same boot needs to know of what was dated too early, at the time that is known for certain.
    pub(crate) fn keep(&self) -> (u64, Option<KeptEarly>) {
        let Served { now_ns, over_ns, .. } = self.served();
        let not_yet = |until_ns| KeptEarly { since_boot_ns: self.boot_ns, known_ns: over_ns, until_ns };
        let early = match self.early {
            Early::Nothing => None,
            Early::All { until_ns } => Some(not_yet(until_ns.unwrap_or(0))),
            Early::Until(early) if over_ns < now_ns => Some(not_yet(early.until_ns)),
            Early::Until(DatedEarly { since_boot_ns, known_ns, until_ns }) => {
                Some(KeptEarly { since_boot_ns, known_ns, until_ns })
            }
        };
        (over_ns, early)
    }

    fn advance(&mut self, reading: Reading) -> Option<Change> {
        let before_boot_ns = self.boot_ns;
        let passed_ns = reading.boot_ns.checked_sub(before_boot_ns)?;
        self.boot_ns = reading.boot_ns;
        self.service_ns = self.service_ns.saturating_add(passed_ns);
        if reading.wall_ns < EARLIEST_NS {
            self.step = None;
            return (!std::mem::replace(&mut self.is_unset, true)).then_some(Change::NotSet);
        }
        self.is_unset = false;
        if let Early::All { until_ns } = self.early {
            self.early = Early::Nothing;
            // Before the first reading of this run: nobody knows when it was set.
            let unseen_ns = self.stands_since_boot_ns.saturating_sub(before_boot_ns);
            if let Some(change) = self.follow_first(reading.wall_ns, until_ns, unseen_ns) {
                return Some(change);
            }
        }
        let by_ns = difference(reading.wall_ns, self.service_ns);
        if by_ns.unsigned_abs() > SLEWED_MAX_NS {
            return self.step_by(by_ns, reading);
        }
        let most = i64::try_from(passed_ns / SLEW_PART).unwrap_or(i64::MAX);
        self.service_ns = self.service_ns.saturating_add_signed(by_ns.clamp(-most, most));
        self.step.take().map(|_| Change::Back)
    }

    /// As at a boot with this clock, but something was dated already. The clock may have been set for `unseen_ns`, and a run
    /// before this one have dated by it and kept nothing of that.
    fn follow_first(&mut self, wall_ns: u64, held_until_ns: Option<u64>, unseen_ns: u64) -> Option<Change> {
        let known_ns = self.service_ns;
        let by_ns = difference(wall_ns, known_ns);
        let is_little = if by_ns < 0 { BEHIND_MAX_NS } else { SLEWED_MAX_NS };
        if by_ns.unsigned_abs() <= is_little {
            return None;
        }
        self.service_ns = wall_ns;
        self.stands_since_boot_ns = self.boot_ns;
        if by_ns > 0 {
            let until_ns = held_until_ns.unwrap_or(wall_ns.saturating_sub(unseen_ns));
            self.early = Early::Until(DatedEarly { since_boot_ns: self.boot_ns, known_ns, until_ns });
            let until_ns = held_until_ns.unwrap_or(wall_ns);
            match &mut self.doubt {
                Some(doubt) => doubt.begun_ns = until_ns,
                None if by_ns.unsigned_abs() > LARGE_NS => {
                    self.doubt = Some(Doubt { since_boot_ns: self.boot_ns, known_ns, begun_ns: until_ns });
                }
                None => {}
            }
        }
        Some(Change::FirstSet { by_s: by_ns / NS_PER_S as i64 })
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
        self.stands_since_boot_ns = reading.boot_ns;
        if let Some(doubt) = &mut self.doubt {
            doubt.begun_ns = doubt.begun_ns.min(self.service_ns);
        }
        if let Early::Until(early) = &mut self.early {
            early.until_ns = early.until_ns.min(self.service_ns);
        }
        Some(Change::Followed { by_s })
    }

    /// Goes on from a time that was stored earlier, unless it lies too far ahead to be true. While the clock is not set,
    /// nothing is known beside it if it is `all_that_is_known`.
    pub(crate) fn not_before(&mut self, stored_ns: u64, all_that_is_known: bool) {
        let is_unset = matches!(self.early, Early::All { .. });
        if stored_ns.saturating_sub(self.service_ns) <= BEHIND_MAX_NS || is_unset && all_that_is_known {
            self.service_ns = self.service_ns.max(stored_ns);
        }
    }

    /// Doubts the time if it is far ahead of the latest that is known. Returns by how many seconds.
    pub(crate) fn doubt(&mut self, known_ns: u64) -> Option<u64> {
        if matches!(self.early, Early::Until(early) if early.known_ns < known_ns) {
            // The clock was set before this was known, and before anything was dated.
            (self.early, self.doubt) = (Early::Nothing, None);
        }
        let ahead_ns = self.service_ns.saturating_sub(known_ns);
        if ahead_ns <= LARGE_NS {
            return None;
        }
        self.doubt = Some(Doubt { since_boot_ns: self.boot_ns, known_ns, begun_ns: self.service_ns });
        Some(ahead_ns / NS_PER_S)
    }

    /// A difference to the system's clock that is not followed yet keeps the doubt.
    fn end_doubt(&mut self) -> Option<Change> {
        let doubt = self.doubt?;
        let is_confirmed = self.step.is_none() && !self.is_unset;
        let has_lasted = self.boot_ns - doubt.since_boot_ns >= LARGE_FOLLOWED_AFTER_NS && is_confirmed;
        let is_near = self.service_ns.saturating_sub(doubt.certain_ns(self.boot_ns)) <= LARGE_NS;
        (has_lasted || is_near).then(|| {
            self.doubt = None;
            Change::Certain
        })
    }

    fn end_early(&mut self) {
        let Early::Until(early) = self.early else { return };
        let has_lasted = self.boot_ns - early.since_boot_ns >= EARLY_MAX_NS;
        if has_lasted || early.certain_ns(self.boot_ns) >= early.until_ns {
            self.early = Early::Nothing;
        }
    }
}

impl DatedEarly {
    fn certain_ns(self, boot_ns: u64) -> u64 {
        self.known_ns.saturating_add(boot_ns - self.since_boot_ns)
    }
}

impl Doubt {
    fn certain_ns(self, boot_ns: u64) -> u64 {
        self.known_ns.saturating_add(boot_ns - self.since_boot_ns)
    }
}

fn difference(a: u64, b: u64) -> i64 {
    i64::try_from(i128::from(a) - i128::from(b)).unwrap_or(if a > b { i64::MAX } else { i64::MIN })
}
