//! How fast one end user may publish. Pure.
//!
//! A bucket of `burst` messages that fills at `per_second`, kept as one moment: when it would be full again. Beyond it
//! nothing is refused; the connection is not read until there is room, so TCP slows the sender.

use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub burst: u32,
    pub per_second: u32,
}

/// Eight bytes, because every connection has one.
#[derive(Debug, Default)]
pub(crate) struct Pace {
    full_at_us: u64,
}

impl Rate {
    fn period_us(self) -> u64 {
        1_000_000 / u64::from(self.per_second.max(1))
    }
}

impl Pace {
    /// Takes one message; how long until there is room for the next, if there is none now.
    pub(crate) fn spend(&mut self, rate: Rate, now_ms: u64) -> Option<Duration> {
        self.full_at_us = self.full_at_us.max(now_ms.saturating_mul(1_000)).saturating_add(rate.period_us());
        self.wait(rate, now_ms)
    }

    /// `None`: there is room.
    pub(crate) fn wait(&self, rate: Rate, now_ms: u64) -> Option<Duration> {
        let room_at_us = self.full_at_us.saturating_sub(rate.period_us() * u64::from(rate.burst.max(1)));
        let wait_us = room_at_us.saturating_sub(now_ms.saturating_mul(1_000));
        (wait_us > 0).then(|| Duration::from_micros(wait_us))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, per_second: 10 };
    const START_MS: u64 = 1_000_000;

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut pace = Pace::default();
        assert_eq!([(); 3].map(|()| pace.spend(RATE, START_MS)), [None; 3]);
        assert_eq!(pace.spend(RATE, START_MS), Some(Duration::from_millis(100)));
        assert_eq!(pace.wait(RATE, START_MS + 99), Some(Duration::from_millis(1)));
        assert_eq!(pace.wait(RATE, START_MS + 100), None);
        assert_eq!(pace.spend(RATE, START_MS + 100), Some(Duration::from_millis(100)));
    }

    #[test]
    fn what_was_not_used_is_kept_up_to_the_burst() {
        let mut pace = Pace::default();
        for _ in 0..3 {
            pace.spend(RATE, START_MS);
        }
        let much_later = START_MS + 3_600_000;
        assert_eq!([(); 3].map(|()| pace.spend(RATE, much_later)), [None; 3]);
        assert!(pace.spend(RATE, much_later).is_some());
    }
}
