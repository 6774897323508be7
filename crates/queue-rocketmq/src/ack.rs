//! Acknowledgements, messages that a consumer gives up, and changes of the invisible time.

use std::sync::Arc;
use std::time::Duration;

use queue::{AckError, GroupName, TopicName, Unavailable};
use rocketmq_proto as wire;
use rocketmq_proto::{AckMessageResultEntry, Code, Status};
use tokio::task::JoinHandle;

use crate::answer::{Refusal, ok};
use crate::door::Caller;
use crate::handles::Handles;
use crate::limits::{BATCH_MAX, INVISIBLE_MAX};
use crate::receive::{duration, illegal_invisible};
use crate::send::mixed;
use crate::service::Shared;

type Begun = (wire::AckMessageEntry, Result<JoinHandle<Result<(), Refusal>>, Refusal>);

impl Shared {
    pub(crate) async fn ack(
        self: &Arc<Self>,
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
        // On their way to the disk together.
        let begun: Vec<_> = request.entries.into_iter().map(|entry| self.begin_ack(&topic, &group, entry)).collect();
        let mut entries = Vec::with_capacity(begun.len());
        for (wire::AckMessageEntry { message_id, receipt_handle }, acked) in begun {
            let result = match acked {
                Ok(acked) => acked.await.unwrap_or_else(|_| Err(Unavailable::Closed.into())),
                Err(refusal) => Err(refusal),
            };
            let status = result.map_or_else(Refusal::status, |()| ok());
            entries.push(AckMessageResultEntry { message_id, receipt_handle, status });
        }
        Ok((whole(&entries), entries))
    }

    fn begin_ack(self: &Arc<Self>, topic: &TopicName, group: &GroupName, entry: wire::AckMessageEntry) -> Begun {
        let acked = self.handles.open(topic, group, &entry.receipt_handle).map(|issued| {
            let shared = Arc::clone(self);
            tokio::spawn(async move { Ok(shared.with_current(&issued, |current| shared.queue.ack(current)).await?) })
        });
        (entry, acked)
    }

    /// The message moves to the dead letters of its group. One whose receipt is over comes again by itself; that is no refusal, which
    /// official clients would answer by the same request, for ever and before they take the next message.
    pub(crate) async fn give_up(
        self: &Arc<Self>,
        caller: &Caller,
        request: wire::ForwardMessageToDeadLetterQueueRequest,
    ) -> Result<(), Refusal> {
        let (topic, group) = self.place_of(caller, request.topic.as_ref(), request.group.as_ref())?;
        let issued = match self.handles.open(&topic, &group, &request.receipt_handle) {
            Err(_) if Handles::might_be_of_before(&request.receipt_handle) => return Ok(()),
            issued => issued?,
        };
        let shared = Arc::clone(self);
        // Also if the client gives up the request.
        let given_up = tokio::spawn(async move {
            match shared.with_current(&issued, |current| shared.queue.give_up(current)).await {
                Err(AckError::Expired | AckError::StaleEpoch { .. }) => Ok(()),
                given_up => Ok(given_up?),
            }
        });
        given_up.await.unwrap_or_else(|_| Err(Unavailable::Closed.into()))
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
        let issued = self.handles.open(&topic, &group, &request.receipt_handle)?;
        let receipt = self.with_current(&issued, |current| self.queue.change_invisible(current, invisible)).await?;
        Ok(self.handles.seal(&topic, &group, &receipt))
    }
}

/// That of the entries if they all have one code.
fn whole(entries: &[AckMessageResultEntry]) -> Option<Status> {
    let first = entries.first()?.status.clone()?;
    let is_same = |entry: &AckMessageResultEntry| entry.status.as_ref().is_some_and(|status| status.code == first.code);
    if entries.iter().all(is_same) { Some(first) } else { mixed() }
}
