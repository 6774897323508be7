//! Flipped bits, cut files and zeroed sectors, anywhere in a log's files: found or harmless, never silent.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use commitlog::testing::{ForgettingStorage, Nothing, Op, Random, SECTOR, Trace, open_at_rest};
use commitlog::{Log, OpenError, Options, Position, ReadError};

use crate::carrying::{SEGMENT, is_live, run_with_reclaim};
use crate::harness::{append_durably, open, see, small, storage};

const SEED: u64 = 0xf11b;
const DAMAGES: u64 = 100_000;
const HEADER: usize = 40;
/// More than a sector, so that one sector never holds bytes of two records and what comes behind them.
const LEN: usize = 700;

/// A log of several segments, whose beginning was given back and used again, and what it must show.
struct Victim {
    trace: Trace,
    files: BTreeMap<String, Vec<u8>>,
    content: BTreeMap<Position, u8>,
    /// The record of the last append, where it stands in the last segment, and what the log wrote behind it.
    last: (Position, String, Range<usize>, Range<usize>),
}

#[derive(Clone, Debug)]
pub(crate) enum Damage {
    Flip { byte: usize, mask: u8 },
    Cut { len: usize },
    Zero { sector: Range<usize> },
}

impl Damage {
    pub(crate) fn draw(random: &mut Random, len: usize) -> Self {
        let at = random.below(len);
        match random.below(8) {
            0 => Self::Cut { len: at },
            1 | 2 => {
                let begin = at / SECTOR * SECTOR;
                Self::Zero { sector: begin..(begin + SECTOR).min(len) }
            }
            _ => Self::Flip { byte: at, mask: 1 << random.below(8) },
        }
    }

    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        match self {
            Self::Flip { byte, mask } => bytes[*byte] ^= mask,
            Self::Cut { len } => bytes.truncate(*len),
            Self::Zero { sector } => bytes[sector.clone()].fill(0),
        }
    }

    /// Whether one sector lost the end of the last batch, and all that was written behind it to tell such a loss from a
    /// write that was never finished. No log could notice.
    pub(crate) fn took(&self, last: &Range<usize>, behind: &Range<usize>) -> bool {
        let Self::Zero { sector } = self else { return false };
        sector.start < last.end && behind.end - HEADER < sector.end
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Outcome {
    Found,
    Harmless,
}

fn options() -> Options {
    Options { idle_mark_after: Some(Duration::ZERO), ..small() }
}

pub(crate) fn files_of(storage: &ForgettingStorage) -> BTreeMap<String, Vec<u8>> {
    let names = storage.handle().list().unwrap();
    names.into_iter().map(|name| (name.clone(), storage.content(&name).unwrap())).collect()
}

/// Waits until the log is idle, and says so behind this record. Returns the record's file, and where it is in there.
pub(crate) fn wait_for_mark(storage: &ForgettingStorage, last: Position) -> (String, Range<usize>) {
    let file = format!("{:020}.segment", last.0 / SEGMENT);
    let begin = usize::try_from(last.0 % SEGMENT).unwrap();
    let end = begin + (HEADER + LEN).next_multiple_of(8);
    // The mark of an idle log, whose kind is 3.
    while storage.content(&file).unwrap()[end + 12] != 3 {
        std::thread::yield_now();
    }
    (file, begin..end)
}

/// The marks, and the clean stop, that the log has written from `end` on.
pub(crate) fn written_behind(segment: &[u8], end: usize) -> Range<usize> {
    let mut behind = end..end;
    while segment[behind.end + 4..behind.end + HEADER].iter().any(|byte| *byte != 0) {
        behind.end += HEADER;
    }
    behind
}

impl Victim {
    fn new(clean: bool) -> Self {
        let storage = storage();
        let (log, _) = open(&storage, &options());
        let mut content = run_with_reclaim(&log, |_| {});
        let name = append_durably(&log, &[0xee; LEN]);
        content.insert(name, 0xee);
        let (file, record) = wait_for_mark(&storage, name);
        if clean {
            log.close().unwrap();
        }
        let reused =
            storage.trace().ops().iter().any(|op| matches!(op, Op::Rename { from, .. } if from.ends_with(".free")));
        let oldest = *log.segments().start();
        assert!(reused && oldest > 3);
        storage.kill_process();
        drop(log);
        storage.cut_power();
        let files = files_of(&storage);
        let behind = written_behind(&files[&file], record.end);
        content.retain(|name, n| name.0 / SEGMENT >= oldest || is_live(*n));
        Self { trace: storage.trace(), files, content, last: (name, file, record, behind) }
    }

    fn payload(&self, name: Position) -> Option<Vec<u8>> {
        let n = *self.content.get(&name)?;
        Some(vec![n; LEN])
    }

    fn check(&self, file: &str, damage: &Damage) -> Result<Outcome, String> {
        let storage = self.trace.cut(self.trace.ops().len(), &mut Nothing);
        storage.corrupt(file, |bytes| damage.apply(bytes)).unwrap();
        let may_lose = file == self.last.1 && damage.took(&self.last.2, &self.last.3);
        let (log, replay) = match open_at_rest(storage.handle(), options()) {
            Ok(opened) => opened,
            Err(error) => return self.refused(&storage, file, damage, &error),
        };
        let seen = match see(replay) {
            Ok(seen) => seen,
            Err(error) => {
                named(&error, file)?;
                self.reads(&log, true)?;
                drop(log);
                return self.is_mended(&storage, file);
            }
        };
        let mut shown = BTreeMap::new();
        for record in seen.iter().filter(|record| record.owner == 7) {
            if shown.insert(record.position, ()).is_some() {
                return Err(format!("{} is shown twice", record.position));
            }
            match self.payload(record.position) {
                Some(payload) if payload == record.payload => {}
                Some(_) => return Err(format!("{} is shown as another", record.position)),
                None => return Err(format!("{} is shown, and was given back", record.position)),
            }
        }
        if let Some(lost) = self.content.keys().find(|name| !shown.contains_key(name))
            && !(may_lose && *lost == self.last.0)
        {
            return Err(format!("{lost} is lost"));
        }
        self.reads(&log, may_lose)?;
        // Spares the log the work of an end.
        storage.kill_process();
        Ok(Outcome::Harmless)
    }

    /// Each name is read with its content, or, after an error or where the record is lost, not at all.
    fn reads(&self, log: &Log, may_fail: bool) -> Result<(), String> {
        for name in self.content.keys() {
            match log.read(*name) {
                Ok(record) if Some(&*record.payload) == self.payload(*name).as_deref() => {}
                Ok(_) => return Err(format!("{name} is read as another")),
                Err(ReadError::Damaged(_) | ReadError::OutOfRange(_)) if may_fail => {}
                Err(error) => return Err(format!("{name} is not read: {error}")),
            }
        }
        Ok(())
    }

    /// A start that refuses names the file, and has changed no segment.
    fn refused(
        &self,
        storage: &ForgettingStorage,
        file: &str,
        damage: &Damage,
        error: &OpenError,
    ) -> Result<Outcome, String> {
        named(&error.to_string(), file)?;
        for (name, before) in self.files.iter().filter(|(name, _)| name.ends_with(".segment")) {
            let mut before = before.clone();
            if name == file {
                damage.apply(&mut before);
            }
            if storage.content(name).ok() != Some(before) {
                return Err(format!("{name} was changed by a start that refused: {error}"));
            }
        }
        Ok(Outcome::Found)
    }

    /// With the damaged file put back as it was, all is there again.
    fn is_mended(&self, storage: &ForgettingStorage, file: &str) -> Result<Outcome, String> {
        storage.kill_process();
        storage
            .corrupt(file, |bytes| bytes.clone_from(&self.files[file]))
            .map_err(|error| format!("{file}: {error}"))?;
        let (_log, replay) = Log::open(storage.handle(), options()).map_err(|error| format!("mended: {error}"))?;
        let seen = see(replay).map_err(|error| format!("mended: {error}"))?;
        let shown = seen.iter().filter(|record| self.payload(record.position).as_ref() == Some(&record.payload));
        if shown.count() == self.content.len() {
            Ok(Outcome::Found)
        } else {
            Err("mended, and not all is there".into())
        }
    }
}

/// The end of a segment that is gone shows at the beginning of the next one.
pub(crate) fn named(error: &str, file: &str) -> Result<(), String> {
    let number = file.strip_suffix(".segment").and_then(|number| number.parse::<u64>().ok());
    let next = number.map(|number| format!("{:020}.segment", number + 1));
    let is_named = error.contains(file) || next.is_some_and(|next| error.contains(&next));
    if is_named && error.contains("at offset") { Ok(()) } else { Err(format!("{file} is not named: {error}")) }
}

/// Returns how many damages were found, and how many were harmless.
fn damage_all(victim: &Victim, seeds: Range<u64>) -> Result<(u64, u64), String> {
    let names: Vec<_> = victim.files.iter().filter(|(_, bytes)| !bytes.is_empty()).collect();
    let (mut found, mut harmless) = (0, 0);
    for seed in seeds {
        let mut random = Random::new(SEED ^ seed << 20);
        let (file, bytes) = names[random.below(names.len())];
        let damage = Damage::draw(&mut random, bytes.len());
        match victim.check(file, &damage) {
            Ok(Outcome::Found) => found += 1,
            Ok(Outcome::Harmless) => harmless += 1,
            Err(error) => return Err(format!("seed {seed}, {file}, {damage:?}: {error}")),
        }
    }
    Ok((found, harmless))
}

#[test]
fn a_hundred_thousand_flips_and_cuts_are_found_or_harmless() {
    let counts: Vec<_> = std::thread::scope(|scope| {
        let halves = [(false, 0..DAMAGES / 2), (true, DAMAGES / 2..DAMAGES)];
        let running = halves.map(|(clean, seeds)| scope.spawn(move || damage_all(&Victim::new(clean), seeds)));
        running.map(|half| half.join().unwrap().unwrap_or_else(|error| panic!("{error}"))).into()
    });
    println!("found, harmless: {counts:?}");
    assert!(counts.iter().all(|(found, harmless)| *found > 10_000 && *harmless > 1000), "{counts:?}");
}

/// Checksums that fit to what was changed: no log can notice, so the checker must.
#[test]
fn a_change_whose_checksums_fit_is_called_silent() {
    let victim = Victim::new(false);
    let (name, file, at, _) = victim.last.clone();
    let bytes = &victim.files[&file];
    let mut seed = [0; 32];
    seed[..16].copy_from_slice(&bytes[16..32]);
    seed[16..24].copy_from_slice(&(name.0 / SEGMENT).to_le_bytes());
    seed[24..].copy_from_slice(&(name.0 % SEGMENT).to_le_bytes());
    let seed = crc32c::crc32c(&seed);
    let mut record = bytes[at.start..at.start + HEADER + LEN].to_vec();
    record[HEADER + 100] ^= 1;
    let payload = crc32c::crc32c_append(seed, &record[HEADER..]);
    record[8..12].copy_from_slice(&payload.to_le_bytes());
    let header = crc32c::crc32c_append(seed, &record[4..HEADER]);
    record[..4].copy_from_slice(&header.to_le_bytes());
    let storage = victim.trace.cut(0, &mut Nothing);
    storage.corrupt(&file, |bytes| bytes[at.start..at.start + record.len()].copy_from_slice(&record)).unwrap();
    let changed = Victim { trace: storage.trace(), ..victim };
    let said = changed.check(&file, &Damage::Zero { sector: 0..0 });
    assert_eq!(said, Err(format!("{name} is shown as another")));
}

#[test]
fn an_append_that_is_forgotten_is_called_silent() {
    let victim = Victim::new(false);
    let (name, file, last, behind) = victim.last.clone();
    let mut forgetful = Victim { last: (Position(0), file.clone(), 0..0, 0..0), ..victim };
    forgetful.content.insert(name, 0xee);
    let said = forgetful.check(&file, &Damage::Zero { sector: last.start..behind.end });
    assert_eq!(said, Err(format!("{name} is lost")));
}
