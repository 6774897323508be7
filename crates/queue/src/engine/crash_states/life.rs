//! A random life of topics and groups: sends, hand-outs that time out and are tried again, dead letters, acknowledgements
//! alone and with a record of another part, groups that come later. Time stands still but where the life lets it pass.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use clock::testing::TestMachine;
use commitlog::testing::{ForgettingStorage, Random};
use commitlog::{AppendError, Fault, Log, Need, NewRecord, Options, Part, Position};
use tokio::runtime::{Builder, Runtime};

use super::super::keeper::Keeper;
use super::super::message_ids::message_id;
use super::super::topic::Topic;
use super::super::{Engine, EngineOptions};
use super::Lived;
use super::told::{self, Held, RecentIds, Told};
use crate::atomic_ack::AtomicAck;
use crate::core::TopicPart;
use crate::ids::SubscriptionId;
use crate::message::{Delivery, GroupOptions, Message, Receipt, ReceiveRequest, TagFilter, TopicType};
use crate::names::{GroupName, TopicName};
use crate::queue::{BoxFuture, Queue as _};

/// Says how far the life had come: its payload is the number of the step.
pub(super) const MARKER: u8 = 0x7f;
/// What another part keeps of a message that it acknowledges with it.
const KEPT: u8 = 0x7e;
pub(super) const GROUPS: [&str; 3] = ["all", "picky", "late"];
const TOPICS: [&str; 2] = ["one", "two"];
/// Its messages wait for their time.
const DELAYED: &str = "later";
/// Its messages have groups.
const ORDERED: &str = "ordered";
const MESSAGE_GROUPS: [&str; 3] = ["a", "b", "c"];
/// The longest delay.
const DELAY: Duration = Duration::from_secs(40);
/// Groups that receive from topics: the first ones from the beginning, the others from some step on.
const RECEIVED: [(&str, &str, u64); 11] = [
    ("all", "one", 0),
    ("picky", "one", 0),
    ("all", "two", 0),
    ("late", "one", 120),
    ("late", "%DLQ%all", 160),
    ("picky", "two", 240),
    ("all", DELAYED, 0),
    ("late", DELAYED, 200),
    ("all", ORDERED, 0),
    ("picky", ORDERED, 0),
    ("late", ORDERED, 180),
];
/// Group `picky` leaves out every message of another tag.
const TAG: &str = "picked";
const SEGMENT: u64 = 16 << 10;
const INVISIBLE: Duration = Duration::from_secs(10);
const PAYLOAD_BYTES_MAX: usize = 2500;

pub(super) fn options(fault: Fault) -> Options {
    Options {
        fault,
        segment_size: SEGMENT,
        append_bytes_max: 8 << 10,
        reserve_bytes: 2 << 10,
        owners: 1,
        reclaim_above: 3 * SEGMENT,
        snapshot_every: None,
        idle_mark_after: None,
        full_retry_every: Duration::from_millis(1),
        ..Options::default()
    }
}

/// All of it together is nothing beside the retention.
pub(super) fn engine_options(machine: &TestMachine) -> EngineOptions {
    EngineOptions { clock: machine.clock(None), ..EngineOptions::default() }
}

pub(super) fn group_name(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

fn topic_name(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

pub(super) fn dead_letters_of(group: &str) -> TopicName {
    TopicName::dead_letters_of(&group_name(group)).unwrap()
}

pub(super) fn topics() -> Vec<TopicName> {
    TOPICS
        .map(topic_name)
        .into_iter()
        .chain([DELAYED, ORDERED].map(topic_name))
        .chain(GROUPS.map(dead_letters_of))
        .collect()
}

/// A message that another part holds.
struct Holding {
    receipt: Receipt,
    message: (SubscriptionId, Position),
    /// Where the unit with its acknowledgement ends; `None`: that is not appended.
    end: Option<Position>,
}

pub(super) struct Life {
    random: Random,
    pub(super) storage: ForgettingStorage,
    pub(super) machine: TestMachine,
    log: Log,
    engine: Engine,
    keeper: Keeper,
    /// Its time is the engine's.
    runtime: Runtime,
    /// Handed out, and neither acknowledged nor held.
    open: Vec<Delivery>,
    holdings: Vec<Holding>,
    held: Held,
    subscribed: BTreeSet<(&'static str, &'static str)>,
    /// The last message of each topic that had an id.
    sent: HashMap<TopicName, Message>,
    ids: u64,
    lived: Lived,
}

impl Life {
    pub(super) fn new(seed: u64, fault: Fault) -> Self {
        let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let storage = ForgettingStorage::new();
        let (log, _) = Log::open(storage.handle(), options(fault)).unwrap();
        let machine = TestMachine::at(1_800_000_000_000);
        let (engine, keeper) = {
            let _inside = runtime.enter();
            // The life is the only keeper.
            let (engine, _) = Engine::recover(engine_options(&machine)).start_without_keeper(log.clone());
            (engine, Keeper::new(Some(log.register_owner("test"))))
        };
        let random = Random::new(seed);
        let (open, holdings, held) = (Vec::new(), Vec::new(), Held::new());
        let (subscribed, sent, lived) = (BTreeSet::new(), HashMap::new(), Lived::default());
        let mut life = Self {
            random,
            storage,
            machine,
            log,
            engine,
            keeper,
            runtime,
            open,
            holdings,
            held,
            subscribed,
            sent,
            ids: 0,
            lived,
        };
        for topic in TOPICS {
            life.runtime.block_on(life.engine.create_topic(topic_name(topic))).unwrap();
        }
        life.runtime.block_on(life.engine.create_topic_of(topic_name(DELAYED), TopicType::Delay)).unwrap();
        life.runtime.block_on(life.engine.create_topic_of(topic_name(ORDERED), TopicType::Fifo)).unwrap();
        for group in GROUPS {
            life.set_options(group);
        }
        life
    }

    pub(super) fn step(&mut self, n: u64) {
        match self.random.below(100) {
            0..10 => self.send(),
            10..15 => self.send_ordered(),
            15..21 => self.send_delayed(),
            21..22 => self.recall(),
            22..42 => self.receive(n),
            42..66 => self.ack(),
            66..69 => self.give_up(),
            69..72 => self.hold(),
            72..83 => self.decide(),
            83..86 => self.hide_for_longer(),
            86..95 => self.pass_time(),
            95..97 => self.let_in(),
            97..98 => self.change_options(),
            _ => {
                // One may be under way.
                let _ = self.log.request_snapshot();
            }
        }
    }

    /// Carries and dumps some of what is wanted.
    pub(super) fn keep_space(&mut self) {
        let _inside = self.runtime.enter();
        let engine = &self.engine.inner;
        let _ = (self.keeper.keep_space(engine), self.keeper.dump(engine));
    }

    /// What is due comes into the line.
    fn let_in(&mut self) {
        self.engine.inner.let_in_due();
    }

    /// Returns where it ends.
    pub(super) fn mark(&mut self, n: u64) -> Position {
        let payload = n.to_le_bytes();
        let parts = [Part::Bytes(&payload)];
        self.append(&[NewRecord::new(MARKER, 0, &parts)])
    }

    fn append(&self, records: &[NewRecord<'_>]) -> Position {
        loop {
            match self.log.append(Need::Essential, records) {
                Ok(appended) => return appended.end,
                Err(error) => assert_eq!(error, AppendError::Busy),
            }
            std::thread::yield_now();
        }
    }

    /// All that was appended before `end` is durable, and the engine knows.
    pub(super) fn wait_durable(&self, end: Position) {
        self.log.wait_durable(end).unwrap();
        while !self.engine.inner.is_settled_before(end) {
            std::thread::yield_now();
        }
    }

    pub(super) fn told(&self) -> Told {
        let inner = &self.engine.inner;
        let told = Told::of(&inner.names().groups);
        inner.topics().iter().fold(told, |told, topic| {
            let locked = inner.lock(topic);
            told.and_topics_of(&locked.core, &locked.unsettled_messages(), &self.held)
        })
    }

    /// Those whose time is not over.
    pub(super) fn recent_ids(&self) -> RecentIds {
        let inner = &self.engine.inner;
        let now = inner.wall();
        let known_in = |topic: &Arc<Topic>| {
            let locked = inner.lock(topic);
            let mut known = told::recent_ids(&locked.core);
            known.retain(|(_, id), message| locked.core.recent_ids(topic.id).unwrap().find(id, now) == Some(*message));
            known
        };
        inner.topics().iter().flat_map(known_in).collect()
    }

    pub(super) fn lived(&self) -> Lived {
        let inner = &self.engine.inner;
        let letters = GROUPS.iter().filter_map(|group| {
            let topic = inner.topic(&dead_letters_of(group))?;
            Some(inner.lock(&topic).core.message_count(topic.id))
        });
        Lived { reclaimed: self.log.segments().start() - 1, dead_letters: letters.sum(), ..self.lived }
    }

    fn send(&mut self) {
        let topic = TOPICS[self.random.below(4) / 3];
        self.send_to(topic, Message::default());
    }

    fn send_ordered(&mut self) {
        let message_group = Some(MESSAGE_GROUPS[self.random.below(MESSAGE_GROUPS.len())].to_owned());
        self.send_to(ORDERED, Message { message_group, ..Message::default() });
    }

    /// Some are due at once, others not before the life is over.
    fn send_delayed(&mut self) {
        let now_ms = self.engine.inner.wall().0;
        let delay_ms = u64::try_from(DELAY.as_millis()).unwrap() * self.random.below(5) as u64 / 4;
        self.send_to(DELAYED, Message { deliver_at_ms: Some(now_ms + delay_ms), ..Message::default() });
    }

    fn recall(&mut self) {
        let waiting: Vec<_> = {
            let topic = self.engine.inner.topic(&topic_name(DELAYED)).unwrap();
            let all = Position(0)..Position(u64::MAX);
            let locked = self.engine.inner.lock(&topic);
            locked.core.kept_in((topic.id, TopicPart::Waiting), all).map(|kept| message_id(kept.message)).collect()
        };
        if let Some(message) = waiting.get(self.random.below(waiting.len().max(1))) {
            let _ = begin(self.engine.recall(topic_name(DELAYED), message.clone()));
            self.lived.recalled += 1;
        }
    }

    fn send_to(&mut self, topic: &str, message: Message) {
        let tag = if self.random.below(2) == 0 { TAG } else { "other" };
        let body = vec![b'x'; self.random.below(PAYLOAD_BYTES_MAX)].into();
        let mut message = Message { tag: Some(tag.to_owned()), body, ..message };
        let topic = topic_name(topic);
        match self.random.below(6) {
            0 | 1 => {
                self.ids += 1;
                message.client_message_id = Some(format!("id {}", self.ids));
                message.sender = Some("sender".to_owned());
                self.sent.insert(topic.clone(), message.clone());
            }
            2 if let Some(before) = self.sent.get(&topic) => {
                message = before.clone();
                self.lived.sent_again += 1;
            }
            _ => {}
        }
        while let Err(busy) = self.engine.try_send(&topic, message, Box::new(|_| ())) {
            message = busy.message;
            std::thread::yield_now();
            self.keep_space();
        }
    }

    fn receive(&mut self, n: u64) {
        let (group, topic, from) = RECEIVED[self.random.below(RECEIVED.len())];
        let topic_is_there = self.engine.inner.topic(&topic_name(topic)).is_some();
        if n < from || !topic_is_there {
            return;
        }
        if !self.subscribed.contains(&(group, topic)) {
            if !self.holdings.is_empty() {
                return;
            }
            self.settle();
            self.subscribed.insert((group, topic));
        }
        let filter = if group == "picky" { TagFilter::Tags([TAG.to_owned()].into()) } else { TagFilter::All };
        let request = ReceiveRequest {
            group: group_name(group),
            topic: topic_name(topic),
            filter,
            max: 1 + self.random.below(6),
            wait: Duration::ZERO,
            invisible: INVISIBLE,
        };
        let deliveries = self.runtime.block_on(self.engine.receive(request)).unwrap();
        self.lived.delayed += deliveries.iter().filter(|delivery| delivery.message.deliver_at_ms.is_some()).count();
        self.lived.ordered += deliveries.iter().filter(|delivery| delivery.message.message_group.is_some()).count();
        self.lived.tried_again += deliveries.iter().filter(|delivery| delivery.attempt == 2).count();
        self.open.extend(deliveries);
    }

    /// What the groups have consumed is gone, so that a new one finds what a start would let it find.
    fn settle(&self) {
        let end = self.append(&[NewRecord::new(KEPT, 0, &[])]);
        self.wait_durable(end);
    }

    fn ack(&mut self) {
        let Some(delivery) = self.take_open() else { return };
        // Its time may be over.
        let _ = begin(self.engine.ack(delivery.receipt));
    }

    fn give_up(&mut self) {
        let Some(delivery) = self.take_open() else { return };
        // Its time may be over.
        if begin(self.engine.give_up(delivery.receipt)).is_pending() {
            self.lived.given_up += 1;
        }
    }

    fn take_open(&mut self) -> Option<Delivery> {
        // The newer ones are more likely to have time left.
        let nth = self.random.below(self.open.len().min(8));
        let nth = self.open.len().checked_sub(1 + nth)?;
        Some(self.open.remove(nth))
    }

    fn hold(&mut self) {
        let Some(Delivery { receipt, attempt, .. }) = self.take_open() else { return };
        let inner = &self.engine.inner;
        if inner.prepare(&receipt).is_ok() {
            let id = inner.parse(&receipt).unwrap();
            let message = (id.subscription, id.position);
            self.held.insert(message, Some(attempt));
            self.holdings.push(Holding { receipt, message, end: None });
        }
    }

    /// The first that is held: its acknowledgement is appended with a record of its consumer, or it is given back; later
    /// the engine is told.
    fn decide(&mut self) {
        if self.holdings.is_empty() {
            return;
        }
        let mut holding = self.holdings.remove(0);
        match holding.end {
            None if self.random.below(4) == 0 => {
                self.engine.inner.abort(&holding.receipt);
                self.held.remove(&holding.message);
                return;
            }
            None => {
                let (subscription, position) = holding.message;
                let payload = position.to_bytes();
                let payload = [Part::Bytes(&payload)];
                let ack = NewRecord::new(crate::records::kind::ACK, subscription.0, &payload);
                holding.end = Some(self.append(&[NewRecord::new(KEPT, 0, &[]), ack]));
                self.held.insert(holding.message, None);
                self.lived.atomic_acks += 1;
            }
            Some(end) if self.log.durable() >= end => {
                self.engine.inner.commit(&holding.receipt);
                self.held.remove(&holding.message);
                return;
            }
            Some(_) => std::thread::yield_now(),
        }
        self.holdings.push(holding);
    }

    fn hide_for_longer(&mut self) {
        let Some(mut delivery) = self.take_open() else { return };
        if let Poll::Ready(Ok(receipt)) = begin(self.engine.change_invisible(delivery.receipt, INVISIBLE)) {
            delivery.receipt = receipt;
            self.open.push(delivery);
        }
    }

    /// Some hand-outs have had their time, or all.
    fn pass_time(&mut self) {
        let time = INVISIBLE.mul_f64([0.3, 0.6, 1.1][self.random.below(3)]);
        self.runtime.block_on(tokio::time::advance(time));
        self.machine.pass(u64::try_from(time.as_millis()).unwrap());
    }

    fn change_options(&mut self) {
        let group = GROUPS[self.random.below(GROUPS.len())];
        self.set_options(group);
    }

    fn set_options(&mut self, group: &str) {
        let (attempts_max, is_fifo) = (1 + u32::try_from(self.random.below(3)).unwrap(), self.random.below(2) == 0);
        // The log may be busy with its next segment: nothing has changed then.
        let _ = begin(self.engine.create_group(group_name(group), GroupOptions { attempts_max, is_fifo }));
    }
}

/// Lets it append what it has to, and waits for nothing.
fn begin<T>(mut future: BoxFuture<'_, T>) -> Poll<T> {
    future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
}
