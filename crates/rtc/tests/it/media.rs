//! Forwarding: which sources reach which participants.

use crate::client::{Client, Got, Offer, Order};
use crate::stage::{Stage, claims, id};
use signalling::{JoinAnswer, JoinClaims, Profile, Purpose, Rights, Source, Sources};
use std::time::Duration;

/// Sequence numbers without a hole, in the order of arrival or not.
fn is_gapless(got: &[Got]) -> bool {
    let mut seqs: Vec<u64> = got.iter().map(|got| got.seq).collect();
    seqs.sort_unstable();
    seqs.dedup();
    seqs.windows(2).all(|pair| pair[1] == pair[0] + 1)
}

fn in_a_call() -> (Stage, Client, Client) {
    let stage = Stage::new();
    let (alice, bob) = (stage.join("alice", 1), stage.join("bob", 2));
    (stage, alice, bob)
}

#[test]
fn two_hear_and_see_each_other_and_the_first_picture_is_a_key_frame() {
    let (stage, alice, bob) = in_a_call();
    for client in [&alice, &bob] {
        client.sends(Source::Camera).sends(Source::Microphone);
    }
    for (client, other) in [(&alice, 2), (&bob, 1)] {
        let enough = |got: &[Got]| got.len() >= 50 && got.iter().all(|got| got.sender == other);
        let seen = client
            .until("picture and sound", |seen| enough(seen.on(&client.video())) && enough(seen.on(&client.audio())));
        assert!(seen.on(&client.video())[0].key_frame);
        assert!(is_gapless(seen.on(&client.video())) && is_gapless(seen.on(&client.audio())));
        assert!(seen.on(&client.video())[0].seq < 65_536);
    }
    let stats = stage.rtc.stats();
    assert!(stats.packets_in > 200 && stats.packets_out > 200 && stats.media_forwarded >= 200);
    assert_eq!(stats.ciphers[0].peers, 2);
    assert_eq!(stage.participant("alice").publishing, [Source::Microphone, Source::Camera]);
}

#[test]
fn a_waiting_callee_gets_and_gives_nothing_until_it_is_admitted() {
    let stage = Stage::new();
    let alice = stage.join("alice", 1);
    stage.hold("bob");
    let bob = stage.join("bob", 2);
    alice.sends(Source::Camera).sends(Source::Microphone);
    bob.sends(Source::Microphone);
    let traffic = |stage: &Stage| stage.traffic("bob", Source::Microphone);
    stage.until("Bob's packets to be dropped", traffic, |traffic| traffic.dropped_waiting >= 20);
    assert_eq!((bob.seen().total(), alice.seen().total()), (0, 0));
    stage.admit("bob");
    bob.until("Alice's picture", |seen| seen.on(&bob.video()).first().is_some_and(|got| got.key_frame));
    bob.gets_more_from(1, 20);
    alice.gets_more_from(2, 20);
}

#[test]
fn a_mute_and_a_block_hold_while_the_terminal_goes_on_sending() {
    let (stage, alice, bob) = in_a_call();
    bob.sends(Source::Microphone).sends(Source::Camera);
    alice.gets_more_from(2, 20);
    let traffic = |stage: &Stage| stage.traffic("bob", Source::Microphone);

    stage.mute("bob", Source::Microphone, true);
    let at_mute = traffic(&stage);
    let muted = stage.until("muted packets", traffic, |now| now.dropped_muted >= 20);
    assert_eq!(muted.forwarded, at_mute.forwarded);
    stage.mute("bob", Source::Microphone, false);
    stage.until("sound again", traffic, |now| now.forwarded >= muted.forwarded + 10);

    stage.rights("bob", Rights { send: Sources::VIDEO, receive: true });
    let at_block = traffic(&stage);
    let pictures = alice.seen().on(&alice.video()).len();
    let blocked = stage.until("blocked packets", traffic, |now| now.dropped_blocked >= 20);
    assert_eq!(blocked.forwarded, at_block.forwarded);
    alice.until("the picture goes on", |seen| seen.on(&alice.video()).len() >= pictures + 10);
    stage.rights("bob", Rights::ALL);
    let lifted = alice.seen().on(&alice.audio()).len();
    let seen = alice.until("sound again", |seen| seen.on(&alice.audio()).len() >= lifted + 20);
    assert!(is_gapless(seen.on(&alice.audio())), "what was left out must not look like loss");
}

#[test]
fn a_packet_leaves_in_the_turn_in_which_it_came() {
    let (_stage, alice, bob) = in_a_call();
    alice.sends(Source::Camera);
    let seen = bob.until("200 packets", |seen| seen.on(&bob.video()).len() >= 200);
    let mut delays: Vec<Duration> = seen.on(&bob.video()).iter().map(|got| got.delay).collect();
    delays.sort_unstable();
    // Left to the next timer of the viewer's connection, half of them would wait for tens of milliseconds.
    let median = delays[delays.len() / 2];
    assert!(median < Duration::from_millis(15), "{median:?}");
}

#[test]
fn a_third_is_shown_to_the_others_by_the_slot_map_and_sees_both() {
    let stage = Stage::new();
    let join = |name, number| stage.join_as(&claims(name), Profile::Meeting, number);
    let (alice, bob) = (join("alice", 1), join("bob", 2));
    alice.sends(Source::Camera);
    bob.sends(Source::Camera);
    alice.gets_more_from(2, 10);
    bob.gets_more_from(1, 10);

    let carol = join("carol", 3);
    let promised: Vec<_> = carol.first_map.slots.iter().map(|slot| (slot.participation, slot.source)).collect();
    assert_eq!(promised, [(id("alice"), Source::Camera), (id("bob"), Source::Camera)]);
    carol.sends(Source::Camera);
    carol.gets_more_from(1, 10);
    carol.gets_more_from(2, 10);
    for client in [&alice, &bob] {
        client.gets_more_from(3, 10);
        let names_carol = |map: &signalling::SlotMap| map.slots.iter().any(|slot| slot.participation == id("carol"));
        let seen = client.until("a map with Carol", |seen| seen.maps.last().is_some_and(names_carol));
        let map = seen.maps.last().unwrap();
        let slot = map.slots.iter().find(|slot| slot.participation == id("carol")).unwrap();
        assert!(seen.on(&slot.mid).iter().all(|got| got.sender == 3) && !seen.on(&slot.mid).is_empty());
        assert!(seen.maps.windows(2).all(|pair| pair[0].epoch <= pair[1].epoch));
    }
}

#[test]
fn a_screen_takes_over_the_only_slot_without_a_gap_in_any_number() {
    let (_stage, alice, bob) = in_a_call();
    alice.sends(Source::Camera);
    bob.gets_more_from(1, 30);
    alice.sends(Source::Screen);
    let shows_screen = |map: &signalling::SlotMap| map.slots.iter().any(|slot| slot.source == Source::Screen);
    bob.until("the screen", |seen| seen.maps.last().is_some_and(shows_screen));
    bob.gets_more_from(1, 30);
    let seen = bob.seen();
    let got = seen.on(&bob.video());
    assert!(is_gapless(got));
    let pictures: Vec<u16> = got.iter().map(|got| got.picture.unwrap()).collect();
    assert!(pictures.windows(2).all(|pair| pair[1] == (pair[0] + 1) & 0x7fff), "{pictures:?}");
    let steps = got.windows(2).map(|pair| pair[1].time.wrapping_sub(pair[0].time));
    assert!(steps.into_iter().all(|step| (1..90_000).contains(&step)), "times must rise without a jump");
    let restart = got.windows(2).position(|pair| pair[1].frame < pair[0].frame).unwrap();
    assert!(got[restart + 1].key_frame, "the first frame of the screen is a key frame");
}

#[test]
fn a_key_frame_is_asked_for_again_until_it_comes() {
    let stage = Stage::new();
    let alice = stage.join("alice", 1);
    alice.order(Order::IgnoreKeyFrameRequests(true)).sends(Source::Camera);
    stage.until("Alice's camera", |stage| stage.participant("alice").publishing, |sources| sources.len() == 1);
    let bob = stage.join("bob", 2);
    let seen = alice.until("four requests", |seen| seen.plis.len() >= 4);
    let gaps: Vec<Duration> = seen.plis.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(gaps.iter().all(|gap| *gap >= Duration::from_millis(300)), "{gaps:?}");
    assert_eq!(bob.seen().total(), 0, "nothing may be forwarded before the key frame");
    alice.order(Order::IgnoreKeyFrameRequests(false));
    let seen = bob.until("the picture", |seen| seen.total() >= 10);
    assert!(seen.on(&bob.video())[0].key_frame);
}

#[test]
fn what_one_of_twenty_packets_lost_is_repaired() {
    let (_stage, alice, bob) = in_a_call();
    bob.order(Order::ThrowAwayOneOf(20));
    alice.sends(Source::Camera);
    let seen = bob.until("400 packets", |seen| seen.on(&bob.video()).len() >= 400);
    assert!(seen.thrown_away >= 20, "a run without loss shows nothing");
    // The newest may still be on their way.
    let got = seen.on(&bob.video());
    let first = got.iter().map(|got| got.seq).min().unwrap();
    let settled: Vec<Got> = got.iter().copied().filter(|got| got.seq < first + 350).collect();
    assert!(is_gapless(&settled), "a lost packet did not come back");
    assert_eq!(settled.iter().map(|got| got.seq).max(), Some(first + 349));
}

#[test]
fn a_terminal_that_moves_to_another_address_goes_on() {
    let (_stage, alice, bob) = in_a_call();
    alice.sends(Source::Microphone);
    bob.gets_more_from(1, 10);
    bob.order(Order::Move);
    alice.order(Order::Move);
    bob.gets_more_from(1, 20);
}

#[test]
fn behind_address_translation_the_advertised_address_is_enough() {
    let stage = Stage::with(|config| {
        config.media_addr = "0.0.0.0:0".parse().unwrap();
        config.advertised = vec!["192.0.2.7".parse().unwrap()];
    });
    // The translation is played by the answer: what is sent to 192.0.2.7 arrives at 127.0.0.1.
    let join = |name, number| {
        let offer = Offer::new(Profile::Call);
        let answer = stage.try_join(&claims(name), &offer.request).unwrap();
        let sdp = answer.sdp.replace("192.0.2.7", "127.0.0.1");
        offer.go(JoinAnswer { sdp, ..answer }, number)
    };
    let (alice, bob) = (join("alice", 1), join("bob", 2));
    alice.sends(Source::Camera);
    bob.gets_more_from(1, 20);
}

#[test]
fn peers_of_several_shards_find_theirs() {
    let stage = Stage::with(|config| config.shards = 3);
    let channels: Vec<signalling::ChannelId> =
        (0..6).map(|index| signalling::ChannelId(format!("channel {index}"))).collect();
    let mut calls = Vec::new();
    for channel in &channels {
        stage.open_another(channel);
        let join = |name, number| {
            stage.join_as(&JoinClaims { channel: channel.clone(), ..claims(name) }, Profile::Call, number)
        };
        calls.push((join("alice", 1), join("bob", 2)));
    }
    for (alice, bob) in &calls {
        alice.sends(Source::Microphone);
        bob.gets_more_from(1, 10);
    }
    assert_eq!(stage.rtc.stats().dropped(rtc::DropReason::ShardFull), 0);
    assert_eq!(calls[0].0.mid(Purpose::AudioSlot, 0), calls[0].0.audio());
}

#[test]
fn of_eleven_cameras_nine_are_shown_and_the_next_one_when_a_shown_one_leaves() {
    let stage = Stage::new();
    let viewer = stage.join_as(&claims("viewer"), Profile::Meeting, 100);
    let mut cameras: Vec<Client> = Vec::new();
    for number in 1..=11 {
        let camera = stage.join(&format!("camera {number}"), number);
        camera.sends(Source::Camera);
        viewer.until("as many pictures as fit", |seen| {
            let shown = (1..=number).filter(|sender| seen.from(*sender) > 0).count();
            shown == usize::from(number.min(9))
        });
        cameras.push(camera);
    }
    assert_eq!((viewer.seen().from(10), viewer.seen().from(11)), (0, 0));
    let map = viewer.seen().maps.last().cloned().unwrap();
    let videos: std::collections::BTreeSet<_> = map.slots.iter().map(|slot| slot.participation).collect();
    assert_eq!(videos.len(), 9, "nobody has two slots");
    stage.remove("camera 4");
    viewer.gets_more_from(10, 5);
    stage.mute("camera 1", Source::Camera, true);
    viewer.gets_more_from(11, 5);
}
