//! Wall time that never runs back, for everything whose expiry is on disk.
//!
//! Contract: `now_ms` is the largest of the system's clock, every answer before, and the last time found in the log.
//! A clock that was set back makes time stand still until it has caught up; nothing that expired lives again.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// Shared by all workers.
#[derive(Debug, Default)]
pub(crate) struct WallClock {
    last_ms: AtomicU64,
}

impl WallClock {
    /// Starts no earlier than `floor_ms`, the latest time in the log.
    pub(crate) fn starting_at(floor_ms: u64) -> Self {
        Self { last_ms: AtomicU64::new(floor_ms) }
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let system = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis());
        self.advance_to(u64::try_from(system).unwrap_or(u64::MAX))
    }

    fn advance_to(&self, system_ms: u64) -> u64 {
        self.last_ms.fetch_max(system_ms, Ordering::Relaxed).max(system_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_that_is_set_back_stands_still() {
        let clock = WallClock::starting_at(1_000);
        assert_eq!(clock.advance_to(900), 1_000);
        assert_eq!(clock.advance_to(1_100), 1_100);
        assert_eq!(clock.advance_to(1_050), 1_100);
    }
}
