//! The broker's side, in two halves with a small enum between them.
//!
//! ```text
//!   bytes, now ──► Connection ──► Request ──► (the caller) ──► Session ──► HandOut
//!   out bytes ◄── Connection ◄── accept, puback, suback, publish … ◄────────┘
//! ```
//!
//! A [`Connection`] lives as long as its transport. A [`Session`] lives as long as the client wants it. Where a
//! session lives on another node than its connection, [`Request`] is what crosses the wire.

mod capability;
mod config;
mod connection;
mod input;
mod request;

pub use crate::session::{
    ClientSubscription, Full, HandOut, Priority, Restart, SEND_WINDOW_MAX, Session, SessionLimits, Subscribed,
};
pub use capability::{MAXIMUM_QOS, check_subscribe, granted_qos};
pub use config::ConnectionConfig;
pub use connection::{Accept, Connection, Counters, Sent};
pub use input::Input;
pub use request::{Close, Request};
