//! Garbage on the media port: nothing is answered to a sender that has not proved that it knows a secret.

use super::join_endpoint::{OFFER, Token, join, offer};
use super::{Addresses, Scene};
use crate::support::{Random, seed};
use std::io::ErrorKind;
use std::net::UdpSocket;
use std::time::Duration;

const DATAGRAMS: usize = 20_000;
const MTU: u64 = 1_400;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// What comes to an open port, by turns; `fragment` is one that a peer has.
fn datagram(turn: usize, fragment: &str, random: &mut Random) -> Vec<u8> {
    let noise = |random: &mut Random, length: u64| (0..length).map(|_| random.next(256) as u8).collect::<Vec<u8>>();
    let length = random.next(MTU);
    let first = match turn % 6 {
        0 => return binding_request(fragment, random),
        1 => return binding_request(&format!("{:08x}", random.next(u64::from(u32::MAX))), random),
        // Nothing at all, too.
        5 if length.is_multiple_of(2) => return Vec::new(),
        // DTLS, RTP, and whatever else.
        2 => 20 + random.next(44) as u8,
        3 => 128 + random.next(64) as u8,
        _ => random.next(256) as u8,
    };
    [vec![first], noise(random, length)].concat()
}

/// A STUN binding request (RFC 8489 §5) without MESSAGE-INTEGRITY.
fn binding_request(fragment: &str, random: &mut Random) -> Vec<u8> {
    let name = format!("{fragment}:abcd");
    let padded = name.len().next_multiple_of(4);
    let mut attribute = vec![0, 6, 0, name.len() as u8];
    attribute.extend(name.bytes());
    attribute.resize(4 + padded, 0);
    let mut bytes = vec![0, 1, 0, attribute.len() as u8];
    bytes.extend(MAGIC_COOKIE);
    bytes.extend((0..12).map(|_| random.next(256) as u8));
    bytes.extend(attribute);
    bytes
}

#[test]
fn a_flood_of_garbage_on_the_media_port_is_not_answered() {
    let mut scene = Scene::start().expect("the server starts");
    let Addresses { media, http, .. } = scene.addresses().expect("addresses");
    let token = Token::of_a_call(&scene).expect("alice is admitted").given;
    let joined = join(http, &token, &offer(OFFER)).expect("an answer").body;
    let fragment = joined.split("a=ice-ufrag:").nth(1).and_then(|rest| rest.split("\\r").next());
    let fragment = fragment.expect("a user fragment").to_owned();
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a socket");
    socket.connect(media).expect("an address");
    let mut random = seed("udp_garbage");
    let mut turn = 0;
    let flood = || {
        turn += 1;
        socket.send(&datagram(turn, &fragment, &mut random))?;
        Ok(())
    };
    scene.costs_nothing(DATAGRAMS, flood).expect("nobody is harmed");
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a time limit");
    let answered = socket.recv(&mut [0; 2048]).expect_err("nothing is answered");
    assert!(matches!(answered.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{answered}");
}
