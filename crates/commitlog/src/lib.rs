//! The durable log: segments, group commit, recovery.

mod disk;
mod error;
mod log;
mod options;
mod position;
mod record;
pub mod storage;

pub use disk::DiskStorage;
pub use error::{AppendError, Damaged, OpenError, ReadError, ReplayError, WaitError};
pub use log::{Log, Replay, Replayed};
pub use options::{Fault, Options, SyncMode};
pub use position::{Epoch, Position};
pub use record::{Appended, Durable, Need, NewRecord, Part, Record, ReplayedRecord, USER_KIND_MIN};
