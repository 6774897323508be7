//! The thread that does what time asks for: it lets in delayed messages that are due, removes messages that have had their
//! time from topics where nothing happens, and carries what the queue needs of a segment that the log wants back.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::Duration;

use commitlog::LogOwner;
use tokio::time::Instant;

use super::Inner;
use super::carrying::{Carrying, Step};
use super::dumping::{DumpStep, Dumping};
use super::topic::Topic;
use crate::core::DEFINITION_BYTES;
use crate::ids::{TopicId, WallMs};
use crate::limits::RECENT_IDS_ALL_MAX;

/// How often the engine looks for delayed messages that are due, the log is asked whether it wants a segment back, and something that could not be carried is tried again.
const POLL_EVERY: Duration = Duration::from_millis(50);
/// The pause of a dump that waits for the disk or for a consumer.
const DUMP_PAUSE: Duration = Duration::from_millis(2);
/// How often idle topics are looked at.
const REMOVE_OLD_EVERY: Duration = Duration::from_secs(60);
/// How often the ids that all topics know of messages are counted.
const COUNT_IDS_EVERY: Duration = Duration::from_secs(1);
/// The pause after an error that somebody must see to.
const ERROR_PAUSE: Duration = Duration::from_secs(10);

pub(super) struct Keeper {
    /// `None`: the engine is not one of the log's owners.
    owner: Option<LogOwner>,
    carrying: Option<Carrying>,
    dumping: Option<Dumping>,
    /// Nothing is carried before: somebody must see to an error first.
    carries_from: Option<Instant>,
    removed_old: Instant,
    counted_ids: Instant,
}

impl Keeper {
    pub(super) fn new(owner: Option<LogOwner>) -> Self {
        Self {
            owner,
            carrying: None,
            dumping: None,
            carries_from: None,
            removed_old: Instant::now(),
            counted_ids: Instant::now(),
        }
    }

    /// Runs until the engine is dropped, which drops the sender of `ended` too.
    pub(super) fn spawn(mut self, engine: &Arc<Inner>, ended: Receiver<Infallible>) {
        let engine = Arc::downgrade(engine);
        let spawned = thread::Builder::new().name("queue-keeper".to_owned()).spawn(move || self.run(&engine, &ended));
        if let Err(error) = spawned {
            tracing::error!(%error, "the queue's thread cannot be started: the log gives no space back until a restart");
        }
    }

    fn run(&mut self, engine: &Weak<Inner>, ended: &Receiver<Infallible>) {
        let mut pause = POLL_EVERY;
        while let Err(RecvTimeoutError::Timeout) = ended.recv_timeout(pause) {
            let Some(engine) = engine.upgrade() else { return };
            pause = self.turn(&engine).min(self.dump(&engine));
        }
    }

    /// Writes some of the queue into the snapshot that the log wants. Returns the pause until it goes on.
    pub(super) fn dump(&mut self, engine: &Inner) -> Duration {
        if let Some(section) = self.owner.as_mut().and_then(LogOwner::snapshot_wanted) {
            self.dumping = Some(Dumping::begin(section, engine));
        }
        let (dumping, pause) = match self.dumping.take().and_then(|dumping| dumping.step(engine)) {
            Some((dumping, DumpStep::More)) => (Some(dumping), Duration::ZERO),
            Some((dumping, DumpStep::Wait)) => (Some(dumping), DUMP_PAUSE),
            None => (None, Duration::MAX),
        };
        self.dumping = dumping;
        pause
    }

    /// Returns the pause until the next one.
    pub(super) fn turn(&mut self, engine: &Inner) -> Duration {
        if self.removed_old.elapsed() >= REMOVE_OLD_EVERY {
            self.removed_old = Instant::now();
            engine.remove_all_old();
        }
        if self.counted_ids.elapsed() >= COUNT_IDS_EVERY {
            self.counted_ids = Instant::now();
            engine.forget_oldest_ids(RECENT_IDS_ALL_MAX);
        }
        let pause = if engine.let_in_due() { Duration::ZERO } else { POLL_EVERY };
        pause.min(self.keep_space(engine))
    }

    /// Carries some of what the log wants back. Returns the pause until it goes on.
    pub(super) fn keep_space(&mut self, engine: &Inner) -> Duration {
        let Some(owner) = &mut self.owner else { return Duration::MAX };
        owner.set_live_bytes(engine.live_bytes());
        if self.carries_from.is_some_and(|from| from > Instant::now()) {
            return POLL_EVERY;
        }
        if self.carrying.is_none() {
            self.carrying = owner.wanted().and_then(|wanted| Carrying::begin(engine, owner, wanted));
        }
        let Some(carrying) = &mut self.carrying else { return POLL_EVERY };
        match carrying.step(engine) {
            Ok(Step::More) => Duration::ZERO,
            Ok(Step::Wait) => POLL_EVERY,
            Ok(Step::Done) => {
                let (segment, messages) = (carrying.segment(), carrying.lost());
                if messages > 0 {
                    tracing::error!(segment, messages, "messages of a damaged segment of the log are lost");
                }
                owner.vacate(segment);
                self.carrying = None;
                Duration::ZERO
            }
            Err(error) => {
                tracing::error!(%error, "the queue cannot carry what it needs of the log's oldest segment, which stays");
                self.carries_from = Some(Instant::now() + ERROR_PAUSE);
                ERROR_PAUSE
            }
        }
    }
}

impl Inner {
    fn remove_all_old(&self) {
        let retention = self.retention();
        self.topics().iter().for_each(|topic| self.lock(topic).core.remove_old(topic.id, retention));
    }

    /// How much would be appended if everything were carried.
    fn live_bytes(&self) -> u64 {
        let (topics, definitions) = {
            let names = self.names();
            let definitions = names.topic_count() + 2 * names.groups.len() + names.subscription_count();
            (names.topics().cloned().collect::<Vec<_>>(), definitions as u64)
        };
        let messages: u64 = topics.iter().map(|topic| self.lock(topic).core.message_bytes()).sum();
        messages + definitions * DEFINITION_BYTES
    }

    /// Of all topics together at most so many are left.
    fn forget_oldest_ids(&self, max: usize) {
        let topics: BTreeMap<TopicId, Arc<Topic>> = self.topics().into_iter().map(|topic| (topic.id, topic)).collect();
        let (mut excess, mut oldest) = (0, BTreeSet::new());
        for (id, topic) in &topics {
            if let Some(ids) = self.lock(topic).core.recent_ids(*id) {
                excess += ids.len();
                oldest.extend(ids.oldest().map(|first| (first, *id)));
            }
        }
        excess = excess.saturating_sub(max);
        while excess > 0
            && let Some((first, id)) = oldest.pop_first()
        {
            let until = oldest.first().map_or(WallMs(u64::MAX), |(next, _)| *next).max(first);
            let Some(topic) = topics.get(&id) else { return };
            if let Some(ids) = self.lock(topic).core.recent_ids_mut(id) {
                excess -= ids.forget_first(until, excess);
                oldest.extend(ids.oldest().map(|first| (first, id)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

    use super::*;
    use clock::testing::TestMachine;
    use commitlog::testing::{Call, ForgettingStorage};
    use commitlog::{Log, Need, NewRecord, Options, Part};

    use crate::engine::{Engine, EngineOptions};
    use crate::message::Message;
    use crate::names::TopicName;
    use crate::queue::Queue as _;

    /// Nothing happens in the topic: no send, no receive, no record that becomes durable.
    #[tokio::test]
    async fn what_is_past_retention_goes_from_an_idle_topic_at_the_next_look_and_not_before() {
        let machine = TestMachine::at(1_800_000_000_000);
        let (log, _) = Log::open(ForgettingStorage::new().handle(), Options::default()).unwrap();
        let clock = machine.clock(None);
        let options = EngineOptions { clock: clock.clone(), ..EngineOptions::default() };
        let days = |days: u32| days * Duration::from_hours(24);
        assert_eq!(options.retention, days(3));
        let engine = Engine::recover(options).start(log);
        let live_bytes = || engine.inner.live_bytes();
        for topic in ["idle", "another"] {
            let topic = TopicName::parse(topic).unwrap();
            engine.create_topic(topic.clone()).await.unwrap();
            engine.send_wait(&topic, Message { body: vec![1; 1000].into(), ..Message::default() }).await.unwrap();
        }
        let pass = |time: Duration| {
            // In steps in which the service's clock believes the system's.
            for _ in 0..time.as_secs() / 3600 {
                machine.pass(3_600_000);
                let _ = clock.now_ms();
            }
        };
        let mut keeper = Keeper::new(None);
        let mut look = |is_due: bool| {
            keeper.removed_old = if is_due { Instant::now() - REMOVE_OLD_EVERY } else { Instant::now() };
            keeper.turn(&engine.inner)
        };
        let all = live_bytes();
        pass(days(2));
        look(true);
        assert_eq!(live_bytes(), all, "they are two days old");
        pass(days(2));
        look(false);
        assert_eq!(live_bytes(), all, "topics are looked at from time to time");
        look(true);
        assert!(live_bytes() < all - 2000, "{} of {all} bytes are left", live_bytes());
    }

    #[tokio::test]
    async fn of_the_ids_of_all_topics_the_oldest_are_forgotten_first() {
        let machine = TestMachine::at(1_800_000_000_000);
        let (log, _) = Log::open(ForgettingStorage::new().handle(), Options::default()).unwrap();
        let options = EngineOptions { clock: machine.clock(None), ..EngineOptions::default() };
        let engine = Engine::recover(options).start(log);
        let topics = ["one", "two"].map(|name| TopicName::parse(name).unwrap());
        let send = async |topic: usize, id: u32| {
            let message = Message { client_message_id: Some(id.to_string()), ..Message::default() };
            engine.send_wait(&topics[topic], message).await.unwrap()
        };
        for topic in &topics {
            engine.create_topic(topic.clone()).await.unwrap();
        }
        let mut sent = Vec::new();
        for (id, topic) in [(0, 0), (1, 0), (2, 1), (3, 0), (4, 1), (5, 1)] {
            machine.pass(10);
            sent.push((id, topic, send(topic, id).await));
        }
        engine.inner.forget_oldest_ids(3);
        for (id, topic, first) in sent {
            assert_eq!(send(topic, id).await == first, id > 2, "{id}");
        }
    }

    /// The disk may have the record the next time.
    #[tokio::test]
    async fn a_message_that_cannot_be_read_now_is_carried_when_it_can_be() {
        let storage = ForgettingStorage::new();
        let options = Options { segment_size: 16 << 10, owners: 1, reclaim_above: 1, ..Options::default() };
        let (log, _) = Log::open(storage.handle(), options).unwrap();
        let engine = Engine::recover(EngineOptions::default()).start(log.clone());
        let mut keeper = Keeper::new(Some(log.register_owner("queue")));
        let topic = TopicName::parse("topic").unwrap();
        engine.create_topic(topic.clone()).await.unwrap();
        engine.send_wait(&topic, Message { body: vec![1; 1000].into(), ..Message::default() }).await.unwrap();
        storage.fail(Call::Read, 0, std::io::ErrorKind::Other);
        while keeper.keep_space(&engine.inner) != ERROR_PAUSE {
            // Of another part of the program.
            drop(log.append(Need::Normal, &[NewRecord::new(0x40, 0, &[Part::Bytes(&[2; 1000])])]));
            tokio::task::yield_now().await;
        }
        assert_eq!(*log.segments().start(), 1);
        keeper.carries_from = None;
        while *log.segments().start() == 1 {
            keeper.turn(&engine.inner);
            tokio::task::yield_now().await;
        }
        assert_eq!(engine.describe(topic).await.unwrap().messages, 1);
    }
}
