//! The receive slots of one participant: which source is assigned to each, which is shown, and the switch between them.
//!
//! ```text
//!   assigned = shown, mapped     ── the source is forwarded
//!   assigned ≠ shown             ── shown goes on until a key frame of assigned begins (audio: at once), then the map
//!   assigned = shown, not mapped ── first key frame awaited, or packets were dropped on purpose, or too many lost
//! ```

use super::rewriter::{PacketNumbers, Rewriter};
use super::{PeerId, SourceKey};
use crate::offer::MediaKind;
use signalling::{Slot as MapEntry, SlotMap};
use std::time::Instant;

/// RTP clock rates (RFC 7587 §4.1, RFC 7741 §4.1).
const OPUS_CLOCK: u32 = 48_000;
const VP8_CLOCK: u32 = 90_000;

#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(super) mid: String,
    pub(super) kind: MediaKind,
    pub(super) assigned: Option<SourceKey>,
    pub(super) shown: Option<SourceKey>,
    /// The unbroken run of the shown source whose numbers the rewriter maps.
    mapped_run: Option<u32>,
    rewriter: Rewriter,
}

/// A packet of a source, as slots are offered it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SourcePacket {
    pub(super) from: SourceKey,
    /// Rises whenever packets of the source were dropped on purpose.
    pub(super) run: u32,
    pub(super) starts_key_frame: bool,
    pub(super) numbers: PacketNumbers,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SlotOutcome {
    /// Write this; `switched`: the slot now shows another source than before.
    Write {
        numbers: PacketNumbers,
        switched: bool,
    },
    /// A key frame must come first.
    AwaitKeyFrame,
    Skip,
}

impl Slot {
    pub(super) fn new(mid: String, kind: MediaKind, seed: u64) -> Self {
        let clock_rate = match kind {
            MediaKind::Audio => OPUS_CLOCK,
            MediaKind::Video => VP8_CLOCK,
        };
        Self { mid, kind, assigned: None, shown: None, mapped_run: None, rewriter: Rewriter::new(clock_rate, seed) }
    }

    pub(super) fn handle_packet(&mut self, packet: &SourcePacket, now: Instant) -> SlotOutcome {
        let same = self.shown == Some(packet.from) && self.mapped_run == Some(packet.run);
        if same && !self.rewriter.is_leap(&packet.numbers) {
            return self.write(packet, false, now);
        }
        if self.assigned != Some(packet.from) {
            return SlotOutcome::Skip;
        }
        if self.kind == MediaKind::Video && !packet.starts_key_frame {
            return SlotOutcome::AwaitKeyFrame;
        }
        let switched = self.shown.replace(packet.from) != Some(packet.from);
        self.mapped_run = Some(packet.run);
        self.rewriter.start_mapping(&packet.numbers, now);
        self.write(packet, switched, now)
    }

    fn write(&mut self, packet: &SourcePacket, switched: bool, now: Instant) -> SlotOutcome {
        match self.rewriter.rewrite(&packet.numbers, now) {
            Some(numbers) => SlotOutcome::Write { numbers, switched },
            None => SlotOutcome::Skip,
        }
    }

    /// Whether a key frame of the assigned source, whose present run is given, must come before anything of it is
    /// shown.
    pub(super) fn waits_for_key_frame(&self, run: u32) -> bool {
        let is_forwarded = self.shown == self.assigned && self.mapped_run == Some(run);
        self.kind == MediaKind::Video && self.assigned.is_some() && !is_forwarded
    }

    /// Returns whether the map changes.
    fn assign(&mut self, source: Option<SourceKey>, still_there: impl Fn(SourceKey) -> bool) -> bool {
        self.assigned = source;
        let stays = self.shown.is_some_and(|shown| source.is_some() && still_there(shown));
        if stays || self.shown.is_none() {
            return false;
        }
        self.shown = None;
        self.mapped_run = None;
        true
    }
}

/// Assigns the slots of one kind to the first of `ranked` (best first). A source that has a slot keeps it. Returns
/// whether the map changes.
pub(super) fn assign(slots: &mut [Slot], kind: MediaKind, ranked: &[SourceKey]) -> bool {
    let count = slots.iter().filter(|slot| slot.kind == kind).count();
    let wanted = &ranked[..count.min(ranked.len())];
    let placed: Vec<SourceKey> = slots.iter().filter_map(|slot| slot.assigned).collect();
    let mut fresh = wanted.iter().filter(|source| !placed.contains(source));
    let mut changed = false;
    for slot in slots.iter_mut().filter(|slot| slot.kind == kind) {
        let kept = slot.assigned.filter(|source| wanted.contains(source));
        let next = kept.or_else(|| fresh.next().copied());
        changed |= slot.assign(next, |shown| ranked.contains(&shown));
    }
    changed
}

/// Shows each assigned source at once, so that the first map of a new participant names its first pictures.
pub(super) fn show_assigned(slots: &mut [Slot]) {
    for slot in slots {
        slot.shown = slot.assigned;
    }
}

/// The map of what is shown.
pub(super) fn map(slots: &[Slot], epoch: u64, name: impl Fn(PeerId) -> Option<signalling::ParticipationId>) -> SlotMap {
    let entry = |slot: &Slot| {
        let shown = slot.shown?;
        Some(MapEntry { mid: slot.mid.clone(), participation: name(shown.peer)?, source: shown.source })
    };
    SlotMap { epoch, slots: slots.iter().filter_map(entry).collect() }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use signalling::Source;

    fn camera(peer: u64) -> SourceKey {
        SourceKey { peer: PeerId(peer), source: Source::Camera }
    }

    fn packet(from: SourceKey, seq: u64, starts_key_frame: bool) -> SourcePacket {
        let numbers = PacketNumbers { seq, time: 0, picture: None, tl0: None };
        SourcePacket { from, run: 0, starts_key_frame, numbers }
    }

    fn slots(count: usize) -> Vec<Slot> {
        (0..count).map(|index| Slot::new(index.to_string(), MediaKind::Video, 0)).collect()
    }

    fn assigned(slots: &[Slot]) -> Vec<Option<u64>> {
        slots.iter().map(|slot| slot.assigned.map(|source| source.peer.0)).collect()
    }

    #[test]
    fn who_has_a_slot_keeps_it_and_free_ones_are_filled_in_order() {
        let mut slots = slots(3);
        assign(&mut slots, MediaKind::Video, &[camera(1), camera(2)]);
        assert_eq!(assigned(&slots), [Some(1), Some(2), None]);
        assign(&mut slots, MediaKind::Video, &[camera(3), camera(2), camera(4)]);
        assert_eq!(assigned(&slots), [Some(3), Some(2), Some(4)]);
        assign(&mut slots, MediaKind::Video, &[camera(9), camera(4), camera(3), camera(2)]);
        assert_eq!(assigned(&slots), [Some(3), Some(9), Some(4)]);
    }

    #[test]
    fn a_switch_waits_for_the_key_frame_and_the_old_source_goes_on_until_then() {
        let now = Instant::now();
        let mut slots = slots(1);
        assign(&mut slots, MediaKind::Video, &[camera(1)]);
        assert!(matches!(
            slots[0].handle_packet(&packet(camera(1), 1, true), now),
            SlotOutcome::Write { switched: true, .. }
        ));
        assign(&mut slots, MediaKind::Video, &[camera(2), camera(1)]);
        assert_eq!(slots[0].handle_packet(&packet(camera(2), 50, false), now), SlotOutcome::AwaitKeyFrame);
        let SlotOutcome::Write { numbers: before, switched: false } =
            slots[0].handle_packet(&packet(camera(1), 2, false), now)
        else {
            unreachable!("the old source goes on");
        };
        let SlotOutcome::Write { numbers: after, switched: true } =
            slots[0].handle_packet(&packet(camera(2), 51, true), now)
        else {
            unreachable!("the key frame switches");
        };
        assert_eq!(after.seq, before.seq + 1);
        assert_eq!(slots[0].handle_packet(&packet(camera(1), 3, true), now), SlotOutcome::Skip);
    }

    #[test]
    fn a_slot_whose_source_is_gone_is_empty_at_once() {
        let mut slots = slots(1);
        assign(&mut slots, MediaKind::Video, &[camera(1)]);
        slots[0].handle_packet(&packet(camera(1), 1, true), Instant::now());
        assert!(assign(&mut slots, MediaKind::Video, &[]));
        assert_eq!((slots[0].assigned, slots[0].shown), (None, None));
        assert!(!assign(&mut slots, MediaKind::Video, &[]));
    }

    #[test]
    fn packets_left_out_on_purpose_end_the_run_and_the_next_key_frame_continues_the_numbers() {
        let now = Instant::now();
        let mut slots = slots(1);
        assign(&mut slots, MediaKind::Video, &[camera(1)]);
        let SlotOutcome::Write { numbers: before, .. } = slots[0].handle_packet(&packet(camera(1), 1, true), now)
        else {
            unreachable!("the slot waits for a key frame");
        };
        let later = |seq, key| SourcePacket { run: 1, ..packet(camera(1), seq, key) };
        assert!(slots[0].waits_for_key_frame(1));
        assert_eq!(slots[0].handle_packet(&later(90, false), now), SlotOutcome::AwaitKeyFrame);
        let SlotOutcome::Write { numbers: after, switched: false } = slots[0].handle_packet(&later(91, true), now)
        else {
            unreachable!("the same source is no switch");
        };
        assert_eq!(after.seq, before.seq + 1);
    }

    #[test]
    fn a_source_that_leaps_ahead_waits_for_its_key_frame_and_takes_the_slot_no_further_than_a_viewer_can_follow() {
        let now = Instant::now();
        let mut slots = slots(1);
        assign(&mut slots, MediaKind::Video, &[camera(1)]);
        let mut offer = |seq, key| match slots[0].handle_packet(&packet(camera(1), seq, key), now) {
            SlotOutcome::Write { numbers, .. } => Ok(numbers.seq),
            refused => Err(refused),
        };
        let first = offer(10, true).unwrap();
        assert_eq!(offer(4_000, false), Ok(first + 3_990));
        assert_eq!(offer(40_000, false), Err(SlotOutcome::AwaitKeyFrame));
        assert_eq!(offer(40_001, true), Ok(first + 3_991));
        assert_eq!(offer(40_000, false), Err(SlotOutcome::Skip));
        assert_eq!(offer(40_002, false), Ok(first + 3_992));
    }

    #[test]
    fn the_map_names_who_is_shown() {
        let id = signalling::ParticipationId(uuid::Uuid::from_u128(7));
        let mut slots = slots(2);
        assign(&mut slots, MediaKind::Video, &[camera(1)]);
        assert!(map(&slots, 1, |_| Some(id)).slots.is_empty());
        show_assigned(&mut slots);
        let map = map(&slots, 4, |_| Some(id));
        assert_eq!((map.epoch, map.slots.len()), (4, 1));
        let entry = map.slots.first().unwrap();
        assert_eq!((entry.mid.as_str(), entry.participation, entry.source), ("0", id, Source::Camera));
    }
}
