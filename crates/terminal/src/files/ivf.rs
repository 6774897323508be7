//! IVF, a plain container of video frames.
//!
//! ```text
//! header, 32 bytes   "DKIF" | version u16 = 0 | header length u16 = 32 | fourcc | width u16 | height u16
//!                    | rate u32 | scale u32 | frame count u32 | unused u32          (all little-endian)
//! each frame         length u32 | time stamp u64, in units of scale/rate seconds | data
//! ```

use super::{FileError, take, take_slice};
use std::io::{Seek, SeekFrom, Write};

const MAGIC: &[u8; 4] = b"DKIF";
const HEADER_BYTES: u16 = 32;
const FRAME_COUNT_AT: u64 = 24;
/// A longer frame is a damaged length field.
const FRAME_BYTES_MAX: usize = 4 << 20;

/// What the header says about all frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Format {
    pub fourcc: [u8; 4],
    pub width: u16,
    pub height: u16,
    /// Time stamps count `scale / rate` seconds.
    pub rate: u32,
    pub scale: u32,
}

impl Format {
    pub const VP8: [u8; 4] = *b"VP80";
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    pub time: u64,
    pub data: Vec<u8>,
}

/// Reads a whole file.
///
/// # Errors
/// Anything that is not a whole IVF file; the frame count of the header is ignored.
pub fn read(mut bytes: &[u8]) -> Result<(Format, Vec<Frame>), FileError> {
    let format = read_header(&mut bytes)?;
    let mut frames = Vec::new();
    while !bytes.is_empty() {
        frames.push(read_frame(&mut bytes).ok_or(FileError::CutOff("IVF", "a frame"))?);
    }
    Ok((format, frames))
}

fn read_header(bytes: &mut &[u8]) -> Result<Format, FileError> {
    let header = take::<32>(bytes).ok_or(FileError::CutOff("IVF", "the header"))?;
    let mut fields = &header[..];
    let magic = take::<4>(&mut fields).unwrap_or_default();
    if &magic != MAGIC {
        return Err(FileError::Malformed("IVF", "it does not begin with DKIF"));
    }
    let _version_and_length = take::<4>(&mut fields);
    let format = Format {
        fourcc: take(&mut fields).unwrap_or_default(),
        width: u16::from_le_bytes(take(&mut fields).unwrap_or_default()),
        height: u16::from_le_bytes(take(&mut fields).unwrap_or_default()),
        rate: u32::from_le_bytes(take(&mut fields).unwrap_or_default()),
        scale: u32::from_le_bytes(take(&mut fields).unwrap_or_default()),
    };
    if format.rate == 0 || format.scale == 0 {
        return Err(FileError::Malformed("IVF", "its time base is zero"));
    }
    Ok(format)
}

fn read_frame(bytes: &mut &[u8]) -> Option<Frame> {
    let length = u32::from_le_bytes(take(bytes)?) as usize;
    let time = u64::from_le_bytes(take(bytes)?);
    let data = take_slice(bytes, length.min(FRAME_BYTES_MAX + 1))?;
    (length <= FRAME_BYTES_MAX).then(|| Frame { time, data: data.to_vec() })
}

/// Appends frames; the frame count in the header is right only after [`Writer::finish`].
pub struct Writer<W> {
    out: W,
    frames: u32,
}

impl<W: Write + Seek> Writer<W> {
    /// # Errors
    /// Those of the file.
    pub fn new(mut out: W, format: Format) -> Result<Self, FileError> {
        out.write_all(MAGIC)?;
        out.write_all(&0u16.to_le_bytes())?;
        out.write_all(&HEADER_BYTES.to_le_bytes())?;
        out.write_all(&format.fourcc)?;
        out.write_all(&format.width.to_le_bytes())?;
        out.write_all(&format.height.to_le_bytes())?;
        out.write_all(&format.rate.to_le_bytes())?;
        out.write_all(&format.scale.to_le_bytes())?;
        out.write_all(&[0; 8])?;
        Ok(Self { out, frames: 0 })
    }

    /// # Errors
    /// Those of the file.
    pub fn write(&mut self, time: u64, data: &[u8]) -> Result<(), FileError> {
        let length = u32::try_from(data.len()).map_err(|_| FileError::Malformed("IVF", "a frame is too long"))?;
        self.out.write_all(&length.to_le_bytes())?;
        self.out.write_all(&time.to_le_bytes())?;
        self.out.write_all(data)?;
        self.frames += 1;
        Ok(())
    }

    /// Writes the frame count into the header and returns the file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn finish(mut self) -> Result<W, FileError> {
        self.out.seek(SeekFrom::Start(FRAME_COUNT_AT))?;
        self.out.write_all(&self.frames.to_le_bytes())?;
        self.out.seek(SeekFrom::End(0))?;
        self.out.flush()?;
        Ok(self.out)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;
    use std::io::Cursor;

    const FORMAT: Format = Format { fourcc: Format::VP8, width: 320, height: 180, rate: 15, scale: 1 };

    fn file_of(frames: &[(u64, &[u8])]) -> Vec<u8> {
        let mut writer = Writer::new(Cursor::new(Vec::new()), FORMAT).unwrap();
        for (time, data) in frames {
            writer.write(*time, data).unwrap();
        }
        writer.finish().unwrap().into_inner()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let file = file_of(&[(0, b"key"), (1, b""), (7, b"delta")]);
        let (format, frames) = read(&file).unwrap();
        assert_eq!(format, FORMAT);
        let read: Vec<_> = frames.iter().map(|f| (f.time, &f.data[..])).collect();
        assert_eq!(read, [(0, &b"key"[..]), (1, b""), (7, b"delta")]);
        assert_eq!(file[24..28], 3u32.to_le_bytes());
    }

    #[test]
    fn every_cut_is_refused_except_between_frames() {
        let file = file_of(&[(0, b"key"), (1, b"delta")]);
        let whole = [32, 32 + 12 + 3, file.len()];
        for cut in 0..=file.len() {
            assert_eq!(read(&file[..cut]).is_ok(), whole.contains(&cut), "cut at {cut}");
        }
    }

    #[test]
    fn a_damaged_length_is_refused_without_reading_on() {
        let mut file = file_of(&[(0, b"key")]);
        file[32..36].copy_from_slice(&u32::MAX.to_le_bytes());
        assert!(read(&file).is_err());
    }
}
