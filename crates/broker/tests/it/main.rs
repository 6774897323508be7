//! The whole broker over real sockets: real log, real queue, real catalog.
#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

mod abuse;
mod brittle;
mod busy;
mod certificates;
mod crashes;
mod durability;
mod expiry;
mod grants;
mod jwt;
mod kept;
mod keys;
mod login;
mod owner;
mod p2p;
mod pipe;
mod pumps;
mod queue_bridge;
mod reclaim;
mod removal;
mod sessions;
mod snapshots;
mod stamps;
mod subscriptions;
mod terminal;
mod tokens;
mod transports;
mod world;
