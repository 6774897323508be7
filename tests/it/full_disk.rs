//! A disk that is full for a while: a small file system in a mount namespace of the server's own.

use crate::bad_input::{SOON, request};
use crate::support::program;
use anyhow::{Context, Result, ensure};
use demo::Stage;
use mqtt::Version;
use scenarios::link::Link;
use scenarios::wire::{self, HttpAnswer};
use serde_json::{Value, json};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

/// Two segments of the log and its spare file, what the log leaves to others, the catalog, and something to fill.
const MIB: u32 = 384;
/// More than the service handles at once.
const OTHERS: u64 = 12;

/// As root a mount namespace will do; without, the user's own one besides. Some machines forbid both.
fn may_mount() -> Option<&'static str> {
    ["unshare --mount", "unshare --user --map-root-user --mount"].into_iter().find(|unshare| {
        let script = format!("{unshare} sh -c 'mount -t tmpfs tmpfs /mnt'");
        Command::new("sh").args(["-c", &script]).output().is_ok_and(|output| output.status.success())
    })
}

/// Runs the server with a small file system in the place of its data directory.
fn program_on_a_small_disk(folder: &Path, unshare: &str) -> Result<PathBuf> {
    let (script, data) = (folder.join("convoke-on-a-small-disk"), folder.join("server"));
    fs::create_dir_all(&data)?;
    let (program, data) = (program()?, data.display().to_string());
    let inner = format!("mount -t tmpfs -o size={MIB}m,mode=700 tmpfs {data} && exec {} \"$@\"", program.display());
    let text = format!("#!/bin/sh\nexec {unshare} sh -c '{inner}' sh \"$@\"\n");
    fs::write(&script, text)?;
    fs::set_permissions(&script, fs::Permissions::from_mode(0o700))?;
    Ok(script)
}

struct Server {
    stage: Stage,
    http: SocketAddr,
    /// The data directory as the server sees it.
    data: PathBuf,
    key: String,
}

impl Server {
    async fn start(folder: &Path, unshare: &str) -> Result<Self> {
        let mut stage = Stage::new(folder, &program_on_a_small_disk(folder, unshare)?, &[])?;
        stage.start_server().await?;
        let id = stage.server_id().context("the server runs")?;
        let data = PathBuf::from(format!("/proc/{id}/root{}", stage.data().display()));
        let key = format!("authorization: Bearer {}", fs::read_to_string(data.join("api-key"))?.trim());
        let http = SocketAddr::from(([127, 0, 0, 1], stage.http_port()));
        Ok(Self { stage, http, data, key })
    }

    fn ask(&self, request: &str, body: &Value) -> Result<HttpAnswer> {
        wire::http(self.http, request, &[&self.key], body.to_string().as_bytes())
    }

    fn device(&self, user: &str) -> Result<Value> {
        let device = json!({ "device": format!("{user}-phone") });
        let answer = self.ask(&format!("POST /api/v1/users/{user}/devices"), &device)?;
        Ok(serde_json::from_str(&answer.body)?)
    }

    fn device_of_a_new(&self, user: &str) -> Result<Value> {
        self.ask(&format!("PUT /api/v1/users/{user}"), &json!({ "name": user }))?;
        self.device(user)
    }

    fn link(&self, device: &Value) -> Result<Link> {
        Link::open(SocketAddr::from(([127, 0, 0, 1], self.stage.mqtt_port())), Version::V5, device)
    }

    fn filler(&self) -> PathBuf {
        self.data.join("filler")
    }

    /// Until nothing more can be written.
    fn fill(&self) -> Result<()> {
        let mut filler = OpenOptions::new().create(true).append(true).open(self.filler())?;
        for size in [1 << 20, 4096, 1] {
            let block = vec![1; size];
            while filler.write_all(&block).is_ok() {}
        }
        Ok(())
    }

    /// Pages that SQLite has already are used up by names that grow, until the first is refused.
    fn write_until_refused(&self) -> Result<HttpAnswer> {
        for n in 0..10_000 {
            let answer = self.ask(&format!("PUT /api/v1/users/filler-{n}"), &json!({ "name": "n".repeat(64) }))?;
            if answer.status != 200 {
                return Ok(answer);
            }
        }
        anyhow::bail!("nothing is refused")
    }

    fn until_ready(&self) -> Result<()> {
        let deadline = Instant::now() + SOON;
        while wire::http(self.http, "GET /readyz", &[], b"")?.status != 200 {
            ensure!(Instant::now() < deadline, "it does not get ready again");
        }
        Ok(())
    }
}

/// The first signal that answers this request.
fn answer_to(link: &mut Link, request: &Value) -> Result<Value> {
    loop {
        let said: Value = serde_json::from_slice(&link.message(SOON)?.payload)?;
        if said["in_reply_to"] == request["id"] {
            return Ok(said);
        }
    }
}

fn until_shown(link: &mut Link, user: &str, presence: &str) -> Result<()> {
    let deadline = Instant::now() + SOON;
    for n in 1_000.. {
        let contacts = request(n, "contacts", &json!({}));
        link.publish("meeting-up/contacts", contacts.to_string().as_bytes())?;
        let answer = answer_to(link, &contacts)?;
        let users = answer["users"].as_array().context("no contacts")?;
        if users.iter().any(|contact| contact["user"] == user && contact["presence"] == presence) {
            break;
        }
        ensure!(Instant::now() < deadline, "{user} is not shown as {presence}");
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_said_and_what_came_meanwhile_is_answered_when_there_is_room() -> Result<()> {
    let Some(unshare) = may_mount() else {
        // Past the capture of the test runner, so that it is seen and counted.
        writeln!(std::io::stderr(), "skipped: the full disk, because this machine lets nobody mount a file system")?;
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), unshare).await?;
    let (alice, bob) = (server.device("alice")?, server.device("bob")?);
    let mut link = server.link(&alice)?;
    let bobs_link = server.link(&bob)?;
    until_shown(&mut link, "bob", "online")?;
    let others: Vec<_> = (0..OTHERS).map(|n| server.device_of_a_new(&format!("user-{n}"))).collect::<Result<_>>()?;
    let mut others: Vec<_> = others.iter().map(|device| server.link(device)).collect::<Result<_>>()?;
    server.fill()?;
    assert_eq!(server.write_until_refused()?.problem()?, (503, "unavailable".to_owned()));
    let ready = wire::http(server.http, "GET /readyz", &[], b"")?;
    ensure!(ready.status == 503 && ready.body.contains("the disk is full"), "{ready:?}");

    let create = request(1, "create", &json!({ "callees": ["bob"], "media": "audio" }));
    link.publish("meeting-up/create", create.to_string().as_bytes())?;
    link.wait(SOON, |event| matches!(event, mqtt::client::Event::Published { .. }))?;
    let asked: Vec<_> = (0..OTHERS).map(|n| request(10 + n, "state", &json!({}))).collect();
    for (link, state) in others.iter_mut().zip(&asked) {
        link.publish("meeting-up/state", state.to_string().as_bytes())?;
        link.wait(SOON, |event| matches!(event, mqtt::client::Event::Published { .. }))?;
    }
    assert_eq!(server.ask("PUT /api/v1/users/late", &json!({ "name": "Late" }))?.status, 503);
    drop(bobs_link);

    fs::remove_file(server.filler())?;
    server.until_ready()?;
    assert_eq!(server.ask("PUT /api/v1/users/late", &json!({ "name": "Late" }))?.status, 200);
    let answer = answer_to(&mut link, &create).context("the create is not answered")?;
    // On a machine that takes its time the request may be too old by now, which is an answer too.
    ensure!(answer["type"] == "admitted" || answer["code"] == "expired", "{answer}");
    for (link, state) in others.iter_mut().zip(&asked) {
        let answer = answer_to(link, state).context("a state is not answered")?;
        ensure!(answer["type"] == "state", "{answer}");
    }
    until_shown(&mut link, "bob", "offline")
}
