//! Wall time that never runs back, for everything whose expiry is on disk.
//!
//! Contract: `now_ms` begins at the later of the system's clock and the last time found in the log, and goes on with the
//! monotonic clock. A system clock that is ahead takes it along; one that was set back changes nothing: what expired
//! stays expired, and what is to expire still does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const NS_PER_MS: u64 = 1_000_000;

/// Shared by all workers.
///
/// Counts in nanoseconds: of two clocks cut to milliseconds the difference is wrong by up to one, and the clock would run
/// ahead of the system's.
#[derive(Debug)]
pub(crate) struct WallClock {
    started: Instant,
    /// What the time was at `started`.
    base_ns: AtomicU64,
}

impl WallClock {
    /// Starts no earlier than `floor_ms`, the latest time in the log.
    pub(crate) fn starting_at(floor_ms: u64) -> Self {
        Self { started: Instant::now(), base_ns: AtomicU64::new(floor_ms.saturating_mul(NS_PER_MS)) }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        // The system's clock first: if this thread rests between the two, the base comes out too early, never too late.
        let system_ns = system_ns();
        self.at(system_ns, whole_ns(self.started.elapsed())) / NS_PER_MS
    }

    /// What this clock says of a moment that somebody else took from the system's clock. Not later than now.
    pub(crate) fn of_system(&self, moment_ms: u64) -> u64 {
        same_age(self.now_ms(), system_ns() / NS_PER_MS, moment_ms)
    }

    /// In nanoseconds, as its arguments.
    fn at(&self, system_ns: u64, running_ns: u64) -> u64 {
        let base_ns = system_ns.saturating_sub(running_ns);
        self.base_ns.fetch_max(base_ns, Ordering::Relaxed).max(base_ns).saturating_add(running_ns)
    }
}

fn system_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, whole_ns)
}

fn whole_ns(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

fn same_age(now_ms: u64, system_ms: u64, moment_ms: u64) -> u64 {
    now_ms.saturating_sub(system_ms.saturating_sub(moment_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_changes_nothing_and_one_that_is_ahead_is_followed() {
        let clock = WallClock::starting_at(1);
        assert_eq!(clock.at(900_000, 0), 1_000_000);
        assert_eq!(clock.at(900_010, 10), 1_000_010);
        assert_eq!(clock.at(5_000_000, 20), 5_000_000);
        assert_eq!(clock.at(100, 30), 5_000_010);
        assert_eq!(clock.at(200, 130), 5_000_110);
    }

    #[test]
    fn a_clock_that_follows_the_systems_is_never_ahead_of_it() {
        let clock = WallClock::starting_at(0);
        for _ in 0..10_000 {
            let before = system_ns() / NS_PER_MS;
            let now = clock.now_ms();
            assert!((before..=system_ns() / NS_PER_MS).contains(&now));
        }
    }

    #[test]
    fn a_moment_of_the_systems_clock_keeps_its_age() {
        assert_eq!(same_age(5_000, 900, 880), 4_980);
        assert_eq!(same_age(5_000, 5_000, 4_990), 4_990);
        assert_eq!(same_age(5_000, 900, 1_200), 5_000);
    }
}
