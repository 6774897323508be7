//! The contract test suite on the embedded engine.

use std::sync::Arc;
use std::time::Duration;

use commitlog::Options;
use queue::contract::{Subject, atomic_ack_cases, cases};

use crate::world::{SHORT, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_engine_keeps_the_contract() {
    let world = World::with(Options { segment_size: 16 << 20, ..Options::default() }).await;
    let queue = Arc::new(world.engine.clone());
    let log = Some(world.log.clone());
    let subject = Subject { queue, log, invisible_min: SHORT, patience: Duration::from_secs(30) };
    for case in cases().into_iter().chain(atomic_ack_cases()) {
        println!("{}", case.name);
        case.run(&subject).await;
    }
}
