//! The terminal's parts together.
#![expect(clippy::panic, clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod call;
mod connection;
mod mirror;
mod pair;
mod person;
mod scenarios;
mod scripted_broker;
