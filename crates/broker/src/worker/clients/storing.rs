//! A message at the worker of its receiver: into the inbox and the log, or nowhere.

use std::time::Duration;

use commitlog::{AppendError, Need, Position};
use mqtt::{QoS, ReasonCode};

use super::Clients;
use super::entry::ClientEntry;
use crate::client::ClientKey;
use crate::inbox::{Admission, Entry, EntryId, InboxLimits};
use crate::message::SharedMessage;
use crate::store::journal::Batch;
use crate::store::record::Reference;
use crate::worker::action::{Action, Actions, AfterDurable, ClientRef, JustStored, Now};
use crate::worker::post::{Outcome, P2p, QueueJob, ReplyTarget, ReplyTo};

/// How long ids of messages of a queue elsewhere are remembered: longer than any redelivery takes.
const QUEUE_ID_KEPT: Duration = Duration::from_hours(24);

/// A message on its way into one inbox.
pub(super) struct Storing {
    pub(super) entry: Entry,
    pub(super) replaces: Option<EntryId>,
}

impl Clients {
    /// A message for a client that is known: what becomes of it depends on its QoS, on whether it waits for a receiver that
    /// is off, and on whether the receiver's session outlives its connection.
    pub(super) fn take_known(&mut self, client: ClientRef, p2p: P2p, now: Now, actions: &mut Actions) {
        let Some(entry) = self.entry(client) else { return };
        let (is_attached, is_persistent) = (entry.attachment.is_some(), entry.is_persistent());
        if p2p.message.qos == QoS::AtMostOnce {
            let outcome = self.send_at_most_once(client, &p2p.message, Box::default(), actions);
            actions.push_back(Action::Reply { to: p2p.reply_to, outcome });
        } else if !p2p.keep && !is_attached {
            self.miss(p2p.reply_to, actions);
        } else if is_persistent {
            actions.push_back(Action::WriteP2p(p2p));
        } else {
            let outcome = self.keep_in_memory(client, &p2p.message, Box::default(), now, actions);
            actions.push_back(Action::Reply { to: p2p.reply_to, outcome });
        }
    }

    /// QoS 0: to whoever is on the line.
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
        let storing = match self.admit(client, message, subscription_ids, now) {
            Ok(storing) => storing,
            Err(outcome) => return outcome,
        };
        self.volatile_entries += 1;
        self.put(client, EntryId::volatile(self.volatile_entries), storing, actions);
        actions.push_back(Action::Deliver { client, just_stored: None });
        Outcome::Done(ReasonCode::SUCCESS)
    }

    /// Writes a message to the log: message, reference, what it replaces, and the acknowledgement to the queue are one unit.
    /// Gives it back while the log is busy.
    pub(in crate::worker) fn write_p2p(&mut self, p2p: P2p, now: Now, actions: &mut Actions) -> Option<P2p> {
        // 1. The session may have ended while the log was busy: whether the receiver is registered is asked again.
        let Some(client) = self.find_receiver(&p2p.to) else {
            self.take_p2p(p2p, now, actions);
            return None;
        };
        // 2. The inbox had this message of a queue elsewhere before.
        if let Some(end) = self.known_end(client, &p2p) {
            actions.push_back(Action::Reply { to: p2p.reply_to, outcome: Outcome::Durable(end) });
            return None;
        }
        // 3. It is superseded, expired, or there is no room.
        let storing = match self.admit(client, &p2p.message, Box::default(), now) {
            Ok(storing) => storing,
            Err(outcome) => {
                actions.push_back(Action::Reply { to: p2p.reply_to, outcome });
                return None;
            }
        };
        // 4. One unit. A receipt that is void ends it here: the message was acknowledged or handed out again.
        let mut batch = Batch::default();
        let index = batch.message(&p2p.message);
        add_reference(&mut batch, &p2p.to, &storing, index);
        if let ReplyTarget::Queue(job) = &p2p.reply_to.target {
            self.add_acknowledgement(&mut batch, &p2p.to, job, now).ok()?;
        }
        self.append_p2p(&batch, index, (client, storing), p2p, now, actions)
    }

    fn known_end(&self, client: ClientRef, p2p: &P2p) -> Option<Position> {
        let ReplyTarget::Queue(job) = &p2p.reply_to.target else { return None };
        self.entry(client)?.queue_ids.find(job.message_id.as_str())
    }

    /// What makes the message done for the queue, or known here if it comes again.
    fn add_acknowledgement(
        &self,
        batch: &mut Batch,
        to: &ClientKey,
        job: &QueueJob,
        now: Now,
    ) -> Result<(), queue::AckError> {
        self.context.queue_acks.add_to(batch, job)?;
        if !self.context.queue_acks.are_records() {
            batch.queue_id_seen(to.as_str(), queue_id_until(now), job.message_id.as_str());
        }
        Ok(())
    }

    fn append_p2p(
        &mut self,
        batch: &Batch,
        index: usize,
        (client, storing): (ClientRef, Storing),
        p2p: P2p,
        now: Now,
        actions: &mut Actions,
    ) -> Option<P2p> {
        let is_from_queue = matches!(p2p.reply_to.target, ReplyTarget::Queue(_));
        // What the queue has already and is only moved may use the reserve: refused, it would become a dead letter in time.
        let need = if is_from_queue { Need::Essential } else { Need::Normal };
        match self.context.journal.append(batch, need) {
            Ok(appended) => {
                let position = appended.positions.get(index).copied().unwrap_or_default();
                self.put_logged(client, position, storing, actions);
                self.reply_stored(client, p2p.reply_to, appended.end, now, actions);
                let just_stored = Some(JustStored { position, message: p2p.message });
                actions.push_back(Action::Deliver { client, just_stored });
                None
            }
            Err(error) => {
                if let ReplyTarget::Queue(job) = &p2p.reply_to.target {
                    self.context.queue_acks.abandon(job);
                }
                if error == AppendError::Busy {
                    return Some(p2p);
                }
                self.count_refusal(&error);
                if !is_from_queue {
                    actions.push_back(Action::Reply { to: p2p.reply_to, outcome: Outcome::Unavailable });
                }
                None
            }
        }
    }

    pub(super) fn count_refusal(&self, error: &AppendError) {
        self.context.counts.refused_by_log.one();
        tracing::debug!(%error, "a message was not stored");
    }

    /// The message is in the inbox: whoever waits for it hears when that is durable.
    fn reply_stored(&mut self, client: ClientRef, to: ReplyTo, end: Position, now: Now, actions: &mut Actions) {
        let ReplyTarget::Queue(job) = to.target else {
            return actions.push_back(Action::Reply { to, outcome: Outcome::Durable(end) });
        };
        tracing::trace!(queue_message = %job.message_id, "a message of the queue is in an inbox");
        if self.context.queue_acks.are_records() {
            return actions.push_back(Action::WhenDurable { end, then: AfterDurable::Applied(job) });
        }
        if let Some(entry) = self.entry_mut(client) {
            entry.queue_ids.remember(job.message_id.as_str(), queue_id_until(now), end, now.ms);
        }
        actions.push_back(Action::WhenDurable { end, then: AfterDurable::Acknowledge(job) });
    }

    /// Whether an inbox takes a message, or what its sender is told instead.
    pub(super) fn admit(
        &self,
        client: ClientRef,
        message: &SharedMessage,
        subscription_ids: Box<[u32]>,
        now: Now,
    ) -> Result<Storing, Outcome> {
        let Some(entry) = self.entry(client) else {
            return Err(Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS));
        };
        let counts = &self.context.counts;
        if message.expires_at_ms <= now.ms && entry.attachment.is_none() {
            counts.expired.one();
            return Err(Outcome::Done(ReasonCode::SUCCESS));
        }
        match entry.inbox.admit(message.size(), message.collapse.as_ref(), &self.limits_of(entry), now.ms) {
            Admission::Accept { replaces } => {
                Ok(Storing { entry: self.entry_of(message, subscription_ids, now), replaces })
            }
            Admission::Superseded { by } => {
                counts.superseded.one();
                // Whoever is told that it is done must not lose both: the newer one may not be on the disk yet.
                let newer = by.position().map(|at| Outcome::Durable(Position(at.0 + 1)));
                Err(newer.unwrap_or(Outcome::Done(ReasonCode::SUCCESS)))
            }
            Admission::Full => {
                counts.inbox_full.one();
                Err(Outcome::Dropped(ReasonCode::QUOTA_EXCEEDED))
            }
        }
    }

    fn limits_of(&self, entry: &ClientEntry) -> InboxLimits {
        let limits = self.context.inbox_limits;
        if entry.is_persistent() {
            return limits;
        }
        InboxLimits { bytes_max: self.context.limits.memory_inbox_bytes_max, ..limits }
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
        if let Some(entry) = self.entry_mut(client) {
            entry.is_logged = true;
        }
        self.put(client, EntryId::logged(position), storing, actions);
    }

    fn put(&mut self, client: ClientRef, id: EntryId, storing: Storing, actions: &mut Actions) {
        let Storing { entry, replaces } = storing;
        self.context.counts.inbox_messages.one();
        self.context.counts.inbox_bytes.add(u64::from(entry.size));
        let gone = self.entry_mut(client).and_then(|known| known.inbox.insert(id, entry, replaces));
        if let Some(gone) = gone {
            self.context.counts.superseded.one();
            self.forget(client, gone, actions);
        }
    }
}

fn queue_id_until(now: Now) -> u64 {
    now.ms.saturating_add(u64::try_from(QUEUE_ID_KEPT.as_millis()).unwrap_or(u64::MAX))
}

pub(super) fn add_reference(batch: &mut Batch, to: &ClientKey, storing: &Storing, message: usize) {
    let Entry { size, expires_at_ms, collapse, subscription_ids, urgent, .. } = &storing.entry;
    let reference = Reference {
        client_id: to.as_str(),
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
        batch.removed(to.as_str(), &[old]);
    }
}
