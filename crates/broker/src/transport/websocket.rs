//! RFC 6455 frames of the server's side, over somebody else's buffers.
//!
//! What it is: a decoder that takes bytes as they come, hands out the payload of binary messages and says what must be
//! answered; and the encoder of server frames. What it is not: the upgrade (HTTP does that before), compression (never
//! negotiated). MQTT packets may begin and end anywhere in frames [MQTT5-6.0.0-2] [MQTT311-6.0.0-2], so no message is
//! assembled: payload flows through as it arrives, and nothing is allocated by an announced length. Only control
//! frames, at most 125 bytes, are held until they are whole.

/// Largest payload of a control frame (RFC 6455 §5.5).
const CONTROL_MAX: usize = 125;

const FIN: u8 = 0x80;
const RESERVED: u8 = 0x70;
const MASKED: u8 = 0x80;

/// Close codes that we send (RFC 6455 §7.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CloseCode {
    Normal = 1000,
    Protocol = 1002,
    /// A text frame: MQTT is carried by binary frames only [MQTT5-6.0.0-1] [MQTT311-6.0.0-1].
    Unsupported = 1003,
    /// The reason of a close frame is not UTF-8.
    InvalidPayload = 1007,
}

/// What the decoder wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Control {
    /// Answer with a pong that carries the same bytes.
    Ping(Vec<u8>),
    /// The peer closes: echo, then end the connection.
    Close,
    /// The peer broke a rule: send this code, then end the connection.
    Fail(CloseCode),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Opcode {
    Continuation,
    Binary,
    Close,
    Ping,
    Pong,
}

impl Opcode {
    fn parse(byte: u8) -> Result<Self, CloseCode> {
        match byte & 0x0F {
            0x0 => Ok(Self::Continuation),
            0x1 => Err(CloseCode::Unsupported),
            0x2 => Ok(Self::Binary),
            0x8 => Ok(Self::Close),
            0x9 => Ok(Self::Ping),
            0xA => Ok(Self::Pong),
            _ => Err(CloseCode::Protocol),
        }
    }

    fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

#[derive(Clone, Copy, Debug)]
struct Header {
    opcode: Opcode,
    fin: bool,
    mask: [u8; 4],
    length: u64,
}

/// Bytes in, payload and controls out. A few dozen bytes while idle.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// A frame header that is not complete yet; at most 14 bytes.
    partial: Vec<u8>,
    /// The frame whose payload is arriving, with the bytes that are still to come.
    frame: Option<(Header, u64)>,
    /// Between the first and the last frame of a fragmented message.
    fragmented: bool,
    control: Vec<u8>,
    ended: bool,
}

impl Decoder {
    /// Takes all of `input`; appends payload of binary messages to `payload`. After `Close` or `Fail` all further
    /// input is ignored.
    pub(crate) fn decode(&mut self, mut input: &[u8], payload: &mut Vec<u8>, controls: &mut Vec<Control>) {
        while !self.ended && !input.is_empty() {
            if self.frame.is_none() {
                match self.take_header(&mut input) {
                    Ok(true) => {}
                    Ok(false) => return,
                    Err(code) => return self.fail(code, controls),
                }
            }
            self.take_payload(&mut input, payload);
            self.finish_frame(controls);
        }
    }

    /// `false`: the header is not complete, and all input is used up.
    fn take_header(&mut self, input: &mut &[u8]) -> Result<bool, CloseCode> {
        while let [first, rest @ ..] = *input {
            self.partial.push(*first);
            *input = rest;
            if let Some(header) = parse_header(&self.partial)? {
                self.partial = Vec::new();
                self.check_sequence(header)?;
                self.frame = Some((header, header.length));
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn check_sequence(&mut self, header: Header) -> Result<(), CloseCode> {
        match header.opcode {
            Opcode::Continuation if !self.fragmented => return Err(CloseCode::Protocol),
            Opcode::Binary if self.fragmented => return Err(CloseCode::Protocol),
            Opcode::Continuation | Opcode::Binary => self.fragmented = !header.fin,
            _ => {}
        }
        Ok(())
    }

    fn take_payload(&mut self, input: &mut &[u8], payload: &mut Vec<u8>) {
        let Some((header, left)) = &mut self.frame else { return };
        let take = usize::try_from(*left).unwrap_or(usize::MAX).min(input.len());
        let (now, later) = input.split_at(take);
        let offset = header.length - *left;
        let target = if header.opcode.is_control() { &mut self.control } else { payload };
        unmask(now, header.mask, offset, target);
        *left -= take as u64;
        *input = later;
    }

    fn finish_frame(&mut self, controls: &mut Vec<Control>) {
        let Some((header, 0)) = self.frame else { return };
        self.frame = None;
        match header.opcode {
            Opcode::Ping => controls.push(Control::Ping(std::mem::take(&mut self.control))),
            Opcode::Pong => self.control = Vec::new(),
            Opcode::Close => {
                self.ended = true;
                let said = std::mem::take(&mut self.control);
                controls.push(check_close(&said).map_or_else(Control::Fail, |()| Control::Close));
            }
            Opcode::Binary | Opcode::Continuation => {}
        }
    }

    fn fail(&mut self, code: CloseCode, controls: &mut Vec<Control>) {
        self.ended = true;
        controls.push(Control::Fail(code));
    }
}

/// `None`: more bytes are needed.
fn parse_header(bytes: &[u8]) -> Result<Option<Header>, CloseCode> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & RESERVED != 0 || second & MASKED == 0 {
        return Err(CloseCode::Protocol);
    }
    let opcode = Opcode::parse(*first)?;
    let fin = first & FIN != 0;
    let short = second & !MASKED;
    if opcode.is_control() && (!fin || usize::from(short) > CONTROL_MAX) {
        return Err(CloseCode::Protocol);
    }
    let (length, mask) = match (short, rest) {
        (126, [a, b, mask @ ..]) => (u64::from(u16::from_be_bytes([*a, *b])), mask),
        (127, [a, b, c, d, e, f, g, h, mask @ ..]) => (u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]), mask),
        (126 | 127, _) => return Ok(None),
        (short, mask) => (u64::from(short), mask),
    };
    if !is_shortest_form(short, length) {
        return Err(CloseCode::Protocol);
    }
    let Ok(mask) = <[u8; 4]>::try_from(mask) else { return Ok(None) };
    Ok(Some(Header { opcode, fin, mask, length }))
}

/// A close frame says nothing, or a code and perhaps a reason in UTF-8 (RFC 6455 §5.5.1, §7.4).
fn check_close(payload: &[u8]) -> Result<(), CloseCode> {
    match payload.split_first_chunk::<2>() {
        None if payload.is_empty() => Ok(()),
        None => Err(CloseCode::Protocol),
        Some((code, _)) if !may_be_sent(u16::from_be_bytes(*code)) => Err(CloseCode::Protocol),
        Some((_, reason)) => std::str::from_utf8(reason).map(drop).map_err(|_| CloseCode::InvalidPayload),
    }
}

/// Registered codes without those that no frame carries (1004–1006, 1015), and those of applications.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// The minimal number of bytes must be used, and the highest bit must be 0 (RFC 6455 §5.2).
fn is_shortest_form(short: u8, length: u64) -> bool {
    match short {
        126 => length > 125,
        127 => length > u64::from(u16::MAX) && length >> 63 == 0,
        _ => true,
    }
}

fn unmask(bytes: &[u8], mask: [u8; 4], offset: u64, into: &mut Vec<u8>) {
    let phase = (offset % 4) as usize;
    into.extend(bytes.iter().zip(mask.iter().cycle().skip(phase)).map(|(byte, key)| byte ^ key));
}

/// Appends one unmasked binary frame.
pub(crate) fn encode_binary(payload: &[u8], out: &mut Vec<u8>) {
    encode(FIN | 0x2, payload, out);
}

/// Appends a pong; `payload` comes from a ping, so it is short.
pub(crate) fn encode_pong(payload: &[u8], out: &mut Vec<u8>) {
    encode(FIN | 0xA, payload, out);
}

pub(crate) fn encode_close(code: CloseCode, out: &mut Vec<u8>) {
    encode(FIN | 0x8, &(code as u16).to_be_bytes(), out);
}

fn encode(first: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(first);
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(length @ 0..=125), _) => out.push(length),
        (_, Ok(length)) => {
            out.push(126);
            out.extend(length.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend((payload.len() as u64).to_be_bytes());
        }
    }
    out.extend(payload);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mask = [0x37, 0xfa, 0x21, 0x3d];
        let mut frame = Vec::new();
        encode(first, payload, &mut frame);
        let header = frame.len() - payload.len();
        frame[1] |= MASKED;
        let masked = frame.split_off(header);
        frame.extend(mask);
        frame.extend(masked.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
        frame
    }

    fn decode_all(input: &[u8], step: usize) -> (Vec<u8>, Vec<Control>) {
        let (mut decoder, mut payload, mut controls) = (Decoder::default(), Vec::new(), Vec::new());
        for chunk in input.chunks(step.max(1)) {
            decoder.decode(chunk, &mut payload, &mut controls);
        }
        (payload, controls)
    }

    #[test]
    fn the_masked_hello_of_the_specification_is_read() {
        // RFC 6455 §5.7 with the opcode of a binary frame.
        let frame = [0x82, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(decode_all(&frame, 1), (b"Hello".to_vec(), vec![]));
    }

    #[test]
    fn a_ping_inside_a_fragmented_message_is_answered_and_disturbs_nothing() {
        let bytes = [client_frame(0x02, b"Hel"), client_frame(0x89, b"now"), client_frame(0x80, b"lo")].concat();
        for step in 1..bytes.len() {
            assert_eq!(decode_all(&bytes, step), (b"Hello".to_vec(), vec![Control::Ping(b"now".to_vec())]));
        }
    }

    #[test]
    fn what_breaks_a_rule_ends_the_connection_with_its_code() {
        let table: [(&str, Vec<u8>, CloseCode); 10] = [
            ("text", client_frame(0x81, b"x"), CloseCode::Unsupported),
            ("not masked", vec![0x82, 0x01, b'x'], CloseCode::Protocol),
            ("reserved bit", client_frame(0xC2, b"x"), CloseCode::Protocol),
            ("unknown opcode", client_frame(0x83, b"x"), CloseCode::Protocol),
            ("continuation of nothing", client_frame(0x80, b"x"), CloseCode::Protocol),
            ("fragmented ping", client_frame(0x09, b"x"), CloseCode::Protocol),
            ("long ping", client_frame(0x89, &[0; 126]), CloseCode::Protocol),
            ("long form of a short length", vec![0x82, 0xFE, 0, 1, 0, 0, 0, 0, 1], CloseCode::Protocol),
            (
                "longest form of a middle length",
                [&[0x82, 0xFF][..], &300u64.to_be_bytes(), &[0; 5]].concat(),
                CloseCode::Protocol,
            ),
            (
                "highest bit of the length",
                [&[0x82, 0xFF][..], &(1u64 << 63).to_be_bytes(), &[0; 5]].concat(),
                CloseCode::Protocol,
            ),
        ];
        for (name, bytes, code) in table {
            assert_eq!(decode_all(&bytes, 3), (vec![], vec![Control::Fail(code)]), "{name}");
        }
    }

    #[test]
    fn a_new_message_may_not_start_before_the_last_one_ended() {
        let bytes = [client_frame(0x02, b"a"), client_frame(0x82, b"b")].concat();
        assert_eq!(decode_all(&bytes, 64), (b"a".to_vec(), vec![Control::Fail(CloseCode::Protocol)]));
    }

    #[test]
    fn a_close_frame_is_judged_by_its_code_and_its_reason() {
        let said = |code: u16, reason: &[u8]| client_frame(0x88, &[&code.to_be_bytes()[..], reason].concat());
        for good in
            [client_frame(0x88, b""), said(1000, b""), said(1001, "gr\u{fc}\u{df}e".as_bytes()), said(4999, b"x")]
        {
            assert_eq!(decode_all(&good, 3), (vec![], vec![Control::Close]), "{good:?}");
        }
        let protocol = Control::Fail(CloseCode::Protocol);
        assert_eq!(decode_all(&client_frame(0x88, &[3]), 1), (vec![], vec![protocol.clone()]));
        for code in [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, u16::MAX] {
            assert_eq!(decode_all(&said(code, b""), 2), (vec![], vec![protocol.clone()]), "{code}");
        }
        let broken = decode_all(&said(1000, b"\xff"), 2);
        assert_eq!(broken, (vec![], vec![Control::Fail(CloseCode::InvalidPayload)]));
    }

    #[test]
    fn nothing_is_read_behind_a_close() {
        let bytes = [client_frame(0x88, &1000u16.to_be_bytes()), client_frame(0x82, b"x")].concat();
        assert_eq!(decode_all(&bytes, 2), (vec![], vec![Control::Close]));
    }

    #[test]
    fn lengths_are_written_in_their_shortest_form() {
        for (length, header) in [(125, 2), (126, 4), (65_535, 4), (65_536, 10)] {
            let mut out = Vec::new();
            encode_binary(&vec![7; length], &mut out);
            assert_eq!(out.len(), header + length);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]
        #[test]
        fn payload_comes_out_as_it_went_in_however_it_is_cut(
            messages in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 0..8),
            step in 1usize..40,
        ) {
            let wire: Vec<u8> = messages.iter().flat_map(|m| client_frame(0x82, m)).collect();
            prop_assert_eq!(decode_all(&wire, step), (messages.concat(), vec![]));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200), step in 1usize..20) {
            decode_all(&bytes, step);
        }
    }
}
