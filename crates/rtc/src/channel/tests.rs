//! Scenarios of one channel on virtual time.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use super::*;
use proptest::collection::vec;
use proptest::prelude::*;
use signalling::{Admission, ParticipationId, Rights, Slot, Sources, UserName};
use uuid::Uuid;

const CIPHER: &str = "AEAD_AES_256_GCM";

struct Stage {
    channel: Channel,
    start: Instant,
    now: Instant,
    seqs: BTreeMap<SourceKey, u64>,
    next_peer: u64,
}

fn id(name: &str) -> ParticipationId {
    ParticipationId(Uuid::from_u128(name.bytes().fold(0, |sum, byte| sum * 256 + u128::from(byte))))
}

fn claims(name: &str) -> JoinClaims {
    JoinClaims {
        iss: "convoke".to_owned(),
        aud: JoinClaims::AUDIENCE.to_owned(),
        jti: String::new(),
        iat: 0,
        exp: 0,
        channel: ChannelId::from("c"),
        participation: id(name),
        user: UserName::from(name),
        client: name.to_owned(),
        rev: 0,
    }
}

fn wish(name: &str) -> DesiredParticipation {
    DesiredParticipation {
        user: UserName::from(name),
        client: name.to_owned(),
        admission: Admission::Admitted,
        rights: Rights::ALL,
        muted: Sources::NONE,
    }
}

fn waiting(name: &str) -> DesiredParticipation {
    DesiredParticipation { admission: Admission::Waiting, ..wish(name) }
}

fn plan(video_slots: usize, audio_slots: usize) -> MediaPlan {
    let slots = |kind, count, name: &str| -> Vec<(MediaKind, String)> {
        (0..count).map(|index| (kind, format!("{name}{index}"))).collect()
    };
    MediaPlan {
        sources: [Source::Microphone, Source::Camera, Source::Screen]
            .map(|source| (source, format!("{source:?}")))
            .into(),
        slots: [slots(MediaKind::Video, video_slots, "v"), slots(MediaKind::Audio, audio_slots, "a")].concat(),
    }
}

/// A VP8 payload with a 15-bit picture id.
fn vp8(key_frame: bool) -> [u8; 5] {
    [0x90, 0x80, 0x80, 1, u8::from(!key_frame)]
}

impl Stage {
    fn new() -> Self {
        let config = ChannelConfig {
            lost_after: Duration::from_secs(4),
            gone_after: Duration::from_secs(20),
            join_timeout: Duration::from_secs(10),
            peers_max: 8,
            participations_max: 16,
        };
        let now = Instant::now();
        let channel = Channel::new(ChannelId::from("c"), config, now);
        Self { channel, start: now, now, seqs: BTreeMap::new(), next_peer: 1 }
    }

    fn try_join(&mut self, claims: &JoinClaims, plan: &MediaPlan) -> Result<(PeerId, SlotMap), JoinRefusal> {
        let peer = PeerId(self.next_peer);
        self.next_peer += 1;
        self.channel.join(peer, claims, plan, 0, self.now).map(|map| (peer, map))
    }

    /// Puts what the channel is, changed so, with the next revision.
    fn put(&mut self, change: impl FnOnce(&mut DesiredChannel)) {
        let mut desired = self.channel.desired().clone();
        change(&mut desired);
        self.channel.put(self.channel.rev() + 1, desired, self.now);
    }

    fn wish(&mut self, name: &str, wish: DesiredParticipation) {
        self.put(|desired| drop(desired.participations.insert(id(name), wish)));
    }

    fn remove(&mut self, name: &str) {
        self.put(|desired| drop(desired.participations.remove(&id(name))));
    }

    /// Joins with call slots and connects.
    fn enter(&mut self, name: &str) -> PeerId {
        self.enter_as(name, &plan(1, 1))
    }

    /// What is wished of it already stays so.
    fn enter_as(&mut self, name: &str, plan: &MediaPlan) -> PeerId {
        if !self.channel.desired().participations.contains_key(&id(name)) {
            self.wish(name, wish(name));
        }
        let (peer, _) = self.try_join(&claims(name), plan).unwrap();
        self.channel.handle_connected(peer, CIPHER, self.now);
        self.channel.poll_effects();
        peer
    }

    fn pass(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
        self.channel.handle_timeout(self.now);
    }

    /// Time passes in which these peers are heard every 50 ms.
    fn pass_heard(&mut self, ms: u64, heard: &[PeerId]) {
        for _ in 0..ms / 50 {
            self.now += Duration::from_millis(50);
            for peer in heard {
                self.channel.handle_authenticated(*peer, self.now);
            }
            self.channel.handle_timeout(self.now);
        }
    }

    /// Sends loud audio packets.
    fn speak(&mut self, peer: PeerId, packets: u64) {
        let from = SourceKey { peer, source: Source::Microphone };
        for _ in 0..packets {
            let seq = self.seqs.entry(from).or_insert(100);
            *seq += 1;
            let packet = ParsedPacket::opus(*seq, 0, Some(-20));
            self.channel.forward(from, &packet, self.now, &mut Vec::new());
        }
    }

    /// Sends one packet; who gets it.
    fn send(&mut self, peer: PeerId, source: Source, key_frame: bool) -> (Vec<PeerId>, ForwardOutcome) {
        let from = SourceKey { peer, source };
        let seq = self.seqs.entry(from).or_insert(100);
        *seq += 1;
        let packet = match kind_of(source) {
            MediaKind::Audio => ParsedPacket::opus(*seq, 0, None),
            MediaKind::Video => ParsedPacket::vp8(*seq, 0, &vp8(key_frame)).unwrap().0,
        };
        let mut writes = Vec::new();
        let outcome = self.channel.forward(from, &packet, self.now, &mut writes);
        (writes.iter().map(|write| write.peer).collect(), outcome)
    }

    fn reaches(&mut self, peer: PeerId, source: Source) -> Vec<PeerId> {
        self.send(peer, source, true).0
    }

    fn events(&mut self) -> Vec<(ParticipationId, ChannelEventKind)> {
        let effects = self.channel.poll_effects().into_iter();
        effects
            .filter_map(|effect| if let Effect::Event(e) = effect { Some((e.participation, e.kind)) } else { None })
            .collect()
    }

    fn requests(&mut self) -> Vec<SourceKey> {
        let effects = self.channel.poll_effects().into_iter();
        effects.filter_map(|effect| if let Effect::RequestKeyFrame(of) = effect { Some(of) } else { None }).collect()
    }

    fn maps(&mut self) -> Vec<(PeerId, SlotMap)> {
        let effects = self.channel.poll_effects().into_iter();
        effects
            .filter_map(|effect| if let Effect::SendMap(to, map) = effect { Some((to, map)) } else { None })
            .collect()
    }

    fn traffic(&self, name: &str, source: Source) -> crate::SourceTraffic {
        let described = self.channel.describe();
        let participant = described.participants.into_iter().find(|of| of.participation == id(name)).unwrap();
        participant.traffic.into_iter().find(|traffic| traffic.source == source).unwrap()
    }
}

fn left(name: &str, reason: LeftReason) -> (ParticipationId, ChannelEventKind) {
    (id(name), ChannelEventKind::Left { reason })
}

proptest! {
    #[test]
    fn whatever_a_payload_is_it_is_a_packet_with_a_descriptor_or_nothing(payload in vec(any::<u8>(), 0..12)) {
        let packet = ParsedPacket::vp8(1, 1, &payload);
        prop_assert_eq!(packet.is_some(), str0m::rtp::Vp8Descriptor::parse(&payload).is_ok());
    }
}

#[test]
fn two_hear_and_see_each_other_and_never_themselves() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    assert_eq!(stage.reaches(alice, Source::Camera), [bob]);
    assert_eq!(stage.reaches(alice, Source::Microphone), [bob]);
    assert_eq!(stage.reaches(bob, Source::Camera), [alice]);
}

#[test]
fn nothing_flows_to_or_from_a_waiting_one_until_it_is_admitted() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    stage.wish("bob", waiting("bob"));
    let bob = stage.enter("bob");
    assert_eq!(stage.reaches(alice, Source::Camera), []);
    let (reached, outcome) = stage.send(bob, Source::Microphone, false);
    assert_eq!((reached, outcome), (vec![], ForwardOutcome::Dropped(crate::DropReason::Waiting)));
    stage.wish("bob", wish("bob"));
    assert_eq!(stage.requests(), [SourceKey { peer: alice, source: Source::Camera }]);
    assert_eq!(stage.reaches(alice, Source::Camera), [bob]);
    assert_eq!(stage.reaches(bob, Source::Microphone), [alice]);
    assert_eq!(stage.traffic("bob", Source::Microphone).dropped_waiting, 1);
}

#[test]
fn what_is_wished_before_the_join_holds_from_the_first_packet_on_and_for_each_connection() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    let muted = DesiredParticipation { muted: Source::Camera.into(), ..wish("bob") };
    stage.wish("bob", muted);
    for _ in 0..2 {
        let bob = stage.enter("bob");
        assert_eq!(stage.send(bob, Source::Camera, true).1, ForwardOutcome::Dropped(crate::DropReason::Muted));
        assert_eq!(stage.reaches(bob, Source::Microphone), [alice]);
    }
}

#[test]
fn a_mute_stops_one_source_and_a_block_one_kind_while_the_sender_goes_on() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    assert_eq!(stage.reaches(bob, Source::Microphone), [alice]);
    stage.wish("bob", DesiredParticipation { muted: Source::Microphone.into(), ..wish("bob") });
    assert_eq!(stage.reaches(bob, Source::Microphone), []);
    assert_eq!(stage.reaches(bob, Source::Camera), [alice]);
    let silent = Rights { send: Sources::VIDEO, receive: true };
    stage.wish("bob", DesiredParticipation { rights: silent, ..wish("bob") });
    assert_eq!(stage.reaches(bob, Source::Microphone), []);
    stage.wish("bob", wish("bob"));
    assert_eq!(stage.reaches(bob, Source::Microphone), [alice]);
    let traffic = stage.traffic("bob", Source::Microphone);
    assert_eq!((traffic.received, traffic.forwarded), (4, 2));
    assert_eq!((traffic.dropped_muted, traffic.dropped_blocked), (1, 1));
}

#[test]
fn who_is_muted_or_blocked_by_kind_is_not_seen_under_another_name() {
    let mut stage = Stage::new();
    let (_alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    let rights = Rights { send: Sources::AUDIO, receive: true };
    for (hidden, reason) in [
        (DesiredParticipation { muted: Sources::VIDEO, ..wish("bob") }, crate::DropReason::Muted),
        (DesiredParticipation { rights, ..wish("bob") }, crate::DropReason::NoRight),
    ] {
        stage.wish("bob", hidden);
        for source in [Source::Camera, Source::Screen] {
            assert_eq!(stage.send(bob, source, true), (vec![], ForwardOutcome::Dropped(reason)), "{source:?}");
        }
    }
}

#[test]
fn the_first_packet_of_each_source_is_told_once_for_each_connection() {
    let mut stage = Stage::new();
    let (_alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    let first = |source| (id("bob"), ChannelEventKind::FirstPacket { source });
    stage.reaches(bob, Source::Microphone);
    stage.reaches(bob, Source::Microphone);
    stage.reaches(bob, Source::Screen);
    assert_eq!(stage.events(), [first(Source::Microphone), first(Source::Screen)]);
    let again = stage.enter("bob");
    stage.reaches(again, Source::Microphone);
    assert_eq!(stage.events(), [first(Source::Microphone)]);
}

#[test]
fn after_a_mute_video_goes_on_with_a_key_frame_that_is_asked_for() {
    let mut stage = Stage::new();
    let (_alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    stage.reaches(bob, Source::Camera);
    stage.wish("bob", DesiredParticipation { muted: Source::Camera.into(), ..wish("bob") });
    stage.send(bob, Source::Camera, false);
    stage.wish("bob", wish("bob"));
    stage.channel.poll_effects();
    assert_eq!(stage.send(bob, Source::Camera, false).1, ForwardOutcome::Written { awaiting_key_frame: 1 });
    assert_eq!(stage.requests(), [SourceKey { peer: bob, source: Source::Camera }]);
    assert_eq!(stage.send(bob, Source::Camera, true).1, ForwardOutcome::Written { awaiting_key_frame: 0 });
}

#[test]
fn who_may_not_subscribe_gets_nothing() {
    let mut stage = Stage::new();
    let (alice, _bob) = (stage.enter("alice"), stage.enter("bob"));
    let deaf = Rights { receive: false, ..Rights::ALL };
    stage.wish("bob", DesiredParticipation { rights: deaf, ..wish("bob") });
    assert_eq!(stage.reaches(alice, Source::Camera), []);
}

#[test]
fn a_key_frame_is_asked_for_until_it_comes() {
    let mut stage = Stage::new();
    let (alice, _bob) = (stage.enter("alice"), stage.enter("bob"));
    stage.send(alice, Source::Camera, false);
    assert_eq!(stage.requests().len(), 1);
    let mut asked_at = Vec::new();
    for _ in 0..20 {
        stage.pass(50);
        if !stage.requests().is_empty() {
            asked_at.push(stage.now.duration_since(stage.start).as_millis());
        }
    }
    assert_eq!(asked_at, [350, 700]);
    stage.send(alice, Source::Camera, true);
    stage.pass(1_000);
    assert_eq!(stage.requests(), []);
}

#[test]
fn key_frame_wishes_of_many_viewers_are_one_request() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    let viewers: Vec<PeerId> = ["b", "c", "d", "e"].into_iter().map(|name| stage.enter(name)).collect();
    stage.reaches(alice, Source::Camera);
    stage.channel.poll_effects();
    for viewer in viewers {
        stage.channel.handle_key_frame_request(viewer, 0, stage.now);
    }
    assert_eq!(stage.requests().len(), 1);
}

#[test]
fn a_newcomer_is_told_beforehand_whom_it_will_see() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    stage.reaches(alice, Source::Camera);
    stage.reaches(alice, Source::Microphone);
    stage.wish("bob", wish("bob"));
    let (_, map) = stage.try_join(&claims("bob"), &plan(1, 1)).unwrap();
    let slot = |mid: &str, source| Slot { mid: mid.to_owned(), participation: id("alice"), source };
    assert_eq!(map.slots, [slot("v0", Source::Camera), slot("a0", Source::Microphone)]);
}

#[test]
fn the_map_changes_with_the_first_packet_that_is_shown_and_not_before() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    stage.send(alice, Source::Camera, false);
    assert_eq!(stage.maps(), []);
    stage.send(alice, Source::Camera, true);
    let maps = stage.maps();
    assert_eq!(maps.len(), 1);
    assert_eq!((maps[0].0, maps[0].1.epoch, maps[0].1.slots.len()), (bob, 2, 1));
}

#[test]
fn a_screen_takes_the_only_slot_and_the_camera_gets_it_back() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    assert_eq!(stage.reaches(alice, Source::Camera), [bob]);
    assert_eq!(stage.reaches(alice, Source::Screen), [bob]);
    assert_eq!(stage.reaches(alice, Source::Camera), []);
    let shown = stage.channel.map(bob).slots;
    assert_eq!(shown[0].source, Source::Screen);
    for _ in 0..120 {
        stage.pass_heard(50, &[alice, bob]);
        stage.send(alice, Source::Camera, true);
    }
    assert_eq!(stage.channel.map(bob).slots[0].source, Source::Camera);
}

#[test]
fn with_more_voices_than_slots_who_speaks_is_heard() {
    let mut stage = Stage::new();
    let viewer = stage.enter_as("viewer", &plan(1, 1));
    let (a, b) = (stage.enter("a"), stage.enter("b"));
    assert_eq!(stage.reaches(a, Source::Microphone), [viewer, b]);
    assert!(!stage.reaches(b, Source::Microphone).contains(&viewer));
    stage.speak(b, 5);
    assert!(stage.events().contains(&(id("b"), ChannelEventKind::Speaker { speaking: true })));
    assert!(stage.reaches(b, Source::Microphone).contains(&viewer));
    assert!(!stage.reaches(a, Source::Microphone).contains(&viewer));
}

#[test]
fn lost_back_and_left_are_told_once_each() {
    let mut stage = Stage::new();
    let (alice, _bob) = (stage.enter("alice"), stage.enter("bob"));
    stage.pass_heard(3_950, &[alice]);
    assert_eq!(stage.events(), []);
    stage.pass_heard(100, &[alice]);
    assert_eq!(stage.events(), [(id("bob"), ChannelEventKind::Lost)]);
    stage.channel.handle_authenticated(_bob, stage.now);
    assert_eq!(stage.events(), [(id("bob"), ChannelEventKind::Back)]);
    stage.pass_heard(19_950, &[alice]);
    assert_eq!(stage.events(), [(id("bob"), ChannelEventKind::Lost)]);
    stage.pass_heard(50, &[alice]);
    let effects = stage.channel.poll_effects();
    assert!(effects.contains(&Effect::ClosePeer(_bob)));
    assert_eq!(stage.channel.describe().participants.len(), 1);
}

#[test]
fn who_is_lost_is_described_as_not_connected_until_it_is_back() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    let connected = |stage: &Stage| {
        let all = stage.channel.describe().participants;
        all.into_iter().filter(|one| one.connected).map(|one| one.participation).collect::<Vec<_>>()
    };
    stage.pass_heard(5_000, &[alice]);
    assert_eq!(connected(&stage), [id("alice")]);
    stage.channel.handle_authenticated(bob, stage.now);
    assert_eq!(connected(&stage).len(), 2);
}

#[test]
fn with_the_defaults_whose_network_is_gone_is_lost_within_five_seconds_and_has_left_after_twenty() {
    let config = crate::Config::new(([127, 0, 0, 1], 0).into(), Vec::new());
    let mut stage = Stage::new();
    stage.channel.config.lost_after = config.lost_after;
    stage.channel.config.gone_after = config.gone_after;
    let (alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    stage.pass_heard(60_000, &[alice, bob]);
    assert!(stage.events().is_empty());
    stage.pass_heard(3_900, &[alice]);
    assert!(stage.events().is_empty());
    stage.pass_heard(1_000, &[alice]);
    assert_eq!(stage.events(), [(id("bob"), ChannelEventKind::Lost)]);
    stage.pass_heard(15_000, &[alice]);
    assert!(stage.events().is_empty());
    stage.pass_heard(200, &[alice]);
    assert_eq!(stage.events(), [left("bob", LeftReason::TimedOut)]);
}

#[test]
fn a_quiet_terminal_is_asked_for_a_sign_of_life_once_before_it_is_lost() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    stage.pass(1_999);
    assert_eq!(stage.channel.poll_effects(), []);
    stage.pass(1);
    assert_eq!(stage.channel.poll_effects(), [Effect::Probe(alice)]);
    stage.pass(1_000);
    assert_eq!(stage.channel.poll_effects(), []);
    stage.channel.handle_authenticated(alice, stage.now);
    stage.pass(2_000);
    assert_eq!(stage.channel.poll_effects(), [Effect::Probe(alice)]);
}

#[test]
fn a_join_that_never_connects_has_failed() {
    let mut stage = Stage::new();
    stage.wish("alice", wish("alice"));
    stage.try_join(&claims("alice"), &plan(1, 1)).unwrap();
    stage.pass(9_999);
    assert_eq!(stage.events(), []);
    stage.pass(1);
    assert_eq!(stage.events(), [left("alice", LeftReason::Failed)]);
}

#[test]
fn the_same_client_with_a_newer_participation_replaces_the_older() {
    let mut stage = Stage::new();
    let old = stage.enter("alice");
    stage.wish("alice2", wish("alice"));
    let newer = JoinClaims { participation: id("alice2"), ..claims("alice") };
    stage.try_join(&newer, &plan(1, 1)).unwrap();
    let effects = stage.channel.poll_effects();
    assert!(effects.contains(&Effect::ClosePeer(old)));
    assert_eq!(stage.channel.describe().participants.len(), 1);
}

#[test]
fn the_same_participation_joins_again_without_leaving() {
    let mut stage = Stage::new();
    let old = stage.enter("alice");
    let (new, _) = stage.try_join(&claims("alice"), &plan(1, 1)).unwrap();
    assert_eq!(stage.channel.poll_effects(), [Effect::ClosePeer(old)]);
    stage.channel.handle_connected(new, CIPHER, stage.now);
    assert_eq!(stage.events(), [(id("alice"), ChannelEventKind::Joined { cipher: CIPHER.to_owned() })]);
}

#[test]
fn who_is_not_in_the_wish_any_more_is_out_and_joins_no_more_until_it_is_again() {
    let mut stage = Stage::new();
    let alice = stage.enter("alice");
    stage.remove("alice");
    assert!(stage.channel.poll_effects().contains(&Effect::ClosePeer(alice)));
    assert_eq!(stage.try_join(&claims("alice"), &plan(1, 1)), Err(JoinRefusal::Removed));
    stage.wish("alice", wish("alice"));
    assert!(stage.try_join(&claims("alice"), &plan(1, 1)).is_ok());
}

#[test]
fn an_event_names_the_revision_and_the_connection_that_it_belongs_to() {
    let mut stage = Stage::new();
    let (first, second) = (stage.enter("alice"), stage.enter("alice"));
    stage.remove("alice");
    let events = stage.channel.poll_effects().into_iter().filter_map(|effect| match effect {
        Effect::Event(event) => Some((event.rev, event.connection, event.kind)),
        _ => None,
    });
    let removed = ChannelEventKind::Left { reason: LeftReason::Removed };
    assert_eq!(events.collect::<Vec<_>>(), [(2, second.0, removed)]);
    assert!(second > first);
}

#[test]
fn a_close_ends_everybody() {
    let mut stage = Stage::new();
    stage.enter("alice");
    stage.enter("bob");
    stage.channel.close();
    assert_eq!(stage.events(), [left("alice", LeftReason::Closed), left("bob", LeftReason::Closed)]);
    assert!(stage.channel.is_empty());
}

#[test]
fn a_full_channel_takes_a_rejoin_but_nobody_new() {
    let mut stage = Stage::new();
    for name in ["a", "b", "c", "d", "e", "f", "g", "h"] {
        stage.enter(name);
    }
    stage.wish("i", wish("i"));
    assert_eq!(stage.try_join(&claims("i"), &plan(1, 1)), Err(JoinRefusal::ChannelFull));
    assert!(stage.try_join(&claims("a"), &plan(1, 1)).is_ok());
}

#[test]
fn a_camera_that_is_switched_off_leaves_its_slot() {
    let mut stage = Stage::new();
    let (alice, bob) = (stage.enter("alice"), stage.enter("bob"));
    stage.reaches(alice, Source::Camera);
    stage.channel.poll_effects();
    stage.pass_heard(5_000, &[alice, bob]);
    let maps = stage.maps();
    assert_eq!(maps.iter().map(|(to, map)| (*to, map.slots.len())).collect::<Vec<_>>(), [(bob, 0)]);
}
