//! The receiving side of one media connection: slots, order, frames, counts and checks; pure.
//!
//! A *slot* is a receiving m-line; the slot map says whose source is in it. Counters belong to the source, order and
//! frames to the slot. Media may overtake its map: what comes into an empty slot is kept for a moment. A slot without
//! a decodable picture asks for a key frame until one comes.

use crate::media::check::Checker;
use crate::media::clip::{Checksum, Clip};
use crate::media::frames::{FrameAssembler, WholeFrame};
use crate::media::reorder::{Ordered, Reorder};
use crate::media::report::SourceReport;
use signalling::{ParticipationId, SlotMap, Source, UserName};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A repeat is asked for and arrives within this.
const VIDEO_GAP_TIMEOUT: Duration = Duration::from_millis(400);
const AUDIO_GAP_TIMEOUT: Duration = Duration::from_millis(120);
/// A key frame request that got none is repeated after this.
const KEY_FRAME_RETRY: Duration = Duration::from_millis(350);
/// Sources that are counted in one connection; further ones are not.
const SOURCES_MAX: usize = 256;

/// What came into an empty slot is kept for so long, and so much of it, until a map says whose it is.
const EARLY_MAX: Duration = Duration::from_secs(2);
const EARLY_PACKETS_MAX: usize = 512;

pub type SourceKey = (ParticipationId, Source);

/// What is known of the senders: their names (from the roster) and what they play.
#[derive(Clone, Default)]
pub struct Senders {
    pub user_by_participation: HashMap<ParticipationId, UserName>,
    pub clip_by_user: HashMap<UserName, Arc<Clip>>,
}

/// One received RTP packet.
#[derive(Clone, Debug)]
pub struct Packet {
    pub payload: Arc<[u8]>,
    pub rtp_time: u64,
    pub marker: bool,
}

/// A whole frame of a source.
#[derive(Clone, Debug)]
pub struct ReceivedFrame {
    pub source: SourceKey,
    pub frame: WholeFrame,
    /// Set for the first frame of the source.
    pub first: Option<FirstFrame>,
}

/// The first whole frame of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirstFrame {
    /// Since it could be expected.
    pub after: Duration,
    /// It is a key frame, and nothing came before it.
    pub key_frame: bool,
}

pub struct Receiver {
    slot_by_mid: BTreeMap<String, Slot>,
    sources: BTreeMap<SourceKey, Counters>,
    epoch: Option<u64>,
    senders: Senders,
    admitted_at: Option<Instant>,
    pub unassigned_packets: u64,
}

struct Slot {
    reorder: Reorder<Packet>,
    /// For pictures only.
    assembler: Option<FrameAssembler>,
    source: Option<SourceKey>,
    /// Packets that came before a source was assigned.
    early: VecDeque<EarlyPacket>,
    key_frame_asked: Option<Instant>,
    late_counted: u64,
}

struct EarlyPacket {
    at: Instant,
    sequence: u64,
    packet: Packet,
}

struct Counters {
    report: SourceReport,
    checker: Option<Checker>,
    since: Instant,
    last_packet: Option<Instant>,
}

impl Receiver {
    /// `slots`: the mid of each receiving m-line, and whether it carries pictures.
    pub fn new(slots: impl IntoIterator<Item = (String, bool)>) -> Self {
        let slot_by_mid = slots.into_iter().map(|(mid, pictures)| (mid, Slot::new(pictures))).collect();
        Self {
            slot_by_mid,
            sources: BTreeMap::new(),
            epoch: None,
            senders: Senders::default(),
            admitted_at: None,
            unassigned_packets: 0,
        }
    }

    pub fn set_senders(&mut self, senders: Senders) {
        self.senders = senders;
        for ((participation, source), counters) in &mut self.sources {
            counters.name(*participation, *source, &self.senders);
        }
    }

    /// From here on pictures can be expected.
    pub fn handle_admitted(&mut self, now: Instant) {
        self.admitted_at = Some(now);
        for counters in self.sources.values_mut().filter(|c| c.report.frames == 0) {
            counters.since = now;
        }
    }

    /// Takes a slot map unless a newer one was seen.
    pub fn handle_slots(&mut self, map: &SlotMap, now: Instant) {
        if self.epoch.is_some_and(|seen| map.epoch < seen) {
            return;
        }
        self.epoch = Some(map.epoch);
        for (mid, slot) in &mut self.slot_by_mid {
            let assigned = map.slots.iter().find(|slot| slot.mid == *mid);
            slot.assign(assigned.map(|slot| (slot.participation, slot.source)));
        }
        for slot in &map.slots {
            self.count((slot.participation, slot.source), now);
        }
        for slot in self.slot_by_mid.values_mut() {
            self.unassigned_packets -= slot.adopt(&mut self.sources, now);
        }
    }

    fn count(&mut self, key: SourceKey, now: Instant) {
        if !self.sources.contains_key(&key) && self.sources.len() < SOURCES_MAX {
            let mut counters = Counters::new(key, now);
            counters.name(key.0, key.1, &self.senders);
            self.sources.insert(key, counters);
        }
    }

    pub fn handle_packet(&mut self, mid: &str, sequence: u64, packet: Packet, now: Instant) {
        let Some(slot) = self.slot_by_mid.get_mut(mid) else { return };
        match slot.source.and_then(|source| self.sources.get_mut(&source)) {
            Some(counters) => slot.take(counters, sequence, packet, now),
            None => {
                self.unassigned_packets += 1;
                slot.keep(EarlyPacket { at: now, sequence, packet });
            }
        }
    }

    /// The next whole frame; call until `None`.
    pub fn poll_frame(&mut self, now: Instant) -> Option<ReceivedFrame> {
        let sources = &mut self.sources;
        self.slot_by_mid.values_mut().find_map(|slot| slot.poll_frame(sources, now))
    }

    /// The mids that need a key frame now.
    pub fn poll_key_frame_requests(&mut self, now: Instant) -> Vec<String> {
        let admitted = self.admitted_at.is_some();
        let asking = |slot: &mut Slot| admitted && slot.poll_key_frame_request(now);
        self.slot_by_mid.iter_mut().filter_map(|(mid, slot)| asking(slot).then(|| mid.clone())).collect()
    }

    /// When something is due without a packet.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let gaps = self.slot_by_mid.values().filter_map(|slot| slot.reorder.poll_timeout());
        let requests = self.slot_by_mid.values().filter_map(|slot| slot.key_frame_deadline(now));
        let requests = requests.filter(|_| self.admitted_at.is_some());
        gaps.chain(requests).min()
    }

    pub fn report(&self, now: Instant) -> Vec<SourceReport> {
        self.sources.values().map(|counters| counters.report(now)).collect()
    }
}

impl Slot {
    fn new(pictures: bool) -> Self {
        let gap_timeout = if pictures { VIDEO_GAP_TIMEOUT } else { AUDIO_GAP_TIMEOUT };
        Self {
            reorder: Reorder::new(gap_timeout),
            assembler: pictures.then(FrameAssembler::default),
            source: None,
            early: VecDeque::new(),
            key_frame_asked: None,
            late_counted: 0,
        }
    }

    fn assign(&mut self, source: Option<SourceKey>) {
        if self.source == source {
            return;
        }
        self.source = source;
        self.key_frame_asked = None;
        if let Some(assembler) = &mut self.assembler {
            *assembler = FrameAssembler::default();
        }
    }

    fn keep(&mut self, early: EarlyPacket) {
        if self.early.len() >= EARLY_PACKETS_MAX {
            self.early.pop_front();
        }
        self.early.push_back(early);
    }

    /// Takes what came before its source was known; returns how many packets that were.
    fn adopt(&mut self, sources: &mut BTreeMap<SourceKey, Counters>, now: Instant) -> u64 {
        let Some(counters) = self.source.and_then(|source| sources.get_mut(&source)) else { return 0 };
        let fresh = |early: &EarlyPacket| now.saturating_duration_since(early.at) <= EARLY_MAX;
        let early: Vec<_> = self.early.drain(..).filter(fresh).collect();
        let count = early.len() as u64;
        for EarlyPacket { at, sequence, packet } in early {
            self.take(counters, sequence, packet, at);
        }
        count
    }

    fn take(&mut self, counters: &mut Counters, sequence: u64, packet: Packet, now: Instant) {
        counters.handle_arrival(packet.payload.len(), now);
        self.reorder.handle_packet(sequence, packet, now);
    }

    fn poll_frame(&mut self, sources: &mut BTreeMap<SourceKey, Counters>, now: Instant) -> Option<ReceivedFrame> {
        let source = self.source;
        while let Some(ordered) = self.reorder.poll_packet(now) {
            let counters = source.and_then(|key| sources.get_mut(&key));
            let frame = match ordered {
                Ordered::Lost(count) => {
                    self.handle_loss(count, counters);
                    continue;
                }
                Ordered::Packet(packet) => self.assemble(packet),
            };
            let Some(counters) = counters else { continue };
            counters.report.late += self.reorder.late - std::mem::replace(&mut self.late_counted, self.reorder.late);
            counters.report.dropped += self.assembler.as_mut().map_or(0, |a| std::mem::take(&mut a.dropped));
            let (Some(frame), Some(source)) = (frame, source) else { continue };
            let first = counters.handle_frame(&frame, now);
            return Some(ReceivedFrame { source, frame, first });
        }
        None
    }

    fn handle_loss(&mut self, count: u64, counters: Option<&mut Counters>) {
        if let Some(assembler) = &mut self.assembler {
            assembler.handle_loss();
        }
        if let Some(counters) = counters {
            counters.report.lost += count;
        }
    }

    fn assemble(&mut self, packet: Packet) -> Option<WholeFrame> {
        match &mut self.assembler {
            Some(assembler) => assembler.handle_packet(&packet.payload, packet.rtp_time, packet.marker),
            None => Some(WholeFrame { rtp_time: packet.rtp_time, key: true, data: packet.payload.to_vec() }),
        }
    }

    fn wants_key_frame(&self) -> bool {
        self.source.is_some() && self.assembler.as_ref().is_some_and(FrameAssembler::wants_key_frame)
    }

    fn poll_key_frame_request(&mut self, now: Instant) -> bool {
        let due = self.key_frame_deadline(now).is_some_and(|at| at <= now);
        if due {
            self.key_frame_asked = Some(now);
        }
        due
    }

    fn key_frame_deadline(&self, now: Instant) -> Option<Instant> {
        let at = self.key_frame_asked.map_or(now, |asked| asked + KEY_FRAME_RETRY);
        self.wants_key_frame().then_some(at)
    }
}

impl Counters {
    fn new((participation, source): SourceKey, now: Instant) -> Self {
        let report = SourceReport {
            participation,
            user: None,
            source,
            packets: 0,
            bytes: 0,
            lost: 0,
            late: 0,
            frames: 0,
            key_frames: 0,
            dropped: 0,
            first_frame_ms: None,
            key_frame_first: false,
            checked: None,
            quiet_ms: None,
        };
        Self { report, checker: None, since: now, last_packet: None }
    }

    fn name(&mut self, participation: ParticipationId, source: Source, senders: &Senders) {
        if self.report.user.is_some() {
            return;
        }
        let Some(user) = senders.user_by_participation.get(&participation) else { return };
        self.report.user = Some(user.clone());
        self.checker = senders.clip_by_user.get(user).and_then(|clip| match source {
            Source::Camera => Some(Checker::pictures(&clip.pictures)),
            Source::Microphone => Some(Checker::speech(&clip.speech)),
            Source::Screen | Source::ScreenAudio => None,
        });
    }

    fn handle_arrival(&mut self, bytes: usize, now: Instant) {
        self.report.packets += 1;
        self.report.bytes += bytes as u64;
        self.last_packet = Some(now);
    }

    /// Counts a whole frame; returns the time to the first one.
    fn handle_frame(&mut self, frame: &WholeFrame, now: Instant) -> Option<FirstFrame> {
        let first = self.report.frames == 0;
        self.report.key_frame_first |= first && frame.key && self.report.dropped == 0;
        self.report.frames += 1;
        self.report.key_frames += u64::from(frame.key);
        if let Some(checker) = &mut self.checker {
            checker.check(Checksum::of(&frame.data), frame.key, frame.rtp_time);
        }
        let after = now.saturating_duration_since(self.since);
        first.then(|| {
            self.report.first_frame_ms = Some(after.as_millis() as u64);
            FirstFrame { after, key_frame: self.report.key_frame_first }
        })
    }

    fn report(&self, now: Instant) -> SourceReport {
        let mut report = self.report.clone();
        report.checked = self.checker.as_ref().map(|checker| checker.checked);
        report.quiet_ms = self.last_packet.map(|at| now.saturating_duration_since(at).as_millis() as u64);
        report
    }
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;
    use crate::media::vp8;
    use signalling::Slot as Assigned;
    use uuid::Uuid;

    const BOB: ParticipationId = ParticipationId(Uuid::from_u128(2));
    const CAROL: ParticipationId = ParticipationId(Uuid::from_u128(3));

    struct Room {
        receiver: Receiver,
        now: Instant,
        sequence: u64,
    }

    fn map(epoch: u64, participation: ParticipationId) -> SlotMap {
        SlotMap { epoch, slots: vec![Assigned { mid: "v".to_owned(), participation, source: Source::Camera }] }
    }

    impl Room {
        fn new() -> Self {
            let now = Instant::now();
            let mut receiver = Receiver::new([("v".to_owned(), true), ("a".to_owned(), false)]);
            let clip = |name: &str| (UserName::from(name), Arc::new(Clip::built_in(name).unwrap()));
            receiver.set_senders(Senders {
                user_by_participation: HashMap::from([(BOB, "bob".into()), (CAROL, "carol".into())]),
                clip_by_user: HashMap::from([clip("bob"), clip("carol")]),
            });
            receiver.handle_admitted(now);
            receiver.handle_slots(&map(1, BOB), now);
            Self { receiver, now, sequence: 0 }
        }

        /// Sends frame `at` of a user's clip; one packet of it may be lost.
        fn send(&mut self, name: &str, at: usize, lost: Option<usize>) -> Vec<ReceivedFrame> {
            let clip = Clip::built_in(name).unwrap();
            let packets: Vec<_> = vp8::packets(&clip.pictures[at].data, at as u16, 1100).collect();
            let last = packets.len() - 1;
            for (n, payload) in packets.into_iter().enumerate() {
                self.sequence += 1;
                if lost != Some(n) {
                    let packet = Packet { payload: payload.into(), rtp_time: at as u64, marker: n == last };
                    self.receiver.handle_packet("v", self.sequence, packet, self.now);
                }
            }
            self.poll()
        }

        fn poll(&mut self) -> Vec<ReceivedFrame> {
            std::iter::from_fn(|| self.receiver.poll_frame(self.now)).collect()
        }

        fn report(&self, of: ParticipationId) -> SourceReport {
            self.receiver.report(self.now).into_iter().find(|r| r.participation == of).unwrap()
        }
    }

    #[test]
    fn frames_are_counted_and_checked_against_the_senders_clip() {
        let mut room = Room::new();
        room.now += Duration::from_millis(30);
        let first = room.send("bob", 0, None);
        assert_eq!(first[0].first, Some(FirstFrame { after: Duration::from_millis(30), key_frame: true }));
        room.send("bob", 1, None);
        let report = room.report(BOB);
        assert_eq!((report.frames, report.key_frames, report.lost, report.key_frame_first), (2, 1, 0, true));
        assert_eq!(report.checked.unwrap().in_order, 2);
        assert_eq!(report.user, Some("bob".into()));
    }

    #[test]
    fn a_slot_asks_for_a_key_frame_until_it_comes() {
        let mut room = Room::new();
        assert_eq!(room.receiver.poll_key_frame_requests(room.now), ["v"]);
        assert!(room.receiver.poll_key_frame_requests(room.now).is_empty());
        room.now += KEY_FRAME_RETRY;
        assert_eq!(room.receiver.poll_key_frame_requests(room.now), ["v"]);
        room.send("bob", 0, None);
        room.now += KEY_FRAME_RETRY;
        assert!(room.receiver.poll_key_frame_requests(room.now).is_empty());
    }

    #[test]
    fn a_loss_drops_frames_up_to_the_next_key_frame() {
        let mut room = Room::new();
        room.send("bob", 0, None);
        room.send("bob", 1, Some(0));
        assert!(room.send("bob", 2, None).is_empty(), "waits for the missing packet");
        room.now += VIDEO_GAP_TIMEOUT;
        assert!(room.poll().is_empty(), "frame 2 needs frame 1");
        let key = Clip::built_in("bob").unwrap().next_key(2);
        assert_eq!(room.send("bob", key, None).len(), 1);
        let report = room.report(BOB);
        assert_eq!((report.lost, report.frames), (1, 2));
        assert_eq!(report.checked.unwrap().restarts, 1);
    }

    #[test]
    fn a_slot_that_changes_hands_counts_for_the_new_source_and_starts_at_its_key_frame() {
        let mut room = Room::new();
        room.send("bob", 0, None);
        room.receiver.handle_slots(&map(2, CAROL), room.now);
        room.receiver.handle_slots(&map(1, BOB), room.now);
        assert!(room.send("carol", 3, None).is_empty(), "not decodable yet");
        assert_eq!(room.send("carol", 0, None)[0].source, (CAROL, Source::Camera));
        assert_eq!(room.report(BOB).frames, 1);
        let carol = room.report(CAROL);
        assert_eq!((carol.frames, carol.dropped, carol.key_frame_first), (1, 1, false));
    }

    #[test]
    fn somebody_elses_frame_is_seen_as_unknown() {
        let mut room = Room::new();
        room.send("carol", 0, None);
        assert_eq!(room.report(BOB).checked.unwrap().frames_bad, 1);
    }

    #[test]
    fn media_that_overtakes_its_slot_map_is_not_lost() {
        let mut room = Room::new();
        room.receiver.handle_slots(&SlotMap { epoch: 5, slots: vec![] }, room.now);
        assert!(room.send("carol", 0, None).is_empty());
        assert!(room.receiver.unassigned_packets > 0);
        room.now += Duration::from_millis(50);
        room.receiver.handle_slots(&map(6, CAROL), room.now);
        assert!(room.poll()[0].first.unwrap().key_frame);
        assert_eq!((room.report(CAROL).frames, room.receiver.unassigned_packets), (1, 0));
    }

    #[test]
    fn what_lay_long_in_an_empty_slot_is_nobodys() {
        let mut room = Room::new();
        room.receiver.handle_slots(&SlotMap { epoch: 5, slots: vec![] }, room.now);
        room.send("carol", 0, None);
        room.now += EARLY_MAX + Duration::from_millis(1);
        room.receiver.handle_slots(&map(6, CAROL), room.now);
        assert!(room.poll().is_empty());
        assert!(room.receiver.unassigned_packets > 0);
    }
}
