//! What outlives a connection.

use std::io::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mqtt::ReasonCode;

use crate::terminal::{Profile, Said, Terminal};
use crate::world::{ALICE, BOB, SERVICE, World};

fn to(client_id: &str) -> String {
    format!("chat/p2p/{client_id}/note")
}

#[test]
fn what_was_not_acknowledged_comes_again_with_dup_and_the_same_id() {
    let world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    let mut service = world.connect(Profile::passing(SERVICE));
    service.publish(&to(BOB), "one");
    service.publish(&to(BOB), "two");
    let (first, second) = (bob.take(), bob.take());
    bob.ack(&first);
    bob.ping();
    drop(bob);
    let mut bob = world.connect(Profile::of(BOB));
    assert!(bob.session_present);
    let again = bob.receive();
    assert_eq!((again.payload.as_str(), again.dup, again.id), ("two", true, second.id));
    bob.expect_nothing();
}

#[test]
fn a_second_connection_takes_the_session_over() {
    let world = World::new();
    let mut first = world.connect(Profile::of(BOB));
    let mut second = world.connect(Profile::of(BOB));
    assert_eq!(first.expect_end(), Said::Disconnect(ReasonCode::SESSION_TAKEN_OVER));
    assert!(second.session_present);
    let mut service = world.connect(Profile::passing(SERVICE));
    service.publish(&to(BOB), "for the second");
    assert_eq!(second.receive().payload, "for the second");
    // Its PUBACK has arrived.
    second.ping();
    let mut third = world.connect(Profile::v311(BOB));
    assert!(third.session_present);
    assert_eq!(second.expect_end(), Said::Disconnect(ReasonCode::SESSION_TAKEN_OVER));
    service.publish(&to(BOB), "for the third");
    assert_eq!(third.receive().payload, "for the third");
    assert_eq!(world.stats().taken_over, 2);
}

#[test]
fn a_clean_start_empties_the_own_inbox() {
    let world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    let mut service = world.connect(Profile::passing(SERVICE));
    service.publish(&to(BOB), "old");
    service.publish(&to(ALICE), "hers");
    let mut bob = world.connect(Profile { clean_start: true, ..Profile::of(BOB) });
    assert!(!bob.session_present);
    bob.expect_nothing();
    service.publish(&to(BOB), "new");
    assert_eq!(bob.receive().payload, "new");
    assert_eq!(world.connect(Profile::of(ALICE)).receive().payload, "hers");
}

#[test]
fn a_session_ends_when_its_time_is_over() {
    let world = World::new();
    let brief = Profile { session_expiry_s: Some(1), ..Profile::of(SERVICE) };
    let mut service = world.connect(brief.clone());
    service.subscribe(&["chat/#"]);
    service.disconnect();
    assert!(world.connect(brief.clone()).session_present);
    world.until("the session has ended", |stats| stats.sessions == 0);
    assert!(!world.connect(brief).session_present);
}

#[test]
fn a_session_expiry_that_is_too_long_is_cut_and_told() {
    let world = World::with(|limits| limits.session_expiry_max = Duration::from_secs(100));
    let bob = world.connect(Profile { session_expiry_s: Some(u32::MAX), ..Profile::of(BOB) });
    assert_eq!(bob.session_expiry_s, Some(100));
    bob.disconnect();
    assert_eq!(world.connect(Profile { session_expiry_s: Some(99), ..Profile::of(BOB) }).session_expiry_s, None);
}

#[test]
fn silence_beyond_the_keep_alive_ends_the_connection() {
    let world = World::new();
    let mut silent = world.connect(Profile { keep_alive_s: 1, ..Profile::of(BOB) });
    let mut old = world.connect(Profile { keep_alive_s: 1, ..Profile::v311(ALICE) });
    let mut other = world.connect(Profile::of(SERVICE));
    assert_eq!(silent.expect_end(), Said::Disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT));
    assert_eq!(old.expect_end(), Said::Closed);
    other.ping();
}

/// [MQTT5-3.1.2-22]: what counts are packets.
#[test]
fn a_trickle_of_bytes_that_makes_no_packet_is_silence() {
    let world = World::new();
    let socket = crate::pipe::tcp(world.address());
    let mut trickle = socket.try_clone().unwrap();
    let mut bob = Terminal::open(crate::pipe::Stream(socket), mqtt::Version::V5);
    bob.send(&Profile { keep_alive_s: 1, ..Profile::of(BOB) }.to_bytes());
    bob.expect_connack().unwrap();
    let has_ended = AtomicBool::new(false);
    let said = std::thread::scope(|scope| {
        scope.spawn(|| {
            // A PUBLISH that never becomes whole.
            let mut bytes = [0x30, 0xff, 0x7f].into_iter().chain(std::iter::repeat(b'a'));
            while !has_ended.load(Ordering::SeqCst)
                && bytes.next().is_some_and(|byte| trickle.write_all(&[byte]).is_ok())
            {
                std::thread::sleep(Duration::from_millis(100));
            }
        });
        let said = bob.next();
        has_ended.store(true, Ordering::SeqCst);
        said
    });
    assert_eq!(said, Said::Disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT));
}

#[test]
fn whoever_connects_and_says_nothing_is_sent_away() {
    let world = World::with(|limits| limits.connect_deadline = Duration::from_millis(200));
    let mut silent = Terminal::open(crate::pipe::Stream(crate::pipe::tcp(world.address())), mqtt::Version::V5);
    assert_eq!(silent.next(), Said::Closed);
    world.until("it is gone", |stats| stats.connections == 0);
}

#[test]
fn a_stop_tells_the_clients_why() {
    let mut world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    world.stop();
    assert_eq!(bob.expect_end(), Said::Disconnect(ReasonCode::SERVER_SHUTTING_DOWN));
}
