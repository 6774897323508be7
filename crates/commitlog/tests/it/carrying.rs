//! Records that are carried: copies that keep the name of the first one.

use std::collections::BTreeMap;

use commitlog::testing::{Everything, Nothing, Random};
use commitlog::{AppendError, Log, Need, NewRecord, Part, Position};

use crate::harness::{KIND, append_durably, open, payloads, see, small, storage};

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
        assert_eq!(payloads(&seen)[..2], ["carried", "other"]);
        assert_eq!(seen.len(), 4, "and the two references");
        assert_eq!(seen.iter().filter(|seen| seen.position == name).count(), 1);
        assert_eq!(log.read(name).unwrap().payload, b"carried");
    }
}

#[test]
fn a_name_that_was_never_given_is_refused() {
    let (log, _) = open(&storage(), &small());
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
