//! Power cuts at every moment of random lives of topics and groups, on a small log that gives its old segments back and has
//! snapshots, with every subset of what was not synced: what a start finds is what there was at one moment, and none of it is
//! older than what was durable then.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

mod life;
mod told;

use std::ops::AddAssign;
use std::time::Instant;

use clock::testing::TestMachine;
use commitlog::Fault;
use commitlog::testing::{CheckedStates, CrashStates, ForgettingStorage, Lie, Trace, open_at_rest};

use self::life::{Life, MARKER, engine_options, options};
use self::told::{Held, RecentIds, Told};
use super::Recovery;
use crate::records::kind;

const STEPS: u64 = 400;
/// The life waits for the disk after so many steps, so that what is not synced grows to some sectors.
const STEPS_PER_WAIT: u64 = 3;
/// Of one step in so many all messages are read, which takes its time.
const STEPS_PER_READ: u64 = 8;
const CRASH_STATES: CrashStates = CrashStates { sectors_max: 6, torn_per_moment: 2 };
const STATES_MIN: usize = 100_000;
const LIVES_MAX: u64 = 100_000;
/// A number of crash states, for long runs.
const STATES: &str = "CONVOKE_CRASH_STATES";

struct Recorded {
    trace: Trace,
    /// After each step.
    told: Vec<Told>,
    /// After each step, the messages that came a short while ago, by their senders' ids.
    ids: Vec<RecentIds>,
    /// What time it was then.
    times_ms: Vec<u64>,
    lived: Lived,
}

/// What happened in a life.
#[derive(Clone, Copy, Debug, Default)]
struct Lived {
    reclaimed: u64,
    dead_letters: usize,
    /// Messages that were handed out more than once.
    tried_again: usize,
    /// Acknowledgements in units of others.
    atomic_acks: usize,
    /// Hand-outs of messages that had a delivery time.
    delayed: usize,
    recalled: usize,
    /// Hand-outs of messages of groups.
    ordered: usize,
    /// Messages that were sent again under their ids.
    sent_again: usize,
    /// Messages that a consumer gave up before their attempts were over.
    given_up: usize,
}

impl Recorded {
    fn new(seed: u64) -> Self {
        Self::with(Life::new(seed, Fault::None))
    }

    fn with(mut life: Life) -> Self {
        let (mut told, mut ids) = (vec![life.told()], vec![life.recent_ids()]);
        let mut times_ms = vec![life.machine.true_ms()];
        life.mark(0);
        for n in 1..=STEPS {
            life.step(n);
            told.push(life.told());
            ids.push(life.recent_ids());
            times_ms.push(life.machine.true_ms());
            let end = life.mark(n);
            life.keep_space();
            if n % STEPS_PER_WAIT == 0 {
                life.wait_durable(end);
                life.storage.note(n);
            }
        }
        Self { trace: life.storage.trace(), told, ids, times_ms, lived: life.lived() }
    }

    fn check_all(&self, states: CrashStates) -> Result<CheckedStates, String> {
        states.check(&self.trace, |storage, noted| self.check(storage, noted.unwrap_or(0)))
    }

    /// Starts from what is left.
    fn check(&self, storage: &ForgettingStorage, promised: u64) -> Result<CheckedStates, String> {
        let opened = open_at_rest(storage.handle(), options(Fault::None));
        let (log, replay) = opened.map_err(|error| error.to_string())?;
        let (mut recovery, mut last) = {
            let machine = TestMachine::at(self.times_ms[usize::try_from(promised).unwrap()]);
            (Recovery::new(engine_options(&machine)), None)
        };
        let replayed = replay.run(|record| {
            if record.kind == MARKER {
                last = Some(u64::from_le_bytes(record.payload.try_into().unwrap()));
            }
            recovery.apply(record)
        });
        let replayed = replayed.map_err(|error| error.to_string())?;
        let mut checked =
            CheckedStates { states: 1, exact: 0, of_snapshots: usize::from(replayed.snapshot_records > 0) };
        let Some(last) = last else {
            return if promised == 0 { Ok(checked) } else { Err("nothing is left".to_owned()) };
        };
        if last < promised {
            return Err(format!("{promised} was durable, and {last} is there"));
        }
        let mut core = recovery.into_core();
        core.remove_all_consumed();
        let ids = told::recent_ids(&core);
        let (last_step, mut known) = (usize::try_from(last).unwrap(), self.ids[usize::try_from(last).unwrap()].iter());
        // What the next step has taken out may be out.
        let next = |id| self.ids.get(last_step + 1).is_none_or(|next| next.contains_key(id));
        if let Some((id, message)) = known.find(|(id, message)| ids.get(id) != Some(message) && next(*id)) {
            return Err(format!("after {last}: {id:?} was known for {message}, is for {:?}", ids.get(id)));
        }
        let found = Told::of(core.groups()).and_topics_of(&core, &[], &Held::new());
        checked.exact = usize::from(self.compare(last, &found)?);
        if last.is_multiple_of(STEPS_PER_READ) {
            let read = |name| log.read(name).map_err(|error| format!("what waits cannot be read: {error}"));
            found.messages().try_for_each(|name| read(name).map(drop))?;
        }
        Ok(checked)
    }

    /// Returns whether what was found is exactly what there was after a step.
    fn compare(&self, last: u64, found: &Told) -> Result<bool, String> {
        let last = usize::try_from(last).unwrap();
        let before = &self.told[last];
        if found == before {
            return Ok(true);
        }
        match self.told.get(last + 1) {
            Some(after) if found == after || found.is_between(before, after) => Ok(false),
            after => Err(format!("after {last}: {found:?}, was {before:?}, then {after:?}")),
        }
    }
}

impl Lived {
    /// Whether of everything enough has happened.
    fn is_varied(&self) -> bool {
        let Self {
            reclaimed,
            dead_letters,
            tried_again,
            atomic_acks,
            delayed,
            recalled,
            ordered,
            sent_again,
            given_up,
        } = *self;
        reclaimed > 5
            && [dead_letters, atomic_acks, recalled, sent_again, given_up].iter().all(|count| *count > 5)
            && [tried_again, delayed, ordered].iter().all(|count| *count > 20)
    }
}

impl AddAssign for Lived {
    fn add_assign(&mut self, other: Self) {
        self.reclaimed += other.reclaimed;
        self.dead_letters += other.dead_letters;
        self.tried_again += other.tried_again;
        self.atomic_acks += other.atomic_acks;
        self.delayed += other.delayed;
        self.recalled += other.recalled;
        self.ordered += other.ordered;
        self.sent_again += other.sent_again;
        self.given_up += other.given_up;
    }
}

#[test]
fn whenever_the_power_is_cut_a_start_finds_what_the_groups_had() {
    let states_min = std::env::var(STATES).map_or(STATES_MIN, |states| states.parse().unwrap());
    let began = Instant::now();
    let (mut sum, mut lived) = (CheckedStates::default(), Lived::default());
    for seed in 0.. {
        assert!(seed < LIVES_MAX, "so many lives, and not everything has happened: {lived:?}");
        if sum.states >= states_min && lived.is_varied() {
            break;
        }
        let recorded = Recorded::new(seed);
        lived += recorded.lived;
        sum += recorded.check_all(CRASH_STATES).unwrap_or_else(|error| panic!("seed {seed}, {error}"));
        eprintln!("life {seed}: {} of {states_min} crash states, {} s", sum.states, began.elapsed().as_secs());
    }
    let CheckedStates { states, exact, of_snapshots } = sum;
    let Lived { reclaimed, dead_letters, tried_again, atomic_acks, delayed, recalled, ordered, sent_again, given_up } =
        lived;
    println!(
        "found: {states} crash states of groups, none illegal: {exact} exactly as after a step, {of_snapshots} begun with a \
         snapshot; {reclaimed} segments were given back, {tried_again} messages were tried again, {dead_letters} came to the \
         dead letters, {atomic_acks} were acknowledged with a record of another part, {delayed} were handed out after their time, {recalled} recalled, {ordered} in the order of their groups, {sent_again} sent again under their ids, {given_up} given up"
    );
    assert!(exact > states / 2 && of_snapshots > states / 50, "{sum:?}");
}

/// Seeded bugs of the log. What each does first is random.
const BUGS: [Fault; 8] = [
    Fault::ForgetsCopies,
    Fault::CopiesLate,
    Fault::BeginsEarly,
    Fault::VacatesUnasked,
    Fault::SnapshotForgets { kind: kind::CURSOR },
    Fault::SnapshotForgets { kind: kind::HAND_OUT },
    Fault::SnapshotForgets { kind: kind::ID_SEEN_OF_SENDER },
    Fault::SnapshotForgets { kind: kind::INDEXED_WITH_MORE },
];
const FEW_CRASH_STATES: CrashStates = CrashStates { sectors_max: 1, torn_per_moment: 0 };

#[test]
fn each_seeded_bug_of_carry_reclaim_and_snapshot_is_found() {
    for fault in BUGS {
        let find = |seed| Recorded::with(Life::new(seed, fault)).check_all(FEW_CRASH_STATES).err();
        let found = (0..8).find_map(find).unwrap_or_else(|| panic!("{fault:?} was not found"));
        println!("{fault:?}: {}", found.get(..80).unwrap_or(&found));
    }
}

#[test]
fn a_disk_that_says_synced_and_has_not_is_found_out() {
    let life = Life::new(7, Fault::None);
    life.storage.set_lie(Lie::IgnoreSync);
    assert!(Recorded::with(life).check_all(FEW_CRASH_STATES).is_err());
}
