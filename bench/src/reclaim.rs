//! How late messages come while the log gives its oldest segments back, and their owners write again what they still need.
//!
//! The same load goes on all the time: at first the log only grows, then each new segment costs it an old one. So what is
//! slower then is the work of giving back. Snapshots are written before and after.

use crate::durable::{fill, receivers};
use crate::figures::Latencies;
use crate::pairs::{Talk, open_pairs, register_pairs, while_pairs_talk};
use anyhow::{Result, ensure};
use demo::Stage;
use std::net::SocketAddr;
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

/// What waits in the first segments, and is carried.
const WAITING_EACH: usize = 100;
/// Fills a segment of 64 MiB in some seconds; all of it is acknowledged at once.
const LOAD: Talk =
    Talk { name: "load", first: 200, pairs: 4, every: Duration::from_millis(2), payload_bytes: 16 << 10 };
/// With fewer the log gives nothing back.
const SEGMENTS_KEPT: u64 = 9;
/// Measured until so many segments were given back.
const GIVEN_BACK: u64 = 6;
const GIVE_UP_AFTER: Duration = Duration::from_secs(300);
const BAR: f64 = 2.0;

pub(crate) fn measure(folder: &Path, program: &Path) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut stage = Stage::new(folder, program, &[])?;
    runtime.block_on(stage.start_server())?;
    let topics = runtime.block_on(receivers(&stage))?;
    let server = SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port()));
    fill(server, &stage.access_key()?, &topics, WAITING_EACH)?;
    let devices = register_pairs(&runtime, &stage, Talk::HEALTHY)?;
    let load = register_pairs(&runtime, &stage, LOAD)?;
    let mut healthy = open_pairs(&stage, &devices, Talk::HEALTHY)?;
    let figure = |name: &str| runtime.block_on(stage.figure(name));
    let until = |name: &str, count: u64| {
        let began = Instant::now();
        while figure(name)? < count {
            ensure!(began.elapsed() < GIVE_UP_AFTER, "{name} does not come to {count}");
            thread::sleep(Duration::from_millis(100));
        }
        Ok(began.elapsed())
    };
    let (_, (mut growing, mut giving)) = while_pairs_talk(&mut open_pairs(&stage, &load, LOAD)?, || {
        let growing = while_pairs_talk(&mut healthy, || until("convoke_log_segments", SEGMENTS_KEPT))?;
        ensure!(figure("convoke_log_given_back_total")? == 0, "the log has given something back before");
        let giving = while_pairs_talk(&mut healthy, || until("convoke_log_given_back_total", GIVEN_BACK))?;
        Ok((growing, giving))
    })?;
    let show = |what: &str, (latencies, took): &mut (Latencies, Duration)| {
        println!("pairs while the log {what}, {:.0} s: {}", took.as_secs_f64(), latencies.describe());
    };
    show("grows", &mut growing);
    show(&format!("gives {GIVEN_BACK} segments back"), &mut giving);
    let ratio = giving.0.percentile_ms(0.99) / growing.0.percentile_ms(0.99);
    println!("  bar: p99 at most {BAR} × that while it grows; here {ratio:.2} ×");
    runtime.block_on(stage.stop_server()).map(drop)
}
