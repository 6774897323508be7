//! A boot with a clock that is months ahead: for ten minutes nothing of before is over by it. And what such a clock has left.
//! A boot with a clock that is not set: what is dated before it is has its time.

use crate::history::{in_vain, page};
use crate::world::{World, until};
use catalog::{Accounts, Meetings};
use clock::Clock;
use clock::testing::TestMachine;
use queue::Message;
use signalling::topics::{RING_DOWN, property};
use signalling::{DownBody, RefusalCode, UpBody};
use std::time::Duration;

/// Seconds.
const MONTHS: i64 = 100 * 24 * 3_600;
const DOUBT_MS: u64 = 601_000;

/// The machine of the service crashes, and comes back with another time.
async fn reboot(world: &mut World) -> TestMachine {
    let machine = TestMachine::at(Clock::system().now_ms());
    let kept = machine.clock(None).keep();
    machine.reboot();
    machine.set_wrong_by(MONTHS);
    world.crash().await;
    world.clock = machine.clock(Some(&kept));
    world.start().await;
    machine
}

/// The same with a clock that is not set, so that the time is that of the last run.
async fn reboot_without_battery(world: &mut World) -> TestMachine {
    let machine = TestMachine::at(Clock::system().now_ms());
    let kept = machine.clock(None).keep();
    machine.pass(MONTHS.unsigned_abs() * 1_000);
    machine.reboot();
    machine.unset();
    world.crash().await;
    world.clock = machine.clock(Some(&kept));
    world.start().await;
    machine
}

async fn rings_of(world: &mut World, client: &str) -> usize {
    world.ask(client, None, UpBody::State {}).await;
    let state = world.find(client, "state").await;
    let DownBody::State(state) = state.body else { panic!("{state:?}") };
    state.rings.len()
}

#[tokio::test]
async fn no_history_is_forgotten() {
    let mut world = World::with(|config| config.prune_every = Duration::from_millis(5)).await;
    in_vain(&mut world).await;
    let machine = reboot(&mut world).await;
    // The service looks many times for what is over.
    tokio::time::sleep(20 * world.config.prune_every).await;
    assert_eq!(page(&mut world, "alice.phone", None, 20).await.0.len(), 1);
    machine.pass(DOUBT_MS);
    let catalog = std::sync::Arc::clone(&world.catalog);
    let is_empty = async || catalog.past_calls("alice", None, 20).await.unwrap().is_empty();
    until("it is forgotten", is_empty).await;
}

#[tokio::test]
async fn a_ring_stands() {
    let mut world = World::new().await;
    world.call("alice.phone", &["bob"]).await;
    world.find("bob.phone", "invitation").await;
    let machine = reboot(&mut world).await;
    assert_eq!(rings_of(&mut world, "bob.phone").await, 1);
    let catalog = std::sync::Arc::clone(&world.catalog);
    let is_missed = async || !catalog.outcomes("bob", 1).await.unwrap().is_empty();
    assert!(!is_missed().await);
    machine.pass(DOUBT_MS);
    until("its time is over", is_missed).await;
    assert_eq!(rings_of(&mut world, "bob.phone").await, 0);
}

#[tokio::test]
async fn a_request_that_was_dated_before_the_clock_was_set_is_handled() {
    let mut world = World::new().await;
    let machine = reboot_without_battery(&mut world).await;
    machine.set_wrong_by(0);
    world.call("alice.phone", &["bob"]).await;
    world.find("bob.phone", "invitation").await;
}

#[tokio::test]
async fn a_request_that_was_dated_before_the_clock_was_set_is_refused_when_its_time_is_over() {
    let mut world = World::new().await;
    let machine = reboot_without_battery(&mut world).await;
    machine.set_wrong_by(0);
    world.state("alice.phone").await;
    machine.pass(60_000);
    world.call("alice.phone", &["bob"]).await;
    let refused = world.find("alice.phone", "refused").await;
    assert!(matches!(refused.body, DownBody::Refused { code: RefusalCode::Expired, .. }), "{refused:?}");
}

#[tokio::test]
async fn a_ring_that_was_in_the_outbox_when_the_clock_was_set_is_sent() {
    let mut world = World::new().await;
    let machine = reboot_without_battery(&mut world).await;
    world.fill_topic(Some(RING_DOWN));
    world.call("alice.phone", &["bob"]).await;
    world.find("alice.phone", "admitted").await;
    machine.set_wrong_by(0);
    world.state("alice.phone").await;
    world.fill_topic(None);
    let invitation = world.find("bob.phone", "invitation").await;
    let left_ms = invitation.envelope.expires_at_ms - invitation.envelope.sent_at_ms;
    let is_ring = |message: &&Message| message.property(property::SECOND_TOPIC).unwrap().ends_with("/invitation");
    let sent = world.delivered.iter().find(is_ring).unwrap();
    assert_eq!(sent.property(property::EXPIRY_S), Some(&*(left_ms / 1_000).to_string()));
}

#[tokio::test]
async fn a_credential_of_a_clock_that_was_ahead_is_valid_for_thirty_days_a_day_after_it_was_set_back() {
    const DAY_MS: u64 = 86_400_000;
    let mut world = World::with(|config| config.prune_every = Duration::from_millis(5)).await;
    let machine = TestMachine::at(Clock::system().now_ms());
    let catalog = std::sync::Arc::clone(&world.catalog);
    let users = ["alice".to_owned()];
    let client_id = catalog.devices_of(&users).await.unwrap()[0].client_id.clone();
    let device = catalog.device(&client_id).await.unwrap().unwrap();
    let ahead_ms = machine.true_ms() + 70 * DAY_MS;
    catalog.put_device(catalog::Device { expires_at_ms: ahead_ms, ..device }).await.unwrap();
    world.crash().await;
    world.clock = machine.clock(None);
    world.start().await;
    let catalog = std::sync::Arc::clone(&world.catalog);
    let expires_ms = async || catalog.device(&client_id).await.unwrap().unwrap().expires_at_ms;
    machine.pass(DAY_MS - 1_000);
    world.settle().await;
    assert_eq!(expires_ms().await, ahead_ms, "the clock may be wrong by being behind");
    machine.pass(1_000);
    until("it is corrected", async || expires_ms().await < ahead_ms).await;
    assert_eq!(expires_ms().await, machine.true_ms() + 30 * DAY_MS);
}
