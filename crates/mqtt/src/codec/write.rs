//! Appends fields and frames to an output buffer.

use super::EncodeError;
use super::read::VARINT_MAX;
use crate::PacketId;

pub(crate) fn put_u16(out: &mut Vec<u8>, value: u16) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_u32(out: &mut Vec<u8>, value: u32) {
    out.extend_from_slice(&value.to_be_bytes());
}

pub(crate) fn put_packet_id(out: &mut Vec<u8>, id: PacketId) {
    put_u16(out, id.get());
}

pub(crate) fn put_binary(out: &mut Vec<u8>, bytes: &[u8]) -> Result<(), EncodeError> {
    let len = u16::try_from(bytes.len()).map_err(|_| EncodeError::FieldTooLong)?;
    put_u16(out, len);
    out.extend_from_slice(bytes);
    Ok(())
}

/// The bytes of a variable byte integer, and how many of the four count.
pub(crate) fn varint_bytes(mut value: u32) -> ([u8; 4], usize) {
    debug_assert!(value <= VARINT_MAX, "the callers check the limit");
    let mut bytes = [0; 4];
    for (index, byte) in bytes.iter_mut().enumerate() {
        *byte = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            return (bytes, index + 1);
        }
        *byte |= 0x80;
    }
    (bytes, 4)
}

pub(crate) const fn varint_len(value: u32) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

pub(crate) fn put_varint(out: &mut Vec<u8>, value: u32) {
    let (bytes, len) = varint_bytes(value);
    out.extend_from_slice(&bytes[..len]);
}

/// Writes the first byte, then the body, then puts the remaining length between them. After an error `out` is as
/// it was.
pub(crate) fn frame(
    out: &mut Vec<u8>,
    first_byte: u8,
    body: impl FnOnce(&mut Vec<u8>) -> Result<(), EncodeError>,
) -> Result<(), EncodeError> {
    let start = out.len();
    out.push(first_byte);
    let written = body(out).and_then(|()| {
        let len = u32::try_from(out.len() - start - 1).ok().filter(|&len| len <= VARINT_MAX);
        len.ok_or(EncodeError::PacketTooLong)
    });
    match written {
        Ok(len) => {
            let (bytes, count) = varint_bytes(len);
            out.splice(start + 1..start + 1, bytes[..count].iter().copied());
            Ok(())
        }
        Err(error) => {
            out.truncate(start);
            Err(error)
        }
    }
}
