//! The RTC server as a whole: real sockets on loopback, real DTLS and SRTP, str0m terminals.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]
#![expect(unreachable_pub, reason = "a test binary has no outside")]

mod client;
mod hostile;
mod join_endpoint;
mod life;
mod media;
mod stage;
