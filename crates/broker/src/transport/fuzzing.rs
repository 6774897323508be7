//! The body of the fuzz target: any bytes as the frames of a WebSocket client.

use super::websocket::{Control, Decoder, encode_binary, encode_close, encode_pong};

/// The first byte says how the others are cut. However they are, the same comes out, never more than went in, and
/// nothing behind the end; what we answer is well-formed.
pub fn websocket(bytes: &[u8]) {
    let Some((&step, stream)) = bytes.split_first() else { return };
    let (payload, controls) = decoded(stream, stream.len());
    assert_eq!(decoded(stream, usize::from(step)), (payload.clone(), controls.clone()), "cut into pieces of {step}");
    assert!(payload.len() <= stream.len(), "nothing is made up");
    let ends = controls.iter().position(|control| !matches!(control, Control::Ping(_)));
    assert!(ends.is_none_or(|at| at + 1 == controls.len()), "nothing follows the end");
    controls.iter().for_each(check_answer);
    check_frame(&payload, |out| encode_binary(&payload, out));
}

fn decoded(stream: &[u8], step: usize) -> (Vec<u8>, Vec<Control>) {
    let (mut decoder, mut payload, mut controls) = (Decoder::default(), Vec::new(), Vec::new());
    for piece in stream.chunks(step.max(1)) {
        decoder.decode(piece, &mut payload, &mut controls);
    }
    (payload, controls)
}

fn check_answer(control: &Control) {
    match control {
        Control::Ping(said) => {
            assert!(said.len() <= 125, "RFC 6455 §5.5");
            check_frame(said, |out| encode_pong(said, out));
        }
        Control::Fail(code) => check_frame(&(*code as u16).to_be_bytes(), |out| encode_close(*code, out)),
        Control::Close => {}
    }
}

/// The server's frames are not masked, so they end with their payload.
fn check_frame(payload: &[u8], encode: impl FnOnce(&mut Vec<u8>)) {
    let mut out = Vec::new();
    encode(&mut out);
    assert!(out.ends_with(payload) && (2..=10).contains(&(out.len() - payload.len())));
    assert_eq!((out[0] & 0xF0, out[1] & 0x80), (0x80, 0), "one whole frame, not masked");
}
