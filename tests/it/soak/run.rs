//! A server that lives through simulated time: messages to devices that are mostly absent, visits, calls, restarts.
//!
//! The machine sleeps for the better part of each step, so that all that goes by the service's time (expiries, ends of
//! sessions, retention) passes, and what is measured (keep alive, timeouts of connections) does not.

use super::inbox::{Inbox, Seen, Sent, Violation, Visit};
use super::sample::Sample;
use super::verdict;
use crate::set_clock::SetClock;
use crate::support::Random;
use anyhow::{Context, Result, bail, ensure};
use demo::{Method, Stage};
use mqtt::client::{Event, Message, Options, PublishId};
use mqtt::codec::{PropertiesBuf, Property};
use mqtt::{ReasonCode, Version};
use scenarios::data_directory::{request, service_login, signal, text};
use scenarios::history::Id;
use scenarios::link::Link;
use serde_json::{Value, json};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::runtime::Runtime;

/// How much happens.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) days: u32,
    pub(crate) steps_per_day: u32,
    pub(crate) devices: usize,
    /// In one step.
    pub(crate) messages: usize,
    pub(crate) visits: usize,
    pub(crate) calls: usize,
    pub(crate) segment_bytes: u64,
    pub(crate) reclaim_above_bytes: u64,
    /// A seeded bug, or nothing.
    pub(crate) fault: String,
}

const PATIENCE: Duration = Duration::from_secs(20);
/// A hasty device takes what comes before such a silence.
const SILENCE: Duration = Duration::from_millis(30);
/// A log that is too large is looked at again, for so long.
const GIVES_BACK_WITHIN: Duration = Duration::from_secs(5);
const LOOKED_AT_EVERY: Duration = Duration::from_millis(20);
const REGISTRARS: usize = 8;
const SEND_WINDOW: u16 = 64;
const HOUR_S: u64 = 3600;
const DAY_S: u64 = 24 * HOUR_S;
/// The server keeps no message for longer.
const RETENTION_S: u64 = 3 * DAY_S;
/// Of a login; it is renewed well before.
const LOGIN_S: u64 = 30 * DAY_S;
const RENEWED_AFTER_S: u64 = 20 * DAY_S;
/// One device in so many comes often.
const FREQUENT_ONE_IN: usize = 10;
const COLLAPSE_KEYS: usize = 3;
const PAYLOAD_BYTES_MAX: usize = 3000;
/// What a message that waits takes of the log besides its payload, about: its topic and properties, and the reference of its
/// inbox, in a record each.
const RECORD_BYTES: u64 = 240;
/// What a hasty device takes at most, and leaves unacknowledged.
const HASTY_TAKES: usize = 4;

pub(crate) struct Run {
    plan: Plan,
    runtime: Runtime,
    stage: Stage,
    clock: SetClock,
    slept_ms: i64,
    random: Random,
    http: reqwest::Client,
    devices: Vec<Device>,
    sequence: u64,
    last_start: Duration,
    pub(crate) visits: u64,
    pub(crate) samples: Vec<Sample>,
    pub(crate) violations: Vec<Violation>,
    /// Removed after the server has gone.
    _folder: TempDir,
}

struct Device {
    user: String,
    credentials: Value,
    session_expiry_s: u64,
    renewed_ms: u64,
    /// Last version of each key.
    versions: [u64; COLLAPSE_KEYS],
    inbox: Inbox,
}

impl Run {
    pub(crate) fn start(folder: TempDir, plan: Plan, random: Random) -> Result<Self> {
        let clock = SetClock::new(folder.path())?;
        let settings = [
            format!("test.segment_bytes={}", plan.segment_bytes),
            format!("test.reclaim_above_bytes={}", plan.reclaim_above_bytes),
            format!("test.fault={}", plan.fault),
        ];
        let settings = settings.each_ref().map(String::as_str);
        let (runtime, mut stage) = (Runtime::new()?, Stage::new(folder.path(), &clock.script, &settings)?);
        stage.log("info");
        let last_start = runtime.block_on(stage.start_server())?;
        let devices = register(&runtime, &stage, plan.devices)?;
        Ok(Self {
            _folder: folder,
            plan,
            runtime,
            stage,
            clock,
            slept_ms: 0,
            random,
            http: reqwest::Client::new(),
            devices,
            sequence: 0,
            last_start,
            visits: 0,
            samples: Vec::new(),
            violations: Vec::new(),
        })
    }

    /// Lives through all days; each ends with a restart, in turn clean and by a kill.
    pub(crate) fn live(&mut self) -> Result<()> {
        let began = Instant::now();
        for day in 0..self.plan.days {
            for step in 0..self.plan.steps_per_day {
                self.step().with_context(|| format!("day {day}, step {step}"))?;
                self.sample(f64::from(day) + f64::from(step + 1) / f64::from(self.plan.steps_per_day))?;
            }
            self.restart(day % 2 == 1).with_context(|| format!("the restart after day {day}"))?;
            self.tell(day + 1, began.elapsed());
        }
        Ok(())
    }

    pub(crate) fn sent(&self) -> u64 {
        self.sequence
    }

    /// Whether the bug that was seeded has been in the way.
    pub(crate) fn has_bug_struck(&self) -> Result<bool> {
        Ok(std::fs::read_to_string(self.stage.server_log())?.contains("a seeded bug has struck"))
    }

    /// The time in which the server lives.
    fn now_ms(&self) -> u64 {
        system_ms() + self.slept_ms as u64
    }

    fn step(&mut self) -> Result<()> {
        self.slept_ms += (DAY_S * 1000 / u64::from(self.plan.steps_per_day)) as i64;
        self.clock.set_slept(self.slept_ms)?;
        let now_ms = self.now_ms();
        self.devices.iter_mut().for_each(|device| device.inbox.pass(now_ms));
        let mut post = Post::open(&self.stage)?;
        self.publish(&mut post)?;
        for (n, visitor) in self.choose_visitors().into_iter().enumerate() {
            let calls = n < self.plan.calls;
            self.visit(visitor, &mut post, calls).with_context(|| format!("device {visitor}"))?;
        }
        Ok(())
    }

    fn restart(&mut self, is_killed: bool) -> Result<()> {
        if is_killed {
            self.runtime.block_on(self.stage.kill_server())?;
            self.devices.iter_mut().for_each(|device| device.inbox.killed());
        } else {
            let status = self.runtime.block_on(self.stage.stop_server())?;
            ensure!(status.success(), "the server did not stop well: {status}");
        }
        self.last_start = self.runtime.block_on(self.stage.start_server())?;
        Ok(())
    }

    /// What it takes once it has had a moment: hours pass here within less time than it takes to give a segment back.
    fn sample(&mut self, day: f64) -> Result<()> {
        let give_up = Instant::now() + GIVES_BACK_WITHIN;
        let mut sample = self.sample_now(day)?;
        while verdict::share_of_bound(&sample, self.plan.log_floor_bytes()) > 1.0 && Instant::now() < give_up {
            thread::sleep(LOOKED_AT_EVERY);
            sample = self.sample_now(day)?;
        }
        self.samples.push(sample);
        Ok(())
    }

    fn sample_now(&self, day: f64) -> Result<Sample> {
        let process = self.stage.server_id().context("the server is not running")?;
        let waiting = self.devices.iter().map(|device| device.inbox.waiting());
        let (live_bytes, count) = waiting.fold((0, 0), |all, one| (all.0 + one.0, all.1 + one.1));
        let taken = Sample::take(process, &self.stage.data())?;
        Ok(Sample { day, live_bytes, waiting: count, start: self.last_start, ..taken })
    }

    fn tell(&self, day: u32, elapsed: Duration) {
        let Some(last) = self.samples.last() else { return };
        let left = elapsed / day * (self.plan.days - day);
        eprintln!(
            "day {day} of {}: {} s, {} s to go; log {} MiB, {} messages wait, start {} ms, {} violations",
            self.plan.days,
            elapsed.as_secs(),
            left.as_secs(),
            last.log_bytes >> 20,
            last.waiting,
            last.start.as_millis(),
            self.violations.len()
        );
    }

    /// No device twice: most of those that come often, some of all. One whose login has expired would have to log in anew.
    fn choose_visitors(&mut self) -> Vec<usize> {
        let now_ms = self.now_ms();
        let all = self.devices.len();
        let frequent = (all / FREQUENT_ONE_IN).max(self.plan.visits).min(all);
        let mut chosen: Vec<usize> = (0..self.plan.visits)
            .map(|_| if self.random.next(4) > 0 { self.random.below(frequent) } else { self.random.below(all) })
            .collect();
        chosen.sort_unstable();
        chosen.dedup();
        chosen.retain(|visitor| now_ms < self.devices[*visitor].renewed_ms + LOGIN_S * 1000);
        chosen
    }

    /// Messages to whoever it may be.
    fn publish(&mut self, post: &mut Post) -> Result<()> {
        for _ in 0..self.plan.messages {
            let to = self.random.below(self.devices.len());
            self.send(post, to, true)?;
        }
        self.settle(post)
    }

    fn settle(&mut self, post: &mut Post) -> Result<()> {
        post.settle(0)?;
        for (to, sent) in post.done.drain(..) {
            self.devices[to].inbox.sent(&sent);
        }
        Ok(())
    }

    fn send(&mut self, post: &mut Post, to: usize, is_varied: bool) -> Result<u64> {
        self.sequence += 1;
        let expiry_s = if is_varied { [2 * HOUR_S, DAY_S, RETENTION_S][self.random.below(3)] } else { RETENTION_S };
        let collapse = if is_varied && self.random.next(3) == 0 { Some(self.next_version(to)) } else { None };
        let mut payload = Id { publisher: 0, receiver: to as u32, sequence: self.sequence }.payload();
        payload.push(b' ');
        payload.resize(payload.len() + self.random.below(PAYLOAD_BYTES_MAX), b'.');
        let at_ms = self.now_ms();
        let sent = Sent {
            sequence: self.sequence,
            bytes: payload.len() as u64 + RECORD_BYTES,
            at_ms,
            expires_ms: at_ms + expiry_s * 1000,
            collapse,
        };
        let topic = format!("meeting-down/p2p/{}/soak", text(&self.devices[to].credentials, "client_id")?);
        post.publish(&topic, &payload, &properties(expiry_s, collapse)?, (to, sent))?;
        Ok(self.sequence)
    }

    /// Mostly the next version of a key, at times one from before.
    fn next_version(&mut self, to: usize) -> (u8, u64) {
        let key = self.random.below(COLLAPSE_KEYS);
        let is_old = self.random.next(4) == 0;
        let last = &mut self.devices[to].versions[key];
        if is_old && *last > 0 {
            return (key as u8, *last);
        }
        *last += 1;
        (key as u8, *last)
    }

    /// The device connects; one that is not hasty takes all that waits, up to a message that is sent to it now.
    fn visit(&mut self, visitor: usize, post: &mut Post, calls: bool) -> Result<()> {
        let is_hasty = self.random.next(5) == 0;
        self.visits += 1;
        self.renew(visitor)?;
        let opened_ms = self.now_ms();
        let mut link = self.open(visitor)?;
        let session_present = link.session_present();
        let seen = if is_hasty {
            peek(&mut link)?
        } else {
            let mark = self.send(post, visitor, false)?;
            self.settle(post)?;
            drain(&mut link, mark)?
        };
        if calls && !is_hasty {
            self.call(&mut link)?;
        }
        // Before time passes: the session lasts from here.
        link.close()?;
        let closed_ms = self.now_ms();
        let device = &mut self.devices[visitor];
        let session_expiry_s = device.session_expiry_s;
        let visit = Visit { opened_ms, closed_ms, session_present, session_expiry_s, seen, is_whole: !is_hasty };
        let violations = device.inbox.visited(&visit);
        let named = violations.into_iter().map(|v| Violation { what: format!("device {visitor}: {}", v.what), ..v });
        self.violations.extend(named);
        Ok(())
    }

    /// Makes the device's login last for another month, if much of one has passed.
    fn renew(&mut self, visitor: usize) -> Result<()> {
        let now_ms = self.now_ms();
        let device = &mut self.devices[visitor];
        if now_ms < device.renewed_ms + RENEWED_AFTER_S * 1000 {
            return Ok(());
        }
        let (client_id, password) = (text(&device.credentials, "client_id")?, text(&device.credentials, "password")?);
        let request = self.http.post(self.stage.url("/api/v1/login/renew")).basic_auth(client_id, Some(password));
        self.runtime.block_on(request.send())?.error_for_status()?;
        device.renewed_ms = now_ms;
        Ok(())
    }

    fn open(&self, visitor: usize) -> Result<Link> {
        let device = &self.devices[visitor];
        let mut options = Options::new(Version::V5, text(&device.credentials, "client_id")?);
        options.username = Some(text(&device.credentials, "username")?.to_owned());
        options.password = Some(text(&device.credentials, "password")?.as_bytes().to_vec());
        options.session_expiry_interval = device.session_expiry_s as u32;
        Link::open_with(server(&self.stage), options)
    }

    /// Calls somebody, most likely absent; hangs up, or lets the call end by itself.
    fn call(&mut self, link: &mut Link) -> Result<()> {
        let callee = self.random.below(self.devices.len());
        let meeting = uuid::Uuid::now_v7().to_string();
        let body = json!({ "callees": [self.devices[callee].user], "media": "audio" });
        ask(link, "create", &meeting, self.now_ms(), &body)?;
        signal(link, "admission", |said| said["meeting"] == meeting)?;
        if self.random.next(2) == 0 {
            ask(link, "cancel", &meeting, self.now_ms(), &json!({}))?;
            signal(link, "end", |said| said["type"] == "ended" && said["meeting"] == meeting)?;
        }
        Ok(())
    }
}

/// A service's connection, and what the server has not acknowledged on it.
struct Post {
    link: Link,
    pending: HashMap<PublishId, (usize, Sent)>,
    /// In the order in which they were sent.
    done: Vec<(usize, Sent)>,
}

impl Post {
    fn open(stage: &Stage) -> Result<Self> {
        let mut options = service_login(&stage.data(), Version::V5, "GID_dev@@@soak")?;
        options.session_expiry_interval = 0;
        options.send_window = SEND_WINDOW;
        Ok(Self { link: Link::open_with(server(stage), options)?, pending: HashMap::new(), done: Vec::new() })
    }

    fn publish(&mut self, topic: &str, payload: &[u8], properties: &PropertiesBuf, sent: (usize, Sent)) -> Result<()> {
        let id = self.link.publish_with(topic, payload, properties.view())?;
        self.pending.insert(id, sent);
        self.settle(usize::from(SEND_WINDOW))
    }

    /// Waits until at most so many are not acknowledged.
    fn settle(&mut self, most: usize) -> Result<()> {
        while self.pending.len() > most {
            match self.link.wait(PATIENCE, |event| matches!(event, Event::Published { .. }))? {
                Event::Published { id, reason: ReasonCode::SUCCESS } => self.done.extend(self.pending.remove(&id)),
                refused => bail!("a message was not taken: {refused:?}"),
            }
        }
        self.done.sort_by_key(|(_, sent)| sent.sequence);
        Ok(())
    }
}

fn system_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

fn server(stage: &Stage) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port()))
}

fn properties(expiry_s: u64, collapse: Option<(u8, u64)>) -> Result<PropertiesBuf> {
    let properties = PropertiesBuf::new().with(Property::MessageExpiryInterval(expiry_s as u32))?;
    let Some((key, version)) = collapse else { return Ok(properties) };
    let properties = properties.with(Property::UserProperty("collapseKey", &key.to_string()))?;
    Ok(properties.with(Property::UserProperty("collapseVersion", &version.to_string()))?)
}

fn ask(link: &mut Link, kind: &str, meeting: &str, now_ms: u64, body: &Value) -> Result<()> {
    let request = request(kind, meeting, now_ms, body);
    link.publish(&format!("meeting-up/{kind}"), request.to_string().as_bytes()).map(drop)
}

/// Takes and acknowledges all up to the mark, and waits until the server has seen that.
fn drain(link: &mut Link, mark: u64) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    while all.last().is_none_or(|seen: &Seen| seen.sequence < mark) {
        let event = link.wait(PATIENCE, |event| matches!(event, Event::Message(_)));
        let Event::Message(message) = event.context("the last message did not come")? else { continue };
        all.extend(seen(&message)?);
        if let Some(ack) = message.ack {
            link.acknowledge(ack)?;
        }
    }
    // Whatever it answers, it has read what was sent before.
    link.unsubscribe("meeting-down/soak")?;
    Ok(all)
}

/// Takes what comes first and acknowledges nothing.
fn peek(link: &mut Link) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    while all.len() < HASTY_TAKES {
        match link.next(SILENCE)? {
            Some(Event::Message(message)) => all.extend(seen(&message)?),
            Some(_) => {}
            None => break,
        }
    }
    Ok(all)
}

/// A message of this run; `None`: a signal of a call.
fn seen(message: &Message) -> Result<Option<Seen>> {
    if message.payload.first() == Some(&b'{') {
        return Ok(None);
    }
    let id = message.payload.split(|byte| *byte == b' ').next().and_then(Id::parse).context("a payload is damaged")?;
    let packet_id = message.packet_id.context("a message without a packet id")?.get();
    Ok(Some(Seen { sequence: id.sequence, packet_id }))
}

fn register(runtime: &Runtime, stage: &Stage, count: usize) -> Result<Vec<Device>> {
    let numbers: Vec<usize> = (0..count).collect();
    thread::scope(|scope| {
        let parts = numbers.chunks(count.div_ceil(REGISTRARS).max(1));
        let threads: Vec<_> = parts
            .map(|part| scope.spawn(|| part.iter().map(|n| Device::register(runtime, stage, *n)).collect()))
            .collect();
        let devices = threads.into_iter().map(|thread| thread.join().expect("a registrar does not panic"));
        Ok(devices.collect::<Result<Vec<Vec<_>>>>()?.into_iter().flatten().collect())
    })
}

impl Device {
    fn register(runtime: &Runtime, stage: &Stage, n: usize) -> Result<Self> {
        let user = format!("user-{n}");
        let (path, body) = (format!("/api/v1/users/{user}/devices"), json!({ "device": format!("{user}-phone") }));
        let credentials = runtime.block_on(stage.api(Method::POST, &path, Some(body)))?;
        let session_expiry_s = [HOUR_S, DAY_S, 7 * DAY_S, 30 * DAY_S][n % 4];
        let (versions, inbox) = ([0; COLLAPSE_KEYS], Inbox::default());
        let renewed_ms = system_ms();
        Ok(Self { user, credentials, session_expiry_s, renewed_ms, versions, inbox })
    }
}
