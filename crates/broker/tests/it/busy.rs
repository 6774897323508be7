//! The log takes nothing for a while: who publishes waits, and nobody is refused or disturbed.

use std::net::Shutdown;

use mqtt::codec::PropertiesBuf;
use mqtt::{ReasonCode, Version};

use crate::pipe::{Stream, tcp};
use crate::terminal::{Profile, Said, Terminal, publish_bytes};
use crate::world::{ALICE, BOB, CAROL, SERVICE, World};

/// Together more than the log takes without a sync.
const COUNT: u16 = 40;
const PAYLOAD_BYTES: usize = 40_000;

fn publish_all(terminal: &mut Terminal, version: Version, sender: &str) {
    for id in 1..=COUNT {
        let payload = format!("{sender}:{id}:{}", "x".repeat(PAYLOAD_BYTES));
        let topic = format!("meeting-up/{sender}");
        terminal.send(&publish_bytes(version, Some(id), &topic, payload.as_bytes(), &PropertiesBuf::new()));
    }
}

fn expect_all_acknowledged(terminal: &mut Terminal) {
    for id in 1..=COUNT {
        assert_eq!(terminal.next(), Said::Puback { id, reason: ReasonCode::SUCCESS });
    }
}

fn number(payload: &[u8], sender: &str) -> Option<u16> {
    let text = std::str::from_utf8(payload).unwrap();
    text.strip_prefix(sender)?.split(':').nth(1)?.parse().ok()
}

#[test]
fn a_publish_to_the_queue_waits_while_the_log_is_busy_and_keeps_its_order() {
    let world = World::new();
    let mut old = world.connect(Profile::v311(ALICE));
    let mut new = world.connect(Profile::of(BOB));
    let mut service = world.connect(Profile::passing(SERVICE));
    let mut carol = world.connect(Profile::passing(CAROL));
    world.storage.hold_syncs();
    std::thread::scope(|scope| {
        // Their sockets fill, since they are not read.
        let old = scope.spawn(|| {
            publish_all(&mut old, Version::V311, "old");
            expect_all_acknowledged(&mut old);
        });
        let new = scope.spawn(|| {
            publish_all(&mut new, Version::V5, "new");
            expect_all_acknowledged(&mut new);
        });
        world.until("both wait", |stats| stats.waited_for_log == 2);
        service.publish_qos0(&format!("chat/p2p/{CAROL}/note"), "nobody else waits");
        assert_eq!(carol.receive().payload, "nobody else waits");
        // One message of each waits, whatever more they have sent.
        assert_eq!(world.stats().waited_for_log, 2);
        assert!(world.stats().received < u64::from(2 * COUNT));
        world.storage.release_syncs();
        old.join().unwrap();
        new.join().unwrap();
    });
    assert_eq!((world.stats().refused_by_log, world.stats().refused_publishes), (0, 0));
    let bodies: Vec<_> = (0..2 * COUNT).map(|_| world.receive("meeting-up").message.body).collect();
    for sender in ["old", "new"] {
        let numbers: Vec<u16> = bodies.iter().filter_map(|body| number(body, sender)).collect();
        assert_eq!(numbers, (1..=COUNT).collect::<Vec<_>>(), "{sender}");
    }
}

#[test]
fn a_publisher_that_is_not_read_is_not_taken_for_silent() {
    let world = World::new();
    let mut alice = world.connect(Profile { keep_alive_s: 5, ..Profile::of(ALICE) });
    let mut silent = world.connect(Profile { keep_alive_s: 5, ..Profile::passing(BOB) });
    world.storage.hold_syncs();
    std::thread::scope(|scope| {
        let alice = scope.spawn(|| {
            publish_all(&mut alice, Version::V5, "alice");
            expect_all_acknowledged(&mut alice);
        });
        world.until("she waits", |stats| stats.waited_for_log == 1);
        silent.ping();
        // Who was heard later than she is given up, so her time would be over too.
        assert_eq!(silent.expect_end(), Said::Disconnect(ReasonCode::KEEP_ALIVE_TIMEOUT));
        world.storage.release_syncs();
        alice.join().unwrap();
    });
}

#[test]
fn the_end_of_a_connection_is_seen_behind_what_it_sent_last() {
    let world = World::new();
    let mut service = world.connect(Profile::of(SERVICE));
    let socket = tcp(world.address());
    let end = socket.try_clone().unwrap();
    let mut alice = Terminal::open(Stream(socket), Version::V5);
    alice.send(&Profile::of(ALICE).to_bytes());
    alice.expect_connack().unwrap();
    world.storage.hold_syncs();
    for id in 1..=COUNT {
        let payload = "x".repeat(PAYLOAD_BYTES);
        let topic = format!("chat/p2p/{BOB}/note");
        service.send(&publish_bytes(Version::V5, Some(id), &topic, payload.as_bytes(), &PropertiesBuf::new()));
    }
    world.until("the log is busy", |stats| {
        stats.waited_for_log > 0 && stats.stored + stats.waited_for_log == u64::from(COUNT)
    });
    // Where one of those did not fit, this does not either.
    let (waiting, large) = (world.stats().waited_for_log, "x".repeat(PAYLOAD_BYTES + PAYLOAD_BYTES / 2));
    alice.send(&publish_bytes(Version::V5, Some(1), "meeting-up/last", large.as_bytes(), &PropertiesBuf::new()));
    world.until("she waits", |stats| stats.waited_for_log == waiting + 1);
    // Both are there when she is read again.
    alice.send(&publish_bytes(Version::V5, None, "meeting-up/last", b"last", &PropertiesBuf::new()));
    end.shutdown(Shutdown::Write).unwrap();
    world.storage.release_syncs();
    world.until("her connection has ended", |stats| stats.connections == 1);
    assert_eq!([large.as_str(), "last"].map(|_| world.receive("meeting-up").message.body), [large.as_str(), "last"]);
}
