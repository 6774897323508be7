//! The seam between the log's replay and the parts, where a seeded bug of a start is done ([`ReplayFault`]).

#[cfg(feature = "faults")]
mod forgetting;

use crate::config::ReplayFault;
use commitlog::ReplayedRecord;

/// Shows records as they are, unless a bug is seeded.
pub(super) struct SeededReplay {
    #[cfg(feature = "faults")]
    forgetting: forgetting::Forgetting,
}

#[cfg(not(feature = "faults"))]
impl SeededReplay {
    pub(super) fn new(_: ReplayFault) -> Self {
        Self {}
    }

    #[expect(clippy::unused_self, reason = "a build with seeded bugs changes the record by it")]
    pub(super) fn show<T>(&mut self, record: ReplayedRecord<'_>, apply: impl FnOnce(ReplayedRecord<'_>) -> T) -> T {
        apply(record)
    }
}

#[cfg(feature = "faults")]
impl SeededReplay {
    pub(super) fn new(fault: ReplayFault) -> Self {
        Self { forgetting: forgetting::Forgetting::new(fault) }
    }

    pub(super) fn show<E>(
        &mut self,
        record: ReplayedRecord<'_>,
        apply: impl FnOnce(ReplayedRecord<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        match self.forgetting.change(record.kind, record.payload) {
            forgetting::Change::None => apply(record),
            forgetting::Change::Left => Ok(()),
            forgetting::Change::Payload(payload) => apply(ReplayedRecord { payload: &payload, ..record }),
        }
    }
}
