//! What an operator may set, and every limit that the network can run into.

use limiter::Rate;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

/// Everything that [`Broker::start`](crate::Broker::start) needs to know.
#[derive(Debug)]
pub struct Config {
    pub listeners: Vec<Listener>,
    /// Workers, 1 to 64.
    pub threads: usize,
    pub limits: Limits,
    /// Parent topics whose messages go to a client before all others.
    pub urgent_parents: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        Self { listeners: Vec::new(), threads, limits: Limits::default(), urgent_parents: Vec::new() }
    }
}

/// A socket that accepts MQTT over TCP or TLS. WebSocket connections come through
/// [`Broker::adopt_websocket`](crate::Broker::adopt_websocket).
#[derive(Debug)]
pub struct Listener {
    pub bind: Bind,
    pub tls: Option<Arc<rustls::ServerConfig>>,
}

#[derive(Debug)]
pub enum Bind {
    Address(SocketAddr),
    /// Bound by the caller.
    Socket(TcpListener),
}

#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections in all, those before their CONNECT included.
    pub connections_max: usize,
    /// Connections from one IPv4 address or one IPv6 /64.
    pub connections_per_address_max: usize,
    /// From the accept to the CONNACK, TLS included.
    pub connect_deadline: Duration,
    /// The longest keep alive; a client that asks for more, or for none, gets this one.
    pub keep_alive_max: Duration,
    pub payload_bytes_max: usize,
    pub packet_bytes_max: u32,
    /// PUBLISHes of one client without an answer.
    pub receive_maximum: u16,
    pub subscriptions_max: usize,
    /// Messages that one connection of an end user publishes; beyond it the connection is read more slowly.
    pub user_publishes: Rate,
    /// Messages in flight to one client.
    pub send_window: u16,
    /// Bytes that wait for one slow reader; beyond it QoS 0 is dropped and QoS 1 stays in the inbox.
    pub out_bytes_max: usize,
    pub inbox_messages_max: usize,
    pub inbox_bytes_max: u64,
    /// The same for a session that ends with its connection, which waits in memory and not in the log.
    pub memory_inbox_bytes_max: u64,
    /// Memory of messages and buffers of all clients together; beyond it PUBLISHes and logins are refused. 0: no limit.
    pub memory_bytes_max: u64,
    /// How long a message waits at most.
    pub offline_retention: Duration,
    /// How long a 3.1.1 session waits for its client.
    pub session_expiry_v311: Duration,
    /// The longest session expiry of a 5.0 client.
    pub session_expiry_max: Duration,
    /// Messages of one worker whose receiver is being looked up.
    pub lookups_waiting_max: usize,
    /// Bytes of them; beyond either the sender is told to try again.
    pub lookups_bytes_max: usize,
    /// Messages of one queue topic that are on their way into inboxes.
    pub from_queue_max: usize,
    /// How long a message of the queue stays hidden while it goes into an inbox.
    pub from_queue_invisible: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 3600);
        Self {
            connections_max: 1_000_000,
            connections_per_address_max: 20_000,
            connect_deadline: Duration::from_secs(10),
            keep_alive_max: Duration::from_secs(480),
            payload_bytes_max: 64 << 10,
            packet_bytes_max: 128 << 10,
            receive_maximum: 128,
            subscriptions_max: 30,
            user_publishes: Rate { burst: 200, per_second: 50 },
            send_window: 32,
            out_bytes_max: 256 << 10,
            inbox_messages_max: 10_000,
            inbox_bytes_max: 64 << 20,
            memory_inbox_bytes_max: 4 << 20,
            memory_bytes_max: 1 << 30,
            offline_retention: 3 * DAY,
            session_expiry_v311: 30 * DAY,
            session_expiry_max: 30 * DAY,
            lookups_waiting_max: 10_000,
            lookups_bytes_max: 16 << 20,
            from_queue_max: 256,
            from_queue_invisible: Duration::from_secs(30),
        }
    }
}

/// A configuration that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("threads is {0}: set 1 to 64")]
    Threads(usize),
    #[error("the limit {name} is {value}: {remedy}")]
    Limit { name: &'static str, value: u64, remedy: &'static str },
}

impl Config {
    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        if !(1..=crate::mailbox::WORKERS_MAX).contains(&self.threads) {
            return Err(ConfigError::Threads(self.threads));
        }
        let limits = &self.limits;
        let at_least = [
            ("connections_max", limits.connections_max as u64, 1),
            ("receive_maximum", u64::from(limits.receive_maximum), 1),
            ("send_window", u64::from(limits.send_window), 1),
            ("packet_bytes_max", u64::from(limits.packet_bytes_max), 1024),
            ("out_bytes_max", limits.out_bytes_max as u64, 1024),
            ("from_queue_max", limits.from_queue_max as u64, 1),
        ];
        for (name, value, min) in at_least {
            if value < min {
                return Err(ConfigError::Limit { name, value, remedy: "it is too small to work with" });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_that_cannot_work_are_named() {
        let none = Config { threads: 0, ..Config::default() };
        assert_eq!(none.check(), Err(ConfigError::Threads(0)));
        let limits = Limits { send_window: 0, ..Limits::default() };
        let error = Config { limits, threads: 1, ..Config::default() }.check();
        assert!(matches!(error, Err(ConfigError::Limit { name: "send_window", value: 0, .. })));
        assert_eq!(Config { threads: 2, ..Config::default() }.check(), Ok(()));
    }
}
