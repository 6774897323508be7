//! What waits for the disk, and how the replies of several places become one.
//!
//! What it is: the order in which promises may be kept. What it is not: the log itself, which is asked only how far it is
//! durable, nor what is done then: `Worker` does that.

mod deferred;
mod replies;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use commitlog::{AppendError, Need, Position};
use mqtt::ReasonCode;

use super::action::{AfterDurable, Deferred};
use super::post::{Outcome, QueueJob, ReplyTarget};
use super::queue_jobs::QueueAcks;
use super::writes::LogWrite;
use crate::stats::Counts;
use crate::store::journal::{Batch, Journal};
use deferred::{DeferredRecords, Logged};
use replies::PendingReplies;

/// Writes that wait for a busy log before publishers and other workers do.
const WRITES_MAX: usize = 1024;
/// Bytes of them.
const WRITES_BYTES_MAX: usize = 8 << 20;

pub(super) struct Durability {
    journal: Journal,
    counts: Arc<Counts>,
    queue_acks: QueueAcks,
    /// By position, and then in the order they came.
    waiting: BTreeMap<(Position, u64), AfterDurable>,
    /// Number of the next that waits.
    next_number: u64,
    replies: PendingReplies,
    /// Writes that a busy log, or a busy queue, did not take, oldest first.
    writes: VecDeque<LogWrite>,
    writes_bytes: usize,
    deferred: DeferredRecords,
    /// To be done once the log is durable up to the end of what is deferred now.
    after_deferred: Vec<AfterDurable>,
    /// Nothing will become durable any more.
    has_failed: bool,
}

/// What is to be done with a message of the queue.
pub(super) enum JobStep {
    /// Another queue is to be told.
    Acknowledge(Box<QueueJob>),
    /// It waits with its pump until the log has room, for the acknowledgement alone if the message is done.
    Return(Box<QueueJob>),
}

impl Durability {
    pub(super) fn new(journal: Journal, counts: Arc<Counts>, queue_acks: QueueAcks) -> Self {
        Self {
            journal,
            counts,
            queue_acks,
            waiting: BTreeMap::new(),
            next_number: 0,
            replies: PendingReplies::default(),
            writes: VecDeque::new(),
            writes_bytes: 0,
            deferred: DeferredRecords::default(),
            after_deferred: Vec::new(),
            has_failed: false,
        }
    }

    pub(super) fn wait(&mut self, end: Position, then: AfterDurable) {
        self.waiting.insert((end, self.next_number), then);
        self.next_number += 1;
    }

    /// What is to be done now, one at a time, lowest position first.
    pub(super) fn next_durable(&mut self) -> Option<AfterDurable> {
        let first = self.waiting.first_entry()?;
        if first.key().0 > self.journal.durable() {
            return None;
        }
        Some(first.remove())
    }

    /// There is something for [`Self::next_durable`].
    pub(super) fn has_durable(&self) -> bool {
        self.waiting.first_key_value().is_some_and(|((end, _), _)| *end <= self.journal.durable())
    }

    /// One reply to `target` for `parts` places; each of them is given this number.
    pub(super) fn open_reply(&mut self, target: ReplyTarget, parts: usize) -> u64 {
        self.replies.open(target, parts)
    }

    /// How it went at one of several places. The last one brings the outcome of them all.
    pub(super) fn add_outcome(&mut self, number: u64, outcome: Outcome) -> Option<(ReplyTarget, Outcome)> {
        self.replies.add_outcome(number, outcome)
    }

    /// The same for a message of the queue at one worker; if it comes again, it goes to those that did not take it.
    pub(super) fn add_part(&mut self, number: u64, worker: usize, outcome: Outcome) -> Option<(ReplyTarget, Outcome)> {
        self.replies.add_part(number, worker, outcome)
    }

    /// Keeps a write that the log did not take, behind those that came before.
    pub(super) fn hold(&mut self, write: LogWrite) {
        self.counts.waited_for_log.one();
        self.writes_bytes += write.bytes();
        self.writes.push_back(write);
    }

    /// It was tried again in vain.
    pub(super) fn hold_first(&mut self, write: LogWrite) {
        self.writes_bytes += write.bytes();
        self.writes.push_front(write);
    }

    /// The oldest write that waits, to be tried again.
    pub(super) fn next_write(&mut self) -> Option<LogWrite> {
        let write = self.writes.pop_front()?;
        self.writes_bytes -= write.bytes();
        Some(write)
    }

    pub(super) fn has_writes(&self) -> bool {
        !self.writes.is_empty()
    }

    /// So much waits that nothing more is to be read from publishers and from other workers.
    pub(super) fn is_congested(&self) -> bool {
        self.writes.len() >= WRITES_MAX || self.writes_bytes >= WRITES_BYTES_MAX
    }

    pub(super) fn defer(&mut self, deferred: Deferred) {
        self.deferred.add(deferred);
    }

    /// To be done once acknowledgements that are deferred by now are durable.
    pub(super) fn after_deferred(&mut self, then: AfterDurable) {
        self.after_deferred.push(then);
    }

    /// Logs what was deferred.
    pub(super) fn flush(&mut self) {
        self.deferred.flush(&self.journal);
        match self.deferred.logged_up_to() {
            Logged::UpTo(end) => {
                for then in std::mem::take(&mut self.after_deferred) {
                    self.wait(end, then);
                }
            }
            Logged::NotYet => {}
            Logged::Never => self.after_deferred = Vec::new(),
        }
    }

    /// Something that is done already is not in the log.
    pub(super) fn has_deferred(&self) -> bool {
        !self.deferred.is_empty()
    }

    /// Acknowledgements are not in the log, but will be soon: it is busy, not full.
    pub(super) fn has_delayed_acks(&self) -> bool {
        self.deferred.is_delayed()
    }

    /// Something is to be tried again soon, though nothing new comes.
    pub(super) fn has_retries(&self) -> bool {
        !self.deferred.is_empty() || self.has_writes()
    }

    pub(super) fn fail(&mut self) {
        self.has_failed = true;
    }

    /// Nothing waits for the log, or nothing that waits will ever be durable.
    pub(super) fn is_settled(&self) -> bool {
        self.has_failed || (self.waiting.is_empty() && self.deferred.is_empty())
    }

    /// All that was to be logged is logged.
    pub(super) fn is_complete(&self) -> bool {
        self.deferred.is_empty() && !self.has_failed
    }

    /// What became of a message of the queue that was not stored with its acknowledgement. Returns what is to be done with
    /// the job now.
    pub(super) fn settle_job(&mut self, job: Box<QueueJob>, outcome: Outcome) -> Option<JobStep> {
        match outcome {
            Outcome::Done(_) | Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS) => self.finish_job(job),
            // In one log the acknowledgement stands behind what it waits for.
            Outcome::Durable(_) if self.queue_acks.are_records() => self.finish_job(job),
            Outcome::Durable(end) => {
                self.wait(end, AfterDurable::Acknowledge(job));
                None
            }
            // Nothing is wrong with the message or with its receiver: it is not to become a dead letter by that.
            Outcome::NoRoom | Outcome::Partial { .. } => {
                job.order.begin_waiting();
                Some(JobStep::Return(job))
            }
            // It stays in the queue and is handed out again, until the queue counts it among the dead letters.
            Outcome::Dropped(_) | Outcome::Unavailable | Outcome::Forbidden(_) => None,
        }
    }

    /// The message is done without a trace in any inbox.
    fn finish_job(&mut self, mut job: Box<QueueJob>) -> Option<JobStep> {
        if !self.queue_acks.are_records() {
            return Some(JobStep::Acknowledge(job));
        }
        let mut batch = Batch::default();
        // An error: the delivery is void, and the message is somebody else's.
        self.queue_acks.add_to(&mut batch, &job).ok()?;
        match self.journal.append(&batch, Need::Essential) {
            Ok(appended) => {
                self.wait(appended.end, AfterDurable::Applied(job));
                None
            }
            Err(error) => {
                self.queue_acks.abandon(&job);
                // It has arrived, and is not to arrive again.
                job.is_done = true;
                matches!(error, AppendError::Full | AppendError::Busy).then_some(JobStep::Return(job))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

    use super::*;
    use crate::client::ClientKey;
    use crate::worker::action::ClientRef;
    use crate::worker::post::{ConnectionKey, P2p, ReplyTo};
    use crate::worker::queue_order::QueueOrder;
    use crate::worker::taken::Taken;
    use crate::worker::testing::message_of;
    use crate::workers_by_filter::Workers;
    use accounts::clients::{Purged, Turn};
    use commitlog::testing::ForgettingStorage;
    use commitlog::{Log, NewRecord, Options, USER_KIND_MIN};
    use queue::{AckError, AckRecord, AtomicAck, MessageId, Receipt, TopicName};
    use tokio::sync::oneshot::error::TryRecvError;
    use tokio::sync::{Semaphore, mpsc, oneshot};

    fn connection(generation: u32) -> ConnectionKey {
        ConnectionKey { slot: 0, generation }
    }

    #[test]
    fn what_waits_is_done_by_position_and_not_before_the_disk_has_it() {
        let storage = ForgettingStorage::new();
        let (log, _) = Log::open(storage.handle(), Options::default()).unwrap();
        let journal = Journal::new(log);
        let append = |at_ms| {
            let mut batch = Batch::default();
            batch.started(at_ms);
            journal.append(&batch, Need::Essential).unwrap().end
        };
        let mut durability = Durability::new(journal.clone(), Arc::default(), QueueAcks::new(None));
        let (first, second) = (append(1), append(2));
        journal.wait_durable(second).unwrap();
        storage.hold_syncs();
        let third = append(3);
        durability.wait(third, AfterDurable::Accept(connection(3)));
        durability.wait(second, AfterDurable::Accept(connection(2)));
        durability.wait(first, AfterDurable::Accept(connection(1)));
        durability.wait(first, AfterDurable::Accept(connection(11)));
        let mut done = Vec::new();
        while let Some(AfterDurable::Accept(key)) = durability.next_durable() {
            done.push(key.generation);
        }
        assert_eq!(done, [1, 11, 2]);
        assert!(!durability.is_settled());
        storage.release_syncs();
        journal.wait_durable(third).unwrap();
        assert!(matches!(durability.next_durable(), Some(AfterDurable::Accept(key)) if key == connection(3)));
        assert!(durability.is_settled());
    }

    #[test]
    fn what_waits_for_deferred_records_waits_while_the_log_is_busy_and_is_given_up_when_it_has_failed() {
        let storage = ForgettingStorage::new();
        let (log, _) =
            Log::open(storage.handle(), Options { pending_bytes_max: 4 << 10, ..Options::default() }).unwrap();
        storage.hold_syncs();
        let fill = || log.append(Need::Essential, &[NewRecord::new(USER_KIND_MIN, 0, &[])]);
        while fill() != Err(AppendError::Busy) {}
        let mut durability = Durability::new(Journal::new(log.clone()), Arc::default(), QueueAcks::new(None));
        durability.defer(Deferred::Removed { client: ClientKey::new("client"), message: Position(64) });
        let (answer, mut answered) = oneshot::channel();
        let (purged, turn) = (Purged { purged: 1, in_flight: 0 }, Turn::uncounted());
        durability.after_deferred(AfterDurable::Purged { purged, answer, turn });
        durability.flush();
        assert!(durability.next_durable().is_none() && durability.has_deferred());
        assert_eq!(answered.try_recv(), Err(TryRecvError::Empty));
        storage.release_syncs();
        log.close().unwrap();
        durability.flush();
        assert!(durability.next_durable().is_none() && !durability.has_deferred());
        assert_eq!(answered.try_recv(), Err(TryRecvError::Closed));
    }

    /// Takes every receipt.
    struct Acks;

    impl AtomicAck for Acks {
        fn prepare(&self, _: &Receipt) -> Result<AckRecord, AckError> {
            Ok(AckRecord { kind: 100, owner: 0, payload: Vec::new() })
        }

        fn commit(&self, _: &Receipt) {}

        fn abort(&self, _: &Receipt) {}
    }

    fn job() -> Box<QueueJob> {
        Box::new(QueueJob {
            receipt: Receipt::new("receipt"),
            message_id: MessageId::new("id"),
            topic: TopicName::parse("chat").unwrap(),
            original: queue::Message::default(),
            is_done: false,
            taken: Taken::default(),
            order: QueueOrder::new(0, Arc::default()),
            permit: Arc::new(Semaphore::new(1)).try_acquire_owned().unwrap(),
            pump: mpsc::unbounded_channel().0,
        })
    }

    /// Takes records until there is no room for one more.
    fn fill(journal: &Journal) -> AppendError {
        let mut batch = Batch::default();
        batch.started(1);
        loop {
            if let Err(error) = journal.append(&batch, Need::Essential) {
                return error;
            }
        }
    }

    #[test]
    fn a_message_that_has_arrived_waits_for_room_for_its_acknowledgement_alone() {
        let small = Options {
            segment_size: 64 << 10,
            append_bytes_max: 4 << 10,
            reserve_bytes: 4 << 10,
            pending_bytes_max: 4 << 10,
            ..Options::default()
        };
        let storage = ForgettingStorage::new();
        let (log, _) = Log::open(storage.handle(), small).unwrap();
        let journal = Journal::new(log);
        let acks = QueueAcks::new(Some(Arc::new(Acks)));
        let mut durability = Durability::new(journal.clone(), Arc::default(), acks);
        storage.hold_syncs();
        let error = fill(&journal);
        let done = durability.settle_job(job(), Outcome::Done(ReasonCode::SUCCESS));
        let refused = durability.settle_job(job(), Outcome::NoRoom);
        storage.release_syncs();
        assert_eq!(error, AppendError::Busy);
        assert!(matches!(done, Some(JobStep::Return(job)) if job.is_done));
        assert!(matches!(refused, Some(JobStep::Return(job)) if !job.is_done), "nobody has it");
    }

    #[test]
    fn what_some_workers_took_is_waited_for_when_the_others_have_nobody_left() {
        let storage = ForgettingStorage::new();
        let (log, _) = Log::open(storage.handle(), Options::default()).unwrap();
        let journal = Journal::new(log);
        let mut durability = Durability::new(journal.clone(), Arc::default(), QueueAcks::new(None));
        storage.hold_syncs();
        let mut batch = Batch::default();
        batch.started(1);
        let end = journal.append(&batch, Need::Essential).unwrap().end;

        let number = durability.open_reply(ReplyTarget::Queue(job()), 2);
        assert!(durability.add_part(number, 0, Outcome::Durable(end)).is_none());
        let Some((ReplyTarget::Queue(job), outcome)) = durability.add_part(number, 1, Outcome::NoRoom) else {
            panic!("both have said it");
        };
        let Some(JobStep::Return(job)) = durability.settle_job(job, outcome) else { panic!("one had no room") };
        let both = Workers::default().with(0).with(1);
        assert_eq!(job.taken.left_of(both), [(1, ClientRef::FIRST)]);

        let number = durability.open_reply(ReplyTarget::Queue(job), 1);
        let nobody = Outcome::Dropped(ReasonCode::NO_MATCHING_SUBSCRIBERS);
        let Some((ReplyTarget::Queue(job), outcome)) = durability.add_part(number, 1, nobody) else {
            panic!("it was the only one");
        };
        assert!(durability.settle_job(job, outcome).is_none());
        assert!(durability.next_durable().is_none(), "the first part is not on the disk");
        storage.release_syncs();
        journal.wait_durable(end).unwrap();
        assert!(matches!(durability.next_durable(), Some(AfterDurable::Acknowledge(_))));
    }

    #[test]
    fn large_writes_congest_by_their_bytes() {
        let (log, _) = Log::open(ForgettingStorage::new().handle(), Options::default()).unwrap();
        let mut durability = Durability::new(Journal::new(log), Arc::default(), QueueAcks::new(None));
        let message = message_of(&[7; 1 << 20]);
        for _ in 0..WRITES_BYTES_MAX >> 20 {
            assert!(!durability.is_congested());
            let reply_to = ReplyTo { worker: 0, target: ReplyTarget::Nobody };
            durability.hold(LogWrite::P2p(P2p {
                to: ClientKey::new("x"),
                message: message.clone(),
                keep: true,
                reply_to,
            }));
        }
        assert!(durability.is_congested());
        let write = durability.next_write().unwrap();
        assert!(!durability.is_congested());
        durability.hold_first(write);
        assert!(durability.is_congested());
        while durability.next_write().is_some() {}
        assert_eq!(durability.writes_bytes, 0);
    }

    #[test]
    fn after_the_log_has_failed_nothing_is_waited_for() {
        let (log, _) = Log::open(ForgettingStorage::new().handle(), Options::default()).unwrap();
        let mut durability = Durability::new(Journal::new(log), Arc::default(), QueueAcks::new(None));
        durability.wait(Position(u64::MAX), AfterDurable::Accept(connection(1)));
        assert!(!durability.is_settled());
        durability.fail();
        assert!(durability.is_settled() && !durability.is_complete());
    }
}
