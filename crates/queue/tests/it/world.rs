//! An engine on a storage that forgets, with one topic and one group.

use std::time::Duration;

use clock::Clock;
use clock::testing::TestMachine;
use commitlog::testing::ForgettingStorage;
use commitlog::{Log, Options};
use queue::{
    Delivery, Engine, EngineOptions, GroupName, GroupOptions, Message, MessageId, Queue, ReceiveRequest, SendError,
    TagFilter, TopicName, Unavailable,
};

/// The time at which the engines of these tests stand.
pub(crate) const BEGIN_MS: u64 = 1_800_000_000_000;
pub(crate) const SHORT: Duration = Duration::from_millis(20);
pub(crate) const LONG: Duration = Duration::from_secs(3600);

pub(crate) struct World {
    pub(crate) storage: ForgettingStorage,
    pub(crate) log: Log,
    pub(crate) engine: Engine,
}

pub(crate) fn log_options() -> Options {
    Options { segment_size: 1 << 20, full_retry_every: Duration::from_millis(1), ..Options::default() }
}

/// Stands still.
pub(crate) fn clock_at(ms: u64) -> Clock {
    TestMachine::at(ms).clock(None)
}

pub(crate) fn engine_options() -> EngineOptions {
    EngineOptions { invisible_min: Duration::from_millis(1), clock: clock_at(BEGIN_MS), ..EngineOptions::default() }
}

/// The engine is an owner of a log that is to have one.
pub(crate) fn start(storage: &ForgettingStorage, options: Options) -> (Log, Engine) {
    try_start(storage, options).unwrap()
}

pub(crate) fn try_start(storage: &ForgettingStorage, options: Options) -> Result<(Log, Engine), String> {
    let is_log_owner = options.owners > 0;
    let (log, replay) = Log::open(storage.handle(), options).map_err(|error| error.to_string())?;
    let mut recovery = Engine::recover(EngineOptions { is_log_owner, ..engine_options() });
    replay.run(|record| recovery.apply(record)).map_err(|error| error.to_string())?;
    let engine = recovery.start(log.clone());
    Ok((log, engine))
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(log_options()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let storage = ForgettingStorage::new();
        let (log, engine) = start(&storage, options);
        let world = Self { storage, log, engine };
        world.engine.create_topic(topic()).await.unwrap();
        world.engine.create_group(group(), GroupOptions::default()).await.unwrap();
        world
    }

    pub(crate) async fn send(&self, body: &str) -> MessageId {
        self.engine.send_wait(&topic(), text(body)).await.unwrap()
    }

    pub(crate) async fn receive(&self, wait: Duration, invisible: Duration) -> Vec<Delivery> {
        self.engine.receive(request(wait, invisible)).await.unwrap()
    }

    /// What is due now, hidden for long.
    pub(crate) async fn receive_due(&self) -> Vec<Delivery> {
        self.receive(Duration::ZERO, LONG).await
    }

    pub(crate) fn restart(&mut self) {
        (self.log, self.engine) = start(&self.storage, log_options());
    }

    pub(crate) fn cut_power(&mut self) {
        self.storage.cut_power();
        self.restart();
    }

    /// Everything appended so far is durable.
    pub(crate) async fn settle(&self) {
        self.engine.create_topic(TopicName::parse("settled").unwrap()).await.unwrap();
        self.engine.create_group(GroupName::parse("settled").unwrap(), GroupOptions::default()).await.unwrap();
    }
}

/// Sends, again while the log is busy with its next segment.
pub(crate) async fn send_patiently(engine: &Engine, topic: &TopicName, message: Message) -> Result<(), SendError> {
    loop {
        match engine.send_wait(topic, message.clone()).await {
            Err(SendError::Unavailable(Unavailable::Busy)) => tokio::time::sleep(Duration::from_millis(1)).await,
            sent => return sent.map(drop),
        }
    }
}

/// A log that wants its space back early, from the engine.
pub(crate) fn owned() -> Options {
    let segment_size = 16 << 10;
    Options { segment_size, owners: 1, reclaim_above: 6 * segment_size, idle_mark_after: None, ..log_options() }
}

pub(crate) fn topic_name(name: &str) -> TopicName {
    TopicName::parse(name).unwrap()
}

pub(crate) fn group_name(name: &str) -> GroupName {
    GroupName::parse(name).unwrap()
}

/// What is due to the group now, hidden for long.
pub(crate) fn by(group: &str) -> ReceiveRequest {
    ReceiveRequest { group: group_name(group), ..request(Duration::ZERO, LONG) }
}

pub(crate) fn topic() -> TopicName {
    TopicName::parse("topic").unwrap()
}

pub(crate) fn group() -> GroupName {
    GroupName::parse("group").unwrap()
}

pub(crate) fn text(body: &str) -> Message {
    Message { body: body.to_owned().into(), ..Message::default() }
}

pub(crate) fn request(wait: Duration, invisible: Duration) -> ReceiveRequest {
    ReceiveRequest { group: group(), topic: topic(), filter: TagFilter::All, max: 32, wait, invisible }
}

pub(crate) fn bodies(deliveries: &[Delivery]) -> Vec<(String, u32)> {
    let body = |delivery: &Delivery| String::from_utf8(delivery.message.body.to_vec()).unwrap();
    deliveries.iter().map(|delivery| (body(delivery), delivery.attempt)).collect()
}
