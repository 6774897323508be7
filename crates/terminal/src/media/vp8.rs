//! VP8 in RTP (RFC 7741): payload descriptor, packets of one frame.
//!
//! ```text
//! byte 0     X | R | N | S | R | PID(3)      S with PID 0: the first packet of a frame
//! if X       I | L | T | K | RSV(4)
//! if I       picture id: 7 bits, or M = 1 and 15 bits
//! if L       TL0PICIDX,  if T or K   TID(2) Y KEYIDX(5)
//! ```
//! The frame itself says in bit 0 of its first byte whether it is a key frame (0) (RFC 6386 §9.1).

/// Bytes of the descriptor that [`packets`] writes.
const DESCRIPTOR_BYTES: usize = 4;
const EXTENDED: u8 = 0x80;
const START: u8 = 0x10;
const PARTITION: u8 = 0x07;
const HAS_PICTURE_ID: u8 = 0x80;
const HAS_TL0: u8 = 0x40;
const HAS_TID_OR_KEY_INDEX: u8 = 0x30;
const LONG: u8 = 0x80;

/// Whether an encoded frame can be decoded alone.
pub fn is_key_frame(frame: &[u8]) -> bool {
    frame.first().is_some_and(|byte| byte & 1 == 0)
}

/// What the descriptor of one packet says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// The packet begins a frame.
    pub start: bool,
    pub picture_id: Option<u16>,
    /// Where the frame's bytes begin.
    pub length: usize,
}

impl Descriptor {
    /// `None` if the payload is cut off in or right after its descriptor.
    pub fn parse(payload: &[u8]) -> Option<Self> {
        let mut rest = payload.iter().copied();
        let first = rest.next()?;
        let flags = if first & EXTENDED == 0 { 0 } else { rest.next()? };
        let picture_id = if flags & HAS_PICTURE_ID == 0 { None } else { Some(picture_id(&mut rest)?) };
        if flags & HAS_TL0 != 0 {
            rest.next()?;
        }
        if flags & HAS_TID_OR_KEY_INDEX != 0 {
            rest.next()?;
        }
        let length = payload.len() - rest.len();
        let start = first & START != 0 && first & PARTITION == 0;
        (length < payload.len()).then_some(Self { start, picture_id, length })
    }
}

fn picture_id(bytes: &mut impl Iterator<Item = u8>) -> Option<u16> {
    let high = bytes.next()?;
    if high & LONG == 0 {
        return Some(u16::from(high));
    }
    Some(u16::from(high & !LONG) << 8 | u16::from(bytes.next()?))
}

/// Cuts a frame into payloads of at most `payload_max` bytes, all with the same 15-bit picture id.
pub fn packets(frame: &[u8], picture_id: u16, payload_max: usize) -> impl Iterator<Item = Vec<u8>> + '_ {
    let chunk = payload_max.saturating_sub(DESCRIPTOR_BYTES).max(1);
    frame.chunks(chunk).enumerate().map(move |(at, bytes)| {
        let start = if at == 0 { START } else { 0 };
        let mut payload = Vec::with_capacity(DESCRIPTOR_BYTES + bytes.len());
        payload.extend([EXTENDED | start, HAS_PICTURE_ID, LONG | (picture_id >> 8) as u8, picture_id as u8]);
        payload.extend_from_slice(bytes);
        payload
    })
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;

    #[test]
    fn the_descriptor_is_read_in_all_its_forms() {
        type Read = Option<(bool, Option<u16>, usize)>;
        let table: [(&[u8], Read); 10] = [
            (&[], None),
            (&[0x10], None),
            (&[0x10, 1], Some((true, None, 1))),
            (&[0x00, 1], Some((false, None, 1))),
            (&[0x11, 1], Some((false, None, 1))),
            (&[0x90, 0x80, 0x11, 1], Some((true, Some(17), 3))),
            (&[0x90, 0x80, 0x81, 0x02, 1], Some((true, Some(258), 4))),
            (&[0x90, 0xe0, 0x81, 0x02, 9, 0x40, 1], Some((true, Some(258), 6))),
            (&[0x90, 0x80, 0x81], None),
            (&[0x80, 0x10, 0x03, 1], Some((false, None, 3))),
        ];
        for (payload, expected) in table {
            let read = Descriptor::parse(payload).map(|d| (d.start, d.picture_id, d.length));
            assert_eq!(read, expected, "{payload:02x?}");
        }
    }

    #[test]
    fn a_frame_in_packets_is_the_frame_again() {
        let frame: Vec<u8> = (0..2500u16).map(|n| n as u8).collect();
        let packets: Vec<_> = packets(&frame, 0x7abc, 1000).collect();
        assert_eq!(packets.iter().map(Vec::len).collect::<Vec<_>>(), [1000, 1000, 512]);
        let mut whole = Vec::new();
        for (at, packet) in packets.iter().enumerate() {
            let read = Descriptor::parse(packet).unwrap();
            assert_eq!((read.start, read.picture_id), (at == 0, Some(0x7abc)));
            whole.extend_from_slice(&packet[read.length..]);
        }
        assert_eq!(whole, frame);
    }

    #[test]
    fn no_payload_makes_the_parser_fail_badly() {
        for first in 0..=255u8 {
            for flags in 0..=255u8 {
                for length in 0..8 {
                    let payload = [first, flags, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff];
                    if let Some(read) = Descriptor::parse(&payload[..length]) {
                        assert!(read.length < length);
                    }
                }
            }
        }
    }
}
