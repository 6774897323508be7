//! Measurements against the bars. Each figure stands beside its peer, measured in turn in the same run: this machine
//! may be shared, so ratios count, not absolute figures.
//!
//! - `ring`: invite → ring between two online terminals, everything durable; and the hops between.
//! - `storm`: terminals that all reconnect at once, until each has its state.
//! - `presence`: how late watchers learn who came and went, and what it costs.
//! - `meeting`: what it costs to fill a meeting: payload, disk, CPU.
//! - `mqtt`: CPU and memory of live MQTT traffic, beside a program that only copies packets and Mosquitto.
//! - `hostile`: how late the messages of a healthy pair come beside hostile clients.
//! - `durable`: QoS 1 publishes to absent receivers (PUBACK after fdatasync), beside a raw writer on the same disk.
//! - `queue`: durable sends through gRPC, and from send to receive, beside a raw writer on the same disk.
//! - `resume`: latency of clients that are there while thousands come back to messages that are on the disk alone.
//! - `reclaim`: latency of clients while the log gives its oldest segments back.
//! - `revocation`: how long connections outlive their right.
//! - `start`: how long a start takes, and what memory, where much waits and more was acknowledged before.

mod crowd;
mod durable;
mod figures;
mod hops;
mod large;
mod mqtt_traffic;
mod open_loop;
mod pairs;
mod presence;
mod queue;
mod raw_disk;
mod reclaim;
mod resume;
mod revocation;
mod ring;
mod rows;
mod signals;
mod start;
mod storm;
mod usage;

use anyhow::Result;
use clap::{Parser, Subcommand};
use mqtt_traffic::Workload;
use std::path::PathBuf;
use std::time::Duration;

#[derive(Parser)]
struct Cli {
    /// The convoke program, built for release.
    #[arg(long)]
    program: PathBuf,
    /// Where data is written; it decides which disk is measured.
    #[arg(long, default_value = "build/bench")]
    folder: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    Ring {
        #[arg(long, default_value_t = 1_000)]
        calls: usize,
    },
    Storm {
        /// At most about 19,000: each takes a descriptor of a process.
        #[arg(long, default_value_t = 5_000)]
        terminals: usize,
        /// How long the connections stand before they are lost, in seconds: longer than the server trusts what it has
        /// read of a device.
        #[arg(long, default_value_t = 35)]
        rest_s: u64,
    },
    Presence {
        /// At most about 19,000, as above.
        #[arg(long, default_value_t = 10_000)]
        watchers: usize,
        /// Users who go and come back.
        #[arg(long, default_value_t = 5)]
        changes: usize,
        /// Every watcher asks so often, in seconds, instead of being told.
        #[arg(long)]
        poll_s: Option<u64>,
    },
    Meeting {
        #[arg(long, value_delimiter = ',', default_value = "10,50,200")]
        members: Vec<usize>,
        /// Callees of one invite.
        #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=50))]
        at_once: u8,
    },
    Mqtt {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// How long each traffic runs in each round, in seconds.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
        /// Connections that are opened and then stand; at most about 16,000, as above.
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// These workloads alone.
        #[arg(long, value_enum, value_delimiter = ',')]
        only: Vec<Workload>,
    },
    Hostile {
        #[arg(long, default_value_t = 3)]
        rounds: usize,
        /// How long the pair exchanges messages each time, in seconds.
        #[arg(long, default_value_t = 3)]
        seconds: u64,
    },
    /// The program that only copies packets; `mqtt` starts it.
    #[command(hide = true)]
    Copy,
    Durable {
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
    Queue {
        /// How long each number of senders sends, in seconds.
        #[arg(long, default_value_t = 5)]
        seconds: u64,
    },
    Resume {
        /// At most about 19,000, as above.
        #[arg(long, default_value_t = 10_000)]
        inboxes: usize,
        /// Messages that wait in each.
        #[arg(long, default_value_t = 100)]
        messages: usize,
    },
    Reclaim,
    Revocation {
        #[arg(long, default_value_t = 100)]
        revocations: usize,
        /// By one key; at most about 19,000, as above.
        #[arg(long, default_value_t = 10_000)]
        connections: usize,
        /// Of one group, all connected; at most 10,000 are removed with it.
        #[arg(long, default_value_t = 10_000)]
        devices: usize,
    },
    Start {
        #[arg(long, default_value_t = 10_000)]
        inboxes: usize,
        /// Messages that wait in each.
        #[arg(long, default_value_t = 100)]
        messages: usize,
        /// Messages that were acknowledged before, in all.
        #[arg(long, default_value_t = 10_000_000)]
        acknowledged: usize,
        #[arg(long, default_value_t = 3)]
        rounds: usize,
    },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    if matches!(cli.what, What::Copy) {
        return mqtt_traffic::copier::run();
    }
    std::fs::create_dir_all(&cli.folder)?;
    let folder = tempfile::tempdir_in(&cli.folder)?;
    match cli.what {
        What::Ring { calls } => ring::measure(folder.path(), &cli.program, calls),
        What::Storm { terminals, rest_s } => {
            storm::measure(folder.path(), &cli.program, terminals, Duration::from_secs(rest_s))
        }
        What::Presence { watchers, changes, poll_s } => {
            let plan = presence::Plan { watchers, changes, poll: poll_s.map(Duration::from_secs) };
            presence::measure(folder.path(), &cli.program, plan)
        }
        What::Meeting { members, at_once } => members.into_iter().try_for_each(|members| {
            large::measure(folder.path(), &cli.program, large::Plan { members, at_once: at_once.into() })
        }),
        What::Mqtt { rounds, seconds, connections, only } => {
            let plan = mqtt_traffic::Plan { rounds, duration: Duration::from_secs(seconds), connections, only };
            mqtt_traffic::measure(folder.path(), &cli.program, &plan)
        }
        What::Hostile { rounds, seconds } => {
            let plan = mqtt_traffic::hostile::Plan { rounds, duration: Duration::from_secs(seconds) };
            mqtt_traffic::hostile::measure(folder.path(), &cli.program, &plan)
        }
        // Before anything is made.
        What::Copy => Ok(()),
        What::Durable { seconds } => durable::measure(folder.path(), &cli.program, seconds),
        What::Queue { seconds } => queue::measure(folder.path(), &cli.program, seconds),
        What::Resume { inboxes, messages } => resume::measure(folder.path(), &cli.program, inboxes, messages),
        What::Reclaim => reclaim::measure(folder.path(), &cli.program),
        What::Revocation { revocations, connections, devices } => {
            revocation::measure(folder.path(), &cli.program, revocation::Plan { revocations, connections, devices })
        }
        What::Start { inboxes, messages, acknowledged, rounds } => {
            let plan = start::Plan { inboxes, messages, acknowledged, rounds };
            start::measure(folder.path(), &cli.program, &plan)
        }
    }
}
