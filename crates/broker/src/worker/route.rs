//! A message at the worker of its receivers: into the inbox, to the client, or nowhere.

use std::collections::VecDeque;

use commitlog::{AppendError, Need, Position};
use mqtt::topic::{Match, TopicName};
use mqtt::{QoS, ReasonCode};

use super::Worker;
use super::deliver::Fresh;
use super::durable::merge;
use super::post::{Asker, Notice, Outcome, P2p, ReplyTo};
use super::seat::Seat;
use super::stalled::{LoggedFan, Stalled};
use crate::client::ClientKey;
use crate::inbox::{Admission, Entry, EntryId, InboxLimits};
use crate::login::{self, LookupError};
use crate::message::{Message, SharedMessage};
use crate::store::journal::Batch;
use crate::store::record::Reference;

/// A message on its way into one inbox of the log.
struct Storing {
    entry: Entry,
    replaces: Option<EntryId>,
}

impl Worker {
    /// Takes a message for a client that is ours.
    pub(super) fn accept_p2p(&mut self, p2p: P2p) {
        let is_looked_up = self.lookups.contains_key(&p2p.to);
        if self.seats.contains_key(&p2p.to) && !is_looked_up {
            self.take_p2p(p2p);
        } else if !is_looked_up && (p2p.message.qos == QoS::AtMostOnce || !p2p.keep) {
            self.miss(p2p.reply_to);
        } else if self.lookups_waiting >= self.shared.limits.lookups_waiting_max {
            self.answer(p2p.reply_to, Outcome::Unavailable);
        } else {
            self.look_up_receiver(p2p);
        }
    }

    /// Nobody is there, and nothing waits.
    fn miss(&mut self, reply_to: ReplyTo) {
        self.shared.counts.dropped_absent.one();
        self.answer(reply_to, Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS));
    }

    fn look_up_receiver(&mut self, p2p: P2p) {
        self.lookups_waiting += 1;
        if let Some(waiting) = self.lookups.get_mut(&p2p.to) {
            // Behind those that wait for the same answer.
            return waiting.push(p2p);
        }
        let Some(address) = self.shared.workers.get(self.me).cloned() else { return };
        let client = p2p.to.clone();
        let from = match p2p.reply_to.asker {
            Asker::Queue(_) => login::Asker::Queue,
            _ => login::Asker::Senders,
        };
        self.lookups.insert(client.clone(), vec![p2p]);
        let asked = client.clone();
        let done = move |found: Result<Option<catalog::Device>, LookupError>| {
            let is_registered = found.map(|device| device.is_some());
            address.notify(Notice::Receiver { client, is_registered });
        };
        self.shared.devices.lookup(from, asked.as_str(), Box::new(done));
    }

    pub(super) fn finish_lookup(&mut self, client: &ClientKey, is_registered: Result<bool, LookupError>) {
        let Some(waiting) = self.lookups.remove(client) else { return };
        self.lookups_waiting -= waiting.len();
        if is_registered == Ok(true) && !self.seats.contains_key(client) {
            self.seats.insert(client.clone(), Seat::new(&self.shared.inbox_limits));
        }
        for p2p in waiting {
            match is_registered {
                _ if self.seats.contains_key(client) => self.take_p2p(p2p),
                Ok(_) => self.refuse_unknown(p2p.reply_to),
                Err(_) => self.answer(p2p.reply_to, Outcome::Unavailable),
            }
        }
    }

    /// The receiver does not exist. A service is told; the queue keeps it among the dead letters.
    fn refuse_unknown(&mut self, reply_to: ReplyTo) {
        self.shared.counts.dropped_absent.one();
        match reply_to.asker {
            Asker::Queue(job) => self.dead_letter(job, "the receiver is not registered"),
            asker => {
                let outcome = Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS);
                self.answer(ReplyTo { worker: reply_to.worker, asker }, outcome);
            }
        }
    }

    fn take_p2p(&mut self, p2p: P2p) {
        let P2p { to, message, keep, reply_to } = p2p;
        let Some(seat) = self.seats.get(&to) else { return };
        let (is_live, is_persistent) = (seat.link.is_some(), seat.is_persistent());
        match message.qos {
            QoS::AtMostOnce => {
                let outcome = self.send_at_most_once(&to, &message, &[]);
                self.answer(reply_to, outcome);
            }
            _ if !keep && !is_live => self.miss(reply_to),
            _ if is_persistent => self.store(Stalled::P2p(P2p { to, message, keep, reply_to })),
            _ => {
                let outcome = self.keep_in_memory(&to, &message, Box::default());
                self.answer(reply_to, outcome);
            }
        }
    }

    /// Message, reference, what it replaces, and the acknowledgement to the queue: one unit of the log. Gives the
    /// message back when the log is busy.
    pub(super) fn store_p2p(&mut self, p2p: P2p) -> Option<P2p> {
        if !self.seats.contains_key(&p2p.to) {
            // Its session ended while the log was busy; whether it is registered is asked again.
            self.accept_p2p(p2p);
            return None;
        }
        let P2p { to, message, reply_to, .. } = &p2p;
        if let Asker::Queue(job) = &reply_to.asker
            && let Some(end) = self.seats.get(to).and_then(|seat| seat.knows_queue_id(job.message_id.as_str()))
        {
            self.answer(p2p.reply_to, Outcome::Durable(end));
            return None;
        }
        let storing = match self.admit(to, message, Box::default()) {
            Ok(storing) => storing,
            Err(outcome) => {
                self.answer(p2p.reply_to, outcome);
                return None;
            }
        };
        let mut batch = Batch::default();
        let index = batch.message(message);
        add_reference(&mut batch, to, &storing, index);
        if let Asker::Queue(job) = &reply_to.asker {
            // An error: it was acknowledged or handed out again, so that this delivery is void.
            self.add_queue_side(to, job, &mut batch).ok()?;
        }
        self.append_p2p(&batch, index, storing, p2p)
    }

    fn append_p2p(&mut self, batch: &Batch, index: usize, storing: Storing, p2p: P2p) -> Option<P2p> {
        // What the queue has already and is only moved may use the reserve: refused, it would become a dead letter in time.
        let need = if matches!(p2p.reply_to.asker, Asker::Queue(_)) { Need::Essential } else { Need::Normal };
        match self.shared.journal.append(batch, need) {
            Ok(appended) => {
                let position = appended.positions.get(index).copied().unwrap_or_default();
                let P2p { to, message, reply_to, .. } = p2p;
                self.put(&to, position, storing);
                self.answer_stored(&to, reply_to, appended.end);
                self.deliver_fresh(&to, Fresh { position, message: &message });
                None
            }
            Err(error) => {
                if let Asker::Queue(job) = &p2p.reply_to.asker {
                    self.abandon(job);
                }
                if error == AppendError::Busy {
                    return Some(p2p);
                }
                self.refuse_for_full_log(&error);
                if !matches!(p2p.reply_to.asker, Asker::Queue(_)) {
                    self.answer(p2p.reply_to, Outcome::Unavailable);
                }
                None
            }
        }
    }

    fn refuse_for_full_log(&self, error: &AppendError) {
        self.shared.counts.refused_by_log.one();
        tracing::debug!(%error, "a message was not stored");
    }

    fn answer_stored(&mut self, to: &ClientKey, reply_to: ReplyTo, end: Position) {
        match reply_to.asker {
            Asker::Queue(job) => self.queue_side_stored(to, job, end),
            asker => self.answer(ReplyTo { worker: reply_to.worker, asker }, Outcome::Durable(end)),
        }
    }

    fn admit(&self, to: &ClientKey, message: &SharedMessage, ids: Box<[u32]>) -> Result<Storing, Outcome> {
        let Some(seat) = self.seats.get(to) else {
            return Err(Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS));
        };
        let counts = &self.shared.counts;
        if message.expires_at_ms <= self.now_ms && seat.link.is_none() {
            counts.expired.one();
            return Err(Outcome::Done(ReasonCode::SUCCESS));
        }
        let limits = self.limits_of(seat);
        match seat.inbox.admit(message.size(), message.collapse.as_ref(), &limits, self.now_ms) {
            Admission::Accept { replaces } => Ok(Storing { entry: self.entry_of(message, ids), replaces }),
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

    fn limits_of(&self, seat: &Seat) -> InboxLimits {
        let limits = self.shared.inbox_limits;
        if seat.is_persistent() {
            return limits;
        }
        InboxLimits { bytes_max: self.shared.limits.memory_inbox_bytes_max, ..limits }
    }

    fn entry_of(&self, message: &SharedMessage, subscription_ids: Box<[u32]>) -> Entry {
        let retention = u64::try_from(self.shared.limits.offline_retention.as_millis()).unwrap_or(u64::MAX);
        let kept_until_ms = message.arrived_ms.max(self.now_ms).saturating_add(retention);
        Entry {
            message: Some(message.clone()),
            size: message.size(),
            expires_at_ms: message.expires_at_ms.min(kept_until_ms),
            collapse: message.collapse.clone().map(Box::new),
            subscription_ids,
            urgent: self.shared.is_urgent(&message.topic),
        }
    }

    /// Puts what is in the log now into the inbox.
    fn put(&mut self, to: &ClientKey, position: Position, storing: Storing) {
        let Some(seat) = self.seats.get_mut(to) else { return };
        let Storing { entry, replaces } = storing;
        self.shared.counts.stored.one();
        self.shared.counts.inbox_messages.one();
        self.shared.counts.inbox_bytes.add(u64::from(entry.size));
        seat.is_logged = true;
        if let Some(gone) = seat.inbox.insert(EntryId::logged(position), entry, replaces) {
            self.shared.counts.superseded.one();
            self.forget(to, gone);
        }
    }

    /// For a client whose session ends with its connection.
    fn keep_in_memory(&mut self, to: &ClientKey, message: &SharedMessage, ids: Box<[u32]>) -> Outcome {
        let Storing { entry, replaces } = match self.admit(to, message, ids) {
            Ok(storing) => storing,
            Err(outcome) => return outcome,
        };
        let id = EntryId::volatile(self.number());
        self.shared.counts.inbox_messages.one();
        self.shared.counts.inbox_bytes.add(u64::from(entry.size));
        let gone = self.seats.get_mut(to).and_then(|seat| seat.inbox.insert(id, entry, replaces));
        if let Some(gone) = gone {
            self.shared.counts.superseded.one();
            self.forget(to, gone);
        }
        self.deliver(to);
        Outcome::Done(ReasonCode::SUCCESS)
    }

    /// Takes a message for the subscribers of this worker.
    pub(super) fn accept_fan(&mut self, message: &SharedMessage, from: Option<&ClientKey>, reply_to: ReplyTo) {
        let Ok(topic) = TopicName::parse(&message.topic) else { return };
        let mut matches = std::mem::take(&mut self.matches);
        self.subscriptions.collect_matches(topic, &mut matches);
        let mut outcome = Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS);
        let mut receivers = VecDeque::new();
        for found in matches.iter().filter(|found| !(found.no_local && Some(&found.key) == from)) {
            outcome = Outcome::Done(ReasonCode::SUCCESS);
            receivers.extend(self.fan_to(message, found));
        }
        self.matches = matches;
        if receivers.is_empty() {
            self.answer(reply_to, outcome);
        } else {
            self.store(Stalled::Fan(LoggedFan { message: message.clone(), receivers, outcome, reply_to }));
        }
    }

    /// Gives it to a receiver that needs no log, or says who needs it.
    fn fan_to(&mut self, message: &SharedMessage, found: &Match<ClientKey>) -> Option<(ClientKey, Box<[u32]>)> {
        let ids: Box<[u32]> = found.subscription_ids.as_slice().into();
        if message.qos.min(found.qos) == QoS::AtMostOnce {
            self.send_at_most_once(&found.key, message, &ids);
            return None;
        }
        if !self.seats.get(&found.key)?.is_persistent() {
            self.keep_in_memory(&found.key, message, ids);
            return None;
        }
        Some((found.key.clone(), ids))
    }

    /// Gives it back, with those that it is not stored for, when the log is busy.
    pub(super) fn store_fan(&mut self, mut fan: LoggedFan) -> Option<LoggedFan> {
        while !fan.receivers.is_empty() {
            match self.store_for_some(&mut fan) {
                Ok(()) => {}
                Err(AppendError::Busy) => return Some(fan),
                Err(error) => {
                    self.refuse_for_full_log(&error);
                    self.answer(fan.reply_to, Outcome::Unavailable);
                    return None;
                }
            }
        }
        self.answer(fan.reply_to, fan.outcome);
        None
    }

    /// One copy of the message, and a reference for each inbox as far as one unit of the log goes.
    fn store_for_some(&mut self, fan: &mut LoggedFan) -> Result<(), AppendError> {
        let mut unit = Batch::default();
        let index = unit.message(&fan.message);
        let stored = self.add_receivers(fan, &mut unit, index);
        if stored.is_empty() {
            return Ok(());
        }
        match self.shared.journal.append(&unit, Need::Normal) {
            Ok(appended) => {
                let position = appended.positions.get(index).copied().unwrap_or_default();
                for (client, storing) in stored {
                    self.put(&client, position, storing);
                    self.deliver_fresh(&client, Fresh { position, message: &fan.message });
                }
                fan.outcome = merge(fan.outcome, Outcome::Durable(appended.end));
                Ok(())
            }
            Err(error) => {
                for (client, storing) in stored.into_iter().rev() {
                    fan.receivers.push_front((client, storing.entry.subscription_ids));
                }
                Err(error)
            }
        }
    }

    /// Moves receivers from `fan` to `unit` until that is full.
    fn add_receivers(&self, fan: &mut LoggedFan, unit: &mut Batch, message: usize) -> Vec<(ClientKey, Storing)> {
        let mut stored = Vec::new();
        let mut room = self.shared.journal.unit_bytes_max().saturating_sub(unit.bytes());
        while let Some((client, ids)) = fan.receivers.pop_front() {
            let storing = match self.admit(&client, &fan.message, ids) {
                Ok(storing) => storing,
                Err(other) => {
                    fan.outcome = merge(fan.outcome, other);
                    continue;
                }
            };
            let mut records = Batch::default();
            add_reference(&mut records, &client, &storing, message);
            let bytes = records.bytes();
            if bytes > room && !stored.is_empty() {
                fan.receivers.push_front((client, storing.entry.subscription_ids));
                break;
            }
            room = room.saturating_sub(bytes);
            unit.extend(records);
            stored.push((client, storing));
        }
        stored
    }
}

fn add_reference(batch: &mut Batch, to: &ClientKey, storing: &Storing, message: usize) {
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

/// What a message is worth to somebody who is on the line now.
pub(super) fn is_over(message: &Message, now_ms: u64) -> bool {
    message.expires_at_ms < now_ms
}
