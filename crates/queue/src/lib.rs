//! The durable message queue on the commit log.
//!
//! The [`Queue`] trait has the shape of RocketMQ 5, so that a real cluster fits behind it; [`Engine`] is the queue
//! of this process. Not here: the network protocol, permissions, and the meaning of messages.
//!
//! # What every engine promises
//! - **Sent is stored.** A send that was answered with an id survives whatever fails afterwards, and so do its order
//!   within one sender that waits for each answer, its tag, keys, properties and body.
//! - **At least once.** A message is handed to one member of each group and is invisible to the rest of the group. If
//!   it is neither acknowledged nor its invisible time changed, it is handed out again when that time is over, with the
//!   attempt counted; this also happens after every failure. A message that was answered with an error may still
//!   arrive.
//! - **Acknowledged is over.** After an answered `ack` the group never sees the message again.
//! - **A receipt is for one hand-out.** It ends when the invisible time is over, when it is changed, when it is used,
//!   and when the engine is started again: then [`AckError`] says so, and the message is handed out again unless it was
//!   acknowledged. So an acknowledgement that is repeated is refused.
//! - **Hand-outs are counted** also when their consumer dies: past `attempts_max` of them the message moves to the
//!   topic `%DLQ%<group>`, unchanged.
//! - **A new group starts at the oldest message** that the topic still holds. (RocketMQ starts at the newest.) A group
//!   belongs to a topic from its first receive there.
//! - **A topic has a type**, and refuses messages of another one ([`TopicType`]). Of a FIFO topic each group is handed one
//!   message of a message group at a time, in the order in which they were sent, over redelivery and restarts. Of a delay
//!   topic a message is handed out when its time has come (within a tenth of a second, if all is well), also when that
//!   was while the engine was off, and can be recalled until then.
//! - **What is sent again is stored once**: a message under the id of its sender that came to the topic a short while ago
//!   ([`limits::RECENT_IDS_TIME`], also before a restart) is answered with the id of the one that came first.
//! - **Only durable messages are handed out.** Messages stay until all groups of their topic have consumed them, and
//!   without a group as long as the retention time.
//! - **All members of a group use the same filter.** What it leaves out counts as consumed.
//! - **What is handed out has room**: a receive that is given a [`Room`] reserves there before it picks messages, and one for
//!   which there is none hands out nothing.
//! - **Nothing waits for ever**, and every refusal names its cause. Limits: [`limits`].
//!
//! `records.rs` describes the engine's records. Of the kinds in the log, `0x01..=0x1f` belong to the log itself,
//! [`RECORD_KINDS`] to the queue, `0x40..=0x7f` to the broker.
//!
//! # The queue and its consumer on one log
//! A consumer that keeps what it takes from the queue in the engine's own log makes both one unit: [`AtomicAck`], which
//! [`Queue::atomic_ack`] returns for that log and for no other.

mod atomic_ack;
#[cfg(any(test, feature = "contract"))]
pub mod contract;
mod core;
mod engine;
mod error;
#[cfg(any(test, feature = "fuzzing"))]
#[doc(hidden)]
pub mod fuzzing;
mod ids;
pub mod limits;
mod message;
mod names;
#[cfg(test)]
mod pinned;
mod queue;
mod receipt;
mod records;
mod room;
mod validation;

pub use atomic_ack::{AckRecord, AtomicAck};
pub use engine::{Engine, EngineOptions, LOOK_MAX, Look, RecoverError, Recovery, Seen};
pub use error::{AckError, AdminError, InvalidMessage, ReceiveError, SendError, Unavailable};
pub use message::{
    Delivery, GroupOptions, GroupProgress, Message, MessageId, Receipt, ReceiveRequest, TagFilter, TopicDescription,
    TopicType,
};
pub use names::{DEAD_LETTER_PREFIX, GroupName, NAME_BYTES_MAX, NameError, TopicName};
pub use queue::{BoxFuture, NotTaken, Queue, SendDone};
pub use records::{RECORD_KINDS, owns};
pub use room::{Place, Room};
