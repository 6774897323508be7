//! HTTP listener: plain or TLS, HTTP/1.1 or HTTP/2, with limits on the number of connections and on their
//! slowness.

use super::host;
use crate::config::Listen;
use anyhow::{Context, Result};
use axum::Router;
use axum::extract::{ConnectInfo, Request};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use problem::{Code, Problem};
use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio_rustls::TlsAcceptor;
use tower_http::add_extension::AddExtension;
use tracing::{debug, warn};

const BACKLOG: u32 = 1_024;
/// What is said of a limit is said again after so long, if it is reached again.
const SAID_AGAIN_AFTER: Duration = Duration::from_secs(60);
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
const TLS_HANDSHAKE_MAX: Duration = Duration::from_secs(5);
/// Also the most that is read behind an upgrade, and as much as the broker holds of a client that is not let in.
const HTTP1_BUFFER_BYTES: usize = 16 << 10;
const HEADERS_MAX: Duration = Duration::from_secs(10);
/// A connection without a request by then is closed: the protocol itself starts no clock before its first byte.
const FIRST_REQUEST_MAX: Duration = Duration::from_secs(10);
/// From the headers of a request to those of its answer.
const REQUEST_MAX: Duration = Duration::from_secs(30);
const TOO_SLOW: &str = "the request or its answer took over 30 s; try again";
const STREAMS_PER_CONNECTION_MAX: u32 = 32;

/// A bound socket.
pub struct Listener {
    socket: TcpListener,
    pub address: SocketAddr,
}

impl Listener {
    /// `key` is the configuration's, for the error.
    pub fn bind(wanted: Listen, key: &str) -> Result<Self> {
        let socket = wanted.open(bind, |error| error.kind() == ErrorKind::AddrInUse);
        let socket = socket.or_else(|error| {
            let words = refusal(wanted, key, error.kind());
            Err(error).context(words)
        })?;
        Ok(Self { address: socket.local_addr()?, socket })
    }
}

impl Listener {
    /// For a role that has its own event loop.
    pub fn into_std(self) -> std::io::Result<std::net::TcpListener> {
        self.socket.into_std()
    }
}

fn refusal(wanted: Listen, key: &str, cause: ErrorKind) -> String {
    let remedy = match cause {
        ErrorKind::AddrNotAvailable => "name an address of this machine",
        ErrorKind::PermissionDenied => "let the process open ports below 1024, or set a higher one",
        _ => "end what uses the port, or set another one",
    };
    format!("cannot listen on {wanted} for {key}\n  remedy: {remedy} in {key}")
}

fn bind(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

/// What a listener has to do, and could not do.
#[derive(Debug, Default)]
pub struct ListenerCounts {
    connections: AtomicU64,
    all_in_use: AtomicU64,
    not_accepted: AtomicU64,
}

impl ListenerCounts {
    /// Open ones.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }

    /// Times that further ones had to wait.
    pub fn all_in_use(&self) -> u64 {
        self.all_in_use.load(Ordering::Relaxed)
    }

    /// Times that one could not be accepted.
    pub fn not_accepted(&self) -> u64 {
        self.not_accepted.load(Ordering::Relaxed)
    }
}

/// An open connection, which is counted.
struct Counted(Arc<ListenerCounts>);

impl Counted {
    fn new(counts: &Arc<ListenerCounts>) -> Self {
        counts.connections.fetch_add(1, Ordering::Relaxed);
        Self(Arc::clone(counts))
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Says something again only after a while.
#[derive(Default)]
struct Said(Option<Instant>);

impl Said {
    fn is_news(&mut self) -> bool {
        let is_news = self.0.is_none_or(|at| at.elapsed() >= SAID_AGAIN_AFTER);
        if is_news {
            self.0 = Some(Instant::now());
        }
        is_news
    }
}

/// Serves until `stop` is true, then until every request that had begun is answered. More than `connections_max`
/// connections at once wait in the backlog.
pub async fn serve(
    listener: Listener,
    tls: Option<Arc<rustls::ServerConfig>>,
    connections_max: usize,
    counts: Arc<ListenerCounts>,
    app: Router,
    stop: watch::Receiver<bool>,
) {
    let acceptor = tls.map(TlsAcceptor::from);
    let stopping = stop.clone();
    let serve = move |stream, peer| serve_connection(stream, peer, acceptor.clone(), app.clone(), stopping.clone());
    accept(listener, connections_max, counts, stop, serve).await;
}

/// The same of whatever protocol: `serve` serves one connection to its end, and ends it when it is to stop.
pub async fn accept<F, S>(
    listener: Listener,
    connections_max: usize,
    counts: Arc<ListenerCounts>,
    mut stop: watch::Receiver<bool>,
    serve: F,
) where
    F: Fn(TcpStream, SocketAddr) -> S,
    S: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(connections_max));
    let (mut said_all, mut said_failed) = (Said::default(), Said::default());
    loop {
        if permits.available_permits() == 0 {
            counts.all_in_use.fetch_add(1, Ordering::Relaxed);
            if said_all.is_news() {
                warn!(listener = %listener.address, connections_max, "all connections of a listener are in use: further ones wait");
            }
        }
        let Ok(permit) = Arc::clone(&permits).acquire_owned().await else { return };
        let accepted = tokio::select! {
            accepted = listener.socket.accept() => accepted,
            () = stopped(&mut stop) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            // No descriptors left, most likely: they come back as connections end.
            Err(error) => {
                counts.not_accepted.fetch_add(1, Ordering::Relaxed);
                if said_failed.is_news() {
                    warn!(listener = %listener.address, %error, "a connection cannot be accepted, and is tried again");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let counted = Counted::new(&counts);
        let serving = serve(stream, peer);
        tokio::spawn(async move {
            serving.await;
            drop((counted, permit));
        });
    }
    drop(permits.acquire_many(connections_max as u32).await);
}

/// Completes when serving is to stop, also if the sender of `stop` is gone.
async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

async fn serve_connection(
    stream: TcpStream,
    peer: SocketAddr,
    tls: Option<TlsAcceptor>,
    app: Router,
    stop: watch::Receiver<bool>,
) {
    let _ = stream.set_nodelay(true);
    let Some(acceptor) = tls else {
        return serve_requests(stream, peer, app, stop).await;
    };
    match tokio::time::timeout(TLS_HANDSHAKE_MAX, acceptor.accept(stream)).await {
        Ok(Ok(stream)) => serve_requests(stream, peer, app, stop).await,
        Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed"),
        Err(_) => debug!(%peer, "TLS handshake took too long"),
    }
}

async fn serve_requests<S>(stream: S, peer: SocketAddr, app: Router, mut stop: watch::Receiver<bool>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let requested = Arc::new(AtomicBool::new(false));
    let app = app.layer(middleware::from_fn(limit_request_time)).layer(middleware::from_fn(host::require_host));
    let app = TowerToHyperService::new(AddExtension::new(app, ConnectInfo(peer)));
    let service = service_fn(|request| {
        requested.store(true, Ordering::Relaxed);
        app.call(request)
    });
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADERS_MAX).max_buf_size(HTTP1_BUFFER_BYTES);
    builder.http2().timer(TokioTimer::new()).keep_alive_interval(Some(HEADERS_MAX));
    builder.http2().max_concurrent_streams(STREAMS_PER_CONNECTION_MAX);
    let serving = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut serving = std::pin::pin!(serving);
    let result = tokio::select! {
        result = serving.as_mut() => result,
        () = first_request_timeout(&requested) => return debug!(%peer, "closed: it asked nothing"),
        () = stopped(&mut stop) => {
            serving.as_mut().graceful_shutdown();
            serving.await
        }
    };
    if let Err(error) = result {
        debug!(%peer, %error, "HTTP connection ended");
    }
}

/// Completes only if there is no request in time.
async fn first_request_timeout(requested: &AtomicBool) {
    tokio::time::sleep(FIRST_REQUEST_MAX).await;
    if requested.load(Ordering::Relaxed) {
        std::future::pending::<()>().await;
    }
}

/// Ends a request whose body trickles in, or whose answer does not come.
async fn limit_request_time(request: Request, next: Next) -> Response {
    let answer = tokio::time::timeout(REQUEST_MAX, next.run(request)).await;
    answer.unwrap_or_else(|_| Problem::new(Code::SlowRequest, TOO_SLOW).into_response())
}
