//! What the log may take of its disk: its own limit, and what it leaves to others.

use std::time::{Duration, Instant};

use commitlog::storage::Storage as _;
use commitlog::testing::ForgettingStorage;
use commitlog::{AppendError, DiskStorage, Log, LogOwner, Need, NewRecord, OpenError, Options, Part};

use crate::harness::{KIND, open, small, storage};

const SEGMENT: u64 = 16 << 10;
const LEAST: u64 = 6 * SEGMENT;
/// In the place of the first segment.
const STUB: u64 = 64;

fn limited() -> Options {
    Options { space_max: LEAST, owners: 1, reclaim_above: 1 << 40, ..small() }
}

fn wait_for(what: &str, mut is: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_secs(20), "never: {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

fn register(log: &Log, live_bytes: u64) -> LogOwner {
    let owner = log.register_owner("test");
    owner.set_live_bytes(live_bytes);
    owner
}

fn append(log: &Log, need: Need) -> Result<(), AppendError> {
    loop {
        match log.append(need, &[NewRecord::new(KIND, 9, &[Part::Bytes(&[1; 700])])]) {
            Err(AppendError::Busy) => std::thread::yield_now(),
            appended => return appended.map(|appended| log.wait_durable(appended.end).unwrap()),
        }
    }
}

/// Appends until the log refuses. Returns how many it took.
fn fill(log: &Log, need: Need) -> usize {
    let taken = (0..1000).take_while(|_| append(log, need).is_ok()).count();
    assert!(taken < 1000, "nothing is refused");
    taken
}

fn bytes(storage: &ForgettingStorage) -> u64 {
    storage
        .handle()
        .list()
        .unwrap()
        .iter()
        .filter_map(|name| storage.content(name).ok())
        .map(|it| it.len() as u64)
        .sum()
}

#[test]
fn a_log_that_takes_all_that_it_may_refuses_what_is_new_and_goes_on_with_the_rest() {
    let storage = storage();
    let (log, _) = open(&storage, &limited());
    let _owner = register(&log, 1 << 30);
    assert!(fill(&log, Need::Normal) > 20);
    assert!(bytes(&storage) <= LEAST, "{} bytes", bytes(&storage));
    assert!(log.is_full_for(Need::Normal, 740));
    append(&log, Need::Essential).unwrap();
}

#[test]
fn a_log_at_its_limit_gets_room_from_its_oldest_segments() {
    let storage = storage();
    let (log, _) = open(&storage, &limited());
    let mut owner = register(&log, 1 << 30);
    fill(&log, Need::Normal);
    owner.set_live_bytes(0);
    for _ in 0..20 {
        wait_for("accepted again", || {
            if let Some(wanted) = owner.wanted() {
                owner.vacate(wanted.number);
            }
            append(&log, Need::Normal).is_ok()
        });
        fill(&log, Need::Normal);
        assert!(bytes(&storage) <= LEAST + STUB, "{} bytes", bytes(&storage));
    }
    assert!(*log.segments().start() > 5);
}

#[test]
fn a_log_that_is_larger_than_it_may_be_starts_and_shrinks() {
    let storage = storage();
    let unlimited = Options { space_max: u64::MAX, ..limited() };
    let (log, _) = open(&storage, &unlimited);
    while *log.segments().end() < 12 {
        append(&log, Need::Normal).unwrap();
    }
    log.close().unwrap();
    drop(log);
    let (log, _) = open(&storage, &limited());
    let mut owner = register(&log, 0);
    fill(&log, Need::Normal);
    wait_for("small enough", || {
        if let Some(wanted) = owner.wanted() {
            owner.vacate(wanted.number);
        }
        bytes(&storage) <= LEAST + STUB && append(&log, Need::Normal).is_ok()
    });
}

#[test]
fn a_limit_that_no_log_can_go_on_with_is_refused_with_the_least_one() {
    let refused = Log::open(storage().handle(), Options { space_max: LEAST - 1, ..small() });
    let Err(error @ OpenError::Options { option: "space_max", .. }) = refused else { panic!("must not open") };
    assert!(error.to_string().contains(&LEAST.to_string()), "{error}");
}

#[test]
fn the_log_leaves_the_last_of_the_disk_to_others() {
    let storage = storage();
    let options = Options { disk_free_min: 100_000, ..small() };
    storage.set_free_space(100_000 + SEGMENT - 1);
    let (log, _) = open(&storage, &options);
    wait_for("full", || log.is_full_for(Need::Normal, 16_000));
    assert!(storage.content("spare").is_err(), "the spare file would take of it too");
    fill(&log, Need::Normal);
    append(&log, Need::Essential).unwrap();
    assert_eq!(bytes(&storage), SEGMENT);
    storage.set_free_space(100_000 + SEGMENT);
    wait_for("accepted again", || append(&log, Need::Normal).is_ok());
}

#[test]
fn a_real_disk_says_what_is_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let free = DiskStorage::new(folder.path()).free_space().unwrap();
    assert!((1 << 20..1 << 60).contains(&free), "{free} bytes");
}
