//! A message for the subscribers of this worker.

use std::collections::VecDeque;

use commitlog::AppendError;
use mqtt::topic::{Match, TopicName};
use mqtt::{QoS, ReasonCode};

use super::Clients;
use super::entry::ClientEntry;
use super::storing::{Storing, add_reference};
use crate::message::SharedMessage;
use crate::store::journal::Batch;
use crate::worker::action::{Action, Actions, ClientRef, Now};
use crate::worker::post::{FanOut, FanOutOrder, Outcome};
use crate::worker::reader::Loaded;
use crate::worker::writes::LoggedFanOut;

impl Clients {
    pub(in crate::worker) fn take_fan_out(&mut self, fan_out: FanOut, now: Now, actions: &mut Actions) {
        let FanOut { message, from, keep, need, order, reply_to } = fan_out;
        let Ok(topic) = TopicName::parse(&message.topic) else { return };
        let mut matches = std::mem::take(&mut self.matches);
        self.subscriptions.collect_matches(topic, &mut matches);
        let mut outcome = Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS);
        let (mut receivers, mut live) = (VecDeque::new(), Vec::new());
        for found in matches.iter() {
            if found.no_local && from.as_ref().is_some_and(|from| self.is_client(found.key, from)) {
                continue;
            }
            if !self.reaches(keep, found) {
                self.context.counts.dropped_absent.one();
                continue;
            }
            outcome = Outcome::Done(ReasonCode::SUCCESS);
            let ids: Box<[u32]> = found.subscription_ids.as_slice().into();
            match &order {
                _ if self.needs_log(&message, found) => receivers.push_back((found.key, ids)),
                FanOutOrder::LiveFirst => self.give_live(&message, (found.key, found.qos, ids), now, actions),
                FanOutOrder::LogFirst { .. } => live.push((found.key, found.qos, ids)),
            }
        }
        self.matches = matches;
        let queue = match order {
            FanOutOrder::LiveFirst => None,
            FanOutOrder::LogFirst { from, queue } => {
                receivers.retain(|(client, _)| *client >= from);
                receivers.make_contiguous().sort_unstable_by_key(|(client, _)| *client);
                Some(queue)
            }
        };
        if receivers.is_empty() && live.is_empty() {
            actions.push_back(Action::Reply { to: reply_to, outcome });
        } else {
            let fan_out = LoggedFanOut { message, receivers, live, need, queue, outcome, reply_to };
            actions.push_back(Action::WriteFanOut(Box::new(fan_out)));
        }
    }

    /// How many of those that a message is for are connected, and how many keep it on disk.
    pub(in crate::worker) fn count_receivers(&mut self, message: &SharedMessage, keep: bool) -> (u64, u64) {
        let Ok(topic) = TopicName::parse(&message.topic) else { return (0, 0) };
        let mut matches = std::mem::take(&mut self.matches);
        self.subscriptions.collect_matches(topic, &mut matches);
        let online = matches.iter().filter(|found| self.open_connection(found.key).is_some()).count();
        let in_reach = matches.iter().filter(|found| self.reaches(keep, found));
        let inboxes = in_reach.filter(|found| self.needs_log(message, found)).count();
        self.matches = matches;
        (online as u64, inboxes as u64)
    }

    /// What is not kept is for those on the line.
    fn reaches(&self, keep: bool, found: &Match<ClientRef>) -> bool {
        keep || self.open_connection(found.key).is_some()
    }

    fn needs_log(&self, message: &SharedMessage, found: &Match<ClientRef>) -> bool {
        message.qos.min(found.qos) != QoS::AtMostOnce && self.entry(found.key).is_some_and(ClientEntry::is_persistent)
    }

    /// To a receiver that needs no log.
    fn give_live(
        &mut self,
        message: &SharedMessage,
        (client, qos, ids): (ClientRef, QoS, Box<[u32]>),
        now: Now,
        actions: &mut Actions,
    ) {
        if message.qos.min(qos) == QoS::AtMostOnce {
            self.send_at_most_once(client, message, ids, actions);
        } else {
            self.keep_in_memory(client, message, ids, now, actions);
        }
    }

    /// Writes one copy of the message and a reference for each inbox, as far as one unit of the log goes, then the next.
    /// While the log is busy, gives it back with the receivers that it is not stored for. Then those that need no log.
    pub(in crate::worker) fn write_fan_out(
        &mut self,
        mut fan_out: LoggedFanOut,
        now: Now,
        actions: &mut Actions,
    ) -> Option<LoggedFanOut> {
        if fan_out.must_wait() {
            let outcome = fan_out.refused(Outcome::NoRoom);
            actions.push_back(Action::Reply { to: fan_out.reply_to, outcome });
            return None;
        }
        while !fan_out.receivers.is_empty() {
            match self.write_for_some(&mut fan_out, now, actions) {
                Ok(()) => {}
                Err(AppendError::Busy) => return Some(fan_out),
                Err(error) => {
                    let outcome = fan_out.refused(self.refused(&error));
                    actions.push_back(Action::Reply { to: fan_out.reply_to, outcome });
                    return None;
                }
            }
        }
        for receiver in std::mem::take(&mut fan_out.live) {
            self.give_live(&fan_out.message, receiver, now, actions);
        }
        actions.push_back(Action::Reply { to: fan_out.reply_to, outcome: fan_out.outcome });
        None
    }

    fn write_for_some(
        &mut self,
        fan_out: &mut LoggedFanOut,
        now: Now,
        actions: &mut Actions,
    ) -> Result<(), AppendError> {
        let mut unit = Batch::default();
        let index = unit.message(&fan_out.message);
        let stored = self.add_receivers(fan_out, (&mut unit, index), now, actions);
        if stored.is_empty() {
            return Ok(());
        }
        match self.context.journal.append(&unit, fan_out.need) {
            Ok(appended) => {
                let position = appended.positions.get(index).copied().unwrap_or_default();
                let inboxes = u32::try_from(stored.len()).expect("fewer clients than fit into memory");
                for (client, storing) in stored {
                    self.put_logged(client, position, storing, actions);
                    let just_stored = Some(Loaded { position, message: Ok(fan_out.message.clone()) });
                    actions.push_back(Action::Deliver { client, just_stored });
                }
                self.live.share(position, fan_out.message.size(), inboxes);
                fan_out.outcome = fan_out.outcome.merge(Outcome::Durable(appended.end));
                Ok(())
            }
            Err(error) => {
                for (client, storing) in stored.into_iter().rev() {
                    fan_out.receivers.push_front((client, storing.entry.subscription_ids));
                }
                Err(error)
            }
        }
    }

    /// Moves receivers from `fan_out` to `unit` until that is full.
    fn add_receivers(
        &mut self,
        fan_out: &mut LoggedFanOut,
        (unit, message): (&mut Batch, usize),
        now: Now,
        actions: &mut Actions,
    ) -> Vec<(ClientRef, Storing)> {
        let mut stored = Vec::new();
        let mut room = self.context.journal.unit_bytes_max().saturating_sub(unit.bytes());
        while let Some((client, ids)) = fan_out.receivers.pop_front() {
            let storing = match self.admit(client, &fan_out.message, ids, now, actions) {
                Ok(storing) => storing,
                Err(other) => {
                    fan_out.outcome = fan_out.outcome.merge(other);
                    continue;
                }
            };
            let Some(entry) = self.entry(client) else { continue };
            let mut records = Batch::default();
            add_reference(&mut records, entry.client_id(), &storing, message);
            let bytes = records.bytes();
            if bytes > room && !stored.is_empty() {
                fan_out.receivers.push_front((client, storing.entry.subscription_ids));
                break;
            }
            room = room.saturating_sub(bytes);
            unit.extend(records);
            stored.push((client, storing));
        }
        stored
    }
}
