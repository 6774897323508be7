//! The system call that the standard library does not wrap: the reservation of space for a file.
#![expect(unsafe_code, reason = "fallocate(2) has no safe wrapper in the standard library")]

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd as _;

/// Makes the file `len` bytes long, with space for all of them. Does nothing where the file system cannot reserve
/// space.
pub(crate) fn allocate(file: &File, len: u64) -> io::Result<()> {
    let len = libc::off_t::try_from(len).map_err(io::Error::other)?;
    loop {
        // SAFETY: fallocate touches no memory of ours; the descriptor is open while `file` is borrowed.
        if unsafe { libc::fallocate(file.as_raw_fd(), 0, 0, len) } == 0 {
            return Ok(());
        }
        let error = io::Error::last_os_error();
        match error.kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::Unsupported => return Ok(()),
            _ => return Err(error),
        }
    }
}
