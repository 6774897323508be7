//! Large files that are written beside the log.
//!
//! A sync of the log waits behind all that the disk has to write when it comes. So a large file is written in pieces, each
//! of which is synced, and the disk is left to the log between two of them: how fast it is does not have to be known.

use std::io;
use std::time::{Duration, Instant};

use crate::storage::StorageFile;

/// So much is written at most before it is synced.
pub(crate) const PIECE: usize = 128 << 10;
/// A rest is so many times as long as the piece before it took.
const RESTS: u32 = 3;
/// A disk that hangs for seconds is not waited for three times as long.
const REST_MAX: Duration = Duration::from_millis(100);

/// How much of the disk such a file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DiskShare {
    /// A piece, and then a rest.
    Quarter,
    /// Piece by piece.
    Whole,
    /// All of it is synced at once, by the caller.
    AtOnce,
}

/// How far such a file has come.
#[derive(Default)]
pub(crate) struct Pieces {
    unsynced: usize,
    /// What the piece has taken until now.
    took: Duration,
}

impl Pieces {
    /// Writes these bytes. What is not synced afterwards is less than a piece, but for [`DiskShare::AtOnce`].
    pub(crate) fn write_at(
        &mut self,
        file: &dyn StorageFile,
        mut bytes: &[u8],
        mut offset: u64,
        share: impl Fn() -> DiskShare,
    ) -> io::Result<()> {
        while !bytes.is_empty() {
            let (now, rest) = bytes.split_at(bytes.len().min(PIECE - self.unsynced));
            let began = Instant::now();
            file.write_at(now, offset)?;
            (bytes, offset) = (rest, offset + now.len() as u64);
            self.unsynced += now.len();
            let is_full = self.unsynced == PIECE;
            let share = if is_full { share() } else { DiskShare::AtOnce };
            if share != DiskShare::AtOnce {
                file.sync_data()?;
            }
            self.took += began.elapsed();
            if share == DiskShare::Quarter {
                std::thread::sleep((self.took * RESTS).min(REST_MAX));
            }
            if is_full {
                *self = Self::default();
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use std::collections::BTreeMap;

    use super::*;
    use crate::format::{Geometry, SegmentHeader, SegmentVersion};
    use crate::testing::{ForgettingStorage, Op};
    use crate::{Epoch, Log, Need, NewRecord, Options, Part, USER_KIND_MIN};

    const LARGE: usize = 4 * PIECE;

    /// The most that was written to one file between two of its syncs.
    fn most_unsynced(storage: &ForgettingStorage) -> usize {
        let (mut unsynced, mut most) = (BTreeMap::<usize, usize>::new(), 0);
        for op in storage.trace().ops() {
            match op {
                Op::Write { file, bytes, .. } => {
                    let unsynced = unsynced.entry(*file).or_default();
                    *unsynced += bytes.len();
                    most = most.max(*unsynced);
                }
                Op::Sync { file } => _ = unsynced.remove(file),
                _ => {}
            }
        }
        most
    }

    fn make_segment(share: DiskShare) -> ForgettingStorage {
        let storage = ForgettingStorage::new();
        let geometry = Geometry { log_id: [7; 16], segment_size: LARGE as u64 };
        let header = SegmentHeader { version: SegmentVersion::V2, geometry, number: 1, epoch: Epoch(1) };
        crate::segment::prepare(&*storage.handle(), &header, || share).unwrap();
        storage
    }

    #[test]
    fn a_segment_that_is_made_beside_the_log_is_synced_in_pieces() {
        assert_eq!(most_unsynced(&make_segment(DiskShare::Quarter)), PIECE);
    }

    #[test]
    fn a_segment_that_is_waited_for_is_synced_once() {
        assert_eq!(most_unsynced(&make_segment(DiskShare::AtOnce)), LARGE);
    }

    #[test]
    fn a_snapshot_is_synced_in_pieces() {
        let storage = ForgettingStorage::new();
        let options =
            Options { segment_size: PIECE as u64, append_bytes_max: PIECE / 2, owners: 1, ..Options::default() };
        let (log, _) = Log::open(storage.handle(), options).unwrap();
        let mut owner = log.register_owner("test");
        owner.set_live_bytes(0);
        assert!(crate::snapshot::begin_snapshot(log.shared()));
        let mut section = owner.snapshot_wanted().unwrap();
        let payload = [3; 32 << 10];
        for _ in 0..LARGE / payload.len() {
            let parts = [Part::Bytes(&payload)];
            while section.push(&[NewRecord::new(USER_KIND_MIN, 0, &parts)]).is_err() {
                std::thread::yield_now();
            }
        }
        section.finish();
        log.wait_for_snapshot(Duration::from_secs(60));
        assert!(log.shared().snapshots.last_length() > LARGE as u64);
        assert!((PIECE / 2..=PIECE).contains(&most_unsynced(&storage)), "{}", most_unsynced(&storage));
    }

    #[test]
    fn a_snapshot_that_is_asked_for_is_written_without_rests() {
        let log = Log::open(ForgettingStorage::new().handle(), Options { owners: 1, ..Options::default() }).unwrap().0;
        let mut owner = log.register_owner("test");
        owner.set_live_bytes(0);
        assert!(log.request_snapshot() && log.shared().snapshots.is_hurried());
        owner.snapshot_wanted().unwrap().finish();
        log.wait_for_snapshot(Duration::from_secs(60));
        assert!(!log.shared().snapshots.is_hurried(), "the next one is due by itself");
    }

    #[test]
    fn there_is_time_until_half_a_segment_is_left_for_others_than_acknowledgements() {
        let storage = ForgettingStorage::new();
        let options = Options {
            segment_size: 256 << 10,
            append_bytes_max: 64 << 10,
            reserve_bytes: 64 << 10,
            ..Options::default()
        };
        let (log, _) = Log::open(storage.handle(), options).unwrap();
        while log.shared().tail().needs_segment() {
            std::thread::yield_now();
        }
        // There is this segment, and one behind it; a third one takes as long as this test.
        storage.hold_syncs();
        let payload = [3; 31 << 10];
        let mut shares = Vec::new();
        while log.append(Need::Normal, &[NewRecord::new(USER_KIND_MIN, 0, &[Part::Bytes(&payload)])]).is_ok() {
            shares.push(log.shared().tail().share_for_segments());
        }
        storage.release_syncs();
        // 512 KiB less the reserve are 14 of these records, and less half a segment ten.
        assert_eq!(shares, [[DiskShare::Quarter; 10].as_slice(), &[DiskShare::AtOnce; 4]].concat());
    }
}
