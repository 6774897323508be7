//! What the log may take of its disk: its own limit, and what it leaves to others.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use commitlog::storage::Storage as _;
use commitlog::testing::{ForgettingStorage, Op};
use commitlog::{
    AppendError, DiskStorage, Log, LogOwner, Need, NewRecord, OpenError, Options, Part, SnapshotError, SnapshotSection,
};

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

/// The most that all files took at any moment.
fn most_bytes(storage: &ForgettingStorage) -> u64 {
    let (mut names, mut sizes) = (BTreeMap::new(), BTreeMap::new());
    let mut most = 0;
    for op in storage.trace().ops() {
        match op {
            Op::Create { name, file } => drop((names.insert(name.clone(), *file), sizes.insert(*file, 0))),
            Op::Write { file, offset, bytes } => {
                let size = sizes.entry(*file).or_default();
                *size = (offset + bytes.len()).max(*size);
            }
            Op::Allocate { file, len } => drop(sizes.insert(*file, *len)),
            Op::Rename { from, to } => {
                let file = names.remove(from).unwrap();
                names.insert(to.clone(), file);
            }
            Op::Remove { name } => drop(names.remove(name)),
            _ => {}
        }
        most = most.max(names.values().map(|file| sizes[file] as u64).sum());
    }
    most
}

/// Segments in which a frame of a snapshot is some bytes.
const LARGE: u64 = 256 << 10;
const FRAME: usize = 300 << 10;
const SNAPSHOT: &str = "snapshot";
const UNFINISHED: &str = "snapshot.new";

fn with_snapshots(space_max: u64) -> Options {
    let size = LARGE as usize;
    Options { segment_size: LARGE, append_bytes_max: size / 8, space_max, snapshot_every: None, ..limited() }
}

fn begin_snapshot(log: &Log, owner: &mut LogOwner) -> SnapshotSection {
    let mut section = None;
    wait_for("snapshot", || {
        let _ = log.request_snapshot();
        section = owner.snapshot_wanted();
        section.is_some()
    });
    section.unwrap()
}

fn push(section: &mut SnapshotSection, bytes: usize) {
    let payload = vec![5; 16 << 10];
    let parts = [Part::Bytes(&payload)];
    for _ in 0..bytes / payload.len() {
        wait_for("pushed", || match section.push(&[NewRecord::new(KIND, 0, &parts)]) {
            Err(SnapshotError::Busy) => false,
            pushed => {
                pushed.unwrap();
                true
            }
        });
    }
}

/// Puts so many bytes into a snapshot, and writes it.
fn take_snapshot(storage: &ForgettingStorage, log: &Log, owner: &mut LogOwner, bytes: usize) {
    let mut section = begin_snapshot(log, owner);
    push(&mut section, bytes);
    section.finish();
    log.wait_for_snapshot(Duration::from_secs(20));
    assert!(storage.content(SNAPSHOT).unwrap().len() > bytes - (16 << 10));
}

fn wait_until_ready(storage: &ForgettingStorage, log: &Log) {
    let last = format!("{:020}.segment", log.segments().end() + 2);
    wait_for(&last, || storage.content(&last).is_ok());
}

/// How many appends a log takes until it is full: on a disk of this size, or within this limit; after this was done with
/// the snapshots that it has room for.
fn taken(room: usize, space_max: u64, snapshots: impl Fn(&ForgettingStorage, &Log, &mut LogOwner)) -> usize {
    let storage = storage();
    let options = Options { disk_free_min: 100_000, ..with_snapshots(space_max) };
    let (log, _) = open(&storage, &options);
    let mut owner = register(&log, 1 << 30);
    wait_until_ready(&storage, &log);
    storage.set_room(room);
    snapshots(&storage, &log, &mut owner);
    let taken = (0..10_000).take_while(|_| append(&log, Need::Normal).is_ok()).count();
    assert!(most_bytes(&storage) <= space_max, "{} bytes", most_bytes(&storage));
    let left = storage.handle().free_space().unwrap();
    assert!(left >= 100_000, "{left} bytes are left");
    assert!(storage.content(UNFINISHED).is_err());
    taken
}

/// On a disk, or within a limit, that has room for three segments more and a bit.
#[test]
fn a_snapshot_takes_no_room_from_what_is_appended() {
    const ROOM: usize = 3 * LARGE as usize + 120_000;
    for (room, space_max) in [(ROOM, u64::MAX), (usize::MAX / 2, 7 * LARGE + 20_000)] {
        let alone = taken(room, space_max, |_, _, _| {});
        assert!(alone > 1000, "{alone}");
        let written = taken(room, space_max, |storage, log, owner| take_snapshot(storage, log, owner, FRAME));
        assert_eq!(written, alone, "beside a snapshot");
        let underway = taken(room, space_max, |storage, log, owner| {
            let mut section = begin_snapshot(log, owner);
            push(&mut section, FRAME);
            wait_for("written", || storage.content(UNFINISHED).is_ok_and(|content| content.len() > LARGE as usize));
            std::mem::forget(section);
        });
        assert_eq!(underway, alone, "beside a snapshot that is being written");
        let second = taken(room, space_max, |storage, log, owner| {
            take_snapshot(storage, log, owner, FRAME / 4);
            let mut section = begin_snapshot(log, owner);
            push(&mut section, FRAME);
            std::mem::forget(section);
        });
        assert_eq!(second, alone, "beside the second snapshot");
    }
}

#[test]
fn a_snapshot_leaves_the_last_of_the_disk_to_others() {
    let storage = storage();
    let options = Options { disk_free_min: 100_000, ..with_snapshots(u64::MAX) };
    let (log, _) = open(&storage, &options);
    let mut owner = register(&log, 0);
    wait_until_ready(&storage, &log);
    storage.set_room(100_000 + FRAME / 2);
    let mut section = begin_snapshot(&log, &mut owner);
    let parts = [Part::Bytes(&[5; 16 << 10])];
    wait_for("given up", || section.push(&[NewRecord::new(KIND, 0, &parts)]) == Err(SnapshotError::GivenUp));
    for name in [SNAPSHOT, UNFINISHED] {
        assert!(storage.content(name).is_err(), "{name}");
    }
    let before = storage.handle().free_space().unwrap();
    assert_eq!(before, 100_000 + FRAME as u64 / 2, "nothing is left of it");
    storage.set_room(100_050);
    assert!(!log.request_snapshot(), "not even a header has room");
    storage.set_room(100_000 + FRAME + 1000);
    take_snapshot(&storage, &log, &mut owner, FRAME);
    assert!(storage.handle().free_space().unwrap() >= 100_000);
}

#[test]
fn a_snapshot_leaves_the_room_of_the_next_segment_within_the_limit_too() {
    let storage = storage();
    let (log, _) = open(&storage, &with_snapshots(6 * LARGE));
    let _owner = register(&log, 1 << 30);
    wait_until_ready(&storage, &log);
    while *log.segments().end() < 3 {
        append(&log, Need::Normal).unwrap();
    }
    // Five segments and the spare file are all that there may be.
    wait_until_ready(&storage, &log);
    assert!(!log.request_snapshot());
    assert!(log.reclaim(2).unwrap());
    assert!(log.request_snapshot(), "a segment less");
}

/// Whatever the start can do with it.
#[test]
fn a_snapshot_of_before_counts_whether_it_can_be_used_or_not() {
    let storage = storage();
    let options = with_snapshots(7 * LARGE);
    let (log, _) = open(&storage, &options);
    let mut owner = register(&log, 1 << 30);
    wait_until_ready(&storage, &log);
    take_snapshot(&storage, &log, &mut owner, FRAME);
    log.close().unwrap();
    drop((log, owner));
    storage.corrupt(SNAPSHOT, |bytes| bytes[0] ^= 1).unwrap();
    let (log, _) = open(&storage, &options);
    let _owner = register(&log, 1 << 30);
    while append(&log, Need::Normal).is_ok() {}
    assert!(most_bytes(&storage) <= 7 * LARGE, "{} bytes", most_bytes(&storage));
}

#[test]
fn a_real_disk_says_what_is_left_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let free = DiskStorage::new(folder.path()).free_space().unwrap();
    assert!((1 << 20..1 << 60).contains(&free), "{free} bytes");
}
