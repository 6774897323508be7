//! One connection. Its first byte tells what is spoken: TLS, HTTP/2 in clear, or RocketMQ's older protocol.

use std::net::SocketAddr;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::debug;

use crate::door::ConnectionDoor;
use crate::limits::{FIRST_REQUEST_MAX, HANDSHAKE_MAX, HEADER_BYTES_MAX, KEEP_ALIVE, STREAMS_PER_CONNECTION_MAX};
use crate::remoting;
use crate::{Plaintext, RocketMqServer};

/// Of a TLS handshake record.
const TLS: u8 = 0x16;
/// Of HTTP/2's preface, `PRI * HTTP/2.0`.
const HTTP2: u8 = b'P';
/// How often it is looked whether nobody comes in by the connection.
const LOOK: Duration = Duration::from_secs(1);

pub(crate) async fn serve(server: &RocketMqServer, stream: TcpStream, peer: SocketAddr) {
    let _ = stream.set_nodelay(true);
    let mut first = [0];
    match timeout(HANDSHAKE_MAX, stream.peek(&mut first)).await {
        Ok(Ok(1)) => {}
        _ => return debug!(%peer, "closed: it said nothing"),
    }
    match first[0] {
        TLS => match timeout(HANDSHAKE_MAX, server.tls.accept(stream)).await {
            Ok(Ok(stream)) => serve_requests(server, stream, peer, false).await,
            Ok(Err(error)) => debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => debug!(%peer, "TLS handshake took too long"),
        },
        HTTP2 => {
            let is_taken = match server.plaintext {
                Plaintext::Never => false,
                Plaintext::Loopback => peer.ip().to_canonical().is_loopback(),
                Plaintext::Always => true,
            };
            serve_requests(server, stream, peer, !is_taken).await;
        }
        remoting::FIRST => remoting::refuse(stream).await,
        _ => debug!(%peer, "closed: it speaks no HTTP/2"),
    }
}

async fn serve_requests<S>(server: &RocketMqServer, stream: S, peer: SocketAddr, is_in_clear: bool)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let door = ConnectionDoor::new(server.door.clone(), is_in_clear);
    let service = service_fn(|request| {
        let door = door.clone();
        async move { door.handle(request).await }
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(Some(KEEP_ALIVE))
        .max_concurrent_streams(STREAMS_PER_CONNECTION_MAX)
        .max_header_list_size(HEADER_BYTES_MAX);
    let mut serving = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut stop = server.stop.clone();
    let ended = tokio::select! {
        ended = serving.as_mut() => Some(ended),
        () = nobody_has_come_in(&door) => return debug!(%peer, "closed: nobody came in by it"),
        () = nobody_comes_in(&door) => None,
        () = stopped(&mut stop) => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            serving.as_mut().graceful_shutdown();
            // What it still asks for is answered or times out there.
            let Ok(ended) = timeout(HANDSHAKE_MAX, serving).await else { return };
            ended
        }
    };
    if let Err(error) = ended {
        debug!(%peer, %error, "connection ended");
    }
}

/// Completes when serving is to stop, also if the sender of `stop` is gone.
pub(crate) async fn stopped(stop: &mut watch::Receiver<bool>) {
    drop(stop.wait_for(|stop| *stop).await);
}

/// Completes only if there is no request in time that is let in.
async fn nobody_has_come_in(door: &ConnectionDoor) {
    tokio::time::sleep(FIRST_REQUEST_MAX).await;
    if door.has_let_in() {
        std::future::pending::<()>().await;
    }
}

async fn nobody_comes_in(door: &ConnectionDoor) {
    while !door.is_to_close() {
        tokio::time::sleep(LOOK).await;
    }
}
