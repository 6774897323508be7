//! Listeners: one thread accepts for all of them and deals the connections out to the workers in turn. A connection
//! that the [connection limiter](crate::connection_limiter) does not permit is closed at once.

use std::io::{self, ErrorKind};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use mio::{Events, Interest, Poll, Token, Waker};
use rustls::{ServerConfig, ServerConnection};

use crate::complaint::Complaint;
use crate::config::{Bind, Listener};
use crate::fatal::{Fatal, PanicGuard};
use crate::shared::Shared;
use crate::worker::post::{Arrival, Notice};

const WAKE: Token = Token(usize::MAX);
/// How long the acceptor rests when the process has no descriptors left.
const REST: Duration = Duration::from_millis(50);

/// Bound sockets that nobody accepts from yet.
pub(crate) struct Bound {
    sockets: Vec<(TcpListener, Option<Arc<ServerConfig>>)>,
    pub(crate) addresses: Vec<SocketAddr>,
}

/// Binds all listeners.
pub(crate) fn bind(listeners: Vec<Listener>) -> Result<Bound, (SocketAddr, io::Error)> {
    let mut bound = Bound { sockets: Vec::new(), addresses: Vec::new() };
    for Listener { bind, tls } in listeners {
        let (wanted, socket) = match bind {
            Bind::Address(address) => (address, TcpListener::bind(address)),
            Bind::Socket(socket) => (socket.local_addr().unwrap_or(([0, 0, 0, 0], 0).into()), Ok(socket)),
        };
        let socket = socket.map_err(|error| (wanted, error))?;
        let address = prepare(&socket).map_err(|error| (wanted, error))?;
        bound.addresses.push(address);
        bound.sockets.push((socket, tls));
    }
    Ok(bound)
}

fn prepare(socket: &TcpListener) -> io::Result<SocketAddr> {
    socket.set_nonblocking(true)?;
    crate::sys::widen_backlog(socket)?;
    socket.local_addr()
}

/// The running acceptor.
pub(crate) struct Acceptor {
    waker: Waker,
    is_stopping: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Acceptor {
    pub(crate) fn start(bound: Bound, shared: Arc<Shared>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKE)?;
        let is_stopping = Arc::new(AtomicBool::new(false));
        let mut listeners = Vec::new();
        for (number, (socket, tls)) in bound.sockets.into_iter().enumerate() {
            let mut socket = mio::net::TcpListener::from_std(socket);
            poll.registry().register(&mut socket, Token(number), Interest::READABLE)?;
            listeners.push((socket, tls));
        }
        let accepting = Accepting {
            poll,
            listeners,
            shared,
            is_stopping: is_stopping.clone(),
            next_worker: 0,
            exhausted: Complaint::default(),
        };
        let thread = std::thread::Builder::new().name("broker-accept".into()).spawn(move || {
            let _guard = PanicGuard { on_fatal: accepting.shared.tasks.on_fatal.clone(), fatal: Fatal::Worker };
            accepting.run();
        })?;
        Ok(Self { waker, is_stopping, thread: Some(thread) })
    }

    /// Closes the listeners.
    pub(crate) fn stop(&mut self) {
        self.is_stopping.store(true, Ordering::SeqCst);
        if self.waker.wake().is_ok()
            && let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the thread that accepts MQTT connections ended in a panic");
        }
    }
}

struct Accepting {
    poll: Poll,
    listeners: Vec<(mio::net::TcpListener, Option<Arc<ServerConfig>>)>,
    shared: Arc<Shared>,
    is_stopping: Arc<AtomicBool>,
    next_worker: usize,
    exhausted: Complaint,
}

impl Accepting {
    fn run(mut self) {
        let mut events = Events::with_capacity(64);
        while !self.is_stopping.load(Ordering::SeqCst) {
            if let Err(error) = self.poll.poll(&mut events, None)
                && error.kind() != ErrorKind::Interrupted
            {
                tracing::error!(%error, "MQTT connections can no longer be accepted");
                return (self.shared.tasks.on_fatal)(Fatal::Worker);
            }
            let ready: Vec<usize> = events.iter().map(|event| event.token().0).collect();
            ready.into_iter().for_each(|number| self.accept_all(number));
        }
    }

    fn accept_all(&mut self, number: usize) {
        while let Some((listener, tls)) = self.listeners.get(number) {
            match listener.accept() {
                Ok((socket, peer)) => {
                    let tls = tls.clone();
                    self.arrive(socket.into(), peer, tls);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                // No descriptors: the rest waits in the backlog until some are free.
                Err(error) if is_exhausted(&error) => {
                    if let Some(times) = self.exhausted.note(Instant::now()) {
                        tracing::warn!(%error, times, "no further MQTT connection can be accepted for a moment");
                    }
                    std::thread::sleep(REST);
                }
                // The peer has gone already.
                Err(_) => {}
            }
            if self.is_stopping.load(Ordering::SeqCst) {
                return;
            }
        }
    }

    fn arrive(&mut self, socket: TcpStream, peer: SocketAddr, tls: Option<Arc<ServerConfig>>) {
        let Some(permit) = self.shared.connection_limiter.permit(peer.ip()) else { return };
        let tls = match tls.map(ServerConnection::new).transpose() {
            Ok(tls) => tls.map(Box::new),
            Err(error) => return tracing::error!(%error, "a TLS session cannot be made"),
        };
        deal(&self.shared, self.next_worker, Arrival { socket, tls, websocket: None, peer, permit });
        self.next_worker = (self.next_worker + 1) % self.shared.workers.len();
    }
}

fn is_exhausted(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::EMFILE | libc::ENFILE | libc::ENOBUFS | libc::ENOMEM))
}

/// Hands a connection to a worker.
pub(crate) fn deal(shared: &Shared, worker: usize, arrival: Arrival) {
    if let Some(address) = shared.workers.get(worker) {
        address.notify(Notice::Arrival(Box::new(arrival)));
    }
}
