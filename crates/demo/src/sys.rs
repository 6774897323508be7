//! The system call that the standard library does not wrap: a signal to a process.
#![expect(unsafe_code, reason = "kill(2) has no safe wrapper in the standard library")]

use std::io;

/// Sends a signal to a process of ours.
pub(super) fn signal(process: u32, signal: i32) -> io::Result<()> {
    let process = i32::try_from(process).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: kill takes two integers and touches no memory of ours.
    match unsafe { libc::kill(process, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
