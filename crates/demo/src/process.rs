//! A child process that is never left behind, signals to it, and what the system says of it.

use super::sys;
use anyhow::{Context, Result, anyhow, ensure};
use serde_json::{Value, json};
use std::fs::OpenOptions;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

const STOPPED_WITHIN: Duration = Duration::from_secs(15);
const STOPPED_POLL: Duration = Duration::from_millis(5);

pub(super) struct Process {
    child: Child,
}

impl Process {
    /// Standard error goes to the end of `log`.
    pub(super) fn spawn(mut command: Command, log: &Path) -> Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(log);
        let file = file.with_context(|| format!("cannot write {}", log.display()))?;
        let child = command.stderr(file).kill_on_drop(true).spawn();
        Ok(Self { child: child.with_context(|| format!("cannot start {:?}", command.as_std().get_program()))? })
    }

    /// With an empty standard input; its standard output is read by the caller.
    pub(super) fn spawn_with_output(mut command: Command, log: &Path) -> Result<(Self, ChildStdout)> {
        command.stdin(Stdio::null()).stdout(Stdio::piped());
        let mut process = Self::spawn(command, log)?;
        let stdout = process.child.stdout.take().expect("it is piped");
        Ok((process, stdout))
    }

    /// Both its standard input and output are the caller's.
    pub(super) fn spawn_piped(mut command: Command, log: &Path) -> Result<(Self, ChildStdin, ChildStdout)> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut process = Self::spawn(command, log)?;
        let stdin = process.child.stdin.take().expect("it is piped");
        let stdout = process.child.stdout.take().expect("it is piped");
        Ok((process, stdin, stdout))
    }

    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// SIGKILL, and waits until it is gone; returns what its exit status says.
    ///
    /// # Errors
    /// It had ended by itself.
    pub(super) async fn kill(&mut self) -> Result<Value> {
        let process = self.running()?;
        self.child.start_kill().context("cannot kill a process of ours")?;
        let status = self.wait().await?;
        ensure!(status.signal() == Some(libc::SIGKILL), "process {process} had ended before it was killed: {status}");
        Ok(json!({ "process": process, "signal": status.signal() }))
    }

    /// SIGSTOP: it is there, but does nothing. Returns what the system says of it then.
    pub(super) async fn stop(&self) -> Result<Value> {
        let process = self.running()?;
        self.signal(libc::SIGSTOP)?;
        let began = Instant::now();
        loop {
            let status = std::fs::read_to_string(format!("/proc/{process}/status"));
            let status = status.context("the system does not say how a process of ours is")?;
            match state(&status) {
                Some(state) if state.starts_with('T') => return Ok(json!({ "process": process, "state": state })),
                other => ensure!(began.elapsed() < STOPPED_WITHIN, "process {process} does not stop: {other:?}"),
            }
            tokio::time::sleep(STOPPED_POLL).await;
        }
    }

    /// SIGTERM, and waits for its exit status.
    pub(super) async fn terminate(&mut self) -> Result<std::process::ExitStatus> {
        self.signal(libc::SIGTERM)?;
        self.wait().await
    }

    pub(super) async fn wait(&mut self) -> Result<std::process::ExitStatus> {
        self.child.wait().await.context("cannot wait for a process of ours")
    }

    fn signal(&self, signal: i32) -> Result<()> {
        sys::signal(self.running()?, signal).context("cannot signal a process of ours")
    }

    fn running(&self) -> Result<u32> {
        self.id().ok_or_else(|| anyhow!("the process has ended"))
    }
}

/// The state in `/proc/<id>/status`, such as `T (stopped)`.
fn state(status: &str) -> Option<&str> {
    status.lines().find_map(|line| line.strip_prefix("State:")).map(str::trim)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]
mod tests {
    use super::*;

    fn spawn(program: &str, argument: &str) -> Process {
        let mut command = Command::new(program);
        command.arg(argument);
        Process::spawn(command, Path::new("/dev/null")).unwrap()
    }

    #[tokio::test]
    async fn a_process_is_reported_as_the_system_sees_it() {
        let mut process = spawn("sleep", "600");
        let id = process.id().unwrap();
        assert_eq!(process.stop().await.unwrap(), json!({ "process": id, "state": "T (stopped)" }));
        assert_eq!(process.kill().await.unwrap(), json!({ "process": id, "signal": 9 }));
    }

    #[tokio::test]
    async fn a_process_that_ended_by_itself_was_not_killed() {
        let mut process = spawn("sh", "-c");
        process.wait().await.unwrap();
        assert!(process.kill().await.is_err());
    }
}
