//! A media peer against a second media stack, on virtual time.

use crate::mirror::Mirror;
use signalling::{ParticipationId, Profile, Slot, SlotMap, Source, Track, UserName};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use terminal::media::clip::Clip;
use terminal::media::peer::{MediaPeer, PeerEvent};
use terminal::media::receiver::Senders;
use terminal::media::report::SourceReport;
use uuid::Uuid;

const ALICE: ParticipationId = ParticipationId(Uuid::from_u128(1));
const ONE_WAY: Duration = Duration::from_millis(10);

struct Pair {
    alice: MediaPeer,
    mirror: Mirror,
    alice_at: SocketAddr,
    mirror_at: SocketAddr,
    now: Instant,
    /// Datagrams under way: when they arrive, whether at Alice, and their bytes.
    network: Vec<(Instant, bool, Vec<u8>)>,
    /// Every so many-th media datagram to Alice is lost; 0 is none.
    lose_every: u64,
    sent_to_alice: u64,
    cut: bool,
    events: Vec<PeerEvent>,
}

impl Pair {
    fn new(profile: Profile) -> Self {
        let now = Instant::now();
        let clip = Arc::new(Clip::built_in("alice").unwrap());
        let alice_at = SocketAddr::from(([127, 0, 0, 1], 1000));
        let mirror_at = SocketAddr::from(([127, 0, 0, 1], 2000));
        let (mut alice, request) = MediaPeer::new(profile, clip.clone(), 77, now).unwrap();
        let (mirror, answer) = Mirror::answer(&request, mirror_at, ALICE, now);
        alice.set_senders(Senders {
            user_by_participation: HashMap::from([(ALICE, UserName::from("alice"))]),
            clip_by_user: HashMap::from([(UserName::from("alice"), clip)]),
        });
        alice.handle_answer(&answer, alice_at, now).unwrap();
        Self {
            alice,
            mirror,
            alice_at,
            mirror_at,
            now,
            network: Vec::new(),
            lose_every: 0,
            sent_to_alice: 0,
            cut: false,
            events: Vec::new(),
        }
    }

    fn drive(&mut self, wait: Duration) {
        let end = self.now + wait;
        while self.now < end {
            self.collect();
            let arrival = self.network.iter().map(|(at, ..)| *at).min().unwrap_or(end);
            let due = self.alice.poll_timeout(self.now).min(self.mirror.deadline);
            // Time moves at least a little, so that a deadline in the past cannot stop it.
            self.now = arrival.min(due).max(self.now + Duration::from_micros(500)).min(end);
            self.deliver();
            if self.alice.poll_timeout(self.now) <= self.now {
                self.alice.handle_timeout(self.now);
            }
            if self.mirror.deadline <= self.now {
                self.mirror.handle_timeout(self.now);
            }
        }
        self.collect();
    }

    fn collect(&mut self) {
        let arrival = self.now + ONE_WAY;
        while let Some((to, bytes)) = self.alice.poll_datagram() {
            assert_eq!(to, self.mirror_at);
            self.network.push((arrival, false, bytes));
        }
        for (to, bytes) in self.mirror.datagrams.drain(..) {
            assert_eq!(to, self.alice_at);
            let media = bytes[0] >> 6 == 2 && bytes[1] & 0x7f >= 90;
            self.sent_to_alice += u64::from(media);
            let lost = self.lose_every > 0 && media && self.sent_to_alice.is_multiple_of(self.lose_every);
            if !lost && !self.cut {
                self.network.push((arrival, true, bytes));
            }
        }
        self.events.extend(std::iter::from_fn(|| self.alice.poll_event()));
    }

    fn deliver(&mut self) {
        let now = self.now;
        let (due, later) = self.network.drain(..).partition(|(at, ..)| *at <= now);
        self.network = later;
        let due: Vec<(Instant, bool, Vec<u8>)> = due;
        for (_, to_alice, bytes) in due {
            if to_alice {
                self.alice.handle_datagram(self.mirror_at, &bytes, now);
            } else {
                self.mirror.handle_datagram(self.alice_at, &bytes, now);
            }
        }
    }

    fn source(&self, source: Source) -> SourceReport {
        let report = self.alice.report(self.now);
        report.received.into_iter().find(|r| r.source == source && r.participation == ALICE).unwrap()
    }
}

#[test]
fn a_waiting_peer_is_connected_and_silent_and_plays_once_admitted() {
    let mut pair = Pair::new(Profile::Call);
    pair.drive(Duration::from_secs(3));
    let joined = |event: &PeerEvent| matches!(event, PeerEvent::Connected { cipher: "AEAD_AES_256_GCM" });
    assert!(pair.events.iter().any(joined), "{:?}", pair.events);
    assert!(pair.mirror.packets_from.is_empty());
    pair.alice.handle_admitted(pair.now);
    pair.drive(Duration::from_millis(100));
    let first: Vec<_> = pair.events.iter().filter(|e| matches!(e, PeerEvent::FirstFrame { .. })).collect();
    assert_eq!(first.len(), 2, "a picture and speech: {first:?}");
    assert!(pair.source(Source::Camera).first_frame_ms.unwrap() < 60);
}

#[test]
fn every_frame_arrives_whole_in_order_and_unchanged() {
    let mut pair = Pair::new(Profile::Meeting);
    pair.alice.handle_admitted(pair.now);
    pair.drive(Duration::from_secs(10));
    let (camera, microphone) = (pair.source(Source::Camera), pair.source(Source::Microphone));
    let sent = pair.alice.report(pair.now).sent;
    assert!((140..=150).contains(&camera.frames), "{camera:?}");
    assert!(camera.key_frame_first);
    assert_eq!(camera.checked.unwrap().in_order, camera.frames);
    assert!((480..=500).contains(&microphone.frames), "{microphone:?}");
    assert_eq!(microphone.checked.unwrap().in_order, microphone.frames);
    assert_eq!((camera.lost, camera.dropped, microphone.lost), (0, 0, 0));
    assert!(sent.pictures - camera.frames <= 1 && sent.speech_packets - microphone.packets <= 2);
}

#[test]
fn lost_packets_come_back_by_repeats() {
    let mut pair = Pair::new(Profile::Call);
    pair.lose_every = 20;
    pair.alice.handle_admitted(pair.now);
    pair.drive(Duration::from_secs(10));
    let camera = pair.source(Source::Camera);
    assert!(pair.sent_to_alice / 20 >= 30, "the loss happened: {}", pair.sent_to_alice);
    assert_eq!(
        (camera.lost, camera.checked.unwrap().skips, camera.checked.unwrap().frames_bad),
        (0, 0, 0),
        "{camera:?}"
    );
    assert!(camera.frames >= 140, "{camera:?}");
}

#[test]
fn a_muted_track_sends_nothing_and_the_other_goes_on() {
    let mut pair = Pair::new(Profile::Call);
    pair.alice.handle_admitted(pair.now);
    pair.drive(Duration::from_secs(1));
    pair.alice.set_muted(Track::Audio, true);
    pair.drive(Duration::from_millis(100));
    let before = (pair.source(Source::Microphone).packets, pair.source(Source::Camera).frames);
    pair.drive(Duration::from_secs(2));
    assert_eq!(pair.source(Source::Microphone).packets, before.0);
    assert!(pair.source(Source::Camera).frames >= before.1 + 29);
    pair.alice.set_muted(Track::Audio, false);
    pair.drive(Duration::from_secs(1));
    let microphone = pair.source(Source::Microphone);
    assert!(microphone.packets >= before.0 + 45);
    assert_eq!((microphone.lost, microphone.checked.unwrap().frames_bad), (0, 0));
}

#[test]
fn a_key_frame_request_of_the_server_is_answered_within_one_picture() {
    let mut pair = Pair::new(Profile::Call);
    pair.alice.handle_admitted(pair.now);
    pair.drive(Duration::from_millis(1400));
    let before = pair.source(Source::Camera).key_frames;
    pair.mirror.ask_for_key_frame(pair.now);
    pair.drive(Duration::from_millis(110));
    assert_eq!(pair.source(Source::Camera).key_frames, before + 1);
    assert_eq!(pair.alice.report(pair.now).sent.key_frame_requests, 1);
}

#[test]
fn a_slot_map_of_the_data_channel_gives_the_slot_to_somebody_else() {
    let mut pair = Pair::new(Profile::Call);
    pair.alice.handle_admitted(pair.now);
    pair.drive(Duration::from_secs(1));
    assert!(pair.mirror.channel_is_open());
    let bob = ParticipationId(Uuid::from_u128(2));
    let camera = pair.alice.report(pair.now).received;
    assert!(camera.iter().all(|r| r.participation == ALICE));
    let mid = pair.mirror.slot_of(Source::Camera).to_string();
    let map = SlotMap { epoch: 2, slots: vec![Slot { mid, participation: bob, source: Source::Camera }] };
    pair.mirror.send_slots(&map, pair.now);
    pair.drive(Duration::from_secs(2));
    let received = pair.alice.report(pair.now).received;
    let bobs = received.iter().find(|r| r.participation == bob).unwrap();
    assert!(bobs.frames >= 10, "{bobs:?}");
    assert!(pair.alice.report(pair.now).unassigned_packets > 0, "speech has no slot any more");
}

#[test]
fn a_silent_server_is_first_doubted_and_then_given_up() {
    let mut pair = Pair::new(Profile::Call);
    pair.alice.handle_admitted(pair.now);
    pair.drive(Duration::from_secs(2));
    assert!(!pair.events.iter().any(|e| matches!(e, PeerEvent::Quiet)));
    pair.cut = true;
    pair.drive(Duration::from_millis(1700));
    assert!(pair.events.iter().any(|e| matches!(e, PeerEvent::Quiet)));
    assert!(!pair.events.iter().any(|e| matches!(e, PeerEvent::Lost(_))));
    pair.drive(Duration::from_millis(2600));
    assert!(matches!(pair.events.last(), Some(PeerEvent::Lost(_))), "{:?}", pair.events.last());
}

#[test]
fn a_connection_without_media_is_heard_often_enough_not_to_be_doubted() {
    let mut pair = Pair::new(Profile::Call);
    pair.drive(Duration::from_secs(30));
    assert!(!pair.events.iter().any(|e| matches!(e, PeerEvent::Quiet | PeerEvent::Lost(_))), "{:?}", pair.events);
}

#[test]
fn a_server_that_never_answers_on_its_media_port_is_named() {
    let mut pair = Pair::new(Profile::Call);
    pair.cut = true;
    pair.drive(Duration::from_secs(9));
    assert!(matches!(pair.events.last(), Some(PeerEvent::Lost(why)) if why.contains("media port")));
}
