//! SDK for Rust and the headless terminal.

pub mod files;
pub mod media;
