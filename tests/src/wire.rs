//! Raw bytes over one socket: whole exchanges, also those that a client library would not send.

use anyhow::{Context, Result, bail};
use serde_json::Value;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// A server that has not ended a connection by then does not mean to.
const PATIENCE: Duration = Duration::from_secs(5);

pub fn dial(server: SocketAddr) -> Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&server, PATIENCE).context("no connection to the server")?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    Ok(stream)
}

/// Sends `bytes` on a new connection and answers all that came back until the server ended it.
///
/// # Errors
/// The server did not end it.
pub fn exchange(server: SocketAddr, bytes: &[u8]) -> Result<Vec<u8>> {
    finish(&mut dial(server)?, bytes)
}

/// The same on an open connection.
///
/// # Errors
/// The server did not end it.
pub fn finish(stream: &mut TcpStream, bytes: &[u8]) -> Result<Vec<u8>> {
    // A server that refuses what it has read so far may end the connection before the rest is sent.
    let _ = stream.write_all(bytes);
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Ok(_) => Ok(answer),
        Err(e) if e.kind() == ErrorKind::ConnectionReset => Ok(answer),
        Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
            bail!("the server neither answered to the end nor closed; so far {answer:02x?}")
        }
        Err(e) => Err(e).context("the connection broke"),
    }
}

/// A whole answer of an HTTP/1.1 server.
#[derive(Debug)]
pub struct HttpAnswer {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl HttpAnswer {
    /// Status and stable code of a refusal (RFC 9457).
    ///
    /// # Errors
    /// The answer is no problem+json, lacks its words, or contradicts itself.
    pub fn problem(&self) -> Result<(u16, String)> {
        let body: Value = serde_json::from_str(&self.body).with_context(|| format!("no JSON: {self:?}"))?;
        let words = body["title"].as_str().zip(body["detail"].as_str());
        let is_told = words.is_some_and(|(title, detail)| !title.is_empty() && !detail.is_empty());
        if self.content_type != "application/problem+json" || body["status"] != self.status || !is_told {
            bail!("no problem+json: {self:?}");
        }
        Ok((self.status, body["code"].as_str().context("no code")?.to_owned()))
    }
}

/// One request on a connection of its own. `head`: header lines without line ends.
///
/// # Errors
/// No whole answer came.
pub fn http(server: SocketAddr, request_line: &str, head: &[&str], body: &[u8]) -> Result<HttpAnswer> {
    let lines: String = head.iter().map(|line| format!("{line}\r\n")).collect();
    let length = body.len();
    let mut bytes = format!(
        "{request_line} HTTP/1.1\r\nhost: {server}\r\nconnection: close\r\ncontent-length: {length}\r\n{lines}\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    http_of(server, &bytes)
}

/// Bytes that may or may not be a request, on a connection of their own.
///
/// # Errors
/// No whole answer of HTTP came.
pub fn http_of(server: SocketAddr, bytes: &[u8]) -> Result<HttpAnswer> {
    parse(&exchange(server, bytes)?)
}

fn parse(bytes: &[u8]) -> Result<HttpAnswer> {
    let text = String::from_utf8_lossy(bytes);
    let (head, body) = text.split_once("\r\n\r\n").with_context(|| format!("no HTTP answer: {text:?}"))?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|code| code.parse().ok());
    let content_type =
        lines.find_map(|line| line.to_ascii_lowercase().strip_prefix("content-type: ").map(str::to_owned));
    Ok(HttpAnswer {
        status: status.with_context(|| format!("no status: {head:?}"))?,
        content_type: content_type.unwrap_or_default(),
        body: body.to_owned(),
    })
}
