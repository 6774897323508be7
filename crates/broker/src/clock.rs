//! Wall time that never runs back, for everything whose expiry is on disk.
//!
//! Contract: `now_ms` begins at the later of the system's clock and the last time found in the log, and goes on with the
//! monotonic clock. A system clock that is ahead takes it along; one that was set back changes nothing: what expired
//! stays expired, and what is to expire still does.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Shared by all workers.
#[derive(Debug)]
pub(crate) struct WallClock {
    started: Instant,
    /// What the time was at `started`.
    base_ms: AtomicU64,
}

impl WallClock {
    /// Starts no earlier than `floor_ms`, the latest time in the log.
    pub(crate) fn starting_at(floor_ms: u64) -> Self {
        Self { started: Instant::now(), base_ms: AtomicU64::new(floor_ms) }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.at(system_ms(), u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX))
    }

    /// What this clock says of a moment that somebody else took from the system's clock. Not later than now.
    pub(crate) fn of_system(&self, moment_ms: u64) -> u64 {
        same_age(self.now_ms(), system_ms(), moment_ms)
    }

    fn at(&self, system_ms: u64, running_ms: u64) -> u64 {
        let base_ms = system_ms.saturating_sub(running_ms);
        self.base_ms.fetch_max(base_ms, Ordering::Relaxed).max(base_ms).saturating_add(running_ms)
    }
}

fn system_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
    u64::try_from(since).unwrap_or(u64::MAX)
}

fn same_age(now_ms: u64, system_ms: u64, moment_ms: u64) -> u64 {
    now_ms.saturating_sub(system_ms.saturating_sub(moment_ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_changes_nothing_and_one_that_is_ahead_is_followed() {
        let clock = WallClock::starting_at(1_000);
        assert_eq!(clock.at(900, 0), 1_000);
        assert_eq!(clock.at(910, 10), 1_010);
        assert_eq!(clock.at(5_000, 20), 5_000);
        assert_eq!(clock.at(100, 30), 5_010);
        assert_eq!(clock.at(200, 130), 5_110);
    }

    #[test]
    fn a_moment_of_the_systems_clock_keeps_its_age() {
        assert_eq!(same_age(5_000, 900, 880), 4_980);
        assert_eq!(same_age(5_000, 5_000, 4_990), 4_990);
        assert_eq!(same_age(5_000, 900, 1_200), 5_000);
    }
}
