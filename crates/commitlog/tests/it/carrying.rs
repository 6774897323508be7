//! Records that are carried: copies that keep the name of the first one.

use std::collections::BTreeMap;

use commitlog::testing::{Everything, Nothing, Op, Random};
use commitlog::{AppendError, Log, Need, NewRecord, Options, Part, Position, SyncMode};

use crate::harness::{KIND, allow_carrying, append_durably, open, payloads, see, set_version, small, storage};

fn carry(log: &Log, name: Position, payload: &[u8]) -> Position {
    let parts = [Part::Bytes(payload)];
    let record = NewRecord::new(KIND, 7, &parts).carried(name);
    let reference = [Part::PositionOf(0)];
    let appended = log.append(Need::Essential, &[record, NewRecord::new(KIND, 8, &reference)]).unwrap();
    log.wait_durable(appended.end).unwrap();
    assert_eq!(appended.positions[0], name);
    assert_eq!(log.read(appended.positions[1]).unwrap().payload, name.to_bytes(), "a reference has the name");
    appended.positions[1]
}

#[test]
fn a_replay_shows_a_carried_record_once_and_under_its_name() {
    for power_cut in [false, true] {
        let storage = storage();
        let (log, _) = open(&storage, &small());
        let name = append_durably(&log, b"carried");
        append_durably(&log, b"other");
        allow_carrying(&log);
        carry(&log, name, b"carried");
        carry(&log, name, b"carried");
        assert_eq!(log.read(name).unwrap().payload, b"carried");
        if power_cut {
            storage.cut_power_with(&mut Everything)
        } else {
            storage.cut_power_with(&mut Nothing)
        }
        drop(log);
        let (log, seen) = open(&storage, &small());
        let seen: Vec<_> = seen.into_iter().filter(|seen| seen.owner != 9).collect();
        assert_eq!(payloads(&seen)[..2], ["carried", "other"]);
        assert_eq!(seen.len(), 4, "and the two references");
        assert_eq!(seen.iter().filter(|seen| seen.position == name).count(), 1);
        assert_eq!(log.read(name).unwrap().payload, b"carried");
    }
}

#[test]
fn a_name_that_was_never_given_is_refused() {
    let (log, _) = open(&storage(), &small());
    allow_carrying(&log);
    let end = append_durably(&log, b"one").0 + 48;
    for name in [0, end, u64::MAX] {
        let refused = log.append(Need::Normal, &[NewRecord::new(KIND, 7, &[]).carried(Position(name))]);
        assert!(matches!(refused, Err(AppendError::Invalid(_))), "{name}");
    }
}

/// Appends over three segments, and carries every fourth record once it is two thousand bytes back.
#[test]
fn at_every_moment_a_crash_leaves_each_name_once_and_with_its_content() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    allow_carrying(&log);
    let mut names = Vec::new();
    for n in 0..36_u8 {
        names.push(append_durably(&log, &[n; 700]));
        if n % 4 == 3 {
            let old = n - 3;
            carry(&log, names[usize::from(old)], &[old; 700]);
        }
    }
    let trace = storage.trace();
    storage.cut_power();
    drop(log);
    let content: BTreeMap<Position, u8> = names.into_iter().zip(0..).collect();
    let (mut states, mut most) = (0, 0);
    for at in 0..=trace.ops().len() {
        for seed in 0..6 {
            let storage = trace.cut(at, &mut Random::new(at as u64 * 6 + seed));
            let (_log, replay) = Log::open(storage.handle(), small()).unwrap();
            let seen: Vec<_> = see(replay).unwrap().into_iter().filter(|seen| seen.owner == 7).collect();
            assert!(seen.windows(2).all(|pair| pair[0].position < pair[1].position), "moment {at}, seed {seed}");
            for record in &seen {
                assert_eq!(record.payload, [content[&record.position]; 700], "moment {at}, seed {seed}");
            }
            most = most.max(seen.len());
            states += 1;
        }
    }
    assert!(states > 500 && most == 36, "{states} states, {most} records");
}

/// What a segment file held in its life before is no record of the segment that it is now.
#[test]
fn the_stale_rest_of_a_segment_that_is_used_again_is_nothing() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    for n in 0..20_u8 {
        append_durably(&log, &[n; 1000]);
    }
    while storage.content("00000000000000000003.segment").is_err() {
        std::thread::yield_now();
    }
    log.close().unwrap();
    drop(log);
    let stale = storage.content("00000000000000000001.segment").unwrap();
    let used = storage.content("00000000000000000002.segment").unwrap();
    let end = used.iter().rposition(|byte| *byte != 0).unwrap().next_multiple_of(8) + 40;
    storage.corrupt("00000000000000000002.segment", |bytes| bytes[end..].copy_from_slice(&stale[end..])).unwrap();
    storage.corrupt("00000000000000000003.segment", |bytes| bytes[104..].copy_from_slice(&stale[104..])).unwrap();
    for more in 0..20 {
        let (log, seen) = open(&storage, &small());
        assert_eq!(seen.len(), 20 + more);
        append_durably(&log, &[0xee; 1000]);
        if more % 2 == 0 {
            log.close().unwrap();
        } else {
            storage.cut_power();
        }
        drop(log);
    }
}

const FIRST: &str = "00000000000000000001.segment";
pub(crate) const SEGMENT: u64 = 16 << 10;
const RECORDS: u8 = 200;

pub(crate) fn is_live(n: u8) -> bool {
    n.is_multiple_of(9)
}

/// Appends records of which every ninth is needed for ever, and gives back the oldest segment once there are three.
pub(crate) fn run_with_reclaim(log: &Log, note: impl Fn(u64)) -> BTreeMap<Position, u8> {
    let mut content = BTreeMap::new();
    let mut place_by_name = BTreeMap::new();
    for n in 0..RECORDS {
        let name = append_durably(log, &[n; 700]);
        note(u64::from(n) + 1);
        content.insert(name, n);
        if is_live(n) {
            place_by_name.insert(name, name);
        }
        let segments = log.segments();
        if !log.allow_carrying() || segments.end() - segments.start() < 2 {
            continue;
        }
        let begin = segments.start() + 1;
        let old: Vec<_> =
            place_by_name.iter().filter(|(_, place)| place.0 / SEGMENT < begin).map(|(name, _)| *name).collect();
        for name in old {
            place_by_name.insert(name, carry(log, name, &[content[&name]; 700]));
        }
        assert!(log.reclaim(begin).unwrap());
    }
    content
}

#[test]
fn what_was_carried_is_read_after_its_segment_is_gone() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    let content = run_with_reclaim(&log, |_| {});
    let read_all = |log: &Log| {
        for (name, n) in content.iter().filter(|(_, n)| is_live(**n)) {
            assert_eq!(log.read(*name).unwrap().payload, [*n; 700]);
        }
    };
    read_all(&log);
    assert!(*log.segments().start() > 3);
    assert_eq!(storage.content(FIRST).unwrap().len(), 64, "of the first one the stub");
    for power_cut in [true, false] {
        if power_cut {
            storage.cut_power()
        } else {
            storage.kill_process()
        }
        let (log, _) = open(&storage, &small());
        read_all(&log);
    }
}

#[test]
fn a_crash_at_any_moment_of_a_reclaim_loses_nothing_that_is_needed() {
    check_reclaim(SyncMode::Always);
}

#[test]
fn without_syncs_a_power_cut_in_a_reclaim_keeps_what_was_carried() {
    check_reclaim(SyncMode::Os);
}

/// With `SyncMode::Os` only what was carried is promised, and what came before it.
fn check_reclaim(sync: SyncMode) {
    let options = Options { sync, ..small() };
    let storage = storage();
    let (log, _) = open(&storage, &options);
    let noted = storage.clone();
    let content = run_with_reclaim(&log, move |note| noted.note(note));
    let trace = storage.trace();
    storage.cut_power();
    drop(log);
    let (mut states, mut reclaimed) = (0, 0);
    for at in 0..=trace.ops().len() {
        for seed in 0..8 {
            let storage = trace.cut(at, &mut Random::new(at as u64 * 8 + seed));
            let (log, replay) =
                Log::open(storage.handle(), options.clone()).unwrap_or_else(|error| panic!("{at}, {seed}: {error}"));
            let seen: Vec<_> = see(replay).unwrap().into_iter().filter(|seen| seen.owner == 7).collect();
            let mut names = BTreeMap::new();
            for record in &seen {
                assert_eq!(record.payload, [content[&record.position]; 700], "moment {at}, seed {seed}");
                assert_eq!(names.insert(record.position, ()), None, "twice: moment {at}, seed {seed}");
            }
            let promised = match sync {
                SyncMode::Always => trace.notes_before(at).into_iter().max().unwrap_or(0),
                // What has a name before the begin was carried before the begin.
                SyncMode::Os => {
                    let begin = *log.segments().start() * SEGMENT;
                    content.iter().filter(|(name, _)| name.0 < begin).count() as u64
                }
            };
            for (name, n) in content.iter().filter(|(_, n)| is_live(**n) && u64::from(**n) < promised) {
                assert!(names.contains_key(name), "{n} is lost: moment {at}, seed {seed}");
                assert_eq!(log.read(*name).unwrap().payload, [*n; 700], "moment {at}, seed {seed}");
            }
            reclaimed += usize::from(*log.segments().start() > 1);
            states += 1;
        }
    }
    let reused = trace.ops().iter().filter(|op| matches!(op, Op::Rename { from, .. } if from.ends_with(".free")));
    assert!(reused.count() > 2, "segments are used again");
    assert!(states > 2000 && reclaimed > 500, "{states} states, {reclaimed} of them without the first segment");
}

#[test]
fn a_segment_that_is_missing_after_the_begin_is_damage() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    run_with_reclaim(&log, |_| {});
    let begin = *log.segments().start();
    storage.kill_process();
    drop(log);
    storage.handle().remove(&format!("{begin:020}.segment")).unwrap();
    let Err(error) = Log::open(storage.handle(), small()) else { panic!("must not open") };
    assert!(error.to_string().contains("the segment is missing"), "{error}");
}

/// A program that knows version 1 alone goes by the first segment, and starts as long as nothing new was used.
#[test]
fn the_first_segment_says_version_1_until_it_is_given_back_and_then_version_2() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    let name = append_durably(&log, b"carried");
    let refused = log.append(Need::Normal, &[NewRecord::new(KIND, 7, &[Part::Bytes(b"carried")]).carried(name)]);
    assert!(matches!(refused, Err(AppendError::Invalid(_))), "a segment of version 1 holds no copies");
    assert!(!log.reclaim(2).unwrap(), "nor does it say where the log begins");
    allow_carrying(&log);
    let version = |number: u64| storage.content(&format!("{number:020}.segment")).unwrap()[8];
    let last = *log.segments().end();
    let versions: Vec<_> = (1..=last).map(version).collect();
    assert_eq!((versions[0], versions[versions.len() - 1]), (1, 2));
    assert!(versions.is_sorted());
    carry(&log, name, b"carried");
    assert!(log.reclaim(last).unwrap());
    assert_eq!(storage.content(FIRST).unwrap().len(), 64);
    assert_eq!(version(1), 2);
    for _ in 0..2 {
        log.close().unwrap();
        let (_log, seen) = open(&storage, &small());
        assert_eq!(seen.iter().filter(|seen| seen.position == name).count(), 1);
        storage.kill_process();
    }
}

#[test]
fn a_log_of_which_only_the_stub_is_left_says_so() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    run_with_reclaim(&log, |_| {});
    storage.kill_process();
    drop(log);
    for name in storage.handle().list().unwrap() {
        if name.ends_with(".segment") && name != FIRST {
            storage.handle().remove(&name).unwrap();
        }
    }
    let Err(error) = Log::open(storage.handle(), small()) else { panic!("must not open") };
    assert!(error.to_string().contains("its segments are missing"), "{error}");
}

/// Bytes that are whole and yet not of version 1: no program writes them, so they are no torn tail.
#[test]
fn a_carried_record_in_a_segment_of_version_1_is_damage() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    let name = append_durably(&log, b"carried");
    allow_carrying(&log);
    carry(&log, name, b"carried");
    let last = *log.segments().end();
    log.close().unwrap();
    drop(log);
    for number in 1..=last + 1 {
        let made = set_version(&storage, &format!("{number:020}.segment"), 1);
        assert!(made.is_ok() || number > last);
    }
    let Err(error) = Log::open(storage.handle(), small()) else { panic!("must not open") };
    assert!(error.to_string().contains("no segment of version 1 has"), "{error}");
}

#[test]
fn a_segment_of_version_1_behind_one_of_version_2_is_damage() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    append_durably(&log, b"one");
    allow_carrying(&log);
    log.close().unwrap();
    drop(log);
    set_version(&storage, FIRST, 2).unwrap();
    let Err(error) = Log::open(storage.handle(), small()) else { panic!("must not open") };
    assert!(error.to_string().contains("a segment of version 1 follows"), "{error}");
}
