//! Segment files: their names, their preparation, reading them in order.

use std::io;
use std::sync::Arc;

use crate::Position;
use crate::format::{Geometry, RECORD_HEADER_LEN, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, Slot, next_slot};
use crate::storage::{Storage, StorageFile};

/// Suffix of a segment that is still being written; a file that has it after a crash is removed.
const UNFINISHED: &str = ".new";
const FINISHED: &str = ".segment";
const CHUNK: usize = 1 << 20;

pub(crate) fn name_of(number: u64) -> String {
    format!("{number:020}{FINISHED}")
}

pub(crate) fn number_of(name: &str) -> Option<u64> {
    let number = name.strip_suffix(FINISHED)?.parse().ok()?;
    // An operator's copy under a name of its own is no segment.
    (name_of(number) == name).then_some(number)
}

pub(crate) fn is_unfinished(name: &str) -> bool {
    name.ends_with(UNFINISHED)
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

/// Creates a segment whose every byte is written, and which is durable under its name when this returns. With `keep`,
/// it begins with those bytes of an older file and takes the place of that file.
pub(crate) fn prepare(
    storage: &dyn Storage,
    header: &SegmentHeader,
    keep: Option<(&dyn StorageFile, u64)>,
) -> Result<Arc<dyn StorageFile>, PrepareError> {
    let name = name_of(header.number);
    let unfinished = format!("{name}{UNFINISHED}");
    let finished = write_whole(storage, &unfinished, header, keep)
        .and_then(|file| storage.rename(&unfinished, &name).map(|()| file));
    let file = finished.map_err(|error| {
        // Frees its space; what cannot be removed now is removed at the next start.
        let _ = storage.remove(&unfinished);
        PrepareError::Retry(error)
    })?;
    match storage.sync_dir() {
        Ok(()) => Ok(file),
        // Another try renames another file to this name.
        Err(error) if has_no_room(&error) => Err(PrepareError::Retry(error)),
        Err(error) => Err(PrepareError::Final(error)),
    }
}

/// Whether the disk, or the user's share of it, is full.
pub(crate) fn has_no_room(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

fn write_whole(
    storage: &dyn Storage,
    name: &str,
    header: &SegmentHeader,
    keep: Option<(&dyn StorageFile, u64)>,
) -> io::Result<Arc<dyn StorageFile>> {
    let size = header.geometry.segment_size;
    let kept = keep.map_or(SEGMENT_HEADER_LEN as u64, |(_, cut)| cut);
    let file = storage.create(name)?;
    let mut chunk = vec![0; CHUNK];
    let mut offset = 0;
    while offset < size {
        let len = usize::try_from(size - offset).map_or(CHUNK, |rest| rest.min(CHUNK));
        let bytes = &mut chunk[..len];
        bytes.fill(0);
        if let Some((old, _)) = keep {
            let wanted = usize::try_from(kept.saturating_sub(offset)).map_or(len, |wanted| wanted.min(len));
            read_exact(old, &mut bytes[..wanted], offset)?;
        }
        if offset == 0 {
            bytes[..SEGMENT_HEADER_LEN].copy_from_slice(&header.encode());
        }
        file.write_at(bytes, offset)?;
        offset += len as u64;
    }
    file.sync_data()?;
    Ok(file)
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
                _ => offset = next_slot(offset),
            }
        }
        Ok(None)
    }

    fn slot(&mut self, offset: u64) -> io::Result<Slot> {
        if offset > self.geometry.own_limit() {
            return Ok(Slot::Invalid);
        }
        let (geometry, at) = (self.geometry, self.position(offset));
        let bytes = self.bytes(offset, RECORD_HEADER_LEN)?;
        Ok(RecordHeader::decode(&geometry, at, bytes))
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
