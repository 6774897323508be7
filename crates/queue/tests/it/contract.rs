//! The contract test suite on the embedded engine.

use std::sync::Arc;
use std::time::Duration;

use clock::Clock;
use commitlog::testing::ForgettingStorage;
use commitlog::{Log, Options};
use queue::contract::{Subject, atomic_ack_cases, cases};
use queue::{Engine, EngineOptions};

use crate::world::{SHORT, engine_options, log_options};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_embedded_engine_keeps_the_contract() {
    let options = Options { segment_size: 16 << 20, ..log_options() };
    let (log, _) = Log::open(ForgettingStorage::new().handle(), options).unwrap();
    // What is delayed waits for a time that passes.
    let clock = Clock::system();
    let options = EngineOptions { clock: clock.clone(), ..engine_options() };
    let queue = Arc::new(Engine::recover(options).start(log.clone()));
    let subject = Subject { queue, log: Some(log), clock, invisible_min: SHORT, patience: Duration::from_secs(30) };
    for case in cases().into_iter().chain(atomic_ack_cases()) {
        println!("{}", case.name);
        case.run(&subject).await;
    }
}
