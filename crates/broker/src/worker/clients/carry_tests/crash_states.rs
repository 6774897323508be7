//! Power cuts at every moment of a life of clients, with every subset of what was not synced: what a start finds is what the
//! clients had at one moment, and none of it is older than what was durable then.

use std::collections::BTreeSet;
use std::ops::AddAssign;
use std::sync::atomic::{AtomicUsize, Ordering};

use commitlog::testing::{Fate, Lie, Moment, Subset, Trace, replay_of};
use commitlog::{NewRecord, Part, USER_KIND_MIN};

use super::*;

/// Says how far the life had come: its payload is the number of the moment.
pub(super) const MARKER: u8 = USER_KIND_MIN;
const STEPS: usize = 250;
/// The life waits for the disk after so many steps, so that what is not synced grows to some sectors.
const STEPS_PER_WAIT: usize = 3;
/// Of so many sectors all subsets are tried.
const SECTORS_MAX: u32 = 10;
const TORN_PER_MOMENT: u64 = 4;
const STATES_MIN: usize = 1_000_000;
/// A number of crash states, for long runs.
const STATES: &str = "CONVOKE_CRASH_STATES";

/// What the clients had, as a start is to find it.
type Told = BTreeMap<&'static str, RecoveredClient>;

struct Recorded {
    trace: Trace,
    /// After each step.
    told: Vec<Told>,
    vacated: u64,
}

impl Recorded {
    fn new(seed: u64) -> Self {
        Self::on(seed, |_| ())
    }

    fn on(seed: u64, change: impl FnOnce(&ForgettingStorage)) -> Self {
        let mut life = Life::new(seed);
        change(&life.storage);
        let mut told = vec![Told::new()];
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
        Self { trace: life.storage.trace(), told, vacated: life.vacated }
    }

    fn check(&self, moment: &Moment<'_>, promised: usize, fate: &mut dyn Fate) -> Result<Checked, String> {
        let replay = replay_of(moment.cut(fate).handle(), options(Fault::None)).map_err(|error| error.to_string())?;
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
        let mut checked = Checked { states: 1, exact: 0, of_snapshots: usize::from(replayed.snapshot_records > 0) };
        let Some(last) = last else {
            return if promised == 0 { Ok(checked) } else { Err("nothing is left".to_owned()) };
        };
        if last < promised {
            return Err(format!("{promised} was durable, and {last} is there"));
        }
        let found: Told =
            NAMES.iter().filter_map(|name| Some((*name, comparable(again(recovery.clients.get(*name)?))))).collect();
        checked.exact = usize::from(self.compare(last, &found)?);
        Ok(checked)
    }

    /// Returns whether what was found is exactly what was said at a moment.
    fn compare(&self, last: usize, found: &Told) -> Result<bool, String> {
        let none = RecoveredClient::default();
        let mut is_exact = true;
        for name in NAMES {
            let now = found.get(name).unwrap_or(&none);
            let before = self.told[last].get(name).unwrap_or(&none);
            if now == before {
                continue;
            }
            is_exact = false;
            let after = self.told.get(last + 1).and_then(|told| told.get(name)).unwrap_or(&none);
            if now != after && !is_between(now, before, after) {
                return Err(format!("{name} after {last}: {now:?}, was {before:?}, then {after:?}"));
            }
        }
        Ok(is_exact)
    }
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
        NAMES
            .iter()
            .filter_map(|name| Some((*name, self.state_of(self.clients.find(&ClientKey::new(name))?))))
            .collect()
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Checked {
    states: usize,
    /// Of them, those that are exactly what was said at a moment.
    exact: usize,
    /// Of them, those that begin with a snapshot.
    of_snapshots: usize,
}

impl AddAssign for Checked {
    fn add_assign(&mut self, other: Self) {
        self.states += other.states;
        self.exact += other.exact;
        self.of_snapshots += other.of_snapshots;
    }
}

impl Recorded {
    /// Every subset of the sectors that are not synced with every prefix of what happened to the folder, and some in which
    /// sectors are torn.
    fn check_all_at(&self, at: usize, checked: &mut Checked) -> Result<(), String> {
        let (moment, notes) = (self.trace.moment(at), self.trace.notes_before(at));
        let promised = notes.last().map_or(0, |note| usize::try_from(*note).unwrap());
        let sectors = u32::try_from(moment.unsynced_sectors()).unwrap();
        let mut check = |fate: &mut dyn Fate, named: String| {
            *checked +=
                self.check(&moment, promised, fate).map_err(|error| format!("moment {at}, {named}: {error}"))?;
            Ok::<_, String>(())
        };
        for folder in 0..=moment.unsynced_folder_changes() {
            for bits in 0..1_u64 << sectors.min(SECTORS_MAX) {
                check(&mut Subset::new(bits, folder), format!("sectors {bits:b}, {folder} changes of the folder"))?;
            }
        }
        for seed in 0..TORN_PER_MOMENT {
            let seed = at as u64 * TORN_PER_MOMENT + seed;
            check(&mut Random::new(seed), format!("seed {seed}"))?;
        }
        Ok(())
    }

    fn check_all(&self) -> Result<Checked, String> {
        let next = AtomicUsize::new(0);
        let check_some = || {
            let mut checked = Checked::default();
            loop {
                let at = next.fetch_add(1, Ordering::Relaxed);
                if at > self.trace.ops().len() {
                    return Ok(checked);
                }
                self.check_all_at(at, &mut checked)?;
            }
        };
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let all: Vec<Result<Checked, String>> = std::thread::scope(|scope| {
            let spawned: Vec<_> = (0..threads).map(|_| scope.spawn(check_some)).collect();
            spawned.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let mut sum = Checked::default();
        for checked in all {
            sum += checked?;
        }
        Ok(sum)
    }
}

#[test]
fn whenever_the_power_is_cut_a_start_finds_what_the_clients_had() {
    let states_min = std::env::var(STATES).map_or(STATES_MIN, |states| states.parse().unwrap());
    let (mut sum, mut vacated) = (Checked::default(), 0);
    for seed in 0.. {
        if sum.states >= states_min {
            break;
        }
        let recorded = Recorded::new(seed);
        vacated += recorded.vacated;
        sum += recorded.check_all().unwrap_or_else(|error| panic!("seed {seed}, {error}"));
    }
    let Checked { states, exact, of_snapshots } = sum;
    println!(
        "{states} crash states, {exact} of them exactly as after a step, {of_snapshots} begun with a snapshot; {vacated} \
         segments were vacated"
    );
    assert!(exact > states / 4 && of_snapshots > states / 50 && vacated > 5, "{sum:?}, {vacated} vacated");
}

#[test]
fn a_disk_that_says_synced_and_has_not_is_found_out() {
    let recorded = Recorded::on(7, |storage| storage.set_lie(Lie::IgnoreSync));
    assert!(recorded.check_all().is_err());
}
