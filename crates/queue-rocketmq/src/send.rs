//! SendMessage: all messages of a request are checked before the first is stored.

use queue::{Message, MessageId, NotTaken, SendError, TopicName, Unavailable};
use rocketmq_proto as wire;
use rocketmq_proto::{Code, SendResultEntry, Status};
use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::answer::{Refusal, ok};
use crate::door::Caller;
use crate::limits::{BATCH_MAX, BUSY_MAX, BUSY_PAUSE};
use crate::message::{SECOND_TOPIC, SHOWN_TOPIC, to_queue};
use crate::names;
use crate::recall;
use crate::service::Shared;

/// Presence events of clients, which are the broker's to send.
const STATUS_TOPIC: &str = "_MQTT";

type Sent = oneshot::Receiver<Result<MessageId, SendError>>;

impl Shared {
    pub(crate) async fn send(
        &self,
        caller: &Caller,
        request: wire::SendMessageRequest,
    ) -> Result<(Option<Status>, Vec<SendResultEntry>), Refusal> {
        let topic = topic_of(&request.messages)?;
        let may_stamp = self.access.may_stamp(&caller.key_id);
        let now_ms = self.clock.now_ms();
        let mut outgoing = Vec::with_capacity(request.messages.len());
        for message in request.messages {
            let mut message = to_queue(message, may_stamp)?;
            // Later times are none that all clients can read.
            message.born_ms = message.born_ms.min(now_ms);
            message.sender = Some(caller.key_id.to_string());
            self.check_may_send(caller, &topic, &message, may_stamp)?;
            outgoing.push(message);
        }
        let mut ids = Vec::with_capacity(outgoing.len());
        let mut results = Vec::with_capacity(outgoing.len());
        // In their order, and on their way to the disk together.
        let busy_until = Instant::now() + BUSY_MAX;
        for message in outgoing {
            let id = message.client_message_id.clone().unwrap_or_default();
            ids.push((id, message.deliver_at_ms.is_some_and(|at_ms| at_ms > now_ms)));
            results.push(self.begin_send(&topic, message, busy_until).await);
        }
        let mut entries = Vec::with_capacity(ids.len());
        for ((id, waits), result) in ids.into_iter().zip(results) {
            let result = result.await.unwrap_or(Err(SendError::Unavailable(Unavailable::Closed)));
            entries.push(entry(id, waits, result));
        }
        Ok((whole(&entries), entries))
    }

    /// Waits for a queue that is busy, so that no later message overtakes this one.
    async fn begin_send(&self, topic: &TopicName, message: Message, busy_until: Instant) -> Sent {
        let (answer, sent) = oneshot::channel();
        let mut next = NotTaken { message, done: Box::new(move |result| drop(answer.send(result))) };
        while let Err(not_taken) = self.queue.try_send(topic, next.message, next.done) {
            if Instant::now() >= busy_until {
                (not_taken.done)(Err(Unavailable::Busy.into()));
                break;
            }
            next = *not_taken;
            tokio::time::sleep(BUSY_PAUSE).await;
        }
        sent
    }

    fn check_may_send(
        &self,
        caller: &Caller,
        topic: &TopicName,
        message: &Message,
        may_stamp: bool,
    ) -> Result<(), Refusal> {
        let is_taken = names::takes_messages(topic) && (may_stamp || !topic.as_str().ends_with(STATUS_TOPIC));
        let second = message.property(SECOND_TOPIC).unwrap_or_default();
        let may_send = self.access.may_send(&caller.key_id, topic.as_str(), second);
        let may_show = message.property(SHOWN_TOPIC).is_none_or(|shown| {
            let (parent, second) = shown_topic(topic, shown);
            self.access.may_show(&caller.key_id, parent, second)
        });
        if is_taken && may_send && may_show {
            return Ok(());
        }
        Err(Refusal::unknown_topic(topic.as_str()))
    }
}

/// What its receivers are shown must be a topic that the sender may use, too.
fn shown_topic<'a>(topic: &'a TopicName, shown: &'a str) -> (&'a str, &'a str) {
    let slash = shown.find('/').unwrap_or(shown.len());
    let (parent, second) = shown.split_at(slash);
    if parent.is_empty() { (topic.as_str(), second) } else { (parent, second) }
}

fn topic_of(messages: &[wire::Message]) -> Result<TopicName, Refusal> {
    let corrupted = |words: &str| Refusal::new(Code::MessageCorrupted, words);
    let first = messages.first().ok_or_else(|| corrupted("the request has no message"))?;
    if messages.len() > BATCH_MAX {
        return Err(Refusal::new(Code::PayloadTooLarge, format!("send at most {BATCH_MAX} messages in one request")));
    }
    if messages.iter().any(|message| message.topic != first.topic) {
        return Err(corrupted("the messages of one request must have one topic"));
    }
    names::topic(first.topic.as_ref())
}

/// `waits`: for its delivery time, until which it can be recalled.
fn entry(id: String, waits: bool, result: Result<MessageId, SendError>) -> SendResultEntry {
    match result {
        // Of a message that is part of no transaction the two ids are the same.
        Ok(queued) => SendResultEntry {
            status: ok(),
            recall_handle: if waits { recall::handle(&queued, &id) } else { String::new() },
            transaction_id: id.clone(),
            message_id: id,
            offset: 0,
        },
        Err(error) => {
            SendResultEntry { status: Refusal::from(error).status(), message_id: id, ..SendResultEntry::default() }
        }
    }
}

/// That of the entries if they all have one code.
fn whole(entries: &[SendResultEntry]) -> Option<Status> {
    let first = entries.first()?.status.clone()?;
    let is_same = |entry: &SendResultEntry| entry.status.as_ref().is_some_and(|status| status.code == first.code);
    if entries.iter().all(is_same) { Some(first) } else { mixed() }
}

pub(crate) fn mixed() -> Option<Status> {
    Some(Status { code: Code::MultipleResults.into(), message: "the entries have different results".to_owned() })
}
