//! A complaint that would be made again and again, and is made rarely, with how often it would have been.

use std::time::{Duration, Instant};

const COMPLAIN_EVERY: Duration = Duration::from_secs(10);

#[derive(Debug, Default)]
pub(crate) struct Complaint {
    said_at: Option<Instant>,
    times: u64,
}

impl Complaint {
    /// How often it happened since it was last said, if it is to be said now.
    pub(crate) fn note(&mut self, now: Instant) -> Option<u64> {
        self.times += 1;
        if self.said_at.is_some_and(|at| now.duration_since(at) < COMPLAIN_EVERY) {
            return None;
        }
        self.said_at = Some(now);
        Some(std::mem::take(&mut self.times))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_complaint_is_said_at_once_and_then_rarely_with_how_often_it_happened() {
        let (begin, mut complaint) = (Instant::now(), Complaint::default());
        let mut said = Vec::new();
        for turn in 0..500_u32 {
            let now = begin + Duration::from_millis(50) * turn;
            said.extend(complaint.note(now).map(|times| ((now - begin).as_secs(), times)));
        }
        assert_eq!(said, [(0, 1), (10, 200), (20, 200)]);
    }
}
