//! What an owner makes, changes and sees of the names of the queue: topics and consumer groups. The values, and the trait
//! [`QueueNames`] by which the API is given them.

use crate::clients::{Answer, Turn};
use crate::server::QueueTopicState;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// The queue, as the API asks it for its names. A turn is held until what it was given for is done, also if nobody waits for that
/// any more.
pub trait QueueNames: Send + Sync {
    /// All queue topics, in the order of their names.
    fn topics(&self) -> Vec<QueueTopicState>;
    fn topic(&self, topic: &str) -> Option<QueueTopicState>;
    /// Whether a topic of this name and type could be made: `false`, it is there already.
    ///
    /// # Errors
    /// It could not.
    fn is_new_topic(&self, topic: &NewQueueTopic) -> Result<bool, NotMade>;
    /// Durable once it is answered. One that exists with this type stays as it is.
    fn create_topic(&self, topic: NewQueueTopic, turn: Turn) -> Answer<Result<(), NotMade>>;
    /// All consumer groups but those of the program itself, in the order of their names.
    fn groups(&self) -> Vec<ConsumerGroupState>;
    fn group(&self, group: &str) -> Option<ConsumerGroupState>;
    /// Whether a group of this name can be made.
    ///
    /// # Errors
    /// It cannot.
    fn check_group(&self, group: &str) -> Result<(), NotMade>;
    /// Creates the group, or changes it. Durable once it is answered.
    fn put_group(&self, group: NewConsumerGroup, turn: Turn) -> Answer<Result<(), NotMade>>;
}

/// Which messages a queue topic takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum QueueTopicType {
    /// Those with neither of these.
    #[default]
    Normal,
    /// Those with a message group, which are handed out in the order of their group.
    Fifo,
    /// Those with a delivery time.
    Delay,
    /// Those of a transaction. This server makes no such topics yet.
    Transaction,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewQueueTopic {
    pub topic: String,
    #[serde(rename = "type")]
    pub topic_type: QueueTopicType,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NewConsumerGroup {
    pub group: String,
    pub max_attempts: u32,
    pub fifo: bool,
}

/// A consumer group, and what it has still to consume of each topic from which it receives.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConsumerGroupState {
    #[schema(example = "shop")]
    pub group: String,
    /// Hand-outs of one message before it is a dead letter.
    pub max_attempts: u32,
    /// Its push consumers process the messages of a message group one after the other, and give up what they cannot process.
    pub fifo: bool,
    /// By the name of the topic.
    pub topics: Vec<ConsumedTopicState>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct ConsumedTopicState {
    pub topic: String,
    /// Never handed out.
    pub waiting: u64,
    /// Handed out, and not acknowledged.
    pub in_flight: u64,
    /// Handed out in vain, and to be handed out again.
    pub due_again: u64,
}

/// Why a topic or a group was not made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotMade {
    #[error(
        "{name} can be no name of a {what}: use up to 120 letters, digits, - and _, beginning neither with %DLQ% nor with \
         convoke-"
    )]
    Name { what: &'static str, name: String },
    #[error(
        "there is a queue topic {topic} already, of the type {is}, and a topic keeps its type; choose another name or that type"
    )]
    OtherType { topic: String, is: String },
    #[error("this server makes no topics of the type {0} yet; take another one")]
    NoSuchType(&'static str),
    #[error("{0}; what there is stays as it is")]
    TooMany(String),
    #[error("the queue cannot make it at the moment: {0}")]
    Unavailable(String),
}
