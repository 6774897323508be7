//! The peer of every durable figure: one thread that writes and syncs a file that was written before.

use crate::figures::Latencies;
use anyhow::Result;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, Instant};

const FILE_BYTES: usize = 64 << 20;

pub(crate) struct RawDisk {
    file: File,
    offset: u64,
}

impl RawDisk {
    pub(crate) fn prepare(folder: &Path) -> Result<Self> {
        let file = OpenOptions::new().write(true).create_new(true).open(folder.join("raw"))?;
        file.write_all_at(&vec![0; FILE_BYTES], 0)?;
        file.sync_all()?;
        Ok(Self { file, offset: 0 })
    }

    fn write_and_sync(&mut self, bytes: &[u8]) -> Result<()> {
        if self.offset as usize + bytes.len() > FILE_BYTES {
            self.offset = 0;
        }
        self.file.write_all_at(bytes, self.offset)?;
        self.offset += bytes.len() as u64;
        Ok(self.file.sync_data()?)
    }

    /// Syncs per second with `bytes` in each, one after the other.
    pub(crate) fn rate(&mut self, bytes: usize, seconds: u64) -> Result<(f64, Latencies)> {
        let (block, began, mut latencies) = (vec![7; bytes], Instant::now(), Latencies::default());
        while began.elapsed() < Duration::from_secs(seconds) {
            let at = Instant::now();
            self.write_and_sync(&block)?;
            latencies.push(at.elapsed());
        }
        Ok((latencies.count() as f64 / began.elapsed().as_secs_f64(), latencies))
    }

    /// Records that fall due at `per_second`; each turn writes all that are due and syncs once. A record's latency
    /// runs from its due time to the end of the sync: what group commit cannot beat.
    pub(crate) fn open_loop(&mut self, per_second: u64, record_bytes: usize, seconds: u64) -> Result<Latencies> {
        let (began, mut latencies, mut written) = (Instant::now(), Latencies::default(), 0);
        let due = |n: u64| began + Duration::from_secs_f64(n as f64 / per_second as f64);
        while began.elapsed() < Duration::from_secs(seconds) {
            let now = Instant::now();
            let until = (now.duration_since(began).as_secs_f64() * per_second as f64) as u64 + 1;
            if until == written {
                std::thread::sleep(due(written).saturating_duration_since(now));
                continue;
            }
            self.write_and_sync(&vec![7; record_bytes * (until - written) as usize])?;
            let synced = Instant::now();
            (written..until).for_each(|n| latencies.push(synced.saturating_duration_since(due(n))));
            written = until;
        }
        Ok(latencies)
    }
}
