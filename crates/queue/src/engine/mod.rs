//! The embedded engine: topics, each with its part of the core behind a lock of its own, the log that they append to, and the
//! receives that wait.
//!
//! # Locks
//! ```text
//! names ──► a topic, or two in the order of their ids ──► definitions, listed
//! ```
//! They are taken in this order, and `listed` is held for nothing else. What topics share is `names`: written when a topic, a
//! group or a subscription is made, or the options of a group change; read to find a topic, and not held then.
//!
//! - A record that belongs to a topic (messages, entries, hand-outs, acknowledgements, removals, copies and what is said again
//!   behind them) is appended under the lock of that topic, and what follows from it is applied or put into its `pending`
//!   before the lock is given back. So `pending` has the order of the log, no copy follows the end of its message, and whoever
//!   takes the lock finds all that was appended of the topic.
//! - A unit of two topics (a dead letter and the acknowledgement of what it was, a message that is tried again and the removal
//!   of its letter) is appended under both locks. Once it is durable each topic applies its part when its turn comes.
//! - What defines topics, groups and subscriptions, and copies of that, is appended under `names`. A topic has a copy of what
//!   it needs to know of the groups that have subscribed to it.
//! - [`AtomicAck`]: a message is held under its topic's lock; the acknowledgement is appended by its consumer, without. Nothing
//!   else is appended of a message that is held.
//! - A snapshot is taken topic by topic. What a topic says is of one moment for each of its groups, and the log behind the
//!   snapshot's place says the rest, of each topic for itself.

mod ack;
mod admin;
mod browse;
mod carrying;
#[cfg(test)]
mod crash_states;
mod dead_letters;
mod dumping;
mod durable;
mod entering;
mod keeper;
mod message_ids;
mod names;
mod receive;
mod recovery;
mod redrive;
mod removal;
mod send;
mod topic;

use std::convert::Infallible;
use std::sync::mpsc::Sender;
use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use clock::Clock;
use commitlog::{Log, LogId};
use tokio::time::Instant;

use crate::atomic_ack::AtomicAck;
use crate::core::Retention;
use crate::error::{AckError, AdminError, ReceiveError, SendError, Unavailable};
use crate::ids::{Now, WallMs};
use crate::limits::{DELAY, INVISIBLE_MIN};
use crate::message::{
    Delivery, GroupOptions, Message, MessageId, Receipt, ReceiveRequest, TopicDescription, TopicType,
};
use crate::names::{GroupName, TopicName};
use crate::queue::{BoxFuture, NotTaken, Queue, SendDone};
use crate::receipt::HandOutId;
use crate::room::{Place, Room};

pub use browse::{LOOK_MAX, Look, Seen};
use durable::{Definitions, Listed};
use names::Names;
pub use recovery::{RecoverError, Recovery};

/// The queue on the commit log of this process. Clones are handles of the same engine.
///
/// `receive` needs a tokio runtime with time; all else runs on any thread.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Shortest invisible time that a receive may ask for. Tests use less than the default.
    pub invisible_min: Duration,
    /// Messages older than this are removed, consumed or not.
    pub retention: Duration,
    /// How far ahead a delivery time may lie; at most [`DELAY_MAX`](crate::limits::DELAY_MAX).
    pub delay_max: Duration,
    /// Ages are measured by it.
    pub clock: Clock,
    /// The engine is one of the log's [`owners`](commitlog::Options::owners): it carries what it needs of old segments.
    pub is_log_owner: bool,
}

impl Default for EngineOptions {
    fn default() -> Self {
        Self {
            invisible_min: INVISIBLE_MIN,
            retention: Duration::from_secs(3 * 24 * 3600),
            delay_max: DELAY,
            clock: Clock::system(),
            is_log_owner: false,
        }
    }
}

struct Inner {
    log: Log,
    options: EngineOptions,
    started: Instant,
    names: RwLock<Names>,
    definitions: Definitions,
    listed: Listed,
    /// Why nothing is accepted any more.
    unavailable: OnceLock<Unavailable>,
    /// How often receives have looked for messages.
    #[cfg(test)]
    polls: std::sync::atomic::AtomicU64,
    /// Its other end is the keeper's, which ends when this is dropped.
    _keeper: Sender<Infallible>,
}

impl Engine {
    /// Returns the recovery that takes the log's records and then becomes the engine.
    #[must_use]
    pub fn recover(options: EngineOptions) -> Recovery {
        Recovery::new(options)
    }

    /// Ends all waiting receives with `Closed` and refuses further calls. The log stays open: what was accepted before
    /// is answered when it is durable.
    pub fn close(&self) {
        self.inner.make_unavailable(Unavailable::Closed);
    }
}

impl Queue for Engine {
    fn send(&self, topic: &TopicName, message: Message, done: SendDone) {
        if let Err((error, done)) = self.inner.try_send(topic, &message, done) {
            done(Err(error));
        }
    }

    fn try_send(&self, topic: &TopicName, message: Message, done: SendDone) -> Result<(), Box<NotTaken>> {
        match self.inner.try_send(topic, &message, done) {
            Err((SendError::Unavailable(Unavailable::Busy), done)) => Err(Box::new(NotTaken { message, done })),
            Err((error, done)) => {
                done(Err(error));
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }

    fn receive(&self, request: ReceiveRequest) -> BoxFuture<'_, Result<Vec<Delivery>, ReceiveError>> {
        Box::pin(async move { Ok(self.inner.receive(request, &Room::default()).await?.0) })
    }

    fn receive_within(
        &self,
        request: ReceiveRequest,
        room: Room,
    ) -> BoxFuture<'_, Result<(Vec<Delivery>, Place), ReceiveError>> {
        Box::pin(async move { self.inner.receive(request, &room).await })
    }

    fn ack(&self, receipt: Receipt) -> BoxFuture<'_, Result<(), AckError>> {
        Box::pin(async move { self.inner.ack(&receipt).await })
    }

    fn change_invisible(&self, receipt: Receipt, invisible: Duration) -> BoxFuture<'_, Result<Receipt, AckError>> {
        Box::pin(async move { self.inner.change_invisible(&receipt, invisible) })
    }

    fn give_up(&self, receipt: Receipt) -> BoxFuture<'_, Result<(), AckError>> {
        Box::pin(async move { self.inner.give_up(&receipt).await })
    }

    fn create_topic(&self, topic: TopicName) -> BoxFuture<'_, Result<(), AdminError>> {
        Box::pin(self.inner.create_topic(topic))
    }

    fn create_topic_of(&self, topic: TopicName, topic_type: TopicType) -> BoxFuture<'_, Result<(), AdminError>> {
        Box::pin(self.inner.create_topic_of(topic, topic_type))
    }

    fn recall(&self, topic: TopicName, message: MessageId) -> BoxFuture<'_, Result<bool, AdminError>> {
        Box::pin(async move { self.inner.recall(&topic, &message).await })
    }

    fn create_group(&self, group: GroupName, options: GroupOptions) -> BoxFuture<'_, Result<(), AdminError>> {
        Box::pin(self.inner.create_group(group, options))
    }

    fn group_options(&self, group: GroupName) -> BoxFuture<'_, Result<GroupOptions, AdminError>> {
        Box::pin(async move { self.inner.group_options(&group) })
    }

    fn describe(&self, topic: TopicName) -> BoxFuture<'_, Result<TopicDescription, AdminError>> {
        Box::pin(async move { self.inner.describe(&topic) })
    }

    fn topic_type(&self, topic: TopicName) -> BoxFuture<'_, Result<TopicType, AdminError>> {
        Box::pin(async move { self.inner.topic_type(&topic) })
    }

    fn atomic_ack(&self, log: LogId) -> Option<Arc<dyn AtomicAck>> {
        if self.inner.log.id() == log { Some(self.inner.clone()) } else { None }
    }
}

impl Inner {
    fn now(&self) -> Now {
        Now(self.started.elapsed())
    }

    fn wall(&self) -> WallMs {
        WallMs(self.options.clock.now_ms())
    }

    fn retention(&self) -> Retention {
        retention(&self.options)
    }

    fn parse(&self, receipt: &Receipt) -> Result<HandOutId, AckError> {
        HandOutId::parse(receipt, self.log.epoch())
    }
}

fn retention(options: &EngineOptions) -> Retention {
    let times = options.clock.times();
    let kept_ms = u64::try_from(options.retention.as_millis()).unwrap_or(u64::MAX);
    let kept_since = |at_ms: u64| WallMs(at_ms.saturating_sub(kept_ms));
    Retention {
        now: WallMs(times.now_ms),
        oldest: kept_since(times.now_ms),
        held_from: kept_since(times.held_from_ms),
        held_until: kept_since(times.held_until_ms),
        is_settled: times.is_settled(),
    }
}
