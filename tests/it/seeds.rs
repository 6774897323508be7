//! What the program makes by itself, over starts, and what `--dev` leaves behind.

use crate::support::program;
use anyhow::{Context, Result, bail, ensure};
use demo::{Method, Stage};
use serde_json::json;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Output, Stdio};

const GROUP: &str = "/api/v1/groups/GID_shop";

#[tokio::test(flavor = "multi_thread")]
async fn what_an_owner_removed_stays_removed_at_the_next_start_which_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path(), &program()?, &["names.groups=[\"GID_shop\"]"])?;
    stage.start_server().await?;
    stage.api(Method::GET, GROUP, None).await?;
    let users = "/api/v1/users/alice";
    for path in [format!("{GROUP}?force=true"), format!("{users}?force=true")] {
        stage.api(Method::DELETE, &path, None).await?;
    }
    stage.stop_server().await?;
    stage.start_server().await?;
    for path in [GROUP, users] {
        let words = stage.api(Method::GET, path, None).await.err().context("it is there again")?.to_string();
        ensure!(words.contains("404"), "{words}");
    }
    let log = fs::read_to_string(stage.server_log())?;
    for words in ["not made again", "convoke groups create GID_shop", "convoke users create alice"] {
        ensure!(log.contains(words), "the log does not say {words:?}: {log}");
    }
    stage.api(Method::POST, "/api/v1/groups", Some(json!({ "group": "GID_shop" }))).await?;
    stage.stop_server().await?;
    stage.start_server().await?;
    stage.api(Method::GET, GROUP, None).await.map(drop)
}

fn serve(data: &Path, flags: &[&str]) -> Result<Command> {
    let mut command = Command::new(program()?);
    command.args(["serve", "--data"]).arg(data).args(flags);
    for key in ["mqtt.listen", "mqtt.tls_listen", "http.listen", "http.tls_listen", "queue.listen", "media.listen"] {
        command.args(["--set".to_owned(), format!("{key}=127.0.0.1:0")]);
    }
    command.args(["--set", "metrics.listen="]).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Ok(command)
}

/// Serves until it is ready, and stops.
fn served(data: &Path, flags: &[&str]) -> Result<Output> {
    let mut server = serve(data, flags)?.spawn()?;
    let mut lines = BufReader::new(server.stdout.take().context("no output")?).lines();
    while let Some(line) = lines.next() {
        if line?.contains("Convoke is ready") {
            let id = server.id().to_string();
            ensure!(Command::new("kill").args(["-TERM", &id]).status()?.success(), "it cannot be stopped");
            lines.by_ref().for_each(drop);
            return Ok(server.wait_with_output()?);
        }
    }
    bail!("it is never ready: {:?}", server.wait_with_output()?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_directory_of_a_trial_is_served_without_dev_only_when_its_logins_are_removed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path(), &program()?, &[])?;
    stage.start_server().await?;
    stage.api(Method::POST, "/api/v1/users/alice/devices", Some(json!({ "device": "phone" }))).await?;
    stage.stop_server().await?;
    let data = stage.data();

    let refused = serve(&data, &[])?.output()?;
    let words = String::from_utf8_lossy(&refused.stderr).into_owned();
    ensure!(!refused.status.success(), "it serves a trial's logins: {words}");
    for part in ["logins of a trial", "key dev", "user alice", "remedy", "--remove-dev", "--dev"] {
        ensure!(words.contains(part), "it does not say {part:?}: {words}");
    }

    let removed = served(&data, &["--remove-dev"])?;
    ensure!(removed.status.success(), "{removed:?}");
    ensure!(!data.join("access-key").exists(), "the file of the access key is left");
    ensure!(served(&data, &[])?.status.success(), "nothing is left to refuse");

    // A new trial begins as the first one did.
    stage.start_server().await?;
    ensure!(stage.access_key()?["key_id"] == "dev", "it has no access key");
    let devices = stage.api(Method::GET, "/api/v1/devices?user=alice", None).await?;
    assert_eq!(devices["items"], json!([]));
    Ok(())
}
