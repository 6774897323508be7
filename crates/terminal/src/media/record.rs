//! Recordings of received frames: one file for each source, `<user>-<source>.ivf` or `.ogg`, whole frames only.

use crate::files::{FileError, ivf, ogg};
use crate::media::frames::WholeFrame;
use crate::media::receiver::{ReceivedFrame, Senders, SourceKey};
use signalling::Source;
use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

/// Sources that are recorded in one connection; further ones are not.
const FILES_MAX: usize = 32;
const VIDEO_CLOCK_HZ: u32 = 90_000;

pub struct Recorder {
    folder: PathBuf,
    file_by_source: HashMap<SourceKey, Recording>,
}

enum Recording {
    Pictures { file: ivf::Writer<File>, first: u64 },
    Speech(ogg::Writer<File>),
}

impl Recorder {
    /// # Errors
    /// The folder cannot be made.
    pub fn new(folder: PathBuf) -> Result<Self, FileError> {
        std::fs::create_dir_all(&folder)?;
        Ok(Self { folder, file_by_source: HashMap::new() })
    }

    /// Appends one frame; the first of a source creates its file.
    ///
    /// # Errors
    /// Those of the file.
    pub fn record(&mut self, received: &ReceivedFrame, senders: &Senders) -> Result<(), FileError> {
        let key = received.source;
        if !self.file_by_source.contains_key(&key) {
            if self.file_by_source.len() >= FILES_MAX {
                return Ok(());
            }
            let recording = Recording::create(&self.folder, key, senders, &received.frame)?;
            self.file_by_source.insert(key, recording);
        }
        match self.file_by_source.get_mut(&key) {
            Some(recording) => recording.write(&received.frame),
            None => Ok(()),
        }
    }

    /// Completes the files. A file whose sender was not named yet at its first frame is renamed now.
    ///
    /// # Errors
    /// Those of the files.
    pub fn finish(self, senders: &Senders) -> Result<(), FileError> {
        for (key, recording) in self.file_by_source {
            recording.finish()?;
            let unnamed = path(&self.folder, key, &Senders::default());
            if senders.user_by_participation.contains_key(&key.0) && unnamed.exists() {
                std::fs::rename(unnamed, path(&self.folder, key, senders))?;
            }
        }
        Ok(())
    }
}

impl Recording {
    fn create(folder: &Path, key: SourceKey, senders: &Senders, first: &WholeFrame) -> Result<Self, FileError> {
        let file = File::create(path(folder, key, senders))?;
        Ok(match key.1 {
            Source::Microphone | Source::ScreenAudio => Self::Speech(ogg::Writer::new(file, 1)?),
            Source::Camera | Source::Screen => Self::pictures(file, first)?,
        })
    }

    fn pictures(file: File, first: &WholeFrame) -> Result<Self, FileError> {
        let (width, height) = size(&first.data).unwrap_or_default();
        let format = ivf::Format { fourcc: ivf::Format::VP8, width, height, rate: VIDEO_CLOCK_HZ, scale: 1 };
        Ok(Self::Pictures { file: ivf::Writer::new(file, format)?, first: first.rtp_time })
    }

    fn write(&mut self, frame: &WholeFrame) -> Result<(), FileError> {
        match self {
            Self::Pictures { file, first } => file.write(frame.rtp_time.saturating_sub(*first), &frame.data),
            Self::Speech(file) => file.write(&frame.data),
        }
    }

    fn finish(self) -> Result<(), FileError> {
        match self {
            Self::Pictures { file, .. } => file.finish().map(drop),
            Self::Speech(file) => file.finish().map(drop),
        }
    }
}

/// By the participation as long as its user is not known.
fn path(folder: &Path, (participation, source): SourceKey, senders: &Senders) -> PathBuf {
    let user = senders.user_by_participation.get(&participation);
    let who = user.map_or_else(|| participation.to_string(), |user| user.to_string());
    let what = match source {
        Source::Microphone => "microphone.ogg",
        Source::Camera => "camera.ivf",
        Source::Screen => "screen.ivf",
        Source::ScreenAudio => "screen.ogg",
    };
    folder.join(format!("{who}-{what}"))
}

/// Width and height of a key frame (RFC 6386 §9.1).
fn size(key_frame: &[u8]) -> Option<(u16, u16)> {
    let side = |at: usize| Some(u16::from_le_bytes([*key_frame.get(at)?, *key_frame.get(at + 1)?]) & 0x3fff);
    Some((side(6)?, side(8)?))
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;
    use crate::media::clip::Clip;
    use signalling::ParticipationId;
    use uuid::Uuid;

    #[test]
    fn a_recording_can_be_read_back_frame_by_frame() {
        let folder = tempfile::tempdir().unwrap();
        let bob = ParticipationId(Uuid::from_u128(7));
        let mut senders = Senders::default();
        senders.user_by_participation.insert(bob, "bob".into());
        let clip = Clip::built_in("bob").unwrap();
        let mut recorder = Recorder::new(folder.path().join("calls")).unwrap();
        for (source, frames) in [(Source::Camera, &clip.pictures), (Source::Microphone, &clip.speech)] {
            for (at, frame) in frames.iter().take(20).enumerate() {
                let frame = WholeFrame { rtp_time: 500 + at as u64 * 6000, key: frame.key, data: frame.data.to_vec() };
                recorder.record(&ReceivedFrame { source: (bob, source), frame, first: None }, &senders).unwrap();
            }
        }
        recorder.finish(&senders).unwrap();
        let (format, pictures) =
            ivf::read(&std::fs::read(folder.path().join("calls/bob-camera.ivf")).unwrap()).unwrap();
        assert_eq!((format.width, format.height), (320, 180));
        assert!(pictures.iter().zip(&clip.pictures).all(|(read, sent)| read.data[..] == sent.data[..]));
        assert_eq!((pictures.len(), pictures[1].time), (20, 6000));
        let speech = ogg::read(&std::fs::read(folder.path().join("calls/bob-microphone.ogg")).unwrap()).unwrap();
        assert!(speech.iter().zip(&clip.speech).all(|(read, sent)| read[..] == sent.data[..]));
        assert_eq!(speech.len(), 20);
    }

    #[test]
    fn a_recording_that_began_before_its_sender_had_a_name_has_it_in_the_end() {
        let folder = tempfile::tempdir().unwrap();
        let bob = ParticipationId(Uuid::from_u128(7));
        let mut senders = Senders::default();
        let picture = &Clip::built_in("bob").unwrap().pictures[0];
        let frame = WholeFrame { rtp_time: 500, key: picture.key, data: picture.data.to_vec() };
        let mut recorder = Recorder::new(folder.path().to_owned()).unwrap();
        recorder.record(&ReceivedFrame { source: (bob, Source::Camera), frame, first: None }, &senders).unwrap();
        senders.user_by_participation.insert(bob, "bob".into());
        recorder.finish(&senders).unwrap();
        let files: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
        assert_eq!(files, ["bob-camera.ivf"]);
    }
}
