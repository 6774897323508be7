//! The way into one inbox: whether a message may come in, and what it is there.

use commitlog::{AppendError, Position};
use mqtt::ReasonCode;

use super::Clients;
use super::entry::ClientEntry;
use crate::inbox::{Admission, Entry, EntryId, InboxLimits};
use crate::message::SharedMessage;
use crate::store::journal::Batch;
use crate::store::record::Reference;
use crate::worker::action::{Action, Actions, ClientRef, Now};
use crate::worker::post::Outcome;

/// One in so many places of an inbox is for urgent messages alone.
const URGENT_PART: usize = 16;

/// A message on its way into one inbox.
pub(super) struct Storing {
    pub(super) entry: Entry,
    pub(super) replaces: Option<EntryId>,
}

impl Clients {
    /// QoS 0: to the receivers that are connected.
    pub(super) fn send_at_most_once(
        &self,
        client: ClientRef,
        message: &SharedMessage,
        subscription_ids: Box<[u32]>,
        actions: &mut Actions,
    ) -> Outcome {
        let Some(to) = self.open_connection(client) else {
            self.context.counts.dropped_absent.one();
            return Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS);
        };
        actions.push_back(Action::SendAtMostOnce { to, message: message.clone(), subscription_ids });
        Outcome::Done(ReasonCode::SUCCESS)
    }

    /// For a client whose session ends with its connection.
    pub(super) fn keep_in_memory(
        &mut self,
        client: ClientRef,
        message: &SharedMessage,
        subscription_ids: Box<[u32]>,
        now: Now,
        actions: &mut Actions,
    ) -> Outcome {
        let storing = match self.admit(client, message, subscription_ids, now, actions) {
            Ok(storing) => storing,
            Err(outcome) => return outcome,
        };
        self.volatile_entries += 1;
        self.put(client, EntryId::volatile(self.volatile_entries), storing, actions);
        actions.push_back(Action::Deliver { client, just_stored: None });
        Outcome::Done(ReasonCode::SUCCESS)
    }

    /// What the sender of a message that the log did not take is told.
    pub(super) fn refused(&self, error: &AppendError) -> Outcome {
        self.context.counts.refused_by_log.one();
        tracing::debug!(%error, "a message was not stored");
        if *error == AppendError::Full { Outcome::NoRoom } else { Outcome::Unavailable }
    }

    /// Whether an inbox takes a message, or what its sender is told instead.
    pub(super) fn admit(
        &mut self,
        client: ClientRef,
        message: &SharedMessage,
        subscription_ids: Box<[u32]>,
        now: Now,
        actions: &mut Actions,
    ) -> Result<Storing, Outcome> {
        let nobody = Err(Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS));
        let Some(entry) = self.entry(client) else { return nobody };
        if now.over().is_over(message.expires_at_ms) && entry.attachment.is_none() {
            self.context.counts.expired.one();
            return Err(Outcome::Done(ReasonCode::SUCCESS));
        }
        let mut admission = self.admission(entry, message, now);
        let forgets_key = message.collapse.is_some() && entry.inbox.is_full_of_collapse_keys();
        if (admission == Admission::Full || forgets_key) && self.make_room(client, now, actions) {
            let Some(entry) = self.entry(client) else { return nobody };
            admission = self.admission(entry, message, now);
        }
        let counts = &self.context.counts;
        match admission {
            Admission::Accept { replaces } => {
                Ok(Storing { entry: self.entry_of(message, subscription_ids, now), replaces })
            }
            Admission::Superseded { by } => {
                counts.superseded.one();
                // A sender that is told that it is done must not lose both: the newer one may not be on the disk yet.
                let newer = by.position().map(|at| Outcome::Durable(Position(at.0 + 1)));
                Err(newer.unwrap_or(Outcome::Done(ReasonCode::SUCCESS)))
            }
            Admission::Full => {
                counts.inbox_full.one();
                Err(Outcome::Dropped(ReasonCode::QUOTA_EXCEEDED))
            }
        }
    }

    fn admission(&self, entry: &ClientEntry, message: &SharedMessage, now: Now) -> Admission {
        let limits = self.limits_of(entry, self.is_urgent(&message.topic));
        entry.inbox.admit(message.size(), message.collapse.as_ref(), &limits, now.over())
    }

    /// Some room is for what is urgent: whoever may send to a client must not keep it from being rung.
    fn limits_of(&self, entry: &ClientEntry, is_urgent: bool) -> InboxLimits {
        let InboxLimits { messages_max, mut bytes_max, session } = self.context.inbox_limits;
        if !entry.is_persistent() {
            bytes_max = self.context.limits.memory_inbox_bytes_max;
        }
        if is_urgent {
            return InboxLimits { messages_max, bytes_max, session };
        }
        let messages_max = messages_max - messages_max / URGENT_PART;
        InboxLimits { messages_max, bytes_max: bytes_max - bytes_max / URGENT_PART as u64, session }
    }

    fn entry_of(&self, message: &SharedMessage, subscription_ids: Box<[u32]>, now: Now) -> Entry {
        let retention = u64::try_from(self.context.limits.offline_retention.as_millis()).unwrap_or(u64::MAX);
        let kept_until_ms = message.arrived_ms.max(now.ms).saturating_add(retention);
        Entry {
            message: Some(message.clone()),
            size: message.size(),
            expires_at_ms: message.expires_at_ms.min(kept_until_ms),
            collapse: message.collapse.clone().map(Box::new),
            subscription_ids,
            urgent: self.is_urgent(&message.topic),
        }
    }

    fn is_urgent(&self, topic: &str) -> bool {
        let parent = topic.split('/').next().unwrap_or(topic);
        self.context.urgent_parents.iter().any(|urgent| urgent == parent)
    }

    /// Puts what is in the log now into the inbox.
    pub(super) fn put_logged(
        &mut self,
        client: ClientRef,
        position: Position,
        storing: Storing,
        actions: &mut Actions,
    ) {
        self.context.counts.stored.one();
        self.live.add(storing.entry.size);
        let segment = self.context.journal.segment_at(position);
        if let Some(entry) = self.entry_mut(client) {
            entry.is_logged = true;
            entry.need_from(segment);
        }
        self.put(client, EntryId::logged(position), storing, actions);
    }

    fn put(&mut self, client: ClientRef, id: EntryId, storing: Storing, actions: &mut Actions) {
        let Storing { entry, replaces } = storing;
        self.count_in(1, entry.size.into());
        self.expect_deadline(client, entry.expires_at_ms);
        let gone = self.entry_mut(client).and_then(|known| known.inbox.insert(id, entry, replaces));
        if let Some(gone) = gone {
            self.context.counts.superseded.one();
            self.forget(client, gone, actions);
        }
    }
}

pub(super) fn add_reference(batch: &mut Batch, to: &str, storing: &Storing, message: usize) {
    let Entry { size, expires_at_ms, collapse, subscription_ids, urgent, .. } = &storing.entry;
    let reference = Reference {
        client_id: to,
        message: Position::default(),
        packet_id: None,
        urgent: *urgent,
        retain_as_published: false,
        size: *size,
        expires_at_ms: *expires_at_ms,
        collapse: collapse.as_ref().map(|collapse| (&*collapse.key, collapse.version)),
        subscription_ids: subscription_ids.to_vec(),
    };
    batch.reference(&reference, message);
    if let Some(old) = storing.replaces.and_then(|id| id.position()) {
        batch.removed(to, &[old]);
    }
}
