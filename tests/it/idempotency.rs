//! Requests whose answer is lost, and which are sent again.

use crate::owner_command_line::{Desk, PATIENCE};
use crate::support::program;
use anyhow::{Context, Result, ensure};
use demo::{Method, Stage};
use serde_json::{Value, json};
use std::path::Path;
use tokio::time::timeout;

/// Its server dies between the commit of a change of a key and the answer to it.
async fn dying(folder: &Path) -> Result<Stage> {
    let mut stage = Stage::new(folder, &program()?, &["test.fault=dies_before_cuts"])?;
    stage.start_server().await?;
    let billing = json!({ "key": "billing", "kind": "access", "scopes": ["topics"] });
    // The broker is told of a new key too, so this may be answered or not; it is committed.
    drop(stage.api(Method::POST, "/api/v1/keys", Some(billing)).await);
    ensure!(!stage.ended().await?.success(), "the server was not killed");
    stage.start_server().await?;
    Ok(stage)
}

async fn generations(stage: &Stage) -> Result<Vec<Value>> {
    let key = stage.api(Method::GET, "/api/v1/keys/billing", None).await?;
    let secrets = key["secrets"].as_array().context("no secrets")?;
    Ok(secrets.iter().map(|secret| secret["generation"].clone()).collect())
}

async fn rotate(stage: &Stage) -> Result<reqwest::Response> {
    let key = std::fs::read_to_string(stage.data().join("api-key"))?;
    let request = reqwest::Client::new().post(stage.url("/api/v1/keys/billing/rotate"));
    let request = request.bearer_auth(key.trim()).header("Idempotency-Key", "\"one-rotation\"");
    Ok(request.json(&json!({ "overlap_s": 0 })).send().await?)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotation_that_a_kill_cut_off_its_answer_is_done_once_and_its_secret_given_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = dying(folder.path()).await?;
    ensure!(rotate(&stage).await.is_err(), "the server has answered");
    ensure!(!stage.ended().await?.success(), "the server was not killed");
    stage.start_server().await?;
    assert_eq!(generations(&stage).await?, [2, 1], "the rotation was committed");
    let mut secrets = Vec::new();
    for _ in 0..2 {
        let answer = rotate(&stage).await?;
        assert_eq!(answer.headers().get("idempotency-replayed").context("it was done again")?, "true");
        let answer: Value = answer.error_for_status()?.json().await?;
        secrets.push(answer["secret"].as_str().context("no secret")?.to_owned());
    }
    assert_eq!(secrets[0], secrets[1]);
    assert_eq!(generations(&stage).await?, [2, 1]);

    stage.stop_server().await?;
    std::fs::remove_file(stage.data().join("keys/token-secret"))?;
    stage.start_server().await?;
    let answer = rotate(&stage).await?;
    assert_eq!(answer.status(), 409);
    let problem: Value = answer.json().await?;
    assert_eq!(problem["code"], "idempotency_answer_lost");
    assert_eq!(generations(&stage).await?, [2, 1], "it was done twice");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_whose_answer_is_lost_asks_again_and_prints_the_secret() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut stage = dying(&folder.path().join("stage")).await?;
    let desk = Desk::new(&folder.path().join("desk"))?;
    let key = stage.data().join("api-key");
    desk.does(&format!("login {} --key-file {}", stage.url(""), key.display()))?;
    let command = tokio::task::spawn_blocking(move || desk.reads("keys rotate billing --overlap 0s"));
    ensure!(!timeout(PATIENCE, stage.ended()).await??.success(), "the server was not killed");
    stage.start_server().await?;
    let rotated = command.await??;
    ensure!(rotated["generation"] == 2 && rotated["secret"].is_string(), "{rotated}");
    assert_eq!(generations(&stage).await?, [2, 1]);
    Ok(())
}
