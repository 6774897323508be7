//! The HTTP side of the process: listeners, the upgrade of `/mqtt`, embedded pages, health.
//!
//! Role crates bring their own routers; this module mounts them, bounds them and terminates TLS.

mod health;
mod host;
mod listener;
mod metrics;
mod pages;
mod upgrade;

pub use health::Health;
pub use listener::{Listener, ListenerCounts, accept, serve};
pub use metrics::Metrics;
pub use pages::{MISSING as PAGES_MISSING, Pages};
pub use upgrade::{AdoptWebSocket, mqtt_route};

/// Paths that programs call: their errors are JSON, not text.
fn is_api_path(path: &str) -> bool {
    path.starts_with("/api/") || path.starts_with("/rtc/")
}
