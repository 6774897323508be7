//! Receivers that are not known here: whether they are registered is asked, and what is for them waits meanwhile.

use std::collections::HashMap;

use super::Clients;
use super::entry::ClientEntry;
use crate::client::ClientKey;
use crate::config::Limits;
use crate::worker::action::{Action, Actions, Now};
use crate::worker::post::{Outcome, P2p, ReplyTarget, ReplyTo};
use accounts::login::{LookupError, LookupSource};

#[derive(Default)]
pub(super) struct Lookups {
    waiting_by_receiver: HashMap<ClientKey, Vec<P2p>>,
    waiting: usize,
    waiting_bytes: usize,
}

impl Lookups {
    /// The answer about this receiver is not there yet.
    pub(super) fn is_asked(&self, receiver: &ClientKey) -> bool {
        self.waiting_by_receiver.contains_key(receiver)
    }

    /// Nothing waits.
    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        (self.waiting, self.waiting_bytes) == (0, 0) && self.waiting_by_receiver.is_empty()
    }

    /// So much waits for answers that nothing more may.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.waiting >= limits.lookups_waiting_max || self.waiting_bytes >= limits.lookups_bytes_max
    }
}

impl Clients {
    pub(super) fn look_up(&mut self, p2p: P2p, actions: &mut Actions) {
        self.lookups.waiting += 1;
        self.lookups.waiting_bytes += p2p.bytes();
        if let Some(waiting) = self.lookups.waiting_by_receiver.get_mut(&p2p.to) {
            // Behind those that wait for the same answer.
            return waiting.push(p2p);
        }
        let receiver = p2p.to.clone();
        let source = match p2p.reply_to.target {
            ReplyTarget::Queue(_) => LookupSource::Queue,
            _ => LookupSource::Senders,
        };
        self.lookups.waiting_by_receiver.insert(receiver.clone(), vec![p2p]);
        actions.push_back(Action::LookUp { receiver, source });
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
        self.lookups.waiting_bytes -= waiting.iter().map(P2p::bytes).sum::<usize>();
        if is_registered == Ok(true) && self.find(receiver).is_none() {
            let client = self.insert(ClientEntry::new(receiver.as_str(), &self.context.inbox_limits));
            // What waits for it may not be stored; then nothing is to be left of it.
            self.expect_deadline(client, now.over().all_until_ms());
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
