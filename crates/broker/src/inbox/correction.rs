//! The correction of deadlines that a wrong clock has set.

/// Deadlines beyond one time are moved to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Correction {
    pub(crate) beyond_ms: u64,
    pub(crate) to_ms: u64,
}

impl Correction {
    pub(crate) fn concerns(self, deadline_ms: u64) -> bool {
        deadline_ms > self.beyond_ms
    }

    pub(crate) fn apply(self, deadline_ms: &mut u64) {
        if self.concerns(*deadline_ms) {
            *deadline_ms = self.to_ms;
        }
    }
}
