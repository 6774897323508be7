//! Owners of a log, which carry what they need of the oldest segment when it is wanted back.

use std::collections::BTreeMap;
use std::io::ErrorKind;

use commitlog::testing::{ForgettingStorage, Random};
use commitlog::{AppendError, Log, LogOwner, Need, NewRecord, Options, Part, Position};

use crate::harness::{KIND, append_patiently, open, see, small, storage};

const SEGMENT: u64 = 16 << 10;
/// Calls of the storage that a run of 200 appends makes, and some.
const CALLS: u64 = 500;

fn options(owners: usize) -> Options {
    Options { owners, reclaim_above: 6 * SEGMENT, ..small() }
}

/// An index that keeps what it is told to keep.
struct Index {
    owner: LogOwner,
    number: u64,
    live: BTreeMap<Position, u8>,
}

impl Index {
    fn new(log: &Log, number: u64) -> Self {
        let owner = log.register_owner("test");
        owner.set_live_bytes(0);
        Self { owner, number, live: BTreeMap::new() }
    }

    fn append(&mut self, log: &Log, n: u8) -> Position {
        self.try_append(log, n).unwrap()
    }

    /// `None`: the log has failed.
    fn try_append(&mut self, log: &Log, n: u8) -> Option<Position> {
        let parts = [Part::Bytes(&[n; 700])];
        let appended = append_patiently(log, &[NewRecord::new(KIND, self.number, &parts)]).ok()?;
        log.wait_durable(appended.end).ok()?;
        Some(appended.positions[0])
    }

    fn keep(&mut self, name: Position, n: u8) {
        self.live.insert(name, n);
        self.owner.set_live_bytes(self.live.len() as u64 * 744);
    }

    /// Carries what is wanted, if anything is.
    fn turn(&mut self, log: &Log) {
        self.try_turn(log).unwrap();
    }

    fn try_turn(&mut self, log: &Log) -> Result<(), AppendError> {
        let Some(wanted) = self.owner.wanted() else { return Ok(()) };
        let first = self.live.range(wanted.positions).map(|(name, _)| *name);
        let names: Vec<_> = first.chain(self.owner.copies_in(wanted.number)).collect();
        for name in names {
            let Some(n) = self.live.get(&name) else { continue };
            let is_there = log.place_of(name).is_some_and(|place| log.segment_of(place) == wanted.number);
            if !is_there {
                continue;
            }
            let parts = [Part::Bytes(&[*n; 700])];
            let copy = NewRecord::new(KIND, self.number, &parts).carried(name);
            while let Err(error) = log.append(Need::Carry, &[copy]) {
                if error != AppendError::Busy {
                    return Err(error);
                }
                std::thread::yield_now();
            }
        }
        self.owner.vacate(wanted.number);
        Ok(())
    }

    fn check(&self, log: &Log) {
        for (name, n) in &self.live {
            assert_eq!(log.read(*name).unwrap().payload, [*n; 700]);
        }
    }
}

fn segments(storage: &ForgettingStorage) -> usize {
    storage.handle().list().unwrap().iter().filter(|name| name.ends_with(".segment")).count()
}

/// Appends to a full disk until nothing is taken any more.
fn fill(storage: &ForgettingStorage, log: &Log) {
    let parts = [Part::Bytes(&[1; 700])];
    let record = NewRecord::new(KIND, 0, &parts);
    storage.set_full(true);
    let mut refused = 0;
    while refused < 3 {
        match log.append(Need::Normal, &[record]) {
            Err(AppendError::Full) => refused += 1,
            Err(AppendError::Busy) => std::thread::yield_now(),
            result => log.wait_durable(result.unwrap().end).unwrap(),
        }
    }
    while matches!(log.append(Need::Essential, &[record]), Ok(appended) if log.wait_durable(appended.end).is_ok()) {}
}

fn expect_given_back(log: &Log, index: &mut Index, segments: u64) {
    let begin = *log.segments().start();
    for _ in 0..10_000 {
        index.turn(log);
        if *log.segments().start() >= begin + segments {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    panic!("no segment is given back");
}

/// Waits until nothing is wanted back any more.
fn settle(log: &Log, indexes: &mut [Index]) {
    let mut quiet = 0;
    while quiet < 50 {
        let is_wanted = indexes.iter().any(|index| index.owner.wanted().is_some());
        quiet = if is_wanted { 0 } else { quiet + 1 };
        indexes.iter_mut().for_each(|index| index.turn(log));
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

#[test]
fn a_log_whose_owners_need_little_stays_small_and_loses_nothing_of_it() {
    let storage = storage();
    let (log, _) = open(&storage, &options(2));
    let mut indexes = [Index::new(&log, 0), Index::new(&log, 1)];
    for round in 0..800_u32 {
        let n = (round % 251) as u8;
        let index = &mut indexes[round as usize % 2];
        let name = index.append(&log, n);
        if round % 40 < 2 {
            index.keep(name, n);
        }
        indexes.iter_mut().for_each(|index| index.turn(&log));
    }
    settle(&log, &mut indexes);
    indexes.iter().for_each(|index| index.check(&log));
    let live: u64 = indexes.iter().map(|index| index.live.len() as u64 * 744).sum();
    let most = (6 * SEGMENT).max(4 * live) / SEGMENT + 2;
    assert!(segments(&storage) as u64 <= most, "{} segments for {live} live bytes", segments(&storage));
    assert!(*log.segments().start() > 20);
    drop(log);
    let live = indexes.map(|index| index.live);
    for _ in 0..2 {
        storage.cut_power();
        let (log, seen) = open(&storage, &options(2));
        for (name, n) in live.iter().flatten() {
            assert_eq!(seen.iter().filter(|seen| seen.position == *name).count(), 1);
            assert_eq!(log.read(*name).unwrap().payload, [*n; 700]);
        }
    }
}

#[test]
fn nothing_is_given_back_before_all_owners_have_registered_and_vacated() {
    let storage = storage();
    let (log, _) = open(&storage, &options(2));
    let mut first = Index::new(&log, 0);
    let fill = |index: &mut Index| {
        (0..300).for_each(|_| {
            index.append(&log, 1);
        })
    };
    fill(&mut first);
    assert_eq!(first.owner.wanted(), None, "the second has not registered");
    let mut second = Index::new(&log, 1);
    fill(&mut first);
    while first.owner.wanted().is_none() {
        first.append(&log, 1);
    }
    assert_eq!(first.owner.wanted().unwrap().number, 1);
    first.turn(&log);
    assert_eq!(first.owner.wanted(), None, "it has vacated");
    fill(&mut first);
    assert_eq!(*log.segments().start(), 1, "the second has not");
    while *log.segments().start() < 5 {
        second.turn(&log);
        first.turn(&log);
        std::thread::yield_now();
    }
    while second.owner.wanted().is_none() {
        std::thread::yield_now();
    }
    drop(second);
    first.turn(&log);
    let start = *log.segments().start();
    fill(&mut first);
    assert_eq!(*log.segments().start(), start, "nobody knows what the second still needs");
}

/// A segment that all owners have vacated is not given back before their copies are durable.
#[test]
fn at_every_moment_a_crash_loses_nothing_that_owners_keep() {
    let storage = storage();
    let (log, _) = open(&storage, &options(1));
    let mut index = Index::new(&log, 0);
    let mut kept = Vec::new();
    for n in 0..240_u8 {
        let name = index.append(&log, n);
        if n.is_multiple_of(12) {
            index.keep(name, n);
            kept.push((name, n));
            storage.note(kept.len() as u64);
        }
        index.turn(&log);
    }
    settle(&log, std::slice::from_mut(&mut index));
    assert!(*log.segments().start() > 4);
    let trace = storage.trace();
    storage.cut_power();
    drop((index, log));
    for at in 0..=trace.ops().len() {
        for seed in 0..4 {
            let storage = trace.cut(at, &mut Random::new(at as u64 * 4 + seed));
            let (log, replay) = Log::open(storage.handle(), options(1)).unwrap();
            let seen = see(replay).unwrap();
            let promised = trace.notes_before(at).into_iter().max().unwrap_or(0) as usize;
            for (name, n) in &kept[..promised] {
                let shown = seen.iter().filter(|seen| seen.position == *name).count();
                assert_eq!(shown, 1, "{n} at moment {at}, seed {seed}");
                assert_eq!(log.read(*name).unwrap().payload, [*n; 700]);
            }
        }
    }
}

#[test]
fn owners_that_need_more_than_they_say_do_not_keep_the_log_copying() {
    let storage = storage();
    let (log, _) = open(&storage, &options(1));
    let mut index = Index::new(&log, 0);
    for n in 0..250_u8 {
        let name = index.append(&log, n);
        index.live.insert(name, n);
        index.turn(&log);
    }
    settle(&log, std::slice::from_mut(&mut index));
    let end = *log.segments().end();
    settle(&log, std::slice::from_mut(&mut index));
    assert_eq!(*log.segments().end(), end, "without appends there are no copies");
    index.check(&log);
}

/// The segment that is kept for copies: a disk that is full of little that lives is freed by carrying it.
#[test]
fn a_full_disk_is_freed_by_carrying_what_lives() {
    let storage = storage();
    let (log, _) = open(&storage, &options(1));
    let mut index = Index::new(&log, 0);
    for n in 0..40_u8 {
        let name = index.append(&log, n);
        if n.is_multiple_of(4) {
            index.keep(name, n);
        }
    }
    while !log.allow_carrying() {
        index.append(&log, 1);
    }
    fill(&storage, &log);
    expect_given_back(&log, &mut index, 2);
    let parts = [Part::Bytes(&[1; 700])];
    while append_patiently(&log, &[NewRecord::new(KIND, 0, &parts)]).is_err() {
        std::thread::yield_now();
    }
    index.check(&log);
}

/// What is said to live may be counted several times, as a message for thousands of inboxes is.
#[test]
fn a_full_disk_is_freed_although_an_owner_says_that_it_needs_more_than_there_is() {
    let storage = storage();
    let (log, _) = open(&storage, &options(1));
    let mut index = Index::new(&log, 0);
    index.owner.set_live_bytes(1 << 40);
    while !log.allow_carrying() || *log.segments().end() < 3 {
        index.append(&log, 1);
    }
    assert_eq!(index.owner.wanted(), None, "there is room, and all of it is needed");
    fill(&storage, &log);
    expect_given_back(&log, &mut index, 1);
}

/// The copies of the first segments are paid by what was appended before.
#[test]
fn a_burst_that_is_over_is_given_back_though_nothing_follows_it() {
    let storage = storage();
    let (log, _) = open(&storage, &options(1));
    let mut index = Index::new(&log, 0);
    for n in 0..250_u8 {
        let name = index.append(&log, n);
        if n % 3 == 0 {
            index.keep(name, n);
        }
    }
    assert_eq!(*log.segments().start(), 1, "it has not been asked to carry anything");
    // Of what the burst has left little is still needed.
    let few: Vec<_> = index.live.keys().step_by(8).copied().collect();
    index.live.retain(|name, _| few.contains(name));
    index.owner.set_live_bytes(index.live.len() as u64 * 744);
    let most = 6 + 2;
    for _ in 0..10_000 {
        index.turn(&log);
        if segments(&storage) <= most {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(segments(&storage) <= most, "{} segments stay", segments(&storage));
    index.check(&log);
}

/// One call of the storage fails, whichever it is: the log goes on or says that it has failed, and the next start has all
/// that was kept.
#[test]
fn whichever_call_fails_nothing_that_owners_keep_is_lost() {
    let options = Options { reclaim_above: 2 * SEGMENT, ..options(1) };
    let kinds = [ErrorKind::Other, ErrorKind::StorageFull, ErrorKind::PermissionDenied];
    let (mut runs, mut reached, mut went_on, mut given_back) = (0, 0, 0, 0);
    for after in 0..CALLS {
        let storage = storage();
        let (log, _) = open(&storage, &options);
        let mut index = Index::new(&log, 0);
        storage.fail_any(after, kinds[usize::try_from(after).unwrap() % kinds.len()]);
        let mut kept = Vec::new();
        let goes_on = (0..200).all(|n| {
            let Some(name) = index.try_append(&log, n) else { return false };
            if n.is_multiple_of(12) {
                index.keep(name, n);
                kept.push((name, n));
            }
            index.try_turn(&log).is_ok()
        });
        given_back += *log.segments().start() - 1;
        if after % 2 == 0 {
            storage.cut_power()
        } else {
            storage.kill_process()
        }
        drop((index, log));
        let (log, seen) = open(&storage, &options);
        for (name, n) in kept {
            let shown = seen.iter().filter(|seen| seen.position == name).count();
            assert_eq!(shown, 1, "record {n}, call {after}");
            assert_eq!(log.read(name).unwrap().payload, [n; 700], "call {after}");
        }
        assert!(goes_on || storage.counts().injected == 1, "call {after}");
        reached += storage.counts().injected;
        runs += 1;
        went_on += u32::from(goes_on);
    }
    assert!(went_on > 20 && went_on < runs, "{went_on} of {runs} went on");
    assert!(reached > CALLS * 9 / 10, "{reached} of {CALLS} calls were made");
    assert!(given_back > 100, "{given_back} segments were given back");
}
