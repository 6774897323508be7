//! Measurements against the bars. Each figure stands beside its peer, measured in turn in the same run: this machine
//! may be shared, so ratios count, not absolute figures.
//!
//! - `ring`: invite → ring between two online terminals, everything durable.
//! - `durable`: QoS 1 publishes to absent receivers (PUBACK after fdatasync), beside a raw writer on the same disk.

mod durable;
mod figures;
mod open_loop;
mod raw_disk;
mod ring;

use anyhow::Result;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

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
    Durable {
        #[arg(long, default_value_t = 10)]
        seconds: u64,
    },
}

fn main() -> Result<()> {
    let cli = Cli::parse();
    std::fs::create_dir_all(&cli.folder)?;
    let folder = tempfile::tempdir_in(&cli.folder)?;
    match cli.what {
        What::Ring { calls } => ring::measure(folder.path(), &cli.program, calls),
        What::Durable { seconds } => durable::measure(folder.path(), &cli.program, seconds),
    }
}
