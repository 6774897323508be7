//! What a server takes of its machine, and whether that stays within bounds.

use anyhow::{Context, Result};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

/// At one moment of the simulated time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sample {
    pub(crate) day: f64,
    pub(crate) log_bytes: u64,
    pub(crate) catalog_bytes: u64,
    /// Of the catalog's write-ahead log, which grows and begins anew.
    pub(crate) catalog_log_bytes: u64,
    /// Of the messages that wait.
    pub(crate) live_bytes: u64,
    pub(crate) waiting: usize,
    pub(crate) memory_bytes: u64,
    pub(crate) descriptors: usize,
    /// Of the last start.
    pub(crate) start: Duration,
}

impl Sample {
    /// Of a process and its data directory; what only the caller knows is 0.
    pub(crate) fn take(process: u32, data: &Path) -> Result<Self> {
        Ok(Self {
            log_bytes: bytes_below(&data.join("log")),
            catalog_bytes: catalog_file(data, ""),
            catalog_log_bytes: catalog_file(data, "-wal") + catalog_file(data, "-shm"),
            memory_bytes: memory_bytes(process)?,
            descriptors: fs::read_dir(format!("/proc/{process}/fd"))?.count(),
            ..Self::default()
        })
    }
}

fn catalog_file(data: &Path, end: &str) -> u64 {
    fs::metadata(data.join(format!("catalog.sqlite{end}"))).map_or(0, |file| file.blocks() * 512)
}

/// What the files take of the disk. One that is gone meanwhile takes nothing.
fn bytes_below(folder: &Path) -> u64 {
    let bytes_of = |entry: fs::DirEntry| match entry.metadata() {
        Ok(metadata) if metadata.is_dir() => bytes_below(&entry.path()),
        Ok(metadata) => metadata.blocks() * 512,
        Err(_) => 0,
    };
    fs::read_dir(folder).into_iter().flatten().flatten().map(bytes_of).sum()
}

fn memory_bytes(process: u32) -> Result<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no memory is told")?;
    let kib: u64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kib * 1024)
}
