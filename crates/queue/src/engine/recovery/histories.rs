//! Random histories of a topic, in order, after carries, and from a snapshot: the engine finds the same.

#![expect(clippy::unwrap_used, reason = "a failed expectation is the test's failure")]

use std::cell::Cell;
use std::collections::HashSet;
use std::time::Duration;

use commitlog::{Position, ReplayedRecord};
use proptest::prelude::*;
use proptest::test_runner::{RngSeed, TestRunner};

use super::{EngineOptions, Recovery};
use crate::core::{Core, CoreDump, CoreStep, Fate, Kept, PickRequest, Restated, Said, TopicPart};
use crate::ids::{GroupId, Now, SubscriptionId, TopicId, WallMs};
use crate::message::{GroupOptions, Message, TagFilter, TopicDescription};
use crate::records::{
    IndexEntry, Place, decode_entry, encode_entry, encode_group, encode_hand_outs, encode_message, kind,
};

const FIRST: u64 = 64;
const TOPIC: TopicId = TopicId(FIRST);
const ALL: std::ops::Range<Position> = Position(0)..Position(u64::MAX);

#[derive(Clone, Debug)]
struct Written {
    kind: u8,
    owner: u64,
    name: Position,
    payload: Vec<u8>,
}

/// What happens next; numbers choose among what there is.
#[derive(Clone, Debug)]
enum Step {
    Send,
    /// A message that waits for its time.
    Delay,
    /// One of those comes into the line.
    Enter {
        nth: usize,
    },
    /// One of those is taken back.
    Recall {
        nth: usize,
    },
    HandOut {
        group: usize,
        nth: usize,
    },
    Ack {
        group: usize,
        nth: usize,
    },
    NewGroup,
    NewOptions {
        group: usize,
    },
    /// A snapshot is begun, or the one under way goes on by a step.
    Dump,
    /// The log wants this many of its records back.
    Want {
        records: usize,
    },
    /// The owner carries some of what is wanted, whatever its order.
    Carry {
        nth: usize,
        messages: usize,
    },
}

fn any_step() -> impl Strategy<Value = Step> {
    let nth = 0..50_usize;
    let group = 0..4_usize;
    prop_oneof![
        4 => Just(Step::Send),
        3 => Just(Step::Delay),
        3 => nth.clone().prop_map(|nth| Step::Enter { nth }),
        1 => nth.clone().prop_map(|nth| Step::Recall { nth }),
        4 => (group.clone(), nth.clone()).prop_map(|(group, nth)| Step::HandOut { group, nth }),
        5 => (group.clone(), nth.clone()).prop_map(|(group, nth)| Step::Ack { group, nth }),
        1 => Just(Step::NewGroup),
        1 => group.prop_map(|group| Step::NewOptions { group }),
        6 => Just(Step::Dump),
        2 => (1..30_usize).prop_map(|records| Step::Want { records }),
        8 => (nth, 1..4_usize).prop_map(|(nth, messages)| Step::Carry { nth, messages }),
    ]
}

/// A history as it was, and the log that is left of it.
struct World {
    next: u64,
    /// What all of the history says, in its order.
    truth: Core,
    history: Vec<Written>,
    /// Oldest first; `true`: a copy.
    log: Vec<(Written, bool)>,
    subscriptions: Vec<(GroupId, SubscriptionId)>,
    wanted: Option<Wanted>,
    underway: Option<(CoreDump, Snapshot)>,
    snapshot: Option<Snapshot>,
    bug: Option<Bug>,
}

/// What the checker must find.
#[derive(Clone, Copy, Debug)]
enum Bug {
    /// A message that has had to wait is carried without its entry.
    NoEntry,
    /// An entry is carried without its message.
    NoMessage,
}

struct Snapshot {
    /// Records of the log before its place.
    before: usize,
    from: Position,
    said: Vec<Said>,
}

/// The oldest records of the log, and what of them is still to be carried.
struct Wanted {
    records: usize,
    left: Vec<Written>,
}

impl World {
    fn new(bug: Option<Bug>) -> Self {
        let truth = Core::default();
        let (history, log, subscriptions) = (vec![], vec![], vec![]);
        let (wanted, underway, snapshot) = (None, None, None);
        let mut world = Self { next: FIRST, truth, history, log, subscriptions, wanted, underway, snapshot, bug };
        world.append(kind::TOPIC, 0, b"topic".to_vec());
        world
    }

    /// Appends what is also in the history.
    fn append(&mut self, kind: u8, owner: u64, payload: Vec<u8>) -> Position {
        let name = self.say(kind, owner, payload);
        self.history.push(self.log.last().unwrap().0.clone());
        self.truth = replay(self.history.iter().map(|written| (written, false)));
        name
    }

    /// Appends what only the log has.
    fn say(&mut self, kind: u8, owner: u64, payload: Vec<u8>) -> Position {
        let name = Position(self.next);
        self.next += 64;
        self.log.push((Written { kind, owner, name, payload }, false));
        name
    }

    fn take(&mut self, step: &Step) {
        match *step {
            Step::Send => {
                let payload = encode_message(&Message::default(), WallMs(1), Place::Own).head;
                self.append(kind::MESSAGE, TOPIC.0, payload);
            }
            Step::Delay => {
                let place = Place::Due(WallMs(self.next));
                let message = Message { deliver_at_ms: Some(self.next), ..Message::default() };
                self.append(kind::MESSAGE_WITH_MORE, TOPIC.0, encode_message(&message, WallMs(1), place).head);
            }
            Step::Enter { nth } => {
                let waiting: Vec<_> = self.truth.kept_in((TOPIC, TopicPart::Waiting), ALL).collect();
                if let Some(kept) = waiting.get(nth % waiting.len().max(1)) {
                    let entry = IndexEntry::new(None, kept.bytes, WallMs(self.next), None);
                    self.append(kind::ENTRY, TOPIC.0, encode_entry(kept.message, &entry));
                }
            }
            Step::Recall { nth } => {
                let waiting: Vec<_> = self.truth.kept_in((TOPIC, TopicPart::Waiting), ALL).collect();
                if let Some(kept) = waiting.get(nth % waiting.len().max(1)) {
                    self.append(kind::REMOVED, TOPIC.0, kept.message.to_bytes().to_vec());
                }
            }
            Step::HandOut { group, nth } => self.hand_out(group, nth),
            Step::Ack { group, nth } => self.ack(group, nth),
            Step::NewGroup => self.add_group(),
            Step::NewOptions { group } => self.set_options(group),
            Step::Dump => self.dump(),
            Step::Want { records } => self.want(records),
            Step::Carry { nth, messages } => self.carry(nth, messages),
        }
    }

    /// A message that the group has not consumed, with the attempts so far. What it passes by is left out by a filter.
    fn choose(&self, group: usize, nth: usize) -> Option<(SubscriptionId, Position, u32)> {
        let (_, id) = *self.subscriptions.get(group % self.subscriptions.len().max(1))?;
        let attempts = |message| self.truth.attempts(id, message).map(|attempts| (id, message, attempts));
        let open: Vec<_> = self.truth.messages_in(TOPIC, ALL).filter_map(|(message, _)| attempts(message)).collect();
        open.get(nth % open.len().max(1)).copied()
    }

    fn hand_out(&mut self, group: usize, nth: usize) {
        let Some((id, message, attempts)) = self.choose(group, nth) else { return };
        let payload = encode_hand_outs([(message, attempts + 1)].into_iter());
        self.append(kind::HAND_OUT, id.0, payload);
    }

    fn ack(&mut self, group: usize, nth: usize) {
        let Some((id, message, _)) = self.choose(group, nth) else { return };
        self.append(kind::ACK, id.0, message.to_bytes().to_vec());
    }

    fn add_group(&mut self) {
        if self.subscriptions.len() < 4 {
            let name = format!("group{}", self.subscriptions.len());
            let group = self.append(
                kind::GROUP,
                0,
                encode_group(GroupOptions { attempts_max: 1000, ..GroupOptions::default() }, &name).1,
            );
            let id = self.append(kind::SUBSCRIPTION, group.0, TOPIC.0.to_le_bytes().to_vec());
            self.subscriptions.push((group.into(), id.into()));
        }
    }

    fn set_options(&mut self, group: usize) {
        if group < self.subscriptions.len() {
            let options =
                GroupOptions { attempts_max: 1000 + u32::try_from(self.next).unwrap(), ..GroupOptions::default() };
            self.append(kind::GROUP, 0, encode_group(options, &format!("group{group}")).1);
        }
    }

    fn want(&mut self, records: usize) {
        if self.wanted.is_none() {
            let records = records.min(self.log.len());
            let left = self.log[..records].iter().map(|(written, _)| written.clone());
            let left = left
                .filter(|written| !matches!(written.kind, kind::HAND_OUT | kind::ACK | kind::CURSOR | kind::REMOVED));
            self.wanted = Some(Wanted { records, left: left.collect() });
        }
    }

    /// Carries a definition, or some messages with what is said of them. With the last ones the space is given back.
    fn carry(&mut self, nth: usize, messages: usize) {
        let Some(mut wanted) = self.wanted.take() else { return };
        if !wanted.left.is_empty() {
            let first = wanted.left.remove(nth % wanted.left.len());
            if message_of(&first).is_some() {
                self.carry_messages(first, messages, &mut wanted.left);
            } else if self.truth.definitions().into_iter().any(|(name, _)| name == first.name) {
                self.log.push((first, true));
            }
        }
        if wanted.left.is_empty() {
            self.log.drain(..wanted.records);
            // The log begins behind the place of a snapshot, or has so many records fewer before it.
            let stays = |snapshot: &mut Snapshot| {
                let before = snapshot.before.checked_sub(wanted.records);
                snapshot.before = before.unwrap_or(0);
                before.is_none()
            };
            drop(self.underway.take_if(|(_, snapshot)| stays(snapshot)));
            drop(self.snapshot.take_if(stays));
        } else {
            self.wanted = Some(wanted);
        }
    }

    fn carry_messages(&mut self, first: Written, max: usize, left: &mut Vec<Written>) {
        let mut unit = vec![first];
        while unit.len() < max
            && let Some(next) = left.iter().position(|written| message_of(written).is_some())
        {
            unit.push(left.remove(next));
        }
        let mut names: Vec<Position> = unit.iter().filter_map(message_of).collect();
        names.retain(|name| self.truth.fate(TOPIC, *name) == Fate::Carried);
        names.sort_unstable();
        names.dedup();
        for name in &names {
            let entry = self.truth.entry(TOPIC, *name);
            if entry.is_none() || !matches!(self.bug, Some(Bug::NoMessage)) {
                let message = self.history.iter().find(|written| written.name == *name).unwrap().clone();
                self.log.push((message, true));
            }
            if let Some(Said { kind, owner, name, payload }) = entry
                && !matches!(self.bug, Some(Bug::NoEntry))
            {
                self.log.push((Written { kind, owner, name: name.unwrap(), payload }, true));
            }
        }
        for Restated { subscription, hand_outs, cursor } in self.truth.restate(TOPIC, &names) {
            if !hand_outs.is_empty() {
                self.say(kind::HAND_OUT, subscription.0, encode_hand_outs(hand_outs.into_iter()));
            }
            if let Some(cursor) = cursor {
                self.say(kind::CURSOR, subscription.0, cursor.to_bytes().to_vec());
            }
        }
    }

    fn dump(&mut self) {
        let Some((mut dump, mut snapshot)) = self.underway.take() else {
            let (before, from) = (self.log.len(), Position(self.next));
            let snapshot = Snapshot { before, from, said: vec![] };
            self.underway = Some((CoreDump::of_all(&self.truth, from), snapshot));
            return;
        };
        match dump.step(&self.truth) {
            CoreStep::Said(said) => snapshot.said.extend(said),
            CoreStep::Progress(progress) => snapshot.said.extend(progress.into_records()),
            CoreStep::Done => {
                self.snapshot = Some(snapshot);
                return;
            }
            CoreStep::GivenUp => return,
            CoreStep::Wait => unreachable!("nothing is held here"),
        }
        self.underway = Some((dump, snapshot));
    }

    /// What a start finds in the snapshot and the log behind it.
    fn replay_snapshot(&self) -> Option<Core> {
        let Snapshot { before, from, said } = self.snapshot.as_ref()?;
        let shown_as = |said: &Said| {
            let Said { kind, owner, name, payload } = said.clone();
            (Written { kind, owner, name: name.unwrap_or_default(), payload }, false)
        };
        let said: Vec<_> = said.iter().map(shown_as).collect();
        let mut shown = HashSet::new();
        let behind = self.log[*before..]
            .iter()
            .filter(|(written, is_copy)| shown.insert(written.name) && (!*is_copy || written.name < *from));
        Some(replay(said.iter().chain(behind).map(|(written, is_copy)| (written, *is_copy))))
    }

    /// What a start finds in the log: of each record the oldest copy.
    fn replay_log(&self) -> Core {
        let mut shown = HashSet::new();
        let first = self.log.iter().filter(|(written, _)| shown.insert(written.name));
        replay(first.map(|(written, is_copy)| (written, *is_copy)))
    }
}

/// The message of which this is the record or the entry.
fn message_of(written: &Written) -> Option<Position> {
    match written.kind {
        kind::MESSAGE | kind::MESSAGE_WITH_MORE | kind::MESSAGE_OF_SENDER => Some(written.name),
        kind::ENTRY => decode_entry(&written.payload).ok().map(|(message, _)| message),
        _ => None,
    }
}

fn replay<'a>(records: impl Iterator<Item = (&'a Written, bool)>) -> Core {
    let mut recovery = Recovery::new(EngineOptions::default());
    for (Written { kind, owner, name, payload }, is_carried) in records {
        let record = ReplayedRecord { kind: *kind, owner: *owner, position: *name, is_carried, payload };
        recovery.apply(record).unwrap();
    }
    let mut core = recovery.into_core();
    core.remove_all_consumed();
    core
}

#[derive(Debug, PartialEq)]
struct Found {
    kept: Vec<Kept>,
    /// Messages of which no record is left to read.
    unreadable: usize,
    description: Option<TopicDescription>,
    options: Vec<Option<GroupOptions>>,
    /// What each subscription is handed out, with the attempt.
    hand_outs: Vec<Vec<(Position, u32)>>,
}

fn found(mut core: Core, subscriptions: &[(GroupId, SubscriptionId)], names: &HashSet<Position>) -> Found {
    let kept: Vec<_> = TopicPart::ALL.into_iter().flat_map(|part| core.kept_in((TOPIC, part), ALL)).collect();
    let unreadable = kept.iter().filter(|kept| !names.contains(&kept.message)).count();
    let description = core.describe(TOPIC, Now::default());
    let options = subscriptions.iter().map(|(group, _)| core.group_options(*group)).collect();
    let hand_outs = subscriptions.iter().map(|(_, id)| receive_all(&mut core, *id)).collect();
    Found { kept, unreadable, description, options, hand_outs }
}

fn receive_all(core: &mut Core, id: SubscriptionId) -> Vec<(Position, u32)> {
    let (filter, now) = (TagFilter::All, Now::default());
    let (max, bytes_max, attempts_max, is_fifo) = (1000, 1 << 20, u32::MAX, false);
    let request =
        PickRequest { filter: &filter, max, bytes_max, invisible: Duration::from_secs(10), attempts_max, is_fifo, now };
    core.pick(id, &request).hand_outs.iter().map(|out| (out.position, out.attempt)).collect()
}

const HISTORIES: u32 = 1500;

/// Returns how many starts from snapshots there were.
fn check(bug: Option<Bug>) -> Result<u32, String> {
    let config = ProptestConfig {
        failure_persistence: None,
        rng_seed: RngSeed::Fixed(8),
        cases: HISTORIES,
        max_shrink_iters: if bug.is_some() { 0 } else { 2000 },
        ..ProptestConfig::default()
    };
    let from_snapshots = Cell::new(0);
    let histories = prop::collection::vec(any_step(), 0..120);
    let checked = TestRunner::new(config).run(&histories, |steps| {
        let mut world = World::new(bug);
        for step in &steps {
            world.take(step);
        }
        let subscriptions = world.subscriptions.clone();
        let all = world.history.iter().map(|written| written.name).collect();
        let left = world.log.iter().map(|(written, _)| written.name).collect();
        let from_snapshot = world.replay_snapshot();
        let carried = found(world.replay_log(), &subscriptions, &left);
        let truth = found(world.truth, &subscriptions, &all);
        prop_assert_eq!(&carried, &truth);
        if let Some(from_snapshot) = from_snapshot {
            from_snapshots.set(from_snapshots.get() + 1);
            prop_assert_eq!(&found(from_snapshot, &subscriptions, &left), &truth);
        }
        Ok(())
    });
    checked.map_err(|error| error.to_string()).map(|()| from_snapshots.get())
}

#[test]
fn a_history_after_carries_and_from_a_snapshot_is_found_as_it_was() {
    let from_snapshots = check(None).unwrap();
    assert!(from_snapshots > 100, "{from_snapshots} starts from snapshots");
}

#[test]
fn each_seeded_bug_of_carrying_what_had_to_wait_is_found() {
    for bug in [Bug::NoEntry, Bug::NoMessage] {
        assert!(check(Some(bug)).is_err(), "{bug:?} was not found");
    }
}
