//! A bucket of `burst` tokens that fills at `per_second`, kept as one moment: when it is full again.
//!
//! `now` is the time since a moment that the caller has chosen, by a clock that never goes back.

use std::time::Duration;

/// What a [`TokenBucket`] is held to. A zero counts as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    pub burst: u32,
    pub per_second: u32,
}

impl Rate {
    fn period_us(self) -> u64 {
        1_000_000 / u64::from(self.per_second.max(1))
    }

    fn burst_us(self) -> u64 {
        self.period_us() * u64::from(self.burst.max(1))
    }
}

/// The tokens of one source; a new bucket is full. Eight bytes, because every connection has one.
///
/// Two kinds of use, which may be mixed: [`try_take`](Self::try_take) refuses what is too much, [`take`](Self::take)
/// lets it pass and says how long to wait for the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TokenBucket {
    full_at_us: u64,
}

impl TokenBucket {
    /// Takes a token. An empty bucket gives none, and the error says when one is there again.
    ///
    /// # Errors
    /// How long until then.
    pub fn try_take(&mut self, rate: Rate, now: Duration) -> Result<(), Duration> {
        let mut after = *self;
        match after.take(rate, now) {
            Some(wait) => Err(wait),
            None => {
                *self = after;
                Ok(())
            }
        }
    }

    /// Takes a token, also one that is not there yet. Returns the [`debt`](Self::debt) that is left by it.
    pub fn take(&mut self, rate: Rate, now: Duration) -> Option<Duration> {
        self.full_at_us = self.full_at_us.max(micros(now)).saturating_add(rate.period_us());
        self.debt(rate, now)
    }

    /// How long until all tokens are there that were taken; `None`: they were there.
    pub fn debt(&self, rate: Rate, now: Duration) -> Option<Duration> {
        let paid_at_us = self.full_at_us.saturating_sub(rate.burst_us());
        let debt_us = paid_at_us.saturating_sub(micros(now));
        (debt_us > 0).then(|| Duration::from_micros(debt_us))
    }

    /// Takes all tokens that are there.
    pub fn drain(&mut self, rate: Rate, now: Duration) {
        self.full_at_us = self.full_at_us.max(micros(now).saturating_add(rate.burst_us()));
    }

    /// A full bucket is as good as a new one: it may be forgotten.
    pub fn is_full(&self, now: Duration) -> bool {
        self.full_at_us <= micros(now)
    }
}

fn micros(now: Duration) -> u64 {
    u64::try_from(now.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { burst: 3, per_second: 10 };
    const START: Duration = Duration::from_secs(1_000);
    const PERIOD: Duration = Duration::from_millis(100);
    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn a_burst_passes_and_then_the_rate_holds() {
        let mut bucket = TokenBucket::default();
        assert_eq!([(); 3].map(|()| bucket.take(RATE, START)), [None; 3]);
        assert_eq!(bucket.take(RATE, START), Some(PERIOD));
        assert_eq!(bucket.debt(RATE, START + PERIOD - MS), Some(MS));
        assert_eq!(bucket.debt(RATE, START + PERIOD), None);
        assert_eq!(bucket.take(RATE, START + PERIOD), Some(PERIOD));
    }

    #[test]
    fn what_was_not_used_is_kept_up_to_the_burst() {
        let mut bucket = TokenBucket::default();
        for _ in 0..3 {
            bucket.take(RATE, START);
        }
        let much_later = START + Duration::from_secs(3_600);
        assert_eq!([(); 3].map(|()| bucket.take(RATE, much_later)), [None; 3]);
        assert!(bucket.take(RATE, much_later).is_some());
    }

    #[test]
    fn what_is_refused_costs_nothing() {
        let mut bucket = TokenBucket::default();
        assert_eq!([(); 3].map(|()| bucket.try_take(RATE, START)), [Ok(()); 3]);
        assert_eq!([(); 9].map(|()| bucket.try_take(RATE, START)), [Err(PERIOD); 9]);
        assert_eq!(bucket.try_take(RATE, START + PERIOD - MS), Err(MS));
        assert_eq!(bucket.try_take(RATE, START + PERIOD), Ok(()));
        assert_eq!(bucket.try_take(RATE, START + PERIOD), Err(PERIOD));
    }

    #[test]
    fn a_drained_bucket_is_empty_and_fills_from_then_on() {
        let mut bucket = TokenBucket::default();
        bucket.drain(RATE, START);
        assert_eq!(bucket.debt(RATE, START), None);
        assert_eq!(bucket.try_take(RATE, START), Err(PERIOD));
        assert_eq!(bucket.try_take(RATE, START + PERIOD), Ok(()));
        assert!(!bucket.is_full(START + 3 * PERIOD) && bucket.is_full(START + 4 * PERIOD));
    }

    #[test]
    fn a_debt_is_not_lessened_by_draining() {
        let mut bucket = TokenBucket::default();
        for _ in 0..5 {
            bucket.take(RATE, START);
        }
        bucket.drain(RATE, START);
        assert_eq!(bucket.debt(RATE, START), Some(2 * PERIOD));
    }

    #[test]
    fn a_rate_of_zero_is_a_rate_of_one() {
        let (mut bucket, zero) = (TokenBucket::default(), Rate { burst: 0, per_second: 0 });
        assert_eq!(bucket.try_take(zero, START), Ok(()));
        assert_eq!(bucket.try_take(zero, START), Err(Duration::from_secs(1)));
    }
}
