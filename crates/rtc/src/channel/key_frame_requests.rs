//! Key frame requests of one source: merged over all who want one, throttled, repeated until the key frame comes.

use std::time::{Duration, Instant};

/// After an answered request the next one waits so long: a key frame costs every viewer.
const THROTTLE: Duration = Duration::from_millis(500);
/// An unanswered request, or its key frame, may have been lost.
const REPEAT: Duration = Duration::from_millis(350);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct KeyFrameRequests {
    wanted: bool,
    answered: bool,
    asked_at: Option<Instant>,
}

impl KeyFrameRequests {
    /// A viewer cannot decode before the next key frame.
    pub(crate) fn request(&mut self) {
        self.wanted = true;
    }

    /// A key frame began.
    pub(crate) fn handle_key_frame(&mut self) {
        self.wanted = false;
        self.answered = true;
    }

    /// Whether to send a request now.
    pub(crate) fn poll_request(&mut self, now: Instant) -> bool {
        let pause = if self.answered { THROTTLE } else { REPEAT };
        let early = self.asked_at.is_some_and(|at| now.saturating_duration_since(at) < pause);
        if !self.wanted || early {
            return false;
        }
        self.asked_at = Some(now);
        self.answered = false;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Steps of (milliseconds, what happens there, whether a request leaves).
    fn play(steps: &[(u64, &str, bool)]) {
        let start = Instant::now();
        let mut requests = KeyFrameRequests::default();
        for (ms, happens, asks) in steps {
            match *happens {
                "want" => requests.request(),
                "came" => requests.handle_key_frame(),
                _ => {}
            }
            assert_eq!(requests.poll_request(start + Duration::from_millis(*ms)), *asks, "{happens} at {ms} ms");
        }
    }

    #[test]
    fn a_hundred_wishes_at_once_are_one_request() {
        play(&[(0, "want", true), (0, "want", false), (1, "want", false), (349, "want", false)]);
    }

    #[test]
    fn it_is_repeated_until_the_key_frame_comes() {
        play(&[
            (0, "want", true),
            (349, "", false),
            (350, "", true),
            (700, "", true),
            (800, "came", false),
            (9_000, "", false),
        ]);
    }

    #[test]
    fn after_an_answer_the_next_request_waits() {
        play(&[(0, "want", true), (40, "came", false), (50, "want", false), (499, "", false), (500, "", true)]);
    }
}
