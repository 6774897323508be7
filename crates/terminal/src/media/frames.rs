//! An assembler of VP8 frames from the packets of one stream; pure.
//!
//! It returns whole frames only, none before the first key frame, and none between a loss and the next key frame: those
//! cannot be decoded.

use crate::media::vp8::{Descriptor, is_key_frame};

/// A frame that grows beyond this is dropped.
const FRAME_BYTES_MAX: usize = 4 << 20;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WholeFrame {
    pub rtp_time: u64,
    pub key: bool,
    pub data: Vec<u8>,
}

#[derive(Default)]
pub struct FrameAssembler {
    open: Option<OpenFrame>,
    /// A key frame was given and nothing was lost since.
    decodable: bool,
    /// Frames that came without a key frame before them, or not whole.
    pub dropped: u64,
}

struct OpenFrame {
    rtp_time: u64,
    data: Vec<u8>,
}

impl FrameAssembler {
    /// Whether a key frame must be asked for.
    pub fn wants_key_frame(&self) -> bool {
        !self.decodable
    }

    /// Packets are missing before the next one.
    pub fn handle_loss(&mut self) {
        self.drop_open();
        self.decodable = false;
    }

    /// Takes the next packet in order; the one with the marker completes the frame, which is returned.
    pub fn handle_packet(&mut self, payload: &[u8], rtp_time: u64, marker: bool) -> Option<WholeFrame> {
        let descriptor = Descriptor::parse(payload)?;
        if descriptor.start {
            self.drop_open();
            self.open = Some(OpenFrame { rtp_time, data: Vec::new() });
        }
        let open = self.open.as_mut().filter(|open| open.rtp_time == rtp_time)?;
        open.data.extend_from_slice(&payload[descriptor.length..]);
        if open.data.len() > FRAME_BYTES_MAX {
            self.handle_loss();
            return None;
        }
        if marker { self.finish() } else { None }
    }

    fn finish(&mut self) -> Option<WholeFrame> {
        let OpenFrame { rtp_time, data } = self.open.take()?;
        let key = is_key_frame(&data);
        self.decodable |= key;
        if !self.decodable {
            self.dropped += 1;
            return None;
        }
        Some(WholeFrame { rtp_time, key, data })
    }

    fn drop_open(&mut self) {
        if self.open.take().is_some() {
            self.dropped += 1;
            self.decodable = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::media::vp8;

    const KEY: &[u8] = &[0x10, 1, 2, 3, 4, 5];
    const DELTA: &[u8] = &[0x11, 6, 7];

    /// Feeds a frame in packets of 3 bytes, leaving out those named in `lost`.
    fn feed(assembler: &mut FrameAssembler, frame: &[u8], rtp_time: u64, lost: &[usize]) -> Option<WholeFrame> {
        let packets: Vec<_> = vp8::packets(frame, 1, 7).collect();
        let last = packets.len() - 1;
        let mut whole = None;
        for (at, packet) in packets.iter().enumerate() {
            if lost.contains(&at) {
                assembler.handle_loss();
            } else {
                whole = assembler.handle_packet(packet, rtp_time, at == last);
            }
        }
        whole
    }

    #[test]
    fn frames_are_whole_and_in_order_from_the_first_key_frame_on() {
        let mut assembler = FrameAssembler::default();
        assert_eq!(feed(&mut assembler, DELTA, 1, &[]), None);
        assert!(assembler.wants_key_frame());
        let key = feed(&mut assembler, KEY, 2, &[]);
        assert_eq!(key, Some(WholeFrame { rtp_time: 2, key: true, data: KEY.to_vec() }));
        let delta = feed(&mut assembler, DELTA, 3, &[]);
        assert_eq!(delta, Some(WholeFrame { rtp_time: 3, key: false, data: DELTA.to_vec() }));
        assert_eq!(assembler.dropped, 1);
    }

    #[test]
    fn after_a_loss_only_a_key_frame_goes_on() {
        for lost in 0..2 {
            let mut assembler = FrameAssembler::default();
            feed(&mut assembler, KEY, 1, &[]);
            assert_eq!(feed(&mut assembler, KEY, 2, &[lost]), None, "packet {lost} lost");
            assert!(assembler.wants_key_frame());
            assert_eq!(feed(&mut assembler, DELTA, 3, &[]), None);
            assert!(feed(&mut assembler, KEY, 4, &[]).is_some());
        }
    }

    #[test]
    fn a_frame_whose_end_never_came_is_dropped_when_the_next_begins() {
        let mut assembler = FrameAssembler::default();
        feed(&mut assembler, KEY, 1, &[]);
        for packet in vp8::packets(KEY, 1, 7).take(1) {
            assert_eq!(assembler.handle_packet(&packet, 2, false), None);
        }
        assert_eq!(feed(&mut assembler, DELTA, 3, &[]), None, "its reference is missing");
        assert_eq!(assembler.dropped, 2);
    }
}
