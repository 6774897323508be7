//! The format on disk: headers, checksums, sizes. Pure. The crate's head draws the layout.

use crate::error::AppendError;
use crate::record::{NewRecord, Part};
use crate::{Epoch, Position, USER_KIND_MIN};

pub(crate) const SEGMENT_HEADER_LEN: usize = 64;
pub(crate) const RECORD_HEADER_LEN: usize = 40;
pub(crate) const FIRST_RECORD: u64 = SEGMENT_HEADER_LEN as u64;
pub(crate) const SEGMENT_SIZE_UNIT: u64 = 4096;
pub(crate) const SEGMENT_SIZE_MIN: u64 = 4 * SEGMENT_SIZE_UNIT;
pub(crate) const SEGMENT_SIZE_MAX: u64 = 1 << 30;
const ALIGN: usize = 8;
const MAGIC: [u8; 8] = *b"CNVKLOG\n";
/// The newest version of the format that this program knows: of headers, of checksums, and of the log's own records.
pub(crate) const VERSION_MAX: u32 = 2;
const LAST_OF_UNIT: u8 = 1;
/// Room at a segment's end that only the log's own records use: one mark, one begin and one stop.
const OWN_ROOM: u64 = 2 * RECORD_HEADER_LEN as u64 + BEGIN_LEN;

/// Kinds of the log's own records.
pub(crate) mod own {
    /// A start: its epoch.
    pub(crate) const START: u8 = 0x01;
    /// A clean stop.
    pub(crate) const STOP: u8 = 0x02;
    /// The empty batch after the last one.
    pub(crate) const MARK: u8 = 0x03;
    /// First in every segment but the log's first: where the segment before ends, and the epoch. Version 2: once
    /// segments have been given back, its owner is the number of the oldest one.
    pub(crate) const ROLL: u8 = 0x04;
    /// Version 2: the number of the oldest segment: all before have been given back.
    pub(crate) const BEGIN: u8 = 0x05;
}

/// Whether segments may have this size.
pub(crate) fn is_segment_size(size: u64) -> bool {
    (SEGMENT_SIZE_MIN..=SEGMENT_SIZE_MAX).contains(&size) && size.is_multiple_of(SEGMENT_SIZE_UNIT)
}

/// What all segments of one log have in common.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) log_id: [u8; 16],
    pub(crate) segment_size: u64,
}

impl Geometry {
    pub(crate) fn position(&self, segment: u64, offset: u64) -> Position {
        Position(segment * self.segment_size + offset)
    }

    pub(crate) fn split(&self, position: Position) -> (u64, u64) {
        (position.0 / self.segment_size, position.0 % self.segment_size)
    }

    /// Offset at which appends of the log's users must end.
    pub(crate) fn user_limit(&self) -> u64 {
        self.own_limit() - OWN_ROOM
    }

    /// Offset at which the log's own records must end: an all-zero header always fits behind.
    pub(crate) fn own_limit(&self) -> u64 {
        self.segment_size - RECORD_HEADER_LEN as u64
    }

    /// Size of the largest append that fits into a new segment.
    pub(crate) fn unit_max(&self) -> u64 {
        self.user_limit() - FIRST_RECORD - ROLL_LEN
    }

    fn seed(&self, at: Position) -> u32 {
        let (segment, offset) = self.split(at);
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(&self.log_id);
        bytes[16..24].copy_from_slice(&segment.to_le_bytes());
        bytes[24..].copy_from_slice(&offset.to_le_bytes());
        crc32c::crc32c(&bytes)
    }
}

/// A roll record with its payload.
pub(crate) const ROLL_LEN: u64 = RECORD_HEADER_LEN as u64 + 16;
/// A begin record with its payload.
pub(crate) const BEGIN_LEN: u64 = RECORD_HEADER_LEN as u64 + 8;
/// A start record with its payload.
pub(crate) const START_LEN: u64 = RECORD_HEADER_LEN as u64 + 8;

/// Version of a segment. In a log those of version 1 stand before those of version 2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SegmentVersion {
    V1,
    /// Holds carried records too, and says where the log begins.
    V2,
}

impl SegmentVersion {
    /// The version of a segment in a log whose first one of version 2 is `carries_from`.
    pub(crate) fn of_segment(number: u64, carries_from: Option<u64>) -> Self {
        if carries_from.is_some_and(|from| number >= from) { Self::V2 } else { Self::V1 }
    }

    fn number(self) -> u32 {
        match self {
            Self::V1 => 1,
            Self::V2 => VERSION_MAX,
        }
    }

    fn of(number: u32) -> Result<Self, HeaderError> {
        match number {
            1 => Ok(Self::V1),
            VERSION_MAX => Ok(Self::V2),
            other => Err(HeaderError::Version(other)),
        }
    }
}

/// Why a segment header is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HeaderError {
    /// What is wrong with it.
    Damaged(&'static str),
    /// It is whole, and of a version that this program does not know.
    Version(u32),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SegmentHeader {
    pub(crate) version: SegmentVersion,
    pub(crate) geometry: Geometry,
    pub(crate) number: u64,
    pub(crate) epoch: Epoch,
}

impl SegmentHeader {
    pub(crate) fn encode(&self) -> [u8; SEGMENT_HEADER_LEN] {
        let mut bytes = [0; SEGMENT_HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&self.version.number().to_le_bytes());
        bytes[16..32].copy_from_slice(&self.geometry.log_id);
        bytes[32..40].copy_from_slice(&self.number.to_le_bytes());
        bytes[40..48].copy_from_slice(&self.geometry.segment_size.to_le_bytes());
        bytes[48..56].copy_from_slice(&self.epoch.0.to_le_bytes());
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; SEGMENT_HEADER_LEN]) -> Result<Self, HeaderError> {
        if bytes[..8] != MAGIC {
            return Err(HeaderError::Damaged("the segment header is not one of a log"));
        }
        let mut unsigned = *bytes;
        unsigned[12..16].fill(0);
        if crc32c::crc32c(&unsigned) != u32_at(bytes, 12) {
            return Err(HeaderError::Damaged("the segment header's checksum is wrong"));
        }
        let version = SegmentVersion::of(u32_at(bytes, 8))?;
        if !is_segment_size(u64_at(bytes, 40)) {
            return Err(HeaderError::Damaged("the segment header's size is none that a segment has"));
        }
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&bytes[16..32]);
        let geometry = Geometry { log_id, segment_size: u64_at(bytes, 40) };
        Ok(Self { version, geometry, number: u64_at(bytes, 32), epoch: Epoch(u64_at(bytes, 48)) })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) len: u32,
    pub(crate) payload_crc: u32,
    pub(crate) kind: u8,
    pub(crate) last_of_unit: bool,
    /// Where the batch began that this record was written in.
    pub(crate) batch: Position,
    /// Where the first copy is.
    pub(crate) position: Position,
    pub(crate) owner: u64,
}

/// What stands at an offset where a record could begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Slot {
    /// All zero: the end of a batch, or never written.
    Zero,
    /// The header's checksum holds. The payload's is still to be checked.
    Header(RecordHeader),
    Invalid,
}

impl RecordHeader {
    pub(crate) fn decode(geometry: &Geometry, at: Position, bytes: &[u8]) -> Slot {
        let Some(bytes) = bytes.first_chunk::<RECORD_HEADER_LEN>() else { return Slot::Invalid };
        if bytes == &[0; RECORD_HEADER_LEN] {
            return Slot::Zero;
        }
        // Saves the checksum for most of what is not a header.
        if bytes[12] == 0 || bytes[13] > LAST_OF_UNIT || bytes[14..16] != [0, 0] {
            return Slot::Invalid;
        }
        if crc32c::crc32c_append(geometry.seed(at), &bytes[4..]) != u32_at(bytes, 0) {
            return Slot::Invalid;
        }
        Slot::Header(Self {
            len: u32_at(bytes, 4),
            payload_crc: u32_at(bytes, 8),
            kind: bytes[12],
            last_of_unit: bytes[13] == LAST_OF_UNIT,
            batch: Position(u64_at(bytes, 16)),
            position: Position(u64_at(bytes, 24)),
            owner: u64_at(bytes, 32),
        })
    }

    fn encode(&self, geometry: &Geometry, at: Position) -> [u8; RECORD_HEADER_LEN] {
        let mut bytes = [0; RECORD_HEADER_LEN];
        bytes[4..8].copy_from_slice(&self.len.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.payload_crc.to_le_bytes());
        bytes[12] = self.kind;
        bytes[13] = u8::from(self.last_of_unit);
        bytes[16..24].copy_from_slice(&self.batch.0.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.position.0.to_le_bytes());
        bytes[32..].copy_from_slice(&self.owner.to_le_bytes());
        let crc = crc32c::crc32c_append(geometry.seed(at), &bytes[4..]);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Bytes from this header to the next.
    pub(crate) fn total(&self) -> u64 {
        record_bytes(self.len as usize) as u64
    }

    pub(crate) fn payload_is_whole(&self, geometry: &Geometry, at: Position, payload: &[u8]) -> bool {
        crc32c::crc32c_append(geometry.seed(at), payload) == self.payload_crc
    }
}

/// The sizes of an append, checked.
pub(crate) struct UnitPlan {
    /// Offset of each record from the unit's begin, and behind them the unit's length.
    offsets: Vec<u64>,
}

impl UnitPlan {
    pub(crate) fn new(records: &[NewRecord<'_>], max: u64) -> Result<Self, AppendError> {
        if records.is_empty() {
            return Err(AppendError::Invalid("no record"));
        }
        if records.iter().any(|record| record.kind < USER_KIND_MIN) {
            return Err(AppendError::Invalid("a kind that belongs to the log"));
        }
        let plan = Self::measure(records)?;
        if plan.len() > max {
            let bytes = usize::try_from(plan.len()).unwrap_or(usize::MAX);
            return Err(AppendError::TooLarge { bytes, max: usize::try_from(max).unwrap_or(usize::MAX) });
        }
        Ok(plan)
    }

    /// The plan of a record of the log itself, which is small and of a kind that others may not use.
    pub(crate) fn of_own(records: &[NewRecord<'_>; 1]) -> Result<Self, AppendError> {
        Self::measure(records)
    }

    fn measure(records: &[NewRecord<'_>]) -> Result<Self, AppendError> {
        let mut offsets = Vec::with_capacity(records.len() + 1);
        let mut end = 0;
        for record in records {
            offsets.push(end);
            end += record_bytes(payload_len(record, records.len())?) as u64;
        }
        offsets.push(end);
        Ok(Self { offsets })
    }

    pub(crate) fn len(&self) -> u64 {
        self.offsets.last().copied().unwrap_or(0)
    }

    pub(crate) fn positions(&self, begin: Position) -> Vec<Position> {
        let records = &self.offsets[..self.offsets.len() - 1];
        records.iter().map(|offset| Position(begin.0 + offset)).collect()
    }
}

fn payload_len(record: &NewRecord<'_>, records: usize) -> Result<usize, AppendError> {
    let mut len = 0;
    for part in record.payload {
        len += match part {
            Part::Bytes(bytes) => bytes.len(),
            Part::PositionOf(index) if *index < records => 8,
            Part::PositionOf(_) => return Err(AppendError::Invalid("a reference to a record that is not there")),
        };
    }
    // Beyond what any segment holds; keeps the sums far from overflow.
    let max = u32::MAX as usize / 2;
    if len > max { Err(AppendError::TooLarge { bytes: len, max }) } else { Ok(len) }
}

/// Encodes records that go to `positions`, the last one marked as the unit's last.
pub(crate) fn encode_unit(
    out: &mut Vec<u8>,
    geometry: &Geometry,
    batch: Position,
    positions: &[Position],
    records: &[NewRecord<'_>],
) {
    for (index, (record, at)) in records.iter().zip(positions).enumerate() {
        let begin = out.len();
        out.extend_from_slice(&[0; RECORD_HEADER_LEN]);
        for part in record.payload {
            match part {
                Part::Bytes(bytes) => out.extend_from_slice(bytes),
                Part::PositionOf(other) => {
                    let name = records[*other].name.unwrap_or(positions[*other]);
                    out.extend_from_slice(&name.to_bytes());
                }
            }
        }
        let payload = &out[begin + RECORD_HEADER_LEN..];
        let header = RecordHeader {
            len: u32::try_from(payload.len()).expect("UnitPlan bounds the payload"),
            payload_crc: crc32c::crc32c_append(geometry.seed(*at), payload),
            kind: record.kind,
            last_of_unit: index + 1 == records.len(),
            batch,
            position: record.name.unwrap_or(*at),
            owner: record.owner,
        };
        out[begin..begin + RECORD_HEADER_LEN].copy_from_slice(&header.encode(geometry, *at));
        out.resize(begin + aligned(out.len() - begin), 0);
    }
}

/// Bytes that a record with a payload of this length takes of an append.
#[must_use]
pub fn record_bytes(payload_len: usize) -> usize {
    aligned(RECORD_HEADER_LEN + payload_len)
}

fn aligned(len: usize) -> usize {
    len.next_multiple_of(ALIGN)
}

/// The next place where a record could begin.
pub(crate) fn next_slot(offset: u64) -> u64 {
    offset + ALIGN as u64
}

pub(crate) fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes[at..].first_chunk().map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

pub(crate) fn u64_at(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |chunk| u64::from_le_bytes(*chunk))
}
