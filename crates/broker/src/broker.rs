//! The whole broker: started from a configuration and the recovered log, stopped by a reason.

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use accounts::access::AccessView;
use accounts::clients::{Answer, Turn};
use accounts::login::DeviceDirectory;
use accounts::messages::{NotPublished, Publication, Published};
use bytes::Bytes;
use clock::Clock;
use commitlog::{Log, LogEvent, Need};
use mqtt::ReasonCode;
use mqtt::server::Restart;
use queue::{AdminError, Queue};
use rustls::ServerConnection;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::task::{AbortHandle, JoinHandle};

use crate::acceptor::{self, Acceptor, Bound};
use crate::bridge::events::{self, Event};
use crate::bridge::pump::Pumps;
use crate::client::ClientKey;
use crate::config::{Config, ConfigError, Limits};
use crate::connection_limiter::ConnectionLimiter;
use crate::fatal::{Fatal, PanicGuard, Tasks};
use crate::memory::Memory;
use crate::shared::{Shared, connection_config, inbox_limits};
use crate::stats::{Counts, Stats};
use crate::store::journal::{Batch, Journal};
use crate::store::{RecoveredConnection, Recovery};
use crate::worker::post::{Arrival, Notice, WorkerAddress};
use crate::worker::reader::ReaderAddress;
use crate::worker::{self, Prepared, Recovered};

/// What the broker stands on.
pub struct Deps {
    /// Replayed, with every record given to `recovery`.
    pub log: Log,
    pub recovery: Recovery,
    /// The one of the queue, too.
    pub clock: Clock,
    pub queue: Arc<dyn Queue>,
    pub access: AccessView,
    /// Client ids of devices that were removed and not registered again: what the log has of them ends with the start.
    pub removed_devices: Vec<String>,
    pub devices: DeviceDirectory,
    /// Where everything runs that is not a worker.
    pub runtime: Handle,
    /// Called when the process has to end. On any thread; it must not block.
    pub on_fatal: Arc<dyn Fn(Fatal) + Send + Sync>,
}

#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("cannot listen on {address}: {source}: end what uses the port, or set another one")]
    Listen { address: SocketAddr, source: io::Error },
    #[error("a broker worker cannot be started: {0}")]
    Worker(#[from] io::Error),
    #[error("the queue cannot be prepared: {0}")]
    Queue(#[from] AdminError),
}

/// The running broker.
pub struct Broker {
    shared: Arc<Shared>,
    local_addrs: Vec<SocketAddr>,
    next_worker: AtomicUsize,
    running: Mutex<Option<Running>>,
    /// How the run before this one ended.
    restart: Restart,
}

struct Running {
    /// Not before everything else is ready.
    acceptor: Option<Acceptor>,
    /// Each says whether all that it had to log is logged.
    workers: Vec<thread::JoinHandle<bool>>,
    /// Ends with the last worker.
    reader: thread::JoinHandle<()>,
    tasks: Vec<AbortHandle>,
}

impl Broker {
    /// Serves from when it returns.
    ///
    /// # Errors
    /// Nothing is running.
    pub async fn start(config: Config, mut deps: Deps) -> Result<Self, StartError> {
        config.check()?;
        let removed = std::mem::take(&mut deps.removed_devices);
        let Config { listeners, threads, limits, urgent_parents } = config;
        let bound = acceptor::bind(listeners).map_err(|(address, source)| StartError::Listen { address, source })?;
        let local_addrs = bound.addresses.clone();
        let prepared = (0..threads).map(|_| worker::prepare()).collect::<io::Result<Vec<_>>>()?;
        let (workers, prepared): (Vec<WorkerAddress>, Vec<Prepared>) = prepared.into_iter().unzip();
        let log = deps.log.clone();
        let (shared, mut recovery, event_mailbox) = share(limits, urgent_parents, workers, deps);
        let meter = shared.memory.meter_of_tasks().clone();
        let (reader_address, reader) = worker::reader::reader(log, shared.workers.clone(), meter);
        watch_log(&shared);
        let restart = recovery.restart();
        end_removed(&shared, &mut recovery, removed);
        let left_open = recovery.connections.clone();
        let reader = worker::reader::start(reader, shared.tasks.on_fatal.clone())?;
        let workers = start_workers(&shared, prepared, recovery, reader_address)?;
        let tasks = start_tasks(&shared, event_mailbox);
        let running = Mutex::new(Some(Running { acceptor: None, workers, reader, tasks }));
        let broker = Self { shared, local_addrs, next_worker: AtomicUsize::new(0), running, restart };
        broker.begin(bound, left_open).await?;
        Ok(broker)
    }

    /// From here on a failure drops the broker, which stops what runs.
    async fn begin(&self, bound: Bound, left_open: Connections) -> Result<(), StartError> {
        let shared = &self.shared;
        self.mark_start().await;
        shared.events.send_left_open(left_open, shared.clock.now_ms()).await;
        let pumps = Pumps::start(shared.clone()).await?;
        let pumps = shared.tasks.spawn_endless("the pumps of the queue", pumps.run()).abort_handle();
        let acceptor = Acceptor::start(bound, shared.clone());
        if let Some(running) = &mut *self.running.lock().unwrap_or_else(PoisonError::into_inner) {
            running.tasks.push(pumps);
            running.acceptor = Some(acceptor?);
        }
        Ok(())
    }

    /// On the disk before anybody is served: what is handed out from here on and forgotten by a power cut may be known.
    async fn mark_start(&self) {
        match self.shared.journal.begin_start(self.shared.clock.now_ms()) {
            Ok(end) => {
                let journal = self.shared.journal.clone();
                let waited = self.shared.tasks.runtime.spawn_blocking(move || journal.wait_durable(end)).await;
                if let Ok(Err(error)) = waited {
                    tracing::warn!(%error, "the start was not logged");
                }
            }
            // Workers try again; a log that takes not even this takes no client either, until there is space again.
            Err(error) => tracing::warn!(%error, "the start is not logged yet"),
        }
    }

    /// Of the listeners, in the order of the configuration.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.local_addrs
    }

    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.stats()
    }

    /// Publishes for an owner, as for a service on MQTT. `None`: the broker has stopped, or cannot say whether it keeps the
    /// message. The turn is held until each place has decided.
    pub fn publish(&self, publication: Publication, turn: Turn) -> Answer<Result<Published, NotPublished>> {
        Box::pin(worker::owner_publish::publish(self.shared.clone(), publication, turn))
    }

    pub(crate) fn workers(&self) -> &[WorkerAddress] {
        &self.shared.workers
    }

    /// Takes over a connection that was upgraded to WebSocket with the sub-protocol `mqtt`. `read_ahead`: bytes above
    /// TLS that were read behind the upgrade. Beyond the limits of connections, and with more read ahead than is held of a
    /// client that is not let in, it is closed.
    pub fn adopt_websocket(&self, socket: TcpStream, tls: Option<ServerConnection>, read_ahead: Bytes) {
        if read_ahead.len() > worker::LOGIN_HELD_BYTES {
            return;
        }
        let Ok(peer) = socket.peer_addr() else { return };
        let Some(permit) = self.shared.connection_limiter.permit(peer.ip()) else { return };
        let worker = self.next_worker.fetch_add(1, Ordering::Relaxed) % self.shared.workers.len();
        let (tls, websocket) = (tls.map(Box::new), Some(read_ahead.to_vec()));
        acceptor::deal(&self.shared, worker, Arrival { socket, tls, websocket, peer, permit });
    }

    /// Closes the listeners, tells every client why, and waits until the workers have ended, at most a few seconds.
    /// Blocks. The log is still open afterwards. A second call does nothing.
    pub fn shutdown(&self, reason: ReasonCode) {
        let running = self.running.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(Running { acceptor, workers, reader, tasks }) = running else { return };
        let has_served = acceptor.is_some();
        if let Some(mut acceptor) = acceptor {
            acceptor.stop();
        }
        // The workers take part in it before they end.
        self.shared.journal.request_snapshot();
        self.shared.workers.iter().for_each(|worker| worker.notify(Notice::Stop(reason)));
        let ended: Vec<bool> = workers.into_iter().map(|worker| worker.join().unwrap_or(false)).collect();
        // A panic of its own has ended the process already.
        let _ = reader.join();
        tasks.iter().for_each(AbortHandle::abort);
        let is_complete = ended.into_iter().all(|is_complete| is_complete);
        if is_complete && has_served && !self.is_in_doubt() {
            self.mark_clean_stop();
        }
    }

    /// What waited when the run before ended badly may have been received already. As long as some of it is left, no
    /// later start may take it for new.
    fn is_in_doubt(&self) -> bool {
        self.restart == Restart::Unclean && self.stats().inbox_messages > 0
    }

    fn mark_clean_stop(&self) {
        let (journal, now_ms) = (&self.shared.journal, self.shared.clock.now_ms());
        let mut batch = Batch::default();
        batch.stopped(now_ms);
        if let Err(error) = journal.log_start(now_ms).and_then(|()| journal.append(&batch, Need::Essential)) {
            tracing::warn!(%error, "the stop was not logged; the next start repeats more than it must");
        }
    }
}

impl Drop for Broker {
    fn drop(&mut self) {
        self.shutdown(ReasonCode::SERVER_SHUTTING_DOWN);
    }
}

type Connections = BTreeMap<Box<str>, RecoveredConnection>;

/// What workers and tasks share; what is left is the workers' and the events'.
pub(crate) fn share(
    limits: Limits,
    urgent_parents: Vec<String>,
    workers: Vec<WorkerAddress>,
    deps: Deps,
) -> (Arc<Shared>, Recovery, mpsc::Receiver<Event>) {
    let Deps { log, clock, recovery, queue, access, devices, runtime, on_fatal, .. } = deps;
    clock.not_before(recovery.last_ms);
    let counts = Arc::new(Counts::default());
    let atomic_ack = queue.atomic_ack(log.id());
    let when = if atomic_ack.is_some() { "in one unit with the inbox's record" } else { "once it is durable" };
    tracing::info!(when, "an inbox acknowledges a message of the queue");
    let (events, event_mailbox) = events::channel(queue.clone(), workers.clone(), counts.clone());
    let shared = Shared {
        connection_config: Arc::new(connection_config(&limits)),
        inbox_limits: inbox_limits(&limits),
        connection_limiter: ConnectionLimiter::new(&limits, counts.clone()),
        memory: Memory::new(limits.memory_bytes_max, workers.len(), counts.clone()),
        limits: Arc::new(limits),
        urgent_parents: urgent_parents.into(),
        workers,
        journal: Journal::new(log),
        clock,
        counts,
        workers_by_filter: Arc::default(),
        access,
        devices,
        queue,
        atomic_ack,
        tasks: Tasks { runtime, on_fatal },
        events,
    };
    (Arc::new(shared), recovery, event_mailbox)
}

/// The run before may have ended between the catalog, which has no such device any more, and the log.
fn end_removed(shared: &Shared, recovery: &mut Recovery, removed: Vec<String>) {
    let mut batch = Batch::default();
    for client_id in removed.iter().filter(|client_id| recovery.end_user(client_id)) {
        batch.session_gone(client_id);
    }
    if let Err(error) = shared.journal.append_independent(&batch, Need::Essential) {
        tracing::warn!(%error, "the ends of removed devices' sessions were not logged; the next start tries again");
    }
}

/// After each sync the workers look at what waits for it.
fn watch_log(shared: &Shared) {
    let (workers, on_fatal) = (shared.workers.clone(), shared.tasks.on_fatal.clone());
    shared.journal.watch(move |durable| match durable {
        LogEvent::Durable(_) => workers.iter().for_each(WorkerAddress::ring),
        LogEvent::Poisoned(cause) => {
            tracing::error!(%cause, "the log has failed: nothing is acknowledged any more");
            workers.iter().for_each(|worker| worker.notify(Notice::LogFailed));
            on_fatal(Fatal::Log(cause));
        }
    });
}

/// Those that are there from the beginning, and those that watch tasks which others have started.
fn start_tasks(shared: &Arc<Shared>, events: mpsc::Receiver<Event>) -> Vec<AbortHandle> {
    let (devices, access) = (shared.devices.clone(), shared.access.clone());
    let tasks = [
        shared.tasks.spawn_endless("online events", shared.events.clone().run(events, shared.tasks.clone())),
        shared.tasks.spawn_endless("looking devices up", async move { devices.ended().await }),
        shared.tasks.spawn_endless("the rules of access", async move { access.ended().await }),
    ];
    tasks.iter().map(JoinHandle::abort_handle).collect()
}

fn start_workers(
    shared: &Arc<Shared>,
    prepared: Vec<Prepared>,
    recovery: Recovery,
    reader: ReaderAddress,
) -> io::Result<Vec<thread::JoinHandle<bool>>> {
    let restart = recovery.restart();
    let shares = share_out(recovery, prepared.len());
    let mut threads = Vec::new();
    for (me, (prepared, share)) in prepared.into_iter().zip(shares).enumerate() {
        let (shared, reader) = (shared.clone(), reader.clone());
        let thread = thread::Builder::new().name(format!("broker-{me}")).spawn(move || {
            let _guard = PanicGuard { on_fatal: shared.tasks.on_fatal.clone(), fatal: Fatal::Worker };
            let (worker, poll) = prepared.into_worker(me, shared, share, restart, reader);
            worker.run(poll)
        })?;
        threads.push(thread);
    }
    Ok(threads)
}

/// What the log has, by the worker whose it is.
pub(crate) fn share_out(recovery: Recovery, workers: usize) -> Vec<Recovered> {
    let mut shares: Vec<Recovered> = (0..workers).map(|_| Recovered::default()).collect();
    let mut counts = vec![0; workers];
    for client_id in recovery.clients.keys() {
        counts.get_mut(ClientKey::owner(client_id, workers)).into_iter().for_each(|count| *count += 1);
    }
    for (share, count) in shares.iter_mut().zip(counts) {
        share.clients.reserve_exact(count);
    }
    for (client_id, client) in recovery.clients {
        if let Some(share) = shares.get_mut(ClientKey::owner(&client_id, workers)) {
            share.clients.push((client_id, client));
        }
    }
    for (connection_id, connection) in recovery.connections {
        if let Some(share) = shares.get_mut(ClientKey::owner(&connection.client_id, workers)) {
            share.connections.push((connection_id, connection));
        }
    }
    shares
}
