//! Snapshots: a start shows them and then the log from their place on, and it is the same as if it had read all of it.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use commitlog::testing::{Everything, Fate, ForgettingStorage, Nothing, Op, Random, SECTOR, Trace};
use commitlog::{Fault, Log, Need, NewRecord, Options, Part, ReadError, SnapshotError, SyncMode};

use crate::harness::{KIND, append_durably, small, storage, wait_until_prepared};
use crate::table::{Recovered, Table, Values, start, try_start_at_rest, wait};

const SEGMENT: u64 = 16 << 10;
pub(crate) const SNAPSHOT: &str = "snapshot";
const FIRST: &str = "00000000000000000001.segment";
const DAMAGES: u64 = 12_000;

pub(crate) fn options() -> Options {
    Options { owners: 2, reclaim_above: 4 * SEGMENT, snapshot_every: None, ..small() }
}

/// Gives no segment back.
fn growing() -> Options {
    Options { reclaim_above: 1 << 40, ..options() }
}

pub(crate) fn tables(log: &Log, recovered: &mut Recovered) -> [Table; 2] {
    [recovered.table(log, 0), recovered.table(log, 1)]
}

fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_micros(100));
    }
}

fn snapshots_in(ops: &[Op]) -> usize {
    ops.iter().filter(|op| matches!(op, Op::Rename { to, .. } if to == SNAPSHOT)).count()
}

/// Snapshots that were written, name and all.
fn written(storage: &ForgettingStorage) -> usize {
    let trace = storage.trace();
    let last_sync = trace.ops().iter().rposition(|op| *op == Op::SyncFolder).unwrap_or(0);
    snapshots_in(&trace.ops()[..last_sync])
}

/// Takes one snapshot, to its end.
pub(crate) fn take_snapshot(storage: &ForgettingStorage, log: &Log, tables: &mut [Table]) {
    let before = written(storage);
    wait_for("snapshot", || {
        // The one before may not have ended.
        assert!(log.request_snapshot());
        tables.iter_mut().for_each(|table| table.turn(log));
        written(storage) > before
    });
}

/// Sets and removes keys of both tables, and notes each value as it is appended.
pub(crate) fn change(
    log: &Log,
    tables: &mut [Table],
    steps: std::ops::Range<u32>,
    mut appended: impl FnMut((u64, u8), u8),
) {
    for step in steps {
        let table = (step % 2) as usize;
        // Some keys stay as they are until they have been carried.
        let key = if step % 16 == 7 { 100 + step / 16 % 40 } else { step * 7 % 23 } as u8;
        let value = if step % 5 == 0 { 0 } else { (step % 250) as u8 + 1 };
        tables[table].set(log, key, value);
        appended((table as u64, key), value);
        tables.iter_mut().for_each(|table| table.turn(log));
    }
}

pub(crate) fn set(values: &mut Values, key: (u64, u8), value: u8) {
    match value {
        0 => values.remove(&key),
        value => values.insert(key, value),
    };
}

/// A log that begins with this segment or a later one, with a snapshot and records behind it; and what it holds.
fn log_with_snapshot(options: &Options, begin: u64) -> (ForgettingStorage, Values) {
    let storage = storage();
    let (log, mut recovered) = start(&storage, options);
    let mut tables = tables(&log, &mut recovered);
    let mut values = Values::new();
    let mut step = 0;
    while step < 300 || *log.segments().start() < begin {
        change(&log, &mut tables, step..step + 10, |key, value| set(&mut values, key, value));
        wait(&log).unwrap();
        step += 10;
    }
    take_snapshot(&storage, &log, &mut tables);
    change(&log, &mut tables, step..step + 30, |key, value| set(&mut values, key, value));
    wait(&log).unwrap();
    storage.cut_power();
    drop((tables, log));
    (storage, values)
}

#[test]
fn a_start_shows_the_snapshot_and_then_the_log_from_its_place_on() {
    let (storage, values) = log_with_snapshot(&growing(), 1);
    let (log, recovered) = start(&storage, &growing());
    let replayed = recovered.replayed;
    assert!(replayed.snapshot_records > 20 && replayed.records < replayed.snapshot_records + 50, "{replayed:?}");
    assert_eq!(recovered.values(), values);
    assert!(recovered.is_read_from(&log));
}

/// Also where copies stand below its place alone.
#[test]
fn what_was_carried_before_a_snapshot_is_read_by_its_name() {
    let (storage, values) = log_with_snapshot(&options(), 5);
    let (log, recovered) = start(&storage, &options());
    assert!(recovered.is_any_carried(&log));
    assert!(recovered.replayed.snapshot_records > 0);
    assert_eq!(recovered.values(), values);
    assert!(recovered.is_read_from(&log));
}

#[test]
fn what_lies_below_a_snapshot_is_not_read_at_the_start_and_still_checked_when_it_is() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &growing());
    let mut tables = tables(&log, &mut recovered);
    let name = append_durably(&log, b"ab");
    change(&log, &mut tables, 0..200, |_, _| {});
    take_snapshot(&storage, &log, &mut tables);
    storage.cut_power();
    drop((tables, log));
    let offset = usize::try_from(name.0 % SEGMENT).unwrap();
    storage.corrupt(FIRST, |bytes| bytes[offset + 40] ^= 1).unwrap();
    let (log, recovered) = start(&storage, &growing());
    assert!(recovered.replayed.snapshot_records > 0);
    assert!(matches!(log.read(name), Err(ReadError::Damaged(_))));
}

/// The log as it was at each append, and the trace of what was written for it.
struct History {
    trace: Trace,
    /// After so many appends.
    states: Vec<Values>,
    options: Options,
}

impl History {
    fn play(options: Options, rounds: u32) -> Self {
        let storage = storage();
        let (log, mut recovered) = start(&storage, &options);
        let mut tables = tables(&log, &mut recovered);
        let mut states = vec![Values::new()];
        for round in 0..rounds {
            let mut append = |key, value| {
                let mut values = states.last().cloned().unwrap();
                set(&mut values, key, value);
                states.push(values);
            };
            assert!(log.request_snapshot());
            for step in (round * 60..round * 60 + 60).step_by(6) {
                change(&log, &mut tables, step..step + 6, &mut append);
                std::thread::yield_now();
            }
            if round % 3 == 0 {
                wait(&log).unwrap();
                storage.note(states.len() as u64 - 1);
            }
        }
        wait_for("snapshot", || {
            tables.iter_mut().for_each(|table| table.turn(&log));
            written(&storage) > 0 && !tables.iter().any(Table::is_dumping)
        });
        assert!(*log.segments().start() > 2);
        let trace = storage.trace();
        storage.cut_power();
        drop((tables, log));
        Self { trace, states, options }
    }

    /// Crashes at this moment. Returns whether a snapshot was used, or what is wrong.
    fn check(&self, at: usize, fate: &mut dyn Fate) -> Result<bool, String> {
        let storage = self.trace.cut(at, fate);
        let has_snapshot = storage.content(SNAPSHOT).is_ok();
        let (log, recovered) = start(&storage, &self.options);
        let is_used = recovered.replayed.snapshot_records > 0;
        if has_snapshot && storage.content(SNAPSHOT).is_err() {
            return Err("the snapshot was ahead of the log".to_owned());
        }
        let values = recovered.values();
        let promised = match self.options.sync {
            SyncMode::Always => self.trace.notes_before(at).into_iter().max().unwrap_or(0),
            SyncMode::Os => 0,
        };
        if !self.states[usize::try_from(promised).unwrap()..].contains(&values) {
            return Err(format!("no state of the log from append {promised} on"));
        }
        if !recovered.is_read_from(&log) {
            return Err("a value is not read by its name".to_owned());
        }
        drop(log);
        if is_used && values != self.values_of_whole_log(&storage) {
            return Err("the whole log says something else".to_owned());
        }
        Ok(is_used)
    }

    fn values_of_whole_log(&self, storage: &ForgettingStorage) -> Values {
        storage.kill_process();
        storage.handle().remove(SNAPSHOT).unwrap();
        start(storage, &self.options).1.values()
    }
}

#[test]
fn at_every_moment_a_crash_leaves_a_snapshot_that_changes_nothing_or_none() {
    crash_at_every_moment(SyncMode::Always);
}

#[test]
fn it_does_where_the_system_syncs_when_it_likes() {
    crash_at_every_moment(SyncMode::Os);
}

fn crash_at_every_moment(sync: SyncMode) {
    let history = History::play(Options { sync, ..options() }, 16);
    let (mut used, mut unused) = (0, 0);
    for at in 0..=history.trace.ops().len() {
        let mut fates: Vec<Box<dyn Fate>> = vec![Box::new(Everything), Box::new(Nothing)];
        fates.push(Box::new(Random::new(at as u64)));
        for (n, mut fate) in fates.into_iter().enumerate() {
            match history.check(at, &mut *fate) {
                Ok(true) => used += 1,
                Ok(false) => unused += 1,
                Err(error) => panic!("{sync:?}, moment {at}, fate {n}: {error}"),
            }
        }
    }
    println!("{sync:?}: {used} starts with a snapshot, {unused} without");
    assert!(used > 200 && unused > 50, "{used} with, {unused} without");
}

#[test]
fn a_seeded_snapshot_that_is_ahead_of_the_log_is_found_by_what_a_power_cut_leaves() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &Options { fault: Fault::SnapshotAhead, ..growing() });
    let mut tables = tables(&log, &mut recovered);
    change(&log, &mut tables, 0..40, |_, _| {});
    wait(&log).unwrap();
    let (go_on, wait_until_held) = hold_writer(&log);
    tables[0].set(&log, 1, 111);
    wait_until_held.recv().unwrap();
    assert!(log.request_snapshot());
    tables[0].set(&log, 1, 112);
    wait_for("snapshot", || {
        tables.iter_mut().for_each(|table| table.turn(&log));
        written(&storage) == 1
    });
    storage.cut_power();
    drop(go_on);
    drop((tables, log));
    let (log, recovered) = start(&storage, &growing());
    let from_snapshot = recovered.values();
    drop(log);
    storage.kill_process();
    storage.handle().remove(SNAPSHOT).unwrap();
    let from_log = start(&storage, &growing()).1.values();
    assert_eq!((from_snapshot[&(0, 1)], from_log[&(0, 1)]), (112, 111), "the log has lost what the snapshot says");
}

/// A watcher that does not return until the sender is dropped holds the writer; the receiver tells when it does.
fn hold_writer(log: &Log) -> (mpsc::Sender<()>, mpsc::Receiver<()>) {
    let (go_on, wait_to_go_on) = mpsc::channel::<()>();
    let (is_held, wait_until_held) = mpsc::channel();
    let wait_to_go_on = Mutex::new(wait_to_go_on);
    log.watch(Box::new(move |_| {
        let _ = is_held.send(());
        let _ = wait_to_go_on.lock().unwrap().recv();
    }));
    (go_on, wait_until_held)
}

/// What is not durable when the last owner finishes must be before the snapshot counts.
#[test]
fn a_snapshot_waits_for_the_log_to_be_durable_up_to_its_newest_state() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &growing());
    let mut tables = tables(&log, &mut recovered);
    change(&log, &mut tables, 0..40, |_, _| {});
    wait(&log).unwrap();
    let (go_on, wait_until_held) = hold_writer(&log);
    tables[0].set(&log, 1, 111);
    wait_until_held.recv().unwrap();
    tables[0].set(&log, 1, 112);
    assert!(log.request_snapshot());
    wait_for("all dumped", || {
        tables.iter_mut().for_each(|table| table.turn(&log));
        storage.content("snapshot.new").is_ok_and(|content| content.len() > 1000)
    });
    // Time for one that does not wait.
    std::thread::sleep(Duration::from_millis(50));
    assert_eq!(written(&storage), 0);
    drop(go_on);
    wait_for("snapshot", || written(&storage) == 1);
    storage.cut_power();
    drop((tables, log));
    let (_log, recovered) = start(&storage, &growing());
    assert!(recovered.replayed.snapshot_records > 0);
    assert_eq!(recovered.values()[&(0, 1)], 112);
}

#[test]
fn twelve_thousand_damages_of_a_snapshot_are_found_and_cost_only_the_time_to_read_the_log() {
    let (storage, values) = log_with_snapshot(&growing(), 1);
    let trace = storage.trace();
    let whole = storage.content(SNAPSHOT).unwrap();
    let mut found = 0;
    for seed in 0..DAMAGES {
        let mut random = Random::new(seed << 8);
        let mut damaged = whole.clone();
        let at = random.below(whole.len());
        match random.below(8) {
            0 => damaged.truncate(at),
            1 => damaged[at / SECTOR * SECTOR..].iter_mut().take(SECTOR).for_each(|byte| *byte = 0),
            2 => damaged.extend_from_slice(&whole[at..]),
            _ => damaged[at] ^= 1 << random.below(8),
        }
        if damaged == whole {
            continue;
        }
        let storage = trace.cut(trace.ops().len(), &mut Nothing);
        storage.corrupt(SNAPSHOT, |bytes| *bytes = damaged).unwrap();
        let (_log, recovered) = start(&storage, &growing());
        assert_eq!(recovered.replayed.snapshot_records, 0, "seed {seed}: not found");
        assert_eq!(recovered.values(), values, "seed {seed}");
        storage.kill_process();
        found += 1;
    }
    assert!(found > 10_000, "{found}");
}

#[test]
fn whichever_call_of_a_snapshot_fails_the_log_goes_on_and_the_next_one_is_written() {
    let kinds = [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::PermissionDenied];
    let mut injected = 0;
    for after in 0.. {
        let storage = storage();
        let (log, mut recovered) = start(&storage, &growing());
        let mut tables = tables(&log, &mut recovered);
        let mut values = Values::new();
        change(&log, &mut tables, 0..40, |key, value| set(&mut values, key, value));
        wait(&log).unwrap();
        wait_until_prepared(&storage);
        wait_for("third segment", || storage.content("00000000000000000003.segment").is_ok());
        storage.fail_any(after, kinds[usize::try_from(after).unwrap() % kinds.len()]);
        assert!(log.request_snapshot());
        wait_for("end of the snapshot", || {
            tables.iter_mut().for_each(|table| table.turn(&log));
            storage.counts().injected > 0 || written(&storage) > 0
        });
        if storage.counts().injected == 0 {
            break;
        }
        injected += 1;
        change(&log, &mut tables, 40..60, |key, value| set(&mut values, key, value));
        wait(&log).unwrap();
        take_snapshot(&storage, &log, &mut tables);
        storage.cut_power();
        drop((tables, log));
        let (_log, recovered) = start(&storage, &growing());
        assert!(recovered.replayed.snapshot_records > 0, "call {after}");
        assert_eq!(recovered.values(), values, "call {after}");
    }
    assert!(injected >= 7, "{injected}: create, writes, sync, rename, sync of the folder");
}

#[test]
fn a_snapshot_is_given_up_when_an_owner_does_not_finish_or_leaves() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &growing());
    let [mut first, mut second] = tables(&log, &mut recovered);
    assert!(log.request_snapshot());
    first.turn(&log);
    let mut section = second.owner.snapshot_wanted().unwrap();
    assert!(second.owner.snapshot_wanted().is_none(), "once");
    section.push(&[NewRecord::new(KIND, 1, &[])]).unwrap();
    drop(section);
    let mut next = None;
    wait_for("the next", || {
        assert!(log.request_snapshot());
        next = first.owner.snapshot_wanted();
        next.is_some()
    });
    drop(second);
    let refused = next.unwrap().push(&[NewRecord::new(KIND, 0, &[])]);
    assert_eq!(refused, Err(SnapshotError::GivenUp));
    wait_for("none", || !log.request_snapshot());
    assert_eq!(written(&storage), 0);
}

#[test]
fn a_push_is_refused_while_a_megabyte_waits_for_the_disk() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &Options { append_bytes_max: 8 << 10, ..growing() });
    let mut tables = tables(&log, &mut recovered);
    wait_until_prepared(&storage);
    wait_for("third segment", || storage.content("00000000000000000003.segment").is_ok());
    assert!(log.request_snapshot());
    storage.hold_syncs();
    let parts = [Part::Bytes(&[7; 8000])];
    let record = NewRecord::new(KIND, 0, &parts);
    let mut section = tables[0].owner.snapshot_wanted().unwrap();
    let (mut pushed, mut refused) = (0, 0);
    while refused < 1000 {
        match section.push(&[record]) {
            Ok(()) => pushed += 1,
            Err(error) => {
                assert_eq!(error, SnapshotError::Busy);
                refused += 1;
                std::thread::sleep(Duration::from_micros(10));
            }
        }
    }
    assert!(pushed * 8000 < 11 << 20, "{pushed}");
    storage.release_syncs();
    wait_for("room", || section.push(&[record]).is_ok());
    let too_large = [Part::Bytes(&[7; 9000])];
    assert!(matches!(section.push(&[NewRecord::new(KIND, 0, &too_large)]), Err(SnapshotError::Invalid(_))));
    assert!(matches!(section.push(&[NewRecord::new(0x1f, 0, &[])]), Err(SnapshotError::Invalid(_))));
    let to_itself = [Part::PositionOf(0)];
    assert!(matches!(section.push(&[NewRecord::new(KIND, 0, &to_itself)]), Err(SnapshotError::Invalid(_))));
}

#[test]
fn a_clean_stop_writes_the_snapshot_that_all_owners_have_finished() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &growing());
    let mut tables = tables(&log, &mut recovered);
    change(&log, &mut tables, 0..200, |_, _| {});
    assert!(log.request_snapshot());
    wait_for("all dumped", || {
        tables.iter_mut().for_each(|table| table.turn(&log));
        tables.iter().all(|table| !table.is_dumping())
    });
    tables[0].set(&log, 1, 99);
    drop(tables);
    log.close().unwrap();
    drop(log);
    storage.cut_power();
    let (_log, recovered) = start(&storage, &growing());
    let replayed = recovered.replayed;
    assert!(replayed.snapshot_records > 0 && replayed.records <= replayed.snapshot_records + 2, "{replayed:?}");
    assert_eq!(recovered.values()[&(0, 1)], 99);
}

#[test]
fn there_is_no_snapshot_before_all_owners_are_there_and_none_without_owners() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &growing());
    assert!(!log.request_snapshot());
    let first = recovered.table(&log, 0);
    assert!(!log.request_snapshot());
    let second = log.register_owner("not replayed yet");
    assert!(!log.request_snapshot());
    second.set_live_bytes(0);
    assert!(log.request_snapshot());
    drop((first, second));
    log.close().unwrap();
    assert!(!log.request_snapshot());
    let (log, _) = start(&ForgettingStorage::new(), &small());
    assert!(!log.request_snapshot());
}

#[test]
fn the_log_begins_snapshots_by_itself_as_it_grows() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &Options { snapshot_every: Some(SEGMENT), ..growing() });
    let mut tables = tables(&log, &mut recovered);
    let mut step = 0;
    wait_for("three snapshots", || {
        change(&log, &mut tables, step..step + 20, |_, _| {});
        step += 20;
        wait(&log).unwrap();
        written(&storage) >= 3
    });
}

#[test]
fn a_full_disk_ends_a_snapshot_and_not_the_log() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &growing());
    let mut tables = tables(&log, &mut recovered);
    change(&log, &mut tables, 0..40, |_, _| {});
    wait_for("third segment", || storage.content("00000000000000000003.segment").is_ok());
    storage.set_full(true);
    assert!(log.request_snapshot());
    wait_for("given up", || {
        tables.iter_mut().for_each(|table| table.turn(&log));
        let trace = storage.trace();
        trace.ops().iter().any(|op| matches!(op, Op::Remove { name } if name == "snapshot.new"))
    });
    append_durably(&log, b"ab");
    assert!(!log.is_full_for(Need::Normal, 1000));
    storage.set_full(false);
    take_snapshot(&storage, &log, &mut tables);
}

#[test]
fn a_snapshot_whose_place_is_given_back_is_given_up_and_one_that_was_written_is_not_used() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &growing());
    let mut tables = tables(&log, &mut recovered);
    while !log.allow_carrying() {
        change(&log, &mut tables, 0..20, |_, _| {});
    }
    take_snapshot(&storage, &log, &mut tables);
    let mut section = None;
    wait_for("the next", || {
        tables.iter_mut().for_each(|table| table.turn(&log));
        assert!(log.request_snapshot());
        section = tables[0].owner.snapshot_wanted();
        section.is_some()
    });
    let next = *log.segments().end() + 1;
    while *log.segments().end() < next {
        change(&log, &mut tables, 20..40, |_, _| {});
    }
    assert!(log.reclaim(next).unwrap());
    let mut section = section.unwrap();
    wait_for("given up", || section.push(&[NewRecord::new(KIND, 0, &[])]) == Err(SnapshotError::GivenUp));
    drop(section);
    drop((tables, log));
    storage.cut_power();
    let (_log, recovered) = start(&storage, &growing());
    assert_eq!(recovered.replayed.snapshot_records, 0);
}

/// Everything else of the folder is of before, as after a backup was copied back over it.
#[test]
fn a_snapshot_that_is_ahead_of_the_log_is_not_used_and_removed() {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &growing());
    let mut tables = tables(&log, &mut recovered);
    change(&log, &mut tables, 0..40, |_, _| {});
    wait(&log).unwrap();
    let before = storage.trace();
    change(&log, &mut tables, 40..80, |_, _| {});
    take_snapshot(&storage, &log, &mut tables);
    let ahead = storage.content(SNAPSHOT).unwrap();
    storage.cut_power();
    drop((tables, log));
    let restored = before.cut(before.ops().len(), &mut Nothing);
    let values = start(&restored, &growing()).1.values();
    restored.kill_process();
    put(&restored, &ahead);
    let (log, recovered) = start(&restored, &growing());
    assert_eq!(recovered.replayed.snapshot_records, 0);
    assert_eq!(recovered.values(), values);
    assert!(restored.content(SNAPSHOT).is_err());
    drop(log);
}

fn put(storage: &ForgettingStorage, content: &[u8]) {
    let file = storage.handle().create(SNAPSHOT).unwrap();
    file.write_at(content, 0).unwrap();
    file.sync_data().unwrap();
    storage.handle().sync_dir().unwrap();
}

#[test]
fn a_snapshot_of_another_log_or_version_is_not_used_and_stays() {
    let (storage, values) = log_with_snapshot(&growing(), 1);
    let whole = storage.content(SNAPSHOT).unwrap();
    let changes: BTreeMap<&str, fn(&mut Vec<u8>)> = BTreeMap::from([
        ("another log", (|bytes| bytes[16] ^= 1) as fn(&mut Vec<u8>)),
        ("a later version", |bytes| bytes[8] = 2),
    ]);
    for (what, change) in changes {
        let mut changed = whole.clone();
        change(&mut changed);
        changed[12..16].fill(0);
        let checksum = crc32c::crc32c(&changed[..80]);
        changed[12..16].copy_from_slice(&checksum.to_le_bytes());
        storage.corrupt(SNAPSHOT, |bytes| bytes.clone_from(&changed)).unwrap();
        let (log, recovered) = start(&storage, &growing());
        assert_eq!(recovered.replayed.snapshot_records, 0, "{what}");
        assert_eq!(recovered.values(), values, "{what}");
        assert_eq!(storage.content(SNAPSHOT).unwrap(), changed, "{what}");
        storage.kill_process();
        drop(log);
    }
}

/// What a start finds of a log with owners: after a clean stop, after a power cut at the end, or before a segment, or the stub
/// of the first one, gets its place; and a log with a snapshot that is ahead of it.
fn starts() -> Vec<(&'static str, ForgettingStorage)> {
    let storage = storage();
    let (log, mut recovered) = start(&storage, &options());
    let mut tables = tables(&log, &mut recovered);
    let mut step = 0;
    for begin in [2, 4, 6] {
        while *log.segments().start() < begin {
            change(&log, &mut tables, step..step + 10, |_, _| {});
            wait(&log).unwrap();
            step += 10;
        }
        take_snapshot(&storage, &log, &mut tables);
    }
    wait_for("free", || storage.handle().list().unwrap().iter().all(|name| name != "00000000000000000005.segment"));
    change(&log, &mut tables, step..step + 10, |_, _| {});
    wait(&log).unwrap();
    let (trace, ahead) = (storage.trace(), storage.content(SNAPSHOT).unwrap());
    storage.kill_process();
    drop((tables, log));
    let is_stub = |op: &Op| matches!(op, Op::Rename { to, .. } if to == FIRST);
    let is_freed = |op: &Op| matches!(op, Op::Rename { to, .. } if to.ends_with(".free"));
    let stub = trace.ops().iter().rposition(is_stub).unwrap();
    let freed = trace.ops().iter().rposition(is_freed).unwrap();
    let cut = |at| trace.cut(at, &mut Nothing);
    let stopped = cut(trace.ops().len());
    start(&stopped, &options()).0.close().unwrap();
    stopped.kill_process();
    let moments = vec![
        ("after a clean stop", stopped),
        ("at the end", cut(trace.ops().len())),
        ("before the stub", cut(stub)),
        ("before a segment is free", cut(freed)),
        ("behind an old log", cut(stub)),
    ];
    put(&moments[4].1, &ahead);
    moments
}

/// Each call of a start fails, with each error, once or from there on.
#[test]
fn whichever_call_of_a_start_fails_it_names_the_file_or_starts_and_the_next_one_finds_all() {
    const ERRORS: [i32; 3] = [28, 24, 5];
    let options = options();
    let (mut refused, mut started) = (0, 0);
    for (what, begin) in starts() {
        let trace = begin.trace();
        let copy = || trace.cut(trace.ops().len(), &mut Everything);
        let values =
            |storage: &ForgettingStorage| try_start_at_rest(storage, &options).map(|(_, shown)| shown.values());
        let whole = values(&copy()).unwrap_or_else(|error| panic!("{what}: {error}"));
        for (errno, lasts) in ERRORS.iter().flat_map(|errno| [(*errno, false), (*errno, true)]) {
            for nth in 0.. {
                let storage = copy();
                storage.fail_any_with(nth, errno, lasts);
                let says = format!("{what}, call {nth}, error {errno}, lasts: {lasts}");
                match values(&storage) {
                    Ok(shown) => {
                        started += 1;
                        assert_eq!(shown, whole, "{says}");
                    }
                    Err(error) => {
                        refused += 1;
                        assert!(error.to_string().contains("memory/"), "{says}: {error}");
                    }
                }
                if storage.counts().injected == 0 {
                    break;
                }
                storage.kill_process();
                let again = values(&storage).unwrap_or_else(|error| panic!("{says}: {error}"));
                assert_eq!(again, whole, "{says}");
            }
        }
    }
    assert!(refused > 200 && started > 50, "{refused} refused, {started} started");
}
