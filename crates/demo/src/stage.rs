//! The stage of a scenario: a folder, ports, the server as a process, and terminals with credentials.

use super::actor::{Actor, Terminal};
use super::ports::Ports;
use super::process::Process;
use super::report;
use anyhow::{Context, Result, anyhow, bail};
use serde_json::{Value, json};
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{ChildStdout, Command};

const READY_WITHIN: Duration = Duration::from_secs(60);
const CHOICES_OF_PORTS: usize = 10;
const SERVER_LOG: &str = "logs/server.log";
/// What it logs, if nothing else is wanted.
const SERVER_LOGS: &str = "info,meeting=debug";

/// The server of a scenario; it may be killed and started again on the same data and ports.
pub struct Stage {
    pub folder: PathBuf,
    program: PathBuf,
    ports: Ports,
    /// Once a server of this stage was ready.
    media: Option<SocketAddr>,
    /// Configuration keys other than addresses (`section.key=value`).
    settings: Vec<String>,
    /// `CONVOKE_LOG` of the server.
    logs: String,
    server: Option<Process>,
    http: reqwest::Client,
}

impl Stage {
    pub fn new(folder: &Path, program: &Path, settings: &[&str]) -> Result<Self> {
        // The only error is that this process has chosen already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        fs::create_dir_all(folder.join("logs")).with_context(|| format!("cannot write to {}", folder.display()))?;
        Ok(Self {
            folder: folder.to_owned(),
            program: program.to_owned(),
            ports: Ports::hold()?,
            media: None,
            settings: settings.iter().map(|s| (*s).to_owned()).collect(),
            logs: SERVER_LOGS.to_owned(),
            server: None,
            http: reqwest::Client::builder().timeout(Duration::from_secs(10)).build()?,
        })
    }

    /// Configuration keys from its next start on, instead of those before.
    pub fn configure(&mut self, settings: &[&str]) {
        self.settings = settings.iter().map(|setting| (*setting).to_owned()).collect();
    }

    /// What the server logs from its next start on, in the words of `CONVOKE_LOG`.
    pub fn log(&mut self, filter: &str) {
        filter.clone_into(&mut self.logs);
    }

    pub fn data(&self) -> PathBuf {
        self.folder.join("server")
    }

    /// What a service logs in with that the server of `--dev` lets in.
    ///
    /// # Errors
    /// The server has not run yet.
    pub fn access_key(&self) -> Result<serde_json::Value> {
        let path = self.data().join("access-key");
        let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
        Ok(serde_json::from_str(&text)?)
    }

    pub fn server_log(&self) -> PathBuf {
        self.folder.join(SERVER_LOG)
    }

    pub fn mqtt_port(&self) -> u16 {
        self.ports.mqtt
    }

    pub fn mqtts_port(&self) -> u16 {
        self.ports.mqtts
    }

    /// Of the server that was ready last; another one after each start.
    pub fn media(&self) -> Option<SocketAddr> {
        self.media
    }

    pub fn metrics_port(&self) -> u16 {
        self.ports.metrics
    }

    pub fn http_port(&self) -> u16 {
        self.ports.http
    }

    pub fn https_port(&self) -> u16 {
        self.ports.https
    }

    pub fn url(&self, path: &str) -> String {
        format!("http://localhost:{}{path}", self.ports.http)
    }

    pub fn ca(&self) -> PathBuf {
        self.data().join("tls/ca.pem")
    }

    /// Starts the server and waits until it is ready; returns how long that took.
    ///
    /// # Errors
    /// It ended, with its last words; or a port was taken away from a stage whose terminals know it already.
    pub async fn start_server(&mut self) -> Result<Duration> {
        let began = Instant::now();
        let mut tries = if self.media.is_none() { CHOICES_OF_PORTS } else { 1 };
        loop {
            tries -= 1;
            match self.try_start().await {
                Err(error) if tries > 0 && is_lost_port(&error) => self.ports = Ports::hold()?,
                started => return started.map(|()| began.elapsed()),
            }
        }
    }

    async fn try_start(&mut self) -> Result<()> {
        let (process, stdout) = Process::spawn_with_output(self.server_command(), &self.server_log())?;
        let server = self.server.insert(process);
        let ready = tokio::time::timeout(READY_WITHIN, media_of_banner(stdout)).await;
        let log = self.folder.join(SERVER_LOG);
        let Ok(media) = ready else {
            bail!("the server was not ready within {} s\n  log: {}", READY_WITHIN.as_secs(), log.display());
        };
        if media.is_none() {
            let status = server.wait().await?;
            self.server = None;
            let words = report::last_words(&log).unwrap_or_else(|| "it did not say why".into());
            bail!("the server ended before it was ready ({status}): {words}\n  log: {}", log.display());
        }
        self.media = media;
        Ok(())
    }

    fn server_command(&self) -> Command {
        let mut command = Command::new(&self.program);
        command.args(["serve", "--dev", "--log-json", "--data"]).arg(self.data());
        command.env("CONVOKE_LOG", &self.logs);
        let Ports { mqtt, mqtts, http, https, metrics, .. } = self.ports;
        for (key, port) in [
            ("mqtt.listen", mqtt),
            ("mqtt.tls_listen", mqtts),
            ("http.listen", http),
            ("http.tls_listen", https),
            ("metrics.listen", metrics),
            ("queue.listen", 0),
            // Terminals are told it anew at each join.
            ("media.listen", 0),
        ] {
            command.args(["--set".to_owned(), format!("{key}=127.0.0.1:{port}")]);
        }
        for setting in &self.settings {
            command.args(["--set", setting]);
        }
        command
    }

    /// SIGKILL; returns what the system says of its end.
    pub async fn kill_server(&mut self) -> Result<Value> {
        self.server.take().ok_or_else(|| anyhow!("the server is not running"))?.kill().await
    }

    /// SIGTERM; returns the exit status.
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

    /// A request to the API with the instance's key; `Null`: it was answered with no body.
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
        if text.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_str(&text).with_context(|| format!("{path} was answered with no JSON: {text}"))
    }

    /// What the server counts, as Prometheus would read it.
    pub async fn metrics(&self) -> Result<String> {
        let url = format!("http://127.0.0.1:{}/metrics", self.ports.metrics);
        Ok(self.http.get(url).send().await?.error_for_status()?.text().await?)
    }

    /// One of these numbers, by its name with its labels.
    pub async fn figure(&self, name: &str) -> Result<u64> {
        let metrics = self.metrics().await?;
        let line = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.with_context(|| format!("there is no {name}"))?.parse().with_context(|| format!("{name} is no number"))
    }

    /// Registers a device of `user` and creates its terminal, not yet started.
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

/// Reads what the server prints when it is ready, up to its media address; `None` if it ended before.
async fn media_of_banner(stdout: ChildStdout) -> Option<SocketAddr> {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let mut words = line.split_whitespace();
        if words.next() == Some("media") {
            return words.next()?.trim_end_matches("/udp").parse().ok();
        }
    }
    None
}

/// Another process took the port by its number, between its choice and the server's bind.
fn is_lost_port(error: &anyhow::Error) -> bool {
    error.to_string().contains("cannot listen on")
}
