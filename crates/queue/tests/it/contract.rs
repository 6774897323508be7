use std::sync::Arc;
use std::time::Duration;

use commitlog::Options;
use queue::contract::{Subject, cases};

use crate::world::{SHORT, World};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_engine_keeps_the_contract() {
    let world = World::with(Options { segment_size: 16 << 20, ..Options::default() }).await;
    let queue = Arc::new(world.engine.clone());
    let subject = Subject { queue, invisible_min: SHORT, patience: Duration::from_secs(30) };
    for case in cases() {
        println!("{}", case.name);
        case.run(&subject).await;
    }
}
