//! A headless terminal as a separate process: JSON commands in, JSON events out.

use super::process::Process;
use super::report;
use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::Notify;

/// What a terminal needs to start.
#[derive(Clone, Debug)]
pub struct Terminal {
    pub program: PathBuf,
    pub credentials: PathBuf,
    pub ca: PathBuf,
    pub store: PathBuf,
    pub log: PathBuf,
    /// Further flags.
    pub flags: Vec<String>,
}

/// One person at a terminal; the process may be killed and started again, the events of all its starts are kept.
pub struct Actor {
    pub name: &'static str,
    terminal: Terminal,
    running: Option<RunningTerminal>,
    end: Value,
    events: Arc<Events>,
}

/// From a start to a kill.
struct RunningTerminal {
    process: Process,
    stdin: ChildStdin,
    /// Its standard output has ended, and so has it.
    ended: Arc<AtomicBool>,
}

#[derive(Default)]
struct Events {
    seen: Mutex<Vec<Seen>>,
    arrived: Notify,
}

struct Seen {
    event: Value,
    /// A script waits for each event once.
    taken: bool,
}

impl Events {
    fn lock(&self) -> MutexGuard<'_, Vec<Seen>> {
        self.seen.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn push(&self, event: Value) {
        self.lock().push(Seen { event, taken: false });
        self.arrived.notify_waiters();
    }

    fn take(&self, wanted: &dyn Fn(&Value) -> bool) -> Option<Value> {
        let mut seen = self.lock();
        let found = seen.iter_mut().find(|s| !s.taken && wanted(&s.event))?;
        found.taken = true;
        Some(found.event.clone())
    }
}

impl Actor {
    pub fn new(name: &'static str, terminal: Terminal) -> Self {
        Self { name, terminal, running: None, end: Value::Null, events: Arc::default() }
    }

    pub fn is_running(&self) -> bool {
        self.running.is_some()
    }

    /// Adds the event `started` to [`Actor::events`].
    pub async fn start(&mut self) -> Result<()> {
        let mut command = Command::new(&self.terminal.program);
        command.arg("terminal").args(["--credentials".as_ref(), self.terminal.credentials.as_os_str()]);
        command.args([
            "--ca".as_ref(),
            self.terminal.ca.as_os_str(),
            "--store".as_ref(),
            self.terminal.store.as_os_str(),
        ]);
        command.args(&self.terminal.flags);
        let (process, stdin, stdout) = Process::spawn_piped(command, &self.terminal.log)?;
        let ended = Arc::<AtomicBool>::default();
        self.events.push(json!({ "event": "started" }));
        tokio::spawn(collect(stdout, Arc::clone(&self.events), Arc::clone(&ended)));
        self.running = Some(RunningTerminal { process, stdin, ended });
        Ok(())
    }

    /// SIGKILL: it prints and flushes nothing more. What it printed before is among its events afterwards.
    pub async fn kill(&mut self) -> Result<()> {
        let name = self.name;
        let mut running = self.running.take().with_context(|| format!("{name}'s terminal is not running"))?;
        self.end = running
            .process
            .kill()
            .await
            .with_context(|| format!("{name}'s terminal, log: {}", self.log().display()))?;
        while !running.ended.load(Ordering::Acquire) {
            let arrived = self.events.arrived.notified();
            if !running.ended.load(Ordering::Acquire) {
                arrived.await;
            }
        }
        Ok(())
    }

    /// What the system said of its last end.
    pub fn end(&self) -> Value {
        self.end.clone()
    }

    /// SIGSTOP; returns what the system says of it then.
    pub async fn freeze(&self) -> Result<Value> {
        let running = self.running.as_ref().with_context(|| format!("{}'s terminal is not running", self.name))?;
        running.process.stop().await
    }

    /// Tells the terminal what its person does.
    pub async fn tell(&mut self, command: Value) -> Result<()> {
        let name = self.name;
        let running = self.running.as_mut().with_context(|| format!("{name}'s terminal is not running"))?;
        let line = format!("{command}\n");
        running.stdin.write_all(line.as_bytes()).await.with_context(|| format!("{name}'s terminal takes no commands"))
    }

    pub async fn say(&mut self, what: &str) -> Result<()> {
        self.tell(json!({ "do": what })).await
    }

    /// Waits for an event that no earlier wait has taken.
    pub async fn wait(&self, event: &str, within: Duration, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        self.wait_any(event, within, |value| value["event"] == event && wanted(value)).await
    }

    /// The same for events of several names; `event` is the one that an error names.
    pub async fn wait_any(&self, event: &str, within: Duration, matches: impl Fn(&Value) -> bool) -> Result<Value> {
        let search = async {
            loop {
                let arrived = self.events.arrived.notified();
                let has_ended = self.running.as_ref().is_some_and(|running| running.ended.load(Ordering::Acquire));
                match self.events.take(&matches) {
                    Some(found) => return Ok(found),
                    None if has_ended => return Err(self.missing(event, "before it ended")),
                    None => arrived.await,
                }
            }
        };
        let found = tokio::time::timeout(within, search).await;
        found.unwrap_or_else(|_| Err(self.missing(event, &format!("within {} s", within.as_secs()))))
    }

    fn missing(&self, event: &str, when: &str) -> anyhow::Error {
        let seen = self.events.lock();
        let last: Vec<&str> = seen.iter().rev().take(8).filter_map(|s| s.event["event"].as_str()).collect();
        let log = &self.terminal.log;
        anyhow!(
            "{}'s terminal did not report `{event}` {when}: {}\n  its last events, newest first: {}\n  log: {}",
            self.name,
            report::last_words(log).unwrap_or_else(|| "it did not say why".into()),
            last.join(", "),
            log.display()
        )
    }

    /// Every event of this name of all starts of the terminal.
    pub fn all(&self, event: &str) -> Vec<Value> {
        self.events.lock().iter().map(|s| &s.event).filter(|e| e["event"] == event).cloned().collect()
    }

    /// All events of all starts, in their order.
    pub fn events(&self) -> Vec<Value> {
        self.events.lock().iter().map(|seen| seen.event.clone()).collect()
    }

    /// Forgets events that no wait has taken, so that a later wait sees only later ones.
    pub fn skip(&self) {
        self.events.lock().iter_mut().for_each(|seen| seen.taken = true);
    }

    /// Forgets the events of this name so far.
    pub fn skip_all(&self, event: &str) {
        self.events.lock().iter_mut().filter(|seen| seen.event["event"] == event).for_each(|seen| seen.taken = true);
    }

    pub fn log(&self) -> &Path {
        &self.terminal.log
    }
}

async fn collect(stdout: ChildStdout, events: Arc<Events>, ended: Arc<AtomicBool>) {
    let mut lines = BufReader::new(stdout).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        let event = serde_json::from_str(&line).unwrap_or_else(|_| json!({ "event": "unreadable", "line": line }));
        events.push(event);
    }
    ended.store(true, Ordering::Release);
    events.arrived.notify_waiters();
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_terminal_that_has_ended_is_not_waited_for_and_its_last_words_are_told() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        std::fs::write(&log, "{}\nconvoke: the store is locked\n  remedy: end the other\n").unwrap();
        let [program, file] = ["/bin/false", "/dev/null"].map(PathBuf::from);
        let (credentials, ca, store) = (file.clone(), file.clone(), file);
        let mut actor = Actor::new("bob", Terminal { program, credentials, ca, store, log, flags: Vec::new() });
        actor.start().await.unwrap();
        let error = actor.wait("connected", Duration::MAX, |_| true).await.unwrap_err().to_string();
        let words = "bob's terminal did not report `connected` before it ended: the store is locked\n  remedy: end";
        assert!(error.starts_with(words), "{error}");
    }
}
