//! The system call that the standard library does not wrap: the mask of modes for new files.
#![expect(unsafe_code, reason = "umask(2) has no safe wrapper in the standard library")]

/// What this process creates from now on, only its own user can read: folders 0700, files 0600.
pub fn make_files_private() {
    // SAFETY: umask takes an integer, cannot fail and touches no memory of ours.
    unsafe { libc::umask(0o077) };
}
