//! A broker that a script drives, packet by packet: it sends exactly what the script wants, and sees exactly when a
//! PUBACK comes.

use mqtt::codec::{self, Ack, Connack, Packet, Properties, Publish};
use mqtt::{Delivery, PacketId, ReasonCode, Version};
use serde_json::{Value, json};
use signalling::signal::VERSION;
use signalling::{Down, DownBody, Envelope, MeetingId, SignalId, StandingCall, State, Up, topics};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use uuid::Uuid;

pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
const CLIENT: &str = "GID_dev@@@phone";

pub(crate) struct ScriptedBroker {
    listener: TcpListener,
    tls: Option<TlsAcceptor>,
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection.
pub(crate) struct BrokerConnection {
    stream: Box<dyn Stream>,
    read: Vec<u8>,
    next_packet_id: u16,
}

/// What the terminal sent.
#[derive(Debug)]
pub(crate) enum Sent {
    Connect { client_id: String, clean_start: bool, session_expiry: Option<u32> },
    Request { up: Box<Up>, topic: String, dup: bool, packet_id: PacketId },
    Puback(PacketId),
    Disconnect,
    Other,
}

impl ScriptedBroker {
    pub(crate) async fn open() -> Self {
        Self { listener: TcpListener::bind("127.0.0.1:0").await.unwrap(), tls: None }
    }

    pub(crate) async fn open_tls(config: rustls::ServerConfig) -> Self {
        Self { tls: Some(TlsAcceptor::from(Arc::new(config))), ..Self::open().await }
    }

    /// The answer of the devices API for a terminal that comes here.
    pub(crate) fn credentials(&self, user: &str) -> Value {
        let port = self.listener.local_addr().unwrap().port();
        let scheme = if self.tls.is_some() { "mqtts" } else { "mqtt" };
        let endpoints = json!({ scheme: format!("{scheme}://localhost:{port}"), "api": "http://localhost:1/api/v1" });
        json!({
            "client_id": CLIENT, "username": "DeviceCredential|x|convoke", "password": "secret",
            "expires_at_ms": 9, "user": user, "name": user, "endpoints": endpoints,
        })
    }

    /// The next connection that gets through, whatever it says then.
    pub(crate) async fn accept(&self) -> BrokerConnection {
        let accept = async {
            loop {
                let (tcp, _) = self.listener.accept().await.unwrap();
                if let Some(stream) = self.secure(tcp).await {
                    return BrokerConnection { stream, read: Vec::new(), next_packet_id: 0 };
                }
            }
        };
        tokio::time::timeout(PATIENCE, accept).await.expect("nobody connects")
    }

    async fn secure(&self, tcp: TcpStream) -> Option<Box<dyn Stream>> {
        match &self.tls {
            None => Some(Box::new(tcp)),
            Some(tls) => Some(Box::new(tls.accept(tcp).await.ok()?)),
        }
    }

    /// The next connection, logged in, with its state request answered: nothing stands.
    pub(crate) async fn welcome(&self) -> BrokerConnection {
        let mut line = self.accept().await;
        line.log_in(true).await;
        line.answer_state(|_| {}).await;
        line
    }
}

impl BrokerConnection {
    /// Takes the CONNECT and accepts it.
    pub(crate) async fn log_in(&mut self, session_present: bool) -> Sent {
        let connect = self.next().await;
        assert!(matches!(connect, Sent::Connect { .. }), "{connect:?}");
        self.connack(session_present, ReasonCode::SUCCESS).await;
        connect
    }

    pub(crate) async fn connack(&mut self, session_present: bool, reason: ReasonCode) {
        self.send(&Packet::Connack(Connack { session_present, reason, properties: Properties::EMPTY })).await;
    }

    pub(crate) async fn next(&mut self) -> Sent {
        tokio::time::timeout(PATIENCE, self.read_packet()).await.expect("the terminal says nothing").unwrap()
    }

    /// The next request, which must be of this kind; it is acknowledged.
    pub(crate) async fn request(&mut self, kind: &str) -> Up {
        let (up, packet_id, _) = self.unacknowledged(kind).await;
        self.puback(packet_id).await;
        up
    }

    /// The next request, not acknowledged: its packet id, and whether it is a repeat.
    pub(crate) async fn unacknowledged(&mut self, kind: &str) -> (Up, PacketId, bool) {
        match self.next().await {
            Sent::Request { up, topic, packet_id, dup } => {
                assert_eq!((up.body.kind(), topic), (kind, topics::up(kind)));
                (*up, packet_id, dup)
            }
            said => panic!("expected {kind}, got {said:?}"),
        }
    }

    /// Waits for the PUBACK of one delivery, taking what comes before it.
    pub(crate) async fn puback_of(&mut self, delivered: PacketId) -> Vec<Sent> {
        let mut before = Vec::new();
        loop {
            match self.next().await {
                Sent::Puback(id) if id == delivered => return before,
                said => before.push(said),
            }
        }
    }

    /// Answers the next state request; `fill` says what stands.
    pub(crate) async fn answer_state(&mut self, fill: impl FnOnce(&mut State)) -> PacketId {
        let asked = self.request("state").await;
        self.answer_to(&asked, fill).await
    }

    /// Answers every state request to come with this call, until the terminal disconnects.
    pub(crate) async fn keep_answering(mut self, standing: StandingCall) {
        while let Some(said) = self.read_packet().await {
            let Sent::Request { up, packet_id, .. } = said else { continue };
            self.puback(packet_id).await;
            if up.body.kind() == "state" {
                self.answer_to(&up, |state| state.call = Some(standing.clone())).await;
            }
        }
    }

    async fn answer_to(&mut self, asked: &Up, fill: impl FnOnce(&mut State)) -> PacketId {
        let (user, name) = ("bob".into(), "Bob".into());
        let mut state = State {
            now_ms: now_ms(),
            user,
            name,
            rings: vec![],
            rings_left_out: false,
            call: None,
            joinable: vec![],
            outcomes: vec![],
        };
        fill(&mut state);
        let down = answer(DownBody::State(Box::new(state)), None, Some(asked.envelope.id));
        self.deliver(&down, false).await
    }

    /// Delivers a signal on the topic where it belongs; returns its packet id.
    pub(crate) async fn deliver(&mut self, down: &Down, dup: bool) -> PacketId {
        self.next_packet_id += 1;
        let packet_id = PacketId::new(self.next_packet_id).unwrap();
        let ring = matches!(down.body, DownBody::Invitation(_) | DownBody::Ended { invitation: Some(_), .. });
        let parent = if ring { topics::RING_DOWN } else { topics::MEETING_DOWN };
        let topic = topics::p2p(parent, &CLIENT.into(), down.body.kind());
        let payload = serde_json::to_vec(down).unwrap();
        let delivery = Delivery::AtLeastOnce { packet_id, dup };
        let publish =
            Publish { delivery, retain: false, topic: &topic, properties: Properties::EMPTY, payload: &payload };
        self.send(&Packet::Publish(publish)).await;
        packet_id
    }

    pub(crate) async fn puback(&mut self, packet_id: PacketId) {
        self.send(&Packet::Puback(Ack::new(packet_id, ReasonCode::SUCCESS))).await;
    }

    pub(crate) async fn send(&mut self, packet: &Packet<'_>) {
        let mut bytes = Vec::new();
        codec::encode(packet, Version::V5, &mut bytes).unwrap();
        self.stream.write_all(&bytes).await.unwrap();
        self.stream.flush().await.unwrap();
    }

    /// `None` at the end of the connection.
    async fn read_packet(&mut self) -> Option<Sent> {
        loop {
            if let Some((packet, length)) = codec::decode(&self.read, Version::V5, 1 << 20).unwrap() {
                let said = said(&packet);
                self.read.drain(..length);
                return Some(said);
            }
            if self.stream.read_buf(&mut self.read).await.ok()? == 0 {
                return None;
            }
        }
    }
}

fn said(packet: &Packet<'_>) -> Sent {
    match packet {
        Packet::Connect(connect) => Sent::Connect {
            client_id: connect.client_id.to_owned(),
            clean_start: connect.clean_start,
            session_expiry: connect.properties.session_expiry_interval(),
        },
        Packet::Publish(publish) => Sent::Request {
            up: Box::new(serde_json::from_slice(publish.payload).unwrap()),
            topic: publish.topic.to_owned(),
            dup: publish.delivery.dup(),
            packet_id: publish.delivery.packet_id().unwrap(),
        },
        Packet::Puback(ack) => Sent::Puback(ack.packet_id),
        Packet::Disconnect(_) => Sent::Disconnect,
        _ => Sent::Other,
    }
}

/// A signal of the service, sent now.
pub(crate) fn answer(body: DownBody, meeting: Option<MeetingId>, in_reply_to: Option<SignalId>) -> Down {
    let sent_at_ms = now_ms();
    let expires_at_ms = sent_at_ms + 45_000;
    let id = SignalId(Uuid::now_v7());
    Down { envelope: Envelope { v: VERSION, id, meeting, sent_at_ms, expires_at_ms, in_reply_to, rev: None }, body }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}
