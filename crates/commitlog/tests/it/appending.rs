//! Appends, reads, batches and stops.

use commitlog::testing::Op;
use commitlog::{AppendError, LogEvent, Need, NewRecord, Options, Part, Position, ReadError, WaitError};

use crate::harness::{KIND, append, append_durably, open, payloads, small, storage, wait_until_prepared, watch_poison};

#[test]
fn all_that_arrives_during_a_sync_shares_the_next_one() {
    let storage = storage();
    let (log, _) = open(&storage, &Options { segment_size: 1 << 20, ..small() });
    wait_until_prepared(&storage);
    let before = storage.counts();
    storage.hold_syncs();
    let first = append(&log, b"first");
    while storage.counts().writes == before.writes {
        std::thread::yield_now();
    }
    let ends: Vec<Position> = (0..1000).map(|n| append(&log, format!("{n}").as_bytes()).end).collect();
    let last = ends[999];
    assert!(log.durable() < first.end, "nothing is durable before its sync");
    storage.release_syncs();
    log.wait_durable(last).unwrap();
    assert_eq!(storage.counts().syncs - before.syncs, 2);
    assert_eq!(storage.counts().writes - before.writes, 2);
}

#[test]
fn watchers_hear_of_each_sync_in_order() {
    let (log, _) = open(&storage(), &small());
    let told = watch_poison(&log);
    let ends: Vec<Position> = (0..5)
        .map(|n| {
            let appended = append(&log, &[n]);
            log.wait_durable(appended.end).unwrap();
            appended.end
        })
        .collect();
    log.close().unwrap();
    let told = told.lock().unwrap();
    let expected: Vec<LogEvent> = ends.into_iter().map(LogEvent::Durable).collect();
    assert_eq!(told[..5], expected, "and a sixth for the mark of the stop");
    assert_eq!(told.len(), 6);
}

#[test]
fn a_record_names_the_position_of_another_one_of_its_append() {
    let (log, _) = open(&storage(), &small());
    let message = NewRecord::new(KIND, 1, &[Part::Bytes(b"message")]);
    let reference = NewRecord::new(KIND + 1, 2, &[Part::Bytes(b"to "), Part::PositionOf(0)]);
    let appended = log.append(Need::Normal, &[message, reference]).unwrap();
    let read = log.read(appended.positions[1]).unwrap();
    let named = Position::from_bytes(read.payload[3..].try_into().unwrap());
    assert_eq!(named, appended.positions[0]);
    assert_eq!(log.read(named).unwrap().payload, b"message");
}

#[test]
fn a_record_is_read_while_it_is_pending_and_after() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    storage.hold_syncs();
    let written = append(&log, &[1; 3000]);
    let pending = append(&log, &[2; 3000]);
    for (appended, byte) in [(&written, 1), (&pending, 2)] {
        assert_eq!(log.read(appended.positions[0]).unwrap().payload, [byte; 3000]);
    }
    storage.release_syncs();
    log.wait_durable(pending.end).unwrap();
    let record = log.read(pending.positions[0]).unwrap();
    assert_eq!((record.kind, record.owner, record.position), (KIND, 7, pending.positions[0]));
    assert_eq!(record.payload, [2; 3000]);
    assert!(matches!(log.read(pending.end), Err(ReadError::OutOfRange(_))));
    assert!(matches!(log.read(Position(0)), Err(ReadError::OutOfRange(_))));
}

#[test]
fn records_go_on_in_the_next_segment_and_come_back_in_order() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    let positions: Vec<Position> = (0..40_u8).map(|n| append_durably(&log, &[n; 1000])).collect();
    assert!(positions.windows(2).all(|pair| pair[0] < pair[1]));
    for (n, position) in (0_u8..).zip(&positions) {
        assert_eq!(log.read(*position).unwrap().payload, [n; 1000]);
    }
    log.close().unwrap();
    drop(log);
    let (log, seen) = open(&storage, &small());
    assert_eq!(seen.iter().map(|seen| seen.position).collect::<Vec<_>>(), positions);
    assert_eq!(log.read(positions[0]).unwrap().payload, [0; 1000]);
}

#[test]
fn what_can_never_fit_is_refused_and_costs_nothing() {
    let options = Options { segment_size: 4 << 20, append_bytes_max: 1 << 20, ..small() };
    let (log, _) = open(&storage(), &options);
    let too_large = vec![0; 2 << 20];
    let refused = log.append(Need::Normal, &[NewRecord::new(KIND, 0, &[Part::Bytes(&too_large)])]);
    assert!(matches!(refused, Err(AppendError::TooLarge { bytes, max: 1_048_576 }) if bytes > 2 << 20));
    append_durably(&log, b"goes on");
}

#[test]
fn mistakes_of_the_caller_are_refused() {
    let (log, _) = open(&storage(), &small());
    let refusals: [&[NewRecord<'_>]; 3] =
        [&[], &[NewRecord::new(0x1f, 0, &[])], &[NewRecord::new(KIND, 0, &[Part::PositionOf(1)])]];
    for records in refusals {
        assert!(matches!(log.append(Need::Normal, records), Err(AppendError::Invalid(_))));
    }
}

#[test]
fn too_much_pending_is_refused_without_waiting_and_essentials_may_go_further() {
    let storage = storage();
    let (log, _) = open(&storage, &Options { pending_bytes_max: 4000, ..small() });
    storage.hold_syncs();
    let bytes = [0; 1000];
    let payload = [Part::Bytes(&bytes)];
    let record = NewRecord::new(KIND, 0, &payload);
    let accepted = (0..10).take_while(|_| log.append(Need::Normal, &[record]).is_ok()).count();
    assert_eq!(accepted, 3);
    assert_eq!(log.append(Need::Normal, &[record]), Err(AppendError::Busy));
    let appended = log.append(Need::Essential, &[record]).unwrap();
    storage.release_syncs();
    log.wait_durable(appended.end).unwrap();
    append_durably(&log, &bytes);
}

#[test]
fn a_clean_stop_keeps_the_segment_and_an_unclean_one_copies_it() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    append_durably(&log, b"one");
    log.close().unwrap();
    drop(log);
    let creations = |storage: &commitlog::testing::ForgettingStorage| {
        let trace = storage.trace();
        let named = |op: &Op| match op {
            Op::Rename { to, .. } | Op::Exchange { other: to, .. } => to.contains("0001.segment"),
            _ => false,
        };
        trace.ops().iter().filter(|op| named(op)).count()
    };
    assert_eq!(creations(&storage), 1);
    let (log, seen) = open(&storage, &small());
    assert_eq!((payloads(&seen), log.epoch().0), (vec!["one".to_owned()], 2));
    assert_eq!(creations(&storage), 1, "clean: nothing was copied");
    append_durably(&log, b"two");
    storage.kill_process();
    drop(log);
    let (log, seen) = open(&storage, &small());
    assert_eq!((payloads(&seen), log.epoch().0), (vec!["one".to_owned(), "two".to_owned()], 3));
    assert_eq!(creations(&storage), 2, "unclean: copied");
}

#[test]
fn a_closed_log_refuses_and_lets_the_lock_go() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    let locked = commitlog::Log::open(storage.handle(), small());
    assert!(matches!(locked, Err(commitlog::OpenError::Locked { .. })));
    let appended = append(&log, b"last");
    log.close().unwrap();
    log.close().unwrap();
    assert_eq!(log.durable().max(appended.end), log.durable());
    let refused = log.append(Need::Normal, &[NewRecord::new(KIND, 0, &[])]);
    assert_eq!(refused, Err(AppendError::Closed));
    assert!(matches!(log.wait_durable(Position(u64::MAX)), Err(WaitError::Closed(_))));
    let (_, seen) = open(&storage, &small());
    assert_eq!(payloads(&seen), ["last"]);
}

#[test]
fn a_stop_at_any_distance_from_a_segments_end_is_found_again() {
    for slack in (8..=240).step_by(8) {
        let storage = storage();
        let (log, _) = open(&storage, &small());
        let start = log.durable().0 % (16 << 10);
        let room = (16 << 10) - 168 - start - 40 - slack;
        let filler = vec![1; usize::try_from(room).unwrap()];
        append_durably(&log, &filler);
        assert_eq!(log.durable().0 % (16 << 10), (16 << 10) - 168 - slack);
        log.close().unwrap();
        drop(log);
        for expected in 1..4 {
            let (log, seen) = open(&storage, &small());
            assert_eq!(seen.len(), expected, "slack {slack}");
            append_durably(&log, b"more");
            if expected == 2 {
                storage.cut_power();
            } else {
                log.close().unwrap();
            }
            drop(log);
        }
    }
}

#[test]
fn a_watcher_may_drop_the_last_handle() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    let kept = std::sync::Mutex::new(None);
    let kept = std::sync::Arc::new(kept);
    let last = std::sync::Arc::clone(&kept);
    log.watch(Box::new(move |_| drop(last.lock().unwrap().take())));
    storage.hold_syncs();
    append(&log, b"one");
    *kept.lock().unwrap() = Some(log);
    storage.release_syncs();
    // The lock is let go once the threads have ended.
    let (_, replay) = loop {
        match commitlog::Log::open(storage.handle(), small()) {
            Err(commitlog::OpenError::Locked { .. }) => std::thread::yield_now(),
            opened => break opened.unwrap(),
        }
    };
    assert_eq!(payloads(&crate::harness::see(replay).unwrap()), ["one"]);
}

#[test]
fn an_existing_log_keeps_its_segment_size() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    let position = append_durably(&log, b"one");
    log.close().unwrap();
    drop(log);
    let (log, seen) = open(&storage, &Options { segment_size: 1 << 20, ..small() });
    assert_eq!(seen[0].position, position);
    assert_eq!(log.read(position).unwrap().payload, b"one");
}

#[test]
fn many_threads_append_and_each_finds_its_records() {
    let storage = storage();
    let (log, _) = open(&storage, &Options { segment_size: 64 << 10, ..small() });
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            let log = log.clone();
            scope.spawn(move || {
                for n in 0..50_u8 {
                    let position = append_durably(&log, &[thread, n, 0, 0, 0]);
                    assert_eq!(log.read(position).unwrap().payload, [thread, n, 0, 0, 0]);
                }
            });
        }
    });
    log.close().unwrap();
    drop(log);
    let (_, seen) = open(&storage, &small());
    for thread in 0..8_u8 {
        let own: Vec<u8> = seen.iter().filter(|seen| seen.payload[0] == thread).map(|seen| seen.payload[1]).collect();
        assert_eq!(own, (0..50).collect::<Vec<u8>>());
    }
}

#[test]
fn a_replay_ends_with_the_first_refusal() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    for n in 0..3 {
        append_durably(&log, &[n]);
    }
    log.close().unwrap();
    drop(log);
    let (_log, replay) = commitlog::Log::open(storage.handle(), small()).unwrap();
    let mut seen = 0;
    let result = replay.run(|record| {
        seen += 1;
        if record.payload == [1] { Err("no ones") } else { Ok(()) }
    });
    assert!(matches!(result, Err(commitlog::ReplayError::Apply("no ones"))), "{result:?}");
    assert_eq!(seen, 2);
}

#[test]
fn who_closes_a_log_that_another_one_is_closing_waits_for_it() {
    let storage = storage();
    let (log, _) = open(&storage, &small());
    wait_until_prepared(&storage);
    storage.hold_syncs();
    append(&log, b"last");
    let record = [NewRecord::new(KIND, 7, &[])];
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| log.close());
        while log.append(Need::Normal, &record) != Err(AppendError::Closed) {
            std::thread::yield_now();
        }
        let second = scope.spawn(|| log.close());
        // Long enough for a close that does not wait to be over.
        (0..1000).for_each(|_| std::thread::yield_now());
        storage.release_syncs();
        (first.join().unwrap(), second.join().unwrap())
    });
    assert_eq!((first, second), (Ok(()), Ok(())));
    let (_, seen) = open(&storage, &small());
    assert!(payloads(&seen).iter().any(|payload| payload == "last"));
}
