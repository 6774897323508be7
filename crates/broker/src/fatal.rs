//! What ends the process: a failed log, and threads and tasks that end when they should not.

use std::sync::Arc;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

/// Why the broker cannot go on; the process has to end.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fatal {
    #[error("the log has failed: {0}: start again, which recovers from the file")]
    Log(String),
    #[error("a broker thread has ended, by a panic or because it can no longer wait for its sockets")]
    Worker,
    #[error("the broker's task for {0} has ended, by a panic: start again, and report what the log says of it")]
    Task(&'static str),
}

pub(crate) type OnFatal = Arc<dyn Fn(Fatal) + Send + Sync>;

/// A thread or task that panics must not leave its clients in silence.
pub(crate) struct PanicGuard {
    pub(crate) on_fatal: OnFatal,
    pub(crate) fatal: Fatal,
}

impl Drop for PanicGuard {
    fn drop(&mut self) {
        if std::thread::panicking() {
            (self.on_fatal)(self.fatal.clone());
        }
    }
}

/// Starts tasks on the run time.
#[derive(Clone)]
pub(crate) struct Tasks {
    pub(crate) runtime: Handle,
    pub(crate) on_fatal: OnFatal,
}

impl Tasks {
    /// Runs a task whose panic ends the process.
    pub(crate) fn spawn(&self, purpose: &'static str, work: impl Future<Output = ()> + Send + 'static) {
        let guard = PanicGuard { on_fatal: self.on_fatal.clone(), fatal: Fatal::Task(purpose) };
        self.runtime.spawn(async move {
            let _guard = guard;
            work.await;
        });
    }

    /// The same for a task that is only ever ended from outside.
    pub(crate) fn spawn_endless(
        &self,
        purpose: &'static str,
        work: impl Future<Output = ()> + Send + 'static,
    ) -> JoinHandle<()> {
        let (on_fatal, fatal) = (self.on_fatal.clone(), Fatal::Task(purpose));
        self.runtime.spawn(async move {
            let _guard = PanicGuard { on_fatal: on_fatal.clone(), fatal: fatal.clone() };
            work.await;
            on_fatal(fatal);
        })
    }
}
