//! The client's side of each transport, blocking.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, StreamOwned};

/// Bytes to the broker and back.
pub(crate) trait Pipe: Send {
    /// All of it in one write: one TLS record, one WebSocket frame.
    fn write(&mut self, bytes: &[u8]) -> io::Result<()>;
    /// Appends what there is; 0: the end.
    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize>;
}

pub(crate) fn tcp(address: SocketAddr) -> TcpStream {
    let socket = TcpStream::connect(address).unwrap();
    socket.set_nodelay(true).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    socket
}

pub(crate) struct Stream<S>(pub(crate) S);

impl<S: Read + Write + Send> Pipe for Stream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)?;
        self.0.flush()
    }

    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        let mut chunk = [0; 4096];
        let count = self.0.read(&mut chunk)?;
        into.extend(&chunk[..count]);
        Ok(count)
    }
}

/// A certificate for `localhost` and those who trust it.
pub(crate) struct Tls {
    pub(crate) server: Arc<ServerConfig>,
    client: Arc<ClientConfig>,
}

impl Tls {
    pub(crate) fn new() -> Self {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let certificate = made.cert.der().clone();
        let key = made.signing_key.serialize_der().try_into().unwrap();
        let server =
            ServerConfig::builder().with_no_client_auth().with_single_cert(vec![certificate.clone()], key).unwrap();
        let mut roots = RootCertStore::empty();
        roots.add(certificate).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        Self { server: Arc::new(server), client: Arc::new(client) }
    }

    pub(crate) fn connect(&self, socket: TcpStream) -> Stream<StreamOwned<ClientConnection, TcpStream>> {
        Self::connect_with(self.client.clone(), socket)
    }

    /// Of a client with a configuration of its own.
    pub(crate) fn connect_by(
        client: ClientConfig,
        socket: TcpStream,
    ) -> Stream<StreamOwned<ClientConnection, TcpStream>> {
        Self::connect_with(Arc::new(client), socket)
    }

    fn connect_with(client: Arc<ClientConfig>, socket: TcpStream) -> Stream<StreamOwned<ClientConnection, TcpStream>> {
        let name = ServerName::try_from("localhost").unwrap();
        Stream(StreamOwned::new(ClientConnection::new(client, name).unwrap(), socket))
    }
}

/// WebSocket frames above another pipe, after the upgrade.
pub(crate) struct WebSocket<P> {
    pub(crate) below: P,
    raw: Vec<u8>,
}

impl<P: Pipe> WebSocket<P> {
    pub(crate) fn new(below: P) -> Self {
        Self { below, raw: Vec::new() }
    }

    pub(crate) fn write_frame(&mut self, first: u8, payload: &[u8]) -> io::Result<()> {
        self.below.write(&frame(first, payload))
    }

    /// First byte and payload of the next frame; `None`: the end.
    pub(crate) fn read_frame(&mut self) -> io::Result<Option<(u8, Vec<u8>)>> {
        loop {
            if let Some((first, payload, taken)) = parse(&self.raw) {
                self.raw.drain(..taken);
                return Ok(Some((first, payload)));
            }
            if self.below.read(&mut self.raw)? == 0 {
                return Ok(None);
            }
        }
    }
}

/// A masked frame of a client.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mask = [0x5a, 0x01, 0xc3, 0x77];
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length => {
            frame.push(0x80 | 126);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
    }
    frame.extend(mask);
    frame.extend(payload.iter().zip(mask.iter().cycle()).map(|(byte, key)| byte ^ key));
    frame
}

fn parse(raw: &[u8]) -> Option<(u8, Vec<u8>, usize)> {
    let (first, length) = (*raw.first()?, usize::from(*raw.get(1)?));
    let (start, length) = match length {
        126 => (4, usize::from(u16::from_be_bytes([*raw.get(2)?, *raw.get(3)?]))),
        127 => (10, usize::try_from(u64::from_be_bytes(raw.get(2..10)?.try_into().unwrap())).unwrap()),
        length => (2, length),
    };
    let payload = raw.get(start..start + length)?.to_vec();
    Some((first, payload, start + length))
}

impl<P: Pipe> Pipe for WebSocket<P> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.write_frame(0x82, bytes)
    }

    fn read(&mut self, into: &mut Vec<u8>) -> io::Result<usize> {
        loop {
            match self.read_frame()? {
                Some((0x82, payload)) if !payload.is_empty() => {
                    into.extend(&payload);
                    return Ok(payload.len());
                }
                Some((0x88, _)) | None => return Ok(0),
                Some(_) => {}
            }
        }
    }
}
