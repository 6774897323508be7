//! Messages that come from the queue: into an inbox and acknowledged in one unit, or to where dead letters go.

use commitlog::{Need, Position};
use mqtt::ReasonCode;
use mqtt::topic::TopicName;
use queue::AckError;

use super::Worker;
use super::durable::AfterDurable;
use super::post::{Asker, FromQueue, Outcome, P2p, QueueJob, ReplyTo};
use crate::bridge;
use crate::client::ClientKey;
use crate::message::SharedMessage;
use crate::store::journal::Batch;

/// How long ids of queue messages are remembered: longer than any redelivery takes.
const QUEUE_ID_KEPT_MS: u64 = 24 * 3_600_000;

impl Worker {
    pub(super) fn accept_from_queue(&mut self, from_queue: FromQueue) {
        self.shared.counts.from_queue.one();
        match from_queue {
            FromQueue::P2p { to, message, keep, job } => {
                let reply_to = ReplyTo { worker: self.me, asker: Asker::Queue(job) };
                self.accept_p2p(P2p { to, message, keep, reply_to });
            }
            FromQueue::Subscribers { message, job } => self.fan_from_queue(message, job),
        }
    }

    fn fan_from_queue(&mut self, message: SharedMessage, job: Box<QueueJob>) {
        let workers = TopicName::parse(&message.topic).map(|topic| self.shared.interest.workers(topic));
        let workers = workers.unwrap_or_default();
        let asker = Asker::Queue(job);
        if workers.len() == 0 {
            return self.settle(asker, Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS));
        }
        let number = self.gather(asker, workers.len());
        for worker in workers.iter() {
            let reply_to = ReplyTo { worker: self.me, asker: Asker::Gather(number) };
            self.send_fan(worker, message.clone(), None, reply_to);
        }
    }

    /// Adds to `batch` what makes the message done for the queue, or known here if it comes again.
    ///
    /// # Errors
    /// The receipt is no longer valid: the message is somebody else's, or comes again.
    pub(super) fn add_queue_side(&self, to: &ClientKey, job: &QueueJob, batch: &mut Batch) -> Result<(), AckError> {
        if let Some(engine) = &self.shared.embedded {
            let record = engine.ack_record(&job.receipt)?;
            batch.foreign(record.kind, record.owner, record.payload);
            return Ok(());
        }
        let until_ms = self.now_ms.saturating_add(QUEUE_ID_KEPT_MS);
        batch.queue_id_seen(to.as_str(), until_ms, job.message_id.as_str());
        Ok(())
    }

    /// The message is in the inbox: it is acknowledged when that is durable, and known if it comes again.
    pub(super) fn queue_side_stored(&mut self, to: &ClientKey, job: Box<QueueJob>, end: Position) {
        tracing::trace!(queue_message = %job.message_id, "a message of the queue is in an inbox");
        if self.shared.embedded.is_some() {
            return self.when_durable(end, AfterDurable::Applied(job));
        }
        let (now_ms, until_ms) = (self.now_ms, self.now_ms.saturating_add(QUEUE_ID_KEPT_MS));
        if let Some(seat) = self.seats.get_mut(to) {
            seat.remember_queue_id(job.message_id.as_str(), until_ms, end, now_ms);
        }
        self.when_durable(end, AfterDurable::Acknowledge(job));
    }

    /// Nothing was written: the queue hands the message out again.
    pub(super) fn abandon(&self, job: &QueueJob) {
        if let Some(engine) = &self.shared.embedded {
            engine.abandoned(&job.receipt);
        }
    }

    pub(super) fn applied(&mut self, job: &QueueJob) {
        if let Some(engine) = &self.shared.embedded {
            engine.applied(&job.receipt);
        }
    }

    /// What became of a message that was not stored with its acknowledgement.
    pub(super) fn settle_queue(&mut self, job: Box<QueueJob>, outcome: Outcome) {
        match outcome {
            Outcome::Done(_) | Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS) => self.finish_queue_job(job),
            // In one log the acknowledgement stands behind what it waits for.
            Outcome::Durable(_) if self.shared.embedded.is_some() => self.finish_queue_job(job),
            Outcome::Durable(end) => self.when_durable(end, AfterDurable::Acknowledge(job)),
            // It stays in the queue and is handed out again, until the queue counts it among the dead letters.
            Outcome::Dropped(_) | Outcome::Unavailable | Outcome::Forbidden(_) => {}
        }
    }

    /// The message is done without a trace in any inbox.
    fn finish_queue_job(&mut self, job: Box<QueueJob>) {
        let Some(engine) = self.shared.embedded.clone() else { return self.acknowledge_queue(job) };
        let Ok(record) = engine.ack_record(&job.receipt) else { return };
        let mut batch = Batch::default();
        batch.foreign(record.kind, record.owner, record.payload);
        match self.shared.journal.append(&batch, Need::Essential) {
            Ok(appended) => self.when_durable(appended.end, AfterDurable::Applied(job)),
            Err(_) => self.abandon(&job),
        }
    }

    pub(super) fn acknowledge_queue(&mut self, job: Box<QueueJob>) {
        let queue = self.shared.queue.clone();
        self.shared.tasks.spawn("an acknowledgement to the queue", async move {
            if let Err(error) = queue.ack(job.receipt.clone()).await {
                tracing::debug!(%error, "a message of the queue was not acknowledged; it comes again and is known");
            }
        });
    }

    pub(super) fn dead_letter(&mut self, job: Box<QueueJob>, reason: &'static str) {
        self.shared.counts.dead_letters.one();
        self.shared.tasks.spawn("a dead letter", bridge::dead_letter(self.shared.queue.clone(), job, reason));
    }
}
