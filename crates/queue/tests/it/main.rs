//! The embedded engine on the commit log.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

mod across_topics;
mod atomic_ack;
mod contract;
mod crash;
mod delay;
mod failing;
mod fifo;
mod looking;
mod receiving;
mod restart;
mod sent_again;
mod snapshots;
mod soak;
mod space;
mod space_crash;
mod throughput;
mod world;
