//! The durable log: segments, group commit, recovery.
//!
//! One log holds all that must survive a power cut: the queue, sessions, inboxes. Their owners append records of their
//! own kinds, index them in memory by [`Position`], and rebuild their indexes from [`Replay`] at the next start. The
//! log does not know the meaning of records. It is not a database: there is no update, no key, no transaction other
//! than that one append is kept whole or not at all.
//!
//! # Contract
//! - **Durable means durable.** With [`SyncMode::Always`] a record is found again after any power cut once
//!   [`Log::durable`] has passed it, or the next start fails and says which file is damaged. With [`SyncMode::Os`] the
//!   same holds for the end of the process.
//! - **Nothing else appears.** A replay shows exactly what was appended, in order, each record once; an append that
//!   was not durable is there whole or not at all.
//! - **A failed write is final.** After it nothing becomes durable; the watchers are called, the process should end.
//! - **A full disk is not a failure.** [`Need::Normal`] appends are refused with [`AppendError::Full`], `Essential`
//!   ones use a reserve, `Housekeeping` ones half of it, and all resume without help. The same holds when the next segment cannot be made for another
//!   reason, such as a process without descriptors: it is tried again.
//! - **Space comes back from the oldest end only.** A position names a record for ever and says where it was first
//!   written; a copy of it ([`NewRecord::carried`]) keeps the name. Once its owners have carried what they need of the
//!   oldest segments, these are given back: by [`Log::reclaim`], or by the log itself once all that registered as
//!   [`LogOwner`] have vacated them. A replay shows each name once.
//! - **A start need not read all of it.** A [snapshot](SnapshotSection) holds what the owners need of all that lies below
//!   a place: the replay shows it, and then the log from there on. It is written beside the work and may be lost, which
//!   costs the next start the time to read the whole log. Nothing is given back on its word.
//! - [`Log::append`] never waits for the disk: it encodes under a short lock; one thread writes all that arrived while
//!   it synced before, and syncs it at once.
//!
//! # On disk
//! A folder of files `<20 digits>.segment`, numbered from 1 without gaps, all of one size, written full before
//! use. `*.new` is an unfinished one, `*.free` one that was given back; `spare` has the space of one, for a
//! start on a full disk; `snapshot` is the newest snapshot (its layout is drawn in
//! `src/snapshot/mod.rs`); `lock` is locked while the log is open and holds the process id. All numbers are
//! little-endian.
//!
//! ```text
//! segment            0        8        12       16                32       40       48       56       64
//!                    | magic  | version| crc32c | log id (random) | number | size   | epoch  | zero   |
//!                    "CNVKLOG\n"         of all 64 bytes, itself taken as zero
//!
//! record             0        4        8             12     13      14     16      24         32      40
//!                    | crc32c | length | payload     | kind | flags | zero | batch | position | owner |  payload …
//!                    |        |        | crc32c      |      | 1: last of its unit
//!                    of the rest of the header; both are seeded with crc32c(log id, segment number, own offset)
//! ```
//!
//! A record is padded with zeros to a multiple of eight bytes. `batch` is the position where the batch began that the
//! record was written in; `position` is where the record's first copy is. A batch is what is written and synced in one
//! go: one or more *units* (one append each), followed by an all-zero header, which the next batch overwrites. No
//! batch crosses a segment.
//!
//! Kinds below [`USER_KIND_MIN`] are the log's own: `1` start (epoch: u64), `2` clean stop (the next start overwrites
//! it), `3` mark (the empty batch that follows the last one when the log is idle), `4` roll (first in every segment
//! but the log's first; end of the segment before: u64, epoch: u64). Epochs rise with every start.
//!
//! All of this is version 1, which never changes: a header field, a flag, or a kind of the log's own that is new makes
//! another version. The first 16 bytes of a segment mean the same in every version. `docs/disk.md` has the whole rule.
//!
//! Version 2 lets space come back. A log is of version 1 until [`Log::allow_carrying`] is asked; from then on new segments
//! are of version 2, and none of version 1 comes behind one of them. What it adds:
//!
//! - `position` may be another place than the record's own: the record is *carried*, a copy of the one that was first
//!   written there. In version 1 that is damage.
//! - `5` begin (segment number: u64): the log begins with this segment, and all before have been given back. It is durable
//!   before the first of them is touched. From then on each roll repeats it as its owner, so the last segment alone
//!   tells where the log begins; nothing below is ever opened, because it may hold another segment's bytes already.
//! - A file that was given back becomes a later segment: its header and zeros up to offset 512 are written, the rest is
//!   stale. A stale record is none: the number is in its checksum, and its `batch` is below the segment.
//! - In the place of segment 1 stays its header alone, 64 bytes, of version 2 (the *stub*): a program that knows
//!   version 1 alone says that it does not know version 2, instead of that a segment is missing.
//!
//! # Threads
//! The writer thread alone writes records, syncs and calls watchers. The preparer thread creates the next segment while
//! the one before is filled. The reclaimer thread, if there are owners, says which segment is wanted back, and gives it
//! back; the snapshot thread, if there are owners, begins snapshots and writes their file. Locks are held for encoding or looking up, never over a read, write or sync.

mod copies;
mod disk;
mod error;
mod format;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod log;
mod options;
mod pieces;
#[cfg(test)]
mod pinned;
mod position;
mod reclaim;
mod record;
mod recover;
mod replay;
mod seeded;
mod segment;
mod shared;
mod snapshot;
mod space;
pub mod storage;
mod sys;
mod tail;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
mod threads;

pub use disk::DiskStorage;
pub use error::{AppendError, Damaged, OpenError, ReadError, ReplayError, WaitError};
pub use format::record_bytes;
pub use log::{Log, LogId};
pub use options::{Fault, Options, SEGMENT_SIZE, SPACE_SEGMENTS_MIN, SyncMode};
pub use position::{Epoch, Position};
pub use reclaim::{LogOwner, WantedSegment};
pub use record::{Appended, LogEvent, Need, NewRecord, Part, Record, ReplayedRecord, USER_KIND_MIN};
pub use replay::{Replay, Replayed};
pub use snapshot::{SnapshotError, SnapshotSection};
