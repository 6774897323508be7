//! The body of the fuzz target `commitlog_recovery`: any damage to the files of a log.
//!
//! Only with the feature `fuzzing`. `fuzz/` calls it; the test below plays its corpus.

use std::sync::OnceLock;
use std::time::Duration;

use crate::format::{RECORD_HEADER_LEN, SEGMENT_HEADER_LEN};
use crate::testing::ForgettingStorage;
use crate::{AppendError, Log, Need, NewRecord, Options, Part, Position, Replay, USER_KIND_MIN};

const SEGMENT_BYTES: u64 = 16 << 10;
/// Fill one segment and begin the next.
const RECORDS: u16 = 24;

/// A replayed record: its position and payload.
type Seen = (Position, Vec<u8>);
/// Names and contents of segments.
type Files = Vec<(String, Vec<u8>)>;

/// The bytes are edits of a small log: see [`Edits::apply`]. Whatever they do to it, opening and replaying end; what is
/// replayed is what was appended, in order and from the beginning; and a log that opens accepts appends. Where an edit
/// has put right checksums over wrong content, which no accident does, only the first of these is checked.
pub fn recovery(bytes: &[u8]) {
    let (files, records) = intact();
    let mut edits = Edits { files: files.clone(), rest: bytes, signed: false };
    while edits.apply().is_some() {}
    let (signed, damaged) = (edits.signed, edits.files != *files);
    let storage = stored(&edits.files);
    let Ok((log, replay)) = Log::open(storage.handle(), options()) else {
        assert!(damaged, "what was not damaged opens");
        return;
    };
    let (seen, whole) = replay_all(replay);
    if signed {
        return;
    }
    assert_eq!(seen, records[..seen.len()], "nothing else appears");
    assert!(damaged || (whole && seen.len() == records.len()), "what was not damaged is all there");
    if whole {
        check_continues(&storage, log, seen);
    }
}

/// Checks that what is appended after a recovery follows what was found.
fn check_continues(storage: &ForgettingStorage, log: Log, mut expected: Vec<Seen>) {
    expected.push((append(&log, b"after"), b"after".to_vec()));
    log.close().expect("a storage without errors");
    drop(log);
    storage.cut_power();
    let (log, replay) = Log::open(storage.handle(), options()).expect("what was recovered opens again");
    assert_eq!(replay_all(replay), (expected, true));
    drop(log);
}

fn options() -> Options {
    Options {
        segment_size: SEGMENT_BYTES,
        idle_mark_after: None,
        full_retry_every: Duration::from_millis(1),
        reserve_bytes: 2 << 10,
        ..Options::default()
    }
}

fn intact() -> &'static (Files, Vec<Seen>) {
    static INTACT: OnceLock<(Files, Vec<Seen>)> = OnceLock::new();
    INTACT.get_or_init(|| {
        let storage = ForgettingStorage::new();
        let (log, _) = Log::open(storage.handle(), options()).expect("an empty folder becomes a log");
        let payload = |n: u16| vec![u8::try_from(n).unwrap_or(u8::MAX); usize::from(n) * 83 % 1500];
        let records = (0..RECORDS).map(|n| (append(&log, &payload(n)), payload(n))).collect();
        storage.kill_process();
        drop(log);
        (files_of(&storage), records)
    })
}

/// Appends a record, which is durable when this returns.
fn append(log: &Log, payload: &[u8]) -> Position {
    let parts = [Part::Bytes(payload)];
    let record = NewRecord::new(USER_KIND_MIN, 7, &parts);
    let appended = loop {
        match log.append(Need::Normal, &[record]) {
            // The next segment is being made.
            Err(AppendError::Busy) => std::thread::yield_now(),
            appended => break appended.expect("a storage without errors"),
        }
    };
    log.wait_durable(appended.end).expect("a storage without errors");
    appended.positions[0]
}

/// Returns all replayed records, and whether the replay came to its end.
fn replay_all(replay: Replay) -> (Vec<Seen>, bool) {
    let mut seen = Vec::new();
    let replayed = replay.for_each(|record| seen.push((record.position, record.payload.to_vec())));
    (seen, replayed.is_ok())
}

fn files_of(storage: &ForgettingStorage) -> Files {
    let mut names = storage.handle().list().expect("a storage without errors");
    names.retain(|name| name.ends_with(".segment"));
    names.sort();
    let content = |name: &String| storage.content(name).expect("a storage without errors");
    names.iter().map(|name| (name.clone(), content(name))).collect()
}

fn stored(files: &Files) -> ForgettingStorage {
    let storage = ForgettingStorage::new();
    let disk = storage.handle();
    for (name, content) in files {
        let file = disk.create(name).expect("a storage without errors");
        file.write_at(content, 0).expect("a storage without errors");
        file.sync_data().expect("a storage without errors");
    }
    disk.sync_dir().expect("a storage without errors");
    storage
}

/// The edits that are left, and the files after those that were made.
struct Edits<'a> {
    files: Files,
    rest: &'a [u8],
    /// An edit has put a right checksum.
    signed: bool,
}

impl Edits<'_> {
    /// Makes one edit: what to do, which file, where (u16, big-endian), how much; then its data. `None`: no more edits.
    fn apply(&mut self) -> Option<()> {
        let [what, which, high, low, count] = *self.take(5)? else { return None };
        let index = usize::from(which) % self.files.len();
        let content = &self.files[index].1;
        let at = usize::from(u16::from_be_bytes([high, low])).min(content.len());
        let count = usize::from(count);
        match what % 8 {
            0 => {
                let new = self.take(count)?.to_vec();
                self.range(index, at, count).iter_mut().zip(new).for_each(|(byte, new)| *byte = new);
            }
            1 => self.range(index, at, count * 64).fill(0),
            2 => self.range(index, at, 1).iter_mut().for_each(|byte| *byte ^= 1 << (count % 8)),
            3 => self.files[index].1.truncate(at),
            4 if self.files.len() > 1 => drop(self.files.remove(index)),
            5 => self.range(index, at, count * 64).fill(0xA5),
            6 => self.sign_record(index, at),
            7 => self.sign_segment(index),
            _ => {}
        }
        Some(())
    }

    fn take(&mut self, count: usize) -> Option<&[u8]> {
        let (taken, rest) = self.rest.split_at_checked(count)?;
        self.rest = rest;
        Some(taken)
    }

    fn range(&mut self, index: usize, at: usize, count: usize) -> &mut [u8] {
        let content = &mut self.files[index].1;
        let end = (at + count).min(content.len());
        &mut content[at.min(end)..end]
    }

    /// Puts right checksums into the record whose header begins at `at`; the crate's head draws it.
    fn sign_record(&mut self, index: usize, at: usize) {
        let (name, content) = &mut self.files[index];
        let Some((header, payload)) =
            content.get_mut(at..).and_then(|rest| rest.split_at_mut_checked(RECORD_HEADER_LEN))
        else {
            return;
        };
        let length = u32::from_le_bytes([header[4], header[5], header[6], header[7]]) as usize;
        let number: u64 = name.trim_end_matches(".segment").parse().unwrap_or_default();
        let log_id = &intact().0[0].1[16..32];
        let seed = [log_id, &number.to_le_bytes(), &(at as u64).to_le_bytes()].concat();
        let seed = crc32c::crc32c(&seed);
        let payload_crc = crc32c::crc32c_append(seed, payload.get(..length).unwrap_or_default());
        header[8..12].copy_from_slice(&payload_crc.to_le_bytes());
        let header_crc = crc32c::crc32c_append(seed, &header[4..]);
        header[..4].copy_from_slice(&header_crc.to_le_bytes());
        self.signed = true;
    }

    fn sign_segment(&mut self, index: usize) {
        let Some(header) = self.files[index].1.first_chunk_mut::<SEGMENT_HEADER_LEN>() else { return };
        header[12..16].fill(0);
        let crc = crc32c::crc32c(header);
        header[12..16].copy_from_slice(&crc.to_le_bytes());
        self.signed = true;
    }
}

#[cfg(test)]
#[path = "../../../fuzz/replay.rs"]
mod replay;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recovery_keeps_its_word_on_its_corpus() {
        replay::corpus("commitlog_recovery", 30, recovery);
    }

    /// Otherwise signed edits would test nothing.
    #[test]
    fn an_edit_that_signs_an_intact_record_changes_nothing() {
        let (files, _) = intact();
        let first = u16::try_from(SEGMENT_HEADER_LEN).unwrap_or_default().to_be_bytes();
        let bytes = [6, 0, first[0], first[1], 0, 7, 0, 0, 0, 0];
        let mut edits = Edits { files: files.clone(), rest: &bytes, signed: false };
        while edits.apply().is_some() {}
        assert!(edits.signed && edits.files == *files);
    }
}
