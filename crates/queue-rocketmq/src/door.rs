//! The door: who may come in is decided by the headers of a request, before its body is read.
//!
//! A refusal is answered as RocketMQ does, by the status that each kind of answer begins with. Also here: how many requests are
//! read at the same time, how large they may be, and how long they may take.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use clock::Clock;
use http::{HeaderMap, HeaderValue, Request, Response};
use hyper::body::{Body as HttpBody, Frame, Incoming};
use prost::Message;
use rocketmq_proto::messaging_service_server::MessagingServiceServer;
use rocketmq_proto::{Code, HeartbeatResponse, SERVICE};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::body::Body;
use tonic::codegen::Service as _;

use crate::access::Access;
use crate::answer::Refusal;
use crate::limits::{
    CLIENT_ID_BYTES_MAX, POLL_MAX, REQUEST_BYTES_MAX, REQUEST_MAX, SEND_BYTES_MAX, SENDS_PER_CONNECTION_MAX,
    TELEMETRY_PER_CONNECTION_MAX,
};
use crate::sending::{Begun, SendPlaces};
use crate::service::Service;
use crate::signature;

/// Refusals after which a connection is closed.
const TURNED_AWAY_MAX: u32 = 16;

/// Who a request is from: the holder of an access key, by one of its clients. Among the extensions of the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Caller {
    pub(crate) key_id: Arc<str>,
    /// As the client calls itself.
    pub(crate) client_id: Arc<str>,
}

/// A place among the telemetry streams of a connection, for as long as the stream lives; among the extensions of its request.
#[derive(Clone)]
pub(crate) struct TelemetryPlace {
    _permit: Arc<OwnedSemaphorePermit>,
}

/// Of all connections.
#[derive(Clone)]
pub(crate) struct Door {
    /// For messages,
    large: MessagingServiceServer<Service>,
    /// and for all else.
    small: MessagingServiceServer<Service>,
    access: Arc<dyn Access>,
    clock: Clock,
    sends: SendPlaces,
}

impl Door {
    pub(crate) fn new(service: Service, access: Arc<dyn Access>, clock: Clock) -> Self {
        let server = MessagingServiceServer::new(service);
        Self {
            large: server.clone().max_decoding_message_size(SEND_BYTES_MAX),
            small: server.max_decoding_message_size(REQUEST_BYTES_MAX),
            access,
            clock,
            sends: SendPlaces::new(),
        }
    }
}

/// Of one connection.
#[derive(Clone)]
pub(crate) struct ConnectionDoor {
    door: Door,
    /// Without TLS from where TLS is asked for: every request is refused.
    is_in_clear: bool,
    sends: Arc<Semaphore>,
    telemetry: Arc<Semaphore>,
    has_let_in: Arc<AtomicBool>,
    turned_away: Arc<AtomicU32>,
}

impl ConnectionDoor {
    pub(crate) fn new(door: Door, is_in_clear: bool) -> Self {
        Self {
            door,
            is_in_clear,
            sends: Arc::new(Semaphore::new(SENDS_PER_CONNECTION_MAX)),
            telemetry: Arc::new(Semaphore::new(TELEMETRY_PER_CONNECTION_MAX)),
            has_let_in: Arc::default(),
            turned_away: Arc::default(),
        }
    }

    /// Whether the connection is to be closed, since nobody comes in by it.
    pub(crate) fn is_to_close(&self) -> bool {
        self.turned_away.load(Ordering::Relaxed) >= TURNED_AWAY_MAX
    }

    /// Whether somebody has come in by the connection.
    pub(crate) fn has_let_in(&self) -> bool {
        self.has_let_in.load(Ordering::Relaxed)
    }

    pub(crate) async fn handle(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let caller = match self.let_in(request.headers()) {
            Ok(caller) => caller,
            Err(refusal) => {
                self.turned_away.fetch_add(1, Ordering::Relaxed);
                return Ok(refused(refusal));
            }
        };
        self.turned_away.store(0, Ordering::Relaxed);
        self.has_let_in.store(true, Ordering::Relaxed);
        let method = request.uri().path().strip_prefix('/').and_then(|path| path.strip_prefix(SERVICE));
        let is_send = method == Some("/SendMessage");
        let is_telemetry = method == Some("/Telemetry");
        let request_max = if method == Some("/ReceiveMessage") { REQUEST_MAX + POLL_MAX } else { REQUEST_MAX };
        request.extensions_mut().insert(caller.clone());
        if is_telemetry {
            let Ok(permit) = Arc::clone(&self.telemetry).try_acquire_owned() else {
                return Ok(refused(busy("this connection has too many telemetry streams")));
            };
            request.extensions_mut().insert(TelemetryPlace { _permit: Arc::new(permit) });
        }
        if !is_send {
            return Ok(timed(request_max, self.door.small.clone().call(request)).await);
        }
        if !self.door.access.may_use_topics(&caller.key_id) {
            return Ok(refused(Refusal::new(Code::Forbidden, "your key lacks the scope topics")));
        }
        Ok(timed(request_max, self.send(&caller.key_id, request)).await)
    }

    /// Nothing but its connection's share is taken before a byte of the body is there.
    async fn send(&self, key_id: &Arc<str>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let Ok(_one) = self.sends.acquire().await else { return Ok(refused(busy("the server stops"))) };
        let (head, body) = request.into_parts();
        let begun = Begun::read(body).await;
        let Some(_place) = self.door.sends.take(key_id, begun.bytes()).await else {
            return Ok(refused(busy("the server stops")));
        };
        self.door.large.clone().call(Request::from_parts(head, begun)).await
    }

    fn let_in(&self, headers: &HeaderMap) -> Result<Caller, Refusal> {
        if self.is_in_clear {
            let words =
                "this server takes no requests without TLS from other machines: use TLS, or set queue.plaintext";
            return Err(Refusal::new(Code::Forbidden, words));
        }
        let client_id = headers.get("x-mq-client-id").and_then(|value| value.to_str().ok()).unwrap_or_default();
        if client_id.is_empty() || client_id.len() > CLIENT_ID_BYTES_MAX {
            return Err(Refusal::new(Code::ClientIdRequired, "the header x-mq-client-id is missing or too long"));
        }
        let signer = signature::signer(headers, &*self.door.access, self.door.clock.now_ms());
        let words =
            "the request is not signed by an access key that is valid here: see authorization and x-mq-date-time";
        let key_id = signer.ok_or_else(|| Refusal::new(Code::Unauthorized, words))?;
        Ok(Caller { key_id: key_id.into(), client_id: client_id.into() })
    }
}

fn busy(words: &str) -> Refusal {
    Refusal::new(Code::TooManyRequests, words)
}

async fn timed(most: Duration, answer: impl Future<Output = Result<Response<Body>, Infallible>>) -> Response<Body> {
    match tokio::time::timeout(most, answer).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(never)) => match never {},
        Err(_) => refused(Refusal::new(Code::RequestTimeout, "the request took too long")),
    }
}

/// The answer of whatever method: in each of them the status is the first field.
fn refused(refusal: Refusal) -> Response<Body> {
    let message = HeartbeatResponse { status: refusal.status() }.encode_to_vec();
    let mut data = BytesMut::with_capacity(5 + message.len());
    data.put_u8(0);
    data.put_u32(u32::try_from(message.len()).unwrap_or(u32::MAX));
    data.put_slice(&message);
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    let mut response = Response::new(Body::new(Whole { data: Some(data.freeze()), trailers: Some(trailers) }));
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
    response
}

/// One message and the trailers.
struct Whole {
    data: Option<Bytes>,
    trailers: Option<HeaderMap>,
}

impl HttpBody for Whole {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let data = self.data.take().map(Frame::data);
        Poll::Ready(data.or_else(|| self.trailers.take().map(Frame::trailers)).map(Ok))
    }
}
