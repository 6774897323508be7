//! The replay of the log's records to their owners, once at the start.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;

use crate::copies::Copies;
use crate::error::{Damaged, ReplayError};
use crate::format::{FIRST_RECORD, Geometry, RecordHeader, SegmentVersion, own};
use crate::record::ReplayedRecord;
use crate::recover::{Files, NOT_OF_V1, damaged, follows, may_stand};
use crate::segment::{Found, SegmentReader, name_of};
use crate::snapshot::format::Unfit;
use crate::snapshot::{self, Entry, Snapshot, Stopped};
use crate::storage::Storage;
use crate::{Position, USER_KIND_MIN};

/// All records that the log held when it was opened, in the order of their appends, each exactly once. With a snapshot,
/// its records first, and then those that the log holds from its place on.
pub struct Replay {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) geometry: Geometry,
    pub(crate) files: Files,
    pub(crate) snapshot: Option<Snapshot>,
    /// Where the log is read from: what lies below is in the snapshot, or was given back.
    pub(crate) from: Position,
    /// Where the log ended when it was opened.
    pub(crate) end: Position,
    /// Number of the first segment of version 2, if there is one.
    pub(crate) carries_from: Option<u64>,
    pub(crate) copies: Arc<Copies>,
}

/// How much was replayed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Replayed {
    pub records: u64,
    /// Payload bytes of these records.
    pub bytes: u64,
    /// How many of the records were a snapshot's.
    pub snapshot_records: u64,
}

impl Replay {
    /// Hands every record to `apply`, reading as it goes: memory is bounded by the largest append.
    ///
    /// # Errors
    /// Damage in an older segment, an unreadable file, or the first error of `apply`.
    pub fn run<E>(
        self,
        mut apply: impl FnMut(ReplayedRecord<'_>) -> Result<(), E>,
    ) -> Result<Replayed, ReplayError<E>> {
        let snapshot_records = self.snapshot.as_ref().map_or(0, Snapshot::records);
        let mut replayed = Replayed { snapshot_records, ..Replayed::default() };
        let mut refusal = None;
        let walked = self.walk(&mut |record| {
            replayed.records += 1;
            replayed.bytes += record.payload.len() as u64;
            refusal = apply(record).err();
            refusal.is_none()
        });
        match (walked, refusal) {
            (_, Some(error)) => Err(ReplayError::Apply(error)),
            (Ok(()), None) => Ok(replayed),
            (Err(Failure::Damaged(damaged)), None) => Err(ReplayError::Damaged(damaged)),
            (Err(Failure::Storage { path, source }), None) => Err(ReplayError::Storage { path, source }),
        }
    }

    /// [`Replay::run`] for a caller that refuses nothing.
    ///
    /// # Errors
    /// Damage in an older segment, or an unreadable file.
    pub fn for_each(self, mut apply: impl FnMut(ReplayedRecord<'_>)) -> Result<Replayed, ReplayError<Infallible>> {
        self.run(|record| {
            apply(record);
            Ok(())
        })
    }

    /// Not generic: compiled and optimised here, not once for each caller.
    fn walk(&self, apply: &mut dyn FnMut(ReplayedRecord<'_>) -> bool) -> Result<(), Failure> {
        if !self.walk_snapshot(apply)? {
            return Ok(());
        }
        let (first, mut offset) = self.geometry.split(self.from);
        let mut end_before = None;
        for (number, _) in self.files.range(first..) {
            end_before = self.walk_segment(*number, offset, end_before, apply)?;
            if end_before.is_none() {
                return Ok(());
            }
            offset = FIRST_RECORD;
        }
        Ok(())
    }

    /// `false`: `apply` has refused a record.
    fn walk_snapshot(&self, apply: &mut dyn FnMut(ReplayedRecord<'_>) -> bool) -> Result<bool, Failure> {
        let Some(snapshot) = &self.snapshot else { return Ok(true) };
        let walked = snapshot.walk(&mut |entry| match entry {
            Entry::Record(record) => apply(record),
            Entry::Copy { name, place } => {
                if self.files.contains_key(&self.geometry.split(place).0) {
                    self.copies.insert(&self.geometry, name, place);
                }
                true
            }
        });
        match walked {
            Ok(()) => Ok(true),
            Err(Stopped::Refused) => Ok(false),
            Err(Stopped::Unreadable(source)) => Err(Failure::of_snapshot(&*self.storage, source)),
            // It was whole when the log was opened: the disk has returned something else this time.
            Err(Stopped::Changed(Unfit(what))) => Err(Failure::of_snapshot(&*self.storage, io::Error::other(what))),
        }
    }

    /// Returns the end of the segment, which is read from `offset` on; `None`: `apply` has refused a record.
    fn walk_segment(
        &self,
        number: u64,
        mut offset: u64,
        end_before: Option<Position>,
        apply: &mut dyn FnMut(ReplayedRecord<'_>) -> bool,
    ) -> Result<Option<Position>, Failure> {
        let begin = self.geometry.position(number, 0);
        let Some(file) = self.files.get(&number) else { return Err(self.damaged(begin, "the segment is missing")) };
        let mut reader = SegmentReader::new(Arc::clone(file), self.geometry, number);
        let version = SegmentVersion::of_segment(number, self.carries_from);
        loop {
            let at = self.geometry.position(number, offset);
            let Some((header, payload)) = self.record_at(&mut reader, at)? else { return Ok(Some(at)) };
            if offset == FIRST_RECORD && end_before.is_some_and(|end| !follows(&header, payload, end)) {
                return Err(self.damaged(at, "the end of the segment before is missing"));
            }
            if !may_stand(version, &header, at) {
                return Err(self.damaged(at, NOT_OF_V1));
            }
            let RecordHeader { kind, owner, position, .. } = header;
            let is_new = position == at || self.is_first_of(position, at);
            let record = ReplayedRecord { kind, owner, position, is_carried: position != at, payload };
            if kind >= USER_KIND_MIN && is_new && !apply(record) {
                return Ok(None);
            }
            offset += header.total();
        }
    }

    /// Notes a copy at `at`. Returns whether none of the name was read before: neither the first nor an older one.
    fn is_first_of(&self, name: Position, at: Position) -> bool {
        let older = self.copies.find(&self.geometry, name);
        let is_first = name < self.from && older.is_none_or(|older| older < self.from);
        self.copies.insert(&self.geometry, name, at);
        is_first
    }

    /// `None`: the segment ends here.
    fn record_at<'r>(
        &self,
        reader: &'r mut SegmentReader,
        at: Position,
    ) -> Result<Option<(RecordHeader, &'r [u8])>, Failure> {
        let (number, offset) = self.geometry.split(at);
        if at == self.end {
            return Ok(None);
        }
        match reader.at(offset).map_err(|source| self.failed(number, source))? {
            // A clean stop for which the next start found no room to overwrite it.
            Found::Record(header, _) if header.kind == own::STOP => Ok(None),
            Found::Record(header, payload) => Ok(Some((header, payload))),
            Found::Zero if self.geometry.split(self.end).0 != number => Ok(None),
            Found::Zero => Err(self.damaged(at, "records are missing")),
            Found::Hole(what) => Err(self.damaged(at, what)),
        }
    }

    fn damaged(&self, at: Position, what: &str) -> Failure {
        let (number, offset) = self.geometry.split(at);
        Failure::Damaged(damaged(&*self.storage, number, offset, what))
    }

    fn failed(&self, number: u64, source: io::Error) -> Failure {
        Failure::Storage { path: self.storage.path_of(&name_of(number)), source }
    }
}

enum Failure {
    Damaged(Damaged),
    Storage { path: String, source: io::Error },
}

impl Failure {
    fn of_snapshot(storage: &dyn Storage, source: io::Error) -> Self {
        Self::Storage { path: storage.path_of(snapshot::NAME), source }
    }
}
