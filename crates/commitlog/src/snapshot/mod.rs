//! The snapshot: what the owners of the log need of all that lies below a place, so that a start reads the log from there.
//!
//! ```text
//!             from                      end
//! ────────────┴──────────────────────────┴───────────► log
//! the snapshot's records, then the log from here on
//! ```
//!
//! It is fuzzy. `from` is taken before the first owner dumps its state, which goes on changing while it does; at a start
//! all behind `from` is applied over it again, which changes nothing that it holds already. `end` is where the log ended
//! when the last owner had finished: the file gets its name only once the log is durable so far, so that no state in it is
//! ahead of the log. The rest is of no consequence: a snapshot that is missing, damaged, or does not fit costs a start the
//! time to read the whole log, and nothing is ever given back on its word.
//!
//! `collect` takes the records from the owners, `write` makes the file of them, `read` checks and shows it.
//!
//! # On disk
//! One file, `snapshot`; `snapshot.new` on its way. All numbers are little-endian.
//!
//! ```text
//! header   0        8        12       16       32             40     48     56       64        72       80
//!          | magic  | version| crc32c | log id | segment size | from | end  | length | records | copies |
//!          "CNVKSNP\n"         of all 80 bytes, itself zero                  of the file
//!
//! frame    0        4        8        12     16
//!          | crc32c | length | what   | zero | body …
//!          of the rest of it, seeded with crc32c(log id, from, own offset)
//!
//! what 1   0        4      5      8       16         24
//!          | length | kind | zero | owner | position | payload … and so on: records, whole ones
//!
//! what 2   0      8       16
//!          | name | place | … and so on: the index of copies below `from`
//! ```
//!
//! The first 16 bytes of a header mean the same in every version.

mod collect;
pub(crate) mod format;
mod read;
mod write;

pub(crate) use collect::Snapshots;
pub use collect::{SnapshotError, SnapshotSection};
pub(crate) use read::{Entry, Snapshot, Stopped, bytes_on_disk, find_snapshot};
pub(crate) use write::{begin_snapshot, complete_snapshot, write_snapshots};

/// Name of the file.
pub(crate) const NAME: &str = "snapshot";
/// Name until it is whole. Removed at a start, as all files with this suffix.
pub(crate) const UNFINISHED: &str = "snapshot.new";
