//! What one turn says again of the clients, in a carry or for a snapshot: a step is bounded by what it looks at, too, so that
//! a client with a full inbox takes many of them.

use crate::store::journal::Batch;

/// What one step takes at most, but for its last record.
#[derive(Clone, Copy, Debug)]
pub(in crate::worker) struct StepLimits {
    pub(in crate::worker) bytes: usize,
    pub(in crate::worker) records: usize,
    /// Places of clients, messages and collapse keys.
    pub(in crate::worker) looked_at: usize,
}

pub(in crate::worker) struct Step {
    limits: StepLimits,
    pub(in crate::worker) batch: Batch,
    looked_at: usize,
}

impl Step {
    pub(in crate::worker) fn new(limits: StepLimits) -> Self {
        Self { limits, batch: Batch::default(), looked_at: 0 }
    }

    /// One more was looked at.
    pub(in crate::worker) fn look(&mut self) {
        self.looked_at += 1;
    }

    pub(in crate::worker) fn is_over(&self) -> bool {
        self.batch.bytes() >= self.limits.bytes
            || self.batch.len() >= self.limits.records
            || self.looked_at >= self.limits.looked_at
    }

    /// So many records more, at most.
    pub(super) fn records_left(&self) -> usize {
        self.limits.records.saturating_sub(self.batch.len())
    }
}
