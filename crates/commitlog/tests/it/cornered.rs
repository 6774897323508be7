//! Owners of a log that is cornered: its disk is full to the last byte, or a start was cut short by another crash.

use std::time::{Duration, Instant};

use commitlog::testing::{Call, Everything, Fate, ForgettingStorage, Nothing, Random};
use commitlog::{AppendError, Log, LogOwner, Need, NewRecord, Options, Part, Position, SyncMode};

use crate::harness::{KIND, append_durably, append_patiently, open, small, storage};

const SEGMENT: u64 = 16 << 10;
const FIRST: &str = "00000000000000000001.segment";

fn options(owners: usize) -> Options {
    Options { owners, reclaim_above: 6 * SEGMENT, ..small() }
}

/// Wants a segment back only when the disk is full.
fn large() -> Options {
    Options { reclaim_above: 1 << 40, ..options(1) }
}

fn names(storage: &ForgettingStorage) -> Vec<String> {
    storage.handle().list().unwrap()
}

fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn wait_for_segment(storage: &ForgettingStorage, number: u64) {
    let name = format!("{number:020}.segment");
    wait_for(&name, || names(storage).contains(&name));
}

fn register(log: &Log) -> LogOwner {
    let owner = log.register_owner("test");
    owner.set_live_bytes(0);
    owner
}

/// Appends until the log refuses as full. Returns how many it took.
fn fill(log: &Log, need: Need) -> usize {
    let parts = [Part::Bytes(&[1; 700])];
    let (mut refused, mut taken) = (0, 0);
    while refused < 3 {
        match log.append(need, &[NewRecord::new(KIND, 9, &parts)]) {
            Err(AppendError::Full) => {
                refused += 1;
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(AppendError::Busy) => std::thread::yield_now(),
            appended => {
                taken += 1;
                log.wait_durable(appended.unwrap().end).unwrap();
            }
        }
    }
    taken
}

fn fill_segments(log: &Log, count: u64) {
    let until = *log.segments().end() + count;
    while *log.segments().end() < until {
        let filler = append_patiently(log, &[NewRecord::new(KIND, 9, &[Part::Bytes(&[9; 1000])])]).unwrap();
        log.wait_durable(filler.end).unwrap();
    }
}

/// With so many full segments, and all the next ones ready that there are to be.
fn open_with_all_ready(storage: &ForgettingStorage, full: u64) -> (Log, LogOwner) {
    let (log, _) = open(storage, &large());
    let owner = register(&log);
    fill_segments(&log, full);
    wait_for_segment(storage, log.segments().end() + 2);
    (log, owner)
}

/// The same, without room for a normal append.
fn open_on_full_disk(storage: &ForgettingStorage) -> (Log, LogOwner) {
    let (log, owner) = open_with_all_ready(storage, 2);
    storage.set_full(true);
    fill(&log, Need::Normal);
    (log, owner)
}

/// Vacates whatever is wanted until the log takes an append again.
fn vacate_until_taken(log: &Log, owner: &mut LogOwner, need: Need) {
    let parts = [Part::Bytes(&[1; 700])];
    wait_for("accepted again", || {
        if let Some(wanted) = owner.wanted() {
            owner.vacate(wanted.number);
        }
        log.append(need, &[NewRecord::new(KIND, 9, &parts)]).is_ok()
    });
}

/// The start after an unclean stop removes the segments that are ready ahead.
#[test]
fn a_start_that_dies_while_it_removes_segments_ahead_can_be_repeated() {
    let storage = storage();
    let (log, _) = open(&storage, &options(1));
    append_durably(&log, b"kept");
    wait_for_segment(&storage, 3);
    storage.cut_power();
    drop(log);
    let (log, _) = Log::open(storage.handle(), options(1)).unwrap();
    let trace = storage.trace();
    drop(log);
    for at in 0..=trace.ops().len() {
        let mut fates: Vec<Box<dyn Fate>> = vec![Box::new(Everything), Box::new(Nothing)];
        fates.extend((0..20).map(|seed| Box::new(Random::new(seed)) as Box<dyn Fate>));
        for mut fate in fates {
            let storage = trace.cut(at, &mut *fate);
            let (_log, seen) = open(&storage, &options(1));
            assert_eq!(seen.len(), 1, "moment {at}");
        }
    }
}

/// The stub in the place of the first segment is a file of its own, for which a full disk has no room.
#[test]
fn a_full_disk_gives_the_first_segment_back_and_starts_after_a_clean_stop() {
    let storage = storage();
    let (log, _) = open(&storage, &large());
    let mut owner = register(&log);
    fill_segments(&log, 2);
    storage.set_full(true);
    fill(&log, Need::Normal);
    wait_for("wanted", || owner.wanted().is_some());
    assert_eq!(owner.wanted().unwrap().number, 1);
    owner.vacate(1);
    wait_for("stub", || storage.content(FIRST).is_ok_and(|content| content.len() == 64));
    log.close().unwrap();
    drop((log, owner));
    storage.kill_process();
    open(&storage, &large());
}

/// Copies that are more than a segment do not take the room of acknowledgements.
#[test]
fn copies_that_no_room_is_enough_for_leave_some_to_the_essential() {
    let storage = storage();
    let (log, _owner) = open_on_full_disk(&storage);
    let copies = fill(&log, Need::Carry);
    assert!(copies as u64 * 768 > SEGMENT - (2 << 10), "more than a segment: {copies}");
    assert!(!log.is_full_for(Need::Housekeeping, 400), "a connection is still noted");
    assert!(fill(&log, Need::Essential) > 0, "an acknowledgement is still taken");
}

/// With less than the reserve left of the last segment, and no further one.
#[test]
fn after_a_start_on_a_full_disk_copies_and_acknowledgements_share_what_is_left() {
    let storage = storage();
    let (log, owner) = open_on_full_disk(&storage);
    for need in [Need::Carry, Need::Essential] {
        fill(&log, need);
    }
    log.close().unwrap();
    drop((owner, log));
    let (log, _) = open(&storage, &large());
    let _owner = register(&log);
    assert_eq!(try_small(&log, Need::Normal), Err(AppendError::Full));
    for need in [Need::Carry, Need::Housekeeping, Need::Essential] {
        assert_eq!(try_small(&log, need), Ok(()), "{need:?}");
    }
}

fn try_small(log: &Log, need: Need) -> Result<(), AppendError> {
    loop {
        match log.append(need, &[NewRecord::new(KIND, 9, &[Part::Bytes(&[1; 20])])]) {
            Err(AppendError::Busy) => std::thread::yield_now(),
            result => return result.map(drop),
        }
    }
}

/// Copies have the whole segment that is kept for them, also when all else has taken what it may.
#[test]
fn acknowledgements_that_no_room_is_enough_for_leave_a_segment_to_the_copies() {
    let storage = storage();
    let (log, _owner) = open_on_full_disk(&storage);
    assert!(fill(&log, Need::Essential) > 0);
    let copies = fill(&log, Need::Carry) as u64;
    assert!((copies + 2) * 744 > SEGMENT - 1024, "{copies} copies are a segment");
}

/// The start has used the spare, and another program has taken the space that it freed.
#[test]
fn on_a_full_disk_without_spare_the_segments_that_were_given_back_are_used() {
    let storage = storage();
    let (log, _) = open(&storage, &large());
    let owner = register(&log);
    fill_segments(&log, 2);
    assert!(log.reclaim(2).unwrap());
    fill_segments(&log, 1);
    wait_for_segment(&storage, log.segments().end() + 2);
    drop((owner, log));
    storage.kill_process();
    let (log, _) = Log::open(storage.handle(), large()).unwrap();
    storage.set_full(true);
    let mut owner = register(&log);
    fill(&log, Need::Normal);
    fill(&log, Need::Essential);
    vacate_until_taken(&log, &mut owner, Need::Normal);
}

/// What is renamed first is the last free file, for the next segment.
#[test]
fn a_segment_that_was_given_back_and_cannot_be_used_now_is_used_later() {
    let storage = storage();
    let (log, _) = open(&storage, &large());
    fill_segments(&log, 2);
    fill_segments(&log, 1);
    wait_for_segment(&storage, log.segments().end() + 2);
    assert!(log.reclaim(3).unwrap());
    let free = || names(&storage).iter().filter(|name| name.ends_with(".free")).count();
    assert_eq!(free(), 1);
    storage.set_full(true);
    storage.fail(Call::Rename, 0, std::io::ErrorKind::Other);
    let end = *log.segments().end();
    fill_segments(&log, 1);
    wait_for_segment(&storage, end + 3);
    assert_eq!((storage.counts().injected, free()), (1, 0));
}

/// A log of the version before, whose last segment is begun and whose next one is ready.
fn old_log(storage: &ForgettingStorage) -> Position {
    let (log, _) = open(storage, &small());
    fill_segments(&log, 2);
    let kept = append_durably(&log, b"kept");
    wait_for_segment(storage, log.segments().end() + 1);
    log.close().unwrap();
    kept
}

#[test]
fn a_log_of_version_1_whose_disk_is_full_gives_its_segments_back() {
    for clean in [true, false] {
        let storage = storage();
        let kept = old_log(&storage);
        if !clean {
            drop(open(&storage, &small()));
            storage.cut_power();
        }
        storage.set_full(true);
        let (log, seen) = open(&storage, &large());
        assert!(seen.iter().any(|seen| seen.position == kept));
        assert!(log.allow_carrying(), "the last segment is of version 2");
        let mut owner = register(&log);
        fill(&log, Need::Normal);
        fill(&log, Need::Essential);
        vacate_until_taken(&log, &mut owner, Need::Normal);
        log.close().unwrap();
        drop((log, owner));
        open(&storage, &large());
    }
}

#[test]
fn a_crash_while_a_log_of_version_1_becomes_one_of_version_2_loses_nothing() {
    let storage = storage();
    let kept = old_log(&storage);
    storage.cut_power();
    let (log, _) = Log::open(storage.handle(), large()).unwrap();
    let trace = storage.trace();
    drop(log);
    for at in 0..=trace.ops().len() {
        for seed in 0..10 {
            let storage = trace.cut(at, &mut Random::new(seed));
            let (log, seen) = open(&storage, &large());
            assert!(seen.iter().any(|seen| seen.position == kept), "moment {at}");
            assert!(log.allow_carrying());
        }
    }
}

#[test]
fn a_new_log_with_owners_can_carry_at_once_and_one_without_is_of_version_1() {
    let version = |options: &Options| {
        let storage = storage();
        drop(open(&storage, options));
        storage.content(FIRST).unwrap()[8]
    };
    assert_eq!((version(&options(1)), version(&small())), (2, 1));
}

#[test]
fn acknowledgements_go_on_after_a_start_on_a_full_disk() {
    let storage = storage();
    let (log, _) = open(&storage, &large());
    fill_segments(&log, 3);
    wait_for_segment(&storage, log.segments().end() + 2);
    storage.cut_power();
    drop(log);
    let (log, _) = Log::open(storage.handle(), large()).unwrap();
    storage.set_full(true);
    fill(&log, Need::Normal);
    assert!(fill(&log, Need::Essential) >= 2, "the reserve is left in the last segment");
}

#[test]
fn copies_that_fill_the_last_segment_leave_room_to_say_where_the_log_begins() {
    let storage = storage();
    let (log, _) = open(&storage, &large());
    let mut owner = register(&log);
    fill_segments(&log, 2);
    assert!(log.reclaim(2).unwrap());
    fill_segments(&log, 4);
    storage.set_full(true);
    fill(&log, Need::Normal);
    wait_for("wanted", || owner.wanted().is_some());
    let wanted = owner.wanted().unwrap();
    let name = Position(wanted.positions.start.0 + 64 + 56);
    for len in [4000, 1000, 200, 8] {
        let body = vec![5; len];
        let parts = [Part::Bytes(&body)];
        let copy = NewRecord::new(KIND, 9, &parts).carried(name);
        loop {
            match log.append(Need::Carry, &[copy]) {
                Ok(appended) => log.wait_durable(appended.end).unwrap(),
                Err(AppendError::Busy) => std::thread::yield_now(),
                Err(error) => break assert_eq!(error, AppendError::Full),
            }
        }
    }
    owner.vacate(wanted.number);
    vacate_until_taken(&log, &mut owner, Need::Essential);
}

#[test]
fn a_reclaim_by_hand_does_not_stop_the_owners() {
    let storage = storage();
    let (log, _) = open(&storage, &options(1));
    let mut owner = register(&log);
    wait_for("wanted", || {
        append_durably(&log, &[1; 700]);
        owner.wanted().is_some()
    });
    fill_segments(&log, 2);
    let number = owner.wanted().unwrap().number;
    assert!(log.reclaim(number + 1).unwrap());
    owner.vacate(number);
    fill_segments(&log, 6);
    wait_for("wanted again", || owner.wanted().is_some());
}

/// Gives five segments back and keeps four records; then cuts the power, and again at each moment of the start after it.
#[test]
fn a_crash_in_the_start_after_a_crash_loses_nothing_that_is_kept() {
    for sync in [SyncMode::Always, SyncMode::Os] {
        let storage = storage();
        let options = Options { sync, ..options(1) };
        let (log, _) = open(&storage, &options);
        let mut owner = register(&log);
        let kept: Vec<Position> = (0..4).map(|n| append_durably(&log, &[n; 700])).collect();
        owner.set_live_bytes(3000);
        let mut given_back = 0;
        while given_back < 5 {
            append_durably(&log, &[9; 3000]);
            let Some(wanted) = owner.wanted() else { continue };
            for (n, name) in (0..).zip(&kept) {
                if log.place_of(*name).is_none_or(|place| log.segment_of(place) != wanted.number) {
                    continue;
                }
                let parts = [Part::Bytes(&[n; 700])];
                while log.append(Need::Carry, &[NewRecord::new(KIND, 7, &parts).carried(*name)]).is_err() {
                    std::thread::yield_now();
                }
            }
            owner.vacate(wanted.number);
            given_back += 1;
        }
        let trace = storage.trace();
        storage.cut_power();
        drop((owner, log));
        let from = trace.ops().len() / 4;
        for at in (from..=trace.ops().len()).step_by(3) {
            let seed = at as u64;
            let first = trace.cut(at, &mut Random::new(seed));
            let (log, _) = Log::open(first.handle(), options.clone()).unwrap();
            let second = first.trace();
            drop(log);
            for again in 0..=second.ops().len() {
                let third = second.cut(again, &mut Random::new(seed ^ again as u64));
                let (log, seen) = open(&third, &options);
                for name in &kept {
                    let shown = seen.iter().filter(|seen| seen.position == *name).count();
                    assert_eq!(shown, 1, "{sync:?}, moments {at} and {again}");
                    log.read(*name).unwrap();
                }
            }
        }
    }
}

/// The next segment cannot be made: that refuses nothing while the last one has room.
#[test]
fn a_log_is_full_for_what_it_would_refuse_and_for_nothing_else() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    wait_for_segment(&storage, 2);
    storage.set_full(true);
    let parts = [Part::Bytes(&[1; 700])];
    let mut taken = 0;
    while taken < 100 {
        let is_full = log.is_full_for(Need::Normal, 740);
        match log.append(Need::Normal, &[NewRecord::new(KIND, 9, &parts)]) {
            Ok(appended) => {
                assert!(!is_full, "it took {taken} and one more");
                log.wait_durable(appended.end).unwrap();
                taken += 1;
            }
            Err(AppendError::Busy) => std::thread::yield_now(),
            Err(error) => {
                assert_eq!(error, AppendError::Full);
                break;
            }
        }
    }
    assert!(log.is_full_for(Need::Normal, 740) && taken > 20);
    storage.set_full(false);
    wait_for("room", || !log.is_full_for(Need::Normal, 740));
}

#[test]
fn segments_that_cannot_be_given_back_now_are_later_and_keep_no_other() {
    for failures in [1, 3] {
        let storage = storage();
        let (log, _owner) = open_with_all_ready(&storage, 3);
        // The stub in the place of the first one gets its name first.
        (0..failures).for_each(|nth| storage.fail(Call::Rename, nth, std::io::ErrorKind::Other));
        assert!(log.reclaim(4).unwrap());
        let is_there = |number: u64| names(&storage).contains(&format!("{number:020}.segment"));
        assert!(failures > 1 || !(is_there(2) || is_there(3)), "the others are given back");
        wait_for("given back", || storage.content(FIRST).unwrap().len() == 64 && !is_there(2) && !is_there(3));
        assert_eq!(storage.counts().injected, failures);
    }
}

/// They are appended while the segment is made, which takes long; then there is no room for it.
#[test]
fn acknowledgements_in_a_segment_that_finds_no_room_do_not_keep_the_log_from_giving_space_back() {
    let storage = storage();
    let (log, mut owner) = open_with_all_ready(&storage, 2);
    storage.hold_syncs();
    let unmade = *log.segments().end() + 3;
    let parts = [Part::Bytes(&[1; 700])];
    while *log.segments().end() < unmade {
        log.append(Need::Essential, &[NewRecord::new(KIND, 9, &parts)]).unwrap();
    }
    storage.set_free_space(0);
    storage.fail(Call::Rename, 0, std::io::ErrorKind::StorageFull);
    storage.release_syncs();
    wait_for("full", || log.is_full_for(Need::Normal, 740));
    vacate_until_taken(&log, &mut owner, Need::Normal);
    wait_for("the spare file is there again", || names(&storage).contains(&"spare".to_owned()));
}
