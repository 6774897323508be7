//! Segment files: their names, their preparation, reading them in order.

use std::io;
use std::sync::Arc;

use crate::format::{
    Geometry, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, SegmentVersion, Slot, next_slot,
};
use crate::pieces::{DiskShare, Pieces};
use crate::recover::FIRST_SEGMENT;
use crate::storage::{Storage, StorageFile};
use crate::{Epoch, Position};

/// Suffix of a segment that is still being written; a file that has it after a crash is removed.
const UNFINISHED: &str = ".new";
const FREE: &str = ".free";
const FINISHED: &str = ".segment";
/// A file with the space of a segment, for a start on a full disk. Its content means nothing.
pub(crate) const SPARE: &str = "spare";
/// Bytes at the beginning of a segment that is used again: its header, and no record behind it.
const REUSE_LEN: usize = 512;
const CHUNK: usize = 1 << 20;

pub(crate) fn name_of(number: u64) -> String {
    format!("{number:020}{FINISHED}")
}

pub(crate) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(FINISHED)?.parse().ok()?;
    // An operator's copy under a name of its own is no segment.
    (name_of(number) == name).then_some(number)
}

/// Whether the file is of no use for a start: an unfinished segment, or one that was given back.
pub(crate) fn is_left_over(name: &str) -> bool {
    name.ends_with(UNFINISHED) || name.ends_with(FREE)
}

/// Name of a segment until it is whole.
pub(crate) fn unfinished_name_of(number: u64) -> String {
    format!("{}{UNFINISHED}", name_of(number))
}

/// Name of a segment that was given back, until it is used again.
pub(crate) fn free_name_of(number: u64) -> String {
    format!("{number:020}{FREE}")
}

/// Puts the header of a segment of version 2, and nothing behind it, in the place of a log's first segment. A program that
/// does not know version 2 looks for that one first, and then says so instead of that a segment is missing.
pub(crate) fn leave_stub(storage: &dyn Storage, geometry: &Geometry) -> io::Result<()> {
    let name = name_of(FIRST_SEGMENT);
    if storage.open(&name).is_ok_and(|file| file.size().is_ok_and(|len| len == SEGMENT_HEADER_LEN as u64)) {
        return Ok(());
    }
    let header =
        SegmentHeader { version: SegmentVersion::V2, geometry: *geometry, number: FIRST_SEGMENT, epoch: Epoch(0) };
    let unfinished = unfinished_name_of(FIRST_SEGMENT);
    let make = || {
        let file = storage.create(&unfinished)?;
        file.write_at(&header.encode(), 0)?;
        file.sync_data()?;
        storage.rename(&unfinished, &name)
    };
    match make() {
        // On a full disk its room is that of the segment. A crash in between costs the stub, which no start needs.
        Err(error) if has_no_room(&error) => {
            storage.remove(&name)?;
            make()?;
        }
        made => made?,
    }
    storage.sync_dir()
}

/// Why a segment could not be made.
#[derive(Debug)]
pub(crate) enum PrepareError {
    /// Nothing that counts was changed: it can be tried again.
    Retry(io::Error),
    /// The folder could not be synced: nobody knows whether a power cut takes the file away again.
    Final(io::Error),
}

impl PrepareError {
    pub(crate) fn into_source(self) -> io::Error {
        match self {
            Self::Retry(source) | Self::Final(source) => source,
        }
    }
}

/// Creates a segment whose every byte is written, and which is durable under its name when this returns. While there is
/// time it leaves the disk to others in between.
pub(crate) fn prepare(
    storage: &dyn Storage,
    header: &SegmentHeader,
    share: impl Fn() -> DiskShare,
) -> Result<Arc<dyn StorageFile>, PrepareError> {
    let unfinished = unfinished_name_of(header.number);
    let file = create(storage, &unfinished, header.geometry.segment_size).and_then(|file| {
        fill(&*file, header, None, share)?;
        Ok(file)
    });
    finish(storage, &unfinished, header.number, file)
}

/// The same from a segment that was given back, all of whose bytes were written before, and which has its unfinished name
/// by now. What it holds of its life as another segment is nothing in this one: the number is in each checksum, and no
/// batch begins in another segment.
pub(crate) fn prepare_from_free(
    storage: &dyn Storage,
    header: &SegmentHeader,
) -> Result<Arc<dyn StorageFile>, PrepareError> {
    let unfinished = unfinished_name_of(header.number);
    let file = storage.open(&unfinished).and_then(|file| {
        let mut begin = [0; REUSE_LEN];
        begin[..SEGMENT_HEADER_LEN].copy_from_slice(&header.encode());
        file.write_at(&begin, 0)?;
        file.sync_data()?;
        Ok(file)
    });
    finish(storage, &unfinished, header.number, file)
}

/// The same at a start, which goes into the space of the spare file if there is one. With `keep`, the segment begins
/// with those bytes of an older file and takes the place of that file, which is the spare file then: its space is nobody
/// else's for a moment, as the next start needs it.
pub(crate) fn prepare_at_start(
    storage: &dyn Storage,
    header: &SegmentHeader,
    keep: Option<(&dyn StorageFile, u64)>,
) -> Result<Arc<dyn StorageFile>, PrepareError> {
    let size = header.geometry.segment_size;
    let unfinished = unfinished_name_of(header.number);
    // Until it gets the segment's name it stays the spare file, whatever is in it.
    let (from, file) = match open_spare(storage, size) {
        Ok(Some(file)) => (SPARE, Ok(file)),
        // One that cannot be opened now stays for another start.
        Ok(None) | Err(_) => (&*unfinished, create(storage, &unfinished, size)),
    };
    let file = file.and_then(|file| {
        fill(&*file, header, keep, || DiskShare::AtOnce)?;
        Ok(file)
    });
    if from == SPARE && keep.is_some() {
        let file = file.map_err(PrepareError::Retry)?;
        return match storage.exchange(SPARE, &name_of(header.number)) {
            Ok(()) => sync_name(storage, file),
            Err(error) if error.kind() == io::ErrorKind::Unsupported => finish(storage, from, header.number, Ok(file)),
            Err(error) => Err(PrepareError::Retry(error)),
        };
    }
    finish(storage, from, header.number, file)
}

/// Gives the file its name as a segment.
fn finish(
    storage: &dyn Storage,
    from: &str,
    number: u64,
    file: io::Result<Arc<dyn StorageFile>>,
) -> Result<Arc<dyn StorageFile>, PrepareError> {
    let finished = file.and_then(|file| storage.rename(from, &name_of(number)).map(|()| file));
    let file = finished.map_err(|error| {
        // The spare file is one whatever is in it.
        if from != SPARE {
            // Frees its space; what cannot be removed now is removed at the next start.
            let _ = storage.remove(from);
        }
        PrepareError::Retry(error)
    })?;
    sync_name(storage, file)
}

/// The file has its name; that is to be durable too.
fn sync_name(storage: &dyn Storage, file: Arc<dyn StorageFile>) -> Result<Arc<dyn StorageFile>, PrepareError> {
    match storage.sync_dir() {
        Ok(()) => Ok(file),
        // Another try renames another file to this name.
        Err(error) if has_no_room(&error) => Err(PrepareError::Retry(error)),
        Err(error) => Err(PrepareError::Final(error)),
    }
}

/// Creates the spare file. Its name is durable with the next sync of the folder.
pub(crate) fn make_spare(storage: &dyn Storage, size: u64) -> io::Result<()> {
    let made = create(storage, SPARE, size).and_then(|file| {
        if file.size()? < size {
            // The file system cannot reserve space: only what is written has any.
            write_chunks(&*file, size, |_, _| Ok(()), || DiskShare::AtOnce)?;
        }
        file.sync_data()
    });
    made.inspect_err(|_| {
        let _ = storage.remove(SPARE);
    })
}

/// Whether the spare file is there.
///
/// # Errors
/// It may be: it cannot be opened now, as when there is no descriptor left.
pub(crate) fn has_spare(storage: &dyn Storage, size: u64) -> io::Result<bool> {
    Ok(open_spare(storage, size)?.is_some())
}

fn open_spare(storage: &dyn Storage, size: u64) -> io::Result<Option<Arc<dyn StorageFile>>> {
    match storage.open(SPARE) {
        Ok(file) => Ok((file.size()? == size).then_some(file)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Creates a file and reserves its space, so that a full disk is noticed before it is filled.
fn create(storage: &dyn Storage, name: &str, size: u64) -> io::Result<Arc<dyn StorageFile>> {
    let file = storage.create(name)?;
    file.allocate(size)?;
    Ok(file)
}

/// Whether the disk, or the user's share of it, is full.
pub(crate) fn has_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Writes every byte of the segment, and syncs it.
fn fill(
    file: &dyn StorageFile,
    header: &SegmentHeader,
    keep: Option<(&dyn StorageFile, u64)>,
    share: impl Fn() -> DiskShare,
) -> io::Result<()> {
    let kept = keep.map_or(SEGMENT_HEADER_LEN as u64, |(_, cut)| cut);
    let put = |offset, bytes: &mut [u8]| {
        if let Some((old, _)) = keep {
            let wanted =
                usize::try_from(kept.saturating_sub(offset)).map_or(bytes.len(), |wanted| wanted.min(bytes.len()));
            read_exact(old, &mut bytes[..wanted], offset)?;
        }
        if offset == 0 {
            bytes[..SEGMENT_HEADER_LEN].copy_from_slice(&header.encode());
        }
        Ok(())
    };
    write_chunks(file, header.geometry.segment_size, put, share)?;
    file.sync_data()
}

/// Writes `size` bytes: zeros, or what `put` puts in their place.
fn write_chunks(
    file: &dyn StorageFile,
    size: u64,
    put: impl Fn(u64, &mut [u8]) -> io::Result<()>,
    share: impl Fn() -> DiskShare,
) -> io::Result<()> {
    let mut pieces = Pieces::default();
    let at_most = |rest| usize::try_from(rest).map_or(CHUNK, |rest| rest.min(CHUNK));
    let mut chunk = vec![0; at_most(size)];
    let mut offset = 0;
    while offset < size {
        let len = at_most(size - offset);
        let bytes = &mut chunk[..len];
        bytes.fill(0);
        put(offset, bytes)?;
        pieces.write_at(file, bytes, offset, &share)?;
        offset += len as u64;
    }
    Ok(())
}

pub(crate) fn read_exact(file: &dyn StorageFile, buf: &mut [u8], offset: u64) -> io::Result<()> {
    let read = file.read_at(buf, offset)?;
    if read == buf.len() { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
}

/// A reader of a segment from front to back, with a buffer as large as the largest record, at least `CHUNK`.
pub(crate) struct SegmentReader {
    file: Arc<dyn StorageFile>,
    geometry: Geometry,
    number: u64,
    begin: u64,
    buf: Vec<u8>,
}

/// What stands at an offset of a segment.
pub(crate) enum Found<'a> {
    Record(RecordHeader, &'a [u8]),
    /// An all-zero header.
    Zero,
    /// Neither a record nor the end of a batch.
    Hole(&'static str),
}

impl SegmentReader {
    pub(crate) fn new(file: Arc<dyn StorageFile>, geometry: Geometry, number: u64) -> Self {
        Self { file, geometry, number, begin: 0, buf: Vec::new() }
    }

    pub(crate) fn at(&mut self, offset: u64) -> io::Result<Found<'_>> {
        let header = match self.slot(offset)? {
            Slot::Zero => return Ok(Found::Zero),
            Slot::Invalid => return Ok(Found::Hole("there is no valid record")),
            Slot::Header(header) => header,
        };
        if offset + header.total() > self.geometry.own_limit() {
            return Ok(Found::Hole("a record runs past the end of the segment"));
        }
        let (geometry, at) = (self.geometry, self.position(offset));
        let payload = self.bytes(offset + RECORD_HEADER_LEN as u64, header.len as usize)?;
        if header.payload_is_whole(&geometry, at, payload) {
            Ok(Found::Record(header, payload))
        } else {
            Ok(Found::Hole("a record's checksum is wrong"))
        }
    }

    /// Returns the offset of the first valid header at or after `offset` that `wanted` accepts.
    pub(crate) fn search(
        &mut self,
        mut offset: u64,
        wanted: impl Fn(&RecordHeader) -> bool,
    ) -> io::Result<Option<u64>> {
        while offset <= self.geometry.own_limit() {
            match self.slot(offset)? {
                Slot::Header(header) if wanted(&header) => return Ok(Some(offset)),
                Slot::Zero => offset = self.after_zeros(offset),
                _ => offset = next_slot(offset),
            }
        }
        Ok(None)
    }

    /// After an all-zero header: the next place where one could begin that is not, as far as the buffer tells. The rest of a
    /// segment is mostly zeros.
    fn after_zeros(&self, offset: u64) -> u64 {
        const RUN: usize = 64;
        let from = usize::try_from(offset - self.begin).unwrap_or(usize::MAX);
        let runs = self.buf.get(from..).unwrap_or_default().chunks_exact(RUN);
        let zeros = (runs.take_while(|run| **run == [0; RUN]).count() * RUN) as u64;
        // The last header that lies within them is all zero too.
        next_slot(offset + zeros.saturating_sub(RECORD_HEADER_LEN as u64))
    }

    fn slot(&mut self, offset: u64) -> io::Result<Slot> {
        if offset > self.geometry.own_limit() {
            return Ok(Slot::Invalid);
        }
        let (geometry, at) = (self.geometry, self.position(offset));
        let begin = self.position(0);
        let bytes = self.bytes(offset, RECORD_HEADER_LEN)?;
        Ok(match RecordHeader::decode(&geometry, at, bytes) {
            // No batch crosses a segment: what is from before it is a stale rest, whatever its checksum.
            Slot::Header(header) if header.batch < begin || header.batch > at => Slot::Invalid,
            slot => slot,
        })
    }

    pub(crate) fn number(&self) -> u64 {
        self.number
    }

    pub(crate) fn position(&self, offset: u64) -> Position {
        self.geometry.position(self.number, offset)
    }

    fn bytes(&mut self, offset: u64, len: usize) -> io::Result<&[u8]> {
        if offset < self.begin || offset + len as u64 > self.begin + self.buf.len() as u64 {
            self.fill(offset, len)?;
        }
        let from = usize::try_from(offset - self.begin).map_err(io::Error::other)?;
        Ok(&self.buf[from..from + len])
    }

    fn fill(&mut self, offset: u64, len: usize) -> io::Result<()> {
        let rest = usize::try_from(self.geometry.segment_size - offset).unwrap_or(usize::MAX);
        self.buf.resize(len.max(CHUNK).min(rest), 0);
        self.begin = offset;
        let filled = read_exact(&*self.file, &mut self.buf, offset);
        if filled.is_err() {
            self.buf.clear();
        }
        filled
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use crate::format::{FIRST_RECORD, SEGMENT_SIZE_MIN, encode_unit};
    use crate::testing::ForgettingStorage;
    use crate::{NewRecord, Part, USER_KIND_MIN};

    #[test]
    fn a_search_finds_a_record_after_zeros_of_any_length() {
        let geometry = Geometry { log_id: [7; 16], segment_size: SEGMENT_SIZE_MIN };
        let storage = ForgettingStorage::new();
        for zeros in (0..400).step_by(8).chain([4_096, 9_000, 16_000]) {
            let file = storage.handle().create("segment").unwrap();
            file.allocate(geometry.segment_size).unwrap();
            let offset = FIRST_RECORD + zeros;
            let at = geometry.position(3, offset);
            let parts = [Part::Bytes(b"found")];
            let mut bytes = Vec::new();
            encode_unit(&mut bytes, &geometry, at, &[at], &[NewRecord::new(USER_KIND_MIN, 0, &parts)]);
            file.write_at(&bytes, offset).unwrap();
            let mut reader = SegmentReader::new(file, geometry, 3);
            let any = |_: &RecordHeader| true;
            assert_eq!(reader.search(FIRST_RECORD, any).unwrap(), Some(offset), "after {zeros}");
            assert_eq!(reader.search(next_slot(offset), any).unwrap(), None, "behind it");
        }
    }
}
