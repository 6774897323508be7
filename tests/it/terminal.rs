//! The headless terminal as a process: how it ends, and what it makes of a crowd of callers.

use crate::support::program;
use anyhow::{Context, Result, ensure};
use demo::{Actor, Method, Stage};
use serde_json::{Value, json};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};

const PATIENCE: Duration = Duration::from_secs(30);

fn no_media() -> [String; 1] {
    ["--no-media".to_owned()]
}

async fn started(folder: &Path, settings: &[&str]) -> Result<Stage> {
    let mut stage = Stage::new(folder, &program()?, settings)?;
    stage.start_server().await?;
    Ok(stage)
}

async fn device(stage: &Stage, user: &str) -> Result<std::path::PathBuf> {
    let path = format!("/api/v1/users/{user}/devices");
    let credentials = stage.api(Method::POST, &path, Some(json!({ "device": "phone" }))).await?;
    let file = stage.folder.join(format!("{user}.json"));
    std::fs::write(&file, credentials.to_string())?;
    Ok(file)
}

/// A terminal whose standard input stays open and empty.
fn terminal(stage: &Stage, credentials: &Path, store: &str) -> Result<Child> {
    let mut command = Command::new(program()?);
    command.arg("terminal").arg("--no-media").arg("--credentials").arg(credentials).arg("--ca").arg(stage.ca());
    command.arg("--store").arg(stage.folder.join(store));
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).kill_on_drop(true);
    command.spawn().context("the terminal does not start")
}

async fn wait_for(child: &mut Child, event: &str) -> Result<Value> {
    let stdout = child.stdout.as_mut().context("its output is read")?;
    let mut lines = BufReader::new(stdout).lines();
    let search = async {
        while let Some(line) = lines.next_line().await? {
            let value: Value = serde_json::from_str(&line)?;
            if value["event"] == event {
                return Ok(value);
            }
        }
        anyhow::bail!("it ended before {event}")
    };
    tokio::time::timeout(PATIENCE, search).await.with_context(|| format!("no {event}"))?
}

#[tokio::test]
async fn a_terminal_that_cannot_go_on_ends_at_once_though_nobody_closes_its_input() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = started(folder.path(), &[]).await?;
    let credentials = device(&stage, "bob").await?;
    let mut first = terminal(&stage, &credentials, "first")?;
    let first_input = first.stdin.take();
    wait_for(&mut first, "synchronised").await?;
    // The same store, while it is in use: it cannot start.
    let mut same = terminal(&stage, &credentials, "first")?;
    let same_input = same.stdin.take();
    let status = tokio::time::timeout(PATIENCE, same.wait()).await.context("it does not end")??;
    ensure!(status.code() == Some(1), "{status}");
    // The same device in another place takes it over.
    let mut second = terminal(&stage, &credentials, "second")?;
    let failed = wait_for(&mut first, "failed").await?;
    ensure!(failed["reason"].as_str().is_some_and(|reason| reason.contains("elsewhere")), "{failed}");
    let status = tokio::time::timeout(PATIENCE, first.wait()).await.context("it does not end")??;
    ensure!(status.code() == Some(1), "{status}");
    drop((first_input, same_input));
    // The end of its input ends it well.
    wait_for(&mut second, "synchronised").await?;
    drop(second.stdin.take());
    let status = tokio::time::timeout(PATIENCE, second.wait()).await.context("it does not end")??;
    ensure!(status.success(), "{status}");
    Ok(())
}

/// More callers than the broker has messages in flight to one terminal.
const CALLERS: usize = 34;

#[tokio::test]
async fn a_terminal_that_was_stopped_while_a_crowd_called_rings_for_all_of_them_and_for_the_next() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = started(folder.path(), &["meeting.reach_s=120", "meeting.ring_s=120"]).await?;
    let mut bob = stage.actor("bob", "phone", &no_media()).await?;
    bob.start().await?;
    bob.wait("synchronised", PATIENCE, |_| true).await?;
    bob.freeze().await?;
    let mut callers = Vec::new();
    for number in 0..CALLERS {
        let user: &'static str = format!("caller-{number}").leak();
        callers.push(call_bob(&stage, user).await?);
    }
    bob.kill().await?;
    bob.start().await?;
    bob.wait("synchronised", PATIENCE, |_| true).await?;
    let last = call_bob(&stage, "the-last").await?;
    bob.wait("ring", PATIENCE, |ring| ring["from"] == "the-last").await?;
    let rings = bob.all("ring");
    let mut from: Vec<_> = rings.iter().filter_map(|ring| ring["from"].as_str()).collect();
    from.sort_unstable();
    from.dedup();
    ensure!(from.len() == CALLERS + 1 && rings.len() == CALLERS + 1, "{} rings of {}", rings.len(), from.len());
    drop((callers, last));
    Ok(())
}

/// Calls, and waits until the service has it.
async fn call_bob(stage: &Stage, user: &'static str) -> Result<Actor> {
    let mut caller = stage.actor(user, "phone", &no_media()).await?;
    caller.start().await?;
    caller.wait("synchronised", PATIENCE, |_| true).await?;
    caller.tell(json!({ "do": "call", "user": "bob" })).await?;
    caller.wait("admitted", PATIENCE, |_| true).await?;
    Ok(caller)
}
