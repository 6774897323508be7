//! The system calls that the standard library does not wrap.
#![expect(unsafe_code, reason = "kill(2) and umask(2) have no safe wrapper in the standard library")]

use std::io;

/// Sends a signal to a process of ours.
pub(crate) fn signal(process: u32, signal: i32) -> io::Result<()> {
    let process = i32::try_from(process).map_err(|_| io::ErrorKind::InvalidInput)?;
    // SAFETY: kill takes two integers and touches no memory of ours.
    match unsafe { libc::kill(process, signal) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// What this process makes from now on, only its own user can read: folders 0700, files 0600.
pub fn make_files_private() {
    // SAFETY: umask takes an integer, cannot fail and touches no memory of ours.
    unsafe { libc::umask(0o077) };
}
