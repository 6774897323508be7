//! The trait that every engine implements.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use commitlog::LogId;
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use crate::atomic_ack::AtomicAck;
use crate::error::{AckError, AdminError, ReceiveError, SendError, Unavailable};
use crate::message::{
    Delivery, GroupOptions, Message, MessageId, Receipt, ReceiveRequest, TopicDescription, TopicType,
};
use crate::names::{GroupName, TopicName};
use crate::room::{Place, Room};

pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A callback with the result of a send: called once, on a thread of the engine; it must not block.
pub type SendDone = Box<dyn FnOnce(Result<MessageId, SendError>) + Send>;

/// A message that a busy queue has not taken, with its callback, which was not called.
pub struct NotTaken {
    pub message: Message,
    pub done: SendDone,
}

/// A queue of topics and consumer groups. The crate's head says what every engine promises.
pub trait Queue: Send + Sync {
    /// Sends a message. Returns at once; `done` is called when the message is durable, or never will be. It may be
    /// called before this returns.
    fn send(&self, topic: &TopicName, message: Message, done: SendDone);

    /// [`Queue::send`] for a sender that keeps what a busy queue cannot take, and tries again: what would be answered
    /// with [`Unavailable::Busy`] is returned instead, so that no later message overtakes it. An engine that cannot
    /// know at once takes the message and answers by `done`.
    ///
    /// # Errors
    /// The queue is busy; `done` was not called.
    fn try_send(&self, topic: &TopicName, message: Message, done: SendDone) -> Result<(), Box<NotTaken>> {
        self.send(topic, message, done);
        Ok(())
    }

    /// Hands out durable messages, which are invisible to the rest of the group until they are acknowledged or due
    /// again. Empty after `wait`. Dropping the future loses nothing: what it had taken is due again after its invisible
    /// time.
    fn receive(&self, request: ReceiveRequest) -> BoxFuture<'_, Result<Vec<Delivery>, ReceiveError>>;

    /// [`Queue::receive`] of messages that take memory until their consumer has read them: it reserves their bytes in `room`
    /// before it picks them, and returns them with their place. While there is nothing for the group it holds no place, and
    /// while there is no room it hands out nothing. An engine that cannot know holds one for as long as it waits.
    fn receive_within(
        &self,
        request: ReceiveRequest,
        room: Room,
    ) -> BoxFuture<'_, Result<(Vec<Delivery>, Place), ReceiveError>> {
        Box::pin(async move {
            let begun = Instant::now();
            let Ok(Some(mut place)) = timeout(request.wait, room.reserve()).await else {
                return Ok(Default::default());
            };
            let wait = request.wait.saturating_sub(begun.elapsed());
            let deliveries = self.receive(ReceiveRequest { wait, ..request }).await?;
            place.keep(deliveries.iter().map(|delivery| delivery.message.bytes()).sum());
            Ok((deliveries, place))
        })
    }

    /// Acknowledges a hand-out: once this has succeeded, the message is never handed to the group again, whatever
    /// fails.
    fn ack(&self, receipt: Receipt) -> BoxFuture<'_, Result<(), AckError>>;

    /// Makes the message invisible for `invisible` from now on (zero: due at once). The old receipt ends; the new one
    /// is returned.
    fn change_invisible(&self, receipt: Receipt, invisible: Duration) -> BoxFuture<'_, Result<Receipt, AckError>>;

    /// Moves a message that was handed out to the dead letters of its group, whatever its attempt: the consumer gives it up.
    /// Durable when it completes, and the hand-out is over then, as after an acknowledgement.
    fn give_up(&self, receipt: Receipt) -> BoxFuture<'_, Result<(), AckError>>;

    /// Creates the topic, of type [`TopicType::Normal`], if there is none of that name; durable when it completes. One that
    /// exists is left as it is, whatever its type.
    fn create_topic(&self, topic: TopicName) -> BoxFuture<'_, Result<(), AdminError>>;

    /// Creates the topic of this type if there is none of that name; durable when it completes. One that exists must be
    /// of this type.
    fn create_topic_of(&self, topic: TopicName, topic_type: TopicType) -> BoxFuture<'_, Result<(), AdminError>> {
        match topic_type {
            TopicType::Normal => self.create_topic(topic),
            other => Box::pin(async move { Err(AdminError::UnsupportedType(other)) }),
        }
    }

    /// Takes back a message that waits for its delivery time; durable when it completes. `false`: it does not wait there, or
    /// not any more.
    fn recall(&self, topic: TopicName, message: MessageId) -> BoxFuture<'_, Result<bool, AdminError>> {
        drop((topic, message));
        Box::pin(async { Err(AdminError::UnsupportedType(TopicType::Delay)) })
    }

    /// Creates the group, or changes its options; durable when it completes. A group belongs to a topic from its first
    /// receive there, and starts at the oldest message that the topic still holds.
    fn create_group(&self, group: GroupName, options: GroupOptions) -> BoxFuture<'_, Result<(), AdminError>>;

    /// Returns how the group is now.
    fn group_options(&self, group: GroupName) -> BoxFuture<'_, Result<GroupOptions, AdminError>>;

    /// Describes the topic at this moment.
    fn describe(&self, topic: TopicName) -> BoxFuture<'_, Result<TopicDescription, AdminError>>;

    /// Returns the type of the topic, and is cheap.
    fn topic_type(&self, topic: TopicName) -> BoxFuture<'_, Result<TopicType, AdminError>> {
        Box::pin(async move { Ok(self.describe(topic).await?.topic_type) })
    }

    /// Returns what makes an acknowledgement and the caller's own records one unit of `log`, if the engine keeps its
    /// records in that log. An engine elsewhere, or on another log, has none.
    fn atomic_ack(&self, log: LogId) -> Option<Arc<dyn AtomicAck>>;

    /// [`Queue::send`] for a sender that awaits the result.
    fn send_wait(&self, topic: &TopicName, message: Message) -> BoxFuture<'static, Result<MessageId, SendError>> {
        let (tx, rx) = oneshot::channel();
        self.send(
            topic,
            message,
            Box::new(move |result| {
                // The sender may have stopped waiting.
                let _ = tx.send(result);
            }),
        );
        Box::pin(async move { rx.await.unwrap_or(Err(SendError::Unavailable(Unavailable::Closed))) })
    }
}
