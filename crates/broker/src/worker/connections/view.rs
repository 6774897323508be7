//! What owners see of the connection of a client.

use std::time::Instant;

use accounts::clients as shown;
use mqtt::Version;

use super::Connections;
use crate::worker::action::Now;
use crate::worker::post::ConnectionKey;

impl Connections {
    /// `None`: it is not let in yet, or has ended. Its times are told by the clock as it goes now, however it was set.
    pub(in crate::worker) fn view(&self, key: ConnectionKey, now: Now) -> Option<shown::ConnectionState> {
        let connection = self.get(key)?;
        let ms_of = |then: Instant| {
            let ago = now.instant.saturating_duration_since(then);
            now.ms.saturating_sub(u64::try_from(ago.as_millis()).unwrap_or(u64::MAX))
        };
        let since_ms = ms_of(connection.connected()?.since);
        let last_packet_ms = ms_of(connection.mqtt.last_packet_at());
        Some(shown::ConnectionState {
            since_ms,
            address: connection.peer.to_string(),
            protocol: match connection.mqtt.version() {
                Version::V311 => shown::Protocol::V311,
                Version::V5 => shown::Protocol::V5,
            },
            tls: connection.transport.is_encrypted(),
            websocket: connection.transport.is_websocket(),
            keep_alive_s: connection.mqtt.keep_alive_s(),
            last_packet_ms: last_packet_ms.max(since_ms),
        })
    }
}
