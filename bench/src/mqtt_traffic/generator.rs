//! The generator of traffic: one thread, one loop of `mio`, many connections, the same for every server.
//!
//! Sockets are written once at the end of a turn, as a busy terminal's or service's are.

use super::packets::{CONNACK, DISCONNECT, Input, PUBACK, Packet, REFUSAL_MIN, SUBACK};
use anyhow::{Context, Result, bail, ensure};
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

const READ_BYTES: usize = 64 * 1024;
const EVENTS_MAX: usize = 1_024;
/// Longer than any server here may be busy.
const PROGRESS_WITHIN: Duration = Duration::from_secs(10);
const TURN: Duration = Duration::from_millis(100);

pub(super) struct Generator {
    server: SocketAddr,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    buffer: Vec<u8>,
    /// PUBACKs that say that the message was not taken.
    pub(super) refused: u64,
}

/// One connection.
struct Client {
    stream: TcpStream,
    input: Input,
    /// What is to be written.
    out: Vec<u8>,
}

/// What one client makes of a packet: it may write to its own connection.
pub(super) trait Handle: FnMut(usize, Packet<'_>, &mut Vec<u8>) -> Result<()> {}

impl<F: FnMut(usize, Packet<'_>, &mut Vec<u8>) -> Result<()>> Handle for F {}

impl Generator {
    pub(super) fn new(server: SocketAddr) -> Result<Self> {
        Ok(Self {
            server,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS_MAX),
            clients: Vec::new(),
            buffer: vec![0; READ_BYTES],
            refused: 0,
        })
    }

    /// Opens one more connection for each CONNECT, with at most `at_once` on their way; returns when each is accepted.
    pub(super) fn connect_all(&mut self, connects: &[Vec<u8>], at_once: usize) -> Result<()> {
        let (mut opened, mut accepted) = (0, 0);
        while accepted < connects.len() {
            while opened < connects.len() && opened - accepted < at_once {
                self.open(&connects[opened])?;
                opened += 1;
            }
            let before = accepted;
            self.wait(|packet| {
                if packet.kind() == CONNACK {
                    let reason = packet.body_at(1).unwrap_or(REFUSAL_MIN);
                    ensure!(reason < REFUSAL_MIN, "the server refused a connection: {reason:#04x}");
                    accepted += 1;
                }
                Ok(accepted > before)
            })?;
        }
        Ok(())
    }

    fn open(&mut self, connect: &[u8]) -> Result<()> {
        let mut stream = TcpStream::connect(self.server).context("no connection to the server")?;
        stream.set_nodelay(true)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, Token(self.clients.len()), interest)?;
        let mut client = Client { stream, input: Input::default(), out: connect.to_vec() };
        client.flush()?;
        self.clients.push(client);
        Ok(())
    }

    /// Sends each its SUBSCRIBE and waits until all are granted.
    pub(super) fn subscribe_all(&mut self, subscribes: impl IntoIterator<Item = (usize, Vec<u8>)>) -> Result<()> {
        let mut missing = 0_usize;
        for (who, subscribe) in subscribes {
            self.out(who).extend(subscribe);
            self.flush(who)?;
            missing += 1;
        }
        while missing > 0 {
            self.wait(|packet| {
                if packet.kind() == SUBACK {
                    let code = packet.body.last().copied().unwrap_or(REFUSAL_MIN);
                    ensure!(code < REFUSAL_MIN, "the server refused a subscription: {code:#04x}");
                    missing -= 1;
                }
                Ok(true)
            })?;
        }
        Ok(())
    }

    /// Turns until `is_enough` says so of a packet.
    fn wait(&mut self, mut is_enough: impl FnMut(Packet<'_>) -> Result<bool>) -> Result<()> {
        let (began, mut done) = (Instant::now(), false);
        while !done {
            self.turn(TURN, &mut |_: usize, packet: Packet<'_>, _: &mut Vec<u8>| {
                done |= is_enough(packet)?;
                Ok(())
            })?;
            ensure!(done || began.elapsed() < PROGRESS_WITHIN, "the server does not answer");
        }
        Ok(())
    }

    /// What the client writes with the next [`flush`](Self::flush).
    pub(super) fn out(&mut self, who: usize) -> &mut Vec<u8> {
        &mut self.clients[who].out
    }

    pub(super) fn flush(&mut self, who: usize) -> Result<()> {
        self.clients[who].flush()
    }

    /// Waits for at most `within`, gives what came to `handle`, and writes what that left.
    pub(super) fn turn(&mut self, within: Duration, handle: &mut impl Handle) -> Result<()> {
        if let Err(error) = self.poll.poll(&mut self.events, Some(within))
            && error.kind() != ErrorKind::Interrupted
        {
            return Err(error.into());
        }
        for event in &self.events {
            let Token(who) = event.token();
            let client = &mut self.clients[who];
            if event.is_readable() {
                client.read(&mut self.buffer, |packet, out| {
                    self.refused += u64::from(is_refusal(packet)?);
                    handle(who, packet, out)
                })?;
            }
            client.flush()?;
        }
        Ok(())
    }
}

impl Client {
    fn read(&mut self, buffer: &mut [u8], mut each: impl FnMut(Packet<'_>, &mut Vec<u8>) -> Result<()>) -> Result<()> {
        loop {
            match self.stream.read(buffer) {
                Ok(0) => bail!("the server closed a connection"),
                Ok(count) => {
                    self.input.take(&buffer[..count], |packet| each(packet, &mut self.out))?;
                    // Less than there was room for: the socket is empty.
                    if count < buffer.len() {
                        return Ok(());
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => return Ok(()),
                Err(error) => return Err(error).context("a connection broke"),
            }
        }
    }

    fn flush(&mut self) -> Result<()> {
        let mut done = 0;
        while done < self.out.len() {
            match self.stream.write(&self.out[done..]) {
                Ok(count) => done += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) => break,
                Err(error) => return Err(error).context("a connection broke"),
            }
        }
        self.out.drain(..done);
        Ok(())
    }
}

/// Whether a message was not taken.
///
/// # Errors
/// The server ends the connection.
fn is_refusal(packet: Packet<'_>) -> Result<bool> {
    match packet.kind() {
        DISCONNECT => bail!("the server ended a connection: {:#04x}", packet.body_at(0).unwrap_or_default()),
        PUBACK => Ok(packet.body_at(2).is_some_and(|reason| reason >= REFUSAL_MIN)),
        _ => Ok(false),
    }
}
