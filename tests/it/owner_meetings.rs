//! What an operator does in a real call, by the command line and by the API: between terminals that send, through the log of
//! changes and the meeting service, to the packets at the RTC server.

use crate::owner_command_line::{Desk, opened};
use anyhow::{Context, Result, ensure};
use demo::{Actor, Method, Stage};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// More than one report of lost packets, and less than a second of speech.
const PACKETS: u64 = 40;
const OPERATOR: &str = ":operator";

struct Call {
    stage: Stage,
    desk: Desk,
    alice: Actor,
    bob: Actor,
    meeting: String,
}

/// Packets of Bob's microphone at the RTC server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Speech {
    received: u64,
    forwarded: u64,
    dropped_blocked: u64,
}

async fn terminal(stage: &Stage, user: &'static str, flags: &[String]) -> Result<Actor> {
    let mut actor = stage.actor(user, "phone", flags).await?;
    actor.start().await?;
    actor.wait("synchronised", PATIENCE, |_| true).await?;
    Ok(actor)
}

impl Call {
    /// Alice and Bob, in a call that both hear.
    async fn begun(folder: &std::path::Path) -> Result<Self> {
        let (stage, desk) = opened(folder).await?;
        let (mut alice, mut bob) = (terminal(&stage, "alice", &[]).await?, terminal(&stage, "bob", &[]).await?);
        alice.tell(json!({ "do": "call", "user": "bob", "media": "audio" })).await?;
        bob.wait("ring", PATIENCE, |_| true).await?;
        bob.say("accept").await?;
        let admitted = bob.wait("admitted", PATIENCE, |_| true).await?;
        let meeting = admitted["meeting"].as_str().context("no meeting")?.to_owned();
        let call = Self { stage, desk, alice, bob, meeting };
        call.until("Bob is heard", |speech| speech.forwarded > PACKETS).await?;
        Ok(call)
    }

    fn does(&self, line: &str) -> Result<String> {
        self.desk.does(&line.replace('M', &self.meeting))
    }

    async fn speech(&self) -> Result<Option<Speech>> {
        let Some(channel) = self.stage.channel(&self.meeting).await? else { return Ok(None) };
        let mut people = channel["participants"].as_array().into_iter().flatten();
        let Some(bob) = people.find(|who| who["user"] == "bob" && who["connected"] == true) else { return Ok(None) };
        let mut traffic = bob["traffic"].as_array().into_iter().flatten();
        let microphone = traffic.find(|traffic| traffic["source"] == "microphone");
        Ok(microphone.map(|microphone| {
            let number = |name: &str| microphone[name].as_u64().unwrap_or_default();
            Speech {
                received: number("received"),
                forwarded: number("forwarded"),
                dropped_blocked: number("dropped_blocked"),
            }
        }))
    }

    async fn until(&self, what: &str, is_so: impl Fn(&Speech) -> bool) -> Result<Speech> {
        let give_up = Instant::now() + PATIENCE;
        loop {
            let speech = self.speech().await?;
            if let Some(speech) = speech.filter(&is_so) {
                return Ok(speech);
            }
            ensure!(Instant::now() < give_up, "not so: {what}: {speech:?}");
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// Of what Bob goes on sending nothing passes.
    async fn is_cut(&self) -> Result<()> {
        let cut = self.until("Bob is cut", |speech| speech.dropped_blocked > 0).await?;
        let later = self.until("Bob goes on sending", |speech| speech.received > cut.received + PACKETS).await?;
        ensure!(later.forwarded == cut.forwarded, "Bob is still heard: {cut:?}, then {later:?}");
        Ok(())
    }

    async fn is_heard_again(&self) -> Result<()> {
        let cut = self.speech().await?.context("Bob's microphone is not in the channel")?;
        self.until("Bob is heard again", |speech| speech.forwarded > cut.forwarded + PACKETS).await.map(drop)
    }

    async fn is_rid_of_bob(&self) -> Result<()> {
        let give_up = Instant::now() + PATIENCE;
        while self.speech().await?.is_some() {
            ensure!(Instant::now() < give_up, "Bob is still in the channel");
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
        Ok(())
    }

    async fn details(&self) -> Result<Value> {
        self.stage.api(Method::GET, &format!("/api/v1/meetings/{}", self.meeting), None).await
    }

    async fn act(&self, verb: &str, body: Option<Value>) -> Result<Value> {
        self.stage.api(Method::POST, &format!("/api/v1/meetings/{}/{verb}", self.meeting), body).await
    }

    async fn back(&self) -> Result<()> {
        for actor in [&self.alice, &self.bob] {
            actor.wait("media_joined", PATIENCE, |_| true).await?;
        }
        Ok(())
    }

    fn skip(&self) {
        self.alice.skip();
        self.bob.skip();
    }

    /// Actions of the log, the oldest first.
    fn acts(&self) -> Result<Vec<Value>> {
        let list = self.desk.reads(&format!("audit list --kind meeting --subject {}", self.meeting))?;
        let mut rows = list["items"].as_array().context("no list")?.clone();
        rows.reverse();
        Ok(rows)
    }
}

fn of_operator(event: &Value) -> bool {
    event["by"] == OPERATOR
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_blocks_rings_removes_and_ends_and_a_kill_lifts_no_block() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut call = Call::begun(folder.path()).await?;
    ensure!(call.does("meetings list --state live")?.contains(&call.meeting), "the call is not listed");
    call.does("meetings block M bob")?;
    call.bob.wait("blocked", PATIENCE, |event| event["blocked"] == true && of_operator(event)).await?;
    call.is_cut().await?;
    assert_eq!(call.details().await?["roster"][1]["blocked"], json!({ "audio": true, "video": false }));

    call.skip();
    call.stage.kill_server().await?;
    call.stage.start_server().await?;
    call.back().await?;
    call.is_cut().await?;
    let since_the_kill = call.speech().await?.context("Bob's microphone is not in the channel")?;
    ensure!(since_the_kill.forwarded == 0, "the kill has lifted the block for a moment: {since_the_kill:?}");

    call.act("unblock", Some(json!({ "user": "bob" }))).await?;
    call.bob.wait("blocked", PATIENCE, |event| event["blocked"] == false && of_operator(event)).await?;
    call.is_heard_again().await?;
    call.does("meetings mute M bob")?;
    call.bob.wait("muted", PATIENCE, of_operator).await?;
    call.does("meetings unmute M bob")?;
    call.bob.wait("unmute_asked", PATIENCE, of_operator).await?;

    let mut carol = terminal(&call.stage, "carol", &["--no-media".to_owned()]).await?;
    call.does("meetings invite M carol")?;
    carol.wait("ring", PATIENCE, |ring| ring["from"] == "alice").await?;
    carol.say("accept").await?;
    carol.wait("admitted", PATIENCE, |_| true).await?;
    call.does("meetings kick M bob --yes")?;
    call.bob.wait("ended", PATIENCE, |event| event["reason"] == "kicked").await?;
    call.is_rid_of_bob().await?;
    let ended = call.act("end", None).await?;
    assert_eq!((&ended["state"], &ended["reason"]), (&json!("ended"), &json!("destroyed")));
    for actor in [&call.alice, &carol] {
        actor.wait("ended", PATIENCE, |event| event["reason"] == "destroyed" && of_operator(event)).await?;
    }
    let give_up = Instant::now() + PATIENCE;
    while call.stage.channel(&call.meeting).await?.is_some() {
        ensure!(Instant::now() < give_up, "the channel is still there");
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
    let acts = call.acts()?;
    let actions: Vec<_> = acts.iter().filter_map(|row| row["action"].as_str()).collect();
    assert_eq!(actions, ["block", "unblock", "mute", "ask_unmute", "invite", "kick", "end"]);
    ensure!(acts.iter().all(|row| row["actor"] == "owner"), "the log has others: {acts:?}");
    assert_eq!(acts[0]["after"], json!({ "user": "bob", "track": "audio", "blocked": true }));
    let again = call.desk.types(&format!("meetings block {} bob", call.meeting))?;
    ensure!(again.code == Some(1) && again.words.contains("the meeting is over"), "{again:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_block_that_was_committed_and_not_carried_out_is_carried_out_after_the_next_start() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut call = Call::begun(folder.path()).await?;
    call.skip();
    call.stage.kill_server().await?;
    call.stage.configure(&["test.fault=dies_before_blocks"]);
    call.stage.start_server().await?;
    call.back().await?;
    call.until("Bob is heard", |speech| speech.forwarded > PACKETS).await?;
    call.skip();
    // Whether it is answered before the end of the process is open; that it ends shows the commit.
    let _ = call.act("block", Some(json!({ "user": "bob" }))).await;
    ensure!(!call.stage.ended().await?.success(), "the server was not killed between the commit and the cut");

    call.stage.configure(&[]);
    call.stage.start_server().await?;
    call.back().await?;
    call.is_cut().await?;
    let since = call.speech().await?.context("Bob's microphone is not in the channel")?;
    ensure!(since.forwarded == 0, "Bob was heard after the start: {since:?}");
    call.bob.wait("blocked", PATIENCE, |event| event["blocked"] == true && of_operator(event)).await?;
    let acts = call.acts()?;
    let actions: Vec<_> = acts.iter().filter_map(|row| row["action"].as_str()).collect();
    assert_eq!(actions, ["block"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_how_to_about_meetings_does_what_it_says() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (stage, desk) = opened(folder.path()).await?;
    let no_media = ["--no-media".to_owned()];
    let (mut alice, mut bob) = (terminal(&stage, "alice", &no_media).await?, terminal(&stage, "bob", &no_media).await?);
    let _carol = terminal(&stage, "carol", &no_media).await?;
    alice.tell(json!({ "do": "call", "user": "bob" })).await?;
    bob.wait("ring", PATIENCE, |_| true).await?;
    bob.say("accept").await?;
    let admitted = bob.wait("admitted", PATIENCE, |_| true).await?;
    let meeting = admitted["meeting"].as_str().context("no meeting")?;
    let how_to = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/how-to/administer.md"))?;
    let blocks = how_to.split("```").skip(1).step_by(2).flat_map(str::lines);
    let mut verbs = Vec::new();
    for line in blocks.filter_map(|line| line.strip_prefix("convoke meetings ")) {
        // Its ann is Bob here, and its bob is Carol.
        let named = line.split(' ').map(|word| match word {
            "MEETING" => meeting,
            "ann" => "bob",
            "bob" => "carol",
            word => word,
        });
        let line = named.collect::<Vec<_>>().join(" ");
        let said = desk.types(&format!("meetings {line}"))?;
        ensure!(said.code == Some(0), "convoke meetings {line}: {said:?}");
        if line.starts_with("invite ") {
            assert_eq!(said.data, "carol is rung\n");
        }
        verbs.extend(line.split(' ').next().map(str::to_owned));
    }
    for verb in ["mute", "block", "invite", "kick", "unban", "end"] {
        ensure!(verbs.iter().any(|known| known == verb), "the how-to does not tell of {verb}: {verbs:?}");
    }
    bob.wait("ended", PATIENCE, |event| event["reason"] == "kicked").await?;
    alice.wait("ended", PATIENCE, |event| event["meeting"] == meeting && event["user"].is_null()).await?;
    Ok(())
}

/// Its media needs no login: a terminal that is not the owner's any more would go on hearing.
#[tokio::test(flavor = "multi_thread")]
async fn the_media_of_a_device_that_is_revoked_ends_with_its_login() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let call = Call::begun(folder.path()).await?;
    let devices = call.stage.api(Method::GET, "/api/v1/devices?user=bob", None).await?;
    let device = devices["items"][0]["client_id"].as_str().context("Bob has no device")?;
    call.desk.does(&format!("devices revoke {device} --yes"))?;
    call.alice.wait("ended", PATIENCE, |event| event["reason"] == "left").await?;
    call.is_rid_of_bob().await
}
