//! MQTT packets made by hand, also wrong ones, and answers in short words.

use super::text;
use anyhow::{Context, Result, bail, ensure};
use scenarios::wire;
use serde_json::Value;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

pub(super) const V311: u8 = 4;
pub(super) const V5: u8 = 5;

const CLEAN: u8 = 0x02;
const PINGREQ: [u8; 2] = [0xC0, 0x00];

/// A CONNECT with a clean session.
#[derive(Clone)]
pub(super) struct Connect {
    pub(super) level: u8,
    pub(super) client_id: String,
    pub(super) username: String,
    pub(super) password: String,
    /// Will bits of the connect flags.
    pub(super) will: u8,
}

impl Connect {
    /// With the credentials that the devices API answered.
    pub(super) fn of(device: &Value, level: u8) -> Result<Self> {
        let own = |key| text(device, key).map(str::to_owned);
        Ok(Self {
            level,
            client_id: own("client_id")?,
            username: own("username")?,
            password: own("password")?,
            will: 0,
        })
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut body = field(b"MQTT");
        body.extend([self.level, 0xC0 | CLEAN | self.will, 0, 30]);
        body.extend(no_properties(self.level));
        body.extend(field(self.client_id.as_bytes()));
        if self.will != 0 {
            body.extend(no_properties(self.level));
            body.extend(field(b"meeting-up/will"));
            body.extend(field(b"gone"));
        }
        body.extend(field(self.username.as_bytes()));
        body.extend(field(self.password.as_bytes()));
        packet(0x10, &body)
    }

    /// An accepted connection.
    pub(super) fn open(&self, server: SocketAddr) -> Result<TcpStream> {
        let mut stream = wire::dial(server)?;
        stream.write_all(&self.bytes())?;
        let (first, body) = read_packet(&mut stream)?.context("the login was not answered")?;
        ensure!((first, body.get(1)) == (0x20, Some(&0)), "the login was refused: {first:02x} {body:02x?}");
        Ok(stream)
    }

    /// What the server says to this CONNECT before it closes.
    pub(super) fn verdict(&self, server: SocketAddr) -> Result<String> {
        Ok(words(&wire::exchange(server, &self.bytes())?))
    }
}

pub(super) fn publish(level: u8, flags: u8, topic: &str, payload: &[u8]) -> Vec<u8> {
    let mut body = field(topic.as_bytes());
    if flags & 0x06 != 0 {
        body.extend([0, 7]);
    }
    body.extend(no_properties(level));
    body.extend(payload);
    packet(0x30 | flags, &body)
}

pub(super) fn subscribe(level: u8, filter: &str) -> Vec<u8> {
    let mut body = vec![0, 8];
    body.extend(no_properties(level));
    body.extend(field(filter.as_bytes()));
    body.push(1);
    packet(0x82, &body)
}

/// Sends `bytes` and a ping on an accepted connection: `puback 87, alive`, or `disconnect 9b, closed`.
pub(super) fn ask(stream: &mut TcpStream, bytes: &[u8]) -> Result<String> {
    // The server may close before all is written.
    let _ = stream.write_all(bytes).and_then(|()| stream.write_all(&PINGREQ));
    let mut said = Vec::new();
    while let Some((first, body)) = read_packet(stream)? {
        if first == 0xD0 {
            said.push("alive".to_owned());
            return Ok(said.join(", "));
        }
        said.push(name(first, &body));
    }
    said.push("closed".to_owned());
    Ok(said.join(", "))
}

/// All packets that came before the end, in words.
pub(super) fn words(mut bytes: &[u8]) -> String {
    let mut said = Vec::new();
    while let Ok(Some((first, body))) = read_packet(&mut bytes) {
        said.push(name(first, &body));
    }
    said.push("closed".to_owned());
    said.join(", ")
}

/// `None`: the connection has ended.
fn read_packet(stream: &mut impl Read) -> Result<Option<(u8, Vec<u8>)>> {
    let mut head = [0; 2];
    match stream.read_exact(&mut head) {
        Ok(()) => {}
        Err(e) if matches!(e.kind(), std::io::ErrorKind::UnexpectedEof | std::io::ErrorKind::ConnectionReset) => {
            return Ok(None);
        }
        Err(e) => return Err(e).context("neither an answer nor an end"),
    }
    let [first, length] = head;
    if length >= 0x80 {
        bail!("an answer longer than any that is expected here");
    }
    let mut body = vec![0; length.into()];
    stream.read_exact(&mut body)?;
    Ok(Some((first, body)))
}

fn name(first: u8, body: &[u8]) -> String {
    let (kind, code) = match first >> 4 {
        2 => ("connack", body.get(1)),
        4 => ("puback", body.get(2)),
        9 => ("suback", body.last()),
        14 => ("disconnect", body.first()),
        _ => return format!("{first:02x} {body:02x?}"),
    };
    format!("{kind} {:02x}", code.unwrap_or(&0))
}

fn no_properties(level: u8) -> &'static [u8] {
    if level == V5 { &[0] } else { &[] }
}

fn field(bytes: &[u8]) -> Vec<u8> {
    let length = u16::try_from(bytes.len()).expect("a short field");
    [&length.to_be_bytes(), bytes].concat()
}

pub(super) fn packet(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    let mut left = body.len();
    loop {
        let more = if left > 0x7F { 0x80 } else { 0 };
        bytes.push((left % 0x80) as u8 | more);
        left /= 0x80;
        if left == 0 {
            break;
        }
    }
    bytes.extend(body);
    bytes
}
