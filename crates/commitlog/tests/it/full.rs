//! A disk that is full, and then has space again.

use std::io::ErrorKind;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use commitlog::testing::{Call, ForgettingStorage};
use commitlog::{AppendError, Appended, Log, Need, NewRecord, OpenError, Options, Part};

use crate::harness::{KIND, append_durably, open, small, storage, wait_until_prepared};

fn try_append(log: &Log, need: Need) -> Result<Appended, AppendError> {
    loop {
        match log.append(need, &[NewRecord::new(KIND, 0, &[Part::Bytes(&[1; 500])])]) {
            Err(AppendError::Busy) => std::thread::yield_now(),
            result => return result,
        }
    }
}

/// Appends until refused; all that was accepted becomes durable.
fn fill(log: &Log, need: Need) -> usize {
    let mut accepted = 0;
    loop {
        match try_append(log, need) {
            Ok(appended) => log.wait_durable(appended.end).unwrap(),
            Err(error) => {
                assert_eq!(error, AppendError::Full);
                return accepted;
            }
        }
        accepted += 1;
    }
}

#[test]
fn a_full_disk_refuses_the_normal_keeps_room_for_the_essential_and_resumes_by_itself() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    append_durably(&log, b"before");
    storage.set_full(true);
    let normal = fill(&log, Need::Normal);
    let essential = fill(&log, Need::Essential);
    assert!(normal > 0 && essential > 0, "{normal} and {essential}");
    assert!(essential >= 2048 / 544, "the reserve is what is left for the essential: {essential}");
    storage.set_full(false);
    let resumed = Arc::new(Mutex::new(false));
    while !*resumed.lock().unwrap() {
        if let Ok(appended) = try_append(&log, Need::Normal) {
            log.wait_durable(appended.end).unwrap();
            *resumed.lock().unwrap() = true;
        }
        std::thread::yield_now();
    }
    log.close().unwrap();
    drop(log);
    let (_, seen) = open(&storage, &small());
    assert_eq!(seen.len(), 1 + normal + essential + 1);
}

/// Every start copies the last segment into the space of the spare file, and gives back that of the old one.
#[test]
fn a_log_that_is_killed_on_a_full_disk_starts_again_and_again() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    wait_until_prepared(&storage);
    storage.set_full(true);
    let mut records = fill(&log, Need::Normal) + fill(&log, Need::Essential);
    drop(log);
    for power_cut in [false, true, false, true] {
        if power_cut {
            storage.cut_power()
        } else {
            storage.kill_process()
        }
        let (log, seen) = open(&storage, &small());
        assert_eq!(seen.len(), records);
        wait_for_spare(&storage);
        drop(log);
    }
    storage.set_full(false);
    storage.kill_process();
    let (log, _) = open(&storage, &small());
    append_durably(&log, b"after");
    records += 1;
    log.close().unwrap();
    drop(log);
    assert_eq!(open(&storage, &small()).1.len(), records);
}

#[test]
fn a_segment_whose_name_was_not_synced_before_a_clean_stop_is_kept_once_it_is_used() {
    let options = Options { full_retry_every: Duration::from_secs(3600), ..small() };
    let storage = storage();
    storage.fail(Call::SyncFolder, 1, ErrorKind::StorageFull);
    let (log, _) = open(&storage, &options);
    while storage.counts().injected == 0 {
        std::thread::yield_now();
    }
    log.close().unwrap();
    drop(log);
    // Another segment's sync would be this one's, too.
    storage.fail(Call::Create, 0, ErrorKind::Other);
    let (log, _) = open(&storage, &options);
    for n in 0..20_u8 {
        append_durably(&log, &[n; 1000]);
    }
    storage.cut_power();
    drop(log);
    assert_eq!(open(&storage, &options).1.len(), 20);
}

/// What the disk has left is kept for others, who take of the space that a start gives back.
#[test]
fn a_log_that_is_killed_on_a_full_disk_starts_again_though_others_take_what_space_there_is() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    wait_until_prepared(&storage);
    storage.set_free_space(0);
    storage.set_full(true);
    let records = fill(&log, Need::Normal) + fill(&log, Need::Essential);
    drop(log);
    for _ in 0..3 {
        storage.kill_process();
        let (log, seen) = open(&storage, &small());
        assert_eq!(seen.len(), records);
        // What is free by now, if that is anything.
        storage.set_full(true);
        drop(log);
    }
}

fn wait_for_spare(storage: &ForgettingStorage) {
    while storage.content("spare").is_err() {
        std::thread::yield_now();
    }
}

#[test]
fn a_log_that_cannot_be_made_says_what_to_do() {
    let storage = storage();
    storage.set_full(true);
    let Err(OpenError::Storage { path, .. }) = Log::open(storage.handle(), small()) else { panic!("must not open") };
    assert!(path.contains("0001.segment"));
    let Err(error) = Log::open(storage.handle(), small()) else { panic!("must not open") };
    assert!(error.to_string().contains("free space"), "{error}");
}
