//! Random lives of a topic of message groups against a model: one of a group at a time, in their order, each consumed once,
//! over redelivery, refused logs and restarts.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use std::collections::{BTreeMap, HashMap};

use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::*;
use crate::limits::RECEIVE_BYTES_MAX;
use crate::message::TagFilter;
use crate::records::GroupKey;

const TOPIC: TopicId = TopicId(1);
const GROUP: GroupId = GroupId(2);
const SUBSCRIPTION: SubscriptionId = SubscriptionId(3);
const INVISIBLE: Duration = Duration::from_secs(10);
const MESSAGE_GROUPS: usize = 4;

#[derive(Clone, Debug)]
enum Step {
    Send { group: usize },
    Receive { max: usize, is_refused: bool },
    Ack { nth: usize },
    PassTime,
    Restart,
}

/// What the checker must find.
#[derive(Clone, Copy, Debug)]
enum Bug {
    ParkedNotLogged,
    GroupsNotOrderedAtTheStart,
}

enum Written {
    Message { position: Position, group: usize },
    HandOut(Position, u32),
    Ack(Position),
}

struct World {
    core: Core,
    log: Vec<Written>,
    next: u64,
    now: Now,
    /// Of each message group what is not consumed, rising.
    left: BTreeMap<usize, Vec<Position>>,
    attempts: HashMap<Position, u32>,
    in_flight: Vec<(HandOut, Now)>,
    bug: Option<Bug>,
}

fn any_step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => (0..MESSAGE_GROUPS).prop_map(|group| Step::Send { group }),
        5 => (1..4_usize, prop::bool::weighted(0.1)).prop_map(|(max, is_refused)| Step::Receive { max, is_refused }),
        5 => (0..8_usize).prop_map(|nth| Step::Ack { nth }),
        1 => Just(Step::PassTime),
        1 => Just(Step::Restart),
    ]
}

fn core() -> Core {
    let mut core = Core::default();
    core.add_topic(TOPIC, TopicName::parse("topic").unwrap(), TopicType::Fifo);
    core.set_group(
        GROUP,
        GroupName::parse("group").unwrap(),
        GroupOptions { attempts_max: u32::MAX, ..GroupOptions::default() },
    );
    core.subscribe(SUBSCRIPTION, GROUP, TOPIC);
    core
}

impl World {
    fn new(bug: Option<Bug>) -> Self {
        let (log, left, attempts, in_flight) = (vec![], BTreeMap::new(), HashMap::new(), vec![]);
        Self { core: core(), log, next: 1, now: Now::default(), left, attempts, in_flight, bug }
    }

    fn take(&mut self, step: &Step) -> Result<(), String> {
        match *step {
            Step::Send { group } => {
                let position = Position(self.next);
                self.next += 1;
                add(&mut self.core, position, group);
                self.log.push(Written::Message { position, group });
                self.left.entry(group).or_default().push(position);
            }
            Step::Receive { max, is_refused } => self.receive(max, is_refused)?,
            Step::Ack { nth } => {
                if !self.in_flight.is_empty() {
                    let (out, until) = self.in_flight.remove(nth % self.in_flight.len());
                    if until > self.now {
                        self.core.hold(SUBSCRIPTION, out.position, out.serial, self.now).unwrap();
                        self.consume(out.position);
                    }
                }
            }
            Step::PassTime => self.now = self.now.after(INVISIBLE * 2 / 3),
            Step::Restart => self.restart(),
        }
        Ok(())
    }

    fn receive(&mut self, max: usize, is_refused: bool) -> Result<(), String> {
        let request = PickRequest {
            filter: &TagFilter::All,
            max,
            bytes_max: RECEIVE_BYTES_MAX,
            invisible: INVISIBLE,
            attempts_max: u32::MAX,
            is_fifo: true,
            now: self.now,
        };
        let picked = self.core.pick(SUBSCRIPTION, &request);
        if is_refused {
            self.core.undo_pick(SUBSCRIPTION, &picked);
            return Ok(());
        }
        let parked =
            picked.open().filter(|(_, attempt)| *attempt > 0 || !matches!(self.bug, Some(Bug::ParkedNotLogged)));
        self.log.extend(parked.map(|(position, attempt)| Written::HandOut(position, attempt)));
        for out in picked.hand_outs {
            let is_first = self.left.values().any(|left| left.first() == Some(&out.position));
            let attempts = self.attempts.entry(out.position).or_default();
            *attempts += 1;
            if !is_first || out.attempt != *attempts {
                return Err(format!("{out:?} is not the first of its group, attempt {attempts}: {:?}", self.left));
            }
            self.in_flight.retain(|(before, _)| before.position != out.position);
            self.in_flight.push((out, self.now.after(INVISIBLE)));
        }
        Ok(())
    }

    fn consume(&mut self, position: Position) {
        self.core.consume(SUBSCRIPTION, position);
        self.log.push(Written::Ack(position));
        self.left.values_mut().for_each(|left| left.retain(|other| *other != position));
    }

    fn restart(&mut self) {
        self.core = core();
        self.in_flight.clear();
        for written in &self.log {
            match *written {
                Written::Message { position, group } => add(&mut self.core, position, group),
                Written::HandOut(position, attempt) => self.core.replay_hand_out(SUBSCRIPTION, position, attempt),
                Written::Ack(position) => {
                    self.core.consume(SUBSCRIPTION, position);
                }
            }
        }
        if !matches!(self.bug, Some(Bug::GroupsNotOrderedAtTheStart)) {
            self.core.order_groups();
        }
        self.core.remove_all_consumed();
    }

    /// All that is left comes, and is counted right meanwhile.
    fn drain(&mut self) -> Result<(), String> {
        self.now = self.now.after(INVISIBLE * 2);
        while let left @ 1.. = self.left.values().map(Vec::len).sum::<usize>() {
            let described = self.core.describe(TOPIC, self.now).unwrap();
            let GroupProgress { waiting, in_flight, due_again, .. } = described.groups[0];
            if (described.messages, waiting + in_flight + due_again) != (left as u64, left as u64) {
                return Err(format!("{left} are left: {described:?}"));
            }
            self.receive(32, false)?;
            let out = self.in_flight.pop().ok_or(format!("what is left does not come: {:?}", self.left))?.0;
            self.consume(out.position);
        }
        Ok(())
    }
}

fn add(core: &mut Core, position: Position, group: usize) {
    let group = GroupKey::of(&format!("group {group}"));
    core.add_message(TOPIC, position, (IndexEntry::new(None, 100, WallMs(1), Some(group)), Place::Own));
}

fn check(bug: Option<Bug>) -> Result<(), String> {
    let config = ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(11),
        cases: 2000,
        max_shrink_iters: if bug.is_some() { 0 } else { 2000 },
        ..ProptestConfig::default()
    };
    let lives = TestRunner::new(config).run(&prop::collection::vec(any_step(), 0..150), |steps| {
        let mut world = World::new(bug);
        let lived = steps.iter().try_for_each(|step| world.take(step)).and_then(|()| world.drain());
        lived.map_err(TestCaseError::fail)
    });
    lives.map_err(|error| error.to_string())
}

#[test]
fn messages_of_a_group_come_one_at_a_time_and_in_their_order() {
    check(None).unwrap();
}

#[test]
fn each_seeded_bug_of_the_order_of_groups_is_found() {
    for bug in [Bug::ParkedNotLogged, Bug::GroupsNotOrderedAtTheStart] {
        assert!(check(Some(bug)).is_err(), "{bug:?} was not found");
    }
}

#[test]
fn what_one_pick_parks_is_limited_and_the_next_goes_on() {
    let mut world = World::new(None);
    for _ in 0..1000 {
        world.take(&Step::Send { group: 0 }).unwrap();
    }
    world.take(&Step::Send { group: 1 }).unwrap();
    let mut picks = 0;
    while world.in_flight.len() < 2 {
        world.receive(32, false).unwrap();
        picks += 1;
    }
    assert_eq!(picks, 4);
    world.restart();
    world.drain().unwrap();
}
