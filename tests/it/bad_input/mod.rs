//! Bad input gets the protocol's own clear refusal, and does not affect other clients.

mod api;
mod floods;
mod hosts;
mod join_endpoint;
mod login;
mod malformed;
mod packets;
mod process;
mod requests;
mod signalling;

use crate::support::program;
use anyhow::{Context, Result, bail, ensure};
use demo::{Method, Stage};
use mqtt::Version;
use mqtt::client::{Event, Options};
use scenarios::link::Link;
use serde_json::{Value, json};
pub(crate) use signalling::request;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};
use tempfile::TempDir;
use tokio::runtime::Runtime;

pub(crate) const SOON: Duration = Duration::from_secs(10);
const POLL: Duration = Duration::from_millis(10);
/// What allocators and caches may keep after a flood of offences.
const KEPT_KIB_MAX: u64 = 2 * 1024;

/// A server, some people, and a witness whose messages must always arrive.
struct Scene {
    runtime: Runtime,
    stage: Stage,
    service: Link,
    witness: Link,
    witness_topic: String,
    told: u64,
    _folder: TempDir,
}

/// Addresses of the server.
#[derive(Clone, Copy, Debug)]
struct Addresses {
    mqtt: SocketAddr,
    mqtts: SocketAddr,
    http: SocketAddr,
    media: SocketAddr,
}

#[derive(Clone, Copy, Debug)]
struct BaseLine {
    descriptors: usize,
    resident_kib: u64,
}

impl Scene {
    fn start() -> Result<Self> {
        let (folder, runtime) = (tempfile::tempdir()?, Runtime::new()?);
        let mut stage = Stage::new(folder.path(), &program()?, &[])?;
        runtime.block_on(stage.start_server())?;
        let device = register(&runtime, &stage, "witness")?;
        let witness_topic = format!("meeting-down/p2p/{}/note", text(&device, "client_id")?);
        let server = loopback(stage.mqtt_port());
        let service = service_link(&stage, server)?;
        let witness = Link::open(server, Version::V5, &device)?;
        Ok(Self { runtime, stage, service, witness, witness_topic, told: 0, _folder: folder })
    }

    /// SIGTERM.
    fn stop(&mut self) -> Result<()> {
        let status = self.runtime.block_on(self.stage.stop_server())?;
        ensure!(status.success(), "the server did not stop well: {status}");
        Ok(())
    }

    fn kill(&mut self) -> Result<()> {
        self.runtime.block_on(self.stage.kill_server()).map(drop)
    }

    /// On the same data and ports; service and witness connect again.
    fn start_again(&mut self) -> Result<()> {
        self.runtime.block_on(self.stage.start_server())?;
        self.service.reopen()?;
        self.witness.reopen()?;
        Ok(())
    }

    fn addresses(&self) -> Result<Addresses> {
        Ok(Addresses {
            mqtt: loopback(self.stage.mqtt_port()),
            mqtts: loopback(self.stage.mqtts_port()),
            http: loopback(self.stage.http_port()),
            media: self.stage.media().context("the server was never ready")?,
        })
    }

    /// Credentials of a new device, as its terminal gets them.
    fn device(&self, user: &str) -> Result<Value> {
        register(&self.runtime, &self.stage, user)
    }

    fn link(&self, device: &Value) -> Result<Link> {
        Link::open(loopback(self.stage.mqtt_port()), Version::V5, device)
    }

    /// The instance's API key.
    fn api_key(&self) -> Result<String> {
        Ok(std::fs::read_to_string(self.stage.data().join("api-key"))?.trim().to_owned())
    }

    /// Offends again and again; then the witness still gets what a service sends, and the server holds no more
    /// connections and no more memory than before.
    fn costs_nothing(&mut self, times: usize, mut offend: impl FnMut() -> Result<()>) -> Result<()> {
        (0..times.div_ceil(5)).try_for_each(|_| offend())?;
        self.witness_is_unharmed()?;
        let before = self.base_line()?;
        (0..times).try_for_each(|_| offend())?;
        self.witness_is_unharmed()?;
        self.returns_to(before)
    }

    fn witness_is_unharmed(&mut self) -> Result<()> {
        self.told += 1;
        let payload = format!("still here {}", self.told);
        self.service.publish(&self.witness_topic, payload.as_bytes())?;
        let received = self.witness.message(SOON).context("the witness got nothing")?;
        if received.payload != payload.as_bytes() || received.topic != self.witness_topic {
            bail!("the witness got something else: {received:?}");
        }
        self.service.wait(SOON, |event| matches!(event, Event::Published { .. }))?;
        Ok(())
    }

    fn base_line(&self) -> Result<BaseLine> {
        let process = format!("/proc/{}", self.stage.server_id().context("the server is gone")?);
        let status = std::fs::read_to_string(format!("{process}/status"))?;
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let resident_kib = resident.trim().trim_end_matches(" kB").parse()?;
        Ok(BaseLine { descriptors: std::fs::read_dir(format!("{process}/fd"))?.count(), resident_kib })
    }

    fn returns_to(&self, before: BaseLine) -> Result<()> {
        let until = Instant::now() + SOON;
        loop {
            let now = self.base_line()?;
            let kept_kib = now.resident_kib.saturating_sub(before.resident_kib);
            if now.descriptors <= before.descriptors && kept_kib <= KEPT_KIB_MAX {
                println!("kept {kept_kib} KiB");
                return Ok(());
            }
            if Instant::now() > until {
                bail!("the server does not return to its base line: {before:?}, now {now:?}");
            }
            thread::sleep(POLL);
        }
    }
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value[key].as_str().with_context(|| format!("no {key} in {value}"))
}

fn register(runtime: &Runtime, stage: &Stage, user: &str) -> Result<Value> {
    let path = format!("/api/v1/users/{user}/devices");
    runtime.block_on(stage.api(Method::POST, &path, Some(json!({ "device": format!("{user}-phone") }))))
}

fn service_link(stage: &Stage, server: SocketAddr) -> Result<Link> {
    let key = stage.access_key()?;
    let mut options = Options::new(Version::V5, "GID_dev@@@service");
    options.username = Some(format!("Signature|{}|{}", text(&key, "key_id")?, text(&key, "instance")?));
    options.password = Some(scenarios::sign(text(&key, "secret")?, &options.client_id).into_bytes());
    options.session_expiry_interval = 0;
    Link::open_with(server, options)
}

#[test]
fn the_base_line_notices_connections_that_stay() {
    let mut scene = Scene::start().expect("the server starts");
    let server = scene.addresses().expect("addresses").mqtt;
    let alice = scene.device("alice").expect("alice");
    let mut kept = Vec::new();
    let keep = || {
        kept.push(packets::Connect::of(&alice, packets::V5)?.open(server)?);
        kept.push(scenarios::wire::dial(server)?);
        Ok(())
    };
    let noticed = scene.costs_nothing(3, keep).expect_err("strangers that stay were not noticed");
    assert!(noticed.to_string().contains("does not return to its base line"), "{noticed}");
}
