//! Pauses between attempts to connect: short at first, then longer, without end; pure.

use std::time::Duration;

const PAUSES_MS: [u64; 7] = [0, 250, 500, 1_000, 2_000, 4_000, 7_000];
/// Added at random, so that clients do not all connect at once to a restarted server.
const JITTER_MIN_MS: u64 = 100;

#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failures: usize,
}

impl Backoff {
    /// The connection stood.
    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// The next attempt will not do better than this one (a refused login).
    pub(crate) fn slow_down(&mut self) {
        self.failures = PAUSES_MS.len();
    }

    /// The pause before the next attempt; `random` is in 0..1.
    pub(crate) fn next(&mut self, random: f64) -> Duration {
        let base = PAUSES_MS[self.failures.min(PAUSES_MS.len() - 1)];
        self.failures += 1;
        let jitter = (base / 4).max(JITTER_MIN_MS);
        Duration::from_millis(base + (jitter as f64 * random.clamp(0.0, 1.0)) as u64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_limit_and_start_anew_once_connected() {
        let mut backoff = Backoff::default();
        let pauses: Vec<_> = (0..9).map(|_| backoff.next(0.0).as_millis()).collect();
        assert_eq!(pauses, [0, 250, 500, 1000, 2000, 4000, 7000, 7000, 7000]);
        backoff.reset();
        assert_eq!(backoff.next(0.5).as_millis(), 50);
        backoff.slow_down();
        assert_eq!(backoff.next(1.0).as_millis(), 8750);
    }
}
