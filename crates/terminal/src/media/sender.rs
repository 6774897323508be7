//! The sending side of one media connection: the frames that are due, as RTP packets.

use crate::media::clip::Clip;
use crate::media::lines::MediaLines;
use crate::media::playback::{DueFrame, Playback};
use crate::media::report::SentReport;
use crate::media::vp8;
use signalling::Track;
use std::sync::Arc;
use std::time::Instant;
use str0m::Rtc;
use str0m::format::Codec;
use str0m::media::{Mid, Pt};
use str0m::rtp::{ExtensionValues, RtpWrite, SeqNo};

/// With RTP, SRTP and UDP headers below every path's limit.
const PAYLOAD_MAX: usize = 1100;
/// Audio levels in -dBov (RFC 6464).
const SPEAKING: i8 = -30;
const SILENT: i8 = -100;

pub(crate) struct Sender {
    pub(crate) playback: Playback,
    pub(crate) report: SentReport,
    camera: Stream,
    microphone: Stream,
    picture_id: u16,
    /// Encoded size from which a packet is speech.
    speech_bytes: usize,
}

struct Stream {
    mid: Mid,
    sequence: u64,
}

impl Sender {
    pub(crate) fn new(clip: Arc<Clip>, lines: &MediaLines, first_sequence: u16) -> Self {
        let total: usize = clip.speech.iter().map(|packet| packet.data.len()).sum();
        let sequence = u64::from(first_sequence);
        Self {
            speech_bytes: total / clip.speech.len().max(1) / 2,
            playback: Playback::new(clip),
            report: SentReport::default(),
            camera: Stream { mid: lines.camera, sequence },
            microphone: Stream { mid: lines.microphone, sequence },
            picture_id: first_sequence & 0x7fff,
        }
    }

    pub(crate) fn handle_key_frame_request(&mut self) {
        self.report.key_frame_requests += 1;
        self.playback.handle_key_frame_request();
    }

    /// Queues all that is due; it leaves with the next input of time.
    pub(crate) fn write_due(&mut self, rtc: &mut Rtc, now: Instant) {
        while let Some(due) = self.playback.poll_frame(now) {
            match due.track {
                Track::Video => self.write_picture(rtc, &due),
                Track::Audio => self.write_speech(rtc, &due),
            }
        }
    }

    fn write_picture(&mut self, rtc: &mut Rtc, due: &DueFrame) {
        let Some(pt) = payload_type(rtc, Codec::Vp8) else { return };
        self.picture_id = (self.picture_id + 1) & 0x7fff;
        let packets: Vec<_> = vp8::packets(&due.frame.data, self.picture_id, PAYLOAD_MAX).collect();
        let last = packets.len().saturating_sub(1);
        for (at, payload) in packets.into_iter().enumerate() {
            let write = self.camera.next(pt, due, payload).marker(at == last);
            self.report.picture_packets += u64::from(self.camera.send(rtc, write));
        }
        self.report.pictures += 1;
    }

    fn write_speech(&mut self, rtc: &mut Rtc, due: &DueFrame) {
        let Some(pt) = payload_type(rtc, Codec::Opus) else { return };
        // Nothing is decoded here: the size of a packet of variable rate tells speech from silence.
        let level = if due.frame.data.len() >= self.speech_bytes { SPEAKING } else { SILENT };
        let levels =
            ExtensionValues { audio_level: Some(level), voice_activity: Some(level == SPEAKING), ..Default::default() };
        let write = self.microphone.next(pt, due, due.frame.data.to_vec()).ext_vals(levels);
        self.report.speech_packets += u64::from(self.microphone.send(rtc, write));
    }
}

impl Stream {
    fn next(&mut self, pt: Pt, due: &DueFrame, payload: Vec<u8>) -> RtpWrite {
        self.sequence += 1;
        RtpWrite::new(pt, SeqNo::from(self.sequence), due.rtp_time, due.at, payload).nackable(true)
    }

    fn send(&self, rtc: &mut Rtc, write: RtpWrite) -> bool {
        rtc.direct_api().stream_tx_by_mid(self.mid, None).map(|stream| stream.write_rtp(write)).is_some()
    }
}

fn payload_type(rtc: &Rtc, codec: Codec) -> Option<Pt> {
    rtc.codec_config().find(|params| params.spec().codec == codec).map(|params| params.pt())
}
