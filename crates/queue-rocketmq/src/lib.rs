//! The queue served to official RocketMQ 5 clients: gRPC v2, as `rocketmq-proto` describes it, over the trait [`Queue`].
//!
//! What it is: a connection is told apart by its first byte (`connection`), each request is let in by its headers, before its
//! body is read (`door`), and then answered by one module per kind: `route`, `send`, `recall`, `receive`, `ack`,
//! `settings`; `renewals` keeps what push consumers have invisible. `message` is
//! the only place that knows both a message of the wire and one of the queue.
//!
//! What it is not: it knows no accounts. Who made a signature, and what its key may do, it asks [`Access`]. Topics and groups
//! are made elsewhere.
//!
//! Contract:
//! - SendMessage is answered with OK when the message is durable.
//! - A topic that is unknown and one that is forbidden get one answer.
//! - A receipt handle is good for the topic and the group that it was given to, and cannot be made up.
//! - What a key does not read of its answers is bounded, and keeps nothing from other keys.
//! - Errors are the status of a normal answer, with RocketMQ's exact code; every limit stands in `limits`.

mod access;
mod ack;
mod answer;
mod connection;
mod door;
mod handles;
mod limits;
mod message;
mod names;
mod recall;
mod receive;
mod remoting;
mod renewals;
mod renewing;
mod route;
mod send;
mod sending;
mod service;
mod settings;
mod shares;
mod signature;
mod unwritten;

pub use access::Access;
pub use names::OWN_GROUPS;

use std::net::SocketAddr;
use std::sync::Arc;

use clock::Clock;
use queue::Queue;
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use door::Door;
use service::Service;

/// Whose requests are taken on connections without TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plaintext {
    Never,
    /// Of this machine.
    Loopback,
    Always,
}

/// What the server is made of.
pub struct Deps {
    pub queue: Arc<dyn Queue>,
    pub access: Arc<dyn Access>,
    pub clock: Clock,
    /// Must offer `h2` by ALPN.
    pub tls: Arc<rustls::ServerConfig>,
    pub plaintext: Plaintext,
    /// True: streams and polls end, so that connections can.
    pub stop: watch::Receiver<bool>,
}

/// Serves connections. Cheap to clone.
#[derive(Clone)]
pub struct RocketMqServer {
    door: Door,
    tls: TlsAcceptor,
    plaintext: Plaintext,
    stop: watch::Receiver<bool>,
}

impl RocketMqServer {
    #[must_use]
    pub fn new(deps: Deps) -> Self {
        let Deps { queue, access, clock, tls, plaintext, stop } = deps;
        let service = Service::new(queue, Arc::clone(&access), clock.clone(), stop.clone());
        Self { door: Door::new(service, access, clock), tls: TlsAcceptor::from(tls), plaintext, stop }
    }

    /// Serves one connection to its end.
    pub async fn serve(&self, stream: TcpStream, peer: SocketAddr) {
        connection::serve(self, stream, peer).await;
    }
}
