//! What the caller decides.

use std::time::Duration;

use crate::codec::{EncodeError, Properties, PropertiesBuf, Property};
use crate::{QoS, Version};

/// How a client connects. Start from [`Options::new`].
#[derive(Clone, Debug)]
pub struct Options {
    pub version: Version,
    pub client_id: String,
    pub username: Option<String>,
    pub password: Option<Vec<u8>>,
    /// Clean Start of 5.0, Clean Session of 3.1.1: the server forgets what it kept.
    pub clean_start: bool,
    /// How long the server keeps the session after the connection, in seconds; 0xFFFF_FFFF is for ever. Only in 5.0;
    /// in 3.1.1 a session that is not clean is kept by the server's own limit.
    pub session_expiry_interval: u32,
    /// In seconds; 0 is none, and then a dead server is not noticed. The server may set another.
    pub keep_alive_s: u16,
    /// The most QoS 1 messages that the server may leave with us unacknowledged (told in 5.0 only).
    pub receive_maximum: u16,
    /// The largest packet in bytes that we take.
    pub packet_size_max: u32,
    /// The most QoS 1 messages of ours that are unacknowledged at a time.
    pub send_window: u16,
    /// The most messages of ours that wait; past it `publish` fails.
    pub waiting_max: usize,
    /// From CONNECT to CONNACK.
    pub connect_timeout: Duration,
    /// From PINGREQ to the next packet of the server.
    pub ping_timeout: Duration,
}

impl Options {
    /// A session that is kept for a day, keep alive 30 s, 16 messages in flight each way.
    pub fn new(version: Version, client_id: impl Into<String>) -> Self {
        Self {
            version,
            client_id: client_id.into(),
            username: None,
            password: None,
            clean_start: false,
            session_expiry_interval: 24 * 60 * 60,
            keep_alive_s: 30,
            receive_maximum: 16,
            packet_size_max: 1024 * 1024,
            send_window: 16,
            waiting_max: 1000,
            connect_timeout: Duration::from_secs(10),
            ping_timeout: Duration::from_secs(10),
        }
    }

    pub(super) fn connect_properties(&self) -> Result<PropertiesBuf, EncodeError> {
        let mut properties = PropertiesBuf::new();
        if !self.version.has_properties() {
            return Ok(properties);
        }
        if self.session_expiry_interval > 0 {
            properties.push(Property::SessionExpiryInterval(self.session_expiry_interval))?;
        }
        properties.push(Property::ReceiveMaximum(self.receive_maximum.max(1)))?;
        properties.push(Property::MaximumPacketSize(self.packet_size_max.max(1)))?;
        Ok(properties)
    }
}

/// A message to publish.
#[derive(Clone, Copy, Debug)]
pub struct Publication<'a> {
    pub topic: &'a str,
    pub qos: QoS,
    pub payload: &'a [u8],
    /// Left out in 3.1.1.
    pub properties: Properties<'a>,
}

impl<'a> Publication<'a> {
    pub const fn new(topic: &'a str, qos: QoS, payload: &'a [u8]) -> Self {
        Self { topic, qos, payload, properties: Properties::EMPTY }
    }
}
