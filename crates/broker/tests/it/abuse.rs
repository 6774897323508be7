//! What one client does wrong costs nobody else anything.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::{Duration, Instant};

use limiter::Rate;
use mqtt::codec::{PropertiesBuf, Property, USER_PROPERTIES_MAX};
use mqtt::{ReasonCode, Version};

use crate::pipe::{Stream, tcp};
use crate::terminal::{Profile, Said, Terminal, publish_bytes};
use crate::world::{ALICE, BOB, SERVICE, World};

fn to(client_id: &str) -> String {
    format!("chat/p2p/{client_id}/note")
}

#[test]
fn a_malformed_packet_closes_only_its_own_connection() {
    let world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    let mut service = world.connect(Profile::passing(SERVICE));
    let malformed: [(&[u8], ReasonCode); 4] = [
        (&[0x00, 0x00], ReasonCode::MALFORMED_PACKET),
        (&[0x36, 0x02, 0x00, 0x00], ReasonCode::MALFORMED_PACKET),
        (&[0x30, 0xff, 0xff, 0xff, 0xff, 0x01], ReasonCode::MALFORMED_PACKET),
        (&[0x30, 0x80, 0x80, 0x80, 0x01], ReasonCode::PACKET_TOO_LARGE),
    ];
    for (bytes, reason) in malformed {
        let mut bad = world.connect(Profile::of(ALICE));
        bad.send(bytes);
        assert_eq!(bad.expect_end(), Said::Disconnect(reason));
        service.publish(&to(BOB), "still here");
        assert_eq!(bob.receive().payload, "still here");
    }
    for garbage in [&b"GET / HTTP/1.1\r\n\r\n"[..], &[0x10, 0x02, 0x00, 0x00], &[0xff; 100], &[0x16, 0x03, 0x01]] {
        let mut socket = tcp(world.address());
        socket.write_all(garbage).unwrap();
        socket.shutdown(Shutdown::Write).unwrap();
        let mut stranger = Terminal::open(Stream(socket), Version::V311);
        while stranger.next() != Said::Closed {}
    }
    world.until("the strangers are gone", |stats| stats.connections == 2);
    assert!(world.stats().protocol_errors >= 7, "{:?}", world.stats());
}

#[test]
fn a_payload_or_a_topic_that_is_too_large_is_refused_by_itself() {
    let world = World::new();
    let mut service = world.connect(Profile::passing(SERVICE));
    let mut bob = world.connect(Profile::of(BOB));
    let large = "x".repeat((64 << 10) + 1);
    assert_eq!(service.publish(&to(BOB), &large), ReasonCode::QUOTA_EXCEEDED);
    assert_eq!(service.publish(&to(BOB), &large[1..]), ReasonCode::SUCCESS);
    assert_eq!(bob.receive().payload.len(), 64 << 10);
    let long = format!("chat/{}", "y".repeat(60));
    assert_eq!(service.publish(&long, "x"), ReasonCode::TOPIC_NAME_INVALID);
    assert_eq!(service.publish(&long[..64], "x"), ReasonCode::NO_MATCHING_SUBSCRIBERS);
    let mut old = world.connect(Profile::v311(ALICE));
    old.send(&publish_bytes(Version::V311, Some(1), "meeting-up/x", large.as_bytes(), &PropertiesBuf::new()));
    assert_eq!(old.expect_end(), Said::Closed);
    let mut new = world.connect(Profile::of(ALICE));
    new.send(&publish_bytes(Version::V5, Some(1), "meeting-up/x", &vec![0; 140_000], &PropertiesBuf::new()));
    assert_eq!(new.expect_end(), Said::Disconnect(ReasonCode::PACKET_TOO_LARGE));
}

/// As docs/wire.md says.
#[test]
fn what_is_no_topic_name_or_has_too_many_properties_ends_the_connection() {
    let world = World::new();
    let mut properties = PropertiesBuf::new();
    (0..=USER_PROPERTIES_MAX).for_each(|_| properties.push(Property::UserProperty("k", "v")).unwrap());
    let (none, end) = (PropertiesBuf::new(), Said::Disconnect);
    let table = [
        ("meeting-up/+", &none, end(ReasonCode::TOPIC_NAME_INVALID)),
        ("#", &none, end(ReasonCode::TOPIC_NAME_INVALID)),
        ("", &none, end(ReasonCode::PROTOCOL_ERROR)),
        ("meeting-up/x", &properties, end(ReasonCode::QUOTA_EXCEEDED)),
    ];
    for (topic, properties, expected) in table {
        let mut alice = world.connect(Profile::of(ALICE));
        alice.send(&publish_bytes(Version::V5, Some(1), topic, b"x", properties));
        assert_eq!(alice.expect_end(), expected, "{topic}");
    }
}

#[test]
fn an_end_user_who_floods_is_read_at_its_pace_and_loses_nothing() {
    let world = World::with(|limits| limits.user_publishes = Rate { burst: 4, per_second: 20 });
    let mut alice = world.connect(Profile::of(ALICE));
    let began = Instant::now();
    let flood: Vec<u8> = (1..=12)
        .flat_map(|id| publish_bytes(Version::V5, Some(id), "meeting-up/create", b"x", &PropertiesBuf::new()))
        .collect();
    alice.send(&flood);
    for id in 1..=12 {
        assert_eq!(alice.next(), Said::Puback { id, reason: ReasonCode::SUCCESS });
    }
    // Eight messages beyond the burst, the first of them at once, then one each 50 ms: 350, less the millisecond to which
    // the server's clock is cut.
    assert!(began.elapsed() >= Duration::from_millis(349), "{:?}", began.elapsed());
    alice.ping();
}

#[test]
fn a_reader_that_does_not_read_does_not_hurt_one_that_does() {
    let world = World::new();
    let slow_id = "GID_dev@@@slow";
    let _slow = world.connect(Profile::passing(slow_id));
    let mut bob = world.connect(Profile::of(BOB));
    let mut service = world.connect(Profile::passing(SERVICE));
    let payload = "x".repeat(60_000);
    let mut sent = 0;
    while world.stats().dropped_slow == 0 {
        service.publish_qos0(&to(slow_id), &payload);
        service.publish(&to(BOB), "you");
        assert_eq!(bob.receive().payload, "you");
        sent += 1;
        assert!(sent < 2000, "a socket that takes everything");
    }
    service.publish(&to(BOB), "at once");
    assert_eq!(bob.receive().payload, "at once");
}

#[test]
fn a_slow_reader_gets_all_that_was_kept_for_it_when_it_reads_again() {
    let world = World::new();
    let mut slow = world.connect(Profile { receive_maximum: Some(1000), ..Profile::of(BOB) });
    let mut service = world.connect(Profile::passing(SERVICE));
    let payload = "x".repeat(60_000);
    for number in 0..150 {
        let reason = service.publish(&to(BOB), &format!("{number}:{payload}"));
        assert_eq!(reason, ReasonCode::SUCCESS, "{number}: {:?}", world.stats());
    }
    for number in 0..150 {
        assert!(slow.receive().payload.starts_with(&format!("{number}:")));
    }
    slow.expect_nothing();
}

#[test]
fn connections_beyond_the_limit_are_closed_and_there_is_room_again_later() {
    let world = World::with(|limits| limits.connections_per_address_max = 2);
    let first = world.connect(Profile::of(ALICE));
    let mut second = world.connect(Profile::of(BOB));
    let mut third = Terminal::open(Stream(tcp(world.address())), Version::V5);
    // The connection may be reset before the CONNECT is written.
    let _ = third.try_send(&Profile::of(SERVICE).to_bytes());
    assert_eq!(third.next(), Said::Closed);
    second.ping();
    first.disconnect();
    world.until("one is gone", |stats| stats.connections == 1);
    world.connect(Profile::of(SERVICE)).ping();
}

#[test]
fn packets_in_pieces_and_many_in_one_are_the_same() {
    let world = World::new();
    let mut pieces = Terminal::open(Stream(tcp(world.address())), Version::V5);
    for byte in Profile::of(SERVICE).to_bytes() {
        pieces.send(&[byte]);
    }
    pieces.expect_connack().unwrap();
    let many: Vec<u8> = (1..=100)
        .flat_map(|id| publish_bytes(Version::V5, Some(id), &to(BOB), id.to_string().as_bytes(), &PropertiesBuf::new()))
        .collect();
    pieces.send(&many);
    for id in 1..=100 {
        assert_eq!(pieces.next(), Said::Puback { id, reason: ReasonCode::SUCCESS });
    }
    let expected: Vec<String> = (1..=100).map(|id| id.to_string()).collect();
    assert_eq!(world.connect(Profile::of(BOB)).receive_payloads(100), expected);
}

/// Two publishers flood one receiver as fast as the sockets go; whoever owns whom, mailboxes fill and publishers wait.
#[test]
fn a_flood_arrives_whole_and_in_the_order_of_each_publisher() {
    const EACH: u32 = 5000;
    let world = World::new();
    let mut receiver = world.connect(Profile::passing("GID_dev@@@flooded"));
    std::thread::scope(|scope| {
        for publisher in ["a", "b"] {
            let profile = Profile { clean_start: true, ..Profile::v311(&format!("GID_dev@@@flood-{publisher}")) };
            let mut terminal = world.connect(profile);
            scope.spawn(move || flood(&mut terminal, publisher, EACH));
        }
        let mut next = std::collections::HashMap::from([("a".to_owned(), 0), ("b".to_owned(), 0)]);
        for _ in 0..2 * EACH {
            let received = receiver.receive();
            let (publisher, number) = received.payload.split_once(':').unwrap();
            let expected = next.get_mut(publisher).unwrap();
            assert_eq!(number.parse(), Ok(*expected), "{publisher}");
            *expected += 1;
        }
    });
    receiver.expect_nothing();
    assert_eq!(world.stats().inbox_full, 0);
}

/// 3.1.1 does not know our Receive Maximum: it sends all it has, and the broker holds it back.
fn flood(terminal: &mut Terminal, publisher: &str, count: u32) {
    const AT_ONCE: u32 = 500;
    for start in (0..count).step_by(AT_ONCE as usize) {
        let bytes: Vec<u8> = (start..start + AT_ONCE)
            .flat_map(|number| {
                let id = u16::try_from(number % 60_000 + 1).unwrap();
                let payload = format!("{publisher}:{number}");
                publish_bytes(
                    Version::V311,
                    Some(id),
                    &to("GID_dev@@@flooded"),
                    payload.as_bytes(),
                    &PropertiesBuf::new(),
                )
            })
            .collect();
        terminal.send(&bytes);
        for number in start..start + AT_ONCE {
            let id = u16::try_from(number % 60_000 + 1).unwrap();
            assert_eq!(terminal.next(), Said::Puback { id, reason: ReasonCode::SUCCESS });
        }
    }
}
