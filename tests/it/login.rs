//! A login that is ended.

use crate::support::program;
use anyhow::{Context, Result, ensure};
use demo::{Method, Stage};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use tokio::time::sleep;

const PATIENCE: Duration = Duration::from_secs(30);
/// From the answer to the end of connection and media.
const ENDS_WITHIN: Duration = Duration::from_secs(1);

#[tokio::test]
async fn the_end_of_a_login_ends_connection_and_media_of_a_terminal_that_does_nothing_about_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = Stage::new(folder.path(), &program()?, &[])?;
    stage.start_server().await?;
    let mut alice = stage.actor("alice", "phone", &[]).await?;
    let mut bob = stage.actor("bob", "phone", &[]).await?;
    for actor in [&mut alice, &mut bob] {
        actor.start().await?;
        actor.wait("synchronised", PATIENCE, |_| true).await?;
    }
    alice.tell(json!({ "do": "call", "user": "bob", "media": "video" })).await?;
    bob.wait("ring", PATIENCE, |_| true).await?;
    bob.say("accept").await?;
    let meeting = bob.wait("admitted", PATIENCE, |_| true).await?["meeting"].clone();
    let meeting = meeting.as_str().context("the admission names no meeting")?;
    let is_there = async |there: bool| -> Result<bool> {
        let channel = stage.channel(meeting).await.ok().flatten();
        Ok(channel.is_some_and(|channel| channel.to_string().contains("bob")) == there)
    };
    alice.wait("first_frame", PATIENCE, |_| true).await?;
    ensure!(is_there(true).await?, "bob is not in the channel");
    // Neither its connection nor its media is closed by the terminal itself.
    bob.freeze().await?;
    ensure!(end(&stage, "bob-phone").await? == 204);
    let ended = Instant::now();
    alice.wait("ended", ENDS_WITHIN, |ended| ended["reason"] == "left").await?;
    while !is_there(false).await? {
        ensure!(ended.elapsed() < ENDS_WITHIN, "bob's media is still there");
        sleep(Duration::from_millis(20)).await;
    }
    ensure!(end(&stage, "bob-phone").await? == 401, "it has ended once");
    Ok(())
}

async fn end(stage: &Stage, folder: &str) -> Result<u16> {
    let credentials = std::fs::read(stage.folder.join(folder).join("credentials.json"))?;
    let credentials: Value = serde_json::from_slice(&credentials)?;
    let request = reqwest::Client::new().request(Method::DELETE, stage.url("/api/v1/login"));
    let request = request
        .basic_auth(credentials["client_id"].as_str().context("no client id")?, credentials["password"].as_str());
    Ok(request.send().await?.status().as_u16())
}
