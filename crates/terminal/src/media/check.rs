//! A checker that compares received frames with the clip that is known to be sent; pure.

use crate::media::clip::{Checksum, Frame};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;

/// How many frames were what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// Frames of the clip, unchanged.
    pub frames_ok: u64,
    /// No frame of the clip: damaged, or of another user.
    pub frames_bad: u64,
    /// The frame after the one before (or the first one).
    pub in_order: u64,
    /// A key frame at another position: the sender was asked for one, or restarted.
    pub restarts: u64,
    /// Another frame of the clip: some between are missing.
    pub skips: u64,
}

pub struct Checker {
    positions_by_checksum: HashMap<Checksum, Vec<usize>>,
    frames: usize,
    /// Whether pictures are checked: only there a key frame is a new start.
    pictures: bool,
    next: Option<usize>,
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
        Self { positions_by_checksum, frames: clip.len(), pictures, next: None, checked: Checked::default() }
    }

    pub fn check(&mut self, checksum: Checksum, key: bool) {
        let Some(positions) = self.positions_by_checksum.get(&checksum) else {
            self.checked.frames_bad += 1;
            return;
        };
        self.checked.frames_ok += 1;
        let expected = self.next.filter(|next| positions.contains(next));
        match expected {
            Some(_) => self.checked.in_order += 1,
            None if self.next.is_none() => self.checked.in_order += 1,
            None if self.pictures && key => self.checked.restarts += 1,
            None => self.checked.skips += 1,
        }
        let at = expected.or(positions.first().copied()).unwrap_or(0);
        self.next = Some((at + 1) % self.frames.max(1));
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;
    use crate::media::clip::Clip;

    fn check(positions: &[usize]) -> Checked {
        let clip = Clip::built_in("carol").unwrap();
        let mut checker = Checker::pictures(&clip.pictures);
        for &at in positions {
            checker.check(clip.pictures[at].checksum, clip.pictures[at].key);
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
        checker.check(Clip::built_in("bob").unwrap().pictures[0].checksum, true);
        assert_eq!(checker.checked, Checked { frames_bad: 1, ..Checked::default() });
    }

    #[test]
    fn equal_packets_of_silence_are_told_apart_by_their_order() {
        let clip = Clip::built_in("alice").unwrap();
        let mut checker = Checker::speech(&clip.speech);
        for frame in clip.speech.iter().chain(&clip.speech) {
            checker.check(frame.checksum, true);
        }
        let count = 2 * clip.speech.len() as u64;
        assert_eq!(checker.checked, Checked { frames_ok: count, in_order: count, ..Checked::default() });
    }
}
