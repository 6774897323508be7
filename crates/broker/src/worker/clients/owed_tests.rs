//! What a full log refuses and must have: ends of sessions, so that whatever happens next no start finds what was ended; and
//! the start of the broker, which ends what the run before left open.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a failed expectation is the test's failure")]

use std::collections::BTreeMap;

use commitlog::{AppendError, Log, LogOwner, Need};

use super::tests::{Bench, Seen, message};
use super::*;
use crate::store::Recovery;
use crate::store::journal::Batch;
use crate::worker::testing::small_log;

const BOB: &str = "GID_dev@@@bob";
const HOUR_S: u32 = 3600;

/// Bob, who is away: his session, and in a later segment what he subscribes to and what waits.
struct Scene {
    bench: Bench,
    owner: LogOwner,
}

impl Scene {
    fn begin() -> Self {
        let bench = Bench::with_options(small_log());
        let owner = bench.log.register_owner("test");
        owner.set_live_bytes(0);
        let mut scene = Self { bench, owner };
        let (key, bob) = scene.bench.connect(BOB, HOUR_S);
        while *scene.bench.log.segments().end() < 2 {
            let _ = scene.fill_some(Need::Normal);
        }
        scene.bench.subscribe(bob, "news/#");
        scene.bench.send(BOB, message("old").into());
        scene.bench.clients.leave(bob, key, scene.bench.now.ms);
        scene
    }

    fn fill_some(&self, need: Need) -> Result<(), AppendError> {
        let mut filler = Batch::default();
        // No larger than any that is to be refused.
        filler.session_gone("x");
        let appended = self.bench.clients.context.journal.append(&filler, need);
        std::thread::yield_now();
        appended.map(drop)
    }

    fn fill_disk(&self) {
        self.bench.storage.set_full(true);
        for need in [Need::Normal, Need::Essential] {
            while self.fill_some(need) != Err(AppendError::Full) {}
        }
    }

    fn free_disk(&self) {
        self.bench.storage.set_full(false);
        while self.bench.clients.context.journal.is_full_for(Need::Normal) {
            std::thread::yield_now();
        }
    }

    /// Bob's session ends, and the log does not take that.
    fn end_in_vain(&mut self) {
        self.fill_disk();
        let refused = self.refused();
        let bob = self.bench.clients.find(&ClientKey::new(BOB)).unwrap();
        self.bench.clients.end_session(bob);
        assert_eq!(self.refused(), refused + 1);
    }

    fn refused(&self) -> u64 {
        self.bench.clients.context.counts.refused_by_log.value()
    }

    /// The broker starts on a full disk, and the log does not take that.
    fn start_in_vain(&self) {
        self.fill_disk();
        let journal = &self.bench.clients.context.journal;
        assert_eq!(journal.begin_start(self.bench.now.ms), Err(AppendError::Full));
    }

    /// What a start finds of Bob after a kill of the process.
    fn found(&self) -> Option<RecoveredClient> {
        self.found_of_all().clients.remove(BOB).map(|client| *client)
    }

    fn found_of_all(&self) -> Recovery {
        self.bench.log.wait_durable(self.end()).unwrap();
        self.bench.storage.kill_process();
        let (_log, replay) = Log::open(self.bench.storage.handle(), small_log()).unwrap();
        let mut recovery = Recovery::new();
        replay.run(|record| recovery.apply(record)).unwrap();
        recovery
    }

    fn end(&self) -> Position {
        let mut batch = Batch::default();
        batch.latest_time(self.bench.now.ms);
        loop {
            match self.bench.clients.context.journal.append(&batch, Need::Carry) {
                Ok(appended) => return appended.end,
                Err(error) => assert_eq!(error, AppendError::Busy),
            }
            std::thread::yield_now();
        }
    }
}

#[test]
fn the_end_of_a_session_that_a_full_log_refuses_is_logged_by_the_first_tick_that_finds_room() {
    let mut scene = Scene::begin();
    scene.end_in_vain();
    scene.bench.clients.tick(scene.bench.now);
    assert!(scene.bench.clients.owes_records(), "no snapshot goes on meanwhile");
    scene.free_disk();
    scene.bench.clients.tick(scene.bench.now);
    assert!(!scene.bench.clients.owes_records());
    assert_eq!(scene.found(), None);
}

#[test]
fn the_next_session_of_a_client_id_has_nothing_of_one_whose_end_was_refused() {
    let mut scene = Scene::begin();
    scene.end_in_vain();
    scene.free_disk();
    let (_, opened) = scene.bench.open(BOB, HOUR_S, false);
    assert!(!opened.session_present && opened.waits_for.is_some());
    scene.bench.clients.tick(scene.bench.now);
    let found = scene.found().unwrap();
    assert!(found.session.is_some());
    assert_eq!((found.subscriptions, found.entries), (BTreeMap::new(), [].into()));
}

#[test]
fn a_message_to_a_client_whose_end_was_refused_is_logged_behind_that_end() {
    let mut scene = Scene::begin();
    scene.end_in_vain();
    scene.free_disk();
    let key = ClientKey::new(BOB);
    assert_eq!(scene.bench.send(BOB, message("new").into()), [Seen::LookUp(BOB.to_owned())]);
    scene.bench.clients.looked_up(&key, Ok(true), scene.bench.now, &mut scene.bench.actions);
    scene.bench.drain();
    scene.bench.clients.tick(scene.bench.now);
    let found = scene.found().unwrap();
    assert!(found.session.is_none() && found.subscriptions.is_empty());
    assert_eq!(found.entries.len(), 1);
    let (new, _) =
        scene.bench.clients.entry(scene.bench.clients.find(&key).unwrap()).unwrap().inbox.logged().next().unwrap();
    assert!(found.entries.contains(new), "it is the new one");
}

#[test]
fn a_segment_is_given_back_after_the_ends_that_were_refused_are_logged() {
    let mut scene = Scene::begin();
    scene.end_in_vain();
    let wanted = loop {
        if let Some(wanted) = scene.owner.wanted() {
            break wanted;
        }
        std::thread::yield_now();
    };
    let number = wanted.number;
    let mut pass = Pass::new(wanted, scene.owner.copies_in(number), &scene.bench.clients.context.journal);
    loop {
        match scene.bench.clients.carry_some(&mut pass, scene.bench.now.ms, |_| None) {
            Ok(Progress::Done) => break,
            Ok(Progress::More) | Err(AppendError::Busy) => std::thread::yield_now(),
            other => panic!("{other:?}"),
        }
    }
    scene.owner.vacate(number);
    while *scene.bench.log.segments().start() <= number {
        std::thread::yield_now();
    }
    assert_eq!(scene.found(), None, "and not a part of it");
}

#[test]
fn how_long_a_session_lasts_is_logged_also_if_a_full_log_refused_that_at_first() {
    for connects_first in [false, true] {
        let mut scene = Scene::begin();
        let (_, bob) = scene.bench.connect(BOB, HOUR_S);
        scene.fill_disk();
        scene.bench.clients.change_expiry(bob, 60);
        scene.free_disk();
        if connects_first {
            let (_, opened) = scene.bench.open(BOB, 60, false);
            assert!(opened.session_present && opened.waits_for.is_some(), "the disk does not have it");
        } else {
            scene.bench.clients.tick(scene.bench.now);
        }
        assert_eq!(scene.found().unwrap().session.unwrap().expiry_s, 60);
    }
}

/// When the next start takes Bob to have gone.
fn disconnected_ms(recovery: &Recovery) -> Option<u64> {
    recovery.clients[BOB].session.as_ref().unwrap().disconnected_ms
}

#[test]
fn a_start_that_a_full_log_refuses_is_logged_by_the_first_tick_that_finds_room() {
    let mut scene = Scene::begin();
    scene.start_in_vain();
    let started_ms = scene.bench.now.ms;
    scene.bench.pass(Duration::from_secs(60));
    scene.bench.clients.tick(scene.bench.now);
    scene.free_disk();
    scene.bench.clients.tick(scene.bench.now);
    assert_eq!(disconnected_ms(&scene.found_of_all()), Some(started_ms), "Bob's connection ended with the run before");
}

#[test]
fn a_start_that_a_full_log_refuses_is_logged_before_the_first_connection() {
    const ALICE: &str = "GID_dev@@@alice";
    let mut scene = Scene::begin();
    scene.start_in_vain();
    let started_ms = scene.bench.now.ms;
    scene.free_disk();
    scene.bench.pass(Duration::from_secs(60));
    scene.bench.connect(ALICE, HOUR_S);
    let found = scene.found_of_all();
    assert_eq!(disconnected_ms(&found), Some(started_ms), "Bob's connection ended with the run before");
    let open: Vec<_> = found.connections.values().filter(|connection| connection.closed_ms.is_none()).collect();
    assert!(matches!(open[..], [connection] if &*connection.client_id == ALICE), "{open:?}");
}

#[test]
fn nobody_is_served_before_a_start_that_a_full_log_refused_is_durable() {
    let mut scene = Scene::begin();
    scene.bench.log.wait_durable(scene.end()).unwrap();
    scene.start_in_vain();
    scene.free_disk();
    scene.bench.storage.hold_syncs();
    let (_, opened) = scene.bench.open(BOB, HOUR_S, false);
    assert!(opened.session_present && opened.waits_for.is_some(), "the session is as it was, the start is not durable");
    scene.bench.storage.release_syncs();
    scene.bench.log.wait_durable(opened.waits_for.unwrap()).unwrap();
    let (_, opened) = scene.bench.open(BOB, HOUR_S, false);
    assert_eq!(opened.waits_for, None);
}
