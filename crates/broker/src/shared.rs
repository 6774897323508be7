//! What all workers and tasks of one broker share.

use std::collections::HashSet;
use std::sync::Arc;

use mqtt::server::{ConnectionConfig, SessionLimits};
use queue::{Engine, Queue};
use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::acceptor::Doorkeeper;
use crate::access::AccessView;
use crate::bridge::events::EventSender;
use crate::clock::WallClock;
use crate::config::Limits;
use crate::inbox::InboxLimits;
use crate::interest::Interest;
use crate::login::DeviceDirectory;
use crate::stats::Counts;
use crate::store::journal::Journal;
use crate::worker::post::WorkerAddress;

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

pub(crate) struct Shared {
    pub(crate) limits: Limits,
    pub(crate) inbox_limits: InboxLimits,
    pub(crate) urgent_parents: HashSet<String>,
    pub(crate) connection_config: Arc<ConnectionConfig>,
    pub(crate) workers: Vec<WorkerAddress>,
    pub(crate) journal: Journal,
    pub(crate) clock: WallClock,
    pub(crate) counts: Arc<Counts>,
    pub(crate) interest: Interest,
    pub(crate) access: AccessView,
    pub(crate) devices: DeviceDirectory,
    pub(crate) doorkeeper: Arc<Doorkeeper>,
    pub(crate) queue: Arc<dyn Queue>,
    /// The queue's engine, if it lives on the same log.
    pub(crate) embedded: Option<Engine>,
    pub(crate) runtime: Handle,
    pub(crate) events: EventSender,
    pub(crate) on_fatal: OnFatal,
}

impl Shared {
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

    pub(crate) fn is_urgent(&self, topic: &str) -> bool {
        let parent = topic.split('/').next().unwrap_or(topic);
        self.urgent_parents.contains(parent)
    }
}

pub(crate) fn inbox_limits(limits: &Limits) -> InboxLimits {
    InboxLimits {
        messages_max: limits.inbox_messages_max,
        bytes_max: limits.inbox_bytes_max,
        session: SessionLimits {
            send_window: limits.send_window,
            // The inbox has its own limits, which count what is in flight too.
            waiting_max: usize::MAX,
            subscriptions_max: limits.subscriptions_max,
        },
    }
}

pub(crate) fn connection_config(limits: &Limits) -> ConnectionConfig {
    ConnectionConfig {
        connect_deadline: limits.connect_deadline,
        packet_size_max: limits.packet_bytes_max,
        receive_maximum: limits.receive_maximum,
        keep_alive_max_s: u16::try_from(limits.keep_alive_max.as_secs()).unwrap_or(u16::MAX),
        ..ConnectionConfig::default()
    }
}
