//! Between MQTT and the queue: the mapping of messages, the pumps, online events, dead letters.

pub(crate) mod events;
pub(crate) mod properties;
pub(crate) mod pump;

use std::sync::Arc;

use queue::{GroupName, Queue, SendError, TopicName, Unavailable};

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
    if let Err(error) = queue.ack(job.receipt.clone()).await {
        tracing::debug!(%error, "a dead letter was not acknowledged; it will be there twice");
    }
}

async fn send(queue: &dyn Queue, topic: &TopicName, message: queue::Message) -> Result<(), SendError> {
    queue.send_wait(topic, message).await.map(drop)
}

fn dead_letters() -> Option<TopicName> {
    GroupName::parse(pump::GROUP).and_then(|group| TopicName::dead_letters_of(&group)).ok()
}
