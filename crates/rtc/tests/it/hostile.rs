//! Strangers at the media port.

use crate::client::Order;
use crate::stage::Stage;
use rtc::DropReason;
use signalling::Source;
use std::net::UdpSocket;

/// A small generator with a fixed seed: the same noise every time.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn datagram(&mut self, first: u8) -> Vec<u8> {
        let len = 1 + self.next() as usize % 1_400;
        let mut bytes: Vec<u8> = (0..len).map(|_| self.next() as u8).collect();
        bytes[0] = first;
        bytes
    }
}

/// A binding request for a user fragment, with a MESSAGE-INTEGRITY of zeros.
fn unproven_binding(ufrag: &str) -> Vec<u8> {
    let username = format!("{ufrag}:x");
    let padded = username.len().next_multiple_of(4);
    let length = (4 + padded + 8 + 24) as u16;
    let mut bytes = [&[0, 1][..], &length.to_be_bytes(), &[0x21, 0x12, 0xa4, 0x42], &[7; 12]].concat();
    bytes.extend([0, 6]);
    bytes.extend((username.len() as u16).to_be_bytes());
    bytes.extend(username.as_bytes());
    bytes.resize(20 + 4 + padded, 0);
    let priority = [0, 0x24, 0, 4, 0, 0, 0, 1];
    bytes.extend(priority);
    bytes.extend([0, 8, 0, 20]);
    bytes.extend([0; 20]);
    bytes
}

#[test]
fn a_flood_of_noise_costs_nobody_anything() {
    let stage = Stage::new();
    let (alice, bob) = (stage.join("alice", 1), stage.join("bob", 2));
    alice.sends(Source::Camera).sends(Source::Microphone);
    bob.gets_more_from(1, 20);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut noise = Noise(0x0dd_ba11);
    let ufrag = alice.answer_sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap().trim();
    for round in 0..200 {
        for first in [0, 1, 20, 22, 63, 64, 128, 144, 191, 192, 255] {
            stranger.send_to(&noise.datagram(first), stage.rtc.local_addr()).unwrap();
        }
        stranger.send_to(&unproven_binding(ufrag), stage.rtc.local_addr()).unwrap();
        if round % 20 == 0 {
            bob.gets_more_from(1, 1);
        }
    }
    bob.gets_more_from(1, 50);
    let stats = stage.until(
        "the noise to be counted",
        |stage| stage.rtc.stats(),
        |stats| stats.dropped(DropReason::Unauthenticated) >= 50 && stats.dropped(DropReason::Malformed) >= 500,
    );
    assert!(stats.dropped(DropReason::UnknownSource) >= 500);
    assert_eq!((stats.peers, stage.participants().len()), (2, 2));
    assert_eq!(stats.dropped(DropReason::ShardFull), 0);
}

#[test]
fn a_flood_for_another_shard_does_not_shut_out_its_calls() {
    let stage = Stage::with(|config| config.shards = 2);
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    for round in 0..20_000 {
        let ufrag = if round % 2 == 0 { "00nobody" } else { "01nobody" };
        stranger.send_to(&unproven_binding(ufrag), stage.rtc.local_addr()).unwrap();
        if round % 1_000 == 0 {
            stage.admit("alice");
        }
    }
    stage.until(
        "strangers to be counted",
        |stage| stage.rtc.stats(),
        |stats| stats.dropped(DropReason::UnknownSource) + stats.dropped(DropReason::ShardFull) >= 1_000,
    );
    assert_eq!(stage.rtc.stats().peers, 0);
}

#[test]
fn a_terminal_that_sends_nonsense_harms_at_most_itself() {
    let stage = Stage::new();
    let (alice, bob, eve) = (stage.join("alice", 1), stage.join("bob", 2), stage.join("eve", 9));
    alice.sends(Source::Microphone);
    bob.gets_more_from(1, 10);
    let mut noise = Noise(0xbad_5eed);
    for _ in 0..100 {
        for first in [0, 1, 20, 21, 22, 23, 25, 63, 128, 144, 176, 191] {
            eve.order(Order::Raw(noise.datagram(first)));
        }
    }
    bob.gets_more_from(1, 100);
    assert_eq!(eve.seen().from(9), 0);
    assert!(stage.participants().len() >= 2);
}
