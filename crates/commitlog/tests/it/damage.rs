//! Damage that is not a torn tail: it stops the start, which says where it is.

use std::time::Duration;

use commitlog::testing::ForgettingStorage;
use commitlog::{Log, OpenError, Options, ReadError};

use crate::harness::{append_durably, open, payloads, see, set_version, small, storage};

const FIRST: &str = "00000000000000000001.segment";

fn log_of_three() -> ForgettingStorage {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    for payload in ["one", "two", "three"] {
        append_durably(&log, payload.as_bytes());
    }
    storage.kill_process();
    drop(log);
    storage
}

fn offset_of(storage: &ForgettingStorage, name: &str, text: &str) -> usize {
    let content = storage.content(name).unwrap();
    content.windows(text.len()).position(|window| window == text.as_bytes()).unwrap()
}

#[test]
fn a_damaged_record_before_a_later_batch_stops_the_start_with_file_offset_and_remedy() {
    let storage = log_of_three();
    let at = offset_of(&storage, FIRST, "two");
    storage.corrupt(FIRST, |bytes| bytes[at] ^= 1).unwrap();
    let Err(OpenError::Damaged(damaged)) = Log::open(storage.handle(), small()) else { panic!("must not open") };
    assert_eq!(damaged.offset, at as u64 - 40);
    let text = damaged.to_string();
    for part in [FIRST, "checksum", "later batch", "restore"] {
        assert!(text.contains(part), "{text}");
    }
}

#[test]
fn every_flipped_bit_of_a_header_or_payload_is_noticed() {
    let storage = log_of_three();
    let at = offset_of(&storage, FIRST, "two");
    for bit in 0..(40 + 3) * 8 {
        let (byte, mask) = (at - 40 + bit / 8, 1 << (bit % 8));
        storage.corrupt(FIRST, |bytes| bytes[byte] ^= mask).unwrap();
        let opened = Log::open(storage.handle(), small());
        assert!(matches!(opened, Err(OpenError::Damaged(_))), "bit {bit}");
        storage.corrupt(FIRST, |bytes| bytes[byte] ^= mask).unwrap();
    }
    let (_, seen) = open(&storage, &small());
    assert_eq!(payloads(&seen), ["one", "two", "three"]);
}

#[test]
fn damage_to_the_last_batch_of_an_idle_log_is_not_taken_for_a_torn_tail() {
    let options = Options { idle_mark_after: Some(Duration::ZERO), ..small() };
    let storage = storage();
    let (log, _) = open(&storage, &options);
    append_durably(&log, b"only");
    while marks(&storage) == 0 {
        std::thread::yield_now();
    }
    storage.kill_process();
    drop(log);
    let at = offset_of(&storage, FIRST, "only");
    storage.corrupt(FIRST, |bytes| bytes[at] ^= 1).unwrap();
    assert!(matches!(Log::open(storage.handle(), options), Err(OpenError::Damaged(_))));
}

/// Marks in the first segment: kind 3, last of its unit, no payload.
fn marks(storage: &ForgettingStorage) -> usize {
    let content = storage.content(FIRST).unwrap();
    let records = content[64..].chunks_exact(8).filter(|chunk| chunk[4..] == [3, 1, 0, 0]);
    records.count()
}

#[test]
fn garbage_behind_the_last_record_is_cut_off() {
    let storage = log_of_three();
    let end = offset_of(&storage, FIRST, "three") + 8;
    storage.corrupt(FIRST, |bytes| bytes[end..].fill(0xa5)).unwrap();
    let (log, seen) = open(&storage, &small());
    assert_eq!(payloads(&seen), ["one", "two", "three"]);
    append_durably(&log, b"four");
    storage.cut_power();
    drop(log);
    let (_, seen) = open(&storage, &small());
    assert_eq!(payloads(&seen), ["one", "two", "three", "four"]);
}

fn log_of_segments() -> ForgettingStorage {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    for n in 0..30_u8 {
        append_durably(&log, &[n + 1; 1000]);
    }
    storage.kill_process();
    drop(log);
    storage
}

#[test]
fn damage_in_an_older_segment_stops_the_replay() {
    let storage = log_of_segments();
    storage.corrupt(FIRST, |bytes| bytes[5000] ^= 1).unwrap();
    let (log, replay) = Log::open(storage.handle(), small()).unwrap();
    let text = see(replay).unwrap_err();
    assert!(text.contains(FIRST) && text.contains("restore"), "{text}");
    drop(log);
}

#[test]
fn an_older_segment_that_lost_its_end_stops_the_replay() {
    let storage = log_of_segments();
    let content = storage.content(FIRST).unwrap();
    let last = content.iter().rposition(|byte| *byte != 0).unwrap();
    let begin = last - 999 - 40;
    storage.corrupt(FIRST, |bytes| bytes[begin..].fill(0)).unwrap();
    let (_log, replay) = Log::open(storage.handle(), small()).unwrap();
    assert!(see(replay).unwrap_err().contains("the end of the segment before is missing"));
}

#[test]
fn a_missing_or_foreign_or_short_segment_stops_the_start() {
    let changes: [fn(&ForgettingStorage); 4] = [
        |storage| storage.handle().remove(FIRST).unwrap(),
        |storage| storage.handle().remove("00000000000000000002.segment").unwrap(),
        |storage| storage.corrupt(FIRST, |bytes| bytes[20] ^= 1).unwrap(),
        |storage| storage.corrupt(FIRST, |bytes| bytes[40] ^= 1).unwrap(),
    ];
    for change in changes {
        let storage = log_of_segments();
        change(&storage);
        assert!(matches!(Log::open(storage.handle(), small()), Err(OpenError::Damaged(_))));
    }
}

#[test]
fn a_copy_of_a_segment_under_another_name_is_none() {
    let storage = log_of_segments();
    let copy = storage.handle().create("1.segment").unwrap();
    copy.write_at(&storage.content(FIRST).unwrap(), 0).unwrap();
    assert_eq!(open(&storage, &small()).1.len(), 30);
}

#[test]
fn a_record_that_changed_on_the_disk_is_not_served() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    let position = append_durably(&log, b"payload");
    let at = offset_of(&storage, FIRST, "payload");
    storage.corrupt(FIRST, |bytes| bytes[at] ^= 1).unwrap();
    assert!(matches!(log.read(position), Err(ReadError::Damaged(_))));
}

/// No other try would find it.
#[test]
fn a_record_of_a_segment_that_was_cut_is_damaged() {
    for cut_by in [0, 20, 50] {
        let storage = storage();
        let (log, _) = open(&storage, &small());
        let name = append_durably(&log, &[7; 4000]);
        let from = offset_of(&storage, FIRST, "\u{7}\u{7}\u{7}") - 40;
        storage.corrupt(FIRST, |bytes| bytes.truncate(from + cut_by)).unwrap();
        let read = log.read(name);
        assert!(matches!(&read, Err(ReadError::Damaged(damaged)) if damaged.what.contains("cut")), "{read:?}");
    }
}

#[test]
fn a_segment_of_another_version_is_not_called_damaged_and_is_left_alone() {
    let storage = log_of_segments();
    set_version(&storage, FIRST, 3).unwrap();
    let before = storage.content(FIRST).unwrap();
    let Err(error) = Log::open(storage.handle(), small()) else { panic!("must not open") };
    assert!(matches!(error, OpenError::Version { found: 3, .. }));
    let text = error.to_string();
    for part in [FIRST, "version 3 of the format", "knows up to version 2", "start the program that wrote it"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(storage.content(FIRST).unwrap(), before);
}
