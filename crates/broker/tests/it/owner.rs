//! What owners see of clients, and what they order.

use accounts::clients::{ClientState, Clients, Depth, InboxState, Protocol, Purged, Turn};
use mqtt::ReasonCode;

use crate::terminal::{Profile, Said};
use crate::world::{ALICE, BOB, CAROL, KEY, SERVICE, World, now_ms};

fn to(client_id: &str) -> String {
    format!("chat/p2p/{client_id}/note")
}

impl World {
    fn states(&self, client_ids: &[&str]) -> Vec<ClientState> {
        let ids = client_ids.iter().map(|id| (*id).to_owned()).collect();
        self.runtime.block_on(self.broker().states(ids, Depth::All, Turn::uncounted())).unwrap()
    }

    fn state(&self, client_id: &str) -> ClientState {
        self.states(&[client_id]).remove(0)
    }

    fn kick(&self, client_id: &str) -> bool {
        self.runtime.block_on(self.broker().kick(client_id, "go and come back", Turn::uncounted())).unwrap()
    }

    fn purge(&self, client_id: &str) -> (u64, u64) {
        let answer = self.broker().purge(client_id, Turn::uncounted());
        let Purged { purged, in_flight } = self.runtime.block_on(answer).unwrap();
        (purged, in_flight)
    }

    /// So many messages wait for a client that is away.
    fn fill(&self, client_id: &str, count: usize) {
        let mut service = self.connect(Profile::passing(SERVICE));
        for number in 0..count {
            assert_eq!(service.publish(&to(client_id), &number.to_string()), ReasonCode::SUCCESS);
        }
    }
}

#[test]
fn the_connections_of_a_key_are_counted_on_all_workers() {
    let world = World::new();
    let _device = world.connect(Profile::of(ALICE));
    let services: Vec<_> = (0..9).map(|n| world.connect(Profile::of(&format!("GID_dev@@@svc-{n}")))).collect();
    let of_key =
        |key_id: &str| world.runtime.block_on(world.broker().connections_of_key(key_id, Turn::uncounted())).unwrap();
    assert_eq!((of_key(KEY.0), of_key("none")), (9, 0));
    drop(services);
    world.until("they are gone", |stats| stats.connections == 1);
    assert_eq!(of_key(KEY.0), 0);
}

#[test]
fn a_client_is_described_as_it_is_connected_and_as_it_is_away() {
    let mut world = World::new();
    assert_eq!(world.state(BOB), ClientState::default(), "it has never been here");
    let before_ms = now_ms();
    let bob = world.connect(Profile { keep_alive_s: 77, ..Profile::of(BOB) });
    let state = world.state(BOB);
    let connection = state.connection.unwrap();
    assert!((before_ms..=now_ms()).contains(&connection.since_ms), "{connection:?}");
    assert!((connection.since_ms..=now_ms()).contains(&connection.last_packet_ms), "{connection:?}");
    assert!(connection.address.starts_with("127.0.0.1:"), "{connection:?}");
    let how = (connection.protocol, connection.tls, connection.websocket, connection.keep_alive_s);
    assert_eq!(how, (Protocol::V5, false, false, 77));
    let session = state.session.unwrap();
    assert_eq!((session.account.as_str(), session.disconnected_ms, session.ends_at_ms), ("user:bob", None, None));
    assert!(session.expiry_s.is_some_and(|expiry_s| expiry_s > 0));

    bob.disconnect();
    world.until("it is off", |stats| stats.connections == 0);
    world.fill(BOB, 3);
    for _ in 0..2 {
        let away = world.state(BOB);
        let session = away.session.unwrap();
        assert_eq!((away.connection, away.inbox.messages, away.inbox.in_flight), (None, 3, 0));
        assert!(away.inbox.bytes > 3);
        let (left, ends) = (session.disconnected_ms.unwrap(), session.ends_at_ms.unwrap());
        assert_eq!(left + u64::from(session.expiry_s.unwrap()) * 1000, ends);
        assert!((before_ms..=now_ms()).contains(&left));
        world.restart();
    }
}

#[test]
fn whoever_was_connected_when_the_power_went_is_away_at_once() {
    let mut world = World::new();
    let _bob = world.connect(Profile::of(BOB));
    assert!(world.state(BOB).connection.is_some());
    world.cut_power();
    let state = world.state(BOB);
    assert!(state.connection.is_none() && state.session.is_some(), "{state:?}");
}

#[test]
fn a_hundred_clients_are_described_in_the_order_of_the_question() {
    let world = World::new();
    let services: Vec<String> = (0..50).map(|n| format!("GID_dev@@@many-{n}")).collect();
    let _connected: Vec<_> = services.iter().map(|id| world.connect(Profile::of(id))).collect();
    let unknown: Vec<String> = (0..50).map(|n| format!("GID_dev@@@none-{n}")).collect();
    let asked: Vec<&str> = services.iter().zip(&unknown).flat_map(|(one, other)| [&**one, &**other]).collect();
    let states = world.states(&asked);
    assert_eq!(states.len(), 100);
    for (at, state) in states.iter().enumerate() {
        assert_eq!(state.connection.is_some(), at % 2 == 0, "{}", asked[at]);
    }
    assert_eq!(world.states(&[]), []);
    let twice = world.states(&[&services[0], &services[0]]);
    assert_eq!(twice[0], twice[1]);
}

#[test]
fn a_kicked_client_is_told_why_and_finds_its_session_again() {
    let world = World::new();
    let mut bob = world.connect(Profile::of(BOB));
    let mut alice = world.connect(Profile::v311(ALICE));
    assert!(world.kick(BOB) && world.kick(ALICE));
    assert_eq!(bob.expect_end(), Said::Disconnect(ReasonCode::ADMINISTRATIVE_ACTION));
    assert_eq!(bob.last_words.as_deref(), Some("go and come back"));
    assert_eq!(alice.expect_end(), Said::Closed);
    assert!(!world.kick(BOB) && !world.kick("GID_dev@@@nobody"), "nobody is there");
    world.fill(BOB, 1);
    let mut bob = world.connect(Profile::of(BOB));
    assert!(bob.session_present);
    assert_eq!(bob.receive().payload, "0");
}

#[test]
fn what_is_purged_stays_so_after_a_power_cut_and_what_comes_later_comes() {
    let mut world = World::new();
    world.connect(Profile::of(BOB)).disconnect();
    world.fill(BOB, 200);
    world.fill(ALICE, 2);
    assert_eq!(world.purge(BOB), (200, 0));
    assert_eq!(world.state(BOB).inbox, InboxState::default());
    assert_eq!((world.stats().inbox_messages, world.stats().purged), (2, 200));
    world.cut_power();
    // Each is told by its worker, which counts what it has found when it begins.
    assert_eq!((world.state(BOB).inbox, world.state(ALICE).inbox.messages), (InboxState::default(), 2));
    assert_eq!(world.stats().inbox_messages, 2);
    assert_eq!((world.purge(BOB), world.purge("GID_dev@@@nobody")), ((0, 0), (0, 0)));
    world.fill(BOB, 1);
    let mut bob = world.connect(Profile::of(BOB));
    assert!(bob.session_present);
    assert_eq!(bob.receive().payload, "0");
    bob.expect_nothing();
}

#[test]
fn a_device_without_a_session_is_purged_too() {
    let mut world = World::new();
    world.fill(CAROL, 3);
    assert_eq!(world.purge(CAROL), (3, 0));
    assert_eq!(world.state(CAROL), ClientState::default());
    world.cut_power();
    let mut carol = world.connect(Profile::of(CAROL));
    carol.expect_nothing();
}

#[test]
fn what_a_connected_client_has_and_has_not_acknowledged_stays_until_it_does() {
    let world = World::with(|limits| limits.send_window = 16);
    world.connect(Profile::of(BOB)).disconnect();
    world.fill(BOB, 50);
    let mut bob = world.connect(Profile::of(BOB));
    let held: Vec<_> = (0..16).map(|_| bob.take()).collect();
    assert_eq!(world.state(BOB).inbox.in_flight, 16);
    assert_eq!(world.purge(BOB), (34, 16));
    held.iter().for_each(|received| bob.ack(received));
    world.until("all is done", |stats| stats.inbox_messages == 0);

    // A client that went without acknowledging: nothing comes again.
    world.fill(BOB, 3);
    (0..3).for_each(|_| _ = bob.take());
    drop(bob);
    world.until("it is off", |stats| stats.connections == 0);
    assert_eq!(world.purge(BOB), (3, 0));
    let mut bob = world.connect(Profile::of(BOB));
    bob.expect_nothing();
    world.fill(BOB, 1);
    assert_eq!(bob.receive().payload, "0");
}
