//! The media connection of a terminal.

pub mod check;
mod cipher;
pub mod clip;
pub mod frames;
pub mod playback;
pub mod receiver;
pub mod reorder;
pub mod report;
pub mod vp8;
