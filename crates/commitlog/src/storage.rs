//! The little that the log needs of a file system, so that tests can put another one beneath it.
//!
//! Contract: what was written to a file is on the disk after `sync_data` of that file returned; a file made, renamed
//! or removed is so on the disk after `sync_dir`. Before that, a power cut may keep any part of it.

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
    fn remove(&self, name: &str) -> io::Result<()>;
    fn sync_dir(&self) -> io::Result<()>;
    /// Held until the answer is dropped.
    fn lock(&self) -> Result<StorageLock, LockError>;
    /// Sixteen bytes that no other log has.
    fn random_id(&self) -> io::Result<[u8; 16]>;
    /// How people find the file: its path.
    fn path_of(&self, name: &str) -> String;
}

pub trait StorageFile: Send + Sync {
    /// Reads up to the length of `buf`; less only at the end of the file.
    fn read_at(&self, buf: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `bytes`.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;
    fn sync_data(&self) -> io::Result<()>;
    fn size(&self) -> io::Result<u64>;
}

/// Keeps others out of the folder until it is dropped.
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
