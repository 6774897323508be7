//! Errors, one type for each operation, one variant for each remedy.

use std::io;

use thiserror::Error;

use crate::Position;
use crate::format::VERSION_MAX;

/// The log cannot be opened. Each message names the thing, the cause and the remedy.
#[derive(Debug, Error)]
pub enum OpenError {
    #[error("{path} is locked by the process with id {pid}: stop it, or use another data directory")]
    Locked { path: String, pid: String },
    #[error("{path}: {action}: {source}: {remedy}")]
    Storage { path: String, action: &'static str, remedy: &'static str, source: io::Error },
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// Whole, and written by another version of the program. Nothing was changed.
    #[error(
        "{path} has version {found} of the format, this program knows up to version {VERSION_MAX}: \
         start the program that wrote it, or restore a backup of before"
    )]
    Version { path: String, found: u32 },
    #[error("option {option}: {reason}")]
    Options { option: &'static str, reason: String },
}

/// Bytes that had been durable are no longer what was written.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "{path} is damaged at offset {offset}: {what}: restore its folder from a backup, or move the folder away and lose what waited in it"
)]
pub struct Damaged {
    pub path: String,
    pub offset: u64,
    pub what: String,
}

#[derive(Debug, Error)]
pub enum ReplayError<E> {
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("{path} cannot be read: {source}: check the disk and the permissions of the data directory")]
    Storage { path: String, source: io::Error },
    /// The error that the caller's closure returned.
    #[error("{0}")]
    Apply(E),
}

/// Nothing of the append is in the log, and nothing of it will be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum AppendError {
    #[error("the append has {bytes} bytes, at most {max} are allowed")]
    TooLarge { bytes: usize, max: usize },
    /// A kind that belongs to the log, no record at all, a reference past the end, a name that no record has, or a copy
    /// where the log holds none yet: an error of the caller.
    #[error("not a valid append: {0}")]
    Invalid(&'static str),
    /// Too much waits for the disk, or the next segment is still being created. Try again shortly.
    #[error("too many bytes wait for the disk")]
    Busy,
    /// The disk is full, or the next segment cannot be made for another reason. The log resumes by itself once it can.
    #[error("the log has no room: free space on the disk of the data directory; another cause is in the server's log")]
    Full,
    #[error("the log has failed and accepts nothing until the process is started again: {0}")]
    Poisoned(String),
    #[error("the log is closed")]
    Closed,
}

#[derive(Debug, Error)]
pub enum ReadError {
    /// Older than the log's first segment, or not yet appended.
    #[error("position {0} is not in the log")]
    OutOfRange(Position),
    /// The bytes at this position are not the record that was appended there.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    #[error("{path} cannot be read: {source}")]
    Storage { path: String, source: io::Error },
}

/// The wait has ended, and what it was for is not durable.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum WaitError {
    #[error("the log has failed: {0}")]
    Poisoned(String),
    #[error("the log was closed before position {0} was durable")]
    Closed(Position),
}
