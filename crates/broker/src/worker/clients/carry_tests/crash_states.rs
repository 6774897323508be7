//! Power cuts at every moment of a life of clients, with every subset of what was not synced: what a start finds is what the
//! clients had at one moment, and none of it is older than what was durable then.

use std::collections::BTreeSet;

use commitlog::testing::{CheckedStates, CrashStates, Lie, Trace, open_at_rest};
use commitlog::{NewRecord, Part, USER_KIND_MIN};

use super::*;

/// Says how far the life had come: its payload is the number of the moment.
pub(super) const MARKER: u8 = USER_KIND_MIN;
const STEPS: usize = 250;
/// The life waits for the disk after so many steps, so that what is not synced grows to some sectors.
const STEPS_PER_WAIT: usize = 3;
/// Of one step in so many all messages are read, which takes its time. In a long run they are read after each.
const STEPS_PER_READ: usize = 8;
const CRASH_STATES: CrashStates = CrashStates { sectors_max: 10, torn_per_moment: 4 };
/// Five lives; `make soak` looks at millions.
const STATES_MIN: usize = 200_000;
/// In so many lives each kind of end is found.
const LIVES_OF_EACH: usize = 4;
/// A number of crash states, for long runs.
const STATES: &str = "CONVOKE_CRASH_STATES";

/// What the clients had at one moment, as a start is to find it.
#[derive(Default)]
struct Told {
    at_ms: u64,
    clients: BTreeMap<&'static str, RecoveredClient>,
}

struct Recorded {
    trace: Trace,
    /// After each step.
    told: Vec<Told>,
    vacated: u64,
    ends: Ends,
    steps_per_read: usize,
}

impl Recorded {
    fn new(seed: u64) -> Self {
        Self::on(seed, |_| ())
    }

    fn on(seed: u64, change: impl FnOnce(&ForgettingStorage)) -> Self {
        let mut life = Life::new(seed);
        change(&life.storage);
        let mut told = vec![Told::default()];
        life.mark(0);
        for n in 1..=STEPS {
            life.step();
            life.flush();
            told.push(life.told());
            let end = life.mark(n as u64);
            if n % STEPS_PER_WAIT == 0 {
                life.log.wait_durable(end).unwrap();
                life.storage.note(n as u64);
            }
        }
        Self {
            trace: life.storage.trace(),
            told,
            vacated: life.vacated,
            ends: life.ends,
            steps_per_read: STEPS_PER_READ,
        }
    }

    fn check(&self, storage: &ForgettingStorage, noted: Option<u64>) -> Result<CheckedStates, String> {
        let promised = noted.map_or(0, |note| usize::try_from(note).unwrap());
        let opened = open_at_rest(storage.handle(), options(Fault::None));
        let (log, replay) = opened.map_err(|error| error.to_string())?;
        let (mut recovery, mut last) = (Recovery::new(), None);
        let replayed = replay
            .run(|record| {
                if record.kind == MARKER {
                    // A snapshot says it too.
                    let n = u64::from_le_bytes(record.payload.try_into().unwrap());
                    last = last.max(Some(usize::try_from(n).unwrap()));
                }
                recovery.apply(record)
            })
            .map_err(|error| error.to_string())?;
        let mut checked =
            CheckedStates { states: 1, exact: 0, of_snapshots: usize::from(replayed.snapshot_records > 0) };
        let Some(last) = last else {
            return if promised == 0 { Ok(checked) } else { Err("nothing is left".to_owned()) };
        };
        if last < promised {
            return Err(format!("{promised} was durable, and {last} is there"));
        }
        checked.exact = usize::from(self.compare(last, &recovery)?);
        if last.is_multiple_of(self.steps_per_read) {
            recovery.clients.values().try_for_each(|client| check_readable(&log, client))?;
        }
        Ok(checked)
    }

    fn check_all(&self) -> Result<CheckedStates, String> {
        CRASH_STATES.check(&self.trace, |storage, noted| self.check(storage, noted))
    }

    /// Returns whether what was found is exactly what was said at a moment.
    fn compare(&self, last: usize, recovery: &Recovery) -> Result<bool, String> {
        let none = RecoveredClient::default();
        let (told, then) = (&self.told[last], self.told.get(last + 1));
        let mut is_exact = true;
        for name in NAMES {
            let found_at = |at_ms| {
                let found = recovery.clients.get(name).map(|client| comparable(again(client), at_ms));
                found.unwrap_or_default()
            };
            let (now, before) = (found_at(told.at_ms), told.clients.get(name).unwrap_or(&none));
            if now == *before {
                continue;
            }
            is_exact = false;
            let after = then.and_then(|then| then.clients.get(name)).unwrap_or(&none);
            let is_after = then.is_some_and(|then| found_at(then.at_ms) == *after);
            if !is_after && !is_between(&now, before, after) {
                return Err(format!("{name} after {last}: {now:?}, was {before:?}, then {after:?}"));
            }
        }
        Ok(is_exact)
    }
}

/// Whatever waits can be read.
fn check_readable(log: &Log, client: &RecoveredClient) -> Result<(), String> {
    let messages = Messages::new(log.clone());
    client.entries.iter().try_for_each(|(message, _)| {
        messages.read(message).map(drop).map_err(|error| format!("what waits cannot be read: {error}"))
    })
}

/// Some of the units of a step are there.
fn is_between(now: &RecoveredClient, before: &RecoveredClient, after: &RecoveredClient) -> bool {
    let entries = |client: &RecoveredClient| client.entries.iter().map(|(name, _)| name).collect::<BTreeSet<_>>();
    let (now_has, had, has) = (entries(now), entries(before), entries(after));
    let keeps = had.intersection(&has).all(|entry| now_has.contains(entry));
    let invents = now_has.iter().any(|entry| !had.contains(entry) && !has.contains(entry));
    // A step that ends a session says before that the client has gone.
    let account = |client: &RecoveredClient| client.session.as_ref().map(|session| session.account.clone());
    let is_one = account(now) == account(before) || account(now) == account(after);
    keeps && !invents && is_one
}

impl Life {
    /// Returns where it ends.
    fn mark(&mut self, n: u64) -> Position {
        let payload = n.to_le_bytes();
        let parts = [Part::Bytes(&payload)];
        loop {
            match self.log.append(Need::Essential, &[NewRecord::new(MARKER, 0, &parts)]) {
                Ok(appended) => {
                    self.marked = n;
                    return appended.end;
                }
                Err(error) => assert_eq!(error, AppendError::Busy),
            }
            std::thread::yield_now();
            self.carry();
        }
    }

    fn told(&self) -> Told {
        let state_of = |name: &&'static str| Some((*name, self.state_of(self.clients.find(&ClientKey::new(name))?)));
        Told { at_ms: self.now.ms, clients: NAMES.iter().filter_map(state_of).collect() }
    }
}

#[test]
fn whenever_the_power_is_cut_a_start_finds_what_the_clients_had() {
    let states_min = std::env::var(STATES).map_or(STATES_MIN, |states| states.parse().unwrap());
    let began = Instant::now();
    let (mut sum, mut vacated, mut ends) = (CheckedStates::default(), 0, Vec::new());
    for seed in 0.. {
        if sum.states >= states_min {
            break;
        }
        let mut recorded = Recorded::new(seed);
        if states_min > STATES_MIN {
            recorded.steps_per_read = 1;
        }
        vacated += recorded.vacated;
        ends.push(recorded.ends);
        sum += recorded.check_all().unwrap_or_else(|error| panic!("seed {seed}, {error}"));
        eprintln!("life {seed}: {} of {states_min} crash states, {} s", sum.states, began.elapsed().as_secs());
    }
    let (lives, ends) = (ends.len(), Ends::all_of(ends));
    let CheckedStates { states, exact, of_snapshots } = sum;
    println!(
        "found: {states} crash states of clients, none illegal: {exact} exactly as after a step, {of_snapshots} begun with a \
         snapshot; {vacated} segments were vacated; {ends:?}"
    );
    assert!(ends.has_each() || lives < LIVES_OF_EACH, "{ends:?}");
    assert!(exact > states / 4 && of_snapshots > states / 1_000 && vacated > 0, "{sum:?}, {vacated} vacated");
}

#[test]
fn a_disk_that_says_synced_and_has_not_is_found_out() {
    let recorded = Recorded::on(7, |storage| storage.set_lie(Lie::IgnoreSync));
    assert!(recorded.check_all().is_err());
}
