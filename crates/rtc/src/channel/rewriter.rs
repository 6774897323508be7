//! Rewriter of packet numbers: it makes the packets of changing sources look like one source to the viewer of a slot.
//!
//! Contract: what leaves has continuous sequence numbers, times, picture ids and TL0PICIDX (RFC 7741 §4.2) across every
//! switch. Within one source everything keeps its distance, so that losses and late packets stay what they were. The
//! first sequence number is below 65,536, since a receiver starts at rollover count 0 (RFC 3711 §3.3.1).

use std::time::{Duration, Instant};

/// What rewriting needs to know of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PacketNumbers {
    /// Extended by the rollover count.
    pub(crate) seq: u64,
    pub(crate) time: u32,
    /// VP8 picture id and whether it has 15 bits (else 7).
    pub(crate) picture: Option<(u16, bool)>,
    pub(crate) tl0: Option<u8>,
}

/// The least step of time between two sources: two frames never share a time.
const SWITCH_GAP_MIN: Duration = Duration::from_millis(10);
const FIRST_SEQ_MASK: u64 = 0x3fff;
/// A viewer that misses a leap by half of 65,536 or more would guess the rollover count of the slot wrongly, and decrypt
/// nothing in it any more, whichever source is shown there (RFC 3711 §3.3.1).
const LEAP_MAX: u64 = 4_096;

#[derive(Clone, Debug)]
pub(crate) struct Rewriter {
    clock_rate: u32,
    first_seq: u64,
    first_time: u32,
    mapping: Option<NumberMapping>,
    /// The newest that left, and when.
    last: Option<(PacketNumbers, Instant)>,
}

/// How the present source's numbers become the slot's.
#[derive(Clone, Copy, Debug)]
struct NumberMapping {
    seq_in: u64,
    seq_out: u64,
    time_delta: u32,
    picture_delta: u16,
    tl0_delta: u8,
}

impl Rewriter {
    pub(crate) fn new(clock_rate: u32, seed: u64) -> Self {
        let first_time = (seed >> 32) as u32;
        Self { clock_rate, first_seq: 1 + (seed & FIRST_SEQ_MASK), first_time, mapping: None, last: None }
    }

    /// The next packet starts a new source, or goes on after packets of its own were left out on purpose.
    pub(crate) fn start_mapping(&mut self, packet: &PacketNumbers, now: Instant) {
        let (seq_out, time, picture, tl0) = self.next(now);
        self.mapping = Some(NumberMapping {
            seq_in: packet.seq,
            seq_out,
            time_delta: time.wrapping_sub(packet.time),
            picture_delta: picture.wrapping_sub(packet.picture.map_or(0, |(id, _)| id)),
            tl0_delta: tl0.wrapping_sub(packet.tl0.unwrap_or(0)),
        });
    }

    fn next(&self, now: Instant) -> (u64, u32, u16, u8) {
        let Some((last, at)) = self.last else {
            return (self.first_seq, self.first_time, 0, 0);
        };
        let gap = now.saturating_duration_since(at).max(SWITCH_GAP_MIN);
        let ticks = gap.as_micros().saturating_mul(u128::from(self.clock_rate)) / 1_000_000;
        let picture = last.picture.map_or(0, |(id, _)| id.wrapping_add(1));
        let tl0 = last.tl0.map_or(0, |tl0| tl0.wrapping_add(1));
        (last.seq + 1, last.time.wrapping_add(ticks as u32), picture, tl0)
    }

    /// Whether the source has left out so much that its mapping must start anew.
    pub(crate) fn is_leap(&self, packet: &PacketNumbers) -> bool {
        let (Some(mapping), Some((last, _))) = (self.mapping, self.last) else { return false };
        let out = packet.seq.checked_sub(mapping.seq_in).map(|ahead| mapping.seq_out + ahead);
        out.is_some_and(|seq| seq > last.seq + LEAP_MAX)
    }

    /// `None`: no mapping has started, or the packet is older than the switch to its source.
    pub(crate) fn rewrite(&mut self, packet: &PacketNumbers, now: Instant) -> Option<PacketNumbers> {
        let mapping = self.mapping?;
        let out = PacketNumbers {
            seq: mapping.seq_out + packet.seq.checked_sub(mapping.seq_in)?,
            time: packet.time.wrapping_add(mapping.time_delta),
            picture: packet.picture.map(|(id, wide)| (picture_id(id.wrapping_add(mapping.picture_delta), wide), wide)),
            tl0: packet.tl0.map(|tl0| tl0.wrapping_add(mapping.tl0_delta)),
        };
        if self.last.is_none_or(|(last, _)| last.seq < out.seq) {
            let kept = self.last.map(|(last, _)| last);
            let picture = out.picture.or(kept.and_then(|last| last.picture));
            let tl0 = out.tl0.or(kept.and_then(|last| last.tl0));
            self.last = Some((PacketNumbers { picture, tl0, ..out }, now));
        }
        Some(out)
    }
}

fn picture_id(id: u16, wide: bool) -> u16 {
    if wide { id & 0x7fff } else { id & 0x7f }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;

    fn numbers(seq: u64, time: u32, picture: u16, tl0: u8) -> PacketNumbers {
        PacketNumbers { seq, time, picture: Some((picture, true)), tl0: Some(tl0) }
    }

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn one_source_keeps_its_distances_also_when_packets_are_lost_or_late() {
        let now = Instant::now();
        let mut slot = Rewriter::new(90_000, 0x0000_1000_0000_0005);
        slot.start_mapping(&numbers(70_000, 500, 9, 3), now);
        let seqs: Vec<u64> =
            [70_000, 70_003, 70_001].map(|seq| slot.rewrite(&numbers(seq, 500, 9, 3), now).unwrap().seq).into();
        assert_eq!(seqs, [6, 9, 7]);
    }

    #[test]
    fn a_switch_continues_every_number() {
        let now = Instant::now();
        let mut slot = Rewriter::new(90_000, 0);
        slot.start_mapping(&numbers(10, 1_000, 32_766, 255), now);
        slot.rewrite(&numbers(10, 1_000, 32_766, 255), now);
        let last = slot.rewrite(&numbers(11, 4_000, 32_767, 0), now + ms(33)).unwrap();
        slot.start_mapping(&numbers(900, 77, 5, 200), now + ms(73));
        let first = slot.rewrite(&numbers(900, 77, 5, 200), now + ms(73)).unwrap();
        assert_eq!(first.seq, last.seq + 1);
        assert_eq!(first.time, last.time + 40 * 90);
        assert_eq!(first.picture.unwrap().0, (last.picture.unwrap().0 + 1) & 0x7fff);
        assert_eq!(first.tl0.unwrap(), last.tl0.unwrap().wrapping_add(1));
    }

    #[test]
    fn picture_ids_of_7_bits_wrap_at_7_bits() {
        let now = Instant::now();
        let mut slot = Rewriter::new(90_000, 0);
        let narrow = |seq, id| PacketNumbers { seq, time: 0, picture: Some((id, false)), tl0: None };
        slot.start_mapping(&narrow(1, 127), now);
        let ids: Vec<u16> = [(1, 127), (2, 0), (3, 1)]
            .map(|(seq, id)| slot.rewrite(&narrow(seq, id), now).unwrap().picture.unwrap().0)
            .into();
        assert_eq!(ids, [0, 1, 2]);
    }

    #[test]
    fn what_is_older_than_the_switch_does_not_leave() {
        let now = Instant::now();
        let mut slot = Rewriter::new(48_000, 7);
        assert_eq!(slot.rewrite(&numbers(99, 0, 0, 0), now), None);
        slot.start_mapping(&numbers(100, 0, 0, 0), now);
        assert_eq!(slot.rewrite(&numbers(99, 0, 0, 0), now), None);
        assert!(slot.rewrite(&numbers(100, 0, 0, 0), now).is_some());
    }

    #[test]
    fn two_sources_at_the_same_moment_do_not_share_a_time() {
        let now = Instant::now();
        let mut slot = Rewriter::new(48_000, 0);
        slot.start_mapping(&numbers(1, 5, 0, 0), now);
        let a = slot.rewrite(&numbers(1, 5, 0, 0), now).unwrap();
        slot.start_mapping(&numbers(1, 5, 0, 0), now);
        let b = slot.rewrite(&numbers(1, 5, 0, 0), now).unwrap();
        assert_eq!(b.time - a.time, 480);
    }

    #[test]
    fn the_first_sequence_number_fits_rollover_count_zero() {
        let now = Instant::now();
        for seed in [0, u64::MAX, 0x1234_5678_9abc_def0] {
            let mut slot = Rewriter::new(90_000, seed);
            slot.start_mapping(&numbers(1 << 40, 0, 0, 0), now);
            assert!(slot.rewrite(&numbers(1 << 40, 0, 0, 0), now).unwrap().seq < 65_536);
        }
    }
}
