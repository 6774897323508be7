//! MQTT traffic through our broker, a program that only copies packets, and Mosquitto: in turn, in rounds, in one run.
//!
//! CPU is that of the server's process as the kernel counts it. It counts in ticks of 10 ms, so that a workload runs for
//! seconds; and this machine may be shared, so that ratios of one round are compared, not figures of two.

pub(crate) mod copier;
mod floods;
mod generator;
pub(crate) mod hostile;
mod packets;
mod servers;
mod table;
mod workloads;

use crate::crowd::ensure_descriptors;
use anyhow::Result;
use clap::ValueEnum;
use servers::{Kind, Server};
use std::path::Path;
use std::time::Duration;
use table::Table;
use workloads::{Connects, FanOut, Figure, Pairs};

/// Descriptors of a process beside its connections.
const OTHER_DESCRIPTORS: usize = 200;

pub(crate) struct Plan {
    pub(crate) rounds: usize,
    pub(crate) duration: Duration,
    pub(crate) connections: usize,
    /// Empty: all.
    pub(crate) only: Vec<Workload>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Workload {
    /// 50 pairs, 16 messages in flight each.
    P2pPipelined,
    /// 200 pairs, one message in flight each.
    P2pSingle,
    /// 1 → 200, 32 messages in flight.
    FanOutPipelined,
    /// 1 → 200, one message at a time.
    FanOutSingle,
    /// Logins, and the connections standing afterwards.
    Connect,
}

impl Workload {
    fn measure(self, server: &Server, plan: &Plan) -> Result<Figure> {
        match self {
            Self::P2pPipelined => Pairs { pairs: 50, in_flight: 16 }.measure(server, plan.duration),
            Self::P2pSingle => Pairs { pairs: 200, in_flight: 1 }.measure(server, plan.duration),
            Self::FanOutPipelined => FanOut { subscribers: 200, in_flight: 32 }.measure(server, plan.duration),
            Self::FanOutSingle => FanOut { subscribers: 200, in_flight: 1 }.measure(server, plan.duration),
            Self::Connect => Connects { connections: plan.connections }.measure(server),
        }
    }
}

pub(crate) fn measure(folder: &Path, program: &Path, plan: &Plan) -> Result<()> {
    // The first ones are a fifth more.
    ensure_descriptors(plan.connections + plan.connections / 5 + OTHER_DESCRIPTORS)?;
    let runtime = tokio::runtime::Runtime::new()?;
    let mut kinds = vec![Kind::Convoke, Kind::Copying];
    match Kind::mosquitto() {
        Some((mosquitto, version)) => {
            println!("beside it: {version}");
            kinds.push(mosquitto);
        }
        None => println!("Mosquitto is not measured: it is not installed (apt-get install mosquitto)"),
    }
    let workloads = if plan.only.is_empty() { Workload::value_variants() } else { plan.only.as_slice() };
    let mut tables: Vec<_> = workloads.iter().map(|workload| Table::new(*workload, &kinds)).collect();
    for round in 1..=plan.rounds {
        for table in &mut tables {
            for (column, kind) in kinds.iter().enumerate() {
                let folder = tempfile::tempdir_in(folder)?;
                let server = Server::start(kind, folder.path(), program, &runtime)?;
                let figure = table.workload.measure(&server, plan)?;
                println!("round {round}, {}, {}: {figure}", table.workload.title(), kind.name());
                table.add(column, figure);
                server.stop(&runtime)?;
            }
        }
    }
    tables.iter().for_each(|table| println!("\n{table}"));
    Ok(())
}
