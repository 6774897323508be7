//! The bytes of a snapshot. Pure. The head of the folder's `mod.rs` draws them.

use crate::format::{Geometry, is_segment_size, u32_at, u64_at};
use crate::record::{NewRecord, Part, ReplayedRecord};
use crate::{Position, USER_KIND_MIN};

pub(crate) const HEADER_LEN: usize = 80;
pub(crate) const FRAME_HEADER_LEN: usize = 16;
pub(crate) const RECORD_HEADER_LEN: usize = 24;
pub(crate) const COPY_LEN: usize = 16;
/// A frame has at most this body, or one push that is larger.
pub(crate) const FRAME_BODY: usize = 1 << 20;
const MAGIC: [u8; 8] = *b"CNVKSNP\n";
const VERSION: u32 = 1;

/// Why a snapshot is of no use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Unfit(pub(crate) &'static str);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SnapshotHeader {
    pub(crate) geometry: Geometry,
    /// The replay goes on here.
    pub(crate) from: Position,
    /// The log that the snapshot belongs to reaches at least this far.
    pub(crate) end: Position,
    /// Of the file.
    pub(crate) length: u64,
    pub(crate) records: u64,
    pub(crate) copies: u64,
}

impl SnapshotHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[16..32].copy_from_slice(&self.geometry.log_id);
        let numbers = [self.geometry.segment_size, self.from.0, self.end.0, self.length, self.records, self.copies];
        for (at, number) in bytes[32..].chunks_exact_mut(8).zip(numbers) {
            at.copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8; HEADER_LEN]) -> Result<Self, Unfit> {
        if bytes[..8] != MAGIC {
            return Err(Unfit("it is no snapshot of a log"));
        }
        let mut unsigned = *bytes;
        unsigned[12..16].fill(0);
        if crc32c::crc32c(&unsigned) != u32_at(bytes, 12) {
            return Err(Unfit("the checksum of its header is wrong"));
        }
        if u32_at(bytes, 8) != VERSION {
            return Err(Unfit("it has a version that this program does not know"));
        }
        let mut log_id = [0; 16];
        log_id.copy_from_slice(&bytes[16..32]);
        let segment_size = u64_at(bytes, 32);
        if !is_segment_size(segment_size) {
            return Err(Unfit("its segment size is none that a log has"));
        }
        Ok(Self {
            geometry: Geometry { log_id, segment_size },
            from: Position(u64_at(bytes, 40)),
            end: Position(u64_at(bytes, 48)),
            length: u64_at(bytes, 56),
            records: u64_at(bytes, 64),
            copies: u64_at(bytes, 72),
        })
    }

    /// The header of the frame at `offset` with this body.
    pub(crate) fn encode_frame(&self, offset: u64, what: What, body: &[u8]) -> [u8; FRAME_HEADER_LEN] {
        let mut bytes = [0; FRAME_HEADER_LEN];
        bytes[4..8]
            .copy_from_slice(&u32::try_from(body.len()).expect("a push is no larger than an append").to_le_bytes());
        bytes[8..12].copy_from_slice(&(what as u32).to_le_bytes());
        let crc = self.frame_checksum(offset, &bytes, body);
        bytes[..4].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Returns what the frame at `offset` holds.
    pub(crate) fn check_frame(&self, offset: u64, header: &[u8], body: &[u8]) -> Result<What, Unfit> {
        if self.frame_checksum(offset, header, body) != u32_at(header, 0) {
            return Err(Unfit("a checksum is wrong"));
        }
        match u32_at(header, 8) {
            1 => Ok(What::Records),
            2 => Ok(What::Copies),
            _ => Err(Unfit("it holds something that this program does not know")),
        }
    }

    fn frame_checksum(&self, offset: u64, header: &[u8], body: &[u8]) -> u32 {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(&self.geometry.log_id);
        seed[16..24].copy_from_slice(&self.from.to_bytes());
        seed[24..].copy_from_slice(&offset.to_le_bytes());
        let seeded = crc32c::crc32c_append(crc32c::crc32c(&seed), &header[4..]);
        crc32c::crc32c_append(seeded, body)
    }
}

/// What a frame holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    Records = 1,
    Copies = 2,
}

/// Length of the body behind a frame's header. Not checked yet.
pub(crate) fn body_len(frame_header: &[u8; FRAME_HEADER_LEN]) -> usize {
    u32_at(frame_header, 4) as usize
}

/// Bytes that the records take, if they can be in a snapshot.
pub(crate) fn records_len(records: &[NewRecord<'_>]) -> Result<usize, Unfit> {
    let mut len = 0;
    for record in records {
        if record.kind < USER_KIND_MIN {
            return Err(Unfit("a kind that belongs to the log"));
        }
        len += RECORD_HEADER_LEN;
        for part in record.payload {
            len += match part {
                Part::Bytes(bytes) => bytes.len(),
                Part::PositionOf(index) if records.get(*index).is_some_and(|other| other.name.is_some()) => 8,
                Part::PositionOf(_) => return Err(Unfit("a reference to a record without a name")),
            };
        }
    }
    Ok(len)
}

/// Encodes records that [`records_len`] has accepted.
pub(crate) fn encode_records(out: &mut Vec<u8>, records: &[NewRecord<'_>]) {
    for record in records {
        let begin = out.len();
        out.extend_from_slice(&[0; RECORD_HEADER_LEN]);
        for part in record.payload {
            match part {
                Part::Bytes(bytes) => out.extend_from_slice(bytes),
                Part::PositionOf(index) => out.extend_from_slice(&name_of(&records[*index]).to_bytes()),
            }
        }
        let len = u32::try_from(out.len() - begin - RECORD_HEADER_LEN).expect("a push is no larger than an append");
        let header = &mut out[begin..begin + RECORD_HEADER_LEN];
        header[..4].copy_from_slice(&len.to_le_bytes());
        header[4] = record.kind;
        header[8..16].copy_from_slice(&record.owner.to_le_bytes());
        header[16..].copy_from_slice(&name_of(record).to_bytes());
    }
}

fn name_of(record: &NewRecord<'_>) -> Position {
    record.name.unwrap_or_default()
}

/// Takes the first record off a frame's body.
pub(crate) fn decode_record<'a>(body: &mut &'a [u8]) -> Result<ReplayedRecord<'a>, Unfit> {
    const CUT: Unfit = Unfit("a record in it is cut");
    let (header, rest) = body.split_at_checked(RECORD_HEADER_LEN).ok_or(CUT)?;
    let (payload, rest) = rest.split_at_checked(u32_at(header, 0) as usize).ok_or(CUT)?;
    *body = rest;
    let (owner, position) = (u64_at(header, 8), Position(u64_at(header, 16)));
    Ok(ReplayedRecord { kind: header[4], owner, position, is_carried: false, payload })
}

pub(crate) fn encode_copy(out: &mut Vec<u8>, name: Position, place: Position) {
    out.extend_from_slice(&name.to_bytes());
    out.extend_from_slice(&place.to_bytes());
}

/// Takes the first name and its place off a frame's body.
pub(crate) fn decode_copy(body: &mut &[u8]) -> Result<(Position, Position), Unfit> {
    let (copy, rest) = body.split_at_checked(COPY_LEN).ok_or(Unfit("an entry of its index is cut"))?;
    *body = rest;
    Ok((Position(u64_at(copy, 0)), Position(u64_at(copy, 8))))
}
