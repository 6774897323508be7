//! What comes from other workers and from outside.

use mqtt::ReasonCode;
use mqtt::topic::TopicName;

use super::Worker;
use super::action::Deferred;
use super::granted::Place;
use super::logins::LoginStep;
use super::post::{FanOut, FanOutOrder, FromQueue, Notice, Outcome, P2p, Post, QueueJob, ReplyTarget, ReplyTo};
use super::turn_budget::WorkLeft;
use crate::message::SharedMessage;

impl Worker {
    pub(super) fn take_posts(&mut self) {
        let mut left = WorkLeft::default();
        while !left.is_spent() && !self.durability.is_congested() {
            let Some(batch) = self.mailbox.next_batch() else { break };
            left.spend(batch.len());
            batch.into_iter().for_each(|post| self.take_post(post));
        }
        let starving: Vec<usize> = self.mailbox.take_starving().collect();
        starving.into_iter().filter_map(|worker| self.shared.workers.get(worker)).for_each(|address| address.ring());
    }

    fn take_post(&mut self, post: Post) {
        match post {
            Post::Move(moving) => self.logins.add(LoginStep::Adopt(moving)),
            Post::P2p(p2p) => self.clients.take_p2p(p2p, self.now, &mut self.actions),
            Post::FanOut(fan_out) => self.clients.take_fan_out(fan_out, self.now, &mut self.actions),
            Post::Reply { target, outcome } => self.settle(target, outcome),
        }
        self.dispatch();
    }

    pub(super) fn take_notices(&mut self) {
        let mut left = WorkLeft::default();
        while !left.is_spent() {
            let Some(notice) = self.mailbox.next_notice() else { break };
            left.spend(self.take_notice(notice));
            self.dispatch();
        }
        // What is left is looked at in the next turn.
        if !self.mailbox.is_empty()
            && !self.durability.is_congested()
            && let Some(address) = self.shared.workers.get(self.me)
        {
            address.ring();
        }
    }

    /// Returns how much work it was, in packets.
    fn take_notice(&mut self, notice: Notice) -> usize {
        match notice {
            Notice::Ordered(order) => return self.obey(order),
            Notice::MessagesRead { client, messages } => {
                self.clients.read_ended(client, &mut self.actions);
                self.deliver(client, &messages);
                return messages.len();
            }
            Notice::Arrival(arrival) => self.logins.add(LoginStep::Arrival(arrival)),
            Notice::Device { connection, found } => self.logins.add(LoginStep::Device { connection, found }),
            Notice::RecordsRead(records) => self.carrying.records_read(records),
            Notice::Receiver { client, is_registered } => {
                self.clients.looked_up(&client, is_registered, self.now, &mut self.actions);
            }
            // The caller may have stopped waiting.
            Notice::Holder { client, answer } => _ = answer.send(self.clients.holder_of(&client).map(Into::into)),
            Notice::EndDevice(removal) => self.end_device(removal),
            Notice::KeyCut { key_id, answer } => self.cut_key(&key_id, answer),
            Notice::KeyChanged { key_id, answer } => self.judge_key(&key_id, answer),
            Notice::Standing { connection, found } => self.judge_device(connection, found),
            Notice::CredentialCut { client, key_id, is_removed, answer } => {
                self.cut_credential(&client, key_id, is_removed);
                // As above.
                let _ = answer.send(());
            }
            Notice::Registered { client, account, answer } => {
                self.end_others(&client, &account);
                // As above.
                let _ = answer.send(());
            }
            Notice::GroupCut { group, answer } => self.cut_group(&group, answer),
            Notice::SubscriptionsCut { parent, answer } => self.judge_subscribers(Place::At(parent), answer),
            Notice::TokenCut { id, answer } => self.cut_token(id, answer),
            Notice::CertificatesRevoked { answer } => self.judge_certificates(answer),
            Notice::QueueSent { target, result } => {
                let outcome = match result {
                    Ok(()) => Outcome::Done(ReasonCode::SUCCESS),
                    Err(error) => {
                        tracing::warn!(%error, "a published message did not get into the queue");
                        match error {
                            queue::SendError::Unavailable(queue::Unavailable::Full) => Outcome::NoRoom,
                            _ => Outcome::Unavailable,
                        }
                    }
                };
                self.settle(target, outcome);
            }
            Notice::EventSent { connection_id } => {
                self.ended.told(&connection_id);
                self.durability.defer(Deferred::EventSent { connection_id });
            }
            Notice::FromQueue(from_queue) => self.take_from_queue(from_queue),
            Notice::Stop(reason) => self.stop(reason),
            Notice::LogFailed => {
                // What waited for the log is never acknowledged.
                self.durability.fail();
                self.stop(ReasonCode::SERVER_SHUTTING_DOWN);
            }
        }
        1
    }

    fn take_from_queue(&mut self, from_queue: FromQueue) {
        self.shared.counts.from_queue.one();
        match from_queue {
            FromQueue::P2p { job, .. } if job.order.must_wait() => {
                self.settle(ReplyTarget::Queue(job), Outcome::NoRoom);
            }
            FromQueue::P2p { to, message, keep, job } => {
                let reply_to = ReplyTo { worker: self.me, target: ReplyTarget::Queue(job) };
                self.clients.take_p2p(P2p { to, message, keep, reply_to }, self.now, &mut self.actions);
            }
            FromQueue::Subscribers { message, keep, job } => self.fan_out_from_queue(&message, keep, job),
        }
    }

    fn fan_out_from_queue(&mut self, message: &SharedMessage, keep: bool, job: Box<QueueJob>) {
        let workers = TopicName::parse(&message.topic).map(|topic| self.shared.workers_by_filter.workers(topic));
        let left = job.taken.left_of(workers.unwrap_or_default());
        if left.is_empty() {
            let outcome = job.taken.outcome();
            return self.settle(ReplyTarget::Queue(job), outcome);
        }
        let queue = job.order.clone();
        let number = self.durability.open_reply(ReplyTarget::Queue(job), left.len());
        for (worker, from) in left {
            let reply_to = ReplyTo { worker: self.me, target: ReplyTarget::Part { number, worker } };
            let (message, order) = (message.clone(), FanOutOrder::LogFirst { from, queue: queue.clone() });
            self.fan_out_to(worker, FanOut { message, from: None, keep, need: QueueJob::NEED, order, reply_to });
        }
    }
}
