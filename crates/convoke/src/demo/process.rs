//! A child process that is never left behind, and signals to it.

use anyhow::{Context, Result, anyhow};
use std::fs::OpenOptions;
use std::path::Path;
use std::process::Stdio;
use tokio::process::{Child, ChildStdin, ChildStdout, Command};

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

    /// The exit status, if it has ended.
    pub(super) fn ended(&mut self) -> Option<std::process::ExitStatus> {
        self.child.try_wait().ok().flatten()
    }

    /// SIGKILL, and waits until it is gone.
    pub(super) async fn kill(&mut self) -> Result<()> {
        self.child.kill().await.context("cannot kill a process of ours")
    }

    /// SIGSTOP: it is there, but does nothing.
    pub(super) fn stop(&self) -> Result<()> {
        self.signal(libc::SIGSTOP)
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
        let id = self.child.id().ok_or_else(|| anyhow!("the process has ended"))?;
        crate::sys::signal(id, signal).context("cannot signal a process of ours")
    }
}
