//! The state behind the engine's lock: the core, what waits for the disk, and the receives that wait for messages.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use commitlog::{AppendError, Appended, Log, Need, NewRecord, Position};
use tokio::sync::{Notify, oneshot};

use crate::core::{Core, Recent, Retention};
use crate::error::{AckError, SendError, Unavailable};
use crate::ids::{Now, SubscriptionId, TopicId, WallMs};
use crate::limits::SENDS_PENDING_MAX;
use crate::message::{Message, MessageId};
use crate::names::TopicName;
use crate::queue::SendDone;
use crate::receipt::HandOutId;
use crate::records::{IndexEntry, Place, known_id};

#[derive(Default)]
pub(super) struct State {
    pub(super) core: Core,
    /// In the order of the log, which is the order of becoming durable.
    pending: VecDeque<Pending>,
    waiters_by_subscription: HashMap<SubscriptionId, Waiters>,
    /// Why nothing is accepted any more.
    unavailable: Option<Unavailable>,
    /// How often receives have looked for messages.
    #[cfg(test)]
    pub(super) polls: u64,
}

struct Pending {
    end: Position,
    then: WhenDurable,
}

/// What is done once the records are durable.
pub(super) enum WhenDurable {
    AddMessage {
        topic: TopicId,
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
        topic: TopicId,
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
    pub(super) topic: TopicId,
    pub(super) message: Position,
    /// `None`: it waits for its time.
    pub(super) stands_at: Option<Position>,
}

/// The receives that wait on one subscription.
#[derive(Clone, Default)]
pub(super) struct Waiters {
    pub(super) notify: Arc<Notify>,
    /// One more reference for each receive: a counter that a dropped receive leaves right.
    pub(super) places: Arc<()>,
}

impl State {
    pub(super) fn with(core: Core) -> Self {
        Self { core, ..Self::default() }
    }

    pub(super) fn check_available(&self) -> Result<(), Unavailable> {
        self.unavailable.clone().map_or(Ok(()), Err)
    }

    pub(super) fn has_room_for_send(&self) -> bool {
        self.pending.len() < SENDS_PENDING_MAX
    }

    /// Returns the topic of this name, which takes such messages.
    pub(super) fn topic_for(&self, name: &TopicName, message: &Message) -> Result<TopicId, SendError> {
        let id = self.core.topic_id(name).ok_or_else(|| SendError::UnknownTopic(name.clone()))?;
        let (topic_type, message_type) = (self.core.topic_type(id).unwrap_or_default(), message.topic_type());
        if topic_type == message_type {
            return Ok(id);
        }
        Err(SendError::WrongType { topic: name.clone(), topic_type, message_type })
    }

    /// Appends under the engine's lock, so that `pending` has the order of the log.
    pub(super) fn append(&mut self, log: &Log, need: Need, records: &[NewRecord<'_>]) -> Result<Appended, Unavailable> {
        self.check_available()?;
        log.append(need, records).map_err(unavailable)
    }

    /// The acknowledgement of a held message was appended.
    pub(super) fn consume_when_durable(&mut self, end: Position, subscription: SubscriptionId, position: Position) {
        self.core.end(subscription, position);
        self.when_durable(end, WhenDurable::Consume { subscription, position });
    }

    pub(super) fn consume(&mut self, subscription: SubscriptionId, position: Position) {
        if self.core.consume(subscription, position) {
            self.wake_one(subscription);
        }
    }

    pub(super) fn when_durable(&mut self, end: Position, then: WhenDurable) {
        self.pending.push_back(Pending { end, then });
    }

    /// Whether the core knows all that was appended before `end`.
    pub(super) fn is_settled_before(&self, end: Position) -> bool {
        self.pending.front().is_none_or(|pending| pending.end > end)
    }

    /// What the core does not know yet of messages.
    #[cfg(test)]
    pub(super) fn unsettled_messages(&self) -> impl Iterator<Item = Unsettled> + '_ {
        self.pending.iter().filter_map(|pending| match &pending.then {
            WhenDurable::AddMessage { topic, position, place, .. } => {
                let stands_at = (*place == Place::Own).then_some(*position);
                Some(Unsettled { topic: *topic, message: *position, stands_at })
            }
            WhenDurable::Enter { topic, position, message, .. } => {
                Some(Unsettled { topic: *topic, message: *message, stands_at: Some(*position) })
            }
            _ => None,
        })
    }

    /// Returns the answer that comes when everything below `end` is durable.
    pub(super) fn answer_when_durable(&mut self, end: Position) -> DurableAnswer {
        let (sender, answer) = oneshot::channel();
        self.when_durable(end, WhenDurable::Answer(sender));
        answer
    }

    /// Returns the answer that comes when all that was appended so far is durable.
    pub(super) fn answer_when_all_is_durable(&mut self) -> DurableAnswer {
        if let Some(last) = self.pending.back() {
            let end = last.end;
            return self.answer_when_durable(end);
        }
        let (sender, answer) = oneshot::channel();
        drop(sender.send(Ok(())));
        answer
    }

    /// The same for a sender. Returns its callback if that is so already: it is to be called without the lock.
    pub(super) fn answer_sent_when_all_is_durable(&mut self, message: MessageId, done: SendDone) -> Option<SendDone> {
        let Some(last) = self.pending.back() else { return Some(done) };
        let end = last.end;
        self.when_durable(end, WhenDurable::AnswerSend { message, done });
        None
    }

    /// The message that came to the topic a short while ago under the same id.
    pub(super) fn find_recent(&self, topic: &TopicName, message: &Message, now: WallMs) -> Option<Position> {
        self.check_available().ok()?;
        let id = known_id(message)?;
        let topic = self.topic_for(topic, message).ok()?;
        self.core.recent_ids(topic)?.find(&id, now)
    }

    pub(super) fn note_recent(&mut self, topic: TopicId, position: Position, message: &Message, now: WallMs) {
        if let Some(id) = known_id(message)
            && let Some(ids) = self.core.recent_ids_mut(topic)
        {
            ids.remove_old(now);
            ids.note(Recent { id: id.into(), stored: now, message: position, said_at: position });
        }
    }

    /// Applies what has become durable. Returns the callbacks of the senders, to be called without the lock.
    pub(super) fn apply_durable(&mut self, end: Position, retention: Retention) -> Vec<(SendDone, MessageId)> {
        let mut callbacks = Vec::new();
        while let Some(pending) = self.pending.pop_front_if(|pending| pending.end <= end) {
            match pending.then {
                WhenDurable::AddMessage { topic, position, entry, place, done } => {
                    self.core.remove_old(topic, retention);
                    for subscription in self.core.add_message(topic, position, (entry, place)) {
                        self.wake_one(subscription);
                    }
                    callbacks.extend(done.map(|done| (done, message_id(position))));
                }
                WhenDurable::Enter { topic, position, message, entry } => {
                    for subscription in self.core.enter_waiting(topic, position, message, entry) {
                        self.wake_one(subscription);
                    }
                }
                WhenDurable::Consume { subscription, position } => self.consume(subscription, position),
                WhenDurable::AnswerSend { message, done } => callbacks.push((done, message)),
                WhenDurable::Answer(sender) => drop(sender.send(Ok(()))),
            }
        }
        callbacks
    }

    /// Gives up all that waits for the disk. Returns the callbacks of the senders, to be called without the lock.
    pub(super) fn fail(&mut self, why: &Unavailable) -> Vec<SendDone> {
        self.make_unavailable(why.clone());
        let mut callbacks = Vec::new();
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

    pub(super) fn make_unavailable(&mut self, why: Unavailable) {
        self.unavailable.get_or_insert(why);
        for waiters in self.waiters_by_subscription.values() {
            waiters.notify.notify_waiters();
        }
    }

    /// Wakes a receive of the subscription: there is something for it to see. What it hands out wakes the next one, and so
    /// does its end: as long as there are any, one of them knows of all that there is, and of the next deadline.
    pub(super) fn wake_one(&self, subscription: SubscriptionId) {
        if let Some(waiters) = self.waiters_by_subscription.get(&subscription) {
            waiters.notify.notify_one();
        }
    }

    pub(super) fn waiters(&mut self, subscription: SubscriptionId) -> &Waiters {
        self.waiters_by_subscription.entry(subscription).or_default()
    }

    pub(super) fn hold(&mut self, id: &HandOutId, now: Now) -> Result<(), AckError> {
        self.check_available()?;
        self.core.hold(id.subscription, id.position, id.serial, now).map_err(|_| AckError::Expired)
    }
}

pub(super) type DurableAnswer = oneshot::Receiver<Result<(), Unavailable>>;

pub(super) async fn wait_durable(answer: DurableAnswer) -> Result<(), Unavailable> {
    answer.await.unwrap_or(Err(Unavailable::Closed))
}

pub(super) fn message_id(position: Position) -> MessageId {
    MessageId::new(format!("{:016X}", position.0))
}

pub(super) fn parse_message_id(id: &MessageId) -> Option<Position> {
    let text = id.as_str();
    let is_one = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_one { u64::from_str_radix(text, 16).ok().map(Position) } else { None }
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
