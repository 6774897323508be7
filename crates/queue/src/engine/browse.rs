//! What an owner sees of topics and their messages, without being a consumer.

use commitlog::{Position, ReadError};

use super::Engine;
use super::message_ids::{message_id, parse_message_id};
use super::receive::decode;
use crate::error::{AdminError, Unavailable};
use crate::message::{GroupOptions, Message, MessageId, TopicDescription};
use crate::names::{GroupName, TopicName};

/// Messages of one look, at most.
pub const LOOK_MAX: usize = 200;

/// Which messages of a topic are looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    pub topic: TopicName,
    /// The newest first; else the oldest.
    pub newest_first: bool,
    /// Those behind this one, in that order.
    pub after: Option<MessageId>,
    /// At most so many, and at most [`LOOK_MAX`].
    pub max: usize,
    /// It ends early, but never empty, when the next message would pass this.
    pub bytes_max: usize,
}

/// A message that a topic holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub message_id: MessageId,
    /// When it came, by the clock of then.
    pub stored_ms: u64,
    /// `None`: the disk has damaged it.
    pub message: Option<Message>,
}

impl Engine {
    /// All topics, in the order of their names, dead-letter topics too.
    #[must_use]
    pub fn topics(&self) -> Vec<TopicName> {
        let mut names = self.inner.names().topic_names();
        names.sort_unstable();
        names
    }

    /// The same as [`Queue::describe`](crate::Queue::describe) of each of them, those first of which most is left. Locks for one at a time.
    #[must_use]
    pub fn describe_all(&self) -> Vec<TopicDescription> {
        let described = self.topics().into_iter().filter_map(|topic| self.inner.describe(&topic).ok());
        let mut described: Vec<_> = described.collect();
        described.sort_by_key(|description| std::cmp::Reverse(description.messages));
        described
    }

    /// The same of one; `None`: there is none of this name.
    #[must_use]
    pub fn describe_one(&self, topic: &TopicName) -> Option<TopicDescription> {
        self.inner.describe(topic).ok()
    }

    /// All groups, in the order of their names.
    #[must_use]
    pub fn groups(&self) -> Vec<(GroupName, GroupOptions)> {
        let mut groups = self.inner.names().groups.all();
        groups.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        groups
    }

    /// Looks at messages, which stay as they are. Reads the disk, and so blocks. Returns whether there are more behind them,
    /// too.
    ///
    /// # Errors
    /// The topic does not exist, or the log cannot be read.
    pub fn look(&self, look: &Look) -> Result<(Vec<Seen>, bool), AdminError> {
        let after = look.after.as_ref().map(|id| parse_message_id(id).ok_or_else(|| AdminError::MessageId(id.clone())));
        let (chosen, has_more) = self.choose(look, after.transpose()?)?;
        let mut seen = Vec::with_capacity(chosen.len());
        for (position, stored_ms) in chosen {
            seen.extend(self.see(&look.topic, position, stored_ms)?);
        }
        Ok((seen, has_more))
    }

    /// Looks at one message, as [`look`](Self::look). `None`: the topic does not hold it.
    ///
    /// # Errors
    /// The topic does not exist, or the log cannot be read.
    pub fn look_at(&self, topic: &TopicName, message: &MessageId) -> Result<Option<Seen>, AdminError> {
        let known = self.inner.known_topic(topic)?;
        let position = parse_message_id(message);
        let found =
            position.and_then(|position| Some((position, self.inner.lock(&known).core.stored_at(known.id, position)?)));
        found.map_or(Ok(None), |(position, stored)| self.see(topic, position, stored.0))
    }

    /// `None`: it is not held any more.
    fn see(&self, topic: &TopicName, position: Position, stored_ms: u64) -> Result<Option<Seen>, AdminError> {
        let message = match self.inner.log.read(position) {
            Ok(record) => Some(decode(record)?),
            Err(error @ ReadError::Storage { .. }) => return Err(Unavailable::Failed(error.to_string()).into()),
            // Its segment may have been given back since.
            Err(_) if !self.holds_at(topic, position) => return Ok(None),
            Err(_) => None,
        };
        Ok(Some(Seen { message_id: message_id(position), stored_ms, message }))
    }

    /// Positions, and when they were stored.
    fn choose(&self, look: &Look, after: Option<Position>) -> Result<(Vec<(Position, u64)>, bool), AdminError> {
        let retention = self.inner.retention();
        let topic = self.inner.known_topic(&look.topic)?;
        let mut locked = self.inner.lock(&topic);
        locked.core.remove_old(topic.id, retention);
        let max = look.max.min(LOOK_MAX);
        let (mut chosen, mut bytes) = (Vec::new(), 0);
        for (position, entry) in locked.core.messages_behind(topic.id, after, look.newest_first) {
            bytes += entry.bytes();
            if chosen.len() >= max || (bytes > look.bytes_max && !chosen.is_empty()) {
                return Ok((chosen, true));
            }
            chosen.push((position, entry.stored.0));
        }
        Ok((chosen, false))
    }

    /// Whether the topic holds the message.
    #[must_use]
    pub fn holds(&self, topic: &TopicName, message: &MessageId) -> bool {
        parse_message_id(message).is_some_and(|position| self.holds_at(topic, position))
    }

    fn holds_at(&self, topic: &TopicName, message: Position) -> bool {
        self.inner.topic(topic).is_some_and(|topic| self.inner.lock(&topic).core.holds(topic.id, message))
    }
}
