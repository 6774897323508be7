//! A random walk: people with several devices call each other while terminals and the server are killed, connections are
//! cut, acknowledgements are lost, and requests and signals are delivered again. Afterwards all devices and the service agree.
//!
//! Every walk prints its seed; `CONVOKE_SEED=<number>` plays that one alone.

use crate::support::{Random, program};
use anyhow::{Context, Result, ensure};
use demo::{Actor, Method, Stage};
use scenarios::lives::{self, View};
use scenarios::relay::{Loses, Relay};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use uuid::Uuid;

const USERS: [&str; 4] = ["alice", "bob", "carol", "dave"];
const DEVICES: [&str; 2] = ["phone", "desk"];
/// Short, so that unanswered rings end during the walk.
const SETTINGS: [&str; 3] = ["meeting.reach_s=3", "meeting.ring_s=5", "meeting.gone_s=2"];
/// Receive Maximum by device: what a slow terminal asks for, and what the SDK asks for.
const WINDOWS: [Option<u16>; 3] = [Some(1), Some(2), None];
const SOON: Duration = Duration::from_secs(20);
/// Until all devices agree, deadlines of rings included; beside load.
const AGREED_WITHIN: Duration = Duration::from_secs(45);
/// For a state answer; without one the request is repeated.
const ANSWERED_WITHIN: Duration = Duration::from_secs(5);
const POLL: Duration = Duration::from_millis(200);
const ACTS: usize = 90;
const SERVER_KILLS: usize = 3;

struct Device {
    user: &'static str,
    name: String,
    actor: Actor,
    relay: Relay,
    /// By the local clock, milliseconds since 1970.
    killed_at_ms: Vec<u64>,
}

impl Device {
    fn view(&self) -> View {
        View::after(&self.actor.events(), self.user)
    }

    async fn tell(&mut self, command: Value) -> Result<()> {
        if !self.actor.is_running() {
            self.actor.start().await?;
        }
        self.actor.tell(command).await
    }
}

/// What has happened, by its name; each must have at the end.
#[derive(Clone, Copy, Debug, Default)]
struct Played {
    server_kills: usize,
    terminal_kills: usize,
    late_requests: usize,
    at_once: usize,
    cuts: usize,
    invitations_again: usize,
    requests_again: usize,
    signals_again: usize,
}

impl Played {
    fn with(self, more: Self) -> Self {
        Self {
            server_kills: self.server_kills + more.server_kills,
            terminal_kills: self.terminal_kills + more.terminal_kills,
            late_requests: self.late_requests + more.late_requests,
            at_once: self.at_once + more.at_once,
            cuts: self.cuts + more.cuts,
            invitations_again: self.invitations_again + more.invitations_again,
            requests_again: self.requests_again + more.requests_again,
            signals_again: self.signals_again + more.signals_again,
        }
    }

    fn least(&self) -> usize {
        let counts = [
            self.server_kills,
            self.terminal_kills,
            self.late_requests,
            self.at_once,
            self.cuts,
            self.invitations_again,
            self.requests_again,
            self.signals_again,
        ];
        counts.into_iter().min().unwrap_or_default()
    }
}

/// What happens more often than else, and how terminals are started; to show that a fault is caught.
#[derive(Clone, Copy, Default)]
struct Bias {
    often: Option<FrequentStep>,
    /// Of all devices, instead of a random one.
    window: Option<u16>,
    settings: &'static [&'static str],
    flags: &'static [&'static str],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FrequentStep {
    Lose,
    MuteAgain,
    LeaveAndJoin,
}

struct Walk {
    bias: Bias,
    agreed_within: Duration,
    stage: Stage,
    devices: Vec<Device>,
    random: Random,
    played: Played,
    /// What was done, in words, to find a cause.
    trail: Vec<String>,
}

impl Walk {
    async fn start(folder: &std::path::Path, seed: u64, bias: Bias) -> Result<Self> {
        let mut stage = Stage::new(folder, &program()?, &[&SETTINGS, bias.settings].concat())?;
        stage.start_server().await?;
        let mut walk = Self {
            bias,
            agreed_within: AGREED_WITHIN,
            stage,
            devices: Vec::new(),
            random: Random::of(seed),
            played: Played::default(),
            trail: Vec::new(),
        };
        for user in USERS {
            // `--dev` has no fourth user.
            walk.stage.api(Method::PUT, &format!("/api/v1/users/{user}"), Some(json!({ "name": user }))).await?;
            for device in DEVICES {
                let device = walk.device(user, device).await?;
                walk.devices.push(device);
            }
        }
        for device in &mut walk.devices {
            device.actor.start().await?;
        }
        for device in &walk.devices {
            device.actor.wait("synchronised", SOON, |_| true).await?;
        }
        Ok(walk)
    }

    /// A terminal whose credentials lead it through a relay.
    async fn device(&mut self, user: &'static str, device: &str) -> Result<Device> {
        let server = SocketAddr::from(([127, 0, 0, 1], self.stage.mqtt_port()));
        let window = self.bias.window.or(WINDOWS[self.random.below(WINDOWS.len())]);
        let relay = Relay::start(server, window).await?;
        let flags: Vec<String> = ["--no-media"].iter().chain(self.bias.flags).map(|flag| (*flag).to_owned()).collect();
        let actor = self.stage.actor(user, device, &flags).await?;
        let name = format!("{user}-{device}");
        let file = self.stage.folder.join(&name).join("credentials.json");
        let mut credentials: Value = serde_json::from_slice(&std::fs::read(&file)?)?;
        credentials["endpoints"]["mqtts"] = Value::Null;
        credentials["endpoints"]["mqtt"] = relay.url().into();
        std::fs::write(&file, credentials.to_string())?;
        Ok(Device { user, name, actor, relay, killed_at_ms: Vec::new() })
    }

    /// So many acts, and up to as many more until everything that should go wrong has.
    async fn play(&mut self, acts: usize) -> Result<()> {
        for n in 1..=2 * acts {
            if n > acts && self.all_played().least() > 0 {
                break;
            }
            let acted = if n % (acts / SERVER_KILLS) == 0 { self.kill_server().await } else { self.act().await };
            acted.with_context(|| self.story())?;
            tokio::time::sleep(Duration::from_millis(self.random.next(120))).await;
        }
        Ok(())
    }

    fn story(&self) -> String {
        format!(
            "after {} acts, the last: {}",
            self.trail.len(),
            self.trail.iter().rev().take(12).cloned().collect::<Vec<_>>().join(" ← ")
        )
    }

    fn note(&mut self, words: String) {
        self.trail.push(words);
    }

    async fn act(&mut self) -> Result<()> {
        let at = self.random.below(self.devices.len());
        match self.bias.often.filter(|_| self.random.next(3) == 0) {
            Some(FrequentStep::Lose) => return self.lose(at).await,
            Some(FrequentStep::MuteAgain) => return self.mute_again(at).await,
            Some(FrequentStep::LeaveAndJoin) => return self.leave_and_join_at_once(at).await,
            None => {}
        }
        match self.random.next(100) {
            0..52 => self.person(at).await,
            52..57 => self.kill(at).await,
            57..62 => self.cut(at),
            62..72 => self.lose(at).await,
            72..77 => self.repeat_request(at),
            77..81 => self.repeat_signal(at),
            81..86 => self.mute_again(at).await,
            86..89 => self.late(at),
            89..94 => self.leave_and_join_at_once(at).await,
            _ => self.two_at_once(at).await,
        }
    }

    /// What the person at this device does: mostly something that makes sense there.
    async fn person(&mut self, at: usize) -> Result<()> {
        let command = self.command(at);
        self.note(format!("{} {command}", self.devices[at].name));
        self.devices[at].tell(command).await
    }

    fn command(&mut self, at: usize) -> Value {
        let (view, user) = (self.devices[at].view(), self.devices[at].user);
        let other = self.other_than(user);
        let choice = self.random.next(100);
        if let Some(invitation) = view.rings.keys().next() {
            return match choice {
                0..50 => json!({ "do": "accept", "invitation": invitation }),
                50..65 => json!({ "do": "reject", "invitation": invitation }),
                65..72 => json!({ "do": "reject", "invitation": invitation, "reason": "busy" }),
                72..80 => json!({ "do": "state" }),
                _ => json!({ "do": "call", "user": other, "media": "video" }),
            };
        }
        if view.calls.is_empty() {
            let third = self.other_than(other);
            return match choice {
                0..55 => json!({ "do": "call", "user": other, "media": "video" }),
                55..80 if third != user => json!({ "do": "call", "users": [other, third], "media": "audio" }),
                80..90 => json!({ "do": "contacts" }),
                90..95 => json!({ "do": "state" }),
                _ => self.seen(at),
            };
        }
        if view.is_silent.values().any(|silent| *silent) && choice < 50 {
            return json!({ "do": "unmute", "track": "audio" });
        }
        match choice {
            0..15 => json!({ "do": "leave" }),
            15..30 => json!({ "do": "invite", "user": other }),
            30..40 => json!({ "do": "cancel" }),
            40..65 => json!({ "do": "mute", "user": other, "track": "audio" }),
            65..72 => json!({ "do": "kick", "user": other }),
            72..78 => json!({ "do": "block", "user": other, "track": "video" }),
            78..82 => json!({ "do": "ask_unmute", "user": other, "track": "audio" }),
            82..88 => json!({ "do": "destroy" }),
            88..94 => json!({ "do": "roster" }),
            _ => json!({ "do": "cancel", "user": other }),
        }
    }

    fn other_than(&mut self, user: &str) -> &'static str {
        let others: Vec<_> = USERS.into_iter().filter(|other| *other != user).collect();
        others[self.random.below(others.len())]
    }

    /// The last call that was missed here.
    fn seen(&self, at: usize) -> Value {
        let missed = self.devices[at].actor.all("missed");
        let invitation = missed.last().map_or(Value::Null, |missed| missed["invitation"].clone());
        if invitation.is_null() { json!({ "do": "state" }) } else { json!({ "do": "seen", "invitation": invitation }) }
    }

    async fn kill(&mut self, at: usize) -> Result<()> {
        self.note(format!("{} is killed", self.devices[at].name));
        let device = &mut self.devices[at];
        if !device.actor.is_running() {
            return device.actor.start().await;
        }
        device.actor.kill().await?;
        device.killed_at_ms.push(now_ms());
        self.played.terminal_kills += 1;
        // Half of them stay off until a step uses them.
        if self.random.next(2) == 0 { self.devices[at].actor.start().await } else { Ok(()) }
    }

    fn cut(&mut self, at: usize) -> Result<()> {
        self.note(format!("{} is cut", self.devices[at].name));
        self.devices[at].relay.cut();
        Ok(())
    }

    /// Others call while something is lost, so that the invitation comes again with DUP.
    async fn lose(&mut self, at: usize) -> Result<()> {
        let what = if self.random.next(3) == 0 { Loses::Acknowledgements } else { Loses::Deliveries };
        self.note(format!("{} is called and loses {what:?}", self.devices[at].name));
        self.devices[at].relay.lose(Some(what));
        let invited = self.devices[at].relay.invitations();
        let user = self.devices[at].user;
        let callers: Vec<usize> = (0..self.devices.len()).filter(|n| self.devices[*n].user != user).collect();
        for caller in callers {
            if self.devices[caller].view().calls.is_empty() && self.random.next(2) == 0 {
                self.devices[caller].tell(json!({ "do": "call", "user": user, "media": "video" })).await?;
            }
        }
        self.devices[at].relay.invited(invited, Duration::from_secs(1)).await;
        let device = &mut self.devices[at];
        device.relay.lose(None);
        if device.actor.is_running() && self.random.next(2) == 0 {
            device.actor.kill().await?;
            device.killed_at_ms.push(now_ms());
            device.actor.start().await?;
            self.played.terminal_kills += 1;
        } else {
            device.relay.cut();
        }
        Ok(())
    }

    fn repeat_request(&mut self, at: usize) -> Result<()> {
        self.note(format!("a request of {} comes again", self.devices[at].name));
        let random = &mut self.random;
        self.devices[at].relay.repeat_request(|count| count - 1 - random.below(count.min(6)));
        Ok(())
    }

    fn repeat_signal(&mut self, at: usize) -> Result<()> {
        self.note(format!("a signal to {} comes again", self.devices[at].name));
        let random = &mut self.random;
        self.devices[at]
            .relay
            .repeat_signal(|news| (!news.is_empty()).then(|| news.len() - 1 - random.below(news.len().min(8))));
        Ok(())
    }

    /// The host mutes a member, who unmutes; then the `muted` is delivered once more.
    async fn mute_again(&mut self, at: usize) -> Result<()> {
        let Some(meeting) = self.devices[at].view().calls.first().cloned() else { return self.person(at).await };
        let name = self.devices[at].name.clone();
        self.note(format!("{name} is muted, unmutes, and is told of the first again"));
        let user = self.devices[at].user;
        for n in (0..self.devices.len()).filter(|n| *n != at) {
            // Only the host may, the others are refused.
            if self.devices[n].view().calls.contains(&meeting) {
                self.devices[n].tell(json!({ "do": "mute", "user": user, "track": "audio" })).await?;
            }
        }
        let device = &mut self.devices[at];
        device.actor.skip();
        if device.actor.wait("muted", Duration::from_secs(1), |_| true).await.is_err() {
            return Ok(());
        }
        device.tell(json!({ "do": "unmute", "track": "audio" })).await?;
        let acknowledged = device.actor.wait("publish_acknowledged", SOON, |event| event["type"] == "unmute").await;
        if acknowledged.is_ok() {
            device.relay.repeat_signal(|news| news.iter().rposition(|(topic, _)| topic.ends_with("/muted")));
        }
        Ok(())
    }

    /// What was asked for long ago, and comes only now.
    fn late(&mut self, at: usize) -> Result<()> {
        let Some(meeting) = self.a_meeting_of(at) else { return Ok(()) };
        self.note(format!("a request of {} comes late", self.devices[at].name));
        let kind = ["leave", "destroy", "cancel"][self.random.below(3)];
        let mut request = request(kind, Some(&meeting));
        request["sent_at_ms"] = (now_ms() - 120_000).into();
        request["expires_at_ms"] = (now_ms() - 90_000).into();
        self.devices[at].relay.say(&request);
        self.played.late_requests += 1;
        Ok(())
    }

    fn a_meeting_of(&self, at: usize) -> Option<String> {
        let admitted = self.devices[at].actor.all("admitted");
        admitted.last().and_then(|event| event["meeting"].as_str()).map(str::to_owned)
    }

    /// One goes as another asks to come in again.
    async fn leave_and_join_at_once(&mut self, at: usize) -> Result<()> {
        let Some(meeting) = self.devices[at].view().calls.first().cloned() else { return self.person(at).await };
        let is_in = |device: &Device| device.view().calls.contains(&meeting);
        let Some(peer) = (0..self.devices.len()).find(|n| *n != at && is_in(&self.devices[*n])) else {
            return self.person(at).await;
        };
        self.note(format!("{} leaves as {} joins", self.devices[at].name, self.devices[peer].name));
        self.devices[at].tell(json!({ "do": "leave" })).await?;
        for _ in 0..4 {
            self.devices[peer].relay.say(&request("join", Some(&meeting)));
        }
        self.played.at_once += 1;
        Ok(())
    }

    async fn two_at_once(&mut self, at: usize) -> Result<()> {
        let other = (at + 1 + self.random.below(self.devices.len() - 1)) % self.devices.len();
        let (first, second) = (self.command(at), self.command(other));
        self.note(format!("{} {first} as {} {second}", self.devices[at].name, self.devices[other].name));
        self.devices[at].tell(first).await?;
        self.devices[other].tell(second).await?;
        self.played.at_once += 1;
        Ok(())
    }

    async fn kill_server(&mut self) -> Result<()> {
        self.note("the server is killed".to_owned());
        self.stage.kill_server().await?;
        self.played.server_kills += 1;
        self.stage.start_server().await.map(drop)
    }

    /// Until no device shows anything that the service does not know, and nothing rings; else what they differ in.
    async fn wait_for_agreement(&mut self) -> Result<Vec<String>> {
        for device in &mut self.devices {
            if !device.actor.is_running() {
                device.actor.start().await?;
            }
        }
        let until = Instant::now() + self.agreed_within;
        loop {
            let differences = self.differences().await;
            if differences.is_empty() || Instant::now() > until {
                return Ok(differences);
            }
            tokio::time::sleep(POLL).await;
        }
    }

    async fn differences(&self) -> Vec<String> {
        let mut differences = Vec::new();
        for device in &self.devices {
            let Some(state) = device.relay.ask(&request("state", None), ANSWERED_WITHIN).await else {
                differences.push(format!("{} gets no state", device.name));
                continue;
            };
            let (view, call) = (device.view(), &state["call"]);
            let here: BTreeSet<String> = call["here"]
                .as_bool()
                .filter(|here| *here)
                .and(call["meeting"].as_str())
                .map(str::to_owned)
                .into_iter()
                .collect();
            if !view.is_synchronised {
                differences.push(format!("{} is not synchronised", device.name));
            }
            if view.calls != here {
                differences
                    .push(format!("{} shows the calls {:?}, the service knows {here:?}", device.name, view.calls));
            }
            if !view.rings.is_empty() || state["rings"].as_array().is_some_and(|rings| !rings.is_empty()) {
                differences.push(format!("{} shows {:?}, the service {}", device.name, view.rings, state["rings"]));
            }
            let is_silent = lives::is_silent(&call["roster"], device.user);
            if here.iter().any(|meeting| view.is_silent.get(meeting) != Some(&is_silent)) {
                differences
                    .push(format!("{}: silent here {:?}, in the roster {is_silent}", device.name, view.is_silent));
            }
        }
        differences
    }

    /// All members leave, then each device that is called rings.
    async fn everybody_can_be_reached(&mut self) -> Result<()> {
        for device in &mut self.devices {
            if !device.view().calls.is_empty() {
                device.tell(json!({ "do": "leave" })).await?;
            }
        }
        let differences = self.wait_for_agreement().await?;
        ensure!(differences.is_empty(), "after all have left: {differences:?}");
        for (n, user) in USERS.into_iter().enumerate() {
            let caller = ((n + 1) % USERS.len()) * DEVICES.len();
            self.devices.iter().for_each(|device| device.actor.skip());
            self.devices[caller].tell(json!({ "do": "call", "user": user, "media": "audio" })).await?;
            for device in self.devices.iter().filter(|device| device.user == user) {
                device.actor.wait("ring", SOON, |_| true).await?;
            }
            self.devices[caller].tell(json!({ "do": "cancel" })).await?;
            for device in self.devices.iter().filter(|device| device.user == user) {
                device.actor.wait_any("missed", SOON, |e| e["event"] == "missed" || e["event"] == "ring_ended").await?;
            }
            self.devices[caller].actor.wait("ended", SOON, |_| true).await?;
        }
        Ok(())
    }

    /// Who called while a user was busy is told by the answer to `state` alone.
    async fn everybody_asks_what_was_missed(&mut self) -> Result<()> {
        for device in &mut self.devices {
            device.actor.skip_all("state");
            device.tell(json!({ "do": "state" })).await?;
            device.actor.wait("state", SOON, |_| true).await?;
        }
        Ok(())
    }

    async fn violations(&self) -> Vec<String> {
        let mut violations = Vec::new();
        for device in &self.devices {
            let (events, signals) = (device.actor.events(), device.relay.signals());
            let requests = device.relay.requests();
            let on_disk =
                requests.iter().filter(|request| request.acknowledged).map(|r| (r.id.as_str(), r.kind.as_str()));
            let mut found = lives::ring_violations(&events);
            found.extend(lives::order_violations(&signals));
            found.extend(lives::answer_violations(on_disk, &signals));
            let state = device.relay.ask(&request("state", None), ANSWERED_WITHIN).await.unwrap_or_default();
            let told_for_sure = |outcome: &&Value| {
                let at_ms = outcome["at_ms"].as_u64().unwrap_or_default();
                // A kill between the store and the words leaves it untold.
                device.killed_at_ms.iter().all(|killed_at_ms| *killed_at_ms < at_ms)
            };
            let outcomes: Vec<Value> =
                state["outcomes"].as_array().into_iter().flatten().filter(told_for_sure).cloned().collect();
            found.extend(lives::missed_violations(&outcomes, &events));
            violations.extend(found.into_iter().map(|violation| format!("{}: {violation}", device.name)));
        }
        violations
    }

    fn all_played(&self) -> Played {
        let of = |device: &Device| {
            let played = device.relay.played();
            Played {
                cuts: played.cuts,
                invitations_again: played.invitations_again,
                requests_again: played.requests_again,
                signals_again: played.signals_again,
                ..Played::default()
            }
        };
        self.devices.iter().map(of).fold(self.played, Played::with)
    }
}

fn request(kind: &str, meeting: Option<&str>) -> Value {
    let now = now_ms();
    let mut request = json!({
        "v": 1, "id": Uuid::now_v7().to_string(), "type": kind, "sent_at_ms": now, "expires_at_ms": now + 30_000,
    });
    if let Some(meeting) = meeting {
        request["meeting"] = meeting.into();
    }
    request
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

/// One walk, and what was wrong with it.
async fn walk(seed: u64) -> Result<(Vec<String>, Played)> {
    println!("walk: CONVOKE_SEED={seed}");
    let folder = tempfile::tempdir()?;
    let mut walk = Walk::start(folder.path(), seed, Bias::default()).await?;
    walk.play(ACTS).await?;
    let mut violations = walk.wait_for_agreement().await?;
    if violations.is_empty()
        && let Err(error) = walk.everybody_can_be_reached().await
    {
        violations.push(format!("{error:#}"));
    }
    if violations.is_empty()
        && let Err(error) = walk.everybody_asks_what_was_missed().await
    {
        violations.push(format!("{error:#}"));
    }
    violations.extend(walk.violations().await);
    let played = walk.all_played();
    if !violations.is_empty() {
        println!("walk of seed {seed}, kept in {}:\n{}", folder.keep().display(), walk.trail.join("\n"));
    }
    Ok((violations, played))
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happens_each_call_rings_once_ends_for_all_and_everybody_agrees() -> Result<()> {
    const SEEDS: [u64; 2] = [1, 2];
    let chosen = std::env::var("CONVOKE_SEED").ok().and_then(|seed| seed.parse().ok());
    let seeds = chosen.map_or_else(|| [SEEDS.as_slice(), &[now_ms()]].concat(), |seed| vec![seed]);
    let walks: Vec<_> = seeds.into_iter().map(|seed| (seed, tokio::spawn(walk(seed)))).collect();
    let mut all = Played::default();
    for (seed, walk) in walks {
        let (violations, played) = walk.await?.with_context(|| format!("CONVOKE_SEED={seed}"))?;
        println!("{played:?}");
        ensure!(
            violations.is_empty(),
            "CONVOKE_SEED={seed}, {} violations:\n{}",
            violations.len(),
            violations.join("\n")
        );
        all = all.with(played);
    }
    // One that is played again alone need not show everything.
    ensure!(chosen.is_some() || all.least() > 0, "not everything that should go wrong did: {all:?}");
    Ok(())
}

/// Walks on until the checker says one of `words`.
async fn is_caught(seed: u64, bias: Bias, words: &str) -> Result<()> {
    const ROUNDS: usize = 8;
    const ACTS_A_ROUND: usize = 25;
    let folder = tempfile::tempdir()?;
    let mut walk = Walk::start(folder.path(), seed, bias).await?;
    // A fault that keeps some from agreeing is not waited for as long.
    walk.agreed_within = Duration::from_secs(12);
    for _ in 0..ROUNDS {
        for _ in 0..ACTS_A_ROUND {
            walk.act().await?;
        }
        let mut violations = walk.violations().await;
        if !violations.iter().any(|violation| violation.contains(words)) {
            violations.extend(walk.wait_for_agreement().await?);
        }
        if violations.iter().any(|violation| violation.contains(words)) {
            return Ok(());
        }
    }
    anyhow::bail!("CONVOKE_SEED={seed}: a seeded bug was not caught")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_catches_a_terminal_that_does_not_acknowledge_what_is_in_doubt() -> Result<()> {
    let flags = &["--fault", "doubt_unacknowledged"];
    let bias = Bias { often: Some(FrequentStep::Lose), window: Some(1), flags, ..Bias::default() };
    is_caught(1, bias, "gets no state").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_catches_a_terminal_that_believes_an_old_word_of_the_host() -> Result<()> {
    let flags = &["--fault", "repeats_believed"];
    let bias = Bias { often: Some(FrequentStep::MuteAgain), flags, ..Bias::default() };
    is_caught(2, bias, "silent here").await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_walk_catches_a_service_whose_answer_comes_after_the_end_of_a_later_revision() -> Result<()> {
    let bias =
        Bias { often: Some(FrequentStep::LeaveAndJoin), settings: &["test.fault=answers_late"], ..Bias::default() };
    is_caught(3, bias, "after the end of a later one").await
}
