//! The queue's part of a snapshot of the log: topic by topic, the core is dumped in steps under the topic's lock, and what they
//! give is pushed without it. Groups come first.

use std::collections::VecDeque;
use std::sync::Arc;

use commitlog::{NewRecord, Part, Position, SnapshotError, SnapshotSection, record_bytes};

use super::Inner;
use super::topic::Topic;
use crate::core::{CoreDump, CoreStep, Said};

/// Most that is pushed at a time, if a single record is not larger.
const PUSHED_BYTES_MAX: usize = 64 << 10;

pub(super) struct Dumping {
    section: SnapshotSection,
    /// Those that are still to be dumped, the last one next.
    topics: Vec<Arc<Topic>>,
    /// Of the last topic. `None`: its core does not know yet what was appended below the place.
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
    pub(super) fn begin(section: SnapshotSection, engine: &Inner) -> Self {
        let names = engine.names();
        let from = section.from();
        let mut groups = names.groups.definitions();
        groups.retain(|(name, _)| *name < from);
        let said = groups.into_iter().filter_map(|(name, defined)| names.groups.define(name, defined)).collect();
        let topics = names.topics().filter(|topic| Position(topic.id.0) < from).cloned().collect();
        Self { section, topics, dump: None, said }
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
        let Some(topic) = self.topics.last() else { return CoreStep::Done };
        let locked = engine.lock(topic);
        let from = self.section.from();
        if self.dump.is_none() && !locked.is_settled_before(from) {
            return CoreStep::Wait;
        }
        match self.dump.get_or_insert_with(|| CoreDump::of_topics(&locked.core, from)).step(&locked.core) {
            CoreStep::Done => {
                drop(locked);
                self.topics.pop();
                self.dump = None;
                CoreStep::Said(Vec::new())
            }
            step => step,
        }
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
