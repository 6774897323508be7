//! The way of one media packet through a channel: may it leave, whose slots take it, with which numbers; and the key
//! frames that it takes to open them.

use super::rewriter::PacketNumbers;
use super::slots::{SlotOutcome, SourcePacket};
use super::{Channel, Effect, PeerId, SourceKey};
use crate::metrics::DropReason;
use crate::offer::{MediaKind, kind_of};
use signalling::ChannelEventKind;
use std::time::Instant;
use str0m::rtp::Vp8Descriptor;

/// A media packet, parsed once for all its viewers.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ParsedPacket {
    numbers: PacketNumbers,
    starts_key_frame: bool,
    /// Negative dBov, if the sender says it (RFC 6464).
    level_dbov: Option<i8>,
}

/// One copy for one slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlotWrite {
    pub(crate) peer: PeerId,
    /// Index in the viewer's plan.
    pub(crate) slot: usize,
    pub(crate) seq: u64,
    pub(crate) time: u32,
    pub(crate) picture: Option<u16>,
    pub(crate) tl0: Option<u8>,
}

/// What was done with a packet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ForwardOutcome {
    /// Copies were appended; so many slots wait for a key frame instead.
    Written {
        awaiting_key_frame: usize,
    },
    Dropped(DropReason),
}

impl ParsedPacket {
    pub(crate) fn opus(seq: u64, time: u32, level_dbov: Option<i8>) -> Self {
        Self { numbers: PacketNumbers { seq, time, picture: None, tl0: None }, starts_key_frame: false, level_dbov }
    }

    /// `None`: the payload has no whole VP8 descriptor (RFC 7741 §4.2).
    pub(crate) fn vp8(seq: u64, time: u32, payload: &[u8]) -> Option<(Self, Vp8Descriptor)> {
        let descriptor = Vp8Descriptor::parse(payload).ok()?;
        // X and I are set if there is an id at all; M, the top bit of its first byte, makes it 15 bits.
        let wide = payload.get(2).is_some_and(|byte| byte & 0x80 != 0);
        let picture = descriptor.picture_id().map(|id| (id, wide));
        let numbers = PacketNumbers { seq, time, picture, tl0: descriptor.tl0_pic_idx() };
        let starts_key_frame = descriptor.starts_keyframe(payload);
        Some((Self { numbers, starts_key_frame, level_dbov: None }, descriptor))
    }
}

impl Channel {
    /// Appends a copy for every slot that takes the packet.
    pub(crate) fn forward(
        &mut self,
        from: SourceKey,
        packet: &ParsedPacket,
        now: Instant,
        writes: &mut Vec<SlotWrite>,
    ) -> ForwardOutcome {
        let Some(track) = self.track_mut(from) else { return ForwardOutcome::Dropped(DropReason::Unannounced) };
        let (is_first, begins) = (track.is_fresh(), track.handle_packet(now));
        if is_first {
            self.push_event(from.peer, ChannelEventKind::FirstPacket { source: from.source });
        }
        if begins {
            self.assign_slots();
        }
        if let Some(reason) = self.refusal(from) {
            self.record_drop(from, reason);
            return ForwardOutcome::Dropped(reason);
        }
        self.detect_speech(from, packet, now);
        let awaiting_key_frame = self.fan_out(from, packet, now, writes);
        ForwardOutcome::Written { awaiting_key_frame }
    }

    fn refusal(&self, from: SourceKey) -> Option<DropReason> {
        self.participants.get(&from.peer)?.refusal(from.source)
    }

    fn record_drop(&mut self, from: SourceKey, reason: DropReason) {
        if let Some(track) = self.track_mut(from) {
            track.record_drop(reason);
        }
    }

    /// Detects who speaks; with more microphones than slots the speakers get them.
    fn detect_speech(&mut self, from: SourceKey, packet: &ParsedPacket, now: Instant) {
        let Some(level) = packet.level_dbov else { return };
        let Some(speaking) = self.track_mut(from).and_then(|track| track.speech.handle_level(level, now)) else {
            return;
        };
        self.push_event(from.peer, ChannelEventKind::Speaker { speaking });
        if speaking {
            self.assign_slots();
        }
    }

    fn fan_out(&mut self, from: SourceKey, packet: &ParsedPacket, now: Instant, writes: &mut Vec<SlotWrite>) -> usize {
        let Some(track) = self.track_mut(from) else { return 0 };
        let ParsedPacket { numbers, starts_key_frame, .. } = *packet;
        let source_packet = SourcePacket { from, run: track.continue_run(), starts_key_frame, numbers };
        if starts_key_frame {
            track.key_frame_requests.handle_key_frame();
        }
        let viewers = std::mem::take(&mut track.viewers);
        let before = writes.len();
        let mut switched = Vec::new();
        let mut awaiting_key_frame = 0;
        for (peer, slot) in &viewers {
            match self.offer_to_slot(*peer, *slot, &source_packet, now) {
                SlotOutcome::Write { numbers, switched: new } => {
                    writes.push(SlotWrite::new(*peer, *slot, &numbers));
                    switched.extend(new.then_some(*peer));
                }
                SlotOutcome::AwaitKeyFrame => awaiting_key_frame += 1,
                SlotOutcome::Skip => {}
            }
        }
        let forwarded = (writes.len() - before) as u64;
        if let Some(track) = self.track_mut(from) {
            track.viewers = viewers;
            track.traffic.forwarded += forwarded;
        }
        self.send_switched_maps(switched);
        if awaiting_key_frame > 0 {
            self.request_key_frame(from, now);
        }
        awaiting_key_frame
    }

    fn offer_to_slot(&mut self, viewer: PeerId, slot: usize, packet: &SourcePacket, now: Instant) -> SlotOutcome {
        let receiver = self
            .participants
            .get_mut(&viewer)
            .filter(|participant| participant.receives() && participant.is_connected());
        receiver
            .and_then(|participant| participant.slots.get_mut(slot))
            .map_or(SlotOutcome::Skip, |slot| slot.handle_packet(packet, now))
    }

    /// Slots show another source from this packet on: their viewers get the map now, not when it was assigned.
    fn send_switched_maps(&mut self, switched: Vec<PeerId>) {
        if switched.is_empty() {
            return;
        }
        for viewer in switched {
            self.send_map(viewer);
        }
        self.index_viewers();
    }

    // Key frames.

    /// A viewer cannot decode what is in its slot.
    pub(crate) fn handle_key_frame_request(&mut self, viewer: PeerId, slot: usize, now: Instant) {
        let slot = self.participants.get(&viewer).and_then(|participant| participant.slots.get(slot));
        if let Some(source) = slot.and_then(|slot| slot.shown) {
            self.request_key_frame(source, now);
        }
    }

    /// Requests a key frame of every source that a slot waits for.
    pub(super) fn request_key_frames(&mut self, now: Instant) {
        for source in self.awaited_sources() {
            if let Some(track) = self.track_mut(source) {
                track.key_frame_requests.request();
            }
        }
        let videos: Vec<SourceKey> =
            self.sources().filter(|source| kind_of(source.source) == MediaKind::Video).collect();
        for source in videos {
            self.poll_key_frame(source, now);
        }
    }

    fn awaited_sources(&self) -> Vec<SourceKey> {
        let receivers =
            self.participants.values().filter(|participant| participant.receives() && participant.is_connected());
        let waits = |slot: &&super::slots::Slot| {
            let track = slot.assigned.and_then(|source| self.participants.get(&source.peer)?.track(source.source));
            track.is_some_and(|track| slot.waits_for_key_frame(track.run))
        };
        receivers
            .flat_map(|participant| participant.slots.iter().filter(waits))
            .filter_map(|slot| slot.assigned)
            .collect()
    }

    fn sources(&self) -> impl Iterator<Item = SourceKey> {
        let of = |(peer, participant): (&PeerId, &super::Participant)| -> Vec<SourceKey> {
            participant.tracks.iter().filter(|track| track.active).map(|track| track.key(*peer)).collect()
        };
        self.participants.iter().flat_map(of)
    }

    fn request_key_frame(&mut self, source: SourceKey, now: Instant) {
        if let Some(track) = self.track_mut(source) {
            track.key_frame_requests.request();
        }
        self.poll_key_frame(source, now);
    }

    fn poll_key_frame(&mut self, source: SourceKey, now: Instant) {
        // A source that is not forwarded is asked for no key frame; it is asked when it may be.
        if self.refusal(source).is_some() {
            return;
        }
        if self.track_mut(source).is_some_and(|track| track.key_frame_requests.poll_request(now)) {
            self.effects.push(Effect::RequestKeyFrame(source));
        }
    }

    fn track_mut(&mut self, of: SourceKey) -> Option<&mut super::participant::Track> {
        self.participants.get_mut(&of.peer)?.track_mut(of.source)
    }
}

impl SlotWrite {
    fn new(peer: PeerId, slot: usize, numbers: &PacketNumbers) -> Self {
        let picture = numbers.picture.map(|(id, _)| id);
        Self { peer, slot, seq: numbers.seq, time: numbers.time, picture, tl0: numbers.tl0 }
    }
}
