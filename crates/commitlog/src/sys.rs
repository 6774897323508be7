//! The system calls that the standard library does not wrap: the reservation of space for a file, what is left of it, and
//! the exchange of two names.
#![expect(
    unsafe_code,
    reason = "fallocate(2), fstatvfs(3) and renameat2(2) have no safe wrapper in the standard library"
)]

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

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

/// Gives each of two files the name of the other.
pub(crate) fn exchange(one: &Path, other: &Path) -> io::Result<()> {
    let name = |path: &Path| CString::new(path.as_os_str().as_bytes()).map_err(io::Error::other);
    let (one, other) = (name(one)?, name(other)?);
    // SAFETY: both are strings that end with a zero and live until it returns.
    let exchanged =
        unsafe { libc::renameat2(libc::AT_FDCWD, one.as_ptr(), libc::AT_FDCWD, other.as_ptr(), libc::RENAME_EXCHANGE) };
    if exchanged == 0 {
        return Ok(());
    }
    let error = io::Error::last_os_error();
    match error.raw_os_error() {
        // A file system that does not know the flag, and a kernel that does not know the call.
        Some(libc::EINVAL | libc::ENOSYS) => Err(io::ErrorKind::Unsupported.into()),
        _ => Err(error),
    }
}

/// Bytes that this user may still take of the file system that holds `file`.
pub(crate) fn free_space(file: &File) -> io::Result<u64> {
    let mut space = MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the pointer is to memory of that type; the descriptor is open while `file` is borrowed.
    if unsafe { libc::fstatvfs(file.as_raw_fd(), space.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: fstatvfs has filled it, as it returned 0.
    let space = unsafe { space.assume_init() };
    Ok(space.f_bavail.saturating_mul(space.f_frsize))
}
