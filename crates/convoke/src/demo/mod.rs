//! One whole call between separate processes, as a script: who does what, and what each part reports of it.
//!
//! The same script serves `convoke demo`, which prints its timeline, and the scenario tests, which kill the server or
//! the callee in any gap between two lines and expect the same outcome. Nothing here knows how a part works: every
//! line carries what a terminal, the API or the server's log said.

mod actor;
mod ports;
mod process;
mod received;
mod report;
mod script;
mod stage;
mod timeline;

pub use actor::Actor;
pub use reqwest::Method;
pub use script::{Gap, Kill, Outcome, Run, Script, Victim};
pub use stage::Stage;
pub use timeline::Timeline;

use anyhow::{Context, Result, anyhow, ensure};
use std::path::{Path, PathBuf};
use tokio::signal::unix::{SignalKind, signal};

/// Times of the demo's server: short enough to watch.
const SETTINGS: &[&str] = &["meeting.reach_s=60", "meeting.ring_s=45"];

/// Plays the call and prints it; an error names the step that was not seen.
pub async fn run(json: bool, keep: Option<PathBuf>) -> Result<()> {
    let temporary = keep.is_none();
    let folder = keep.map_or_else(temporary_folder, Ok)?;
    let program = std::env::current_exe().context("cannot find this program's own file")?;
    let mut timeline = if json { Timeline::json() } else { Timeline::text() };
    let played = tokio::select! {
        played = play(&folder, &program, &mut timeline) => played,
        // Whatever was started is dropped, and killed by that.
        () = interruption() => Err(anyhow!("it was interrupted")),
    };
    let Err(error) = played else {
        timeline.end();
        if temporary {
            let _ = std::fs::remove_dir_all(&folder);
        }
        return Ok(());
    };
    let logs = folder.join("logs");
    let error = error.context(format!("the demo stopped after line {}\n  logs: {}", timeline.count(), logs.display()));
    timeline.fail(&crate::explain(&error));
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

fn temporary_folder() -> Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("convoke-demo-{}", crate::keys::random_hex::<6>()));
    std::fs::create_dir_all(&folder).with_context(|| format!("cannot write to {}", folder.display()))?;
    Ok(folder)
}
