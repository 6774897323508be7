//! Records as they are appended, read and replayed, and the events of the log.

use crate::Position;

/// The lowest record kind of the users of the log, up to 0xff; kinds below are the log's own and never replayed.
pub const USER_KIND_MIN: u8 = 0x20;

/// A record that is about to be appended.
#[derive(Clone, Copy, Debug)]
pub struct NewRecord<'a> {
    /// `USER_KIND_MIN` or above; says who owns the record and what its payload is.
    pub kind: u8,
    /// The owner's own name for what the record belongs to (a topic, an inbox).
    pub owner: u64,
    /// Written one after the other, without anything in between.
    pub payload: &'a [Part<'a>],
    /// Of a carried record: where its first copy was written.
    pub(crate) name: Option<Position>,
}

impl<'a> NewRecord<'a> {
    #[must_use]
    pub fn new(kind: u8, owner: u64, payload: &'a [Part<'a>]) -> Self {
        Self { kind, owner, payload, name: None }
    }

    /// The same as one more copy of the record that was first written at `name`: it keeps that name.
    #[must_use]
    pub fn carried(self, name: Position) -> Self {
        Self { name: Some(name), ..self }
    }
}

/// A piece of a payload.
#[derive(Clone, Copy, Debug)]
pub enum Part<'a> {
    Bytes(&'a [u8]),
    /// The position of the record with this index in the same append, as eight little-endian bytes. It may be the
    /// record itself or one before or after it: all positions of an append are known before the first byte is encoded.
    PositionOf(usize),
}

/// The positions of an append.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// One position for each record, in the order given.
    pub positions: Vec<Position>,
    /// The append is durable once `Log::durable()` is at or past this.
    pub end: Position,
}

/// A record as it was appended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    pub kind: u8,
    pub owner: u64,
    pub position: Position,
    pub payload: Vec<u8>,
}

/// A record during replay: borrows the replay's buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplayedRecord<'a> {
    pub kind: u8,
    pub owner: u64,
    pub position: Position,
    /// A copy: the place that `position` names is not read, and records that refer to this one may come before it. Those of
    /// a snapshot are none: each owner's come in the order in which it pushed them, before all of the log.
    pub is_carried: bool,
    pub payload: &'a [u8],
}

/// What a watcher is called with: once for each sync, and once when the log has failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogEvent {
    /// Everything below this position is durable.
    Durable(Position),
    /// A write or a sync failed: nothing becomes durable any more. Nothing may be acknowledged; the process should end
    /// and recover from the file.
    Poisoned(String),
}

/// Whether an append may use the space that is kept for when no segment can be made, and how much of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Refused with `Full` when the log has no room.
    Normal,
    /// Acknowledgements, hand-outs: what lets work go on. May use the reserve.
    Essential,
    /// What is noted about those who work, such as their connections: as often as they like. May use half of the reserve, so
    /// that the other half is left for the work itself.
    Housekeeping,
    /// Copies of what is needed of an old segment. May use the segment that is kept for them, and nothing of the reserve.
    /// Refused with `Busy` while others fill the queue to the disk.
    Carry,
}
