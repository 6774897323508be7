//! The duration of an Opus packet, from its first byte (RFC 6716 §3.1).

/// Samples per second of every Opus time stamp (RFC 7587 §4.1).
pub const CLOCK_HZ: u32 = 48_000;

/// Duration of a packet in samples of [`CLOCK_HZ`]; `None` for an empty or malformed one.
pub fn samples(packet: &[u8]) -> Option<u32> {
    let toc = *packet.first()?;
    let frames = match toc & 3 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1)? & 0x3f),
    };
    let samples = frames * frame_samples(toc >> 3);
    (1..=CLOCK_HZ / 1000 * 120).contains(&samples).then_some(samples)
}

fn frame_samples(config: u8) -> u32 {
    const MS: u32 = CLOCK_HZ / 1000;
    let step = usize::from(config % 4);
    match config {
        0..12 => [10, 20, 40, 60][step] * MS,
        12..16 => [10, 20][step % 2] * MS,
        _ => [MS * 5 / 2, 5 * MS, 10 * MS, 20 * MS][step],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_byte_tells_the_duration() {
        let table: [(&[u8], Option<u32>); 8] = [
            (&[], None),
            (&[1 << 3], Some(960)),
            (&[15 << 3], Some(960)),
            (&[16 << 3], Some(120)),
            (&[31 << 3 | 1], Some(1920)),
            (&[31 << 3 | 3], None),
            (&[31 << 3 | 3, 3], Some(2880)),
            (&[3 << 3 | 3, 63], None),
        ];
        for (packet, expected) in table {
            assert_eq!(samples(packet), expected, "{packet:?}");
        }
    }
}
