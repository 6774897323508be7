//! The queue's part of a snapshot of the log: the core is dumped in steps under the engine's lock, and what they give is
//! pushed without it.

use std::collections::VecDeque;

use commitlog::{NewRecord, Part, SnapshotError, SnapshotSection, record_bytes};

use super::Inner;
use crate::core::{CoreDump, CoreStep, Said};

/// Most that is pushed at a time, if a single record is not larger.
const PUSHED_BYTES_MAX: usize = 64 << 10;

pub(super) struct Dumping {
    section: SnapshotSection,
    /// `None`: the core does not know yet what was appended below the place.
    dump: Option<CoreDump>,
    /// What is still to be pushed.
    said: VecDeque<Said>,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DumpStep {
    More,
    /// The same again later: the log, its snapshot or a consumer has to go on first.
    Wait,
}

impl Dumping {
    pub(super) fn begin(section: SnapshotSection) -> Self {
        Self { section, dump: None, said: VecDeque::new() }
    }

    /// `None`: it is over, finished or given up.
    pub(super) fn step(mut self, engine: &Inner) -> Option<(Self, DumpStep)> {
        if self.said.is_empty() {
            match self.step_core(engine) {
                CoreStep::Said(said) => self.said = said.into(),
                CoreStep::Progress(progress) => self.said = progress.into_records().into(),
                CoreStep::Wait => return Some((self, DumpStep::Wait)),
                CoreStep::Done => {
                    self.section.finish();
                    return None;
                }
                CoreStep::GivenUp => {
                    tracing::debug!("a group subscribed while a snapshot was taken: it is given up");
                    return None;
                }
            }
        }
        match self.push(engine.log.append_bytes_max()) {
            Ok(()) => Some((self, DumpStep::More)),
            Err(SnapshotError::Busy) => Some((self, DumpStep::Wait)),
            Err(SnapshotError::GivenUp) => None,
            Err(error @ SnapshotError::Invalid(_)) => {
                tracing::error!(%error, "the queue cannot be written into a snapshot: a start reads all of the log");
                None
            }
        }
    }

    fn step_core(&mut self, engine: &Inner) -> CoreStep {
        let state = engine.state();
        let from = self.section.from();
        if self.dump.is_none() && !state.is_settled_before(from) {
            return CoreStep::Wait;
        }
        self.dump.get_or_insert_with(|| CoreDump::begin(&state.core, from)).step(&state.core)
    }

    fn push(&mut self, append_bytes_max: usize) -> Result<(), SnapshotError> {
        while !self.said.is_empty() {
            let mut bytes = 0;
            let fits = |said: &&Said| {
                bytes += record_bytes(said.payload.len());
                bytes <= PUSHED_BYTES_MAX.min(append_bytes_max)
            };
            let count = self.said.iter().take_while(fits).count().max(1);
            let payloads: Vec<_> = self.said.iter().take(count).map(|said| [Part::Bytes(&said.payload)]).collect();
            let records = self.said.iter().zip(&payloads).map(|(said, payload)| {
                let record = NewRecord::new(said.kind, said.owner, payload);
                said.name.map_or(record, |name| record.carried(name))
            });
            self.section.push(&records.collect::<Vec<_>>())?;
            self.said.drain(..count);
        }
        Ok(())
    }
}
