//! A data directory as one small file, and what a log holds.

use anyhow::{Context, Result, ensure};
use commitlog::{DiskStorage, Log, Options};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

/// In the folder of a log.
pub const SNAPSHOT: &str = "server/log/snapshot";
const MANIFEST: &str = "manifest.json";
pub(super) const SEGMENT_HEADER_BYTES: u64 = 64;
/// Where the header of a segment has its size.
const SEGMENT_SIZE_AT: u64 = 40;

/// In the file with the time of a boot, for the id of that boot, which no other has.
const ANOTHER_BOOT: &str = "00000000-0000-0000-0000-000000000000";

/// Packs `folder/server` and the manifest. The segments lose the zeros at their end, the time the boot that it belongs to: every
/// archive is opened in another one, with a clock of its own.
pub(super) fn pack(folder: &Path, manifest: &Value, archive: &Path) -> Result<()> {
    let clock = folder.join("server/clock");
    let kept = fs::read_to_string(&clock)?;
    let (_boot, time) = kept.split_once(' ').context("the server has kept no time")?;
    fs::write(&clock, format!("{ANOTHER_BOOT} {time}"))?;
    fs::write(folder.join(MANIFEST), serde_json::to_string_pretty(manifest)?)?;
    for segment in segments(folder)? {
        let written = fs::read(&segment)?.iter().rposition(|byte| *byte != 0).map_or(0, |at| at as u64 + 1);
        OpenOptions::new().write(true).open(&segment)?.set_len(written.max(SEGMENT_HEADER_BYTES))?;
    }
    let mut tar = Command::new("tar");
    tar.args(["--owner=0", "--group=0", "--numeric-owner", "--use-compress-program=gzip -9"]);
    // Made anew at every start.
    let left_out = ["lock", "*.new", "*-shm", "spare", "*.free"].map(|name| format!("--exclude={name}"));
    tar.args(left_out).arg("-C").arg(folder).arg("-cf").arg(archive);
    run(tar.args([MANIFEST, "server"]))
}

/// Lays `archive` out in `folder`, with segments of full length. Returns the manifest.
///
/// # Errors
/// It is no such archive, or cannot be written there.
pub fn unpack(archive: &Path, folder: &Path) -> Result<Value> {
    run(Command::new("tar").arg("-xzf").arg(archive).arg("-C").arg(folder))?;
    for segment in segments(folder)? {
        let file = OpenOptions::new().read(true).write(true).open(&segment)?;
        file.set_len(segment_bytes(&file)?)?;
    }
    Ok(serde_json::from_slice(&fs::read(folder.join(MANIFEST))?)?)
}

fn segments(folder: &Path) -> Result<Vec<PathBuf>> {
    let files: Vec<PathBuf> =
        fs::read_dir(log(folder))?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    Ok(files.into_iter().filter(|file| file.extension().is_some_and(|extension| extension == "segment")).collect())
}

fn log(folder: &Path) -> PathBuf {
    folder.join("server/log")
}

fn segment_bytes(file: &File) -> Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact_at(&mut bytes, SEGMENT_SIZE_AT)?;
    Ok(u64::from_le_bytes(bytes))
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().context("there is no tar")?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}

/// What the log of an archive holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Of the log and of its snapshot.
    pub kinds: BTreeSet<u8>,
    /// Messages of the queue that were handed out and not acknowledged.
    pub half_done: BTreeSet<u64>,
    /// Number of its first segment: those before were given back.
    pub begin: u64,
    /// So many records are in the snapshot; 0: there is none.
    pub snapshot_records: u64,
}

const HAND_OUT: u8 = 0x24;
const ACK: u8 = 0x25;
/// A message position, and the attempt as four bytes.
const HAND_OUT_BYTES: usize = 12;
const POSITION_BYTES: usize = 8;

impl Content {
    /// # Errors
    /// The archive cannot be unpacked, or its log not be read.
    pub fn of(archive: &Path) -> Result<Self> {
        let mut with_snapshot = Self::read(archive, true)?;
        let mut content = Self::read(archive, false)?;
        content.kinds.append(&mut with_snapshot.kinds);
        content.snapshot_records = with_snapshot.snapshot_records;
        Ok(content)
    }

    fn read(archive: &Path, uses_snapshot: bool) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        unpack(archive, folder.path())?;
        let snapshot = folder.path().join(SNAPSHOT);
        if !uses_snapshot && snapshot.exists() {
            fs::remove_file(snapshot)?;
        }
        let storage = Arc::new(DiskStorage::new(log(folder.path())));
        let (log, replay) = Log::open(storage, Options::default())?;
        let mut content = Self { begin: *log.segments().start(), ..Self::default() };
        content.snapshot_records =
            replay.for_each(|record| content.take(record.kind, record.payload))?.snapshot_records;
        Ok(content)
    }

    fn take(&mut self, kind: u8, payload: &[u8]) {
        self.kinds.insert(kind);
        match kind {
            HAND_OUT => self.half_done.extend(payload.chunks(HAND_OUT_BYTES).map(position)),
            ACK => {
                for done in payload.chunks(POSITION_BYTES).map(position) {
                    self.half_done.remove(&done);
                }
            }
            _ => {}
        }
    }
}

fn position(bytes: &[u8]) -> u64 {
    bytes.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}
