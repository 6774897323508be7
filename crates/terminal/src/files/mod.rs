//! Media files: encoded frames in, encoded frames out. No codec: what is read is what was encoded.
//!
//! Readers take a whole file from memory (sources are small and may be embedded); writers append one frame at a
//! time, so that a recording that ends by a kill is readable up to its last whole frame.

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod ivf;
pub mod ogg;
pub mod opus;

/// Why a media file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{0}: the file ends in the middle of {1}; it is cut off, make or copy it again")]
    CutOff(&'static str, &'static str),
    #[error("{0}: not such a file: {1}")]
    Malformed(&'static str, &'static str),
    #[error("{0}: codec {1:?} is not supported, encode as VP8 or Opus")]
    Codec(&'static str, String),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Takes the next `N` bytes off the front.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = bytes.split_first_chunk::<N>()?;
    *bytes = rest;
    Some(*head)
}

/// Takes `count` bytes off the front.
fn take_slice<'a>(bytes: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (head, rest) = bytes.split_at_checked(count)?;
    *bytes = rest;
    Some(head)
}
