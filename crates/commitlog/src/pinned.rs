//! Bytes of the format, as a program outside this tree would compute them: what is on somebody's disk is
//! read for ever.

use std::fmt::Write as _;

use crate::format::{
    Geometry, RecordHeader, SEGMENT_HEADER_LEN, SegmentHeader, SegmentVersion, Slot, encode_unit, own,
};
use crate::record::{NewRecord, Part};
use crate::snapshot::format::{SnapshotHeader, What, encode_copy, encode_records};
use crate::{Epoch, Position};

const LOG_ID: [u8; 16] = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
const GEOMETRY: Geometry = Geometry { log_id: LOG_ID, segment_size: 16 << 10 };

/// `CNVKLOG\n`, version 1, checksum, id, segment 3 of 16,384 bytes, epoch 9.
const SEGMENT: &str = "434e564b4c4f470a01000000518211a3000102030405060708090a0b0c0d0e0f\
                       0300000000000000004000000000000009000000000000000000000000000000";
/// At offset 120 of that segment: kind 0x41 of owner 7, `first` and three zeros.
const FIRST: &str = "c6b45f6905000000bfb099f141000000\
                     78c000000000000078c00000000000000700000000000000\
                     6669727374000000";
/// Behind it in the same unit, and its last: kind 0x42 of owner 0x0102030405060708, the position of the first.
const SECOND: &str = "8908f9550800000098397296420100\
                      0078c0000000000000a8c00000000000000807060504030201\
                      78c0000000000000";

/// The same header in version 2.
const SEGMENT_V2: &str = "434e564b4c4f470a02000000a8922204000102030405060708090a0b0c0d0e0f\
                          0300000000000000004000000000000009000000000000000000000000000000";
/// At offset 120 of segment 3: kind 0x41 of owner 7, the only one of its unit, first written at 0x4078.
const CARRIED: &str = "c58c621d05000000bfb099f141010000\
                       78c000000000000078400000000000000700000000000000\
                       6669727374000000";

/// `CNVKSNP\n`, version 1, checksum, id, segments of 16,384 bytes; from 0xc078 on, end 0xc190, 157 bytes, a record, a copy.
const SNAPSHOT: &str = "434e564b534e500a01000000135cf8f2000102030405060708090a0b0c0d0e0f\
                        004000000000000078c000000000000090c10000000000009d00000000000000\
                        01000000000000000100000000000000";
/// At offset 80 of it: kind 0x41 of owner 7 and name 0x4078, `first`.
const SNAPSHOT_RECORD: &str = "2f5876461d0000000100000000000000\
                               0500000041000000070000000000000078400000000000006669727374";
/// At offset 125: the copy of 0x4078 at 0x8100.
const SNAPSHOT_COPY: &str = "896e2071100000000200000000000000\
                             78400000000000000081000000000000";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

#[test]
fn a_segment_header_has_the_bytes_of_version_1() {
    let header = SegmentHeader { version: SegmentVersion::V1, geometry: GEOMETRY, number: 3, epoch: Epoch(9) };
    let bytes: [u8; SEGMENT_HEADER_LEN] = header.encode();
    assert_eq!(hex(&bytes), SEGMENT);
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
}

#[test]
fn a_segment_header_has_the_bytes_of_version_2() {
    let header = SegmentHeader { version: SegmentVersion::V2, geometry: GEOMETRY, number: 3, epoch: Epoch(9) };
    let bytes = header.encode();
    assert_eq!(hex(&bytes), SEGMENT_V2);
    assert_eq!(SegmentHeader::decode(&bytes), Ok(header));
}

#[test]
fn a_snapshot_has_the_bytes_of_version_1() {
    let header = SnapshotHeader {
        geometry: GEOMETRY,
        from: GEOMETRY.position(3, 120),
        end: GEOMETRY.position(3, 400),
        length: 157,
        records: 1,
        copies: 1,
    };
    assert_eq!(hex(&header.encode()), SNAPSHOT);
    assert_eq!(SnapshotHeader::decode(&header.encode()), Ok(header));
    let (mut record, mut copy) = (Vec::new(), Vec::new());
    let text = [Part::Bytes(b"first")];
    encode_records(&mut record, &[NewRecord::new(0x41, 7, &text).carried(Position(0x4078))]);
    encode_copy(&mut copy, Position(0x4078), Position(0x8100));
    for (offset, what, body, bytes) in
        [(80, What::Records, record, SNAPSHOT_RECORD), (125, What::Copies, copy, SNAPSHOT_COPY)]
    {
        let frame = header.encode_frame(offset, what, &body);
        assert_eq!(hex(&[&frame[..], &body].concat()), bytes);
        assert_eq!(header.check_frame(offset, &frame, &body), Ok(what));
    }
}

#[test]
fn a_carried_record_keeps_its_name() {
    let at = GEOMETRY.position(3, 120);
    let text = [Part::Bytes(b"first")];
    let mut bytes = Vec::new();
    encode_unit(&mut bytes, &GEOMETRY, at, &[at], &[NewRecord::new(0x41, 7, &text).carried(Position(0x4078))]);
    assert_eq!(hex(&bytes), CARRIED);
}

#[test]
fn a_unit_has_the_bytes_of_version_1() {
    let first = GEOMETRY.position(3, 120);
    let positions = [first, Position(first.0 + 48)];
    let (text, reference) = ([Part::Bytes(b"first")], [Part::PositionOf(0)]);
    let records = [NewRecord::new(0x41, 7, &text), NewRecord::new(0x42, 0x0102_0304_0506_0708, &reference)];
    let mut bytes = Vec::new();
    encode_unit(&mut bytes, &GEOMETRY, first, &positions, &records);
    assert_eq!(hex(&bytes), [FIRST, SECOND].concat());
    let Slot::Header(header) = RecordHeader::decode(&GEOMETRY, positions[1], &bytes[48..]) else {
        unreachable!("it was encoded above")
    };
    assert_eq!((header.kind, header.last_of_unit, header.batch), (0x42, true, first));
    assert!(header.payload_is_whole(&GEOMETRY, positions[1], &first.to_bytes()));
}

#[test]
fn the_logs_own_records_keep_their_kinds() {
    assert_eq!([own::START, own::STOP, own::MARK, own::ROLL, own::BEGIN], [1, 2, 3, 4, 5]);
    assert_eq!(crate::USER_KIND_MIN, 0x20);
}
