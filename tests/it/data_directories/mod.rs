//! Data directories of every version, opened by the program under test: a second after their server was killed all goes
//! on where it stood, and a year later what has had its time is over, and nothing else.
//!
//! The server is given a clock of its own for that, preloaded; everything else of it is as an operator runs it.

mod a_second_later;
mod a_year_later;

use crate::set_clock::SetClock;
use anyhow::{Context, Result, ensure};
use demo::{Method, Stage};
use mqtt::Version;
use mqtt::client::{Message, Options};
use mqtt::codec::Properties;
use scenarios::data_directory::{self, Content, KINDS, SETTINGS, SOON, request, service_login, signal, text};
use scenarios::link::Link;
use scenarios::wire;
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const ARCHIVES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data-directories");

/// Each with its name.
fn archives() -> Result<Vec<(String, PathBuf)>> {
    let files = fs::read_dir(ARCHIVES)?.map(|entry| entry.map(|entry| entry.path()));
    let files: Vec<PathBuf> = files.collect::<Result<_, _>>()?;
    let archives = files.into_iter().filter_map(|file| {
        let name = file.file_name()?.to_str()?.strip_suffix(".tar.gz")?.to_owned();
        Some((name, file))
    });
    let archives: Vec<_> = archives.collect();
    ensure!(archives.len() >= 3, "{ARCHIVES} lacks archives");
    Ok(archives)
}

/// A server on what an archive holds.
struct Opened {
    runtime: Runtime,
    stage: Stage,
    manifest: Value,
    /// How far its clock is from this machine's.
    ahead_ms: i64,
    clock: SetClock,
    _folder: TempDir,
}

impl Opened {
    /// `after`: so long after the server that wrote it was killed.
    fn start(archive: &Path, after: Duration, settings: &[&str]) -> Result<Self> {
        Self::start_changed(archive, after, settings, |_| Ok(()))
    }

    /// The same, once the folder was changed.
    fn start_changed(
        archive: &Path,
        after: Duration,
        settings: &[&str],
        change: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let manifest = data_directory::unpack(archive, folder.path())?;
        change(folder.path())?;
        let of_archive = manifest["settings"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let settings: Vec<&str> = settings.iter().copied().chain(of_archive).collect();
        let killed_at_ms = manifest["killed_at_ms"].as_u64().context("no time")?;
        let runtime = Runtime::new()?;
        let clock = SetClock::new(folder.path())?;
        let ahead_ms = (killed_at_ms + after.as_millis() as u64).cast_signed() - now_ms().cast_signed();
        clock.set_ahead(ahead_ms)?;
        let mut stage = Stage::new(folder.path(), &clock.script, &settings)?;
        runtime.block_on(stage.start_server())?;
        Ok(Self { runtime, stage, manifest, ahead_ms, clock, _folder: folder })
    }

    /// The machine stands for so long.
    fn pass(&mut self, time: Duration) -> Result<()> {
        let ms = i64::try_from(time.as_millis())?;
        self.ahead_ms += ms;
        self.clock.set_slept(ms)
    }

    /// By the server's clock.
    fn now_ms(&self) -> u64 {
        now_ms().saturating_add_signed(self.ahead_ms)
    }

    fn told(&self, key: &str) -> Result<&str> {
        text(&self.manifest, key)
    }

    fn server(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.stage.mqtt_port()))
    }

    /// Serves, and has set nothing aside.
    fn is_whole(&self) -> Result<()> {
        let ready = wire::http(SocketAddr::from(([127, 0, 0, 1], self.stage.http_port())), "GET /readyz", &[], b"")?;
        ensure!(ready.status == 200 && ready.body.trim() == "ready", "{ready:?}");
        Ok(())
    }

    /// A user's phone, with the login that it has from the server of then.
    fn phone(&self, user: &str) -> Result<Link> {
        Link::open(self.server(), Version::V5, &self.manifest["devices"][user])
    }

    /// Another device of the user.
    fn desk(&self, user: &str) -> Result<Link> {
        let path = format!("/api/v1/users/{user}/devices");
        let device = Some(json!({ "device": format!("{user}-desk") }));
        let credentials = self.runtime.block_on(self.stage.api(Method::POST, &path, device))?;
        Link::open(self.server(), Version::V5, &credentials)
    }

    fn service(&self, version: Version, client_id: &str, change: impl FnOnce(&mut Options)) -> Result<Link> {
        let mut options = service_login(&self.stage.data(), version, client_id)?;
        change(&mut options);
        Link::open_with(self.server(), options)
    }

    /// A service without a session.
    fn author(&self) -> Result<Link> {
        self.service(Version::V5, "GID_dev@@@editor", |options| options.session_expiry_interval = 0)
    }

    /// The answer to a request.
    fn ask(&self, link: &mut Link, kind: &str, meeting: &str, body: &Value) -> Result<Value> {
        let request = request(kind, meeting, self.now_ms(), body);
        link.publish(&format!("meeting-up/{kind}"), request.to_string().as_bytes())?;
        signal(link, kind, |said| said["in_reply_to"] == request["id"])
    }

    /// All that waits for a service, acknowledged; `author` says when it is all.
    fn waiting(&self, link: &mut Link, author: &mut Link, client_id: &str) -> Result<Vec<Message>> {
        let end = format!("meeting-down/p2p/{client_id}/end");
        author.publish_durably(&end, b"", Properties::EMPTY)?;
        let mut messages = Vec::new();
        loop {
            let message = link.message(SOON)?;
            if message.topic == end {
                return Ok(messages);
            }
            messages.push(message);
        }
    }
}

fn payloads(messages: &[Message]) -> Vec<String> {
    messages.iter().map(|message| String::from_utf8_lossy(&message.payload).into_owned()).collect()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_millis() as u64)
}

#[test]
fn every_kind_of_record_is_in_an_archive_and_one_has_given_space_back() {
    let contents = archives()
        .expect("archives")
        .into_iter()
        .map(|(name, archive)| Content::of(&archive).unwrap_or_else(|error| panic!("{name}: {error:#}")));
    let contents: Vec<Content> = contents.collect();
    let there: BTreeSet<u8> = contents.iter().flat_map(|content| &content.kinds).copied().collect();
    let wanted: BTreeSet<u8> = KINDS.into_iter().flatten().collect();
    assert_eq!(wanted.difference(&there).collect::<Vec<_>>(), Vec::<&u8>::new(), "kinds that are in none");
    assert!(contents.iter().any(|content| content.begin > 1 && content.snapshot_records > 0));
}

#[test]
fn the_clock_that_is_preloaded_is_the_one_that_is_asked_for() {
    let (_, archive) = archives().expect("archives").remove(0);
    let year = Duration::from_secs(365 * 24 * 3600);
    let opened = Opened::start(&archive, year, &SETTINGS).expect("the server starts");
    let mut alice = opened.desk("alice").expect("a new device");
    let state = opened.ask(&mut alice, "state", "00000000-0000-7000-8000-000000000000", &json!({})).expect("a state");
    let difference = state["now_ms"].as_u64().expect("a time").abs_diff(opened.now_ms());
    assert!(difference < SOON.as_millis() as u64, "{difference} ms");
}
