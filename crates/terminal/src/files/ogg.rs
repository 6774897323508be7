//! Opus in Ogg (RFC 3533, RFC 7845): one logical stream, pages with checksums.
//!
//! ```text
//! page   "OggS" | version u8 = 0 | flags u8 (1 continued, 2 first, 4 last) | granule u64 | serial u32
//!        | sequence u32 | CRC u32 | segments u8 | segment lengths | data          (all little-endian)
//! ```
//! A packet ends at the first segment shorter than 255. Packets 0 and 1 are `OpusHead` and `OpusTags`.

use super::{FileError, opus, take, take_slice};
use std::io::Write;

const MAGIC: &[u8; 4] = b"OggS";
pub(super) const CRC_AT: usize = 22;
pub(super) const HEADER_BYTES: usize = 27;
const SEGMENT: usize = 255;
const CONTINUED: u8 = 1;
const FIRST: u8 = 2;
const LAST: u8 = 4;
/// An Opus packet of 120 ms is far below; more is a damaged file.
const PACKET_BYTES_MAX: usize = 64 << 10;

/// Reads the Opus packets of a whole file.
///
/// # Errors
/// Anything that is not one whole Opus stream with right checksums.
pub fn read(mut bytes: &[u8]) -> Result<Vec<Vec<u8>>, FileError> {
    let mut packets = Vec::new();
    let mut open = Vec::new();
    while !bytes.is_empty() {
        let page = read_page(&mut bytes)?;
        page.collect(&mut open, &mut packets)?;
    }
    let mut packets = packets.into_iter();
    check_head(packets.next(), packets.next())?;
    Ok(packets.collect())
}

fn check_head(head: Option<Vec<u8>>, tags: Option<Vec<u8>>) -> Result<(), FileError> {
    let (Some(head), Some(tags)) = (head, tags) else { return Err(FileError::CutOff("Ogg", "the headers")) };
    if !head.starts_with(b"OpusHead") {
        return Err(FileError::Codec("Ogg", String::from_utf8_lossy(&head[..head.len().min(8)]).into_owned()));
    }
    if tags.starts_with(b"OpusTags") { Ok(()) } else { Err(FileError::Malformed("Ogg", "OpusTags is missing")) }
}

struct Page<'a> {
    continued: bool,
    segments: &'a [u8],
    data: &'a [u8],
}

fn read_page<'a>(bytes: &mut &'a [u8]) -> Result<Page<'a>, FileError> {
    let whole = *bytes;
    let header = take::<HEADER_BYTES>(bytes).ok_or(FileError::CutOff("Ogg", "a page header"))?;
    if &header[..4] != MAGIC {
        return Err(FileError::Malformed("Ogg", "a page does not begin with OggS"));
    }
    let cut_off = || FileError::CutOff("Ogg", "a page");
    let segments = take_slice(bytes, usize::from(header[26])).ok_or_else(cut_off)?;
    let length = segments.iter().map(|&s| usize::from(s)).sum();
    let data = take_slice(bytes, length).ok_or_else(cut_off)?;
    let page = &whole[..HEADER_BYTES + segments.len() + length];
    let stated = u32::from_le_bytes([header[22], header[23], header[24], header[25]]);
    if crc(page) != stated {
        return Err(FileError::Malformed("Ogg", "a page has a wrong checksum"));
    }
    Ok(Page { continued: header[5] & CONTINUED != 0, segments, data })
}

impl Page<'_> {
    /// Adds the page's packets; one that goes on in the next page stays in `open`.
    fn collect(&self, open: &mut Vec<u8>, packets: &mut Vec<Vec<u8>>) -> Result<(), FileError> {
        if self.continued == open.is_empty() {
            return Err(FileError::Malformed("Ogg", "a continued packet has no beginning or no end"));
        }
        let mut data = self.data;
        for &length in self.segments {
            open.extend_from_slice(take_slice(&mut data, usize::from(length)).unwrap_or_default());
            if open.len() > PACKET_BYTES_MAX {
                return Err(FileError::Malformed("Ogg", "a packet is too long"));
            }
            if usize::from(length) < SEGMENT {
                packets.push(std::mem::take(open));
            }
        }
        Ok(())
    }
}

/// CRC-32 with polynomial 0x04c11db7, not reflected, over the page with a zeroed checksum field (RFC 3533 §6).
pub(super) fn crc(page: &[u8]) -> u32 {
    let mut crc = 0u32;
    for (at, &byte) in page.iter().enumerate() {
        let byte = if (CRC_AT..CRC_AT + 4).contains(&at) { 0 } else { byte };
        crc ^= u32::from(byte) << 24;
        for _ in 0..8 {
            crc = if crc & 0x8000_0000 == 0 { crc << 1 } else { (crc << 1) ^ 0x04c1_1db7 };
        }
    }
    crc
}

/// Writes one packet a page, so that every whole page of a recording is playable.
pub struct Writer<W> {
    out: W,
    sequence: u32,
    granule: u64,
}

impl<W: Write> Writer<W> {
    /// # Errors
    /// Those of the file.
    pub fn new(out: W, channels: u8) -> Result<Self, FileError> {
        let mut writer = Self { out, sequence: 0, granule: 0 };
        let mut head = b"OpusHead\x01".to_vec();
        head.push(channels);
        head.extend(0u16.to_le_bytes());
        head.extend(opus::CLOCK_HZ.to_le_bytes());
        head.extend([0, 0, 0]);
        writer.page(FIRST, &head)?;
        let mut tags = b"OpusTags".to_vec();
        tags.extend(7u32.to_le_bytes());
        tags.extend(b"convoke");
        tags.extend(0u32.to_le_bytes());
        writer.page(0, &tags)?;
        Ok(writer)
    }

    /// # Errors
    /// Those of the file.
    pub fn write(&mut self, packet: &[u8]) -> Result<(), FileError> {
        self.granule += u64::from(opus::samples(packet).unwrap_or_default());
        self.page(0, packet)
    }

    /// Ends the stream with an empty last page and returns the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(mut self) -> Result<W, FileError> {
        self.write_page(LAST, &[], &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn page(&mut self, flags: u8, packet: &[u8]) -> Result<(), FileError> {
        let whole = packet.len() / SEGMENT;
        if whole >= SEGMENT {
            return Err(FileError::Malformed("Ogg", "a packet is too long"));
        }
        let mut segments = vec![u8::MAX; whole];
        segments.push((packet.len() % SEGMENT) as u8);
        self.write_page(flags, &segments, packet)
    }

    fn write_page(&mut self, flags: u8, segments: &[u8], data: &[u8]) -> Result<(), FileError> {
        let mut page = MAGIC.to_vec();
        page.extend([0, flags]);
        page.extend(self.granule.to_le_bytes());
        page.extend(1u32.to_le_bytes());
        page.extend(self.sequence.to_le_bytes());
        page.extend([0; 4]);
        page.push(segments.len() as u8);
        page.extend(segments);
        page.extend(data);
        let crc = crc(&page).to_le_bytes();
        page[CRC_AT..CRC_AT + 4].copy_from_slice(&crc);
        self.out.write_all(&page)?;
        self.sequence += 1;
        Ok(())
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;

    fn file_of(packets: &[Vec<u8>]) -> Vec<u8> {
        let mut writer = Writer::new(Vec::new(), 1).unwrap();
        for packet in packets {
            writer.write(packet).unwrap();
        }
        writer.finish().unwrap()
    }

    #[test]
    fn what_is_written_is_read_back_at_every_segment_boundary() {
        let packets: Vec<Vec<u8>> = [1, 254, 255, 256, 509, 510, 511, 1275].map(|n| vec![n as u8; n]).to_vec();
        assert_eq!(read(&file_of(&packets)).unwrap(), packets);
    }

    #[test]
    fn a_flipped_bit_is_found_by_the_page_checksum() {
        let file = file_of(&[vec![8; 40]]);
        let last_packet = file.len() - HEADER_BYTES - 1;
        let mut damaged = file.clone();
        damaged[last_packet] ^= 1;
        assert!(matches!(read(&damaged), Err(FileError::Malformed(_, _))));
        assert!(read(&file).is_ok());
    }

    #[test]
    fn a_file_of_another_encoder_is_read() {
        let packets = read(include_bytes!("../../media/alice.ogg")).unwrap();
        let samples: u32 = packets.iter().map(|p| opus::samples(p).unwrap()).sum();
        assert!(packets.iter().all(|p| opus::samples(p) == Some(960)), "20 ms packets");
        assert!((4 * 48_000..4 * 48_000 + 2000).contains(&samples), "four seconds, is {samples}");
    }

    #[test]
    fn a_cut_inside_a_page_is_refused() {
        let file = file_of(&[vec![8; 40]]);
        assert!(read(&file[..file.len() - 30]).is_err());
        assert!(read(&file[..10]).is_err());
        assert!(read(b"no such file at all, just text of some length").is_err());
    }
}
