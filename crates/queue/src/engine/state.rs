//! What the engine's lock protects: the core, what waits for the disk, who waits for messages.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use commitlog::{AppendError, Appended, Log, Need, NewRecord, Position};
use tokio::sync::{Notify, oneshot};

use crate::core::Core;
use crate::error::{AckError, Unavailable};
use crate::ids::{Now, SubscriptionId, TopicId, WallMs};
use crate::limits::SENDS_PENDING_MAX;
use crate::message::MessageId;
use crate::queue::SendDone;
use crate::receipt::HandOutId;
use crate::records::Entry;

#[derive(Default)]
pub(super) struct State {
    pub(super) core: Core,
    /// In the order of the log, and so of becoming durable.
    pending: VecDeque<Pending>,
    waiting: HashMap<SubscriptionId, Waiting>,
    /// Why nothing is accepted any more.
    down: Option<Unavailable>,
}

struct Pending {
    end: Position,
    then: Then,
}

/// What happens when the records are durable.
pub(super) enum Then {
    Message {
        topic: TopicId,
        position: Position,
        entry: Entry,
        /// Dead letters have no sender who waits.
        done: Option<SendDone>,
    },
    Consumed {
        subscription: SubscriptionId,
        position: Position,
    },
    Tell(oneshot::Sender<Result<(), Unavailable>>),
}

#[derive(Clone, Default)]
pub(super) struct Waiting {
    pub(super) notify: Arc<Notify>,
    /// One for each receive that waits.
    pub(super) places: Arc<()>,
}

impl State {
    pub(super) fn with(core: Core) -> Self {
        Self { core, ..Self::default() }
    }

    pub(super) fn check_up(&self) -> Result<(), Unavailable> {
        self.down.clone().map_or(Ok(()), Err)
    }

    pub(super) fn has_room(&self) -> bool {
        self.pending.len() < SENDS_PENDING_MAX
    }

    /// Appends under the engine's lock, so that `pending` has the order of the log.
    pub(super) fn append(&mut self, log: &Log, need: Need, records: &[NewRecord<'_>]) -> Result<Appended, Unavailable> {
        self.check_up()?;
        log.append(need, records).map_err(unavailable)
    }

    pub(super) fn when_durable(&mut self, end: Position, then: Then) {
        self.pending.push_back(Pending { end, then });
    }

    /// The answer comes when everything below `end` is durable.
    pub(super) fn tell_when_durable(&mut self, end: Position) -> oneshot::Receiver<Result<(), Unavailable>> {
        let (tell, told) = oneshot::channel();
        self.when_durable(end, Then::Tell(tell));
        told
    }

    /// The answer comes when all that was appended so far is durable.
    pub(super) fn tell_when_all_is_durable(&mut self) -> oneshot::Receiver<Result<(), Unavailable>> {
        if let Some(last) = self.pending.back() {
            let end = last.end;
            return self.tell_when_durable(end);
        }
        let (tell, told) = oneshot::channel();
        drop(tell.send(Ok(())));
        told
    }

    /// Applies what has become durable. Answers who is to be called, without the lock.
    pub(super) fn apply_durable(&mut self, end: Position, oldest: WallMs) -> Vec<(SendDone, MessageId)> {
        let mut calls = Vec::new();
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.end <= end) {
            match pending.then {
                Then::Message { topic, position, entry, done } => {
                    self.core.forget_before(topic, oldest);
                    for subscription in self.core.add_message(topic, position, entry) {
                        self.wake(subscription);
                    }
                    calls.extend(done.map(|done| (done, message_id(position))));
                }
                Then::Consumed { subscription, position } => self.core.done(subscription, position),
                Then::Tell(tell) => drop(tell.send(Ok(()))),
            }
        }
        calls
    }

    /// Nothing will become durable any more. Answers the senders who are to be told.
    pub(super) fn fail(&mut self, why: &Unavailable) -> Vec<SendDone> {
        self.go_down(why.clone());
        let mut undone = Vec::new();
        for pending in self.pending.drain(..) {
            match pending.then {
                Then::Message { done, .. } => undone.extend(done),
                Then::Consumed { .. } => {}
                Then::Tell(tell) => drop(tell.send(Err(why.clone()))),
            }
        }
        undone
    }

    pub(super) fn go_down(&mut self, why: Unavailable) {
        self.down.get_or_insert(why);
        for waiting in self.waiting.values() {
            waiting.notify.notify_waiters();
        }
    }

    pub(super) fn wake(&self, subscription: SubscriptionId) {
        if let Some(waiting) = self.waiting.get(&subscription) {
            waiting.notify.notify_waiters();
        }
    }

    pub(super) fn waiting(&mut self, subscription: SubscriptionId) -> &Waiting {
        self.waiting.entry(subscription).or_default()
    }

    pub(super) fn hold(&mut self, id: &HandOutId, now: Now) -> Result<(), AckError> {
        self.check_up()?;
        self.core.hold(id.subscription, id.position, id.serial, now).map_err(|_| AckError::Expired)
    }
}

pub(super) type Told = oneshot::Receiver<Result<(), Unavailable>>;

pub(super) async fn settled(told: Told) -> Result<(), Unavailable> {
    told.await.unwrap_or(Err(Unavailable::Closed))
}

pub(super) fn message_id(position: Position) -> MessageId {
    MessageId::new(format!("{:016X}", position.0))
}

pub(super) fn unavailable(error: AppendError) -> Unavailable {
    match error {
        AppendError::Busy => Unavailable::Busy,
        AppendError::Full => Unavailable::Full,
        AppendError::Closed => Unavailable::Closed,
        AppendError::Poisoned(reason) => Unavailable::Failed(reason),
        error @ (AppendError::TooLarge { .. } | AppendError::Invalid(_)) => Unavailable::Failed(error.to_string()),
    }
}
