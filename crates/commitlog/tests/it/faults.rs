//! Injected bugs and errors: the checker of the crash tests must find the first, the log must survive the second.

use std::io::ErrorKind;
use std::time::Duration;

use commitlog::testing::{Call, Lie, Nothing, Op};
use commitlog::{AppendError, Fault, Log, LogEvent, Need, NewRecord, Options, Part, SyncMode, WaitError};

use crate::harness::{
    KIND, Run, append, append_durably, append_patiently, open, payloads, run, see, small, storage, wait_until_prepared,
    watch_poison,
};

fn losses(run: &Run) -> usize {
    let checks = run.moments().map(|at| run.check(at, &mut Nothing));
    checks.filter(|check| check.as_ref().is_err_and(|error| error.starts_with("lost"))).count()
}

/// Losses, and starts that failed.
fn findings(run: &Run) -> usize {
    run.moments().filter(|at| run.check(*at, &mut Nothing).is_err()).count()
}

#[test]
fn the_checker_finds_nothing_in_a_log_without_a_bug() {
    assert_eq!(findings(&run(&storage(), &small(), 12, 3)), 0);
}

#[test]
fn the_checker_finds_that_fdatasync_was_left_out() {
    let options = Options { fault: Fault::SkipSync, ..small() };
    assert!(losses(&run(&storage(), &options, 12, 3)) > 0);
}

#[test]
fn the_checker_finds_that_the_acknowledgement_came_before_the_write() {
    let options = Options { fault: Fault::AckBeforeWrite { delay: Duration::ZERO }, ..small() };
    assert!(losses(&run(&storage(), &options, 12, 3)) > 0);
}

#[test]
fn the_checker_finds_a_disk_that_ignores_syncs() {
    let storage = storage();
    storage.set_lie(Lie::IgnoreSync);
    assert!(findings(&run(&storage, &small(), 12, 3)) > 0);
}

#[test]
fn the_checker_finds_a_disk_that_syncs_after_it_said_so() {
    let storage = storage();
    storage.set_lie(Lie::SyncLate);
    assert!(findings(&run(&storage, &small(), 12, 3)) > 0);
}

/// With `SyncMode::Os` what was said to be durable may be in the page cache only, and after a failed sync stays there.
#[test]
fn a_stop_whose_sync_fails_is_not_clean() {
    let storage = storage();
    let options = Options { sync: SyncMode::Os, ..small() };
    let (log, _) = open(&storage, &options);
    wait_until_prepared(&storage);
    append_durably(&log, b"kept");
    storage.fail(Call::Sync, 0, ErrorKind::Other);
    assert!(matches!(log.close(), Err(WaitError::Poisoned(_))));
    drop(log);
    let written = storage.counts().writes;
    storage.kill_process();
    let (_log, seen) = open(&storage, &options);
    assert_eq!(payloads(&seen), ["kept"]);
    assert!(storage.counts().writes > written + 1, "the start has copied the last segment before it went on");
}

#[test]
fn a_watcher_that_panics_is_a_failure_of_the_log_and_leaves_nobody_waiting() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    let told = watch_poison(&log);
    log.watch(Box::new(|event| assert!(!matches!(event, LogEvent::Durable(_)), "a bug in a watcher")));
    // What the watcher was told of is durable; nothing after it will be.
    append(&log, b"durable");
    // Ends when the threads have ended, and says nothing of what was durable before.
    let _ = log.close();
    assert!(matches!(told.lock().unwrap().last(), Some(LogEvent::Poisoned(_))));
    let refusal = log.append(Need::Normal, &[NewRecord::new(KIND, 7, &[Part::Bytes(b"later")])]);
    assert!(matches!(refusal, Err(AppendError::Poisoned(_))));
}

#[test]
fn a_failed_sync_poisons_the_log_and_tells_the_watchers() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    let told = watch_poison(&log);
    append_durably(&log, b"kept");
    wait_until_prepared(&storage);
    storage.fail(Call::Sync, 0, ErrorKind::Other);
    let lost = append(&log, b"lost");
    assert!(matches!(log.wait_durable(lost.end), Err(WaitError::Poisoned(_))));
    assert!(log.durable() < lost.end);
    let again = log.append(Need::Essential, &[NewRecord::new(KIND, 0, &[Part::Bytes(b"x")])]);
    assert!(matches!(again, Err(AppendError::Poisoned(_))));
    log.close().unwrap_err();
    let told = told.lock().unwrap();
    assert!(matches!(told.last(), Some(LogEvent::Poisoned(reason)) if reason.contains("memory/")), "{told:?}");
    assert_eq!(storage.counts().injected, 1);
}

#[test]
fn who_watches_a_poisoned_log_is_told_at_once() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    wait_until_prepared(&storage);
    storage.fail(Call::Write, 0, ErrorKind::Other);
    let lost = append(&log, b"lost");
    log.wait_durable(lost.end).unwrap_err();
    log.close().unwrap_err();
    assert!(matches!(watch_poison(&log).lock().unwrap()[..], [LogEvent::Poisoned(_)]));
}

#[test]
fn what_only_the_page_cache_has_after_a_failed_sync_is_written_again_before_it_is_served() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    wait_until_prepared(&storage);
    storage.fail(Call::Sync, 0, ErrorKind::Other);
    let lost = append(&log, b"in the page cache only");
    log.wait_durable(lost.end).unwrap_err();
    drop(log);
    storage.kill_process();

    let (log, seen) = open(&storage, &small());
    assert_eq!(payloads(&seen), ["in the page cache only"], "the cache shows it");
    storage.cut_power();
    drop(log);

    let (_, seen) = open(&storage, &small());
    assert_eq!(payloads(&seen), ["in the page cache only"], "what was served once does not go away");
}

/// Calls of this kind that come after `before` others fail, as when there are no descriptors for a while. Before the
/// second segment are those of the first one, of the start, and of the spare file.
fn prepare_with_failures(call: Call, before: u64, times: u64) -> (commitlog::testing::ForgettingStorage, Log) {
    let storage = storage();
    (0..times).for_each(|nth| storage.fail(call, before + nth, ErrorKind::Other));
    let (log, _) = open(&storage, &small());
    while storage.counts().injected == 0 {
        std::thread::yield_now();
    }
    (storage, log)
}

fn append_when_there_is_room(log: &Log, payload: &[u8]) {
    let parts = [Part::Bytes(payload)];
    let appended = loop {
        match append_patiently(log, &[NewRecord::new(KIND, 7, &parts)]) {
            Err(AppendError::Full) => std::thread::yield_now(),
            appended => break appended.unwrap(),
        }
    };
    log.wait_durable(appended.end).unwrap();
}

#[test]
fn a_segment_that_cannot_be_made_is_tried_again_whatever_fails_before_it_has_its_name() {
    for (call, before) in [
        // Of the spare file.
        (Call::Create, 1),
        (Call::Allocate, 1),
        (Call::Sync, 2),
        // Of the segment.
        (Call::Create, 2),
        (Call::Allocate, 2),
        (Call::Write, 2),
        (Call::Sync, 3),
        (Call::Rename, 1),
    ] {
        let (storage, log) = prepare_with_failures(call, before, 3);
        while storage.counts().injected < 3 {
            std::thread::yield_now();
        }
        for n in 0..40_u8 {
            append_when_there_is_room(&log, &[n; 1000]);
        }
        log.close().unwrap_or_else(|error| panic!("{call:?}: {error}"));
        drop(log);
        storage.cut_power();
        assert_eq!(open(&storage, &small()).1.len(), 40, "{call:?}");
    }
}

#[test]
fn a_folder_that_cannot_be_synced_poisons_the_log() {
    let (_storage, log) = prepare_with_failures(Call::SyncFolder, 1, 1);
    let told = watch_poison(&log);
    while told.lock().unwrap().is_empty() {
        std::thread::yield_now();
    }
    assert!(matches!(told.lock().unwrap()[..], [LogEvent::Poisoned(_)]));
    let refusal = log.append(Need::Essential, &[NewRecord::new(KIND, 7, &[])]);
    assert!(matches!(refusal, Err(AppendError::Poisoned(_))));
}

/// Every call of a whole life (make, append over segments, stop, start again) fails once; whatever happens, the next
/// start without errors shows all that was durable.
#[test]
fn an_error_at_any_call_loses_nothing_acknowledged() {
    let mut fired = 0;
    for nth in 0.. {
        let storage = storage();
        storage.fail_any(nth, ErrorKind::Other);
        let durable = life_until_error(&storage);
        let injected = storage.counts().injected;
        fired += injected;
        storage.cut_power();
        let (log, replay) = Log::open(storage.handle(), small()).unwrap_or_else(|error| panic!("call {nth}: {error}"));
        let seen = see(replay).unwrap();
        assert!(seen.len() >= durable, "call {nth}: {durable} were durable, {} are there", seen.len());
        assert!(seen.iter().enumerate().all(|(n, seen)| seen.payload == payload(n)), "call {nth}: order and content");
        append_durably(&log, b"goes on");
        if injected == 0 {
            break;
        }
    }
    assert!(fired > 50, "only {fired} errors were injected");
}

fn payload(n: usize) -> Vec<u8> {
    format!("{n}-{}", "x".repeat(1500)).into_bytes()
}

/// How many records were said to be durable.
fn life_until_error(storage: &commitlog::testing::ForgettingStorage) -> usize {
    let mut durable = 0;
    for _ in 0..2 {
        let Ok((log, replay)) = Log::open(storage.handle(), small()) else { return durable };
        if see(replay).is_err() {
            return durable;
        }
        for _ in 0..12 {
            let bytes = payload(durable);
            let Ok(appended) = append_patiently(&log, &[NewRecord::new(KIND, 0, &[Part::Bytes(&bytes)])]) else {
                return durable;
            };
            if log.wait_durable(appended.end).is_err() {
                return durable;
            }
            durable += 1;
        }
        if log.close().is_err() {
            return durable;
        }
    }
    durable
}

/// There may be no descriptor for a moment.
#[test]
fn a_spare_file_that_cannot_be_opened_now_is_not_taken_for_missing() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    wait_until_prepared(&storage);
    for call in [Call::Open, Call::Create] {
        storage.fail(call, 0, ErrorKind::Other);
    }
    for n in 0..20_u8 {
        append_when_there_is_room(&log, &[n; 1000]);
    }
    while storage.counts().injected < 2 {
        std::thread::yield_now();
    }
    let trace = storage.trace();
    assert!(!trace.ops().iter().any(|op| matches!(op, Op::Remove { name } if name == "spare")), "it was removed");
    let made = trace.ops().iter().filter(|op| matches!(op, Op::Create { name, .. } if name == "spare")).count();
    assert_eq!(made, 1, "it was made again");
}
