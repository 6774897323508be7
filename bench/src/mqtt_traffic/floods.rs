//! Hostile clients: each kind as cheap for the one who plays it as can be, so that the work is the server's.

use super::generator::Generator;
use super::packets::{PUBACK, PUBLISH, Packet, Template, ping, puback, subscribe_many};
use super::servers::Server;
use super::workloads::{CLIENT_PREFIX, PARENT, connect_of, connected};
use anyhow::Result;
use clap::ValueEnum;
use mqtt::QoS;
use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

const CLIENTS: usize = 10;
/// As many as fit into the largest packet.
const FILTERS: usize = 32_000;
/// Bytes of small packets that are written at once.
const SPRAY_BYTES: usize = 64 << 10;
const IN_FLIGHT: u16 = 64;
const TURN: Duration = Duration::from_millis(20);
/// Between two bytes of a CONNECT.
const BYTE_EVERY: Duration = Duration::from_millis(1);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Flood {
    Pings,
    Subscribes,
    AtMostOnce,
    ToItself,
    SlowConnects,
}

impl Flood {
    pub(super) const fn title(self) -> &'static str {
        match self {
            Self::Pings => "PINGREQs",
            Self::Subscribes => "SUBSCRIBEs of 32,000 filters",
            Self::AtMostOnce => "small PUBLISHes of QoS 0",
            Self::ToItself => "small PUBLISHes of QoS 1 to itself",
            Self::SlowConnects => "CONNECTs byte by byte",
        }
    }

    /// What [`Self::run`] counts.
    pub(super) const fn unit(self) -> &'static str {
        match self {
            Self::Pings | Self::Subscribes | Self::ToItself => "packets from the server",
            Self::AtMostOnce => "packets to the server",
            Self::SlowConnects => "bytes to the server",
        }
    }

    /// Floods until it is over. Returns how much.
    pub(super) fn run(self, server: &Server, is_over: &AtomicBool) -> Result<u64> {
        match self {
            Self::Pings => spray(server, &ping().repeat(SPRAY_BYTES / ping().len()), is_over),
            Self::Subscribes => spray(server, &subscribe_many(FILTERS)?, is_over),
            Self::AtMostOnce => spray_messages(server, is_over),
            Self::ToItself => publish_to_itself(server, is_over),
            Self::SlowConnects => connect_slowly(server, is_over),
        }
    }
}

fn client_ids() -> Vec<String> {
    (0..CLIENTS).map(|n| format!("{CLIENT_PREFIX}hostile-{n}")).collect()
}

/// Each client writes the same bytes again and again, as fast as the server takes them, and reads what it is told.
fn spray(server: &Server, bytes: &[u8], is_over: &AtomicBool) -> Result<u64> {
    let mut generator = connected(server, &client_ids())?;
    let mut answers = 0;
    while !is_over.load(Ordering::Relaxed) {
        fill(&mut generator, bytes)?;
        generator.turn(TURN, &mut |_: usize, _: Packet<'_>, _: &mut Vec<u8>| {
            answers += 1;
            Ok(())
        })?;
    }
    Ok(answers)
}

/// Returns how often a client took the bytes.
fn fill(generator: &mut Generator, bytes: &[u8]) -> Result<u64> {
    let mut filled = 0;
    for who in 0..CLIENTS {
        if generator.out(who).is_empty() {
            generator.out(who).extend_from_slice(bytes);
            filled += 1;
        }
        generator.flush(who)?;
    }
    Ok(filled)
}

/// To nobody.
fn spray_messages(server: &Server, is_over: &AtomicBool) -> Result<u64> {
    let mut packet = Vec::new();
    Template::new(&format!("{PARENT}/flood"), QoS::AtMostOnce, b"x")?.write([0, 0], &mut packet);
    let packets = SPRAY_BYTES / packet.len();
    let bytes = packet.repeat(packets);
    let mut generator = connected(server, &client_ids())?;
    let mut filled = 0;
    while !is_over.load(Ordering::Relaxed) {
        filled += fill(&mut generator, &bytes)?;
        generator.turn(TURN, &mut |_: usize, _: Packet<'_>, _: &mut Vec<u8>| Ok(()))?;
    }
    Ok(filled * packets as u64)
}

fn publish_to_itself(server: &Server, is_over: &AtomicBool) -> Result<u64> {
    let clients = client_ids();
    let templates = clients.iter().map(|id| Template::new(&format!("{PARENT}/p2p/{id}/x"), QoS::AtLeastOnce, b"x"));
    let templates = templates.collect::<Result<Vec<_>>>()?;
    let mut generator = connected(server, &clients)?;
    for (who, template) in templates.iter().enumerate() {
        (1..=IN_FLIGHT).for_each(|id| template.write(id.to_be_bytes(), generator.out(who)));
        generator.flush(who)?;
    }
    let mut packets = 0;
    let mut handle = |who: usize, packet: Packet<'_>, out: &mut Vec<u8>| -> Result<()> {
        packets += 1;
        match packet.kind() {
            PUBLISH => packet.publish_id().into_iter().for_each(|id| out.extend(puback(id))),
            PUBACK => templates[who].write(packet.body.first_chunk().copied().unwrap_or_default(), out),
            _ => {}
        }
        Ok(())
    };
    while !is_over.load(Ordering::Relaxed) {
        generator.turn(TURN, &mut handle)?;
    }
    Ok(packets)
}

/// Each goes away before its last byte, and comes again.
fn connect_slowly(server: &Server, is_over: &AtomicBool) -> Result<u64> {
    let connect = connect_of(server, &format!("{CLIENT_PREFIX}slow"))?;
    let mut sent = 0;
    while !is_over.load(Ordering::Relaxed) {
        let streams = (0..CLIENTS).map(|_| TcpStream::connect(server.address));
        let mut streams = streams.collect::<std::io::Result<Vec<_>>>()?;
        for byte in connect.chunks(1).take(connect.len() - 1) {
            streams.iter_mut().try_for_each(|stream| stream.write_all(byte))?;
            sent += CLIENTS as u64;
            thread::sleep(BYTE_EVERY);
        }
    }
    Ok(sent)
}
