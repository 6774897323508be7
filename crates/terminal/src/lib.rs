//! SDK for Rust and the headless terminal.
