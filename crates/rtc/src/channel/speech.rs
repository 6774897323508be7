//! Speech detection for one source, by the audio level that RFC 6464 puts on every packet. The voice bit beside it is
//! always set in practice and is ignored.

use std::time::{Duration, Instant};

/// Louder than this (negative dBov) counts as speech.
const LOUD_DBOV: i8 = -45;
/// Loud packets, less quiet ones, that count as speech: 5 × 20 ms.
const SCORE_SPEAKS: u8 = 5;
const SCORE_MAX: u8 = 10;
/// Pauses between words are shorter than this.
const HANG: Duration = Duration::from_millis(800);

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct SpeechDetector {
    score: u8,
    loud_at: Option<Instant>,
    speaking: bool,
}

impl SpeechDetector {
    /// `Some` when it changes.
    pub(crate) fn handle_level(&mut self, level_dbov: i8, now: Instant) -> Option<bool> {
        if level_dbov >= LOUD_DBOV {
            self.loud_at = Some(now);
            self.score = SCORE_MAX.min(self.score + 1);
        } else {
            self.score = self.score.saturating_sub(1);
        }
        if self.score >= SCORE_SPEAKS { self.set(true) } else { self.poll(now) }
    }

    /// Silence needs no packet: `Some(false)` when the last loud one is too long ago.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<bool> {
        let over = self.loud_at.is_none_or(|at| now.saturating_duration_since(at) >= HANG);
        if over { self.set(false) } else { None }
    }

    fn set(&mut self, speaking: bool) -> Option<bool> {
        let changed = self.speaking != speaking;
        self.speaking = speaking;
        changed.then_some(speaking)
    }

    /// When it was last loud; `None` if never.
    pub(crate) fn loud_at(&self) -> Option<Instant> {
        self.loud_at
    }

    pub(crate) fn is_speaking(&self) -> bool {
        self.speaking
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn speech_begins_after_five_loud_packets_and_ends_with_silence() {
        let start = Instant::now();
        let at = |packet: u64| start + Duration::from_millis(20 * packet);
        let mut detector = SpeechDetector::default();
        let changes: Vec<_> = (0..10).map(|packet| detector.handle_level(-20, at(packet))).collect();
        assert_eq!(changes.iter().position(Option::is_some), Some(4));
        assert!((10..49).all(|packet| detector.handle_level(-90, at(packet)).is_none()));
        assert_eq!(detector.handle_level(-90, at(49)), Some(false));
    }

    #[test]
    fn a_click_is_no_speech() {
        let start = Instant::now();
        let mut detector = SpeechDetector::default();
        assert_eq!(detector.handle_level(-10, start), None);
        assert_eq!(detector.poll(start + HANG), None);
        assert!(!detector.is_speaking());
    }
}
