//! A disk that is full, and then has space again.

use std::sync::{Arc, Mutex};

use commitlog::{AppendError, Appended, Log, Need, NewRecord, OpenError, Part};

use crate::harness::{KIND, append_durably, open, small, storage};

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

#[test]
fn a_log_that_cannot_be_made_says_what_to_do() {
    let storage = storage();
    storage.set_full(true);
    let Err(OpenError::Storage { path, .. }) = Log::open(storage.handle(), small()) else { panic!("must not open") };
    assert!(path.contains("0001.segment"));
    let Err(error) = Log::open(storage.handle(), small()) else { panic!("must not open") };
    assert!(error.to_string().contains("free space"), "{error}");
}
