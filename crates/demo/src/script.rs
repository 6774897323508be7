//! The script of the call, step by step.

use super::actor::Actor;
use super::received::{self, Received};
use super::report;
use super::stage::Stage;
use super::timeline::Timeline;
use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Who is killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Victim {
    Server,
    Callee,
}

/// A SIGKILL in a gap between two lines, and a new start at once.
#[derive(Clone, Copy, Debug)]
pub struct Kill {
    pub victim: Victim,
    pub gap: Gap,
}

#[derive(Clone, Copy, Debug)]
pub enum Gap {
    /// After so many lines.
    Lines(usize),
    /// After the line with these words.
    After(&'static str),
}

/// What all runs must have in common, and what a test needs to know of this one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Rings that a person noticed, by person: one number per invitation. A ring that goes on after a restart of the
    /// terminal is the same one.
    pub rings: BTreeMap<String, Vec<usize>>,
    /// Entries in the list of missed calls, by person.
    pub missed: BTreeMap<String, usize>,
    /// How the first meeting ended and through whom, as each person's terminal reported it. A person is missing whose
    /// terminal was killed between acknowledging that signal and passing it on, and found by its state that the call is
    /// over.
    pub ended: BTreeMap<String, String>,
}

/// Facts about a run that may differ.
#[derive(Clone, Debug, Default)]
pub struct Run {
    pub outcome: Outcome,
    /// For each gap, who could be killed in it.
    pub victims: Vec<Vec<Victim>>,
    pub killed: bool,
}

const SOON: Duration = Duration::from_secs(15);
const LONGER: Duration = Duration::from_secs(30);
/// How long a block is watched: long enough for a hundred audio packets.
const WATCHED: Duration = Duration::from_millis(2_000);

pub struct Script<'a> {
    stage: Stage,
    timeline: &'a mut Timeline,
    kill: Option<Kill>,
    media: bool,
    cast: Vec<Actor>,
    meeting: String,
    /// By the clock of the terminal that was admitted last; all run on this machine.
    admitted_at_ms: u64,
    callee_frozen: bool,
    run: Run,
}

const ALICE: usize = 0;
const BOB: usize = 1;
const CAROL: usize = 2;

impl<'a> Script<'a> {
    pub fn new(stage: Stage, timeline: &'a mut Timeline) -> Self {
        Self {
            stage,
            timeline,
            kill: None,
            media: true,
            cast: Vec::new(),
            meeting: String::new(),
            admitted_at_ms: 0,
            callee_frozen: false,
            run: Run::default(),
        }
    }

    #[must_use]
    pub fn with_kill(mut self, kill: Kill) -> Self {
        self.kill = Some(kill);
        self
    }

    /// Signalling only: terminals join no channel.
    #[must_use]
    pub fn without_media(mut self) -> Self {
        self.media = false;
        self
    }

    pub async fn play(mut self) -> Result<Run> {
        self.server_starts().await.context("the server starts")?;
        self.callee_connects_and_is_killed().await.context("Bob's terminal connects, then is killed")?;
        self.caller_calls().await.context("Alice calls Bob, who is off")?;
        self.caller_joins().await.context("Alice joins the channel")?;
        self.server_is_killed().await.context("the server is killed and started again")?;
        self.callee_comes_back().await.context("Bob's terminal comes back and rings")?;
        self.callee_answers().await.context("Bob answers")?;
        self.media_flows().await.context("both see and hear each other")?;
        self.caller_blocks_the_callee().await.context("Alice blocks Bob's speech and lifts it")?;
        self.third_is_invited().await.context("Alice invites Carol in mid-call")?;
        self.meeting_is_destroyed().await.context("Alice ends the meeting for all")?;
        self.callee_misses_a_call().await.context("Bob misses a call")?;
        self.collect_outcome();
        let status = self.stage.stop_server().await.context("the server stops")?;
        ensure!(status.success(), "the server stopped with {status}");
        Ok(self.run)
    }

    // Lines and gaps.

    async fn line(&mut self, part: &str, words: &str, facts: Value) -> Result<()> {
        self.timeline.line(part, words, facts);
        self.run.victims.push(self.running());
        let is_here = |gap| match gap {
            Gap::Lines(lines) => lines == self.timeline.count(),
            Gap::After(line) => line == words,
        };
        match self.kill {
            Some(kill) if is_here(kill.gap) => self.kill(kill.victim).await,
            _ => Ok(()),
        }
    }

    fn running(&self) -> Vec<Victim> {
        let server = self.stage.is_running().then_some(Victim::Server);
        let callee = self.cast.get(BOB).is_some_and(Actor::is_running).then_some(Victim::Callee);
        server.into_iter().chain(callee).collect()
    }

    async fn kill(&mut self, victim: Victim) -> Result<()> {
        self.run.killed = true;
        match victim {
            Victim::Server => {
                self.stage.kill_server().await?;
                self.stage.start_server().await?;
            }
            Victim::Callee if !self.cast[BOB].is_running() => bail!("the callee's terminal is not running in this gap"),
            Victim::Callee => {
                self.cast[BOB].kill().await?;
                self.cast[BOB].skip_all("synchronised");
                if !self.callee_frozen {
                    self.cast[BOB].start().await?;
                    self.cast[BOB].wait("synchronised", SOON, |_| true).await?;
                }
            }
        }
        Ok(())
    }

    // Steps.

    async fn server_starts(&mut self) -> Result<()> {
        let took = self.stage.start_server().await?;
        let flags = self.flags();
        for user in ["alice", "bob", "carol"] {
            let actor = self.stage.actor(user, "demo", &flags).await?;
            self.cast.push(actor);
        }
        let facts = json!({
            "ready_after_ms": took.as_millis() as u64, "process": self.stage.server_id(),
            "media": report::media_address(&self.stage.server_log()),
        });
        self.line("server", "is up: broker, queue, meeting service and RTC server in one process", facts).await
    }

    fn flags(&self) -> Vec<String> {
        if self.media { Vec::new() } else { vec!["--no-media".into()] }
    }

    async fn callee_connects_and_is_killed(&mut self) -> Result<()> {
        self.cast[BOB].start().await?;
        let connected = self.cast[BOB].wait("connected", SOON, |_| true).await?;
        self.cast[BOB].wait("synchronised", SOON, |_| true).await?;
        self.line("bob", "connects over TLS", report::pick(&connected, &["session_present", "tls", "endpoint"]))
            .await?;
        self.cast[BOB].kill().await?;
        self.line("bob", "is killed with SIGKILL: the phone is off", self.cast[BOB].end()).await
    }

    async fn caller_calls(&mut self) -> Result<()> {
        self.cast[ALICE].start().await?;
        self.cast[ALICE].wait("synchronised", SOON, |_| true).await?;
        self.cast[ALICE].tell(json!({ "do": "call", "user": "bob", "media": "video" })).await?;
        let acknowledged = self.cast[ALICE].wait("publish_acknowledged", SOON, |e| e["type"] == "create").await?;
        self.meeting = acknowledged["meeting"].as_str().context("the create names no meeting")?.to_owned();
        let facts = report::pick(&acknowledged, &["signal", "meeting", "after_ms"]);
        self.line("broker", "has Alice's create on disk and says so (PUBACK after fdatasync)", facts).await?;
        let waiting = self.cast[ALICE].wait("waiting", SOON, |_| true).await?;
        let mut facts = report::pick(&waiting, &["user", "until_ms"]);
        report::add(&mut facts, report::queued(&self.stage.server_log(), &acknowledged["signal"]));
        self.line("meeting", "tells Alice that Bob is offline, and until when it will ring", facts).await
    }

    async fn caller_joins(&mut self) -> Result<()> {
        let admitted = self.cast[ALICE].wait("admitted", SOON, |_| true).await?;
        let mut facts = report::pick(&admitted, &["channel", "participation"]);
        if self.media {
            let joined = self.cast[ALICE].wait("media_joined", SOON, |_| true).await?;
            report::add(&mut facts, report::pick(&joined, &["cipher", "after_ms"]));
        }
        self.line("alice", "is admitted, and in the channel that the RTC server has opened", facts).await
    }

    async fn server_is_killed(&mut self) -> Result<()> {
        self.cast[ALICE].skip();
        let end = self.stage.kill_server().await?;
        self.line("server", "is killed with SIGKILL while the invitation waits", end).await?;
        let took = self.stage.start_server().await?;
        let mut facts = json!({ "ready_after_ms": took.as_millis() as u64, "process": self.stage.server_id() });
        report::add(&mut facts, report::recovered(&self.stage.server_log()));
        self.line("server", "is started again on the same data", facts).await?;
        let connected = self.cast[ALICE].wait("connected", LONGER, |_| true).await?;
        let mut facts = report::pick(&connected, &["session_present"]);
        if self.media {
            let joined = self.cast[ALICE].wait("media_joined", LONGER, |_| true).await?;
            report::add(&mut facts, report::pick(&joined, &["cipher", "participation"]));
        }
        self.line("alice", "is back by herself, in the same call", facts).await
    }

    async fn callee_comes_back(&mut self) -> Result<()> {
        let began = Instant::now();
        self.cast[BOB].start().await?;
        let ring = self.cast[BOB].wait("ring", LONGER, |_| true).await?;
        let mut facts = report::pick(&ring, &["invitation", "from"]);
        report::add(&mut facts, json!({ "after_start_ms": began.elapsed().as_millis() as u64 }));
        self.line("bob", "comes back and rings", facts).await?;
        let ringing = self.cast[ALICE].wait("ringing", LONGER, |_| true).await?;
        self.line("alice", "is told that it rings", report::pick(&ringing, &["user"])).await
    }

    async fn callee_answers(&mut self) -> Result<()> {
        self.cast[BOB].say("accept").await?;
        let admitted = self.cast[BOB].wait("admitted", LONGER, |_| true).await?;
        self.admitted_at_ms = admitted["at_ms"].as_u64().unwrap_or(0);
        let facts = report::pick(&admitted, &["participation"]);
        self.line("bob", "accepts and is admitted", facts).await?;
        let accepted = self.cast[ALICE].wait("accepted", LONGER, |_| true).await?;
        self.line("alice", "is told that he accepted", report::pick(&accepted, &["user"])).await
    }

    async fn media_flows(&mut self) -> Result<()> {
        if !self.media {
            return Ok(());
        }
        for (viewer, source) in [(BOB, "alice"), (ALICE, "bob")] {
            self.sees(viewer, source).await?;
        }
        Ok(())
    }

    /// `viewer` gets whole frames and speech of `source`, checked against the file that it plays.
    async fn sees(&mut self, viewer: usize, source: &str) -> Result<()> {
        let is_picture = |e: &Value| e["user"] == source && e["source"] == "camera";
        let first = self.cast[viewer].wait("first_frame", LONGER, is_picture).await?;
        ensure!(first["key_frame"] == true, "the first picture of {source} is no key frame: {first}");
        let received = self.flowing(viewer, source).await?;
        let name = self.cast[viewer].name;
        received.check().with_context(|| format!("what {name} receives of {source}"))?;
        let first_at_ms = first["at_ms"].as_u64().unwrap_or(0);
        let mut facts = json!({ "picture_after_admission_ms": first_at_ms.saturating_sub(self.admitted_at_ms) });
        report::add(&mut facts, received.facts());
        self.line(name, &format!("sees and hears {source}: encoded VP8 and Opus over SRTP"), facts).await
    }

    /// Waits for a report of enough frames to judge.
    async fn flowing(&self, viewer: usize, source: &str) -> Result<Received> {
        let received = |e: &Value| Received::of(e, source).filter(Received::is_enough);
        let event = self.cast[viewer].wait("media", LONGER, |e| received(e).is_some()).await?;
        received(&event).context("a report was judged twice, and differently")
    }

    async fn caller_blocks_the_callee(&mut self) -> Result<()> {
        self.block("block", true).await?;
        if self.media {
            let watched = self.watch_callee_audio().await?;
            ensure!(watched.received > 0, "Bob's terminal does not send audio while blocked: {watched:?}");
            ensure!(watched.forwarded == 0, "the RTC server still forwards Bob's audio: {watched:?}");
            let facts = json!({ "received": watched.received, "forwarded": watched.forwarded, "dropped_blocked": watched.dropped_blocked });
            self.line("rtc", "forwards none of Bob's audio although his terminal goes on sending", facts).await?;
        }
        self.block("unblock", false).await?;
        if self.media {
            let watched = self.watch_callee_audio().await?;
            ensure!(watched.forwarded > 0, "Bob's audio does not flow again: {watched:?}");
            let facts = json!({ "received": watched.received, "forwarded": watched.forwarded });
            self.line("rtc", "forwards it again", facts).await?;
        }
        Ok(())
    }

    async fn block(&mut self, verb: &str, blocked: bool) -> Result<()> {
        self.cast[ALICE].tell(json!({ "do": verb, "user": "bob", "track": "audio" })).await?;
        let told = self.cast[BOB].wait("blocked", LONGER, |e| e["blocked"] == blocked).await?;
        let words = if blocked { "is told that Alice blocks his speech" } else { "is told that she lifts it" };
        self.line("bob", words, report::pick(&told, &["track", "by"])).await
    }

    async fn watch_callee_audio(&mut self) -> Result<report::Traffic> {
        let before = self.callee_audio().await?;
        tokio::time::sleep(WATCHED).await;
        Ok(self.callee_audio().await?.since(&before))
    }

    async fn callee_audio(&mut self) -> Result<report::Traffic> {
        let channel = self.stage.channel(&self.meeting).await?.context("the channel is gone")?;
        report::Traffic::of(&channel, "bob", "microphone").context("Bob's microphone is not in the channel")
    }

    async fn third_is_invited(&mut self) -> Result<()> {
        self.cast[CAROL].start().await?;
        self.cast[CAROL].wait("synchronised", SOON, |_| true).await?;
        self.cast[ALICE].tell(json!({ "do": "invite", "user": "carol" })).await?;
        let ring = self.cast[CAROL].wait("ring", LONGER, |_| true).await?;
        let facts = json!({ "invitation": ring["invitation"], "in": ring["names"] });
        self.line("carol", "is invited in mid-call, rings and sees who is in", facts).await?;
        self.cast[CAROL].say("accept").await?;
        let admitted = self.cast[CAROL].wait("admitted", LONGER, |_| true).await?;
        self.admitted_at_ms = admitted["at_ms"].as_u64().unwrap_or(0);
        self.line("carol", "accepts and is admitted", report::pick(&admitted, &["participation"])).await?;
        if !self.media {
            return Ok(());
        }
        for (viewer, source) in [(CAROL, "alice"), (CAROL, "bob"), (ALICE, "carol"), (BOB, "carol")] {
            self.sees(viewer, source).await?;
        }
        Ok(())
    }

    async fn meeting_is_destroyed(&mut self) -> Result<()> {
        self.nothing_was_altered()?;
        self.cast[BOB].skip_all("state");
        self.cast[ALICE].say("destroy").await?;
        for who in [ALICE, BOB, CAROL] {
            let ended = self.learns_the_end(who).await?;
            let mut facts = report::pick(&ended, &["reason", "by"]);
            if ended["event"] == "ended" {
                self.run.outcome.ended.insert(self.cast[who].name.into(), facts.to_string());
                ensure!(ended["reason"] == "destroyed", "the meeting ended in another way: {ended}");
            }
            if who != ALICE {
                let rings: usize = report::per_invitation(&self.cast[who].all("ring")).iter().sum();
                report::add(&mut facts, json!({ "rings_in_all": rings }));
            }
            let words = if who == ALICE { "has ended it for all" } else { "is told that Alice has ended the meeting" };
            self.line(self.cast[who].name, words, facts).await?;
        }
        self.channel_is_gone().await
    }

    async fn learns_the_end(&self, who: usize) -> Result<Value> {
        let was_killed = who == BOB && self.run.killed && self.kill.is_some_and(|kill| kill.victim == Victim::Callee);
        let is_it = |e: &Value| match e["event"].as_str() {
            Some("ended") => e["meeting"] == *self.meeting && e["user"].is_null(),
            Some("state") => was_killed && e["call"].is_null(),
            _ => false,
        };
        self.cast[who].wait_any("ended", LONGER, is_it).await
    }

    /// Checks all reports, also those that no step waited for.
    fn nothing_was_altered(&self) -> Result<()> {
        for actor in &self.cast {
            let bad = actor.all("media").into_iter().find(|report| received::altered(report) > 0);
            ensure!(bad.is_none(), "{} received altered frames: {}", actor.name, bad.unwrap_or_default());
        }
        Ok(())
    }

    async fn channel_is_gone(&mut self) -> Result<()> {
        let began = Instant::now();
        while let Some(channel) = self.stage.channel(&self.meeting).await? {
            ensure!(began.elapsed() < SOON, "the channel is still there: {channel}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let facts = json!({ "channel": self.meeting, "api_answer": null });
        self.line("rtc", "has closed the channel: the API knows it no more", facts).await
    }

    async fn callee_misses_a_call(&mut self) -> Result<()> {
        let frozen = self.cast[BOB].freeze().await?;
        self.callee_frozen = true;
        self.line("bob", "is frozen with SIGSTOP: connected, but dead to the world", frozen).await?;
        self.cast[ALICE].tell(json!({ "do": "call", "user": "bob", "media": "audio" })).await?;
        let create = self.cast[ALICE].wait("publish_acknowledged", LONGER, |e| e["type"] == "create").await?;
        self.cast[ALICE].wait("admitted", LONGER, |_| true).await?;
        self.line("alice", "calls him", report::pick(&create, &["signal", "meeting"])).await?;
        self.cast[ALICE].say("cancel").await?;
        let ended = self.cast[ALICE].wait("ended", LONGER, |e| e["reason"] == "cancelled").await?;
        self.line("alice", "gives up", report::pick(&ended, &["reason"])).await?;
        if self.cast[BOB].is_running() {
            self.cast[BOB].kill().await?;
        }
        self.callee_frozen = false;
        self.line("bob", "is killed with SIGKILL", self.cast[BOB].end()).await?;
        self.cast[BOB].start().await?;
        let missed = self.cast[BOB].wait("missed", LONGER, |_| true).await?;
        self.no_ring_for(&missed["invitation"])?;
        let facts = report::pick(&missed, &["invitation", "from"]);
        self.line("bob", "comes back: one missed call, no ring", facts).await
    }

    fn no_ring_for(&self, invitation: &Value) -> Result<()> {
        let rung = self.cast[BOB].all("ring").iter().any(|e| e["invitation"] == *invitation);
        ensure!(!rung, "Bob's terminal rang for a dead call: {invitation}");
        Ok(())
    }

    fn collect_outcome(&mut self) {
        for actor in &self.cast {
            let rings = report::per_invitation(&actor.all("ring"));
            self.run.outcome.rings.insert(actor.name.into(), rings);
            let missed = report::per_invitation(&actor.all("missed")).len();
            self.run.outcome.missed.insert(actor.name.into(), missed);
        }
    }
}
