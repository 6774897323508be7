//! What is done once records are durable: topic by topic, in the order of the log within each.
//!
//! ```text
//! a topic is listed ──► append ──► what follows waits in the topic ──► the log is durable so far ──► applied ── nothing waits
//!        ▲                                                                     └── something still waits ──┐      any more
//!        └─────────────────────────────────────────────────────────────────────────────────────────────────┘
//! ```

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use commitlog::{AppendError, LogEvent, Position};
use tokio::sync::oneshot;

use super::Inner;
use super::message_ids::message_id;
use super::topic::{Locked, Topic};
use crate::core::Retention;
use crate::error::Unavailable;
use crate::ids::SubscriptionId;
use crate::limits::SENDS_PENDING_MAX;
use crate::message::MessageId;
use crate::queue::SendDone;
use crate::records::{IndexEntry, Place};

pub(super) struct Pending {
    pub(super) end: Position,
    pub(super) then: WhenDurable,
}

/// What is done once the records are durable.
pub(super) enum WhenDurable {
    AddMessage {
        position: Position,
        entry: IndexEntry,
        place: Place,
        /// `None`: a dead letter, or one that is tried again, which no sender waits for.
        done: Option<SendDone>,
    },
    /// A message that came before under the same id of its sender.
    AnswerSend {
        message: MessageId,
        done: SendDone,
    },
    /// A message that had to wait comes into the line.
    Enter {
        position: Position,
        message: Position,
        entry: IndexEntry,
    },
    Consume {
        subscription: SubscriptionId,
        position: Position,
    },
    Answer(oneshot::Sender<Result<(), Unavailable>>),
}

/// A message that is appended and not durable, or its entry.
#[cfg(test)]
#[derive(Clone, Copy, Debug)]
pub(super) struct Unsettled {
    pub(super) topic: crate::ids::TopicId,
    pub(super) message: Position,
    /// `None`: it waits for its time.
    pub(super) stands_at: Option<Position>,
}

/// The topics of which something waits for the disk. Its lock is the last that anybody takes, and held for a moment.
#[derive(Default)]
pub(super) struct Listed {
    topics: Mutex<Vec<Arc<Topic>>>,
    /// How much waits, of all topics.
    pending: AtomicUsize,
    /// Where the last of it ends.
    end: AtomicU64,
}

impl Listed {
    pub(super) fn add(&self, topic: &Arc<Topic>) {
        self.topics.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(topic));
    }

    fn take(&self) -> Vec<Arc<Topic>> {
        std::mem::take(&mut *self.topics.lock().unwrap_or_else(PoisonError::into_inner))
    }

    pub(super) fn count(&self, end: Position) {
        self.pending.fetch_add(1, Ordering::Relaxed);
        self.end.fetch_max(end.0, Ordering::Relaxed);
    }

    /// Where the last ends of all that waits or waited.
    pub(super) fn end(&self) -> Position {
        Position(self.end.load(Ordering::Relaxed))
    }

    fn discount(&self, fewer: usize) {
        self.pending.fetch_sub(fewer, Ordering::Relaxed);
    }

    pub(super) fn has_room_for_send(&self) -> bool {
        self.pending.load(Ordering::Relaxed) < SENDS_PENDING_MAX
    }
}

/// Where a definition ends in the log, and who waits until that is durable.
struct Defined {
    end: Position,
    answer: Option<oneshot::Sender<Result<(), Unavailable>>>,
}

/// What was defined, until it is durable.
#[derive(Default)]
pub(super) struct Definitions(Mutex<Waiting>);

#[derive(Default)]
struct Waiting {
    /// In the order of the log.
    defined: VecDeque<Defined>,
    /// What ends up to here is durable, and all topics have applied it.
    applied: Position,
}

/// They are locked from before an append until it is noted here.
pub(super) struct LockedDefinitions<'a>(MutexGuard<'a, Waiting>);

impl Definitions {
    pub(super) fn lock(&self) -> LockedDefinitions<'_> {
        LockedDefinitions(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl LockedDefinitions<'_> {
    /// Returns the answer that comes when everything below `end` is durable.
    pub(super) fn answer_when_durable(&mut self, end: Position) -> DurableAnswer {
        let (sender, answer) = oneshot::channel();
        self.0.defined.push_back(Defined { end, answer: Some(sender) });
        answer
    }

    /// What ends there was defined, and nobody waits for it.
    pub(super) fn note(&mut self, end: Position) {
        self.0.defined.push_back(Defined { end, answer: None });
    }

    /// Returns the answer that comes when all that ends up to there, and all that was defined so far, is durable.
    pub(super) fn answer_when_all_is_durable(&mut self, end: Position) -> DurableAnswer {
        let end = self.0.defined.back().map_or(end, |last| last.end.max(end));
        if end > self.0.applied {
            return self.answer_when_durable(end);
        }
        let (sender, answer) = oneshot::channel();
        drop(sender.send(Ok(())));
        answer
    }

    fn apply_durable(&mut self, end: Position) {
        self.0.applied = end;
        while let Some(defined) = self.0.defined.pop_front_if(|defined| defined.end <= end) {
            drop(defined.answer.map(|answer| answer.send(Ok(()))));
        }
    }

    fn fail(&mut self, why: &Unavailable) {
        self.0.defined.drain(..).for_each(|defined| drop(defined.answer.map(|answer| answer.send(Err(why.clone())))));
    }
}

impl Inner {
    /// Handles an event of the log, on its writer thread.
    pub(super) fn handle_log_event(&self, event: LogEvent) {
        match event {
            LogEvent::Durable(end) => {
                let retention = self.retention();
                for topic in self.listed.take() {
                    let callbacks = self.lock(&topic).apply_durable(end, retention);
                    callbacks.into_iter().for_each(|(done, id)| done(Ok(id)));
                }
                // Last, so that who waits for a definition finds applied what was appended before.
                self.definitions.lock().apply_durable(end);
            }
            LogEvent::Poisoned(reason) => {
                let failed = Unavailable::Failed(reason);
                self.make_unavailable(failed.clone());
                self.definitions.lock().fail(&failed);
                for topic in self.topics() {
                    let callbacks = self.lock(&topic).fail(&failed);
                    callbacks.into_iter().for_each(|done| done(Err(failed.clone().into())));
                }
            }
        }
    }

    pub(super) fn check_available(&self) -> Result<(), Unavailable> {
        self.unavailable.get().cloned().map_or(Ok(()), Err)
    }

    /// From now on nothing is accepted.
    pub(super) fn make_unavailable(&self, why: Unavailable) {
        let _ = self.unavailable.set(why);
        self.topics().iter().for_each(|topic| self.lock(topic).wake_all());
    }

    /// Whether the cores know all that was appended before `end`, a place behind which all is appended from now on.
    pub(super) fn is_settled_before(&self, end: Position) -> bool {
        self.topics().iter().all(|topic| self.lock(topic).is_settled_before(end))
    }
}

impl Locked<'_> {
    /// Applies what has become durable. Returns the callbacks of the senders, to be called without the lock.
    fn apply_durable(&mut self, end: Position, retention: Retention) -> Vec<(SendDone, MessageId)> {
        let (topic, mut callbacks, mut applied) = (self.topic.id, Vec::new(), 0);
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.end <= end) {
            applied += 1;
            match pending.then {
                WhenDurable::AddMessage { position, entry, place, done } => {
                    self.core.remove_old(topic, retention);
                    for subscription in self.core.add_message(topic, position, (entry, place)) {
                        self.wake_one(subscription);
                    }
                    callbacks.extend(done.map(|done| (done, message_id(position))));
                }
                WhenDurable::Enter { position, message, entry } => {
                    for subscription in self.core.enter_waiting(topic, position, message, entry) {
                        self.wake_one(subscription);
                    }
                }
                WhenDurable::Consume { subscription, position } => self.consume(subscription, position),
                WhenDurable::AnswerSend { message, done } => callbacks.push((done, message)),
                WhenDurable::Answer(sender) => drop(sender.send(Ok(()))),
            }
        }
        self.engine.listed.discount(applied);
        self.is_listed = !self.pending.is_empty();
        if self.is_listed {
            self.engine.listed.add(self.topic);
        }
        callbacks
    }

    /// Gives up all that waits for the disk. Returns the callbacks of the senders, to be called without the lock.
    fn fail(&mut self, why: &Unavailable) -> Vec<SendDone> {
        let mut callbacks = Vec::new();
        self.engine.listed.discount(self.pending.len());
        for pending in self.pending.drain(..) {
            match pending.then {
                WhenDurable::AddMessage { done, .. } => callbacks.extend(done),
                WhenDurable::AnswerSend { done, .. } => callbacks.push(done),
                WhenDurable::Enter { .. } | WhenDurable::Consume { .. } => {}
                WhenDurable::Answer(sender) => drop(sender.send(Err(why.clone()))),
            }
        }
        callbacks
    }

    /// What the core does not know yet of messages.
    #[cfg(test)]
    pub(super) fn unsettled_messages(&self) -> Vec<Unsettled> {
        let topic = self.topic.id;
        let unsettled = self.pending.iter().filter_map(|pending| match &pending.then {
            WhenDurable::AddMessage { position, place, .. } => {
                let stands_at = (*place == Place::Own).then_some(*position);
                Some(Unsettled { topic, message: *position, stands_at })
            }
            WhenDurable::Enter { position, message, .. } => {
                Some(Unsettled { topic, message: *message, stands_at: Some(*position) })
            }
            _ => None,
        });
        unsettled.collect()
    }
}

pub(super) type DurableAnswer = oneshot::Receiver<Result<(), Unavailable>>;

pub(super) async fn wait_durable(answer: DurableAnswer) -> Result<(), Unavailable> {
    answer.await.unwrap_or(Err(Unavailable::Closed))
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
