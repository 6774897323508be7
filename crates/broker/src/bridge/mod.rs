//! Between MQTT and the queue: the mapping of messages, the pumps, online events, dead letters.

pub(crate) mod events;
pub(crate) mod properties;
pub(crate) mod pump;

use std::sync::Arc;

use queue::{AckError, GroupName, Queue, SendError, TopicName, Unavailable};

use crate::worker::post::QueueJob;
use properties::name;

/// Puts a message where people find it, with the reason, and acknowledges it. While the queue has no room it waits with its
/// pump; what fails otherwise is handed out again.
pub(crate) async fn dead_letter(queue: Arc<dyn Queue>, job: Box<QueueJob>, reason: &'static str) {
    let Some(topic) = dead_letters() else { return };
    let mut message = job.original.clone();
    message.properties.push((name::DEAD_REASON.to_owned(), reason.to_owned()));
    message.properties.push((name::DEAD_TOPIC.to_owned(), job.topic.to_string()));
    if let Err(error) = send(&*queue, &topic, message).await {
        tracing::warn!(%error, "a message that reaches nobody did not get to the dead letters");
        if matches!(error, SendError::Unavailable(Unavailable::Full | Unavailable::Busy)) {
            job.return_to_pump();
        }
        return;
    }
    acknowledge(queue, job).await;
}

/// Acknowledges a message that is done. While the queue has no room for that it waits with its pump, which does it again
/// and delivers nothing twice; what fails otherwise is handed out again.
pub(crate) async fn acknowledge(queue: Arc<dyn Queue>, mut job: Box<QueueJob>) {
    match queue.ack(job.receipt.clone()).await {
        Ok(()) => {}
        Err(AckError::Unavailable(Unavailable::Full | Unavailable::Busy)) => {
            job.is_done = true;
            job.return_to_pump();
        }
        Err(error) => tracing::debug!(%error, "a message of the queue is done and not acknowledged: it comes again"),
    }
}

async fn send(queue: &dyn Queue, topic: &TopicName, message: queue::Message) -> Result<(), SendError> {
    queue.send_wait(topic, message).await.map(drop)
}

fn dead_letters() -> Option<TopicName> {
    GroupName::parse(pump::GROUP).and_then(|group| TopicName::dead_letters_of(&group)).ok()
}
