//! A message for one client: to a connection, into the inbox and the log, to where its receiver is looked up, or nowhere.

use std::time::Duration;

use commitlog::{AppendError, Need, Position};
use mqtt::{QoS, ReasonCode};

use super::Clients;
use super::owed::Owed;
use super::storing::{Storing, add_reference};
use crate::client::ClientKey;
use crate::store::journal::Batch;
use crate::worker::action::{Action, Actions, AfterDurable, ClientRef, Now};
use crate::worker::post::{Outcome, P2p, QueueJob, ReplyTarget, ReplyTo};
use crate::worker::reader::Loaded;

/// How long ids of messages of a queue elsewhere are remembered: longer than any redelivery takes.
pub(super) const QUEUE_ID_KEPT: Duration = Duration::from_hours(24);

impl Clients {
    /// Takes a message for a client of this worker.
    pub(in crate::worker) fn take_p2p(&mut self, p2p: P2p, now: Now, actions: &mut Actions) {
        let is_looked_up = self.lookups.is_asked(&p2p.to);
        // What comes after the end of a session is not of it, and does not go with it.
        let receiver = self.find_receiver(&p2p.to);
        match receiver.filter(|client| !self.end_session_if_over(*client, now.over())) {
            Some(client) if !is_looked_up => self.take_known(client, p2p, now, actions),
            _ if !is_looked_up && (p2p.message.qos == QoS::AtMostOnce || !p2p.keep) => {
                self.miss(p2p.reply_to, actions);
            }
            _ if self.lookups.is_full(&self.context.limits) => {
                actions.push_back(Action::Reply { to: p2p.reply_to, outcome: Outcome::Unavailable });
            }
            _ => self.look_up(p2p, actions),
        }
    }

    /// Nobody is there, and nothing waits.
    pub(super) fn miss(&self, reply_to: ReplyTo, actions: &mut Actions) {
        self.context.counts.dropped_absent.one();
        let outcome = Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS);
        actions.push_back(Action::Reply { to: reply_to, outcome });
    }

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
        // 3. It waits behind an older one of its pump.
        if must_wait(&p2p) {
            actions.push_back(Action::Reply { to: p2p.reply_to, outcome: Outcome::NoRoom });
            return None;
        }
        // 4. It is superseded, expired, or there is no room.
        let storing = match self.admit(client, &p2p.message, Box::default(), now, actions) {
            Ok(storing) => storing,
            Err(outcome) => {
                actions.push_back(Action::Reply { to: p2p.reply_to, outcome });
                return None;
            }
        };
        // 5. One unit. A receipt that is void ends it here: the message was acknowledged or handed out again.
        let mut batch = Batch::default();
        if self.owed.find(&p2p.to) == Some(Owed::End) {
            batch.session_gone(p2p.to.as_str());
        }
        let index = batch.message(&p2p.message);
        add_reference(&mut batch, p2p.to.as_str(), &storing, index);
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
        let need = if is_from_queue { QueueJob::NEED } else { Need::Normal };
        match self.context.journal.append(batch, need) {
            Ok(appended) => {
                self.owed.settle_end(&p2p.to);
                let position = appended.positions.get(index).copied().unwrap_or_default();
                self.put_logged(client, position, storing, actions);
                self.reply_stored(client, p2p.reply_to, appended.end, now, actions);
                let just_stored = Some(Loaded { position, message: Ok(p2p.message) });
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
                let outcome = self.refused(&error);
                if let (Outcome::NoRoom, ReplyTarget::Queue(job)) = (outcome, &p2p.reply_to.target) {
                    job.order.begin_waiting();
                }
                actions.push_back(Action::Reply { to: p2p.reply_to, outcome });
                None
            }
        }
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
            entry.queue_ids.remember(job.message_id.as_str(), queue_id_until(now), end, now.over());
            self.expect_deadline(client, queue_id_until(now));
        }
        actions.push_back(Action::WhenDurable { end, then: AfterDurable::Acknowledge(job) });
    }
}

fn must_wait(p2p: &P2p) -> bool {
    matches!(&p2p.reply_to.target, ReplyTarget::Queue(job) if job.order.must_wait())
}

fn queue_id_until(now: Now) -> u64 {
    now.ms.saturating_add(u64::try_from(QUEUE_ID_KEPT.as_millis()).unwrap_or(u64::MAX))
}
