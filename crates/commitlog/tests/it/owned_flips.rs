//! The damages of `flips` in a log with owners: segments that were given back and used again, carried records, and a
//! snapshot that the start uses. Each is found, at the start or by the read of what it hit, or harmless.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use commitlog::testing::{ForgettingStorage, Nothing, Op, Random, Trace};
use commitlog::{Log, Options, ReadError};

use crate::carrying::SEGMENT;
use crate::flips::{Damage, files_of, named, wait_for_mark, written_behind};
use crate::harness::storage;
use crate::snapshots::{SNAPSHOT, change, set, tables, take_snapshot};
use crate::table::{LONG, Recovered, StartError, Values, start, try_start_at_rest, wait};

const SEED: u64 = 0x0f11b;
const DAMAGES: u64 = 100_000;
/// The key that was set last, with a record that shares no sector with another one and what comes behind it.
const LAST: (u64, u8) = (0, 200);

/// A log that is to show these values, and what it wrote last.
struct Victim {
    trace: Trace,
    files: BTreeMap<String, Vec<u8>>,
    values: Values,
    /// The record of the last key, where it stands in the last segment, and what the log wrote behind it.
    last: (String, Range<usize>, Range<usize>),
}

#[derive(Debug, Default)]
struct Outcomes {
    /// The start said no.
    refused: u64,
    /// The start did without the snapshot.
    unused: u64,
    /// The start did not read it, and whoever reads it learns it.
    found_later: u64,
    harmless: u64,
}

fn options() -> Options {
    Options { idle_mark_after: Some(Duration::ZERO), ..crate::snapshots::options() }
}

impl Victim {
    fn new(clean: bool) -> Self {
        let storage = storage();
        let (log, mut recovered) = start(&storage, &options());
        let mut tables = tables(&log, &mut recovered);
        let mut values = Values::new();
        let mut step = 0;
        let mut go_on = |tables: &mut [_], is_enough: &dyn Fn() -> bool| {
            while !is_enough() {
                change(&log, tables, step..step + 10, |key, value| set(&mut values, key, value));
                wait(&log).unwrap();
                step += 10;
            }
        };
        go_on(&mut tables, &|| *log.segments().start() >= 5);
        take_snapshot(&storage, &log, &mut tables);
        let at_snapshot = *log.segments().end();
        // Room for all that is written behind the last record.
        go_on(&mut tables, &|| *log.segments().end() > at_snapshot && log.durable().0 % SEGMENT < SEGMENT / 2);
        tables[0].set(&log, LAST.1, LONG);
        values.insert(LAST, LONG);
        let (file, record) = wait_for_mark(&storage, tables[0].name_of(LAST.1));
        if clean {
            log.close().unwrap();
        }
        let is_reuse = |op: &Op| matches!(op, Op::Rename { from, .. } if from.ends_with(".free"));
        assert!(storage.trace().ops().iter().any(is_reuse));
        storage.kill_process();
        drop((tables, log));
        storage.cut_power();
        let files = files_of(&storage);
        let behind = written_behind(&files[&file], record.end);
        let victim = Self { trace: storage.trace(), files, values, last: (file, record, behind) };
        victim.is_as_it_should();
        victim
    }

    /// Its start uses the snapshot, and what was carried, and reads records behind them.
    fn is_as_it_should(&self) {
        let Ok((log, recovered)) = try_start_at_rest(&self.copy(), &options()) else { panic!("must start") };
        assert_eq!(recovered.values(), self.values);
        let replayed = recovered.replayed;
        assert!(replayed.snapshot_records > 20 && replayed.records > replayed.snapshot_records + 10, "{replayed:?}");
        assert!(recovered.is_any_carried(&log) && recovered.is_read_from(&log));
    }

    fn copy(&self) -> ForgettingStorage {
        self.trace.cut(self.trace.ops().len(), &mut Nothing)
    }

    fn check(&self, damages: &[(&str, Damage)], outcomes: &mut Outcomes) -> Result<(), String> {
        let storage = self.copy();
        let damaged = self.damaged(damages);
        for (name, content) in &damaged {
            storage.corrupt(name, |bytes| bytes.clone_from(content)).unwrap();
        }
        let is_snapshot_whole = damaged.get(SNAPSHOT).is_none_or(|content| *content == self.files[SNAPSHOT]);
        let (log, recovered) = match try_start_at_rest(&storage, &options()) {
            Ok(started) => started,
            Err(error) => {
                outcomes.refused += 1;
                return self.refused(&storage, &damaged, &error);
            }
        };
        if !is_snapshot_whole && recovered.replayed.snapshot_records > 0 {
            return Err("a damaged snapshot is used".into());
        }
        let (last_file, record, behind) = &self.last;
        let may_lose = damages.iter().any(|(name, damage)| name == last_file && damage.took(record, behind));
        let mut shown = recovered.values();
        if may_lose {
            shown.insert(LAST, LONG);
        }
        if shown != self.values {
            return Err(format!("{:?} is lost or another", difference(&self.values, &shown)));
        }
        match self.reads(&log, &recovered, damages)? {
            _ if !is_snapshot_whole => outcomes.unused += 1,
            0 => outcomes.harmless += 1,
            _ => outcomes.found_later += 1,
        }
        Ok(())
    }

    fn damaged<'a>(&self, damages: &[(&'a str, Damage)]) -> BTreeMap<&'a str, Vec<u8>> {
        let damaged = damages.iter().map(|(name, damage)| {
            let mut content = self.files[*name].clone();
            damage.apply(&mut content);
            (*name, content)
        });
        damaged.collect()
    }

    /// Each record is read with its content, or said to be damaged, which a start that has read the whole log would have
    /// said. Returns of how many that was said.
    fn reads(&self, log: &Log, recovered: &Recovered, damages: &[(&str, Damage)]) -> Result<u64, String> {
        let mut unreadable = 0;
        for (name, payload) in recovered.records() {
            match log.read(name) {
                Ok(record) if record.payload == payload => {}
                Ok(_) => return Err(format!("{name} is read as another")),
                Err(error @ ReadError::Damaged(_)) if recovered.replayed.snapshot_records > 0 => {
                    is_named(&error.to_string(), damages.iter().map(|(file, _)| *file))?;
                    unreadable += 1;
                }
                Err(error) => return Err(format!("{name} is not read: {error}")),
            }
        }
        Ok(unreadable)
    }

    /// A start that fails names the file, one that refuses has changed nothing, and after none of them anything is lost.
    fn refused(
        &self,
        storage: &ForgettingStorage,
        damaged: &BTreeMap<&str, Vec<u8>>,
        error: &StartError,
    ) -> Result<(), String> {
        is_named(&error.to_string(), damaged.keys().copied().filter(|name| *name != SNAPSHOT))?;
        let is_kept = |name: &str| name == SNAPSHOT || name.ends_with(".segment");
        for (name, before) in self.files.iter().filter(|(name, _)| is_kept(name)) {
            let before = damaged.get(&**name).unwrap_or(before);
            if matches!(error, StartError::Open(_)) && storage.content(name).ok().as_ref() != Some(before) {
                return Err(format!("{name} was changed by a start that refused: {error}"));
            }
        }
        storage.kill_process();
        for name in damaged.keys() {
            let mended = storage.corrupt(name, |bytes| bytes.clone_from(&self.files[*name]));
            mended.map_err(|gone| format!("{name}: {gone}"))?;
        }
        match try_start_at_rest(storage, &options()) {
            Ok((log, recovered)) if recovered.values() == self.values && recovered.is_read_from(&log) => Ok(()),
            Ok(_) => Err("mended, and not all is there".into()),
            Err(error) => Err(format!("mended: {error}")),
        }
    }

    /// One file is damaged, and now and then the snapshot with it.
    fn draw(&self, seed: u64) -> Vec<(&str, Damage)> {
        let mut random = Random::new(SEED ^ seed << 20);
        let names: Vec<_> = self.files.iter().filter(|(_, bytes)| !bytes.is_empty()).map(|(name, _)| &**name).collect();
        let first = names[random.below(names.len())];
        let with_snapshot = (random.below(4) == 0 && first != SNAPSHOT).then_some(SNAPSHOT);
        let hit = [Some(first), with_snapshot].into_iter().flatten();
        hit.map(|name| (name, Damage::draw(&mut random, self.files[name].len()))).collect()
    }
}

fn is_named<'a>(error: &str, mut files: impl Iterator<Item = &'a str>) -> Result<(), String> {
    let named = files.find(|file| named(error, file).is_ok());
    named.map(drop).ok_or_else(|| format!("the file is not named: {error}"))
}

fn difference(expected: &Values, shown: &Values) -> Vec<(u64, u8)> {
    let keys = expected.keys().chain(shown.keys());
    keys.filter(|key| expected.get(key) != shown.get(key)).copied().collect()
}

fn damage_all(victim: &Victim, seeds: Range<u64>) -> Outcomes {
    let mut outcomes = Outcomes::default();
    for seed in seeds {
        let damages = victim.draw(seed);
        let checked = victim.check(&damages, &mut outcomes);
        checked.unwrap_or_else(|error| panic!("seed {seed}, {damages:?}: {error}"));
    }
    outcomes
}

#[test]
fn a_hundred_thousand_damages_of_a_log_with_owners_and_of_its_snapshot_are_found_or_harmless() {
    let outcomes: Vec<_> = std::thread::scope(|scope| {
        let halves = [(false, 0..DAMAGES / 2), (true, DAMAGES / 2..DAMAGES)];
        let running = halves.map(|(clean, seeds)| scope.spawn(move || damage_all(&Victim::new(clean), seeds)));
        running.map(|half| half.join().unwrap()).into()
    });
    println!("{outcomes:?}");
    for Outcomes { refused, unused, found_later, harmless } in outcomes {
        assert!(refused.min(unused).min(found_later).min(harmless) > 500);
    }
}
