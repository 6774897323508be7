//! The MQTT broker: workers, transports, sessions, P2P.
//!
//! What it is: the shell around [`mqtt::server`]. Each worker is a thread with its own epoll; a client belongs to the
//! worker that its id hashes to, and its connection moves there after the CONNECT with everything that was read.
//! Sessions and inboxes live in memory and in the log; messages of the queue go into an inbox and are acknowledged to
//! the queue in one unit of the log. Who may connect and do what is decided by [`accounts`], from a published snapshot
//! of the catalog.
//!
//! What it is not: it upgrades no WebSocket ([`Broker::adopt_websocket`] takes over what was), replays no log (it is
//! fed by [`Recovery`]), and gives signalling no meaning.
//!
//! Contract:
//! - A PUBACK, SUBACK, UNSUBACK or CONNACK that promises to keep something leaves after the log is durable; delivery to
//!   live receivers does not wait for it.
//! - After a stop that was not clean everything that waits is sent with DUP: known packet ids are kept, new ones begin
//!   where no old one can be. After a clean stop only what was in flight carries DUP.
//! - Whatever one client does ends at most its own connection. Every queue and map that the network feeds has a limit
//!   in [`Limits`] or a constant beside it; what it drops or refuses is counted in [`Stats`].
//! - When the log has failed, nothing is acknowledged any more, and [`Deps::on_fatal`] is called.
//!
//! ```text
//!   acceptor ──► worker (epoll, connections, sessions, inboxes) ◄──posts──► other workers
//!                  │ append, durable        │ lookups, sends      ▲ notices
//!                  ▼                        ▼                     │
//!                 log                 run time: catalog, queue, pumps, online events
//! ```

mod acceptor;
mod bridge;
mod broker;
mod client;
mod complaint;
mod config;
mod connection_limiter;
mod fatal;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod inbox;
mod mailbox;
mod memory;
mod message;
mod messages_by_id;
mod over;
mod owner;
mod reason;
mod sessions;
mod shared;
mod stamps;
mod stats;
mod store;
mod sys;
mod timers;
mod transport;
mod worker;
mod workers_by_filter;

pub use bridge::pump::GROUP;
pub use broker::{Broker, Deps, StartError};
pub use config::{Bind, Config, ConfigError, Limits, Listener};
pub use fatal::Fatal;
pub use stats::{Figure, Stats};
pub use store::{RECORD_KINDS, RecoverError, Recovery, owns};
