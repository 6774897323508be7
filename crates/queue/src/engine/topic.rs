//! One topic of the engine behind its lock: its part of the core, what of it waits for the disk, and the receives that wait
//! for messages.

use std::collections::{HashMap, VecDeque};
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commitlog::{Appended, Need, NewRecord, Position};
use tokio::sync::{Notify, oneshot};

use super::Inner;
use super::durable::{DurableAnswer, Pending, WhenDurable, unavailable};
use crate::core::{Core, Recent};
use crate::error::{AckError, Unavailable};
use crate::ids::{Now, SubscriptionId, TopicId, WallMs};
use crate::message::{Message, MessageId, TopicType};
use crate::names::TopicName;
use crate::queue::SendDone;
use crate::receipt::HandOutId;
use crate::records::known_id;

pub(super) struct Topic {
    pub(super) id: TopicId,
    pub(super) name: TopicName,
    pub(super) topic_type: TopicType,
    state: Mutex<TopicState>,
}

pub(super) struct TopicState {
    /// Of this topic alone, with the groups that have subscribed to it.
    pub(super) core: Core,
    /// In the order of the log, which is the order of becoming durable.
    pub(super) pending: VecDeque<Pending>,
    /// It is among the topics that are looked at when the log has become durable further on.
    pub(super) is_listed: bool,
    waiters_by_subscription: HashMap<SubscriptionId, Waiters>,
}

/// The receives that wait on one subscription.
#[derive(Clone, Default)]
pub(super) struct Waiters {
    pub(super) notify: Arc<Notify>,
    /// One more reference for each receive: a counter that a dropped receive leaves right.
    pub(super) places: Arc<()>,
}

/// A topic whose lock is held.
pub(super) struct Locked<'a> {
    pub(super) engine: &'a Inner,
    pub(super) topic: &'a Arc<Topic>,
    state: MutexGuard<'a, TopicState>,
}

impl Topic {
    /// `core` is of this topic alone.
    pub(super) fn new(id: TopicId, name: TopicName, topic_type: TopicType, core: Core) -> Arc<Self> {
        let (pending, waiters_by_subscription) = Default::default();
        let state = TopicState { core, pending, is_listed: false, waiters_by_subscription };
        Arc::new(Self { id, name, topic_type, state: Mutex::new(state) })
    }
}

impl Inner {
    /// Every change of the state is one method call, so that a thread that panicked outside of one left it consistent.
    pub(super) fn lock<'a>(&'a self, topic: &'a Arc<Topic>) -> Locked<'a> {
        let state = topic.state.lock().unwrap_or_else(PoisonError::into_inner);
        Locked { engine: self, topic, state }
    }

    /// Locks two topics, in the order of their ids. `None` for the second: they are the same.
    pub(super) fn lock_both<'a>(
        &'a self,
        first: &'a Arc<Topic>,
        second: &'a Arc<Topic>,
    ) -> (Locked<'a>, Option<Locked<'a>>) {
        if first.id == second.id {
            return (self.lock(first), None);
        }
        if first.id < second.id {
            let first = self.lock(first);
            return (first, Some(self.lock(second)));
        }
        let second = self.lock(second);
        (self.lock(first), Some(second))
    }
}

impl Deref for Locked<'_> {
    type Target = TopicState;

    fn deref(&self) -> &TopicState {
        &self.state
    }
}

impl DerefMut for Locked<'_> {
    fn deref_mut(&mut self) -> &mut TopicState {
        &mut self.state
    }
}

impl Locked<'_> {
    /// Lets the topic be looked at when the log has become durable further on. Before an append of which something is to be
    /// applied then: it may be durable before it returns.
    pub(super) fn list(&mut self) {
        if !self.is_listed {
            self.is_listed = true;
            self.engine.listed.add(self.topic);
        }
    }

    /// Appends under the topic's lock, so that `pending` has the order of the log.
    pub(super) fn append(&mut self, need: Need, records: &[NewRecord<'_>]) -> Result<Appended, Unavailable> {
        self.engine.check_available()?;
        self.list();
        self.engine.log.append(need, records).map_err(unavailable)
    }

    pub(super) fn when_durable(&mut self, end: Position, then: WhenDurable) {
        self.engine.listed.count(end);
        self.pending.push_back(Pending { end, then });
    }

    /// Returns the answer that comes when everything below `end` is durable.
    pub(super) fn answer_when_durable(&mut self, end: Position) -> DurableAnswer {
        let (sender, answer) = oneshot::channel();
        self.when_durable(end, WhenDurable::Answer(sender));
        answer
    }

    /// Lets a sender be answered when all that was appended of the topic so far is durable. Returns its callback if that is so
    /// already: it is to be called without the lock.
    pub(super) fn answer_sent_when_all_is_durable(&mut self, message: MessageId, done: SendDone) -> Option<SendDone> {
        let Some(last) = self.pending.back() else { return Some(done) };
        let end = last.end;
        self.when_durable(end, WhenDurable::AnswerSend { message, done });
        None
    }

    /// The acknowledgement of a held message was appended.
    pub(super) fn consume_when_durable(&mut self, end: Position, subscription: SubscriptionId, position: Position) {
        self.core.end(subscription, position);
        self.when_durable(end, WhenDurable::Consume { subscription, position });
    }

    pub(super) fn hold(&mut self, id: &HandOutId, now: Now) -> Result<(), AckError> {
        self.engine.check_available()?;
        self.core.hold(id.subscription, id.position, id.serial, now).map_err(|_| AckError::Expired)
    }
}

impl TopicState {
    pub(super) fn consume(&mut self, subscription: SubscriptionId, position: Position) {
        if self.core.consume(subscription, position) {
            self.wake_one(subscription);
        }
    }

    /// Whether the core knows all that was appended of the topic before `end`.
    pub(super) fn is_settled_before(&self, end: Position) -> bool {
        self.pending.front().is_none_or(|pending| pending.end > end)
    }

    /// The message that came to the topic a short while ago under the same id.
    pub(super) fn find_recent(&self, topic: TopicId, message: &Message, now: WallMs) -> Option<Position> {
        self.core.recent_ids(topic)?.find(&known_id(message)?, now)
    }

    pub(super) fn note_recent(&mut self, topic: TopicId, position: Position, message: &Message, now: WallMs) {
        if let Some(id) = known_id(message)
            && let Some(ids) = self.core.recent_ids_mut(topic)
        {
            ids.remove_old(now);
            ids.note(Recent { id: id.into(), stored: now, message: position, said_at: position });
        }
    }

    /// Wakes a receive of the subscription: there is something for it to see. What it hands out wakes the next one, and so
    /// does its end: as long as there are any, one of them knows of all that there is, and of the next deadline.
    pub(super) fn wake_one(&self, subscription: SubscriptionId) {
        if let Some(waiters) = self.waiters_by_subscription.get(&subscription) {
            waiters.notify.notify_one();
        }
    }

    pub(super) fn wake_all(&self) {
        self.waiters_by_subscription.values().for_each(|waiters| waiters.notify.notify_waiters());
    }

    pub(super) fn waiters(&mut self, subscription: SubscriptionId) -> &Waiters {
        self.waiters_by_subscription.entry(subscription).or_default()
    }
}
