//! Messages as they are sent and handed out, requests to receive them, and descriptions of topics.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::names::{GroupName, TopicName};

/// What a topic does with its messages. Each takes messages of its own type alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TopicType {
    #[default]
    Normal,
    /// Messages have a group. Those of one message group are handed out in their order, to each consumer group one at a time.
    Fifo,
    /// Messages are handed out from their delivery time on.
    Delay,
    /// Messages are handed out once their sender has committed them. No engine offers it yet.
    Transaction,
}

impl TopicType {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Normal => "normal",
            Self::Fifo => "fifo",
            Self::Delay => "delay",
            Self::Transaction => "transaction",
        }
    }
}

impl fmt::Display for TopicType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A message as its sender created it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message {
    /// Search terms for people.
    pub keys: Vec<String>,
    /// What [`TagFilter`] goes by.
    pub tag: Option<String>,
    pub properties: Vec<(String, String)>,
    pub body: Bytes,
    /// When the sender created it, milliseconds since 1970.
    pub born_ms: u64,
    /// Makes it one of a topic of type [`TopicType::Fifo`]: those of one message group are handed out in their order.
    pub message_group: Option<String>,
    /// Makes it one of a topic of type [`TopicType::Delay`]: it is handed out from then on, milliseconds since 1970. A time in
    /// the past means at once.
    pub deliver_at_ms: Option<u64>,
    /// The sender's own name for it, which comes back unchanged. Sent again under it within
    /// [`RECENT_IDS_TIME`](crate::limits::RECENT_IDS_TIME), a message is taken for the one that came first.
    pub client_message_id: Option<String>,
    /// Whose name for it that is, so that two senders may give theirs the same: an access key, for one. Kept with the message.
    pub sender: Option<String>,
}

impl Message {
    /// Returns the type of the topics that take this message.
    #[must_use]
    pub fn topic_type(&self) -> TopicType {
        match (&self.message_group, self.deliver_at_ms) {
            (Some(_), _) => TopicType::Fifo,
            (None, Some(_)) => TopicType::Delay,
            (None, None) => TopicType::Normal,
        }
    }

    /// Returns the bytes of its body, its texts and its numbers.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let texts = [&self.tag, &self.message_group, &self.client_message_id, &self.sender]
            .into_iter()
            .flatten()
            .chain(&self.keys);
        let properties = self.properties.iter().flat_map(|(name, value)| [name, value]);
        self.body.len() + texts.chain(properties).map(String::len).sum::<usize>() + 2 * size_of::<u64>()
    }

    /// Returns the value of the first property with that name.
    #[must_use]
    pub fn property(&self, name: &str) -> Option<&str> {
        self.properties.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }
}

/// The id of a message, given by the engine: unique within it, opaque.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId(pub(crate) Arc<str>);

impl MessageId {
    pub fn new(id: impl Into<Arc<str>>) -> Self {
        Self(id.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The right to acknowledge one hand-out of one message. Opaque; may be kept as text.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Receipt(pub(crate) Arc<str>);

impl Receipt {
    pub fn new(text: impl Into<Arc<str>>) -> Self {
        Self(text.into())
    }

    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

macro_rules! shown_as_text {
    ($($name:ident),*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

shown_as_text!(MessageId, Receipt);

/// A message that is handed out to a member of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    pub message_id: MessageId,
    pub topic: TopicName,
    pub message: Message,
    pub receipt: Receipt,
    /// 1 for the first hand-out to the group.
    pub attempt: u32,
}

/// Which messages of a topic a group wants. All members of a group use the same filter: what it leaves out counts as
/// consumed by the group.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum TagFilter {
    #[default]
    All,
    /// Messages that have one of these tags.
    Tags(BTreeSet<String>),
}

impl TagFilter {
    #[must_use]
    pub fn matches(&self, tag: Option<&str>) -> bool {
        match self {
            Self::All => true,
            Self::Tags(tags) => tag.is_some_and(|tag| tags.contains(tag)),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiveRequest {
    pub group: GroupName,
    pub topic: TopicName,
    pub filter: TagFilter,
    /// At most this many deliveries; more than `limits::RECEIVE_MAX` is taken as that.
    pub max: usize,
    /// How long to wait for the first message when there is none.
    pub wait: Duration,
    /// How long the messages are invisible to the rest of the group.
    pub invisible: Duration,
}

/// Settings of a consumer group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GroupOptions {
    /// Hand-outs of one message before it moves to the dead-letter topic.
    pub attempts_max: u32,
    /// Its consumers take the messages of a message group one after the other, and give up themselves what they cannot
    /// process. The engine hands out in order anyway, wherever messages have a group.
    pub is_fifo: bool,
}

impl Default for GroupOptions {
    fn default() -> Self {
        Self { attempts_max: 16, is_fifo: false }
    }
}

/// The messages of a topic, and what each of its groups has still to consume.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicDescription {
    pub topic: TopicName,
    pub topic_type: TopicType,
    /// Messages that at least one group has still to consume, or that no group has received yet.
    pub messages: u64,
    /// Messages that wait for their delivery time; they are not among those.
    pub delayed: u64,
    /// What they take of the engine's store, as far as it knows.
    pub bytes: u64,
    pub groups: Vec<GroupProgress>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupProgress {
    pub group: GroupName,
    /// Never handed out.
    pub waiting: u64,
    /// Handed out and invisible.
    pub in_flight: u64,
    /// Handed out before and due again.
    pub due_again: u64,
}
