//! The clock of the server's machine is set while calls stand: nothing ends by it, and nobody is refused.

use crate::set_clock::SetClock;
use anyhow::{Context, Result, ensure};
use demo::{Actor, Stage};
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

const PATIENCE: Duration = Duration::from_secs(20);
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Each for a few seconds, from one to the next.
const STEPS_S: [i64; 10] = [30, -30, 2 * MINUTE, -2 * MINUTE, HOUR, -HOUR, 5 * HOUR, -5 * HOUR, 40 * DAY, -40 * DAY];

struct Scene {
    clock: SetClock,
    stage: Stage,
    alice: Actor,
    bob: Actor,
}

impl Scene {
    async fn start(folder: &Path) -> Result<Self> {
        let clock = SetClock::new(folder)?;
        let mut stage = Stage::new(folder, &clock.script, &["meeting.ring_s=40"])?;
        stage.start_server().await?;
        let no_media = ["--no-media".to_owned()];
        let mut alice = stage.actor("alice", "phone", &no_media).await?;
        let mut bob = stage.actor("bob", "phone", &no_media).await?;
        for actor in [&mut alice, &mut bob] {
            actor.start().await?;
            actor.wait("synchronised", PATIENCE, |_| true).await?;
        }
        Ok(Self { clock, stage, alice, bob })
    }

    /// Alice calls Bob until it rings there; returns the meeting.
    async fn ring(&mut self) -> Result<Value> {
        self.alice.tell(json!({ "do": "call", "user": "bob" })).await?;
        let ring = self.bob.wait("ring", PATIENCE, |_| true).await?;
        Ok(ring["meeting"].clone())
    }

    /// Bob takes the call that rings, then Alice ends it.
    async fn answer_and_end(&mut self, meeting: &Value) -> Result<()> {
        self.bob.say("accept").await?;
        self.bob.wait("admitted", PATIENCE, |said| said["meeting"] == *meeting).await?;
        self.alice.wait("accepted", PATIENCE, |said| said["meeting"] == *meeting).await?;
        self.alice.say("destroy").await?;
        for actor in [&self.alice, &self.bob] {
            actor.wait("ended", PATIENCE, |said| said["meeting"] == *meeting).await?;
        }
        Ok(())
    }

    /// Nothing that was asked for was refused, or went out twice, and no ring was lost.
    fn is_calm(&self) -> Result<()> {
        for actor in [&self.alice, &self.bob] {
            for event in ["refused", "repeated", "missed", "ring_ended"] {
                let told = actor.all(event);
                ensure!(told.is_empty(), "{event}: {told:?}");
            }
        }
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_stands_and_a_call_is_made_whatever_the_servers_clock_is_set_to() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::start(folder.path()).await?;
    for step_s in STEPS_S {
        let played = async {
            let meeting = scene.ring().await?;
            scene.clock.set_ahead(step_s * 1_000)?;
            scene.answer_and_end(&meeting).await?;
            let meeting = scene.ring().await?;
            scene.answer_and_end(&meeting).await?;
            scene.is_calm()
        };
        played.await.with_context(|| format!("the clock was set by {step_s} s"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_stands_over_a_restart_with_another_clock_in_the_same_boot() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::start(folder.path()).await?;
    for step_s in [5 * HOUR, -5 * HOUR, 40 * DAY, -40 * DAY] {
        let played = async {
            let meeting = scene.ring().await?;
            scene.stage.kill_server().await?;
            scene.clock.set_ahead(step_s * 1_000)?;
            scene.stage.start_server().await?;
            for actor in [&scene.alice, &scene.bob] {
                actor.skip_all("synchronised");
            }
            scene.answer_and_end(&meeting).await?;
            scene.is_calm()
        };
        played.await.with_context(|| format!("the clock was set by {step_s} s"))?;
    }
    Ok(())
}
