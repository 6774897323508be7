//! A worker as a part of a snapshot of the log: the state of all its clients, a little in each turn.
//!
//! ```text
//! wanted ──► clients, slot by slot ──► ended connections ──► finished
//!                                 any ──► given up by the log
//! ```
//!
//! What this worker appends it also does at once, so its state holds all that it appended before. Only what is deferred is
//! done first and appended later: nothing is dumped before that is in the log. What happens between two steps is behind the
//! snapshot's place, where the next start reads it again. So what was dumped once stays true, however late the snapshot
//! takes it.

use std::time::{Duration, Instant};

use commitlog::{SnapshotError, SnapshotSection};

use super::Worker;
use super::carrying::open_connection;
use super::clients::{ClientsDump, DUMP_STEP, Step};
use crate::store::journal::Batch;

/// In one turn no step begins after this time.
const STEPS_TAKE: Duration = Duration::from_micros(500);

/// The snapshot that this worker has still to write its clients into.
#[derive(Default)]
pub(super) struct Dumping(Option<Dump>);

struct Dump {
    section: SnapshotSection,
    next: Place,
    /// What the snapshot did not take when it was behind.
    not_taken: Option<Batch>,
}

/// Where a dump goes on.
enum Place {
    Clients(Box<ClientsDump>),
    Ended { after: Option<Box<str>> },
    End,
}

impl Dumping {
    fn begin(section: SnapshotSection) -> Self {
        Self(Some(Dump { section, next: Place::Clients(Box::default()), not_taken: None }))
    }

    pub(super) fn is_underway(&self) -> bool {
        self.0.is_some()
    }
}

impl Worker {
    /// Dumps some of what a snapshot wants.
    pub(super) fn dump(&mut self) {
        if let Some(section) = self.carrying.snapshot_wanted() {
            self.dumping = Dumping::begin(section);
        }
        if !self.dumping.is_underway() || self.durability.has_deferred() || self.clients.owes_records() {
            return;
        }
        let begun = Instant::now();
        while self.dump_step() && begun.elapsed() < STEPS_TAKE {}
    }

    /// `false`: there is no more for this turn.
    fn dump_step(&mut self) -> bool {
        let Some(mut dump) = self.dumping.0.take() else { return false };
        let batch = dump.not_taken.take().unwrap_or_else(|| self.next_of(&mut dump.next));
        match self.shared.journal.push_independent(&batch, &mut dump.section) {
            Ok(()) if matches!(dump.next, Place::End) => {
                dump.section.finish();
                return false;
            }
            Ok(()) => {}
            Err(SnapshotError::Busy) => dump.not_taken = Some(batch),
            Err(SnapshotError::GivenUp) => return false,
            Err(error @ SnapshotError::Invalid(_)) => {
                tracing::error!(%error, "clients cannot be written into a snapshot: a start reads all of the log");
                return false;
            }
        }
        let was_taken = dump.not_taken.is_none();
        self.dumping = Dumping(Some(dump));
        was_taken
    }

    /// What comes next; `place` is behind it then.
    fn next_of(&self, place: &mut Place) -> Batch {
        let mut step = Step::new(DUMP_STEP);
        // Before all else: what is past its time is judged by it.
        step.batch.latest_time(self.now.certain_ms());
        match place {
            Place::Clients(clients) => {
                let open = |key| open_connection(&self.connections, key);
                if !self.clients.dump_some(clients, &mut step, open) {
                    *place = Place::Ended { after: None };
                }
            }
            Place::Ended { after } => match self.ended.dump_some(after.as_deref(), &mut step) {
                Some(last) => *after = Some(last),
                None => *place = Place::End,
            },
            Place::End => {}
        }
        step.batch
    }
}
