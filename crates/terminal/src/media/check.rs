//! A checker that compares received frames with the clip that is known to be sent; pure.

use crate::files::opus;
use crate::media::clip::{Checksum, Frame, SPEECH_INTERVAL};
use crate::media::playback::LATE_MAX;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// One speech frame, in units of its RTP clock.
const SPEECH_INTERVAL_TICKS: u64 = SPEECH_INTERVAL.as_millis() as u64 * opus::CLOCK_HZ as u64 / 1000;
/// A sender that is later than this leaves out what it missed.
const HALT_INTERVALS_MIN: u64 = (LATE_MAX.as_millis() / SPEECH_INTERVAL.as_millis()) as u64;

/// How many frames were what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Frames of the clip, unchanged.
    pub frames_ok: u64,
    /// No frame of the clip: damaged, or of another user.
    pub frames_bad: u64,
    /// The frame after the one before (or the first one).
    pub in_order: u64,
    /// A key frame at another position: the sender was asked for one, or restarted. Of speech: a frame after a halt of
    /// the sender.
    pub restarts: u64,
    /// Another frame of the clip: some between are missing.
    pub skips: u64,
}

pub struct Checker {
    positions_by_checksum: HashMap<Checksum, Vec<usize>>,
    frames: usize,
    /// Whether pictures are checked: only there a key frame is a new start.
    pictures: bool,
    /// Where the next frame may stand in the clip: several places while what came so far (silence) occurs at several.
    next: Vec<usize>,
    last_rtp_time: u64,
    pub checked: Checked,
}

impl Checker {
    pub fn pictures(clip: &[Frame]) -> Self {
        Self::new(clip, true)
    }

    pub fn speech(clip: &[Frame]) -> Self {
        Self::new(clip, false)
    }

    fn new(clip: &[Frame], pictures: bool) -> Self {
        let mut positions_by_checksum: HashMap<_, Vec<_>> = HashMap::new();
        for (at, frame) in clip.iter().enumerate() {
            positions_by_checksum.entry(frame.checksum).or_default().push(at);
        }
        Self {
            positions_by_checksum,
            frames: clip.len(),
            pictures,
            next: Vec::new(),
            last_rtp_time: 0,
            checked: Checked::default(),
        }
    }

    /// `rtp_time`: in units of the source's RTP clock.
    pub fn check(&mut self, checksum: Checksum, key: bool, rtp_time: u64) {
        let since_last = rtp_time.saturating_sub(std::mem::replace(&mut self.last_rtp_time, rtp_time));
        let Some(positions) = self.positions_by_checksum.get(&checksum) else {
            self.checked.frames_bad += 1;
            return;
        };
        self.checked.frames_ok += 1;
        let matching = |places: Vec<usize>| -> Vec<usize> {
            places.into_iter().filter(|place| positions.binary_search(place).is_ok()).collect()
        };
        let is_first = self.next.is_empty();
        let after_halt = matching(self.positions_after_halt(since_last));
        let expected = if is_first { positions.clone() } else { matching(std::mem::take(&mut self.next)) };
        let (count, places) = if !expected.is_empty() {
            (&mut self.checked.in_order, expected)
        } else if !after_halt.is_empty() {
            (&mut self.checked.restarts, after_halt)
        } else if self.pictures && key {
            (&mut self.checked.restarts, positions.clone())
        } else {
            (&mut self.checked.skips, positions.clone())
        };
        *count += 1;
        self.next = places.into_iter().map(|at| (at + 1) % self.frames.max(1)).collect();
    }

    /// Where speech may go on whose sender has left out what was due while its process was halted: RTP time and position
    /// have advanced by the same number of frames. A loss shorter than a halt, or one that RTP time does not show, is
    /// none.
    fn positions_after_halt(&self, since_last: u64) -> Vec<usize> {
        let intervals = since_last / SPEECH_INTERVAL_TICKS;
        let is_halt = since_last.is_multiple_of(SPEECH_INTERVAL_TICKS) && intervals > HALT_INTERVALS_MIN;
        if self.pictures || !is_halt {
            return Vec::new();
        }
        let left_out = usize::try_from(intervals - 1).unwrap_or_default();
        self.next.iter().map(|next| (next + left_out) % self.frames.max(1)).collect()
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;
    use crate::media::clip::Clip;
    use crate::media::playback::Playback;
    use signalling::Track;
    use std::sync::Arc;
    use std::time::{Duration, Instant};

    fn check(positions: &[usize]) -> Checked {
        let clip = Clip::built_in("carol").unwrap();
        let mut checker = Checker::pictures(&clip.pictures);
        for &at in positions {
            checker.check(clip.pictures[at].checksum, clip.pictures[at].key, 0);
        }
        checker.checked
    }

    #[test]
    fn the_clip_in_order_and_round_its_end_is_in_order() {
        assert_eq!(check(&[57, 58, 59, 0, 1]), Checked { frames_ok: 5, in_order: 5, ..Checked::default() });
    }

    #[test]
    fn a_key_frame_elsewhere_is_a_restart_and_anything_else_a_skip() {
        assert_eq!(check(&[1, 2, 0]), Checked { frames_ok: 3, in_order: 2, restarts: 1, ..Checked::default() });
        assert_eq!(check(&[1, 3]), Checked { frames_ok: 2, in_order: 1, skips: 1, ..Checked::default() });
        assert_eq!(check(&[3, 2]), Checked { frames_ok: 2, in_order: 1, skips: 1, ..Checked::default() });
    }

    #[test]
    fn a_frame_of_another_user_is_unknown() {
        let mut checker = Checker::pictures(&Clip::built_in("carol").unwrap().pictures);
        checker.check(Clip::built_in("bob").unwrap().pictures[0].checksum, true, 0);
        assert_eq!(checker.checked, Checked { frames_bad: 1, ..Checked::default() });
    }

    #[test]
    fn equal_packets_of_silence_are_told_apart_by_their_order() {
        let clip = Clip::built_in("alice").unwrap();
        let mut checker = Checker::speech(&clip.speech);
        for (tick, frame) in clip.speech.iter().chain(&clip.speech).enumerate() {
            checker.check(frame.checksum, true, tick as u64 * SPEECH_INTERVAL_TICKS);
        }
        let count = 2 * clip.speech.len() as u64;
        assert_eq!(checker.checked, Checked { frames_ok: count, in_order: count, ..Checked::default() });
    }

    /// Checks the speech that a sender plays up to each of these moments, in milliseconds; it is halted between them.
    fn played(until_ms: &[u64]) -> Checked {
        let clip = Arc::new(Clip::built_in("alice").unwrap());
        let (mut playback, start) = (Playback::new(clip.clone()), Instant::now());
        let mut checker = Checker::speech(&clip.speech);
        playback.start(start);
        for ms in until_ms {
            let now = start + Duration::from_millis(*ms);
            for due in std::iter::from_fn(|| playback.poll_frame(now)).filter(|due| due.track == Track::Audio) {
                checker.check(due.frame.checksum, true, due.rtp_time.into());
            }
        }
        checker.checked
    }

    #[test]
    fn speech_after_a_halt_of_its_sender_is_a_restart_and_no_skip() {
        let late = played(&[100, 590]);
        assert_eq!(late, Checked { frames_ok: 30, in_order: 30, ..Checked::default() }, "nothing is left out");
        for halted_ms in [700, 5_000, 60_000] {
            let checked = played(&[100, halted_ms, halted_ms + 100]);
            assert_eq!((checked.restarts, checked.skips), (1, 0), "{halted_ms}: {checked:?}");
            assert_eq!(checked.frames_ok, checked.in_order + 1);
        }
    }

    #[test]
    fn wherever_a_receiver_begins_to_hear_whole_speech_is_in_order() {
        for name in ["alice", "bob", "carol"] {
            let clip = Clip::built_in(name).unwrap();
            for begin in 0..clip.speech.len() {
                let mut checker = Checker::speech(&clip.speech);
                let frames = clip.speech.iter().cycle().skip(begin).take(clip.speech.len() + 1);
                for (tick, frame) in frames.enumerate() {
                    checker.check(frame.checksum, true, tick as u64 * SPEECH_INTERVAL_TICKS);
                }
                let count = clip.speech.len() as u64 + 1;
                let all_in_order = Checked { frames_ok: count, in_order: count, ..Checked::default() };
                assert_eq!(checker.checked, all_in_order, "{name} from {begin}");
            }
        }
    }

    #[test]
    fn speech_that_is_missing_without_a_halt_is_a_skip() {
        let clip = Clip::built_in("alice").unwrap();
        let unique =
            |at: &usize| clip.speech.iter().filter(|frame| frame.checksum == clip.speech[*at].checksum).count() == 1;
        let at: Vec<usize> = (0..clip.speech.len()).filter(unique).collect();
        let (from, to) = (at[0], *at.iter().find(|to| **to > at[0] + 40).unwrap());
        let check = |ticks: u64| {
            let mut checker = Checker::speech(&clip.speech);
            checker.check(clip.speech[from].checksum, true, 0);
            checker.check(clip.speech[to].checksum, true, ticks);
            (checker.checked.restarts, checker.checked.skips)
        };
        let halt = (to - from) as u64 * SPEECH_INTERVAL_TICKS;
        assert_eq!(check(halt), (1, 0));
        for ticks in [SPEECH_INTERVAL_TICKS, halt - SPEECH_INTERVAL_TICKS, halt + SPEECH_INTERVAL_TICKS, halt + 1] {
            assert_eq!(check(ticks), (0, 1), "{ticks}");
        }
    }
}
