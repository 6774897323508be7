//! A cursor over the body of one packet. Every read is checked; nothing is allocated.

use super::{DecodeError, malformed};
use crate::PacketId;
use crate::topic::is_printable;

/// The largest variable byte integer.
pub(crate) const VARINT_MAX: u32 = 268_435_455;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) const fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) const fn len(&self) -> usize {
        self.rest.len()
    }

    pub(crate) const fn rest(&self) -> &'a [u8] {
        self.rest
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], DecodeError> {
        let (taken, rest) = self.rest.split_at_checked(len).ok_or(malformed("a field is cut short"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn take_rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.rest)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(malformed("a field is cut short"))?;
        self.rest = rest;
        Ok(*taken)
    }

    pub(crate) fn u8(&mut self) -> Result<u8, DecodeError> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn u16(&mut self) -> Result<u16, DecodeError> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    pub(crate) fn u32(&mut self) -> Result<u32, DecodeError> {
        Ok(u32::from_be_bytes(self.array()?))
    }

    pub(crate) fn varint(&mut self) -> Result<u32, DecodeError> {
        let (value, len) = varint(self.rest)?.ok_or(malformed("a length is cut short"))?;
        self.rest = &self.rest[len..];
        Ok(value)
    }

    pub(crate) fn packet_id(&mut self) -> Result<PacketId, DecodeError> {
        PacketId::new(self.u16()?).ok_or(malformed("packet id 0"))
    }

    pub(crate) fn binary(&mut self) -> Result<&'a [u8], DecodeError> {
        let len = self.u16()?;
        self.take(usize::from(len))
    }

    /// A string: well-formed UTF-8 without U+0000; a byte order mark stays
    /// [MQTT5-1.5.4-1] [MQTT5-1.5.4-2] [MQTT5-1.5.4-3] [MQTT311-1.5.3-1] [MQTT311-1.5.3-2] [MQTT311-1.5.3-3].
    pub(crate) fn string(&mut self) -> Result<&'a str, DecodeError> {
        let text = std::str::from_utf8(self.binary()?).map_err(|_| malformed("ill-formed UTF-8"))?;
        if text.as_bytes().contains(&0) { Err(malformed("U+0000 in a string")) } else { Ok(text) }
    }

    /// A string that ends up in logs and permission rules: also without control characters and non-characters.
    pub(crate) fn printable_string(&mut self) -> Result<&'a str, DecodeError> {
        let text = self.string()?;
        if is_printable(text) { Ok(text) } else { Err(malformed("a control character or non-character")) }
    }

    /// The bytes of a [`Self::printable_string`], for whom only its check matters: a SUBSCRIBE has thousands of short ones.
    pub(crate) fn printable_bytes(&mut self) -> Result<&'a [u8], DecodeError> {
        let mut ahead = *self;
        let bytes = ahead.binary()?;
        if !bytes.iter().all(|byte| (0x20..0x7F).contains(byte)) {
            return self.printable_string().map(str::as_bytes);
        }
        *self = ahead;
        Ok(bytes)
    }

    pub(crate) fn end(&self) -> Result<(), DecodeError> {
        if self.is_empty() { Ok(()) } else { Err(malformed("bytes after the end of the packet")) }
    }
}

/// A variable byte integer at the start of `bytes`, and its length; `None` if more bytes are needed. It has at
/// most four bytes and the shortest form [MQTT5-1.5.5-1]; 3.1.1 is held to the same.
pub(crate) fn varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, DecodeError> {
    let mut value = 0;
    for (index, &byte) in bytes.iter().take(4).enumerate() {
        value |= u32::from(byte & 0x7F) << (7 * index);
        if byte & 0x80 == 0 {
            let overlong = byte == 0 && index > 0;
            return if overlong { Err(malformed("an over-long length")) } else { Ok(Some((value, index + 1))) };
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(malformed("a length of more than four bytes")) }
}
