//! Bytes as people write them: hexadecimal, and 'text' between quotes.

/// `"30 03 0001 'a'"` → `[0x30, 3, 0, 1, b'a']`.
pub(crate) fn bytes(notation: &str) -> Vec<u8> {
    notation.split_whitespace().flat_map(token).collect()
}

fn token(token: &str) -> Vec<u8> {
    if let Some(text) = token.strip_prefix('\'') {
        return text.strip_suffix('\'').expect("text ends with a quote").as_bytes().to_vec();
    }
    let digits = token.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).expect("hexadecimal")).collect()
}

/// A packet with its remaining length put in.
pub(crate) fn packet(first_byte: u8, body: &str) -> Vec<u8> {
    frame(first_byte, &bytes(body))
}

pub(crate) fn frame(first_byte: u8, body: &[u8]) -> Vec<u8> {
    let mut out = vec![first_byte];
    let mut rest = body.len();
    loop {
        let more = rest > 0x7F;
        out.push((rest & 0x7F) as u8 | if more { 0x80 } else { 0 });
        rest >>= 7;
        if !more {
            break;
        }
    }
    out.extend_from_slice(body);
    out
}
