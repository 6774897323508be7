//! A boot with a clock that is months ahead: for ten minutes nothing of before is over by it.

use crate::history::{in_vain, page};
use crate::world::{World, until};
use catalog::Catalog as _;
use clock::Clock;
use clock::testing::TestMachine;
use signalling::{DownBody, UpBody};
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
