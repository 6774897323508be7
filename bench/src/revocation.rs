//! How long a connection outlives its right: from the request that takes it away to the end that the client sees.

use crate::figures::Latencies;
use anyhow::{Context, Result, bail, ensure};
use demo::{Method, Stage};
use mqtt::Version;
use mqtt::client::{Event, Options};
use scenarios::link::Link;
use serde_json::{Value, json};
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

const ENDS_WITHIN: Duration = Duration::from_secs(60);
const KEY: &str = "bench";
const GROUP: &str = "GID_many";
/// A user may have 64.
const DEVICES_OF_A_USER: usize = 50;

#[derive(Clone, Copy)]
pub(crate) struct Plan {
    /// Keys that are disabled, and devices that are removed, one after the other.
    pub(crate) revocations: usize,
    /// By one key, all at once.
    pub(crate) connections: usize,
    /// Of a group that is removed by force.
    pub(crate) devices: usize,
}

pub(crate) fn measure(folder: &Path, program: &Path, plan: Plan) -> Result<()> {
    let runtime = Runtime::new()?;
    let mut stage = Stage::new(folder, program, &[])?;
    runtime.block_on(stage.start_server())?;
    let bench = Bench { runtime: &runtime, stage: &stage };
    let wish = json!({ "key": KEY, "kind": "access", "scopes": ["topics"] });
    let secret = bench.ask(Method::POST, "/api/v1/keys", Some(wish))?;
    let secret = secret["secret"].as_str().context("the key has no secret")?;

    println!("revocation, from the request to the end that the client sees (and to the answer of the request)");
    let mut ends = Ends::default();
    for _ in 0..plan.revocations {
        let link = bench.service(secret, "GID_dev@@@bench")?;
        bench.end_one(link, Method::PATCH, &key_path(), Some(json!({ "disabled": true })), &mut ends)?;
        bench.ask(Method::PATCH, &key_path(), Some(json!({ "disabled": false })))?;
    }
    println!("  key disabled, {} times:   {}", plan.revocations, ends.describe());
    let mut ends = Ends::default();
    for _ in 0..plan.revocations {
        let credentials = bench.ask(Method::POST, "/api/v1/users/ann/devices", Some(json!({ "device": "phone" })))?;
        let link = Link::open(bench.address(), Version::V5, &credentials)?;
        bench.end_one(link, Method::DELETE, "/api/v1/devices/GID_dev@@@phone", None, &mut ends)?;
    }
    println!("  device removed, {} times: {}", plan.revocations, ends.describe());

    let began = Instant::now();
    let sockets = bench.stand(secret, plan.connections)?;
    println!("  {} connections of one key stand after {:.1} s", sockets.len(), began.elapsed().as_secs_f64());
    bench.end_all(sockets, Method::PATCH, &key_path(), Some(json!({ "disabled": true })))?;

    let began = Instant::now();
    let sockets = bench.register_and_stand(plan.devices)?;
    println!("  {} devices of one group stand after {:.1} s", sockets.len(), began.elapsed().as_secs_f64());
    bench.end_all(sockets, Method::DELETE, &format!("/api/v1/groups/{GROUP}?force=true"), None)?;
    runtime.block_on(stage.stop_server())?;
    Ok(())
}

fn key_path() -> String {
    format!("/api/v1/keys/{KEY}")
}

#[derive(Default)]
struct Ends {
    seen: Latencies,
    answered: Latencies,
}

impl Ends {
    fn describe(&mut self) -> String {
        format!(
            "{}, at most {:.2} ms (answer: {}, at most {:.2} ms)",
            self.seen.describe(),
            self.seen.percentile_ms(1.0),
            self.answered.describe(),
            self.answered.percentile_ms(1.0)
        )
    }
}

struct Bench<'a> {
    runtime: &'a Runtime,
    stage: &'a Stage,
}

impl Bench<'_> {
    fn address(&self) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.stage.mqtt_port()))
    }

    fn ask(&self, method: Method, path: &str, body: Option<Value>) -> Result<Value> {
        self.runtime.block_on(self.stage.api(method, path, body))
    }

    fn service(&self, secret: &str, client_id: &str) -> Result<Link> {
        let mut options = Options::new(Version::V5, client_id);
        options.username = Some(format!("Signature|{KEY}|convoke"));
        options.password = Some(scenarios::sign(secret, client_id).into_bytes());
        options.keep_alive_s = 0;
        Link::open_with(self.address(), options)
    }

    /// Asks, and waits for the end of the connection.
    fn end_one(&self, mut link: Link, method: Method, path: &str, body: Option<Value>, ends: &mut Ends) -> Result<()> {
        let began = Instant::now();
        let answered = std::thread::scope(|scope| -> Result<Duration> {
            let asked = scope.spawn(|| self.ask(method, path, body).map(|_| began.elapsed()));
            ensure!(is_ended(&mut link)?, "the connection does not end");
            ends.seen.push(began.elapsed());
            asked.join().map_err(|_| anyhow::anyhow!("the request has panicked"))?
        })?;
        ends.answered.push(answered);
        Ok(())
    }

    /// Asks, and waits for the ends of all of these.
    fn end_all(&self, sockets: Vec<TcpStream>, method: Method, path: &str, body: Option<Value>) -> Result<()> {
        let began = Instant::now();
        let answered = std::thread::scope(|scope| -> Result<Duration> {
            let asked = scope.spawn(|| self.ask(method, path, body).map(|_| began.elapsed()));
            sockets.into_iter().try_for_each(read_to_end)?;
            println!("  the last of them has ended after {:.0} ms", began.elapsed().as_secs_f64() * 1e3);
            asked.join().map_err(|_| anyhow::anyhow!("the request has panicked"))?
        })?;
        println!("  the request was answered after {:.0} ms", answered.as_secs_f64() * 1e3);
        Ok(())
    }

    /// Devices of a group of their own, each logged in, and silent from there on.
    fn register_and_stand(&self, devices: usize) -> Result<Vec<TcpStream>> {
        self.ask(Method::POST, "/api/v1/groups", Some(json!({ "group": GROUP })))?;
        let connect = |n: usize| {
            let path = format!("/api/v1/users/many-{}/devices", n / DEVICES_OF_A_USER);
            let wish = json!({ "group": GROUP, "device": format!("d-{n}") });
            let credentials = self.ask(Method::POST, &path, Some(wish))?;
            let text = |name: &str| credentials[name].as_str().map(str::to_owned).with_context(|| format!("no {name}"));
            let mut options = Options::new(Version::V5, text("client_id")?);
            (options.username, options.password) = (Some(text("username")?), Some(text("password")?.into_bytes()));
            (options.keep_alive_s, options.session_expiry_interval) = (0, 3600);
            Ok(Link::open_with(self.address(), options)?.stream().try_clone()?)
        };
        (0..devices).map(connect).collect()
    }

    /// Services that are logged in, and silent from there on.
    fn stand(&self, secret: &str, connections: usize) -> Result<Vec<TcpStream>> {
        self.ask(Method::PATCH, &key_path(), Some(json!({ "disabled": false })))?;
        let connect = |n: usize| {
            let link = self.service(secret, &format!("GID_dev@@@many-{n}"))?;
            Ok(link.stream().try_clone()?)
        };
        (0..connections).map(connect).collect()
    }
}

fn is_ended(link: &mut Link) -> Result<bool> {
    while let Some(event) = link.next(ENDS_WITHIN)? {
        if let Event::Disconnected { .. } = event {
            return Ok(true);
        }
    }
    Ok(false)
}

fn read_to_end(mut socket: TcpStream) -> Result<()> {
    socket.set_read_timeout(Some(ENDS_WITHIN))?;
    let mut bytes = [0; 1024];
    let mut said = 0;
    loop {
        match socket.read(&mut bytes).context("a connection does not end")? {
            0 if said > 0 => return Ok(()),
            0 => bail!("a connection was ended without a word"),
            more => said += more,
        }
    }
}
