//! A small blocking MQTT client over TCP: one socket, one thread, the protocol by `mqtt::client`.

use anyhow::{Context, Result, bail};
use mqtt::client::{AckHandle, Client, Event, Message, Options, Publication, PublishId};
use mqtt::codec::Properties;
use mqtt::topic::TopicFilter;
use mqtt::{QoS, SubscriptionOptions, Version};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

const READ_BYTES: usize = 64 * 1024;
const ANSWERED_WITHIN: Duration = Duration::from_secs(10);

pub struct Link {
    stream: TcpStream,
    client: Client,
    buffer: Vec<u8>,
    server: SocketAddr,
    session_present: bool,
}

impl Link {
    /// Connects with the credentials that the devices API answered and waits for CONNACK.
    pub fn open(server: SocketAddr, version: Version, credentials: &Value) -> Result<Self> {
        let text = |key: &str| credentials[key].as_str().map(str::to_owned).with_context(|| format!("no {key}"));
        let mut options = Options::new(version, text("client_id")?);
        options.username = Some(text("username")?);
        options.password = Some(text("password")?.into_bytes());
        Self::open_with(server, options)
    }

    pub fn open_with(server: SocketAddr, options: Options) -> Result<Self> {
        let mut link = Self {
            stream: connect(server)?,
            client: Client::new(options, Instant::now()),
            buffer: vec![0; READ_BYTES],
            server,
            session_present: false,
        };
        link.client.connect(Instant::now());
        link.session_present = link.connected()?;
        Ok(link)
    }

    /// Whether the server had a session of this client at [`Link::open`].
    pub fn session_present(&self) -> bool {
        self.session_present
    }

    /// Drops the socket, as a lost network does, and connects the same session again.
    pub fn reopen(&mut self) -> Result<bool> {
        self.client.connection_lost();
        self.stream = connect(self.server)?;
        self.client.connect(Instant::now());
        self.connected()
    }

    fn connected(&mut self) -> Result<bool> {
        match self.wait(ANSWERED_WITHIN, |e| matches!(e, Event::Connected { .. } | Event::Refused { .. }))? {
            Event::Connected { session_present, .. } => Ok(session_present),
            refused => bail!("the server refused: {refused:?}"),
        }
    }

    pub fn publish(&mut self, topic: &str, payload: &[u8]) -> Result<PublishId> {
        self.publish_with(topic, payload, Properties::EMPTY)
    }

    pub fn publish_with(&mut self, topic: &str, payload: &[u8], properties: Properties<'_>) -> Result<PublishId> {
        let publication = Publication { topic, qos: QoS::AtLeastOnce, payload, properties };
        let id = self.client.publish(publication, Instant::now())?;
        self.flush()?;
        Ok(id)
    }

    /// Publishes and waits for the PUBACK.
    pub fn publish_durably(&mut self, topic: &str, payload: &[u8], properties: Properties<'_>) -> Result<()> {
        let published = self.publish_with(topic, payload, properties)?;
        self.wait(ANSWERED_WITHIN, |event| matches!(event, Event::Published { id, .. } if *id == published)).map(drop)
    }

    /// Subscribes with QoS 1 and waits for the SUBACK.
    pub fn subscribe(&mut self, filter: &str) -> Result<()> {
        let filter = (TopicFilter::parse(filter)?, SubscriptionOptions::at(QoS::AtLeastOnce));
        self.client.subscribe(&[filter], Instant::now())?;
        self.flush()?;
        let answer = self.wait(ANSWERED_WITHIN, |event| matches!(event, Event::Subscribed { .. }))?;
        match answer {
            Event::Subscribed { codes, .. } if codes.iter().all(|code| !code.is_error()) => Ok(()),
            refused => bail!("the server refused: {refused:?}"),
        }
    }

    pub fn unsubscribe(&mut self, filter: &str) -> Result<()> {
        self.client.unsubscribe(&[TopicFilter::parse(filter)?], Instant::now())?;
        self.flush()?;
        self.wait(ANSWERED_WITHIN, |event| matches!(event, Event::Unsubscribed { .. })).map(drop)
    }

    pub fn acknowledge(&mut self, handle: AckHandle) -> Result<()> {
        self.client.ack(handle, Instant::now());
        self.flush()
    }

    /// For those who go on without the client; nothing of it must be under way.
    pub fn stream(&self) -> &TcpStream {
        &self.stream
    }

    pub fn unacknowledged(&self) -> usize {
        self.client.unacknowledged()
    }

    /// Ends the connection without a DISCONNECT, and waits until the server has seen that.
    pub fn close(mut self) -> Result<()> {
        self.stream.shutdown(Shutdown::Write)?;
        self.stream.set_read_timeout(Some(ANSWERED_WITHIN))?;
        loop {
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return Ok(()),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return Ok(()),
                read => read.context("the server does not close the connection")?,
            };
        }
    }

    /// The next event, or `None` after `within`.
    pub fn next(&mut self, within: Duration) -> Result<Option<Event>> {
        let until = Instant::now() + within;
        loop {
            if let Some(event) = self.client.poll_event() {
                return Ok(Some(event));
            }
            self.client.handle_timeout(Instant::now());
            self.flush()?;
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Ok(None);
            }
            self.read(left)?;
        }
    }

    /// The next event that is wanted; others before it are dropped, messages among them stay unacknowledged.
    pub fn wait(&mut self, within: Duration, wanted: impl Fn(&Event) -> bool) -> Result<Event> {
        let until = Instant::now() + within;
        while let Some(event) = self.next(until.saturating_duration_since(Instant::now()))? {
            if wanted(&event) {
                return Ok(event);
            }
            if let Event::Disconnected { .. } | Event::Closed { .. } = event {
                bail!("the connection ended: {event:?}");
            }
        }
        bail!("nothing of the kind came within {within:?}")
    }

    /// Waits for a message, acknowledges it.
    pub fn message(&mut self, within: Duration) -> Result<Message> {
        let Event::Message(message) = self.wait(within, |e| matches!(e, Event::Message(_)))? else {
            unreachable!("only messages are wanted")
        };
        if let Some(handle) = message.ack {
            self.acknowledge(handle)?;
        }
        Ok(message)
    }

    fn read(&mut self, within: Duration) -> Result<()> {
        self.stream.set_read_timeout(Some(within.max(Duration::from_millis(1))))?;
        match self.stream.read(&mut self.buffer) {
            Ok(0) => bail!("the server closed the connection"),
            Ok(n) => {
                self.client.handle_input(&self.buffer[..n], Instant::now());
                self.flush()
            }
            Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) => {
                Ok(())
            }
            Err(e) => Err(e).context("the connection broke"),
        }
    }

    fn flush(&mut self) -> Result<()> {
        let output = self.client.take_output();
        if output.is_empty() {
            return Ok(());
        }
        self.stream.write_all(&output).context("the connection broke")
    }
}

fn connect(server: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, Duration::from_secs(5)).context("no connection to the server")?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
