//! Pairs of clients that are there all the time: a service tells a device something again and again.

use crate::durable::publisher;
use crate::figures::Latencies;
use anyhow::{Context, Result};
use demo::{Method, Stage};
use mqtt::Version;
use mqtt::client::Event;
use scenarios::link::Link;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Of timers.
const TICK: Duration = Duration::from_millis(1);
/// The last messages come within this.
const LATE_MAX: Duration = Duration::from_secs(2);
/// Of the time at which a message was sent.
const TIME_BYTES: usize = 16;

/// How pairs talk.
#[derive(Clone, Copy)]
pub(crate) struct Talk {
    /// Of the users that have the devices.
    pub(crate) name: &'static str,
    /// The publishers have client ids from this number on.
    pub(crate) first: usize,
    pub(crate) pairs: usize,
    pub(crate) every: Duration,
    pub(crate) payload_bytes: usize,
}

impl Talk {
    /// On all workers, behind the numbers of those that fill the inboxes.
    pub(crate) const HEALTHY: Self =
        Self { name: "healthy", first: 100, pairs: 8, every: Duration::from_millis(10), payload_bytes: TIME_BYTES };
}

pub(crate) fn topic_of(client_id: &str) -> String {
    format!("meeting-down/p2p/{client_id}/bench")
}

pub(crate) struct Pair {
    sender: Link,
    receiver: Link,
    topic: String,
    talk: Talk,
}

/// The devices that receive.
pub(crate) fn register_pairs(runtime: &tokio::runtime::Runtime, stage: &Stage, talk: Talk) -> Result<Vec<Value>> {
    let register = |n: usize| {
        let device = format!("{}-{n}", talk.name);
        let path = format!("/api/v1/users/{device}/devices");
        runtime.block_on(stage.api(Method::POST, &path, Some(json!({ "device": device }))))
    };
    (0..talk.pairs).map(register).collect()
}

pub(crate) fn open_pairs(stage: &Stage, devices: &[Value], talk: Talk) -> Result<Vec<Pair>> {
    let server = SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port()));
    let login = stage.access_key()?;
    let open = |(n, device): (usize, &Value)| {
        let topic = topic_of(device["client_id"].as_str().context("no client_id")?);
        let sender = publisher(server, &login, talk.first + n)?;
        Ok(Pair { sender, receiver: Link::open(server, Version::V5, device)?, topic, talk })
    };
    devices.iter().enumerate().map(open).collect()
}

/// From the PUBLISH to its receiver, of all messages of all pairs while something else is done.
pub(crate) fn while_pairs_talk<T>(pairs: &mut [Pair], work: impl FnOnce() -> Result<T>) -> Result<(Latencies, T)> {
    let (origin, is_over) = (Instant::now(), AtomicBool::new(false));
    thread::scope(|scope| {
        let talking: Vec<_> = pairs
            .iter_mut()
            .map(|Pair { sender, receiver, topic, talk }| {
                let is_over = &is_over;
                let sending = scope.spawn(move || send(sender, topic, *talk, origin, is_over));
                (sending, scope.spawn(move || receive(receiver, origin, is_over)))
            })
            .collect();
        let done = work();
        is_over.store(true, Ordering::Relaxed);
        let mut latencies = Latencies::default();
        for (sending, receiving) in talking {
            sending.join().map_err(|_| anyhow::anyhow!("a sender panicked"))??;
            latencies.extend(receiving.join().map_err(|_| anyhow::anyhow!("a receiver panicked"))??);
        }
        Ok((latencies, done?))
    })
}

fn send(sender: &mut Link, topic: &str, talk: Talk, origin: Instant, is_over: &AtomicBool) -> Result<()> {
    let (mut due, mut payload) = (origin, vec![7; talk.payload_bytes]);
    while !is_over.load(Ordering::Relaxed) {
        due += talk.every;
        // Takes the PUBACKs.
        while sender.next(due.saturating_duration_since(Instant::now()).max(TICK))?.is_some() {}
        payload[..TIME_BYTES].copy_from_slice(&origin.elapsed().as_nanos().to_le_bytes());
        sender.publish(topic, &payload)?;
    }
    Ok(())
}

fn receive(receiver: &mut Link, origin: Instant, is_over: &AtomicBool) -> Result<Latencies> {
    let mut latencies = Latencies::default();
    loop {
        let over = is_over.load(Ordering::Relaxed);
        match receiver.next(LATE_MAX)? {
            Some(Event::Message(message)) => {
                let sent = message.payload.first_chunk::<TIME_BYTES>().context("another message")?;
                let sent = u128::from_le_bytes(*sent);
                latencies.push(origin.elapsed().saturating_sub(Duration::from_nanos(u64::try_from(sent)?)));
                message.ack.map_or(Ok(()), |handle| receiver.acknowledge(handle))?;
            }
            Some(_) => {}
            None if over => return Ok(latencies),
            None => {}
        }
    }
}
