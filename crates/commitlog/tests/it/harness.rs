//! Units whose content is known from their number, a run that appends them, and the check of what a crash left.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use commitlog::testing::{Fate, ForgettingStorage, Op, Trace};
use commitlog::{
    AppendError, Appended, Fault, Log, LogEvent, Need, NewRecord, Options, Part, Position, Replay, SyncMode,
};

pub(crate) const KIND: u8 = 0x20;

pub(crate) fn small() -> Options {
    Options {
        segment_size: 16 << 10,
        idle_mark_after: None,
        full_retry_every: Duration::from_millis(1),
        reserve_bytes: 2 << 10,
        ..Options::default()
    }
}

pub(crate) fn open(storage: &ForgettingStorage, options: &Options) -> (Log, Vec<Seen>) {
    let (log, replay) = Log::open(storage.handle(), options.clone()).unwrap();
    let seen = see(replay).unwrap();
    (log, seen)
}

pub(crate) fn append(log: &Log, payload: &[u8]) -> Appended {
    append_patiently(log, &[NewRecord::new(KIND, 7, &[Part::Bytes(payload)])]).unwrap()
}

/// The spare file and the second segment are created in the background: until they are there, their syncs are among the
/// storage's.
pub(crate) fn wait_until_prepared(storage: &ForgettingStorage) {
    while storage.trace().ops().iter().filter(|op| **op == Op::SyncFolder).count() < 2 {
        std::thread::yield_now();
    }
}

/// Small segments fill faster than the next one is made.
pub(crate) fn append_patiently(log: &Log, records: &[NewRecord<'_>]) -> Result<Appended, AppendError> {
    loop {
        match log.append(Need::Normal, records) {
            Err(AppendError::Busy) => std::thread::yield_now(),
            result => return result,
        }
    }
}

/// Gives the segment a header that is whole and says another version.
pub(crate) fn set_version(storage: &ForgettingStorage, segment: &str, version: u8) -> std::io::Result<()> {
    storage.corrupt(segment, |bytes| {
        bytes[8] = version;
        bytes[12..16].fill(0);
        let checksum = crc32c::crc32c(&bytes[..64]);
        bytes[12..16].copy_from_slice(&checksum.to_le_bytes());
    })
}

/// Fills segments with records of owner 9 until the log has come to one that holds carried records.
pub(crate) fn allow_carrying(log: &Log) {
    while !log.allow_carrying() {
        let filler = append_patiently(log, &[NewRecord::new(KIND, 9, &[Part::Bytes(&[9; 7000])])]).unwrap();
        log.wait_durable(filler.end).unwrap();
    }
}

pub(crate) fn append_durably(log: &Log, payload: &[u8]) -> Position {
    let appended = append(log, payload);
    log.wait_durable(appended.end).unwrap();
    appended.positions[0]
}

/// A replayed record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) position: Position,
    pub(crate) owner: u64,
    pub(crate) payload: Vec<u8>,
}

pub(crate) fn see(replay: Replay) -> Result<Vec<Seen>, String> {
    let mut seen = Vec::new();
    let replayed = replay.for_each(|record| {
        let payload = record.payload.to_vec();
        seen.push(Seen { position: record.position, owner: record.owner, payload });
    });
    replayed.map_err(|error| error.to_string())?;
    Ok(seen)
}

pub(crate) fn payloads(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| String::from_utf8_lossy(&seen.payload).into_owned()).collect()
}

/// Unit `n` of a run: one to four records, some empty, some longer than a sector.
fn unit(n: u64) -> Vec<Vec<u8>> {
    (0..=n % 4)
        .map(|record| {
            let mut text = format!("{n}.{record}:");
            for filler in 0..(n * 37 + record * 211) % 160 {
                let _ = write!(text, "{filler}-");
            }
            if record == 2 { Vec::new() } else { text.into_bytes() }
        })
        .collect()
}

fn append_unit(storage: &ForgettingStorage, log: &Log, n: u64) -> Appended {
    let payloads = unit(n);
    let parts: Vec<[Part<'_>; 1]> = payloads.iter().map(|payload| [Part::Bytes(payload)]).collect();
    let records: Vec<NewRecord<'_>> = parts.iter().map(|parts| NewRecord::new(KIND, n, parts)).collect();
    loop {
        match log.append(Need::Normal, &records) {
            Err(AppendError::Busy) => {
                // The next segment waits for its sync.
                storage.release_syncs();
                std::thread::yield_now();
                storage.hold_syncs();
            }
            result => return result.unwrap(),
        }
    }
}

/// What was done, in order, with the moments at which positions were said to be durable.
pub(crate) struct Run {
    pub(crate) trace: Trace,
    /// Each unit's records as they must be seen, and its end.
    units: Vec<(Vec<Seen>, Position)>,
    options: Options,
}

/// Appends `count` units in bursts. A burst is what piles up while the sync before it runs.
pub(crate) fn run(storage: &ForgettingStorage, options: &Options, count: u64, burst: u64) -> Run {
    let (log, seen) = open(storage, options);
    assert!(seen.is_empty());
    let noted = storage.clone();
    log.watch(Box::new(move |durable| {
        if let LogEvent::Durable(position) = durable {
            noted.note(position.0);
        }
    }));
    let mut units = Vec::new();
    let mut n = 0;
    while n < count {
        storage.hold_syncs();
        let mut end = Position(0);
        for n in n..(n + burst).min(count) {
            let appended = append_unit(storage, &log, n);
            end = appended.end;
            let seen = std::iter::zip(appended.positions, unit(n));
            let seen = seen.map(|(position, payload)| Seen { position, owner: n, payload }).collect();
            units.push((seen, end));
        }
        storage.release_syncs();
        log.wait_durable(end).unwrap();
        n += burst;
    }
    let trace = storage.trace();
    storage.cut_power();
    Run { trace, units, options: Options { fault: Fault::None, ..options.clone() } }
}

impl Run {
    /// Cuts the power at `at`, starts, and checks all promises. The error says which one was broken.
    pub(crate) fn check(&self, at: usize, fate: &mut dyn Fate) -> Result<usize, String> {
        let storage = self.trace.cut(at, fate);
        let (log, replay) = Log::open(storage.handle(), self.options.clone()).map_err(|error| error.to_string())?;
        let seen = see(replay)?;
        let whole = self.whole_units(&seen)?;
        let acknowledged = self.trace.notes_before(at).into_iter().max().unwrap_or(0);
        let promised = self.units.iter().filter(|(_, end)| end.0 <= acknowledged).count();
        if whole < promised && self.options.sync == SyncMode::Always {
            return Err(format!("lost: {promised} units were acknowledged, {whole} are there"));
        }
        self.goes_on(&storage, log, seen)?;
        Ok(whole)
    }

    /// How many units are there; an error if there is anything else.
    fn whole_units(&self, seen: &[Seen]) -> Result<usize, String> {
        let mut rest = seen;
        for (whole, (unit, _)) in self.units.iter().enumerate() {
            if rest.is_empty() {
                return Ok(whole);
            }
            rest = rest.strip_prefix(&unit[..]).ok_or_else(|| format!("unit {whole} is not whole or not itself"))?;
        }
        if rest.is_empty() { Ok(self.units.len()) } else { Err("phantom records".to_owned()) }
    }

    /// What is appended after the recovery follows what was found, over a clean stop and over a power cut.
    fn goes_on(&self, storage: &ForgettingStorage, log: Log, mut expected: Vec<Seen>) -> Result<(), String> {
        let position = append_durably(&log, b"after");
        expected.push(Seen { position, owner: 7, payload: b"after".to_vec() });
        let epoch = log.epoch();
        log.close().map_err(|error| error.to_string())?;
        drop(log);
        storage.cut_power();
        let (log, replay) = Log::open(storage.handle(), self.options.clone()).map_err(|error| error.to_string())?;
        if log.epoch() <= epoch {
            return Err(format!("epoch {} after epoch {epoch}", log.epoch()));
        }
        if see(replay)? == expected { Ok(()) } else { Err("the second start shows something else".to_owned()) }
    }

    /// Moments between two calls, from the first note on.
    pub(crate) fn moments(&self) -> std::ops::RangeInclusive<usize> {
        0..=self.trace.ops().len()
    }

    /// Moments at which a batch is written and not synced.
    pub(crate) fn moments_of_open_batches(&self) -> Vec<usize> {
        let is_batch = |op: &Op| matches!(op, Op::Write { offset, .. } if *offset > 0);
        self.moments().filter(|at| *at > 0 && is_batch(&self.trace.ops()[at - 1])).collect()
    }
}

pub(crate) fn storage() -> ForgettingStorage {
    ForgettingStorage::new()
}

pub(crate) fn watch_poison(log: &Log) -> Arc<std::sync::Mutex<Vec<LogEvent>>> {
    let told = Arc::new(std::sync::Mutex::new(Vec::new()));
    let list = Arc::clone(&told);
    log.watch(Box::new(move |news| list.lock().unwrap().push(news)));
    told
}
