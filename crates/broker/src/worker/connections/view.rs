//! What owners see of the connection of a client.

use accounts::clients as shown;
use mqtt::Version;

use super::Connections;
use crate::worker::action::Now;
use crate::worker::post::ConnectionKey;

impl Connections {
    /// `None`: it is not let in yet, or has ended.
    pub(in crate::worker) fn view(&self, key: ConnectionKey, now: Now) -> Option<shown::ConnectionState> {
        let connection = self.get(key)?;
        let since_ms = connection.connected()?.since_ms;
        let silent = now.instant.saturating_duration_since(connection.mqtt.last_packet_at());
        let last_packet_ms = now.ms.saturating_sub(u64::try_from(silent.as_millis()).unwrap_or(u64::MAX));
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
