//! What a scenario plays on: a folder, free ports, the server as a process, and terminals with credentials.

use super::actor::{Actor, Terminal};
use super::process::Process;
use super::report;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::process::Command;

const READY_WITHIN: Duration = Duration::from_secs(30);
const READY_POLL: Duration = Duration::from_millis(10);

/// The server of a scenario; it may be killed and started again on the same data and ports.
pub struct Stage {
    pub folder: PathBuf,
    program: PathBuf,
    ports: Ports,
    /// Configuration keys other than addresses (`section.key=value`).
    settings: Vec<String>,
    server: Option<Process>,
    http: reqwest::Client,
}

struct Ports {
    mqtt: u16,
    mqtts: u16,
    http: u16,
    https: u16,
    media: u16,
}

impl Ports {
    /// Free at this moment; held together so that they differ.
    fn free() -> Result<Self> {
        let tcp: Vec<TcpListener> = (0..4)
            .map(|_| TcpListener::bind(("127.0.0.1", 0)))
            .collect::<Result<_, _>>()
            .context("no free TCP port")?;
        let udp = UdpSocket::bind(("127.0.0.1", 0)).context("no free UDP port")?;
        let port = |i: usize| tcp[i].local_addr().map(|a| a.port());
        Ok(Self { mqtt: port(0)?, mqtts: port(1)?, http: port(2)?, https: port(3)?, media: udp.local_addr()?.port() })
    }
}

impl Stage {
    pub fn new(folder: &Path, program: &Path, settings: &[&str]) -> Result<Self> {
        crate::install_crypto();
        fs::create_dir_all(folder.join("logs")).with_context(|| format!("cannot write to {}", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            program: program.to_owned(),
            ports: Ports::free()?,
            settings: settings.iter().map(|s| (*s).to_owned()).collect(),
            server: None,
            http: reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?,
        })
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("server")
    }

    pub fn server_log(&self) -> PathBuf {
        self.folder.join("logs/server.log")
    }

    pub fn mqtt_port(&self) -> u16 {
        self.ports.mqtt
    }

    pub fn mqtts_port(&self) -> u16 {
        self.ports.mqtts
    }

    pub fn media_port(&self) -> u16 {
        self.ports.media
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.ports.http)
    }

    pub fn ca(&self) -> PathBuf {
        self.data().join("tls/ca.pem")
    }

    /// Starts the server and waits until it is ready; answers how long that took.
    pub async fn start_server(&mut self) -> Result<Duration> {
        let began = Instant::now();
        let process = Process::spawn(self.server_command(), &self.server_log())?;
        self.server = Some(process);
        self.ready(began).await?;
        Ok(began.elapsed())
    }

    fn server_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--dev", "--log-json", "--data"]).arg(self.data());
        command.env("CONVOKE_LOG", "info,meeting=debug");
        command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
        let Ports { mqtt, mqtts, http, https, media } = self.ports;
        for (key, port) in [
            ("mqtt.listen", mqtt),
            ("mqtt.tls_listen", mqtts),
            ("http.listen", http),
            ("http.tls_listen", https),
            ("media.listen", media),
        ] {
            command.args(["--set".to_owned(), format!("{key}=127.0.0.1:{port}")]);
        }
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command
    }

    async fn ready(&mut self, began: Instant) -> Result<()> {
        loop {
            let answer = self.http.get(self.url("/readyz")).send().await;
            if answer.is_ok_and(|a| a.status().is_success()) {
                return Ok(());
            }
            if began.elapsed() > READY_WITHIN {
                bail!(
                    "the server was not ready within {} s\n  log: {}",
                    READY_WITHIN.as_secs(),
                    self.server_log().display()
                );
            }
            if let Some(status) = self.server.as_mut().and_then(Process::ended) {
                let log = self.server_log();
                let words = report::last_words(&log).unwrap_or_else(|| "it did not say why".into());
                bail!("the server ended before it was ready ({status}): {words}\n  log: {}", log.display());
            }
            tokio::time::sleep(READY_POLL).await;
        }
    }

    /// SIGKILL; answers what the system says of its end.
    pub async fn kill_server(&mut self) -> Result<Value> {
        self.server.take().ok_or_else(|| anyhow!("the server is not running"))?.kill().await
    }

    /// SIGTERM; answers the exit status.
    pub async fn stop_server(&mut self) -> Result<std::process::ExitStatus> {
        self.server.take().ok_or_else(|| anyhow!("the server is not running"))?.terminate().await
    }

    /// Waits until the server has ended by itself.
    pub async fn ended(&mut self) -> Result<std::process::ExitStatus> {
        self.server.take().ok_or_else(|| anyhow!("the server is not running"))?.wait().await
    }

    pub fn is_running(&self) -> bool {
        self.server.is_some()
    }

    pub fn server_id(&self) -> Option<u32> {
        self.server.as_ref().and_then(Process::id)
    }

    /// A request to the API with the instance's key.
    pub async fn api(&self, method: reqwest::Method, path: &str, body: Option<Value>) -> Result<Value> {
        let key = fs::read_to_string(self.data().join("api-key")).context("the server has made no api-key")?;
        let mut request = self.http.request(method, self.url(path)).bearer_auth(key.trim());
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.with_context(|| format!("the API does not answer {path}"))?;
        let status = answer.status();
        let text = answer.text().await?;
        if !status.is_success() {
            bail!("{path} was answered {status}: {text}");
        }
        serde_json::from_str(&text).with_context(|| format!("{path} was answered with no JSON: {text}"))
    }

    /// Registers a device of `user` and makes its terminal, not yet started.
    pub async fn actor(&self, user: &'static str, device: &str, flags: &[String]) -> Result<Actor> {
        let path = format!("/api/v1/users/{user}/devices");
        let credentials =
            self.api(reqwest::Method::POST, &path, Some(json!({ "device": format!("{user}-{device}") }))).await?;
        let folder = self.folder.join(format!("{user}-{device}"));
        fs::create_dir_all(&folder)?;
        let file = folder.join("credentials.json");
        fs::write(&file, credentials.to_string())?;
        Ok(Actor::new(
            user,
            Terminal {
                program: self.program.clone(),
                credentials: file,
                ca: self.ca(),
                store: folder.join("store"),
                log: self.folder.join(format!("logs/{user}-{device}.log")),
                flags: flags.to_vec(),
            },
        ))
    }

    /// What the RTC server says of a meeting's channel; `None` when there is none.
    pub async fn channel(&self, meeting: &str) -> Result<Option<Value>> {
        let answer = self.api(reqwest::Method::GET, &format!("/api/v1/channels/{meeting}"), None).await?;
        Ok((!answer.is_null()).then_some(answer))
    }
}
