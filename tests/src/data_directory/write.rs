//! The script after which a data directory holds some of everything.

use super::archive::{Content, SEGMENT_HEADER_BYTES, pack};
use super::{
    BELL, CONTENT_TYPE, DONE, EXPIRES_AFTER, HELD, HOLDER, LEAVER, NEWS, NEWS_BELOW, NEWS_OF_ONE_LEVEL, NOTE, OLD_NEWS,
    OLD_READER, ORIGIN, PEOPLE, READER, SETTINGS, SINK, SOON, publish_collapsing, request, service_login, signal, text,
};
use crate::link::Link;
use anyhow::{Context, Result, ensure};
use demo::{Method, Stage};
use mqtt::Version;
use mqtt::client::{Event, Options, PublishId};
use mqtt::codec::{Properties, PropertiesBuf, Property};
use serde_json::{Map, Value, json};
use std::collections::{BTreeSet, HashMap};
use std::fs;
use std::net::SocketAddr;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Requests at the end; the server is killed while it handles them.
const REQUESTS: usize = 100;
/// Of the queue and of the broker; 0x4b is of a broker whose queue is elsewhere.
pub const KINDS: [RangeInclusive<u8>; 3] = [0x20..=0x27, 0x40..=0x4a, 0x4c..=0x53];
/// So that the log gives space back after some hundred kilobytes: segments of 256 KiB.
const SMALL_LOG: [&str; 2] = ["test.segment_bytes=262144", "test.reclaim_above_bytes=1048576"];
/// What makes the log grow: it is packed into little.
const FILLER_BYTES: usize = 60_000;

/// Plays with `program` and packs what its disk holds when it is killed.
///
/// The program is one with seeded bugs (`--features convoke/faults`), of which none is used: only such one takes the size of
/// segments.
///
/// # Errors
/// The program does not do what is asked, or the archive would lack something.
pub fn write(program: &Path, archive: &Path) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut writer = Writer::start(folder.path(), program)?;
    writer.leave_sessions()?;
    writer.leave_messages()?;
    writer.leave_some_in_flight()?;
    let over = writer.leave_calls_that_are_over()?;
    writer.leave_only_what_was_carried()?;
    writer.restart()?;
    writer.leave_a_visit()?;
    let mut manifest = writer.leave_requests_half_done_and_a_call_that_rings()?;
    manifest.extend(over);
    manifest.insert("settings".to_owned(), json!(SMALL_LOG));
    manifest.insert("killed_at_ms".to_owned(), json!(now_ms()));
    manifest.insert("devices".to_owned(), Value::Object(writer.devices));
    pack(folder.path(), &Value::Object(manifest), archive)?;
    check(&Content::of(archive)?)
}

fn check(content: &Content) -> Result<()> {
    let wanted: BTreeSet<u8> = KINDS.into_iter().flatten().collect();
    let missing: Vec<_> = wanted.difference(&content.kinds).collect();
    ensure!(missing.is_empty(), "the log has no record of the kinds {missing:x?}");
    ensure!(content.begin > 1, "the log has given nothing back");
    ensure!(content.snapshot_records > 0, "the log has no snapshot that a start uses");
    ensure!(!content.half_done.is_empty(), "every message of the queue was done when the server was killed: again");
    Ok(())
}

struct Writer {
    runtime: Runtime,
    stage: Stage,
    /// Credentials by user.
    devices: Map<String, Value>,
}

impl Writer {
    fn start(folder: &Path, program: &Path) -> Result<Self> {
        let settings = [&SETTINGS[..], &SMALL_LOG].concat();
        let (runtime, stage) = (Runtime::new()?, Stage::new(folder, program, &settings)?);
        let mut writer = Self { runtime, stage, devices: Map::new() };
        writer.runtime.block_on(writer.stage.start_server())?;
        for (user, name) in PEOPLE {
            let path = format!("/api/v1/users/{user}");
            writer.api(Method::PUT, &path, json!({ "name": name }))?;
            let device = json!({ "device": format!("{user}-phone") });
            let credentials = writer.api(Method::POST, &format!("{path}/devices"), device)?;
            writer.devices.insert(user.to_owned(), credentials);
        }
        Ok(writer)
    }

    fn api(&self, method: Method, path: &str, body: Value) -> Result<Value> {
        self.runtime.block_on(self.stage.api(method, path, Some(body)))
    }

    fn restart(&mut self) -> Result<()> {
        let status = self.runtime.block_on(self.stage.stop_server())?;
        ensure!(status.success(), "the server did not stop well: {status}");
        self.runtime.block_on(self.stage.start_server()).map(drop)
    }

    fn server(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.stage.mqtt_port()))
    }

    fn service(&self, version: Version, client_id: &str, change: impl FnOnce(&mut Options)) -> Result<Link> {
        let mut options = service_login(&self.stage.data(), version, client_id)?;
        change(&mut options);
        Link::open_with(self.server(), options)
    }

    /// A service without a session.
    fn author(&self) -> Result<Link> {
        self.service(Version::V5, "GID_dev@@@author", |options| options.session_expiry_interval = 0)
    }

    fn phone(&self, user: &str) -> Result<Link> {
        Link::open(self.server(), Version::V5, self.devices.get(user).context("no such device")?)
    }

    fn leave_sessions(&self) -> Result<()> {
        let without_end = |options: &mut Options| options.session_expiry_interval = u32::MAX;
        let mut reader = self.service(Version::V5, READER, without_end)?;
        reader.subscribe(NEWS_BELOW)?;
        reader.subscribe(OLD_NEWS)?;
        reader.unsubscribe(OLD_NEWS)?;
        self.service(Version::V311, OLD_READER, |_| {})?.subscribe(NEWS_OF_ONE_LEVEL)?;
        self.service(Version::V5, HOLDER, without_end)?;
        self.service(Version::V5, LEAVER, |_| {})?.subscribe(NEWS_BELOW)?;
        self.leave_what_is_granted()?;
        self.end_session(LEAVER)
    }

    /// A device that subscribes by a grant, and a topic that keeps what is sent for a while.
    fn leave_what_is_granted(&self) -> Result<()> {
        self.api(Method::POST, "/api/v1/topics", json!({ "topic": "team", "rule": "none", "kept_s": 3600 }))?;
        let grant = json!({ "user": "alice", "topic": "team", "rights": ["subscribe", "p2p"] });
        self.api(Method::POST, "/api/v1/grants", grant)?;
        let desk = self.api(Method::POST, "/api/v1/users/alice/devices", json!({ "device": "alice-desk" }))?;
        Link::open(self.server(), Version::V5, &desk)?.subscribe("team/#")
    }

    fn leave_messages(&self) -> Result<()> {
        let mut author = self.author()?;
        let typed = PropertiesBuf::new()
            .with(Property::ContentType(CONTENT_TYPE))?
            .with(Property::UserProperty(ORIGIN.0, ORIGIN.1))?;
        let short = PropertiesBuf::new().with(Property::MessageExpiryInterval(EXPIRES_AFTER.as_secs() as u32))?;
        for ((topic, payload), properties) in NEWS.into_iter().zip([PropertiesBuf::new(), typed, short]) {
            author.publish_durably(topic, payload.as_bytes(), properties.view())?;
        }
        author.publish_durably(&format!("meeting-down/p2p/{READER}/note"), NOTE.as_bytes(), Properties::EMPTY)?;
        BELL.1.iter().try_for_each(|version| publish_collapsing(&mut author, READER, BELL.0, *version))
    }

    fn leave_some_in_flight(&self) -> Result<()> {
        let mut author = self.author()?;
        publish_collapsing(&mut author, HOLDER, DONE.0, DONE.1)?;
        for payload in HELD {
            author.publish_durably(
                &format!("meeting-down/p2p/{HOLDER}/note"),
                payload.as_bytes(),
                Properties::EMPTY,
            )?;
        }
        let mut holder = self.service(Version::V5, HOLDER, |options| options.session_expiry_interval = u32::MAX)?;
        let first = [holder.message(SOON)?, holder.message(SOON)?].map(|message| message.payload);
        ensure!(first == [format!("{} {}", DONE.0, DONE.1).as_bytes(), HELD[0].as_bytes()], "{first:?}");
        for _ in &HELD[1..] {
            holder.wait(SOON, |event| matches!(event, Event::Message(_)))?;
        }
        // The acknowledgements before it have arrived when this has.
        holder.publish_durably("meeting-down/nobody", b"", Properties::EMPTY)
    }

    /// One that was answered, and one that Carol has missed.
    fn leave_calls_that_are_over(&self) -> Result<Map<String, Value>> {
        let (mut alice, mut bob) = (self.phone("alice")?, self.phone("bob")?);
        let answered = create(&mut alice, &json!({ "callees": ["bob"], "media": "audio" }))?;
        let ring = signal(&mut bob, "invitation", |said| is(said, "invitation", &answered))?;
        ask(&mut bob, "accept", &answered, &json!({ "invitation": ring["invitation"] }))?;
        signal(&mut bob, "admission", |said| is(said, "admitted", &answered))?;
        signal(&mut alice, "acceptance", |said| is(said, "accepted", &answered))?;
        ask(&mut alice, "leave", &answered, &json!({}))?;
        signal(&mut alice, "end", |said| is(said, "ended", &answered))?;
        signal(&mut bob, "end", |said| is(said, "ended", &answered))?;
        let missed = create(&mut alice, &json!({ "callees": ["carol"], "media": "video" }))?;
        ask(&mut alice, "cancel", &missed, &json!({}))?;
        signal(&mut alice, "end", |said| is(said, "ended", &missed) && said["user"].is_null())?;
        let asked = ask(&mut alice, "history", &answered, &json!({}))?;
        let history = signal(&mut alice, "history", |said| said["in_reply_to"] == asked["id"])?;
        let keeps_history = json!(history["type"] == "history");
        let ids = [("answered", json!(answered)), ("missed", json!(missed)), ("keeps_history", keeps_history)];
        Ok(ids.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
    }

    /// The log gives all its segments back that there are now, and has carried what is needed of them.
    fn leave_only_what_was_carried(&self) -> Result<()> {
        let (mut author, filler) = (self.author()?, "x".repeat(FILLER_BYTES));
        let mut sink = self.service(Version::V5, SINK, |_| {})?;
        let (_, newest) = self.segments()?;
        let until = Instant::now() + SOON;
        while self.segments()?.0 <= newest {
            ensure!(Instant::now() < until, "the log gives nothing back");
            author.publish_durably(&format!("meeting-down/p2p/{SINK}/x"), filler.as_bytes(), Properties::EMPTY)?;
            sink.message(SOON)?;
        }
        Ok(())
    }

    /// Numbers of the first and the last segment. One that was given back may still have its header.
    fn segments(&self) -> Result<(u64, u64)> {
        let files = fs::read_dir(self.stage.data().join("log"))?.map(|entry| entry.map(|entry| entry.path()));
        let files: Vec<PathBuf> = files.collect::<Result<_, _>>()?;
        let is_there = |file: &PathBuf| fs::metadata(file).is_ok_and(|file| file.len() > SEGMENT_HEADER_BYTES);
        let segments = files.iter().filter(|file| file.extension().is_some_and(|extension| extension == "segment"));
        let segments = segments.filter(|file| is_there(file));
        let numbers = segments.filter_map(|file| file.file_stem()?.to_str()?.parse().ok());
        let numbers: BTreeSet<u64> = numbers.collect();
        Ok((*numbers.first().context("no segments")?, *numbers.last().context("no segments")?))
    }

    /// A session that began, changed and ended after the restart.
    fn leave_a_visit(&self) -> Result<()> {
        let mut visitor = self.service(Version::V5, LEAVER, |_| {})?;
        visitor.subscribe(NEWS_BELOW)?;
        visitor.unsubscribe(NEWS_BELOW)?;
        self.end_session(LEAVER)
    }

    fn end_session(&self, client_id: &str) -> Result<()> {
        let ended = |options: &mut Options| {
            options.clean_start = true;
            options.session_expiry_interval = 0;
        };
        self.service(Version::V5, client_id, ended).map(drop)
    }

    /// Alice is in a meeting with Dora, whom she has silenced; Bob's phone rings, Carol's is off. Then Alice asks much at
    /// once, and the server is killed at the first answer.
    fn leave_requests_half_done_and_a_call_that_rings(&mut self) -> Result<Map<String, Value>> {
        let (mut alice, mut bob, mut dora) = (self.phone("alice")?, self.phone("bob")?, self.phone("dora")?);
        let callees = json!({ "callees": ["bob", "carol", "dora"], "media": "video", "title": "Standing" });
        let meeting = create(&mut alice, &callees)?;
        let bobs = signal(&mut bob, "invitation", |said| is(said, "invitation", &meeting))?;
        ask(&mut bob, "ringing", &meeting, &json!({ "invitation": bobs["invitation"] }))?;
        signal(&mut alice, "ringing", |said| is(said, "ringing", &meeting))?;
        let doras = signal(&mut dora, "invitation", |said| is(said, "invitation", &meeting))?;
        ask(&mut dora, "accept", &meeting, &json!({ "invitation": doras["invitation"] }))?;
        signal(&mut dora, "admission", |said| is(said, "admitted", &meeting))?;
        ask(&mut alice, "block", &meeting, &json!({ "user": "dora", "track": "audio" }))?;
        signal(&mut dora, "block", |said| is(said, "blocked", &meeting))?;
        let requests = ask_much(&mut alice, &meeting)?;
        self.runtime.block_on(self.stage.kill_server())?;
        let invitation = bobs["invitation"].clone();
        let ids = [("meeting", json!(meeting)), ("invitation", invitation), ("requests", json!(requests))];
        Ok(ids.map(|(name, value)| (name.to_owned(), value)).into_iter().collect())
    }
}

/// Returns the requests that were acknowledged when the first answer came.
fn ask_much(alice: &mut Link, meeting: &str) -> Result<Vec<String>> {
    let mut on_their_way: HashMap<PublishId, String> = HashMap::new();
    for _ in 0..REQUESTS {
        let state = request("state", meeting, now_ms(), &json!({}));
        let id = alice.publish("meeting-up/state", state.to_string().as_bytes())?;
        on_their_way.insert(id, text(&state, "id")?.to_owned());
    }
    let mut stored = Vec::new();
    loop {
        match alice.next(SOON)?.context("no answer came")? {
            Event::Published { id, reason } if !reason.is_error() => stored.extend(on_their_way.remove(&id)),
            Event::Message(message) if message.topic.ends_with("/state") => return Ok(stored),
            _ => {}
        }
    }
}

fn create(link: &mut Link, body: &Value) -> Result<String> {
    let meeting = Uuid::now_v7().to_string();
    ask(link, "create", &meeting, body)?;
    signal(link, "admission", |said| is(said, "admitted", &meeting))?;
    Ok(meeting)
}

fn ask(link: &mut Link, kind: &str, meeting: &str, body: &Value) -> Result<Value> {
    let request = request(kind, meeting, now_ms(), body);
    link.publish(&format!("meeting-up/{kind}"), request.to_string().as_bytes())?;
    Ok(request)
}

fn is(signal: &Value, kind: &str, meeting: &str) -> bool {
    signal["type"] == kind && signal["meeting"] == meeting
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}
