//! The servers that are compared, each a process of its own.

use super::packets::Login;
use anyhow::{Context, Result, bail, ensure};
use demo::Stage;
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const READY_WITHIN: Duration = Duration::from_secs(10);
const READY_POLL: Duration = Duration::from_millis(20);
/// Debian installs it where only root's PATH leads.
const MOSQUITTO: [&str; 2] = ["mosquitto", "/usr/sbin/mosquitto"];

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Convoke,
    /// The [program that only copies](super::copier).
    Copying,
    Mosquitto {
        program: &'static str,
    },
}

impl Kind {
    pub(super) const fn name(&self) -> &'static str {
        match self {
            Self::Convoke => "convoke",
            Self::Copying => "only copying",
            Self::Mosquitto { .. } => "mosquitto",
        }
    }

    /// Mosquitto with its version, as it says it; `None`: it is not installed.
    pub(super) fn mosquitto() -> Option<(Self, String)> {
        MOSQUITTO.iter().find_map(|program| {
            let help = Command::new(program).arg("-h").output().ok()?;
            let version = String::from_utf8_lossy(&help.stdout).lines().next().unwrap_or_default().to_owned();
            Some((Self::Mosquitto { program }, version))
        })
    }
}

/// A server that runs until it is dropped.
pub(super) struct Server {
    pub(super) address: SocketAddr,
    pub(super) process: u32,
    key: Option<AccessKey>,
    /// P2P messages of our broker come without a subscription.
    p2p_by_subscription: bool,
    running: Running,
}

/// A service's key for the Signature login.
struct AccessKey {
    username: String,
    secret: String,
}

/// The process; it ends with this.
enum Running {
    Stage(Box<Stage>),
    Child(Child),
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Child(child) = self {
            // Either it has ended already, or it is gone afterwards.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

impl Server {
    pub(super) fn start(kind: &Kind, folder: &Path, program: &Path, runtime: &tokio::runtime::Runtime) -> Result<Self> {
        let started = match kind {
            Kind::Convoke => runtime.block_on(Self::convoke(folder, program)),
            Kind::Copying => Self::copying(program),
            Kind::Mosquitto { program } => Self::mosquitto(folder, program),
        };
        started.with_context(|| format!("{} cannot be measured", kind.name()))
    }

    async fn convoke(folder: &Path, program: &Path) -> Result<Self> {
        let mut stage = Stage::new(folder, program, &[])?;
        stage.start_server().await?;
        let login = stage.access_key()?;
        let text = |key: &str| login[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
        let username = format!("Signature|{}|{}", text("key_id")?, text("instance")?);
        Ok(Self {
            address: SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port())),
            process: stage.server_id().context("the server does not run")?,
            key: Some(AccessKey { username, secret: text("secret")? }),
            p2p_by_subscription: false,
            running: Running::Stage(Box::new(stage)),
        })
    }

    fn copying(program: &Path) -> Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("--program").arg(program).arg("copy");
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().context("it is not heard")?;
        let running = Running::Child(child);
        let mut line = String::new();
        BufReader::new(output).read_line(&mut line)?;
        Self::open_to_all(line.trim().parse()?, running)
    }

    fn mosquitto(folder: &Path, program: &str) -> Result<Self> {
        let address = free_address()?;
        let (configuration, log) = (folder.join("mosquitto.conf"), folder.join("mosquitto.log"));
        fs::write(&configuration, mosquitto_configuration(address))?;
        let mut command = Command::new(program);
        command.arg("-c").arg(&configuration).stdin(Stdio::null()).stdout(Stdio::null());
        let mut running = Running::Child(command.stderr(fs::File::create(&log)?).spawn()?);
        until_ready(address, &mut running, &log)?;
        Self::open_to_all(address, running)
    }

    fn open_to_all(address: SocketAddr, running: Running) -> Result<Self> {
        let Running::Child(child) = &running else { bail!("it is no child") };
        Ok(Self { address, process: child.id(), key: None, p2p_by_subscription: true, running })
    }

    /// Without closing its connections, which costs nothing that is measured.
    pub(super) fn stop(mut self, runtime: &tokio::runtime::Runtime) -> Result<()> {
        if let Running::Stage(stage) = &mut self.running {
            runtime.block_on(stage.kill_server())?;
        }
        Ok(())
    }

    pub(super) fn login(&self, client_id: &str) -> Option<Login> {
        let AccessKey { username, secret } = self.key.as_ref()?;
        Some((username.clone(), scenarios::sign(secret, client_id).into_bytes()))
    }

    pub(super) fn p2p_by_subscription(&self) -> bool {
        self.p2p_by_subscription
    }
}

/// Nothing is kept, and nothing is dropped that the generator lets wait.
fn mosquitto_configuration(address: SocketAddr) -> String {
    format!(
        "listener {} {}\nallow_anonymous true\nset_tcp_nodelay true\npersistence false\nmax_queued_messages 0\n\
         log_type error\nlog_dest stderr\nuser root\n",
        address.port(),
        address.ip()
    )
}

fn until_ready(address: SocketAddr, running: &mut Running, log: &Path) -> Result<()> {
    let began = Instant::now();
    while TcpStream::connect(address).is_err() {
        let has_ended = match running {
            Running::Child(child) => child.try_wait()?.is_some(),
            Running::Stage(_) => false,
        };
        let words = || fs::read_to_string(log).unwrap_or_default();
        ensure!(!has_ended, "it ended: {}", words());
        ensure!(began.elapsed() < READY_WITHIN, "it was not ready within {} s: {}", READY_WITHIN.as_secs(), words());
        thread::sleep(READY_POLL);
    }
    Ok(())
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?)
}
