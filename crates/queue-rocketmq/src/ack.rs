//! Acknowledgements, and changes of the invisible time.

use std::time::Duration;

use queue::{GroupName, TopicName};
use rocketmq_proto as wire;
use rocketmq_proto::{AckMessageResultEntry, Code, Status};

use crate::answer::{Refusal, ok};
use crate::door::Caller;
use crate::limits::{BATCH_MAX, INVISIBLE_MAX};
use crate::receive::{duration, illegal_invisible};
use crate::send::mixed;
use crate::service::Shared;

impl Shared {
    pub(crate) async fn ack(
        &self,
        caller: &Caller,
        request: wire::AckMessageRequest,
    ) -> Result<(Option<Status>, Vec<AckMessageResultEntry>), Refusal> {
        let (topic, group) = self.place_of(caller, request.topic.as_ref(), request.group.as_ref())?;
        if request.entries.is_empty() || request.entries.len() > BATCH_MAX {
            return Err(Refusal::new(
                Code::BadRequest,
                format!("acknowledge 1 to {BATCH_MAX} messages in one request"),
            ));
        }
        let mut entries = Vec::with_capacity(request.entries.len());
        for wire::AckMessageEntry { message_id, receipt_handle } in request.entries {
            let status = match self.ack_one(&topic, &group, &receipt_handle).await {
                Ok(()) => ok(),
                Err(refusal) => refusal.status(),
            };
            entries.push(AckMessageResultEntry { message_id, receipt_handle, status });
        }
        Ok((whole(&entries), entries))
    }

    async fn ack_one(&self, topic: &TopicName, group: &GroupName, handle: &str) -> Result<(), Refusal> {
        let receipt = self.handles.open(topic, group, handle)?;
        Ok(self.queue.ack(self.settled(receipt).await).await?)
    }

    /// Returns the handle that takes the place of the old one. Zero: the message is due at once.
    pub(crate) async fn change_invisible(
        &self,
        caller: &Caller,
        request: wire::ChangeInvisibleDurationRequest,
    ) -> Result<String, Refusal> {
        let (topic, group) = self.place_of(caller, request.topic.as_ref(), request.group.as_ref())?;
        let invisible = request.invisible_duration.as_ref().and_then(duration);
        let is_allowed = |invisible: &Duration| *invisible <= INVISIBLE_MAX;
        let invisible = invisible.filter(is_allowed).ok_or_else(illegal_invisible)?;
        let receipt = self.handles.open(&topic, &group, &request.receipt_handle)?;
        let receipt = self.queue.change_invisible(self.settled(receipt).await, invisible).await?;
        Ok(self.handles.seal(&topic, &group, &receipt))
    }
}

/// That of the entries if they all have one code.
fn whole(entries: &[AckMessageResultEntry]) -> Option<Status> {
    let first = entries.first()?.status.clone()?;
    let is_same = |entry: &AckMessageResultEntry| entry.status.as_ref().is_some_and(|status| status.code == first.code);
    if entries.iter().all(is_same) { Some(first) } else { mixed() }
}
