//! Power cuts on a real file system: an image behind a loop device, whose file system is shut down under load without
//! writing what it still had in memory.
#![expect(unsafe_code, reason = "the shutdown of a file system is an ioctl")]

use std::collections::{BTreeMap, VecDeque};
use std::fs::File;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use commitlog::testing::Random;
use commitlog::{AppendError, DiskStorage, Fault, Log, Need, NewRecord, Options, Part, Position};
use tempfile::TempDir;

use crate::harness::{KIND, see};

const SEGMENT: u64 = 32 << 10;
/// Names that are carried each time that a segment is given back.
const LIVE: usize = 8;
/// A number of cuts on each file system, for long runs.
const CUTS: &str = "CONVOKE_POWER_CUTS";
const CUTS_PER_LINE: u64 = 100;

/// `_IOR('X', 125, u32)`, the same of both file systems, and "without flushing the journal".
const SHUTDOWN: libc::Ioctl = 0x8004_587d_u32 as libc::Ioctl;
const NO_LOG_FLUSH: u32 = 2;

/// A file system in an image. Nothing of it is left behind: its loop device goes with the mount.
struct Disk {
    kind: String,
    folder: TempDir,
    is_mounted: bool,
}

impl Disk {
    fn make(kind: &str, megabytes: u64) -> Result<Self, String> {
        let folder = tempfile::tempdir().unwrap();
        let mut disk = Self { kind: kind.to_owned(), folder, is_mounted: false };
        File::create(disk.image()).unwrap().set_len(megabytes << 20).unwrap();
        std::fs::create_dir(disk.mounted()).unwrap();
        run(Command::new(format!("mkfs.{kind}")).arg("-q").arg(disk.image()))?;
        disk.mount()?;
        Ok(disk)
    }

    fn image(&self) -> PathBuf {
        self.folder.path().join("image")
    }

    fn mounted(&self) -> PathBuf {
        self.folder.path().join("mounted")
    }

    fn mount(&mut self) -> Result<(), String> {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.mounted()))?;
        self.is_mounted = true;
        Ok(())
    }

    /// Tries for a while: a process that another test is starting holds the files of this one until it has begun.
    fn unmount(&mut self) -> Result<(), String> {
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            match run(Command::new("umount").arg(self.mounted())) {
                Err(_) if Instant::now() < deadline => std::thread::sleep(Duration::from_millis(10)),
                Err(error) => return Err(error),
                Ok(()) => break,
            }
        }
        self.is_mounted = false;
        Ok(())
    }

    /// From here on nothing reaches the image, neither data nor journal.
    fn cut_power(&self) {
        shut_down(&self.mounted()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.is_mounted && self.unmount().is_err() {
            let _ = run(Command::new("umount").arg("--lazy").arg(self.mounted()));
        }
    }
}

fn run(command: &mut Command) -> Result<(), String> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command.output().map_err(|error| format!("{name}: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if output.status.success() { Ok(()) } else { Err(format!("{name}: {}", said.trim().replace('\n', ", "))) }
}

fn shut_down(mounted: &Path) -> io::Result<()> {
    let folder = File::open(mounted)?;
    let flags = NO_LOG_FLUSH;
    // SAFETY: the call reads the four bytes of its argument; the descriptor is open while `folder` lives.
    let done = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const flags) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// What the log must hold, over all cuts.
#[derive(Default)]
struct Expected {
    /// All that was appended from the log's begin on, and the live names of before: the content's number, and the end.
    records: BTreeMap<Position, (u64, Position)>,
    live: VecDeque<Position>,
    begin: u64,
    appended: u64,
    /// Records that were acknowledged before a cut, and records that a cut took away.
    checked: usize,
    lost: usize,
    reclaims: usize,
}

fn content(n: u64) -> Vec<u8> {
    let len = usize::try_from(Random::new(n).draw() % 2500).unwrap();
    n.to_le_bytes().into_iter().cycle().take(8 + len).collect()
}

impl Expected {
    /// Appends until the log fails, which it does at the cut.
    fn load(&mut self, log: &Log) {
        while self.append(log).is_some() {
            if self.appended.is_multiple_of(4) && self.carry_and_reclaim(log).is_none() {
                return;
            }
        }
    }

    /// Appends a burst, and waits for it now and then. `None`: the log has failed.
    fn append(&mut self, log: &Log) -> Option<()> {
        self.appended += 1;
        let n = self.appended;
        let appended = append(log, &NewRecord::new(KIND, 7, &[Part::Bytes(&content(n))]))?;
        self.records.insert(appended.0, (n, appended.1));
        if n.is_multiple_of(7) {
            log.wait_durable(appended.1).ok()?;
        }
        if n.is_multiple_of(35) {
            self.live.push_back(appended.0);
        }
        Some(())
    }

    /// Gives back all but two segments, once there are four.
    fn carry_and_reclaim(&mut self, log: &Log) -> Option<()> {
        let segments = log.segments();
        if !log.allow_carrying() || segments.end() - segments.start() < 3 {
            return Some(());
        }
        let begin = segments.end() - 1;
        self.live.drain(..self.live.len().saturating_sub(LIVE));
        let mut end = Position(0);
        for name in &self.live {
            let payload = content(self.records[name].0);
            end = append(log, &NewRecord::new(KIND, 7, &[Part::Bytes(&payload)]).carried(*name))?.1;
        }
        log.wait_durable(end).ok()?;
        // What lies below may be gone from here on, whether or not the answer comes.
        self.begin = begin * SEGMENT;
        let (begin_at, live) = (self.begin, &self.live);
        self.records.retain(|name, _| name.0 >= begin_at || live.contains(name));
        self.reclaims += usize::from(log.reclaim(begin).ok()?);
        Some(())
    }

    /// Checks what a start shows: all that was acknowledged, in order, and nothing but what was appended.
    fn check(&mut self, log: &Log, seen: &[crate::harness::Seen], acknowledged: Position) -> Result<(), String> {
        let seen_by_name: BTreeMap<Position, &[u8]> = seen.iter().map(|seen| (seen.position, &*seen.payload)).collect();
        if seen_by_name.len() != seen.len() {
            return Err("a name is shown twice".to_owned());
        }
        let in_order: Vec<_> = seen.iter().map(|seen| seen.position).filter(|name| name.0 >= self.begin).collect();
        let appended: Vec<_> = self.records.keys().copied().filter(|name| name.0 >= self.begin).collect();
        if !appended.starts_with(&in_order) {
            return Err("what is shown is no beginning of what was appended".to_owned());
        }
        let promised: Vec<_> = self.records.iter().filter(|(_, (_, end))| *end <= acknowledged).collect();
        for (name, (n, _)) in &promised {
            match seen_by_name.get(name) {
                None => return Err(format!("record {n} at {name} was acknowledged and is lost")),
                Some(payload) if *payload != content(*n) => return Err(format!("record {n} at {name} is another")),
                Some(_) => {}
            }
            let read = log.read(**name).map_err(|error| error.to_string())?;
            if read.payload != content(*n) {
                return Err(format!("record {n} at {name} is read as another"));
            }
        }
        self.checked += promised.len();
        let before = self.records.len();
        self.records.retain(|name, _| seen_by_name.contains_key(name));
        self.lost += before - self.records.len();
        self.live.retain(|name| self.records.contains_key(name));
        Ok(())
    }
}

/// Name and end of the record; `None` once the log has failed.
fn append(log: &Log, record: &NewRecord<'_>) -> Option<(Position, Position)> {
    loop {
        match log.append(Need::Normal, std::slice::from_ref(record)) {
            Ok(appended) => return Some((appended.positions[0], appended.end)),
            Err(AppendError::Busy) => std::thread::yield_now(),
            Err(AppendError::Poisoned(_) | AppendError::Full) => return None,
            Err(error) => panic!("{error}"),
        }
    }
}

/// Cuts the power `cuts` times; the error says at which cut which promise was broken.
fn lives(disk: &mut Disk, cuts: u64, fault: Fault) -> Result<Expected, String> {
    let began = Instant::now();
    let mut expected = Expected::default();
    let mut acknowledged = Position(0);
    let idle_mark_after = Some(Duration::from_millis(5));
    let options = Options {
        segment_size: SEGMENT,
        reserve_bytes: 4 << 10,
        disk_free_min: 0,
        idle_mark_after,
        fault,
        ..Options::default()
    };
    for cut in 0..=cuts {
        let storage = Arc::new(DiskStorage::new(disk.mounted().join("log")));
        let (log, replay) = Log::open(storage, options.clone()).map_err(|error| format!("cut {cut}: {error}"))?;
        let seen = see(replay).map_err(|error| format!("cut {cut}: {error}"))?;
        expected.check(&log, &seen, acknowledged).map_err(|error| format!("cut {cut}: {error}"))?;
        if cut == cuts {
            break;
        }
        std::thread::scope(|scope| {
            let load = scope.spawn(|| expected.load(&log));
            std::thread::sleep(Duration::from_micros(Random::new(cut).draw() % 60_000));
            disk.cut_power();
            load.join().unwrap();
        });
        acknowledged = log.durable();
        drop(log);
        disk.unmount()?;
        disk.mount()?;
        if (cut + 1).is_multiple_of(CUTS_PER_LINE) {
            eprintln!("{}: cut {} of {cuts}, {} s", disk.kind, cut + 1, began.elapsed().as_secs());
        }
    }
    Ok(expected)
}

fn survives(kind: &str, megabytes: u64) {
    let mut disk = match Disk::make(kind, megabytes) {
        Ok(disk) => disk,
        Err(reason) => return skip(kind, &reason),
    };
    let cuts = std::env::var(CUTS).ok().and_then(|cuts| cuts.parse().ok()).unwrap_or(25);
    let expected = lives(&mut disk, cuts, Fault::None).unwrap_or_else(|error| panic!("{kind}: {error}"));
    let Expected { checked, lost, reclaims, .. } = expected;
    println!(
        "found: {cuts} power cuts on {kind}: {checked} acknowledged records were looked for, none is lost; {lost} that were not \
         acknowledged are gone; {reclaims} segments were given back"
    );
    assert!(checked > 100 && lost > 0 && reclaims > 0, "{checked}, {lost}, {reclaims}: cuts must come under load");
}

/// Past the capture of the test runner, so that it is seen and counted.
fn skip(kind: &str, reason: &str) {
    let line = format!("skipped: power cuts on {kind}, because there is no such disk: {reason}\n");
    io::stderr().write_all(line.as_bytes()).unwrap();
}

#[test]
fn what_was_acknowledged_survives_power_cuts_on_ext4() {
    survives("ext4", 64);
}

#[test]
fn what_was_acknowledged_survives_power_cuts_on_xfs() {
    survives("xfs", 320);
}

#[test]
fn a_sync_that_is_left_out_is_found_by_power_cuts() {
    let mut disk = match Disk::make("ext4", 64) {
        Ok(disk) => disk,
        Err(reason) => return skip("ext4 without syncs", &reason),
    };
    let Err(error) = lives(&mut disk, 20, Fault::SkipSync) else { panic!("nobody noticed") };
    assert!(["is lost", "is missing", "is damaged"].iter().any(|what| error.contains(what)), "{error}");
}
