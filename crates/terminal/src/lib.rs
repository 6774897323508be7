//! SDK for Rust and the headless terminal.

pub mod core;
pub mod event;
pub mod files;
pub mod media;
pub mod store;
