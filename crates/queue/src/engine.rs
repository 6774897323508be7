//! The embedded engine.

use std::sync::Arc;
use std::time::Duration;

use commitlog::{Log, ReplayedRecord};

use crate::error::AckError;
use crate::message::Receipt;
use crate::queue::Queue;

/// The queue on the commit log of this process.
#[derive(Clone)]
pub struct Engine {}

#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Shortest invisible time that a receive may ask for. Tests use less than the default.
    pub invisible_min: Duration,
    /// Messages older than this are forgotten, consumed or not.
    pub retention: Duration,
}

impl Engine {
    /// Feed it the log's records, then start it.
    #[must_use]
    pub fn recover(options: EngineOptions) -> Recovery {
        todo!()
    }

    /// The record that acknowledges `receipt` once it is durable in the engine's own log. The caller appends it,
    /// unchanged, in one unit with what it keeps of the message, then calls [`Engine::applied`] when that unit is
    /// durable, or [`Engine::abandoned`] when the append was refused. Until then the message is held back.
    ///
    /// # Errors
    /// The receipt is not valid (any more).
    pub fn ack_record(&self, receipt: &Receipt) -> Result<AckRecord, AckError> {
        todo!()
    }

    /// The record of [`Engine::ack_record`] is durable: the message is done for the group.
    pub fn applied(&self, receipt: &Receipt) {
        todo!()
    }

    /// The record of [`Engine::ack_record`] was not appended: the receipt is as before.
    pub fn abandoned(&self, receipt: &Receipt) {
        todo!()
    }

    /// This engine as what the other parts see.
    #[must_use]
    pub fn as_queue(&self) -> Arc<dyn Queue> {
        todo!()
    }
}

/// A log record of the queue that somebody else appends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckRecord {
    pub kind: u8,
    pub owner: u64,
    pub payload: Vec<u8>,
}

/// The engine while the log is replayed.
pub struct Recovery {}

impl Recovery {
    /// Takes records of kinds for which [`owns`] is true, and ignores all others.
    ///
    /// # Errors
    /// A record of the queue that this version cannot read.
    pub fn apply(&mut self, record: ReplayedRecord<'_>) -> Result<(), RecoverError> {
        todo!()
    }

    /// Starts serving from `log`, the one whose records were fed.
    #[must_use]
    pub fn start(self, log: Log) -> Engine {
        todo!()
    }
}

/// A record of the queue that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("queue record of kind {kind:#04x} at log position {position}: {what}: was it written by a newer version?")]
pub struct RecoverError {
    pub kind: u8,
    pub position: u64,
    pub what: &'static str,
}

/// Record kinds of the queue in the log.
pub const RECORD_KINDS: std::ops::RangeInclusive<u8> = 0x20..=0x3f;

/// Whether the log records of this kind belong to the queue.
#[must_use]
pub fn owns(kind: u8) -> bool {
    RECORD_KINDS.contains(&kind)
}
