//! What an owner publishes, sees and drops of messages: the values, and the trait [`Messages`] by which the API is given
//! them.

use crate::access::PublishRefusal;
use crate::clients::{Answer, Turn};
use crate::queue_names::QueueNames;
use serde::Serialize;
use std::collections::BTreeMap;
use utoipa::ToSchema;

/// Messages of one look, at most.
pub const LOOK_MAX: u32 = 200;
/// Bytes of a payload that are shown in a list.
pub const SHOWN_BYTES_MAX: usize = 1024;
/// The same of one message alone.
pub const SHOWN_ALONE_BYTES_MAX: usize = 64 * 1024;
/// The consumer group of the broker.
pub const BROKER_GROUP: &str = "convoke-broker";
/// Properties of a message that the broker has made a dead letter: why, and the queue topic that it came from.
pub const DEAD_REASON: &str = "deadLetterReason";
pub const DEAD_TOPIC: &str = "deadLetterTopic";

/// Broker and queue, as the API asks them. A turn is held until what it was given for is done, also if nobody waits for that
/// any more.
pub trait Messages: QueueNames {
    /// Publishes as the broker does for a service on MQTT.
    fn publish(&self, publication: Publication, turn: Turn) -> Answer<Result<Published, NotPublished>>;
    /// Whether the queue topic holds the message.
    fn holds(&self, topic: &str, message_id: &str) -> bool;
    fn look(&self, look: Look, turn: Turn) -> Answer<Result<Looked, NoMessages>>;
    /// Takes a message out of its topic, for good. `false`: there is none.
    fn remove(&self, topic: String, message_id: String, turn: Turn) -> Answer<Result<bool, NoMessages>>;
    /// One message; `None`: the topic does not hold it.
    fn show(&self, one: One, turn: Turn) -> Answer<Result<Option<StoredMessage>, NoMessages>>;
    /// Moves a dead letter to a topic, where it is a new message; its id there. `None`: there is no such letter. After a crash
    /// it is in one of the two.
    fn redrive(&self, redrive: Redrive, turn: Turn) -> Answer<Result<Option<String>, NoMessages>>;
    /// The queue topics from which a consumer group receives.
    fn topics_of(&self, group: &str) -> Vec<String>;
    /// The queue topic of the dead letters of a consumer group; `None`: no group can have this name.
    fn dead_letters_of(&self, group: &str) -> Option<String>;
}

/// A dead letter that is to be tried again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Redrive {
    /// The queue topic of the dead letters.
    pub from: String,
    pub message_id: String,
    pub to: String,
}

/// A message that an owner publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub by: Publisher,
    pub topic: String,
    pub payload: Vec<u8>,
    /// QoS 1; else 0.
    pub at_least_once: bool,
    pub expiry_s: Option<u32>,
    pub properties: BTreeMap<String, String>,
}

/// Whose rights count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Publisher {
    /// Of this access key, as on MQTT.
    Service(String),
    /// Of a key that is none of MQTT, and may do it by its scope: it is named so in the message.
    Owner(String),
}

/// Where a message went. What goes through the queue comes to its receivers from there.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct Published {
    /// The queue has it on disk.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<QueuePlace>,
    /// Of a P2P topic.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receiver: Option<ReceiverPlace>,
    /// Of any other.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subscribers: Option<SubscribersPlace>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct QueuePlace {
    pub topic: String,
    /// Its position in the queue's log, in hexadecimal digits.
    pub message_id: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ReceiverPlace {
    pub client_id: String,
    /// It was connected.
    pub online: bool,
    pub outcome: PlaceOutcome,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct SubscribersPlace {
    /// Subscribers that were connected.
    pub online: u64,
    /// Subscribers whose inboxes keep it on disk, connected or not.
    pub inboxes: u64,
    pub outcome: PlaceOutcome,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum PlaceOutcome {
    /// It is on disk until the receiver has it.
    Stored,
    /// It was sent, or is kept as long as the connection lasts.
    Sent,
    /// Nobody is there, and nothing waits.
    Nobody,
    /// The inbox is full.
    Full,
    /// The log has no room, or is in trouble.
    Unavailable,
}

/// Why a message went nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotPublished {
    #[error(
        "this can be no topic of a message: it is empty, too long, or has a wildcard or a character that no topic may have"
    )]
    Topic,
    #[error("{0}")]
    Refused(PublishRefusal),
    #[error("the payload is larger than the {max} bytes that this server takes")]
    TooLarge { max: usize },
    #[error("the properties cannot be sent")]
    Properties,
    #[error("the queue takes no such message: {0}")]
    Invalid(String),
    #[error("the server takes no messages at the moment: {0}")]
    Unavailable(String),
}

/// Which messages of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub topic: String,
    pub newest_first: bool,
    /// Behind this one, in that order.
    pub after: Option<String>,
    pub limit: u32,
    /// What clients are sent in person is shown, too: on MQTT nobody but the receiver gets it, and it may be what a call is
    /// joined with.
    pub with_p2p: bool,
}

/// Which message is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct One {
    pub topic: String,
    pub message_id: String,
    /// What clients are sent in person is shown, too: on MQTT nobody but the receiver gets it, and it may be what a call is
    /// joined with.
    pub with_p2p: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    pub messages: Vec<StoredMessage>,
    /// There are more behind them.
    pub has_more: bool,
}

/// A message that a queue topic holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub struct StoredMessage {
    pub message_id: String,
    pub stored_at_ms: u64,
    /// Left out, like the rest: the disk has damaged it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tag: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub keys: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub properties: BTreeMap<String, String>,
    /// The first 1,024 bytes as text, if they are text; of a message that is shown alone 65,536.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload: Option<String>,
    /// The same in base64, if they are none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_base64: Option<String>,
    /// Of the whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub payload_bytes: Option<u64>,
    /// It is for one client (P2P): payload and user properties are shown to keys with the scope `admin` alone.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub withheld: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoMessages {
    #[error("there is no queue topic {0}")]
    Topic(String),
    #[error("{0} is no id of a message")]
    Id(String),
    #[error(
        "the message is of the type {message_type}, and the queue topic {topic} takes those of the type {topic_type} alone; name a \
         topic of its type"
    )]
    OtherType { topic: String, topic_type: String, message_type: String },
    #[error("the disk has damaged the message, so that nobody can read it; it can be dropped")]
    Damaged,
    #[error("the queue cannot answer: {0}")]
    Unavailable(String),
}
