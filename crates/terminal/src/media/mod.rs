//! The media connection of a terminal: encoded files go out, what arrives is ordered, counted and checked.
//!
//! [`peer::MediaPeer`] is the connection without I/O; [`join`] fetches the one answer; [`connection`] is the socket
//! around them. The rest are their pure parts.

pub mod check;
mod cipher;
pub mod clip;
pub mod connection;
pub mod frames;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;
pub mod join;
mod lines;
pub mod peer;
pub mod playback;
pub mod receiver;
pub mod record;
pub mod reorder;
pub mod report;
mod sender;
pub mod vp8;
