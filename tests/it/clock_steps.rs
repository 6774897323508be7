//! The clock of the server's machine is set while calls stand: nothing ends by it, and nobody is refused.

use crate::set_clock::SetClock;
use anyhow::{Context, Result, ensure};
use demo::{Actor, Stage};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const PATIENCE: Duration = Duration::from_secs(20);
const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// Each for a few seconds, from one to the next.
const STEPS_S: [i64; 10] = [30, -30, 2 * MINUTE, -2 * MINUTE, HOUR, -HOUR, 5 * HOUR, -5 * HOUR, 40 * DAY, -40 * DAY];

/// The server looks at its clock several times meanwhile.
const LOOKED_AT: Duration = Duration::from_secs(2);

#[derive(Clone, Copy, PartialEq, Eq)]
enum Boot {
    Same,
    Another,
}

struct Scene {
    clock: SetClock,
    slept_ms: i64,
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
        Ok(Self { clock, slept_ms: 0, stage, alice, bob })
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

    /// The server is killed and started again, with its clock set meanwhile; returns when both are back.
    async fn restart(&mut self, step_s: i64, boot: Boot) -> Result<()> {
        self.stage.kill_server().await?;
        if boot == Boot::Another {
            self.boot_anew()?;
        }
        self.clock.set_ahead(step_s * 1_000)?;
        for actor in [&self.alice, &self.bob] {
            actor.skip_all("synchronised");
        }
        self.stage.start_server().await?;
        for actor in [&self.alice, &self.bob] {
            actor.wait("synchronised", PATIENCE, |_| true).await?;
        }
        Ok(())
    }

    /// What the server has kept of the time is of another boot.
    fn boot_anew(&self) -> Result<()> {
        let file = self.stage.data().join("clock");
        let kept = fs::read_to_string(&file)?;
        let (_, times) = kept.split_once(' ').context("no boot")?;
        Ok(fs::write(file, format!("another {times}"))?)
    }

    /// The server's machine sleeps for so long.
    async fn sleep(&mut self, time: Duration) -> Result<()> {
        // The server has looked at its clock before, and looks again after.
        tokio::time::sleep(LOOKED_AT).await;
        self.slept_ms += i64::try_from(time.as_millis())?;
        self.clock.set_slept(self.slept_ms)?;
        tokio::time::sleep(LOOKED_AT).await;
        Ok(())
    }

    /// Nothing that was asked for was refused, or went out twice, and no ring was lost.
    fn is_calm(&self) -> Result<()> {
        self.nobody_was_told(&["refused", "repeated", "missed", "ring_ended"])
    }

    fn nobody_was_told(&self, events: &[&str]) -> Result<()> {
        for actor in [&self.alice, &self.bob] {
            for event in events {
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
            scene.restart(step_s, Boot::Same).await?;
            scene.answer_and_end(&meeting).await?;
            scene.is_calm()
        };
        played.await.with_context(|| format!("the clock was set by {step_s} s"))?;
    }
    Ok(())
}

/// By a clock that is a few hours ahead after a boot the ring is over: the machine may have been off for as long.
#[tokio::test(flavor = "multi_thread")]
async fn a_ring_stands_over_a_boot_with_a_clock_that_is_days_ahead_or_behind() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::start(folder.path()).await?;
    for step_s in [40 * DAY, -2 * MINUTE, -5 * HOUR, -40 * DAY] {
        let played = async {
            let meeting = scene.ring().await?;
            scene.restart(step_s, Boot::Another).await?;
            scene.answer_and_end(&meeting).await?;
            let meeting = scene.ring().await?;
            scene.answer_and_end(&meeting).await?;
            scene.restart(0, Boot::Another).await?;
            // What was on its way when the server was killed has expired by the other clock, and goes out once more.
            scene.nobody_was_told(&["refused", "missed", "ring_ended"])
        };
        played.await.with_context(|| format!("the clock was set by {step_s} s"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_are_made_once_a_clock_that_was_set_is_believed_and_after_one_that_was_not() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::start(folder.path()).await?;
    for (step_s, minutes) in [(40 * DAY, 5), (0, 11), (5 * HOUR, 2), (0, 2), (-5 * HOUR, 2), (0, 2), (-40 * DAY, 11)] {
        let played = async {
            scene.clock.set_ahead(step_s * 1_000)?;
            scene.sleep(minutes * Duration::from_secs(60)).await?;
            let meeting = scene.ring().await?;
            scene.answer_and_end(&meeting).await
        };
        played.await.with_context(|| format!("the clock was set by {step_s} s for {minutes} minutes"))?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ring_is_over_after_a_night_in_which_the_machine_slept_and_the_next_call_is_made() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::start(folder.path()).await?;
    let meeting = scene.ring().await?;
    scene.sleep(Duration::from_secs(8 * 3_600)).await?;
    scene.alice.wait("ended", PATIENCE, |said| said["meeting"] == meeting).await?;
    scene.bob.wait("missed", PATIENCE, |_| true).await?;
    let meeting = scene.ring().await?;
    scene.answer_and_end(&meeting).await
}

/// Machines without batteries for their clocks: they boot in the year 2000, and the network sets them while a call rings. (In
/// 1970 no certificate is valid yet: terminals wait until they are set.)
#[tokio::test(flavor = "multi_thread")]
async fn a_ring_stands_over_a_boot_with_a_clock_that_is_not_set_and_when_that_is_set() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::start(folder.path()).await?;
    // In seconds; for so long the machine seems to have been off.
    for off_for_s in [HOUR, 3 * DAY] {
        let played = async {
            let meeting = scene.ring().await?;
            let year_2000 = UNIX_EPOCH + Duration::from_secs(946_684_800);
            let ahead_s = i64::try_from(SystemTime::now().duration_since(year_2000)?.as_secs())?;
            scene.restart(-ahead_s, Boot::Another).await?;
            scene.clock.set_ahead(off_for_s * 1_000)?;
            tokio::time::sleep(LOOKED_AT).await;
            scene.answer_and_end(&meeting).await?;
            let meeting = scene.ring().await?;
            scene.answer_and_end(&meeting).await?;
            scene.nobody_was_told(&["refused", "missed", "ring_ended"])
        };
        played.await.with_context(|| format!("the clock was set by {off_for_s} s"))?;
    }
    Ok(())
}
