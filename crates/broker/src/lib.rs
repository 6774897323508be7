//! The MQTT broker: workers, transports, sessions, P2P, permissions.

mod acceptor;
pub mod access;
mod bridge;
mod broker;
mod client;
mod clock;
mod config;
pub mod http;
mod inbox;
mod interest;
pub mod login;
mod mailbox;
mod message;
mod shared;
mod stats;
mod store;
mod sys;
mod timers;
mod transport;
mod worker;

pub use bridge::pump::GROUP;
pub use broker::{Broker, Deps, StartError};
pub use config::{Bind, Config, ConfigError, Limits, Listener};
pub use shared::Fatal;
pub use stats::Stats;
pub use store::{RECORD_KINDS, RecoverError, Recovery, owns};
