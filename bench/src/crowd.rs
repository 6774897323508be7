//! Many terminals in one process: one loop of `mio`, the protocol by `mqtt::client`.
//!
//! Each connection takes a descriptor here and one in the server. Received messages are acknowledged at once.

use crate::signals::request;
use anyhow::{Context, Result, ensure};
use demo::{Method, Stage};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use mqtt::client::{Client, Event, Options, Publication};
use mqtt::{QoS, Version};
use serde_json::{Value, json};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};
use uuid::Uuid;

const READ_BYTES: usize = 64 * 1024;
const EVENTS_MAX: usize = 4_096;
/// Long, so that pings do not count among what is measured.
const KEEP_ALIVE_S: u16 = 300;
const SWEEP_EVERY: Duration = Duration::from_secs(1);
/// Registering is a request each; the catalog takes them one by one.
const REGISTRARS: usize = 8;
/// Descriptors of a process beside its connections.
const OTHER_DESCRIPTORS: usize = 200;

/// The terminals, by number.
pub(crate) struct Crowd {
    server: SocketAddr,
    poll: Poll,
    events: Events,
    terminals: Vec<Terminal>,
    happened: Vec<Happened>,
    buffer: Vec<u8>,
    swept_at: Instant,
}

struct Terminal {
    user: String,
    client_id: String,
    client: Client,
    stream: Option<TcpStream>,
    /// What the socket did not take yet.
    unsent: Vec<u8>,
}

/// What one terminal saw.
pub(crate) struct Happened {
    pub(crate) who: usize,
    pub(crate) at: Instant,
    pub(crate) what: Seen,
}

pub(crate) enum Seen {
    Connected,
    /// A signal; `kind` is the last level of its topic.
    Signal {
        kind: String,
        payload: Vec<u8>,
    },
    /// The connection ended, not by us.
    Lost(String),
}

impl Crowd {
    /// Registers a device for each user; none is connected yet.
    pub(crate) fn register(runtime: &tokio::runtime::Runtime, stage: &Stage, users: &[String]) -> Result<Self> {
        ensure_descriptors(users.len() + OTHER_DESCRIPTORS)?;
        let share = users.len().div_ceil(REGISTRARS).max(1);
        let terminals = thread::scope(|scope| {
            let parts = users.chunks(share).map(|users| scope.spawn(|| register(runtime, stage, users)));
            let parts: Vec<_> = parts.collect();
            let parts =
                parts.into_iter().map(|part| part.join().map_err(|_| anyhow::anyhow!("a registrar panicked"))?);
            parts.collect::<Result<Vec<_>>>()
        })?;
        Ok(Self {
            server: SocketAddr::from(([127, 0, 0, 1], stage.mqtt_port())),
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            terminals: terminals.into_iter().flatten().collect(),
            happened: Vec::new(),
            buffer: vec![0; READ_BYTES],
            swept_at: Instant::now(),
        })
    }

    pub(crate) fn len(&self) -> usize {
        self.terminals.len()
    }

    pub(crate) fn user(&self, who: usize) -> &str {
        &self.terminals[who].user
    }

    pub(crate) fn client_id(&self, who: usize) -> &str {
        &self.terminals[who].client_id
    }

    pub(crate) fn is_connected(&self, who: usize) -> bool {
        self.terminals[who].client.is_connected()
    }

    /// Starts to connect; [`Seen::Connected`] or [`Seen::Lost`] follows.
    pub(crate) fn connect(&mut self, who: usize) -> Result<()> {
        let mut stream = TcpStream::connect(self.server).context("no connection to the server")?;
        // A terminal that says two things at once must not wait for the first one's TCP acknowledgement.
        stream.set_nodelay(true)?;
        self.poll.registry().register(&mut stream, Token(who), Interest::READABLE | Interest::WRITABLE)?;
        let terminal = &mut self.terminals[who];
        terminal.unsent.clear();
        terminal.stream = Some(stream);
        terminal.client.connect(Instant::now());
        self.flush(who);
        Ok(())
    }

    /// Connects all, at most `at_once` on their way at a time; what else happens meanwhile is dropped.
    pub(crate) fn connect_all(&mut self, at_once: usize) -> Result<()> {
        let (mut next, mut connected) = (0, 0);
        while connected < self.len() {
            while next < self.len() && next - connected < at_once {
                self.connect(next)?;
                next += 1;
            }
            for happened in self.turn(Duration::from_secs(1))? {
                match happened.what {
                    Seen::Connected => connected += 1,
                    Seen::Lost(words) => anyhow::bail!("terminal {} was not connected: {words}", happened.who),
                    Seen::Signal { .. } => {}
                }
            }
        }
        Ok(())
    }

    /// The network under a connection is gone, without a DISCONNECT.
    pub(crate) fn cut(&mut self, who: usize) {
        self.terminals[who].stream = None;
        self.terminals[who].client.connection_lost();
    }

    pub(crate) fn send(&mut self, who: usize, kind: &str, meeting: Option<Uuid>, fields: Value) -> Result<()> {
        let payload = request(kind, meeting, fields).to_string();
        let topic = format!("meeting-up/{kind}");
        let publication = Publication::new(&topic, QoS::AtLeastOnce, payload.as_bytes());
        self.terminals[who].client.publish(publication, Instant::now())?;
        self.flush(who);
        Ok(())
    }

    /// Waits for at most `within` and returns what was seen.
    pub(crate) fn turn(&mut self, within: Duration) -> Result<Vec<Happened>> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(within))
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        let ready: Vec<_> = self.events.iter().map(|event| event.token().0).collect();
        for who in ready {
            self.read(who);
            self.flush(who);
        }
        if self.swept_at.elapsed() >= SWEEP_EVERY {
            self.sweep();
        }
        Ok(std::mem::take(&mut self.happened))
    }

    fn read(&mut self, who: usize) {
        let terminal = &mut self.terminals[who];
        while let Some(stream) = &mut terminal.stream {
            match stream.read(&mut self.buffer) {
                Ok(0) => return self.lost(who, "the server closed it".into()),
                Ok(count) => {
                    let now = Instant::now();
                    terminal.client.handle_input(&self.buffer[..count], now);
                    take_events(who, terminal, now, &mut self.happened);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => return,
                Err(error) if error.kind() == ErrorKind::NotConnected => return,
                Err(error) => return self.lost(who, error.to_string()),
            }
        }
    }

    fn flush(&mut self, who: usize) {
        let terminal = &mut self.terminals[who];
        let Some(stream) = &mut terminal.stream else { return };
        terminal.unsent.extend(terminal.client.take_output());
        while !terminal.unsent.is_empty() {
            match stream.write(&terminal.unsent) {
                Ok(count) => drop(terminal.unsent.drain(..count)),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return,
                Err(error) => return self.lost(who, error.to_string()),
            }
        }
    }

    /// Pings, and gives up terminals whose ping was not answered.
    fn sweep(&mut self) {
        let now = Instant::now();
        self.swept_at = now;
        for who in 0..self.terminals.len() {
            let terminal = &mut self.terminals[who];
            if terminal.stream.is_some() {
                terminal.client.handle_timeout(now);
                take_events(who, terminal, now, &mut self.happened);
                self.flush(who);
            }
        }
    }

    fn lost(&mut self, who: usize, words: String) {
        self.cut(who);
        self.happened.push(Happened { who, at: Instant::now(), what: Seen::Lost(words) });
    }
}

fn take_events(who: usize, terminal: &mut Terminal, at: Instant, happened: &mut Vec<Happened>) {
    while let Some(event) = terminal.client.poll_event() {
        let what = match event {
            Event::Connected { .. } => Seen::Connected,
            Event::Message(message) => {
                if let Some(ack) = message.ack {
                    terminal.client.ack(ack, at);
                }
                let kind = message.topic.rsplit('/').next().unwrap_or_default().to_owned();
                Seen::Signal { kind, payload: message.payload }
            }
            Event::Refused { .. } | Event::Disconnected { .. } | Event::Closed { .. } => {
                terminal.stream = None;
                Seen::Lost(format!("{event:?}"))
            }
            Event::Published { .. } | Event::Subscribed { .. } | Event::Unsubscribed { .. } => continue,
        };
        happened.push(Happened { who, at, what });
    }
}

fn register(runtime: &tokio::runtime::Runtime, stage: &Stage, users: &[String]) -> Result<Vec<Terminal>> {
    let register = |user: &String| {
        let path = format!("/api/v1/users/{user}/devices");
        let body = json!({ "device": format!("{user}-bench") });
        let credentials = runtime.block_on(stage.api(Method::POST, &path, Some(body)))?;
        let text = |key: &str| credentials[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
        let client_id = text("client_id")?;
        let mut options = Options::new(Version::V5, client_id.clone());
        options.username = Some(text("username")?);
        options.password = Some(text("password")?.into_bytes());
        options.keep_alive_s = KEEP_ALIVE_S;
        options.connect_timeout = Duration::from_secs(30);
        let client = Client::new(options, Instant::now());
        Ok(Terminal { user: user.clone(), client_id, client, stream: None, unsent: Vec::new() })
    };
    users.iter().map(register).collect()
}

/// # Errors
/// This process may not open so many.
pub(crate) fn ensure_descriptors(wanted: usize) -> Result<()> {
    let limits = std::fs::read_to_string("/proc/self/limits")?;
    let line = limits.lines().find(|line| line.starts_with("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().nth(3)).context("no limit of open files is told")?;
    let enough = soft == "unlimited" || soft.parse::<usize>()? >= wanted;
    ensure!(enough, "a process may open {soft} files and {wanted} are needed: raise `ulimit -n`, or measure fewer");
    Ok(())
}
