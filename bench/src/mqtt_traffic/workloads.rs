//! What is done to a server, and what it costs it.

use super::generator::Generator;
use super::packets::{PUBACK, PUBLISH, Packet, Template, connect, puback, subscribe};
use super::servers::Server;
use crate::usage::{cpu_of_process, resident_bytes};
use anyhow::{Context, Result, ensure};
use mqtt::QoS;
use std::cell::Cell;
use std::thread;
use std::time::{Duration, Instant};

/// Bytes of a message.
const PAYLOAD: [u8; 64] = [7; 64];
const WARM_UP: Duration = Duration::from_millis(500);
const TURN: Duration = Duration::from_millis(20);
/// Connections on their way at a time: what the shortest backlog of the servers holds.
const CONNECTING_MAX: usize = 100;
/// One in so many connections stands before it is counted.
const FIRST_SHARE: usize = 5;
/// After the last connection, until what it caused is done.
const SETTLES: Duration = Duration::from_millis(1_500);
/// Clients of any server need names that our broker takes.
pub(super) const CLIENT_PREFIX: &str = "GID_dev@@@";
pub(super) const PARENT: &str = "meeting-down";

/// What one server needed in one round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// CPU of the server's process for one message, delivery or connection.
    pub(super) cpu_us: f64,
    pub(super) per_second: f64,
    /// CPU of the generator for one.
    pub(super) own_cpu_us: f64,
    /// Messages that the server did not take.
    pub(super) refused: u64,
    pub(super) standing: Option<Standing>,
}

/// What connections cost that do nothing any more.
#[derive(Clone, Copy, Debug)]
pub(super) struct Standing {
    pub(super) resident_bytes: f64,
    /// CPU for one, with what came after the last CONNACK.
    pub(super) settled_cpu_us: f64,
}

/// One publisher for each receiver, QoS 1, `in_flight` messages without their PUBACK.
#[derive(Clone, Copy)]
pub(super) struct Pairs {
    pub(super) pairs: usize,
    pub(super) in_flight: u16,
}

impl Pairs {
    pub(super) fn measure(self, server: &Server, duration: Duration) -> Result<Figure> {
        let receivers: Vec<_> = (0..self.pairs).map(|n| format!("{CLIENT_PREFIX}receiver-{n}")).collect();
        let topics: Vec<_> = receivers.iter().map(|receiver| format!("{PARENT}/p2p/{receiver}/bench")).collect();
        let publishers = (0..self.pairs).map(|n| format!("{CLIENT_PREFIX}publisher-{n}"));
        let clients: Vec<_> = receivers.iter().cloned().chain(publishers).collect();
        let mut generator = connected(server, &clients)?;
        if server.p2p_by_subscription() {
            let subscribes = topics.iter().map(|topic| subscribe(topic, QoS::AtLeastOnce));
            generator.subscribe_all(subscribes.collect::<Result<Vec<_>>>()?.into_iter().enumerate())?;
        }
        let templates = topics.iter().map(|topic| Template::new(topic, QoS::AtLeastOnce, &PAYLOAD));
        let templates = templates.collect::<Result<Vec<_>>>()?;
        for (n, template) in templates.iter().enumerate() {
            let publisher = self.pairs + n;
            (1..=self.in_flight).for_each(|id| template.write(id.to_be_bytes(), generator.out(publisher)));
            generator.flush(publisher)?;
        }
        let received = Cell::new(0);
        let mut handle = |who: usize, packet: Packet<'_>, out: &mut Vec<u8>| -> Result<()> {
            match packet.kind() {
                PUBLISH => {
                    received.set(received.get() + 1);
                    packet.publish_id().into_iter().for_each(|id| out.extend(puback(id)));
                }
                // The next message goes under the id that is free now.
                PUBACK => {
                    let publisher = who.checked_sub(self.pairs).and_then(|n| templates.get(n));
                    let template = publisher.context("a receiver got an acknowledgement")?;
                    template.write(packet.body.first_chunk().copied().unwrap_or_default(), out);
                }
                _ => {}
            }
            Ok(())
        };
        measure(server, &mut generator, duration, &received, |generator| generator.turn(TURN, &mut handle))
    }
}

/// One publisher for many subscribers, QoS 0, `in_flight` messages that have not come to all of them.
#[derive(Clone, Copy)]
pub(super) struct FanOut {
    pub(super) subscribers: u16,
    pub(super) in_flight: u64,
}

impl FanOut {
    pub(super) fn measure(self, server: &Server, duration: Duration) -> Result<Figure> {
        let topic = format!("{PARENT}/bench");
        let publisher = usize::from(self.subscribers);
        let subscribers = (0..publisher).map(|n| format!("{CLIENT_PREFIX}subscriber-{n}"));
        let clients: Vec<_> = subscribers.chain([format!("{CLIENT_PREFIX}publisher")]).collect();
        let mut generator = connected(server, &clients)?;
        let wish = subscribe(&topic, QoS::AtMostOnce)?;
        generator.subscribe_all((0..publisher).map(|who| (who, wish.clone())))?;
        let template = Template::new(&topic, QoS::AtMostOnce, &PAYLOAD)?;
        let received = Cell::new(0);
        let mut handle = |_: usize, packet: Packet<'_>, _: &mut Vec<u8>| -> Result<()> {
            received.set(received.get() + u64::from(packet.kind() == PUBLISH));
            Ok(())
        };
        let mut sent = 0;
        measure(server, &mut generator, duration, &received, |generator| {
            let come_to_all = received.get() / u64::from(self.subscribers);
            while sent < come_to_all + self.in_flight {
                template.write([0, 0], generator.out(publisher));
                sent += 1;
            }
            generator.flush(publisher)?;
            generator.turn(TURN, &mut handle)
        })
    }
}

/// Connections with clean start that do nothing afterwards.
#[derive(Clone, Copy)]
pub(super) struct Connects {
    pub(super) connections: usize,
}

impl Connects {
    /// Some stand before, so that what the server takes once is not counted.
    pub(super) fn measure(self, server: &Server) -> Result<Figure> {
        let first = self.connections / FIRST_SHARE;
        let clients = (0..first + self.connections).map(|n| connect_of(server, &format!("{CLIENT_PREFIX}idle-{n}")));
        let connects = clients.collect::<Result<Vec<_>>>()?;
        let mut generator = Generator::new(server.address)?;
        generator.connect_all(&connects[..first], CONNECTING_MAX)?;
        thread::sleep(SETTLES);

        let (before, resident_before) = (Sample::take(server, first)?, resident_bytes(server.process)?);
        generator.connect_all(&connects[first..], CONNECTING_MAX)?;
        let connected = Sample::take(server, connects.len())?;
        thread::sleep(SETTLES);
        let settled = Sample::take(server, connects.len())?;
        let resident = resident_bytes(server.process)?.saturating_sub(resident_before);
        let standing = Standing {
            resident_bytes: resident as f64 / self.connections as f64,
            settled_cpu_us: settled.since(&before, 0).cpu_us,
        };
        Ok(Figure { standing: Some(standing), ..connected.since(&before, generator.refused) })
    }
}

pub(super) fn connected(server: &Server, clients: &[String]) -> Result<Generator> {
    let connects = clients.iter().map(|client| connect_of(server, client)).collect::<Result<Vec<_>>>()?;
    let mut generator = Generator::new(server.address)?;
    generator.connect_all(&connects, CONNECTING_MAX)?;
    Ok(generator)
}

pub(super) fn connect_of(server: &Server, client: &str) -> Result<Vec<u8>> {
    connect(client, server.login(client).as_ref())
}

/// Turns for `duration` after a warm-up; `received` counts what `turn` brings.
fn measure(
    server: &Server,
    generator: &mut Generator,
    duration: Duration,
    received: &Cell<u64>,
    mut turn: impl FnMut(&mut Generator) -> Result<()>,
) -> Result<Figure> {
    let mut run = |generator: &mut Generator, duration: Duration| -> Result<()> {
        let (began, before) = (Instant::now(), received.get());
        while began.elapsed() < duration {
            turn(generator)?;
        }
        ensure!(received.get() > before, "no message came within {} ms", duration.as_millis());
        Ok(())
    };
    run(generator, WARM_UP)?;
    let before = Sample::take(server, received.get() as usize)?;
    run(generator, duration)?;
    Ok(Sample::take(server, received.get() as usize)?.since(&before, generator.refused))
}

/// What was used up to now for so many messages, deliveries or connections.
struct Sample {
    at: Instant,
    cpu: Duration,
    own_cpu: Duration,
    done: usize,
}

impl Sample {
    fn take(server: &Server, done: usize) -> Result<Self> {
        let (cpu, own_cpu) = (cpu_of_process(server.process)?, cpu_of_process(std::process::id())?);
        Ok(Self { at: Instant::now(), cpu, own_cpu, done })
    }

    fn since(&self, before: &Self, refused: u64) -> Figure {
        let done = self.done.saturating_sub(before.done).max(1) as f64;
        let each_us = |now: Duration, then: Duration| now.saturating_sub(then).as_secs_f64() * 1e6 / done;
        Figure {
            cpu_us: each_us(self.cpu, before.cpu),
            per_second: done / self.at.saturating_duration_since(before.at).as_secs_f64(),
            own_cpu_us: each_us(self.own_cpu, before.own_cpu),
            refused,
            standing: None,
        }
    }
}
