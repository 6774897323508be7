//! What the components want of each other, and what follows from it.

use accounts::messages::PlaceOutcome;
use mqtt::{AckToken, ReasonCode};
use queue::NotTaken;

use super::action::{Action, AfterDurable, ClientRef};
use super::durability::JobStep;
use super::logins::LoginStep;
use super::post::{ConnectionKey, Notice, Outcome, Post, ReplyTarget, ReplyTo};
use super::reader::{Loaded, ReadRequest, ToRead};
use super::writes::{LogWrite, ToQueue};
use super::{Worker, orders, queue_jobs};
use crate::client::ClientKey;

impl Worker {
    /// Does what was asked for, in its order, and what follows from it, until nothing is left.
    pub(super) fn dispatch(&mut self) {
        while let Some(action) = self.actions.pop_front() {
            match action {
                Action::Deliver { client, just_stored } => self.deliver(client, just_stored.as_slice()),
                Action::Read { client, positions } => {
                    self.reader.ask(ReadRequest { worker: self.me, what: ToRead::Messages { client, positions } });
                }
                Action::SendAtMostOnce { to, message, subscription_ids } => {
                    self.connections.send_at_most_once(to, &message, &subscription_ids, self.now);
                }
                Action::WhenDurable { end, then } => self.durability.wait(end, then),
                Action::Reply { to, outcome } => self.reply(to, outcome),
                Action::WriteP2p(p2p) => self.write(LogWrite::P2p(p2p)),
                Action::WriteFanOut(fan_out) => self.write(LogWrite::FanOut(*fan_out)),
                Action::Defer(deferred) => self.durability.defer(deferred),
                Action::LookUp { receiver, source } => self.look_up(receiver, source),
                Action::DeadLetter { job, reason } => queue_jobs::dead_letter(&self.shared, job, reason),
            }
        }
    }

    /// Sends what waits until the client's window is closed, the client does not read, or something is to be read first.
    pub(super) fn deliver(&mut self, client: ClientRef, loaded: &[Loaded]) {
        let Some(key) = self.clients.open_connection(client) else { return };
        while self.connections.has_room(key) {
            let Some(outbound) = self.clients.hand_out(client, loaded, self.now.over(), &mut self.actions) else {
                break;
            };
            let (message, ids) = (&outbound.message, &outbound.subscription_ids);
            let sent = self.connections.send(key, message, outbound.delivery(), ids, self.now);
            self.clients.sent(client, &outbound, sent, &mut self.actions);
        }
    }

    /// Writes to the log or to the queue, behind those writes that came before and wait.
    pub(super) fn write(&mut self, write: LogWrite) {
        let not_taken = if self.durability.has_writes() { Some(write) } else { self.try_write(write) };
        if let Some(write) = not_taken {
            if let LogWrite::ToQueue(ToQueue { from, .. }) = &write {
                self.connections.hold_for_queue(*from);
            }
            self.durability.hold(write);
        }
    }

    pub(super) fn retry_writes(&mut self) {
        while let Some(write) = self.durability.next_write() {
            let not_taken = self.try_write(write);
            let is_over = not_taken.is_some();
            not_taken.into_iter().for_each(|write| self.durability.hold_first(write));
            // Also of a fan-out that was taken in part.
            self.dispatch();
            if is_over {
                break;
            }
        }
    }

    /// Gives the write back if it is not taken now.
    fn try_write(&mut self, write: LogWrite) -> Option<LogWrite> {
        match write {
            LogWrite::P2p(p2p) => self.clients.write_p2p(p2p, self.now, &mut self.actions).map(LogWrite::P2p),
            LogWrite::FanOut(fan_out) => {
                self.clients.write_fan_out(fan_out, self.now, &mut self.actions).map(LogWrite::FanOut)
            }
            LogWrite::ToQueue(ToQueue { from, topic, message, done }) => {
                match self.shared.queue.try_send(&topic, message, done) {
                    Ok(()) => {
                        self.connections.resume_from_queue(from);
                        None
                    }
                    Err(not_taken) => {
                        let NotTaken { message, done } = *not_taken;
                        Some(LogWrite::ToQueue(ToQueue { from, topic, message, done }))
                    }
                }
            }
        }
    }

    fn look_up(&self, receiver: ClientKey, source: accounts::login::LookupSource) {
        let Some(address) = self.shared.workers.get(self.me).cloned() else { return };
        let client = receiver.clone();
        let done = move |found: Result<Option<catalog::Device>, _>| {
            let is_registered = found.map(|device| device.is_some());
            address.notify(Notice::Receiver { client, is_registered });
        };
        self.shared.devices.lookup(source, receiver.as_str(), Box::new(done));
    }

    /// Brings an outcome to the place that waits for it, on whatever worker.
    fn reply(&mut self, to: ReplyTo, outcome: Outcome) {
        let ReplyTo { worker, target } = to;
        match target {
            ReplyTarget::Nobody => {}
            ReplyTarget::Queue(_) => self.settle(target, outcome),
            _ if worker == self.me => self.settle(target, outcome),
            _ => self.worker_posts.post(worker, Post::Reply { target, outcome }),
        }
    }

    pub(super) fn settle(&mut self, target: ReplyTarget, outcome: Outcome) {
        let settled = match target {
            // The last of several places brings the outcome of them all.
            ReplyTarget::Merged(number) => self.durability.add_outcome(number, outcome),
            ReplyTarget::Part { number, worker } => self.durability.add_part(number, worker, outcome),
            target => Some((target, outcome)),
        };
        match settled {
            Some((ReplyTarget::Publish { connection, token }, outcome)) => {
                self.settle_publish(connection, token, outcome);
            }
            Some((ReplyTarget::Owner(answer), outcome)) => match orders::outcome_of(outcome) {
                Ok(outcome) => answer.send(outcome),
                Err(end) => self.durability.wait(end, AfterDurable::Placed(answer)),
            },
            Some((ReplyTarget::Queue(job), outcome)) => match self.durability.settle_job(job, outcome) {
                Some(JobStep::Acknowledge(job)) => queue_jobs::acknowledge(&self.shared, job),
                Some(JobStep::Return(job)) => job.return_to_pump(),
                None => {}
            },
            Some((ReplyTarget::Nobody | ReplyTarget::Merged(_) | ReplyTarget::Part { .. }, _)) | None => {}
        }
    }

    fn settle_publish(&mut self, connection: ConnectionKey, token: AckToken, outcome: Outcome) {
        match outcome {
            Outcome::Durable(end) => self.durability.wait(end, AfterDurable::Puback { connection, token }),
            Outcome::Done(reason) | Outcome::Dropped(reason) => self.connections.puback(connection, token, reason),
            Outcome::Unavailable => self.refuse_publish(connection, token, ReasonCode::QUOTA_EXCEEDED),
            Outcome::NoRoom | Outcome::Partial { .. } => self.connections.refuse_without_room(connection, token),
            Outcome::Forbidden(reason) => self.refuse_publish(connection, token, reason),
        }
    }

    fn refuse_publish(&mut self, connection: ConnectionKey, token: AckToken, reason: ReasonCode) {
        if !self.connections.refuse_publish(connection, token, reason) {
            self.close(connection, Some(reason));
        }
    }

    pub(super) fn after_durable(&mut self, then: AfterDurable) {
        match then {
            AfterDurable::Accept(connection) => self.logins.add(LoginStep::Accept(connection)),
            AfterDurable::Suback { connection, packet_id, codes } => {
                self.connections.suback(connection, packet_id, &codes);
            }
            AfterDurable::Unsuback { connection, packet_id, codes } => {
                self.connections.unsuback(connection, packet_id, &codes);
            }
            AfterDurable::Puback { connection, token } => {
                self.connections.puback(connection, token, ReasonCode::SUCCESS);
            }
            // The caller may have stopped waiting.
            AfterDurable::Ended(answer) => _ = answer.send(None),
            AfterDurable::Placed(answer) => answer.send(PlaceOutcome::Stored),
            AfterDurable::Purged { purged, answer, turn } => {
                let _ = answer.send(purged);
                drop(turn);
            }
            AfterDurable::Applied(job) => self.queue_acks.applied(&job),
            AfterDurable::Acknowledge(job) => queue_jobs::acknowledge(&self.shared, job),
        }
    }
}
