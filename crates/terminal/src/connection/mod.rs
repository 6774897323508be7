//! The signalling connection, over MQTT 5: one session that outlives its TCP connections.
//!
//! Clean start off, the session kept for 3 days, QoS 1 both ways. It connects again by itself, for ever. Requests that
//! were not acknowledged go out again on the next connection, by the MQTT client; they are not kept over a restart of
//! the process. A PUBACK is sent when the owner asks for it, on the connection that delivered the message.
//!
//! Contract: [`SignallingConnection::next`] may be dropped at any await and called again.

mod backoff;
mod transport;

pub use transport::SetupError;
pub(crate) use transport::tls_config;

use crate::core::{Delivery, REQUEST_EXPIRY, ReceivedSignal};
use crate::options::Credentials;
use backoff::Backoff;
use mqtt::client::{AckHandle, Client, Event, Message, Options, Publication, PublishId};
use mqtt::codec::{PropertiesBuf, Property};
use mqtt::{QoS, ReasonCode, Version};
use rustls::ClientConfig;
use signalling::topics::{self, MEETING_DOWN, RING_DOWN};
use signalling::{Down, MeetingId, SignalId, Up};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt, ReadHalf, WriteHalf, split};
use tokio::task::JoinHandle;
use transport::{Endpoint, Stream, Transport};

const SESSION_EXPIRY_S: u32 = 3 * 24 * 60 * 60;
const KEEP_ALIVE_S: u16 = 30;
/// Messages that the broker may have in flight to this terminal. Each is acknowledged as soon as it is stored, so this
/// bounds what waits in memory and nothing else.
const RECEIVE_MAX: u16 = 128;
const PACKET_MAX: u32 = 256 << 10;
const REQUESTS_WAITING_MAX: usize = 256;
const READ_BYTES: usize = 16 << 10;

pub(crate) enum SignallingEvent {
    Connected {
        session_present: bool,
        endpoint: String,
        tls: Option<String>,
    },
    /// It is connected again after the pause.
    Disconnected {
        reason: String,
        retry: Duration,
    },
    Signal(Box<ReceivedSignal>),
    /// A request is done: the broker has it, or refuses it for good.
    Published(Published),
    /// Another connection with this client id has taken the session over; this one does not connect again.
    TakenOver,
}

pub(crate) struct Published {
    pub(crate) signal: SignalId,
    pub(crate) meeting: Option<MeetingId>,
    pub(crate) kind: &'static str,
    pub(crate) after: Duration,
    /// The broker's reason if it refused.
    pub(crate) refused: Option<String>,
}

struct Pending {
    signal: SignalId,
    meeting: Option<MeetingId>,
    kind: &'static str,
    since: Instant,
}

pub(crate) struct SignallingConnection {
    mqtt: Client,
    endpoint: Endpoint,
    tls: Arc<ClientConfig>,
    state: State,
    backoff: Backoff,
    pending: HashMap<PublishId, Pending>,
    /// At most [`RECEIVE_MAX`]; emptied with the connection.
    deliveries: HashMap<Delivery, AckHandle>,
    next_delivery: u64,
    out: Vec<u8>,
    needs_flush: bool,
    events: VecDeque<SignallingEvent>,
}

enum State {
    Waiting(Instant),
    Opening(JoinHandle<io::Result<Transport>>),
    Open(Open),
    Over,
}

struct Open {
    read: ReadHalf<Box<dyn Stream>>,
    write: WriteHalf<Box<dyn Stream>>,
    tls: Option<String>,
}

impl SignallingConnection {
    pub(crate) fn new(credentials: &Credentials, tls: Arc<ClientConfig>) -> Result<Self, SetupError> {
        let now = Instant::now();
        let options = Options {
            username: Some(credentials.username.clone()),
            password: Some(credentials.password.clone().into_bytes()),
            session_expiry_interval: SESSION_EXPIRY_S,
            keep_alive_s: KEEP_ALIVE_S,
            receive_maximum: RECEIVE_MAX,
            packet_size_max: PACKET_MAX,
            waiting_max: REQUESTS_WAITING_MAX,
            ..Options::new(Version::V5, credentials.client_id.clone())
        };
        Ok(Self {
            mqtt: Client::new(options, now),
            endpoint: Endpoint::choose(&credentials.endpoints)?,
            tls,
            state: State::Waiting(now),
            backoff: Backoff::default(),
            pending: HashMap::new(),
            deliveries: HashMap::new(),
            next_delivery: 0,
            out: Vec::new(),
            needs_flush: false,
            events: VecDeque::new(),
        })
    }

    /// Sends a request now, or when the connection is back.
    pub(crate) fn publish(&mut self, up: &Up) {
        let kind = up.body.kind();
        let since = Instant::now();
        let (signal, meeting) = (up.envelope.id, up.envelope.meeting);
        let payload = serde_json::to_vec(up).expect("a signal is plain data");
        // Not the difference of the two moments on it, which are by different clocks.
        let expiry = u32::try_from(REQUEST_EXPIRY.as_secs()).unwrap_or(u32::MAX);
        let properties =
            PropertiesBuf::new().with(Property::MessageExpiryInterval(expiry)).expect("a number always fits");
        let topic = topics::up(kind);
        let publication =
            Publication { properties: properties.view(), ..Publication::new(&topic, QoS::AtLeastOnce, &payload) };
        match self.mqtt.publish(publication, since) {
            Ok(id) => drop(self.pending.insert(id, Pending { signal, meeting, kind, since })),
            Err(error) => {
                let refused = Some(error.to_string());
                let published = Published { signal, meeting, kind, after: Duration::ZERO, refused };
                self.events.push_back(SignallingEvent::Published(published));
            }
        }
        self.collect();
    }

    /// Sends a PUBACK; does nothing if its connection is lost.
    pub(crate) fn acknowledge(&mut self, delivery: Delivery) {
        if let Some(handle) = self.deliveries.remove(&delivery) {
            self.mqtt.ack(handle, Instant::now());
            self.collect();
        }
    }

    /// Sends what is left and a DISCONNECT; the session stays.
    pub(crate) async fn close(mut self) {
        self.mqtt.disconnect(None);
        self.out.extend(self.mqtt.take_output());
        if let State::Open(open) = &mut self.state {
            let disconnect = async {
                open.write.write_all(&self.out).await?;
                open.write.shutdown().await
            };
            // The broker finds out by itself if this does not get through.
            let _ = tokio::time::timeout(Duration::from_secs(1), disconnect).await;
        }
    }

    pub(crate) async fn next(&mut self) -> SignallingEvent {
        loop {
            if let Some(event) = self.events.pop_front() {
                return event;
            }
            match &mut self.state {
                State::Waiting(until) => {
                    tokio::time::sleep_until((*until).into()).await;
                    self.state = State::Opening(tokio::spawn(self.endpoint.clone().open(self.tls.clone())));
                }
                State::Opening(opening) => {
                    let opened = opening.await.unwrap_or_else(|_| Err(io::Error::other("the attempt was stopped")));
                    self.handle_opened(opened);
                }
                State::Open(_) => self.run_open().await,
                State::Over => std::future::pending().await,
            }
        }
    }

    fn handle_opened(&mut self, opened: io::Result<Transport>) {
        match opened {
            Ok(Transport { stream, tls }) => {
                let (read, write) = split(stream);
                self.state = State::Open(Open { read, write, tls });
                self.out.clear();
                self.mqtt.connect(Instant::now());
                self.collect();
            }
            Err(error) => self.lose(unreachable(&self.endpoint.url, &error)),
        }
    }

    /// Writes, reads, or waits for a deadline: one of them.
    async fn run_open(&mut self) {
        let State::Open(open) = &mut self.state else { return };
        let mut buffer = [0; READ_BYTES];
        let deadline = self.mqtt.poll_timeout().unwrap_or_else(|| Instant::now() + Duration::from_secs(1));
        let (unsent, needs_flush) = (&self.out, self.needs_flush);
        let done = tokio::select! {
            done = write(&mut open.write, unsent, needs_flush) => done,
            read = open.read.read(&mut buffer) => IoDone::Read(read),
            () = tokio::time::sleep_until(deadline.into()) => IoDone::Timeout,
        };
        match done {
            IoDone::Wrote(Ok(count)) => {
                self.out.drain(..count);
                self.needs_flush = true;
            }
            IoDone::Flushed(Ok(())) => self.needs_flush = false,
            IoDone::Read(Ok(0)) => self.lose("the broker closed the connection".to_owned()),
            IoDone::Read(Ok(count)) => self.mqtt.handle_input(&buffer[..count], Instant::now()),
            IoDone::Timeout => self.mqtt.handle_timeout(Instant::now()),
            IoDone::Wrote(Err(error)) | IoDone::Flushed(Err(error)) | IoDone::Read(Err(error)) => {
                self.lose(format!("the connection broke: {error}"));
            }
        }
        self.collect();
    }

    /// Polls the events and the output of the MQTT client.
    fn collect(&mut self) {
        while let Some(event) = self.mqtt.poll_event() {
            self.handle_event(event);
        }
        self.out.extend(self.mqtt.take_output());
    }

    fn handle_event(&mut self, event: Event) {
        match event {
            Event::Connected { session_present, .. } => self.handle_connected(session_present),
            Event::Refused { reason, .. } => {
                self.backoff.slow_down();
                self.lose(format!("the broker refused the login: {reason}; check the credentials"));
            }
            Event::Message(message) => self.handle_message(message),
            Event::Published { id, reason } => self.handle_published(id, reason),
            Event::Disconnected { reason: ReasonCode::SESSION_TAKEN_OVER, .. } => {
                self.forget_connection();
                self.state = State::Over;
                self.events.push_back(SignallingEvent::TakenOver);
            }
            Event::Disconnected { reason, .. } => self.lose(format!("the broker ended the connection: {reason}")),
            Event::Closed { reason, detail } => self.lose(format!("{detail} ({reason})")),
            Event::Subscribed { .. } | Event::Unsubscribed { .. } => {}
        }
    }

    fn handle_connected(&mut self, session_present: bool) {
        self.backoff.reset();
        let State::Open(open) = &self.state else { return };
        let (endpoint, tls) = (self.endpoint.url.clone(), open.tls.clone());
        self.events.push_back(SignallingEvent::Connected { session_present, endpoint, tls });
    }

    fn handle_published(&mut self, id: PublishId, reason: ReasonCode) {
        let Some(Pending { signal, meeting, kind, since }) = self.pending.remove(&id) else { return };
        let refused = reason.is_error().then(|| reason.to_string());
        let published = Published { signal, meeting, kind, after: since.elapsed(), refused };
        self.events.push_back(SignallingEvent::Published(published));
    }

    fn handle_message(&mut self, message: Message) {
        let delivery = message.ack.map(|handle| {
            self.next_delivery += 1;
            self.deliveries.insert(Delivery(self.next_delivery), handle);
            Delivery(self.next_delivery)
        });
        match parse(&message) {
            Some(down) => {
                let signal = ReceivedSignal { down, dup: message.dup, delivery };
                self.events.push_back(SignallingEvent::Signal(Box::new(signal)));
            }
            None => {
                tracing::debug!("a message that is no signal of ours");
                if let Some(delivery) = delivery {
                    self.acknowledge(delivery);
                }
            }
        }
    }

    fn lose(&mut self, reason: String) {
        self.forget_connection();
        let retry = self.backoff.next(random());
        self.state = State::Waiting(Instant::now() + retry);
        self.events.push_back(SignallingEvent::Disconnected { reason, retry });
    }

    fn forget_connection(&mut self) {
        self.mqtt.connection_lost();
        self.deliveries.clear();
        self.out.clear();
        self.needs_flush = false;
    }
}

/// Writes what is unsent, or flushes what is written; waits for ever if there is neither.
async fn write(stream: &mut WriteHalf<Box<dyn Stream>>, unsent: &[u8], needs_flush: bool) -> IoDone {
    if !unsent.is_empty() {
        IoDone::Wrote(stream.write(unsent).await)
    } else if needs_flush {
        IoDone::Flushed(stream.flush().await)
    } else {
        std::future::pending().await
    }
}

enum IoDone {
    Wrote(io::Result<usize>),
    Flushed(io::Result<()>),
    Read(io::Result<usize>),
    Timeout,
}

/// A signal of the service. Of an unknown type: none, newer services may have more.
fn parse(message: &Message) -> Option<Down> {
    let parent = message.topic.split('/').next()?;
    let ours = parent == RING_DOWN || parent == MEETING_DOWN;
    ours.then(|| serde_json::from_slice(&message.payload).ok())?
}

/// In 0..1.
fn random() -> f64 {
    let mut bytes = [0; 4];
    // Without randomness all clients wait equally long: correct, but a higher load on the server.
    let _ = aws_lc_rs::rand::fill(&mut bytes);
    f64::from(u32::from_le_bytes(bytes)) / f64::from(u32::MAX)
}

/// Names the remedy for a certificate that is not trusted: no retry will help.
fn unreachable(url: &str, error: &io::Error) -> String {
    let hint = match error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(_)) => {
            "; trust the authority of the server (its tls/ca.pem) and use a name of the certificate"
        }
        _ => "",
    };
    format!("{url} cannot be reached: {error}{hint}")
}
