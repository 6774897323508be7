//! The demo: one whole call between separate processes, and the harness that plays it.
//!
//! What it is: a [`Script`] (who does what, and what each part reports of it) for [`Actor`]s (headless terminals as
//! processes) on a [`Stage`] (a folder, ports, the server as a process). The same script serves `convoke demo`, which
//! prints its timeline, and the scenario tests, which kill the server or the callee in any gap between two lines and
//! expect the same outcome; other scenarios and the benchmarks use the stage alone. What it is not: a part of the
//! server. It does not know how any part works: it starts the executable that it is given, and every line carries what
//! a terminal, the API or the server's log said.
//!
//! Contract: a process that was started is killed at the latest when its owner is dropped. A wait ends with the event
//! that it waits for, or with an error that names it.

mod actor;
mod ports;
mod process;
mod received;
mod report;
mod script;
mod stage;
mod sys;
mod timeline;

pub use actor::Actor;
pub use reqwest::Method;
pub use script::{Gap, Kill, Outcome, Run, Script, Victim};
pub use stage::Stage;
pub use timeline::{Print, Timeline};

use anyhow::{Result, anyhow, ensure};
use std::path::Path;
use tokio::signal::unix::{SignalKind, signal};

/// Times of the demo's server: short enough to watch.
const SETTINGS: &[&str] = &["meeting.reach_s=60", "meeting.ring_s=45"];

/// How the program that plays the demo speaks to its user.
pub struct Output {
    /// One JSON object a step instead of a timeline.
    pub json: bool,
    pub print: Print,
    /// The cause of a failure, for a person.
    pub explain: fn(&anyhow::Error) -> String,
}

/// Plays the call with the executable `program`, data and logs in `folder`, and prints it.
///
/// # Errors
/// The step that was not seen, and where the logs are.
pub async fn run(program: &Path, folder: &Path, output: Output) -> Result<()> {
    let mut timeline = if output.json { Timeline::json(output.print) } else { Timeline::text(output.print) };
    let played = tokio::select! {
        played = play(folder, program, &mut timeline) => played,
        // Every process that was started is killed when its owner is dropped.
        () = interruption() => Err(anyhow!("it was interrupted")),
    };
    let Err(error) = played else {
        timeline.end();
        return Ok(());
    };
    let logs = folder.join("logs");
    let error = error.context(format!("the demo stopped after line {}\n  logs: {}", timeline.count(), logs.display()));
    timeline.fail(&(output.explain)(&error));
    Err(error)
}

/// SIGINT or SIGTERM.
async fn interruption() {
    let Ok(mut terminate) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}

async fn play(folder: &Path, program: &Path, timeline: &mut Timeline) -> Result<()> {
    let stage = Stage::new(folder, program, SETTINGS)?;
    let outcome = Script::new(stage, timeline).play().await?.outcome;
    let rang_once = |who: &str| outcome.rings.get(who).is_some_and(|rings| rings == &[1]);
    let is_as_told = rang_once("bob") && rang_once("carol") && outcome.missed.get("bob") == Some(&1);
    ensure!(is_as_told, "Bob and Carol ring once each, and Bob misses one call; instead: {outcome:?}");
    Ok(())
}
