//! Connections and sessions whose right has ended, in the whole server.

use crate::support::program;
use anyhow::{Context, Result, bail, ensure};
use demo::{Method, Stage};
use mqtt::client::{Event, Options};
use mqtt::{ReasonCode, Version};
use scenarios::link::Link;
use serde_json::{Value, json};
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);

async fn started(folder: &Path, settings: &[&str]) -> Result<Stage> {
    let mut stage = Stage::new(folder, &program()?, settings)?;
    stage.start_server().await?;
    Ok(stage)
}

/// Registers Ann's phone, or gives it another credential.
async fn phone(stage: &Stage) -> Result<Value> {
    stage.api(Method::POST, "/api/v1/users/ann/devices", Some(json!({ "device": "phone" }))).await
}

/// With a session that lasts.
fn connect(stage: &Stage, credentials: &Value) -> Result<Link> {
    let text = |name: &str| credentials[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
    let mut options = Options::new(Version::V5, text("client_id")?);
    (options.username, options.password) = (Some(text("username")?), Some(text("password")?.into_bytes()));
    options.session_expiry_interval = 3600;
    Link::open_with(SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port())), options)
}

fn end_of(link: &mut Link) -> Result<ReasonCode> {
    while let Some(event) = link.next(PATIENCE)? {
        if let Event::Disconnected { reason, .. } = event {
            return Ok(reason);
        }
    }
    bail!("the connection does not end")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_device_whose_removal_was_cut_short_by_a_kill_cannot_resume_and_its_session_is_gone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = started(folder.path(), &["test.fault=dies_before_cuts"]).await?;
    let credentials = phone(&stage).await?;
    connect(&stage, &credentials)?.close()?;
    let mut link = connect(&stage, &credentials)?;
    ensure!(link.session_present(), "its session does not last");
    let path = "/api/v1/devices/GID_dev@@@phone";
    ensure!(stage.api(Method::DELETE, path, None).await.is_err(), "the server has answered");
    ensure!(!stage.ended().await?.success(), "the server was not killed");
    ensure!(end_of(&mut link).is_err(), "the device was told that its connection ends");

    stage.start_server().await?;
    ensure!(connect(&stage, &credentials).is_err(), "the removed device is let in");
    let anew = phone(&stage).await?;
    ensure!(!connect(&stage, &anew)?.session_present(), "the session of the removed device is still there");
    Ok(())
}

/// Ann's phone, which subscribes by a grant of hers.
async fn subscribed(stage: &Stage) -> Result<(Value, Link)> {
    let credentials = phone(stage).await?;
    stage.api(Method::POST, "/api/v1/topics", Some(json!({ "topic": "news", "rule": "none" }))).await?;
    let grant = json!({ "user": "ann", "topic": "news", "rights": ["subscribe", "publish"] });
    stage.api(Method::POST, "/api/v1/grants", Some(grant)).await?;
    let mut link = connect(stage, &credentials)?;
    link.subscribe("news/#")?;
    Ok((credentials, link))
}

/// Whether what Ann's phone publishes comes back to it.
fn hears_itself(link: &mut Link) -> Result<bool> {
    let sent = link.publish("news/a", b"x")?;
    let is_answer = |event: &Event| matches!(event, Event::Published { id, .. } if *id == sent);
    let Event::Published { reason, .. } = link.wait(PATIENCE, is_answer)? else { bail!("only the answer is wanted") };
    Ok(reason == ReasonCode::SUCCESS)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_subscribe_has_ended_when_its_removal_is_answered() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = started(folder.path(), &[]).await?;
    let (credentials, mut link) = subscribed(&stage).await?;
    ensure!(hears_itself(&mut link)?, "nobody has the subscription");
    let narrowed = json!({ "rights": ["publish"] });
    stage.api(Method::PATCH, "/api/v1/grants/user:ann/news", Some(narrowed)).await?;
    assert_eq!(stage.figure("convoke_revocations_done_total").await?, 1);
    assert_eq!(end_of(&mut link)?, ReasonCode::NOT_AUTHORIZED);
    let mut again = connect(&stage, &credentials)?;
    ensure!(again.session_present() && !hears_itself(&mut again)?, "the subscription is still there");
    ensure!(again.subscribe("news/#").is_err(), "it may subscribe again");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_right_to_subscribe_whose_removal_was_cut_short_by_a_kill_has_ended_after_the_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = started(folder.path(), &["test.fault=dies_before_cuts"]).await?;
    let (credentials, link) = subscribed(&stage).await?;
    link.close()?;
    let narrowed = json!({ "rights": ["publish"] });
    let path = "/api/v1/grants/user:ann/news";
    ensure!(stage.api(Method::PATCH, path, Some(narrowed)).await.is_err(), "the server has answered");
    ensure!(!stage.ended().await?.success(), "the server was not killed");
    stage.start_server().await?;
    let mut link = connect(&stage, &credentials)?;
    ensure!(link.session_present() && !hears_itself(&mut link)?, "the subscription is still there");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_is_replaced_ends_its_connection_and_the_next_one_has_its_session() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let stage = started(folder.path(), &[]).await?;
    let first = phone(&stage).await?;
    let mut link = connect(&stage, &first)?;
    let second = phone(&stage).await?;
    assert_eq!(end_of(&mut link)?, ReasonCode::NOT_AUTHORIZED);
    ensure!(connect(&stage, &first).is_err(), "the first login lets in still");
    ensure!(connect(&stage, &second)?.session_present(), "the session is gone");
    assert_eq!(stage.figure("convoke_revocations_done_total").await?, 1);
    assert_eq!(stage.figure("convoke_revocations_waiting").await?, 0);
    Ok(())
}
