//! Receivers that are not known here: whether they are registered is asked, and what is for them waits meanwhile.

use std::collections::HashMap;

use accounts::login::{Asker, LookupError};
use mqtt::{QoS, ReasonCode};

use super::Clients;
use super::entry::ClientEntry;
use crate::client::ClientKey;
use crate::worker::action::{Action, Actions, Now};
use crate::worker::post::{Outcome, P2p, ReplyTarget, ReplyTo};

#[derive(Default)]
pub(super) struct Lookups {
    waiting_by_receiver: HashMap<ClientKey, Vec<P2p>>,
    waiting: usize,
}

impl Clients {
    /// Takes a message for a client of this worker.
    pub(in crate::worker) fn take_p2p(&mut self, p2p: P2p, now: Now, actions: &mut Actions) {
        let is_looked_up = self.lookups.waiting_by_receiver.contains_key(&p2p.to);
        match self.find_receiver(&p2p.to) {
            Some(client) if !is_looked_up => self.take_known(client, p2p, now, actions),
            _ if !is_looked_up && (p2p.message.qos == QoS::AtMostOnce || !p2p.keep) => {
                self.miss(p2p.reply_to, actions);
            }
            _ if self.lookups.waiting >= self.context.limits.lookups_waiting_max => {
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

    fn look_up(&mut self, p2p: P2p, actions: &mut Actions) {
        self.lookups.waiting += 1;
        if let Some(waiting) = self.lookups.waiting_by_receiver.get_mut(&p2p.to) {
            // Behind those that wait for the same answer.
            return waiting.push(p2p);
        }
        let receiver = p2p.to.clone();
        let asker = match p2p.reply_to.target {
            ReplyTarget::Queue(_) => Asker::Queue,
            _ => Asker::Senders,
        };
        self.lookups.waiting_by_receiver.insert(receiver.clone(), vec![p2p]);
        actions.push_back(Action::LookUp { receiver, asker });
    }

    /// Whether a receiver is registered: what waits for it goes on, in its order.
    pub(in crate::worker) fn looked_up(
        &mut self,
        receiver: &ClientKey,
        is_registered: Result<bool, LookupError>,
        now: Now,
        actions: &mut Actions,
    ) {
        let Some(waiting) = self.lookups.waiting_by_receiver.remove(receiver) else { return };
        self.lookups.waiting -= waiting.len();
        if is_registered == Ok(true) && self.find(receiver).is_none() {
            self.insert(ClientEntry::new(receiver.clone(), &self.context.inbox_limits));
        }
        for p2p in waiting {
            match (self.find(receiver), is_registered) {
                (Some(client), _) => self.take_known(client, p2p, now, actions),
                (None, Ok(_)) => self.refuse_unknown(p2p.reply_to, actions),
                (None, Err(_)) => actions.push_back(Action::Reply { to: p2p.reply_to, outcome: Outcome::Unavailable }),
            }
        }
    }

    /// The receiver does not exist. A service is told; the queue keeps the message among the dead letters.
    fn refuse_unknown(&self, reply_to: ReplyTo, actions: &mut Actions) {
        match reply_to.target {
            ReplyTarget::Queue(job) => {
                self.context.counts.dropped_absent.one();
                actions.push_back(Action::DeadLetter { job, reason: "the receiver is not registered" });
            }
            target => self.miss(ReplyTo { worker: reply_to.worker, target }, actions),
        }
    }
}

#[cfg(test)]
impl Clients {
    pub(super) fn lookups_waiting(&self) -> usize {
        self.lookups.waiting
    }
}
