//! A queue that panics where a test says, to see that the death of a task is noticed.

use std::collections::{BTreeMap, BTreeSet};
use std::future::ready;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker::Fatal;
use commitlog::LogId;
use queue::{
    AckError, AdminError, AtomicAck, BoxFuture, Delivery, Engine, GroupName, GroupOptions, Message, NotTaken, Queue,
    Receipt, ReceiveError, ReceiveRequest, SendDone, TopicDescription, TopicName, Unavailable,
};

use crate::terminal::{Profile, Said, Terminal};
use crate::world::{ALICE, BOB, SERVICE, World};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Call {
    Send,
    TrySend,
    Receive,
    Ack,
    CreateTopic,
}

/// The call that panics from now on.
pub(crate) type Breaks = Arc<Mutex<Option<Call>>>;

/// Topics of which somebody has begun to receive; once begun, the next message is taken also when the call breaks.
pub(crate) type Receiving = Arc<Mutex<BTreeSet<String>>>;

/// How often each message was hidden anew.
pub(crate) type Hidings = Arc<Mutex<BTreeMap<String, usize>>>;

/// Acknowledgements that are still refused, because too much waits for the disk.
pub(crate) type RefusedAcks = Arc<AtomicUsize>;

/// The real engine, until it breaks.
pub(crate) struct Brittle {
    pub(crate) engine: Engine,
    pub(crate) breaks: Breaks,
    pub(crate) receiving: Receiving,
    pub(crate) hidings: Hidings,
    pub(crate) refused_acks: RefusedAcks,
}

impl Brittle {
    fn enter(&self, call: Call) -> &Engine {
        let breaks = *self.breaks.lock().unwrap();
        assert_ne!(breaks, Some(call), "as a bug would");
        &self.engine
    }
}

impl Queue for Brittle {
    fn send(&self, topic: &TopicName, message: Message, done: SendDone) {
        self.enter(Call::Send).send(topic, message, done);
    }

    fn try_send(&self, topic: &TopicName, message: Message, done: SendDone) -> Result<(), Box<NotTaken>> {
        self.enter(Call::TrySend).try_send(topic, message, done)
    }

    fn receive(&self, request: ReceiveRequest) -> BoxFuture<'_, Result<Vec<Delivery>, ReceiveError>> {
        let engine = self.enter(Call::Receive);
        self.receiving.lock().unwrap().insert(request.topic.to_string());
        engine.receive(request)
    }

    fn ack(&self, receipt: Receipt) -> BoxFuture<'_, Result<(), AckError>> {
        let engine = self.enter(Call::Ack);
        let one_less = |left: usize| left.checked_sub(1);
        if self.refused_acks.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_less).is_ok() {
            return Box::pin(ready(Err(Unavailable::Busy.into())));
        }
        engine.ack(receipt)
    }

    fn change_invisible(&self, receipt: Receipt, invisible: Duration) -> BoxFuture<'_, Result<Receipt, AckError>> {
        // The last part is of the hand-out.
        let message = receipt.as_str().rsplit_once('.').unwrap().0.to_owned();
        *self.hidings.lock().unwrap().entry(message).or_default() += 1;
        self.engine.change_invisible(receipt, invisible)
    }

    fn create_topic(&self, topic: TopicName) -> BoxFuture<'_, Result<(), AdminError>> {
        self.enter(Call::CreateTopic).create_topic(topic)
    }

    fn create_group(&self, group: GroupName, options: GroupOptions) -> BoxFuture<'_, Result<(), AdminError>> {
        self.engine.create_group(group, options)
    }

    fn group_options(&self, group: GroupName) -> BoxFuture<'_, Result<GroupOptions, AdminError>> {
        self.engine.group_options(group)
    }

    fn give_up(&self, receipt: Receipt) -> BoxFuture<'_, Result<(), AckError>> {
        self.engine.give_up(receipt)
    }

    fn describe(&self, topic: TopicName) -> BoxFuture<'_, Result<TopicDescription, AdminError>> {
        self.engine.describe(topic)
    }

    fn atomic_ack(&self, log: LogId) -> Option<Arc<dyn AtomicAck>> {
        self.engine.atomic_ack(log)
    }
}

fn expect_fatal(world: &World, purpose: &'static str) {
    let expected = Fatal::Task(purpose);
    world.until("the process is told", |_| world.fatal.lock().unwrap().first() == Some(&expected));
}

fn broken(call: Call) -> World {
    let world = World::new();
    *world.breaks.lock().unwrap() = Some(call);
    world
}

#[test]
fn a_pump_that_dies_ends_the_broker() {
    let world = broken(Call::Receive);
    // The receive that waits gives it, the next one panics.
    world.send("ring-down", &[("mqttSecondTopic", &format!("/p2p/{BOB}/invitation"))], "ring");
    expect_fatal(&world, "a pump of the queue");
}

#[test]
fn a_worker_that_dies_ends_the_broker() {
    let world = broken(Call::TrySend);
    assert_eq!(Terminal::connect(world.address(), Profile::passing(SERVICE)).err(), Some(Said::Closed));
    world.until("the process is told", |_| world.fatal.lock().unwrap().first() == Some(&Fatal::Worker));
}

#[test]
fn an_online_event_that_dies_in_its_second_attempt_ends_the_broker() {
    let world = broken(Call::CreateTopic);
    let _alice = world.connect(Profile::of(ALICE));
    expect_fatal(&world, "an online event");
}

#[test]
fn a_dead_letter_that_dies_on_its_way_ends_the_broker() {
    let world = broken(Call::Send);
    world.send("ring-down", &[("mqttSecondTopic", "/p2p/nobody/invitation")], "lost");
    expect_fatal(&world, "a dead letter");
}

#[test]
fn an_acknowledgement_that_dies_on_its_way_ends_the_broker() {
    let world = World::with_remote_queue();
    *world.breaks.lock().unwrap() = Some(Call::Ack);
    world.send("ring-down", &[("mqttSecondTopic", &format!("/p2p/{BOB}/invitation"))], "ring");
    expect_fatal(&world, "an acknowledgement to the queue");
}
