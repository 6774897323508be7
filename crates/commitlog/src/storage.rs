//! The seam between the log and a file system: tests put another storage there.
//!
//! Contract: what was written to a file is on the disk once `sync_data` of that file has returned; that a file was
//! created, renamed, exchanged or removed is on the disk once `sync_dir` has. Before that, a power cut may keep any part of it.

use std::any::Any;
use std::fmt;
use std::io;
use std::sync::Arc;

/// A flat folder of files.
pub trait Storage: Send + Sync + 'static {
    /// Names of all files, in any order.
    fn list(&self) -> io::Result<Vec<String>>;
    /// A new empty file; an old one of that name is emptied.
    fn create(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    /// An existing file, for reading and writing.
    fn open(&self, name: &str) -> io::Result<Arc<dyn StorageFile>>;
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Gives each of two files the name of the other, both or neither. `Unsupported`: the file system cannot.
    fn exchange(&self, one: &str, other: &str) -> io::Result<()>;
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_dir(&self) -> io::Result<()>;
    /// Locks the folder until the lock is dropped.
    fn lock(&self) -> Result<StorageLock, LockError>;
    /// Sixteen bytes that no other log has.
    fn random_id(&self) -> io::Result<[u8; 16]>;
    /// Bytes that this user may still take of the disk. A storage that does not know says more than a log ever needs.
    fn free_space(&self) -> io::Result<u64> {
        Ok(u64::MAX)
    }
    /// Path of the file, for messages to people.
    fn path_of(&self, name: &str) -> String;
}

pub trait StorageFile: Send + Sync {
    /// Reads up to the length of `buf`; less only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    /// Makes the file `len` bytes long, with space for all of them, if the file system can: no byte is written, and
    /// those that are new read as zeros. Durable like a write.
    fn allocate(&self, len: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    fn size(&self) -> io::Result<u64>;
}

/// A lock that keeps other processes out of the folder until it is dropped.
pub struct StorageLock(#[expect(dead_code, reason = "held for its drop")] Box<dyn Any + Send + Sync>);

impl StorageLock {
    pub fn new(held: impl Any + Send + Sync) -> Self {
        Self(Box::new(held))
    }
}

impl fmt::Debug for StorageLock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("StorageLock")
    }
}

#[derive(Debug)]
pub enum LockError {
    /// Another process has it; its id as text, or `unknown`.
    Held {
        pid: String,
    },
    Io(io::Error),
}
