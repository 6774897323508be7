//! Unknown senders at the media port, and hostile joins.

use crate::client::{Offer, Order};
use crate::stage::{Stage, claims, wish};
use rtc::{DropReason, LeftReason};
use signalling::{JoinRequest, Profile, Source};
use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

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
    let malformed = |stage: &Stage| stage.rtc.stats().dropped(DropReason::Malformed);
    stage.until("the nonsense to arrive", malformed, |count| *count >= 50);
    bob.gets_more_from(1, 100);
    let seen = bob.seen();
    assert_eq!(seen.total(), seen.from(1), "all that reaches Bob is Alice's");
    let there: Vec<_> = stage.participants().into_iter().map(|participant| participant.user).collect();
    assert!(there.contains(&"alice".into()) && there.contains(&"bob".into()), "{there:?}");
}

#[test]
fn a_stranger_gets_not_a_single_byte_back() {
    let stage = Stage::new();
    let offer = Offer::new(Profile::Call);
    let answer = stage.try_join(&claims("alice"), &offer.request).unwrap();
    let ufrag = answer.sdp.lines().find_map(|line| line.strip_prefix("a=ice-ufrag:")).unwrap().trim();
    let stranger = UdpSocket::bind("127.0.0.1:0").unwrap();
    let mut noise = Noise(0xec_0000);
    for first in [0, 1, 20, 22, 63, 128, 191].repeat(50) {
        stranger.send_to(&noise.datagram(first), stage.rtc.local_addr()).unwrap();
        stranger.send_to(&unproven_binding(ufrag), stage.rtc.local_addr()).unwrap();
    }
    let stats = stage.until(
        "strangers to be counted",
        |stage| stage.rtc.stats(),
        |stats| stats.dropped(DropReason::Unauthenticated) >= 100,
    );
    assert_eq!(stats.packets_out, 0);
}

/// One change that a hostile terminal might make to a line of its offer.
fn twist(line: &str, noise: &mut Noise) -> String {
    let number = noise.next();
    match number % 12 {
        0 => String::new(),
        1 => format!("{line}\r\n{line}"),
        2 => line.chars().rev().collect(),
        3 => line[..line.len() / 2].to_owned(),
        4 => format!("{line} {}", u64::MAX),
        5 => line.replace(|c: char| c.is_ascii_digit(), "9"),
        6 => line.replace(|c: char| c.is_ascii_digit(), "0"),
        7 => line.replace(':', "::"),
        8 => format!("{line}{}", "x".repeat(3_000)),
        9 => format!("a=rtpmap:{} VP8/90000", number % 300),
        10 => format!("a=fmtp:{} apt={}", number % 300, number % 7),
        _ => format!("a=ssrc-group:FID {number} {number}\r\na=extmap:{} urn:x\r\n{line}", number % 300),
    }
}

#[test]
fn whatever_an_offer_says_it_is_answered_or_refused_and_nothing_breaks() {
    let stage = Stage::new();
    let good = Offer::new(Profile::Call).request;
    let mut noise = Noise(0x5d9_0ffe);
    let mut outcomes = BTreeMap::<u16, usize>::new();
    for _ in 0..400 {
        let mut lines: Vec<String> = good.sdp.lines().map(str::to_owned).collect();
        for _ in 0..=noise.next() % 3 {
            let at = noise.next() as usize % lines.len();
            lines[at] = twist(&lines[at], &mut noise);
        }
        let offer = JoinRequest { sdp: lines.join("\r\n") + "\r\n", ..good.clone() };
        let status = stage.try_join(&claims("eve"), &offer).map_or_else(|refusal| refusal.status, |_| 200);
        *outcomes.entry(status).or_default() += 1;
    }
    let known = outcomes.keys().all(|status| [200, 400, 413].contains(status));
    assert!(known && outcomes[&200] > 20 && outcomes[&400] > 20, "{outcomes:?}");
    let (alice, bob) = (stage.join("alice", 1), stage.join("bob", 2));
    alice.sends(Source::Microphone);
    bob.gets_more_from(1, 10);
}

#[test]
fn the_longest_offers_take_no_longer_than_a_moment() {
    let stage = Stage::new();
    let good = Offer::new(Profile::Call).request;
    for line in [
        "a=x",
        "a=rtpmap:96 VP8/90000",
        "a=fmtp:96 apt=96",
        "a=extmap:1 urn:x",
        "a=ssrc:1 cname:x",
        "a=candidate:1 1 udp 1 10.0.0.1 1 typ host",
        "a=rid:1 send",
        "a=group:BUNDLE 0 1 2 3 4 5 6",
        "a=fingerprint:sha-256 00:00",
        "a=ice-options:trickle renomination a b c",
        "((((((((((((((((((((((",
    ] {
        let room = 127 * 1024 - good.sdp.len();
        let many = format!("{line}\r\n").repeat(room / (line.len() + 2));
        let offer = JoinRequest { sdp: format!("{}{many}", good.sdp), ..good.clone() };
        let began = Instant::now();
        let status = stage.try_join(&claims("eve"), &offer).map_or_else(|refusal| refusal.status, |_| 200);
        println!("{line}: {status} after {} ms", began.elapsed().as_millis());
        assert!([200, 400].contains(&status), "{line}: {status}");
        assert!(began.elapsed() < Duration::from_secs(2), "{line}: {:?}", began.elapsed());
    }
}

#[test]
fn joins_at_once_take_turns_and_a_slow_body_is_refused() {
    let stage = Stage::new();
    let request = serde_json::to_vec(&Offer::new(Profile::Call).request).unwrap();
    let url = format!("http://{}/rtc/v1/join", stage.http);
    let client = reqwest::Client::new();
    let post = |name: &str| client.post(&url).bearer_auth(stage.token(&claims(name))).body(request.clone()).send();
    for number in 0..60 {
        let name = format!("guest {number}");
        stage.wish(&name, wish(&name));
    }
    let all = (0..60).map(|number| post(&format!("guest {number}")));
    let all: Vec<_> = stage.runtime.block_on(async { all.map(tokio::spawn).collect() });
    for answer in all {
        assert_eq!(stage.runtime.block_on(answer).unwrap().unwrap().status(), 200);
    }
    let mut slow = TcpStream::connect(stage.http).unwrap();
    let token = stage.token(&claims("eve"));
    write!(
        slow,
        "POST /rtc/v1/join HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {token}\r\ncontent-length: 9\r\n\r\n{{"
    )
    .unwrap();
    let mut answer = [0; 12];
    slow.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    slow.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"HTTP/1.1 408");
}

#[test]
fn a_guest_that_opens_thousands_of_data_channels_harms_at_most_itself() {
    let stage = Stage::new();
    let (alice, bob, eve) = (stage.join("alice", 1), stage.join("bob", 2), stage.join("eve", 9));
    alice.sends(Source::Microphone);
    bob.gets_more_from(1, 10);
    eve.until("its first data channel", |seen| seen.listens);
    let before = stage.rtc.stats().packets_in;
    eve.order(Order::OpenChannels(5_000));
    // Bob hears Alice all the while: beside a thousand packets of the flood, and for at least eight seconds.
    let mut rounds = 0;
    while rounds < 20 || stage.rtc.stats().packets_in < before + 1_000 {
        bob.gets_more_from(1, 20);
        rounds += 1;
        assert!(rounds < 200, "no flood came");
    }
    let there: Vec<_> = stage.participants().into_iter().map(|participant| participant.user).collect();
    assert!(there.iter().any(|user| user.as_str() == "alice") && there.iter().any(|user| user.as_str() == "bob"));
}

#[test]
fn a_guest_that_sends_from_ever_new_ssrcs_is_ended_and_a_few_are_taken() {
    let mut stage = Stage::new();
    let (alice, eve) = (stage.join("alice", 1), stage.join("eve", 9));
    stage.expect_joined("alice");
    stage.expect_joined("eve");
    eve.order(Order::ChangeSsrc(20)).sends(Source::Camera);
    alice.gets_more_from(9, 40);
    eve.order(Order::ChangeSsrc(1_000));
    stage.expect_left("eve", LeftReason::Failed);
    assert_eq!(stage.participants().len(), 1);
}
