//! Recovery: from the files of a folder to a log that can be appended to. Its rules, and why:
//!
//! - A batch is written only after the one before it was synced. So behind a hole there may be records of the batch
//!   that the hole is in (a torn tail: cut), but none of a later batch (damage: stop, change nothing).
//! - The page cache may hold what the disk never had. So after an unclean stop the last segment's valid beginning is
//!   copied to a new file and synced before anything is served from it.
//! - What was durable before the stop is found again, or the start fails.

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;

use crate::error::{Damaged, OpenError};
use crate::format::{
    FIRST_RECORD, Geometry, HeaderError, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, SegmentVersion, own, u64_at,
};
use crate::pieces::DiskShare;
use crate::segment::{
    Found, PrepareError, SegmentReader, has_no_room, has_spare, is_left_over, leave_stub, name_of, number_of, prepare,
    prepare_at_start, read_exact,
};
use crate::storage::{Storage, StorageFile};
use crate::{Epoch, Position};

/// Number of a log's first segment. Zero is never used, so that position 0 names no record.
pub(crate) const FIRST_SEGMENT: u64 = 1;

pub(crate) type Files = BTreeMap<u64, Arc<dyn StorageFile>>;

/// A recovered log, before the first append of this start.
pub(crate) struct Recovered {
    pub(crate) geometry: Geometry,
    pub(crate) files: Files,
    /// Number of the oldest segment.
    pub(crate) begin: u64,
    /// The segment in which appends continue, and the offset.
    pub(crate) segment: u64,
    pub(crate) cut: u64,
    /// Number of the first segment of version 2, if there is one.
    pub(crate) carries_from: Option<u64>,
    /// The highest start that is on record; zero for a new log.
    pub(crate) last_epoch: Epoch,
}

/// With `carries`, appends go on in a segment of version 2: one that can be given back on a full disk too.
pub(crate) fn recover(storage: &dyn Storage, segment_size: u64, carries: bool) -> Result<Recovered, OpenError> {
    let mut numbers = clean_folder(storage)?;
    numbers.sort_unstable();
    if numbers.is_empty() {
        create_new(storage, segment_size, carries)
    } else {
        open_existing(storage, &numbers, carries)
    }
}

/// Removes what an interrupted preparation left, and returns the numbers of the segments.
fn clean_folder(storage: &dyn Storage) -> Result<Vec<u64>, OpenError> {
    let names = storage.list().map_err(|source| OpenError::Storage {
        path: storage.path_of(""),
        action: "the folder cannot be read",
        remedy: "check that it is a folder and that this user may read and write it",
        source,
    })?;
    for name in names.iter().filter(|name| is_left_over(name)) {
        storage.remove(name).map_err(file_error(storage, name, "the file cannot be removed"))?;
    }
    Ok(names.iter().filter_map(|name| number_of(name)).collect())
}

fn create_new(storage: &dyn Storage, segment_size: u64, carries: bool) -> Result<Recovered, OpenError> {
    let name = name_of(FIRST_SEGMENT);
    let log_id = storage.random_id().map_err(file_error(storage, &name, "no random numbers"))?;
    let geometry = Geometry { log_id, segment_size };
    let carries_from = carries.then_some(FIRST_SEGMENT);
    let version = SegmentVersion::of_segment(FIRST_SEGMENT, carries_from);
    let header = SegmentHeader { version, geometry, number: FIRST_SEGMENT, epoch: Epoch(1) };
    let file = prepare(storage, &header, || DiskShare::AtOnce)
        .map_err(PrepareError::into_source)
        .map_err(file_error(storage, &name, "the file cannot be made"))?;
    let files = BTreeMap::from([(FIRST_SEGMENT, file)]);
    let (begin, segment) = (FIRST_SEGMENT, FIRST_SEGMENT);
    Ok(Recovered { geometry, files, begin, segment, cut: FIRST_RECORD, carries_from, last_epoch: Epoch(0) })
}

fn open_existing(storage: &dyn Storage, numbers: &[u64], carries: bool) -> Result<Recovered, OpenError> {
    let gap = numbers.windows(2).rposition(|two| two[0] + 1 != two[1]);
    let run = &numbers[gap.map_or(0, |at| at + 1)..];
    let newest = open_from_last(storage, run)?;
    let last = find_last(storage, &newest)?;
    let (segment, begin) = (last.segment, last.begin);
    if let Some(oldest) = run.first().filter(|oldest| **oldest > begin) {
        return Err(damaged(storage, oldest - 1, 0, "the segment is missing").into());
    }
    // What is below the begin is not even opened: it may be on its way to another use.
    let mut opened = open_files(storage, &run[run.partition_point(|number| *number < begin)..])?;
    // A copy of version 1's records is whole in version 2.
    let is_upgraded = carries
        && opened.version(segment) == SegmentVersion::V1
        && (!last.clean || has_spare(storage, opened.geometry.segment_size).unwrap_or(false));
    if is_upgraded {
        opened.carries_from = Some(segment);
    }
    if last.clean && !is_upgraded {
        // The sync that failed before the stop may have been that of the next segment's name.
        storage.sync_dir().map_err(file_error(storage, "", "the folder cannot be synced"))?;
    } else {
        rewrite_last_segment(storage, &mut opened, &last)?;
    }
    // Only now is it sure that a power cut does not bring an earlier begin back.
    for number in numbers.iter().copied().filter(|number| *number < begin) {
        let gone = if number == FIRST_SEGMENT {
            leave_stub(storage, &opened.geometry)
        } else {
            storage.remove(&name_of(number))
        };
        gone.map_err(file_error(storage, &name_of(number), "the file cannot be removed"))?;
    }
    let Opened { geometry, files, epoch, carries_from } = opened;
    let carries_from = carries_from.filter(|from| files.contains_key(from));
    Ok(Recovered { geometry, files, begin, segment, cut: last.cut, carries_from, last_epoch: last.epoch.max(epoch) })
}

/// Segments that follow each other and belong to one log.
struct Opened {
    geometry: Geometry,
    files: Files,
    /// The highest of their headers.
    epoch: Epoch,
    /// Number of the first one of version 2.
    carries_from: Option<u64>,
}

impl Opened {
    fn version(&self, number: u64) -> SegmentVersion {
        SegmentVersion::of_segment(number, self.carries_from)
    }
}

/// Opens the last segment that holds a record, and those behind it.
fn open_from_last(storage: &dyn Storage, run: &[u64]) -> Result<Opened, OpenError> {
    for from in (0..run.len()).rev() {
        let opened = open_files(storage, &run[from..])?;
        let Some(file) = opened.files.get(&run[from]) else { continue };
        if from == 0 || is_begun(storage, &opened.geometry, run[from], file)? {
            return Ok(opened);
        }
    }
    Err(damaged(storage, FIRST_SEGMENT, 0, "the segment is missing").into())
}

/// Opens segments that follow each other; they must belong to one log.
fn open_files(storage: &dyn Storage, numbers: &[u64]) -> Result<Opened, OpenError> {
    let mut files = Files::new();
    let mut geometry = None;
    let mut epoch = Epoch(0);
    let mut carries_from = None;
    for expected in numbers.iter().copied() {
        let name = name_of(expected);
        let file = storage.open(&name).map_err(file_error(storage, &name, "the file cannot be opened"))?;
        let header = read_header(storage, &*file, expected)?;
        if *geometry.get_or_insert(header.geometry) != header.geometry {
            return Err(damaged(storage, expected, 0, "the segment belongs to another log").into());
        }
        match header.version {
            SegmentVersion::V2 => carries_from = carries_from.or(Some(expected)),
            SegmentVersion::V1 if carries_from.is_none() => {}
            SegmentVersion::V1 => {
                return Err(damaged(storage, expected, 8, "a segment of version 1 follows one of version 2").into());
            }
        }
        epoch = epoch.max(header.epoch);
        files.insert(expected, file);
    }
    let geometry = geometry.ok_or_else(|| damaged(storage, FIRST_SEGMENT, 0, "the segment is missing"))?;
    Ok(Opened { geometry, files, epoch, carries_from })
}

fn read_header(storage: &dyn Storage, file: &dyn StorageFile, number: u64) -> Result<SegmentHeader, OpenError> {
    let name = name_of(number);
    let failed = || file_error(storage, &name, "the file cannot be read");
    let len = file.size().map_err(failed())?;
    if len < SEGMENT_HEADER_LEN as u64 {
        return Err(damaged(storage, number, len, "the segment ends within its header").into());
    }
    let mut bytes = [0; SEGMENT_HEADER_LEN];
    read_exact(file, &mut bytes, 0).map_err(failed())?;
    let header = SegmentHeader::decode(&bytes).map_err(|error| match error {
        HeaderError::Damaged(what) => OpenError::from(damaged(storage, number, 0, what)),
        HeaderError::Version(found) => OpenError::Version { path: storage.path_of(&name), found },
    })?;
    if len == SEGMENT_HEADER_LEN as u64 && number == FIRST_SEGMENT {
        return Err(
            damaged(storage, number, len, "of this log only the stub is there: its segments are missing").into()
        );
    }
    if header.number != number {
        return Err(damaged(storage, number, 32, "the segment's number is not that of its name").into());
    }
    if len != header.geometry.segment_size {
        return Err(damaged(storage, number, len, "the segment has not the length that its header says").into());
    }
    Ok(header)
}

const UNREADABLE: &str = "the file cannot be read";

/// The last segment that holds a whole unit.
struct LastSegment {
    segment: u64,
    /// End of the last whole unit; begin of the stop record after a clean stop.
    cut: u64,
    clean: bool,
    epoch: Epoch,
    /// Number of the log's oldest segment.
    begin: u64,
}

fn find_last(storage: &dyn Storage, newest: &Opened) -> Result<LastSegment, OpenError> {
    let Opened { geometry, files, .. } = newest;
    let mut segment = FIRST_SEGMENT;
    for (number, file) in files.iter().rev() {
        segment = *number;
        if is_begun(storage, geometry, segment, file)? {
            break;
        }
    }
    let file = files.get(&segment).ok_or_else(|| damaged(storage, FIRST_SEGMENT, 0, "the segment is missing"))?;
    let last = scan(storage, geometry, newest.version(segment), segment, file)?;
    if !last.clean {
        for (number, file) in files.range(segment + 1..) {
            refuse_later_batch(
                storage,
                SegmentReader::new(Arc::clone(file), *geometry, *number),
                FIRST_RECORD,
                "no record",
            )?;
        }
    }
    Ok(last)
}

fn is_begun(
    storage: &dyn Storage,
    geometry: &Geometry,
    number: u64,
    file: &Arc<dyn StorageFile>,
) -> Result<bool, OpenError> {
    let mut reader = SegmentReader::new(Arc::clone(file), *geometry, number);
    let found = reader.at(FIRST_RECORD).map_err(unreadable(storage, number))?;
    Ok(matches!(found, Found::Record(..)))
}

/// Reads the segment that may be the last one.
fn scan(
    storage: &dyn Storage,
    geometry: &Geometry,
    version: SegmentVersion,
    number: u64,
    file: &Arc<dyn StorageFile>,
) -> Result<LastSegment, OpenError> {
    let mut reader = SegmentReader::new(Arc::clone(file), *geometry, number);
    let mut last =
        LastSegment { segment: number, cut: FIRST_RECORD, clean: false, epoch: Epoch(0), begin: FIRST_SEGMENT };
    let mut offset = FIRST_RECORD;
    let what = loop {
        match reader.at(offset).map_err(unreadable(storage, number))? {
            Found::Zero => break "no record",
            Found::Hole(what) => {
                last.clean = false;
                break what;
            }
            Found::Record(header, _) if !may_stand(version, &header, geometry.position(number, offset)) => {
                return Err(damaged(storage, number, offset, NOT_OF_V1).into());
            }
            Found::Record(header, payload) => {
                last.observe(&header, payload, offset);
                offset += header.total();
            }
        }
    };
    refuse_later_batch(storage, reader, offset, what)?;
    Ok(last)
}

/// Refuses a hole with a later batch behind it: that is damage.
fn refuse_later_batch(
    storage: &dyn Storage,
    mut reader: SegmentReader,
    hole: u64,
    what: &'static str,
) -> Result<(), OpenError> {
    let number = reader.number();
    let at = reader.position(hole);
    let later = reader.search(hole, |header| header.batch > at).map_err(unreadable(storage, number))?;
    let Some(later) = later else { return Ok(()) };
    let what = format!("{what}, but a later batch follows at offset {later}");
    Err(damaged(storage, number, hole, &what).into())
}

impl LastSegment {
    fn observe(&mut self, header: &RecordHeader, payload: &[u8], offset: u64) {
        match header.kind {
            own::START => self.epoch = self.epoch.max(Epoch(u64_at(payload, 0))),
            own::ROLL => {
                self.epoch = self.epoch.max(Epoch(u64_at(payload, 8)));
                self.begin = self.begin.max(header.owner);
            }
            own::BEGIN => self.begin = self.begin.max(u64_at(payload, 0)),
            _ => {}
        }
        self.clean = header.kind == own::STOP;
        if self.clean {
            // This start overwrites it.
            self.cut = offset;
        } else if header.last_of_unit {
            self.cut = offset + header.total();
        }
    }
}

/// Removes what is behind the cut, and copies the segment up to it: what may be in the page cache only, or has another
/// version.
fn rewrite_last_segment(storage: &dyn Storage, opened: &mut Opened, last: &LastSegment) -> Result<(), OpenError> {
    let version = opened.version(last.segment);
    let Opened { geometry, files, epoch, .. } = opened;
    // One by one from the last one down: after a crash in between, none may be missing before one that is there.
    for number in files.split_off(&(last.segment + 1)).into_keys().rev() {
        let name = name_of(number);
        let removed = storage.remove(&name).and_then(|()| storage.sync_dir());
        removed.map_err(file_error(storage, &name, "the file cannot be removed"))?;
    }
    let name = name_of(last.segment);
    let failed = || file_error(storage, &name, "the file cannot be copied");
    storage.sync_dir().map_err(failed())?;
    let Some(old) = files.get(&last.segment) else { return Ok(()) };
    let header = SegmentHeader { version, geometry: *geometry, number: last.segment, epoch: *epoch };
    let copy = prepare_at_start(storage, &header, Some((&**old, last.cut)))
        .map_err(PrepareError::into_source)
        .map_err(failed())?;
    files.insert(last.segment, copy);
    Ok(())
}

pub(crate) fn damaged(storage: &dyn Storage, number: u64, offset: u64, what: &str) -> Damaged {
    Damaged { path: storage.path_of(&name_of(number)), offset, what: what.to_owned() }
}

pub(crate) fn file_error(
    storage: &dyn Storage,
    name: &str,
    action: &'static str,
) -> impl FnOnce(io::Error) -> OpenError + use<> {
    let path = storage.path_of(name);
    move |source| {
        let remedy = match source.kind() {
            _ if has_no_room(&source) => "free space on this disk, at least the size of one segment",
            io::ErrorKind::PermissionDenied => "give this user the right to read and write the data directory",
            _ => "check the disk and the data directory",
        };
        OpenError::Storage { path, action, remedy, source }
    }
}

/// Of a segment. Names are made only for an error: this stands beside each record.
fn unreadable(storage: &dyn Storage, number: u64) -> impl FnOnce(io::Error) -> OpenError {
    move |source| file_error(storage, &name_of(number), UNREADABLE)(source)
}

pub(crate) const NOT_OF_V1: &str = "a record that no segment of version 1 has";

/// Whether a record that is whole may be in a segment of this version.
pub(crate) fn may_stand(version: SegmentVersion, header: &RecordHeader, at: Position) -> bool {
    match header.kind {
        _ if version == SegmentVersion::V2 => true,
        own::BEGIN => false,
        own::ROLL => header.owner == 0,
        _ => header.position == at,
    }
}

/// Whether a segment begins with the record that says that the one before ended there.
pub(crate) fn follows(header: &RecordHeader, payload: &[u8], end_before: Position) -> bool {
    header.kind == own::ROLL && u64_at(payload, 0) == end_before.0
}
