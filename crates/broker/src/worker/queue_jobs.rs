//! How a message of the queue is acknowledged there: as a record in the unit that stores it, or by a call once that unit is
//! durable.

use std::sync::Arc;

use queue::{AckError, AtomicAck};

use super::post::QueueJob;
use crate::bridge;
use crate::shared::Shared;
use crate::store::journal::Batch;

/// Acknowledgements as records of the log that the inboxes are in, where the queue is on the same one.
#[derive(Clone)]
pub(super) struct QueueAcks {
    atomic: Option<Arc<dyn AtomicAck>>,
}

impl QueueAcks {
    pub(super) fn new(atomic: Option<Arc<dyn AtomicAck>>) -> Self {
        Self { atomic }
    }

    /// An acknowledgement is a record; otherwise the queue is told when all is durable, and ids are remembered.
    pub(super) fn are_records(&self) -> bool {
        self.atomic.is_some()
    }

    /// Adds the acknowledgement to what becomes durable together. Without records this adds nothing.
    ///
    /// # Errors
    /// The receipt is no longer valid: the message is somebody else's, or comes again.
    pub(super) fn add_to(&self, batch: &mut Batch, job: &QueueJob) -> Result<(), AckError> {
        if let Some(atomic) = &self.atomic {
            let record = atomic.prepare(&job.receipt)?;
            batch.foreign(record.kind, record.owner, record.payload);
        }
        Ok(())
    }

    /// Nothing was written: the queue hands the message out again.
    pub(super) fn abandon(&self, job: &QueueJob) {
        if let Some(atomic) = &self.atomic {
            atomic.abort(&job.receipt);
        }
    }

    /// The record is durable.
    pub(super) fn applied(&self, job: &QueueJob) {
        if let Some(atomic) = &self.atomic {
            atomic.commit(&job.receipt);
        }
    }
}

/// Tells a queue that is elsewhere, or whose acknowledgement needs no unit.
pub(super) fn acknowledge(shared: &Shared, job: Box<QueueJob>) {
    shared.tasks.spawn("an acknowledgement to the queue", bridge::acknowledge(shared.queue.clone(), job));
}

pub(super) fn dead_letter(shared: &Shared, job: Box<QueueJob>, reason: &'static str) {
    shared.counts.dead_letters.one();
    shared.tasks.spawn("a dead letter", bridge::dead_letter(shared.queue.clone(), job, reason));
}
