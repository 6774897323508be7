//! rustls, driven by hand: the socket's bytes in, plain bytes out, and back.

use std::io::{self, ErrorKind, Read as _, Write as _};

use mio::net::TcpStream;
use rustls::ServerConnection;

use super::{TransportError, consume};

/// What rustls encrypts ahead of the socket: its default limit.
pub(super) const AHEAD_BYTES_MAX: usize = 64 << 10;

/// Takes all of `raw` and appends what it decrypts to. `true`: the peer closed the TLS session.
pub(super) fn decrypt(tls: &mut ServerConnection, mut raw: &[u8], plain: &mut Vec<u8>) -> Result<bool, TransportError> {
    // Once without new bytes: a session that was taken apart elsewhere may hold decrypted bytes.
    loop {
        if !raw.is_empty() {
            tls.read_tls(&mut raw)?;
        }
        let state = tls.process_new_packets()?;
        let wanted = state.plaintext_bytes_to_read();
        let start = plain.len();
        plain.resize(start + wanted, 0);
        let read = read_plain(tls, &mut plain[start..])?;
        plain.truncate(start + read);
        if state.peer_has_closed() {
            return Ok(true);
        }
        if raw.is_empty() {
            return Ok(false);
        }
    }
}

fn read_plain(tls: &mut ServerConnection, into: &mut [u8]) -> io::Result<usize> {
    let mut done = 0;
    while done < into.len() {
        match tls.reader().read(&mut into[done..]) {
            Ok(0) => break,
            Ok(read) => done += read,
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::UnexpectedEof) => break,
            Err(error) => return Err(error),
        }
    }
    Ok(done)
}

/// Moves `out` through TLS into the socket until one of them takes no more.
pub(super) fn encrypt(
    tls: &mut ServerConnection,
    socket: &mut TcpStream,
    out: &mut Vec<u8>,
) -> Result<(), TransportError> {
    loop {
        // rustls takes what its own bounded buffer has room for.
        let taken = if out.is_empty() { 0 } else { tls.writer().write(out)? };
        consume(out, taken);
        if !write_records(tls, socket)? || (taken == 0 && !tls.wants_write()) {
            return Ok(());
        }
    }
}

/// `false`: the socket is full.
fn write_records(tls: &mut ServerConnection, socket: &mut TcpStream) -> Result<bool, TransportError> {
    while tls.wants_write() {
        match tls.write_tls(socket) {
            Ok(0) => return Err(io::Error::from(ErrorKind::WriteZero).into()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(true)
}
