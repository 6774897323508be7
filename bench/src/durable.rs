//! QoS 1 publishes to receivers that are away: PUBACK leaves after fdatasync.

use crate::figures::Latencies;
use crate::open_loop::{self, Schedule};
use crate::raw_disk::RawDisk;
use crate::usage::Usage;
use anyhow::{Context, Result, ensure};
use demo::{Method, Stage};
use mqtt::client::{Event, Options, PublishId};
use mqtt::{ReasonCode, Version};
use scenarios::link::Link;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

/// So many that no inbox fills up.
const RECEIVERS: usize = 1_000;
const PUBLISHERS: usize = 10;
const WINDOW: usize = 64;
const PAYLOAD_BYTES: usize = 256;
/// What one such message takes in the log, with its headers and its reference.
const RECORD_BYTES: usize = 512;
const OPEN_LOOP_PER_SECOND: u64 = 5_000;

pub(crate) fn measure(folder: &Path, program: &Path, seconds: u64) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let mut stage = Stage::new(folder, program, &[])?;
    runtime.block_on(stage.start_server())?;
    let topics = Arc::new(runtime.block_on(receivers(&stage))?);
    let server = SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port()));
    let login = stage.access_key()?;

    let mut disk = RawDisk::prepare(folder)?;
    let (raw_rate, mut raw) = disk.rate(4_096, seconds.min(5))?;
    println!("raw disk, 4 KiB a sync: {raw_rate:.0} syncs/s, {}", raw.describe());

    let mut raw = disk.open_loop(OPEN_LOOP_PER_SECOND, RECORD_BYTES, seconds)?;
    println!("raw writer at {OPEN_LOOP_PER_SECOND} records/s: {}", raw.describe());
    let mut open = open_loop(server, &login, &topics, seconds)?;
    println!("durable QoS 1, open loop at {OPEN_LOOP_PER_SECOND}/s: {}", open.describe());
    let ratio = open.percentile_ms(0.99) / raw.percentile_ms(0.99);
    println!("  bar: p99 at most 1.5 × the raw writer's; here {ratio:.2} ×");

    let before = Usage::of(&stage)?;
    let (rate, mut closed) = closed_loop(server, &login, &topics, seconds)?;
    let cpu = Usage::of(&stage)?.since(&before).cpu;
    println!("durable QoS 1, closed loop, {PUBLISHERS} × window {WINDOW}: {rate:.0}/s, {}", closed.describe());
    println!("  CPU of the server: {:.1} µs a message", cpu.as_secs_f64() * 1e6 / closed.count() as f64);
    println!(
        "  bar: at least 20,000/s on a disk of about 2,000 syncs/s; here {:.1} messages per raw sync",
        rate / raw_rate
    );

    let mut after = open_loop(server, &login, &topics, seconds)?;
    println!("open loop again, after {} messages: {}", closed.count(), after.describe());
    runtime.block_on(stage.stop_server())?;
    Ok(())
}

/// Registers devices that never connect, and returns their P2P topics.
pub(crate) async fn receivers(stage: &Stage) -> Result<Vec<String>> {
    let mut topics = Vec::new();
    for n in 0..RECEIVERS {
        let path = format!("/api/v1/users/receiver-{n}/devices");
        let device = stage.api(Method::POST, &path, Some(json!({ "device": format!("away-{n}") }))).await?;
        let client = device["client_id"].as_str().context("no client_id")?;
        topics.push(format!("meeting-down/p2p/{client}/bench"));
    }
    Ok(topics)
}

pub(crate) fn publisher(server: SocketAddr, login: &Value, n: usize) -> Result<Link> {
    let text = |key: &str| login[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
    let (key_id, secret, instance) = (text("key_id")?, text("secret")?, text("instance")?);
    let client_id = format!("GID_dev@@@bench-{n}");
    let mut options = Options::new(Version::V5, client_id.clone());
    options.username = Some(format!("Signature|{key_id}|{instance}"));
    options.password = Some(scenarios::sign(&secret, &client_id).into_bytes());
    options.clean_start = true;
    options.session_expiry_interval = 0;
    options.send_window = WINDOW as u16;
    Link::open_with(server, options)
}

/// Stores so many messages for each receiver, round by round, and returns when all are acknowledged.
pub(crate) fn fill(server: SocketAddr, login: &Value, topics: &[String], messages: usize) -> Result<()> {
    let topics = Arc::new(topics.to_vec());
    in_parallel(server, login, &topics, move |link, topics, n, _| {
        let (mut sent_at, mut latencies) = (HashMap::new(), Latencies::default());
        let mut due = (0..messages).flat_map(|_| topics.iter().skip(n).step_by(PUBLISHERS)).peekable();
        while due.peek().is_some() || !sent_at.is_empty() {
            for topic in due.by_ref().take(WINDOW - sent_at.len()) {
                sent_at.insert(link.publish(topic, &[7; PAYLOAD_BYTES])?, Instant::now());
            }
            take_acks(link, &mut sent_at, &mut latencies, Duration::from_secs(5))?;
        }
        Ok(latencies)
    })
    .map(drop)
}

fn closed_loop(server: SocketAddr, login: &Value, topics: &Arc<Vec<String>>, seconds: u64) -> Result<(f64, Latencies)> {
    let (latencies, took) = in_parallel(server, login, topics, move |link, topics, n, start| {
        let (mut sent_at, mut latencies, mut next) = (HashMap::new(), Latencies::default(), n);
        thread::sleep(start.saturating_duration_since(Instant::now()));
        while start.elapsed() < Duration::from_secs(seconds) {
            while sent_at.len() < WINDOW {
                next += 1;
                sent_at.insert(link.publish(&topics[next % topics.len()], &[7; PAYLOAD_BYTES])?, Instant::now());
            }
            take_acks(link, &mut sent_at, &mut latencies, Duration::from_secs(5))?;
        }
        Ok(latencies)
    })?;
    Ok((latencies.count() as f64 / took.as_secs_f64(), latencies))
}

fn open_loop(server: SocketAddr, login: &Value, topics: &Arc<Vec<String>>, seconds: u64) -> Result<Latencies> {
    let every = Duration::from_secs_f64(PUBLISHERS as f64 / OPEN_LOOP_PER_SECOND as f64);
    let count = (seconds * OPEN_LOOP_PER_SECOND) as u32 / PUBLISHERS as u32;
    in_parallel(server, login, topics, move |link, topics, n, start| {
        let schedule = Schedule { first: start + every.mul_f64(n as f64 / PUBLISHERS as f64), every, count };
        open_loop::run(link.stream(), topics, &[7; PAYLOAD_BYTES], schedule)
    })
    .map(|(latencies, _)| latencies)
}

/// Waits for one acknowledgement, then takes all that are there.
fn take_acks(
    link: &mut Link,
    pending: &mut HashMap<PublishId, Instant>,
    latencies: &mut Latencies,
    within: Duration,
) -> Result<()> {
    let mut wait = within;
    while let Some(event) = link.next(wait)? {
        if let Event::Published { id, reason } = event {
            ensure!(reason == ReasonCode::SUCCESS, "a publish was refused: {reason:?}");
            if let Some(at) = pending.remove(&id) {
                latencies.push(at.elapsed());
            }
        }
        wait = Duration::ZERO;
    }
    Ok(())
}

/// Connects all publishers, then lets each work from one common start on; returns also how long that took.
fn in_parallel(
    server: SocketAddr,
    login: &Value,
    topics: &Arc<Vec<String>>,
    work: impl Fn(&mut Link, &[String], usize, Instant) -> Result<Latencies> + Send + Sync + Copy + 'static,
) -> Result<(Latencies, Duration)> {
    let links = (0..PUBLISHERS).map(|n| publisher(server, login, n)).collect::<Result<Vec<_>>>()?;
    let start = Instant::now() + Duration::from_millis(100);
    let threads: Vec<_> = links
        .into_iter()
        .enumerate()
        .map(|(n, mut link)| {
            let topics = Arc::clone(topics);
            thread::spawn(move || work(&mut link, &topics, n, start))
        })
        .collect();
    let mut all = Latencies::default();
    for thread in threads {
        all.extend(thread.join().map_err(|_| anyhow::anyhow!("a publisher panicked"))??);
    }
    Ok((all, start.elapsed()))
}
