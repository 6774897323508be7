//! The service's clock, as far as this terminal knows it. All deadlines in signals are by that clock.
//!
//! It is kept as an offset to the monotonic clock, which cannot be set: a step of the wall clock moves no deadline. The
//! offset comes from answers to `state`; before the first one the wall clock is used, as a guess. A guess is good
//! for requests, whose refusal renews it, and for nothing that cannot be taken back.

/// An answer that took longer bounds the moment when the service read its clock too loosely.
const ROUND_TRIP_MAX_MS: u64 = 2_000;
/// So much between two looks the wall clock and the monotonic one do not drift apart: one was set, or this machine slept.
const JUMP_MS: u64 = 2_000;

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    /// What the service's clock is ahead of the monotonic one.
    offset_ms: i64,
    /// Not a guess.
    known: bool,
    /// Learnt from an answer, if only roughly: it no longer follows the wall clock.
    told: bool,
    /// The round trip that it was learnt from on this connection.
    round_trip_ms: Option<u64>,
    /// What the wall clock was ahead of the monotonic one when they were last looked at.
    wall_ms: Option<i64>,
}

impl Clock {
    /// Compares both local clocks. Returns true if they have jumped apart: what was known is a guess from now on.
    pub(crate) fn has_jumped(&mut self, wall_ms: u64, mono_ms: u64) -> bool {
        let ahead_ms = wall_ms.wrapping_sub(mono_ms).cast_signed();
        let before = self.wall_ms.replace(ahead_ms);
        if !self.told {
            self.offset_ms = ahead_ms;
        }
        let jumped = before.is_some_and(|before| before.abs_diff(ahead_ms) > JUMP_MS);
        if jumped {
            self.doubt();
        }
        jumped
    }

    /// The shortest round trip counts on each connection.
    pub(crate) fn handle_connected(&mut self) {
        self.round_trip_ms = None;
    }

    pub(crate) fn doubt(&mut self) {
        self.known = false;
        self.round_trip_ms = None;
    }

    /// An answer to a question of this connection; both moments by the monotonic clock.
    pub(crate) fn learn(&mut self, service_ms: u64, asked_ms: u64, answered_ms: u64) {
        let took_ms = answered_ms.saturating_sub(asked_ms);
        // The service read its clock after the question left and before the answer came.
        let least = service_ms.wrapping_sub(answered_ms).cast_signed();
        let most = least.saturating_add_unsigned(took_ms);
        self.told = true;
        if took_ms > ROUND_TRIP_MAX_MS {
            self.offset_ms = self.offset_ms.clamp(least, most);
            return;
        }
        let was_set = !(least..=most).contains(&self.offset_ms);
        if was_set || self.round_trip_ms.is_none_or(|best| took_ms <= best) {
            self.offset_ms = least.saturating_add_unsigned(took_ms / 2);
            self.round_trip_ms = Some(took_ms);
            self.known = true;
        }
    }

    /// The best guess.
    pub(crate) fn service_ms(self, mono_ms: u64) -> u64 {
        mono_ms.saturating_add_signed(self.offset_ms)
    }

    pub(crate) fn is_known(self) -> bool {
        self.known
    }

    /// When the service's clock shows this, by the monotonic one.
    pub(crate) fn mono_ms(self, service_ms: u64) -> u64 {
        service_ms.saturating_add_signed(self.offset_ms.saturating_neg())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WALL: u64 = 1_000_000;

    fn seen(wall_ms: u64, mono_ms: u64) -> Clock {
        let mut clock = Clock::default();
        assert!(!clock.has_jumped(wall_ms, mono_ms));
        clock
    }

    #[test]
    fn the_wall_clock_is_a_guess_until_an_answer_comes() {
        let mut clock = seen(WALL, 10);
        assert_eq!((clock.service_ms(20), clock.is_known()), (WALL + 10, false));
        assert!(clock.has_jumped(WALL + 60_000, 10));
        assert_eq!(clock.service_ms(10), WALL + 60_000, "nothing better is known");
        clock.learn(5_000, 10, 30);
        assert_eq!((clock.service_ms(30), clock.is_known()), (5_010, true));
        assert_eq!(clock.mono_ms(5_010), 30);
    }

    #[test]
    fn a_step_of_the_wall_clock_moves_nothing_and_makes_a_guess_of_what_was_known() {
        for step in [-86_400_000_i64, -30_000, 30_000, 86_400_000] {
            let mut clock = seen(WALL * 1_000, 0);
            clock.learn(5_000, 0, 100);
            assert!(clock.has_jumped((WALL * 1_000).saturating_add_signed(step), 100));
            assert_eq!((clock.service_ms(100), clock.is_known()), (5_050, false));
        }
    }

    #[test]
    fn the_shortest_round_trip_of_a_connection_counts() {
        let mut clock = seen(WALL, 0);
        clock.learn(5_000, 0, 100);
        clock.learn(6_000, 1_000, 1_900);
        assert_eq!(clock.service_ms(2_000), 6_950, "still that of the first answer");
        clock.learn(7_000, 2_000, 2_010);
        assert_eq!(clock.service_ms(2_010), 7_005);
        clock.handle_connected();
        clock.learn(8_000, 3_000, 3_900);
        assert_eq!(clock.service_ms(3_900), 8_450, "another connection");
    }

    #[test]
    fn a_slow_answer_bounds_a_guess_and_makes_nothing_known() {
        let mut clock = seen(WALL, 0);
        clock.learn(5_000, 0, 3_000);
        assert_eq!((clock.service_ms(3_000), clock.is_known()), (8_000, false), "as late as it may have been");
    }

    #[test]
    fn an_answer_that_contradicts_what_was_known_counts_though_it_took_longer() {
        let mut clock = seen(WALL, 0);
        clock.learn(5_000, 0, 10);
        clock.learn(95_000, 1_000, 1_100);
        assert_eq!(clock.service_ms(1_100), 95_050, "the service's clock was set");
    }
}
