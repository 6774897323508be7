//! Publishes that fall due at fixed moments, whatever the server does: one thread sends, one reads the PUBACKs.
//!
//! Timers of blocking sockets are rounded up to kernel ticks (4 ms on many machines), so a single thread that waits for
//! both would measure itself.

use crate::figures::Latencies;
use anyhow::{Result, ensure};
use mqtt::codec::{Packet, Properties, Publish, decode, encode};
use mqtt::{Delivery, PacketId, ReasonCode, Version};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant};

const PACKET_BYTES_MAX: u32 = 1 << 20;
const READ_BYTES: usize = 64 * 1024;

/// When the n-th message of one connection is due.
#[derive(Clone, Copy)]
pub(crate) struct Schedule {
    pub(crate) first: Instant,
    pub(crate) every: Duration,
    pub(crate) count: u32,
}

impl Schedule {
    fn due(&self, n: u32) -> Instant {
        self.first + self.every * n
    }
}

/// A connection whose CONNACK has come. A message's latency runs from its due time to its PUBACK.
pub(crate) fn run(stream: &TcpStream, topics: &[String], payload: &[u8], schedule: Schedule) -> Result<Latencies> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    let (reading, mut writing) = (stream.try_clone()?, stream.try_clone()?);
    let reader = thread::spawn(move || read_acks(reading, schedule));
    let mut packet = Vec::new();
    for n in 0..schedule.count {
        packet.clear();
        write_publish(&topics[n as usize % topics.len()], packet_id(n), payload, &mut packet)?;
        thread::sleep(schedule.due(n).saturating_duration_since(Instant::now()));
        writing.write_all(&packet)?;
    }
    reader.join().map_err(|_| anyhow::anyhow!("the reader panicked"))?
}

/// 1 to 65,535, again and again; far more than may be in flight.
fn packet_id(n: u32) -> PacketId {
    u16::try_from(n % u32::from(u16::MAX)).ok().and_then(|id| PacketId::new(id + 1)).unwrap_or(PacketId::MIN)
}

fn write_publish(topic: &str, packet_id: PacketId, payload: &[u8], out: &mut Vec<u8>) -> Result<()> {
    let delivery = Delivery::AtLeastOnce { packet_id, dup: false };
    let publish = Publish { delivery, retain: false, topic, properties: Properties::EMPTY, payload };
    Ok(encode(&Packet::Publish(publish), Version::V5, out)?)
}

/// PUBACKs come in the order of the PUBLISHes [MQTT5-4.6.0-2].
fn read_acks(mut stream: TcpStream, schedule: Schedule) -> Result<Latencies> {
    let (mut latencies, mut held, mut buffer, mut n) = (Latencies::default(), Vec::new(), vec![0; READ_BYTES], 0);
    while n < schedule.count {
        let count = stream.read(&mut buffer)?;
        ensure!(count > 0, "the server closed the connection");
        let now = Instant::now();
        held.extend_from_slice(&buffer[..count]);
        let mut done = 0;
        while let Some((packet, len)) = decode(&held[done..], Version::V5, PACKET_BYTES_MAX)? {
            done += len;
            let Packet::Puback(ack) = packet else { continue };
            ensure!(
                ack.packet_id == packet_id(n) && ack.reason == ReasonCode::SUCCESS,
                "not the PUBACK of {n}: {ack:?}"
            );
            latencies.push(now.saturating_duration_since(schedule.due(n)));
            n += 1;
        }
        held.drain(..done);
    }
    Ok(latencies)
}
