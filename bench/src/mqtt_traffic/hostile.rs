//! A healthy pair beside hostile clients: how late its messages come.
//!
//! The machine is shared with those who play the hostile clients and with the work that they make. So each flood runs twice,
//! against the server of the pair and against another process of the same program: what is slower only beside them is the
//! server's own doing.

use super::floods::Flood;
use super::generator::Generator;
use super::packets::{PUBACK, PUBLISH, Packet, Template, puback};
use super::servers::{Kind, Server};
use super::workloads::{CLIENT_PREFIX, PARENT, connected};
use crate::figures::{Latencies, median};
use crate::usage::cpu_of_process;
use anyhow::{Context, Result, anyhow, ensure};
use clap::ValueEnum;
use mqtt::QoS;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

const BAR: f64 = 2.0;
const WARM_UP: Duration = Duration::from_millis(500);
const PUBLISH_EVERY: Duration = Duration::from_millis(2);
/// Fewer than the server's Receive Maximum.
const IN_FLIGHT_MAX: usize = 100;
const RECEIVER: usize = 0;
const PUBLISHER: usize = 1;

pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) duration: Duration,
}

pub(crate) fn measure(folder: &Path, program: &Path, plan: &Plan) -> Result<()> {
    let runtime = tokio::runtime::Runtime::new()?;
    let folders = [tempfile::tempdir_in(folder)?, tempfile::tempdir_in(folder)?];
    let start = |folder: &tempfile::TempDir| Server::start(&Kind::Convoke, folder.path(), program, &runtime);
    let (server, other) = (start(&folders[0])?, start(&folders[1])?);
    let mut ratios = vec![Vec::new(); Flood::value_variants().len()];
    for round in 1..=plan.rounds {
        for (flood, ratios) in Flood::value_variants().iter().zip(&mut ratios) {
            let p99_ms = |latencies: Result<Latencies>| Ok::<_, anyhow::Error>(latencies?.percentile_ms(0.99));
            let alone = p99_ms(exchange(&server, plan.duration))?;
            let elsewhere = p99_ms(beside(*flood, &other, &server, plan.duration))?;
            let beside = p99_ms(beside(*flood, &server, &server, plan.duration))?;
            println!(
                "round {round}, {}: p99 alone {alone:.2} ms, beside those of another process {elsewhere:.2} ms, \
                 beside its own {beside:.2} ms",
                flood.title()
            );
            ratios.push(beside / elsewhere);
        }
    }
    for (flood, ratios) in Flood::value_variants().iter().zip(ratios) {
        println!("{}: {:.2} × those of another process; bar: at most {BAR} ×", flood.title(), median(ratios));
    }
    server.stop(&runtime)?;
    other.stop(&runtime)
}

/// The pair's latencies while a flood runs against `flooded`.
fn beside(flood: Flood, flooded: &Server, server: &Server, duration: Duration) -> Result<Latencies> {
    let is_over = AtomicBool::new(false);
    let before = cpu_of_process(flooded.process)?;
    let (latencies, done) = thread::scope(|scope| {
        let flooding = scope.spawn(|| flood.run(flooded, &is_over));
        thread::sleep(WARM_UP);
        let latencies = exchange(server, duration);
        is_over.store(true, Ordering::Relaxed);
        let done = flooding.join().map_err(|_| anyhow!("the flood panicked")).flatten();
        (latencies, done)
    });
    let done = done.with_context(|| format!("{} ended", flood.title()))?;
    let cpu = cpu_of_process(flooded.process)?.saturating_sub(before).as_secs_f64();
    println!("  {}: {done} {} made {cpu:.1} s of CPU there", flood.title(), flood.unit());
    latencies
}

/// Messages of QoS 1 from one client to another, and how long each took.
fn exchange(server: &Server, duration: Duration) -> Result<Latencies> {
    let clients = ["healthy-receiver", "healthy-publisher"].map(|name| format!("{CLIENT_PREFIX}{name}"));
    let topic = format!("{PARENT}/p2p/{}/bench", clients[RECEIVER]);
    let mut generator = connected(server, &clients)?;
    let (began, mut pair) = (Instant::now(), Pair::default());
    let mut next = began;
    while began.elapsed() < duration {
        if Instant::now() >= next && pair.in_flight < IN_FLIGHT_MAX {
            next += PUBLISH_EVERY;
            pair.publish(&topic, began, &mut generator)?;
        }
        let wait = next.saturating_duration_since(Instant::now());
        generator.turn(wait, &mut |_: usize, packet: Packet<'_>, out: &mut Vec<u8>| pair.take(packet, began, out))?;
    }
    ensure!(pair.latencies.count() > 0, "no message came");
    Ok(pair.latencies)
}

#[derive(Default)]
struct Pair {
    latencies: Latencies,
    in_flight: usize,
    last_id: u16,
}

impl Pair {
    /// The payload is the time at which it is sent.
    fn publish(&mut self, topic: &str, began: Instant, generator: &mut Generator) -> Result<()> {
        self.last_id = self.last_id % (u16::MAX - 1) + 1;
        self.in_flight += 1;
        let sent_at = u64::try_from(began.elapsed().as_nanos())?;
        let template = Template::new(topic, QoS::AtLeastOnce, &sent_at.to_be_bytes())?;
        template.write(self.last_id.to_be_bytes(), generator.out(PUBLISHER));
        generator.flush(PUBLISHER)
    }

    fn take(&mut self, packet: Packet<'_>, began: Instant, out: &mut Vec<u8>) -> Result<()> {
        match packet.kind() {
            PUBLISH => {
                let sent_at = packet.body.last_chunk().context("a message without its time")?;
                self.latencies.push(began.elapsed().saturating_sub(Duration::from_nanos(u64::from_be_bytes(*sent_at))));
                packet.publish_id().into_iter().for_each(|id| out.extend(puback(id)));
            }
            PUBACK => self.in_flight = self.in_flight.saturating_sub(1),
            _ => {}
        }
        Ok(())
    }
}
