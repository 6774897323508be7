//! The HTTP side of the process: listeners, the upgrade of `/mqtt`, embedded pages, health.
//!
//! Role crates bring their own routers; this module mounts them, bounds them and terminates TLS.

mod health;
mod listener;
mod pages;
mod upgrade;

pub use health::Health;
pub use listener::{Listener, serve};
pub use pages::Pages;
pub use upgrade::{AdoptWebSocket, mqtt_route};
