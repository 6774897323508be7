//! The limits of one listener's connections.

use std::time::Duration;

/// Shared by all connections of a listener.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// From the first byte of the transport to the CONNACK.
    pub connect_deadline: Duration,
    /// The largest CONNECT in bytes: what a stranger may make us hold.
    pub connect_packet_size_max: u32,
    /// The largest packet in bytes after that; told to 5.0 clients.
    pub packet_size_max: u32,
    /// The most PUBLISHes of a client that we leave unacknowledged. A 5.0 client that sends more has broken a rule
    /// [MQTT5-3.3.4-7]; a 3.1.1 client cannot know it, so its further packets wait.
    pub receive_maximum: u16,
    /// The longest keep alive in seconds; 0 is no limit. A client that asks for more, or for none, gets this one.
    pub keep_alive_max_s: u16,
    /// The most SUBSCRIBEs and UNSUBSCRIBEs without an answer; further packets wait.
    pub subscribes_pending_max: u16,
    /// Accept protocol level 3 (`MQIsdp`).
    pub accept_3_1: bool,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            connect_deadline: Duration::from_secs(10),
            connect_packet_size_max: 16 * 1024,
            packet_size_max: 128 * 1024,
            receive_maximum: 128,
            keep_alive_max_s: 1200,
            subscribes_pending_max: 16,
            accept_3_1: false,
        }
    }
}
