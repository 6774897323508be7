//! The durable message queue on the commit log.

mod engine;
mod error;
pub mod limits;
mod message;
mod names;
mod queue;

pub use engine::{AckRecord, Engine, EngineOptions, RECORD_KINDS, RecoverError, Recovery, owns};
pub use error::{AckError, AdminError, InvalidMessage, ReceiveError, SendError, Unavailable};
pub use message::{
    Delivery, GroupOptions, GroupProgress, Message, MessageId, Receipt, ReceiveRequest, TagFilter, TopicDescription,
};
pub use names::{DEAD_LETTER_PREFIX, GroupName, NAME_BYTES_MAX, NameError, TopicName};
pub use queue::{BoxFuture, Queue, SendDone};
