//! What the server used: CPU, disk, log.

use anyhow::{Context, Result};
use demo::Stage;
use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// The unit of `/proc/<pid>/stat`, the same on all machines that Linux runs on today.
const TICKS_PER_SECOND: u64 = 100;
/// The server is quiet when it has written nothing for so long.
const QUIET: Duration = Duration::from_millis(1_500);

const SECTOR_BYTES: u64 = 512;
const SEGMENT_HEADER_BYTES: usize = 64;
const RECORD_HEADER_BYTES: usize = 40;
/// Below it are the log's own records.
const USER_KIND_MIN: u8 = 0x20;
const QUEUE_MESSAGE: u8 = 0x23;
const INBOX_MESSAGE: u8 = 0x40;

/// Everything since the server's start.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    pub(crate) cpu: Duration,
    /// CPU of this process.
    pub(crate) own_cpu: Duration,
    /// What the server gave to the system to write, mostly to files: log, fresh segments of 64 MiB among it, and catalog.
    pub(crate) written_bytes: u64,
    /// What the whole disk under the folder wrote, other programs included.
    ///
    /// Not `write_bytes` of `/proc/<pid>/io`: for a changed byte it counts a whole folio, which may have 2 MiB.
    pub(crate) disk_bytes: u64,
    pub(crate) log: LogUse,
}

/// Payloads of the log's records, without their headers of 40 bytes and without the log's own records.
#[derive(Clone, Debug, Default)]
pub(crate) struct LogUse {
    by_kind: BTreeMap<u8, Records>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Records {
    count: u64,
    bytes: u64,
}

impl Usage {
    pub(crate) fn of(stage: &Stage) -> Result<Self> {
        let process = stage.server_id().context("the server does not run")?;
        Ok(Self {
            cpu: cpu_of_process(process)?,
            own_cpu: cpu_of_process(std::process::id())?,
            written_bytes: io_field(process, "wchar:")?,
            disk_bytes: disk_bytes(&stage.data())?,
            log: LogUse::read(&stage.data().join("log"))?,
        })
    }

    pub(crate) fn since(&self, before: &Self) -> Self {
        Self {
            cpu: self.cpu.saturating_sub(before.cpu),
            own_cpu: self.own_cpu.saturating_sub(before.own_cpu),
            written_bytes: self.written_bytes.saturating_sub(before.written_bytes),
            disk_bytes: self.disk_bytes.saturating_sub(before.disk_bytes),
            log: self.log.since(&before.log),
        }
    }

    pub(crate) fn describe(&self) -> String {
        format!(
            "server {:.2} s of CPU (this program {:.2} s), {} written, {} at the disk, log {}",
            self.cpu.as_secs_f64(),
            self.own_cpu.as_secs_f64(),
            bytes(self.written_bytes),
            bytes(self.disk_bytes),
            self.log.describe()
        )
    }
}

impl LogUse {
    fn read(folder: &Path) -> Result<Self> {
        let mut log = Self::default();
        for file in fs::read_dir(folder)? {
            let path = file?.path();
            if path.extension().is_some_and(|ending| ending == "segment") {
                log.add_segment(&fs::read(&path)?);
            }
        }
        Ok(log)
    }

    /// Walks from header to header up to the first that is all zero; `docs/disk.md` draws the layout.
    fn add_segment(&mut self, segment: &[u8]) {
        let mut at = SEGMENT_HEADER_BYTES;
        while let Some(header) = segment.get(at..at + RECORD_HEADER_BYTES).filter(|header| header[12] != 0) {
            let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
            if header[12] >= USER_KIND_MIN {
                let records = self.by_kind.entry(header[12]).or_default();
                records.count += 1;
                records.bytes += length as u64;
            }
            at += (RECORD_HEADER_BYTES + length).next_multiple_of(8);
        }
    }

    fn since(&self, before: &Self) -> Self {
        let earlier = |kind: &u8| before.by_kind.get(kind).copied().unwrap_or_default();
        let less = |(kind, now): (&u8, &Records)| {
            let before = earlier(kind);
            (*kind, Records { count: now.count - before.count, bytes: now.bytes - before.bytes })
        };
        Self { by_kind: self.by_kind.iter().map(less).collect() }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.by_kind.values().map(|records| records.bytes).sum()
    }

    /// The largest first.
    pub(crate) fn describe_kinds(&self) -> String {
        let mut kinds: Vec<_> = self.by_kind.iter().filter(|(_, records)| records.count > 0).collect();
        kinds.sort_by_key(|(_, records)| std::cmp::Reverse(records.bytes));
        let kind = |(kind, records): (&u8, &Records)| {
            format!("{} of kind {kind:#04x} {}", records.count, bytes(records.bytes))
        };
        format!("records: {}", kinds.into_iter().map(kind).collect::<Vec<_>>().join(", "))
    }

    fn describe(&self) -> String {
        let of = |kind| self.by_kind.get(&kind).copied().unwrap_or_default();
        let (queue, inboxes) = (of(QUEUE_MESSAGE), of(INBOX_MESSAGE));
        format!(
            "{} (queue {} messages {}, inboxes {} messages {})",
            bytes(self.bytes()),
            queue.count,
            bytes(queue.bytes),
            inboxes.count,
            bytes(inboxes.bytes)
        )
    }
}

/// In kB of 1,000 bytes, or MB.
pub(crate) fn bytes(count: u64) -> String {
    if count < 10_000_000 {
        return format!("{:.0} kB", count as f64 / 1e3);
    }
    format!("{:.1} MB", count as f64 / 1e6)
}

/// Whether the server has stopped writing, asked again and again.
pub(crate) struct Quiet {
    process: u32,
    written: u64,
    since: Instant,
}

impl Quiet {
    pub(crate) fn of(stage: &Stage) -> Result<Self> {
        let process = stage.server_id().context("the server does not run")?;
        Ok(Self { process, written: dirtied_bytes(process)?, since: Instant::now() })
    }

    /// True when nothing was written for a while.
    pub(crate) fn is_quiet(&mut self) -> Result<bool> {
        let written = dirtied_bytes(self.process)?;
        if written != self.written {
            (self.written, self.since) = (written, Instant::now());
        }
        Ok(self.since.elapsed() >= QUIET)
    }
}

/// User and system time, in ticks of 10 ms.
pub(crate) fn cpu_of_process(process: u32) -> Result<Duration> {
    let path = format!("/proc/{process}/stat");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    // The name of the program, in brackets, may hold anything.
    let fields: Vec<&str> = text.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
    let ticks = |n: usize| fields.get(n).and_then(|field| field.parse::<u64>().ok()).unwrap_or(0);
    Ok(Duration::from_millis((ticks(11) + ticks(12)) * 1_000 / TICKS_PER_SECOND))
}

/// Memory of a process that is in RAM. Not `VmRSS`, which the kernel rounds by hundreds of kB.
pub(crate) fn resident_bytes(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/smaps_rollup");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("Rss:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kilobytes.with_context(|| format!("{path} does not tell Rss"))? * 1_024)
}

/// The most memory that a process had in RAM so far.
pub(crate) fn peak_bytes(process: u32) -> Result<u64> {
    let path = format!("/proc/{process}/status");
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kilobytes = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
    Ok(kilobytes.with_context(|| format!("{path} does not tell VmHWM"))? * 1_024)
}

/// Changes whenever a file is written to.
fn dirtied_bytes(process: u32) -> Result<u64> {
    io_field(process, "write_bytes:")
}

/// What the server has read that was in no page cache.
pub(crate) fn read_bytes(process: u32) -> Result<u64> {
    io_field(process, "read_bytes:")
}

fn io_field(process: u32, name: &str) -> Result<u64> {
    let text = fs::read_to_string(format!("/proc/{process}/io")).context("cannot read what the server has written")?;
    let field = text.lines().find_map(|line| line.strip_prefix(name));
    field.and_then(|value| value.trim().parse().ok()).with_context(|| format!("the system does not tell {name}"))
}

/// 0 if the folder is on no disk that the system counts for.
fn disk_bytes(folder: &Path) -> Result<u64> {
    let device = fs::metadata(folder)?.dev();
    let numbers = (device >> 8 & 0xfff, device & 0xff | device >> 12 & 0xf_ff00);
    let stat = fs::read_to_string(format!("/sys/dev/block/{}:{}/stat", numbers.0, numbers.1)).unwrap_or_default();
    let sectors = stat.split_whitespace().nth(6).and_then(|sectors| sectors.parse::<u64>().ok());
    Ok(sectors.unwrap_or(0) * SECTOR_BYTES)
}

#[cfg(test)]
mod tests {
    use super::LogUse;

    #[test]
    fn records_are_added_up_to_the_first_header_of_zeros() {
        let mut segment = vec![0; 64];
        for (kind, length) in [(0x01, 8_u32), (0x23, 13), (0x23, 16), (0x40, 5)] {
            let mut record = vec![0; 40 + length as usize];
            record[4..8].copy_from_slice(&length.to_le_bytes());
            record[12] = kind;
            record.resize(record.len().next_multiple_of(8), 0);
            segment.extend(record);
        }
        segment.extend([0; 200]);
        let mut log = LogUse::default();
        log.add_segment(&segment);
        assert_eq!((log.bytes(), log.by_kind.len()), (13 + 16 + 5, 2));
    }
}
