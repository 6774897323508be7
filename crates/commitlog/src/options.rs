//! Options of a log: sizes, syncs, and bugs for tests.

use std::time::Duration;

/// Size of the segments of a log that is made with [`Options::default`].
pub const SEGMENT_SIZE: u64 = 64 << 20;

/// The least that [`Options::space_max`] may be, in segments: the oldest, which is given back, the one that is appended to,
/// two that are ready for the next appends and for copies, one that was given back, and the spare file.
pub const SPACE_SEGMENTS_MIN: u64 = 6;

/// When an append counts as durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyncMode {
    /// After `fdatasync`: survives a power cut.
    Always,
    /// After `write`: survives the end of the process, not of the machine. A power cut may lose everything since the
    /// last segment change; what is found afterwards is still a prefix of what was appended.
    Os,
}

/// A bug that is switched on to show that a checker finds it. Only builds with the feature `faults` have any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    #[default]
    None,
    /// Says "durable" as soon as the batch is taken, and writes it some time later.
    #[cfg(feature = "faults")]
    AckBeforeWrite { delay: Duration },
    /// Writes, but leaves `fdatasync` out.
    #[cfg(feature = "faults")]
    SkipSync,
    /// Some records are not carried, though their owner has appended the copies.
    #[cfg(feature = "faults")]
    ForgetsCopies,
    /// Copies come behind what is appended next, which may acknowledge what they are of.
    #[cfg(feature = "faults")]
    CopiesLate,
    /// A segment is given back before the copies and the new begin of the log are durable.
    #[cfg(feature = "faults")]
    BeginsEarly,
    /// A segment that is wanted counts as vacated, whatever its owners have still to carry.
    #[cfg(feature = "faults")]
    VacatesUnasked,
    /// A snapshot does not wait for the log, and says that it did.
    #[cfg(feature = "faults")]
    SnapshotAhead,
    /// A snapshot has no records of owners whose number is a multiple of this.
    #[cfg(feature = "faults")]
    SnapshotLeavesOut { every: u64 },
    /// A snapshot has no records of this kind.
    #[cfg(feature = "faults")]
    SnapshotForgets { kind: u8 },
}

#[derive(Clone, Debug)]
pub struct Options {
    /// Size of a new log's segments, a multiple of 4096. A log that exists keeps the size that it was created with.
    pub segment_size: u64,
    pub sync: SyncMode,
    /// The largest append, headers included. An append never crosses a segment.
    pub append_bytes_max: usize,
    /// Bytes appended and not yet durable. Beyond it `Normal` appends get `Busy`; all others may go a quarter
    /// further, copies half as far. `Normal` appends also get `Busy` while the segment that they need is still being created.
    pub pending_bytes_max: usize,
    /// Room in written segments that is kept for `Essential` appends when no further segment can be created. `Housekeeping`
    /// ones may take half of it.
    pub reserve_bytes: u64,
    /// How many parts register as [`LogOwner`](crate::LogOwner). 0: segments are given back by
    /// [`Log::reclaim`](crate::Log::reclaim) alone.
    pub owners: usize,
    /// Segments are wanted back while all take more bytes than this or than half of `space_max`, and more than three times
    /// what the owners need. On a full disk the latter alone counts.
    pub reclaim_above: u64,
    /// What all files of the log may take together, at least [`SPACE_SEGMENTS_MIN`] segments. At the limit it has no room, as
    /// on a full disk; snapshots have none before, and give way. A log that was larger before takes no more until it is smaller.
    pub space_max: u64,
    /// Bytes of the disk that the log leaves to others: it has no room where a segment would take of them, and writes no
    /// snapshot that would.
    pub disk_free_min: u64,
    /// A snapshot is begun once so many bytes were appended since the last one, and at least as many as it has: a start
    /// reads about as much of the log.
    /// `None`: only when [`Log::request_snapshot`](crate::Log::request_snapshot) asks. Without owners there is none.
    pub snapshot_every: Option<u64>,
    /// After this time without appends an empty batch is written behind the last one, so that damage to the last batch
    /// cannot look like a torn tail. `None`: never (tests that count syncs).
    pub idle_mark_after: Option<Duration>,
    /// How often a segment that could not be made is tried again.
    pub full_retry_every: Duration,
    pub fault: Fault,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            segment_size: SEGMENT_SIZE,
            sync: SyncMode::Always,
            append_bytes_max: 8 << 20,
            pending_bytes_max: 64 << 20,
            reserve_bytes: 8 << 20,
            owners: 0,
            reclaim_above: 768 << 20,
            space_max: u64::MAX,
            disk_free_min: 128 << 20,
            snapshot_every: Some(128 << 20),
            idle_mark_after: Some(Duration::from_millis(50)),
            full_retry_every: Duration::from_secs(1),
            fault: Fault::None,
        }
    }
}
