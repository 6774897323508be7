//! Connections whose credential ends while they stand. The service's time is the test's.

use accounts::login::sign;
use catalog::{Change, KeyUpdate};
use clock::testing::TestMachine;
use mqtt::ReasonCode;

use crate::login::{believe, refusal};
use crate::terminal::{Profile, Said, Terminal};
use crate::world::{ALICE, BOB, KEY, SERVICE, World};

const HOUR_MS: u64 = 3_600_000;

pub(crate) fn world() -> (TestMachine, World) {
    let machine = TestMachine::at(1_800_000_000_000);
    let mut world = World::new();
    world.stop();
    world.clock = machine.clock(None);
    world.start();
    (machine, world)
}

fn ends_at(expires_at_ms: Option<u64>) -> Change {
    let update = KeyUpdate { expires_at_ms: Some(expires_at_ms), ..KeyUpdate::default() };
    Change::UpdateKey { key_id: KEY.0.to_owned(), update }
}

fn expect_expired(terminal: &mut Terminal) {
    assert_eq!(terminal.expect_end(), Said::Disconnect(ReasonCode::NOT_AUTHORIZED));
    assert!(terminal.last_words.as_deref().is_some_and(|words| words.contains("has expired")));
}

/// Time passes, and the worker has looked at its clock since.
pub(crate) fn pass(machine: &TestMachine, ms: u64) {
    machine.pass(ms);
    std::thread::sleep(std::time::Duration::from_millis(1_200));
}

#[test]
fn a_connection_ends_when_its_key_does_and_its_session_stays() {
    let (machine, world) = world();
    world.change_key(ends_at(Some(machine.true_ms() + HOUR_MS)));
    let mut bob = world.connect(Profile::of(BOB));
    let mut service = world.connect(Profile::of(SERVICE));
    let mut old = world.connect(Profile::v311("GID_dev@@@service-2"));
    pass(&machine, HOUR_MS - 60_000);
    service.ping();
    pass(&machine, 60_000);
    expect_expired(&mut service);
    assert_eq!(old.expect_end(), Said::Closed);
    assert_eq!(refusal(&world, Profile::of(SERVICE)), ReasonCode::NOT_AUTHORIZED);
    bob.ping();
    world.change_key(ends_at(None));
    assert!(world.connect(Profile::of(SERVICE)).session_present);
}

#[test]
fn a_key_that_is_given_less_time_ends_its_connections_in_that_and_one_that_is_over_at_once() {
    let (machine, world) = world();
    let mut service = world.connect(Profile::of(SERVICE));
    world.change_key(ends_at(Some(machine.true_ms() + 2 * HOUR_MS)));
    world.change_key(ends_at(Some(machine.true_ms() + HOUR_MS)));
    service.ping();
    pass(&machine, HOUR_MS);
    expect_expired(&mut service);
    world.change_key(ends_at(None));
    let mut service = world.connect(Profile::of(SERVICE));
    world.change_key(ends_at(Some(machine.true_ms())));
    expect_expired(&mut service);
}

#[test]
fn a_key_that_is_given_more_time_keeps_its_connections_also_if_the_broker_was_not_told() {
    let (machine, world) = world();
    world.change_key(ends_at(Some(machine.true_ms() + HOUR_MS)));
    let mut service = world.connect(Profile::of(SERVICE));
    world.change_key(ends_at(Some(machine.true_ms() + 2 * HOUR_MS)));
    pass(&machine, HOUR_MS);
    service.ping();
    world.change_key_unseen(ends_at(Some(machine.true_ms() + 2 * HOUR_MS)));
    pass(&machine, HOUR_MS);
    service.ping();
    pass(&machine, HOUR_MS);
    expect_expired(&mut service);
}

#[test]
fn after_a_rotation_a_connection_by_the_old_secret_ends_with_the_overlap() {
    let (machine, world) = world();
    let mut old = world.connect(Profile::of(SERVICE));
    let rotate = |secret: &str, overlap_ms: u64| Change::RotateKey {
        key_id: KEY.0.to_owned(),
        secret: secret.to_owned(),
        previous_until_ms: machine.true_ms() + overlap_ms,
    };
    let signed_by =
        |secret: &str, client_id: &str| Profile { password: Some(sign(secret, client_id)), ..Profile::of(client_id) };
    world.change_key(rotate("second", HOUR_MS));
    let mut new = world.connect(signed_by("second", "GID_dev@@@service-2"));
    old.ping();
    pass(&machine, HOUR_MS);
    expect_expired(&mut old);
    new.ping();
    // Of three secrets the oldest is gone at once.
    world.change_key(rotate("third", HOUR_MS));
    let mut third = world.connect(signed_by("third", SERVICE));
    world.change_key(rotate("fourth", HOUR_MS));
    expect_expired(&mut new);
    third.ping();
}

#[test]
fn a_device_ends_with_its_credential_unless_that_was_renewed() {
    let (machine, world) = world();
    world.let_alice_in_until(machine.true_ms() + HOUR_MS);
    let mut alice = world.connect(Profile::of(ALICE));
    let mut bob = world.connect(Profile::of(BOB));
    world.renew_until(ALICE, "alice", machine.true_ms() + 2 * HOUR_MS);
    pass(&machine, HOUR_MS);
    alice.ping();
    pass(&machine, HOUR_MS);
    expect_expired(&mut alice);
    bob.ping();
    world.renew_until(ALICE, "alice", machine.true_ms() + HOUR_MS);
    assert!(world.connect(Profile::of(ALICE)).session_present);
}

#[test]
fn a_clock_that_is_wrong_for_a_while_ends_no_connection() {
    let (machine, world) = world();
    world.let_alice_in_until(machine.true_ms() + HOUR_MS);
    world.change_key(ends_at(Some(machine.true_ms() + HOUR_MS)));
    let mut terminals = [world.connect(Profile::of(ALICE)), world.connect(Profile::of(SERVICE))];
    machine.set_wrong_by(40 * 24 * 3_600);
    pass(&machine, 1_000);
    machine.set_wrong_by(0);
    pass(&machine, 1_000);
    terminals.iter_mut().for_each(Terminal::ping);
    machine.set_wrong_by(2 * 3_600);
    believe(&machine, &world);
    terminals.iter_mut().for_each(expect_expired);
}
