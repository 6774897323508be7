//! System calls that the standard library does not wrap: the mask of modes for new files, the limit of descriptors, the
//! size of a file system.
#![expect(
    unsafe_code,
    reason = "umask(2), getrlimit(2), setrlimit(2) and statvfs(3) have no safe wrapper in the standard library"
)]

use std::ffi::CString;
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::path::Path;

/// What this process creates from now on, only its own user can read: folders 0700, files 0600.
pub fn make_files_private() {
    // SAFETY: umask takes an integer, cannot fail and touches no memory of ours.
    unsafe { libc::umask(0o077) };
}

/// Raises the number of descriptors that this process may have to the most that it may ask for, and returns it.
///
/// # Errors
/// What `getrlimit(2)` reports. If it cannot be raised, the limit stays as it is.
pub(crate) fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the call writes one rlimit to the place that it is given, which lives until it returns.
    if unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) } != 0 {
        return Err(io::Error::last_os_error());
    }
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, rlim_max: limit.rlim_max };
    // SAFETY: the call reads one rlimit from the place that it is given.
    let is_raised = unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const raised) } == 0;
    Ok(if is_raised { limit.rlim_max } else { limit.rlim_cur })
}

/// What a file system has, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileSystem {
    pub(crate) size: u64,
    /// For programs without special rights.
    pub(crate) free: u64,
}

/// The file system that this path is on.
///
/// # Errors
/// What `statvfs(3)` reports.
pub(crate) fn file_system(path: &Path) -> io::Result<FileSystem> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    let mut found = std::mem::MaybeUninit::<libc::statvfs>::uninit();
    // SAFETY: the call reads a text that ends with 0 and writes one statvfs; both live until it returns.
    if unsafe { libc::statvfs(path.as_ptr(), found.as_mut_ptr()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the call has succeeded, and so has written it.
    let found = unsafe { found.assume_init() };
    let bytes = |blocks: u64| blocks.saturating_mul(found.f_frsize);
    Ok(FileSystem { size: bytes(found.f_blocks), free: bytes(found.f_bavail) })
}
