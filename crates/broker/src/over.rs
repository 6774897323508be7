//! What has had its time at one moment. Not a clock: it is made of one reading of the service's.

use clock::Times;

/// All that was to end by now is over, but for what is held: it may have been dated by a clock that was wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Over {
    now_ms: u64,
    held: Held,
}

/// What was to end after one moment and by another one, if there is something.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Held {
    pub(crate) from_ms: u64,
    pub(crate) until_ms: u64,
}

impl Held {
    pub(crate) fn is_empty(self) -> bool {
        self.from_ms >= self.until_ms
    }
}

impl From<Times> for Held {
    fn from(times: Times) -> Self {
        Self { from_ms: times.held_from_ms, until_ms: times.held_until_ms }
    }
}

impl Over {
    pub(crate) fn new(now_ms: u64, held: Held) -> Self {
        Self { now_ms, held }
    }

    /// At a time at which nothing is held.
    #[cfg(test)]
    pub(crate) fn by(now_ms: u64) -> Self {
        Self::new(now_ms, Held::default())
    }

    pub(crate) fn is_over(self, ends_at_ms: u64) -> bool {
        ends_at_ms <= self.now_ms && !self.holds(ends_at_ms)
    }

    /// How long it takes until what was to end then is over.
    pub(crate) fn left_ms(self, ends_at_ms: u64) -> u64 {
        ends_at_ms.saturating_sub(if self.holds(ends_at_ms) { self.held.from_ms } else { self.now_ms })
    }

    fn holds(self, ends_at_ms: u64) -> bool {
        self.held.from_ms < ends_at_ms && ends_at_ms <= self.held.until_ms
    }

    /// By then all is over that was to end by then. What is looked at in the order in which it ends goes by this: while
    /// something is held, what ends behind that is looked at late.
    pub(crate) fn all_until_ms(self) -> u64 {
        if self.held.is_empty() { self.now_ms } else { self.now_ms.min(self.held.from_ms) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_is_not_over_and_what_ends_behind_it_is() {
        let over = Over::new(100, Held { from_ms: 20, until_ms: 60 });
        for (ends_at_ms, left_ms) in [(20, 0), (21, 1), (60, 40), (61, 0), (100, 0), (101, 1)] {
            assert_eq!((over.is_over(ends_at_ms), over.left_ms(ends_at_ms)), (left_ms == 0, left_ms), "{ends_at_ms}");
        }
        assert_eq!((over.all_until_ms(), Over::by(100).all_until_ms()), (20, 100));
        assert!(Over::by(100).is_over(60));
    }
}
