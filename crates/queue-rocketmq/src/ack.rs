//! Acknowledgements, and changes of the invisible time.

use std::sync::Arc;
use std::time::Duration;

use queue::{AckError, GroupName, Receipt, TopicName, Unavailable};
use rocketmq_proto as wire;
use rocketmq_proto::{AckMessageResultEntry, Code, Status};
use tokio::task::JoinHandle;

use crate::answer::{Refusal, ok};
use crate::door::Caller;
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
            tokio::spawn(async move { Ok(shared.ack_one(issued).await?) })
        });
        (entry, acked)
    }

    /// What could not be acknowledged goes on as it is.
    async fn ack_one(&self, issued: Receipt) -> Result<(), AckError> {
        loop {
            let current = self.renewals.lock().await.current(&issued).unwrap_or_else(|| issued.clone());
            let acked = self.queue.ack(current.clone()).await;
            let mut renewals = self.renewals.lock().await;
            let is_renewed_meanwhile = renewals.current(&issued).is_some_and(|now| now != current);
            match acked {
                Err(AckError::Unavailable(_)) => {}
                Err(AckError::Expired) if is_renewed_meanwhile => continue,
                _ => drop(renewals.end(&issued)),
            }
            return acked;
        }
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
        let mut renewals = self.renewals.lock().await;
        let current = renewals.current(&issued).unwrap_or_else(|| issued.clone());
        let changed = self.queue.change_invisible(current, invisible).await;
        if !matches!(changed, Err(AckError::Unavailable(_))) {
            drop(renewals.end(&issued));
        }
        let receipt = changed?;
        Ok(self.handles.seal(&topic, &group, &receipt))
    }
}

/// That of the entries if they all have one code.
fn whole(entries: &[AckMessageResultEntry]) -> Option<Status> {
    let first = entries.first()?.status.clone()?;
    let is_same = |entry: &AckMessageResultEntry| entry.status.as_ref().is_some_and(|status| status.code == first.code);
    if entries.iter().all(is_same) { Some(first) } else { mixed() }
}
