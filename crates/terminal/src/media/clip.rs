//! A clip: encoded pictures and speech that a terminal plays in a loop, and that a receiver knows to expect.

use crate::files::{FileError, ivf, ogg};
use crate::media::vp8;
use aws_lc_rs::digest;
use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// Which frame it is: the first 8 bytes of its SHA-256.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Checksum(pub u64);

impl Checksum {
    pub fn of(data: &[u8]) -> Self {
        let digest = digest::digest(&digest::SHA256, data);
        Self(digest.as_ref().first_chunk().map_or(0, |head| u64::from_be_bytes(*head)))
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// One encoded frame: a picture, or a packet of speech.
#[derive(Clone, Debug)]
pub struct Frame {
    pub data: Arc<[u8]>,
    pub checksum: Checksum,
    /// A picture that can be decoded alone; always true for speech.
    pub key: bool,
}

impl Frame {
    fn new(data: Vec<u8>, key: bool) -> Self {
        Self { checksum: Checksum::of(&data), data: data.into(), key }
    }
}

/// Encoded pictures at a fixed rate and speech in packets of 20 ms. Either may be empty.
#[derive(Clone, Debug)]
pub struct Clip {
    pub pictures: Vec<Frame>,
    pub picture_interval: Duration,
    pub speech: Vec<Frame>,
}

/// Duration of every packet of speech.
pub const SPEECH_INTERVAL: Duration = Duration::from_millis(20);

const BUILT_IN: [(&str, &[u8], &[u8]); 3] = [
    ("alice", include_bytes!("../../media/alice.ivf"), include_bytes!("../../media/alice.ogg")),
    ("bob", include_bytes!("../../media/bob.ivf"), include_bytes!("../../media/bob.ogg")),
    ("carol", include_bytes!("../../media/carol.ivf"), include_bytes!("../../media/carol.ogg")),
];

impl Clip {
    /// A clip without pictures and speech: a terminal that only receives.
    pub fn silent() -> Self {
        Self { pictures: Vec::new(), picture_interval: Duration::from_millis(66), speech: Vec::new() }
    }

    /// The clip of alice, bob or carol that is part of the program.
    pub fn built_in(name: &str) -> Option<Self> {
        let (_, ivf, ogg) = BUILT_IN.iter().find(|(known, _, _)| *known == name)?;
        Self::parse(Some(ivf), Some(ogg)).ok()
    }

    /// Reads VP8 from an IVF file and Opus from an Ogg file.
    ///
    /// # Errors
    /// A file that cannot be read, is no such file, or whose first picture is no key frame.
    pub fn open(ivf: Option<&Path>, ogg: Option<&Path>) -> Result<Self, FileError> {
        let ivf = ivf.map(std::fs::read).transpose()?;
        let ogg = ogg.map(std::fs::read).transpose()?;
        Self::parse(ivf.as_deref(), ogg.as_deref())
    }

    fn parse(ivf: Option<&[u8]>, ogg: Option<&[u8]>) -> Result<Self, FileError> {
        let mut clip = Self::silent();
        if let Some(bytes) = ivf {
            clip.add_pictures(bytes)?;
        }
        if let Some(bytes) = ogg {
            clip.speech = ogg::read(bytes)?.into_iter().map(|packet| Frame::new(packet, true)).collect();
        }
        Ok(clip)
    }

    fn add_pictures(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        let (format, frames) = ivf::read(bytes)?;
        if format.fourcc != ivf::Format::VP8 {
            return Err(FileError::Codec("IVF", String::from_utf8_lossy(&format.fourcc).into_owned()));
        }
        let per_frame = frames.get(1).map_or(1, |f| f.time.clamp(1, 1000));
        self.picture_interval = Duration::from_secs(per_frame) * format.scale / format.rate;
        self.pictures = frames.into_iter().map(|f| Frame::new(f.data.clone(), vp8::is_key_frame(&f.data))).collect();
        if self.picture_interval.is_zero() || !self.pictures.first().is_none_or(|f| f.key) {
            return Err(FileError::Malformed("IVF", "its first frame is no key frame, or it has no frame rate"));
        }
        Ok(())
    }

    /// The position of the first key frame at or after `from`, going round.
    pub fn next_key(&self, from: usize) -> usize {
        let count = self.pictures.len();
        (0..count).map(|step| (from + step) % count).find(|&at| self.pictures[at].key).unwrap_or(0)
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_built_in_clips_are_different_moving_pictures_with_a_key_frame_each_second() {
        let mut seen = HashSet::new();
        for name in ["alice", "bob", "carol"] {
            let clip = Clip::built_in(name).unwrap();
            assert_eq!(clip.pictures.len(), 60, "{name}");
            assert_eq!(clip.picture_interval.as_millis(), 66);
            let keys: Vec<_> = (0..60).filter(|&at| clip.pictures[at].key).collect();
            assert!(keys.len() >= 4 && keys.windows(2).all(|w| w[1] - w[0] <= 15), "{name}: {keys:?}");
            assert!(clip.pictures.iter().all(|f| seen.insert(f.checksum)), "every frame of every clip is unique");
            assert!(clip.speech.len() >= 200, "{name}: {}", clip.speech.len());
        }
        assert!(Clip::built_in("mallory").is_none());
    }

    #[test]
    fn the_next_key_frame_is_found_round_the_end() {
        let clip = Clip::built_in("bob").unwrap();
        assert_eq!(clip.next_key(0), 0);
        let second = clip.next_key(1);
        assert!(clip.pictures[second].key && second > 0);
        assert_eq!(clip.next_key(59), 0);
    }
}
