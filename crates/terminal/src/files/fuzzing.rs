//! Bodies of the fuzz targets: any bytes as media files. What is read can be written and read again as the same.

use super::{ivf, ogg};
use std::io::Cursor;

pub fn read_ivf(bytes: &[u8]) {
    let Ok((format, frames)) = ivf::read(bytes) else { return };
    let mut writer = ivf::Writer::new(Cursor::new(Vec::new()), format).expect("memory takes all");
    for frame in &frames {
        writer.write(frame.time, &frame.data).expect("what was read fits");
    }
    let written = writer.finish().expect("memory takes all").into_inner();
    assert_eq!(ivf::read(&written).expect("what is written is read"), (format, frames));
}

/// As it is, and with the checksums of its pages put right.
pub fn read_ogg(bytes: &[u8]) {
    check_ogg(bytes);
    check_ogg(&signed(bytes));
}

/// The longest packet that one page holds; a longer one is read, and never written.
const PACKET_BYTES_MAX: usize = 255 * 255 - 1;

fn check_ogg(bytes: &[u8]) {
    let Ok(packets) = ogg::read(bytes) else { return };
    assert!(packets.iter().map(Vec::len).sum::<usize>() <= bytes.len(), "nothing is made up");
    let mut writer = ogg::Writer::new(Vec::new(), 1).expect("memory takes all");
    let fitting: Vec<_> = packets.into_iter().filter(|packet| packet.len() <= PACKET_BYTES_MAX).collect();
    for packet in &fitting {
        writer.write(packet).expect("what was read fits");
    }
    let written = writer.finish().expect("memory takes all");
    assert_eq!(ogg::read(&written).expect("what is written is read"), fitting);
}

fn signed(bytes: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let begins = |at: &usize| bytes[*at..].starts_with(b"OggS");
    let pages: Vec<usize> = (0..bytes.len()).filter(begins).chain([bytes.len()]).collect();
    for page in pages.windows(2) {
        let page = &mut bytes[page[0]..page[1]];
        if page.len() >= ogg::HEADER_BYTES {
            let crc = ogg::crc(page).to_le_bytes();
            page[ogg::CRC_AT..ogg::CRC_AT + 4].copy_from_slice(&crc);
        }
    }
    bytes
}
