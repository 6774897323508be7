//! A relay between one terminal and the broker that reads MQTT 5 and does what networks and crashes do: it cuts, loses
//! acknowledgements, and delivers again. Plain TCP only.
//!
//! What it sends by itself has packet ids from [`OWN_IDS`] on, so that neither side hears of acknowledgements that are
//! not its own.

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::OwnedReadHalf;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot, watch};

const OWN_IDS: u16 = 60_000;
const CONNECT: u8 = 1;
const PUBLISH: u8 = 3;
const PUBACK: u8 = 4;
const RECEIVE_MAXIMUM: u8 = 0x21;
/// Reason codes from here on are refusals.
const REFUSED: u8 = 0x80;

/// A request of the terminal, as it went by.
#[derive(Clone, Debug)]
pub struct Request {
    pub id: String,
    pub kind: String,
    /// The broker has said that it is on disk.
    pub acknowledged: bool,
    payload: Vec<u8>,
}

/// What was played, so that a run in which nothing happened does not count.
#[derive(Clone, Copy, Debug, Default)]
pub struct Played {
    pub cuts: usize,
    /// Invitations that reached the terminal with DUP.
    pub invitations_again: usize,
    /// Requests and signals that were delivered a second time by the relay, and acknowledged.
    pub requests_again: usize,
    pub signals_again: usize,
}

pub struct Relay {
    port: u16,
    shared: Arc<Mutex<Shared>>,
}

/// What does not get through although the connection stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Loses {
    /// What comes from the server.
    Deliveries,
    /// Acknowledgements of the terminal.
    Acknowledgements,
}

#[derive(Default)]
struct Shared {
    /// Receive Maximum that the terminal is made to ask for.
    window: Option<u16>,
    loses: Option<Loses>,
    /// Invitations of the service, each once, whether they reached the terminal or not.
    invitations: BTreeSet<String>,
    connection: Option<Connection>,
    requests: Vec<Request>,
    /// Requests by packet id that wait for their PUBACK.
    pending: HashMap<u16, usize>,
    /// Signals of the service, each once, in their order of arrival.
    signals: Vec<Value>,
    seen: BTreeSet<String>,
    /// Topics and payloads of signals on `meeting-down`.
    news: Vec<(String, Vec<u8>)>,
    /// Questions of the relay's own; their answers do not reach the terminal.
    asked: BTreeMap<String, oneshot::Sender<Value>>,
    own_id: u16,
    /// Ids of requests that were sent again.
    repeated: BTreeSet<u16>,
    played: Played,
}

struct Connection {
    to_server: mpsc::UnboundedSender<Vec<u8>>,
    to_terminal: mpsc::UnboundedSender<Vec<u8>>,
    cut: watch::Sender<bool>,
}

impl Relay {
    /// Listens on a port of its own; each connection is led to `server`.
    pub async fn start(server: SocketAddr, window: Option<u16>) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let port = listener.local_addr()?.port();
        let shared = Arc::new(Mutex::new(Shared { window, ..Shared::default() }));
        let own = Arc::clone(&shared);
        tokio::spawn(async move {
            while let Ok((terminal, _)) = listener.accept().await {
                // Refused as long as the server is down, as by its own kernel.
                if let Ok(server) = TcpStream::connect(server).await {
                    serve(terminal, server, &own);
                }
            }
        });
        Ok(Self { port, shared })
    }

    pub fn url(&self) -> String {
        format!("mqtt://localhost:{}", self.port)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        lock(&self.shared)
    }

    pub fn cut(&self) {
        let mut shared = self.lock();
        if let Some(connection) = shared.connection.take() {
            shared.played.cuts += usize::from(connection.cut.send(true).is_ok());
        }
    }

    /// What is lost is delivered again, with DUP, after the next cut.
    pub fn lose(&self, what: Option<Loses>) {
        self.lock().loses = what;
    }

    pub fn played(&self) -> Played {
        self.lock().played
    }

    pub fn requests(&self) -> Vec<Request> {
        self.lock().requests.clone()
    }

    pub fn signals(&self) -> Vec<Value> {
        self.lock().signals.clone()
    }

    /// How many invitations have come, each once.
    pub fn invitations(&self) -> usize {
        self.lock().invitations.len()
    }

    /// Until more than so many have come, or `within` is over: there may be none.
    pub async fn invited(&self, before: usize, within: Duration) {
        const POLL: Duration = Duration::from_millis(5);
        let more = async {
            while self.invitations() <= before {
                tokio::time::sleep(POLL).await;
            }
        };
        let _ = tokio::time::timeout(within, more).await;
    }

    /// Sends a request that went by earlier once more, under the same id; `pick` of the number of those.
    pub fn repeat_request(&self, pick: impl FnOnce(usize) -> usize) {
        let mut shared = self.lock();
        if shared.requests.is_empty() {
            return;
        }
        let at = pick(shared.requests.len());
        let Some(Request { kind, payload, .. }) = shared.requests.get(at).cloned() else { return };
        let id = shared.send_request(&kind, &payload);
        shared.repeated.insert(id);
    }

    /// Delivers a signal on `meeting-down` once more, as the broker may after a crash; `pick` of the number of those.
    pub fn repeat_signal(&self, pick: impl FnOnce(&[(String, Vec<u8>)]) -> Option<usize>) {
        let mut shared = self.lock();
        let Some((topic, payload)) = pick(&shared.news).and_then(|at| shared.news.get(at).cloned()) else { return };
        let packet = shared.publish(&topic, &payload);
        if let Some(connection) = &shared.connection {
            drop(connection.to_terminal.send(packet));
        }
    }

    /// A request in the terminal's name, whose answer it hears.
    pub fn say(&self, request: &Value) {
        let kind = request["type"].as_str().unwrap_or_default().to_owned();
        self.lock().send_request(&kind, request.to_string().as_bytes());
    }

    /// The answer to a request in the terminal's name that the terminal does not hear; `None` if none comes.
    pub async fn ask(&self, request: &Value, within: Duration) -> Option<Value> {
        let (answer, answered) = oneshot::channel();
        let id = request["id"].as_str().unwrap_or_default().to_owned();
        self.lock().asked.insert(id.clone(), answer);
        self.say(request);
        let answer = tokio::time::timeout(within, answered).await.ok()?.ok();
        self.lock().asked.remove(&id);
        answer
    }
}

fn lock(shared: &Mutex<Shared>) -> MutexGuard<'_, Shared> {
    shared.lock().expect("nobody panics with it")
}

fn serve(terminal: TcpStream, server: TcpStream, shared: &Arc<Mutex<Shared>>) {
    let _ = (terminal.set_nodelay(true), server.set_nodelay(true));
    let (from_terminal, into_terminal) = terminal.into_split();
    let (from_server, into_server) = server.into_split();
    let (to_server, server_outbox) = mpsc::unbounded_channel();
    let (to_terminal, terminal_outbox) = mpsc::unbounded_channel();
    let (cut, is_cut) = watch::channel(false);
    let (up, down) = (Arc::clone(shared), Arc::clone(shared));
    let (answer_server, answer_terminal) = (to_server.clone(), to_terminal.clone());
    tokio::spawn(write_all(into_server, server_outbox, is_cut.clone()));
    tokio::spawn(write_all(into_terminal, terminal_outbox, is_cut.clone()));
    let (cut_up, cut_down) = (cut.clone(), cut.clone());
    {
        let mut shared = lock(shared);
        shared.pending.clear();
        let connection = Connection { to_server: to_server.clone(), to_terminal: to_terminal.clone(), cut };
        shared.connection = Some(connection);
    }
    tokio::spawn(read_all(from_terminal, (cut_up, is_cut.clone()), move |packet| {
        let forward = lock(&up).of_terminal(packet);
        forward.is_none_or(|packet| answer_server.send(packet).is_ok())
    }));
    tokio::spawn(read_all(from_server, (cut_down, is_cut), move |packet| match lock(&down).of_server(packet) {
        Forward::On(packet) => answer_terminal.send(packet).is_ok(),
        Forward::Back(packet) => to_server.send(packet).is_ok(),
        Forward::Nothing => true,
    }));
}

async fn write_all(
    mut into: impl AsyncWriteExt + Unpin,
    mut outbox: mpsc::UnboundedReceiver<Vec<u8>>,
    mut is_cut: watch::Receiver<bool>,
) {
    loop {
        let packet = tokio::select! {
            packet = outbox.recv() => packet,
            _ = is_cut.changed() => None,
        };
        let Some(packet) = packet else { return };
        if into.write_all(&packet).await.is_err() {
            return;
        }
    }
}

/// Hands whole packets on until this half ends, the connection is cut, or `take` has no receiver left; then cuts it.
async fn read_all(
    mut from: OwnedReadHalf,
    (cut, mut is_cut): (watch::Sender<bool>, watch::Receiver<bool>),
    mut take: impl FnMut(Vec<u8>) -> bool,
) {
    let mut buffer = Vec::new();
    loop {
        let read = tokio::select! {
            read = from.read_buf(&mut buffer) => read.unwrap_or(0),
            _ = is_cut.changed() => 0,
        };
        if read == 0 {
            break;
        }
        while let Some(length) = packet_length(&buffer) {
            let rest = buffer.split_off(length);
            if !take(std::mem::replace(&mut buffer, rest)) {
                break;
            }
        }
    }
    // There is no receiver: it is cut already.
    let _ = cut.send(true);
}

/// What becomes of a packet of the server.
enum Forward {
    On(Vec<u8>),
    /// To the server, in the terminal's name.
    Back(Vec<u8>),
    Nothing,
}

impl Shared {
    fn of_terminal(&mut self, packet: Vec<u8>) -> Option<Vec<u8>> {
        match packet[0] >> 4 {
            CONNECT => Some(self.window.map_or_else(|| packet.clone(), |window| with_window(&packet, window))),
            PUBLISH => {
                self.note_request(&packet);
                Some(packet)
            }
            PUBACK if acknowledged(&packet).is_some_and(|id| id >= OWN_IDS) => {
                self.played.signals_again += 1;
                None
            }
            PUBACK if self.loses == Some(Loses::Acknowledgements) => None,
            _ => Some(packet),
        }
    }

    fn note_request(&mut self, packet: &[u8]) {
        let Some(publish) = Publish::parse(packet) else { return };
        let Ok(signal) = serde_json::from_slice::<Value>(publish.payload) else { return };
        let text = |key: &str| signal[key].as_str().unwrap_or_default().to_owned();
        let request =
            Request { id: text("id"), kind: text("type"), acknowledged: false, payload: publish.payload.to_vec() };
        self.pending.insert(publish.id, self.requests.len());
        self.requests.push(request);
    }

    fn of_server(&mut self, packet: Vec<u8>) -> Forward {
        match packet[0] >> 4 {
            PUBLISH => self.of_service(packet),
            _ if self.loses == Some(Loses::Deliveries) => Forward::Nothing,
            PUBACK => {
                let id = acknowledged(&packet).unwrap_or_default();
                if id >= OWN_IDS {
                    self.played.requests_again += usize::from(self.repeated.remove(&id));
                    return Forward::Nothing;
                }
                let is_taken = packet.get(4).is_none_or(|reason| *reason < REFUSED);
                if let Some(request) = self.pending.remove(&id).and_then(|at| self.requests.get_mut(at)) {
                    request.acknowledged = is_taken;
                }
                Forward::On(packet)
            }
            _ => Forward::On(packet),
        }
    }

    fn of_service(&mut self, packet: Vec<u8>) -> Forward {
        let Some(publish) = Publish::parse(&packet) else { return Forward::On(packet) };
        let Ok(signal) = serde_json::from_slice::<Value>(publish.payload) else { return Forward::On(packet) };
        if signal["type"] == "invitation" {
            self.invitations.insert(signal["id"].to_string());
        }
        if self.loses == Some(Loses::Deliveries) {
            return Forward::Nothing;
        }
        let asked = signal["in_reply_to"].as_str().and_then(|request| self.asked.remove(request));
        if let Some(answer) = asked {
            let _ = answer.send(signal);
            return Forward::Back(vec![PUBACK << 4, 2, (publish.id >> 8) as u8, publish.id as u8]);
        }
        let is_again = packet[0] & 0x08 != 0;
        self.played.invitations_again += usize::from(is_again && signal["type"] == "invitation");
        if self.seen.insert(signal["id"].as_str().unwrap_or_default().to_owned()) {
            if publish.topic.starts_with("meeting-down") {
                self.news.push((publish.topic.to_owned(), publish.payload.to_vec()));
            }
            self.signals.push(signal);
        }
        Forward::On(packet)
    }

    /// Returns its packet id.
    fn send_request(&mut self, kind: &str, payload: &[u8]) -> u16 {
        let packet = self.publish(&format!("meeting-up/{kind}"), payload);
        if let Some(connection) = &self.connection {
            drop(connection.to_server.send(packet));
        }
        OWN_IDS + self.own_id
    }

    /// A PUBLISH of QoS 1 with an id of the relay's own.
    fn publish(&mut self, topic: &str, payload: &[u8]) -> Vec<u8> {
        self.own_id = (self.own_id + 1) % 5_000;
        let id = OWN_IDS + self.own_id;
        let mut body = (topic.len() as u16).to_be_bytes().to_vec();
        body.extend_from_slice(topic.as_bytes());
        body.extend_from_slice(&id.to_be_bytes());
        body.push(0);
        body.extend_from_slice(payload);
        packet(PUBLISH << 4 | 0x02, &body)
    }
}

/// The parts of a PUBLISH with QoS 1 that matter here.
struct Publish<'a> {
    topic: &'a str,
    id: u16,
    payload: &'a [u8],
}

impl<'a> Publish<'a> {
    fn parse(packet: &'a [u8]) -> Option<Self> {
        if packet[0] & 0x06 == 0 {
            return None;
        }
        let body = body_of(packet)?;
        let (length, rest) = body.split_at_checked(2)?;
        let (topic, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([length[0], length[1]])))?;
        let (id, rest) = rest.split_at_checked(2)?;
        let (properties, width) = variable_integer(rest)?;
        let payload = rest.get(width + properties..)?;
        Some(Self { topic: std::str::from_utf8(topic).ok()?, id: u16::from_be_bytes([id[0], id[1]]), payload })
    }
}

fn acknowledged(packet: &[u8]) -> Option<u16> {
    let body = body_of(packet)?;
    Some(u16::from_be_bytes([*body.first()?, *body.get(1)?]))
}

fn body_of(packet: &[u8]) -> Option<&[u8]> {
    let (_, width) = variable_integer(packet.get(1..)?)?;
    packet.get(1 + width..)
}

/// The length of the first packet, once it is whole.
fn packet_length(bytes: &[u8]) -> Option<usize> {
    let (length, width) = variable_integer(bytes.get(1..)?)?;
    let whole = 1 + width + length;
    (bytes.len() >= whole).then_some(whole)
}

/// Value and width [MQTT5-1.5.5].
fn variable_integer(bytes: &[u8]) -> Option<(usize, usize)> {
    let mut value = 0;
    for (at, byte) in bytes.iter().take(4).enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Some((value, at + 1));
        }
    }
    None
}

fn packet(head: u8, body: &[u8]) -> Vec<u8> {
    let mut packet = vec![head];
    encode_length(&mut packet, body.len());
    packet.extend_from_slice(body);
    packet
}

fn encode_length(into: &mut Vec<u8>, mut length: usize) {
    loop {
        let more = length > 0x7f;
        into.push((length & 0x7f) as u8 | if more { 0x80 } else { 0 });
        length >>= 7;
        if !more {
            return;
        }
    }
}

/// The CONNECT with this Receive Maximum in the place of its own, if it can be read.
fn with_window(connect: &[u8], window: u16) -> Vec<u8> {
    rewrite(connect, window).unwrap_or_else(|_| connect.to_vec())
}

fn rewrite(connect: &[u8], window: u16) -> Result<Vec<u8>> {
    /// Protocol name, level, flags, keep alive.
    const BEFORE_PROPERTIES: usize = 6 + 1 + 1 + 2;
    let body = body_of(connect).context("no CONNECT")?;
    let (head, rest) = body.split_at_checked(BEFORE_PROPERTIES).context("a short CONNECT")?;
    ensure!(head[6] == 5, "only MQTT 5 has a window");
    let (length, width) = variable_integer(rest).context("no properties")?;
    let (properties, payload) = rest[width..].split_at_checked(length).context("short properties")?;
    let mut made = without_window(properties);
    made.push(RECEIVE_MAXIMUM);
    made.extend_from_slice(&window.to_be_bytes());
    let mut body = head.to_vec();
    encode_length(&mut body, made.len());
    body.extend_from_slice(&made);
    body.extend_from_slice(payload);
    Ok(packet(connect[0], &body))
}

/// Terminals of this SDK send properties of fixed width only.
fn without_window(properties: &[u8]) -> Vec<u8> {
    let (mut made, mut rest) = (Vec::new(), properties);
    while let Some(id) = rest.first() {
        let width = match id {
            0x11 | 0x27 => 5,
            0x21 | 0x22 => 3,
            0x17 | 0x19 => 2,
            _ => rest.len(),
        };
        let (property, more) = rest.split_at(width.min(rest.len()));
        if *id != RECEIVE_MAXIMUM {
            made.extend_from_slice(property);
        }
        rest = more;
    }
    made
}
