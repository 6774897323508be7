//! What the data directory takes of the disk.

use crate::sys::{FileSystem, file_system};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

/// Files that are looked at: far more than there are.
const FILES_MAX: usize = 100_000;
/// Of `st_blocks`, whatever the file system has.
const BLOCK: u64 = 512;
/// Within the data directory.
const LOG: &str = "log";

/// `None`: it cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct DirectorySize {
    pub(super) bytes: Option<u64>,
    /// Of the log alone.
    pub(super) log_bytes: Option<u64>,
}

impl DirectorySize {
    /// Blocks for as long as it takes to look at each file.
    pub(super) fn of(data_dir: &Path) -> Self {
        Self { bytes: allocated(data_dir), log_bytes: allocated(&data_dir.join(LOG)) }
    }
}

/// Follows no links.
fn allocated(folder: &Path) -> Option<u64> {
    let (mut folders, mut bytes, mut seen) = (vec![folder.to_owned()], 0, 0);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).ok()?.flatten() {
            // It may have gone since.
            let Ok(metadata) = entry.metadata() else { continue };
            seen += 1;
            if metadata.is_dir() && seen <= FILES_MAX {
                folders.push(entry.path());
            }
            bytes += metadata.blocks() * BLOCK;
        }
    }
    Some(bytes)
}

pub(super) fn free_of(data_dir: &Path) -> Option<FileSystem> {
    file_system(data_dir).ok()
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    #[test]
    fn files_of_all_folders_are_counted_and_those_of_the_log_apart() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(DirectorySize::of(&folder.path().join("none")), DirectorySize::default());
        fs::create_dir_all(folder.path().join("log/old")).unwrap();
        let before = DirectorySize::of(folder.path());
        fs::write(folder.path().join("log/old/segment"), vec![7; 1 << 20]).unwrap();
        fs::write(folder.path().join("catalog"), vec![7; 1 << 20]).unwrap();
        let after = DirectorySize::of(folder.path());
        assert!(after.bytes.unwrap() >= before.bytes.unwrap() + (2 << 20), "{after:?}");
        let log = after.log_bytes.unwrap();
        assert!((1 << 20..2 << 20).contains(&(log - before.log_bytes.unwrap())), "{after:?}");
        let FileSystem { size, free } = free_of(folder.path()).unwrap();
        assert!(0 < free && free <= size);
    }
}
