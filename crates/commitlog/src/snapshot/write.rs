//! The thread that makes the file of a snapshot.
//!
//! Whatever fails on the way, the snapshot is given up and the log goes on; the next one is begun when it is due again.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use super::collect::Taken;
use super::format::{COPY_LEN, FRAME_BODY, FRAME_HEADER_LEN, HEADER_LEN, SnapshotHeader, What, encode_copy};
use super::{NAME, UNFINISHED};
use crate::pieces::{DiskShare, Pieces};
use crate::seeded;
use crate::shared::Shared;
use crate::storage::StorageFile;
use crate::tail::{Phase, Tail};
use crate::{Position, SyncMode};

/// What is appended and given back changes without notice.
const CHECKED_EVERY: Duration = Duration::from_secs(1);
/// A snapshot that the owners have not finished when so many more would have been due is given up.
const OUTDATED_AFTER: u64 = 8;

/// Why a snapshot is not continued.
enum GivenUp {
    Because(&'static str),
    Storage(io::Error),
}

impl From<io::Error> for GivenUp {
    fn from(error: io::Error) -> Self {
        Self::Storage(error)
    }
}

/// Writes one snapshot after the other, until the log is closed or fails.
pub(crate) fn write_snapshots(shared: &Shared) {
    while !shared.snapshots.is_stopped() {
        if is_due(shared) {
            begin_snapshot(shared);
        }
        let Some(from) = shared.snapshots.wait_until_begun(CHECKED_EVERY) else { continue };
        tracing::debug!(%from, "a snapshot of the log is begun");
        match write_snapshot(shared, from) {
            Ok(length) => {
                shared.snapshots.note_written(length);
                tracing::debug!(length, "a snapshot of the log was written");
            }
            Err(GivenUp::Because(why)) => tracing::debug!(why, "a snapshot of the log was given up"),
            Err(GivenUp::Storage(error)) => {
                let path = shared.storage.path_of(UNFINISHED);
                tracing::warn!(path, %error, "a snapshot of the log cannot be written: the next start reads more of the log");
            }
        }
        shared.snapshots.end();
    }
}

/// How many bytes are appended between two snapshots: at least as many as one has, so that at most half of all that is
/// written is snapshots. `None`: however many.
fn distance(shared: &Shared) -> Option<u64> {
    shared.options.snapshot_every.map(|every| every.max(shared.snapshots.last_length()))
}

fn is_due(shared: &Shared) -> bool {
    let Some(distance) = distance(shared) else { return false };
    let last = shared.snapshots.last_from();
    let tail = shared.tail();
    let replayed_from = last.max(shared.geometry.position(tail.begin, 0));
    tail.end().0 - replayed_from.0 >= distance
}

/// Begins a snapshot, unless one is under way. `false`: there can be none now.
pub(crate) fn begin_snapshot(shared: &Shared) -> bool {
    let owners = shared.options.owners;
    if owners == 0 || shared.owners.live_bytes(owners).is_none() {
        return false;
    }
    if !shared.has_room_for_another_snapshot(HEADER_LEN as u64).unwrap_or(false) {
        return false;
    }
    // Before any owner can know of it: what is appended from here on is replayed.
    let from = {
        let tail = shared.tail();
        if tail.phase != Phase::Open || tail.full {
            return false;
        }
        tail.end()
    };
    shared.snapshots.begin(from, owners)
}

/// Waits until a snapshot that all owners have finished is written, or given up.
pub(crate) fn complete_snapshot(shared: &Shared) {
    shared.snapshots.wait_while_complete();
}

/// Returns the length of the file.
fn write_snapshot(shared: &Shared, from: Position) -> Result<u64, GivenUp> {
    // Until the first owner has something, nothing is on the disk.
    let first = next_records(shared, from)?;
    let written = write_file(shared, from, first);
    // What cannot be removed now is at the next start, and counts until then.
    if written.is_err() && is_gone(&shared.storage.remove(UNFINISHED)) {
        shared.snapshots.note_unfinished(0);
    }
    written
}

fn is_gone(removed: &io::Result<()>) -> bool {
    removed.as_ref().err().is_none_or(|error| error.kind() == io::ErrorKind::NotFound)
}

fn write_file(shared: &Shared, from: Position, mut next: Option<(Vec<u8>, u64)>) -> Result<u64, GivenUp> {
    let mut file = SnapshotFile::create(shared, from)?;
    while let Some((bytes, count)) = next {
        file.header.records += count;
        file.write_frame(shared, What::Records, &bytes)?;
        next = next_records(shared, from)?;
    }
    write_copies(shared, &mut file)?;
    // After the copies: a newer one, because of which an older one is not in the file, is on the disk too.
    let end = if seeded::is_ahead_of_the_log(&shared.options) {
        from
    } else {
        let end = shared.tail().end();
        wait_until_on_disk(shared, end)?;
        end
    };
    let length = file.finish(end)?;
    shared.storage.rename(UNFINISHED, NAME)?;
    shared.snapshots.note_files(length, 0);
    shared.storage.sync_dir()?;
    Ok(length)
}

/// Returns records to be written, and how many; `None`: these were all.
fn next_records(shared: &Shared, from: Position) -> Result<Option<(Vec<u8>, u64)>, GivenUp> {
    loop {
        check_useful(shared, from)?;
        match shared.snapshots.take(CHECKED_EVERY) {
            Taken::Records { bytes, count } => return Ok(Some((bytes, count))),
            Taken::All => return Ok(None),
            Taken::GivenUp(why) => return Err(GivenUp::Because(why)),
            Taken::Nothing => {}
        }
    }
}

fn check_useful(shared: &Shared, from: Position) -> Result<(), GivenUp> {
    let outdated = distance(shared).map_or(u64::MAX, |distance| distance.saturating_mul(OUTDATED_AFTER));
    if let Some(why) = shared.snapshots.given_up() {
        return Err(GivenUp::Because(why));
    }
    let tail = shared.tail();
    if tail.begin > shared.geometry.split(from).0 {
        Err(GivenUp::Because("the log begins behind it now"))
    } else if tail.full {
        Err(GivenUp::Because("the disk is full"))
    } else if tail.end().0 - from.0 > outdated {
        Err(GivenUp::Because("an owner takes too long"))
    } else {
        Ok(())
    }
}

/// Waits until a power cut cannot take anything before `end` from the log.
fn wait_until_on_disk(shared: &Shared, end: Position) -> Result<(), GivenUp> {
    let goes_on = |tail: &Tail| tail.phase == Phase::Open && !tail.full && shared.snapshots.given_up().is_none();
    shared.wait_durable(end, goes_on).map_err(|_| GivenUp::Because("the log does not become durable"))?;
    if shared.options.sync == SyncMode::Os {
        shared.sync_all().map_err(|_| GivenUp::Because("the log has failed"))?;
    }
    Ok(())
}

/// Writes the index of copies below the snapshot's place: the replay finds those behind it.
fn write_copies(shared: &Shared, file: &mut SnapshotFile) -> Result<(), GivenUp> {
    let from = file.header.from;
    let mut body = Vec::new();
    for segment in shared.copies.segments() {
        for (name, place) in shared.copies.in_segment(&shared.geometry, segment) {
            if place >= from {
                continue;
            }
            encode_copy(&mut body, name, place);
            file.header.copies += 1;
            if body.len() + COPY_LEN > FRAME_BODY {
                file.write_frame(shared, What::Copies, &body)?;
                body.clear();
            }
        }
    }
    if body.is_empty() { Ok(()) } else { file.write_frame(shared, What::Copies, &body) }
}

/// A file that becomes a snapshot with its header, which is written last.
struct SnapshotFile {
    file: Arc<dyn StorageFile>,
    header: SnapshotHeader,
    pieces: Pieces,
}

impl SnapshotFile {
    fn create(shared: &Shared, from: Position) -> io::Result<Self> {
        let header = SnapshotHeader {
            geometry: shared.geometry,
            from,
            end: from,
            length: HEADER_LEN as u64,
            records: 0,
            copies: 0,
        };
        let file = shared.storage.create(UNFINISHED)?;
        shared.snapshots.note_unfinished(header.length);
        Ok(Self { file, header, pieces: Pieces::default() })
    }

    fn write_frame(&mut self, shared: &Shared, what: What, body: &[u8]) -> Result<(), GivenUp> {
        let offset = self.header.length;
        let len = (FRAME_HEADER_LEN + body.len()) as u64;
        // Noted before it is asked for: a segment that is made at this moment counts it, or is counted.
        shared.snapshots.note_unfinished(offset + len);
        if !shared.has_room_for_snapshot(len)? {
            return Err(GivenUp::Because("the rest of the disk, or of what the log may take, is kept for others"));
        }
        self.write(shared, &self.header.encode_frame(offset, what, body), offset)?;
        self.write(shared, body, offset + FRAME_HEADER_LEN as u64)?;
        self.header.length += len;
        Ok(())
    }

    fn write(&mut self, shared: &Shared, bytes: &[u8], offset: u64) -> io::Result<()> {
        let share = || match shared.tail().phase {
            Phase::Open if shared.snapshots.given_up().is_none() && !shared.snapshots.is_hurried() => {
                DiskShare::Quarter
            }
            _ => DiskShare::Whole,
        };
        self.pieces.write_at(&*self.file, bytes, offset, share)
    }

    fn finish(mut self, end: Position) -> io::Result<u64> {
        self.header.end = end;
        self.file.write_at(&self.header.encode(), 0)?;
        self.file.sync_data()?;
        Ok(self.header.length)
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use crate::testing::ForgettingStorage;
    use crate::{AppendError, Log, LogOwner, Need, NewRecord, Options, Part, USER_KIND_MIN};

    const EVERY: u64 = 8 << 10;
    const PAYLOAD: usize = 64;
    /// With its header, about.
    const RECORD: u64 = 2 * PAYLOAD as u64;

    fn log() -> Log {
        let options = Options {
            segment_size: 256 << 10,
            append_bytes_max: 64 << 10,
            owners: 1,
            snapshot_every: Some(EVERY),
            idle_mark_after: None,
            ..Options::default()
        };
        Log::open(ForgettingStorage::new().handle(), options).unwrap().0
    }

    fn append(log: &Log) {
        let parts = [Part::Bytes(&[1; PAYLOAD])];
        // The next segment may not be ready.
        while let Err(error) = log.append(Need::Normal, &[NewRecord::new(USER_KIND_MIN, 0, &parts)]) {
            assert_eq!(error, AppendError::Busy);
            std::thread::yield_now();
        }
    }

    /// Grows until a snapshot is due; returns by how much, from the place of the last one.
    fn grow(log: &Log) -> u64 {
        let shared = log.shared();
        while !is_due(shared) {
            append(log);
        }
        shared.tail().end().0 - shared.snapshots.last_from().0
    }

    /// Takes a snapshot of one record; returns its length. No other can be taken behind it.
    fn take_snapshot(log: &Log, mut owner: LogOwner, bytes: usize) -> u64 {
        owner.set_live_bytes(0);
        assert!(log.request_snapshot());
        let mut section = owner.snapshot_wanted().unwrap();
        let payload = vec![2; bytes];
        section.push(&[NewRecord::new(USER_KIND_MIN, 0, &[Part::Bytes(&payload)])]).unwrap();
        section.finish();
        log.wait_for_snapshot(Duration::from_secs(60));
        log.shared().snapshots.last_length()
    }

    fn is_about(grown: u64, distance: u64) -> bool {
        (distance..distance + RECORD).contains(&grown)
    }

    #[test]
    fn a_snapshot_is_due_after_as_many_bytes_as_the_last_one_has_and_after_so_many_at_least() {
        let log = log();
        let first = grow(&log);
        assert!(is_about(first, EVERY), "the first one after {first} bytes");

        // Its owner is gone afterwards, so that what is due is not begun.
        let length = take_snapshot(&log, log.register_owner("test"), 5 * EVERY as usize);
        assert!(length > 5 * EVERY, "{length} bytes");
        let second = grow(&log);
        assert!(is_about(second, length), "one behind {length} bytes after {second} bytes");

        let end = log.shared().tail().end();
        log.shared().snapshots.set_last(end, EVERY / 2);
        let third = grow(&log);
        assert!(is_about(third, EVERY), "one behind a short one after {third} bytes");
    }

    #[test]
    fn what_was_given_back_does_not_count_for_the_next_snapshot() {
        let log = log();
        let shared = log.shared();
        while *log.segments().end() < 2 {
            append(&log);
        }
        assert!(is_due(shared), "a segment is more than {EVERY} bytes");
        assert!(log.reclaim(2).unwrap());
        assert!(!is_due(shared));
        while !is_due(shared) {
            append(&log);
        }
        let grown = shared.tail().end().0 - shared.geometry.position(2, 0).0;
        assert!(is_about(grown, EVERY), "after {grown} bytes");
    }

    #[test]
    fn copies_are_in_a_snapshot_before_it_waits_for_the_log() {
        let storage = ForgettingStorage::new();
        let options = Options { segment_size: 256 << 10, append_bytes_max: 64 << 10, owners: 1, ..Options::default() };
        let (log, _) = Log::open(storage.handle(), options).unwrap();
        let mut owner = log.register_owner("test");
        owner.set_live_bytes(0);
        let payload = [1; PAYLOAD];
        let parts = [Part::Bytes(&payload)];
        let name = log.append(Need::Normal, &[NewRecord::new(USER_KIND_MIN, 0, &parts)]).unwrap().positions[0];
        let copy = NewRecord::new(USER_KIND_MIN, 0, &parts).carried(name);
        let copied = log.append(Need::Normal, &[copy]).unwrap();
        log.wait_durable(copied.end).unwrap();
        let shared = log.shared();
        let place = shared.copies.find(&shared.geometry, name).unwrap();
        assert!(log.request_snapshot());
        let section = owner.snapshot_wanted().unwrap();
        // From here on the log becomes no more durable: a newer copy that the snapshot saw would not be either.
        storage.hold_syncs();
        log.append(Need::Normal, &[NewRecord::new(USER_KIND_MIN, 0, &parts)]).unwrap();
        section.finish();
        let mut wanted = Vec::new();
        encode_copy(&mut wanted, name, place);
        let is_in = |content: Vec<u8>| content.windows(wanted.len()).any(|bytes| bytes == wanted);
        let give_up = std::time::Instant::now() + Duration::from_secs(10);
        let mut found = false;
        while !found && std::time::Instant::now() < give_up {
            found = storage.content(UNFINISHED).is_ok_and(is_in);
            std::thread::yield_now();
        }
        storage.release_syncs();
        assert!(found, "a copy is looked for only when the log is durable");
    }
}
