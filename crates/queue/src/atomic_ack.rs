//! The acknowledgement of a message in one unit of the log with the records that its consumer keeps of it.

use crate::error::AckError;
use crate::message::Receipt;

/// What an engine on the consumer's own log can do, and no other: [`crate::Queue::atomic_ack`] returns it.
///
/// ```text
/// prepare ─► the consumer appends the record in one unit with its own ─► commit, once the unit is durable
///                                    └─ the append is refused ─► abort
/// ```
///
/// After a crash the message is with the consumer if the unit is in the log, else in the queue: never in both, never in
/// neither. A consumer of any other queue acknowledges with [`crate::Queue::ack`] once its own records are durable, and
/// keeps message ids to recognise what is handed out again because a crash came between the two.
pub trait AtomicAck: Send + Sync {
    /// Returns the record that acknowledges `receipt` once it is durable, and holds the message back: it is not handed
    /// out, and the receipt is refused, until [`AtomicAck::commit`] or [`AtomicAck::abort`].
    ///
    /// # Errors
    /// The receipt is not valid (any more).
    fn prepare(&self, receipt: &Receipt) -> Result<AckRecord, AckError>;

    /// The record of [`AtomicAck::prepare`] is durable: the group has consumed the message.
    fn commit(&self, receipt: &Receipt);

    /// The record of [`AtomicAck::prepare`] was not appended: the receipt is as before.
    fn abort(&self, receipt: &Receipt);
}

/// A log record of the queue that the consumer appends unchanged: by itself with [`commitlog::Need::Essential`], in a unit
/// with a need that its other records have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AckRecord {
    pub kind: u8,
    pub owner: u64,
    pub payload: Vec<u8>,
}
