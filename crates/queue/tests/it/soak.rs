//! Days in the life of a queue, in seconds: consumers that fail, are slow or stay away, so that hand-outs time out, are tried
//! again and end among the dead letters, while the log gives its segments back, has snapshots, and is started anew each day.
//! Each hand-out is judged by what the queue promises, and what the log takes must stay within bounds.
//!
//! `CONVOKE_SOAK=month` plays the long one (`make soak`).

#![expect(clippy::panic, reason = "a failed expectation is the test's failure")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use clock::Clock;
use clock::testing::TestMachine;
use commitlog::testing::{ForgettingStorage, Random};
use commitlog::{Fault, Log, Options};
use queue::{AckError, Delivery, Engine, EngineOptions, GroupOptions, Queue, Receipt, ReceiveRequest, TagFilter};

use crate::world::{BEGIN_MS, group_name, log_options, send_patiently, text, topic_name};

const SEED: u64 = 20_261_201;
const HOUR: Duration = Duration::from_secs(3600);
const HOURS_PER_DAY: u64 = 24;
/// What is not acknowledged within it is due again in the next hour.
const INVISIBLE: Duration = Duration::from_secs(600);
/// Of a slow consumer, which acknowledges in the next hour.
const INVISIBLE_FOR_LONGER: Duration = Duration::from_secs(2 * 3600);
const ATTEMPTS_MAX: u32 = 3;
/// One message in so many is never acknowledged by a consumer that fails.
const POISON_ONE_IN: u64 = 10;
/// A consumer that is mostly away comes in one hour of so many.
const AWAY_HOURS: u64 = 12;
const BODY_BYTES_MAX: usize = 2000;
/// What a message takes of the log besides its body, with what is said of it.
const OVERHEAD: usize = 200;
const SEGMENT: u64 = 16 << 10;
const RECLAIM_ABOVE: u64 = 8 * SEGMENT;
/// What the log keeps beside its limit: segments that are being filled, made or given back.
const OTHER_SEGMENTS: u64 = 8;
const LOG_PER_LIVE: u64 = 4;
/// The log gives its space back beside the work. Long enough for a machine that is busy with other tests.
const PATIENCE: Duration = Duration::from_secs(60);
/// The maximum of the last third is at most this many times that of the second.
const FLAT: f64 = 1.2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Habit {
    /// Acknowledges all at once.
    Steady,
    /// Acknowledges some, and never what is poison to it.
    Fails,
    /// Acknowledges some at once, asks for more time for some, and comes too late for the rest.
    Slow,
    Away,
}

/// What a group has done with a message.
#[derive(Clone, Debug)]
enum Progress {
    Open {
        attempts: u32,
        until: Duration,
        receipt: Receipt,
    },
    /// Acknowledged, or among the dead letters.
    Over,
}

/// The only member of its group.
struct Consumer {
    group: &'static str,
    topic: &'static str,
    habit: Habit,
    progress: BTreeMap<u64, Progress>,
    newest: Option<u64>,
    /// Asked for more time.
    extended: BTreeSet<u64>,
}

/// A message that not all groups of its topic have consumed.
struct Waiting {
    bytes: u64,
    groups: usize,
}

struct Soak {
    fault: Fault,
    random: Random,
    machine: TestMachine,
    clock: Clock,
    storage: ForgettingStorage,
    log: Log,
    engine: Engine,
    now: Duration,
    sent: u64,
    waiting: BTreeMap<(&'static str, u64), Waiting>,
    dead: BTreeSet<u64>,
    figures: Figures,
}

#[derive(Clone, Debug, Default)]
struct Figures {
    hand_outs: u64,
    timed_out: u64,
    dead_letters: u64,
    too_late: u64,
    restarts: u64,
    from_snapshots: u64,
    /// Each hour.
    log_bytes: Vec<u64>,
    /// Each day: what the start has read of the log.
    read_bytes: Vec<u64>,
}

fn options(fault: Fault) -> Options {
    Options {
        fault,
        segment_size: SEGMENT,
        append_bytes_max: 8 << 10,
        reserve_bytes: 2 << 10,
        owners: 1,
        reclaim_above: RECLAIM_ABOVE,
        snapshot_every: Some(8 * SEGMENT),
        idle_mark_after: None,
        ..log_options()
    }
}

fn start(storage: &ForgettingStorage, fault: Fault, clock: &Clock, figures: &mut Figures) -> (Log, Engine) {
    let (log, replay) = Log::open(storage.handle(), options(fault)).unwrap();
    let mut recovery =
        Engine::recover(EngineOptions { is_log_owner: true, clock: clock.clone(), ..EngineOptions::default() });
    let replayed = replay.run(|record| recovery.apply(record)).unwrap();
    figures.read_bytes.push(replayed.bytes);
    figures.from_snapshots += u64::from(replayed.snapshot_records > 0);
    let engine = recovery.start(log.clone());
    (log, engine)
}

impl Soak {
    async fn new(fault: Fault) -> Self {
        let machine = TestMachine::at(BEGIN_MS);
        let (clock, storage) = (machine.clock(None), ForgettingStorage::new());
        let mut figures = Figures::default();
        let (log, engine) = start(&storage, fault, &clock, &mut figures);
        for topic in ["requests", "events"] {
            engine.create_topic(topic_name(topic)).await.unwrap();
        }
        let (random, now, sent) = (Random::new(SEED), Duration::ZERO, 0);
        let (waiting, dead) = (BTreeMap::new(), BTreeSet::new());
        Self { fault, random, machine, clock, storage, log, engine, now, sent, waiting, dead, figures }
    }

    async fn live_an_hour(&mut self, consumers: &mut [Consumer], hour: u64, messages: usize) {
        for topic in ["requests", "events"] {
            for _ in 0..messages {
                self.send(topic, 2).await;
            }
        }
        for consumer in consumers {
            consumer.live_an_hour(self, hour).await;
        }
        // Behind it all that was handed out is durable.
        self.send("requests", 2).await;
        self.bury().await;
        self.sample();
        self.pass_an_hour().await;
    }

    async fn pass_an_hour(&mut self) {
        self.now += HOUR;
        tokio::time::advance(HOUR).await;
        self.machine.pass(HOUR.as_millis() as u64);
        let _ = self.clock.now_ms();
    }

    async fn send(&mut self, topic: &'static str, groups: usize) {
        self.sent += 1;
        let body = format!("{}/{}", self.sent, "x".repeat(self.random.below(BODY_BYTES_MAX)));
        let bytes = (body.len() + OVERHEAD) as u64;
        self.waiting.insert((topic, self.sent), Waiting { bytes, groups });
        send_patiently(&self.engine, &topic_name(topic), text(&body)).await.unwrap();
    }

    async fn receive(&self, group: &str, topic: &str) -> Vec<Delivery> {
        let request = ReceiveRequest {
            group: group_name(group),
            topic: topic_name(topic),
            filter: TagFilter::All,
            max: 32,
            wait: Duration::ZERO,
            invisible: INVISIBLE,
        };
        self.engine.receive(request).await.unwrap()
    }

    /// The message is over for one more of its groups.
    fn consumed(&mut self, topic: &'static str, n: u64) {
        let waiting = self.waiting.get_mut(&(topic, n)).unwrap();
        waiting.groups -= 1;
        if waiting.groups == 0 {
            self.waiting.remove(&(topic, n));
        }
    }

    /// Takes the dead letters: each that there must be, once.
    async fn bury(&mut self) {
        if self.dead.is_empty() {
            return;
        }
        loop {
            let letters = self.receive("undertaker", "%DLQ%fails").await;
            if letters.is_empty() {
                break;
            }
            for letter in letters {
                let n = number_of(&letter);
                assert!(self.dead.remove(&n), "message {n} is among the dead letters");
                assert_eq!(letter.attempt, 1, "of message {n} among the dead letters");
                self.engine.ack(letter.receipt).await.unwrap();
                self.figures.dead_letters += 1;
            }
        }
        assert!(self.dead.is_empty(), "not among the dead letters: {:?}", self.dead);
    }

    /// Waits until the log has given back what it has to, and notes what it takes.
    fn sample(&mut self) {
        let live: u64 = self.waiting.values().map(|waiting| waiting.bytes).sum();
        let bound = RECLAIM_ABOVE.max(LOG_PER_LIVE * live) + OTHER_SEGMENTS * SEGMENT;
        let deadline = Instant::now() + PATIENCE;
        let mut bytes = self.log_bytes();
        while bytes > bound {
            assert!(Instant::now() < deadline, "the log takes {bytes} bytes, of {live} that live");
            std::thread::sleep(Duration::from_millis(1));
            bytes = self.log_bytes();
        }
        self.figures.log_bytes.push(bytes);
    }

    fn log_bytes(&self) -> u64 {
        let segments = self.log.segments();
        (segments.end() - segments.start() + 1) * SEGMENT
    }

    /// A clean stop, a kill, or a power cut: whatever was answered is there.
    fn restart(&mut self, consumers: &mut [Consumer]) {
        match self.figures.restarts % 3 {
            0 => {
                // As the program stops.
                let _ = self.log.request_snapshot();
                self.log.wait_for_snapshot(PATIENCE);
                self.log.close().unwrap();
            }
            1 => self.storage.kill_process(),
            _ => self.storage.cut_power(),
        }
        self.figures.restarts += 1;
        (self.log, self.engine) = start(&self.storage, self.fault, &self.clock, &mut self.figures);
        consumers.iter_mut().for_each(Consumer::restarted);
    }
}

impl Consumer {
    fn new(group: &'static str, topic: &'static str, habit: Habit) -> Self {
        let (progress, extended) = (BTreeMap::new(), BTreeSet::new());
        Self { group, topic, habit, progress, newest: None, extended }
    }

    async fn live_an_hour(&mut self, soak: &mut Soak, hour: u64) {
        if self.habit == Habit::Away && hour % AWAY_HOURS != AWAY_HOURS - 1 {
            return;
        }
        self.come_too_late(soak).await;
        loop {
            let deliveries = soak.receive(self.group, self.topic).await;
            if deliveries.is_empty() {
                break;
            }
            for delivery in deliveries {
                self.take(soak, delivery).await;
            }
        }
        self.bury(soak);
        self.check_nothing_is_left(soak);
    }

    /// Acknowledges what it asked for more time for; whatever had its time is refused.
    async fn come_too_late(&mut self, soak: &mut Soak) {
        if self.habit != Habit::Slow {
            return;
        }
        let extended = std::mem::take(&mut self.extended);
        let open: Vec<_> = self.open().collect();
        for (n, attempts, until, receipt) in open {
            let answer = soak.engine.ack(receipt).await;
            if until > soak.now && extended.contains(&n) {
                answer.unwrap_or_else(|error| panic!("message {n}, attempt {attempts}: {error}"));
                self.over(soak, n);
            } else {
                let is_refused = matches!(answer, Err(AckError::Expired | AckError::StaleEpoch { .. }));
                assert!(is_refused, "message {n}, attempt {attempts}: {answer:?}");
                soak.figures.too_late += 1;
            }
        }
    }

    fn open(&self) -> impl Iterator<Item = (u64, u32, Duration, Receipt)> + '_ {
        self.progress.iter().filter_map(|(n, progress)| match progress {
            Progress::Open { attempts, until, receipt } => Some((*n, *attempts, *until, receipt.clone())),
            Progress::Over => None,
        })
    }

    /// Judges a hand-out, and does with it as is its habit.
    async fn take(&mut self, soak: &mut Soak, delivery: Delivery) {
        let (n, attempt) = (number_of(&delivery), delivery.attempt);
        let named = format!("message {n} to {}, attempt {attempt}", self.group);
        soak.figures.hand_outs += 1;
        assert!(soak.waiting.contains_key(&(self.topic, n)), "{named}: all have consumed it");
        let attempts = match self.progress.get(&n) {
            None => {
                assert!(self.newest.is_none_or(|newest| newest < n), "{named}: after {:?}", self.newest);
                self.newest = Some(n);
                0
            }
            Some(Progress::Open { attempts, until, .. }) => {
                assert!(*until <= soak.now, "{named}: its time is not over");
                soak.figures.timed_out += 1;
                *attempts
            }
            Some(Progress::Over) => panic!("{named}: it is over"),
        };
        assert_eq!(attempt, attempts + 1, "{named}");
        assert!(attempt <= ATTEMPTS_MAX, "{named}");
        let open = Progress::Open { attempts: attempt, until: soak.now + INVISIBLE, receipt: delivery.receipt.clone() };
        self.progress.insert(n, open);
        self.do_with(soak, n, attempt, delivery.receipt).await;
    }

    async fn do_with(&mut self, soak: &mut Soak, n: u64, attempt: u32, receipt: Receipt) {
        let chance = soak.random.below(10);
        let is_done = match self.habit {
            Habit::Steady | Habit::Away => true,
            Habit::Fails => !n.is_multiple_of(POISON_ONE_IN) && (chance < 6 || attempt == ATTEMPTS_MAX),
            Habit::Slow => chance < 4 || attempt == ATTEMPTS_MAX,
        };
        if is_done {
            soak.engine.ack(receipt).await.unwrap();
            self.over(soak, n);
        } else if self.habit == Habit::Slow && chance < 7 {
            let receipt = soak.engine.change_invisible(receipt, INVISIBLE_FOR_LONGER).await.unwrap();
            let until = soak.now + INVISIBLE_FOR_LONGER;
            self.progress.insert(n, Progress::Open { attempts: attempt, until, receipt });
            self.extended.insert(n);
        }
    }

    fn over(&mut self, soak: &mut Soak, n: u64) {
        self.progress.insert(n, Progress::Over);
        soak.consumed(self.topic, n);
    }

    /// What was handed out for the last time and timed out is among the dead letters now.
    fn bury(&mut self, soak: &mut Soak) {
        let is_dead = |attempts, until| attempts == ATTEMPTS_MAX && until <= soak.now;
        let dead: Vec<_> = self.open().filter(|(_, attempts, until, _)| is_dead(*attempts, *until)).collect();
        for (n, ..) in dead {
            self.over(soak, n);
            soak.dead.insert(n);
        }
    }

    /// It has taken all that it could: nothing is left but what is hidden.
    fn check_nothing_is_left(&self, soak: &Soak) {
        let sent = soak.waiting.keys().filter(|(topic, _)| *topic == self.topic).map(|(_, n)| n);
        for n in sent {
            match self.progress.get(n) {
                Some(Progress::Open { until, .. }) => {
                    assert!(*until > soak.now, "{}: {n} was not handed out", self.group)
                }
                Some(Progress::Over) => {}
                None => panic!("{}: message {n} is lost", self.group),
            }
        }
    }

    /// All that was in flight is due again.
    fn restarted(&mut self) {
        for progress in self.progress.values_mut() {
            if let Progress::Open { until, .. } = progress {
                *until = Duration::ZERO;
            }
        }
    }
}

fn number_of(delivery: &Delivery) -> u64 {
    let body = String::from_utf8_lossy(&delivery.message.body);
    body.split('/').next().unwrap().parse().unwrap()
}

/// What it takes in the last third is about what it took in the second; the first one fills what is empty.
fn assert_flat(what: &str, values: &[u64]) {
    let third = values.len() / 3;
    let most = |values: &[u64]| values.iter().copied().max().unwrap_or(0) as f64;
    let (second, last) = (most(&values[third..2 * third]), most(&values[2 * third..]));
    assert!(last <= second * FLAT, "{what} grows: {second} bytes, then {last}");
}

/// Lives for so many days, on a log with this bug.
async fn live(days: u64, messages_per_hour: usize, fault: Fault) -> Soak {
    let mut soak = Soak::new(fault).await;
    let mut consumers = [
        Consumer::new("steady", "requests", Habit::Steady),
        Consumer::new("fails", "requests", Habit::Fails),
        Consumer::new("slow", "events", Habit::Slow),
        Consumer::new("away", "events", Habit::Away),
    ];
    for group in consumers.iter().map(|consumer| consumer.group).chain(["undertaker"]) {
        soak.engine
            .create_group(group_name(group), GroupOptions { attempts_max: ATTEMPTS_MAX, ..GroupOptions::default() })
            .await
            .unwrap();
    }
    for consumer in &consumers {
        // From its first receive on a group has what is sent.
        soak.receive(consumer.group, consumer.topic).await;
    }
    let began = Instant::now();
    for day in 1..=days {
        for hour in 0..HOURS_PER_DAY {
            soak.live_an_hour(&mut consumers, hour, messages_per_hour).await;
        }
        soak.restart(&mut consumers);
        eprintln!("day {day} of {days}: {} s; log {} KiB", began.elapsed().as_secs(), soak.log_bytes() >> 10);
    }
    soak
}

#[tokio::test(start_paused = true)]
async fn what_times_out_is_tried_again_and_ends_among_the_dead_letters_while_space_comes_back() {
    let is_long = std::env::var("CONVOKE_SOAK").is_ok_and(|length| length == "month");
    let (days, messages_per_hour) = if is_long { (30, 100) } else { (6, 4) };
    let soak = live(days, messages_per_hour, Fault::None).await;
    let (given_back, figures) = (soak.log.segments().start() - 1, &soak.figures);
    let Figures { hand_outs, timed_out, dead_letters, too_late, restarts, from_snapshots, log_bytes, read_bytes } =
        figures;
    let most = |values: &[u64]| values.iter().copied().max().unwrap_or(0) >> 10;
    println!(
        "found: {days} days of a queue, {} messages: {hand_outs} hand-outs, {timed_out} of them again after one that timed out \
         or a start, {too_late} acknowledgements came too late, {dead_letters} dead letters; {restarts} starts, \
         {from_snapshots} from a snapshot, each read at most {} KiB; the log gave back {given_back} segments and took at most \
         {} KiB; nothing is lost, nothing came back",
        soak.sent,
        most(read_bytes),
        most(log_bytes),
    );
    assert!(*timed_out > 100 && *dead_letters > 20 && *too_late > 20 && *from_snapshots > 0, "{figures:?}");
    assert!(given_back > 50, "{given_back} segments were given back");
    if is_long {
        // In a short life it depends on how busy the machine is.
        assert_flat("the log", log_bytes);
        assert_flat("what a start reads", &read_bytes[1..]);
    }
}

/// The cursor of a group that has nothing in flight.
const CURSOR: u8 = 0x26;

#[tokio::test(start_paused = true)]
#[should_panic(expected = "message")]
async fn a_seeded_snapshot_without_cursors_is_noticed() {
    live(2, 4, Fault::SnapshotForgets { kind: CURSOR }).await;
}
