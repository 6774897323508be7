//! Errors, one type for each operation. Each message names the thing, the cause and, where there is one, the remedy.

use thiserror::Error;

use crate::message::{MessageId, TopicType};
use crate::names::{GroupName, TopicName};

/// The queue cannot serve at the moment, or any more.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum Unavailable {
    /// Too much waits for the disk: try again shortly.
    #[error("the queue is busy: too much waits for the disk")]
    Busy,
    /// The disk is full, the log is as large as it may be, or its next segment cannot be made for another reason.
    #[error("the log has no room: free space on the disk of the data directory; another cause is in the server's log")]
    Full,
    /// Whether the operation took effect is unknown. The process has to be started again.
    #[error("the queue has failed: {0}")]
    Failed(String),
    #[error("the queue is closed")]
    Closed,
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SendError {
    #[error("topic {0} does not exist: create it first")]
    UnknownTopic(TopicName),
    #[error("the message is not allowed: {0}")]
    Invalid(InvalidMessage),
    #[error("topic {topic} is of type {topic_type}, the message is of type {message_type}: {}", remedy(*topic_type))]
    WrongType { topic: TopicName, topic_type: TopicType, message_type: TopicType },
    #[error("topic {0} holds as many messages as it may: let its groups consume them")]
    TopicFull(TopicName),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

fn remedy(topic_type: TopicType) -> &'static str {
    match topic_type {
        TopicType::Normal => "send it without message group and delivery time",
        TopicType::Fifo => "send it with a message group",
        TopicType::Delay => "send it with a delivery time",
        TopicType::Transaction => "send it in a transaction",
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum InvalidMessage {
    #[error("its body has {bytes} bytes, at most {max} are allowed")]
    BodyTooLarge { bytes: usize, max: usize },
    #[error("it has {count} properties, at most {max} are allowed")]
    TooManyProperties { count: usize, max: usize },
    #[error("its properties have {bytes} bytes, at most {max} are allowed")]
    PropertiesTooLarge { bytes: usize, max: usize },
    #[error("it has {count} keys, at most {max} are allowed")]
    TooManyKeys { count: usize, max: usize },
    #[error("its tag and keys have {bytes} bytes, at most {max} are allowed")]
    KeysTooLarge { bytes: usize, max: usize },
    #[error("its tag is blank, or has a '|' or a control character")]
    Tag,
    #[error("property {0:?} has a control character")]
    PropertyCharacter(String),
    #[error("its message group must have 1 to {max} bytes and no control character")]
    MessageGroup { max: usize },
    #[error("its client message id must have 1 to {max} bytes and no control character")]
    ClientMessageId { max: usize },
    #[error("its sender must have 1 to {max} bytes and no control character")]
    Sender { max: usize },
    #[error("it has a message group and a delivery time: only one of them is possible")]
    TwoTypes,
    #[error("its delivery time is {ahead_ms} ms ahead, at most {max_ms} are allowed")]
    DeliveryTime { ahead_ms: u64, max_ms: u64 },
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReceiveError {
    #[error("topic {0} does not exist: create it first")]
    UnknownTopic(TopicName),
    #[error("group {0} does not exist: create it first")]
    UnknownGroup(GroupName),
    #[error("the invisible time must be between {min_ms} and {max_ms} ms")]
    InvisibleTime { min_ms: u128, max_ms: u128 },
    #[error("group {group} has {max} receives waiting on topic {topic}: use fewer")]
    TooManyWaiters { group: GroupName, topic: TopicName, max: usize },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AckError {
    /// Not a receipt of this engine.
    #[error("not a receipt")]
    Malformed,
    /// Handed out before the engine was last started: the message comes again with a new receipt.
    #[error("the receipt is of start {receipt}, this is start {current}: the message is handed out again")]
    StaleEpoch { receipt: u64, current: u64 },
    /// Acknowledged before, changed since, or its invisible time is over.
    #[error("the receipt is not valid any more")]
    Expired,
    #[error("the invisible time must be at most {max_ms} ms")]
    InvisibleTime { max_ms: u128 },
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}

#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AdminError {
    #[error("there are {max} {what} already: remove some")]
    TooMany { what: &'static str, max: usize },
    #[error("group {0}: its name leaves no room for that of its dead letters")]
    GroupName(GroupName),
    #[error("topic {0} does not exist")]
    UnknownTopic(TopicName),
    #[error("group {0} does not exist")]
    UnknownGroup(GroupName),
    #[error("topic {topic} exists and is of type {is}: a topic keeps its type")]
    OtherType { topic: TopicName, is: TopicType },
    #[error("this queue has no topics of type {0}")]
    UnsupportedType(TopicType),
    #[error("{0} is no id of a message")]
    MessageId(MessageId),
    #[error(transparent)]
    Unavailable(#[from] Unavailable),
}
