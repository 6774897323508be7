//! The one system call that std does not wrap: `listen` with a longer backlog.
//!
//! std and mio ask for 128. A restart brings every terminal back within a second, and SYNs that overflow the backlog
//! come again only after one second.
#![expect(unsafe_code, reason = "listen(2) on a descriptor that the caller lends for the call")]

use std::io;
use std::net::TcpListener;
use std::os::fd::AsRawFd as _;

/// Connections that may wait to be accepted; the kernel caps it at `net.core.somaxconn`.
const BACKLOG: libc::c_int = 4096;

/// Calls `listen` again: on a listening socket it only changes the backlog.
///
/// # Errors
/// What `listen(2)` reports.
pub(crate) fn widen_backlog(listener: &TcpListener) -> io::Result<()> {
    // SAFETY: the descriptor is open for as long as `listener` is borrowed, and listen(2) touches no memory.
    let result = unsafe { libc::listen(listener.as_raw_fd(), BACKLOG) };
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
