//! The bytes of one connection: TCP, TLS by rustls, WebSocket frames, in any combination.
//!
//! A [`Transport`] is a plain value: it moves to another worker with everything that it holds undelivered. It owns no
//! read buffer (the worker lends its [`Scratch`]) and a write buffer only while bytes are pending. It knows nothing of
//! MQTT, and it never blocks: the socket is non-blocking.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
mod tls;
pub(crate) mod websocket;

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::Shutdown;

use mio::net::TcpStream;
use rustls::ServerConnection;
use rustls::pki_types::CertificateDer;

use websocket::{CloseCode, Control, Decoder};

/// What one worker reads into; shared by all its connections.
pub(crate) struct Scratch {
    raw: Box<[u8]>,
    plain: Vec<u8>,
    unframed: Vec<u8>,
}

/// Bytes that one read may take.
pub(crate) const READ_BYTES: usize = 64 << 10;
/// MQTT bytes that are framed or encrypted ahead of the socket.
const AHEAD_BYTES_MAX: usize = 64 << 10;

impl Scratch {
    pub(crate) fn new() -> Self {
        Self { raw: vec![0; READ_BYTES].into(), plain: Vec::new(), unframed: Vec::new() }
    }
}

/// What a read brought.
#[derive(Debug)]
pub(crate) struct Input<'s> {
    pub(crate) bytes: &'s [u8],
    /// WebSocket control frames that were between them.
    pub(crate) controls: usize,
    pub(crate) state: Readiness,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Readiness {
    /// More may be there: read again before waiting.
    More,
    /// The socket is empty.
    Drained,
    /// The peer sends nothing more.
    Ended,
}

/// Why a transport cannot go on.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransportError {
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    #[error("a WebSocket frame that is not allowed ({0:?})")]
    WebSocket(CloseCode),
}

#[derive(Debug, Default)]
struct WebSocket {
    decoder: Decoder,
    /// Bytes above TLS that were read behind the upgrade.
    read_ahead: Vec<u8>,
    /// Framed bytes on their way to TLS or the socket.
    wire: Vec<u8>,
    closed: bool,
}

/// Socket, TLS state and WebSocket state.
#[derive(Debug)]
pub(crate) struct Transport {
    socket: TcpStream,
    tls: Option<Box<ServerConnection>>,
    websocket: Option<Box<WebSocket>>,
    close_sent: bool,
}

impl Transport {
    pub(crate) fn new(socket: TcpStream, tls: Option<Box<ServerConnection>>) -> Self {
        Self { socket, tls, websocket: None, close_sent: false }
    }

    /// A connection that was upgraded elsewhere. `read_ahead`: bytes above TLS that were read behind the upgrade.
    pub(crate) fn upgraded(socket: TcpStream, tls: Option<Box<ServerConnection>>, read_ahead: Vec<u8>) -> Self {
        let websocket = Some(Box::new(WebSocket { read_ahead, ..WebSocket::default() }));
        Self { socket, tls, websocket, close_sent: false }
    }

    pub(crate) fn socket_mut(&mut self) -> &mut TcpStream {
        &mut self.socket
    }

    pub(crate) fn is_encrypted(&self) -> bool {
        self.tls.is_some()
    }

    /// The client's own first, which the handshake has verified.
    pub(crate) fn peer_certificates(&self) -> Option<&[CertificateDer<'static>]> {
        self.tls.as_ref()?.peer_certificates()
    }

    pub(crate) fn is_websocket(&self) -> bool {
        self.websocket.is_some()
    }

    /// Bytes from what was read ahead, or from one read of the socket, which takes at most `bytes_max`. To be called again
    /// until it is not `More`.
    pub(crate) fn read<'s>(&mut self, scratch: &'s mut Scratch, bytes_max: usize) -> Result<Input<'s>, TransportError> {
        scratch.plain.clear();
        scratch.unframed.clear();
        if self.take_read_ahead(&mut scratch.plain, bytes_max) {
            return self.unframe(scratch, Layer::Plain, 0, Readiness::More);
        }
        let (read, state) = self.read_socket(&mut scratch.raw[..bytes_max.min(READ_BYTES)])?;
        match &mut self.tls {
            None => self.unframe(scratch, Layer::Raw, read, state),
            Some(tls) => {
                let ended = tls::decrypt(tls, &scratch.raw[..read], &mut scratch.plain)?;
                let state = if ended { Readiness::Ended } else { state };
                self.unframe(scratch, Layer::Plain, 0, state)
            }
        }
    }

    /// `false`: nothing is left of it.
    fn take_read_ahead(&mut self, plain: &mut Vec<u8>, bytes_max: usize) -> bool {
        let Some(websocket) = self.websocket.as_mut().filter(|websocket| !websocket.read_ahead.is_empty()) else {
            return false;
        };
        let count = websocket.read_ahead.len().min(bytes_max);
        plain.extend_from_slice(&websocket.read_ahead[..count]);
        consume(&mut websocket.read_ahead, count);
        true
    }

    fn read_socket(&mut self, raw: &mut [u8]) -> io::Result<(usize, Readiness)> {
        loop {
            return match self.socket.read(raw) {
                Ok(0) => Ok((0, Readiness::Ended)),
                Ok(read) if read == raw.len() => Ok((read, Readiness::More)),
                Ok(read) => Ok((read, Readiness::Drained)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => Ok((0, Readiness::Drained)),
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => Err(error),
            };
        }
    }

    fn unframe<'s>(
        &mut self,
        scratch: &'s mut Scratch,
        layer: Layer,
        read: usize,
        state: Readiness,
    ) -> Result<Input<'s>, TransportError> {
        let Scratch { raw, plain, unframed } = scratch;
        let bytes = match layer {
            Layer::Raw => &raw[..read],
            Layer::Plain => plain.as_slice(),
        };
        let Some(websocket) = &mut self.websocket else { return Ok(Input { bytes, controls: 0, state }) };
        let mut controls = Vec::new();
        websocket.decoder.decode(bytes, unframed, &mut controls);
        let count = controls.len();
        let ended = websocket.handle_controls(controls)?;
        let state = if ended { Readiness::Ended } else { state };
        Ok(Input { bytes: unframed, controls: count, state })
    }

    /// Writes as much of `out` as the socket takes. What stays in `out` is sent later; `out` gives its memory back
    /// when it is empty.
    pub(crate) fn write(&mut self, out: &mut Vec<u8>) -> Result<(), TransportError> {
        match &mut self.websocket {
            None => write_lower(&mut self.socket, self.tls.as_deref_mut(), out),
            Some(websocket) => loop {
                let more = websocket.frame(out);
                write_lower(&mut self.socket, self.tls.as_deref_mut(), &mut websocket.wire)?;
                if !more || !websocket.wire.is_empty() {
                    return Ok(());
                }
            },
        }
    }

    /// What it holds at most: bytes that were read ahead, and bytes on their way to the socket.
    pub(crate) fn held_bytes(&self) -> usize {
        let framed = self.websocket.as_ref().map_or(0, |websocket| websocket.read_ahead.len() + websocket.wire.len());
        let is_encrypting = self.tls.as_ref().is_some_and(|tls| tls.wants_write());
        framed + if is_encrypting { tls::AHEAD_BYTES_MAX } else { 0 }
    }

    /// Bytes that were taken from the connection's buffer and have not reached the socket.
    pub(crate) fn has_pending(&self) -> bool {
        self.tls.as_ref().is_some_and(|tls| tls.wants_write())
            || self.websocket.as_ref().is_some_and(|websocket| !websocket.wire.is_empty())
    }

    /// Closes every layer that has a message for it, behind what is pending. To be called until it is `true`:
    /// then all is written and FIN is sent.
    pub(crate) fn close_step(&mut self, out: &mut Vec<u8>) -> Result<bool, TransportError> {
        if let Some(websocket) = &mut self.websocket {
            websocket.close(CloseCode::Normal, out);
        }
        self.write(out)?;
        if !out.is_empty() || self.has_pending() {
            return Ok(false);
        }
        if let Some(tls) = &mut self.tls
            && !std::mem::replace(&mut self.close_sent, true)
        {
            tls.send_close_notify();
            self.write(out)?;
        }
        if self.has_pending() {
            return Ok(false);
        }
        // A peer that is gone already is what we want.
        let _ = self.socket.shutdown(Shutdown::Write);
        Ok(true)
    }
}

#[derive(Clone, Copy)]
enum Layer {
    Raw,
    Plain,
}

impl WebSocket {
    /// `true`: the peer closed, nothing more will come.
    fn handle_controls(&mut self, controls: Vec<Control>) -> Result<bool, TransportError> {
        for control in controls {
            match control {
                Control::Ping(payload) if self.wire.len() < AHEAD_BYTES_MAX => {
                    websocket::encode_pong(&payload, &mut self.wire);
                }
                // A peer that pings without reading gets the newest answers only when it reads (RFC 6455 §5.5.3).
                Control::Ping(_) => {}
                Control::Close => {
                    self.end(CloseCode::Normal);
                    return Ok(true);
                }
                Control::Fail(code) => {
                    self.end(code);
                    return Err(TransportError::WebSocket(code));
                }
            }
        }
        Ok(false)
    }

    /// `true`: there was more in `out` than is framed at once.
    fn frame(&mut self, out: &mut Vec<u8>) -> bool {
        if self.closed {
            *out = Vec::new();
        }
        if out.is_empty() || self.wire.len() >= AHEAD_BYTES_MAX {
            return false;
        }
        let now = out.len().min(AHEAD_BYTES_MAX);
        websocket::encode_binary(&out[..now], &mut self.wire);
        consume(out, now);
        !out.is_empty()
    }

    fn close(&mut self, code: CloseCode, out: &mut Vec<u8>) {
        if !self.closed && !out.is_empty() {
            websocket::encode_binary(out, &mut self.wire);
            *out = Vec::new();
        }
        self.end(code);
    }

    fn end(&mut self, code: CloseCode) {
        if !std::mem::replace(&mut self.closed, true) {
            websocket::encode_close(code, &mut self.wire);
        }
    }
}

fn write_lower(
    socket: &mut TcpStream,
    tls: Option<&mut ServerConnection>,
    out: &mut Vec<u8>,
) -> Result<(), TransportError> {
    match tls {
        Some(tls) => tls::encrypt(tls, socket, out),
        None => write_socket(socket, out),
    }
}

fn write_socket(socket: &mut TcpStream, out: &mut Vec<u8>) -> Result<(), TransportError> {
    let mut written = 0;
    while written < out.len() {
        match socket.write(&out[written..]) {
            Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
            Ok(count) => written += count,
            Err(error) if error.kind() == ErrorKind::WouldBlock => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    consume(out, written);
    Ok(())
}

/// Removes the first `count` bytes; an empty buffer owns no memory.
fn consume(out: &mut Vec<u8>, count: usize) {
    if count == out.len() {
        *out = Vec::new();
    } else {
        out.drain(..count);
    }
}
