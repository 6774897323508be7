//! A message inside the broker: made once, referred to by every inbox and receiver.

use std::ops::Deref;
use std::sync::Arc;

use mqtt::codec::{Properties, PropertiesBuf, Property, Publish};
use mqtt::{Delivery, QoS};

use crate::memory::{Charge, Meter};
use crate::over::Over;
use crate::stamps::{self, Stamps, is_stamp};

/// Never.
pub(crate) const NEVER_MS: u64 = u64::MAX;

/// The key and the version that collapse messages of one inbox.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Collapse {
    pub(crate) key: Box<str>,
    pub(crate) version: u64,
}

/// What is published, without what belongs to one hop (packet id, DUP, alias, subscription ids).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Shared with what its connection knows of the topic.
    pub(crate) topic: Arc<str>,
    /// Encoded PUBLISH properties as they are forwarded.
    pub(crate) properties: Box<[u8]>,
    pub(crate) payload: Box<[u8]>,
    /// The QoS it was sent with; a receiver gets at most this.
    pub(crate) qos: QoS,
    pub(crate) arrived_ms: u64,
    /// The sender's own expiry; [`NEVER_MS`] if there is none.
    pub(crate) expires_at_ms: u64,
    pub(crate) collapse: Option<Collapse>,
}

/// A message that many refer to; its memory is charged as long as one of them does.
#[derive(Clone, Debug)]
pub(crate) struct SharedMessage(Arc<ChargedMessage>);

#[derive(Debug)]
struct ChargedMessage {
    message: Message,
    #[expect(dead_code, reason = "held for its drop")]
    charge: Charge,
}

impl SharedMessage {
    pub(crate) fn new(message: Message, meter: &Arc<Meter>) -> Self {
        let charge = Charge::new(meter, message.held_bytes());
        Self(Arc::new(ChargedMessage { message, charge }))
    }

    #[cfg(test)]
    pub(crate) fn holders(&self) -> usize {
        Arc::strong_count(&self.0)
    }
}

impl Deref for SharedMessage {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.0.message
    }
}

/// For tests that look at no memory.
#[cfg(test)]
impl From<Message> for SharedMessage {
    fn from(message: Message) -> Self {
        Self::new(message, &Arc::default())
    }
}

impl Message {
    /// Bytes that count against an inbox.
    pub(crate) fn size(&self) -> u32 {
        let bytes = self.topic.len() + self.properties.len() + self.payload.len();
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }

    /// Bytes of memory that it takes.
    pub(crate) fn held_bytes(&self) -> usize {
        let collapse = self.collapse.as_ref().map_or(0, |collapse| collapse.key.len());
        size_of::<Self>() + self.topic.len() + self.properties.len() + self.payload.len() + collapse
    }

    /// It has expired for a client that is connected.
    pub(crate) fn is_over(&self, over: Over) -> bool {
        over.is_over(self.expires_at_ms.saturating_add(1))
    }

    /// As a PUBLISH with this delivery and properties.
    pub(crate) fn as_publish<'a>(&'a self, delivery: Delivery, properties: Properties<'a>) -> Publish<'a> {
        Publish { delivery, retain: false, topic: &self.topic, properties, payload: &self.payload }
    }

    /// With the stamps of a message for subscribers. The bytes were checked when the message was made.
    pub(crate) fn properties(&self) -> Properties<'_> {
        Properties::kept_publish(&self.properties)
    }

    /// As all but services see them.
    pub(crate) fn unstamped(&self) -> Properties<'_> {
        stamps::without(self.properties())
    }

    /// What is left of the sender's expiry in seconds, at least 1 [MQTT5-3.3.2-6]. `None`: it has none.
    pub(crate) fn expiry_left_s(&self, over: Over) -> Option<u32> {
        if self.expires_at_ms == NEVER_MS {
            return None;
        }
        let left = over.left_ms(self.expires_at_ms).div_ceil(1000).max(1);
        Some(u32::try_from(left).unwrap_or(u32::MAX))
    }
}

/// Properties of a message that came from a client, for receivers: without the alias, which belongs to the connection, and
/// without stamps of its own making.
pub(crate) fn forwardable(properties: Properties<'_>, stamps: Option<&Stamps<'_>>) -> Box<[u8]> {
    if stamps.is_none() && properties.iter().all(is_forwarded) {
        return properties.as_bytes().into();
    }
    let mut kept = PropertiesBuf::new();
    if let Some(stamps) = stamps {
        stamps.push(&mut kept);
    }
    for property in properties.iter().filter(|property| is_forwarded(*property)) {
        // What was decoded can be encoded.
        let _ = kept.push(property);
    }
    kept.into_bytes().into()
}

fn is_forwarded(property: Property<'_>) -> bool {
    match property {
        Property::TopicAlias(_) | Property::SubscriptionIdentifier(_) => false,
        Property::UserProperty(name, _) => !is_stamp(name),
        _ => true,
    }
}

/// How long a message with an expiry of 0 may take to clients that are connected.
const TO_CONNECTED_MS: u64 = 1000;

/// When a message with this expiry, arrived at `arrived_ms`, is no longer delivered.
pub(crate) fn expiry_at(arrived_ms: u64, expiry_s: Option<u32>) -> u64 {
    match expiry_s {
        None => NEVER_MS,
        Some(0) => arrived_ms.saturating_add(TO_CONNECTED_MS),
        Some(seconds) => arrived_ms.saturating_add(u64::from(seconds) * 1000),
    }
}

/// The expiry of a message whose parent topic keeps messages for so long at most.
pub(crate) fn kept(expiry_s: Option<u32>, kept_s: Option<u32>) -> Option<u32> {
    expiry_s.into_iter().chain(kept_s).min()
}

/// Whether a message with this expiry waits for a receiver that is off: 0 is only for clients that are connected.
pub(crate) fn waits(expiry_s: Option<u32>) -> bool {
    expiry_s != Some(0)
}
