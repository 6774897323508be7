//! A month in the life of a server, in minutes: a real process with real files, at simulated time. Every message is judged
//! by the laws of [`inbox`], every hour is sampled, and what the server takes must stay within bounds ([`verdict`]).
//!
//! `CONVOKE_SOAK=month` plays the long one (`make soak`), with a chart in `build/soak/month.svg`; `CONVOKE_SOAK_DAYS` is
//! another number of days for it.

mod chart;
mod inbox;
mod run;
mod sample;
mod verdict;

use crate::support::{Random, seed};
use anyhow::{Context, Result, ensure};
use inbox::Law;
use run::{Plan, Run};
use sample::Sample;
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

const MIB: u64 = 1 << 20;
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../build/soak/month.svg");
/// What the log keeps beside its limit: segments that are being made, given back, or held for a start on a full disk.
const OTHER_SEGMENTS: u64 = 8;

impl Plan {
    /// As many simulated days, for a test of seconds.
    fn short() -> Self {
        Self {
            days: 30,
            steps_per_day: 4,
            devices: 300,
            messages: 60,
            visits: 10,
            calls: 2,
            segment_bytes: MIB / 4,
            reclaim_above_bytes: 2 * MIB,
            fault: String::new(),
        }
    }

    fn month() -> Self {
        let days = std::env::var("CONVOKE_SOAK_DAYS").ok().and_then(|days| days.parse().ok());
        Self {
            days: days.unwrap_or(30),
            steps_per_day: 24,
            devices: 10_000,
            messages: 300,
            visits: 40,
            calls: 5,
            segment_bytes: MIB,
            reclaim_above_bytes: 16 * MIB,
            fault: String::new(),
        }
    }

    /// Long enough for each law to be broken.
    fn seeded(fault: &str) -> Self {
        Self { days: 6, devices: 20, messages: 60, visits: 10, fault: fault.to_owned(), ..Self::short() }
    }

    fn log_floor_bytes(&self) -> u64 {
        self.reclaim_above_bytes + OTHER_SEGMENTS * self.segment_bytes
    }
}

/// Lives through a plan in a folder of its own, which goes with the result.
fn live(plan: &Plan, random: Random) -> Result<Run> {
    let mut run = Run::start(tempfile::tempdir()?, plan.clone(), random)?;
    run.live()?;
    Ok(run)
}

fn draw(run: &Run, plan: &Plan) -> Result<()> {
    let subtitle = format!(
        "{} devices, most of them absent; {} messages, {} visits, {} calls an hour; a restart a day, half by SIGKILL",
        chart::thousands(plan.devices as f64),
        plan.messages,
        plan.visits,
        plan.calls
    );
    let path = Path::new(CHART);
    fs::create_dir_all(path.parent().context("it has a folder")?)?;
    let title = format!("{} simulated days of one server", plan.days);
    fs::write(path, chart::draw(&run.samples, &title, &subtitle))?;
    println!("chart: build/soak/month.svg");
    Ok(())
}

/// What was done and found, in a line.
fn summary(run: &Run, plan: &Plan) -> String {
    let most = |value: fn(&Sample) -> u64| run.samples.iter().map(value).max().unwrap_or(0);
    format!(
        "found: {} simulated days of {} devices, {} messages, {} visits, {} restarts, half by SIGKILL: {} violations; log at \
         most {} MiB, catalog {} MiB, memory {} MiB, {} descriptors, starts of at most {} ms",
        plan.days,
        chart::thousands(plan.devices as f64),
        chart::thousands(run.sent() as f64),
        chart::thousands(run.visits as f64),
        plan.days,
        run.violations.len(),
        most(|sample| sample.log_bytes) / MIB,
        most(|sample| sample.catalog_bytes + sample.catalog_log_bytes) / MIB,
        most(|sample| sample.memory_bytes) / MIB,
        most(|sample| sample.descriptors as u64),
        most(|sample| sample.start.as_millis() as u64),
    )
}

#[test]
fn a_simulated_month_breaks_no_law_and_what_it_takes_stays_within_bounds() -> Result<()> {
    let is_long = std::env::var("CONVOKE_SOAK").is_ok_and(|length| length == "month");
    let plan = if is_long { Plan::month() } else { Plan::short() };
    let run = live(&plan, seed("a simulated month"))?;
    if is_long {
        draw(&run, &plan)?;
    }
    let findings = verdict::judge(&run.samples, plan.log_floor_bytes());
    findings.iter().for_each(|finding| println!("{finding}"));
    println!("{}", summary(&run, &plan));
    ensure!(run.violations.is_empty(), "{} violations, first: {}", run.violations.len(), run.violations[0]);
    // Times are told, and judged by whoever reads them: the machine may be busy with other tests.
    let broken = findings.iter().filter(|finding| !finding.holds && !finding.is_timed);
    let broken: Vec<_> = broken.map(|finding| finding.what).collect();
    ensure!(broken.is_empty(), "broken: {broken:?}");
    Ok(())
}

/// Seeded bugs of a start, and the law by which each is noticed.
const BUGS: [(&str, Law); 7] = [
    ("forgets_acks", Law::Once),
    ("forgets_collapse_keys", Law::Collapse),
    ("forgets_disconnects", Law::Kept),
    ("forgets_expiries", Law::Expiry),
    ("forgets_messages", Law::Kept),
    ("forgets_packet_ids", Law::PacketId),
    ("forgets_sessions", Law::Session),
];

/// What happens is random, so that a bug may be in nobody's way.
const LIVES_ENOUGH: usize = 4;

/// Lives until the law is seen to be broken.
fn is_noticed(fault: &str, law: Law, random: &mut Random) -> Result<bool> {
    for _ in 0..LIVES_ENOUGH {
        let run = live(&Plan::seeded(fault), Random::of(random.next(u64::MAX)))?;
        ensure!(run.has_bug_struck()?, "{fault} has not struck");
        let broken: BTreeSet<Law> = run.violations.iter().map(|violation| violation.law).collect();
        println!("{fault}: {} violations, of {broken:?}", run.violations.len());
        if broken.contains(&law) {
            return Ok(true);
        }
    }
    Ok(false)
}

#[test]
fn each_seeded_bug_of_a_start_is_noticed_by_its_law() -> Result<()> {
    let mut random = seed("seeded bugs");
    let sound = live(&Plan::seeded(""), Random::of(random.next(u64::MAX)))?;
    ensure!(sound.violations.is_empty(), "no bug was seeded, but: {:?}", sound.violations);
    for (fault, law) in BUGS {
        ensure!(is_noticed(fault, law, &mut random)?, "{fault} was not noticed by {law:?}");
    }
    Ok(())
}
